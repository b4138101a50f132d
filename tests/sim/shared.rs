//! Members of one shared subscription that come, go, and are slow.
//!
//! What lives here: the queues, the choice and the passing on, with readers that
//! the test moves. What does not: packets. Invariant: every message is done by
//! exactly one member, whatever happens in between.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};

use certus::delivery::{
    Budget, Domain, FrameShape, Heirs, Item, Kind, Left, Mailbox, Overflow, Payload, Publisher, Reading, Settings,
};
use certus::identity::policy::{Attributes, Permit, Publish, TenantRights};
use certus::identity::switch::Profile;
use certus::mqtt::{MessageView, Qos, SubscriptionOptions, TenantId, TopicFilter, TopicName};
use certus::store::{Batch, MemoryStore, Op};
use proptest::prelude::*;

const WINDOW: u16 = 3;

fn encode(message: &MessageView<'_>, out: &mut Vec<u8>, payload: Payload) -> FrameShape {
    out.extend_from_slice(message.topic.as_str().as_bytes());
    let at = u32::try_from(message.topic.as_str().len()).unwrap();
    if payload == Payload::Inline {
        out.extend_from_slice(message.payload);
    }
    FrameShape { topic: 0, packet_id: 0, payload: at }
}

/// One member, with what its client has and has not acknowledged.
struct Member {
    mailbox: Mailbox,
    connected: bool,
    next: u64,
    items: VecDeque<Item>,
    in_flight: VecDeque<(u64, u8)>,
}

struct Stage {
    domain: Domain<()>,
    members: Vec<Member>,
    publisher: Mailbox,
    permit: Permit<Publish>,
    published: u8,
    done: BTreeMap<u8, usize>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Publish,
    Come(usize),
    Go(usize),
    Read(usize),
    Acknowledge(usize),
}

