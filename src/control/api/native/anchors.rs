//! Trust anchors of a tenant.

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ca::armour;
use crate::ca::authority::{AnchorChange, AnchorView, NewAnchor, Scope};
use crate::ca::record::{AnchorStatus, Proof, StaleCrlPolicy};
use crate::control::settings::ListPlace;

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::conditional::{IfMatch, etag};
use super::super::frame::document::Routes;
use super::super::frame::moment::moment;
use super::super::frame::operation::Operation;
use super::super::frame::paging::{Listed, Piece};
use super::super::frame::problem::{Kind, Problem};
use super::certificate::Certificate;
use super::connections::{Connection, cut, number_behind};
use super::{Api, BASE, CONFLICT, IF_MATCH, ONCE, STALE, UNUSABLE};

/// Whether an anchor counts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AnchorStatus)]
enum Status {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It admits devices only to the renewal of their certificates.
    RenewOnly,
}

impl From<Status> for AnchorStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Enabled => Self::Enabled,
            Status::Disabled => Self::Disabled,
            Status::RenewOnly => Self::RenewOnly,
        }
    }
}

impl From<AnchorStatus> for Status {
    fn from(status: AnchorStatus) -> Self {
        match status {
            AnchorStatus::Enabled => Self::Enabled,
            AnchorStatus::Disabled => Self::Disabled,
            AnchorStatus::RenewOnly => Self::RenewOnly,
        }
    }
}

/// What becomes of devices when the anchor's revocation list is out of date.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StaleCrl {
    /// They are taken; an alarm is raised.
    Soft,
    /// They are refused.
    Hard,
}

/// A trust anchor.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Anchor {
    /// 24 hexadecimal digits.
    id: String,
    /// What people call it.
    name: String,
    /// Whether it counts.
    status: Status,
    /// Whether possession of its key is proved.
    proved: bool,
    /// Whether a first connection through it makes the device known.
    auto_registration: bool,
    /// What becomes of devices when its revocation list is out of date.
    stale_crl: StaleCrl,
    /// Where its revocation lists are fetched, as far as that was said here.
    crl: Vec<String>,
    /// Seconds from one good fetch to the next; an hour when absent.
    crl_refresh_seconds: Option<u64>,
    /// The file that the configuration has it from; then it is read-only here.
    configured: Option<String>,
    /// What stands in the certificate.
    certificate: Certificate,
    /// The certificate itself, PEM.
    pem: String,
    /// SHA-1 of the certificate, as some platforms name it.
    sha1: String,
    /// When it came.
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// Counts its changes.
    revision: u64,
}

impl From<AnchorView> for Anchor {
    fn from(view: AnchorView) -> Self {
        let sha1 = view.sha1();
        let AnchorView { row, configured, proved, facts } = view;
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            status: row.status.into(),
            proved,
            auto_registration: row.auto_registration,
            stale_crl: match row.stale_crl {
                StaleCrlPolicy::Soft => StaleCrl::Soft,
                StaleCrlPolicy::Hard => StaleCrl::Hard,
            },
            crl: row.crl.clone(),
            crl_refresh_seconds: row.crl_refresh,
            configured,
            certificate: Certificate::from(&*facts),
            pem: armour::certificate_pem(&row.der),
            sha1,
            created_at: Some(row.created_at).filter(|at| *at > 0).map(moment),
            revision: row.revision,
        }
    }
}

/// A certificate that is to be an anchor.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = NewAnchor)]
struct Upload {
    /// What people call it.
    #[schema(max_length = 255, example = "Plant 7 CA")]
    name: String,
    /// The certificate: PEM in any form, or base64 of the DER.
    certificate: String,
    /// Whether it counts; it does unless this says otherwise.
    status: Option<Status>,
    /// Whether a first connection through it makes the device known.
    #[serde(default)]
    auto_registration: bool,
}

