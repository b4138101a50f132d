//! Matching among 1,000,000 exact and 100,000 wildcard subscriptions.
//!
//! What lives here: what a route costs when the cache of a connection misses,
//! and what the subscriptions cost in memory. What does not: the cache. The
//! memory is printed before the times; it has a bound of 250 MiB.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use certus::mqtt::{Qos, SubscriptionOptions, TopicFilter, TopicName};
use certus::router::{Epochs, Route, Router};
use criterion::Criterion;

/// As the broker is built.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Session = Arc<u64>;

const EXACT: u64 = 1_000_000;
const WILD: u64 = 100_000;

fn exact(n: u64) -> String {
    format!("site-{}/line-{}/sensor-{}/state", n % 100, n / 100 % 100, n / 10_000)
}

/// Three shapes: one sensor's kinds, one kind on all lines, all of a machine.
fn wild(n: u64) -> String {
    let (site, other) = (n % 100, n / 100);
    match n % 3 {
        0 => format!("site-{site}/line-{}/+/alarm-{other}", other % 100),
        1 => format!("site-{site}/+/machine-{other}/state"),
        _ => format!("site-{site}/line-{}/machine-{other}/#", other % 100),
    }
}

fn resident_mib() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4096 / (1024 * 1024)
}

fn subscribe(router: &mut Router<Session>, filter: &str, session: &Session) {
    let options = SubscriptionOptions::of_qos(Qos::AtLeastOnce);
    router.subscribe(&TopicFilter::new(filter).unwrap(), Arc::clone(session), options, None);
}

fn fill() -> Router<Session> {
    let sessions: Vec<Session> = (0..10_000).map(Arc::new).collect();
    let mut router = Router::default();
    let before = resident_mib();
    for (n, session) in (0..EXACT).zip(sessions.iter().cycle()) {
        subscribe(&mut router, &exact(n), session);
    }
    let between = resident_mib();
    for (n, session) in (0..WILD).zip(sessions.iter().cycle()) {
        subscribe(&mut router, &wild(n), session);
    }
    println!("{EXACT} exact: {} MiB; {WILD} wildcard: {} MiB", between - before, resident_mib() - between);
    router
}

/// One route after the other, for ever.
fn routes(criterion: &mut Criterion, name: &str, router: &Router<Session>, topics: &[String]) {
    let topics: Vec<_> = topics.iter().map(|topic| TopicName::new(topic).unwrap()).collect();
    let mut topics = topics.iter().cycle();
    let mut route = Route::default();
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            if let Some(&topic) = topics.next() {
                router.route(topic, None, &mut route);
            }
            black_box(route.recipients.len())
        });
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().without_plots();
    let mut router = fill();
    let hot: Vec<_> = (0..8).map(|n| exact(n * 7919)).collect();
    // A stride that is prime to the number, so that neighbours lie far apart.
    let cold: Vec<_> = (0..200_000).map(|n| exact(n * 611_953 % EXACT)).collect();
    let wildcard: Vec<_> =
        (0..200_000).map(|n| wild(n * 61_957 % WILD).replace('+', "x").replace('#', "x/y")).collect();
    let nobody: Vec<_> = (0..200_000).map(|n| format!("{}/x", exact(n * 611_953 % EXACT))).collect();
    let elsewhere: Vec<_> = (0..8).map(|n| format!("other-{n}/line/sensor/state")).collect();
    routes(&mut criterion, "8 hot topics", &router, &hot);
    routes(&mut criterion, "200,000 topics with an exact subscriber", &router, &cold);
    routes(&mut criterion, "200,000 topics with a wildcard subscriber", &router, &wildcard);
    routes(&mut criterion, "200,000 topics without a subscriber", &router, &nobody);
    routes(&mut criterion, "topics of another site", &router, &elsewhere);
    for session in (0..1_000).map(Arc::new) {
        subscribe(&mut router, "everywhere/news", &session);
        subscribe(&mut router, "everywhere/#", &session);
    }
    routes(&mut criterion, "1,000 recipients by two filters each", &router, &["everywhere/news".to_owned()]);
    changes(&mut criterion, &mut router);
    stamps(&mut criterion);
}

fn changes(criterion: &mut Criterion, router: &mut Router<Session>) {
    let session = Arc::new(u64::MAX);
    let filters: Vec<_> = (0..10_000)
        .flat_map(|n| [format!("{}/mine", exact(n)), format!("mine-{n}/+/#")])
        .map(|text| TopicFilter::new(&text).unwrap())
        .collect();
    let mut filters = filters.iter().cycle();
    let options = SubscriptionOptions::of_qos(Qos::AtMostOnce);
    criterion.bench_function("subscribe and unsubscribe", |bencher| {
        bencher.iter(|| {
            if let Some(filter) = filters.next() {
                router.subscribe(filter, Arc::clone(&session), options, None);
                black_box(router.unsubscribe(filter, &session));
            }
        });
    });
}

fn stamps(criterion: &mut Criterion) {
    let epochs = Epochs::default();
    let topic = TopicName::new("site-1/line-1/sensor-1/state").unwrap();
    let stamp = epochs.stamp(topic);
    criterion.bench_function("whether a cached route is current", |bencher| {
        bencher.iter(|| epochs.is_current(black_box(&stamp)));
    });
}
