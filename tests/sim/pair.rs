//! What a publisher and a subscriber may rely on, whatever is lost on the way.

use std::collections::BTreeMap;

use certus::mqtt::{Qos, Version};
use certus::store::Plan;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::broker::{Broker, Deal, Side};
use crate::client::{Message, Publisher, Subscriber, topic};

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The publisher sends up to so many messages.
    Send(u8),
    /// Up to so many bytes arrive at the broker, which takes a turn.
    Up(Side, usize),
    /// The broker writes what may leave, and up to so many bytes arrive.
    Down(Side, usize),
    /// The connection is lost with all that is under way.
    Cut(Side),
    /// The disk takes up to so many batches.
    Step(usize),
    /// The broker is killed; the disk holds up to so many batches more than it
    /// has told.
    Crash(usize),
}

#[derive(Default)]
struct Link {
    open: bool,
    up: Vec<u8>,
    down: Vec<u8>,
}

struct World {
    broker: Broker,
    publisher: Publisher,
    subscriber: Subscriber,
    links: [Link; 2],
}

impl World {
    fn new(deal: Deal, window: usize, messages: Vec<Message>) -> Self {
        Self {
            broker: Broker::new(deal),
            publisher: Publisher::new(deal.version, window, messages),
            subscriber: Subscriber::new(deal.version),
            links: Default::default(),
        }
    }

    /// The link of a side; a lost one is opened again.
    fn link(&mut self, side: Side) -> &mut Link {
        let link = &mut self.links[side as usize];
        if !link.open {
            *link = Link { open: true, ..Link::default() };
            self.broker.attach(side, &mut link.down);
            match side {
                Side::Publisher => self.publisher.resume(&mut link.up),
                Side::Subscriber => self.subscriber.resume(),
            }
        }
        &mut self.links[side as usize]
    }

    /// Answers whether anything moved.
    fn happen(&mut self, event: Event) -> bool {
        match event {
            Event::Send(count) => {
                let before = self.link(Side::Publisher).up.len();
                for _ in 0..count {
                    self.publisher.send(&mut self.links[Side::Publisher as usize].up);
                }
                self.links[Side::Publisher as usize].up.len() > before
            }
            Event::Up(side, bytes) => {
                let link = self.link(side);
                let bytes: Vec<u8> = link.up.drain(..bytes.min(link.up.len())).collect();
                self.broker.turn(side, &bytes);
                !bytes.is_empty()
            }
            Event::Down(side, bytes) => {
                self.link(side);
                let Link { up, down, .. } = &mut self.links[side as usize];
                self.broker.release(side, down);
                let bytes: Vec<u8> = down.drain(..bytes.min(down.len())).collect();
                match side {
                    Side::Publisher => self.publisher.receive(&bytes, up),
                    Side::Subscriber => self.subscriber.receive(&bytes, up),
                }
                !bytes.is_empty()
            }
            Event::Cut(side) => {
                self.links[side as usize].open = false;
                true
            }
            Event::Step(batches) => {
                self.broker.disk.step(batches);
                true
            }
            Event::Crash(more) => {
                self.broker.crash(more);
                self.links = Default::default();
                true
            }
        }
    }

    /// Lets everything come to rest on a network that loses nothing.
    fn settle(&mut self) {
        loop {
            self.broker.disk.step(usize::MAX);
            let moved = [
                Event::Send(u8::MAX),
                Event::Up(Side::Publisher, usize::MAX),
                Event::Up(Side::Subscriber, usize::MAX),
                Event::Down(Side::Publisher, usize::MAX),
                Event::Down(Side::Subscriber, usize::MAX),
            ]
            .map(|event| self.happen(event));
            if moved == [false; 5] {
                return;
            }
        }
    }
}

