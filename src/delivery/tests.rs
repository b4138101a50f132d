//! Queues, fan-out and take-over, without a socket.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::*;
use crate::mqtt::{MessageView, Qos, TopicName};
use crate::store::{Load, SessionUid};

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn waker() -> (Arc<Woken>, Waker) {
    let woken = Arc::new(Woken::default());
    (Arc::clone(&woken), Waker::from(woken))
}

/// A frame of one byte for the header, then topic, identifier and payload.
fn encode(message: &MessageView<'_>, out: &mut Vec<u8>, payload: Payload) -> FrameShape {
    out.push(message.qos.bits());
    out.extend_from_slice(message.topic.as_str().as_bytes());
    out.extend_from_slice(&[0, 0]);
    if payload == Payload::Inline {
        out.extend_from_slice(message.payload);
    }
    let id = 1 + u32::try_from(message.topic.as_str().len()).unwrap();
    FrameShape { topic: 1, packet_id: id, payload: id + 2 }
}

fn view<'a>(topic: &'a str, qos: Qos, payload: &'a [u8]) -> MessageView<'a> {
    let topic = TopicName::new(topic).unwrap();
    MessageView { topic, qos, retain: false, properties: b"pp", expiry: Some(9), payload }
}

fn parcel(qos: Qos, count: usize) -> Arc<Parcel> {
    let mut builder = ParcelBuilder::default();
    for _ in 0..count {
        builder.push(&view("a/b", qos, b"payload"), encode);
    }
    builder.finish(1000, SessionUid(7), 1, 40)
}

fn manner(qos: Qos) -> Manner {
    Manner { qos, retain_as_published: false, ids: None, group: None }
}

fn settings() -> Settings {
    Settings { ring_messages: 10, offline_messages: 4, ..Settings::default() }
}

fn plenty() -> Arc<Budget> {
    Arc::new(Budget::new(u64::MAX, true))
}

fn ground(settings: Settings) -> Arc<Ground> {
    Arc::new(Ground { settings: Arc::new(settings), budget: plenty(), kept: Arc::default() })
}

fn queue(kind: Kind, overflow: Overflow) -> SessionQueue {
    SessionQueue::new(SessionUid(1), kind, overflow, &ground(settings()))
}

#[test]
fn a_parcel_gives_back_what_was_put_in() {
    let large = vec![3; LARGE + 1];
    let mut builder = ParcelBuilder::default();
    builder.push(&view("a", Qos::AtMostOnce, b"one"), encode);
    builder.push(&view("b/c", Qos::ExactlyOnce, &large), encode);
    let parcel = builder.finish(1000, SessionUid(7), 1, 40);
    assert_eq!(parcel.len(), 2);
    let (first, second) = (parcel.message(0).unwrap(), parcel.message(1).unwrap());
    assert_eq!((first.topic, first.payload, first.qos, first.apart), (&b"a"[..], &b"one"[..], Qos::AtMostOnce, false));
    assert_eq!((second.topic, second.payload, second.apart), (&b"b/c"[..], &large[..], true));
    assert_eq!((second.properties, second.expiry), (&b"pp"[..], Some(9)));
    assert!(parcel.message(2).is_none());
    assert!(parcel.frames(0, 2).is_none(), "a payload stands apart");
    let stored = parcel.stored(1).unwrap();
    assert_eq!((stored.id.counter, stored.expires_at), (41, Some(10_000)));
    assert_eq!(parcel.run_bytes(0, 2), first.frame.len() + second.frame.len() + large.len());
    assert!(builder.is_empty(), "the builder is ready for the next turn");
}

#[test]
fn a_reader_that_is_behind_pins_only_what_it_wants() {
    let queue = SessionQueue::new(SessionUid(1), Kind::Volatile, Overflow::DropOldest, &ground(Settings::default()));
    queue.connect(Kind::Volatile);
    let shared = parcel(Qos::AtLeastOnce, 250);
    for index in 0..40 {
        queue.push(&shared, index, index + 1, &manner(Qos::AtLeastOnce));
    }
    assert_eq!(Arc::strong_count(&shared), 1 + 32, "the later ones were copied out");
    let (_, waker) = waker();
    let mut items = VecDeque::new();
    assert_eq!(queue.read(&waker, 0, &mut items), Reading::Items);
    let payloads = items.iter().map(|item| match item {
        Item::Run(run) => run.parcel.message(run.start).unwrap().payload.to_vec(),
        Item::Marker(_) => Vec::new(),
    });
    assert!(payloads.eq(std::iter::repeat_n(b"payload".to_vec(), 40)));
}

