//! How many clients each tenant has on each listener, and what they do.
//!
//! What lives here: counts of connections that were let in, and of what they
//! send and receive. What does not: the bounds (`limits`), connections still in their handshake (`control`).
//! Invariant: there are as many cells as pairs of tenant and listener that were
//! ever met, both of which are configured; a seat is counted once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mqtt::TenantId;
use crate::telemetry::traffic::{Mark, Totals, Traffic};

/// Clients that are connected, by tenant and listener.
#[derive(Debug, Default)]
pub struct Census {
    tenants: Mutex<BTreeMap<TenantId, Clients>>,
}

#[derive(Debug, Default)]
struct Clients {
    by_listener: BTreeMap<Arc<str>, Arc<AtomicUsize>>,
    most: usize,
    opened: u64,
    expired: u64,
    traffic: Arc<Traffic>,
}

/// The clients of one tenant in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Connected now.
    pub connected: usize,
    /// Connected at most at one time.
    pub most: usize,
    /// CONNECT packets answered with success.
    pub opened: u64,
    /// Sessions whose time was over.
    pub expired: u64,
    /// What they sent and received.
    pub traffic: Totals,
}

impl Clients {
    fn now(&self) -> usize {
        self.by_listener.values().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// One connected client, counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    place: Arc<AtomicUsize>,
    traffic: Arc<Traffic>,
}

impl Counted {
    /// Adds what this thread has done for the client since `mark`.
    pub(super) fn add_since(&self, mark: &Mark) {
        self.traffic.add_since(mark);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.place.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Census {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, Clients>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a client of `tenant` that came in by `listener`.
    pub(super) fn count(&self, tenant: &TenantId, listener: &Arc<str>) -> Counted {
        let mut tenants = self.lock();
        let clients = tenants.entry(tenant.clone()).or_default();
        let cell = Arc::clone(clients.by_listener.entry(Arc::clone(listener)).or_default());
        cell.fetch_add(1, Ordering::Relaxed);
        clients.most = clients.most.max(clients.now());
        clients.opened += 1;
        Counted { place: cell, traffic: Arc::clone(&clients.traffic) }
    }

    /// Counts a session of `tenant` whose time was over.
    pub(super) fn expire(&self, tenant: &TenantId) {
        self.lock().entry(tenant.clone()).or_default().expired += 1;
    }

    /// The clients of `tenant` in numbers.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Count {
        let tenants = self.lock();
        let Some(clients) = tenants.get(tenant) else { return Count::default() };
        let &Clients { most, opened, expired, .. } = clients;
        let totals = clients.traffic.totals();
        // The driver, which counts the rest, begins behind CONNECT.
        let traffic = Totals { messages_received: totals.messages_received + opened, ..totals };
        Count { connected: clients.now(), most, opened, expired, traffic }
    }

    /// How many clients are connected, by tenant and listener.
    #[must_use]
    pub fn by_place(&self) -> Vec<(TenantId, Arc<str>, usize)> {
        let tenants = self.lock();
        let places = tenants.iter().flat_map(|(tenant, clients)| {
            let counts = clients.by_listener.iter();
            counts.map(|(listener, count)| (tenant.clone(), Arc::clone(listener), count.load(Ordering::Relaxed)))
        });
        places.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_is_that_of_all_listeners_at_one_time() {
        let (census, lab) = (Census::default(), TenantId::new("lab"));
        let (tls, plain): (Arc<str>, Arc<str>) = ("tls".into(), "plain".into());
        let first = census.count(&lab, &tls);
        let second = census.count(&lab, &plain);
        drop(first);
        let third = census.count(&lab, &tls);
        let traffic = Totals { messages_received: 3, ..Totals::default() };
        let count = Count { connected: 2, most: 2, opened: 3, traffic, expired: 0 };
        assert_eq!(census.of(&lab), count);
        drop((second, third));
        assert_eq!(census.of(&lab), Count { connected: 0, ..count });
        census.expire(&lab);
        assert_eq!(census.of(&lab).expired, 1);
        assert_eq!(census.of(&TenantId::new("other")), Count::default());
        assert_eq!(census.by_place(), [(lab.clone(), plain, 0), (lab, tls, 0)]);
    }
}
