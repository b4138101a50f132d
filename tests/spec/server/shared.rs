//! Shared subscriptions, section 4.8.2: who gets a message, and what becomes of
//! it when its member leaves.
//!
//! What lives here: conversations of several members. What does not: the
//! filters (`subscribe`), the choice alone (`src/router`).

use certus::codec::AckKind;
use certus::mqtt::{Qos, ReasonCode, Version};

use super::client::{Client, Dial, Message};
use super::host::{Host, wait};

const GROUP: &str = "$share/g/t";

/// Publishes numbers to the group, each taken over before the next.
fn publish(host: &Host, qos: Qos, numbers: std::ops::Range<u8>) {
    let mut publisher = host.dial("publisher").open();
    for number in numbers {
        publisher.publish(&Message::new("t", &[number], qos));
    }
    publisher.disconnect();
}

/// A member whose window holds one message.
fn narrow(dial: Dial, qos: Qos) -> Client {
    let mut client = dial.with(|properties| properties.receive_maximum(1)).open();
    client.subscribe(GROUP, qos);
    client
}

fn payloads(client: &mut Client, count: usize) -> Vec<u8> {
    let mut seen: Vec<u8> = (0..count).map(|_| client.receive().payload[0]).collect();
    seen.sort_unstable();
    seen
}

/// One publication for a session that subscribed plainly and as a member of two
/// groups is three messages, also while its client is away.
#[test]
fn a_plain_and_a_shared_copy_are_two_messages() {
    Host::on_both_stores(|host| {
        let mut client = host.dial("reader").lasting().open();
        for filter in ["t", GROUP, "$share/h/t"] {
            client.subscribe(filter, Qos::AtLeastOnce);
        }
        publish(host, Qos::AtLeastOnce, 0..2);
        assert_eq!(payloads(&mut client, 6), [0, 0, 0, 1, 1, 1]);
        client.expect_nothing();
        client.disconnect();
        publish(host, Qos::ExactlyOnce, 2..4);
        let mut client = host.dial("reader").lasting().open();
        assert_eq!(payloads(&mut client, 6), [2, 2, 2, 3, 3, 3]);
        client.expect_nothing();
    });
}

/// A member whose window is full is passed by; when all are full, the shortest
/// queue has it. 3.1.1 has the same groups.
#[test]
fn members_with_room_go_first() {
    Host::on_both_stores(|host| {
        let mut slow = narrow(host.dial("slow").lasting(), Qos::AtLeastOnce);
        let mut quick = host.dial("quick").version(Version::V4).open();
        quick.subscribe(GROUP, Qos::AtLeastOnce);
        publish(host, Qos::AtLeastOnce, 0..1);
        let (first, answered) = first_of(&mut slow, &mut quick);
        publish(host, Qos::AtLeastOnce, 1..2);
        if answered {
            // The turn was the quick one's; now it is the other's.
            assert_eq!((first.payload[0], slow.take().payload[0]), (0, 1));
        } else {
            assert_eq!((first.payload[0], quick.receive().payload[0]), (0, 1));
        }
        // The slow one never answers: all others go to the quick one.
        publish(host, Qos::AtLeastOnce, 2..12);
        assert_eq!(payloads(&mut quick, 10), (2..12).collect::<Vec<_>>());
        slow.expect_nothing();
    });
}

/// Takes the message of one of two members, whoever has it; answers it when it
/// is the second one's.
fn first_of(one: &mut Client, two: &mut Client) -> (Message, bool) {
    for _ in 0..500 {
        if one.has_input() {
            return (one.take(), false);
        }
        if two.has_input() {
            return (two.receive(), true);
        }
        wait(10);
    }
    panic!("no member was served");
}

