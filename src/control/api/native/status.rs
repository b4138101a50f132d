//! What runs, and whether it can be given work.

use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::frame::body::Json;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::Api;

/// The broker.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Broker)]
struct Status {
    /// The version that runs.
    version: &'static str,
    /// Whether clients can come and be served.
    ready: bool,
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    routes.about("status", "The broker itself.").add(
        Operation::new(Method::GET, "/status", "status", "What runs, and whether it is ready")
            .gives::<Status>(StatusCode::OK, "The broker."),
        status,
    )
}

/// Everybody may ask; the reasons are told to those who log in.
async fn status(State(Api { broker, .. }): State<Api>) -> Json<Status> {
    Json(Status { version: env!("CARGO_PKG_VERSION"), ready: broker.readiness().reasons.is_empty() })
}
