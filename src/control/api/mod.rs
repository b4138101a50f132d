//! HTTP: what people and machines ask the broker.
//!
//! What lives here: the listeners (`admin`, `https`) and their routes by file.
//! What does not: MQTT's listeners (`net`), what the operations do (`ca`).
//! Invariant: a route only translates: what it changes is changed, checked and
//! audited by the part that owns it.

mod admin;
mod health;
mod https;
mod public;

pub use admin::Admin;
pub use https::serve;

use axum::Router;
use axum::routing::any;

use crate::broker::Handle;

/// All that the HTTPS listener serves.
fn routes(broker: Handle) -> Router {
    Router::new().route("/mqtt", any(https::websocket)).merge(public::routes(broker))
}
