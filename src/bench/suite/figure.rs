//! Figures: what is taken from a run's report, and what is said of several rounds of it.
//!
//! What lives here: their names, units and directions; median and range. What does not: runs. Invariant: a
//! figure that no round measured has no median, never 0.

use serde_json::{Value, json};

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// A cost.
    Lower,
    /// A rate.
    Higher,
}

/// One figure of a run's report.
#[derive(Debug)]
pub struct Figure {
    /// Where it stands in the JSON object; a slash leads into an object.
    pub key: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Which way it gets better.
    pub better: Better,
}

const fn cost(key: &'static str, name: &'static str, unit: &'static str) -> Figure {
    Figure { key, name, unit, better: Better::Lower }
}

const fn rate(key: &'static str, name: &'static str) -> Figure {
    Figure { key, name, unit: "/s", better: Better::Higher }
}

/// Messages flat out.
pub static FLAT_OUT: &[Figure] = &[
    cost("broker_cpu_s_per_million", "broker CPU per million deliveries", "s"),
    rate("delivered_per_s", "deliveries"),
];
/// Messages flat out, with what they wait.
pub static FLAT_OUT_TIMED: &[Figure] = &[
    rate("delivered_per_s", "deliveries"),
    cost("broker_cpu_s_per_million", "broker CPU per million deliveries", "s"),
    cost("latency_us/p50", "time in queues p50", "µs"),
    cost("latency_us/p99", "time in queues p99", "µs"),
    cost("latency_us/p99.9", "time in queues p99.9", "µs"),
];
/// Messages at a rate.
pub static PACED: &[Figure] = &[
    cost("latency_us/p99", "latency p99", "µs"),
    cost("latency_us/p50", "latency p50", "µs"),
    cost("latency_us/p99.9", "latency p99.9", "µs"),
    cost("broker_cpu_s_per_million", "broker CPU per million deliveries", "s"),
    cost("generator_lateness_us/p99", "of it the generator's own, p99", "µs"),
];
/// A storm of connections.
pub static STORM: &[Figure] = &[
    cost("broker_cpu_ms_each", "broker CPU per connect", "ms"),
    rate("connected_per_s", "connects"),
    cost("latency_us/p50", "to CONNACK p50", "µs"),
    cost("latency_us/p99", "to CONNACK p99", "µs"),
];
/// A storm of connections that come with a ticket.
pub static RESUMED: &[Figure] = &[
    cost("broker_cpu_ms_each", "broker CPU per connect", "ms"),
    rate("connected_per_s", "connects"),
    Figure { key: "resumed", name: "of them resumed", unit: "", better: Better::Higher },
];
/// A crowd that holds still.
pub static CROWD: &[Figure] = &[
    cost("broker_kib_each", "resident memory each", "KiB"),
    cost("broker_idle_share", "share of a core while still", ""),
    rate("connected_per_s", "connects"),
];

