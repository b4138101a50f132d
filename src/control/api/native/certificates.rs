//! Certificates that were issued here.

use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

use crate::ca::armour;
use crate::ca::authority::{CertificateFilter, RenewedKey, Scope, Voucher};
use crate::ca::keypair::{KeyType, PrivateKey};
use crate::ca::record::{CertificateRow, CertificateUse};
use crate::ca::request::Request;

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::idempotency::Unrepeatable;
use super::super::frame::moment::moment;
use super::super::frame::operation::Operation;
use super::super::frame::paging::{Listed, Piece, cursor};
use super::super::frame::problem::{Kind, Problem};
use super::{Api, BASE, CONFLICT, ONCE, UNUSABLE};

/// What a certificate was issued for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CertificateUse)]
enum Use {
    /// An agent, with a key that was made here and not kept.
    Agent,
    /// A device, from its own certificate request.
    Device,
    /// A grant of the operator.
    Grant,
}

/// An issued certificate. Its private key was never kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = IssuedCertificate)]
struct Issued {
    /// Its identifier, which sorts by time.
    id: String,
    /// What it was issued for.
    used_for: Use,
    /// What people call it.
    name: String,
    /// The subject's CN.
    common_name: String,
    /// The ClientId that it was made for.
    client_id: Option<String>,
    /// The serial number, in hexadecimal digits.
    serial: String,
    /// Valid from.
    #[schema(format = DateTime)]
    not_before: String,
    /// Valid until.
    #[schema(format = DateTime)]
    not_after: String,
    /// When it was taken back.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
    /// When it was issued.
    #[schema(format = DateTime)]
    created_at: String,
    /// The certificate, PEM.
    certificate: String,
}

impl From<&CertificateRow> for Issued {
    fn from(row: &CertificateRow) -> Self {
        Self {
            id: row.id.clone(),
            used_for: match row.used_for {
                CertificateUse::Agent => Use::Agent,
                CertificateUse::Device => Use::Device,
                CertificateUse::Grant => Use::Grant,
            },
            name: row.name.clone(),
            common_name: row.common_name.clone(),
            client_id: row.client_id.clone(),
            serial: row.serial.clone(),
            not_before: moment(row.not_before),
            not_after: moment(row.not_after),
            revoked_at: row.revoked_at.map(moment),
            created_at: moment(row.created_at),
            certificate: armour::certificate_pem(&row.der),
        }
    }
}

/// What a certificate is to be issued for: a device's own request, or a name,
/// for which a key is made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = CertificateRequest)]
struct Enrol {
    /// The request (PKCS #10): PEM in any form, or base64 of the DER. Its CN is
    /// the device.
    csr: Option<String>,
    /// Without a request: the device, which becomes the CN.
    #[schema(min_length = 1, max_length = 64, example = "pump-7")]
    common_name: Option<String>,
    /// Without a request: the kind of the key that is made, `rsa2048`,
    /// `rsa3072`, `rsa4096`, `p256`, `p384` or `ed25519`; `p256` when absent.
    #[schema(example = "p256")]
    key_type: Option<String>,
}

/// How a certificate is renewed; over the key that it has, unless this says
/// otherwise.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = CertificateRenewal)]
struct Renew {
    /// A request of the device with another key and the same CN.
    csr: Option<String>,
    /// The kind of a key that is made.
    #[schema(example = "p256")]
    key_type: Option<String>,
    /// Take the old certificate back, as superseded: who uses it has to go.
    #[serde(default)]
    revoke_old: bool,
}

/// A certificate that was issued just now.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = NewlyIssuedCertificate)]
struct Fresh {
    /// The certificate.
    #[serde(flatten)]
    issued: Issued,
    /// The private key, PEM, if it was made here. It is told this once and not
    /// kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
}

/// A one-time token that is to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = NewEnrolmentToken)]
struct Invite {
    /// The device, which is the CN of its certificate.
    #[schema(min_length = 1, max_length = 64, example = "pump-7")]
    device: String,
    /// For how many seconds it holds; a day when absent.
    #[schema(minimum = 1, maximum = 2_592_000)]
    lasts_seconds: Option<u64>,
}

