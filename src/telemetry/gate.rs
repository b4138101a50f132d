//! How many lines of one kind the log gets.
//!
//! What lives here: a count of lines for each kind and each source network
//! within the present second. What does not: the lines, and the numbers, which
//! miss nothing (`metrics`). Invariant: the table never grows, whoever comes,
//! and what was held back is told of once.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use foldhash::fast::RandomState;

/// Networks that are told apart; those that share a cell share their lines.
const CELLS: usize = 1024;
/// A kind has so many times what a network has.
const NETWORKS: u32 = 5;

/// Lets so many lines through and counts the rest.
#[derive(Debug)]
pub struct Gate {
    /// For each kind and network within a second; 0 = no bound.
    most: AtomicU32,
    state: Mutex<State>,
    hasher: RandomState,
}

#[derive(Debug)]
struct State {
    second: u64,
    by_network: Vec<u32>,
    by_kind: Vec<u32>,
    held_back: Vec<u64>,
}

impl Gate {
    /// For `kinds` kinds, numbered from 0; without a bound yet.
    #[must_use]
    pub fn new(kinds: usize) -> Self {
        let state = State { second: 0, by_network: vec![0; CELLS], by_kind: vec![0; kinds], held_back: vec![0; kinds] };
        Self { most: AtomicU32::new(0), state: Mutex::new(state), hasher: RandomState::default() }
    }

    /// Lets `most` lines through from now on, for each kind and network within
    /// a second, and five times as many of a kind; 0 = all.
    pub fn open(&self, most: u32) {
        self.most.store(most, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a line of `kind` about somebody at `address` is written.
    pub fn admits(&self, kind: usize, address: Option<IpAddr>, now: SystemTime) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        if most == 0 {
            return true;
        }
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let cell = usize::try_from(self.hasher.hash_one((kind, address.map(network)))).unwrap_or(0) % CELLS;
        let mut state = self.lock();
        if state.second != second {
            state.second = second;
            state.by_network.fill(0);
            state.by_kind.fill(0);
        }
        let State { by_network, by_kind, held_back, .. } = &mut *state;
        let (Some(own), Some(all), Some(held)) =
            (by_network.get_mut(cell), by_kind.get_mut(kind), held_back.get_mut(kind))
        else {
            return true;
        };
        if *own >= most || *all >= most.saturating_mul(NETWORKS) {
            *held += 1;
            return false;
        }
        (*own, *all) = (*own + 1, *all + 1);
        true
    }

    /// The kinds of which lines were held back since the last call, with their
    /// numbers.
    pub fn held_back(&self) -> Vec<(usize, u64)> {
        let mut state = self.lock();
        let held = state.held_back.iter_mut().map(std::mem::take).enumerate();
        held.filter(|(_, count)| *count > 0).collect()
    }
}

/// Whoever floods from one address mostly has its neighbours too.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_gets_a_few_lines_a_second_and_one_that_says_how_many_more() {
        let (gate, start) = (Gate::new(2), UNIX_EPOCH + Duration::from_secs(1_000));
        let lines = |kind, network: u32, at| {
            let hosts = (0..100_u32).map(|host| IpAddr::from((network << 8 | host).to_be_bytes()));
            hosts.filter(|address| gate.admits(kind, Some(*address), at)).count()
        };
        assert_eq!(lines(0, 1, start), 100, "without a bound all are written");
        gate.open(4);
        assert_eq!(lines(0, 1, start), 4);
        assert_eq!(lines(1, 1, start), 4, "another kind has lines of its own");
        let others: usize = (2..50).map(|network| lines(0, network, start)).sum();
        assert_eq!(others, 16, "one kind has five times as many in all");
        assert_eq!(gate.held_back(), [(0, 4_880), (1, 96)]);
        assert_eq!(gate.held_back(), []);
        assert_eq!(lines(0, 1, start + Duration::from_secs(1)), 4);
    }
}
