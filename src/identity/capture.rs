//! How a refusal gets from inside a handshake to its connection.
//!
//! What lives here: a slot of the thread, and a future that gives each
//! handshake its own. rustls has no place to put our reason: its verifier
//! sees no connection, and its error only an alert. What does not: the record
//! (`refusal`). Invariant: what one handshake put is never seen by another,
//! even on the same thread.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::Context;
use std::time::SystemTime;

use super::path::Failure;
use super::reason::Reason;
use super::refusal::{Refusal, Stage};

thread_local! {
    static SLOT: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

/// Leaves a failure for whoever polls this handshake.
pub(super) fn put(failure: Failure) {
    SLOT.with_borrow_mut(|slot| *slot = Some(failure));
}

/// Takes what was put since the slot was last empty.
pub fn take() -> Option<Failure> {
    SLOT.with_borrow_mut(Option::take)
}

/// Runs a handshake; beside its result stands the failure that the verifier
/// put while it ran.
pub async fn capture<F: Future>(handshake: F) -> (F::Output, Option<Failure>) {
    let mut handshake = pin!(handshake);
    let mut found = None;
    let output = std::future::poll_fn(|context: &mut Context<'_>| {
        // Another handshake may have run on this thread since the last poll.
        drop(take());
        let poll = Pin::new(&mut handshake).as_mut().poll(context);
        found = take().or_else(|| found.take());
        poll
    })
    .await;
    (output, found)
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
        Some(rustls::Error::AlertReceived(alert)) => {
            (Reason::Tls, format!("the client ended the handshake with the alert {alert:?}"))
        }
        Some(error) => (Reason::Tls, error.to_string()),
        None if error.kind() == io::ErrorKind::TimedOut => (Reason::Timeout, "the handshake took too long".to_owned()),
        None => (Reason::Tls, format!("the connection ended: {error}")),
    };
    Refusal::new(Stage::Handshake, reason, detail, now)
}
