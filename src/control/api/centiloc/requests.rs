//! Certificate requests (CEN-CSR-01 to CEN-CSR-04).

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::broker::{Guest, Handle};
use crate::ca::armour::certificate_pem;
use crate::ca::authority::{Caller, Grant, Scope, new_password};
use crate::ca::record::{RequestRow, RequestStatus};

use super::super::frame::body::{Json, Path, Raw, read};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::moment::moment;
use super::super::frame::operation::Operation;
use super::super::frame::problem::{Kind, Problem};
use super::super::https::Entrance;
use super::BASE;
use super::hand_ins::HandIns;

/// A certificate request.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CertificateRequest {
    /// A ULID.
    id: String,
    /// `PENDING`, `ISSUED` or `REJECTED`.
    status: &'static str,
    /// The CN of the subject.
    tenant_id: String,
    /// The O of the subject.
    organization: String,
    /// The emailAddress of the subject: where notices go.
    email: String,
    /// Always `EC`.
    key_algorithm: &'static str,
    /// The curve of the key.
    curve: String,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The certificate, PEM, once it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    /// When it was handed in.
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<RequestRow> for CertificateRequest {
    fn from(row: RequestRow) -> Self {
        Self {
            id: row.id,
            status: match row.status {
                RequestStatus::Pending => "PENDING",
                RequestStatus::Issued => "ISSUED",
                RequestStatus::Rejected => "REJECTED",
            },
            tenant_id: row.tenant,
            organization: row.organization,
            email: row.email,
            key_algorithm: "EC",
            curve: row.curve.trim_start_matches("EC ").to_owned(),
            reason: row.reason,
            certificate: None,
            created_at: moment(row.created_at),
        }
    }
}

/// A certificate request that was handed in, and where the tenant approves by
/// itself what it came to.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct HandedIn {
    #[serde(flatten)]
    request: CertificateRequest,
    /// The user name to connect with, if it was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// The password, told this once, if the account was made with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

/// What an approval gives.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Issued {
    /// `ISSUED`.
    status: &'static str,
    /// The certificate, PEM.
    certificate: String,
    /// The user name to connect with.
    username: String,
    /// The password, told this once; absent when a renewal keeps the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// When the certificate starts.
    #[schema(format = DateTime)]
    not_before: String,
    /// When it ends.
    #[schema(format = DateTime)]
    not_after: String,
}

/// Certificate requests.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CertificateRequestList)]
struct List {
    /// The oldest first.
    certificate_requests: Vec<CertificateRequest>,
}

/// A request in JSON.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct HandIn {
    /// The request, PEM.
    csr: String,
}

/// Why a request is rejected.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct Rejection {
    /// Told to whoever handed it in.
    #[schema(min_length = 1, max_length = 1024)]
    reason: String,
}

const ALL: &str = "/certificateRequests";
const ONE: &str = "/certificateRequests/{id}";

pub(super) fn add(routes: Routes<Handle>) -> Routes<Handle> {
    let decided = (StatusCode::CONFLICT, "It was decided already.");
    let unusable = (StatusCode::BAD_REQUEST, "The request does not meet the rules; `field` names what is wrong.");
    let operator = |path, id, summary| Operation::new(Method::POST, path, id, summary).needs(Scope::CertificatesWrite);
    routes
        .about("certificateRequests", "Certificate requests and what becomes of them.")
        .add(
            Operation::new(Method::POST, ALL, "handIn", "Hand in a certificate request; nobody has to log in")
                .takes_text(&["application/pkcs10", "application/json"], "PKCS#10 in PEM, or JSON with `csr`.")
                .gives::<HandedIn>(StatusCode::CREATED, "It waits for an operator, or was approved at once.")
                .refuses(&[unusable, (StatusCode::CONFLICT, "Its account has as many certificates as it may.")]),
            hand_in,
        )
        .add(
            Operation::new(Method::GET, ALL, "listRequests", "List the requests")
                .needs(Scope::CertificatesRead)
                .gives::<List>(StatusCode::OK, "All that the caller may decide about."),
            list,
        )
        .add(
            Operation::new(Method::GET, ONE, "getRequest", "Look at a request; whoever knows its id may")
                .gives::<CertificateRequest>(StatusCode::OK, "It, with its certificate once there is one."),
            one,
        )
        .add(
            operator("/certificateRequests/{id}/approve", "approve", "Approve a request")
                .gives::<Issued>(StatusCode::OK, "A certificate for a year, and an account.")
                .refuses(&[decided, unusable]),
            approve,
        )
        .add(
            operator("/certificateRequests/{id}/reject", "reject", "Reject a request")
                .takes::<Rejection>()
                .gives::<CertificateRequest>(StatusCode::OK, "It is rejected.")
                .refuses(&[decided]),
            reject,
        )
}

