//! What a client leaves to the other members of its shared subscriptions.
//!
//! What lives here: which messages those are. What does not: who gets them
//! (`delivery`). Invariant: QoS 2 that was sent stays with its session and dies
//! with it [MQTT-4.8.2-4] [MQTT-4.8.2-5].

use std::collections::{HashSet, VecDeque};
use std::task::{Context, Poll, Waker};

use crate::delivery::{Domain, Heirs, Item, Left, Mailbox};
use crate::session::{Session, Stage};

use super::super::encode;
use super::super::outgoing::Outgoing;
use super::super::shared::Resting;

/// Gives to others what a client that has gone leaves behind. Its queue is not
/// read any more; `ring` is what was left in it.
pub(super) fn leave(
    domain: &Domain<Resting>,
    mailbox: &Mailbox,
    session: &mut Session,
    outgoing: &mut Outgoing,
    ring: VecDeque<Item>,
    now: u64,
) {
    let mut left = outgoing.leave(ring);
    let stored = stored(domain, mailbox, session, &left);
    // What is in flight was sent first.
    left.splice(0..0, stored);
    let heirs = if session.is_resumable() { Heirs::Present } else { Heirs::All };
    pass_on(domain, mailbox, session, &left, heirs, now);
}

/// The session ends for good: those who are away may have it too.
pub(super) fn bequeath(domain: &Domain<Resting>, mailbox: &Mailbox, session: &mut Session, now: u64) {
    let left = stored(domain, mailbox, session, &[]);
    pass_on(domain, mailbox, session, &left, Heirs::All, now);
}

fn pass_on(domain: &Domain<Resting>, mailbox: &Mailbox, session: &mut Session, left: &[Left], heirs: Heirs, now: u64) {
    if left.is_empty() {
        return;
    }
    for seq in domain.pass_on(mailbox, left, heirs, encode::common, now) {
        session.outbound_mut().forget(seq);
    }
}

/// What the store holds for groups, without what is in `known` already and
/// QoS 2 in flight. An entry that a store cannot give at once stays.
fn stored(domain: &Domain<Resting>, mailbox: &Mailbox, session: &Session, known: &[Left]) -> Vec<Left> {
    let lent = mailbox.0.lent();
    if lent.is_empty() {
        return Vec::new();
    }
    let flights = session.resend();
    let with_client = flights.iter().filter(|flight| flight.stage != Stage::Sent1).map(|flight| flight.seq);
    let mut skipped: HashSet<u64> = known.iter().filter_map(|left| left.seq).collect();
    skipped.extend(with_client);
    let mut cx = Context::from_waker(Waker::noop());
    let mut left = Vec::new();
    for (seq, group) in lent.into_iter().filter(|(seq, _)| !skipped.contains(seq)) {
        let Poll::Ready(Ok(entries)) = domain.store().poll_queue(&mut cx, mailbox.0.uid(), seq, 1) else { continue };
        let Some(entry) = entries.into_iter().map(|queued| queued.entry).find(|entry| entry.seq == seq) else {
            continue;
        };
        left.push(Left { message: entry.message, retain: entry.retain, group, seq: Some(seq) });
    }
    left
}