/// What is to change; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = AnchorChange)]
struct Change {
    /// What people call it.
    name: Option<String>,
    /// Whether it counts.
    status: Option<Status>,
    /// Whether a first connection through it makes the device known.
    auto_registration: Option<bool>,
    /// What becomes of devices when its revocation list is out of date.
    stale_crl: Option<StaleCrl>,
    /// Where its revocation lists are fetched: `http://` addresses, 16 at most;
    /// an empty list for nowhere. Lists that came from elsewhere are forgotten.
    /// Only callers who run the whole broker name any.
    #[schema(example = json!(["http://pki.example/ca.crl"]))]
    crl: Option<Vec<String>>,
    /// Seconds from one good fetch to the next.
    #[schema(minimum = 1, maximum = 604_800)]
    crl_refresh_seconds: Option<u64>,
}

/// A code that proves possession of the anchor's key.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RegistrationCode)]
struct Code {
    /// The CN that a certificate, signed by the anchor's key, has to carry.
    registration_code: String,
    /// Until when it counts.
    #[schema(format = DateTime)]
    usable_until: String,
}

impl From<Proof> for Code {
    fn from(proof: Proof) -> Self {
        Self { registration_code: proof.code, usable_until: moment(proof.until) }
    }
}

/// The proof of possession.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct Verification {
    /// A certificate whose CN is the registration code, signed by the anchor's
    /// key: PEM in any form, or base64 of the DER.
    certificate: String,
}

/// A list is asked for again within a week, as in the configuration.
const LONGEST_REFRESH: u64 = 7 * 86_400;
const ALL: &str = "/tenants/{tenant}/anchors";
const ONE: &str = "/tenants/{tenant}/anchors/{anchor}";

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let write = |method, path, id, summary| Operation::new(method, path, id, summary).needs(Scope::AnchorsWrite);
    let read = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs(Scope::AnchorsRead);
    routes
        .about("anchors", "Trust anchors: the CA certificates under which a tenant's devices are known.")
        .add(
            read(ALL, "listAnchors", "List the anchors of a tenant")
                .query::<Piece>()
                .lists::<Anchor>("A piece of the list."),
            list,
        )
        .add(
            write(Method::POST, ALL, "uploadAnchor", "Upload a CA certificate")
                .header(ONCE.0, ONCE.1)
                .takes::<Upload>()
                .gives::<Anchor>(StatusCode::CREATED, "It is an anchor, not proved yet.")
                .refuses(&[CONFLICT, UNUSABLE]),
            upload,
        )
        .add(read(ONE, "getAnchor", "Look at an anchor").gives::<Anchor>(StatusCode::OK, "The anchor."), one)
        .add(
            write(
                Method::PATCH,
                ONE,
                "changeAnchor",
                "Rename, enable, disable an anchor, leave it for renewal only, or say where its lists are",
            )
            .header(IF_MATCH.0, IF_MATCH.1)
            .takes::<Change>()
            .gives::<Anchor>(StatusCode::OK, "It is changed; whoever it no longer admits has to go.")
            .refuses(&[CONFLICT, STALE]),
            change,
        )
        .add(
            write(Method::DELETE, ONE, "deleteAnchor", "Delete an anchor")
                .gives_nothing("It is gone; whoever came in through it has to go.")
                .refuses(&[CONFLICT]),
            delete,
        )
        .add(
            read(
                "/tenants/{tenant}/anchors/{anchor}/cut-off",
                "previewAnchorRemoval",
                "Preview who a removal of the anchor would cut off",
            )
            .query::<Piece>()
            .lists::<Connection>("The live connections that came in through it."),
            cut_off,
        )
        .add(
            read(
                "/tenants/{tenant}/anchors/{anchor}/registration-code",
                "getRegistrationCode",
                "Ask for the code that proves possession",
            )
            .gives::<Code>(StatusCode::OK, "The code.")
            .refuses(&[CONFLICT]),
            code,
        )
        .add(
            write(
                Method::POST,
                "/tenants/{tenant}/anchors/{anchor}/verify",
                "verifyAnchor",
                "Prove possession of the anchor's key",
            )
            .takes::<Verification>()
            .gives::<Anchor>(StatusCode::OK, "It is proved.")
            .refuses(&[CONFLICT, UNUSABLE]),
            verify,
        )
}

