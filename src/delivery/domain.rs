//! The topic space of one tenant: subscriptions, retained messages, sessions.
//!
//! What lives here: the locks around the pure parts. What does not: rights
//! (`identity` mints the permits asked for here), packets (`net`). Invariant:
//! nothing that is published in one domain reaches another.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::identity::policy::{Permit, Publish, Subscribe};
use crate::mqtt::{MessageView, SubscriptionOptions, TenantId, TopicFilter, TopicName};
use crate::router::{self, Epochs, Group, Router, Stamp, Subscribed};
use crate::store::{Batch, Position, SessionUid, Store, StoreError};
use crate::telemetry::metrics::{Counter, Gauge};

use super::{
    Budget, Encode, Ground, Kind, Mailbox, Overflow, Progress, Publisher, Registry, RetainedMessages, Route,
    SessionQueue, Settings, Turn,
};

/// The topic space of one tenant.
pub struct Domain<S> {
    tenant: TenantId,
    router: RwLock<Router<Mailbox>>,
    epochs: Epochs,
    /// Retained messages.
    pub retained: RetainedMessages,
    /// Sessions and their owners.
    pub registry: Registry<S>,
    ground: Arc<Ground>,
    store: Arc<dyn Store>,
    epoch: u32,
    next_uid: Arc<AtomicU64>,
    subscriptions: AtomicUsize,
    /// Those of them that are shared.
    shared: AtomicUsize,
}

impl<S: Send + 'static> Domain<S> {
    /// An empty topic space. `budget` is common to all domains of a node,
    /// `next_uid` to all domains of a store.
    #[must_use]
    pub fn new(
        tenant: TenantId,
        settings: Arc<Settings>,
        budget: Arc<Budget>,
        store: Arc<dyn Store>,
        next_uid: Arc<AtomicU64>,
    ) -> Self {
        Self {
            tenant,
            router: RwLock::default(),
            epochs: Epochs::default(),
            retained: RetainedMessages::new(&settings),
            registry: Registry::default(),
            ground: Arc::new(Ground { settings, budget, kept: Arc::default() }),
            epoch: store.epoch(),
            store,
            next_uid,
            subscriptions: AtomicUsize::new(0),
            shared: AtomicUsize::new(0),
        }
    }

    /// Whose topic space it is.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Where what must last is kept.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// What tells the publications of this start from those of earlier ones.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The bounds of its queues.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.ground.settings
    }

    /// A queue for a new session.
    #[must_use]
    pub fn new_queue(&self, kind: Kind, overflow: Overflow) -> Arc<SessionQueue> {
        let uid = SessionUid(self.next_uid.fetch_add(1, Ordering::Relaxed));
        Arc::new(SessionQueue::new(uid, kind, overflow, &self.ground))
    }

    /// The queue of a session that the store remembers.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn kept_queue(&self, uid: SessionUid, overflow: Overflow) -> Result<Arc<SessionQueue>, StoreError> {
        let (span, load) = (self.store.queue_span(uid)?, self.store.queue_load(uid)?);
        Ok(Arc::new(SessionQueue::asleep(uid, span, load, overflow, &self.ground)))
    }

    /// Who receives messages to `topic` from `publisher`. The answer is good
    /// until [`Domain::is_current`] says otherwise.
    #[must_use]
    pub fn route(&self, topic: TopicName<'_>, publisher: &Mailbox) -> Arc<Route> {
        // The stamp comes first: a change in between makes the answer stale,
        // never a stale answer current.
        let stamp = self.epochs.stamp(topic);
        let mut found = router::Route::default();
        self.router.read().unwrap_or_else(PoisonError::into_inner).route(topic, Some(publisher), &mut found);
        Arc::new(Route::new(&found, stamp))
    }

    /// The members of a shared subscription, while there are any.
    pub(super) fn group(&self, filter: &TopicFilter) -> Option<Group<Mailbox>> {
        self.router.read().unwrap_or_else(PoisonError::into_inner).group(filter)
    }

    pub(super) fn stamp(&self, topic: TopicName<'_>) -> Stamp {
        self.epochs.stamp(topic)
    }

    /// Whether no subscription that concerns `route` has changed.
    #[must_use]
    pub fn is_current(&self, route: &Route) -> bool {
        self.epochs.is_current(&route.stamp)
    }

    /// Whether the tenant may have one more subscription.
    #[must_use]
    pub fn may_subscribe(&self) -> bool {
        self.subscriptions.load(Ordering::Relaxed) < self.ground.settings.subscriptions
    }

    /// How many subscriptions there are, and how many of them are shared.
    #[must_use]
    pub fn subscriptions(&self) -> (usize, usize) {
        (self.subscriptions.load(Ordering::Relaxed), self.shared.load(Ordering::Relaxed))
    }

    /// Messages and bytes that session queues keep in the store.
    #[must_use]
    pub fn kept(&self) -> (u64, u64) {
        self.ground.kept.now()
    }

    /// Enters a subscription.
    pub fn subscribe(
        &self,
        filter: &TopicFilter,
        mailbox: Mailbox,
        options: SubscriptionOptions,
        id: Option<NonZeroU32>,
        _: &Permit<Subscribe>,
    ) -> Subscribed {
        let mut router = self.router.write().unwrap_or_else(PoisonError::into_inner);
        let subscribed = router.subscribe(filter, mailbox, options, id);
        drop(router);
        self.epochs.raise(filter);
        if subscribed == Subscribed::New {
            self.subscriptions.fetch_add(1, Ordering::Relaxed);
            self.shared.fetch_add(usize::from(filter.share().is_some()), Ordering::Relaxed);
            Gauge::Subscriptions.add(1);
        }
        subscribed
    }

    /// Ends subscriptions.
    pub fn unsubscribe<'a>(&self, filters: impl Iterator<Item = &'a TopicFilter>, mailbox: &Mailbox) {
        for filter in filters {
            let mut router = self.router.write().unwrap_or_else(PoisonError::into_inner);
            let existed = router.unsubscribe(filter, mailbox);
            drop(router);
            if existed {
                self.epochs.raise(filter);
                self.subscriptions.fetch_sub(1, Ordering::Relaxed);
                self.shared.fetch_sub(usize::from(filter.share().is_some()), Ordering::Relaxed);
                Gauge::Subscriptions.add(-1);
            }
        }
    }

    /// Publishes one message outside any turn, such as a will.
    pub fn publish(
        &self,
        message: &MessageView<'_>,
        from: &Mailbox,
        publisher: Publisher<'_>,
        encode: Encode,
        permit: &Permit<Publish>,
    ) -> Position {
        let mut turn = Turn::default();
        let route = self.route(message.topic, from);
        turn.add(message, &route, encode, permit);
        if turn.is_empty() {
            return Position::NONE;
        }
        let mut fanout = turn.finish(publisher);
        while fanout.advance() == Progress::More {}
        let position = self.append(fanout.take_batch());
        fanout.appended_at(position);
        position
    }

    /// Appends a batch that nobody may wait for in vain: a store that is full
    /// or latched leaves the position unreached for ever.
    #[must_use]
    pub fn append(&self, batch: Batch) -> Position {
        if batch.is_empty() {
            return Position::NONE;
        }
        match self.store.append(batch) {
            Ok(position) => {
                Counter::StoreAppends.one();
                position
            }
            Err(_) => {
                Counter::StoreRefusals.one();
                NEVER
            }
        }
    }
}

/// A position that is never durable.
pub const NEVER: Position = Position(u64::MAX - 1);
