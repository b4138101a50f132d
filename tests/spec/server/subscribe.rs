//! SUBSCRIBE and UNSUBSCRIBE, sections 3.8 to 3.11, 4.7 and 4.8.
//!
//! What lives here: which filters match, what the answers say, groups. What
//! does not: retained messages (`retained`). Invariant: filters are compared
//! as they were sent.

use certus::codec::AckKind;
use certus::mqtt::{Qos, ReasonCode, SubscriptionOptions};

use super::client::{Client, Message};
use super::host::{Host, wait};

const fn of(qos: Qos) -> SubscriptionOptions {
    SubscriptionOptions::of_qos(qos)
}

/// [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7]
/// [MQTT-3.9.2-1] [MQTT-3.9.3-1] [MQTT-3.9.3-2] [MQTT-2.2.1-6]: one answer,
/// with a code for each filter, granted or not. [MQTT-3.2.2-9]
/// [MQTT-3.2.2-10]: every QoS is granted.
#[test]
fn suback_has_a_code_for_each_filter_in_order() {
    Host::on_both_stores(|host| {
        let mut client = host.dial("reader").lasting().open();
        let filters = [
            ("a", of(Qos::ExactlyOnce)),
            ("$SYS/#", of(Qos::AtMostOnce)),
            ("b/#", of(Qos::AtMostOnce)),
            ("$share/g/c", of(Qos::AtLeastOnce)),
        ];
        let codes = client.subscribe_all(&filters, None);
        assert_eq!((codes[0], codes[2]), (ReasonCode::GrantedQos2, ReasonCode::Success));
        assert_eq!((codes.len(), codes[3]), (4, ReasonCode::GrantedQos1));
    });
}

/// The bound on subscriptions refuses what is above it, and nothing else.
#[test]
fn a_filter_above_the_bound_is_refused_alone() {
    let host = Host::with(|settings| settings.net.max_subscriptions = 2);
    let mut client = host.dial("reader").open();
    let codes = client.subscribe_all(&["a", "b", "c", "a"].map(|filter| (filter, of(Qos::AtMostOnce))), None);
    let success = ReasonCode::Success;
    assert_eq!(codes, [success, success, ReasonCode::QuotaExceeded, success]);
    client.unsubscribe(&["b"]);
    client.subscribe("c", Qos::AtMostOnce);
    client.send_message(&Message::new("c", b"", Qos::AtMostOnce));
    client.take();
}

/// [MQTT-3.8.4-3]: the same filter again replaces its options; nothing is
/// lost or doubled [MQTT-3.8.4-4].
#[test]
fn the_same_filter_replaces_its_subscription() {
    Host::on_both_stores(|host| {
        let mut client = host.dial("reader").open();
        client.subscribe("t", Qos::ExactlyOnce);
        client.subscribe("t", Qos::AtMostOnce);
        let mut publisher = host.dial("publisher").open();
        for number in 0..50_u8 {
            publisher.send_message(&Message::new("t", &[number], Qos::AtLeastOnce));
            if number == 20 {
                client.send_subscribe(&[("t", of(Qos::AtMostOnce))], None);
            }
        }
        let mut next = 0_u8;
        while next < 50 {
            let frame = client.frame();
            if frame[0] >> 4 == 3 {
                assert_eq!((frame[0] & 6, frame.last()), (0, Some(&next)), "QoS 0, in order");
                next += 1;
            }
        }
    });
}

/// [MQTT-3.10.4-1] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6]
/// [MQTT-3.11.2-1] [MQTT-3.11.3-1] [MQTT-3.11.3-2]: one answer with a code for
/// each filter, also where nothing was subscribed.
#[test]
fn unsubscribe_ends_exactly_the_named_filters() {
    Host::on_both_stores(|host| {
        let mut client = host.dial("reader").lasting().open();
        for filter in ["a/#", "a/+", "$share/g/a/+"] {
            client.subscribe(filter, Qos::AtMostOnce);
        }
        let (ended, nothing) = (ReasonCode::Success, ReasonCode::NoSubscriptionExisted);
        assert_eq!(client.unsubscribe(&["a/b", "a/+", "a/+", "$share/h/a/+"]), [nothing, ended, nothing, nothing]);
        let mut publisher = host.dial("publisher").open();
        publisher.publish(&Message::new("a/b", b"", Qos::AtLeastOnce));
        client.take();
        client.take();
        client.expect_nothing();
        assert_eq!(client.unsubscribe(&["$share/g/a/+", "a/#"]), [ended, ended]);
        publisher.publish(&Message::new("a/b", b"", Qos::AtLeastOnce));
        client.expect_nothing();
    });
}

