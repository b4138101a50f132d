//! The will, sections 3.1.2.5 and 3.1.3.2.
//!
//! What lives here: when it is published and when it is not. What does not:
//! rights to its topic (`tests/trust`). Invariant: a will is published once or
//! never.

use std::time::Duration;

use certus::codec::Packet;
use certus::mqtt::{Qos, ReasonCode, Version};

use super::client::{Client, Message};
use super::host::{Host, wait};

fn mourner(host: &Host) -> Client {
    let mut mourner = host.dial("mourner").open();
    mourner.subscribe("wills/#", Qos::ExactlyOnce);
    mourner
}

/// [MQTT-3.1.2-14]: as a message that is not retained;
/// [MQTT-3.1.3-10]: with its properties, in order.
#[test]
fn a_lost_connection_publishes_its_will_with_all_properties() {
    Host::on_both_stores(|host| {
        let mut mourner = mourner(host);
        let dial = host.dial("mortal").will("wills/a", b"gone", Qos::ExactlyOnce);
        let dial = dial.will_with(|properties| {
            properties.user_property("b", "1").user_property("a", "2").user_property("b", "1");
            properties.content_type("text/plain").payload_is_text(true)
        });
        dial.open().vanish();
        let will = mourner.receive();
        assert_eq!((will.topic.as_str(), will.text(), will.qos), ("wills/a", "gone", Qos::ExactlyOnce));
        assert!(!will.retain);
        will.read(|properties| {
            let pairs: Vec<_> = properties.user_properties().collect();
            assert_eq!(pairs, [("b", "1"), ("a", "2"), ("b", "1")]);
            assert_eq!(properties.content_type(), Some("text/plain"));
            assert_eq!(properties.will_delay(), None);
        });
        let mut late = host.dial("late").open();
        late.subscribe("wills/#", Qos::AtMostOnce);
        late.expect_nothing();
    });
}

/// [MQTT-3.1.2-15]
#[test]
fn a_retained_will_waits_for_later_subscribers() {
    let host = Host::start();
    let mut mourner = mourner(&host);
    host.dial("mortal").will("wills/a", b"gone", Qos::AtLeastOnce).retained_will().open().vanish();
    assert!(!mourner.receive().retain);
    let mut late = host.dial("late").open();
    late.subscribe("wills/#", Qos::AtMostOnce);
    let will = late.take();
    assert_eq!((will.retain, will.text()), (true, "gone"));
}

/// [MQTT-3.14.4-3]; [MQTT-3.1.2-10]: and a client without a will has none.
/// 3.1.1 [MQTT-3.14.4-3]. Also [MQTT-3.1.2-10] [MQTT-3.1.2-12].
#[test]
fn disconnect_takes_the_will_back() {
    let host = Host::start();
    let mut mourner = mourner(&host);
    for version in [Version::V3, Version::V4, Version::V5] {
        host.dial("mortal").version(version).will("wills/a", b"gone", Qos::AtMostOnce).open().disconnect();
        host.dial("mortal").version(version).open().vanish();
    }
    mourner.expect_nothing();
}

/// Section 3.14.2.1: reason code 4, and every error, leave the will.
#[test]
fn disconnect_with_will_publishes_it() {
    let host = Host::start();
    let mut mourner = mourner(&host);
    for reason in [ReasonCode::DisconnectWithWill, ReasonCode::UnspecifiedError] {
        let client = host.dial("mortal").will("wills/a", b"asked for", Qos::AtMostOnce).open();
        client.disconnect_with(reason, |properties| properties);
        assert_eq!(mourner.receive().text(), "asked for");
    }
    mourner.expect_nothing();
}

/// A breach of the protocol and a take-over leave a will too (section
/// 3.1.2.5).
#[test]
fn breaches_and_take_overs_publish_the_will() {
    let host = Host::start();
    let mut mourner = mourner(&host);
    let mut client = host.dial("mortal").will("wills/a", b"breach", Qos::AtMostOnce).open();
    client.send(&Packet::PingResp);
    client.expect_disconnect(ReasonCode::ProtocolError);
    assert_eq!(mourner.receive().text(), "breach");
    let mut old = host.dial("mortal").will("wills/a", b"taken over", Qos::AtMostOnce).open();
    let _new = host.dial("mortal").open();
    old.expect_disconnect(ReasonCode::SessionTakenOver);
    assert_eq!(mourner.receive().text(), "taken over");
    mourner.expect_nothing();
}

/// [MQTT-3.1.3-9]
#[test]
fn a_will_with_a_delay_is_not_sent_when_the_client_is_back_in_time() {
    let host = Host::start();
    let mut mourner = mourner(&host);
    let mortal = || {
        let dial = host.dial("mortal").lasting().will("wills/a", b"gone", Qos::AtMostOnce);
        dial.will_with(|properties| properties.will_delay(1))
    };
    mortal().open().vanish();
    wait(300);
    let client = mortal().open();
    assert!(client.connack().session_present);
    wait(1200);
    mourner.expect_nothing();
    let lost = host.now();
    client.vanish();
    assert_eq!(mourner.receive().text(), "gone");
    assert!((host.now() - lost) >= Duration::from_millis(950), "{:?}", (host.now() - lost));
}

/// Section 3.1.3.2.2: the end of the session ends the delay.
#[test]
fn a_will_does_not_outwait_its_session() {
    let host = Host::start();
    let mut mourner = mourner(&host);
    let mortal = |expiry| {
        let dial = host.dial("mortal").resume().will("wills/a", b"gone", Qos::AtMostOnce);
        dial.with(|properties| properties.session_expiry(expiry)).will_with(|properties| properties.will_delay(1000))
    };
    mortal(0).open().vanish();
    assert_eq!(mourner.receive().text(), "gone");
    mortal(1).open().vanish();
    assert_eq!(mourner.receive().text(), "gone");
    mortal(1000).open().vanish();
    let _clean = host.dial("mortal").open();
    assert_eq!(mourner.receive().text(), "gone");
    mourner.expect_nothing();
}

/// The will is a message like another: its expiry counts from its
/// publication.
#[test]
fn a_will_keeps_its_message_expiry() {
    let host = Host::start();
    let mut mourner = mourner(&host);
    let dial = host.dial("mortal").will("wills/a", b"gone", Qos::AtMostOnce);
    dial.will_with(|properties| properties.message_expiry(30)).open().vanish();
    let will = mourner.receive();
    assert_eq!(will.read(|properties| properties.message_expiry()), Some(30));
    let _: Message = will;
}
