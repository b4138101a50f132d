//! A session that sleeps is made from what the store holds of it.
//!
//! What lives here: the way from rows to one session at rest, when its client
//! is back or something is due for it. What does not: the start (`recover`),
//! its queue, which a publication opens by itself (`delivery`). Invariant: the
//! store is read outside every lock, a bounded number of reads for each of the
//! session's subscriptions, and its queue if it is a member of a group; whoever
//! is sooner wins, and nothing is written.

use std::task::{Context, Poll, Waker};

use crate::delivery::{Domain, Mailbox, SessionQueue};
use crate::mqtt::{ClientId, Qos};
use crate::session::{Session, Stage, Subscription, Terms};
use crate::store::rows::{SessionRow, SubscriptionRow};
use crate::store::{Queued, SessionUid, Store, StoreError};

use super::remember;
use super::shared::{Node, Resting};

/// The window of a session that nobody can say of how much it was sent.
pub(super) const ANY_NUMBER: u16 = u16::MAX;

/// Makes the session of `key`, if it is asleep. One that cannot be read is
/// gone: it is forgotten, and its rows stay.
///
/// # Errors
/// When the store does not answer: it sleeps on.
pub(super) fn wake(node: &Node, domain: &Domain<Resting>, key: &ClientId) -> Result<(), StoreError> {
    let Some(queue) = domain.registry.asleep(key) else { return Ok(()) };
    let uid = queue.uid();
    let subscriptions = subscriptions(&*node.store, uid)?;
    let Some(kept) = remember::stored(domain, key)?.filter(|kept| kept.uid == uid) else {
        tracing::error!(tenant = domain.tenant().as_str(), key = key.as_str(), "the row of a session cannot be read");
        if domain.registry.forget(key) {
            domain.unsubscribe(subscriptions.iter().map(|subscription| &subscription.filter), &Mailbox(queue));
        }
        return Ok(());
    };
    // A tenant that was taken away keeps its rows until it is back.
    let trust = node.trust.current();
    let Some(tenant) = trust.tenant(domain.tenant()) else { return Ok(()) };
    let rights = remember::rights(tenant, &kept);
    let mut session = protocol_state(&*node.store, &kept, queue.begun_at())?;
    if subscriptions.iter().any(|subscription| subscription.filter.share().is_some()) {
        lend(&*node.store, &queue, window(&kept))?;
    }
    subscriptions.into_iter().for_each(|subscription| session.restore_subscription(subscription));
    let next = node.store.queue_span(uid)?.start;
    let session = Resting { session, rights, queued_before: queue.begun_at() };
    let principal = remember::principal(domain.tenant(), &kept.keeper);
    domain.registry.wake(key, principal, session, queue, next);
    Ok(())
}

/// The session as its row and its queue tell of it. What was queued since
/// `begun_at` was sent to nobody.
fn protocol_state(store: &dyn Store, kept: &SessionRow, begun_at: u64) -> Result<Box<Session>, StoreError> {
    let client_id = ClientId::new(kept.client_id.as_str());
    let mut session = Box::new(Session::new(client_id, Terms::at_rest(kept.expiry)));
    for packet_id in store.inbound(kept.uid)? {
        session.restore_received(packet_id);
    }
    for seq in store.released(kept.uid)? {
        session.outbound_mut().restore(seq, Stage::Released);
    }
    if let Some(will) = kept.will.clone() {
        session.restore_will(Box::new(remember::will(will)));
    }
    session.outbound_mut().restore_doubt(window(kept), begun_at);
    Ok(session)
}

/// How many of the oldest messages of its queue may have been sent.
const fn window(kept: &SessionRow) -> u16 {
    if kept.left_at.is_some() { kept.window } else { ANY_NUMBER }
}

/// Tells the queue of a member of shared subscriptions what another member may
/// have when it is gone: not what is in flight with QoS 2, or may be
/// [MQTT-4.8.2-4] [MQTT-4.8.2-5]. What a store cannot give at once stays.
fn lend(store: &dyn Store, queue: &SessionQueue, window: u16) -> Result<(), StoreError> {
    let (mut cx, mut from, mut doubtful) = (Context::from_waker(Waker::noop()), 0, window);
    while let Poll::Ready(entries) = store.poll_queue(&mut cx, queue.uid(), from, remember::SLICE) {
        let entries = entries?;
        let Some(last) = entries.last() else { break };
        from = last.entry.seq + 1;
        for Queued { entry, released, .. } in entries.iter().take_while(|it| it.entry.seq < queue.begun_at()) {
            let stays = *released || (doubtful > 0 && entry.qos == Qos::ExactlyOnce);
            doubtful = if window == ANY_NUMBER { doubtful } else { doubtful.saturating_sub(1) };
            if let Some(group) = entry.group.as_ref().filter(|_| !stays) {
                queue.lend(entry.seq, group);
            }
        }
        if from >= queue.begun_at() {
            break;
        }
    }
    Ok(())
}

fn subscriptions(store: &dyn Store, uid: SessionUid) -> Result<Vec<Subscription>, StoreError> {
    let (mut found, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let rows = remember::subscription_rows(store, uid, after.as_deref())?;
        let read = |row: &crate::store::Row| {
            let decoded = SubscriptionRow::decode(&row.value).ok()?;
            remember::subscription(&row.key, decoded)
        };
        found.extend(rows.iter().filter_map(read));
        if rows.len() < remember::SLICE {
            return Ok(found);
        }
        after = rows.into_iter().last().map(|row| row.key);
    }
}
