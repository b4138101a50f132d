//! Tests of the router against the plain reading of the standard.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::mqtt::{Qos, matches};

fn filter(text: &str) -> TopicFilter {
    TopicFilter::new(text).unwrap()
}

fn topic(text: &str) -> TopicName<'_> {
    TopicName::new(text).unwrap()
}

fn qos(qos: Qos) -> SubscriptionOptions {
    SubscriptionOptions::of_qos(qos)
}

fn router(subscriptions: &[(&str, u32)]) -> Router<u32> {
    let mut router = Router::default();
    for &(text, recipient) in subscriptions {
        router.subscribe(&filter(text), recipient, qos(Qos::AtMostOnce), None);
    }
    router
}

fn route(router: &Router<u32>, text: &str) -> Route<u32> {
    let mut route = Route::default();
    router.route(topic(text), None, &mut route);
    route
}

fn handles(route: &Route<u32>) -> Vec<u32> {
    route.recipients.iter().map(|recipient| recipient.handle).collect()
}

/// [MQTT-4.7.1-1]: `#` also means its parent level.
#[test]
fn a_number_sign_means_the_level_before_it_and_all_below() {
    let router = router(&[("sport/tennis/player1/#", 1), ("sport/#", 2), ("#", 3), ("sport/tennis", 4)]);
    assert_eq!(handles(&route(&router, "sport/tennis/player1")), [3, 2, 1]);
    assert_eq!(handles(&route(&router, "sport/tennis/player1/score")), [3, 2, 1]);
    assert_eq!(handles(&route(&router, "sport")), [3, 2]);
    assert_eq!(handles(&route(&router, "sport/tennis")), [4, 3, 2]);
    assert_eq!(handles(&route(&router, "sports")), [3]);
}

/// [MQTT-4.7.1-2]: `+` means one level, which may be empty.
#[test]
fn a_plus_means_exactly_one_level() {
    let router = router(&[("+", 1), ("/+", 2), ("+/+", 3), ("sport/+/player1", 4), ("+/tennis/#", 5), ("sport/+", 6)]);
    assert_eq!(handles(&route(&router, "/finance")), [2, 3]);
    assert_eq!(handles(&route(&router, "sport")), [1]);
    assert_eq!(handles(&route(&router, "sport/")), [6, 3]);
    assert_eq!(handles(&route(&router, "sport/tennis/player1")), [5, 4]);
    assert!(handles(&route(&router, "a/b/c")).is_empty());
}

/// [MQTT-4.7.2-1]
#[test]
fn a_topic_with_a_dollar_is_hidden_from_a_leading_wildcard() {
    let router = router(&[("#", 1), ("+/monitor/Clients", 2), ("$SYS/#", 3), ("$SYS/monitor/+", 4), ("+/+/+", 5)]);
    assert_eq!(handles(&route(&router, "$SYS/monitor/Clients")), [3, 4]);
    assert_eq!(handles(&route(&router, "a/$SYS/b")), [1, 5]);
}

/// [MQTT-4.7.3-4]: levels are compared byte by byte, nothing is normalised.
#[test]
fn topics_are_compared_byte_by_byte() {
    let router = router(&[("ACCOUNTS/+", 1), ("Accounts/+", 2), ("accounts/é", 3), ("accounts/e\u{301}", 4)]);
    assert_eq!(handles(&route(&router, "Accounts/x")), [2]);
    assert_eq!(handles(&route(&router, "accounts/é")), [3]);
}

/// [MQTT-3.3.4-2]: one copy at the highest quality of service.
/// [MQTT-3.3.4-3]: with the identifiers of all filters that match.
#[test]
fn overlapping_filters_make_one_copy_of_the_highest_qos() {
    let mut router = Router::default();
    let id = NonZeroU32::new;
    router.subscribe(&filter("a/b"), 7, qos(Qos::AtLeastOnce), id(5));
    router.subscribe(
        &filter("a/+"),
        7,
        SubscriptionOptions { retain_as_published: true, ..qos(Qos::AtMostOnce) },
        None,
    );
    router.subscribe(&filter("a/#"), 7, qos(Qos::ExactlyOnce), id(5));
    router.subscribe(&filter("#"), 7, qos(Qos::AtMostOnce), id(2));
    router.subscribe(&filter("b"), 7, qos(Qos::AtMostOnce), id(9));
    let route = route(&router, "a/b");
    let expected = Recipient {
        handle: 7,
        qos: Qos::ExactlyOnce,
        retain_as_published: true,
        ids: [5, 2, 5].map(|n| id(n).unwrap()).into(),
    };
    assert_eq!(route.recipients, [expected]);
}

