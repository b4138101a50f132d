//! Notices of certificates' lives (CEN-EXP-01, CEN-EXP-02).

use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::broker::Handle;
use crate::ca::authority::Scope;
use crate::ca::record::NoticeRow;

use super::super::frame::body::{Json, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::moment::moment;
use super::super::frame::operation::Operation;
use super::super::frame::problem::Problem;

/// A mail that was sent, or waits because no mail server is configured.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Notification {
    /// A ULID.
    id: String,
    /// Whose certificate it is about.
    tenant_id: String,
    /// The address that it goes to.
    to: String,
    /// Its subject.
    subject: String,
    /// Its text.
    body: String,
    /// The certificate, by its identifier.
    certificate_id: String,
    /// When it was sent.
    #[schema(format = DateTime)]
    sent_at: Option<String>,
    /// When a web address took it.
    #[schema(format = DateTime)]
    posted_at: Option<String>,
    /// When it was written.
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<&NoticeRow> for Notification {
    fn from(row: &NoticeRow) -> Self {
        let row = row.clone();
        Self {
            id: row.id,
            tenant_id: row.tenant,
            to: row.to,
            subject: row.subject,
            body: row.body,
            certificate_id: row.certificate,
            sent_at: row.sent_at.map(moment),
            posted_at: row.post.sent_at.map(moment),
            created_at: moment(row.created_at),
        }
    }
}

/// Notices.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = NotificationList)]
struct List {
    /// The oldest first.
    notifications: Vec<Notification>,
}

/// Which are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only those of this tenant.
    tenant: Option<String>,
}

pub(super) fn add(routes: Routes<Handle>) -> Routes<Handle> {
    let operation = Operation::new(Method::GET, "/notifications", "listNotifications", "The outbox of notices")
        .needs(Scope::CertificatesRead)
        .query::<Wanted>()
        .gives::<List>(StatusCode::OK, "All that are kept.");
    routes.about("notifications", "Mails about certificates: issued, about to end, ended.").add(operation, list)
}

async fn list(
    State(broker): State<Handle>,
    CalledBy(caller): CalledBy,
    Query(wanted): Query<Wanted>,
) -> Result<Json<List>, Problem> {
    let tenant = wanted.tenant.as_deref().or(caller.tenant.as_deref());
    let all = broker.authority().notices(&caller, tenant)?;
    Ok(Json(List { notifications: all.iter().map(|row| Notification::from(row.as_ref())).collect() }))
}
