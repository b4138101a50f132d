//! The conversations of MQTT 3.1.1, statement by statement.
//!
//! What lives here: what the chapters beside it show with 5.0 alone, in the
//! words of 3.1.1 and, where it says the same, of 3.1. What does not: what the
//! older versions do differently (`older`). Invariant: ids of this file are
//! those of 3.1.1.

use certus::codec::AckKind;
use certus::mqtt::{Qos, ReasonCode, SubscriptionOptions, Version};

use super::client::{Client, Message};
use super::host::Host;

const OLDER: [Version; 2] = [Version::V3, Version::V4];
const QUALITIES: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

fn open(host: &Host, client_id: &str, version: Version) -> Client {
    host.dial(client_id).version(version).open()
}

fn retained(host: &Host, version: Version, topic: &str, payload: &[u8], qos: Qos) {
    open(host, "keeper", version).publish(&Message::new(topic, payload, qos).retained());
}

/// 3.1.1 [MQTT-3.2.0-1] [MQTT-3.1.4-4] [MQTT-3.2.2-1] [MQTT-3.2.2-3]: CONNACK
/// comes first and once, with code 0 and no session.
#[test]
fn a_good_connect_is_answered_by_code_0_and_nothing_else() {
    let host = Host::start();
    for version in OLDER {
        for dial in [host.dial("clean").version(version), host.dial("lasting").version(version).resume()] {
            let bytes = dial.bytes();
            let mut client = Client::raw(host.address(), version);
            client.send_bytes(&bytes);
            assert_eq!(client.frame(), [0x20, 2, 0, 0]);
            client.expect_nothing();
        }
        host.dial("lasting").version(version).open().disconnect();
    }
}

/// 3.1.1 [MQTT-3.1.3-5]: up to 23 letters and digits, all of them; 3.1.1
/// [MQTT-3.1.3-2]: two names are two sessions.
#[test]
fn every_name_of_23_letters_and_digits_is_taken() {
    let host = Host::start();
    for version in OLDER {
        let names = ["0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"];
        let mut clients = names.map(|name| open(&host, name, version));
        clients.iter_mut().for_each(Client::expect_nothing);
    }
}

/// 3.1.1 [MQTT-3.1.4-1] [MQTT-3.1.2-3]: a malformed CONNECT ends the
/// connection without CONNACK; 3.1.1 [MQTT-3.1.4-5]: what follows it, or one
/// that is rejected, is not heard.
#[test]
fn nothing_is_heard_behind_a_connect_that_fails() {
    let host = Host::start();
    let mut listener = open(&host, "listener", Version::V4);
    listener.subscribe("#", Qos::AtMostOnce);
    let behind = |bytes: &mut Vec<u8>| Message::new("t", b"behind", Qos::AtMostOnce).encode(Version::V4, bytes);
    // Reserved flag; will QoS without will; will retain without will; QoS 3; password without user name.
    for flags in [0x01, 0x08, 0x20, 0x1C, 0x40] {
        let mut bytes = host.dial("bad").version(Version::V4).bytes();
        bytes[9] |= flags;
        behind(&mut bytes);
        let mut client = Client::raw(host.address(), Version::V4);
        client.send_bytes(&bytes);
        client.expect_end();
    }
    let mut bytes = host.dial("").version(Version::V4).resume().bytes();
    behind(&mut bytes);
    let mut client = Client::raw(host.address(), Version::V4);
    client.send_bytes(&bytes);
    assert_eq!(client.frame(), [0x20, 2, 0, 2]);
    client.expect_end();
    listener.expect_nothing();
}

/// 3.1.1 [MQTT-3.1.3-9] [MQTT-3.2.2-4] [MQTT-3.2.2-5]: code 2, no session
/// present, and the end.
#[test]
fn a_name_that_is_rejected_gets_code_2() {
    let host = Host::start();
    for version in OLDER {
        let mut client = Client::raw(host.address(), version);
        client.send_bytes(&host.dial(&"x".repeat(257)).version(version).resume().bytes());
        assert_eq!(client.frame(), [0x20, 2, 0, 2]);
        client.expect_end();
    }
}

