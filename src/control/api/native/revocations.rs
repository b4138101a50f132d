//! What was taken back by name, and revocation lists.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::ca::authority::{NewRevocation, Scope};
use crate::ca::record::{CrlRow, RevocationKind, RevocationRow};

use super::super::frame::body::{Json, Path, Query, RawList};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::moment::{moment, moment_of, read_moment};
use super::super::frame::operation::Operation;
use super::super::frame::paging::{Listed, Piece};
use super::super::frame::problem::{Kind, Problem};
use super::{Api, CONFLICT, ONCE, UNUSABLE};

/// What a revocation names.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RevocationTarget)]
enum Target {
    /// A serial number.
    Serial,
    /// SHA-256 of a certificate.
    Fingerprint,
    /// SHA-256 of a public key (SubjectPublicKeyInfo).
    Key,
    /// A subject CN.
    CommonName,
    /// A device.
    Device,
}

impl From<Target> for RevocationKind {
    fn from(target: Target) -> Self {
        match target {
            Target::Serial => Self::Serial,
            Target::Fingerprint => Self::Fingerprint,
            Target::Key => Self::Key,
            Target::CommonName => Self::CommonName,
            Target::Device => Self::Device,
        }
    }
}

impl From<RevocationKind> for Target {
    fn from(kind: RevocationKind) -> Self {
        match kind {
            RevocationKind::Serial => Self::Serial,
            RevocationKind::Fingerprint => Self::Fingerprint,
            RevocationKind::Key => Self::Key,
            RevocationKind::CommonName => Self::CommonName,
            RevocationKind::Device => Self::Device,
        }
    }
}

/// Something that was taken back.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Revocation {
    /// What it names.
    target: Target,
    /// The name: lower-case hexadecimal digits, or the text itself.
    value: String,
    /// The anchor that a serial number belongs to, as SHA-256; absent for all.
    anchor: Option<String>,
    /// Since when.
    #[schema(format = DateTime)]
    since: String,
    /// Why, by the names of RFC 5280 §5.3.1.
    reason: String,
    /// What people noted.
    note: Option<String>,
}

impl From<Arc<RevocationRow>> for Revocation {
    fn from(row: Arc<RevocationRow>) -> Self {
        Self {
            target: row.kind.into(),
            value: row.value.clone(),
            anchor: row.anchor.clone(),
            since: moment(row.since),
            reason: row.reason.clone(),
            note: row.note.clone(),
        }
    }
}

/// What is to be taken back.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = NewRevocation)]
struct Revoke {
    /// What it names.
    target: Target,
    /// The name: hexadecimal digits (colons and blanks are read over), or the
    /// CN or device itself.
    #[schema(example = "01:23:45")]
    value: String,
    /// The anchor that a serial number belongs to, as SHA-256; absent for all.
    anchor: Option<String>,
    /// Since when; now when absent, and the future is now too.
    #[schema(format = DateTime)]
    since: Option<String>,
    /// Why, by the names of RFC 5280 §5.3.1; `unspecified` when absent.
    #[schema(example = "keyCompromise")]
    reason: Option<String>,
    /// What people note.
    note: Option<String>,
}

/// Which revocation is meant.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Which {
    /// `serial`, `fingerprint`, `key`, `common_name` or `device`.
    #[param(inline)]
    target: Target,
    /// The name, as the list has it.
    value: String,
    /// The anchor, as the list has it.
    anchor: Option<String>,
}

/// A certificate revocation list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Crl)]
struct List {
    /// Where it came from: an address, or `upload`.
    source: String,
    /// When it came.
    #[schema(format = DateTime)]
    taken_at: String,
    /// When it was made.
    #[schema(format = DateTime)]
    this_update: Option<String>,
    /// When the next one should be there.
    #[schema(format = DateTime)]
    next_update: Option<String>,
    /// How many certificates it takes back.
    entries: Option<usize>,
    /// Its length in bytes.
    bytes: usize,
}

impl From<Arc<CrlRow>> for List {
    fn from(row: Arc<CrlRow>) -> Self {
        let read = row.settings();
        Self {
            source: row.source.clone(),
            taken_at: moment(row.taken_at),
            this_update: read.map(|list| moment_of(list.this_update)),
            next_update: read.and_then(|list| list.next_update).map(moment_of),
            entries: read.map(|list| list.serials.len()),
            bytes: row.der.len(),
        }
    }
}

/// Lists of an anchor.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CrlsOfAnchor)]
struct Lists {
    /// The lists that are kept.
    items: Vec<List>,
}

