//! A histogram of durations with a relative error below 1 %.
//!
//! What lives here: counting and percentiles. What does not: clocks. Invariant: recording costs
//! one relaxed addition and never allocates.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Steps between two powers of two.
const STEPS: u32 = 128;
/// Powers of two above the linear part: the last bucket ends at 2^44 ns, almost five hours.
const POWERS: u32 = 37;

/// Counts of nanoseconds in log-linear buckets.
pub struct Histogram {
    buckets: Vec<AtomicU64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: (0..STEPS * (POWERS + 1)).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let at = index(nanos).min(self.buckets.len().saturating_sub(1));
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// Moves all counts out.
    pub fn take(&self) -> Self {
        Self { buckets: self.buckets.iter().map(|bucket| AtomicU64::new(bucket.swap(0, Relaxed))).collect() }
    }

    /// Adds all counts of `other`.
    pub fn add(&self, other: &Self) {
        for (own, other) in self.buckets.iter().zip(&other.buckets) {
            own.fetch_add(other.load(Relaxed), Relaxed);
        }
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    /// The duration below which `share` (0 to 1) of all lie; `None` when nothing was counted.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let total = self.count();
        let rank = (total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.buckets.iter().position(|bucket| {
            seen += bucket.load(Relaxed);
            seen >= rank
        });
        found.filter(|_| total > 0).map(|at| Duration::from_nanos(middle(at)))
    }
}

fn index(nanos: u64) -> usize {
    let steps = u64::from(STEPS);
    let power = (nanos / steps).checked_ilog2().map_or(0, |power| power + 1);
    let within = if power == 0 { nanos } else { (nanos >> (power - 1)) - steps };
    usize::try_from(u64::from(power) * steps + within).unwrap_or(usize::MAX)
}

fn middle(at: usize) -> u64 {
    let (steps, at) = (u64::from(STEPS), at as u64);
    let (power, within) = (at / steps, at % steps);
    if power == 0 { within } else { ((steps + within) << (power - 1)) + (1 << (power - 1)) / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_lies_within_one_percent_of_the_truth() {
        let histogram = Histogram::default();
        (1..=10_000).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        for (share, truth) in [(0.5, 5_000.0), (0.99, 9_900.0), (0.999, 9_990.0), (1.0, 10_000.0)] {
            let found = histogram.percentile(share).unwrap().as_secs_f64() * 1e6;
            assert!((found / truth - 1.0).abs() < 0.01, "{share}: {found} for {truth}");
        }
    }

    #[test]
    fn what_is_taken_out_is_gone_until_it_is_added_again() {
        let histogram = Histogram::default();
        (0..7).for_each(|_| histogram.record(Duration::from_micros(3)));
        let taken = histogram.take();
        assert_eq!((histogram.count(), taken.count()), (0, 7));
        histogram.record(Duration::from_micros(9));
        histogram.add(&taken);
        assert_eq!((histogram.count(), histogram.percentile(0.5)), (8, taken.percentile(0.5)));
    }

    #[test]
    fn every_duration_falls_into_a_bucket_near_it() {
        for power in 0..43 {
            let nanos = (1_u64 << power) + 1;
            let near = middle(index(nanos)) as f64 / nanos as f64;
            assert!((0.99..1.01).contains(&near), "{nanos}: {near}");
        }
        assert_eq!(Histogram::default().percentile(0.5), None);
    }
}
