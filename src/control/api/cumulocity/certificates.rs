//! Trusted certificates (C8Y-TC-01 to C8Y-TC-10).

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::ca::authority::{AnchorChange, AnchorView, Authority, Caller, Fault, Kind as Refused, NewAnchor, Scope};

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::Problem;
use super::Api;
use super::certificate::{CertificateStatus, TrustedCertificate};
use super::page::{Around, Page};
use super::site::{Site, Wanted, check_tenant};

const ALL: &str = "/tenant/tenants/{tenant}/trusted-certificates";
const ONE: &str = "/tenant/tenants/{tenant}/trusted-certificates/{fingerprint}";
const BULK: &str = "/tenant/tenants/{tenant}/trusted-certificates/bulk";

const CONFLICT: (StatusCode, &str) =
    (StatusCode::CONFLICT, "It is there already, is another tenant's, or the configuration file makes it.");
const UNUSABLE: (StatusCode, &str) =
    (StatusCode::UNPROCESSABLE_ENTITY, "It is no certificate that can be trusted, or there are as many as may be.");

/// A certificate that is to be trusted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewCertificate {
    /// Whether it counts.
    status: CertificateStatus,
    /// What people call it.
    #[schema(max_length = 255)]
    name: Option<String>,
    /// Whether a first connection under it makes the device known: a boolean,
    /// or one as a text.
    #[serde(default, deserialize_with = "truth")]
    auto_registration_enabled: Option<bool>,
    /// The certificate: PEM with or without line breaks, or its base64 alone.
    cert_in_pem_format: String,
}

/// Certificates that are to be trusted: all of them, or none.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct NewCertificates {
    /// The certificates.
    certificates: Vec<NewCertificate>,
}

/// What is to change; what is absent stays, and what cannot be changed is read
/// over.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CertificateChange {
    /// What people call it.
    name: Option<String>,
    /// Whether it counts.
    status: Option<CertificateStatus>,
    /// Whether a first connection under it makes the device known.
    #[serde(default, deserialize_with = "truth")]
    auto_registration_enabled: Option<bool>,
}

/// Which certificates are wanted.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
struct Filter {
    /// Only those that are the tenant's own CA, or only those that are not.
    certificate_authority: Option<bool>,
}

/// A page of trusted certificates.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct TrustedCertificates {
    /// The certificates.
    certificates: Vec<TrustedCertificate>,
    #[serde(flatten)]
    around: Around,
}

/// What was uploaded together.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct TakenCertificates {
    /// The certificates.
    certificates: Vec<TrustedCertificate>,
}

/// C8Y-TC-02: a boolean, or one as a text.
fn truth<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Truth(bool),
        Text(String),
    }
    match Option::<Given>::deserialize(reader)? {
        None => Ok(None),
        Some(Given::Truth(truth)) => Ok(Some(truth)),
        Some(Given::Text(text)) => match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(D::Error::invalid_value(Unexpected::Str(&text), &"true or false")),
        },
    }
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let write = |method, path, id, summary| {
        Operation::new(method, path, id, summary).needs(Scope::AnchorsWrite).refuses(&[CONFLICT, UNUSABLE])
    };
    let read = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs(Scope::AnchorsRead);
    routes
        .about("trusted-certificates", "The CA certificates under which a tenant's devices are known.")
        .add(
            read(ALL, "listTrustedCertificates", "List the trusted certificates of a tenant")
                .query::<Page>()
                .query::<Filter>()
                .gives::<TrustedCertificates>(StatusCode::OK, "A page of the list."),
            list,
        )
        .add(
            write(Method::POST, ALL, "addTrustedCertificate", "Trust a certificate")
                .takes::<NewCertificate>()
                .gives::<TrustedCertificate>(StatusCode::CREATED, "It is trusted."),
            upload,
        )
        .add(
            write(Method::POST, BULK, "addTrustedCertificates", "Trust several certificates, or none of them")
                .takes::<NewCertificates>()
                .gives::<TakenCertificates>(StatusCode::CREATED, "They are trusted."),
            upload_all,
        )
        .add(
            read(ONE, "getTrustedCertificate", "Look at a trusted certificate")
                .gives::<TrustedCertificate>(StatusCode::OK, "The certificate."),
            one,
        )
        .add(
            write(Method::PUT, ONE, "changeTrustedCertificate", "Rename, enable or disable a trusted certificate")
                .takes::<CertificateChange>()
                .gives::<TrustedCertificate>(StatusCode::OK, "It is changed; whoever it no longer admits has to go."),
            change,
        )
        .add(
            write(Method::DELETE, ONE, "deleteTrustedCertificate", "Trust a certificate no longer")
                .gives_nothing("It is gone; whoever came in through it has to go."),
            delete,
        )
}

impl From<NewCertificate> for NewAnchor {
    fn from(upload: NewCertificate) -> Self {
        Self {
            name: upload.name.unwrap_or_default(),
            certificate: upload.cert_in_pem_format.into_bytes(),
            status: upload.status.into(),
            auto_registration: upload.auto_registration_enabled.unwrap_or(false),
        }
    }
}

/// Who asks about which trusted certificate of a tenant that is there.
pub(super) struct Asked {
    api: Api,
    pub(super) caller: Caller,
    site: Site,
    wanted: Wanted,
    pub(super) tenant: String,
    pub(super) fingerprint: String,
}

