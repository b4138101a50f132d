//! The broker between the two: both sessions and a store, driven as the
//! contracts of `session` and `store` say, without sockets.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use certus::codec::{self, Packet};
use certus::mqtt::{ClientId, MessageId, Qos, TopicName, Version};
use certus::session::{Acknowledged, Change, Inbound, Session, Stage, Terms};
use certus::store::{
    Batch, MemoryStore, Op, Plan, Position, QueueEntry, Queued, SessionUid, SlowStore, Store, StoredMessage, Table,
};

const PUBLISHER: SessionUid = SessionUid(1);
const SUBSCRIBER: SessionUid = SessionUid(2);
/// Never durable: what a store that takes nothing leaves to wait for.
const NEVER: u64 = u64::MAX - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Publisher,
    Subscriber,
}

/// Where what must last is kept.
pub enum Disk {
    Memory(Box<MemoryStore>),
    Slow(Box<SlowStore>),
}

impl Disk {
    fn store(&self) -> &dyn Store {
        match self {
            Self::Memory(store) => &**store,
            Self::Slow(store) => &**store,
        }
    }

    /// Whether it takes nothing any more.
    fn is_stuck(&self) -> bool {
        let takes_nothing = |store: &SlowStore| store.append(Batch { ops: vec![probe()] }).is_err();
        matches!(self, Self::Slow(store) if takes_nothing(store))
    }

    pub fn step(&self, batches: usize) {
        if let Self::Slow(store) = self {
            store.step(batches);
        }
    }
}

/// What a run is about, beside its events.
#[derive(Clone, Copy, Debug)]
pub struct Deal {
    pub version: Version,
    pub send_window: u16,
    pub granted: Qos,
    pub plan: Option<Plan>,
    pub seed: u64,
}

fn terms(deal: &Deal) -> Terms {
    Terms {
        version: deal.version,
        send_window: deal.send_window,
        receive_maximum: 64,
        max_packet_out: u32::MAX,
        topic_alias_maximum: 0,
        outgoing_aliases: 0,
        max_subscriptions: 1,
        max_topic_levels: 8,
        problem_information: true,
        session_expiry: u32::MAX,
        session_expiry_cap: u32::MAX,
    }
}

/// Both sessions, the subscriber's queue, and the store.
pub struct Broker {
    deal: Deal,
    pub disk: Disk,
    publisher: Session,
    subscriber: Session,
    input: [Vec<u8>; 2],
    /// The first entry that was not looked at.
    cursor: u64,
    /// QoS 2 entries that are not durable.
    held: VecDeque<Queued>,
    finished: BTreeSet<u64>,
    next_seq: u64,
    /// Grows by every life, so that no identity comes twice.
    epoch: u32,
    counter: u64,
}

impl Broker {
    pub fn new(deal: Deal) -> Self {
        let disk = match deal.plan {
            None => Disk::Memory(Box::default()),
            Some(plan) => Disk::Slow(Box::new(SlowStore::new(plan, deal.seed))),
        };
        Self::start(deal, disk, 1)
    }

    /// Begins with what the store holds.
    fn start(deal: Deal, disk: Disk, epoch: u32) -> Self {
        let mut publisher = Session::new(ClientId::new("publisher"), terms(&deal));
        let mut subscriber = Session::new(ClientId::new("subscriber"), terms(&deal));
        let store = disk.store();
        store.inbound(PUBLISHER).unwrap().into_iter().for_each(|packet_id| publisher.restore_received(packet_id));
        for queued in read(store, 0, usize::MAX).iter().filter(|queued| queued.released) {
            subscriber.outbound_mut().restore(queued.entry.seq, Stage::Released);
        }
        let span = store.queue_span(SUBSCRIBER).unwrap();
        Self {
            deal,
            publisher,
            subscriber,
            input: Default::default(),
            cursor: span.start,
            held: VecDeque::new(),
            finished: BTreeSet::new(),
            next_seq: span.end,
            epoch,
            counter: 0,
            disk,
        }
    }

    /// Stops at once and starts again from the disk, which may hold `more`
    /// batches than it has told. A broker without a disk goes on.
    pub fn crash(&mut self, more: usize) {
        let Disk::Slow(store) = &self.disk else { return };
        let plan = self.deal.plan.unwrap_or(Plan::Never);
        let found = SlowStore::resume(plan, self.deal.seed, &store.crash_later(more));
        *self = Self::start(self.deal, Disk::Slow(Box::new(found)), self.epoch + 1);
    }

    /// Starts again on a sound disk, if the one there is takes nothing more.
    pub fn repair(&mut self) -> bool {
        let stuck = self.disk.is_stuck();
        if stuck {
            self.deal.plan = Some(Plan::Never);
            self.crash(0);
        }
        stuck
    }

    /// A client has connected again; writes what it is sent first.
    pub fn attach(&mut self, side: Side, out: &mut Vec<u8>) {
        self.input[side as usize].clear();
        let deal = self.deal;
        let session = self.session(side);
        session.detach();
        session.attach(terms(&deal), None);
        if side == Side::Publisher {
            return;
        }
        for flight in self.subscriber.resend() {
            let Some(packet_id) = NonZeroU16::new(flight.packet_id) else { continue };
            if flight.stage == Stage::Released {
                continue;
            }
            let queued = read(self.disk.store(), flight.seq, 1);
            let entry = &queued.first().expect("what is in flight is in the store").entry;
            assert_eq!(entry.seq, flight.seq);
            write(entry, packet_id, true, deal.version, out);
        }
        self.subscriber.release_again();
    }

