//! Letting a change of trust hold for everybody.
//!
//! What lives here: the swap of the snapshot with all that depends on it. What
//! does not: who decides that trust changes (`ca::authority`, the reload).
//! Invariant: the snapshot is swapped before anything is derived from it, so
//! that a connection on its way in meets the new one or is found by the look
//! (`review`) behind it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ca::authority::Publish;
use crate::identity::handshake::{ListenerTls, TlsParts};
use crate::identity::https::HttpsTls;
use crate::identity::tickets::TicketKeys;
use crate::identity::trust::TrustSnapshot;
use crate::net::{HttpsDoor, HttpsSettings, Listener, Node};

use super::{StartError, unusable};

/// Swaps what connections are judged by.
pub(super) struct Publication {
    node: Arc<Node>,
    listeners: Arc<Vec<Arc<Listener>>>,
    tickets: Arc<TicketKeys>,
    https: Option<Arc<HttpsDoor>>,
    told: Told,
    offered: Mutex<Renewed>,
}

/// Who is told of a change.
#[derive(Clone, Default)]
pub(super) struct Told {
    /// Who looks at live connections.
    pub(super) connections: Arc<Notify>,
    /// Who watches revocation lists.
    pub(super) lists: Arc<Notify>,
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
        told: Told,
        offered: Renewed,
    ) -> Self {
        Self {
            node: Arc::clone(node),
            listeners: Arc::clone(listeners),
            tickets: Arc::clone(tickets),
            https,
            told,
            offered: Mutex::new(offered),
        }
    }

    /// Lets `next`, and what a reload renewed, hold from now on.
    ///
    /// # Errors
    /// TLS cannot be configured so: some listeners ask as they did before.
    pub(super) fn swap(&self, next: TrustSnapshot, renewed: Option<Renewed>) -> Result<(), StartError> {
        let mut offered = self.offered();
        let change = self.node.trust.publish(next);
        if change.anchor_gone {
            self.tickets.forget();
        }
        // Whatever becomes of the handshakes, nobody stays who may not.
        self.told.connections.notify_one();
        self.told.lists.notify_one();
        if !change.handshakes && renewed.is_none() {
            return Ok(());
        }
        let renewed = renewed.unwrap_or_else(|| offered.clone());
        self.offer(&change.snapshot, &renewed)?;
        *offered = renewed;
        Ok(())
    }

    /// Lets new handshakes be offered by what holds now.
    fn offer(&self, snapshot: &Arc<TrustSnapshot>, renewed: &Renewed) -> Result<(), StartError> {
        for listener in self.listeners.iter() {
            let Some(tls) = &listener.tls else { continue };
            let tenant = listener.scope.default_tenant.as_ref();
            tls.store(Arc::new(ListenerTls::new(&renewed.parts, &self.node.trust, tenant).map_err(unusable)?));
        }
        if let (Some(door), Some(settings)) = (&self.https, &renewed.https) {
            let tls = HttpsTls::new(&renewed.parts, snapshot, settings.client_certificates).map_err(unusable)?;
            door.renew(settings.clone(), tls);
        }
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
