//! From the session queue to the bytes of one client.
//!
//! What lives here: what was taken from the queue and not sent, in the order in
//! which it must leave: first what a resumed client missed, then what the store
//! or a retained scan brought, then the ring's items. What does not: windows and
//! packet identifiers (`session`). Invariant: a message is taken off only when
//! its bytes are in the output, or when it is dropped by right.

use std::collections::VecDeque;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::codec::{self, Outgoing as Publish};
use crate::delivery::{Item, Manner, MessageRef, Parcel, Reading, Run, SessionQueue};
use crate::mqtt::{Qos, TopicName, Version};
use crate::session::{InFlight, Session, Stage};
use crate::store::{Position, QueueEntry, Queued, Store};
use crate::telemetry::metrics::Counter;

/// The most bytes of output gathered in one turn.
const OUTPUT: usize = 256 * 1024;
/// Entries read from the store at once.
const BATCH: usize = 256;
/// QoS 2 messages taken from the queue that wait for the disk or for room in
/// the window.
const HELD: usize = 1024;
/// The number of an entry that no store knows.
pub(super) const VOLATILE: u64 = u64::MAX;

/// What the drain works with.
pub(super) struct Drain<'a> {
    /// Whose messages.
    pub session: &'a mut Session,
    /// Where they wait.
    pub queue: &'a Arc<SessionQueue>,
    /// Where the stored ones lie.
    pub store: &'a dyn Store,
    /// How far the store is durable.
    pub durable: Position,
    /// Wall time in milliseconds since 1970.
    pub now: u64,
    /// Where the bytes go.
    pub out: &'a mut Vec<u8>,
}

/// Why a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// Nothing waits, or what waits needs something else to happen first.
    Idle,
    /// The output is full; go on when it has left.
    Full,
    /// Messages were lost that must not be.
    Overflowed,
}

/// A QoS 2 message whose batch is not durable yet.
#[derive(Debug)]
struct Held {
    parcel: Arc<Parcel>,
    index: u32,
    manner: Manner,
    seq: Option<u64>,
}

/// Retained messages in the place of a marker.
#[derive(Debug)]
pub(super) struct Found {
    /// The marker's number.
    pub marker: u64,
    /// The answers that leave before them, SUBACK the last.
    pub behind: u64,
    /// The messages.
    pub messages: Vec<Queued>,
}

/// What was taken from the queue and not sent.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    resend: VecDeque<InFlight>,
    front: VecDeque<Queued>,
    items: VecDeque<Item>,
    /// The first message of the front run that was not sent, relative to it.
    at: u32,
    /// How many of the front run's numbers are used.
    numbered: u64,
    held: VecDeque<Held>,
    /// The first number that was not taken.
    next: u64,
    /// Retained messages that were found.
    found: VecDeque<Found>,
}

impl Outgoing {
    /// Goes on from `next`, after sending again what was in flight.
    pub(super) fn resume(next: u64, in_flight: Vec<InFlight>) -> Self {
        Self { next, resend: in_flight.into(), ..Self::default() }
    }

    /// The lowest number that was not sent.
    pub(super) fn lowest_unsent(&self) -> u64 {
        let held = self.held.iter().filter_map(|held| held.seq);
        let front = self.front.iter().map(|queued| queued.entry.seq).filter(|seq| *seq != VOLATILE);
        let run = self.items.iter().find_map(|item| match item {
            Item::Run(run) => run.first_seq,
            Item::Marker(_) => None,
        });
        let run = run.map(|first| first + self.numbered);
        held.chain(front).chain(run).fold(self.next, u64::min)
    }

