//! Refusals: the last ones, and those that happen while somebody looks.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::{Channel, Sender};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use utoipa::{IntoParams, ToSchema};

use crate::broker::{Reason, Refusal, RefusalFilter, Stage};
use crate::ca::authority::{Caller, Scope};
use crate::mqtt::TenantId;
use crate::shutdown::Stop;

use super::super::frame::body::{Json, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::paging::Piece;
use super::super::frame::problem::{Kind, Problem};
use super::Api;

/// Tails at once; each holds a connection.
const MOST_TAILS: usize = 16;
/// A tail that is silent says so.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A tail ends, so that its client logs in again.
const LONGEST: Duration = Duration::from_secs(3600);
/// Events that wait for a client.
const EVENTS: usize = 64;

/// Which refusals are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Refusals at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// Only those of this tenant; a caller of a tenant sees its own alone.
    tenant: Option<String>,
    /// Only those for this reason, such as `unknown_issuer`.
    reason: Option<String>,
    /// Only those at this stage: `accept`, `handshake`, `connect`, `live`,
    /// `publish`, `subscribe` or `renewal`.
    stage: Option<String>,
    /// Only those of this ClientId.
    client_id: Option<String>,
    /// Only those of certificates with this CN.
    common_name: Option<String>,
}

/// The last refusals.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Refusals {
    /// The newest first. Each names stage, reason, what was found, the remedy,
    /// the certificate, and what would have been accepted.
    #[schema(value_type = Vec<Object>)]
    items: Vec<serde_json::Value>,
}

/// A seat of a tail, given back when it ends.
struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Seat {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        let more = |now| (now < MOST_TAILS).then_some(now + 1);
        taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Self(Arc::clone(taken)))
    }
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    routes
        .about("refusals", "Why clients were not let in, or were not allowed something.")
        .add(
            Operation::new(Method::GET, "/refusals", "listRefusals", "List the last refusals, the newest first")
                .needs(Scope::RefusalsRead)
                .query::<Wanted>()
                .gives::<Refusals>(StatusCode::OK, "The last refusals."),
            list,
        )
        .add(
            Operation::new(Method::GET, "/refusals/tail", "followRefusals", "Follow refusals as they happen")
                .needs(Scope::RefusalsRead)
                .query::<Wanted>()
                .gives_text(StatusCode::OK, "text/event-stream", "An event for each refusal, until the client goes."),
            tail,
        )
}

fn filter(caller: &Caller, wanted: Wanted) -> Result<RefusalFilter, Problem> {
    let tenant = wanted.tenant.or_else(|| caller.tenant.as_deref().map(str::to_owned));
    match &tenant {
        Some(tenant) => caller.needs(Scope::RefusalsRead, tenant)?,
        None => caller.needs_everywhere(Scope::RefusalsRead)?,
    }
    Ok(RefusalFilter {
        tenant: tenant.map(|tenant| TenantId::new(&tenant)),
        reason: known("reason", wanted.reason.as_deref(), Reason::ALL, |reason| reason.as_str())?,
        stage: known("stage", wanted.stage.as_deref(), Stage::ALL, |stage| stage.as_str())?,
        client_id: wanted.client_id,
        common_name: wanted.common_name,
        ..RefusalFilter::default()
    })
}

/// The value that has this name.
fn known<T: Copy>(
    field: &'static str,
    text: Option<&str>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let found = all.iter().copied().find(|one| name(*one) == text);
    found.map(Some).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
        let problem = Problem::in_field(Kind::Parameter, field, format!("{field} {text:?} is not known"));
        problem.but(format!("write {}", names.join(", ")))
    })
}

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Refusals>, Problem> {
    let limit = Piece { limit: wanted.limit, after: None }.limit()?;
    let found = api.broker.recent_refusals(&filter(&caller, wanted)?, limit);
    Ok(Json(Refusals { items: found.iter().map(|refusal| refusal.to_json()).collect() }))
}

async fn tail(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let filter = filter(&caller, wanted)?;
    let full = || {
        Problem::new(Kind::Unavailable, format!("{MOST_TAILS} follow refusals already")).after(Duration::from_secs(10))
    };
    let seat = Seat::take(&api.tails).ok_or_else(full)?;
    let (sender, body) = Channel::<Bytes, Infallible>::new(EVENTS);
    let refusals = api.broker.follow_refusals();
    let stop = api.tasks.stop_signal();
    api.tasks.spawn("refusal tail", async move {
        let tail = Tail { sender, refusals, filter };
        let _ = tokio::time::timeout(LONGEST, tail.run(stop)).await;
        drop(seat);
    });
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], Body::new(body)).into_response())
}

/// What one client follows.
struct Tail {
    sender: Sender<Bytes, Infallible>,
    refusals: Receiver<Arc<Refusal>>,
    filter: RefusalFilter,
}

impl Tail {
    /// Until the client goes or the broker stops.
    async fn run(mut self, mut stop: Stop) {
        let mut words = ": refusals follow\n\n".to_owned();
        loop {
            if self.sender.send_data(words.into()).await.is_err() {
                return;
            }
            words = tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(HEARTBEAT) => ": nothing new\n\n".to_owned(),
                heard = self.next() => match heard {
                    Some(words) => words,
                    None => return,
                },
            };
        }
    }

    /// The next event; who is too slow is told how many were missed.
    async fn next(&mut self) -> Option<String> {
        loop {
            match self.refusals.recv().await {
                Ok(refusal) if self.filter.takes(&refusal) => {
                    return Some(format!("event: refusal\nid: {}\ndata: {}\n\n", refusal.id, refusal.to_json()));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(count)) => return Some(format!("event: missed\ndata: {count}\n\n")),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
