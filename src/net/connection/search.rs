//! Retained messages for a subscription that was just made.
//!
//! What lives here: the marker in the queue, the search in slices, and what is
//! put in the marker's place. What does not: the index (`delivery`, `router`).
//! Invariant: the marker stands in the queue before the filter stands in the
//! router, so what was retained comes before what is published later, and
//! nothing falls in between.

use std::sync::Arc;
use std::task::Context;

use crate::delivery::{Kind, NEVER, Scan};
use crate::mqtt::{Qos, TopicFilter};
use crate::session::Subscription;
use crate::store::{Batch, Op, QueueEntry, Queued, StoredMessage};

use super::super::outgoing::VOLATILE;
use super::Connection;

/// A search for retained messages that a subscription asked for.
#[derive(Debug)]
pub(super) struct Search {
    marker: u64,
    scan: Scan,
    found: Vec<Arc<StoredMessage>>,
    subscription: Subscription,
}

impl Connection {
    /// Holds a place for retained messages at the tail of the queue: in front
    /// of everything that the new filter brings.
    pub(super) fn mark(&mut self, subscription: &Subscription) -> Search {
        self.markers += 1;
        self.parts.queue.mark(self.markers);
        let filter: TopicFilter = subscription.filter.clone();
        Search { marker: self.markers, scan: Scan::new(filter), found: Vec::new(), subscription: subscription.clone() }
    }

    /// Goes on with searches for retained messages, a slice at a time.
    pub(super) fn search(&mut self, cx: &mut Context<'_>) {
        const SLICE: usize = 1024;
        let Some(search) = self.searches.front_mut() else { return };
        let now = self.parts.node.clock.unix_millis();
        if !self.parts.domain.retained.scan(&mut search.scan, SLICE, now, &mut search.found) {
            cx.waker().wake_by_ref();
            return;
        }
        if let Some(search) = self.searches.pop_front() {
            self.fill(search);
        }
        if !self.searches.is_empty() {
            cx.waker().wake_by_ref();
        }
    }

    /// Puts the retained messages that were found in the place of their
    /// marker; a queue that is stored gets them too.
    fn fill(&mut self, search: Search) {
        let queue = &self.parts.queue;
        let wanted = search.subscription.options.qos;
        let numbers = queue.kind() == Kind::Persistent;
        let is_stored = |message: &StoredMessage| numbers && message.qos.min(wanted) > Qos::AtMostOnce;
        let stored = search.found.iter().filter(|message| is_stored(message));
        let (count, bytes) = stored.fold((0, 0), |(count, bytes), message| (count + 1, bytes + message.payload.len()));
        let mut seq = if count > 0 { queue.reserve(count, bytes as u64) } else { 0 };
        let mut batch = Batch::default();
        let mut entries = Vec::with_capacity(search.found.len());
        let ids: Box<[u32]> = search.subscription.id.map(u32::from).into_iter().collect();
        for mut message in search.found {
            let qos = message.qos.min(wanted);
            let mut place = VOLATILE;
            if is_stored(&message) {
                // Another filter may have brought the same message: each copy
                // has a name of its own, else the queue would refuse it.
                let id = self.parts.new_message();
                message = Arc::new(StoredMessage { id, ..(*message).clone() });
                place = seq;
                seq += 1;
            }
            let entry = QueueEntry { seq: place, qos, retain: true, subscription_ids: ids.clone(), message };
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
        self.parts.outgoing.fill(search.marker, queued.collect());
    }
}
