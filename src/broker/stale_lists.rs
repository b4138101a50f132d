//! Revocation lists that should have been replaced by newer ones.
//!
//! What lives here: the watch over their dates, one line and one count for
//! each change, and the look at live connections when a list of an anchor with
//! `stale_crl = "hard"` is late. What does not: what a stale list means for a
//! chain (`identity::revoked`). Invariant: a list is told of once when it goes
//! stale and once when it is good again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::Notify;

use crate::identity::certificate::Fingerprint;
use crate::identity::switch::StaleCrl;
use crate::identity::trust::TrustSnapshot;
use crate::net::Node;
use crate::shutdown::Tasks;
use crate::telemetry::metrics::Gauge;

/// The clock may be set meanwhile.
const AT_MOST: Duration = Duration::from_secs(60);

/// Whose list: the anchor, and the CA below it that issued the list.
type Key = (Fingerprint, Option<Fingerprint>);

/// A list that is late, and what is said about it.
struct Late {
    hard: bool,
    detail: String,
}

/// Watches until the broker stops; `changed` tells that there may be others.
pub(super) async fn watch(node: Arc<Node>, changed: Arc<Notify>, tasks: Tasks) {
    let mut stop = tasks.stop_signal();
    let mut known = BTreeMap::new();
    loop {
        let pause = look(&node, &mut known);
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(pause) => {}
            () = changed.notified() => {}
        }
    }
}

/// Tells of what has changed, and how long nothing will by itself.
fn look(node: &Node, known: &mut BTreeMap<Key, Late>) -> Duration {
    let snapshot = node.trust.current();
    let wall = node.clock.wall();
    let now = i64::try_from(wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
    let late = late(&snapshot, now);
    for (key, Late { hard, detail }) in late.iter().filter(|(key, _)| !known.contains_key(*key)) {
        Gauge::CrlStale.add(1);
        let effect =
            if *hard { "its certificates are refused" } else { "its certificates are judged by it all the same" };
        tracing::error!(target: "certus::audit", anchor = %key.0, "{detail}; {effect}; fetch or upload a newer list");
    }
    for (key, Late { .. }) in known.iter().filter(|(key, _)| !late.contains_key(*key)) {
        Gauge::CrlStale.add(-1);
        tracing::info!(target: "certus::audit", anchor = %key.0, "a revocation list is current again, or not used any more");
    }
    let is_news = late.iter().any(|(key, late)| late.hard && !known.get(key).is_some_and(|before| before.hard));
    if is_news {
        node.live.review(&snapshot, wall);
    }
    *known = late;
    let next = snapshot.revocation_lists().filter_map(|(_, list)| list.next_update).filter(|next| *next >= now).min();
    next.map_or(AT_MOST, |next| Duration::from_secs(next.abs_diff(now) + 1).min(AT_MOST))
}

fn late(snapshot: &TrustSnapshot, now: i64) -> BTreeMap<Key, Late> {
    let stale = snapshot.revocation_lists().filter(|(_, list)| list.is_stale(now));
    let told = stale.map(|(anchor, list)| {
        let late = Late { hard: anchor.stale_crl() == StaleCrl::Hard, detail: anchor.tell_of_stale(list) };
        ((anchor.facts.fingerprint, list.issuer), late)
    });
    told.collect()
}
