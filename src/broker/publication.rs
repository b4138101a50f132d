//! Letting a change of trust hold for everybody.
//!
//! What lives here: the swap of the snapshot with all that depends on it. What
//! does not: who decides that trust changes (`ca::authority`, the reload).
//! Invariant: the snapshot is swapped before anything is derived from it, and
//! afterwards every connection asks itself whether it may stay.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ca::authority::Publish;
use crate::identity::handshake::{ListenerTls, TlsParts};
use crate::identity::https::HttpsTls;
use crate::identity::tickets::TicketKeys;
use crate::identity::trust::TrustSnapshot;
use crate::net::{Command, HttpsDoor, HttpsSettings, Listener, Node};

use super::{StartError, unusable};

/// Swaps what connections are judged by.
pub(super) struct Publication {
    node: Arc<Node>,
    listeners: Arc<Vec<Arc<Listener>>>,
    tickets: Arc<TicketKeys>,
    https: Option<Arc<HttpsDoor>>,
    offered: Mutex<Renewed>,
}

/// What a reload renews beside the snapshot.
#[derive(Clone)]
pub(super) struct Renewed {
    /// The server's certificate, with what TLS needs beside it.
    pub(super) parts: TlsParts,
    /// The settings of HTTPS, if there is a door.
    pub(super) https: Option<HttpsSettings>,
}

impl Publication {
    pub(super) fn new(
        node: &Arc<Node>,
        listeners: &Arc<Vec<Arc<Listener>>>,
        tickets: &Arc<TicketKeys>,
        https: Option<Arc<HttpsDoor>>,
        offered: Renewed,
    ) -> Self {
        Self {
            node: Arc::clone(node),
            listeners: Arc::clone(listeners),
            tickets: Arc::clone(tickets),
            https,
            offered: Mutex::new(offered),
        }
    }

    /// Lets `next`, and what a reload renewed, hold from now on.
    ///
    /// # Errors
    /// TLS cannot be configured so: some listeners ask as they did before.
    pub(super) fn swap(&self, next: TrustSnapshot, renewed: Option<Renewed>) -> Result<(), StartError> {
        let mut offered = self.offered();
        let renewed = renewed.unwrap_or_else(|| offered.clone());
        let change = self.node.trust.publish(next);
        if change.anchor_gone {
            self.tickets.forget();
        }
        for listener in self.listeners.iter() {
            let Some(tls) = &listener.tls else { continue };
            let tenant = listener.scope.default_tenant.as_ref();
            tls.store(Arc::new(ListenerTls::new(&renewed.parts, &change.snapshot, tenant).map_err(unusable)?));
        }
        if let (Some(door), Some(settings)) = (&self.https, &renewed.https) {
            let tls =
                HttpsTls::new(&renewed.parts, &change.snapshot, settings.client_certificates).map_err(unusable)?;
            door.renew(settings.clone(), tls);
        }
        *offered = renewed;
        self.node.live.tell_all(Command::Recheck);
        Ok(())
    }

    /// The certificates that clients verify the server under, as PEM.
    pub(super) fn server_authorities(&self) -> Arc<str> {
        Arc::clone(&self.offered().parts.certificate.authorities)
    }

    fn offered(&self) -> MutexGuard<'_, Renewed> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publish for Publication {
    fn current(&self) -> Arc<TrustSnapshot> {
        self.node.trust.current()
    }

    fn publish(&self, next: TrustSnapshot) -> Result<(), String> {
        self.swap(next, None).map_err(|error| error.to_string())
    }
}
