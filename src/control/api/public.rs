//! What everybody may ask: is it alive, and under which CA is it verified.
//!
//! Invariant: nothing here depends on who asks, and nothing tells about
//! tenants or clients.

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::broker::Handle;

use super::health;

/// The routes.
pub(super) fn routes(broker: Handle) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/broker-ca.pem", get(authorities))
        .route("/ca-cert.pem", get(authorities))
        .with_state(broker)
}

/// The CA that clients verify the broker under, under the names that two
/// platforms have for it (MC-MQTT-05, CEN-CA-01).
async fn authorities(State(broker): State<Handle>) -> Response {
    let fields = [(header::CONTENT_TYPE, "application/x-pem-file"), (header::CACHE_CONTROL, "no-cache")];
    (fields, broker.server_authorities().to_string()).into_response()
}