/// What must hold at the end: everything acknowledged, QoS 1 at least once,
/// QoS 2 exactly once, and the first copies of a topic in order.
pub fn verdict(
    publisher: &Publisher,
    subscriber: &Subscriber,
    messages: &[Message],
    granted: Qos,
) -> Result<(), String> {
    if !publisher.is_done() {
        return Err(format!("not all was acknowledged: {publisher:?}"));
    }
    let mut times = vec![0; messages.len()];
    let mut first = BTreeMap::<&str, Vec<usize>>::new();
    for (name, number) in &subscriber.given {
        let expected = messages.get(*number).map(|message| topic(message.topic));
        if expected.as_ref() != Some(name) {
            return Err(format!("message {number} was never published to {name}"));
        }
        times[*number] += 1;
        if times[*number] == 1 {
            first.entry(name).or_default().push(*number);
        }
    }
    for (number, message) in messages.iter().enumerate() {
        match (times[number], message.qos.min(granted)) {
            (0, _) => return Err(format!("message {number} was acknowledged and lost")),
            (2.., Qos::ExactlyOnce) => return Err(format!("message {number} came more than once")),
            _ => {}
        }
    }
    match first.iter().find(|(_, numbers)| !numbers.is_sorted()) {
        Some((name, numbers)) => Err(format!("{name} is out of order: {numbers:?}")),
        None => Ok(()),
    }
}

fn sides() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Publisher), Just(Side::Subscriber)]
}

/// Some bytes, so that packets are torn, or all there are.
fn bytes() -> impl Strategy<Value = usize> {
    prop_oneof![1..40_usize, Just(usize::MAX)]
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1..4_u8).prop_map(Event::Send),
        6 => (sides(), bytes()).prop_map(|(side, bytes)| Event::Up(side, bytes)),
        6 => (sides(), bytes()).prop_map(|(side, bytes)| Event::Down(side, bytes)),
        2 => sides().prop_map(Event::Cut),
        3 => (0..4_usize).prop_map(Event::Step),
        1 => (0..3_usize).prop_map(Event::Crash),
    ];
    vec(event, 0..150)
}

/// Messages whose topics keep one QoS each: the standard promises order for
/// one topic and one QoS [MQTT-4.6.0-5].
fn messages() -> impl Strategy<Value = Vec<Message>> {
    let message = (0..4_u8, 0..20_u8).prop_map(|(topic, padding)| {
        let qos = if topic < 2 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
        Message { topic, qos, padding }
    });
    vec(message, 1..25)
}

fn deals() -> impl Strategy<Value = Deal> {
    let plan = prop_oneof![
        2 => Just(None),
        2 => (1..5_u64).prop_map(|most| Some(Plan::Steps(most))),
        2 => (0..4_u64).prop_map(|batches| Some(Plan::Behind(batches))),
        3 => Just(Some(Plan::Never)),
        1 => (1..40_u64).prop_map(|batches| Some(Plan::FailAfter(batches))),
        1 => (1..40_u64).prop_map(|batches| Some(Plan::FullAfter(batches))),
    ];
    let version = prop_oneof![Just(Version::V4), Just(Version::V5)];
    let granted = prop_oneof![1 => Just(Qos::AtLeastOnce), 4 => Just(Qos::ExactlyOnce)];
    (version, 1..6_u16, granted, plan, any::<u64>()).prop_map(|(version, send_window, granted, plan, seed)| Deal {
        version,
        send_window,
        granted,
        plan,
        seed,
    })
}

proptest! {
    /// [MQTT-4.3.2-1] [MQTT-4.3.3-1] [MQTT-4.4.0-1] [MQTT-4.6.0-1]
    /// [MQTT-4.6.0-5]: with connections that are lost anywhere in the stream
    /// and a broker that is killed, over every store.
    #[test]
    fn nothing_is_lost_doubled_or_reordered(
        deal in deals(),
        window in 1..6_usize,
        messages in messages(),
        events in events(),
    ) {
        let mut world = World::new(deal, window, messages.clone());
        for event in events {
            world.happen(event);
        }
        world.settle();
        if world.broker.repair() {
            world.links = Default::default();
            world.settle();
        }
        let verdict = verdict(&world.publisher, &world.subscriber, &messages, deal.granted);
        prop_assert_eq!(verdict, Ok(()));
    }
}
