//! How each kind of value is read, with the complaint that it earns.
//!
//! What lives here: numbers, words, durations, sizes, lists, addresses. What
//! does not: keys and their bounds. Invariant: every complaint shows a value
//! that would be taken.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::identity::switch::UnknownValue;
use crate::telemetry::memory::Amount;

use super::document::Given;
use super::error::Complaint;
use super::units;

pub(super) fn text(given: Given<'_>) -> Result<String, Complaint> {
    let wanted = || Complaint::new(format!("{} is not a text", given.shown()), "write it in quotes");
    given.text().map(str::to_owned).ok_or_else(wanted)
}

pub(super) fn path(given: Given<'_>) -> Result<PathBuf, Complaint> {
    let name = text(given)?;
    if name.is_empty() {
        return Err(Complaint::new("the name is empty", "name a file or directory"));
    }
    Ok(PathBuf::from(name))
}

pub(super) fn truth(given: Given<'_>) -> Result<bool, Complaint> {
    let wanted = || {
        Complaint::new(format!("{} is neither true nor false", given.shown()), "write true or false, without quotes")
    };
    given.truth().ok_or_else(wanted)
}

/// A whole number inside `range`.
pub(super) fn whole<T>(range: RangeInclusive<T>) -> impl FnOnce(Given<'_>) -> Result<T, Complaint>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    move |given| {
        let bounds = format!("write a whole number from {} to {}", range.start(), range.end());
        let Some(number) = given.whole() else {
            return Err(Complaint::new(format!("{} is not a whole number", given.shown()), bounds));
        };
        let number = T::try_from(number).ok().filter(|number| range.contains(number));
        number.ok_or_else(|| Complaint::new(format!("{} is out of range", given.shown()), bounds))
    }
}

/// A size inside `range`, in bytes: `"64 KiB"` or `65536`.
pub(super) fn size<T>(range: RangeInclusive<T>) -> impl FnOnce(Given<'_>) -> Result<T, Complaint>
where
    T: TryFrom<u64> + PartialOrd + Copy,
    u64: TryFrom<T>,
{
    move |given| {
        let shown = |value: T| u64::try_from(value).map(units::show_size).unwrap_or_default();
        let bounds = format!(
            "write a size from \"{}\" to \"{}\", such as \"64 KiB\"",
            shown(*range.start()),
            shown(*range.end())
        );
        let Some(bytes) = given.whole().or_else(|| given.text().and_then(units::size)) else {
            return Err(Complaint::new(format!("{} is not a size", given.shown()), bounds));
        };
        let bytes = T::try_from(bytes).ok().filter(|bytes| range.contains(bytes));
        bytes.ok_or_else(|| Complaint::new(format!("{} is out of range", given.shown()), bounds))
    }
}

/// An amount of memory inside `range`: `"25 %"` of what there is, or a size.
pub(super) fn amount(range: RangeInclusive<u64>) -> impl FnOnce(Given<'_>) -> Result<Amount, Complaint> {
    move |given| {
        let share = given.text().and_then(|text| text.trim().strip_suffix('%'));
        let Some(share) = share else {
            return size(range)(given).map(Amount::Bytes).map_err(|Complaint { reason, remedy }| {
                Complaint::new(reason, format!("{remedy}, or a share of the memory there is, such as \"25 %\""))
            });
        };
        let percent = share.trim().parse().ok().filter(|percent| (1..=100).contains(percent));
        percent.map(Amount::Percent).ok_or_else(|| {
            Complaint::new(format!("{} is no share", given.shown()), "write a share from \"1 %\" to \"100 %\"")
        })
    }
}

/// A duration inside `range`: `"10 s"`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl FnOnce(Given<'_>) -> Result<Duration, Complaint> {
    move |given| {
        let bounds = format!(
            "write a duration from \"{}\" to \"{}\", such as \"10 s\", \"5 min\" or \"7 d\"",
            units::show_duration(*range.start()),
            units::show_duration(*range.end())
        );
        let Some(duration) = given.text().and_then(units::duration) else {
            return Err(Complaint::new(format!("{} is not a duration", given.shown()), bounds));
        };
        if range.contains(&duration) {
            return Ok(duration);
        }
        Err(Complaint::new(format!("{} is out of range", given.shown()), bounds))
    }
}

/// One of the words of a switch.
pub(super) fn word<T: std::str::FromStr<Err = UnknownValue>>(given: Given<'_>) -> Result<T, Complaint> {
    let text = given.text().unwrap_or_default();
    text.parse().map_err(|unknown: UnknownValue| {
        Complaint::new(format!("{} is no value of this key", given.shown()), one_of(unknown.allowed.iter().copied()))
    })
}

/// The remedy that lists all words.
pub(super) fn one_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((only, [])) => format!("write {only}"),
        Some((last, others)) => format!("write {} or {last}", others.join(", ")),
        None => String::from("leave it out"),
    }
}

/// A list of texts.
pub(super) fn texts(given: Given<'_>) -> Result<Vec<String>, Complaint> {
    let wanted = || Complaint::new(format!("{} is not a list of texts", given.shown()), "write [\"one\", \"two\"]");
    given.items().ok_or_else(wanted)?.into_iter().map(text).collect::<Result<_, _>>().map_err(|_| wanted())
}

/// An address with its port: `127.0.0.1:1883`, `[::1]:8883`.
pub(super) fn address(given: Given<'_>) -> Result<SocketAddr, Complaint> {
    given.text().and_then(|text| text.trim().parse().ok()).ok_or_else(|| {
        Complaint::new(
            format!("{} is not an address with a port", given.shown()),
            "write an IP address, a colon and a port, such as 0.0.0.0:8883 or [::]:8883; port 0 takes a free one",
        )
    })
}
