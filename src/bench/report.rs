//! What a run gave, as a table for people or one JSON object for programs.
//!
//! What lives here: words and units. What does not: figures; they come from `throughput` and
//! `storm`. Invariant: a figure that was not measured is absent (JSON: null), never 0.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::Shape;
use super::histogram::Histogram;
use super::shape::Field;
use super::tally::Faults;
use super::{Outcome, queue, storm, throughput, window};

/// Above this share of its threads' time the generator may have been the limit.
const BUSY: f64 = 0.9;

/// Prints what a run gave, as it was asked for.
pub fn print(field: &Field, outcome: &Outcome) {
    let object = json(field, outcome);
    if field.args.json {
        println!("{object}");
        return;
    }
    println!("{}", title(field));
    match outcome {
        Outcome::Messages(outcome) => print_throughput(field, outcome, &object),
        Outcome::Connections(outcome) => print_storm(field, outcome, &object),
        Outcome::Queue(outcome) => print_queue(outcome, &object),
    }
    generator_line(&object);
}

/// What a run gave, as one object.
pub fn json(field: &Field, outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Messages(outcome) => throughput_json(field, outcome),
        Outcome::Connections(outcome) => storm_json(field, outcome),
        Outcome::Queue(outcome) => queue_json(field, outcome),
    }
}

fn print_throughput(field: &Field, outcome: &throughput::Outcome, object: &Value) {
    let seconds = outcome.took.as_secs_f64();
    line(
        "deliveries",
        &format!("{:.0}/s ({} in {seconds:.1} s)", outcome.delivered as f64 / seconds, outcome.delivered),
    );
    line("messages sent", &format!("{:.0}/s", outcome.sent as f64 / seconds));
    if let Some(cost) = number(object, "broker_cpu_s_per_million") {
        let share = number(object, "broker_cores").unwrap_or_default();
        line("broker", &format!("{cost:.3} CPU-s per million deliveries, {share:.2} cores busy"));
    }
    if let Some(kib) = outcome.resident_kib {
        line("broker memory", &format!("{:.1} MiB resident", kib as f64 / 1024.0));
    }
    line("latency", &latency_text(field, outcome));
    if outcome.run.timings.acknowledgement.count() > 0 {
        line("to the answer", &percentile_text(&outcome.run.timings.acknowledgement));
    }
    if let Some(beside) = &outcome.beside {
        window::lines(beside, object).iter().for_each(|(name, text)| line(name, text));
    }
    fault_lines(outcome.faults, &outcome.failures);
}

fn fault_lines(faults: Option<Faults>, (failed, reasons): &(u64, Vec<String>)) {
    if let Some(faults) = faults {
        let faults = format!("lost {}, repeated {}, out of order {}", faults.lost, faults.repeated, faults.disordered);
        line("faults", &faults);
    }
    reasons.iter().for_each(|reason| line("failure", &format!("{reason} ({failed} in all)")));
}

fn print_queue(outcome: &queue::Outcome, object: &Value) {
    for (name, cost, phase) in [
        ("queued", "broker_cpu_s_per_million_queued", &outcome.queued),
        ("drained", "broker_cpu_s_per_million_drained", &outcome.drained),
    ] {
        let seconds = phase.took.as_secs_f64();
        let cost =
            number(object, cost).map_or_else(String::new, |cost| format!(", {cost:.3} broker CPU-s per million"));
        line(name, &format!("{:.0}/s ({} in {seconds:.2} s){cost}", phase.per_second(), phase.count));
    }
    line("to the answer", &percentile_text(&outcome.run.timings.acknowledgement));
    if let [Some(before), Some(full), Some(after)] = outcome.resident_kib.map(|kib| kib.map(|kib| kib as f64 / 1024.0))
    {
        let each = number(object, "broker_bytes_per_queued_message").unwrap_or_default();
        let text =
            format!("{before:.1} MiB before, {full:.1} with the queue ({each:.0} bytes a message), {after:.1} after");
        line("broker memory", &text);
    }
    fault_lines(outcome.faults, &outcome.failures);
}