async fn hand_in(
    State(broker): State<Handle>,
    Extension(guest): Extension<Arc<Guest>>,
    Extension(entrance): Extension<Entrance>,
    Extension(hand_ins): Extension<Arc<HandIns>>,
    body: Raw,
) -> Result<Response, Problem> {
    let most = entrance.door.settings().max_certificate_requests_per_minute;
    hand_ins.admit(guest.address(), most, broker.clock().now()).map_err(|wait| {
        let message = format!("this address hands in more than {most} certificate requests a minute");
        Problem::new(Kind::TooMany, message).but("wait as long as Retry-After says").after(wait)
    })?;
    let request = match body.media.as_deref() {
        Some("application/json") => read::<HandIn>(&body.bytes)?.csr.into_bytes(),
        None | Some("application/pkcs10" | "application/x-pem-file" | "application/octet-stream" | "text/plain") => {
            body.bytes.to_vec()
        }
        Some(other) => {
            let message = format!("a body of type {other} is not read here");
            return Err(Problem::new(Kind::MediaType, message).but("send application/pkcs10 or application/json"));
        }
    };
    let row = broker.authority().hand_in(&request).await?;
    let location = format!("{BASE}{ALL}/{}", row.id);
    let handed_in = if broker.authority().approves_by_itself(&row.tenant) {
        let (Grant { request, certificate, account, .. }, password) =
            issue(&broker, &Caller::broker(), &row.id).await?;
        let certificate = Some(certificate_pem(&certificate.der));
        let request = CertificateRequest { certificate, ..request.into() };
        HandedIn { request, username: Some(account.name.clone()), password }
    } else {
        HandedIn { request: row.into(), username: None, password: None }
    };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(handed_in)).into_response())
}

/// Approves a request; with the password of the account, if that is new.
async fn issue(broker: &Handle, caller: &Caller, id: &str) -> Result<(Grant, Option<String>), Problem> {
    let password = new_password()?;
    let hash = broker.hash_password(password.as_bytes().to_vec().into()).await;
    let hash = hash.ok_or_else(|| Problem::new(Kind::Unavailable, "too many passwords are being hashed"))?;
    let grant = broker.authority().approve(caller, id, hash).await?;
    let told = grant.is_new.then(|| password.to_string());
    Ok((grant, told))
}

async fn list(State(broker): State<Handle>, CalledBy(caller): CalledBy) -> Result<Json<List>, Problem> {
    let all = broker.authority().requests(&caller)?;
    Ok(Json(List { certificate_requests: all.into_iter().map(CertificateRequest::from).collect() }))
}

async fn one(State(broker): State<Handle>, Path(id): Path<String>) -> Result<Json<CertificateRequest>, Problem> {
    let authority = broker.authority();
    let row = authority.request(&id)?;
    let certificate = match &row.certificate {
        Some(id) => Some(authority.certificate(&Caller::broker(), &row.tenant, id)?),
        None => None,
    };
    let certificate = certificate.map(|certificate| certificate_pem(&certificate.der));
    Ok(Json(CertificateRequest { certificate, ..row.into() }))
}

async fn approve(
    State(broker): State<Handle>,
    CalledBy(caller): CalledBy,
    Path(id): Path<String>,
) -> Result<Json<Issued>, Problem> {
    let authority = broker.authority();
    // Hashing costs: not for whoever may not decide.
    caller.needs(Scope::CertificatesWrite, &authority.request(&id)?.tenant)?;
    let (Grant { certificate, account, .. }, password) = issue(&broker, &caller, &id).await?;
    Ok(Json(Issued {
        status: "ISSUED",
        certificate: certificate_pem(&certificate.der),
        username: account.name.clone(),
        password,
        not_before: moment(certificate.not_before),
        not_after: moment(certificate.not_after),
    }))
}

async fn reject(
    State(broker): State<Handle>,
    CalledBy(caller): CalledBy,
    Path(id): Path<String>,
    Json(rejection): Json<Rejection>,
) -> Result<Json<CertificateRequest>, Problem> {
    Ok(Json(broker.authority().reject(&caller, &id, &rejection.reason).await?.into()))
}
