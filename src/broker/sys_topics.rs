//! `$SYS/broker/…`: what the broker tells its clients about itself.
//!
//! What lives here: the topics, under the names and in the form that users of
//! mosquitto know, and the task that tells them. What does not: publishing
//! (`net::Voice`). Invariant: a tenant is told its own numbers and nobody
//! else's; those of the whole process (memory, sockets) only where the broker
//! serves one tenant.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::delivery::Domain;
use crate::mqtt::TenantId;
use crate::net::{Count, Node, Resting, Voice};
use crate::shutdown::Tasks;
use crate::telemetry::metrics::Counter;
use crate::telemetry::resident::resident;

/// Tells every tenant its numbers, each time that the interval has passed, and
/// at once when `reloaded` says that it may be another one.
pub(super) async fn keep_telling(node: Arc<Node>, reloaded: Arc<Notify>, tasks: Tasks) {
    let mut stop = tasks.stop_signal();
    let started = node.clock.now();
    let mut tellers = HashMap::new();
    loop {
        let interval = node.settings.load().sys_interval;
        if interval.is_zero() {
            tellers.drain().for_each(|(_, teller): (_, Teller)| teller.fall_silent());
        } else {
            tell_all(&node, &mut tellers, started);
        }
        let pause = if interval.is_zero() { Duration::MAX } else { interval };
        tokio::select! {
            () = stop.stopped() => return,
            () = tokio::time::sleep(pause) => {}
            () = reloaded.notified() => {}
        }
    }
}

fn tell_all(node: &Node, tellers: &mut HashMap<TenantId, Teller>, started: Instant) {
    let trust = node.trust.current();
    tellers.retain(|id, teller| {
        let stays = trust.tenant(id).is_some();
        if !stays {
            teller.fall_silent();
        }
        stays
    });
    let is_alone = trust.tenants().count() == 1;
    for tenant in trust.tenants() {
        let new = || Teller::new(node.domains.of(&tenant.id), started);
        tellers.entry(tenant.id.clone()).or_insert_with(new).tell(node, started, is_alone);
    }
}

/// The broker's words to one tenant.
struct Teller {
    domain: Arc<Domain<Resting>>,
    voice: Voice,
    /// What was said last, by topic.
    said: BTreeMap<String, String>,
    loads: Loads,
}

impl Teller {
    fn new(domain: Arc<Domain<Resting>>, since: Instant) -> Self {
        let voice = Voice::new(&domain);
        Self { domain, voice, said: BTreeMap::new(), loads: Loads { since, rows: BTreeMap::new() } }
    }

    fn fall_silent(&self) {
        self.voice.fall_silent(&self.domain);
    }

    fn tell(&mut self, node: &Node, started: Instant, is_alone: bool) {
        let now = node.clock.now();
        let count = node.census.of(self.domain.tenant());
        let mut words = Words::default();
        words.add("version", format_args!("certus version {}", env!("CARGO_PKG_VERSION")));
        words.add("uptime", format_args!("{} seconds", now.saturating_duration_since(started).as_secs()));
        clients(&mut words, &count, self.domain.registry.len());
        traffic(&mut words, &count);
        holdings(&mut words, &self.domain);
        let mut sums = sums(&count);
        if is_alone {
            sums.push(("sockets", Counter::ConnectionsAccepted.total()));
            if let Some(memory) = resident() {
                words.add("heap/current", memory.now);
                words.add("heap/maximum", memory.most);
            }
        }
        self.loads.tell(now, &sums, &mut words);
        // As mosquitto does, only what has changed.
        let changed = words.0.iter().filter(|(topic, text)| self.said.get(*topic) != Some(text));
        self.voice.say(node, &self.domain, changed.map(|(topic, text)| (topic.as_str(), text.as_str())));
        self.said = words.0;
    }
}

/// Texts by topic.
#[derive(Default)]
struct Words(BTreeMap<String, String>);

impl Words {
    fn add(&mut self, topic: &str, value: impl std::fmt::Display) {
        self.0.insert(format!("$SYS/broker/{topic}"), value.to_string());
    }
}

fn clients(words: &mut Words, count: &Count, sessions: usize) {
    // A connection may have ended whose session is still being given back.
    let away = sessions.saturating_sub(count.connected);
    for (topic, clients) in [
        ("connected", count.connected),
        // The name that it had before mosquitto 1.4.
        ("active", count.connected),
        ("disconnected", away),
        ("inactive", away),
        ("total", count.connected + away),
        ("maximum", count.most),
    ] {
        words.add(&format!("clients/{topic}"), clients);
    }
    words.add("clients/expired", count.expired);
}

