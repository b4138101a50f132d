//! How many HTTP requests there were, and how long they took.
//!
//! What lives here: counts by method, route and status, and a histogram by
//! route. What does not: who asked. Invariant: the table is bounded: routes are
//! patterns, and what goes beyond the bound is counted together.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The upper ends of the histogram, milliseconds.
const ENDS: [u64; 9] = [5, 10, 25, 50, 100, 250, 1000, 5000, 30_000];
/// Series of each kind at most.
const MOST: usize = 2000;

#[derive(Debug, Default)]
struct Table {
    counts: BTreeMap<(String, String, u16), u64>,
    times: BTreeMap<String, Times>,
}

#[derive(Debug, Default)]
struct Times {
    /// Up to the end of the same place, and beyond the last one.
    buckets: [u64; ENDS.len() + 1],
    sum: Duration,
}

static TABLE: Mutex<Table> = Mutex::new(Table { counts: BTreeMap::new(), times: BTreeMap::new() });

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts one request.
pub fn count(method: &str, route: &str, status: u16, took: Duration) {
    // Methods are free texts of the client.
    let method = match method {
        "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => method,
        _ => "other",
    };
    table().count((method.to_owned(), route.to_owned(), status), took);
}

impl Table {
    fn count(&mut self, key: (String, String, u16), took: Duration) {
        let is_full = self.counts.len() >= MOST && !self.counts.contains_key(&key);
        let (method, route, status) = if is_full { ("other".into(), "(other)".into(), 0) } else { key };
        let times = self.times.entry(route.clone()).or_default();
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let place = ENDS.iter().position(|end| milliseconds <= *end).unwrap_or(ENDS.len());
        if let Some(bucket) = times.buckets.get_mut(place) {
            *bucket += 1;
        }
        times.sum += took;
        *self.counts.entry((method, route, status)).or_default() += 1;
    }

    fn write(&self, text: &mut String) {
        let _ = writeln!(text, "# HELP certus_http_requests_total Requests to the HTTPS listener that were answered");
        let _ = writeln!(text, "# TYPE certus_http_requests_total counter");
        for ((method, route, status), count) in &self.counts {
            let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
            let _ = writeln!(text, "certus_http_requests_total{{{labels}}} {count}");
        }
        let _ = writeln!(text, "# HELP certus_http_request_seconds How long requests took");
        let _ = writeln!(text, "# TYPE certus_http_request_seconds histogram");
        for (route, times) in &self.times {
            let mut sum = 0;
            for (bucket, end) in times.buckets.iter().zip(ENDS.iter().map(Some).chain([None])) {
                sum += bucket;
                let end = end.map_or_else(|| "+Inf".to_owned(), |end| (*end as f64 / 1000.0).to_string());
                let _ = writeln!(text, "certus_http_request_seconds_bucket{{route=\"{route}\",le=\"{end}\"}} {sum}");
            }
            let seconds = times.sum.as_secs_f64();
            let _ = writeln!(text, "certus_http_request_seconds_sum{{route=\"{route}\"}} {seconds}");
            let _ = writeln!(text, "certus_http_request_seconds_count{{route=\"{route}\"}} {sum}");
        }
    }
}

/// Appends all of it in the text form that Prometheus reads.
pub fn exposition(text: &mut String) {
    table().write(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_each_request_in_every_bucket_above_it() {
        let mut table = Table::default();
        let key = || ("GET".to_owned(), "/x".to_owned(), 200);
        for milliseconds in [1, 7, 60_000] {
            table.count(key(), Duration::from_millis(milliseconds));
        }
        let mut text = String::new();
        table.write(&mut text);
        for line in [
            r#"certus_http_requests_total{method="GET",route="/x",status="200"} 3"#,
            r#"certus_http_request_seconds_bucket{route="/x",le="0.005"} 1"#,
            r#"certus_http_request_seconds_bucket{route="/x",le="30"} 2"#,
            r#"certus_http_request_seconds_bucket{route="/x",le="+Inf"} 3"#,
            r#"certus_http_request_seconds_count{route="/x"} 3"#,
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let mut table = Table::default();
        for route in 0..MOST * 2 {
            table.count(("GET".into(), route.to_string(), 200), Duration::ZERO);
        }
        assert!(table.counts.len() <= MOST + 1 && table.times.len() <= MOST + 1);
    }
}
