//! How many clients each tenant has on each listener.
//!
//! What lives here: counts of connections that were let in. What does not: the
//! bounds (`limits`), connections still in their handshake (`control`).
//! Invariant: there are as many cells as pairs of tenant and listener that were
//! ever met, both of which are configured; a seat is counted once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mqtt::TenantId;

/// Clients that are connected, by tenant and listener.
#[derive(Debug, Default)]
pub struct Census {
    tenants: Mutex<BTreeMap<TenantId, Clients>>,
}

#[derive(Debug, Default)]
struct Clients {
    by_listener: BTreeMap<Arc<str>, Arc<AtomicUsize>>,
    most: usize,
}

impl Clients {
    fn now(&self) -> usize {
        self.by_listener.values().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// One connected client, counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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
        Counted(cell)
    }

    /// How many clients of `tenant` are connected, and how many were at most.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> (usize, usize) {
        self.lock().get(tenant).map_or((0, 0), |clients| (clients.now(), clients.most))
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
        assert_eq!(census.of(&lab), (2, 2));
        drop((second, third));
        assert_eq!(census.of(&lab), (0, 2));
        assert_eq!(census.of(&TenantId::new("other")), (0, 0));
        assert_eq!(census.by_place(), [(lab.clone(), plain, 0), (lab, tls, 0)]);
    }
}
