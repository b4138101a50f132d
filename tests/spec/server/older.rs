//! What MQTT 3.1 and 3.1.1 do differently.
//!
//! What lives here: codes, silences and sizes of the older versions. What does
//! not: conversations that are the same in all versions; those run for each in
//! their own chapters. Invariant: ids of this file are those of 3.1.1.

use certus::codec::Packet;
use certus::identity::switch::OnForbiddenSubscribe;
use certus::mqtt::{Qos, ReasonCode, SubscriptionOptions, Version};

use super::client::{Client, Message};
use super::host::Host;

const OLDER: [Version; 2] = [Version::V3, Version::V4];

/// 3.1.1 [MQTT-3.1.3-8]: an empty name needs Clean Session, else code 2 and
/// the end; 3.1.1 [MQTT-3.1.3-6]: with it the broker finds a name.
#[test]
fn an_empty_client_id_needs_clean_session() {
    let host = Host::start();
    let mut client = Client::raw(host.address(), Version::V4);
    client.send_bytes(&host.dial("").version(Version::V4).resume().bytes());
    assert_eq!(client.frame(), [0x20, 2, 0, 2]);
    client.expect_end();
    host.dial("").version(Version::V4).open().expect_nothing();
}

/// 3.1.1 [MQTT-3.1.0-2]: a second CONNECT; 3.1.1 [MQTT-4.8.0-1]: and any
/// other breach end the connection without a word.
#[test]
fn breaches_end_the_connection_without_a_word() {
    let host = Host::start();
    for version in OLDER {
        let mut client = host.dial("a").version(version).open();
        client.send_bytes(&host.dial("a").version(version).bytes());
        client.expect_end();
        let mut client = host.dial("a").version(version).open();
        client.send(&Packet::PingResp);
        client.expect_end();
        let mut client = host.dial("a").version(version).open();
        client.send_bytes(&[0xF0, 0]);
        client.expect_end();
    }
}

/// A take-over closes the older connection without a word: 3.1.1
/// [MQTT-3.1.4-2].
#[test]
fn a_take_over_is_silent() {
    let host = Host::start();
    for version in OLDER {
        let mut old = host.dial("a").version(version).open();
        let mut new = host.dial("a").version(version).open();
        old.expect_end();
        new.expect_nothing();
    }
}

/// A forbidden filter gets 0x80 in 3.1.1 (3.1.1 [MQTT-3.8.4-5]); UNSUBACK
/// has no codes.
#[test]
fn a_refused_filter_has_the_only_failure_code() {
    let host = Host::with(|settings| {
        settings.net.max_subscriptions = 1;
        assert_eq!(settings.tenants[0].switches.on_forbidden_subscribe, OnForbiddenSubscribe::Suback80);
    });
    let mut client = host.dial("a").version(Version::V4).open();
    let of = SubscriptionOptions::of_qos(Qos::AtLeastOnce);
    let codes = client.subscribe_all(&[("a", of), ("b", of)], None);
    assert_eq!(codes, [ReasonCode::GrantedQos1, ReasonCode::UnspecifiedError]);
    assert!(client.unsubscribe(&["a", "b", "c"]).is_empty());
}

/// A forbidden publication is acknowledged all the same: there is no other
/// answer (3.1.1 [MQTT-3.3.5-2]).
#[test]
fn a_forbidden_publication_is_acknowledged_and_dropped() {
    let host = Host::start();
    for version in OLDER {
        let mut client = host.dial("a").version(version).open();
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            assert_eq!(client.publish(&Message::new("$SYS/x", b"", qos)), ReasonCode::Success);
        }
    }
}

/// An older subscriber hears its own messages, retained ones with the flag
/// when it subscribes (3.1.1 [MQTT-3.3.1-8]), and without it when it was there
/// (3.1.1 [MQTT-3.3.1-9]), at every SUBSCRIBE (3.1.1 [MQTT-3.8.4-3]).
#[test]
fn retained_messages_come_at_every_subscribe() {
    let host = Host::start();
    for version in OLDER {
        let mut client = host.dial("a").version(version).open();
        client.publish(&Message::new("t", b"kept", Qos::AtLeastOnce).retained());
        for _ in 0..2 {
            client.subscribe("t", Qos::AtMostOnce);
            assert!(client.take().retain);
        }
        client.send_message(&Message::new("t", b"kept", Qos::AtMostOnce).retained());
        assert!(!client.take().retain);
    }
}

/// A session of an older client is found by a newer one, and the other way
/// round: a session belongs to a client, not to a version.
#[test]
fn a_session_outlives_a_change_of_version() {
    Host::on_both_stores(|host| {
        let versions = [Version::V4, Version::V5, Version::V3, Version::V4];
        let mut client = host.dial("a").version(Version::V5).lasting().open();
        client.subscribe("t", Qos::AtLeastOnce);
        client.disconnect();
        for version in versions {
            let message = Message::new("t", b"x", Qos::AtLeastOnce);
            let message = message.with(|properties| properties.user_property("a", "b").message_expiry(60));
            host.dial("publisher").open().publish(&message);
            let mut client = host.dial("a").version(version).lasting().open();
            assert_eq!(client.receive().text(), "x");
            client.disconnect();
        }
    });
}
