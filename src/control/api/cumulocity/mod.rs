//! Cumulocity's REST API, as far as its devices' trust and registration go.
//!
//! What lives here: its paths, its words and its pages (C8Y-API to C8Y-OPT).
//! What does not: the operations (`ca::authority`), its errors' bodies
//! (`frame::cumulocity`). Invariant: a name without a tenant means the tenant
//! of the site, and nothing here does what the authority does not do for every
//! face.

mod bulk;
mod certificate;
mod certificates;
mod crl;
mod device_requests;
mod device_table;
mod options;
mod page;
mod possession;
mod site;
mod token;
mod upload;
mod user;

use axum::Router;
use axum::extract::FromRef;
use axum::middleware::from_fn_with_state;

use crate::broker::Handle;

use super::frame::document::Routes;
use super::frame::face::Face;

const ABOUT: &str = "Trusted certificates, registration of devices, tokens for devices and options of a tenant, in the \
                     shapes that Cumulocity's clients know. A user name is tenant/name; a name alone is one of the tenant \
                     whose domain is asked.";

/// What its handlers are given.
#[derive(Clone)]
pub(super) struct Api {
    broker: Handle,
}

impl FromRef<Api> for Handle {
    fn from_ref(api: &Api) -> Self {
        api.broker.clone()
    }
}

/// The routes, under their whole paths.
pub(super) fn routes(broker: Handle) -> Router {
    let parts = [certificates::add, possession::add, crl::add, options::add, user::add];
    let routes = parts.into_iter().fold(Routes::new(), |routes, add| add(routes));
    let routes = token::add(bulk::add(device_requests::add(routes)));
    let router = routes.finish_as(Face::Cumulocity, "/tenant/openapi.json", ["Cumulocity", "/", ABOUT]);
    router.with_state(Api { broker: broker.clone() }).layer(from_fn_with_state(broker, site::find_home))
}
