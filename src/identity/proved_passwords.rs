//! Passwords that were right a moment ago.
//!
//! What lives here: keyed digests of an account's hash and the password that
//! was proved by it, so that requests which each bring their password do not
//! each cost a check. What does not: checking (`password`), who is heard at all
//! (`lockout`). Invariant: no password and nothing it could be guessed from is
//! kept: the key of the digests lives in this process alone. A new password is
//! a new hash, and so another digest.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

/// Digests that are kept; of more the oldest goes.
const MOST: usize = 256;

/// What stands for one account's hash with one password.
#[derive(Clone, Copy)]
pub struct Mark([u8; 32]);

/// The passwords that were right.
pub struct ProvedPasswords {
    /// None where there are no random numbers: then nothing is remembered.
    key: Option<hmac::Key>,
    /// The oldest in front.
    kept: Mutex<VecDeque<(Mark, Instant)>>,
}

impl Default for ProvedPasswords {
    fn default() -> Self {
        let mut secret = Zeroizing::new([0_u8; 32]);
        let key = rand::fill(secret.as_mut_slice()).ok().map(|()| hmac::Key::new(hmac::HMAC_SHA256, &*secret));
        Self { key, kept: Mutex::default() }
    }
}

impl ProvedPasswords {
    /// What stands for `password` behind `hash`.
    #[must_use]
    pub fn mark(&self, hash: &str, password: &[u8]) -> Option<Mark> {
        let mut context = hmac::Context::with_key(self.key.as_ref()?);
        // Two pairs must not be one text.
        context.update(&(hash.len() as u64).to_be_bytes());
        context.update(hash.as_bytes());
        context.update(password);
        Some(Mark(context.sign().as_ref().try_into().ok()?))
    }

    /// Whether it was right within `memory`. Every entry is compared, each in
    /// constant time.
    #[must_use]
    pub fn knows(&self, mark: &Mark, now: Instant, memory: Duration) -> bool {
        let kept = self.kept();
        let fresh = kept.iter().filter(|(_, since)| now.saturating_duration_since(*since) < memory);
        fresh.filter(|(known, _)| verify_slices_are_equal(&known.0, &mark.0).is_ok()).count() > 0
    }

    /// Notes that it was right.
    pub fn remember(&self, mark: Mark, now: Instant) {
        let mut kept = self.kept();
        kept.retain(|(known, _)| known.0 != mark.0);
        while kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back((mark, now));
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(Mark, Instant)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn what_was_right_is_known_for_as_long_as_was_said_and_nothing_else_is() {
        let (proved, now, minute) = (ProvedPasswords::default(), Clock::system().now(), Duration::from_secs(60));
        let mark = |hash, password: &str| proved.mark(hash, password.as_bytes()).unwrap();
        assert!(!proved.knows(&mark("h", "p"), now, minute));
        proved.remember(mark("h", "p"), now);
        assert!(proved.knows(&mark("h", "p"), now, minute));
        for (hash, password) in [("h", "q"), ("i", "p"), ("hp", ""), ("", "hp")] {
            assert!(!proved.knows(&mark(hash, password), now, minute), "{hash} {password}");
        }
        assert!(!proved.knows(&mark("h", "p"), now + minute, minute));
        assert!(!proved.knows(&mark("h", "p"), now, Duration::ZERO));
        let elsewhere = ProvedPasswords::default();
        assert_ne!(elsewhere.mark("h", b"p").unwrap().0, mark("h", "p").0, "each process has its own key");
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many_and_a_second_time_takes_no_place() {
        let (proved, now, minute) = (ProvedPasswords::default(), Clock::system().now(), Duration::from_secs(60));
        let mark = |number: usize| proved.mark("h", number.to_string().as_bytes()).unwrap();
        for number in 0..MOST {
            proved.remember(mark(number), now);
        }
        proved.remember(mark(0), now);
        assert!((0..MOST).all(|number| proved.knows(&mark(number), now, minute)));
        proved.remember(mark(MOST), now);
        assert!(!proved.knows(&mark(1), now, minute) && proved.knows(&mark(0), now, minute));
    }
}
