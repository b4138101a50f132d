//! What comes back when the broker starts anew on the same store: section 4.1
//! and the durable promises of the broker.
//!
//! What lives here: conversations around a kill. What does not: a disk
//! (`tests/store`). Invariant: the store is taken as it lies in the moment of
//! the kill; nothing that the old broker does later reaches the new one.

use certus::codec::AckKind;
use certus::identity::policy::AclRule;
use certus::identity::switch::{Action, Effect};
use certus::mqtt::{Qos, ReasonCode, Version};

use certus::broker::Durability;
use certus::store::Settings;

use super::client::{Client, Message};
use super::host::Host;

fn lasting(host: &Host, version: Version) -> Client {
    host.dial("keeper").version(version).lasting().resume().open()
}

/// [MQTT-4.1.0-1] [MQTT-3.1.2-5] [MQTT-3.2.2-3]: the session is there, with
/// its subscriptions and all that was acknowledged to publishers, in order.
#[test]
fn a_session_comes_back_with_its_subscriptions_and_its_queue() {
    for version in [Version::V4, Version::V5] {
        let mut host = Host::start();
        let mut keeper = lasting(&host, version);
        assert!(!keeper.connack().session_present);
        keeper.subscribe("t/+", Qos::ExactlyOnce);
        keeper.vanish();
        let mut publisher = host.dial("publisher").open();
        for text in ["1", "2", "3"] {
            publisher.publish(&Message::new("t/a", text.as_bytes(), Qos::AtLeastOnce));
        }
        host.kill_and_start(|_| {});
        let mut keeper = lasting(&host, version);
        assert!(keeper.connack().session_present);
        let received: Vec<_> = (0..3).map(|_| keeper.receive().text().to_owned()).collect();
        assert_eq!(received, ["1", "2", "3"]);
        host.dial("publisher").open().publish(&Message::new("t/b", b"4", Qos::AtLeastOnce));
        assert_eq!(keeper.receive().text(), "4");
        keeper.expect_nothing();
    }
}

/// What was acknowledged by the subscriber does not come again, and a second
/// start finds the same.
#[test]
fn what_is_finished_stays_finished_over_two_starts() {
    let mut host = Host::start();
    let mut keeper = lasting(&host, Version::V5);
    keeper.subscribe("t", Qos::AtLeastOnce);
    let mut publisher = host.dial("publisher").open();
    publisher.publish(&Message::new("t", b"seen", Qos::AtLeastOnce));
    let seen = keeper.receive();
    assert_eq!(seen.text(), "seen");
    keeper.expect_nothing();
    keeper.vanish();
    publisher.publish(&Message::new("t", b"kept", Qos::AtLeastOnce));
    host.kill_and_start(|_| {});
    host.kill_and_start(|_| {});
    let mut keeper = lasting(&host, Version::V5);
    assert_eq!(keeper.receive().text(), "kept");
    keeper.expect_nothing();
}

/// [MQTT-4.4.0-1] [MQTT-3.3.1-1]: what was in flight comes again under its
/// identifier with DUP; what was released goes on with PUBREL.
#[test]
fn what_was_in_flight_comes_again_under_its_identifier() {
    let mut host = Host::start();
    let mut keeper = lasting(&host, Version::V5);
    keeper.subscribe("t", Qos::ExactlyOnce);
    let mut publisher = host.dial("publisher").open();
    for text in ["released", "sent"] {
        publisher.publish(&Message::new("t", text.as_bytes(), Qos::ExactlyOnce));
    }
    let (released, sent) = (keeper.take(), keeper.take());
    keeper.acknowledge(AckKind::PubRec, released.id);
    keeper.expect_ack(AckKind::PubRel, released.id);
    keeper.expect_nothing();
    host.kill_and_start(|_| {});
    let mut keeper = lasting(&host, Version::V5);
    keeper.expect_ack(AckKind::PubRel, released.id);
    keeper.acknowledge(AckKind::PubComp, released.id);
    let again = keeper.take();
    assert_eq!((again.id, again.text(), again.dup), (sent.id, "sent", true));
    keeper.finish(&again);
    keeper.expect_nothing();
}