    /// Whether nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.resend.is_empty() && self.front.is_empty() && self.items.is_empty() && self.held.is_empty()
    }

    /// Gives the retained messages that belong in the place of a marker.
    pub(super) fn fill(&mut self, found: Found) {
        self.found.push_back(found);
    }

    /// Whether what earlier searches found has left.
    pub(super) fn may_be_filled(&self) -> bool {
        self.found.is_empty() && self.front.is_empty()
    }

    /// Lets go of memory that a burst needed, or that an idle client does not.
    pub(super) fn shrink(&mut self, most: usize) {
        if self.is_empty() && self.found.is_empty() && self.items.capacity() + self.front.capacity() > most {
            *self = Self { next: self.next, ..Self::default() };
        }
    }

    /// Writes as much as may leave.
    pub(super) fn drain(&mut self, cx: &mut Context<'_>, drain: &mut Drain<'_>) -> Drained {
        if !self.resend(cx, drain) {
            return self.blocked(drain);
        }
        self.release_held(drain);
        loop {
            if drain.out.len() >= OUTPUT {
                return Drained::Full;
            }
            if !self.send_front(drain) {
                return self.blocked(drain);
            }
            match self.items.front() {
                Some(Item::Run(_)) => {
                    if !self.send_run(drain) {
                        return self.blocked(drain);
                    }
                }
                Some(&Item::Marker(marker)) => {
                    let gone = drain.session.answers_gone();
                    let is_ready = |found: &Found| found.marker == marker && found.behind <= gone;
                    let Some(index) = self.found.iter().position(is_ready) else { return Drained::Idle };
                    self.items.pop_front();
                    self.front.extend(self.found.remove(index).into_iter().flat_map(|found| found.messages));
                }
                None => match self.refill(cx, drain) {
                    Some(true) => {}
                    Some(false) => return Drained::Idle,
                    None => return Drained::Overflowed,
                },
            }
        }
    }

    fn blocked(&self, drain: &Drain<'_>) -> Drained {
        if drain.out.len() >= OUTPUT { Drained::Full } else { Drained::Idle }
    }

    /// Takes what the queue has. Answers whether there is something now, or
    /// nothing at all when the queue has overflowed.
    fn refill(&mut self, cx: &mut Context<'_>, drain: &mut Drain<'_>) -> Option<bool> {
        match drain.queue.read(cx.waker(), self.next, &mut self.items) {
            Reading::Items => Some(true),
            // A QoS 2 message may have become durable before the waker was left.
            Reading::Idle => Some(self.release_held(drain)),
            Reading::Overflowed => None,
            Reading::Stored { until } => {
                let Poll::Ready(read) = drain.store.poll_queue(cx, drain.queue.uid(), self.next, BATCH) else {
                    return Some(false);
                };
                let Ok(mut entries) = read else { return Some(false) };
                let mut complete = entries.len() < BATCH;
                if entries.last().is_some_and(|queued| queued.entry.seq >= until) {
                    // Numbers are appended in any order: one that is missing
                    // behind `until` may come yet.
                    entries.retain(|queued| queued.entry.seq < until);
                    complete = true;
                }
                let last = entries.last().map_or(self.next, |queued| queued.entry.seq + 1);
                self.next = if complete { until } else { last };
                let outbound = drain.session.outbound();
                self.front.extend(entries.into_iter().filter(|queued| !outbound.contains(queued.entry.seq)));
                Some(true)
            }
        }
    }

    /// Sends again what was in flight when the last connection ended, in the
    /// same order and with the same identifiers [MQTT-4.4.0-1]. Answers whether
    /// all of it is done.
    fn resend(&mut self, cx: &mut Context<'_>, drain: &mut Drain<'_>) -> bool {
        // A message may have been sent, and its connection lost, before its
        // publisher's batch was appended: it is not gone, it comes.
        if !self.resend.is_empty() && !drain.queue.is_settled(cx.waker()) {
            return false;
        }
        while let Some(&InFlight { seq, packet_id, stage }) = self.resend.front() {
            if drain.out.len() >= OUTPUT {
                return false;
            }
            // PUBREL waits among the answers: see `Session::release_again`.
            if stage != Stage::Released {
                let Poll::Ready(read) = drain.store.poll_queue(cx, drain.queue.uid(), seq, 1) else { return false };
                let Ok(entries) = read else { return false };
                match entries.into_iter().map(|queued| queued.entry).find(|entry| entry.seq == seq) {
                    Some(entry) => write_entry(drain, &entry, entry.qos, Some(packet_id), true),
                    // It was evicted or has expired in the store.
                    None => drain.session.outbound_mut().abandon(seq),
                }
            }
            self.resend.pop_front();
        }
        true
    }

    fn send_front(&mut self, drain: &mut Drain<'_>) -> bool {
        while let Some(Queued { entry, position, .. }) = self.front.front() {
            if drain.out.len() >= OUTPUT {
                return false;
            }
            let qos = entry.qos.min(entry.message.qos);
            let seq = (entry.seq != VOLATILE).then_some(entry.seq);
            if entry.message.expires_at.is_some_and(|at| at <= drain.now) {
                leave_out(drain, seq);
            } else if qos == Qos::AtMostOnce {
                write_entry(drain, entry, qos, None, false);
            } else {
                if qos == Qos::ExactlyOnce && *position > drain.durable {
                    return false;
                }
                let Some(packet_id) = drain.session.outbound_mut().begin(seq, qos) else { return false };
                write_entry(drain, entry, qos, Some(packet_id), false);
            }
            self.front.pop_front();
        }
        true
    }

    /// Sends the run at the front; false when something must happen first.
    fn send_run(&mut self, drain: &mut Drain<'_>) -> bool {
        let Some(Item::Run(run)) = self.items.pop_front() else { return true };
        let complete = self.send_messages(&run, drain);
        if complete {
            drain.queue.taken(u64::from(run.end - run.start), run.parcel.run_bytes(run.start, run.end) as u64);
            if let Some(first) = run.first_seq {
                self.next = self.next.max(first + self.numbered);
            }
            self.at = 0;
            self.numbered = 0;
        } else {
            self.items.push_front(Item::Run(run));
        }
        complete
    }

    fn send_messages(&mut self, run: &Run, drain: &mut Drain<'_>) -> bool {
        if self.at == 0 && self.copy_run(run, drain) {
            return true;
        }
        while run.start + self.at < run.end {
            if drain.out.len() >= OUTPUT {
                return false;
            }
            let index = run.start + self.at;
            let Some(message) = run.parcel.message(index) else { return true };
            let qos = message.qos.min(run.manner.qos);
            if !self.send_one(run, index, &message, qos, drain) {
                return false;
            }
            self.at += 1;
            self.numbered += u64::from(qos > Qos::AtMostOnce);
        }
        true
    }

    fn send_one(&mut self, run: &Run, index: u32, message: &MessageRef<'_>, qos: Qos, drain: &mut Drain<'_>) -> bool {
        let born = run.parcel.born();
        if is_over(message, born, drain.now) {
            let seq = run.first_seq.filter(|_| qos > Qos::AtMostOnce && !run.stored_apart);
            leave_out(drain, seq.map(|first| first + self.numbered));
            return true;
        }
        if qos == Qos::AtMostOnce {
            write_message(drain, message, born, &run.manner, qos, None);
            return true;
        }
        if run.stored_apart {
            return true;
        }
        let seq = run.first_seq.map(|first| first + self.numbered);
        // One that waits makes those behind it wait too: their order is kept.
        if qos == Qos::ExactlyOnce && !(self.held.is_empty() && run.parcel.is_durable(drain.durable)) {
            if self.held.len() >= HELD {
                return false;
            }
            let parcel = Arc::clone(&run.parcel);
            self.held.push_back(Held { parcel, index, manner: run.manner.clone(), seq });
            return true;
        }
        let Some(packet_id) = drain.session.outbound_mut().begin(seq, qos) else { return false };
        write_message(drain, message, born, &run.manner, qos, Some(packet_id));
        true
    }

    /// Copies the frames of a whole run at once, if they need no change.
    fn copy_run(&mut self, run: &Run, drain: &mut Drain<'_>) -> bool {
        let is_plain = run.parcel.highest_qos() == Qos::AtMostOnce
            && !run.parcel.expires()
            && !run.manner.retain_as_published
            && !drain.session.terms().version.is_v5();
        if !is_plain {
            return false;
        }
        let Some(frames) = run.parcel.frames(run.start, run.end) else { return false };
        drain.out.extend_from_slice(frames);
        Counter::SentQos0.add(u64::from(run.end - run.start));
        Counter::PublishBytesSent.add(run.parcel.payload_bytes(run.start, run.end));
        true
    }

    /// Sends QoS 2 messages that have become durable. Answers whether any was.
    fn release_held(&mut self, drain: &mut Drain<'_>) -> bool {
        let mut released = false;
        while let Some(held) = self.held.front() {
            if !held.parcel.is_durable(drain.durable) {
                break;
            }
            let message = held.parcel.message(held.index);
            if message.is_some_and(|message| is_over(&message, held.parcel.born(), drain.now)) {
                leave_out(drain, held.seq);
            } else if let Some(message) = message {
                let Some(id) = drain.session.outbound_mut().begin(held.seq, Qos::ExactlyOnce) else { break };
                write_message(drain, &message, held.parcel.born(), &held.manner, Qos::ExactlyOnce, Some(id));
            }
            self.held.pop_front();
            released = true;
        }
        released
    }

    /// The first position behind `durable` that a message here waits for, once
    /// it is known. What is durable and is still here waits for the window.
    pub(super) fn waiting_for(&self, durable: Position) -> Option<Position> {
        let held = self.held.front().and_then(|held| held.parcel.position());
        let front = self.front.front().filter(|queued| queued.entry.qos == Qos::ExactlyOnce);
        held.into_iter().chain(front.map(|queued| queued.position)).filter(|at| *at > durable).min()
    }
}

