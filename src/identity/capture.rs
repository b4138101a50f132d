//! What has to get from inside a handshake to its connection, and back.
//!
//! What lives here: a slot of the thread, and a future that gives each
//! handshake its own. rustls has no place to put our reason: its verifier
//! and its ticketer see no connection, and its error only an alert. What does
//! not: the record (`refusal`). Invariant: what one handshake put is never
//! seen by another, even on the same thread.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::time::SystemTime;

use super::path::Failure;
use super::reason::Reason;
use super::refusal::{Refusal, Stage};

/// What one handshake knows beyond rustls.
#[derive(Debug, Default)]
struct Slot {
    failure: Option<Failure>,
    /// The end of the chain, seconds since 1970; no ticket outlives it.
    not_after: Option<i64>,
    /// Keys of TLS 1.3 were derived.
    is_1_3: bool,
}

/// What a handshake left beside its result.
#[derive(Debug, Default)]
pub struct Found {
    /// Why its certificate was refused, if it was.
    pub failure: Option<Failure>,
    /// `1.2` or `1.3`, as far as the handshake came to it.
    pub tls: Option<&'static str>,
}

thread_local! {
    static SLOT: RefCell<Slot> = const { RefCell::new(Slot { failure: None, not_after: None, is_1_3: false }) };
}

/// Leaves a failure for whoever polls this handshake.
pub(super) fn put_failure(failure: Failure) {
    SLOT.with_borrow_mut(|slot| slot.failure = Some(failure));
}

/// Leaves the end of the chain for the ticket of this handshake.
pub(super) fn put_not_after(not_after: i64) {
    SLOT.with_borrow_mut(|slot| slot.not_after = Some(not_after));
}

/// Notes that this handshake is one of TLS 1.3, by asking for its secrets to be
/// logged and letting none be: rustls asks as soon as it has derived the first,
/// and its error says nothing of the version.
#[derive(Debug)]
pub(super) struct VersionWitness;

impl rustls::KeyLog for VersionWitness {
    fn log(&self, _label: &str, _client_random: &[u8], _secret: &[u8]) {}

    fn will_log(&self, label: &str) -> bool {
        if label == "CLIENT_HANDSHAKE_TRAFFIC_SECRET" {
            SLOT.with_borrow_mut(|slot| slot.is_1_3 = true);
        }
        false
    }
}

/// The end of the chain that was left, if any.
pub(super) fn not_after() -> Option<i64> {
    SLOT.with_borrow(|slot| slot.not_after)
}

/// Empties this thread's slot and returns the failure in it; for handshakes
/// that are driven without [`capture`].
pub fn take() -> Option<Failure> {
    SLOT.take().failure
}

/// Runs a handshake with a slot of its own; beside its result stands what the
/// verifier put while it ran.
pub async fn capture<F: Future>(handshake: F) -> (F::Output, Found) {
    let mut handshake = pin!(handshake);
    let mut own = Slot::default();
    let output = std::future::poll_fn(|context| {
        let others = SLOT.replace(std::mem::take(&mut own));
        let poll = handshake.as_mut().poll(context);
        own = SLOT.replace(others);
        poll
    })
    .await;
    // A certificate is only judged once the version is agreed on.
    let tls = match (own.is_1_3, &own.failure) {
        (true, _) => Some("1.3"),
        (false, Some(_)) => Some("1.2"),
        (false, None) => None,
    };
    (output, Found { failure: own.failure, tls })
}

/// The refusal of a handshake that ended with `error`.
#[must_use]
pub fn refusal_of(error: &io::Error, found: Option<Failure>, now: SystemTime) -> Refusal {
    if let Some(failure) = found {
        return Refusal::of_chain(Stage::Handshake, &failure, now);
    }
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (reason, detail) = match tls {
        Some(rustls::Error::NoCertificatesPresented) => {
            (Reason::NoCertificate, "the client sent no certificate".to_owned())
        }
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding)) => {
            (Reason::Encoding, "the client's certificate cannot be read".to_owned())
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            (Reason::Tls, format!("the client ended the handshake with the alert {alert:?}"))
        }
        Some(error) => (Reason::Tls, error.to_string()),
        None if error.kind() == io::ErrorKind::TimedOut => (Reason::Timeout, "the handshake took too long".to_owned()),
        None => (Reason::Tls, format!("the connection ended: {error}")),
    };
    Refusal::new(Stage::Handshake, reason, detail, now)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn two_handshakes_on_one_thread_do_not_see_each_others_failures() {
        let handshake = |reason: Reason| {
            let mut polls = 0;
            std::future::poll_fn(move |_: &mut Context<'_>| {
                polls += 1;
                if polls == 1 {
                    put_failure(*Failure::new(reason, "x"));
                    put_not_after(i64::from(reason as u8));
                    return Poll::Pending;
                }
                Poll::Ready(not_after())
            })
        };
        let mut one = Box::pin(capture(handshake(Reason::Expired)));
        let mut two = Box::pin(capture(handshake(Reason::Revoked)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(one.as_mut().poll(&mut context).is_pending());
        assert!(two.as_mut().poll(&mut context).is_pending());
        for (handshake, reason) in [(&mut one, Reason::Expired), (&mut two, Reason::Revoked)] {
            let Poll::Ready((not_after, failure)) = handshake.as_mut().poll(&mut context) else { panic!("not ready") };
            assert_eq!(failure.failure.map(|failure| failure.reason), Some(reason));
            assert_eq!(not_after, Some(i64::from(reason as u8)));
        }
        assert!(take().is_none());
    }
}
