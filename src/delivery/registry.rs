//! Who owns a session: the take-over of one connection by another.
//!
//! What lives here: for each client of a tenant its queue, its principal, and
//! whether a connection owns the session, nobody does, or it is being handed
//! over. What does not: what a session is (`S`), and when a connection yields.
//! Invariant: a session is owned once. Only the claim with the highest
//! generation is ever given it; claims in between are told that they were
//! superseded without having held it.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Place;
use tokio::sync::oneshot;

use crate::identity::principal::Principal;
use crate::mqtt::ClientId;
use crate::telemetry::metrics::Gauge;

use super::SessionQueue;

/// How a registry tells a connection to give its session up.
pub trait Yield: Send + Sync + 'static {
    /// A connection with this generation claims the session.
    fn yield_to(&self, generation: u64);
}

/// A session at rest, with what belongs to it.
#[derive(Debug)]
pub struct Parked<S> {
    /// The protocol state, and what belongs to it.
    pub session: S,
    /// Its queue.
    pub queue: Arc<SessionQueue>,
    /// The first number of the queue that was not sent.
    pub next: u64,
}

struct Entry<S> {
    principal: Principal,
    generation: u64,
    owner: Owner<S>,
}

enum Owner<S> {
    /// At rest.
    None(Parked<S>),
    /// A connection holds it.
    Connection(Arc<dyn Yield>),
    /// A connection was told to yield; this claim is next.
    Moving { newcomer: oneshot::Sender<Option<Parked<S>>>, control: Arc<dyn Yield> },
}

/// The sessions of one tenant, by the key under which clients push each other
/// out.
pub struct Registry<S> {
    entries: DashMap<ClientId, Entry<S>, foldhash::fast::RandomState>,
}

/// The right to a session, with the number that orders claims.
#[derive(Debug)]
pub struct Claim<S> {
    /// The number of this claim.
    pub generation: u64,
    /// How the session comes.
    pub outcome: Outcome<S>,
}

/// How a claimed session comes.
#[derive(Debug)]
pub enum Outcome<S> {
    /// There was none.
    New,
    /// It was at rest.
    Resumed(Parked<S>),
    /// Its owner was told to yield; the session follows, or nothing if it
    /// ended with its connection.
    Awaited(oneshot::Receiver<Option<Parked<S>>>),
}

/// The session belongs to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session belongs to another principal")]
pub struct Foreign;

impl<S> Default for Registry<S> {
    fn default() -> Self {
        Self { entries: DashMap::with_hasher(foldhash::fast::RandomState::default()) }
    }
}

impl<S: Send + 'static> Registry<S> {
    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Claims the session of `key` for a connection.
    ///
    /// # Errors
    /// [`Foreign`] if `principal` is not the one that the session is kept for.
    pub fn claim(&self, key: &ClientId, principal: &Principal, control: Arc<dyn Yield>) -> Result<Claim<S>, Foreign> {
        match self.entries.entry(key.clone()) {
            Place::Vacant(place) => {
                let owner = Owner::Connection(control);
                place.insert(Entry { principal: principal.clone(), generation: 1, owner });
                Gauge::Sessions.add(1);
                Ok(Claim { generation: 1, outcome: Outcome::New })
            }
            Place::Occupied(mut place) => {
                let entry = place.get_mut();
                if entry.principal != *principal {
                    return Err(Foreign);
                }
                entry.generation += 1;
                let outcome = entry.turn_over(control);
                Ok(Claim { generation: entry.generation, outcome })
            }
        }
    }

    /// Puts back a session that a store remembers; its claim is 1. Answers
    /// false, and drops it, if there is one of that name.
    pub fn restore(&self, key: &ClientId, principal: Principal, parked: Parked<S>) -> bool {
        let Place::Vacant(place) = self.entries.entry(key.clone()) else { return false };
        place.insert(Entry { principal, generation: 1, owner: Owner::None(parked) });
        Gauge::Sessions.add(1);
        true
    }

    /// Gives a session back. With `None` it has ended. Tells whether the caller
    /// was its owner.
    pub fn hand_back(&self, key: &ClientId, generation: u64, parked: Option<Parked<S>>) -> bool {
        let Place::Occupied(mut place) = self.entries.entry(key.clone()) else { return false };
        let entry = place.get_mut();
        if generation > entry.generation {
            return false;
        }
        match std::mem::replace(&mut entry.owner, Owner::Connection(Arc::new(Nobody))) {
            Owner::Moving { newcomer, control } => {
                entry.owner = Owner::Connection(control);
                match newcomer.send(parked) {
                    Ok(()) => {}
                    // The newcomer gave up waiting: the session rests, or ends.
                    Err(Some(parked)) => entry.owner = Owner::None(parked),
                    Err(None) => remove(place),
                }
            }
            Owner::Connection(_) if generation == entry.generation => match parked {
                Some(parked) => entry.owner = Owner::None(parked),
                None => remove(place),
            },
            other => {
                entry.owner = other;
                return false;
            }
        }
        true
    }

    /// Looks at a session at rest, if nothing claimed it since `generation`.
    pub fn with_parked<T>(&self, key: &ClientId, generation: u64, look: impl FnOnce(&mut Parked<S>) -> T) -> Option<T> {
        let mut entry = self.entries.get_mut(key)?;
        if entry.generation != generation {
            return None;
        }
        match &mut entry.owner {
            Owner::None(parked) => Some(look(parked)),
            _ => None,
        }
    }

    /// Takes a session at rest away, if nothing claimed it since `generation`.
    pub fn expire(&self, key: &ClientId, generation: u64) -> Option<Parked<S>> {
        let (_, entry) = self
            .entries
            .remove_if(key, |_, entry| entry.generation == generation && matches!(entry.owner, Owner::None(_)))?;
        Gauge::Sessions.add(-1);
        match entry.owner {
            Owner::None(parked) => Some(parked),
            _ => None,
        }
    }
}

impl<S> Entry<S> {
    fn turn_over(&mut self, control: Arc<dyn Yield>) -> Outcome<S> {
        match std::mem::replace(&mut self.owner, Owner::Connection(Arc::clone(&control))) {
            Owner::None(parked) => Outcome::Resumed(parked),
            Owner::Connection(owner) => {
                owner.yield_to(self.generation);
                self.await_hand_back(control)
            }
            // Dropping the older claim's sender tells it that it was superseded.
            Owner::Moving { .. } => self.await_hand_back(control),
        }
    }

    fn await_hand_back(&mut self, control: Arc<dyn Yield>) -> Outcome<S> {
        let (newcomer, receiver) = oneshot::channel();
        self.owner = Owner::Moving { newcomer, control };
        Outcome::Awaited(receiver)
    }
}

fn remove<S>(place: dashmap::mapref::entry::OccupiedEntry<'_, ClientId, Entry<S>>) {
    place.remove();
    Gauge::Sessions.add(-1);
}

/// Stands in while an owner is exchanged under the lock.
struct Nobody;

impl Yield for Nobody {
    fn yield_to(&self, _: u64) {}
}