type Shown = Result<Json<Anchor>, Problem>;

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Query(piece): Query<Piece>,
) -> Result<Json<Listed<Anchor>>, Problem> {
    let all = api.broker.authority().anchors(&caller, &tenant)?;
    Ok(Json(piece.cut(all, |view| view.row.id.clone(), Anchor::from)?))
}

async fn upload(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Json(upload): Json<Upload>,
) -> Result<impl IntoResponse, Problem> {
    let new = NewAnchor {
        name: upload.name,
        certificate: upload.certificate.into_bytes(),
        status: upload.status.map_or(AnchorStatus::Enabled, AnchorStatus::from),
        auto_registration: upload.auto_registration,
    };
    let view = api.broker.authority().upload_anchor(&caller, &tenant, new).await?;
    let place = format!("{BASE}/tenants/{tenant}/anchors/{}", view.row.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], etag(view.row.revision), Json(Anchor::from(view))))
}

async fn one(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, anchor)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let view = api.broker.authority().anchor(&caller, &tenant, &anchor)?;
    Ok((etag(view.row.revision), Json(Anchor::from(view))))
}

async fn change(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, anchor)): Path<(String, String)>,
    IfMatch(if_revision): IfMatch,
    Json(change): Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    let change = AnchorChange {
        name: change.name,
        status: change.status.map(AnchorStatus::from),
        auto_registration: change.auto_registration,
        stale_crl: change.stale_crl.map(|policy| match policy {
            StaleCrl::Soft => StaleCrlPolicy::Soft,
            StaleCrl::Hard => StaleCrlPolicy::Hard,
        }),
        crl: change.crl.map(addresses).transpose()?,
        crl_refresh: change.crl_refresh_seconds.map(refresh).transpose()?,
        if_revision,
    };
    let view = api.broker.authority().change_anchor(&caller, &tenant, &anchor, change).await?;
    Ok((etag(view.row.revision), Json(Anchor::from(view))))
}

/// Addresses that a broker may ask: over http, since files are the machine's.
fn addresses(given: Vec<String>) -> Result<Vec<String>, Problem> {
    for address in &given {
        let why = match address.parse::<ListPlace>() {
            Ok(ListPlace::Http { .. }) => continue,
            Ok(ListPlace::File { .. }) => "files are named in the configuration only",
            Err(why) => why,
        };
        let shown: String = address.chars().take(100).collect();
        let problem = Problem::in_field(Kind::Invalid, "crl", format!("crl: {shown:?}: {why}"));
        return Err(problem.but("write addresses such as http://pki.example/ca.crl"));
    }
    Ok(given)
}

fn refresh(seconds: u64) -> Result<u64, Problem> {
    if (1..=LONGEST_REFRESH).contains(&seconds) {
        return Ok(seconds);
    }
    let message = format!("crl_refresh_seconds is {seconds}; write 1 to {LONGEST_REFRESH}");
    Err(Problem::in_field(Kind::Invalid, "crl_refresh_seconds", message))
}

async fn delete(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, anchor)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    api.broker.authority().delete_anchor(&caller, &tenant, &anchor).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn cut_off(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, anchor)): Path<(String, String)>,
    Query(piece): Query<Piece>,
) -> Result<Json<Listed<Connection>>, Problem> {
    let (view, limit) = (api.broker.authority().anchor(&caller, &tenant, &anchor)?, piece.limit()?);
    let found = api.broker.cut_off(view.facts.fingerprint, number_behind(&piece)?, limit + 1);
    Ok(Json(cut(found, limit)))
}

async fn code(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, anchor)): Path<(String, String)>,
) -> Result<Json<Code>, Problem> {
    Ok(Json(api.broker.authority().registration_code(&caller, &tenant, &anchor).await?.into()))
}

async fn verify(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, anchor)): Path<(String, String)>,
    Json(Verification { certificate }): Json<Verification>,
) -> Shown {
    let proof = certificate.as_bytes();
    Ok(Json(api.broker.authority().verify_anchor(&caller, &tenant, &anchor, proof).await?.into()))
}
