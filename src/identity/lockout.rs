//! Who guessed too often.
//!
//! What lives here: wrong passwords by address, and for how long an address is
//! not heard (AUTH-14). What does not: passwords. Invariant: the table is
//! bounded; whoever fills it forgets the oldest guesses of others, never its
//! own lock.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong passwords that lock an address out.
const FAILURES: u32 = 10;
/// Within this time.
const WINDOW: Duration = Duration::from_secs(60);
/// For this long.
const LOCKED: Duration = Duration::from_secs(30);
/// Addresses that are remembered at most.
const ADDRESSES: usize = 16_384;

#[derive(Clone, Copy, Debug)]
struct Guesses {
    since: Instant,
    failures: u32,
    locked_until: Option<Instant>,
}

impl Guesses {
    fn is_over(&self, now: Instant) -> bool {
        let locked = self.locked_until.is_some_and(|until| now < until);
        !locked && now.saturating_duration_since(self.since) >= WINDOW
    }
}

/// Wrong passwords by address.
#[derive(Debug, Default)]
pub struct Lockout {
    by_address: Mutex<HashMap<IpAddr, Guesses>>,
}

impl Lockout {
    fn table(&self) -> MutexGuard<'_, HashMap<IpAddr, Guesses>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether passwords from `address` are not heard now.
    #[must_use]
    pub fn is_locked(&self, address: IpAddr, now: Instant) -> bool {
        let guesses = self.table().get(&network(address)).copied();
        guesses.and_then(|guesses| guesses.locked_until).is_some_and(|until| now < until)
    }

    /// Counts a wrong password.
    pub fn failed(&self, address: IpAddr, now: Instant) {
        let mut table = self.table();
        if table.len() >= ADDRESSES && !table.contains_key(&network(address)) {
            make_room(&mut table, now);
        }
        let fresh = Guesses { since: now, failures: 0, locked_until: None };
        let guesses = table.entry(network(address)).or_insert(fresh);
        if guesses.is_over(now) || guesses.locked_until.is_some_and(|until| until <= now) {
            *guesses = fresh;
        }
        guesses.failures += 1;
        if guesses.failures >= FAILURES {
            guesses.locked_until = guesses.locked_until.or(Some(now + LOCKED));
        }
    }
}

/// Forgets what is over; when nothing is, the oldest guesses without a lock.
fn make_room(table: &mut HashMap<IpAddr, Guesses>, now: Instant) {
    table.retain(|_, guesses| !guesses.is_over(now));
    if table.len() < ADDRESSES {
        return;
    }
    let oldest = table.iter().min_by_key(|(_, guesses)| (guesses.locked_until, guesses.since));
    if let Some(address) = oldest.map(|(address, _)| *address) {
        table.remove(&address);
    }
}

/// Whoever has an IPv6 address has the 2^64 of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// AUTH-14
    #[test]
    fn ten_wrong_passwords_in_a_minute_lock_an_address_out_for_half_a_minute() {
        #[allow(clippy::disallowed_methods)] // Any instant does.
        let (lockout, start) = (Lockout::default(), Instant::now());
        for second in 0..9 {
            lockout.failed(address(1), start + Duration::from_secs(second));
        }
        let tenth = start + Duration::from_secs(59);
        assert!(!lockout.is_locked(address(1), tenth));
        lockout.failed(address(1), tenth);
        assert!(lockout.is_locked(address(1), tenth) && !lockout.is_locked(address(2), tenth));
        assert!(lockout.is_locked(address(1), tenth + Duration::from_secs(29)));
        let free = tenth + LOCKED;
        assert!(!lockout.is_locked(address(1), free));
        lockout.failed(address(1), free);
        assert!(!lockout.is_locked(address(1), free), "the count begins anew");
    }

    /// AUTH-14
    #[test]
    fn ten_wrong_passwords_spread_over_more_than_a_minute_lock_nobody_out() {
        #[allow(clippy::disallowed_methods)] // Any instant does.
        let (lockout, start) = (Lockout::default(), Instant::now());
        for guess in 0..30 {
            let now = start + Duration::from_secs(guess * 7);
            lockout.failed(address(1), now);
            assert!(!lockout.is_locked(address(1), now), "{guess}");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_mapped_one_is_its_ipv4() {
        let text = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(network(text("2001:db8::1")), network(text("2001:db8::ffff:1")));
        assert_ne!(network(text("2001:db8::1")), network(text("2001:db8:0:1::1")));
        assert_eq!(network(text("::ffff:192.0.2.1")), address(1));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_locks() {
        #[allow(clippy::disallowed_methods)] // Any instant does.
        let (lockout, now) = (Lockout::default(), Instant::now());
        (0..FAILURES).for_each(|_| lockout.failed(address(1), now));
        for number in 0..u32::try_from(ADDRESSES).unwrap() + 100 {
            lockout.failed(IpAddr::from((0x0A00_0000 + number).to_be_bytes()), now);
        }
        assert!(lockout.table().len() <= ADDRESSES && lockout.is_locked(address(1), now));
    }
}