/// 3.1.1 [MQTT-3.1.2-8] [MQTT-3.1.2-9] [MQTT-3.1.2-16]: the will of a lost
/// connection, with its QoS, as a passing message; 3.1.1 [MQTT-3.1.2-10]: and
/// once.
#[test]
fn a_lost_connection_publishes_its_will_once() {
    Host::on_both_stores(|host| {
        for version in OLDER {
            let mut mourner = open(host, "mourner", version);
            mourner.subscribe("wills/#", Qos::ExactlyOnce);
            for qos in QUALITIES {
                host.dial("mortal").version(version).will("wills/a", b"gone", qos).open().vanish();
                let will = mourner.receive();
                assert_eq!((will.topic.as_str(), will.text(), will.qos, will.retain), ("wills/a", "gone", qos, false));
            }
            let mortal = host.dial("mortal").version(version).lasting().will("wills/a", b"gone", Qos::AtMostOnce);
            mortal.open().vanish();
            assert_eq!(mourner.receive().text(), "gone");
            host.dial("mortal").version(version).lasting().open().vanish();
            mourner.expect_nothing();
            let mut late = open(host, "late", version);
            late.subscribe("wills/#", Qos::AtMostOnce);
            late.expect_nothing();
        }
    });
}

/// 3.1.1 [MQTT-3.1.2-17]
#[test]
fn a_will_with_the_flag_is_retained() {
    let host = Host::start();
    for version in OLDER {
        let mut mourner = open(&host, "mourner", version);
        mourner.subscribe("wills/#", Qos::AtMostOnce);
        let will = host.dial("mortal").version(version).will("wills/a", b"gone", Qos::AtLeastOnce).retained_will();
        will.open().vanish();
        assert_eq!(mourner.take().text(), "gone");
        let mut late = open(&host, "late", version);
        late.subscribe("wills/a", Qos::AtMostOnce);
        assert!(late.take().retain);
        retained(&host, version, "wills/a", b"", Qos::AtLeastOnce);
    }
}

/// 3.1.1 [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT-3.3.1-12]: the
/// last retained message of each topic, with its QoS; 3.1.1 [MQTT-3.1.2-7]:
/// the publisher's session is long over.
#[test]
fn a_new_subscriber_gets_the_last_retained_message_of_each_topic() {
    Host::on_both_stores(|host| {
        for version in OLDER {
            for qos in QUALITIES {
                retained(host, version, "state/a", b"old", Qos::ExactlyOnce);
                retained(host, version, "state/a", b"new", qos);
                retained(host, version, "state/b", b"other", qos);
                open(host, "keeper", version).publish(&Message::new("state/a", b"passing", qos));
                let mut reader = open(host, "reader", version);
                reader.subscribe("state/+", Qos::ExactlyOnce);
                let mut seen = [reader.take(), reader.take()];
                seen.iter().for_each(|message| reader.finish(message));
                seen.sort_by(|one, other| one.topic.cmp(&other.topic));
                assert_eq!(seen.each_ref().map(Message::text), ["new", "other"]);
                assert!(seen.iter().all(|message| message.retain && message.qos == qos));
                reader.expect_nothing();
            }
        }
    });
}

/// 3.1.1 [MQTT-3.3.1-10] [MQTT-3.3.1-11]
#[test]
fn an_empty_retained_message_is_passed_on_and_leaves_nothing() {
    let host = Host::start();
    for version in OLDER {
        retained(&host, version, "state", b"full", Qos::AtLeastOnce);
        let mut present = open(&host, "present", version);
        present.subscribe("state", Qos::AtLeastOnce);
        assert_eq!(present.receive().text(), "full");
        retained(&host, version, "state", b"", Qos::AtLeastOnce);
        let cleared = present.receive();
        assert_eq!((cleared.text(), cleared.retain), ("", false));
        let mut late = open(&host, "late", version);
        late.subscribe("state", Qos::AtLeastOnce);
        late.expect_nothing();
    }
}

