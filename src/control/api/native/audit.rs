//! The audit: who did what, when, and what it was before.

use axum::extract::State;
use axum::http::Method;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::ca::authority::{AuditFilter, Scope};
use crate::ca::record::AuditRow;

use super::super::frame::body::{Json, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::moment::{moment, read_moment};
use super::super::frame::operation::Operation;
use super::super::frame::paging::{Listed, Piece};
use super::super::frame::problem::{Kind, Problem};
use super::Api;

/// A line of the audit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditLine)]
struct Line {
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// Who: an account, a token, a device, or the broker itself.
    who: String,
    /// From where.
    address: Option<String>,
    /// Whose tenant it concerns; absent for the whole broker.
    tenant: Option<String>,
    /// What was done, such as `anchor.upload`.
    action: String,
    /// To which kind of thing.
    kind: String,
    /// To which one.
    object: String,
    /// How it was before; null when it was not there.
    #[schema(value_type = Option<Object>)]
    before: serde_json::Value,
    /// How it is now; null when it is gone.
    #[schema(value_type = Option<Object>)]
    after: serde_json::Value,
    /// The request that it belongs to, as `logref` names it.
    request: Option<String>,
}

impl From<AuditRow> for Line {
    fn from(row: AuditRow) -> Self {
        Self {
            at: moment(row.at),
            who: row.who,
            address: row.address,
            tenant: Some(row.tenant).filter(|tenant| !tenant.is_empty()),
            action: row.action,
            kind: row.kind,
            object: row.object,
            before: row.before,
            after: row.after,
            request: row.request,
        }
    }
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Lines at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// Where to go on: `next` of the piece before.
    after: Option<String>,
    /// Only those of this tenant; a caller of a tenant sees its own alone.
    tenant: Option<String>,
    /// Only those whose action begins so, such as `anchor.`.
    action: Option<String>,
    /// Only those of this caller.
    who: Option<String>,
    /// Only those about this object.
    object: Option<String>,
    /// Not before this moment.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Not after this moment.
    #[param(format = DateTime)]
    until: Option<String>,
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    routes.about("audit", "Who did what, when, and what it was before.").add(
        Operation::new(Method::GET, "/audit", "listAudit", "List audit lines, the oldest first")
            .needs(Scope::AuditRead)
            .query::<Wanted>()
            .lists::<Line>("A piece of the list."),
        list,
    )
}

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed<Line>>, Problem> {
    let limit = Piece { limit: wanted.limit, after: None }.limit()?;
    let no_cursor = |_| Problem::in_field(Kind::Parameter, "after", "after is no cursor; take it from `next`");
    let after = wanted.after.as_deref().map(Base64UrlUnpadded::decode_vec).transpose().map_err(no_cursor)?;
    let moment_of = |field, text: Option<String>| text.map(|text| read_moment(field, &text)).transpose();
    let filter = AuditFilter {
        tenant: wanted.tenant.or_else(|| caller.tenant.as_deref().map(str::to_owned)),
        action: wanted.action,
        who: wanted.who,
        object: wanted.object,
        since: moment_of("since", wanted.since)?,
        until: moment_of("until", wanted.until)?,
    };
    let (rows, next) = api.broker.authority().audit(&caller, &filter, after.as_deref(), limit)?;
    let next = next.map(|key| Base64UrlUnpadded::encode_string(&key));
    Ok(Json(Listed { items: rows.into_iter().map(Line::from).collect(), next }))
}
