//! Who owns a session: the take-over of one connection by another.
//!
//! What lives here: for each client of a tenant its queue, its principal, and
//! whether a connection owns the session, nobody does, or it is being handed
//! over; of a session that nobody has touched since the start its queue alone.
//! What does not: what a session is (`S`), how one is woken, and when a
//! connection yields.
//! Invariant: a session is owned once. Only the claim with the highest
//! generation is ever given it; claims in between are told that they were
//! superseded without having held it.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::{Entry as Place, OccupiedEntry};
use tokio::sync::oneshot;

use crate::identity::principal::Principal;
use crate::mqtt::ClientId;
use crate::telemetry::metrics::Gauge;

use super::{Moment, SessionQueue};

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
    /// When it ends.
    pub ends: Moment,
}

/// A session that nobody has touched since the start costs this and its name.
enum Slot<S> {
    /// All but its queue lies in the store. Its claim is 1.
    Asleep {
        queue: Arc<SessionQueue>,
        ends: Moment,
    },
    Awake(Box<Entry<S>>),
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
    entries: DashMap<ClientId, Slot<S>, foldhash::fast::RandomState>,
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

/// What became of a session that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// It is at rest, since the claim with this number: that of a newcomer, if
    /// one came and gave up waiting.
    Rests(u64),
    /// It went to a newcomer, or ended.
    Gone,
    /// The caller was not its owner.
    Foreign,
}

/// Why a session cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclaimed {
    /// It belongs to somebody else.
    #[error("the session belongs to another principal")]
    Foreign,
    /// It must be woken first.
    #[error("the session is still asleep")]
    Asleep,
}

