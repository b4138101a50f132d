//! The router against a list that is read from its beginning to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use certus::mqtt::{Qos, SubscriptionOptions, TopicFilter, TopicName};
use certus::router::{Retained, Route, Router, Subscribed};

use super::Script;

type Model = BTreeMap<(String, u8), (SubscriptionOptions, Option<NonZeroU32>)>;

/// Levels that meet often, or what the script says.
fn text(script: &mut Script<'_>) -> String {
    let mut levels = Vec::new();
    let count = script.byte() % 6;
    for _ in 0..=count {
        levels.push(match script.byte() % 16 {
            0 | 1 => "a".to_owned(),
            2 => "b".to_owned(),
            3 => String::new(),
            4 | 5 => "+".to_owned(),
            6 => "#".to_owned(),
            7 => "$SYS".to_owned(),
            8 => "$share".to_owned(),
            9 => "é".to_owned(),
            10 => "a+".to_owned(),
            11 => "aa".to_owned(),
            _ => String::from_utf8_lossy(script.bytes()).into_owned(),
        });
    }
    levels.join("/")
}

/// Section 4.7, read level by level and from the end: another way than the
/// product's.
fn means(filter: &[&str], topic: &[&str]) -> bool {
    match (filter.split_first(), topic.split_first()) {
        (Some((&"#", [])), _) | (None, None) => true,
        (Some((&wanted, filter)), Some((&level, topic))) => (wanted == "+" || wanted == level) && means(filter, topic),
        _ => false,
    }
}

fn matches(path: &str, topic: &str) -> bool {
    let (filter, levels): (Vec<_>, Vec<_>) = (path.split('/').collect(), topic.split('/').collect());
    let hidden = topic.starts_with('$') && matches!(filter[0], "+" | "#");
    !hidden && means(&filter, &levels)
}

/// Section 4.7.1 and 4.8.2, as one would tell it.
fn is_filter(text: &str) -> bool {
    let path = match text.strip_prefix("$share/") {
        None => text,
        Some(rest) => match rest.split_once('/') {
            Some((group, path)) if !group.is_empty() && !group.contains(['+', '#']) => path,
            _ => return false,
        },
    };
    let levels: Vec<_> = path.split('/').collect();
    let last = levels.len() - 1;
    let good =
        |(at, level): (usize, &&str)| (!level.contains(['+', '#'])) || *level == "+" || (*level == "#" && at == last);
    !path.is_empty() && text.len() <= 65_535 && !text.contains('\0') && levels.iter().enumerate().all(good)
}

/// A script of calls, each with its answer by the list.
pub fn topics(input: &[u8]) {
    let mut script = Script(input);
    let (mut router, mut model) = (Router::<u8>::default(), Model::new());
    let (mut retained, mut kept) = (Retained::<u32>::default(), BTreeMap::<String, u32>::new());
    let (mut route, mut calls) = (Route::default(), 0_u32);
    while !script.is_over() && calls < 200 {
        calls += 1;
        match script.byte() % 6 {
            0 | 1 => subscribe(&mut script, &mut router, &mut model),
            2 => unsubscribe(&mut script, &mut router, &mut model),
            3 => keep(&mut script, &mut retained, &mut kept, calls),
            4 => scan(&mut script, &retained, &kept),
            _ => ask(&mut script, &router, &model, &mut route),
        }
        assert_eq!(router.len(), model.len());
        assert_eq!(retained.len(), kept.len());
    }
}

fn filter(script: &mut Script<'_>) -> Option<TopicFilter> {
    let mut text = text(script);
    if script.byte().is_multiple_of(4) {
        text.insert_str(0, "$share/g/");
    }
    let filter = TopicFilter::new(&text);
    assert_eq!(filter.is_ok(), is_filter(&text), "{text:?}: {filter:?}");
    filter.ok()
}

