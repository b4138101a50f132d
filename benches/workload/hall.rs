//! The messages of one turn on their way to their recipients, and out of their queues.
//!
//! What lives here: the work. What does not: what it is measured in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::Waker;

use certus::codec::{Outgoing, publish};
use certus::delivery::{
    Budget, Domain, FrameShape, Item, Kind, Mailbox, Overflow, Payload, Progress, Publisher, Reading, Route,
    SessionQueue, Settings, Turn,
};
use certus::identity::policy::{Attributes, Permit, Publish, Rights};
use certus::identity::switch::Profile;
use certus::identity::tenant::Acl;
use certus::mqtt::{MessageView, Qos, SubscriptionOptions, TenantId, TopicFilter, TopicName, Version};
use certus::store::{Batch, MemoryStore, Op};

/// What all publish to.
pub const TOPIC: &str = "plant/line-07/pump-0042/temp";
/// What all publish.
pub const PAYLOAD: [u8; 16] = [b'x'; 16];

/// Subscribers of one topic, and its route.
pub struct Hall {
    publisher: Mailbox,
    domain: Domain<()>,
    readers: Vec<Reader>,
    route: Arc<Route>,
    permit: Permit<Publish>,
}

struct Reader {
    queue: Arc<SessionQueue>,
    next: u64,
}

impl Hall {
    /// So many subscribers.
    pub fn new(count: u32, kind: Kind, qos: Qos) -> Self {
        let store = Arc::new(MemoryStore::default());
        let budget = Arc::new(Budget::new(u64::MAX, true));
        let domain = Domain::new(
            TenantId::new("lab"),
            Arc::new(Settings::default()),
            budget,
            store,
            Arc::new(AtomicU64::new(1)),
        );
        let who = Attributes {
            tenant: "lab",
            client_id: "pump",
            common_name: Some("pump"),
            account: None,
            role: None,
            certificate: &[],
        };
        let rights = Rights::compile(Profile::Open, &Acl::default(), &who);
        let (topic, filter) = (TopicName::new(TOPIC).unwrap(), TopicFilter::new(TOPIC).unwrap());
        let may = rights.subscribe(&filter).unwrap();
        let readers: Vec<_> = (0..count)
            .map(|_| {
                let queue = domain.new_queue(kind, Overflow::DropOldest);
                queue.connect(kind);
                let options = SubscriptionOptions::of_qos(qos);
                domain.subscribe(&filter, Mailbox(Arc::clone(&queue)), options, None, &may);
                // A newcomer looks into the store first; from then on its ring is what it reads.
                assert_eq!(queue.read(Waker::noop(), 0, &mut VecDeque::new()), Reading::Idle);
                Reader { queue, next: 0 }
            })
            .collect();
        let publisher = Mailbox(domain.new_queue(Kind::Volatile, Overflow::DropOldest));
        let route = domain.route(topic, &publisher);
        assert_eq!(route.recipients.len(), readers.len());
        Self { domain, publisher, readers, route, permit: rights.publish(topic).unwrap() }
    }

    /// One turn: so many messages to all, appended, read and done with.
    pub fn turn(&mut self, turn: &mut Turn, message: &MessageView<'_>, count: u32, items: &mut VecDeque<Item>) -> u64 {
        for _ in 0..count {
            turn.add(message, &self.route, encode, &self.permit);
        }
        let mut fanout = turn.finish(Publisher { queue: &self.publisher.0, epoch: 1, now: 0 });
        while fanout.advance() == Progress::More {}
        let position = self.domain.append(fanout.take_batch());
        fanout.appended_at(position);
        let mut done = Batch::default();
        let read = self.readers.iter_mut().map(|reader| reader.read(items, &mut done)).sum();
        let _ = self.domain.append(done);
        read
    }
}

impl Reader {
    /// Takes what waits, and leaves a waker for what will.
    fn read(&mut self, items: &mut VecDeque<Item>, done: &mut Batch) -> u64 {
        let mut read = 0;
        while self.queue.read(Waker::noop(), self.next, items) == Reading::Items {
            for item in items.drain(..) {
                let Item::Run(run) = item else { continue };
                let count = u64::from(run.end - run.start);
                self.queue.taken(count, run.parcel.run_bytes(run.start, run.end) as u64);
                if let Some(first) = run.first_seq {
                    self.next = first + count;
                    self.queue.finished(&(first..first + count).collect::<Vec<_>>());
                    done.push(Op::Advance { session: self.queue.uid(), up_to: self.next, sparse: Vec::new() });
                }
                read += count;
            }
        }
        read
    }
}

/// The frame that all recipients share, as the broker writes it.
fn encode(message: &MessageView<'_>, out: &mut Vec<u8>, payload: Payload) -> FrameShape {
    let start = out.len();
    let outgoing = Outgoing {
        dup: false,
        qos: message.qos,
        retain: false,
        packet_id: None,
        topic: message.topic,
        alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload: message.payload,
    };
    publish::encode(out, Version::V4, &outgoing);
    let payload_at = out.len() - start - message.payload.len();
    if payload == Payload::Apart {
        out.truncate(start + payload_at);
    }
    let id = if message.qos == Qos::AtMostOnce { 0 } else { 2 };
    let offset = |at: usize| u32::try_from(at).unwrap();
    FrameShape {
        topic: offset(payload_at - id - message.topic.as_str().len()),
        packet_id: if id == 0 { 0 } else { offset(payload_at - id) },
        payload: offset(payload_at),
    }
}
