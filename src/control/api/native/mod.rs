//! `/api/v1`: our own API.
//!
//! What lives here: its routes by file, and how each is described. What does
//! not: the operations (`ca`), the data plane (`broker`). Invariant: every
//! route is described in the document that is served beside it.

mod accounts;
mod anchors;
mod audit;
mod certificate;
mod certificates;
mod configuration;
mod connections;
mod devices;
mod explanation;
mod refusals;
mod revocations;
mod rights;
mod status;
mod tenants;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use tokio::sync::Semaphore;

use crate::broker::Handle;
use crate::shutdown::Tasks;

pub(in crate::control) use explanation::explained;

use super::frame::document::Routes;
use super::frame::idempotency::{Answered, Once, once};

/// Where it lives.
pub(super) const BASE: &str = "/api/v1";

const ABOUT: &str = "Errors are problem+json (RFC 9457) and name the thing, the reason and the remedy. Lists come in \
                     pieces: ask for `next` as `after`. A change with `If-Match` is made only to the revision that \
                     `ETag` told. A POST with an `Idempotency-Key` is done once, however often it is sent within a day.";

/// Fields of the head, with what they are for.
const IF_MATCH: (&str, &str) = ("If-Match", "The ETag of the revision that the change is meant for.");
const ONCE: (&str, &str) = ("Idempotency-Key", "A text that names this request: sent again, it is answered as before.");
/// Refusals that several operations have.
const CONFLICT: (StatusCode, &str) =
    (StatusCode::CONFLICT, "It is there already, the configuration file makes it, or a bound is reached.");
const STALE: (StatusCode, &str) = (StatusCode::PRECONDITION_FAILED, "It was changed since it was read.");
const UNUSABLE: (StatusCode, &str) = (StatusCode::UNPROCESSABLE_ENTITY, "The certificate, or the proof, is not good.");

/// What its handlers are given.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) broker: Handle,
    /// Where work that blocks is done, and what follows is told.
    pub(super) tasks: Tasks,
    /// Who follows refusals.
    pub(super) tails: Arc<AtomicUsize>,
    /// One key pair at a time: an RSA key takes a core for a while.
    pub(super) workbench: Arc<Semaphore>,
}

impl FromRef<Api> for Handle {
    fn from_ref(api: &Api) -> Self {
        api.broker.clone()
    }
}

/// The routes.
pub(super) fn routes(broker: Handle, tasks: Tasks) -> Router {
    let once_state = Once { broker: broker.clone(), answered: Arc::new(Answered::default()) };
    let routes = described();
    let router = routes.finish("Certus", BASE, ABOUT).with_state(Api {
        broker,
        tasks,
        tails: Arc::default(),
        workbench: Arc::new(Semaphore::new(1)),
    });
    router.layer(from_fn_with_state(once_state, once))
}

/// All of them, with what is told about them.
fn described() -> Routes<Api> {
    let parts = [
        status::add,
        tenants::add,
        anchors::add,
        certificates::add,
        devices::add,
        explanation::add,
        revocations::add,
        connections::add,
        refusals::add,
        accounts::add,
        tokens::add,
        audit::add,
        configuration::add,
        rights::add,
    ];
    parts.into_iter().fold(Routes::new(), |routes, add| add(routes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of two that share a name, the document would show one for both.
    #[test]
    fn no_two_schemas_have_one_name() {
        assert_eq!(described().clashes(), <[String; 0]>::default());
    }
}
