//! Whether those who are connected may stay when trust has changed.
//!
//! What lives here: when they are looked at. What does not: the look itself
//! (`net::clients`), what ends a connection (`net::connection`). Invariant: every
//! change is followed by a look that began after it was published, within
//! `PAUSE` and the time of one look.
//!
//! A look asks every connection, a microsecond each. So it is taken where nobody
//! waits for it, and changes that come in quick succession share one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::net::Node;
use crate::shutdown::Tasks;

/// From the end of a look to the next one.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks after each change until the broker stops; `changed` tells of one.
pub(super) async fn watch(node: Arc<Node>, changed: Arc<Notify>, tasks: Tasks) {
    let mut stop = tasks.stop_signal();
    loop {
        tokio::select! {
            () = stop.stopped() => return,
            () = changed.notified() => {}
        }
        let looker = Arc::clone(&node);
        let look = move || looker.live.review(&looker.trust.current(), looker.clock.wall());
        let _ = tasks.blocking("review", look).await;
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}
