//! The scenarios by name: each is a command line of `certus bench`, so that it can be run alone.
//!
//! What lives here: names, groups, titles, command lines, figures and goals. What does not: running them.
//! Invariant: every name is unique, and every line is one that the command line takes.

use super::figure::{
    CROWD, DISTURBED, FLAT_OUT, FLAT_OUT_TIMED, Figure, GROWN, KEPT, PACED, RESUMED, STILL, STORM, STORMED,
};

/// The groups, each with what it shows; the first is what runs when nothing is asked for.
pub const GROUPS: &[(&str, &str)] = &[
    ("table", "cost of deliveries, connects, memory and latency: the table of the manual"),
    ("spec", "messages a second and latency by shape, QoS and size; connects by kind of key, with TLS and without"),
    ("open", "the shapes of the Open MQTT Benchmark Suite, at the size of one machine with 20,000 descriptors"),
    ("beside", "what others do to those who work: a sleeper, a storm of devices, clients that behave badly (minutes)"),
    ("growth", "the same pairs with subscriptions and sleeping sessions that have nothing to do with them (minutes)"),
    (
        "durable",
        "queueing for sessions that sleep, and draining: beside a broker that keeps what it acknowledges, or not",
    ),
    ("long", "15,000 idle connections with a keep alive of 60 s, for a minute"),
];

/// One named scenario.
pub struct Scenario {
    /// What `--only` takes.
    pub name: String,
    /// The group it belongs to.
    pub group: &'static str,
    /// What it is, for people.
    pub title: String,
    /// The arguments of `certus bench`.
    pub line: String,
    /// What is taken from its report, the one that counts first.
    pub figures: &'static [Figure],
    /// What is aimed at, in the order of the figures, as far as there are goals.
    pub goals: &'static [f64],
    /// Whether it needs a broker to which nobody has connected yet: it runs first, and once.
    pub is_fresh: bool,
}

impl Scenario {
    fn new(group: &'static str, name: &str, title: &str, line: &str, figures: &'static [Figure]) -> Self {
        let (name, title, line) = (name.to_owned(), title.to_owned(), line.to_owned());
        Self { name, group, title, line, figures, goals: &[], is_fresh: false }
    }

    fn aims_at(self, goals: &'static [f64]) -> Self {
        Self { goals, ..self }
    }

    /// The same, to be looked at without a judgement.
    pub fn without_goals(self) -> Self {
        Self { goals: &[], ..self }
    }

    fn on_a_fresh_broker(self) -> Self {
        Self { is_fresh: true, ..self }
    }

    /// Whether `--only` with `word` means it.
    pub fn is_meant_by(&self, word: &str) -> bool {
        word == "all" || word == self.name || word == self.group
    }

    /// Whether its clients come without TLS.
    pub fn is_plain(&self) -> bool {
        self.line.contains(" --plain")
    }
}

/// All scenarios, in the order in which they are shown.
pub fn all() -> Vec<Scenario> {
    let mut all = table();
    all.extend(spec());
    all.extend(open());
    all.extend(beside());
    all.extend(growth());
    all.extend(durable());
    all.push(
        Scenario::new(
            "long",
            "idle-15000-ping",
            "15,000 idle connections, keep alive 60 s",
            "idle --clients 15000 --keep-alive 60 --duration 60",
            STILL,
        )
        .aims_at(&[0.05])
        .on_a_fresh_broker(),
    );
    all
}

/// The scenarios that `words` name.
///
/// # Errors
/// The first word that is neither a name nor a group.
pub fn select(words: &[String]) -> Result<Vec<Scenario>, String> {
    let all = all();
    let unknown = words.iter().find(|word| !all.iter().any(|scenario| scenario.is_meant_by(word)));
    match unknown {
        Some(word) => Err(word.clone()),
        None => Ok(all.into_iter().filter(|one| words.iter().any(|word| one.is_meant_by(word))).collect()),
    }
}

