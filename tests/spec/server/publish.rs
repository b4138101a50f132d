//! PUBLISH as it is passed on, section 3.3.
//!
//! What lives here: what reaches a subscriber of a message, its aliases and its
//! expiry. What does not: retained messages (`retained`), acknowledgements
//! (`quality`). Invariant: what the standard calls unaltered is compared byte
//! by byte.

use certus::mqtt::{Qos, ReasonCode, SubscriptionOptions, TopicName, Version};

use super::client::Message;
use super::host::Host;

/// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17]
/// [MQTT-3.3.2-18] [MQTT-3.3.2-20] [MQTT-3.3.2-13] [MQTT-3.3.2-19], for a
/// subscriber that is there and for one that was away.
#[test]
fn properties_are_passed_on_unaltered_and_in_order() {
    Host::on_both_stores(|host| {
        let mut sleeper = host.dial("sleeper").lasting().open();
        sleeper.subscribe("t", Qos::ExactlyOnce);
        sleeper.disconnect();
        let mut reader = host.dial("reader").open();
        reader.subscribe("t", Qos::ExactlyOnce);
        let mut publisher = host.dial("publisher").open();
        let message = |qos| {
            Message::new("t", "grüße".as_bytes(), qos).with(|properties| {
                properties.user_property("z", "1").content_type("text/plain").user_property("a", "\u{FEFF}2");
                properties.response_topic(TopicName::new("answers/1").unwrap()).correlation_data(&[0, 255, 7]);
                properties.payload_is_text(true).user_property("z", "1").user_property("", "")
            })
        };
        let all = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
        for qos in all {
            publisher.publish(&message(qos));
            let received = reader.receive();
            assert_eq!((received.properties, received.payload), (message(qos).properties, message(qos).payload));
        }
        let mut sleeper = host.dial("sleeper").lasting().open();
        for qos in &all[1..] {
            assert_eq!(sleeper.receive().properties, message(*qos).properties);
        }
    });
}

/// Subscribers of the older versions get the same message without properties,
/// and theirs reach the newer ones.
#[test]
fn versions_understand_each_other() {
    Host::on_both_stores(|host| {
        let versions = [Version::V3, Version::V4, Version::V5];
        let mut readers = versions.map(|version| {
            let mut reader = host.dial(&format!("reader-{version}")).version(version).open();
            reader.subscribe("t/+", Qos::ExactlyOnce);
            reader
        });
        for version in versions {
            let mut publisher = host.dial("publisher").version(version).open();
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let mut message = Message::new("t/x", b"payload", qos);
                if version.is_v5() {
                    message = message.with(|properties| properties.user_property("a", "b").message_expiry(50));
                }
                publisher.publish(&message);
                for reader in &mut readers {
                    let received = reader.receive();
                    assert_eq!((received.text(), received.qos, received.retain), ("payload", qos, false));
                }
            }
        }
    });
}

/// [MQTT-3.3.1-3]: DUP is the publisher's alone. [MQTT-4.3.1-1]
/// [MQTT-4.3.2-2] [MQTT-4.3.3-2]: the first delivery has none.
#[test]
fn dup_is_not_passed_on() {
    Host::on_both_stores(|host| {
        let mut reader = host.dial("reader").open();
        reader.subscribe("t", Qos::ExactlyOnce);
        let mut publisher = host.dial("publisher").open();
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            publisher.publish(&Message::new("t", b"", qos).dup());
            assert!(!reader.receive().dup);
        }
        publisher.publish(&Message::new("t", b"", Qos::AtMostOnce));
        assert!(!reader.receive().dup);
    });
}

/// [MQTT-3.8.4-8] [MQTT-3.3.4-1]: the lower of the two.
#[test]
fn the_quality_of_a_delivery_is_the_lower_one() {
    let host = Host::start();
    let all = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
    let mut publisher = host.dial("publisher").open();
    for granted in all {
        let mut reader = host.dial("reader").open();
        reader.subscribe("t", granted);
        for published in all {
            publisher.publish(&Message::new("t", b"", published));
            assert_eq!(reader.receive().qos, granted.min(published));
        }
    }
}

/// [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.4-5]: one copy, with
/// the highest QoS and every identifier.
#[test]
fn overlapping_subscriptions_bring_one_copy_with_every_identifier() {
    Host::on_both_stores(|host| {
        let mut reader = host.dial("reader").lasting().open();
        let of = SubscriptionOptions::of_qos;
        reader.subscribe_with("a/#", of(Qos::AtMostOnce), Some(7));
        reader.subscribe_with("a/+", of(Qos::ExactlyOnce), Some(268_435_455));
        reader.subscribe_with("a/b", of(Qos::AtLeastOnce), None);
        reader.subscribe_with("+/b", of(Qos::AtMostOnce), Some(7));
        reader.subscribe_with("c", of(Qos::AtMostOnce), Some(9));
        let check = |message: &Message| {
            let mut ids: Vec<_> = message.read(|properties| properties.subscription_ids().collect());
            ids.sort_unstable();
            ids.dedup();
            assert_eq!((ids, message.qos), (vec![7, 268_435_455], Qos::ExactlyOnce));
        };
        let mut publisher = host.dial("publisher").open();
        let message = Message::new("a/b", b"", Qos::ExactlyOnce);
        publisher.publish(&message);
        check(&reader.receive());
        reader.expect_nothing();
        reader.disconnect();
        publisher.publish(&message);
        let mut reader = host.dial("reader").lasting().open();
        check(&reader.receive());
        reader.expect_nothing();
    });
}