impl FromRequestParts<Api> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let CalledBy(caller) = <CalledBy as FromRequestParts<Api>>::from_request_parts(parts, api).await?;
        let site = <Site as FromRequestParts<Api>>::from_request_parts(parts, api).await?;
        let wanted = <Wanted as FromRequestParts<Api>>::from_request_parts(parts, api).await?;
        let path = <Path<(String, String)> as FromRequestParts<Api>>::from_request_parts(parts, api).await?;
        let Path((tenant, fingerprint)) = path;
        check_tenant(api.broker.authority(), &tenant)?;
        Ok(Self { api: api.clone(), caller, site, wanted, tenant, fingerprint })
    }
}

impl Asked {
    pub(super) fn authority(&self) -> &Authority {
        self.api.broker.authority()
    }

    /// In the words for a certificate that is not there, if it is not.
    fn told<T>(&self, result: Result<T, Fault>) -> Result<T, Problem> {
        result.map_err(|mut fault| {
            if fault.kind == Refused::NotFound {
                fault.detail = format!("Cannot find certificate with fingerprint {}.", self.fingerprint);
            }
            fault.into()
        })
    }

    /// The answer to a change, with the certificate if it is wanted.
    pub(super) fn answer(self, view: Result<AnchorView, Fault>) -> Result<Response, Problem> {
        let view = self.told(view)?;
        Ok(self.wanted.answer(StatusCode::OK, TrustedCertificate::new(&self.site, &view)))
    }
}

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    site: Site,
    Path(tenant): Path<String>,
    Query(page): Query<Page>,
    Query(filter): Query<Filter>,
) -> Result<Json<TrustedCertificates>, Problem> {
    let authority = api.broker.authority();
    check_tenant(authority, &tenant)?;
    let mut all = authority.anchors(&caller, &tenant)?;
    // The tenant's own CA is no certificate that somebody trusted.
    all.retain(|_| filter.certificate_authority != Some(true));
    let (views, around) = page.cut(&site, &["tenant", "tenants", &tenant, "trusted-certificates"], all)?;
    Ok(Json(TrustedCertificates { certificates: shown(&site, &views), around }))
}

fn shown(site: &Site, views: &[AnchorView]) -> Vec<TrustedCertificate> {
    views.iter().map(|view| TrustedCertificate::new(site, view)).collect()
}

async fn upload(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    site: Site,
    wanted: Wanted,
    Path(tenant): Path<String>,
    Json(upload): Json<NewCertificate>,
) -> Result<impl IntoResponse, Problem> {
    check_tenant(api.broker.authority(), &tenant)?;
    let view = api.broker.authority().upload_anchor(&caller, &tenant, upload.into()).await?;
    let shown = TrustedCertificate::new(&site, &view);
    Ok(([(header::LOCATION, shown.own.clone())], wanted.answer(StatusCode::CREATED, shown)))
}

async fn upload_all(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    site: Site,
    wanted: Wanted,
    Path(tenant): Path<String>,
    Json(NewCertificates { certificates }): Json<NewCertificates>,
) -> Result<Response, Problem> {
    check_tenant(api.broker.authority(), &tenant)?;
    let new = certificates.into_iter().map(NewAnchor::from).collect();
    let views = api.broker.authority().upload_anchors(&caller, &tenant, new).await?;
    Ok(wanted.answer(StatusCode::CREATED, TakenCertificates { certificates: shown(&site, &views) }))
}

async fn one(asked: Asked) -> Result<Json<TrustedCertificate>, Problem> {
    let view = asked.told(asked.authority().anchor(&asked.caller, &asked.tenant, &asked.fingerprint))?;
    Ok(Json(TrustedCertificate::new(&asked.site, &view)))
}

async fn change(asked: Asked, Json(change): Json<CertificateChange>) -> Result<Response, Problem> {
    let change = AnchorChange {
        name: change.name,
        status: change.status.map(Into::into),
        auto_registration: change.auto_registration_enabled,
        ..AnchorChange::default()
    };
    let changed = asked.authority().change_anchor(&asked.caller, &asked.tenant, &asked.fingerprint, change).await;
    asked.answer(changed)
}

async fn delete(asked: Asked) -> Result<StatusCode, Problem> {
    let deleted = asked.authority().delete_anchor(&asked.caller, &asked.tenant, &asked.fingerprint).await;
    asked.told(deleted)?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truth_may_come_as_a_text() {
        let read =
            |text: &str| serde_json::from_str::<CertificateChange>(text).map(|change| change.auto_registration_enabled);
        for (text, want) in [
            (r#"{"autoRegistrationEnabled":true}"#, Some(true)),
            (r#"{"autoRegistrationEnabled":"true"}"#, Some(true)),
            (r#"{"autoRegistrationEnabled":"False"}"#, Some(false)),
            (r#"{"autoRegistrationEnabled":null}"#, None),
            (r#"{"fingerprint":"read over"}"#, None),
        ] {
            assert_eq!(read(text).unwrap(), want, "{text}");
        }
        assert!(read(r#"{"autoRegistrationEnabled":"yes"}"#).is_err());
        assert!(read(r#"{"autoRegistrationEnabled":1}"#).is_err());
    }
}
