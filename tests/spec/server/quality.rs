//! QoS 1 and 2 and the flow of both, sections 4.3, 4.4 and 4.9.
//!
//! What lives here: acknowledgements in both directions, what is sent again,
//! and how many may be open. Invariant: every conversation that acknowledges
//! is held with a store that is durable at once, and with one that lags.

use certus::codec::AckKind;
use certus::mqtt::{Qos, ReasonCode, Version};

use super::client::{Client, Message};
use super::host::Host;

const VERSIONS: [Version; 2] = [Version::V4, Version::V5];

fn pair(host: &Host, version: Version, qos: Qos) -> (Client, Client) {
    let mut reader = host.dial("reader").version(version).lasting().open();
    reader.subscribe("t", qos);
    (host.dial("publisher").version(version).open(), reader)
}

/// [MQTT-4.3.2-4] [MQTT-4.3.2-5] [MQTT-2.2.1-5]: PUBACK carries the identifier,
/// and ends its use: the same again is a new message, DUP or not. 3.1.1
/// [MQTT-2.3.1-6] [MQTT-3.3.4-1] [MQTT-4.3.2-2].
#[test]
fn a_puback_ends_the_use_of_its_identifier() {
    Host::on_both_stores(|host| {
        for version in VERSIONS {
            let (mut publisher, mut reader) = pair(host, version, Qos::AtLeastOnce);
            for dup in [false, true] {
                let message = Message { dup, ..Message::new("t", b"x", Qos::AtLeastOnce).id(77) };
                assert_eq!(publisher.publish(&message), ReasonCode::Success);
                reader.receive();
            }
            reader.expect_nothing();
        }
    });
}

/// [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12]: until PUBREL
/// the same identifier is the same message; behind PUBCOMP a new one. An
/// unknown one gets 0x92. 3.1.1 [MQTT-2.3.1-6] [MQTT-3.3.4-1] [MQTT-4.3.3-2].
#[test]
fn a_publication_of_qos_2_is_delivered_once_until_it_is_released() {
    Host::on_both_stores(|host| {
        for version in VERSIONS {
            let (mut publisher, mut reader) = pair(host, version, Qos::AtMostOnce);
            let message = Message::new("t", b"x", Qos::ExactlyOnce).id(5);
            for number in 0..2 {
                for dup in [false, true, true] {
                    publisher.send_message(&Message { dup, ..message.clone() });
                    assert_eq!(publisher.expect_ack(AckKind::PubRec, 5), ReasonCode::Success);
                }
                assert_eq!(reader.receive().text(), "x", "{number}");
                reader.expect_nothing();
                publisher.acknowledge(AckKind::PubRel, 5);
                assert_eq!(publisher.expect_ack(AckKind::PubComp, 5), ReasonCode::Success);
            }
            publisher.acknowledge(AckKind::PubRel, 5);
            let unknown = publisher.expect_ack(AckKind::PubComp, 5);
            assert_eq!(unknown == ReasonCode::PacketIdentifierNotFound, version.is_v5());
        }
    });
}

/// The same when the connection is lost between any two packets: the session
/// remembers what was received [MQTT-4.1.0-1]. 3.1.1 [MQTT-4.1.0-1].
#[test]
fn a_received_identifier_outlives_its_connection() {
    Host::on_both_stores(|host| {
        for version in VERSIONS {
            let (_, mut reader) = pair(host, version, Qos::AtMostOnce);
            let mut publisher = host.dial("sender").version(version).lasting().open();
            let message = Message::new("t", b"x", Qos::ExactlyOnce).id(5);
            publisher.send_message(&message);
            publisher.expect_ack(AckKind::PubRec, 5);
            publisher.vanish();
            let mut publisher = host.dial("sender").version(version).lasting().open();
            publisher.send_message(&message.clone().dup());
            publisher.expect_ack(AckKind::PubRec, 5);
            publisher.acknowledge(AckKind::PubRel, 5);
            publisher.expect_ack(AckKind::PubComp, 5);
            publisher.disconnect();
            assert_eq!(reader.receive().text(), "x");
            reader.expect_nothing();
            let _clean = host.dial("sender").open();
        }
    });
}