/// A one-time token for the first certificate of a device.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = EnrolmentToken)]
struct Invitation {
    /// What the device shows with its request; it is told this once.
    token: String,
    /// The device.
    device: String,
    /// Until when it holds.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Why a certificate is taken back.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = CertificateRevocation)]
struct Revoke {
    /// By the names of RFC 5280 §5.3.1; `unspecified` when absent.
    #[schema(example = "superseded")]
    reason: Option<String>,
}

/// Which certificates are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Certificates at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// Where to go on: `next` of the piece before.
    after: Option<String>,
    /// `agent`, `device` or `grant`.
    #[param(inline)]
    used_for: Option<Use>,
    /// Only those with this CN.
    common_name: Option<String>,
    /// Also those that were taken back.
    revoked: Option<bool>,
}

const ALL: &str = "/tenants/{tenant}/certificates";
const ONE: &str = "/tenants/{tenant}/certificates/{certificate}";
/// The key that is made when nobody says which.
const USUAL_KEY: &str = "p256";
/// A token of enrolment lasts at most a month.
const LONGEST: u64 = 30 * 86_400;

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let read = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs(Scope::CertificatesRead);
    let write = |path, id, summary| Operation::new(Method::POST, path, id, summary).needs(Scope::CertificatesWrite);
    routes
        .about("certificates", "Certificates that were issued here, and one-time tokens for the first one.")
        .add(
            read(ALL, "listCertificates", "List issued certificates, the oldest first")
                .query::<Wanted>()
                .lists::<Issued>("A piece of the list; with a filter it may be short although more follows."),
            list,
        )
        .add(
            write(ALL, "issueCertificate", "Issue a certificate for a device's own request, or over a new key")
                .header(ONCE.0, ONCE.1)
                .takes::<Enrol>()
                .gives::<Fresh>(StatusCode::CREATED, "It is issued; a key that was made is told this once.")
                .refuses(&[CONFLICT, UNUSABLE]),
            enrol,
        )
        .add(
            write(
                "/tenants/{tenant}/certificates/{certificate}/renew",
                "renewCertificate",
                "Issue a device's certificate anew, with the same names",
            )
            .header(ONCE.0, ONCE.1)
            .takes::<Renew>()
            .gives::<Fresh>(StatusCode::CREATED, "It is issued; a key that was made is told this once.")
            .refuses(&[CONFLICT, UNUSABLE]),
            renew,
        )
        .add(
            read(ONE, "getCertificate", "Look at an issued certificate")
                .gives::<Issued>(StatusCode::OK, "The certificate."),
            one,
        )
        .add(
            write(
                "/tenants/{tenant}/certificates/{certificate}/revoke",
                "revokeCertificate",
                "Take an issued certificate back",
            )
            .takes::<Revoke>()
            .gives_nothing("It is taken back; its holder has to go.")
            .refuses(&[CONFLICT]),
            revoke,
        )
        .add(
            write(
                "/tenants/{tenant}/enrolment-tokens",
                "createEnrolmentToken",
                "Make a one-time token for a device's first certificate",
            )
            .header(ONCE.0, ONCE.1)
            .takes::<Invite>()
            .gives::<Invitation>(StatusCode::CREATED, "It is made; its secret is told this once.")
            .refuses(&[CONFLICT]),
            invite,
        )
}

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed<Issued>>, Problem> {
    let piece = Piece { limit: wanted.limit, after: wanted.after };
    let (limit, after) = (piece.limit()?, piece.after()?);
    let filter = CertificateFilter {
        used_for: wanted.used_for.map(|used_for| match used_for {
            Use::Agent => CertificateUse::Agent,
            Use::Device => CertificateUse::Device,
            Use::Grant => CertificateUse::Grant,
        }),
        common_name: wanted.common_name,
        revoked: wanted.revoked.unwrap_or_default(),
    };
    let (broker, place) = (api.broker.clone(), tenant.clone());
    let read = move || broker.authority().certificates(&caller, &place, &filter, after.as_deref(), limit);
    let read = api.tasks.blocking("certificates", read).await;
    let (rows, next) = read.ok_or_else(|| Problem::new(Kind::Unavailable, "the list could not be read"))??;
    Ok(Json(Listed { items: rows.iter().map(Issued::from).collect(), next: next.as_deref().map(cursor) }))
}

async fn enrol(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Json(Enrol { csr, common_name, key_type }): Json<Enrol>,
) -> Result<Response, Problem> {
    caller.needs(Scope::CertificatesWrite, &tenant)?;
    let authority = api.broker.authority();
    match (csr, common_name) {
        (Some(csr), None) if key_type.is_none() => {
            let row = authority.enrol(Voucher::Caller(&caller), &tenant, &read_request(&csr)?).await?;
            Ok(fresh(&tenant, &row, None))
        }
        (None, Some(name)) => {
            let key = make_key(&api, key_type.as_deref().unwrap_or(USUAL_KEY)).await?;
            let row = authority.issue_certificate(&caller, &tenant, &name, key.public_key()).await?;
            Ok(fresh(&tenant, &row, Some(&key)))
        }
        (Some(_), _) => {
            let message = "csr stands beside common_name or key_type; a request brings its own name and key";
            Err(Problem::in_field(Kind::Invalid, "csr", message))
        }
        (None, None) => {
            let message = "csr is missing, and so is common_name; write one of them";
            Err(Problem::in_field(Kind::Missing, "csr", message))
        }
    }
}