/// [MQTT-3.8.3-3]: only the subscription that asks for it is left out.
#[test]
fn no_local_leaves_out_the_publishers_own_subscription_only() {
    let mut router = Router::default();
    let no_local = SubscriptionOptions { no_local: true, ..qos(Qos::ExactlyOnce) };
    router.subscribe(&filter("a/+"), 1, no_local, None);
    router.subscribe(&filter("a/+"), 2, no_local, None);
    router.subscribe(&filter("a/b"), 1, qos(Qos::AtMostOnce), None);
    let mut route = Route::default();
    router.route(topic("a/c"), Some(&1), &mut route);
    assert_eq!(handles(&route), [2]);
    router.route(topic("a/b"), Some(&1), &mut route);
    assert_eq!(handles(&route), [1, 2]);
    assert_eq!(route.recipients[0].qos, Qos::AtMostOnce);
    router.route(topic("a/c"), None, &mut route);
    assert_eq!(handles(&route), [1, 2]);
}

/// [MQTT-3.8.4-3]
#[test]
fn the_same_filter_again_replaces_the_subscription() {
    let mut router = Router::default();
    for text in ["a/b", "a/+", "$share/g/a"] {
        let one = NonZeroU32::new(1);
        assert_eq!(router.subscribe(&filter(text), 1, qos(Qos::ExactlyOnce), one), Subscribed::New);
        assert_eq!(router.subscribe(&filter(text), 1, qos(Qos::AtMostOnce), None), Subscribed::Replaced);
    }
    assert_eq!(router.len(), 3);
    let route = route(&router, "a/b");
    assert_eq!((route.recipients[0].qos, route.recipients[0].ids.len()), (Qos::AtMostOnce, 0));
}

/// [MQTT-3.10.4-1]: filters are compared character by character.
#[test]
fn unsubscribe_removes_exactly_its_filter() {
    let mut router = router(&[("a/+", 1), ("a/#", 1), ("a/b", 1), ("a/b", 2), ("$share/g/a/b", 1)]);
    assert!(!router.unsubscribe(&filter("+/b"), &1));
    assert!(!router.unsubscribe(&filter("$share/h/a/b"), &1));
    assert!(!router.unsubscribe(&filter("a/+"), &2));
    assert!(router.unsubscribe(&filter("a/b"), &1));
    assert!(!router.unsubscribe(&filter("a/b"), &1));
    assert_eq!(handles(&route(&router, "a/b")), [2, 1]);
    assert_eq!(route(&router, "a/b").groups.len(), 1);
}

/// [MQTT-4.8.2-1] [MQTT-4.8.2-2]: the share name tells groups apart, and so
/// does the filter; each group is one recipient.
#[test]
fn each_group_and_each_filter_is_a_group_of_its_own() {
    let router = router(&[
        ("$share/g/a/+", 1),
        ("$share/g/a/+", 2),
        ("$share/h/a/+", 1),
        ("$share/g/a/b", 3),
        ("$share/g/b", 4),
        ("a/b", 1),
    ]);
    let route = route(&router, "a/b");
    assert_eq!(handles(&route), [1], "a plain subscription stands beside the shared ones");
    let groups: Vec<_> = route.groups.iter().map(|group| (group.filter().as_str(), group.members().len())).collect();
    assert_eq!(groups, [("$share/g/a/b", 1), ("$share/g/a/+", 2), ("$share/h/a/+", 1)]);
    assert_eq!(router.group(&filter("$share/g/a/+")).map(|group| group.members().len()), Some(2));
    assert!(router.group(&filter("$share/g/x")).is_none());
}

