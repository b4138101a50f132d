//! `/api/usermqtt/v1`: certificate requests, grants and subscriptions of
//! Centiloc's User-MQTT connector.
//!
//! What lives here: its paths and its words (spec sections CEN-CSR to
//! CEN-EXP). What does not: the operations (`ca::authority`). Invariant: a
//! request is handed in by anybody and decided by an operator; what a grant
//! opens with is told once, to whoever decided.

mod hand_ins;
mod notices;
mod requests;
mod subscription;

use std::sync::Arc;

use axum::{Extension, Router};

use crate::broker::Handle;

use super::frame::document::Routes;
use super::frame::face::Face;
use hand_ins::HandIns;

/// Where it lives.
pub(super) const BASE: &str = "/api/usermqtt/v1";

const ABOUT: &str = "Certificate requests of companies, which an operator approves or rejects. An approval gives a \
                     certificate for a year, a user name and, for a new connection, a password that is told once.";

/// The routes.
pub(super) fn routes(broker: Handle) -> Router {
    let routes = notices::add(subscription::add(requests::add(Routes::new())));
    let router = routes.finish_as(Face::Centiloc, "/openapi.json", ["Centiloc User-MQTT", BASE, ABOUT]);
    router.with_state(broker).layer(Extension(Arc::new(HandIns::new())))
}