fn subscribe(script: &mut Script<'_>, router: &mut Router<u8>, model: &mut Model) {
    let (who, options, id) = (script.byte() % 5, script.byte(), NonZeroU32::new(u32::from(script.byte() % 3)));
    let Some(options) = SubscriptionOptions::from_bits(options) else { return };
    let Some(filter) = filter(script) else { return };
    let old = model.insert((filter.as_str().to_owned(), who), (options, id));
    let new = router.subscribe(&filter, who, options, id);
    assert_eq!(new, if old.is_none() { Subscribed::New } else { Subscribed::Replaced });
}

fn unsubscribe(script: &mut Script<'_>, router: &mut Router<u8>, model: &mut Model) {
    let who = script.byte() % 5;
    let Some(filter) = filter(script) else { return };
    let old = model.remove(&(filter.as_str().to_owned(), who));
    assert_eq!(router.unsubscribe(&filter, &who), old.is_some());
}

fn keep(script: &mut Script<'_>, retained: &mut Retained<u32>, kept: &mut BTreeMap<String, u32>, value: u32) {
    let text = text(script);
    let Ok(topic) = TopicName::new(&text) else { return };
    let (old, was) = match script.byte() % 3 {
        0 => (retained.remove(topic), kept.remove(&text)),
        _ => (retained.put(topic, value, 1), kept.insert(text.clone(), value)),
    };
    assert_eq!(old, was);
}

fn scan(script: &mut Script<'_>, retained: &Retained<u32>, kept: &BTreeMap<String, u32>) {
    let limit = 1 + usize::from(script.byte() % 4);
    let Some(filter) = filter(script) else { return };
    let (mut found, mut after) = (Vec::new(), None::<Box<str>>);
    loop {
        let before = found.len();
        let slice = retained.scan(&filter, after.as_deref(), limit, |topic, value, _| {
            found.push((topic.to_owned(), *value));
            found.len() - before < 3
        });
        assert!(slice.seen <= limit && found.len() - before <= slice.seen.min(3));
        after = slice.next;
        if after.is_none() {
            break;
        }
    }
    let wanted = kept.iter().filter(|(topic, _)| matches(filter.path(), topic));
    assert_eq!(found, wanted.map(|(topic, value)| (topic.clone(), *value)).collect::<Vec<_>>());
}

fn ask(script: &mut Script<'_>, router: &Router<u8>, model: &Model, route: &mut Route<u8>) {
    let (publisher, text) = (script.byte() % 5, text(script));
    let Ok(topic) = TopicName::new(&text) else { return };
    router.route(topic, Some(&publisher), route);
    let mut wanted = BTreeMap::<u8, (Qos, bool, Vec<NonZeroU32>)>::new();
    let mut groups = BTreeMap::<String, BTreeSet<u8>>::new();
    for ((name, who), (options, id)) in model {
        let filter = TopicFilter::new(name).expect("it was one");
        assert_eq!(filter.matches(topic), matches(filter.path(), &text), "{name:?} {text:?}");
        if !matches(filter.path(), &text) {
            continue;
        }
        if filter.share().is_some() {
            groups.entry(name.clone()).or_default().insert(*who);
        } else if !(options.no_local && *who == publisher) {
            let entry = wanted.entry(*who).or_insert((Qos::AtMostOnce, false, Vec::new()));
            *entry = (entry.0.max(options.qos), entry.1 | options.retain_as_published, std::mem::take(&mut entry.2));
            entry.2.extend(id);
        }
    }
    assert_eq!(route.recipients.len(), wanted.len(), "nobody is listed twice");
    for recipient in &route.recipients {
        let (qos, retain, mut ids) = wanted.remove(&recipient.handle).expect("somebody who subscribed");
        let mut got = recipient.ids.clone();
        got.sort_unstable();
        ids.sort_unstable();
        assert_eq!((recipient.qos, recipient.retain_as_published, got), (qos, retain, ids));
    }
    let got: BTreeMap<String, BTreeSet<u8>> = route
        .groups
        .iter()
        .map(|group| (group.filter().as_str().to_owned(), group.members().iter().map(|member| member.handle).collect()))
        .collect();
    assert_eq!(got, groups);
}
