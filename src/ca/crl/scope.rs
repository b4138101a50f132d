//! The extensions of a revocation list and of its entries.
//!
//! What lives here: which we understand, and what makes us refuse a list. What
//! does not: the rest of a list (`read`). Invariant: a critical extension that
//! we do not honour refuses the whole list (RFC 5280 sections 5.2 and 5.3): to
//! read half of it would be to guess.

use super::CrlError;
use crate::ca::der;

/// Object identifiers below 2.5.29.
const CRL_NUMBER: u8 = 20;
const REASON_CODE: u8 = 21;
const INVALIDITY_DATE: u8 = 24;
const DELTA_CRL_INDICATOR: u8 = 27;
const ISSUING_DISTRIBUTION_POINT: u8 = 28;
const CERTIFICATE_ISSUER: u8 = 29;
const AUTHORITY_KEY_IDENTIFIER: u8 = 35;

/// Flags of the issuing distribution point: `[n]` BOOLEAN.
const ONLY_USERS: u8 = der::CONTEXT_PRIMITIVE | 1;
const ONLY_CAS: u8 = der::CONTEXT_PRIMITIVE | 2;
const ONLY_REASONS: u8 = der::CONTEXT_PRIMITIVE | 3;
const INDIRECT: u8 = der::CONTEXT_PRIMITIVE | 4;
const ONLY_ATTRIBUTES: u8 = der::CONTEXT_PRIMITIVE | 5;

/// What the extensions of a list say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListExtensions {
    /// Without leading zeros.
    pub number: Option<Vec<u8>>,
    pub is_partial: bool,
}

/// What the extensions of an entry say.
pub(super) struct EntryExtensions {
    pub reason: Option<u8>,
}

/// One extension.
struct Extension<'a> {
    oid: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl Extension<'_> {
    /// The last part of an identifier below 2.5.29.
    fn id(&self) -> Option<u8> {
        match self.oid {
            [0x55, 29, id] => Some(*id),
            _ => None,
        }
    }

    /// Refuses what is critical and not known.
    fn pass(&self) -> Result<(), CrlError> {
        if self.critical { Err(CrlError::Critical { oid: text(self.oid) }) } else { Ok(()) }
    }
}

fn each(mut extensions: &[u8], mut take: impl FnMut(&Extension<'_>) -> Result<(), CrlError>) -> Result<(), CrlError> {
    while !extensions.is_empty() {
        take(&extension(&mut extensions).ok_or(CrlError::Der)?)?;
    }
    Ok(())
}

fn extension<'a>(rest: &mut &'a [u8]) -> Option<Extension<'a>> {
    let mut content = der::take_tagged(rest, der::SEQUENCE)?.content;
    let oid = der::take_tagged(&mut content, der::OID)?.content;
    let critical = der::take_tagged(&mut content, der::BOOLEAN).is_some_and(|found| found.content != [0]);
    Some(Extension { oid, critical, value: der::only(content, der::OCTET_STRING)? })
}

/// Reads the extensions of a list.
pub(super) fn of_list(extensions: &[u8]) -> Result<ListExtensions, CrlError> {
    let mut found = ListExtensions::default();
    each(extensions, |extension| {
        match extension.id() {
            Some(DELTA_CRL_INDICATOR) => return Err(CrlError::Delta),
            Some(ISSUING_DISTRIBUTION_POINT) => found.is_partial |= issuing_distribution_point(extension.value)?,
            Some(CRL_NUMBER) => {
                let digits = der::only(extension.value, der::INTEGER).ok_or(CrlError::Der)?;
                found.number = Some(digits.iter().copied().skip_while(|digit| *digit == 0).collect());
            }
            // Which key signed is found out by trying the one that we have.
            Some(AUTHORITY_KEY_IDENTIFIER) => {}
            _ => extension.pass()?,
        }
        Ok(())
    })?;
    Ok(found)
}

/// Whether it narrows what the list speaks for.
fn issuing_distribution_point(value: &[u8]) -> Result<bool, CrlError> {
    let mut rest = der::only(value, der::SEQUENCE).ok_or(CrlError::Der)?;
    let mut is_partial = false;
    while !rest.is_empty() {
        let part = der::take(&mut rest).ok_or(CrlError::Der)?;
        match part.tag {
            INDIRECT if part.content != [0] => return Err(CrlError::Indirect),
            ONLY_ATTRIBUTES if part.content != [0] => return Err(CrlError::Attributes),
            ONLY_USERS | ONLY_CAS if part.content == [0] => {}
            INDIRECT | ONLY_ATTRIBUTES => {}
            // A place of its own: the CA may have several lists.
            der::CONTEXT | ONLY_USERS | ONLY_CAS | ONLY_REASONS => is_partial = true,
            _ => return Err(CrlError::Der),
        }
    }
    Ok(is_partial)
}

/// Reads the extensions of an entry.
pub(super) fn of_entry(extensions: &[u8]) -> Result<EntryExtensions, CrlError> {
    let mut found = EntryExtensions { reason: None };
    each(extensions, |extension| {
        match extension.id() {
            Some(CERTIFICATE_ISSUER) => return Err(CrlError::Indirect),
            Some(REASON_CODE) => match der::only(extension.value, der::ENUMERATED) {
                Some([code]) => found.reason = Some(*code),
                _ => return Err(CrlError::Der),
            },
            // Since when its key is not to be trusted: it is revoked either way.
            Some(INVALIDITY_DATE) => {}
            _ => extension.pass()?,
        }
        Ok(())
    })?;
    Ok(found)
}

/// An object identifier with dots.
fn text(oid: &[u8]) -> String {
    let mut text = String::new();
    let mut number = 0_u64;
    for byte in oid {
        number = number << 7 | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            match text.is_empty() {
                true => text = format!("{}.{}", (number / 40).min(2), number - 40 * (number / 40).min(2)),
                false => text.push_str(&format!(".{number}")),
            }
            number = 0;
        }
    }
    text
}