/// Where a list came from.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Origin {
    /// Only that from here; all when absent.
    source: Option<String>,
}

const ALL: &str = "/tenants/{tenant}/revocations";
const LISTS: &str = "/tenants/{tenant}/anchors/{anchor}/crls";

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let read = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs(Scope::RevocationsRead);
    let write = |method, path, id, summary| Operation::new(method, path, id, summary).needs(Scope::RevocationsWrite);
    routes
        .about("revocations", "What was taken back: by name, and by revocation lists (CRLs).")
        .add(
            read(ALL, "listRevocations", "List what a tenant has taken back")
                .query::<Piece>()
                .lists::<Revocation>("A piece of the list."),
            list,
        )
        .add(
            write(Method::POST, ALL, "revoke", "Take something back")
                .header(ONCE.0, ONCE.1)
                .takes::<Revoke>()
                .gives::<Revocation>(StatusCode::CREATED, "It is taken back; whoever it concerns has to go.")
                .refuses(&[CONFLICT]),
            revoke,
        )
        .add(
            write(Method::DELETE, ALL, "unrevoke", "Give back what was taken back by name")
                .query::<Which>()
                .gives_nothing("It is given back."),
            unrevoke,
        )
        .add(
            read(LISTS, "listCrls", "List the revocation lists of an anchor")
                .gives::<Lists>(StatusCode::OK, "The lists."),
            crls,
        )
        .add(
            write(Method::POST, LISTS, "uploadCrl", "Upload revocation lists that the anchor has signed")
                .takes_text(
                    &["application/pkix-crl", "application/x-pem-file", "text/plain"],
                    "One list in DER, or several in PEM.",
                )
                .gives::<Lists>(StatusCode::OK, "They are taken; whoever they concern has to go.")
                .refuses(&[CONFLICT, UNUSABLE]),
            upload,
        )
        .add(
            write(Method::DELETE, LISTS, "deleteCrls", "Forget revocation lists of an anchor")
                .query::<Origin>()
                .gives_nothing("They are forgotten."),
            forget,
        )
}

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Query(piece): Query<Piece>,
) -> Result<Json<Listed<Revocation>>, Problem> {
    let all = api.broker.authority().revocations(&caller, &tenant)?;
    let name = |row: &Arc<RevocationRow>| {
        format!("{}\0{}\0{}", row.kind.as_str(), row.value, row.anchor.as_deref().unwrap_or_default())
    };
    Ok(Json(piece.cut(all, name, Revocation::from)?))
}

async fn revoke(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Json(new): Json<Revoke>,
) -> Result<(StatusCode, Json<Revocation>), Problem> {
    let reason = new.reason.as_deref().unwrap_or("unspecified").parse();
    let reason = reason.map_err(|error| Problem::in_field(Kind::Invalid, "reason", format!("reason: {error}")))?;
    let since = new.since.map(|since| read_moment("since", &since)).transpose()?;
    let (kind, value, anchor, note) = (new.target.into(), new.value, new.anchor, new.note);
    let new = NewRevocation { kind, value, anchor, since, reason, note, listed: false };
    let rows = api.broker.authority().revoke(&caller, &tenant, vec![new]).await?;
    let row = rows.into_iter().next().ok_or_else(|| Problem::new(Kind::Internal, "nothing was taken back"))?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

async fn unrevoke(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Query(which): Query<Which>,
) -> Result<StatusCode, Problem> {
    let (kind, anchor) = (which.target.into(), which.anchor.as_deref());
    api.broker.authority().unrevoke(&caller, &tenant, kind, &which.value, anchor).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(rows: Vec<Arc<CrlRow>>) -> Json<Lists> {
    Json(Lists { items: rows.into_iter().map(List::from).collect() })
}

async fn crls(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, anchor)): Path<(String, String)>,
) -> Result<Json<Lists>, Problem> {
    Ok(shown(api.broker.authority().crls(&caller, &tenant, &anchor)?))
}

async fn upload(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, anchor)): Path<(String, String)>,
    RawList(bytes): RawList,
) -> Result<Json<Lists>, Problem> {
    Ok(shown(api.broker.authority().take_crls(&caller, &tenant, &anchor, &bytes, None).await?))
}

async fn forget(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, anchor)): Path<(String, String)>,
    Query(Origin { source }): Query<Origin>,
) -> Result<StatusCode, Problem> {
    api.broker.authority().delete_crls(&caller, &tenant, &anchor, source.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}
