//! Who holds one filter.
//!
//! What lives here: a set of subscriptions that costs 16 bytes for one holder
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
    None,
    One(Subscription<R>),
    Several(Box<Several<R>>),
}

#[derive(Clone, Debug)]
struct Several<R> {
    list: Vec<Subscription<R>>,
    /// Made when the list is long.
    places: Option<Box<Places>>,
}

/// Places in a list by recipient.
#[derive(Clone, Debug, Default)]
struct Places {
    at: HashTable<u32>,
    hasher: RandomState,
}

impl<R> Default for Subscribers<R> {
    fn default() -> Self {
        Self(Shape::None)
    }
}

impl<R> Subscribers<R> {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Subscription<R>] {
        match &self.0 {
            Shape::None => &[],
            Shape::One(one) => slice::from_ref(one),
            Shape::Several(several) => &several.list,
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
        match &mut self.0 {
            Shape::Several(several) => several.push(subscription),
            few => {
                *few = match mem::replace(few, Shape::None) {
                    Shape::One(one) => {
                        Shape::Several(Box::new(Several { list: vec![one, subscription], places: None }))
                    }
                    _ => Shape::One(subscription),
                }
            }
        }
        true
    }

    /// Removes; answers whether the recipient was there. The last one takes
    /// its place.
    pub(super) fn remove(&mut self, handle: &R) -> bool {
        match &mut self.0 {
            Shape::None => false,
            Shape::One(one) => {
                let found = one.handle == *handle;
                if found {
                    self.0 = Shape::None;
                }
                found
            }
            Shape::Several(several) => {
                let found = several.remove(handle);
                if several.list.len() <= 1 {
                    self.0 = several.list.pop().map_or(Shape::None, Shape::One);
                }
                found
            }
        }
    }

    fn find_mut(&mut self, handle: &R) -> Option<&mut Subscription<R>> {
        match &mut self.0 {
            Shape::None => None,
            Shape::One(one) => Some(one).filter(|one| one.handle == *handle),
            Shape::Several(several) => {
                let at = several.find(handle)?;
                several.list.get_mut(at)
            }
        }
    }
}

impl<R: Eq + Hash> Several<R> {
    fn find(&self, handle: &R) -> Option<usize> {
        match &self.places {
            None => self.list.iter().position(|subscription| subscription.handle == *handle),
            Some(places) => places.find(&self.list, handle),
        }
    }

    fn push(&mut self, subscription: Subscription<R>) {
        self.list.push(subscription);
        match &mut self.places {
            Some(places) => places.enter_last(&self.list),
            None if self.list.len() > LISTED => self.places = Some(Box::new(Places::of(&self.list))),
            None => {}
        }
    }

    fn remove(&mut self, handle: &R) -> bool {
        let Some(at) = self.find(handle) else { return false };
        if let Some(places) = &mut self.places {
            places.remove(&self.list, at);
        }
        self.list.swap_remove(at);
        if self.places.is_some() && self.list.len() <= LISTED / 2 {
            self.places = None;
            self.list.shrink_to_fit();
        }
        true
    }
}

impl Places {
    fn of<R: Eq + Hash>(list: &[Subscription<R>]) -> Self {
        let mut places = Self::default();
        (1..=list.len()).filter_map(|end| list.get(..end)).for_each(|list| places.enter_last(list));
        places
    }

    fn find<R: Eq + Hash>(&self, list: &[Subscription<R>], handle: &R) -> Option<usize> {
        let is_it = |&at: &u32| list.get(at as usize).is_some_and(|found| found.handle == *handle);
        self.at.find(self.hasher.hash_one(handle), is_it).map(|&at| at as usize)
    }

    /// Enters the last one of `list`.
    fn enter_last<R: Eq + Hash>(&mut self, list: &[Subscription<R>]) {
        let Self { at, hasher } = self;
        let hash = |&at: &u32| list.get(at as usize).map_or(0, |found| hasher.hash_one(&found.handle));
        let last = list.len().saturating_sub(1) as u32;
        at.insert_unique(hash(&last), last, hash);
    }

    /// Takes the one at `place` out; the last one will be there.
    fn remove<R: Eq + Hash>(&mut self, list: &[Subscription<R>], place: usize) {
        let (place, last) = (place as u32, list.len().saturating_sub(1) as u32);
        let hash = |at: u32| list.get(at as usize).map_or(0, |found| self.hasher.hash_one(&found.handle));
        let (here, moved) = (hash(place), hash(last));
        if let Ok(entry) = self.at.find_entry(here, |&at| at == place) {
            entry.remove();
        }
        if let Some(at) = self.at.find_mut(moved, |&at| at == last) {
            *at = place;
        }
    }
}
