//! Shared subscriptions: one message, one member.
//!
//! What lives here: the groups of one filter path, and the choice of a member
//! by round robin. What does not: queues and windows; the caller says who can
//! take a message. Invariant: a group's members and its turn outlive the route
//! that names them, and changing the members never changes a route in use.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::subscribers::{Subscribers, Subscription};
use crate::mqtt::TopicFilter;

/// The members of one shared subscription, as they were when the route was
/// made.
#[derive(Debug)]
pub struct Group<R> {
    filter: TopicFilter,
    /// Shared with routes; copied before a change while one holds it.
    members: Arc<Subscribers<R>>,
    /// Where the next search begins; common to all routes.
    turn: Arc<AtomicUsize>,
}

impl<R> Clone for Group<R> {
    fn clone(&self) -> Self {
        Self { filter: self.filter.clone(), members: Arc::clone(&self.members), turn: Arc::clone(&self.turn) }
    }
}

/// What a member can do with a message now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It is connected, and its window has room.
    Ready,
    /// It is connected, and this many wait for room already.
    Busy(usize),
    /// It is away and would keep the message; this many wait already.
    Waiting(usize),
    /// It would lose the message.
    Absent,
}

impl<R> Group<R> {
    /// The filter, `$share/<group>/` included: what tells groups apart.
    #[must_use]
    pub const fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// The members.
    #[must_use]
    pub fn members(&self) -> &[Subscription<R>] {
        self.members.as_slice()
    }

    /// Chooses who gets a message: the next member that is ready, else the busy
    /// one with the shortest queue, else the one that is away with the shortest
    /// queue, else nobody. A busy member comes first because it will have the
    /// message soon, and one that is away perhaps never. All members are asked
    /// only while none is ready.
    ///
    /// Publishers on several threads may take the same turn; the load then
    /// evens out a message later, and no message is lost or doubled.
    pub fn pick(&self, mut readiness: impl FnMut(&Subscription<R>) -> Readiness) -> Option<&Subscription<R>> {
        let members = self.members();
        let start = self.turn.load(Ordering::Relaxed).checked_rem(members.len())?;
        let (before, behind) = members.split_at_checked(start)?;
        let mut shortest: Option<((bool, usize), &Subscription<R>)> = None;
        for (passed, member) in behind.iter().chain(before).enumerate() {
            let rank = match readiness(member) {
                Readiness::Ready => {
                    // Behind the one that was chosen, so that the neighbour of
                    // a busy member gets no double share.
                    self.turn.store(start + passed + 1, Ordering::Relaxed);
                    return Some(member);
                }
                Readiness::Busy(length) => (false, length),
                Readiness::Waiting(length) => (true, length),
                Readiness::Absent => continue,
            };
            if shortest.is_none_or(|(best, _)| rank < best) {
                shortest = Some((rank, member));
            }
        }
        shortest.map(|(_, member)| member)
    }
}

/// The groups that share one path, by name.
#[derive(Debug)]
pub(super) struct Groups<R>(BTreeMap<TopicFilter, Group<R>>);

impl<R> Default for Groups<R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<R> Groups<R> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Group<R>> {
        self.0.values()
    }

    pub(super) fn find(&self, filter: &TopicFilter) -> Option<&Group<R>> {
        self.0.get(filter)
    }
}

impl<R: Clone + Eq + Hash> Groups<R> {
    /// Answers whether the member is new.
    pub(super) fn insert(&mut self, filter: &TopicFilter, member: Subscription<R>) -> bool {
        let group = self.0.entry(filter.clone()).or_insert_with(|| Group {
            filter: filter.clone(),
            members: Arc::default(),
            turn: Arc::default(),
        });
        Arc::make_mut(&mut group.members).insert(member)
    }

    /// Answers whether there was such a member.
    pub(super) fn remove(&mut self, filter: &TopicFilter, handle: &R) -> bool {
        let Some(group) = self.0.get_mut(filter) else { return false };
        let removed = Arc::make_mut(&mut group.members).remove(handle);
        if group.members.is_empty() {
            self.0.remove(filter);
        }
        removed
    }
}
