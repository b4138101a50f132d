//! How often one address may hand in a certificate request (CEN-CSR-03): nobody
//! has to log in for it, and a bounded number of requests waits for a decision,
//! so that a stranger could keep everybody else out.
//!
//! What lives here: the count. What does not: requests per address and second
//! in general (`net`). Invariant: the table never grows, whoever comes; a
//! minute's worth may be handed in at once.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Cells of the table. Addresses that share one share their rate, and which is
/// not foreseen, because the hash is seeded.
const CELLS: usize = 1024;

const MINUTE: u64 = 60_000;

/// For each address the moment up to which it has drawn ahead, in milliseconds
/// since the first request (the generic cell rate algorithm).
pub(super) struct HandIns {
    cells: Box<[AtomicU64]>,
    begun: OnceLock<Instant>,
    hasher: RandomState,
}

impl HandIns {
    pub(super) fn new() -> Self {
        let cells = (0..CELLS).map(|_| AtomicU64::new(0)).collect();
        Self { cells, begun: OnceLock::new(), hasher: RandomState::new() }
    }

    /// Whether `address` may hand in one more, at `most` a minute; 0 is no bound.
    ///
    /// # Errors
    /// After how long it may.
    pub(super) fn admit(&self, address: IpAddr, most: u32, now: Instant) -> Result<(), Duration> {
        let cell = usize::try_from(self.hasher.hash_one(network(address))).unwrap_or(0) % CELLS;
        let Some((cell, step)) = self.cells.get(cell).zip(MINUTE.checked_div(u64::from(most))) else { return Ok(()) };
        let since = now.saturating_duration_since(*self.begun.get_or_init(|| now));
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let drawn = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ahead| {
            let next = ahead.max(now) + step;
            (next <= now + MINUTE).then_some(next)
        });
        drawn.map(drop).map_err(|ahead| Duration::from_millis((ahead + step).saturating_sub(now + MINUTE)))
    }
}

/// Whoever has an IPv6 address has its whole /64.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_hands_in_a_minutes_worth_at_once_and_then_at_its_rate_and_others_do_not_wait() {
        let (hand_ins, begun) = (HandIns::new(), Instant::now());
        let (one, same, other): (IpAddr, IpAddr, IpAddr) =
            ("2001:db8::1".parse().unwrap(), "2001:db8::ffff".parse().unwrap(), "192.0.2.1".parse().unwrap());
        for number in 0..30 {
            assert_eq!(hand_ins.admit(one, 30, begun), Ok(()), "{number}");
        }
        let wait = hand_ins.admit(same, 30, begun).unwrap_err();
        assert_eq!(wait, Duration::from_secs(2));
        // One in 1024 shares the cell.
        let is_apart = hand_ins.hasher.hash_one(network(one)) % 1024 != hand_ins.hasher.hash_one(network(other)) % 1024;
        assert_eq!(hand_ins.admit(other, 30, begun).is_ok(), is_apart);
        assert_eq!(hand_ins.admit(one, 30, begun + wait), Ok(()));
        assert!(hand_ins.admit(one, 30, begun + wait).is_err());
        assert_eq!(hand_ins.admit(one, 0, begun), Ok(()), "0 is no bound");
    }
}