/// [MQTT-3.3.1-1]: acknowledgements of a subscriber are awaited by nobody, so
/// those of any number of messages may be lost with the broker: all that waits
/// for a client that was connected may have been sent, also after a second
/// kill; of one that had left, no more than its window.
#[test]
fn what_may_have_been_sent_carries_dup() {
    let window =
        |host: &Host| host.dial("keeper").lasting().resume().with(|properties| properties.receive_maximum(1)).open();
    for (left, kills, expected) in [(false, 1, [true; 3]), (false, 2, [true; 3]), (true, 2, [true, false, false])] {
        let mut host = Host::start();
        let mut keeper = window(&host);
        keeper.subscribe("t", Qos::AtLeastOnce);
        for text in [b"1", b"2", b"3"] {
            host.dial("publisher").open().publish(&Message::new("t", text, Qos::AtLeastOnce));
        }
        assert_eq!(keeper.take().text(), "1");
        if left {
            keeper.vanish();
            super::host::wait(200);
        }
        for _ in 0..kills {
            host.kill_and_start(|_| {});
        }
        let mut keeper = window(&host);
        let dup: Vec<_> = (0..3).map(|_| keeper.receive().dup).collect();
        assert_eq!(dup, expected, "left {left}, {kills} kills");
    }
}

/// [MQTT-4.3.3-10]: the identifier of a publication that was received and not
/// released is still known, so that it is not published twice.
#[test]
fn a_publication_of_qos_2_is_not_routed_again_after_the_start() {
    let mut host = Host::start();
    let mut keeper = lasting(&host, Version::V4);
    keeper.subscribe("t", Qos::ExactlyOnce);
    keeper.vanish();
    let mut publisher = host.dial("publisher").lasting().resume().open();
    let message = Message::new("t", b"once", Qos::ExactlyOnce).id(9);
    publisher.send_message(&message);
    assert_eq!(publisher.expect_ack(AckKind::PubRec, 9), ReasonCode::Success);
    host.kill_and_start(|_| {});
    let mut publisher = host.dial("publisher").lasting().resume().open();
    publisher.send_message(&message.dup());
    assert_eq!(publisher.expect_ack(AckKind::PubRec, 9), ReasonCode::Success);
    publisher.acknowledge(AckKind::PubRel, 9);
    assert_eq!(publisher.expect_ack(AckKind::PubComp, 9), ReasonCode::Success);
    let mut keeper = lasting(&host, Version::V4);
    assert_eq!(keeper.receive().text(), "once");
    keeper.expect_nothing();
}

/// Retained messages come back with all that belongs to them; what was cleared
/// or has expired does not.
#[test]
fn retained_messages_come_back_whole() {
    let mut host = Host::start();
    let mut publisher = host.dial("publisher").open();
    let rich = Message::new("r/rich", b"on", Qos::ExactlyOnce)
        .retained()
        .with(|properties| properties.content_type("text/plain").user_property("a", "1"));
    publisher.publish(&rich);
    publisher.publish(&Message::new("r/gone", b"x", Qos::AtLeastOnce).retained());
    publisher.publish(&Message::new("r/gone", b"", Qos::AtLeastOnce).retained());
    let brief = Message::new("r/brief", b"x", Qos::AtLeastOnce).retained();
    publisher.publish(&brief.with(|properties| properties.message_expiry(60)));
    host.pass(120);
    host.kill_and_start(|_| {});
    let mut reader = host.dial("reader").open();
    reader.subscribe("r/#", Qos::ExactlyOnce);
    let found = reader.receive();
    assert_eq!((found.topic.as_str(), found.text(), found.qos, found.retain), ("r/rich", "on", Qos::ExactlyOnce, true));
    found.read(|properties| {
        assert_eq!(properties.content_type(), Some("text/plain"));
        assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("a", "1")]);
    });
    reader.expect_nothing();
}

/// [MQTT-3.1.2-8] of 3.1.1, section 3.1.2.5 of 5.0: a broker that was killed
/// may publish the will once it is back; and only once.
#[test]
fn the_will_of_a_client_that_was_connected_is_published_once_after_the_start() {
    let mut host = Host::start();
    let mortal = host.dial("mortal").lasting().will("wills/a", b"gone", Qos::AtLeastOnce).open();
    let mut mourner = host.dial("mourner").lasting().resume().open();
    mourner.subscribe("wills/#", Qos::AtLeastOnce);
    host.kill_and_start(|_| {});
    drop(mortal);
    let mut mourner = host.dial("mourner").lasting().resume().open();
    assert_eq!(mourner.receive().text(), "gone");
    mourner.expect_nothing();
    host.kill_and_start(|_| {});
    let mut mourner = host.dial("mourner").lasting().resume().open();
    mourner.expect_nothing();
}

