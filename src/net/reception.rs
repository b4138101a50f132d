//! The task of a connection that has no driver yet.
//!
//! What lives here: its begin and its end, whichever way it came in. What does
//! not: handshake, CONNECT, session (`establish`). Invariant: whoever waits
//! here stands in the live index, and hears at once that the broker stops.

use std::sync::Arc;
use std::task::Poll;

use crate::identity::admission::Peer;

use super::arrival::{self, Accepted, Bounds};
use super::connection::{Connection, linger};
use super::control::Control;
use super::establish::{Failed, Seats, begin, converse};
use super::limits::Admitted;
use super::listener::Listener;
use super::shared::Node;
use super::stream::Stream;

/// One socket from accept to the start of its driver.
pub(super) async fn serve(node: Arc<Node>, listener: Arc<Listener>, mut accepted: Accepted) {
    let mut stop = node.tasks.stop_signal();
    let settings = node.settings.load_full();
    let bounds = Bounds { limits: &node.limits, settings: &settings };
    let located = tokio::select! {
        located = arrival::locate(&node, bounds, &listener, &mut accepted) => located,
        () = stop.stopped() => false,
    };
    if !located {
        return;
    }
    let entered = node.live.enter(accepted.address);
    // A stop is announced before everybody is told: one of the two reaches us.
    if node.tasks.is_stopping() {
        return;
    }
    let control = Arc::clone(&entered.control);
    finish(&node, &control, begin(Arc::clone(&node), listener, accepted, entered)).await;
}

/// A stream whose WebSocket was opened by another part, from its CONNECT to the
/// start of its driver.
pub(super) async fn serve_opened(node: Arc<Node>, opened: Stream, peer: Peer, admitted: Admitted) {
    let entered = node.live.enter(peer.address);
    if node.tasks.is_stopping() {
        return;
    }
    let control = Arc::clone(&entered.control);
    let settings = node.settings.load_full();
    let limit = settings.connect_timeout;
    let seats = Seats { entered, admitted };
    finish(&node, &control, converse(Arc::clone(&node), (opened, peer), limit, seats)).await;
}

/// Lets `begin` come to its end, unless the connection is told to stop, and
/// starts the driver.
async fn finish(node: &Arc<Node>, control: &Control, begin: impl Future<Output = Result<Box<Connection>, Failed>>) {
    let started = tokio::select! {
        started = begin => started,
        () = told_to_stop(control) => return,
    };
    match started {
        Ok(connection) => node.tasks.spawn("connection", *connection),
        Err(Failed::Quietly) => {}
        Err(Failed::Saying(socket)) => linger(socket).await,
    }
}

async fn told_to_stop(control: &Control) {
    std::future::poll_fn(|cx| {
        control.listen(cx.waker());
        // A claim by another connection, and trust, are heard by the driver.
        if control.has_to_end() {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}
