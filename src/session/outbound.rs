//! Messages on their way to the client: packet identifiers and the window.
//!
//! Invariant: a packet identifier is `1 + seq mod 65535`, so that it survives a
//! crash without being written, and no two unfinished messages share one.

use std::collections::VecDeque;

use crate::mqtt::Qos;

use super::Violation;

/// How far an outgoing message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// QoS 1: sent, PUBACK is awaited.
    Sent1,
    /// QoS 2: sent, PUBREC is awaited.
    Sent2,
    /// QoS 2: PUBREC came, PUBCOMP is awaited.
    Released,
    /// Finished, behind others that are not.
    Done,
}

/// A message in flight, as a resend needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// Its place in the session queue.
    pub seq: u64,
    /// Its packet identifier.
    pub packet_id: u16,
    /// How far it has come.
    pub stage: Stage,
}

/// What an acknowledgement did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// A message is finished.
    Finished {
        /// Its place in the session queue.
        seq: u64,
    },
    /// PUBREC: PUBREL waits in the ring.
    Release {
        /// Its place in the session queue.
        seq: u64,
    },
    /// An answer was queued.
    Answered,
    /// It belongs to nothing in flight, and does no harm.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    seq: u64,
    stage: Stage,
    /// Whether `seq` is a place in a stored queue.
    stored: bool,
}

/// The most messages that identifiers can tell apart.
const IDS: u64 = 65_535;

/// The messages in flight to one client, in the order in which they were sent.
#[derive(Debug)]
pub struct Outbound {
    slots: VecDeque<Slot>,
    unfinished: usize,
    window: u16,
    /// The next place of a queue that keeps no places of its own.
    next_volatile: u64,
    /// A lower place was sent behind a higher one: the front is not the lowest.
    out_of_order: bool,
    /// Places that were finished since they were last asked for; kept only for
    /// queues that keep places.
    finished: Vec<u64>,
    doubt: Doubt,
}

/// What an earlier start of the broker may have sent: nothing says how far it
/// came.
#[derive(Clone, Copy, Debug, Default)]
struct Doubt {
    /// So many messages may have been in flight.
    left: u16,
    /// All of them below this place.
    below: u64,
}

impl Outbound {
    /// Nothing in flight, at most `window` from now on.
    #[must_use]
    pub const fn new(window: u16) -> Self {
        Self {
            slots: VecDeque::new(),
            unfinished: 0,
            window,
            next_volatile: 0,
            out_of_order: false,
            finished: Vec::new(),
            doubt: Doubt { left: 0, below: 0 },
        }
    }

    pub(super) const fn set_window(&mut self, window: u16) {
        self.window = window;
    }

    pub(super) fn shrink(&mut self) {
        self.slots.shrink_to_fit();
    }