/// The claim of a session that nobody has claimed since the start.
const FIRST: u64 = 1;

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
    /// [`Unclaimed::Foreign`] if `principal` is not the one that the session is
    /// kept for, [`Unclaimed::Asleep`] before [`Registry::wake`].
    pub fn claim(&self, key: &ClientId, principal: &Principal, control: Arc<dyn Yield>) -> Result<Claim<S>, Unclaimed> {
        match self.entries.entry(key.clone()) {
            Place::Vacant(place) => {
                let owner = Owner::Connection(control);
                place.insert(Slot::awake(principal.clone(), owner));
                Gauge::Sessions.add(1);
                Ok(Claim { generation: FIRST, outcome: Outcome::New })
            }
            Place::Occupied(mut place) => {
                let Slot::Awake(entry) = place.get_mut() else { return Err(Unclaimed::Asleep) };
                if entry.principal != *principal {
                    return Err(Unclaimed::Foreign);
                }
                entry.generation += 1;
                let outcome = entry.turn_over(control);
                Ok(Claim { generation: entry.generation, outcome })
            }
        }
    }

    /// Enters a session that a store remembers, of which nothing but the queue
    /// is made yet. Answers false if there is one of that name.
    pub fn lay(&self, key: ClientId, queue: Arc<SessionQueue>, ends: Moment) -> bool {
        let Place::Vacant(place) = self.entries.entry(key) else { return false };
        place.insert(Slot::Asleep { queue, ends });
        Gauge::Sessions.add(1);
        true
    }

    /// The queue of a session that is asleep.
    #[must_use]
    pub fn asleep(&self, key: &ClientId) -> Option<Arc<SessionQueue>> {
        match self.entries.get(key)?.value() {
            Slot::Asleep { queue, .. } => Some(Arc::clone(queue)),
            Slot::Awake(_) => None,
        }
    }

    /// Puts a session to rest that was asleep and is read from the store now,
    /// with the first number of its queue that was not sent; drops it if somebody
    /// was sooner.
    pub fn wake(&self, key: &ClientId, principal: Principal, session: S, queue: Arc<SessionQueue>, next: u64) {
        let Some(mut slot) = self.entries.get_mut(key) else { return };
        if let Slot::Asleep { queue: asleep, ends } = slot.value()
            && Arc::ptr_eq(asleep, &queue)
        {
            let parked = Parked { session, queue, next, ends: *ends };
            *slot = Slot::awake(principal, Owner::None(parked));
        }
    }

    /// Takes a session away that is asleep and cannot be read; answers whether
    /// it was there.
    pub fn forget(&self, key: &ClientId) -> bool {
        let gone = self.entries.remove_if(key, |_, slot| matches!(slot, Slot::Asleep { .. })).is_some();
        Gauge::Sessions.add(-i64::from(gone));
        gone
    }

    /// Gives a session back. With `None` it has ended.
    pub fn hand_back(&self, key: &ClientId, generation: u64, parked: Option<Parked<S>>) -> Returned {
        let Place::Occupied(mut place) = self.entries.entry(key.clone()) else { return Returned::Foreign };
        let Slot::Awake(entry) = place.get_mut() else { return Returned::Foreign };
        if generation > entry.generation {
            return Returned::Foreign;
        }
        match std::mem::replace(&mut entry.owner, Owner::Connection(Arc::new(Nobody))) {
            Owner::Moving { newcomer, control } => {
                entry.owner = Owner::Connection(control);
                match newcomer.send(parked) {
                    Ok(()) => Returned::Gone,
                    // The newcomer gave up waiting: the session rests, or ends.
                    Err(parked) => settle(place, parked),
                }
            }
            Owner::Connection(_) if generation == entry.generation => settle(place, parked),
            other => {
                entry.owner = other;
                Returned::Foreign
            }
        }
    }

    /// Looks at a session at rest, if nothing claimed it since `generation`.
    pub fn with_parked<T>(&self, key: &ClientId, generation: u64, look: impl FnOnce(&mut Parked<S>) -> T) -> Option<T> {
        let mut slot = self.entries.get_mut(key)?;
        let Slot::Awake(entry) = slot.value_mut() else { return None };
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
        let rests = |slot: &Slot<S>| matches!(slot, Slot::Awake(entry) if entry.rests_since(generation));
        let (_, slot) = self.entries.remove_if(key, |_, slot| rests(slot))?;
        Gauge::Sessions.add(-1);
        match slot {
            Slot::Awake(entry) => entry.parked(),
            Slot::Asleep { .. } => None,
        }
    }

    /// Those at rest that end after `from`, and until `to`, with the claim since
    /// which they rest. It looks at all of them, and locks one shard at a time.
    pub fn ending(&self, from: Moment, to: Moment) -> Vec<(ClientId, u64, Moment)> {
        let found = self.entries.iter().filter_map(|slot| {
            let (generation, ends) = slot.value().rest()?;
            (from < ends && ends <= to).then(|| (slot.key().clone(), generation, ends))
        });
        found.collect()
    }
}

impl<S> Slot<S> {
    /// Since which claim it rests, and when it ends then.
    fn rest(&self) -> Option<(u64, Moment)> {
        match self {
            Self::Asleep { ends, .. } => Some((FIRST, *ends)),
            Self::Awake(entry) => match &entry.owner {
                Owner::None(parked) => Some((entry.generation, parked.ends)),
                _ => None,
            },
        }
    }

    fn awake(principal: Principal, owner: Owner<S>) -> Self {
        Self::Awake(Box::new(Entry { principal, generation: FIRST, owner }))
    }
}

impl<S> Entry<S> {
    const fn rests_since(&self, generation: u64) -> bool {
        self.generation == generation && matches!(self.owner, Owner::None(_))
    }

    fn parked(self) -> Option<Parked<S>> {
        match self.owner {
            Owner::None(parked) => Some(parked),
            _ => None,
        }
    }

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

/// Lays a session that nobody waits for to rest, or ends it.
fn settle<S>(mut place: OccupiedEntry<'_, ClientId, Slot<S>>, parked: Option<Parked<S>>) -> Returned {
    if let Slot::Awake(entry) = place.get_mut()
        && let Some(parked) = parked
    {
        entry.owner = Owner::None(parked);
        return Returned::Rests(entry.generation);
    }
    place.remove();
    Gauge::Sessions.add(-1);
    Returned::Gone
}

/// Stands in while an owner is exchanged under the lock.
struct Nobody;

impl Yield for Nobody {
    fn yield_to(&self, _: u64) {}
}
