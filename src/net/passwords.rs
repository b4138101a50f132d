//! Where passwords are checked.
//!
//! What lives here: how many are checked at once, how many wait, and which
//! addresses are not heard (AUTH-14). What does not: hashing
//! (`identity::password`), who has to prove one (`identity::credentials`).
//! Invariant: hashing never runs on a thread that serves connections, and
//! never for more callers than the bound says.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::identity::credentials::Challenge;
use crate::identity::lockout::Lockout;
use crate::identity::password;
use crate::identity::proved_passwords::ProvedPasswords;
use crate::shutdown::Tasks;
use crate::telemetry::metrics::Counter;

/// What came of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is the account's.
    Right,
    /// It is not.
    Wrong,
    /// Nobody looked: too many from there were wrong.
    LockedOut,
    /// Nobody looked: too many wait.
    Busy,
}

/// Checks passwords on threads of their own.
pub struct Passwords {
    lockout: Lockout,
    /// Passwords over HTTPS that were right: each request brings its own.
    proved: ProvedPasswords,
    /// One check takes a core for some 20 ms and 19 MiB: half of the cores
    /// stay with the clients that are in.
    cores: Semaphore,
    /// Checks in progress, and those that wait.
    inside: AtomicUsize,
    tasks: Tasks,
}

impl Passwords {
    /// A pool whose work is part of `tasks`.
    #[must_use]
    pub fn new(tasks: Tasks) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = Semaphore::new((cores / 2).clamp(1, 8));
        Self {
            lockout: Lockout::default(),
            proved: ProvedPasswords::default(),
            cores,
            inside: AtomicUsize::new(0),
            tasks,
        }
    }

    /// As `Passwords::check`, for a hash that belongs to no tenant's snapshot;
    /// without one nobody's is checked, which takes as long and is wrong. What
    /// was right within `memory` is right without a check, since each request
    /// over HTTPS brings its password: unless the address is locked out, or the
    /// hash is another one by now.
    pub async fn check_hash(
        &self,
        address: IpAddr,
        hash: Option<Arc<str>>,
        password: Zeroizing<Vec<u8>>,
        most: usize,
        memory: Duration,
        clock: &Clock,
    ) -> Checked {
        let mark = hash.as_deref().and_then(|hash| self.proved.mark(hash, &password)).filter(|_| !memory.is_zero());
        if let Some(mark) = &mark
            && !self.lockout.is_locked(address, clock.now())
            && self.proved.knows(mark, clock.now(), memory)
        {
            Counter::PasswordsRemembered.one();
            return Checked::Right;
        }
        let challenge = Challenge { hash: hash.unwrap_or_else(|| Arc::from(password::STAND_IN)), password };
        let checked = self.check(address, challenge, most, clock).await;
        if let Some(mark) = mark.filter(|_| checked == Checked::Right) {
            self.proved.remember(mark, clock.now());
        }
        checked
    }

    /// Compares a password that stands in the configuration as it is with
    /// those that `address` may mean.
    pub fn compare(&self, address: IpAddr, good: &[&[u8]], given: &[u8], clock: &Clock) -> Checked {
        if self.lockout.is_locked(address, clock.now()) {
            return Checked::LockedOut;
        }
        let is = |good: &&[u8]| password::is_same(good, given);
        if good.iter().filter(|good| is(good)).count() > 0 {
            return Checked::Right;
        }
        self.lockout.failed(address, clock.now());
        Checked::Wrong
    }

    /// Hashes a new password; `None` when `most` are inside, or when there are
    /// no random numbers.
    pub async fn hash(&self, password: Zeroizing<Vec<u8>>, most: usize) -> Option<String> {
        let _inside = Inside::enter(&self.inside, most)?;
        let _core = self.cores.acquire().await.ok()?;
        self.tasks.blocking("password", move || password::hash(&password).ok()).await.flatten()
    }

    /// Checks the password of a client at `address`; `most` may be inside.
    pub(super) async fn check(&self, address: IpAddr, challenge: Challenge, most: usize, clock: &Clock) -> Checked {
        if self.lockout.is_locked(address, clock.now()) {
            return Checked::LockedOut;
        }
        let Some(_inside) = Inside::enter(&self.inside, most) else { return Checked::Busy };
        let Ok(_core) = self.cores.acquire().await else { return Checked::Busy };
        // Others from there were checked while this one waited.
        if self.lockout.is_locked(address, clock.now()) {
            return Checked::LockedOut;
        }
        let Challenge { hash, password } = challenge;
        match self.tasks.blocking("password", move || password::verify(&hash, &password)).await {
            Some(true) => Checked::Right,
            Some(false) => {
                self.lockout.failed(address, clock.now());
                Checked::Wrong
            }
            None => Checked::Busy,
        }
    }
}

