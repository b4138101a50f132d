//! Durations and sizes as people write them: `"10 s"`, `"64 KiB"`.
//!
//! What lives here: reading and writing both. What does not: which key has
//! which bounds. Invariant: what is written reads back as the same value.

use std::time::Duration;

/// Units of time with their length in milliseconds, longest first.
const TIMES: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size with their length in bytes, longest first.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a whole number and a unit of time: `"500 ms"`, `"10 s"`, `"7 d"`.
pub fn duration(text: &str) -> Option<Duration> {
    if text.trim() == "0" {
        return Some(Duration::ZERO);
    }
    number_with_unit(text, &TIMES).map(Duration::from_millis)
}

/// Reads a whole number and a unit of size: `"64 KiB"`, `"512 B"`.
pub fn size(text: &str) -> Option<u64> {
    text.trim().parse().ok().or_else(|| number_with_unit(text, &SIZES))
}

/// Writes a duration with the longest unit that divides it. Parts of a
/// millisecond are dropped.
pub fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &TIMES)
}

/// Writes a size with the longest unit that divides it.
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES)
}

fn number_with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, length) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*length)
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, length): &&(&str, u64)| value >= *length && value.is_multiple_of(*length);
    match units.iter().find(fits) {
        Some((name, length)) => format!("{} {name}", value / length),
        None => String::from("0"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_without_a_unit_is_no_duration_but_a_size() {
        assert_eq!(duration("10"), None);
        assert_eq!(duration("10 s"), Some(Duration::from_secs(10)));
        assert_eq!(duration(" 7d "), Some(Duration::from_secs(604_800)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        assert_eq!(size("16184"), Some(16184));
        assert_eq!(size("64 KiB"), Some(65536));
        for bad in ["", "s", "1.5 s", "-1 s", "10 seconds", "99999999999999 w", "10 KB"] {
            assert_eq!((duration(bad), size(bad)), (None, None), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(value: u64) {
            prop_assert_eq!(size(&show_size(value)), Some(value));
            let time = Duration::from_millis(value);
            prop_assert_eq!(duration(&show_duration(time)), Some(time));
        }
    }
}