fn table() -> Vec<Scenario> {
    let row =
        |name: &str, title: &str, line: &str, goals| Scenario::new("table", name, title, line, FLAT_OUT).aims_at(goals);
    let connect = |name: &str, title: &str, line: &str, figures, goals| {
        Scenario::new("table", name, title, line, figures).aims_at(goals)
    };
    vec![
        row("pairs-q0", "10 pairs, QoS 0, 16 B", "pairs -q 0", &[0.30]),
        row("pairs-q0-1k", "10 pairs, QoS 0, 1 KiB", "pairs -q 0 --size 1024", &[1.5]),
        row("pairs-q1", "10 pairs, QoS 1, 16 B", "pairs -q 1", &[1.0]),
        row("pairs-q1-1k", "10 pairs, QoS 1, 1 KiB", "pairs -q 1 --size 1024", &[1.8]),
        row("pairs-q2", "10 pairs, QoS 2, 16 B", "pairs -q 2", &[2.0]),
        row("wildcard-q1", "10 publishers, 10 subscribers on b/+/v, QoS 1", "wildcard -q 1", &[0.30]),
        row("fan-out-q0", "fan-out 1 → 1000, QoS 0", "fan-out -q 0", &[1.0]),
        row("fan-out-q1", "fan-out 1 → 1000, QoS 1", "fan-out -q 1", &[0.7]),
        row("fan-in-q1", "fan-in 1000 → 1, QoS 1", "fan-in -q 1", &[2.5]),
        connect("connect", "full connect (TCP, TLS, CONNECT)", "connect --clients 1000", STORM, &[0.20]),
        connect("connect-resumed", "resumed connect", "connect --clients 1000 --resumed", RESUMED, &[0.12]),
        Scenario::new("table", "idle-5000", "5,000 idle connections", "idle --clients 5000", CROWD)
            .aims_at(&[12.0])
            .on_a_fresh_broker(),
        Scenario::new("table", "latency-2000", "10 pairs, QoS 1, 2,000 messages/s", "pairs -q 1 --rate 2000", PACED)
            .aims_at(&[300.0, 110.0]),
    ]
}

/// What a report on performance has to hold by the specification: three shapes, three qualities, two sizes, flat out
/// and at a rate, and connects.
fn spec() -> Vec<Scenario> {
    let mut all = Vec::new();
    // The rates cause 2,000 deliveries a second, the fan-out 20,000.
    for (shape, called, rate) in
        [("pairs", "10 pairs", 2000), ("fan-out", "fan-out 1 → 1000", 20), ("fan-in", "fan-in 1000 → 1", 2000)]
    {
        for qos in 0..3 {
            for (size, short) in [(64, "64"), (1024, "1k")] {
                let name = format!("spec-{shape}-q{qos}-{short}");
                let title = format!("{called}, QoS {qos}, {size} B");
                let line = format!("{shape} -q {qos} --size {size}");
                all.push(Scenario::new("spec", &name, &title, &line, FLAT_OUT_TIMED));
                let (name, title) = (format!("{name}-latency"), format!("{title}, {rate} messages/s"));
                all.push(Scenario::new("spec", &name, &title, &format!("{line} --rate {rate}"), PACED));
            }
        }
    }
    for (name, title, more, figures) in [
        ("p256", "full connect, P-256 client certificate", "--key ec", STORM),
        ("rsa", "full connect, RSA-2048 client certificate", "--key rsa", STORM),
        ("p256-resumed", "resumed connect, P-256 client certificate", "--key ec --resumed", RESUMED),
        ("rsa-resumed", "resumed connect, RSA-2048 client certificate", "--key rsa --resumed", RESUMED),
        ("tcp", "connect without TLS", "--plain", STORM),
    ] {
        let line = format!("connect --clients 1000 {more}");
        all.push(Scenario::new("spec", &format!("spec-connect-{name}"), title, &line, figures));
    }
    let idle =
        |name: &str, title: &str, line: &str| Scenario::new("spec", name, title, line, CROWD).on_a_fresh_broker();
    all.push(idle("spec-idle-tls", "1,000 idle connections", "idle --clients 1000"));
    all.push(idle("spec-idle-tcp", "1,000 idle connections without TLS", "idle --clients 1000 --plain"));
    all
}

/// Named as there, with its numbers divided by what fits: clients, then publications and deliveries a second.
fn open() -> Vec<Scenario> {
    let one = |name: &str, title: &str, line: &str, figures| Scenario::new("open", name, title, line, figures);
    vec![
        one("conn-10K", "10,000 connections, made and held", "idle --clients 10000", CROWD).on_a_fresh_broker(),
        one(
            "fanout-5-1000-5-250K",
            "5 publishers, 1,000 subscribers of all 5 topics, 250 messages/s",
            "wildcard --publishers 5 --subscribers 1000 --rate 250",
            PACED,
        ),
        one(
            "p2p-5K-5K-5K-5K",
            "5,000 pairs, one message/s each",
            "pairs --publishers 5000 --subscribers 5000 --rate 5000",
            PACED,
        ),
        one(
            "sharesub-5K-50-5K-5K",
            "5,000 publishers, one message/s each, a group of 50",
            "shared --publishers 5000 --subscribers 50 --rate 5000 -V 5.0",
            PACED,
        ),
    ]
}

