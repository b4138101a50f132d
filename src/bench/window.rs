//! What a second window gave, beside the first one.
//!
//! What lives here: its words and its part of the JSON object. What does not: measuring it (`beside`). Invariant: a
//! ratio above 1 means that the second window was worse.

use std::time::Duration;

use serde_json::{Value, json};

use super::beside::{Beside, What};
use super::report::{percentile_text, percentiles};

/// The first window, as far as the second is compared with it.
pub struct Quiet {
    /// Latency.
    pub p99: Option<Duration>,
    /// CPU-seconds of the broker per million deliveries.
    pub cost: Option<f64>,
    /// Resident memory of the broker at its end, KiB.
    pub resident_kib: Option<u64>,
}

/// For programs.
pub fn json(beside: &Beside, quiet: &Quiet) -> Value {
    let seconds = beside.took.as_secs_f64();
    let cost = beside.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / beside.delivered.max(1) as f64);
    let p99 = beside.timings.latency.percentile(0.99);
    let ratio = |after: f64, before: f64| (before > 0.0).then(|| after / before);
    let grown = beside.resident_kib.zip(quiet.resident_kib).map(|(after, before)| after.saturating_sub(before));
    let is_kept = !matches!(beside.what, What::Storm | What::Unfair);
    let crowd = beside.crowd.as_ref();
    let noise = beside.noise.as_ref();
    json!({
        "what": name(beside.what), "many": beside.many, "seconds": seconds,
        "sent": beside.sent, "delivered": beside.delivered, "delivered_per_s": beside.delivered as f64 / seconds,
        "broker_cpu_s_per_million": cost, "broker_resident_kib": beside.resident_kib,
        "latency_us": percentiles(&beside.timings.latency),
        "generator_lateness_us": percentiles(&beside.timings.lateness),
        "acknowledgement_us": percentiles(&beside.timings.acknowledgement),
        "p99_ratio": p99.zip(quiet.p99).and_then(|(after, before)| ratio(after.as_secs_f64(), before.as_secs_f64())),
        "cost_ratio": cost.zip(quiet.cost).and_then(|(after, before)| ratio(after, before)),
        "broker_bytes_each": grown.filter(|_| is_kept).map(|kib| kib as f64 * 1024.0 / f64::from(beside.many.max(1))),
        "connected": crowd.map(|crowd| crowd.connected), "resumed": crowd.map(|crowd| crowd.resumed),
        "connected_per_s": crowd.map(|crowd| crowd.connected as f64 / crowd.took.as_secs_f64().max(1e-9)),
        "connect_us": crowd.map(|crowd| percentiles(&crowd.latency)),
        "flood_sent_per_s": noise.map(|noise| noise.flood_sent as f64 / seconds),
        "handshakes_broken": noise.map(|noise| noise.handshakes_broken),
        "ended_by_broker": noise.map(|noise| noise.ended_by_broker),
    })
}

/// For people; `object` is the whole report.
pub fn lines(beside: &Beside, object: &Value) -> Vec<(&'static str, String)> {
    let object = &object["beside"];
    let number = |name: &str| object.get(name).and_then(Value::as_f64);
    let times =
        |name: &str| number(name).map_or_else(String::new, |ratio| format!(", {ratio:.2} times the first window's"));
    let mut lines = vec![("with beside it", format!("{} {}", beside.many, name(beside.what)))];
    lines.push(("  latency", format!("{}; p99{}", percentile_text(&beside.timings.latency), times("p99_ratio"))));
    if let Some(cost) = number("broker_cpu_s_per_million") {
        lines.push(("  broker", format!("{cost:.3} CPU-s per million deliveries{}", times("cost_ratio"))));
    }
    if let Some(each) = number("broker_bytes_each") {
        lines.push(("  memory", format!("{each:.0} bytes more for each of them")));
    }
    if let Some(crowd) = &beside.crowd {
        let rate = number("connected_per_s").unwrap_or_default();
        let text =
            format!("{} connected, {} resumed, {} failed, {rate:.0}/s", crowd.connected, crowd.resumed, crowd.failed);
        lines.push(("  they", format!("{text}; to CONNACK {}", percentile_text(&crowd.latency))));
    }
    if let Some(noise) = &beside.noise {
        let flood = number("flood_sent_per_s").unwrap_or_default();
        let (broken, ended) = (noise.handshakes_broken, noise.ended_by_broker);
        lines.push((
            "  they",
            format!("flood {flood:.0}/s, {broken} handshakes broken off, {ended} times ended by the broker"),
        ));
    }
    lines
}

fn name(what: What) -> String {
    clap::ValueEnum::to_possible_value(&what).map_or_else(String::new, |value| value.get_name().to_owned())
}
