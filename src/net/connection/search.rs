//! Retained messages for a subscription that was just made.
//!
//! What lives here: the marker in the queue, the search in slices, and what is
//! put in the marker's place. What does not: the index (`delivery`, `router`).
//! Invariant: the marker stands in the queue before the filter stands in the
//! router, so what was retained comes before what is published later, and
//! nothing falls in between.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::delivery::{Domain, Kind, NEVER, Scan};
use crate::mqtt::{Qos, TopicFilter};
use crate::session::Subscription;
use crate::store::{Batch, Op, QueueEntry, Queued, StoreError, StoredMessage};
use crate::telemetry::metrics::Counter;

use super::super::outgoing::{Found, VOLATILE};
use super::super::remember;
use super::super::shared::Resting;
use super::Connection;

/// Slices that are searched for a client which has left.
const LAST_SLICES: usize = 16;

/// A search for retained messages that a subscription asked for.
#[derive(Debug)]
pub(super) struct Search {
    marker: u64,
    scan: Scan,
    filter: TopicFilter,
    /// The answers that leave first, SUBACK the last.
    behind: u64,
}

/// The searches of one connection, in order.
#[derive(Debug, Default)]
pub(super) struct Searches {
    due: VecDeque<Search>,
    /// The filters of those that have not begun: who asks again and again for
    /// the same filter gets one search, else a packet of a mebibyte would ask
    /// for a hundred thousand.
    unbegun: HashSet<TopicFilter>,
    /// Whether the store could not be read. It is asked again when there is
    /// something else to do.
    stalled: bool,
}

impl Searches {
    pub(super) fn push(&mut self, search: Search) {
        self.unbegun.insert(search.filter.clone());
        self.due.push_back(search);
    }
}

impl Connection {
    /// Holds a place for retained messages at the tail of the queue: in front
    /// of everything that the new filter brings. Nothing when a search for them
    /// is due anyway.
    pub(super) fn mark(&mut self, subscription: &Subscription) -> Option<Search> {
        if self.searches.unbegun.contains(&subscription.filter) {
            return None;
        }
        self.markers += 1;
        self.parts.queue.mark(self.markers);
        // The answers so far, and the SUBACK that follows.
        let behind = self.session.as_ref().map_or(0, |session| session.answers_queued() + 1);
        let filter = subscription.filter.clone();
        Some(Search { marker: self.markers, scan: Scan::new(filter.clone()), filter, behind })
    }

    /// Whether a search can be gone on with. What its last slice found leaves
    /// first: one slice is all that a connection holds, however much is
    /// retained and however slowly its client reads.
    pub(super) fn has_search(&self) -> bool {
        !self.searches.stalled && !self.searches.due.is_empty() && self.parts.outgoing.may_be_filled()
    }

    /// Goes on with the first search, a slice at a time.
    pub(super) fn search(&mut self) {
        self.searches.stalled = false;
        if !self.has_search() {
            return;
        }
        let Some(mut search) = self.searches.due.pop_front() else { return };
        self.searches.unbegun.remove(&search.filter);
        let mut found = Vec::new();
        let (domain, now) = (&self.parts.domain, self.parts.node.clock.unix_millis());
        let scanned = domain.retained.scan(&mut search.scan, now, |topic| read(domain, topic), &mut found);
        self.searches.stalled = scanned.is_err();
        let mut complete = scanned.unwrap_or(false);
        if complete || !found.is_empty() {
            complete |= !self.fill(&search, found, complete);
        }
        if !complete {
            self.searches.due.push_front(search);
        }
    }

    /// Stores what a client that leaves for a while has not been searched yet,
    /// as far as its queue has room and in time that nobody notices.
    pub(super) fn finish_searches(&mut self) {
        for _ in 0..LAST_SLICES {
            if self.searches.due.is_empty() {
                return;
            }
            self.parts.outgoing.forget_found();
            self.search();
        }
        if !self.searches.due.is_empty() {
            tracing::warn!(
                connection = self.parts.entered.control.id(),
                tenant = self.parts.domain.tenant().as_str(),
                "a client left before all retained messages were found for it: it will not get the rest"
            );
        }
    }

    /// Puts retained messages that were found in the place of their marker; a
    /// queue that is stored gets them too. Answers whether anybody still wants
    /// them.
    fn fill(&mut self, search: &Search, found: Vec<Arc<StoredMessage>>, complete: bool) -> bool {
        let queue = &self.parts.queue;
        let (marker, behind) = (search.marker, search.behind);
        // It may have been renewed with other options since, or be gone.
        let subscriptions = self.session.as_ref().map(|session| session.subscriptions());
        let Some(subscription) = subscriptions.and_then(|all| all.find(search.filter.as_str())) else {
            self.parts.outgoing.fill(Found { marker, behind, messages: Vec::new(), complete: true });
            return false;
        };
        let wanted = subscription.options.qos;
        let numbers = queue.kind() == Kind::Persistent;
        let is_stored = |message: &StoredMessage| numbers && message.qos.min(wanted) > Qos::AtMostOnce;
        let stored = found.iter().filter(|message| is_stored(message));
        let (count, bytes) = stored.fold((0, 0), |(count, bytes), message| (count + 1, bytes + message.payload.len()));
        let reserved = if count > 0 { queue.reserve(count, bytes as u64) } else { Some(0) };
        let mut seq = reserved.unwrap_or(0);
        let mut batch = Batch::default();
        let mut entries = Vec::with_capacity(found.len());
        let ids: Box<[u32]> = subscription.id.map(u32::from).into_iter().collect();
        for mut message in found {
            let qos = message.qos.min(wanted);
            let mut place = VOLATILE;
            if is_stored(&message) {
                if reserved.is_none() {
                    continue;
                }
                // Another filter may have brought the same message: each copy
                // has a name of its own, else the queue would refuse it.
                let id = self.parts.new_message();
                message = Arc::new(StoredMessage { id, ..(*message).clone() });
                place = seq;
                seq += 1;
            }
            let entry =
                QueueEntry { seq: place, qos, retain: true, subscription_ids: ids.clone(), group: None, message };
            if place != VOLATILE {
                batch.push(Op::Enqueue { session: queue.uid(), entry: entry.clone() });
            }
            entries.push(entry);
        }
        let position = self.parts.domain.append(batch);
        // What a full store did not take, and may not leave without it, does
        // not stand in the way of the rest.
        entries.retain(|entry| position != NEVER || entry.seq == VOLATILE || entry.qos < Qos::ExactlyOnce);
        let queued = entries.into_iter().map(|entry| Queued { entry, released: false, position });
        self.parts.outgoing.fill(Found { marker, behind, messages: queued.collect(), complete });
        true
    }
}

/// A retained message that memory does not hold. One that cannot be read is
/// left out, unless its store will be there again.
fn read(domain: &Domain<Resting>, topic: &str) -> Result<Option<StoredMessage>, StoreError> {
    Counter::RetainedReads.one();
    match remember::retained_message(domain, topic) {
        Err(StoreError::Full) => Err(StoreError::Full),
        Err(error) => {
            Counter::RetainedUnread.one();
            let tenant = domain.tenant().as_str();
            tracing::error!(tenant, topic, %error, "a retained message was not sent: it cannot be read");
            Ok(None)
        }
        read => read,
    }
}
