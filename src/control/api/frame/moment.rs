//! Moments as the APIs write them: UTC, with milliseconds and `Z`.

use std::time::SystemTime;

use time::UtcDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::problem::{Kind, Problem};

const FORM: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A moment given in milliseconds since 1970.
pub(in crate::control::api) fn moment(millis: u64) -> String {
    let nanos = i128::from(millis) * 1_000_000;
    let moment = UtcDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(UtcDateTime::UNIX_EPOCH);
    moment.format(FORM).unwrap_or_default()
}

/// A moment given in seconds since 1970, as certificates have them.
pub(in crate::control::api) fn moment_of(seconds: i64) -> String {
    let moment = UtcDateTime::from_unix_timestamp(seconds).unwrap_or(UtcDateTime::UNIX_EPOCH);
    moment.format(FORM).unwrap_or_default()
}

/// A moment of the system's clock.
pub(in crate::control::api) fn moment_at(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    moment(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Reads a moment as RFC 3339 has it, into milliseconds since 1970.
pub(in crate::control::api) fn read_moment(field: &str, text: &str) -> Result<u64, Problem> {
    let read = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok();
    let millis = read.and_then(|moment| u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok());
    millis.ok_or_else(|| {
        let message = format!("{field} is no moment; write it as 2026-11-21T06:53:06Z");
        Problem::in_field(Kind::Parameter, field, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_as_it_was_written() {
        let text = moment(1_795_244_786_042);
        assert_eq!(text, "2026-11-21T07:06:26.042Z");
        assert_eq!(read_moment("since", &text), Ok(1_795_244_786_042));
        assert_eq!(moment_of(1_795_244_786), "2026-11-21T07:06:26.000Z");
        assert!(read_moment("since", "yesterday").is_err() && read_moment("since", "1960-01-01T00:00:00Z").is_err());
    }
}