/// Section 3.10.4: what was begun before UNSUBSCRIBE is completed.
#[test]
fn unsubscribe_leaves_what_is_in_flight() {
    Host::on_both_stores(|host| {
        let mut client = host.dial("reader").lasting().open();
        client.subscribe("t", Qos::AtLeastOnce);
        host.dial("publisher").open().publish(&Message::new("t", b"x", Qos::AtLeastOnce));
        let id = client.take().id;
        client.unsubscribe(&["t"]);
        client.vanish();
        let mut client = host.dial("reader").lasting().open();
        let again = client.receive();
        assert_eq!((again.id, again.dup), (id, true));
        client.expect_nothing();
    });
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-3.3.2-3] [MQTT-4.7.3-4], by the
/// examples of section 4.7.
#[test]
fn filters_match_as_section_4_7_says() {
    let host = Host::start();
    let topics = ["a", "a/", "/a", "a/b", "a//b", "a/b/c", "A", "á", "a\u{301}", "/"];
    let rows: [(&str, &[&str]); 11] = [
        ("#", &topics),
        ("a", &["a"]),
        ("a/#", &["a", "a/", "a/b", "a//b", "a/b/c"]),
        ("+", &["a", "A", "á", "a\u{301}"]),
        ("+/+", &["a/", "/a", "a/b", "/"]),
        ("/+", &["/a", "/"]),
        ("a/+/b", &["a//b"]),
        ("+/b/#", &["a/b", "a/b/c"]),
        ("a/b/c/#", &["a/b/c"]),
        ("á", &["á"]),
        ("/", &["/"]),
    ];
    let mut publisher = host.dial("publisher").open();
    for (filter, matching) in rows {
        let mut client = host.dial("reader").open();
        client.subscribe(filter, Qos::AtMostOnce);
        for topic in topics {
            publisher.publish(&Message::new(topic, b"", Qos::AtLeastOnce));
        }
        let seen: Vec<String> = matching.iter().map(|_| client.take().topic).collect();
        assert_eq!(seen, matching, "{filter}");
        client.expect_nothing();
    }
}

/// [MQTT-4.7.2-1]: a wildcard in front does not match `$`.
#[test]
fn wildcards_do_not_match_topics_that_begin_with_a_dollar() {
    let host = Host::with(|settings| {
        let acl = &mut settings.tenants[0].switches.acl;
        acl.extra_publish = vec!["$own/#".to_owned()];
        acl.extra_subscribe = vec!["$own/#".to_owned()];
    });
    let mut client = host.dial("reader").open();
    client.subscribe("#", Qos::AtMostOnce);
    client.subscribe("+/x", Qos::AtMostOnce);
    let mut publisher = host.dial("publisher").open();
    assert_eq!(publisher.publish(&Message::new("$own/x", b"", Qos::AtLeastOnce)), ReasonCode::Success);
    client.expect_nothing();
    client.subscribe("$own/+", Qos::AtMostOnce);
    publisher.publish(&Message::new("$own/x", b"", Qos::AtLeastOnce));
    assert_eq!(client.take().topic, "$own/x");
    client.expect_nothing();
}

/// Section 3.8.3.1: No Local keeps a client's own messages from it;
/// [MQTT-3.8.3-4]: on a group it is a protocol error.
#[test]
fn no_local_leaves_out_the_publisher() {
    let host = Host::start();
    let mut client = host.dial("both").open();
    let options = SubscriptionOptions { no_local: true, ..of(Qos::AtMostOnce) };
    client.subscribe_with("t", options, None);
    client.publish(&Message::new("t", b"own", Qos::AtLeastOnce));
    client.expect_nothing();
    host.dial("other").open().publish(&Message::new("t", b"other's", Qos::AtLeastOnce));
    assert_eq!(client.take().text(), "other's");
    client.send_subscribe(&[("$share/g/t", options)], None);
    client.expect_disconnect(ReasonCode::ProtocolError);
}