fn traffic(words: &mut Words, count: &Count) {
    let totals = &count.traffic;
    for (topic, sum) in [
        ("messages/received", totals.messages_received),
        ("messages/sent", totals.messages_sent),
        ("bytes/received", totals.bytes_received),
        ("bytes/sent", totals.bytes_sent),
        ("publish/messages/received", totals.publish_received),
        ("publish/messages/sent", totals.publish_sent),
        ("publish/messages/dropped", totals.publish_dropped),
        ("publish/bytes/received", totals.publish_bytes_received),
        ("publish/bytes/sent", totals.publish_bytes_sent),
    ] {
        words.add(topic, sum);
    }
}

fn holdings(words: &mut Words, domain: &Domain<Resting>) {
    let (retained, retained_bytes) = domain.retained.held();
    let (kept, kept_bytes) = domain.kept();
    let (subscriptions, shared) = domain.subscriptions();
    words.add("retained messages/count", retained);
    words.add("messages/stored", retained as u64 + kept);
    words.add("store/messages/count", retained as u64 + kept);
    words.add("store/messages/bytes", retained_bytes as u64 + kept_bytes);
    words.add("subscriptions/count", subscriptions);
    words.add("shared_subscriptions/count", shared);
}

/// The sums whose growth is told as a load.
fn sums(count: &Count) -> Vec<(&'static str, u64)> {
    let totals = &count.traffic;
    vec![
        ("messages/received", totals.messages_received),
        ("messages/sent", totals.messages_sent),
        ("publish/received", totals.publish_received),
        ("publish/sent", totals.publish_sent),
        ("publish/dropped", totals.publish_dropped),
        ("bytes/received", totals.bytes_received),
        ("bytes/sent", totals.bytes_sent),
        ("connections", count.opened),
    ]
}

/// Over how many minutes loads are averaged.
const MINUTES: [u8; 3] = [1, 5, 15];

/// How much of each sum came in a minute, averaged with weights that fade.
struct Loads {
    since: Instant,
    rows: BTreeMap<&'static str, Load>,
}

#[derive(Default)]
struct Load {
    sum: u64,
    averages: [f64; MINUTES.len()],
}

impl Loads {
    fn tell(&mut self, now: Instant, sums: &[(&'static str, u64)], words: &mut Words) {
        let passed = now.saturating_duration_since(self.since).as_secs_f64() / 60.0;
        self.since = now;
        for (name, sum) in sums {
            let load = self.rows.entry(name).or_default();
            load.add(*sum, passed);
            for (minutes, average) in MINUTES.iter().zip(load.averages) {
                words.add(&format!("load/{name}/{minutes}min"), format_args!("{average:.2}"));
            }
        }
    }
}

impl Load {
    /// Takes the sum that was reached `passed` minutes after the last one.
    fn add(&mut self, sum: u64, passed: f64) {
        let grown = sum.saturating_sub(self.sum);
        self.sum = sum;
        if passed <= 0.0 {
            return;
        }
        let rate = grown as f64 / passed;
        for (minutes, average) in MINUTES.iter().zip(&mut self.averages) {
            *average = rate + (-passed / f64::from(*minutes)).exp() * (*average - rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures of the middle column are those that mosquitto 2.0 tells of
    /// one connection that came in the first of its seconds.
    #[test]
    fn a_load_fades_as_that_of_mosquitto_does() {
        let mut load = Load::default();
        load.add(1, 1.0 / 60.0);
        let shown = load.averages.map(|average| format!("{average:.2}"));
        assert_eq!(shown, ["0.99", "0.20", "0.07"]);
        load.add(1, 1.0 / 60.0);
        assert_eq!(format!("{:.2}", load.averages[0]), "0.98");
        load.add(1, 1.0);
        assert_eq!(format!("{:.2}", load.averages[0]), "0.36");
    }

    #[test]
    fn a_steady_load_is_told_as_it_is() {
        let mut load = Load::default();
        for second in 1..=3600 {
            load.add(second * 5, 1.0 / 60.0);
        }
        assert!(load.averages.iter().all(|average| (294.0..=300.1).contains(average)), "{:?}", load.averages);
    }
}