/// A crowd that is looked at for what it costs while it is still.
pub static STILL: &[Figure] = &[
    cost("broker_idle_share", "share of a core while still", ""),
    cost("broker_kib_each", "resident memory each", "KiB"),
    rate("connected_per_s", "connects"),
];
/// Messages for sessions that sleep.
pub static KEPT: &[Figure] = &[
    rate("queued_per_s", "acknowledged while they sleep"),
    cost("broker_cpu_s_per_million_queued", "broker CPU per million acknowledged", "s"),
    cost("acknowledgement_us/p50", "to the answer p50", "µs"),
    cost("acknowledgement_us/p99", "to the answer p99", "µs"),
    rate("drained_per_s", "deliveries after they woke"),
    cost("broker_cpu_s_per_million_drained", "broker CPU per million deliveries", "s"),
];
/// A window with disturbance, by latency.
pub static DISTURBED: &[Figure] = &[
    cost("beside/p99_ratio", "latency p99, times the quiet one", ""),
    cost("latency_us/p99", "quiet latency p99", "µs"),
    cost("beside/latency_us/p99", "disturbed latency p99", "µs"),
    cost("latency_us/p50", "quiet latency p50", "µs"),
    cost("beside/latency_us/p50", "disturbed latency p50", "µs"),
    cost("beside/generator_lateness_us/p99", "of it the generator's own, p99", "µs"),
];
/// The same, by devices that come back.
pub static STORMED: &[Figure] = &[
    cost("beside/p99_ratio", "latency p99, times the quiet one", ""),
    cost("latency_us/p99", "quiet latency p99", "µs"),
    cost("beside/latency_us/p99", "latency p99 in the storm", "µs"),
    cost("latency_us/p50", "quiet latency p50", "µs"),
    cost("beside/latency_us/p50", "latency p50 in the storm", "µs"),
    rate("beside/connected_per_s", "connects in the storm"),
    cost("beside/connect_us/p99", "to CONNACK p99", "µs"),
    cost("beside/generator_lateness_us/p99", "of the latency the generator's own, p99", "µs"),
];
/// The same load with more lying there.
pub static GROWN: &[Figure] = &[
    cost("beside/cost_ratio", "broker CPU per delivery, times that without", ""),
    cost("broker_cpu_s_per_million", "broker CPU per million deliveries, without", "s"),
    cost("beside/broker_cpu_s_per_million", "broker CPU per million deliveries, with", "s"),
    cost("beside/broker_bytes_each", "resident memory for each", "B"),
    cost("broker_resident_kib", "resident memory without", "KiB"),
    cost("beside/broker_resident_kib", "resident memory with", "KiB"),
];

impl Figure {
    /// Reads it from a report.
    pub fn read(&self, report: &Value) -> Option<f64> {
        self.key.split('/').try_fold(report, |object, name| object.get(name))?.as_f64()
    }

    /// A value of it as text, with about three digits that count.
    pub fn text(value: f64) -> String {
        match value.abs() {
            size if size >= 1e6 => format!("{:.2}M", value / 1e6),
            size if size >= 1e4 => format!("{:.1}k", value / 1e3),
            size if size >= 100.0 => format!("{value:.0}"),
            size if size >= 10.0 => format!("{value:.1}"),
            size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
            _ => format!("{value:.3}"),
        }
    }
}

/// What several rounds say of one figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// The value in the middle.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
    /// All, in the order of the rounds.
    pub values: Vec<f64>,
}

impl Spread {
    /// Of all values that were measured; `None` when there are none.
    pub fn of(values: Vec<f64>) -> Option<Self> {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let lower = if sorted.len() % 2 == 1 { upper } else { *sorted.get(middle - 1)? };
        Some(Self { median: f64::midpoint(lower, upper), min, max, values })
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({ "median": self.median, "min": self.min, "max": self.max, "values": self.values })
    }

    /// For people: the median, and the range if there were rounds.
    pub fn text(&self) -> String {
        let text = Figure::text;
        if self.values.len() == 1 {
            return text(self.median);
        }
        format!("{} ({}–{})", text(self.median), text(self.min), text(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_between_the_halves() {
        let median = |values: &[f64]| Spread::of(values.to_vec()).map(|spread| (spread.median, spread.min, spread.max));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some((2.5, 1.0, 4.0)));
        assert_eq!(median(&[7.0]), Some((7.0, 7.0, 7.0)));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_figure_is_found_by_its_key_or_absent() {
        let report =
            json!({ "broker_cpu_s_per_million": 0.98, "latency_us": { "p99": 300.0, "p99.9": 900.0 }, "x": null });
        let read = |key| cost(key, "", "").read(&report);
        assert_eq!(read("broker_cpu_s_per_million"), Some(0.98));
        assert_eq!(read("latency_us/p99.9"), Some(900.0));
        assert_eq!((read("latency_us/p50"), read("x"), read("y")), (None, None, None));
    }

    #[test]
    fn a_value_keeps_three_digits() {
        let texts = [0.0, 0.118, 1.0, 17.34, 487.2, 56_123.0, 11_600_000.0].map(Figure::text);
        assert_eq!(texts, ["0.00", "0.118", "1.00", "17.3", "487", "56.1k", "11.60M"]);
    }
}