    fn session(&mut self, side: Side) -> &mut Session {
        match side {
            Side::Publisher => &mut self.publisher,
            Side::Subscriber => &mut self.subscriber,
        }
    }

    /// One turn: every whole packet, one batch, one position.
    pub fn turn(&mut self, side: Side, bytes: &[u8]) {
        let mut input = std::mem::take(&mut self.input[side as usize]);
        input.extend_from_slice(bytes);
        let mut batch = Batch::default();
        let mut rest = input.as_slice();
        while let Some(frame) = codec::peek(rest, usize::MAX).unwrap() {
            match Packet::decode_from_client(&frame, self.deal.version).unwrap() {
                Packet::Publish(publish) => self.publish(&publish, &mut batch),
                Packet::Ack(ack) => {
                    if let Acknowledged::Finished { seq } = self.session(side).on_acknowledgement(&ack).unwrap() {
                        self.finished.insert(seq);
                    }
                }
                other => panic!("{other:?}"),
            }
            rest = &rest[frame.len..];
        }
        self.input[side as usize] = rest.to_vec();
        let uid = if side == Side::Publisher { PUBLISHER } else { SUBSCRIBER };
        batch.ops.extend(self.session(side).drain_changes().map(|change| remembered(uid, change)));
        let position = self.disk.store().append(batch).map_or(NEVER, |position| position.0);
        self.session(side).answers_wait_for(position);
        self.forget_finished();
    }

    fn publish(&mut self, publish: &codec::Publish<'_>, batch: &mut Batch) {
        let Inbound::Route(_) = self.publisher.on_publish(publish).unwrap() else { return };
        let message = Arc::new(StoredMessage {
            id: MessageId { publisher: PUBLISHER.0, epoch: self.epoch, counter: self.counter },
            topic: publish.topic.unwrap().as_str().into(),
            properties: Box::default(),
            payload: Bytes::copy_from_slice(publish.payload),
            qos: publish.qos,
            expires_at: None,
        });
        let qos = publish.qos.min(self.deal.granted);
        let (seq, subscription_ids) = (self.next_seq, Box::default());
        let entry = QueueEntry { seq, qos, retain: false, subscription_ids, group: None, message };
        self.counter += 1;
        self.next_seq += 1;
        batch.push(Op::Enqueue { session: SUBSCRIBER, entry });
    }

    /// Lazily, and awaited by nobody.
    fn forget_finished(&mut self) {
        if self.finished.is_empty() {
            return;
        }
        let unsent = self.held.front().map_or(self.cursor, |held| held.entry.seq.min(self.cursor));
        let up_to = self.subscriber.outbound().oldest().map_or(unsent, |oldest| oldest.min(unsent));
        let sparse = std::mem::take(&mut self.finished).into_iter().filter(|seq| *seq >= up_to).collect();
        let advance = Op::Advance { session: SUBSCRIBER, up_to, sparse };
        let _ = self.disk.store().append(Batch { ops: vec![advance] });
    }

    /// Writes what may leave: answers that are durable, then deliveries.
    pub fn release(&mut self, side: Side, out: &mut Vec<u8>) {
        let durable = self.disk.store().durable();
        self.session(side).release(durable.0, out);
        if side == Side::Subscriber {
            self.deliver(durable, out);
        }
    }

    fn deliver(&mut self, durable: Position, out: &mut Vec<u8>) {
        while let Some(held) = self.held.front() {
            if held.position > durable || !begin(&mut self.subscriber, &held.entry, self.deal.version, out) {
                break;
            }
            self.held.pop_front();
        }
        loop {
            let queued = read(self.disk.store(), self.cursor, 3);
            if queued.is_empty() {
                return;
            }
            for queued in queued {
                let Queued { entry, position, .. } = &queued;
                let next = entry.seq + 1;
                if self.subscriber.outbound().contains(entry.seq) {
                    // It is in flight since before the crash.
                } else if entry.qos == Qos::ExactlyOnce && (*position > durable || !self.held.is_empty()) {
                    self.held.push_back(queued);
                } else if !begin(&mut self.subscriber, entry, self.deal.version, out) {
                    return;
                }
                self.cursor = next;
            }
        }
    }
}

/// Sends an entry, if the window has room.
fn begin(session: &mut Session, entry: &QueueEntry, version: Version, out: &mut Vec<u8>) -> bool {
    let Some(packet_id) = session.outbound_mut().begin(Some(entry.seq), entry.qos) else { return false };
    write(entry, NonZeroU16::new(packet_id).unwrap(), false, version, out);
    true
}

fn write(entry: &QueueEntry, packet_id: NonZeroU16, dup: bool, version: Version, out: &mut Vec<u8>) {
    let publish = codec::Outgoing {
        dup,
        qos: entry.qos,
        retain: entry.retain,
        packet_id: Some(packet_id),
        topic: TopicName::new(&entry.message.topic).unwrap(),
        alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload: &entry.message.payload,
    };
    codec::publish::encode(out, version, &publish);
}

/// A change that changes nothing.
fn probe() -> Op {
    Op::Delete { table: Table::Audit, key: Vec::new() }
}

fn remembered(session: SessionUid, change: Change) -> Op {
    match change {
        Change::Inbound { packet_id, held } => Op::SetInbound { session, packet_id, held },
        Change::Released { seq } => Op::Released { session, seq },
        other => panic!("{other:?}"),
    }
}

fn read(store: &dyn Store, from: u64, limit: usize) -> Vec<Queued> {
    match store.poll_queue(&mut Context::from_waker(Waker::noop()), SUBSCRIBER, from, limit) {
        Poll::Ready(entries) => entries.unwrap(),
        Poll::Pending => panic!("these stores answer at once"),
    }
}