    /// Whether another message may be sent [MQTT-4.9.0-2].
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.unfinished < usize::from(self.window)
    }

    /// Messages in flight.
    #[must_use]
    pub const fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// Takes the next message on its way and gives its packet identifier, or
    /// nothing while the window is full or the identifier is in use. `seq` is
    /// its place in a queue that keeps places; others are counted here.
    pub fn begin(&mut self, seq: Option<u64>, qos: Qos) -> Option<u16> {
        let stored = seq.is_some();
        let seq = seq.unwrap_or(self.next_volatile);
        let oldest = if self.out_of_order { self.oldest() } else { self.slots.front().map(|slot| slot.seq) };
        if !self.has_room() || oldest.is_some_and(|oldest| seq.saturating_sub(oldest) >= IDS - 1) {
            return None;
        }
        // What was retained has higher numbers than what waited behind it.
        let is_behind = self.slots.back().is_some_and(|last| seq < last.seq);
        if (is_behind || self.out_of_order) && self.find(packet_id(seq)).is_some() {
            return None;
        }
        self.out_of_order = match self.slots.back() {
            None => false,
            Some(last) => self.out_of_order || seq < last.seq,
        };
        let stage = if qos == Qos::ExactlyOnce { Stage::Sent2 } else { Stage::Sent1 };
        self.slots.push_back(Slot { seq, stage, stored });
        self.unfinished += 1;
        self.next_volatile = self.next_volatile.max(seq + 1);
        Some(packet_id(seq))
    }

    /// Puts back a message that a store found in flight.
    pub fn restore(&mut self, seq: u64, stage: Stage) {
        self.slots.push_back(Slot { seq, stage, stored: true });
        self.unfinished += 1;
        self.next_volatile = self.next_volatile.max(seq + 1);
    }

    /// Up to `window` of the messages below `below` may have been sent before
    /// the broker was started, `u16::MAX` for any number: they carry DUP when they are sent
    /// [MQTT-3.3.1-1].
    pub const fn restore_doubt(&mut self, window: u16, below: u64) {
        self.doubt = Doubt { left: window, below };
    }

    /// Whether the message at `seq`, which is sent now, may have been sent
    /// before. Asked once a message, in their order.
    pub const fn may_repeat(&mut self, seq: u64) -> bool {
        let doubtful = self.doubt.left > 0 && seq < self.doubt.below;
        self.doubt.left -= doubtful as u16;
        if seq.saturating_add(1) >= self.doubt.below {
            self.doubt.left = 0;
        }
        doubtful
    }

    /// How many of its oldest stored messages may have been sent, once the
    /// connection has ended.
    #[must_use]
    pub fn perhaps_sent(&self) -> u16 {
        self.window.max(self.doubt.left)
    }

    /// Whether `seq` is in flight, or finished behind others that are not.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        self.slots.iter().any(|slot| slot.seq == seq)
    }

    /// The lowest place that is not finished.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.slots.iter().filter(|slot| slot.stage != Stage::Done).map(|slot| slot.seq).min()
    }

    pub(super) fn in_flight(&self) -> Vec<InFlight> {
        let unfinished = self.slots.iter().filter(|slot| slot.stage != Stage::Done);
        unfinished.map(|slot| InFlight { seq: slot.seq, packet_id: packet_id(slot.seq), stage: slot.stage }).collect()
    }

    /// Counts a message as finished that is never sent.
    pub fn skip(&mut self, seq: u64) {
        self.finished.push(seq);
    }

    /// The places that were finished since the last call.
    pub fn drain_finished(&mut self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.finished.drain(..)
    }

    /// Ends a message without an answer: it is gone from the queue.
    pub fn abandon(&mut self, seq: u64) {
        if let Some(index) = self.slots.iter().position(|slot| slot.seq == seq && slot.stage != Stage::Done) {
            self.finish(index);
        }
    }

    /// Ends a message without an answer that the queue has let go of already.
    pub fn forget(&mut self, seq: u64) {
        self.abandon(seq);
        self.finished.retain(|finished| *finished != seq);
    }

    /// Ends a message by its packet identifier, without an answer.
    pub fn abandon_id(&mut self, packet_id: u16) {
        if let Some((index, _)) = self.find(packet_id) {
            self.finish(index);
        }
    }

    pub(super) fn on_puback(&mut self, packet_id: u16) -> Result<Acknowledged, Violation> {
        match self.find(packet_id) {
            Some((index, Stage::Sent1)) => Ok(self.finish(index)),
            Some(_) => Err(Violation::Unexpected),
            None => Ok(Acknowledged::Unknown),
        }
    }

    pub(super) fn on_pubrec(&mut self, packet_id: u16, refused: bool) -> Result<Acknowledged, Violation> {
        match self.find(packet_id) {
            Some((index, Stage::Sent2)) if refused => Ok(self.finish(index)),
            Some((index, Stage::Sent2 | Stage::Released)) => {
                let Some(slot) = self.slots.get_mut(index) else { return Ok(Acknowledged::Unknown) };
                slot.stage = Stage::Released;
                Ok(Acknowledged::Release { seq: slot.seq })
            }
            Some(_) => Err(Violation::Unexpected),
            None => Ok(Acknowledged::Unknown),
        }
    }

    pub(super) fn on_pubcomp(&mut self, packet_id: u16) -> Result<Acknowledged, Violation> {
        match self.find(packet_id) {
            Some((index, Stage::Released)) => Ok(self.finish(index)),
            Some(_) => Err(Violation::Unexpected),
            None => Ok(Acknowledged::Unknown),
        }
    }

    /// Finds an unfinished message: at the index that its identifier suggests,
    /// else by looking through all.
    fn find(&self, id: u16) -> Option<(usize, Stage)> {
        let oldest = self.slots.front()?;
        let guess = (u64::from(id) + IDS - 1 - oldest.seq % IDS) % IDS;
        let is_it = |slot: &&Slot| packet_id(slot.seq) == id && slot.stage != Stage::Done;
        let guess = usize::try_from(guess).ok()?;
        if let Some(slot) = self.slots.get(guess).filter(is_it) {
            return Some((guess, slot.stage));
        }
        let index = self.slots.iter().position(|slot| is_it(&slot))?;
        self.slots.get(index).map(|slot| (index, slot.stage))
    }

    fn finish(&mut self, index: usize) -> Acknowledged {
        let Some(slot) = self.slots.get_mut(index) else { return Acknowledged::Unknown };
        slot.stage = Stage::Done;
        let seq = slot.seq;
        if slot.stored {
            self.finished.push(seq);
        }
        self.unfinished -= 1;
        while self.slots.front().is_some_and(|slot| slot.stage == Stage::Done) {
            self.slots.pop_front();
        }
        if self.slots.is_empty() && self.slots.capacity() > 1024 {
            self.slots = VecDeque::new();
        }
        Acknowledged::Finished { seq }
    }
}

/// The packet identifier of the message at `seq`.
#[must_use]
fn packet_id(seq: u64) -> u16 {
    u16::try_from(1 + seq % IDS).unwrap_or(1)
}