impl Stage {
    fn new(members: usize) -> Self {
        let store = Arc::new(MemoryStore::default());
        let settings = Arc::new(Settings { ring_messages: 4, ..Settings::default() });
        let domain = Domain::new(
            TenantId::new("t"),
            settings,
            Arc::new(Budget::new(u64::MAX, true)),
            store,
            Arc::new(AtomicU64::new(1)),
        );
        let who =
            Attributes { tenant: "t", client_id: "c", common_name: None, account: None, role: None, certificate: &[] };
        let rights = TenantRights::new(Profile::Open, &Default::default(), "t").of(&who);
        let filter = TopicFilter::new("$share/g/t").unwrap();
        let permit = rights.subscribe(&filter).unwrap();
        let mailbox = || Mailbox(domain.new_queue(Kind::Persistent, Overflow::DropNewest));
        let members: Vec<_> = (0..members)
            .map(|_| {
                let mailbox = mailbox();
                let options = SubscriptionOptions::of_qos(Qos::AtLeastOnce);
                domain.subscribe(&filter, mailbox.clone(), options, None, &permit);
                Member { mailbox, connected: false, next: 0, items: VecDeque::new(), in_flight: VecDeque::new() }
            })
            .collect();
        let publisher = mailbox();
        let permit = rights.publish(TopicName::new("t").unwrap()).unwrap();
        Self { domain, members, publisher, permit, published: 0, done: BTreeMap::new() }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Publish => self.publish(),
            Event::Come(member) => self.come(member),
            Event::Go(member) => self.go(member),
            Event::Read(member) => self.read(member),
            Event::Acknowledge(member) => self.acknowledge(member),
        }
    }

    fn publish(&mut self) {
        let payload = [self.published];
        self.published += 1;
        let topic = TopicName::new("t").unwrap();
        let (qos, expiry) = (Qos::AtLeastOnce, None);
        let message = MessageView { topic, qos, retain: false, properties: &[], expiry, payload: &payload };
        let publisher = Publisher { queue: &self.publisher.0, epoch: 1, now: 0 };
        let _ = self.domain.publish(&message, &self.publisher, publisher, encode, &self.permit);
    }

    fn come(&mut self, index: usize) {
        let member = &mut self.members[index];
        if !std::mem::replace(&mut member.connected, true) {
            member.mailbox.0.connect(Kind::Persistent);
            member.mailbox.0.note_window(WINDOW, member.in_flight.len());
        }
    }

    /// Reads what the window has room for.
    fn read(&mut self, index: usize) {
        let member = &mut self.members[index];
        if !member.connected {
            return;
        }
        let queue = &member.mailbox.0;
        while member.in_flight.len() < usize::from(WINDOW) {
            if let Some(Item::Run(run)) = member.items.pop_front() {
                let seq = run.first_seq.unwrap();
                let payload = run.parcel.message(run.start).unwrap().payload[0];
                member.in_flight.push_back((seq, payload));
                member.next = seq + 1;
                queue.taken(1, run.parcel.run_bytes(run.start, run.end) as u64);
                continue;
            }
            match queue.read(Waker::noop(), member.next, &mut member.items) {
                Reading::Items => {}
                Reading::Stored { until } => {
                    let mut cx = Context::from_waker(Waker::noop());
                    let read = self.domain.store().poll_queue(&mut cx, queue.uid(), member.next, 1);
                    let Poll::Ready(Ok(entries)) = read else { panic!("memory answers at once") };
                    match entries.first().filter(|queued| queued.entry.seq < until) {
                        Some(queued) => {
                            member.in_flight.push_back((queued.entry.seq, queued.entry.message.payload[0]));
                            member.next = queued.entry.seq + 1;
                        }
                        None => member.next = until,
                    }
                }
                Reading::Idle | Reading::Overflowed => break,
            }
        }
        queue.note_window(WINDOW, member.in_flight.len());
    }

    fn acknowledge(&mut self, index: usize) {
        let member = &mut self.members[index];
        if !member.connected {
            return;
        }
        let Some((seq, payload)) = member.in_flight.pop_front() else { return };
        *self.done.entry(payload).or_default() += 1;
        let queue = &member.mailbox.0;
        queue.finished(&[seq]);
        queue.note_window(WINDOW, member.in_flight.len());
        let _ =
            self.domain.append(Batch { ops: vec![Op::Advance { session: queue.uid(), up_to: 0, sparse: vec![seq] }] });
    }

    fn go(&mut self, index: usize) {
        let member = &mut self.members[index];
        if !std::mem::replace(&mut member.connected, false) {
            return;
        }
        let first = member.items.iter().find_map(|item| match item {
            Item::Run(run) => run.first_seq,
            Item::Marker(_) => None,
        });
        member.mailbox.0.disconnect(first.unwrap_or(member.next));
        member.items.clear();
        let left = left(&self.domain, member);
        let passed = self.domain.pass_on(&member.mailbox, &left, Heirs::Present, encode, 0);
        member.in_flight.retain(|(seq, _)| !passed.contains(seq));
        // What stayed and was not acknowledged is read again.
        member.next = member.in_flight.drain(..).map(|(seq, _)| seq).chain(first).fold(member.next, u64::min);
        let others = self.members.iter().any(|member| member.connected);
        assert!(!others || passed.len() == left.len(), "somebody is there, so nothing stays behind");
    }

    /// Each message is held by one queue, or done.
    fn check(&self) {
        let mut held: BTreeMap<u8, usize> = self.done.clone();
        for left in self.members.iter().flat_map(|member| left(&self.domain, member)) {
            *held.entry(left.message.payload[0]).or_default() += 1;
        }
        let expected: BTreeMap<u8, usize> = (0..self.published).map(|number| (number, 1)).collect();
        assert_eq!(held, expected);
    }
}

/// What the store holds for the group in a member's queue.
fn left(domain: &Domain<()>, member: &Member) -> Vec<Left> {
    let queue = &member.mailbox.0;
    let mut cx = Context::from_waker(Waker::noop());
    let entry = |(seq, group)| {
        let Poll::Ready(Ok(entries)) = domain.store().poll_queue(&mut cx, queue.uid(), seq, 1) else { return None };
        let entry = entries.into_iter().map(|queued| queued.entry).find(|entry| entry.seq == seq)?;
        Some(Left { message: entry.message, retain: entry.retain, group, seq: Some(seq) })
    };
    queue.lent().into_iter().filter_map(entry).collect()
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => Just(Event::Publish),
        1 => (0..3_usize).prop_map(Event::Come),
        1 => (0..3_usize).prop_map(Event::Go),
        3 => (0..3_usize).prop_map(Event::Read),
        3 => (0..3_usize).prop_map(Event::Acknowledge),
    ];
    prop::collection::vec(event, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_done_by_one_member(events in events()) {
        let mut stage = Stage::new(3);
        for event in events {
            stage.happen(event);
            stage.check();
        }
        // In the end all come and work everything off.
        (0..3).for_each(|member| stage.come(member));
        for _ in 0..200 {
            for member in 0..3 {
                stage.read(member);
                stage.acknowledge(member);
            }
        }
        let published = stage.published;
        prop_assert_eq!(stage.done, (0..published).map(|number| (number, 1)).collect());
    }
}
