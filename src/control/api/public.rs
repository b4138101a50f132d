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
use crate::ca::armour::certificate_pem;
use crate::ca::record::KeyUse;

use super::health;

/// The routes.
pub(super) fn routes(broker: Handle) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/broker-ca.pem", get(authorities))
        .route("/ca-cert.pem", get(all_authorities))
        .with_state(broker)
}

/// The CA that clients verify the broker under (MC-MQTT-05).
async fn authorities(State(broker): State<Handle>) -> Response {
    pem(broker.server_authorities().to_string())
}

/// The same, and the CA that signs the clients' certificates of User-MQTT, once
/// there is one: its clients check both with one file (CEN-CA-01).
async fn all_authorities(State(broker): State<Handle>) -> Response {
    let mut all = broker.server_authorities().to_string();
    if let Some(operator) = broker.authority().known_issuer("", KeyUse::Operator) {
        all.push_str(&certificate_pem(&operator));
    }
    pem(all)
}

fn pem(text: String) -> Response {
    let fields = [(header::CONTENT_TYPE, "application/x-pem-file"), (header::CACHE_CONTROL, "no-cache")];
    (fields, text).into_response()
}