/// [MQTT-4.8.2-3]: a member receives with the quality of service that it was
/// granted itself. MQTT-SHR-01: round robin over those who are ready.
#[test]
fn a_group_takes_turns_among_those_who_are_ready() {
    let mut router = router(&[("$share/g/a", 0), ("$share/g/a", 1), ("$share/g/a", 2), ("$share/g/a", 3)]);
    router.subscribe(&filter("$share/g/a"), 2, qos(Qos::ExactlyOnce), None);
    let first = route(&router, "a");
    let second = route(&router, "a");
    let busy = |member: &Subscription<u32>| if member.handle == 1 { Readiness::Busy(0) } else { Readiness::Ready };
    let picked: Vec<_> = [&first, &second, &first, &first, &second, &second]
        .iter()
        .map(|route| route.groups[0].pick(busy).unwrap().handle)
        .collect();
    assert_eq!(picked, [0, 2, 3, 0, 2, 3], "both routes share one turn, and 2 has no double share");
    assert_eq!(first.groups[0].members()[2].options.qos, Qos::ExactlyOnce);
}

#[test]
fn a_group_that_is_away_leaves_the_message_with_the_shortest_queue() {
    let router = router(&[("$share/g/a", 0), ("$share/g/a", 1), ("$share/g/a", 2)]);
    let route = route(&router, "a");
    let waiting = |lengths: [Option<usize>; 3]| {
        let readiness =
            |member: &Subscription<u32>| lengths[member.handle as usize].map_or(Readiness::Absent, Readiness::Waiting);
        route.groups[0].pick(readiness).map(|member| member.handle)
    };
    assert_eq!(waiting([Some(3), Some(1), Some(2)]), Some(1));
    assert_eq!(waiting([None, None, Some(9)]), Some(2));
    assert_eq!(waiting([None, None, None]), None);
}

#[test]
fn a_route_keeps_the_members_that_it_was_made_with() {
    let mut router = router(&[("$share/g/a", 0), ("$share/g/a", 1)]);
    let before = route(&router, "a");
    router.unsubscribe(&filter("$share/g/a"), &0);
    assert_eq!(before.groups[0].members().len(), 2);
    assert_eq!(route(&router, "a").groups[0].members().len(), 1);
    router.unsubscribe(&filter("$share/g/a"), &1);
    assert!(route(&router, "a").is_empty());
}

/// A filter that was built to match in as many ways as possible costs one
/// node a level; all two to the sixteenth of them cost what they match.
#[test]
fn a_bomb_of_wildcards_costs_no_more_than_the_filters_stored() {
    let mut router = Router::default();
    let levels = 12;
    for bits in 0..1 << levels {
        let text: Vec<_> = (0..levels).map(|level| if bits >> level & 1 == 1 { "+" } else { "a" }).collect();
        router.subscribe(&filter(&text.join("/")), bits, qos(Qos::AtMostOnce), None);
    }
    router.subscribe(&filter(&"+/".repeat(127)), 1 << levels, qos(Qos::AtMostOnce), None);
    assert_eq!(handles(&route(&router, &["a"; 12].join("/"))).len(), 1 << levels);
    assert!(handles(&route(&router, &"/".repeat(65_535))).is_empty());
    assert_eq!(handles(&route(&router, &"/".repeat(127))), [1 << levels]);
}

#[test]
fn nothing_is_left_when_everybody_has_gone() {
    let filters = ["a/b/c", "a/+/c", "a/+/#", "a/+/+/d", "#", "+", "a/b/+", "$share/g/a/+/x"].map(filter);
    let mut router = Router::default();
    for recipient in 0..100 {
        for filter in &filters {
            router.subscribe(filter, recipient, qos(Qos::AtMostOnce), None);
        }
    }
    assert_eq!(router.len(), 800);
    let mut route = Route::default();
    router.route(topic("a/b/c"), None, &mut route);
    assert_eq!(handles(&route), (0..100).collect::<Vec<_>>());
    for recipient in 0..100 {
        assert!(filters.iter().all(|filter| router.unsubscribe(filter, &recipient)));
    }
    assert!(router.is_empty());
    assert_eq!((router.plain.nodes(), router.shared.nodes()), (0, 0));
}