async fn renew(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, certificate)): Path<(String, String)>,
    Json(Renew { csr, key_type, revoke_old }): Json<Renew>,
) -> Result<Response, Problem> {
    caller.needs(Scope::CertificatesWrite, &tenant)?;
    let authority = api.broker.authority();
    if csr.is_some() && key_type.is_some() {
        let message = "csr stands beside key_type; a request brings its own key";
        return Err(Problem::in_field(Kind::Invalid, "csr", message));
    }
    let request = csr.as_deref().map(read_request).transpose()?;
    // Nobody waits for a key that is not wanted in the end.
    authority.certificate(&caller, &tenant, &certificate)?;
    let made = match &key_type {
        Some(kind) => Some(make_key(&api, kind).await?),
        None => None,
    };
    let key = match (&request, &made) {
        (Some(request), _) => RenewedKey::Requested(request),
        (None, Some(made)) => RenewedKey::Made(made.public_key()),
        (None, None) => RenewedKey::Same,
    };
    let row = authority.renew_certificate(&caller, &tenant, &certificate, key, revoke_old).await?;
    Ok(fresh(&tenant, &row, made.as_ref()))
}

fn read_request(csr: &str) -> Result<Request, Problem> {
    Request::read(csr.as_bytes())
        .map_err(|objection| Problem::in_field(Kind::Invalid, "csr", format!("csr: {}", objection.reason)))
}

async fn make_key(api: &Api, kind: &str) -> Result<PrivateKey, Problem> {
    let kind: KeyType = kind.parse().map_err(|error: crate::ca::keypair::UnknownKeyType| {
        Problem::in_field(Kind::Invalid, "key_type", error.to_string())
    })?;
    let busy = || Problem::new(Kind::Unavailable, "no key pair could be made");
    let _alone = api.workbench.acquire().await.map_err(|_| busy())?;
    let made = api.tasks.blocking("key pair", move || PrivateKey::generate(kind)).await.ok_or_else(busy)?;
    made.map_err(|error| Problem::new(Kind::Internal, error.to_string()))
}

fn fresh(tenant: &str, row: &CertificateRow, key: Option<&PrivateKey>) -> Response {
    let place = format!("{BASE}/tenants/{tenant}/certificates/{}", row.id);
    let private_key = key.map(|key| key.to_pem().to_string());
    let has_key = private_key.is_some();
    let body = Json(Fresh { issued: Issued::from(row), private_key });
    let mut response = (StatusCode::CREATED, [(header::LOCATION, place)], body).into_response();
    if has_key {
        response.extensions_mut().insert(Unrepeatable);
    }
    response
}

async fn one(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, certificate)): Path<(String, String)>,
) -> Result<Json<Issued>, Problem> {
    Ok(Json(Issued::from(&api.broker.authority().certificate(&caller, &tenant, &certificate)?)))
}

async fn revoke(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, certificate)): Path<(String, String)>,
    Json(Revoke { reason }): Json<Revoke>,
) -> Result<StatusCode, Problem> {
    let reason = reason.as_deref().unwrap_or("unspecified");
    api.broker.authority().revoke_certificate(&caller, &tenant, &certificate, reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn invite(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Json(Invite { device, lasts_seconds }): Json<Invite>,
) -> Result<(StatusCode, Json<Invitation>), Problem> {
    let lasts = lasts_seconds.unwrap_or(86_400);
    if !(1..=LONGEST).contains(&lasts) {
        let message = format!("lasts_seconds is {lasts}; write 1 to {LONGEST}");
        return Err(Problem::in_field(Kind::Invalid, "lasts_seconds", message));
    }
    let made = api.broker.authority().create_enrolment(&caller, &tenant, &device, Duration::from_secs(lasts)).await?;
    let token: &Zeroizing<String> = &made.secret;
    let expires_at = moment(made.row.expires_at);
    Ok((
        StatusCode::CREATED,
        Json(Invitation { token: token.to_string(), device: made.row.device.clone(), expires_at }),
    ))
}