#[test]
fn what_is_copied_out_of_a_parcel_is_the_same() {
    let large = vec![3; LARGE + 1];
    let mut builder = ParcelBuilder::default();
    for payload in [&b"one"[..], &large, b"three"] {
        builder.push(&view("b/c", Qos::AtLeastOnce, payload), encode);
    }
    let whole = builder.finish(1000, SessionUid(7), 1, 40);
    let part = whole.extract(1, 3).unwrap();
    assert_eq!(part.len(), 2);
    for index in 0..2 {
        assert_eq!(part.stored(index), whole.stored(index + 1));
        assert_eq!(part.message(index).unwrap().frame, whole.message(index + 1).unwrap().frame);
    }
}

#[test]
fn a_reader_is_woken_once_for_many_pushes() {
    let queue = queue(Kind::Volatile, Overflow::DropOldest);
    queue.connect(Kind::Volatile);
    let (_, waker) = waker();
    let mut items = VecDeque::new();
    assert_eq!(queue.read(&waker, 0, &mut items), Reading::Idle);
    let parcel = parcel(Qos::AtLeastOnce, 2);
    assert!(queue.push(&parcel, 0, 1, &manner(Qos::AtLeastOnce)).wake.is_some());
    assert!(queue.push(&parcel, 1, 2, &manner(Qos::AtLeastOnce)).wake.is_none());
    assert_eq!(queue.read(&waker, 0, &mut items), Reading::Items);
    assert_eq!(items.len(), 2);
}

#[test]
fn a_full_ring_ends_a_volatile_session_only_for_what_must_not_be_lost() {
    let queue = queue(Kind::Volatile, Overflow::DropOldest);
    queue.connect(Kind::Volatile);
    let (_, waker) = waker();
    let mut items = VecDeque::new();
    queue.push(&parcel(Qos::AtMostOnce, 11), 0, 11, &manner(Qos::ExactlyOnce));
    assert_eq!(queue.read(&waker, 0, &mut items), Reading::Idle, "QoS 0 goes quietly");
    queue.push(&parcel(Qos::AtLeastOnce, 11), 0, 11, &manner(Qos::ExactlyOnce));
    assert_eq!(queue.read(&waker, 0, &mut items), Reading::Overflowed);
}

#[test]
fn a_full_ring_of_a_persistent_session_spills_into_the_store() {
    let settings = Settings { offline_messages: 40, ..settings() };
    let queue = SessionQueue::new(SessionUid(1), Kind::Persistent, Overflow::DropOldest, &ground(settings));
    queue.connect(Kind::Persistent);
    let (_, waker) = waker();
    let mut items = VecDeque::new();
    assert_eq!(queue.read(&waker, 0, &mut items), Reading::Idle);
    let parcel = parcel(Qos::AtLeastOnce, 8);
    let first = queue.push(&parcel, 0, 8, &manner(Qos::AtLeastOnce));
    queue.settle(0);
    let second = queue.push(&parcel, 0, 8, &manner(Qos::AtLeastOnce));
    assert_eq!((first.first_seq, second.first_seq), (Some(0), Some(8)));
    assert_eq!(queue.read(&waker, 0, &mut items), Reading::Items);
    queue.taken(8, 0);
    assert_eq!(items.len(), 1);
    items.clear();
    assert_eq!(queue.read(&waker, 8, &mut items), Reading::Idle, "its batch was not appended yet");
    queue.settle(8);
    assert_eq!(queue.read(&waker, 8, &mut items), Reading::Stored { until: 16 });
    assert_eq!(queue.read(&waker, 16, &mut items), Reading::Idle);
    queue.push(&parcel, 0, 1, &manner(Qos::AtLeastOnce));
    assert_eq!(queue.read(&waker, 16, &mut items), Reading::Items, "it has caught up and reads the ring again");
}

