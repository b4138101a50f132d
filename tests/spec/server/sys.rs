//! `$SYS`, what the broker tells of itself (section 4.7.2).
//!
//! What lives here: who sees it, who may say it, and that each tenant sees its
//! own. What does not: the arithmetic of loads (`src/broker/sys_topics.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use certus::mqtt::{Qos, ReasonCode, TenantId};

use super::client::{Client, Dial, Message};
use super::host::Host;

/// A broker that tells so often that a test can wait for it.
fn talkative() -> Host {
    Host::with(|settings| settings.net.sys_interval = Duration::from_millis(50))
}

/// Reads until `topic` says `text`; gives all that was said last.
fn await_word(client: &mut Client, topic: &str, text: &str) -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    for _ in 0..5000 {
        let message = client.take();
        said.insert(message.topic.clone(), message.text().to_owned());
        if said.get(topic).is_some_and(|said| said == text) {
            return said;
        }
    }
    panic!("{topic} is {:?}", said.get(topic));
}

/// It is there at once, retained, and only for filters that begin with it
/// [MQTT-4.7.2-1].
#[test]
fn what_the_broker_tells_is_retained_and_hidden_from_wildcards() {
    let host = Host::start();
    let mut client = host.dial("reader").open();
    for filter in ["#", "+/broker/version", "+/#"] {
        client.subscribe(filter, Qos::AtMostOnce);
    }
    client.expect_nothing();
    client.subscribe("$SYS/broker/version", Qos::ExactlyOnce);
    let version = client.take();
    assert_eq!((version.qos, version.retain), (Qos::AtMostOnce, true));
    assert_eq!(version.text(), format!("certus version {}", env!("CARGO_PKG_VERSION")));
    client.expect_nothing();
    client.subscribe("$SYS/broker/load/+/+/1min", Qos::AtMostOnce);
    let loads: Vec<_> = (0..7).map(|_| client.take().topic).collect();
    assert!(loads.contains(&"$SYS/broker/load/publish/dropped/1min".to_owned()), "{loads:?}");
    client.expect_nothing();
}

/// Every number follows what happens, and comes only when it has changed.
#[test]
fn numbers_follow_what_happens() {
    let host = talkative();
    let mut reader = host.dial("reader").open();
    reader.subscribe("$SYS/broker/#", Qos::AtMostOnce);
    await_word(&mut reader, "$SYS/broker/clients/connected", "1");
    host.dial("away").lasting().open().subscribe("$share/g/kept", Qos::AtLeastOnce);
    let mut other = host.dial("other").open();
    for _ in 0..3 {
        other.publish(&Message::new("kept", b"12345", Qos::AtLeastOnce));
    }
    other.publish(&Message::new("held", b"x", Qos::AtMostOnce).retained());
    let said = await_word(&mut reader, "$SYS/broker/publish/bytes/received", "16");
    assert!(!said.contains_key("$SYS/broker/version"), "it has not changed");
    // A client that comes now finds how it stands.
    let mut late = host.dial("late").open();
    late.subscribe("$SYS/#", Qos::AtMostOnce);
    let said = await_word(&mut late, "$SYS/broker/version", &format!("certus version {}", env!("CARGO_PKG_VERSION")));
    for (topic, number) in [
        ("clients/disconnected", "1"),
        ("clients/expired", "0"),
        ("messages/stored", "4"),
        ("publish/messages/received", "4"),
        ("publish/messages/dropped", "0"),
        ("retained messages/count", "1"),
        ("shared_subscriptions/count", "1"),
    ] {
        assert_eq!(said.get(&format!("$SYS/broker/{topic}")).map(String::as_str), Some(number), "{topic}");
    }
    await_word(&mut reader, "$SYS/broker/clients/connected", "3");
    other.disconnect();
    await_word(&mut reader, "$SYS/broker/clients/connected", "2");
}

/// What the broker says is its own: no client publishes there, whatever rights
/// it was given.
#[test]
fn no_client_speaks_for_the_broker() {
    let host = Host::with(|settings| {
        settings.tenants[0].switches.acl.extra_publish = vec!["$SYS/#".to_owned(), "$SYSTEM/#".to_owned()];
    });
    let mut client = host.dial("liar").open();
    for topic in ["$SYS/broker/version", "$SYS/x", "$SYS"] {
        let lie = Message::new(topic, b"mine", Qos::AtLeastOnce).retained();
        assert_eq!(client.publish(&lie), ReasonCode::NotAuthorized, "{topic}");
    }
    assert_eq!(client.publish(&Message::new("$SYSTEM/x", b"", Qos::AtLeastOnce)), ReasonCode::Success);
    host.dial("heir").will("$SYS/broker/version", b"mine", Qos::AtMostOnce).refused();
}

/// Isolation: a tenant is told of its own clients only, and nothing of the
/// process as a whole while another tenant has a part in it.
#[test]
fn a_tenant_is_told_its_own_numbers() {
    let host = Host::with(|settings| {
        settings.net.sys_interval = Duration::from_millis(50);
        let other = TenantId::new("other");
        let mut tenant = settings.tenants[0].clone();
        tenant.id = other.clone();
        settings.tenants.push(tenant);
        let mut listener = settings.listeners[0].clone();
        "second".clone_into(&mut listener.name);
        listener.default_tenant = Some(other);
        settings.listeners.push(listener);
    });
    let mut busy: Vec<_> = ["one", "two", "three"].map(|name| host.dial(name).open()).into();
    busy[0].publish(&Message::new("t", b"secret", Qos::AtLeastOnce).retained());
    busy[0].subscribe("$SYS/broker/+/#", Qos::AtMostOnce);
    let said = await_word(&mut busy[0], "$SYS/broker/publish/bytes/received", "6");
    assert!(!said.keys().any(|topic| topic.contains("heap") || topic.contains("sockets")), "{said:?}");
    let mut reader = Dial::new(host.address_of(1), "one").open();
    reader.subscribe("$SYS/#", Qos::AtMostOnce);
    let said = await_word(&mut reader, "$SYS/broker/uptime", "1 seconds");
    for (topic, number) in [
        ("clients/connected", "1"),
        ("clients/maximum", "1"),
        ("publish/bytes/received", "0"),
        ("retained messages/count", "0"),
        ("subscriptions/count", "1"),
    ] {
        assert_eq!(said.get(&format!("$SYS/broker/{topic}")).map(String::as_str), Some(number), "{topic}");
    }
}

/// Without an interval there is nothing.
#[test]
fn the_broker_can_be_told_to_be_silent() {
    let host = Host::with(|settings| settings.net.sys_interval = Duration::ZERO);
    let mut client = host.dial("reader").open();
    client.subscribe("$SYS/#", Qos::AtMostOnce);
    client.expect_nothing();
}