/// [MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-4.3.2-1]
/// [MQTT-4.3.3-1] [MQTT-2.2.1-4]: what was not acknowledged comes again when
/// the client is back, with DUP, the same identifier and in order; at no other
/// time. 3.1.1 [MQTT-2.3.1-4] [MQTT-3.3.1-1] [MQTT-4.3.2-1] [MQTT-4.3.3-1]
/// [MQTT-4.4.0-1] [MQTT-4.6.0-1].
#[test]
fn what_was_not_acknowledged_comes_again_in_order() {
    Host::on_both_stores(|host| {
        for version in VERSIONS {
            let (mut publisher, mut reader) = pair(host, version, Qos::ExactlyOnce);
            for (number, qos) in
                [Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().enumerate()
            {
                publisher.publish(&Message::new("t", &[number as u8], qos));
            }
            let mut first: Vec<Message> = (0..4).map(|_| reader.take()).collect();
            assert!(first.iter().all(|message| !message.dup && message.id > 0));
            reader.expect_nothing();
            reader.vanish();
            let mut reader = host.dial("reader").version(version).lasting().open();
            first.sort_by_key(|message| message.payload.clone());
            let mut again: Vec<Message> = (0..4).map(|_| reader.take()).collect();
            again.iter().for_each(|message| reader.finish(message));
            assert!(again.iter().all(|message| message.dup));
            for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let of = |all: &[Message]| -> Vec<_> {
                    let all = all.iter().filter(|message| message.qos == qos);
                    all.map(|message| (message.id, message.payload.clone())).collect()
                };
                assert_eq!(of(&first), of(&again));
            }
            again.sort_by_key(|message| message.id);
            again.dedup_by_key(|message| message.id);
            assert_eq!(again.len(), 4, "no identifier twice");
            reader.expect_nothing();
            reader.vanish();
            host.dial("reader").version(version).lasting().open().expect_nothing();
            let _clean = host.dial("reader").open();
        }
    });
}

/// [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT-4.3.3-4]: behind PUBREC it is PUBREL
/// that comes again, and never the message. 3.1.1 [MQTT-4.3.3-1]
/// [MQTT-4.4.0-1].
#[test]
fn a_release_that_was_not_answered_comes_again() {
    Host::on_both_stores(|host| {
        for version in VERSIONS {
            let (mut publisher, mut reader) = pair(host, version, Qos::ExactlyOnce);
            publisher.publish(&Message::new("t", b"x", Qos::ExactlyOnce));
            let id = reader.take().id;
            reader.acknowledge(AckKind::PubRec, id);
            reader.expect_ack(AckKind::PubRel, id);
            reader.vanish();
            let mut reader = host.dial("reader").version(version).lasting().open();
            reader.expect_ack(AckKind::PubRel, id);
            reader.acknowledge(AckKind::PubComp, id);
            reader.expect_nothing();
            reader.vanish();
            host.dial("reader").version(version).lasting().open().expect_nothing();
        }
    });
}

/// [MQTT-4.4.0-2] [MQTT-4.3.3-9] for the receiver's part: a refusal ends the
/// message, for the window too, and no PUBREL follows.
#[test]
fn a_refused_delivery_is_not_sent_again() {
    Host::on_both_stores(|host| {
        for (qos, kind) in [(Qos::AtLeastOnce, AckKind::PubAck), (Qos::ExactlyOnce, AckKind::PubRec)] {
            let small = || host.dial("reader").lasting().with(|properties| properties.receive_maximum(1));
            let mut reader = small().open();
            reader.subscribe("t", qos);
            let mut publisher = host.dial("publisher").open();
            publisher.publish(&Message::new("t", b"refused", qos));
            publisher.publish(&Message::new("t", b"next", qos));
            let refused = reader.take();
            reader.expect_nothing();
            reader.acknowledge_with(kind, refused.id, ReasonCode::QuotaExceeded);
            let next = reader.take();
            assert_eq!(next.text(), "next");
            reader.vanish();
            let mut reader = small().open();
            assert_eq!(reader.receive().text(), "next");
            reader.expect_nothing();
            reader.disconnect();
            let _clean = host.dial("reader").open();
        }
    });
}

/// [MQTT-3.3.4-7] [MQTT-4.9.0-1] [MQTT-4.9.0-2]: no more than the client's
/// Receive Maximum at once; [MQTT-4.9.0-3] [MQTT-3.3.4-9]: everything else
/// goes on.
#[test]
fn the_clients_receive_maximum_is_kept() {
    Host::on_both_stores(|host| {
        for (qos, lasting) in [(Qos::AtLeastOnce, false), (Qos::ExactlyOnce, false), (Qos::ExactlyOnce, true)] {
            let dial = host.dial("reader").with(|properties| properties.receive_maximum(3));
            let mut reader = if lasting { dial.with(|properties| properties.session_expiry(60)) } else { dial }.open();
            reader.subscribe("t", Qos::ExactlyOnce);
            let mut publisher = host.dial("publisher").open();
            for number in 0..10 {
                publisher.publish(&Message::new("t", &[number], qos));
            }
            let open: Vec<Message> = (0..3).map(|_| reader.take()).collect();
            reader.expect_nothing();
            reader.subscribe("other", Qos::AtLeastOnce);
            assert_eq!(reader.unsubscribe(&["other"]), [ReasonCode::Success]);
            if qos == Qos::AtLeastOnce {
                reader.acknowledge(AckKind::PubAck, open[1].id);
            } else {
                reader.acknowledge(AckKind::PubRec, open[1].id);
                reader.expect_ack(AckKind::PubRel, open[1].id);
                reader.expect_nothing();
                reader.acknowledge(AckKind::PubComp, open[1].id);
            }
            let fourth = reader.take();
            assert_eq!(fourth.payload, [3]);
            reader.expect_nothing();
        }
    });
}