#[test]
fn nobody_waits_for_a_push_that_comes_while_a_reader_arrives() {
    let queue = queue(Kind::Persistent, Overflow::DropOldest);
    let parcel = parcel(Qos::AtLeastOnce, 1);
    queue.push(&parcel, 0, 1, &manner(Qos::AtLeastOnce));
    queue.connect(Kind::Persistent);
    let (woken, waker) = waker();
    let mut items = VecDeque::new();
    assert_eq!(queue.read(&waker, 0, &mut items), Reading::Idle, "pushed, and not in the store yet");
    queue.settle(0);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(queue.read(&waker, 0, &mut items), Reading::Stored { until: 1 });
}

#[test]
fn the_store_is_read_up_to_the_first_batch_that_is_not_appended() {
    let queue = queue(Kind::Persistent, Overflow::DropOldest);
    let parcel = parcel(Qos::AtLeastOnce, 1);
    for _ in 0..3 {
        queue.push(&parcel, 0, 1, &manner(Qos::AtLeastOnce));
    }
    queue.connect(Kind::Persistent);
    queue.settle(0);
    queue.settle(2);
    let (woken, waker) = waker();
    let mut items = VecDeque::new();
    assert_eq!(queue.read(&waker, 0, &mut items), Reading::Stored { until: 1 });
    assert_eq!(queue.read(&waker, 1, &mut items), Reading::Idle);
    queue.settle(1);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(queue.read(&waker, 1, &mut items), Reading::Stored { until: 3 });
}

/// MQTT-SES-04
#[test]
fn a_full_queue_of_an_absent_client_drops_the_oldest_or_the_newest() {
    let parcel = parcel(Qos::AtLeastOnce, 1);
    let oldest = queue(Kind::Persistent, Overflow::DropOldest);
    let newest = queue(Kind::Persistent, Overflow::DropNewest);
    for _ in 0..4 {
        oldest.push(&parcel, 0, 1, &manner(Qos::AtLeastOnce));
        newest.push(&parcel, 0, 1, &manner(Qos::AtLeastOnce));
    }
    let pushed = oldest.push(&parcel, 0, 1, &manner(Qos::AtLeastOnce));
    assert_eq!((pushed.evicted, pushed.first_seq), (vec![0], Some(4)));
    let pushed = newest.push(&parcel, 0, 1, &manner(Qos::AtLeastOnce));
    assert_eq!((pushed.evicted, pushed.first_seq), (vec![], None));
    assert_eq!((oldest.depth(), newest.depth()), (4, 4));
}

/// MQTT-SES-04: a turn may bring more than a queue has room for.
#[test]
fn a_run_that_a_queue_cannot_keep_whole_is_taken_in_pieces() {
    let parcel = parcel(Qos::AtLeastOnce, 6);
    for (overflow, kept) in [(Overflow::DropOldest, 2..6), (Overflow::DropNewest, 0..4)] {
        let queue = queue(Kind::Persistent, overflow);
        assert!(queue.push(&parcel, 0, 6, &manner(Qos::AtLeastOnce)).piecewise);
        assert_eq!(queue.depth(), 0, "and nothing of it is there yet");
        let (mut stored, mut evicted) = (Vec::new(), Vec::new());
        for index in 0..6 {
            let pushed = queue.push(&parcel, index, index + 1, &manner(Qos::AtLeastOnce));
            assert!(!pushed.piecewise);
            stored.extend(pushed.first_seq);
            evicted.extend(pushed.evicted);
        }
        stored.retain(|seq| !evicted.contains(seq));
        assert_eq!(stored, kept.collect::<Vec<_>>());
        assert_eq!(queue.depth(), 4);
    }
}

#[test]
fn as_many_old_messages_go_as_a_long_new_one_needs() {
    let settings = Settings { offline_messages: 100, offline_bytes: 5000, ..settings() };
    let queue = SessionQueue::new(SessionUid(1), Kind::Persistent, Overflow::DropOldest, &ground(settings));
    let mut builder = ParcelBuilder::default();
    builder.push(&view("a/b", Qos::AtLeastOnce, &[7; 4000]), encode);
    let (short, long) = (parcel(Qos::AtLeastOnce, 1), builder.finish(1000, SessionUid(7), 1, 40));
    for _ in 0..60 {
        queue.push(&short, 0, 1, &manner(Qos::AtLeastOnce));
    }
    let evicted: usize = (0..2).map(|_| queue.push(&long, 0, 1, &manner(Qos::AtLeastOnce)).evicted.len()).sum();
    assert!(evicted > 40, "{evicted} short ones for two long ones");
}