/// 3.1.1 [MQTT-3.3.1-2] [MQTT-3.3.1-3] [MQTT-4.3.1-1]: DUP of the publisher is
/// its own, a first delivery has none; 3.1.1 [MQTT-3.8.4-6]: its QoS is the
/// lower of two.
#[test]
fn a_first_delivery_has_no_dup_and_the_lower_quality() {
    let host = Host::start();
    for version in OLDER {
        let mut publisher = open(&host, "publisher", version);
        for granted in QUALITIES {
            let mut reader = open(&host, "reader", version);
            reader.subscribe("t", granted);
            for published in QUALITIES {
                let dup = published > Qos::AtMostOnce;
                publisher.publish(&Message { dup, ..Message::new("t", b"", published) });
                let received = reader.receive();
                assert_eq!((received.dup, received.qos), (false, granted.min(published)));
            }
        }
    }
}

/// 3.1.1 [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-4] [MQTT-3.9.3-1]
/// [MQTT-2.3.1-7]: one SUBACK under the same identifier, a code for each
/// filter, in their order, as if each had come alone.
#[test]
fn suback_has_a_code_for_each_filter_in_order() {
    Host::on_both_stores(|host| {
        for version in OLDER {
            let mut client = open(host, "reader", version);
            let of = SubscriptionOptions::of_qos;
            let filters = [
                ("a", of(Qos::ExactlyOnce)),
                ("b/#", of(Qos::AtMostOnce)),
                ("+/c", of(Qos::AtLeastOnce)),
                ("a", of(Qos::AtLeastOnce)),
            ];
            let (two, zero, one) = (ReasonCode::GrantedQos2, ReasonCode::Success, ReasonCode::GrantedQos1);
            assert_eq!(client.subscribe_all(&filters, None), [two, zero, one, one]);
            let mut publisher = open(host, "publisher", version);
            publisher.publish(&Message::new("b/x", b"", Qos::AtMostOnce));
            client.take();
            publisher.publish(&Message::new("a", b"", Qos::ExactlyOnce));
            assert_eq!(client.receive().qos, Qos::AtLeastOnce, "the last of two equal filters counts");
            client.expect_nothing();
        }
    });
}

/// 3.1.1 [MQTT-3.3.5-1] [MQTT-4.5.0-1]: of overlapping filters the highest QoS
/// counts, also for a client that is away.
#[test]
fn overlapping_subscriptions_deliver_with_the_highest_quality() {
    Host::on_both_stores(|host| {
        for version in OLDER {
            let lasting = || host.dial("reader").version(version).lasting().open();
            let mut reader = lasting();
            for (filter, qos) in [("a/#", Qos::AtMostOnce), ("a/+", Qos::ExactlyOnce), ("+/b", Qos::AtLeastOnce)] {
                reader.subscribe(filter, qos);
            }
            let mut publisher = open(host, "publisher", version);
            let message = Message::new("a/b", b"", Qos::ExactlyOnce);
            publisher.publish(&message);
            assert_eq!(reader.receive().qos, Qos::ExactlyOnce);
            reader.disconnect();
            publisher.publish(&message);
            let mut reader = lasting();
            assert_eq!(reader.receive().qos, Qos::ExactlyOnce);
            reader.expect_nothing();
            let _clean = open(host, "reader", version);
        }
    });
}

/// 3.1.1 [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5]
/// [MQTT-3.10.4-6] [MQTT-2.3.1-7]: exactly the named filters end, with one
/// answer, also where there was none.
#[test]
fn unsubscribe_ends_exactly_the_named_filters() {
    Host::on_both_stores(|host| {
        for version in OLDER {
            let mut client = open(host, "reader", version);
            let mut publisher = open(host, "publisher", version);
            client.subscribe("a/#", Qos::AtMostOnce);
            client.subscribe("b/+", Qos::AtMostOnce);
            client.unsubscribe(&["a/b", "a/+", "#", "A/#"]);
            publisher.publish(&Message::new("a/b", b"", Qos::AtLeastOnce));
            client.take();
            client.unsubscribe(&["b/+", "a/#"]);
            publisher.publish(&Message::new("a/b", b"", Qos::AtLeastOnce));
            publisher.publish(&Message::new("b/b", b"", Qos::AtLeastOnce));
            client.expect_nothing();
        }
    });
}

