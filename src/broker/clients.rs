//! The clients of a running broker, for the control plane.
//!
//! What lives here: listing them, ending one, and what the loss of an anchor
//! would do. What does not: how any of it looks to people (`control`).
//! Invariant: asking disturbs no client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::broadcast;

use crate::identity::certificate::Fingerprint;
use crate::identity::devices::Devices;
use crate::identity::refusal::Refusal;
use crate::identity::refusals::RefusalFilter;
use crate::mqtt::TenantId;
use crate::net::{ClientFilter, Connected, FirstConnection};

use super::Handle;

impl Handle {
    /// The live connections of clients that are in, in the order of their
    /// numbers, behind the number `after` (0: from the first), at most
    /// `limit`.
    #[must_use]
    pub fn connections(&self, filter: &ClientFilter, after: u64, limit: usize) -> Vec<Connected> {
        self.node.live.clients(filter, after, limit)
    }

    /// How many live connections `filter` takes.
    #[must_use]
    pub fn count_connections(&self, filter: &ClientFilter) -> usize {
        self.node.live.count(filter)
    }

    /// How many live connections each of these devices of a tenant has; those
    /// that have none are left out.
    #[must_use]
    pub fn count_by_device(&self, tenant: &TenantId, devices: &BTreeSet<String>) -> BTreeMap<String, usize> {
        self.node.live.count_by_device(tenant, devices)
    }

    /// Ends one live connection; its will is published. `why` is for its
    /// client (the reason string of MQTT 5.0) and the log. Answers whether the
    /// connection was there.
    pub fn disconnect(&self, id: u64, why: &str) -> bool {
        self.node.live.dismiss(id, why)
    }

    /// Lets those look at trust and time again whom it would concern, and
    /// answers how many those are.
    #[must_use]
    pub fn recheck_concerned(&self) -> usize {
        self.node.live.review(&self.node.trust.current(), self.node.clock.wall())
    }

    /// The last refusals that `filter` takes, newest first, at most `limit`.
    #[must_use]
    pub fn recent_refusals(&self, filter: &RefusalFilter, limit: usize) -> Vec<Arc<Refusal>> {
        self.node.refusals.recent(filter, limit)
    }

    /// Follows refusals from now on, each with its number. Who is slow misses
    /// some, and is told so.
    #[must_use]
    pub fn follow_refusals(&self) -> broadcast::Receiver<Arc<Refusal>> {
        self.node.refusals.subscribe()
    }

    /// The devices of a tenant that are known. Whoever disables or removes
    /// one, or writes its row (`Table::Registrations`, under
    /// [`crate::net::device_key`]), calls [`Handle::recheck_concerned`] behind
    /// it: live connections end then.
    #[must_use]
    pub fn devices(&self, tenant: &TenantId) -> Arc<Devices> {
        self.node.trust.current().devices().of(tenant)
    }

    /// Follows the first connections of devices. Who is slow misses some, and
    /// is told so; what is durable is the device's row.
    #[must_use]
    pub fn first_connections(&self) -> broadcast::Receiver<FirstConnection> {
        self.node.first_connections.subscribe()
    }

    /// Which live connections the removal of an anchor would cut off.
    #[must_use]
    pub fn cut_off(&self, anchor: Fingerprint, after: u64, limit: usize) -> Vec<Connected> {
        self.connections(&ClientFilter { anchor: Some(anchor), ..ClientFilter::default() }, after, limit)
    }
}
