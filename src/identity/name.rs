//! Distinguished names.
//!
//! What lives here: the text form of a name (TRUST-14), its CN (AUTH-02) and
//! the form in which names are compared. What does not: the rest of a
//! certificate (`certificate`). Invariant: the text form holds no control
//! character, whatever a certificate holds.

use std::fmt::Write as _;

use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// What a subject says about its CN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommonName {
    /// Exactly one, not empty.
    One(String),
    /// None, or an empty one.
    Missing,
    /// More than one: nobody could say which is meant.
    Several,
    /// Not readable as text.
    Unreadable,
}

const COMMON_NAME: &str = "2.5.4.3";

/// Short names of RFC 4514 and of OpenSSL, by object identifier.
const SHORT_NAMES: &[(&str, &str)] = &[
    (COMMON_NAME, "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The CN of a subject.
#[must_use]
pub fn common_name(name: &X509Name<'_>) -> CommonName {
    let mut found = CommonName::Missing;
    for attribute in name.iter_attributes() {
        if attribute.attr_type().to_id_string() != COMMON_NAME {
            continue;
        }
        if found != CommonName::Missing {
            return CommonName::Several;
        }
        found = match text(attribute.attr_value()) {
            Some(text) if text.is_empty() => CommonName::Missing,
            Some(text) => CommonName::One(text),
            None => CommonName::Unreadable,
        };
    }
    found
}

/// Every attribute of a name in the order in which they stand in it: its short
/// name or object identifier, and its text if it is readable as one.
#[must_use]
pub fn attributes(name: &X509Name<'_>) -> Vec<(String, Option<String>)> {
    name.iter_attributes().map(|attribute| (short_name(attribute), text(attribute.attr_value()))).collect()
}

fn short_name(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let known = SHORT_NAMES.iter().find(|(known, _)| *known == oid);
    known.map_or(oid, |(_, short)| (*short).to_owned())
}

/// RFC 2253 order, separated by comma and blank: `CN=Plant 7 Root, O=Borealis`.
#[must_use]
pub fn to_text(name: &X509Name<'_>) -> String {
    let mut rdns: Vec<String> =
        name.iter_rdn().map(|rdn| rdn.iter().map(attribute_text).collect::<Vec<_>>().join("+")).collect();
    rdns.reverse();
    rdns.join(", ")
}

fn attribute_text(attribute: &AttributeTypeAndValue<'_>) -> String {
    let key = short_name(attribute);
    let value = text(attribute.attr_value()).unwrap_or_else(|| hex(attribute.attr_value().data));
    format!("{key}={}", escape(&value))
}

/// Escapes what RFC 4514 escapes, and what would break a log line.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => {
                escaped.push('\\');
                escaped.push(character);
            }
            _ if character.is_control() => escaped.extend(character.escape_default()),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("#"), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A name in the form in which names are compared (RFC 5280 section 7.1):
/// strings of any kind are equal when their text is, apart from case and
/// blanks; other values when their bytes are.
#[must_use]
pub fn canonical(name: &X509Name<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.as_raw().len());
    for rdn in name.iter_rdn() {
        let mut attributes: Vec<Vec<u8>> = rdn.iter().map(canonical_attribute).collect();
        attributes.sort_unstable();
        append(&mut out, &attributes.concat());
    }
    out
}

fn canonical_attribute(attribute: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, attribute.attr_type().as_bytes());
    match text(attribute.attr_value()) {
        Some(text) => {
            let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
            append(&mut out, words.join(" ").as_bytes());
        }
        None => append(&mut out, attribute.attr_value().data),
    }
    out
}

/// Length first, so that different parts never make the same whole.
fn append(out: &mut Vec<u8>, part: &[u8]) {
    out.extend_from_slice(&(part.len() as u64).to_be_bytes());
    out.extend_from_slice(part);
}

/// An ASN.1 string of any type as text; `None` if it is no string or not
/// well formed.
pub(super) fn text(value: &Any<'_>) -> Option<String> {
    let bytes = value.data;
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        // Latin-1 is what everybody writes into a TeletexString.
        Tag::T61String | Tag::GeneralString => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let (pairs, rest) = bytes.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
        }
        Tag::UniversalString => {
            let (quads, rest) = bytes.as_chunks::<4>();
            let text: Option<String> = quads.iter().map(|quad| char::from_u32(u32::from_be_bytes(*quad))).collect();
            text.filter(|_| rest.is_empty())
        }
        _ => None,
    }
}
