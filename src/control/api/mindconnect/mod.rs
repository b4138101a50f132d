//! `/api/mindconnectmqtt/v3`: the certificate API of Siemens MindConnect.
//!
//! What lives here: its paths, its words and its pages (spec sections MC-API to
//! MC-AGT). What does not: the operations (`ca::authority`), its errors'
//! bodies (`frame::face`). Invariant: the token names the tenant, and nothing
//! here does what the authority does not do for every face.

mod agents;
mod anchors;
mod login;
mod page;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use tokio::sync::Semaphore;

use crate::broker::Handle;
use crate::ca::authority::{Caller, Kind as Refused};
use crate::shutdown::Tasks;

use super::frame::document::Routes;
use super::frame::face::Face;
use super::frame::problem::{Kind, Problem};

pub(super) use login::routes as login_routes;

/// Where it lives.
pub(super) const BASE: &str = "/api/mindconnectmqtt/v3";

const ABOUT: &str = "CA certificates of a tenant with proof of possession, and certificates that the broker makes for \
                     agents. The token names the tenant. Line breaks inside of PEM values are written as \\n.";

/// What its handlers are given.
#[derive(Clone)]
pub(super) struct Api {
    broker: Handle,
    /// Where key pairs are made.
    tasks: Tasks,
    /// One RSA key at a time: it takes a core for a while.
    workbench: Arc<Semaphore>,
}

impl FromRef<Api> for Handle {
    fn from_ref(api: &Api) -> Self {
        api.broker.clone()
    }
}

/// The routes.
pub(super) fn routes(broker: Handle, tasks: Tasks) -> Router {
    let api = Api { broker, tasks, workbench: Arc::new(Semaphore::new(1)) };
    let routes = agents::add(anchors::add(Routes::new()));
    routes.finish_as(Face::Mindconnect, "/openapi.json", ["MindConnect MQTT", BASE, ABOUT]).with_state(api)
}

/// The tenant that a token names (MC-API-01).
fn tenant_of(caller: &Caller) -> Result<String, Problem> {
    caller.tenant.as_deref().map(str::to_owned).ok_or_else(|| {
        let message = "the token is bound to no tenant, and here the token names the tenant";
        Problem::new(Kind::Refused(Refused::Forbidden), message).but("use a token of the tenant")
    })
}

/// A property that has to be there and say something.
fn wanted(field: &'static str, value: Option<String>) -> Result<String, Problem> {
    value
        .filter(|value| !value.trim().is_empty())
        .ok_or_else(|| Problem::in_field(Kind::Missing, field, format!("the property {field} is missing or empty")))
}