/// Levels that meet often: empty ones, `$`, and two names.
fn levels() -> impl Strategy<Value = Vec<&'static str>> {
    vec(prop::sample::select(vec!["a", "b", "", "$", "$b"]), 1..5)
}

fn filters() -> impl Strategy<Value = TopicFilter> {
    let level = prop::sample::select(vec!["a", "b", "", "$", "$b", "+", "+"]);
    let share = prop::sample::select(vec!["", "", "", "$share/g/", "$share/h/"]);
    (share, vec(level, 1..5), any::<bool>()).prop_filter_map("a filter is not empty", |(share, mut levels, rest)| {
        if rest {
            levels.push("#");
        }
        TopicFilter::new(&format!("{share}{}", levels.join("/"))).ok()
    })
}

#[derive(Clone, Debug)]
enum Call {
    Subscribe(TopicFilter, u8, SubscriptionOptions, Option<NonZeroU32>),
    Unsubscribe(TopicFilter, u8),
}

fn calls() -> impl Strategy<Value = Call> {
    let options = (0..3_u8, any::<bool>(), any::<bool>()).prop_map(|(level, no_local, retain_as_published)| {
        let qos = qos(Qos::from_bits(level).unwrap());
        SubscriptionOptions { no_local, retain_as_published, ..qos }
    });
    let id = (0..4_u32).prop_map(NonZeroU32::new);
    prop_oneof![
        3 => (filters(), 0..6_u8, options, id).prop_map(|(filter, who, options, id)| Call::Subscribe(filter, who, options, id)),
        2 => (filters(), 0..6_u8).prop_map(|(filter, who)| Call::Unsubscribe(filter, who)),
    ]
}

type Model = BTreeMap<(TopicFilter, u8), (SubscriptionOptions, Option<NonZeroU32>)>;

/// What the standard says, read filter by filter.
fn expected(model: &Model, text: &str, publisher: u8) -> BTreeMap<u8, (Qos, bool, Vec<NonZeroU32>)> {
    let mut all = BTreeMap::new();
    for ((filter, who), (options, id)) in model {
        if filter.share().is_some() || !matches(filter.path(), text) || (options.no_local && *who == publisher) {
            continue;
        }
        let entry = all.entry(*who).or_insert((Qos::AtMostOnce, false, Vec::new()));
        entry.0 = entry.0.max(options.qos);
        entry.1 |= options.retain_as_published;
        entry.2.extend(id);
        entry.2.sort_unstable();
    }
    all
}

fn groups(model: &Model, text: &str) -> BTreeMap<TopicFilter, Vec<u8>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for (filter, who) in model.keys().filter(|(filter, _)| filter.share().is_some() && matches(filter.path(), text)) {
        all.entry(filter.clone()).or_default().push(*who);
    }
    all
}

