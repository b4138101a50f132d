//! CA certificates and proof of possession (MC-CA, MC-POP).

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ca::authority::{AnchorView, CommonName, NewAnchor, Scope};
use crate::ca::record::AnchorStatus;

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::moment::moment_of;
use super::super::frame::operation::Operation;
use super::super::frame::problem::Problem;
use super::page::{Page, Wanted, shaped};
use super::{Api, BASE, tenant_of, wanted};

/// A CA certificate.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CaCertificate {
    /// 24 hexadecimal digits.
    id: String,
    /// What people call it.
    name: String,
    /// When it ends.
    #[schema(format = DateTime)]
    expiration: String,
    /// The CN of its subject.
    common_name: String,
    /// Whether possession of its key is proved; absent in the answer to an
    /// upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_verified: Option<bool>,
}

impl From<AnchorView> for CaCertificate {
    fn from(view: AnchorView) -> Self {
        let common_name = match &view.facts.common_name {
            CommonName::One(name) => name.to_string(),
            _ => String::new(),
        };
        Self {
            id: view.row.id.clone(),
            name: view.row.name.clone(),
            expiration: moment_of(view.facts.not_after),
            common_name,
            is_verified: Some(view.proved),
        }
    }
}

/// A CA certificate that is to be uploaded.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Upload {
    /// What people call it.
    #[schema(required, min_length = 1, max_length = 255)]
    name: Option<String>,
    /// The certificate, PEM.
    #[schema(required, min_length = 1)]
    ca_certificate: Option<String>,
}

/// The proof of possession.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Verification {
    /// A certificate with the registration code as its CN, signed by the CA,
    /// PEM.
    #[schema(required, min_length = 1)]
    verification_certificate: Option<String>,
}

/// A registration code.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Code {
    /// 64 hexadecimal digits, which fit into a CN.
    registration_code: String,
}

const ALL: &str = "/caCertificates";
const ONE: &str = "/caCertificates/{id}";
/// Properties that a list can be sorted by.
const SORTS: [&str; 4] = ["id", "name", "expiration", "commonName"];

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let write = |method, path, id, summary| Operation::new(method, path, id, summary).needs(Scope::AnchorsWrite);
    let read = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs(Scope::AnchorsRead);
    let conflict = (StatusCode::CONFLICT, "It is there already, another tenant owns it, or there are two already.");
    let code = |path, id| {
        read(path, id, "The code that a verification certificate has to carry as its CN")
            .gives::<Code>(StatusCode::OK, "The same code until the certificate is verified or deleted.")
            .refuses(&[conflict])
    };
    routes
        .about("caCertificates", "CA certificates of the tenant, two at most.")
        .add(
            write(Method::POST, ALL, "uploadCaCertificate", "Upload a CA certificate")
                .takes::<Upload>()
                .gives::<CaCertificate>(StatusCode::CREATED, "It is there, not verified yet.")
                .refuses(&[conflict]),
            upload,
        )
        .add(
            read(ALL, "listCaCertificates", "List the CA certificates")
                .query::<Wanted>()
                .gives::<Page<CaCertificate>>(StatusCode::OK, "A page."),
            list,
        )
        .add(read(ONE, "getCaCertificate", "One CA certificate").gives::<CaCertificate>(StatusCode::OK, "It."), one)
        .add(
            write(Method::DELETE, ONE, "deleteCaCertificate", "Delete a CA certificate")
                .gives_nothing("It is gone, and so is whoever came in through it.")
                .refuses(&[conflict]),
            delete,
        )
        .add(code("/caCertificates/{id}/registrationCode", "getRegistrationCode"), registration_code)
        .add(code("/{id}/registrationCode", "getRegistrationCodeShort"), registration_code)
        .add(
            write(Method::POST, "/caCertificates/{id}/verify", "verifyCaCertificate", "Prove possession of its key")
                .takes::<Verification>()
                .gives::<CaCertificate>(StatusCode::OK, "It is verified.")
                .refuses(&[conflict]),
            verify,
        )
}

async fn upload(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Json(upload): Json<Upload>,
) -> Result<Response, Problem> {
    let tenant = tenant_of(&caller)?;
    let name = wanted("name", upload.name)?;
    let certificate = wanted("caCertificate", upload.ca_certificate)?.into_bytes();
    let new = NewAnchor { name, certificate, status: AnchorStatus::Enabled, auto_registration: true };
    let made = api.broker.authority().upload_anchor(&caller, &tenant, new).await?;
    let location = format!("{BASE}{ALL}/{}", made.row.id);
    let body = CaCertificate { is_verified: None, ..made.into() };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(body)).into_response())
}

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Query(query): Query<Wanted>,
) -> Result<Response, Problem> {
    let tenant = tenant_of(&caller)?;
    let all = api.broker.authority().anchors(&caller, &tenant)?;
    let page = query.cut(all.into_iter().map(CaCertificate::from).collect(), &SORTS)?;
    Ok(Json(shaped(&api.broker, &tenant, page)).into_response())
}

async fn one(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(id): Path<String>,
) -> Result<Json<CaCertificate>, Problem> {
    let found = api.broker.authority().anchor(&caller, &tenant_of(&caller)?, &id)?;
    Ok(Json(found.into()))
}

async fn delete(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    api.broker.authority().delete_anchor(&caller, &tenant_of(&caller)?, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn registration_code(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(id): Path<String>,
) -> Result<Json<Code>, Problem> {
    let proof = api.broker.authority().registration_code(&caller, &tenant_of(&caller)?, &id).await?;
    Ok(Json(Code { registration_code: proof.code }))
}

async fn verify(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(id): Path<String>,
    Json(proof): Json<Verification>,
) -> Result<Json<CaCertificate>, Problem> {
    let certificate = wanted("verificationCertificate", proof.verification_certificate)?;
    let authority = api.broker.authority();
    let verified = authority.verify_anchor(&caller, &tenant_of(&caller)?, &id, certificate.as_bytes()).await?;
    Ok(Json(verified.into()))
}