/// Whether a message's time has passed before its delivery began
/// [MQTT-3.3.2-5].
fn is_over(message: &MessageRef<'_>, born: u64, now: u64) -> bool {
    message.expiry.is_some_and(|seconds| born + u64::from(seconds) * 1000 <= now)
}

/// Counts an expired message; its place in the queue is done with.
fn leave_out(drain: &mut Drain<'_>, seq: Option<u64>) {
    Counter::DroppedExpired.one();
    seq.into_iter().for_each(|seq| drain.session.outbound_mut().skip(seq));
}

/// Writes a message of a parcel: its frame as it lies there, patched, when the
/// shape is the common one; else from its parts.
fn write_message(
    drain: &mut Drain<'_>,
    message: &MessageRef<'_>,
    born: u64,
    manner: &Manner,
    qos: Qos,
    packet_id: Option<u16>,
) {
    let version = drain.session.terms().version;
    let retain = manner.retain_as_published && message.retain;
    let limit = drain.session.terms().max_packet_out as usize;
    if !version.is_v5() && qos == message.qos && !retain && !message.apart {
        let at = drain.out.len();
        drain.out.extend_from_slice(message.frame);
        if let Some(packet_id) = packet_id {
            let from = at + message.packet_id_at;
            if let Some(place) = drain.out.get_mut(from..from + 2) {
                place.copy_from_slice(&packet_id.to_be_bytes());
            }
        }
        count_sent(qos, message.payload);
        return;
    }
    let expiry = message.expiry.map(|seconds| born + u64::from(seconds) * 1000);
    let ids: Vec<u32> = manner.ids.iter().flat_map(|ids| ids.iter().copied().map(NonZeroU32::get)).collect();
    let Some(topic) = std::str::from_utf8(message.topic).ok().and_then(|topic| TopicName::new(topic).ok()) else {
        return;
    };
    let shape = Shape { topic, qos, retain, packet_id, dup: false, expires_at: expiry, ids: &ids };
    write_shaped(drain, version, limit, &shape, message.properties, message.payload);
}