#[test]
fn a_reader_that_is_stuck_gets_no_courtesy() {
    let queue = queue(Kind::Volatile, Overflow::DropOldest);
    queue.connect(Kind::Volatile);
    let parcel = parcel(Qos::AtLeastOnce, 6);
    assert!(queue.push(&parcel, 0, 6, &manner(Qos::AtLeastOnce)).congested);
    assert!(!queue.push(&parcel, 0, 1, &manner(Qos::AtLeastOnce)).congested, "it took nothing since");
    queue.taken(1, 0);
    assert!(queue.push(&parcel, 0, 1, &manner(Qos::AtLeastOnce)).congested);
}

mod take_over {
    use super::*;
    use crate::identity::principal::{Holder, Principal};
    use crate::mqtt::{ClientId, TenantId};

    #[derive(Default)]
    struct Told(AtomicUsize);

    impl Yield for Told {
        fn yield_to(&self, _: u64) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn principal(name: &str) -> Principal {
        Principal { tenant: TenantId::new("lab"), holder: Holder::Account(name.into()) }
    }

    fn parked(session: u32) -> Option<Parked<u32>> {
        let queue = Arc::new(queue(Kind::Persistent, Overflow::DropOldest));
        Some(Parked { session, queue, next: 0, ends: Moment::NEVER })
    }

    struct Rival {
        generation: u64,
        told: Arc<Told>,
        outcome: Outcome<u32>,
    }

    fn claim(registry: &Registry<u32>, key: &ClientId) -> Rival {
        let told = Arc::new(Told::default());
        let claim = registry.claim(key, &principal("a"), Arc::clone(&told) as Arc<dyn Yield>).unwrap();
        Rival { generation: claim.generation, told, outcome: claim.outcome }
    }

    fn received(outcome: &mut Outcome<u32>) -> Option<u32> {
        match outcome {
            Outcome::Awaited(receiver) => receiver.try_recv().ok().flatten().map(|parked| parked.session),
            Outcome::Resumed(parked) => Some(parked.session),
            Outcome::New => None,
        }
    }

    #[test]
    fn another_principal_never_gets_the_session() {
        let (registry, key) = (Registry::<u32>::default(), ClientId::new("c"));
        let first = claim(&registry, &key);
        assert!(registry.claim(&key, &principal("b"), Arc::new(Told::default())).is_err());
        assert_eq!(first.told.0.load(Ordering::Relaxed), 0, "its owner is not disturbed");
    }

    #[test]
    fn a_session_at_rest_is_resumed_and_expires_only_unclaimed() {
        let (registry, key) = (Registry::<u32>::default(), ClientId::new("c"));
        let first = claim(&registry, &key);
        assert_ne!(registry.hand_back(&key, first.generation, parked(5)), Returned::Foreign);
        let mut second = claim(&registry, &key);
        assert_eq!(received(&mut second.outcome), Some(5));
        assert!(registry.expire(&key, first.generation).is_none(), "it was claimed since");
        assert_ne!(registry.hand_back(&key, second.generation, parked(6)), Returned::Foreign);
        assert_eq!(registry.expire(&key, second.generation).map(|parked| parked.session), Some(6));
        assert!(registry.is_empty());
    }

    /// Its end is looked for under the claim since which it rests.
    #[test]
    fn a_session_whose_newcomer_gave_up_still_expires() {
        let (registry, key) = (Registry::<u32>::default(), ClientId::new("c"));
        let first = claim(&registry, &key);
        drop(claim(&registry, &key));
        let Returned::Rests(since) = registry.hand_back(&key, first.generation, parked(5)) else {
            panic!("it is gone")
        };
        assert_eq!(registry.expire(&key, since).map(|parked| parked.session), Some(5));
        assert!(registry.is_empty());
    }

