//! Certificates that were issued here.

use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

use crate::ca::armour;
use crate::ca::authority::{CertificateFilter, Scope, Voucher};
use crate::ca::record::{CertificateRow, CertificateUse};
use crate::ca::request::Request;

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
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

/// A certificate request.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = CertificateRequest)]
struct Enrol {
    /// The request (PKCS #10): PEM in any form, or base64 of the DER. Its CN is
    /// the device.
    csr: String,
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
                .lists::<Issued>("A piece of the list."),
            list,
        )
        .add(
            write(ALL, "issueCertificate", "Issue a certificate for a device's own request")
                .header(ONCE.0, ONCE.1)
                .takes::<Enrol>()
                .gives::<Issued>(StatusCode::CREATED, "It is issued.")
                .refuses(&[CONFLICT, UNUSABLE]),
            enrol,
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
    let mut rows = api.broker.authority().certificates(&caller, &tenant, &filter, after.as_deref(), limit + 1)?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|last| cursor(&last.id));
    Ok(Json(Listed { items: rows.iter().map(Issued::from).collect(), next }))
}

async fn enrol(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Json(Enrol { csr }): Json<Enrol>,
) -> Result<impl IntoResponse, Problem> {
    caller.needs(Scope::CertificatesWrite, &tenant)?;
    let request = Request::read(csr.as_bytes())
        .map_err(|objection| Problem::in_field(Kind::Invalid, "csr", format!("csr: {}", objection.reason)))?;
    let row = api.broker.authority().enrol(Voucher::Caller(&caller), &tenant, &request).await?;
    let place = format!("{BASE}/tenants/{tenant}/certificates/{}", row.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(Issued::from(&*row))))
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