/// A will that waits goes on waiting; the client's return cancels it
/// [MQTT-3.1.3-9].
#[test]
fn a_delayed_will_waits_on_and_is_cancelled_by_the_return() {
    let mut host = Host::start();
    let dial = host.dial("mortal").lasting().will("wills/a", b"gone", Qos::AtLeastOnce);
    dial.will_with(|properties| properties.will_delay(3600)).open().vanish();
    host.kill_and_start(|_| {});
    let mut mourner = host.dial("mourner").open();
    mourner.subscribe("wills/#", Qos::AtMostOnce);
    mourner.expect_nothing();
    let mortal = host.dial("mortal").lasting().resume().open();
    assert!(mortal.connack().session_present);
    mortal.disconnect();
    mourner.expect_nothing();
}

/// Sections 3.1.2.11.2 and 3.14.2.2.2: the time that the broker was away
/// counts.
#[test]
fn a_session_whose_time_passed_while_the_broker_was_away_is_gone() {
    let mut host = Host::start();
    let mut brief = host.dial("brief").with(|properties| properties.session_expiry(60)).open();
    brief.subscribe("t", Qos::AtLeastOnce);
    brief.vanish();
    super::host::wait(50);
    host.pass(120);
    host.kill_and_start(|_| {});
    super::host::wait(100);
    let back = host.dial("brief").resume().with(|properties| properties.session_expiry(60)).open();
    assert!(!back.connack().session_present);
}

/// [MQTT-3.1.2-4]: a clean start forgets for good.
#[test]
fn a_session_that_was_ended_does_not_come_back() {
    let mut host = Host::start();
    let mut keeper = lasting(&host, Version::V4);
    keeper.subscribe("t", Qos::AtLeastOnce);
    keeper.vanish();
    host.dial("publisher").open().publish(&Message::new("t", b"lost", Qos::AtLeastOnce));
    host.dial("keeper").version(Version::V4).open().disconnect();
    host.kill_and_start(|_| {});
    let mut keeper = lasting(&host, Version::V4);
    assert!(!keeper.connack().session_present);
    keeper.expect_nothing();
}

/// A disk that is behind makes publishers wait, and each of them is answered:
/// what waits for it is bounded at a mebibyte here, and ten are published.
#[test]
fn publishers_wait_for_a_disk_that_is_behind_and_are_all_answered() {
    let files = tempfile::tempdir().unwrap();
    let settings = Settings { pending_bytes: 1 << 20, min_free: 0, ..Settings::default() };
    let host = Host::with(|broker| {
        broker.durability = Durability::Disk { directory: files.path().join("store"), settings };
    });
    let mut keeper = lasting(&host, Version::V4);
    keeper.subscribe("t/+", Qos::ExactlyOnce);
    keeper.vanish();
    let payload = vec![b'x'; 64 << 10];
    let mut publishers: Vec<Client> = (0..4).map(|number| host.dial(&format!("p{number}")).open()).collect();
    let mut awaited = Vec::new();
    for round in 0..40 {
        for (number, publisher) in publishers.iter_mut().enumerate() {
            let message = Message::new(&format!("t/{number}"), &payload, Qos::AtLeastOnce);
            let message = if round % 8 == 0 { message.retained() } else { message };
            awaited.push((number, publisher.send_message(&message)));
        }
    }
    for (number, id) in awaited {
        assert_eq!(publishers[number].expect_ack(AckKind::PubAck, id), ReasonCode::Success);
    }
    let mut keeper = lasting(&host, Version::V4);
    for _ in 0..160 {
        assert_eq!(keeper.receive().text().len(), payload.len());
    }
    keeper.expect_nothing();
}

/// Takes the right to `secret/#`.
fn take_right(settings: &mut certus::broker::Settings) {
    settings.tenants[0].switches.acl.rules.push(AclRule {
        name: "not any more".into(),
        effect: Effect::Deny,
        action: Action::Subscribe,
        who: Vec::new(),
        topics: vec!["secret/#".to_owned()],
        variables: false,
    });
}