/// One of those inside, for as long as it lives: a client that goes away
/// while it waits makes room.
struct Inside<'p>(&'p AtomicUsize);

impl<'p> Inside<'p> {
    fn enter(inside: &'p AtomicUsize, most: usize) -> Option<Self> {
        let entered = inside.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now < most).then_some(now + 1));
        entered.ok().map(|_| Self(inside))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of "right" that is quickest to check.
    fn challenge(password: &str) -> Challenge {
        use argon2::password_hash::PasswordHasher;
        let params = argon2::Params::new(8, 1, 1, None).unwrap();
        let quick = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash = quick.hash_password(b"right").unwrap().to_string();
        Challenge { hash: Arc::from(hash), password: Zeroizing::new(password.as_bytes().to_vec()) }
    }

    /// AUTH-14
    #[tokio::test]
    async fn ten_wrong_passwords_close_the_door_for_the_right_one_from_there_only() {
        let (pool, clock) = (Passwords::new(Tasks::new()), Clock::system());
        let here = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(pool.check(here, challenge("right"), 4, &clock).await, Checked::Right);
        for _ in 0..10 {
            assert_eq!(pool.check(here, challenge("wrong"), 4, &clock).await, Checked::Wrong);
        }
        assert_eq!(pool.check(here, challenge("right"), 4, &clock).await, Checked::LockedOut);
        assert_eq!(pool.check(IpAddr::from([192, 0, 2, 2]), challenge("right"), 4, &clock).await, Checked::Right);
    }

    /// AUTH-14
    #[test]
    fn the_bootstrap_password_is_guessed_ten_times_at_most() {
        let (pool, clock) = (Passwords::new(Tasks::new()), Clock::system());
        let here = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(pool.compare(here, &[b"other", b"right"], b"right", &clock), Checked::Right);
        for _ in 0..10 {
            assert_eq!(pool.compare(here, &[b"right"], b"wrong", &clock), Checked::Wrong);
        }
        assert_eq!(pool.compare(here, &[b"right"], b"right", &clock), Checked::LockedOut);
        assert_eq!(pool.compare(IpAddr::from([192, 0, 2, 2]), &[], b"", &clock), Checked::Wrong);
    }

    #[tokio::test]
    async fn what_was_right_is_taken_again_for_a_while_but_not_from_where_nobody_is_heard() {
        let (pool, clock) = (Passwords::new(Tasks::new()), Clock::system());
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let Challenge { hash, .. } = challenge("right");
        let memory = Duration::from_secs(60);
        let ask = async |address, password: &str, memory, most| {
            let password = Zeroizing::new(password.as_bytes().to_vec());
            pool.check_hash(address, Some(Arc::clone(&hash)), password, most, memory, &clock).await
        };
        assert_eq!(ask(here, "right", memory, 0).await, Checked::Busy, "nobody may check");
        assert_eq!(ask(here, "right", memory, 4).await, Checked::Right);
        assert_eq!(ask(there, "right", memory, 0).await, Checked::Right, "it was not checked again");
        assert_eq!(ask(here, "right", Duration::ZERO, 0).await, Checked::Busy, "nothing is remembered");
        assert_eq!(ask(here, "wrong", memory, 0).await, Checked::Busy, "another password is checked");
        for _ in 0..10 {
            assert_eq!(ask(here, "wrong", memory, 4).await, Checked::Wrong);
        }
        assert_eq!(ask(here, "right", memory, 4).await, Checked::LockedOut);
        assert_eq!(ask(there, "right", memory, 0).await, Checked::Right);
        let other = pool.check_hash(
            there,
            Some(Arc::from(password::STAND_IN)),
            Zeroizing::new(b"right".to_vec()),
            4,
            memory,
            &clock,
        );
        assert_eq!(other.await, Checked::Wrong, "a new hash is a new password");
    }

    #[tokio::test]
    async fn more_than_the_bound_are_turned_away_and_a_free_place_is_found_again() {
        let (pool, clock) = (Passwords::new(Tasks::new()), Clock::system());
        let here = IpAddr::from([192, 0, 2, 1]);
        let held = Inside::enter(&pool.inside, 1).unwrap();
        assert_eq!(pool.check(here, challenge("right"), 1, &clock).await, Checked::Busy);
        drop(held);
        assert_eq!(pool.check(here, challenge("right"), 1, &clock).await, Checked::Right);
    }
}