/// [MQTT-4.8.2-1] [MQTT-4.8.2-2] [MQTT-3.8.3-5] and their like: what is no
/// filter ends the connection. [MQTT-4.13.1-1]
#[test]
fn malformed_subscriptions_end_the_connection() {
    let host = Host::start();
    for filter in ["a/#/b", "a#", "a+", "+a", "", "$share/g", "$share//t", "$share/g+/t", "$share/g/", "a\0"] {
        let mut client = host.dial("reader").open();
        client.send_subscribe(&[("fine", of(Qos::AtMostOnce)), (filter, of(Qos::AtMostOnce))], None);
        let frame = client.frame();
        assert_eq!(frame[0], 0xE0, "{filter}: {frame:x?}");
        assert!(frame[2] >= 0x80, "{filter}: {frame:x?}");
        client.expect_end();
    }
    for options in [0x03, 0x30, 0x40, 0x80] {
        let mut client = host.dial("reader").open();
        client.send_bytes(&[0x82, 7, 0, 1, 0, 0, 1, b't', options]);
        let frame = client.frame();
        assert!(frame[0] == 0xE0 && matches!(frame[2], 0x81 | 0x82), "{options:#x}: {frame:x?}");
        client.expect_end();
    }
}

fn members(host: &Host, qos: Qos) -> [Client; 2] {
    ["one", "two"].map(|name| {
        let mut member = host.dial(name).lasting().open();
        member.subscribe("$share/g/t", qos);
        member
    })
}

/// [MQTT-4.8.2-3]: of a group each message reaches one member, with the QoS
/// that this one was granted; other groups and subscribers have their own copy.
#[test]
fn a_message_reaches_one_member_of_each_group() {
    Host::on_both_stores(|host| {
        let mut members = members(host, Qos::AtLeastOnce);
        let mut other = host.dial("other").open();
        other.subscribe("$share/h/t", Qos::AtMostOnce);
        let mut plain = host.dial("plain").open();
        plain.subscribe("t", Qos::ExactlyOnce);
        let mut publisher = host.dial("publisher").open();
        for number in 0..6_u8 {
            publisher.publish(&Message::new("t", &[number], Qos::ExactlyOnce));
            assert_eq!(other.receive().payload, [number]);
            assert_eq!(plain.receive().payload, [number]);
        }
        let mut seen = Vec::new();
        for member in &mut members {
            for _ in 0..3 {
                let message = member.receive();
                assert_eq!(message.qos, Qos::AtLeastOnce);
                seen.push(message.payload[0]);
            }
            member.expect_nothing();
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5]);
    });
}

/// [MQTT-4.8.2-4]: a delivery of QoS 2 that began is completed with the same
/// member; [MQTT-4.8.2-5]: or with nobody, when its session ends;
/// [MQTT-4.8.2-6]: or with nobody, when it is refused.
#[test]
fn a_delivery_to_a_member_is_never_given_to_another_one() {
    Host::on_both_stores(|host| {
        for case in 0..3 {
            let [one, two] = members(host, Qos::ExactlyOnce);
            let mut publisher = host.dial("publisher").open();
            publisher.publish(&Message::new("t", b"x", Qos::ExactlyOnce));
            // Whose turn it is is the group's affair.
            let (mut chosen, mut other, name) = first_served(one, two);
            let begun = chosen.take();
            match case {
                0 => {
                    chosen.vanish();
                    let mut back = host.dial(name).lasting().open();
                    let again = back.receive();
                    assert_eq!((again.id, again.dup), (begun.id, true));
                }
                1 => {
                    chosen.vanish();
                    host.dial(name).open().expect_nothing();
                }
                _ => {
                    chosen.acknowledge_with(AckKind::PubRec, begun.id, ReasonCode::UnspecifiedError);
                    chosen.expect_nothing();
                }
            }
            other.expect_nothing();
            for name in ["one", "two"] {
                host.dial(name).open().disconnect();
            }
        }
    });
}

/// Sorts two members by who has something to read.
fn first_served(one: Client, two: Client) -> (Client, Client, &'static str) {
    for _ in 0..500 {
        if one.has_input() {
            return (one, two, "one");
        }
        if two.has_input() {
            return (two, one, "two");
        }
        wait(10);
    }
    panic!("no member was served");
}
