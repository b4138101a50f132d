//! What all connections of a node have in common.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::delivery::{Agenda, Budget, Domain, Mailbox};
use crate::identity::policy::Rights;
use crate::identity::refusals::Refusals;
use crate::identity::trust::Trust;
use crate::mqtt::{ClientId, TenantId};
use crate::session::Session;
use crate::shutdown::Tasks;
use crate::store::Store;
use crate::telemetry::metrics::Counter;

use super::census::Census;
use super::control::Live;
use super::limits::Limits;
use super::overload::Overload;
use super::passwords::Passwords;
use super::registration::{FOLLOWED, FirstConnection};
use super::tls::Turns;
use super::{Settings, connection, remember, wake};

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

/// When what is due is tried again, if the store does not answer.
const LATER: Duration = Duration::from_secs(10);

/// A session whose client is away.
#[derive(Clone)]
pub struct Away {
    /// Where it is kept.
    pub domain: Arc<Domain<Resting>>,
    /// Under which name.
    pub key: ClientId,
    /// As which claim; a later one makes what is due void.
    pub generation: u64,
}

/// What is due for a session whose client is away.
#[derive(Clone)]
pub struct Due {
    /// Which session.
    pub away: Away,
    /// What happens.
    pub event: Event,
}

/// Where first connections are told of; it keeps a bounded number for who is
/// slow.
#[must_use]
pub fn first_connections() -> broadcast::Sender<FirstConnection> {
    broadcast::Sender::new(FOLLOWED)
}

impl Away {
    /// Enters into the agenda what comes: the will after its delay, the end
    /// after `expiry`, both in seconds, of which `gone` have passed.
    pub(super) fn schedule(self, node: &Node, gone: Duration, will_delay: Option<u32>, expiry: u32) {
        let now = node.clock.now();
        let at = |seconds: u32| now + Duration::from_secs(seconds.into()).saturating_sub(gone);
        if let Some(delay) = will_delay {
            node.agenda.schedule(at(delay), Due { away: self.clone(), event: Event::Will });
        }
        if expiry != u32::MAX {
            node.agenda.schedule(at(expiry), Due { away: self, event: Event::Expire });
        }
    }
}

/// What happens to a session whose client is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It ends.
    Expire,
    /// Its will is published.
    Will,
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
    pub agenda: Arc<Agenda<Due>>,
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
}

/// Does what is due for a session whose client is away.
pub fn due(node: &Node, due: &Due) {
    let Away { domain, key, generation } = &due.away;
    if let Err(error) = wake::wake(node, domain, key) {
        tracing::warn!(tenant = domain.tenant().as_str(), key = key.as_str(), %error, "what is due for a session waits");
        node.agenda.schedule(node.clock.now() + LATER, due.clone());
        return;
    }
    match due.event {
        Event::Expire => {
            let Some(mut parked) = domain.registry.expire(key, *generation) else { return };
            Counter::SessionsExpired.one();
            node.census.expire(domain.tenant());
            let mailbox = Mailbox(Arc::clone(&parked.queue));
            let Resting { session, rights, .. } = &mut parked.session;
            if let Some(will) = session.take_will() {
                connection::publish_will(node, domain, &mailbox, rights, &will);
            }
            connection::end_session(domain, key, session, &mailbox, node.clock.unix_millis());
        }
        Event::Will => {
            let found = domain.registry.with_parked(key, *generation, |parked| {
                let Resting { session, rights, .. } = &mut parked.session;
                // While the session is locked: a connection that claims it
                // writes its own row behind this one.
                let _ = domain.append(remember::without_will(domain, key));
                (session.take_will(), Arc::clone(&parked.queue), Arc::clone(rights))
            });
            if let Some((Some(will), queue, rights)) = found {
                connection::publish_will(node, domain, &Mailbox(queue), &rights, &will);
            }
        }
    }
}