/// [MQTT-3.3.4-8]: one more than the server's Receive Maximum is a breach.
#[test]
fn more_publications_than_the_receive_maximum_end_the_connection() {
    let host = Host::with(|settings| settings.net.receive_maximum = 3);
    let mut publisher = host.dial("publisher").open();
    assert_eq!(publisher.connack().properties.receive_maximum(), Some(3));
    for id in 1..=3 {
        publisher.send_message(&Message::new("t", b"", Qos::ExactlyOnce).id(id));
        publisher.expect_ack(AckKind::PubRec, id);
    }
    // A repetition is not one more.
    publisher.send_message(&Message::new("t", b"", Qos::ExactlyOnce).id(3).dup());
    publisher.expect_ack(AckKind::PubRec, 3);
    publisher.publish(&Message::new("t", b"", Qos::AtMostOnce));
    publisher.send_message(&Message::new("t", b"", Qos::ExactlyOnce).id(4));
    publisher.expect_disconnect(ReasonCode::ReceiveMaximumExceeded);
}

/// [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-4.3.3-9]: a publication without the
/// right to it is refused by its reason code; a refused identifier is free.
#[test]
fn a_forbidden_publication_is_refused_by_its_acknowledgement() {
    Host::on_both_stores(|host| {
        let mut publisher = host.dial("publisher").open();
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::ExactlyOnce] {
            let refused = publisher.publish(&Message::new("$SYS/x", b"", qos).id(9));
            assert_eq!(refused, ReasonCode::NotAuthorized);
        }
        assert_eq!(publisher.publish(&Message::new("t", b"", Qos::ExactlyOnce).id(9)), ReasonCode::Success);
    });
}

/// Acknowledgements of what was never sent do no harm, and PUBREC of such is
/// answered with 0x92 (section 4.13.1 leaves this to the server).
#[test]
fn acknowledgements_of_nothing_do_no_harm() {
    let host = Host::start();
    let mut client = host.dial("reader").open();
    client.acknowledge(AckKind::PubAck, 1);
    client.acknowledge(AckKind::PubComp, 2);
    client.expect_nothing();
    client.acknowledge(AckKind::PubRec, 3);
    assert_eq!(client.expect_ack(AckKind::PubRel, 3), ReasonCode::PacketIdentifierNotFound);
    client.acknowledge_with(AckKind::PubRec, 3, ReasonCode::UnspecifiedError);
    client.expect_nothing();
}

/// [MQTT-4.3.3-13]: a message whose expiry passes while it is exchanged is
/// exchanged to the end, over a new connection too.
#[test]
fn an_exchange_that_began_is_completed_whatever_expires() {
    Host::on_both_stores(|host| {
        let (mut publisher, mut reader) = pair(host, Version::V5, Qos::ExactlyOnce);
        publisher.publish(&Message::new("t", b"x", Qos::ExactlyOnce).with(|properties| properties.message_expiry(5)));
        let id = reader.take().id;
        host.pass(60);
        reader.vanish();
        let mut reader = host.dial("reader").lasting().open();
        let again = reader.receive();
        assert_eq!((again.id, again.dup), (id, true));
        reader.expect_nothing();
        host.pass(0);
    });
}

/// Section 4.3: an acknowledgement takes ownership. While the store keeps a
/// change to itself, nothing that promises it leaves; everything else does.
#[test]
fn an_acknowledgement_waits_until_the_store_has_it() {
    let host = Host::with(|settings| settings.slow_store = Some("never".to_owned()));
    let mut reader = host.dial("reader").open();
    reader.subscribe("t", Qos::ExactlyOnce);
    let mut publisher = host.dial("publisher").open();
    for (topic, qos) in [("t", Qos::AtLeastOnce), ("elsewhere", Qos::ExactlyOnce)] {
        publisher.send_message(&Message::new(topic, b"kept", qos).retained());
        publisher.expect_nothing();
    }
    // QoS 1 does not wait for the disk on its way out.
    assert_eq!(reader.receive().qos, Qos::AtLeastOnce);
    publisher.publish(&Message::new("t", b"", Qos::AtMostOnce));
    assert_eq!(reader.receive().qos, Qos::AtMostOnce);
}