fn queue_json(field: &Field, outcome: &queue::Outcome) -> Value {
    let args = &field.args;
    let (publishers, sessions) = args.sides();
    let (queued, drained) = (&outcome.queued, &outcome.drained);
    let [before, full, after] = outcome.resident_kib;
    let kept = (queued.count * outcome.fan).max(1) as f64;
    let grown = before.zip(full).map(|(before, full)| full.saturating_sub(before) as f64 * 1024.0 / kept);
    let own = queued.own_cpu.zip(drained.own_cpu).map(|(queued, drained)| queued + drained);
    json!({
        "shape": shape_name(args.shape), "publishers": publishers, "sessions": sessions,
        "qos": args.qos.bits(), "size": args.size, "window": args.window, "rate": args.rate(),
        "protocol": args.protocol.to_string(), "tls": !args.plain,
        "queued": queued.count, "queued_seconds": queued.took.as_secs_f64(), "queued_per_s": queued.per_second(),
        "drained": drained.count, "drained_seconds": drained.took.as_secs_f64(), "drained_per_s": drained.per_second(),
        "broker_cpu_s_per_million_queued": queued.cpu_per_million(),
        "broker_cpu_s_per_million_drained": drained.cpu_per_million(),
        "broker_resident_kib": { "before": before, "queued": full, "drained": after },
        "broker_bytes_per_queued_message": grown,
        "generator_busy": busy(own, queued.took + drained.took, args.reach.threads),
        "acknowledgement_us": percentiles(&outcome.run.timings.acknowledgement),
        "lost": outcome.faults.map(|faults| faults.lost), "repeated": outcome.faults.map(|faults| faults.repeated),
        "out_of_order": outcome.faults.map(|faults| faults.disordered),
        "failed": outcome.failures.0, "failures": outcome.failures.1,
    })
}

fn latency_text(field: &Field, outcome: &throughput::Outcome) -> String {
    let own = |share| micros(outcome.run.timings.lateness.percentile(share));
    let text = percentile_text(&outcome.run.timings.latency);
    if field.args.rate().is_none() {
        return format!("{text} (flat out: time in queues)");
    }
    format!("{text} from the due time; of it the generator's own lateness p50 {} p99 {}", own(0.5), own(0.99))
}

fn throughput_json(field: &Field, outcome: &throughput::Outcome) -> Value {
    let args = &field.args;
    let seconds = outcome.took.as_secs_f64();
    let (publishers, subscribers) = args.sides();
    let delivered = outcome.delivered.max(1) as f64;
    let per_million = |cpu: Duration| cpu.as_secs_f64() * 1e6 / delivered;
    let mut object = json!({
        "shape": shape_name(args.shape), "publishers": publishers, "subscribers": subscribers,
        "lasting": args.lasting, "sleepers": args.sleepers,
        "qos": args.qos.bits(), "size": args.size, "window": args.window, "backlog": args.backlog, "rate": args.rate(),
        "protocol": args.protocol.to_string(), "tls": !args.plain, "null_broker": args.null,
        "seconds": seconds, "sent": outcome.sent, "acknowledged": outcome.acknowledged, "delivered": outcome.delivered,
        "sent_per_s": outcome.sent as f64 / seconds, "delivered_per_s": outcome.delivered as f64 / seconds,
        "broker_cpu_s_per_million": outcome.cpu.map(per_million),
        "broker_cores": outcome.cpu.map(|cpu| cpu.as_secs_f64() / seconds),
        "broker_resident_kib": outcome.resident_kib,
        "generator_cpu_s_per_million": outcome.own_cpu.map(per_million),
        "generator_busy": busy(outcome.own_cpu, outcome.took, args.reach.threads),
        "latency_us": percentiles(&outcome.run.timings.latency), "generator_lateness_us": percentiles(&outcome.run.timings.lateness),
        "acknowledgement_us": percentiles(&outcome.run.timings.acknowledgement),
        "lost": outcome.faults.map(|faults| faults.lost), "repeated": outcome.faults.map(|faults| faults.repeated),
        "out_of_order": outcome.faults.map(|faults| faults.disordered),
        "failed": outcome.failures.0, "failures": outcome.failures.1,
    });
    if let Some(beside) = &outcome.beside
        && let Some(fields) = object.as_object_mut()
    {
        let quiet = window::Quiet {
            p99: outcome.run.timings.latency.percentile(0.99),
            cost: outcome.cpu.map(per_million),
            resident_kib: outcome.resident_kib,
        };
        fields.insert("beside".to_owned(), window::json(beside, &quiet));
    }
    object
}