/// [MQTT-3.3.4-6], and a subscription's identifier ends with the option
/// [MQTT-3.8.4-3].
#[test]
fn subscription_identifiers_are_the_servers_to_send() {
    let host = Host::start();
    let mut client = host.dial("reader").open();
    client.subscribe_with("t", SubscriptionOptions::of_qos(Qos::AtMostOnce), Some(3));
    client.subscribe_with("t", SubscriptionOptions::of_qos(Qos::AtMostOnce), None);
    client.send_message(&Message::new("t", b"", Qos::AtMostOnce));
    assert_eq!(client.take().read(|properties| properties.subscription_ids().count()), 0);
    client.send_message(&Message::new("t", b"", Qos::AtMostOnce).with(|properties| properties.subscription_id(1)));
    client.expect_disconnect(ReasonCode::ProtocolError);
}

/// [MQTT-3.3.2-12] [MQTT-3.3.2-3]: an alias stands for its topic until it is
/// set anew; subscribers see the topic [MQTT-3.1.2-26] [MQTT-3.1.2-27]
/// [MQTT-3.3.2-11].
#[test]
fn an_alias_stands_for_the_topic_that_it_was_set_to_last() {
    let host = Host::start();
    let mut reader = host.dial("reader").with(|properties| properties.topic_alias_maximum(10)).open();
    reader.subscribe("#", Qos::AtMostOnce);
    let mut publisher = host.dial("publisher").open();
    let most = publisher.connack().properties.topic_alias_maximum().unwrap();
    for (topic, alias, seen) in
        [("a", most, "a"), ("", most, "a"), ("b", most, "b"), ("", most, "b"), ("c", 1, "c"), ("", most, "b")]
    {
        let message = Message::new(topic, b"", Qos::AtMostOnce);
        publisher.send_message(&alias_of(message, alias));
        assert_eq!(reader.take().topic, seen);
    }
}

/// [MQTT-3.3.2-8] [MQTT-3.3.2-9] [MQTT-3.3.2-10] [MQTT-3.1.2-26]: the server
/// sets aliases for topics that come again, no higher than the client takes,
/// and anew on each connection; [MQTT-3.1.2-27]: none where it takes none.
#[test]
fn the_server_sets_aliases_for_those_who_take_them() {
    Host::on_both_stores(|host| {
        let long = "a/topic/of/forty/bytes/that/comes/often/0";
        let mut publisher = host.dial("publisher").open();
        let mut lengths = |most: u16| {
            let dial = host.dial("reader").lasting();
            let mut reader = dial.with(|properties| properties.topic_alias_maximum(most)).open();
            reader.subscribe("#", Qos::AtLeastOnce);
            let topics = [long, long, long, "b", long, "b", "b"];
            let frames = topics.map(|topic| {
                publisher.publish(&Message::new(topic, b"x", Qos::AtLeastOnce));
                let frame = reader.frame();
                let message = reader.message_in(&frame);
                reader.finish(&message);
                assert_eq!((message.topic.as_str(), message.payload), (topic, b"x".to_vec()));
                frame.len()
            });
            reader.disconnect();
            frames
        };
        let (plain, one) = (lengths(0), lengths(1));
        assert_eq!(plain, [49, 49, 49, 9, 49, 9, 9]);
        // Three bytes to announce it, then three instead of 41.
        assert_eq!(one, [49, 52, 11, 9, 11, 9, 9]);
        assert_eq!(lengths(65_535), [49, 52, 11, 9, 11, 12, 11], "a new connection begins anew");
    });
}

fn alias_of(mut message: Message, alias: u16) -> Message {
    message.properties.push(0x23);
    message.properties.extend(alias.to_be_bytes());
    message
}

/// [MQTT-3.3.2-8] [MQTT-3.3.2-7]: 0, one above the maximum, and one that was
/// never set are refused; [MQTT-3.3.2-10]: none outlives its connection.
#[test]
fn aliases_that_mean_nothing_end_the_connection() {
    let host = Host::start();
    let mut setter = host.dial("publisher").lasting().open();
    setter.send_message(&alias_of(Message::new("a", b"", Qos::AtMostOnce), 1));
    setter.disconnect();
    let most = host.dial("reader").open().connack().properties.topic_alias_maximum().unwrap();
    for (topic, alias) in [("a", 0), ("a", most + 1), ("", 1), ("", 0)] {
        let mut publisher = host.dial("publisher").lasting().open();
        assert!(publisher.connack().session_present);
        publisher.send_message(&alias_of(Message::new(topic, b"", Qos::AtMostOnce), alias));
        publisher.expect_disconnect(ReasonCode::TopicAliasInvalid);
    }
    let mut publisher = host.dial("publisher").open();
    publisher.send_message(&Message::new("", b"", Qos::AtMostOnce));
    publisher.expect_disconnect(ReasonCode::ProtocolError);
}

