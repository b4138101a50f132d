//! What all connections of a node have in common.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::delivery::{Budget, Domain};
use crate::identity::policy::Rights;
use crate::identity::refusals::Refusals;
use crate::identity::trust::Trust;
use crate::mqtt::TenantId;
use crate::session::Session;
use crate::shutdown::Tasks;
use crate::store::Store;

use super::Settings;
use super::census::Census;
use super::control::Live;
use super::due::Due;
use super::limits::Limits;
use super::overload::Overload;
use super::passwords::Passwords;
use super::registration::{FOLLOWED, FirstConnection};
use super::tls::Turns;

/// A session at rest, with the rights of its client, for its will.
#[derive(Debug)]
pub struct Resting {
    /// The protocol state.
    pub session: Box<Session>,
    /// What the client might do when it was last seen.
    pub rights: Arc<Rights>,
    /// Entries below this number were queued under other rights.
    pub queued_before: u64,
}

/// Where first connections are told of; it keeps a bounded number for who is
/// slow.
#[must_use]
pub fn first_connections() -> broadcast::Sender<FirstConnection> {
    broadcast::Sender::new(FOLLOWED)
}

/// What all connections of a node have in common.
pub struct Node {
    /// The clock.
    pub clock: Clock,
    /// Bounds; swapped by a reload.
    pub settings: arc_swap::ArcSwap<Settings>,
    /// Who is trusted.
    pub trust: Arc<Trust>,
    /// Refusals that were recorded.
    pub refusals: Arc<Refusals>,
    /// Where what must last is kept.
    pub store: Arc<dyn Store>,
    /// Topic spaces by tenant.
    pub domains: Domains,
    /// What is due for sessions whose clients are away.
    pub agenda: Due,
    /// All live connections.
    pub live: Arc<Live>,
    /// Clients that are connected, by tenant and listener.
    pub census: Census,
    /// Whose handshake may take a processor.
    pub handshakes: Turns,
    /// Handshakes and connections that may begin.
    pub limits: Arc<Limits>,
    /// Whether it holds too much, or is too late.
    pub overload: Overload,
    /// What all queues may hold together.
    pub budget: Arc<Budget>,
    /// Where passwords are checked.
    pub passwords: Passwords,
    /// Tells who follows them of the first connections of devices.
    pub first_connections: broadcast::Sender<FirstConnection>,
    /// The tasks of connections.
    pub tasks: Tasks,
}

/// Makes the topic space of a tenant that is met for the first time.
type Make = Box<dyn Fn(&TenantId) -> Arc<Domain<Resting>> + Send + Sync>;

/// Topic spaces by tenant, made when they are first needed. A tenant that a
/// reload removes keeps its space, so that its return finds it.
pub struct Domains {
    by_tenant: RwLock<HashMap<TenantId, Arc<Domain<Resting>>>>,
    make: Make,
}

impl Domains {
    /// None yet; `make` makes one.
    pub fn new(make: impl Fn(&TenantId) -> Arc<Domain<Resting>> + Send + Sync + 'static) -> Self {
        Self { by_tenant: RwLock::default(), make: Box::new(make) }
    }

    /// The topic space of `tenant`.
    pub fn of(&self, tenant: &TenantId) -> Arc<Domain<Resting>> {
        if let Some(domain) = self.by_tenant.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Arc::clone(domain);
        }
        let mut by_tenant = self.by_tenant.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(by_tenant.entry(tenant.clone()).or_insert_with(|| (self.make)(tenant)))
    }

    /// All that were made.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Domain<Resting>>> {
        self.by_tenant.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
