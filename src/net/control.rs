//! How a connection is spoken to from outside, and the index of all of them.
//!
//! Invariant: a connection enters the index before it loads the trust snapshot
//! that decides about it, and a change publishes the snapshot before it walks
//! the index: one of the two always sees the other.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;

use dashmap::DashMap;

use crate::delivery::Yield;
use crate::telemetry::metrics::{Counter, Gauge};

use super::clients::Client;

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Another connection claims the session.
    Yield,
    /// Trust or the time has changed: authorise again.
    Recheck,
    /// Somebody who runs the broker, or one of its platforms, ends the
    /// connection; `Control::why_dismissed` says why.
    Dismiss,
    /// The broker stops.
    ShutDown,
}

/// The handle of one connection.
#[derive(Debug)]
pub struct Control {
    id: u64,
    peer: SocketAddr,
    raised: AtomicBool,
    state: Mutex<State>,
    /// Set once its CONNECT was accepted.
    client: OnceLock<Client>,
}

#[derive(Debug, Default)]
struct State {
    waker: Option<Waker>,
    yielding: bool,
    recheck: bool,
    dismissed: Option<Arc<str>>,
    shut_down: bool,
}

impl Control {
    /// Its number in logs.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Where the client is.
    #[must_use]
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What others may look at, once the client is in.
    pub(super) fn client(&self) -> Option<&Client> {
        self.client.get()
    }

    /// Shows others who came in.
    pub(super) fn introduce(&self, client: Client) {
        let _ = self.client.set(client);
    }

    /// Ends the connection, with the words that its client may read.
    pub(super) fn dismiss(&self, why: &str) {
        self.lock().dismissed = Some(Arc::from(why));
        self.tell(Command::Dismiss);
    }

    /// Why the connection was ended from outside.
    pub(super) fn why_dismissed(&self) -> Option<Arc<str>> {
        self.lock().dismissed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the waker of the task that will hear commands.
    pub(super) fn listen(&self, waker: &Waker) {
        let mut state = self.lock();
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
    }

    /// The next command; one load while there is none.
    pub(super) fn hear(&self) -> Option<Command> {
        if !self.raised.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.lock();
        if state.shut_down {
            return Some(Command::ShutDown);
        }
        // It stays raised: whoever is dismissed hears nothing else.
        if state.dismissed.is_some() {
            return Some(Command::Dismiss);
        }
        if state.yielding {
            return Some(Command::Yield);
        }
        self.raised.store(false, Ordering::Release);
        std::mem::take(&mut state.recheck).then_some(Command::Recheck)
    }

    /// Whether the connection has to end before it has begun. It leaves every
    /// command to be heard by the driver.
    pub(super) fn has_to_end(&self) -> bool {
        self.raised.load(Ordering::Acquire) && {
            let state = self.lock();
            state.shut_down || state.dismissed.is_some()
        }
    }

    /// Tells the connection.
    pub(super) fn tell(&self, command: Command) {
        let mut state = self.lock();
        match command {
            Command::Yield => state.yielding = true,
            Command::Recheck => state.recheck = true,
            Command::Dismiss => {}
            Command::ShutDown => state.shut_down = true,
        }
        self.raised.store(true, Ordering::Release);
        let waker = state.waker.clone();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Yield for Control {
    fn yield_to(&self, _generation: u64) {
        self.tell(Command::Yield);
    }
}

/// All live connections, those still in their handshake included.
#[derive(Debug, Default)]
pub struct Live {
    connections: DashMap<u64, Arc<Control>, foldhash::fast::RandomState>,
    next: AtomicU64,
}

/// A place in the index, for as long as the connection lives.
#[derive(Debug)]
pub struct Entered {
    live: Arc<Live>,
    /// The handle.
    pub control: Arc<Control>,
}

impl Live {
    /// Enters a connection.
    pub(super) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Entered {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let control =
            Control { id, peer, raised: AtomicBool::new(false), state: Mutex::default(), client: OnceLock::new() };
        let control = Arc::new(control);
        self.connections.insert(id, Arc::clone(&control));
        Gauge::Connections.add(1);
        Entered { live: Arc::clone(self), control }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Shows every connection to `look`, which may tell none of them.
    pub(super) fn each(&self, mut look: impl FnMut(&Arc<Control>)) {
        self.connections.iter().for_each(|entry| look(entry.value()));
    }

    /// Ends one connection, with the words that its client may read. Answers
    /// whether it was there.
    pub fn dismiss(&self, id: u64, why: &str) -> bool {
        let control = self.connections.get(&id).map(|entry| Arc::clone(entry.value()));
        control.is_some_and(|control| {
            control.dismiss(why);
            true
        })
    }

    /// Tells every connection.
    pub fn tell_all(&self, command: Command) {
        let controls: Vec<_> = self.connections.iter().map(|entry| Arc::clone(entry.value())).collect();
        controls.iter().for_each(|control| control.tell(command));
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.live.connections.remove(&self.control.id);
        Counter::ConnectionsClosed.one();
        Gauge::Connections.add(-1);
    }
}