proptest! {
    /// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.2-1] [MQTT-3.3.4-2]
    /// [MQTT-3.8.4-3] [MQTT-3.10.4-1], for any sequence of calls.
    #[test]
    fn a_route_is_what_the_plain_matcher_says(
        calls in vec(calls(), 1..80),
        topics in vec(levels(), 1..20),
        publisher in 0..6_u8,
    ) {
        let (mut router, mut model) = (Router::default(), Model::new());
        let mut route = Route::default();
        for call in calls {
            match call {
                Call::Subscribe(filter, who, options, id) => {
                    let subscribed = router.subscribe(&filter, who, options, id);
                    let old = model.insert((filter, who), (options, id));
                    prop_assert_eq!(subscribed == Subscribed::Replaced, old.is_some());
                }
                Call::Unsubscribe(filter, who) => {
                    let removed = router.unsubscribe(&filter, &who);
                    prop_assert_eq!(removed, model.remove(&(filter, who)).is_some());
                }
            }
            prop_assert_eq!(router.len(), model.len());
        }
        for levels in topics {
            let text = levels.join("/");
            let Ok(topic) = TopicName::new(&text) else { continue };
            router.route(topic, Some(&publisher), &mut route);
            let count = route.recipients.len();
            let got: BTreeMap<_, _> = route.recipients.drain(..).map(|mut recipient| {
                recipient.ids.sort_unstable();
                (recipient.handle, (recipient.qos, recipient.retain_as_published, recipient.ids))
            }).collect();
            prop_assert_eq!(count, got.len(), "nobody twice");
            prop_assert_eq!(got, expected(&model, &text, publisher), "{}", text);
            let got: BTreeMap<_, _> = route.groups.iter().map(|group| {
                let mut members: Vec<_> = group.members().iter().map(|member| member.handle).collect();
                members.sort_unstable();
                (group.filter().clone(), members)
            }).collect();
            prop_assert_eq!(got, groups(&model, &text), "{}", text);
        }
    }

    #[test]
    fn the_order_of_a_route_depends_on_the_calls_alone(calls in vec(calls(), 1..200), levels in levels()) {
        let text = levels.join("/");
        prop_assume!(!text.is_empty());
        let mut answers = [0, 1].map(|_| {
            let (mut router, mut route) = (Router::default(), Route::default());
            for call in &calls {
                match call {
                    Call::Subscribe(filter, who, options, id) => drop(router.subscribe(filter, *who, *options, *id)),
                    Call::Unsubscribe(filter, who) => drop(router.unsubscribe(filter, who)),
                }
            }
            router.route(topic(&text), None, &mut route);
            route.recipients
        });
        let [first, second] = &mut answers;
        prop_assert_eq!(first, second);
    }

    #[test]
    fn a_scan_in_slices_finds_what_the_plain_matcher_finds(
        topics in vec(levels(), 0..60),
        removed in vec(levels(), 0..10),
        filter in filters(),
        limit in 1..7_usize,
        most in 1..7_usize,
    ) {
        let (mut retained, mut model) = (Retained::default(), BTreeMap::new());
        for (n, text) in topics.iter().map(|levels| levels.join("/")).enumerate().filter(|(_, text)| !text.is_empty()) {
            prop_assert_eq!(retained.put(topic(&text), n, n), model.insert(text, n));
        }
        for text in removed.iter().map(|levels| levels.join("/")).filter(|text| !text.is_empty()) {
            prop_assert_eq!(retained.remove(topic(&text)), model.remove(&text));
        }
        prop_assert_eq!((retained.len(), retained.bytes()), (model.len(), model.values().sum()));
        let (mut found, mut after) = (Vec::new(), None::<Box<str>>);
        loop {
            let before = found.len();
            let slice = retained.scan(&filter, after.as_deref(), limit, |text, n, bytes| {
                assert_eq!(bytes, *n);
                found.push((text.to_owned(), *n));
                found.len() - before < most
            });
            prop_assert!(slice.seen <= limit && found.len() - before <= slice.seen.min(most));
            after = slice.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = model.into_iter().filter(|(text, _)| matches(filter.path(), text)).collect();
        prop_assert_eq!(found, expected);
    }

    /// The three shapes of a set, with a model of a plain list.
    #[test]
    fn a_set_of_subscribers_is_a_set(calls in vec((any::<bool>(), 0..60_u8), 0..300)) {
        let mut subscribers = Subscribers::default();
        let mut model = Vec::<u8>::new();
        for (add, handle) in calls {
            let at = model.iter().position(|&other| other == handle);
            if add {
                let new = subscribers.insert(Subscription { handle, options: qos(Qos::AtMostOnce), id: None });
                prop_assert_eq!(new, at.is_none());
                if new {
                    model.push(handle);
                }
            } else {
                prop_assert_eq!(subscribers.remove(&handle), at.is_some());
                at.map(|at| model.swap_remove(at));
            }
            let got: Vec<_> = subscribers.as_slice().iter().map(|subscription| subscription.handle).collect();
            prop_assert_eq!(&got, &model);
        }
    }
}

/// What makes 1,000,000 subscriptions fit.
#[test]
fn one_subscriber_takes_twenty_four_bytes() {
    assert_eq!(size_of::<Subscribers<Arc<u8>>>(), 16);
    assert!(size_of::<Option<Subscribers<Arc<u8>>>>() <= 16);
}