fn print_storm(field: &Field, outcome: &storm::Outcome, object: &Value) {
    let seconds = outcome.took.as_secs_f64();
    let kinds = if field.args.plain { String::new() } else { format!(", {} resumed", outcome.resumed) };
    line(
        "connected",
        &format!("{}{kinds} in {seconds:.2} s: {:.0}/s", outcome.connected, outcome.connected as f64 / seconds),
    );
    if let Some(cost) = number(object, "broker_cpu_ms_each") {
        line("broker", &format!("{cost:.3} CPU-ms each"));
    }
    if outcome.latency.count() > 0 {
        line("to CONNACK", &percentile_text(&outcome.latency));
    }
    if let Some((before, after)) = outcome.resident_kib {
        let each = number(object, "broker_kib_each").unwrap_or_default();
        let text = format!("{:.1} MiB before, {:.1} after", before as f64 / 1024.0, after as f64 / 1024.0);
        let held = field.args.shape == Shape::Idle;
        line("broker memory", &if held { format!("{text}: {each:.1} KiB each") } else { text });
    }
    if let Some(share) = outcome.idle_share {
        line("broker idle", &format!("{:.2} % of a core", share * 100.0));
    }
    if let Some(failure) = &outcome.failure {
        line("failures", &format!("{}; the first: {failure}", outcome.failed));
    }
}

fn storm_json(field: &Field, outcome: &storm::Outcome) -> Value {
    let args = &field.args;
    let seconds = outcome.took.as_secs_f64();
    let count = outcome.connected.max(1) as f64;
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e3 / count;
    json!({
        "shape": shape_name(args.shape), "clients": args.clients, "concurrency": args.concurrency,
        "protocol": args.protocol.to_string(), "tls": !args.plain, "null_broker": args.null,
        "seconds": seconds, "connected": outcome.connected, "connected_per_s": outcome.connected as f64 / seconds,
        "resumed": outcome.resumed, "failed": outcome.failed, "failure": outcome.failure,
        "broker_cpu_ms_each": outcome.cpu.map(each), "generator_cpu_ms_each": outcome.own_cpu.map(each),
        "generator_busy": busy(outcome.own_cpu, outcome.took, args.reach.threads),
        "latency_us": percentiles(&outcome.latency),
        "broker_resident_kib": outcome.resident_kib.map(|(_, after)| after),
        "broker_kib_each": outcome.resident_kib.map(|(before, after)| after.saturating_sub(before) as f64 / count),
        "broker_idle_share": outcome.idle_share,
    })
}

fn shape_name(shape: Shape) -> String {
    clap::ValueEnum::to_possible_value(&shape).map_or_else(String::new, |value| value.get_name().to_owned())
}

fn title(field: &Field) -> String {
    let args = &field.args;
    let way = if args.plain { "plain" } else { "TLS" };
    let broker = if args.null { "the null broker".to_owned() } else { field.target.address.to_string() };
    let what = match args.shape {
        Shape::Connect | Shape::Idle => format!("{} clients", args.clients),
        _ => {
            let (publishers, subscribers) = args.sides();
            format!("{publishers}:{subscribers}, QoS {}, {} bytes, window {}", args.qos.bits(), args.size, args.window)
        }
    };
    format!("{} {what}, MQTT {}, {way}, against {broker}", shape_name(args.shape), args.protocol)
}

fn line(name: &str, text: &str) {
    println!("  {name:<14} {text}");
}

fn number(object: &Value, name: &str) -> Option<f64> {
    object.get(name)?.as_f64()
}

/// The share of its threads' time that the generator used.
fn busy(own: Option<Duration>, took: Duration, threads: usize) -> Option<f64> {
    Some(own?.as_secs_f64() / (took.as_secs_f64() * threads.max(1) as f64))
}

fn generator_line(object: &Value) {
    if let Some(busy) = number(object, "generator_busy") {
        let note = if busy >= BUSY { ": it may have been the limit; try --threads 2" } else { "" };
        line("generator", &format!("{:.0} % busy{note}", busy * 100.0));
    }
}

fn micros(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "-".to_owned(), |duration| format!("{:.0} µs", duration.as_secs_f64() * 1e6))
}

const SHARES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

/// Percentiles in words.
pub fn percentile_text(histogram: &Histogram) -> String {
    let each = SHARES.map(|(name, share)| format!("{name} {}", micros(histogram.percentile(share))));
    each.join("  ")
}

/// Percentiles for programs, in microseconds.
pub fn percentiles(histogram: &Histogram) -> Value {
    let each = SHARES.iter().filter_map(|(name, share)| {
        let value = histogram.percentile(*share)?;
        Some(((*name).to_owned(), json!(value.as_secs_f64() * 1e6)))
    });
    let object: serde_json::Map<String, Value> = each.collect();
    if object.is_empty() { Value::Null } else { Value::Object(object) }
}