/// 3.1.1 [MQTT-3.10.4-3]: what was begun is completed.
#[test]
fn unsubscribe_leaves_what_is_in_flight() {
    Host::on_both_stores(|host| {
        for version in OLDER {
            let lasting = || host.dial("reader").version(version).lasting().open();
            let mut client = lasting();
            client.subscribe("t", Qos::ExactlyOnce);
            open(host, "publisher", version).publish(&Message::new("t", b"x", Qos::ExactlyOnce));
            let id = client.take().id;
            client.unsubscribe(&["t"]);
            client.vanish();
            let mut client = lasting();
            let again = client.receive();
            assert_eq!((again.id, again.dup), (id, true));
            client.expect_nothing();
            let _clean = open(host, "reader", version);
        }
    });
}

/// 3.1.1 [MQTT-3.3.2-3] [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.1-3]
/// [MQTT-4.7.2-1] [MQTT-4.7.3-3] [MQTT-4.7.3-4]
#[test]
fn deliveries_match_their_filters() {
    let host = Host::with(|settings| {
        settings.tenants[0].switches.acl.extra_publish = vec!["$own/#".to_owned()];
    });
    let longest = "x".repeat(65_535);
    let topics = ["a", "a/", "/a", "a/b", "a//b", "A", "á", "a\u{301}", "$own/b", longest.as_str()];
    let rows: [(&str, &[&str]); 6] = [
        ("#", &["a", "a/", "/a", "a/b", "a//b", "A", "á", "a\u{301}", longest.as_str()]),
        ("+/b", &["a/b"]),
        ("a/#", &["a", "a/", "a/b", "a//b"]),
        ("+/+", &["a/", "/a", "a/b"]),
        ("á", &["á"]),
        ("a//b", &["a//b"]),
    ];
    for version in OLDER {
        let mut publisher = open(&host, "publisher", version);
        for (filter, matching) in rows {
            let mut client = open(&host, "reader", version);
            client.subscribe(filter, Qos::AtMostOnce);
            for topic in topics {
                publisher.publish(&Message::new(topic, b"", Qos::AtLeastOnce));
            }
            let seen: Vec<String> = matching.iter().map(|_| client.take().topic).collect();
            assert_eq!(seen, matching, "{filter}");
            client.expect_nothing();
        }
    }
}

/// 3.1.1 [MQTT-4.6.0-5] [MQTT-4.6.0-6]: messages of one publisher, topic and
/// QoS come in order; 3.1.1 [MQTT-4.6.0-2] [MQTT-4.6.0-3] [MQTT-4.6.0-4]: and
/// so do the answers to what was sent.
#[test]
fn messages_and_answers_keep_their_order() {
    Host::on_both_stores(|host| {
        for version in OLDER {
            let mut reader = open(host, "reader", version);
            reader.subscribe("t", Qos::ExactlyOnce);
            let mut publisher = open(host, "publisher", version);
            for number in 0..30_u8 {
                let qos = QUALITIES[usize::from(number % 3)];
                publisher.send_message(&Message::new("t", &[number], qos).id(100 + u16::from(number)));
            }
            for number in (0..30_u16).filter(|number| number % 3 > 0) {
                let kind = if number % 3 == 1 { AckKind::PubAck } else { AckKind::PubRec };
                publisher.expect_ack(kind, 100 + number);
            }
            let mut next = [0, 1, 2];
            let mut twos = Vec::new();
            for _ in 0..30 {
                let message = reader.take();
                let lane = &mut next[usize::from(message.qos.bits())];
                assert_eq!(message.payload, [*lane], "{:?}", message.qos);
                *lane += 3;
                twos.extend((message.qos == Qos::ExactlyOnce).then_some(message.id));
            }
            twos.iter().rev().for_each(|id| reader.acknowledge(AckKind::PubRec, *id));
            for id in twos.iter().rev() {
                reader.expect_ack(AckKind::PubRel, *id);
            }
        }
    });
}