/// QoS 1 in flight and what was not sent go to another member at once, as
/// something new; the client that returns finds nothing of it.
#[test]
fn what_a_member_leaves_behind_goes_to_another() {
    Host::on_both_stores(|host| {
        for lasting in [false, true] {
            let dial = |name| if lasting { host.dial(name).lasting() } else { host.dial(name) };
            let mut gone = narrow(dial("gone"), Qos::AtLeastOnce);
            publish(host, Qos::AtLeastOnce, 0..5);
            assert_eq!(gone.take().payload, [0], "the others wait for its answer");
            gone.expect_nothing();
            let mut stays = dial("stays").open();
            stays.subscribe(GROUP, Qos::AtLeastOnce);
            gone.vanish();
            for number in 0..5 {
                let message = stays.receive();
                assert_eq!((message.payload[0], message.dup, message.qos), (number, false, Qos::AtLeastOnce));
            }
            stays.expect_nothing();
            dial("gone").open().expect_nothing();
            dial("gone").open().unsubscribe(&[GROUP]);
            stays.unsubscribe(&[GROUP]);
            stays.disconnect();
        }
    });
}

/// QoS 2 that was sent stays with its member [MQTT-4.8.2-4]; what was not goes
/// to another one.
#[test]
fn of_qos_2_only_what_was_not_sent_is_passed_on() {
    Host::on_both_stores(|host| {
        let qos = Qos::ExactlyOnce;
        let mut gone = narrow(host.dial("gone").lasting(), qos);
        publish(host, qos, 0..3);
        let begun = gone.take();
        assert_eq!(begun.payload, [0]);
        gone.expect_nothing();
        let mut stays = host.dial("stays").open();
        stays.subscribe(GROUP, qos);
        gone.vanish();
        let taken = [stays.take(), stays.take()];
        assert_eq!(taken.each_ref().map(|message| (message.payload[0], message.qos)), [(1, qos), (2, qos)]);
        taken.iter().for_each(|message| stays.finish(message));
        stays.expect_nothing();
        let mut back = host.dial("gone").lasting().open();
        let again = back.receive();
        assert_eq!((again.id, again.dup, again.payload), (begun.id, true, vec![0]));
        back.expect_nothing();
    });
}

/// Whoever leaves the group, but not the broker, finishes what it has.
#[test]
fn unsubscribing_passes_nothing_on() {
    let host = Host::start();
    let mut leaves = narrow(host.dial("leaves"), Qos::AtLeastOnce);
    publish(&host, Qos::AtLeastOnce, 0..2);
    let begun = leaves.take();
    let mut stays = host.dial("stays").open();
    stays.subscribe(GROUP, Qos::AtLeastOnce);
    leaves.unsubscribe(&[GROUP]);
    leaves.finish(&begun);
    assert_eq!(leaves.receive().payload, [1]);
    stays.expect_nothing();
    publish(&host, Qos::AtLeastOnce, 2..3);
    assert_eq!(stays.receive().payload, [2]);
}

/// While nobody is there, a message waits for a member with a lasting session;
/// when that one ends, for another.
#[test]
fn a_message_waits_for_a_member_that_lasts() {
    Host::on_both_stores(|host| {
        for name in ["one", "two"] {
            let mut member = host.dial(name).lasting().open();
            member.subscribe(GROUP, Qos::AtLeastOnce);
            member.disconnect();
        }
        let mut fleeting = host.dial("fleeting").open();
        fleeting.subscribe(GROUP, Qos::AtLeastOnce);
        fleeting.disconnect();
        publish(host, Qos::AtLeastOnce, 0..4);
        // A clean start ends the session; its share goes to the one that lasts.
        let mut anew = host.dial("one").open();
        anew.expect_nothing();
        let mut two = host.dial("two").lasting().open();
        assert_eq!(payloads(&mut two, 4), [0, 1, 2, 3]);
        two.expect_nothing();
        two.unsubscribe(&[GROUP]);
        two.disconnect();
    });
}

/// [MQTT-4.8.2-6]: a message that is refused is given to nobody else.
#[test]
fn a_refused_message_ends() {
    Host::on_both_stores(|host| {
        for (qos, kind) in [(Qos::AtLeastOnce, AckKind::PubAck), (Qos::ExactlyOnce, AckKind::PubRec)] {
            let mut refuses = narrow(host.dial("refuses").lasting(), qos);
            publish(host, qos, 0..1);
            let message = refuses.take();
            let mut other = host.dial("other").open();
            other.subscribe(GROUP, qos);
            refuses.acknowledge_with(kind, message.id, ReasonCode::NotAuthorized);
            refuses.expect_nothing();
            refuses.vanish();
            other.expect_nothing();
            host.dial("refuses").open().expect_nothing();
            other.expect_nothing();
        }
    });
}