    /// Two to five rivals; the owner yields after any number of them has come.
    #[test]
    fn only_the_last_of_many_rivals_gets_the_session() {
        for rivals in 2..=5_usize {
            for yields_after in 1..rivals {
                let (registry, key) = (Registry::<u32>::default(), ClientId::new("c"));
                let owner = claim(&registry, &key);
                let mut others: Vec<Rival> = (1..=yields_after).map(|_| claim(&registry, &key)).collect();
                assert_eq!(owner.told.0.load(Ordering::Relaxed), 1);
                assert_ne!(registry.hand_back(&key, owner.generation, parked(9)), Returned::Foreign);
                let late = rivals - 1 - yields_after;
                let held = others.last_mut().and_then(|rival| received(&mut rival.outcome));
                assert_eq!(held, Some(9));
                let before = others.len() - 1;
                assert!(others[..before].iter_mut().all(|rival| received(&mut rival.outcome).is_none()));
                let holder = others.last().map(|rival| (rival.generation, Arc::clone(&rival.told))).unwrap();
                let mut later: Vec<Rival> = (0..late).map(|_| claim(&registry, &key)).collect();
                if late > 0 {
                    assert_eq!(holder.1.0.load(Ordering::Relaxed), 1);
                    assert_ne!(registry.hand_back(&key, holder.0, parked(10)), Returned::Foreign);
                    assert_eq!(later.last_mut().and_then(|rival| received(&mut rival.outcome)), Some(10));
                }
                assert_eq!(registry.len(), 1);
            }
        }
    }

    #[test]
    fn a_newcomer_that_gave_up_leaves_the_session_at_rest() {
        let (registry, key) = (Registry::<u32>::default(), ClientId::new("c"));
        let owner = claim(&registry, &key);
        drop(claim(&registry, &key));
        assert_ne!(registry.hand_back(&key, owner.generation, parked(4)), Returned::Foreign);
        let mut next = claim(&registry, &key);
        assert_eq!(received(&mut next.outcome), Some(4));
        assert_ne!(registry.hand_back(&key, next.generation, None), Returned::Foreign);
        assert!(registry.is_empty());
    }

    #[test]
    fn a_session_that_sleeps_is_claimed_once_it_was_woken() {
        let registry: Registry<u32> = Registry::default();
        let (key, control) = (ClientId::new("c"), || Arc::new(Told::default()) as Arc<dyn Yield>);
        let ground = ground(settings());
        let load = Load::default();
        let queue = Arc::new(SessionQueue::asleep(SessionUid(1), 0..0, load, Overflow::DropOldest, &ground));
        assert!(registry.lay(key.clone(), Arc::clone(&queue), Moment::NEVER));
        assert!(!registry.lay(key.clone(), Arc::clone(&queue), Moment::NEVER), "there is one");
        assert_eq!(registry.claim(&key, &principal("a"), control()).map(|_| ()), Err(Unclaimed::Asleep));
        assert!(registry.expire(&key, 1).is_none() && registry.with_parked(&key, 1, |_| ()).is_none());
        registry.wake(&key, principal("a"), 7, Arc::clone(&queue), 0);
        registry.wake(&key, principal("b"), 8, Arc::clone(&queue), 0);
        assert_eq!(registry.claim(&key, &principal("b"), control()).map(|_| ()), Err(Unclaimed::Foreign));
        let claim = registry.claim(&key, &principal("a"), control()).unwrap();
        assert!(matches!(claim.outcome, Outcome::Resumed(Parked { session: 7, .. })), "whoever woke it first");
        assert!(!registry.forget(&key), "it does not sleep");
    }
}

/// What sleeps is counted as what is open, and costs little; a publication
/// opens it, and goes on with its numbers.
#[test]
fn a_queue_that_sleeps_is_counted_and_opens_when_it_is_touched() {
    let ground = ground(settings());
    let load = Load { messages: 3, bytes: 300 };
    let sleeper = || SessionQueue::asleep(SessionUid(1), 5..9, load, Overflow::DropOldest, &ground);
    let untouched = sleeper();
    assert_eq!((ground.kept.now(), untouched.is_open(), untouched.begun_at()), ((3, 300), false, 9));
    drop(untouched);
    assert_eq!(ground.kept.now(), (0, 0));
    let touched = sleeper();
    let pushed = touched.push(&parcel(Qos::AtLeastOnce, 1), 0, 1, &manner(Qos::AtLeastOnce));
    assert_eq!((pushed.first_seq, touched.is_open(), touched.depth()), (Some(9), true, 4));
    assert_eq!(ground.kept.now().0, 4);
    drop(touched);
    assert_eq!(ground.kept.now(), (0, 0));
    // Beside what its Arc counts by.
    assert!(size_of::<SessionQueue>() <= 48, "{}", size_of::<SessionQueue>());
}