/// What was queued for a session at rest is given out by the rights
/// that its client has when it returns, after a reload and after a restart.
#[test]
fn a_client_that_lost_a_right_while_away_gets_nothing_that_was_queued_by_it() {
    for restarts in [false, true] {
        let mut host = Host::start();
        let mut keeper = lasting(&host, Version::V5);
        keeper.subscribe("secret/#", Qos::AtLeastOnce);
        keeper.subscribe("open/#", Qos::AtLeastOnce);
        keeper.vanish();
        let mut publisher = host.dial("publisher").open();
        for (topic, text) in [("secret/a", "1"), ("open/a", "2"), ("secret/b", "3"), ("open/b", "4")] {
            publisher.publish(&Message::new(topic, text.as_bytes(), Qos::AtLeastOnce));
        }
        match restarts {
            true => host.kill_and_start(take_right),
            false => host.reload(take_right),
        }
        let mut keeper = lasting(&host, Version::V5);
        assert!(keeper.connack().session_present);
        let received: Vec<_> = (0..2).map(|_| keeper.receive().text().to_owned()).collect();
        assert_eq!(received, ["2", "4"], "restarts: {restarts}");
        keeper.expect_nothing();
    }
}

/// Section 3.2.2.2: a store that has failed promises nothing, and a client
/// that wants a session to last is told so; one that does not is served.
#[test]
fn a_store_that_failed_refuses_sessions_that_last() {
    let host = Host::with(|broker| broker.slow_store = Some("fail-after:1".to_owned()));
    drop(host.dial("first").lasting().open());
    let mut second = Client::raw(host.address(), Version::V4);
    second.send_bytes(&host.dial("second").version(Version::V4).lasting().resume().bytes());
    super::host::wait(200);
    for version in [Version::V3, Version::V4, Version::V5] {
        let refused = host.dial("third").version(version).lasting().resume().refused();
        assert_eq!(refused, ReasonCode::ServerUnavailable, "{version:?}");
        host.dial("passing").version(version).open().disconnect();
    }
}

const GROUP: &str = "$share/g/t";

/// Two members with lasting sessions that are away, and six messages between
/// them when the broker is killed.
fn away_members(qos: Qos) -> Host {
    let mut host = Host::start();
    for name in ["leaves", "stays"] {
        let mut member = host.dial(name).lasting().resume().open();
        member.subscribe(GROUP, qos);
        member.disconnect();
    }
    let mut publisher = host.dial("publisher").open();
    for number in 0..6 {
        publisher.publish(&Message::new("t", &[number], qos));
    }
    host.kill_and_start(|_| {});
    host
}

fn sorted_payloads(client: &mut Client, count: usize) -> Vec<u8> {
    let mut seen: Vec<u8> = (0..count).map(|_| client.receive().payload[0]).collect();
    seen.sort_unstable();
    seen
}

/// [MQTT-4.8.2-4]: what a member of a shared subscription was taken for before
/// the start goes to another one when its session ends.
#[test]
fn what_a_member_was_taken_for_outlives_the_start_and_its_session() {
    let host = away_members(Qos::AtLeastOnce);
    host.dial("leaves").open().disconnect();
    let mut stays = host.dial("stays").lasting().resume().open();
    assert_eq!(sorted_payloads(&mut stays, 6), [0, 1, 2, 3, 4, 5]);
    stays.expect_nothing();
}

/// The same when it comes back and leaves again.
#[test]
fn what_a_member_was_taken_for_goes_to_another_when_it_comes_and_goes() {
    let host = away_members(Qos::AtLeastOnce);
    let mut stays = host.dial("stays").lasting().resume().open();
    let own = sorted_payloads(&mut stays, 3);
    stays.expect_nothing();
    let mut leaves = host.dial("leaves").lasting().resume().with(|properties| properties.receive_maximum(1)).open();
    let first = leaves.take();
    leaves.disconnect();
    let passed = sorted_payloads(&mut stays, 3);
    assert!(passed.contains(&first.payload[0]), "QoS 1 that was not acknowledged goes too");
    let mut all = [own, passed].concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    stays.expect_nothing();
}

/// [MQTT-4.8.2-5]: QoS 2 that may have been sent before the start dies with its
/// session.
#[test]
fn qos_2_that_a_member_may_have_got_before_the_start_is_given_to_nobody() {
    let mut host = Host::start();
    let mut stays = host.dial("stays").lasting().resume().open();
    stays.subscribe(GROUP, Qos::ExactlyOnce);
    stays.disconnect();
    let mut leaves = host.dial("leaves").lasting().resume().open();
    leaves.subscribe(GROUP, Qos::ExactlyOnce);
    let mut publisher = host.dial("publisher").open();
    for number in 0..2 {
        publisher.publish(&Message::new("t", &[number], Qos::ExactlyOnce));
        assert_eq!(leaves.take().payload, [number]);
    }
    host.kill_and_start(|_| {});
    host.dial("leaves").open().disconnect();
    let mut stays = host.dial("stays").lasting().resume().open();
    stays.expect_nothing();
}
