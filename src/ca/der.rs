//! DER, as far as what we issue needs it.
//!
//! What lives here: writing elements, and reading them one after the other.
//! What does not: what they mean (`profile`, `crl`). Invariant: lengths are the
//! shortest possible, and reading takes nothing that is longer than its input.
//! It is written by hand because the names of the people whom we sign for have
//! to stay as they are, byte for byte; `rcgen` makes them anew, and loses parts
//! that occur twice or together.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const ENUMERATED: u8 = 0x0A;
pub(super) const UTF8_STRING: u8 = 0x0C;
pub(super) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[n]`, constructed, for n up to 30.
pub(super) const CONTEXT: u8 = 0xA0;
/// `[n]`, primitive, for n up to 30.
pub(super) const CONTEXT_PRIMITIVE: u8 = 0x80;

/// One element.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    put(&mut out, tag, content);
    out
}

/// Appends one element.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    put_head(out, tag, content.len());
    out.extend_from_slice(content);
}

fn put_head(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    let bytes = length.to_be_bytes();
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let digits = bytes.iter().skip_while(|digit| **digit == 0);
            out.push(0x80 | u8::try_from(digits.clone().count()).unwrap_or_default());
            out.extend(digits);
        }
    }
}

/// An element made of others.
pub(super) fn constructed(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    put_head(&mut out, tag, length);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// SEQUENCE of `parts`.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    constructed(SEQUENCE, parts)
}

/// BIT STRING of whole bytes.
pub(super) fn bit_string(content: &[u8]) -> Vec<u8> {
    constructed(BIT_STRING, &[&[0], content])
}

/// INTEGER that is not negative, from its digits, most significant first.
pub(super) fn unsigned(digits: &[u8]) -> Vec<u8> {
    let start = digits.iter().position(|digit| *digit != 0).unwrap_or(digits.len());
    let digits = digits.get(start..).unwrap_or_default();
    let sign: &[u8] = if digits.first().is_none_or(|first| *first >= 0x80) { &[0] } else { &[] };
    constructed(INTEGER, &[sign, digits])
}

/// A time of seconds since 1970, in the form that RFC 5280 section 4.1.2.5
/// wants: two digits for the year up to 2049, four from then on. `None` before
/// the year 1950 and after 9999.
pub(super) fn time(seconds: i64) -> Option<Vec<u8>> {
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let clock = format!("{month:02}{day:02}{:02}{:02}{:02}Z", at.hour(), at.minute(), at.second());
    match year {
        1950..=2049 => Some(element(UTC_TIME, format!("{:02}{clock}", year % 100).as_bytes())),
        2050..=9999 => Some(element(GENERALIZED_TIME, format!("{year:04}{clock}").as_bytes())),
        _ => None,
    }
}

/// The time that `time` writes, and GeneralizedTime for every year; seconds
/// since 1970. Two digits of a year stand for 1950 to 2049.
pub(super) fn read_time(element: Element<'_>) -> Option<i64> {
    let (year, rest) = match (element.tag, element.content) {
        (UTC_TIME, content) if content.len() == 13 => {
            let year = number(content.get(..2)?)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, content.get(2..)?)
        }
        (GENERALIZED_TIME, content) if content.len() == 15 => (number(content.get(..4)?)?, content.get(4..)?),
        _ => return None,
    };
    let mut parts = rest.chunks(2);
    let mut next = || parts.next().and_then(number).and_then(|part| u8::try_from(part).ok());
    let (month, day) = (Month::try_from(next()?).ok()?, next()?);
    let clock = Time::from_hms(next()?, next()?, next()?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, day).ok()?;
    (rest.last() == Some(&b'Z')).then(|| PrimitiveDateTime::new(date, clock).assume_utc().unix_timestamp())
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0')))
}

/// One element of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub tag: u8,
    pub content: &'a [u8],
    /// With tag and length.
    pub whole: &'a [u8],
}

/// Takes the first element of `input`; `None` if there is no whole one.
pub(super) fn take<'a>(input: &mut &'a [u8]) -> Option<Element<'a>> {
    let (&[tag, first], rest) = input.split_first_chunk::<2>()?;
    if tag & 0x1F == 0x1F {
        return None; // no tag of ours has two bytes
    }
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            let length = digits.iter().fold(0_usize, |length, digit| length << 8 | usize::from(*digit));
            let is_shortest = length >= 0x80 && digits.first() != Some(&0);
            (is_shortest.then_some(length)?, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    let whole = input.get(..input.len() - rest.len())?;
    *input = rest;
    Some(Element { tag, content, whole })
}

/// Takes the first element if it is of this kind.
pub(super) fn take_tagged<'a>(input: &mut &'a [u8], tag: u8) -> Option<Element<'a>> {
    let mut rest = *input;
    let found = take(&mut rest).filter(|element| element.tag == tag)?;
    *input = rest;
    Some(found)
}

/// The content of `input`, which is one element of this kind and nothing more.
pub(super) fn only(mut input: &[u8], tag: u8) -> Option<&[u8]> {
    let found = take_tagged(&mut input, tag)?;
    input.is_empty().then_some(found.content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_the_shortest_possible() {
        for (length, head) in [
            (0_usize, vec![4, 0]),
            (127, vec![4, 127]),
            (128, vec![4, 0x81, 128]),
            (256, vec![4, 0x82, 1, 0]),
            (70_000, vec![4, 0x83, 1, 0x11, 0x70]),
        ] {
            let written = element(OCTET_STRING, &vec![7; length]);
            assert_eq!(written[..head.len()], head);
            assert_eq!(only(&written, OCTET_STRING).map(<[u8]>::len), Some(length));
        }
    }

    #[test]
    fn integers_have_a_sign_and_no_empty_digits() {
        for (digits, written) in [
            (&[0_u8][..], &[2_u8, 1, 0][..]),
            (&[], &[2, 1, 0]),
            (&[0, 0, 5], &[2, 1, 5]),
            (&[0x80], &[2, 2, 0, 0x80]),
            (&[1, 0], &[2, 2, 1, 0]),
        ] {
            assert_eq!(unsigned(digits), written);
        }
    }

    /// RFC 5280 section 4.1.2.5
    #[test]
    fn years_from_2050_on_have_four_digits() {
        assert_eq!(time(2_524_607_999).unwrap(), element(UTC_TIME, b"491231235959Z"));
        assert_eq!(time(2_524_608_000).unwrap(), element(GENERALIZED_TIME, b"20500101000000Z"));
        assert_eq!(time(0).unwrap(), element(UTC_TIME, b"700101000000Z"));
        assert_eq!(time(-1_000_000_000), None);
        assert_eq!(time(i64::MAX), None);
    }

    #[test]
    fn a_time_that_was_written_is_read_again() {
        for seconds in [-631_152_000, 0, 1_795_000_000, 2_524_607_999, 2_524_608_000, 253_402_300_799] {
            let written = time(seconds).unwrap();
            assert_eq!(read_time(take(&mut written.as_slice()).unwrap()), Some(seconds));
        }
        for content in
            ["261121120000", "2611211200Z0Z", "261321120000Z", "260230120000Z", "2611211200001", "+61121120000Z"]
        {
            assert_eq!(
                read_time(Element { tag: UTC_TIME, content: content.as_bytes(), whole: &[] }),
                None,
                "{content}"
            );
        }
    }

    #[test]
    fn what_is_cut_off_or_longer_than_it_need_be_is_not_read() {
        for input in
            [&[][..], &[4], &[4, 2, 1], &[4, 0x81, 5, 1, 2, 3, 4, 5], &[4, 0x82, 0, 200], &[4, 0x80], &[0x1F, 1, 0]]
        {
            assert_eq!(take(&mut &*input), None, "{input:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            let mut rest = bytes.as_slice();
            while let Some(found) = take(&mut rest) {
                proptest::prop_assert!(found.whole.len() > found.content.len());
            }
        }
    }
}