/// Two windows of one run: quiet, then with something beside it.
fn beside() -> Vec<Scenario> {
    let pairs = "pairs -q 1 --rate 2000";
    let one = |name: &str, title: &str, line: &str, figures, goals| {
        Scenario::new("beside", name, title, line, figures).aims_at(goals)
    };
    let storm = |name: &str, title: &str, many: u32, more: &str| {
        one(name, title, &format!("{pairs} --beside storm --many {many}{more}"), STORMED, &[3.0])
    };
    vec![
        one(
            "sleeper-999",
            "1 → 999 online subscribers, 20 messages/s, then one sleeping session more",
            "fan-out --subscribers 999 -q 1 --rate 20 --beside sleeper",
            DISTURBED,
            &[1.2],
        ),
        storm("storm-1K", "10 pairs, 2,000 messages/s, then 1,000 devices come back", 1_000, ""),
        storm("storm-10K", "10 pairs, 2,000 messages/s, then 10,000 devices come back", 10_000, ""),
        storm("storm-10K-resumed", "the same with tickets", 10_000, " --resumed"),
        one(
            "unfair",
            "10 pairs, 2,000 messages/s, then four clients that behave badly",
            &format!("{pairs} --beside unfair"),
            DISTURBED,
            &[2.0],
        ),
    ]
}

fn growth() -> Vec<Scenario> {
    let one = |name: &str, title: &str, beside: &str| {
        let line = format!("pairs -q 1 --beside {beside}");
        Scenario::new("growth", name, &format!("10 pairs, QoS 1, then {title}"), &line, GROWN).aims_at(&[1.1])
    };
    vec![
        one("growth-exact-100K", "100,000 exact subscriptions of others", "subscriptions --many 100000"),
        one("growth-exact-1M", "1,000,000 exact subscriptions of others", "subscriptions --many 1000000"),
        one("growth-wildcard-100K", "100,000 wildcard subscriptions of others", "wildcards --many 100000"),
        one("growth-wildcard-1M", "1,000,000 wildcard subscriptions of others", "wildcards --many 1000000"),
        one("growth-sleeping-20K", "20,000 sleeping sessions of others", "sleeping --many 20000"),
        one("growth-sleeping-100K", "100,000 sleeping sessions of others", "sleeping --many 100000"),
    ]
}

fn durable() -> Vec<Scenario> {
    let one = |name: &str, title: &str, line: &str| Scenario::new("durable", name, title, line, KEPT);
    vec![
        one("queue-10", "10 publishers for 10 sleeping sessions, QoS 1, 16 B, 50,000 messages", "queue"),
        one(
            "queue-100",
            "100 publishers for 100 sleeping sessions, QoS 1, 256 B, 200,000 messages",
            "queue --publishers 100 --subscribers 100 --size 256 --count 200000",
        ),
        one(
            "queue-100-few",
            "the same with 5,000 messages, for a broker that writes everything down for each",
            "queue --publishers 100 --subscribers 100 --size 256 --count 5000",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once_and_no_group_is_named_like_a_scenario() {
        let mut names: Vec<String> = all().into_iter().map(|scenario| scenario.name).collect();
        names.extend(GROUPS.iter().map(|(name, _)| (*name).to_owned()));
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_scenario_belongs_to_a_group_and_every_goal_to_a_figure() {
        for scenario in all() {
            assert!(GROUPS.iter().any(|(name, _)| *name == scenario.group), "{}", scenario.name);
            assert!(scenario.goals.len() <= scenario.figures.len(), "{}", scenario.name);
        }
    }

    #[test]
    fn a_name_or_a_group_selects_and_anything_else_is_named() {
        let count = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            select(&words).map(|list| list.len())
        };
        assert_eq!(count(&["table"]), Ok(13));
        assert_eq!(count(&["connect", "pairs-q2", "connect"]), Ok(2));
        assert_eq!(count(&["open", "idle-5000"]), Ok(5));
        assert_eq!(count(&["all"]), Ok(all().len()));
        assert_eq!(count(&["table", "tabel"]), Err("tabel".to_owned()));
    }
}
