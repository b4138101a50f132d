//! From the session queue to the bytes of one client.
//!
//! What lives here: what was taken from the queue and not sent, in the order in
//! which it must leave: first what a resumed client missed, then what the store
//! or a retained scan brought, then the ring's items. What does not: windows and
//! packet identifiers (`session`). Invariant: a message is taken off only when
//! its bytes are in the output, or when it is dropped by right.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::delivery::{Item, Left, Manner, MessageRef, Parcel, Reading, Run, SessionQueue};
use crate::identity::policy::Rights;
use crate::mqtt::{Qos, TopicFilter};
use crate::session::{InFlight, Session, Stage};
use crate::store::{Position, QueueEntry, Queued, Store};
use crate::telemetry::metrics::Counter;

use super::written::{write_entry, write_message};

/// The most bytes of output gathered in one turn, where memory is plenty.
const OUTPUT: u64 = 256 * 1024;
/// Entries read from the store at once.
const BATCH: usize = 256;
/// QoS 2 messages taken from the queue that wait for the disk or for room in
/// the window.
const HELD: usize = 1024;
/// The bytes of these: they count for the ring no more.
const HELD_BYTES: usize = 256 * 1024;
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
    /// The most bytes of them; see [`most_output`].
    pub most: usize,
}

/// The most bytes of output that one turn gathers: a client that stopped
/// reading holds them, so they are no more than its share.
pub(super) fn most_output(queue: &SessionQueue) -> usize {
    usize::try_from(queue.budget().share().min(OUTPUT)).unwrap_or(usize::MAX)
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

/// Retained messages in the place of a marker: a slice of them.
#[derive(Debug)]
pub(super) struct Found {
    /// The marker's number.
    pub marker: u64,
    /// The answers that leave before them, SUBACK the last.
    pub behind: u64,
    /// The messages.
    pub messages: Vec<Queued>,
    /// Whether the marker's place is filled: there are no more.
    pub complete: bool,
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
    held_bytes: usize,
    /// The first number that was not taken.
    next: u64,
    /// Retained messages that were found.
    found: VecDeque<Found>,
    /// Messages of groups in flight that no store holds.
    lent: VecDeque<InFlightOfGroup>,
    review: Option<Box<Review>>,
}

/// What the client may read of what was queued under other rights.
#[derive(Debug)]
struct Review {
    /// Entries below this number are looked at.
    until: u64,
    rights: Arc<Rights>,
}

impl Review {
    fn forbids(&self, entry: &QueueEntry) -> bool {
        let filter = TopicFilter::new(&entry.message.topic);
        entry.seq < self.until && filter.is_ok_and(|filter| self.rights.subscribe(&filter).is_err())
    }
}

/// A message of QoS 1 that was sent to a member of a group.
#[derive(Debug)]
struct InFlightOfGroup {
    packet_id: u16,
    parcel: Arc<Parcel>,
    index: u32,
    group: TopicFilter,
}

impl Outgoing {
    /// Goes on from `next`, after sending again what was in flight.
    pub(super) fn resume(next: u64, in_flight: Vec<InFlight>) -> Self {
        Self { next, resend: in_flight.into(), ..Self::default() }
    }

    /// Sends what is numbered below `until` and has not begun only if `rights`
    /// allow it: they were others when it was queued.
    pub(super) fn review(&mut self, until: u64, rights: &Arc<Rights>) {
        self.review = (self.next < until).then(|| Box::new(Review { until, rights: Arc::clone(rights) }));
    }

    /// Below which number entries were queued under other rights.
    pub(super) fn queued_before(&self) -> u64 {
        self.review.as_ref().map_or(0, |review| review.until)
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

    /// A message was acknowledged.
    pub(super) fn let_go(&mut self, packet_id: u16) {
        if let Some(index) = self.lent.iter().position(|lent| lent.packet_id == packet_id) {
            self.lent.remove(index);
        }
    }

    /// What was taken for groups and is not with the client for good, in the
    /// order of the queue: QoS 1 in flight that no store holds, and what was not
    /// sent, here and in the rest of the `ring`.
    pub(super) fn leave(&mut self, ring: VecDeque<Item>) -> Vec<Left> {
        let mut left = Vec::new();
        let mut leave = |parcel: &Parcel, index, group: &TopicFilter, seq| {
            let Some(message) = parcel.stored(index) else { return };
            let retain = parcel.message(index).is_some_and(|message| message.retain);
            left.push(Left { message: Arc::new(message), retain, group: group.clone(), seq });
        };
        for InFlightOfGroup { parcel, index, group, .. } in self.lent.drain(..) {
            leave(&parcel, index, &group, None);
        }
        for Held { parcel, index, manner, seq } in &self.held {
            manner.group.iter().for_each(|group| leave(parcel, *index, group, *seq));
        }
        let (at, numbered) = (self.at, self.numbered);
        for (place, item) in self.items.iter().chain(&ring).enumerate() {
            let Item::Run(run) = item else { continue };
            let Some(group) = &run.manner.group else { continue };
            let (at, mut numbered) = if place == 0 && !self.items.is_empty() { (at, numbered) } else { (0, 0) };
            for index in run.start + at..run.end {
                let is_numbered = run.parcel.qos(index).min(run.manner.qos) > Qos::AtMostOnce;
                // What is stored apart is read from there.
                if !(run.stored_apart && is_numbered) {
                    leave(
                        &run.parcel,
                        index,
                        group,
                        run.first_seq.filter(|_| is_numbered).map(|first| first + numbered),
                    );
                }
                numbered += u64::from(is_numbered);
            }
        }
        left
    }

    /// Gives the retained messages that belong in the place of a marker.
    pub(super) fn fill(&mut self, found: Found) {
        self.found.push_back(found);
    }

    /// Whether what earlier searches found has left.
    pub(super) fn may_be_filled(&self) -> bool {
        self.found.is_empty() && self.front.is_empty()
    }

    /// Lets go of retained messages that are not sent here any more.
    pub(super) fn forget_found(&mut self) {
        self.found.clear();
        self.front.clear();
    }

    /// Lets go of memory that a burst needed, or that an idle client does not.
    pub(super) fn shrink(&mut self, most: usize) {
        if self.is_empty() && self.found.is_empty() && self.items.capacity() + self.front.capacity() > most {
            *self = Self { next: self.next, review: self.review.take(), ..Self::default() };
        }
    }

    /// Writes as much as may leave.
    pub(super) fn drain(&mut self, cx: &mut Context<'_>, drain: &mut Drain<'_>) -> Drained {
        if !self.resend(cx, drain) {
            return self.blocked(drain);
        }
        self.release_held(drain);
        loop {
            if drain.out.len() >= drain.most {
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
                    let Some(found) = self.found.remove(index) else { return Drained::Idle };
                    if found.complete {
                        self.items.pop_front();
                    }
                    self.front.extend(found.messages);
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
        if drain.out.len() >= drain.most { Drained::Full } else { Drained::Idle }
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
            if drain.out.len() >= drain.most {
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
            if drain.out.len() >= drain.most {
                return false;
            }
            let qos = entry.qos.min(entry.message.qos);
            let seq = (entry.seq != VOLATILE).then_some(entry.seq);
            if entry.message.expires_at.is_some_and(|at| at <= drain.now) {
                leave_out(drain, seq);
            } else if self.review.as_ref().is_some_and(|review| review.forbids(entry)) {
                Counter::DroppedNoRight.one();
                seq.into_iter().for_each(|seq| drain.session.outbound_mut().skip(seq));
            } else if qos == Qos::AtMostOnce {
                write_entry(drain, entry, qos, None, false);
            } else {
                // What is held came first, and may look less durable than it is:
                // the store was asked later.
                if qos == Qos::ExactlyOnce && (*position > drain.durable || !self.held.is_empty()) {
                    return false;
                }
                let outbound = drain.session.outbound_mut();
                let Some(packet_id) = outbound.begin(seq, qos) else { return false };
                let dup = seq.is_some_and(|seq| outbound.may_repeat(seq));
                write_entry(drain, entry, qos, Some(packet_id), dup);
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
            if drain.out.len() >= drain.most {
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
            if self.held.len() >= HELD || self.held_bytes >= HELD_BYTES {
                return false;
            }
            let parcel = Arc::clone(&run.parcel);
            self.held_bytes += run.parcel.run_bytes(index, index + 1);
            self.held.push_back(Held { parcel, index, manner: run.manner.clone(), seq });
            return true;
        }
        let Some(packet_id) = drain.session.outbound_mut().begin(seq, qos) else { return false };
        if let (Some(group), Qos::AtLeastOnce, None) = (&run.manner.group, qos, seq) {
            let (parcel, index) = run.parcel.hold(index);
            self.lent.push_back(InFlightOfGroup { packet_id, parcel, index, group: group.clone() });
        }
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
            self.held_bytes -= held.parcel.run_bytes(held.index, held.index + 1);
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
