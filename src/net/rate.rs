//! How often something may happen.
//!
//! What lives here: connections per address and second, publications per client
//! and second. What does not: what happens to who does more (`listener`,
//! `connection`). Both count by the generic cell rate algorithm: one moment says
//! how far somebody has drawn ahead, and a second's worth may be drawn at once.
//! Invariant: the table of addresses never grows, whoever comes.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

/// Cells of the table. Addresses that share one share their rate: with a
/// hundred busy addresses one in forty does, and which is not foreseen, because
/// the hash is seeded.
const CELLS: usize = 4096;

/// What may be drawn at once.
const BURST: Duration = Duration::from_secs(1);

/// What a client that has drawn as much is given at a time: whoever sends
/// steadily costs ten turns a second, not one for each publication.
const SLICE: Duration = Duration::from_millis(100);

/// Connections per second of each address.
#[derive(Debug)]
pub(super) struct ConnectRates {
    /// In microseconds since `begun`.
    cells: Box<[AtomicU64]>,
    begun: OnceLock<Instant>,
    hasher: RandomState,
}

impl Default for ConnectRates {
    fn default() -> Self {
        let cells = (0..CELLS).map(|_| AtomicU64::new(0)).collect();
        Self { cells, begun: OnceLock::new(), hasher: RandomState::default() }
    }
}

impl ConnectRates {
    /// Whether `address` may connect once more, at `rate` a second; 0 = always.
    pub(super) fn admit(&self, address: IpAddr, rate: u32, now: Instant) -> bool {
        if rate == 0 {
            return true;
        }
        let cell = usize::try_from(self.hasher.hash_one(network(address))).unwrap_or(0) % CELLS;
        let Some(cell) = self.cells.get(cell) else { return true };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let now = micros(now.saturating_duration_since(*self.begun.get_or_init(|| now)));
        let drawn = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ahead| {
            let next = ahead.max(now) + 1_000_000 / u64::from(rate);
            (next <= now + micros(BURST)).then_some(next)
        });
        drawn.is_ok()
    }
}

/// Whoever has an IPv6 address has its whole /64.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0),
    }
}

/// Publications per second of one client.
#[derive(Debug)]
pub(super) struct PublishRate {
    /// A publication each.
    interval: Duration,
    /// So far is paid for.
    paid_until: Instant,
    /// Since when the client was held back without a break.
    held_since: Option<Instant>,
}

impl PublishRate {
    /// `rate` a second; nothing when that is 0.
    pub(super) fn new(rate: u32, now: Instant) -> Option<Self> {
        let interval = Duration::from_secs(1).checked_div(rate)?;
        Some(Self { interval, paid_until: now, held_since: None })
    }

    /// How many publications may be taken at `now`, at least one: what was read
    /// beyond them waits, for a single read may bring more than is paid for in
    /// minutes.
    pub(super) fn allowance(&self, now: Instant) -> u32 {
        let left = (BURST + SLICE).saturating_sub(self.paid_until.saturating_duration_since(now));
        let count = left.as_nanos().checked_div(self.interval.as_nanos()).unwrap_or(u128::MAX);
        u32::try_from(count).unwrap_or(u32::MAX).max(1)
    }

    /// Charges `count` publications and tells until when the client is not
    /// read, if it has drawn too far ahead.
    pub(super) fn charge(&mut self, count: u32, now: Instant) -> Option<Instant> {
        if self.paid_until <= now {
            self.held_since = None;
        }
        self.paid_until = self.paid_until.max(now) + self.interval * count;
        let until = self.paid_until.checked_sub(BURST).filter(|until| *until > now)?;
        self.held_since.get_or_insert(now);
        Some(until)
    }

    /// For how long the client has been above its rate.
    pub(super) fn held_for(&self, now: Instant) -> Duration {
        self.held_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn an_address_may_draw_a_second_ahead_and_then_keeps_its_rate() {
        let (rates, start) = (ConnectRates::default(), Clock::system().now());
        let address = "192.0.2.1".parse().unwrap();
        let admitted = |at, count| (0..count).filter(|_| rates.admit(address, 10, at)).count();
        assert_eq!(admitted(start, 50), 10);
        assert_eq!(admitted(start + Duration::from_millis(500), 50), 5);
        assert_eq!(admitted(start + Duration::from_secs(60), 50), 10);
        assert!((0..1000).all(|_| rates.admit(address, 0, start)));
        assert!(rates.admit("192.0.2.2".parse().unwrap(), 10, start) || rates.admit("::1".parse().unwrap(), 10, start));
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let (rates, now) = (ConnectRates::default(), Clock::system().now());
        let addresses = (0..100_u32).map(|host| format!("2001:db8::{host:x}").parse().unwrap());
        assert_eq!(addresses.filter(|address| rates.admit(*address, 7, now)).count(), 7);
    }

    #[test]
    fn a_client_is_held_back_until_it_is_a_second_ahead_again() {
        let start = Clock::system().now();
        assert!(PublishRate::new(0, start).is_none());
        let mut rate = PublishRate::new(100, start).unwrap();
        assert_eq!(rate.charge(100, start), None);
        let second = start + Duration::from_secs(1);
        assert_eq!(rate.charge(50, start), Some(start + Duration::from_millis(500)));
        assert_eq!(rate.charge(100, second), Some(start + Duration::from_millis(1500)));
        assert_eq!(rate.held_for(second), Duration::from_secs(1));
        let later = start + Duration::from_secs(9);
        assert_eq!(rate.charge(1, later), None);
        assert_eq!(rate.held_for(later), Duration::ZERO);
    }

    #[test]
    fn whoever_takes_no_more_than_the_allowance_is_held_for_a_slice_or_one_publication() {
        let start = Clock::system().now();
        for per_second in [1, 7, 100, 1_000_000] {
            let mut rate = PublishRate::new(per_second, start).unwrap();
            let (mut now, mut taken) = (start, 0);
            while now < start + Duration::from_secs(20) {
                let allowance = rate.allowance(now);
                let until = rate.charge(allowance, now).unwrap_or(now + SLICE);
                assert!(until - now <= SLICE.max(rate.interval), "{per_second} a second: {:?}", until - now);
                (now, taken) = (until, taken + u64::from(allowance));
            }
            let expected = 20 * u64::from(per_second);
            assert!((expected..=expected + u64::from(per_second) * 2).contains(&taken), "{taken} of {expected}");
        }
    }
}
