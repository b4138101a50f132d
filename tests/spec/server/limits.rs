//! Maximum Packet Size in both directions, sections 3.1.2.11.4 and 3.2.2.3.6.
//!
//! What lives here: what a client with little room is sent, and what a client
//! that sends too much is told. Invariant: no packet is ever longer than its
//! receiver takes.

use certus::codec::AckKind;
use certus::mqtt::{Qos, ReasonCode, SubscriptionOptions, Version};

use super::client::{Client, Message};
use super::host::Host;

fn small(host: &Host, bytes: u32) -> Client {
    host.dial("small").with(|properties| properties.maximum_packet_size(bytes).receive_maximum(2)).lasting().open()
}

/// [MQTT-3.1.2-24] [MQTT-3.1.2-25]: what is too long is left out as if it had
/// been sent and answered; what comes behind is delivered, and the window is
/// free.
#[test]
fn a_message_that_is_too_long_for_its_receiver_is_left_out() {
    Host::on_both_stores(|host| {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut reader = small(host, 60);
            reader.subscribe("t", Qos::ExactlyOnce);
            let mut publisher = host.dial("publisher").open();
            let header = 2 + 3 + 1 + if qos == Qos::AtMostOnce { 0 } else { 2 };
            for _ in 0..3 {
                publisher.publish(&Message::new("t", &vec![b'x'; 61 - header], qos));
            }
            publisher.publish(&Message::new("t", &vec![b'y'; 60 - header], qos));
            assert_eq!(reader.receive().text().as_bytes()[0], b'y');
            reader.expect_nothing();
            reader.vanish();
            let mut reader = small(host, 60);
            reader.expect_nothing();
            drop(reader);
            host.dial("small").open().disconnect();
        }
    });
}

/// The same for what was stored, for retained messages and with properties:
/// the whole packet is measured.
#[test]
fn stored_and_retained_messages_are_measured_too() {
    Host::on_both_stores(|host| {
        let mut reader = small(host, 60);
        reader.subscribe("t", Qos::AtLeastOnce);
        reader.disconnect();
        let mut publisher = host.dial("publisher").open();
        let long = Message::new("t", b"long", Qos::AtLeastOnce);
        publisher
            .publish(&long.clone().with(|properties| properties.user_property("name", &"x".repeat(40))).retained());
        publisher.publish(&Message::new("t", b"short", Qos::AtLeastOnce));
        let mut reader = small(host, 60);
        assert_eq!(reader.receive().text(), "short");
        reader.subscribe("t", Qos::AtLeastOnce);
        reader.expect_nothing();
        host.dial("small").open().disconnect();
        publisher.publish(&Message::new("t", b"", Qos::AtLeastOnce).retained());
    });
}

/// [MQTT-3.2.2-19] [MQTT-3.2.2-20]: a refusal whose words do not fit has none;
/// [MQTT-3.14.2-3] [MQTT-3.14.2-4]: nor has DISCONNECT.
#[test]
fn words_that_do_not_fit_are_left_out() {
    let host = Host::start();
    let small = || host.dial("small").with(|properties| properties.maximum_packet_size(30));
    let refused = small().with(|properties| properties.authentication_method("x")).call();
    assert_eq!(refused.connack().reason, ReasonCode::BadAuthenticationMethod);
    assert_eq!(refused.connack().properties.reason_string(), None);
    let mut client = small().open();
    client.send_bytes(&[0xC1, 0]);
    client.expect_disconnect(ReasonCode::MalformedPacket);
}

/// [MQTT-3.1.2-24]: a client that has no room for what CONNACK must say is
/// refused, in as few bytes as there are; one that has not even these is
/// closed.
#[test]
fn a_client_without_room_for_connack_is_refused() {
    let host = Host::start();
    let dial = |bytes| host.dial("").with(|properties| properties.maximum_packet_size(bytes));
    let mut client = dial(15).call();
    assert_eq!(client.connack().reason, ReasonCode::PacketTooLarge);
    client.expect_end();
    let mut client = Client::raw(host.address(), Version::V5);
    client.send_bytes(&dial(4).bytes());
    client.expect_end();
}

/// The same for SUBACK, whose length is the client's doing.
#[test]
fn a_suback_that_does_not_fit_ends_the_connection() {
    let host = Host::start();
    let mut client = host.dial("small").with(|properties| properties.maximum_packet_size(40)).open();
    let filters = vec![("t", SubscriptionOptions::of_qos(Qos::AtMostOnce)); 35];
    assert_eq!(client.subscribe_all(&filters, None).len(), 35);
    assert_eq!(client.unsubscribe(&["t"; 35]).len(), 35);
    client.send_subscribe(&[filters, vec![("u", SubscriptionOptions::of_qos(Qos::AtMostOnce))]].concat(), None);
    client.expect_disconnect(ReasonCode::PacketTooLarge);
}

/// Section 3.2.2.3.6: what is longer than we announced ends the connection,
/// before it has been sent to its end.
#[test]
fn a_packet_that_is_longer_than_announced_ends_the_connection() {
    let host = Host::with(|settings| settings.tenants[0].switches.max_packet = 1000);
    let mut client = host.dial("large").open();
    assert_eq!(client.connack().properties.maximum_packet_size(), Some(1000));
    let fits = Message::new("t", &[0; 1000 - 3 - 3 - 2 - 1], Qos::AtLeastOnce).id(1);
    client.send_message(&fits);
    assert_eq!(client.expect_ack(AckKind::PubAck, 1), ReasonCode::Success);
    client.send_bytes(&[0x30, 0xE6, 0x07]);
    client.expect_disconnect(ReasonCode::PacketTooLarge);
}
