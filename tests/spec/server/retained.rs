//! Retained messages, sections 3.3.1.3 and 3.8.3.1.
//!
//! What lives here: what is kept, for whom, and with which flag. Invariant: a
//! retained message is the last one that was published so to its topic.

use certus::mqtt::{Qos, RetainHandling, SubscriptionOptions};

use super::client::{Client, Message};
use super::host::Host;

const fn handling(retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions { retain_handling, ..SubscriptionOptions::of_qos(Qos::AtLeastOnce) }
}

fn retain(publisher: &mut Client, topic: &str, payload: &[u8]) {
    publisher.publish(&Message::new(topic, payload, Qos::AtLeastOnce).retained());
}

/// [MQTT-3.3.1-5]: the last one is kept; [MQTT-3.3.1-8]: one without the flag
/// changes nothing. [MQTT-3.8.4-8]: its QoS is the lower one.
#[test]
fn the_last_retained_message_of_a_topic_is_kept() {
    Host::on_both_stores(|host| {
        let mut publisher = host.dial("publisher").open();
        retain(&mut publisher, "state/a", b"old");
        retain(&mut publisher, "state/a", b"new");
        publisher.publish(&Message::new("state/a", b"passing", Qos::AtLeastOnce));
        publisher.publish(&Message::new("state/b", b"passing", Qos::AtLeastOnce));
        for (qos, expected) in [(Qos::AtMostOnce, Qos::AtMostOnce), (Qos::ExactlyOnce, Qos::AtLeastOnce)] {
            let mut client = host.dial("reader").open();
            client.subscribe("state/#", qos);
            let message = client.receive();
            assert_eq!((message.text(), message.retain, message.qos), ("new", true, expected));
            client.expect_nothing();
        }
    });
}

/// [MQTT-3.3.1-6] [MQTT-3.3.1-7]: an empty payload reaches those who are
/// there, clears, and is itself not kept.
#[test]
fn an_empty_payload_clears_and_is_not_kept() {
    let host = Host::start();
    let mut publisher = host.dial("publisher").open();
    retain(&mut publisher, "state", b"full");
    let mut present = host.dial("present").open();
    present.subscribe("state", Qos::AtLeastOnce);
    assert_eq!(present.receive().text(), "full");
    retain(&mut publisher, "state", b"");
    let cleared = present.receive();
    assert_eq!((cleared.text(), cleared.retain), ("", false));
    let mut late = host.dial("late").open();
    late.subscribe("state", Qos::AtLeastOnce);
    late.expect_nothing();
}

/// [MQTT-3.3.1-9] and [MQTT-3.8.4-4]: 0 sends at every SUBSCRIBE;
/// [MQTT-3.3.1-10]: 1 only at the first; [MQTT-3.3.1-11]: 2 never.
#[test]
fn retain_handling_says_when_retained_messages_come() {
    let host = Host::start();
    retain(&mut host.dial("publisher").open(), "state", b"kept");
    let rows = [
        (RetainHandling::Send, true, true),
        (RetainHandling::SendIfNew, true, false),
        (RetainHandling::Never, false, false),
    ];
    for (retain_handling, first, second) in rows {
        let mut client = host.dial("reader").open();
        for expected in [first, second] {
            client.subscribe_with("state", handling(retain_handling), None);
            if expected {
                assert_eq!(client.receive().text(), "kept", "{retain_handling:?}");
            }
            client.expect_nothing();
        }
        assert_eq!(client.unsubscribe(&["state"]).len(), 1);
        client.subscribe_with("state", handling(retain_handling), None);
        if first {
            assert_eq!(client.receive().text(), "kept", "{retain_handling:?}");
        }
        client.expect_nothing();
    }
}

/// A session that is resumed keeps its subscription: 1 is silent then too.
#[test]
fn a_resumed_subscription_is_not_new() {
    let host = Host::start();
    retain(&mut host.dial("publisher").open(), "state", b"kept");
    let mut client = host.dial("reader").lasting().open();
    client.subscribe_with("state", handling(RetainHandling::SendIfNew), None);
    assert_eq!(client.receive().text(), "kept");
    client.disconnect();
    let mut client = host.dial("reader").lasting().open();
    client.expect_nothing();
    client.subscribe_with("state", handling(RetainHandling::SendIfNew), None);
    client.expect_nothing();
}

/// [MQTT-3.3.1-12]: 0 clears the flag of what is forwarded; [MQTT-3.3.1-13]:
/// 1 keeps it as it was.
#[test]
fn retain_as_published_keeps_the_flag() {
    Host::on_both_stores(|host| {
        let mut publisher = host.dial("publisher").open();
        for kept in [false, true] {
            let mut client = host.dial("reader").lasting().open();
            let options = SubscriptionOptions { retain_as_published: kept, ..handling(RetainHandling::Never) };
            client.subscribe_with("state", options, None);
            for (retain, qos) in [(true, Qos::AtMostOnce), (false, Qos::AtMostOnce), (true, Qos::AtLeastOnce)] {
                let message = Message { retain, ..Message::new("state", b"x", qos) };
                publisher.publish(&message);
                assert_eq!(client.receive().retain, retain && kept);
            }
            client.disconnect();
            publisher.publish(&Message::new("state", b"x", Qos::AtLeastOnce).retained());
            let mut client = host.dial("reader").lasting().open();
            assert_eq!(client.receive().retain, kept);
            client.disconnect();
        }
    });
}

/// Section 4.8.2: a shared subscription gets no retained messages.
#[test]
fn shared_subscriptions_get_no_retained_messages() {
    let host = Host::start();
    retain(&mut host.dial("publisher").open(), "state", b"kept");
    let mut client = host.dial("reader").open();
    client.subscribe("$share/group/state", Qos::AtLeastOnce);
    client.expect_nothing();
}

/// [MQTT-3.3.2-5] [MQTT-3.3.2-6]: a retained message counts its seconds down,
/// and is gone when they are over.
#[test]
fn retained_messages_expire() {
    let host = Host::start();
    let message = Message::new("state", b"kept", Qos::AtLeastOnce).retained();
    host.dial("publisher").open().publish(&message.with(|properties| properties.message_expiry(100)));
    host.pass(40);
    let mut client = host.dial("reader").open();
    client.subscribe("state", Qos::AtLeastOnce);
    let left = client.receive().read(|properties| properties.message_expiry()).unwrap();
    assert!((55..=60).contains(&left), "{left}");
    host.pass(101);
    let mut client = host.dial("reader").open();
    client.subscribe("state", Qos::AtLeastOnce);
    client.expect_nothing();
}

/// A tenant that reads the flag over reads it over in wills too.
#[test]
fn nothing_is_retained_where_the_flag_has_no_effect() {
    let host = Host::with(|settings| settings.tenants[0].switches.retain = certus::identity::switch::Retain::Ignore);
    let mut witness = host.dial("witness").open();
    witness.subscribe("#", Qos::AtMostOnce);
    retain(&mut host.dial("publisher").open(), "state", b"passing");
    host.dial("mortal").will("wills", b"passing", Qos::AtMostOnce).retained_will().open().vanish();
    assert_eq!((witness.take().text(), witness.take().text()), ("passing", "passing"));
    let mut late = host.dial("late").open();
    late.subscribe("#", Qos::AtMostOnce);
    late.expect_nothing();
}