fn write_entry(drain: &mut Drain<'_>, entry: &QueueEntry, qos: Qos, packet_id: Option<u16>, dup: bool) {
    let version = drain.session.terms().version;
    let limit = drain.session.terms().max_packet_out as usize;
    let message = &entry.message;
    let Ok(topic) = TopicName::new(&message.topic) else { return };
    let ids = &entry.subscription_ids;
    let shape = Shape { topic, qos, retain: entry.retain, packet_id, dup, expires_at: message.expires_at, ids };
    write_shaped(drain, version, limit, &shape, &message.properties, &message.payload);
}

struct Shape<'a> {
    topic: TopicName<'a>,
    qos: Qos,
    retain: bool,
    packet_id: Option<u16>,
    dup: bool,
    expires_at: Option<u64>,
    ids: &'a [u32],
}

fn write_shaped(
    drain: &mut Drain<'_>,
    version: Version,
    limit: usize,
    shape: &Shape<'_>,
    properties: &[u8],
    payload: &[u8],
) {
    let publish = Publish {
        dup: shape.dup,
        qos: shape.qos,
        retain: shape.retain,
        packet_id: shape.packet_id.and_then(NonZeroU16::new),
        topic: shape.topic,
        alias: None,
        expiry: shape.expires_at.map(|at| remaining(at, drain.now)),
        subscription_ids: shape.ids,
        properties,
        payload,
    };
    if codec::publish::encoded_len(version, &publish) > limit {
        // [MQTT-3.1.2-25]: as if it had been sent and answered.
        Counter::DroppedLarge.one();
        if let Some(id) = shape.packet_id {
            drain.session.outbound_mut().abandon_id(id);
        }
        return;
    }
    codec::publish::encode(drain.out, version, &publish);
    count_sent(shape.qos, payload);
}

fn count_sent(qos: Qos, payload: &[u8]) {
    Counter::sent(qos.bits()).one();
    Counter::PublishBytesSent.add(payload.len() as u64);
}

/// Whole seconds left, at least one: what has expired is not sent
/// [MQTT-3.3.2-6].
fn remaining(at: u64, now: u64) -> u32 {
    u32::try_from(at.saturating_sub(now).div_ceil(1000)).unwrap_or(u32::MAX).max(1)
}