/// [MQTT-3.3.2-6]: what is left is passed on; [MQTT-3.3.2-5]: what is over is
/// not delivered. For a client that was away:
#[test]
fn messages_for_a_client_that_is_away_expire() {
    Host::on_both_stores(|host| {
        let mut sleeper = host.dial("sleeper").lasting().open();
        sleeper.subscribe("t", Qos::AtLeastOnce);
        sleeper.disconnect();
        let mut publisher = host.dial("publisher").open();
        for seconds in [10, 100] {
            let message = Message::new("t", b"", Qos::AtLeastOnce);
            publisher.publish(&message.with(|properties| properties.message_expiry(seconds)));
        }
        publisher.publish(&Message::new("t", b"for ever", Qos::AtLeastOnce));
        host.pass(30);
        let mut sleeper = host.dial("sleeper").lasting().open();
        let left = sleeper.receive().read(|properties| properties.message_expiry()).unwrap();
        assert!((65..=70).contains(&left), "{left}");
        let last = sleeper.receive();
        assert_eq!((last.text(), last.read(|properties| properties.message_expiry())), ("for ever", None));
        sleeper.expect_nothing();
        host.pass(0);
    });
}

/// The same for a client whose window is full: what was not begun expires
/// [MQTT-3.3.2-5], and what was begun does not [MQTT-4.3.3-7].
#[test]
fn messages_that_wait_for_the_window_expire() {
    Host::on_both_stores(|host| {
        for (qos, lasting) in
            [(Qos::AtLeastOnce, false), (Qos::AtLeastOnce, true), (Qos::ExactlyOnce, true), (Qos::ExactlyOnce, false)]
        {
            let dial = host.dial("reader").with(|properties| properties.receive_maximum(1));
            let mut reader = if lasting { dial.with(|properties| properties.session_expiry(100)) } else { dial }.open();
            reader.subscribe("t", Qos::ExactlyOnce);
            let mut publisher = host.dial("publisher").open();
            let message = |text: &str, seconds| {
                Message::new("t", text.as_bytes(), qos).with(|properties| properties.message_expiry(seconds))
            };
            publisher.publish(&message("begun", 10));
            publisher.publish(&message("over", 10));
            publisher.publish(&message("left", 100));
            if qos == Qos::AtLeastOnce {
                // It may overtake QoS 2, but not QoS 1.
                publisher.publish(&Message::new("t", b"over too", Qos::AtMostOnce).with(|p| p.message_expiry(1)));
            }
            let begun = reader.take();
            assert_eq!(begun.text(), "begun");
            host.pass(30);
            reader.finish(&begun);
            let second = reader.receive();
            assert_eq!(second.text(), "left", "{qos:?}, lasting: {lasting}");
            assert!(second.read(|properties| properties.message_expiry()).unwrap() <= 70);
            reader.expect_nothing();
            host.pass(0);
        }
    });
}

/// [MQTT-4.6.0-5] [MQTT-4.6.0-6]: of one publisher's messages to one topic,
/// those of one QoS come in order.
#[test]
fn messages_of_one_publisher_come_in_order() {
    Host::on_both_stores(|host| {
        let mut reader = host.dial("reader").open();
        reader.subscribe("t/#", Qos::ExactlyOnce);
        let mut publisher = host.dial("publisher").open();
        let all = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
        for number in 0..60_u8 {
            publisher.send_message(&Message::new("t/x", &[number], all[usize::from(number % 3)]));
        }
        let mut next = [0, 1, 2];
        let mut held = Vec::new();
        for _ in 0..60 {
            let message = reader.take();
            let lane = &mut next[usize::from(message.qos.bits())];
            assert_eq!(message.payload, [*lane], "{:?}", message.qos);
            *lane += 3;
            if message.qos > Qos::AtMostOnce {
                held.push(message.id);
            }
        }
        assert_eq!(held.len(), 40);
    });
}

/// Section 3.3.2.1 and [MQTT-4.7.3-3]: the longest topic there is goes
/// through; too many levels are refused.
#[test]
fn the_longest_topic_goes_through_and_too_many_levels_do_not() {
    let host = Host::start();
    let mut client = host.dial("reader").open();
    client.subscribe("#", Qos::AtLeastOnce);
    let topic = "x".repeat(65_535);
    client.send_message(&Message::new(&topic, b"", Qos::AtMostOnce));
    assert_eq!(client.take().topic, topic);
    client.send_message(&Message::new(&"/".repeat(200), b"", Qos::AtMostOnce));
    client.expect_disconnect(ReasonCode::TopicNameInvalid);
}
