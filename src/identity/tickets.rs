//! Session tickets.
//!
//! What lives here: the keys that seal tickets, and the part that rustls asks
//! for and hands them back to. What does not: whether the holder of a ticket
//! may still come in; that is asked at every CONNECT (`admission`), because
//! rustls calls no verifier on resumption (deps.md section 2.2). Invariant: a
//! ticket opens only where it was sealed for, before its end, and never after
//! the end of the chain that it stands for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::capture;
use crate::clock::Clock;

/// A key seals for this long, and opens for as long again, seconds.
const ROTATION: u64 = 6 * 3600;
/// A ticket's life, seconds: one sealed at a key's last moment still opens.
const LIFETIME: u32 = 6 * 3600;
const NAME_LEN: usize = 8;

struct Key {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
    made: u64,
}

impl Key {
    fn generate(now: u64) -> Result<Self, Unspecified> {
        let mut name = [0; NAME_LEN];
        let mut secret = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut name)?;
        aws_lc_rs::rand::fill(&mut *secret)?;
        Ok(Self { name, key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*secret)?), made: now })
    }
}

/// The key that seals, and the one that did before.
#[derive(Clone)]
struct Ring {
    current: Option<Arc<Key>>,
    previous: Option<Arc<Key>>,
}

impl Ring {
    /// Without random numbers there are no tickets; handshakes go on in full.
    fn fresh(now: u64) -> Self {
        Self { current: Key::generate(now).ok().map(Arc::new), previous: None }
    }

    /// A clock that was set back makes a key due as well.
    fn is_due(&self, now: u64) -> bool {
        self.current.as_ref().is_none_or(|key| now.abs_diff(key.made) >= ROTATION)
    }

    fn rotated(&self, now: u64) -> Self {
        let previous = self.current.clone().filter(|key| now.abs_diff(key.made) < 2 * ROTATION);
        Self { previous, ..Self::fresh(now) }
    }

    fn named(&self, name: &[u8]) -> Option<&Arc<Key>> {
        self.current.iter().chain(&self.previous).find(|key| key.name == name)
    }
}

/// The keys of all listeners: one part, so that several nodes can share them
/// by sharing it.
pub struct TicketKeys {
    clock: Clock,
    ring: ArcSwap<Ring>,
    rotating: Mutex<()>,
}

impl TicketKeys {
    /// Starts with a fresh key.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let ring = ArcSwap::from_pointee(Ring::fresh(clock.unix_seconds()));
        Self { clock, ring, rotating: Mutex::new(()) }
    }

    /// Makes every ticket so far worthless: an anchor has gone.
    pub fn forget(&self) {
        let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        self.ring.store(Arc::new(Ring::fresh(self.clock.unix_seconds())));
    }

    /// The ring at `now`, rotated if it is time.
    fn ring(&self, now: u64) -> Arc<Ring> {
        let ring = self.ring.load_full();
        if !ring.is_due(now) {
            return ring;
        }
        let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = self.ring.load_full();
        if ring.is_due(now) {
            self.ring.store(Arc::new(ring.rotated(now)));
        }
        self.ring.load_full()
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys")
    }
}

/// The tickets of one listener and server name: sealed with the shared keys,
/// opened only there.
#[derive(Debug)]
pub(super) struct Tickets {
    pub keys: Arc<TicketKeys>,
    /// What the tickets are for; bound to each of them.
    pub scope: String,
}

// A ticket: the key's name, a nonce, and sealed its end (seconds since 1970,
// 8 bytes), a byte and the end of its chain, and rustls' session.
const HEAD: usize = 8 + 1 + 8;

impl Tickets {
    fn seal(&self, session: &[u8], now: u64) -> Option<Vec<u8>> {
        let ring = self.keys.ring(now);
        let key = ring.current.as_ref()?;
        let chain_end = capture::not_after().and_then(|end| u64::try_from(end).ok());
        let end = (now + u64::from(LIFETIME)).min(chain_end.unwrap_or(u64::MAX));
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut sealed = Vec::with_capacity(HEAD + session.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&end.to_be_bytes());
        sealed.push(u8::from(chain_end.is_some()));
        sealed.extend_from_slice(&chain_end.unwrap_or(0).to_be_bytes());
        sealed.extend_from_slice(session);
        let nonce_again = Nonce::assume_unique_for_key(nonce);
        key.key.seal_in_place_append_tag(nonce_again, Aad::from(self.scope.as_bytes()), &mut sealed).ok()?;
        Some([&key.name[..], &nonce[..], &sealed].concat())
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME_LEN)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let ring = self.keys.ring(now);
        let key = ring.named(name)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.key.open_in_place(nonce, Aad::from(self.scope.as_bytes()), &mut sealed).ok()?;
        let (end, rest) = opened.split_first_chunk::<8>()?;
        let (has_chain_end, rest) = rest.split_first()?;
        let (chain_end, session) = rest.split_first_chunk::<8>()?;
        if now > u64::from_be_bytes(*end) {
            return None;
        }
        if *has_chain_end == 1 {
            // The next ticket of a resumed session ends with the chain too.
            capture::put_not_after(i64::try_from(u64::from_be_bytes(*chain_end)).unwrap_or(i64::MAX));
        }
        Some(session.to_vec())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, self.keys.clock.unix_seconds())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, self.keys.clock.unix_seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(keys: &Arc<TicketKeys>, scope: &str) -> Tickets {
        Tickets { keys: Arc::clone(keys), scope: scope.to_owned() }
    }

    #[test]
    fn a_ticket_opens_for_its_scope_only() {
        drop(capture::take());
        let keys = Arc::new(TicketKeys::new(Clock::system()));
        let sealed = tickets(&keys, "lab").encrypt(b"session").unwrap();
        assert_eq!(tickets(&keys, "lab").decrypt(&sealed).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets(&keys, "other").decrypt(&sealed), None);
    }

    #[test]
    fn a_ticket_ends_after_its_life_and_when_its_keys_are_forgotten() {
        drop(capture::take());
        let clock = Clock::system();
        let keys = Arc::new(TicketKeys::new(clock.clone()));
        let tickets = tickets(&keys, "lab");
        let sealed = tickets.encrypt(b"session").unwrap();
        clock.shift_to(i64::from(LIFETIME) - 60);
        assert!(tickets.decrypt(&sealed).is_some());
        clock.shift_to(i64::from(LIFETIME) + 60);
        assert!(tickets.decrypt(&sealed).is_none());
        let sealed = tickets.encrypt(b"session").unwrap();
        assert!(tickets.decrypt(&sealed).is_some());
        keys.forget();
        assert!(tickets.decrypt(&sealed).is_none());
    }

    #[test]
    fn a_ticket_never_outlives_the_chain_it_stands_for() {
        let clock = Clock::system();
        let tickets = tickets(&Arc::new(TicketKeys::new(clock.clone())), "lab");
        capture::put_not_after(i64::try_from(clock.unix_seconds()).unwrap() + 100);
        let sealed = tickets.encrypt(b"session").unwrap();
        drop(capture::take());
        assert!(tickets.decrypt(&sealed).is_some());
        assert!(capture::not_after().is_some(), "the next ticket knows the end too");
        let again = tickets.encrypt(b"session").unwrap();
        clock.shift_to(200);
        assert!(tickets.decrypt(&sealed).is_none() && tickets.decrypt(&again).is_none());
        drop(capture::take());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_but_a_ticket_open(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let tickets = tickets(&Arc::new(TicketKeys::new(Clock::system())), "lab");
            proptest::prop_assert!(tickets.decrypt(&bytes).is_none());
        }
    }
}
