//! Who holds one filter.
//!
//! What lives here: a set of subscriptions that costs 24 bytes for one holder
//! and stays quick for a hundred thousand. What does not: filters. Invariant: a
//! recipient is in it at most once; the order depends on the calls alone.

use std::hash::{BuildHasher, Hash};
use std::num::NonZeroU32;
use std::{mem, slice};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::mqtt::SubscriptionOptions;

/// One recipient's subscription to one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<R> {
    /// Who.
    pub handle: R,
    /// What was asked for.
    pub options: SubscriptionOptions,
    /// The subscription identifier of MQTT 5.0.
    pub id: Option<NonZeroU32>,
}

/// Where a list stops to be searched one by one. Half of it is where it
/// starts to be again, so that one client that comes and goes moves nothing.
const LISTED: usize = 32;

/// The subscriptions to one filter; see the module.
#[derive(Clone, Debug)]
pub struct Subscribers<R>(Shape<R>);

#[derive(Clone, Debug)]
enum Shape<R> {
    One(Subscription<R>),
    Few(Vec<Subscription<R>>),
    Many(Box<Indexed<R>>),
}

#[derive(Clone, Debug)]
struct Indexed<R> {
    list: Vec<Subscription<R>>,
    /// Places in `list` by recipient.
    at: HashTable<u32>,
    hasher: RandomState,
}

impl<R> Default for Subscribers<R> {
    fn default() -> Self {
        Self(Shape::Few(Vec::new()))
    }
}

impl<R> Subscribers<R> {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Subscription<R>] {
        match &self.0 {
            Shape::One(one) => slice::from_ref(one),
            Shape::Few(list) => list,
            Shape::Many(indexed) => &indexed.list,
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<R: Clone + Eq + Hash> Subscribers<R> {
    /// Adds or replaces; answers whether the recipient is new.
    pub(super) fn insert(&mut self, subscription: Subscription<R>) -> bool {
        if let Some(old) = self.find_mut(&subscription.handle) {
            *old = subscription;
            return false;
        }
        match mem::take(self).0 {
            Shape::Few(list) if list.is_empty() => self.0 = Shape::One(subscription),
            Shape::One(one) => self.0 = Shape::Few(vec![one, subscription]),
            Shape::Few(mut list) => {
                list.push(subscription);
                self.0 = if list.len() > LISTED { Shape::Many(Box::new(Indexed::of(list))) } else { Shape::Few(list) };
            }
            Shape::Many(mut indexed) => {
                indexed.push(subscription);
                self.0 = Shape::Many(indexed);
            }
        }
        true
    }

    /// Removes; answers whether the recipient was there. The last one takes
    /// its place.
    pub(super) fn remove(&mut self, handle: &R) -> bool {
        match &mut self.0 {
            Shape::One(one) => {
                let found = one.handle == *handle;
                if found {
                    *self = Self::default();
                }
                found
            }
            Shape::Few(list) => {
                let Some(at) = list.iter().position(|subscription| subscription.handle == *handle) else {
                    return false;
                };
                list.swap_remove(at);
                if list.len() <= 1 {
                    self.0 = list.pop().map_or(Shape::Few(Vec::new()), Shape::One);
                }
                true
            }
            Shape::Many(indexed) => {
                let found = indexed.remove(handle);
                if indexed.list.len() <= LISTED / 2 {
                    let mut list = mem::take(&mut indexed.list);
                    list.shrink_to_fit();
                    self.0 = Shape::Few(list);
                }
                found
            }
        }
    }

    fn find_mut(&mut self, handle: &R) -> Option<&mut Subscription<R>> {
        match &mut self.0 {
            Shape::One(one) => Some(one).filter(|one| one.handle == *handle),
            Shape::Few(list) => list.iter_mut().find(|subscription| subscription.handle == *handle),
            Shape::Many(indexed) => {
                let at = indexed.find(handle)?;
                indexed.list.get_mut(at as usize)
            }
        }
    }
}

impl<R: Eq + Hash> Indexed<R> {
    fn of(list: Vec<Subscription<R>>) -> Self {
        let mut indexed =
            Self { list: Vec::with_capacity(list.len()), at: HashTable::new(), hasher: RandomState::default() };
        for subscription in list {
            indexed.push(subscription);
        }
        indexed
    }

    fn find(&self, handle: &R) -> Option<u32> {
        let is_it = |&at: &u32| self.list.get(at as usize).is_some_and(|found| found.handle == *handle);
        self.at.find(self.hasher.hash_one(handle), is_it).copied()
    }

    fn push(&mut self, subscription: Subscription<R>) {
        let hash = self.hasher.hash_one(&subscription.handle);
        let at = self.list.len() as u32;
        self.list.push(subscription);
        let (list, hasher) = (&self.list, &self.hasher);
        self.at.insert_unique(hash, at, |&at| {
            list.get(at as usize).map_or(0, |subscription| hasher.hash_one(&subscription.handle))
        });
    }

    fn remove(&mut self, handle: &R) -> bool {
        let Some(at) = self.find(handle) else { return false };
        let last = (self.list.len() - 1) as u32;
        if let Ok(entry) = self.at.find_entry(self.hasher.hash_one(handle), |&place| place == at) {
            entry.remove();
        }
        if at != last
            && let Some(moved) = self.list.last()
        {
            let hash = self.hasher.hash_one(&moved.handle);
            if let Some(place) = self.at.find_mut(hash, |&place| place == last) {
                *place = at;
            }
        }
        self.list.swap_remove(at as usize);
        true
    }
}
