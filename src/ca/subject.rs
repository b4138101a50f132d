//! The names that certificates are made for.
//!
//! What lives here: a distinguished name in DER, made from parts or taken over
//! from a request. What does not: the text form (`identity::name`). Invariant:
//! a name that was taken over is the same, byte for byte: its string types, the
//! order of its parts and its e-mail address are those that were asked for
//! (CEN-CA-02).

use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use super::der;
use crate::identity::name;

/// The longest CN and O, characters (RFC 5280 appendix A.1, ub-common-name).
pub const MAX_TEXT: usize = 64;

/// The longest name that is taken over, bytes: it travels in each handshake.
pub const MAX_SUBJECT: usize = 4 * 1024;

/// A distinguished name that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(Vec<u8>);

/// Why a name cannot stand in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct SubjectError {
    /// Which part: `CN`, `O`, `C` or `subject`.
    pub field: &'static str,
    /// What is wrong, and what would do.
    pub reason: &'static str,
}

/// 2.5.4.6, 2.5.4.10 and 2.5.4.3.
const COUNTRY: &[u8] = &[0x55, 4, 6];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];

impl Subject {
    /// `CN=common_name`.
    ///
    /// # Errors
    /// It is empty, too long, or holds a control character.
    pub fn common_name(common_name: &str) -> Result<Self, SubjectError> {
        Ok(Self(der::sequence(&[&attribute(COMMON_NAME, text("CN", common_name)?)])))
    }

    /// `O=organization, CN=common_name`.
    ///
    /// # Errors
    /// As for [`Subject::common_name`].
    pub fn organization(organization: &str, common_name: &str) -> Result<Self, SubjectError> {
        let organization = attribute(ORGANIZATION, text("O", organization)?);
        Ok(Self(der::sequence(&[&organization, &attribute(COMMON_NAME, text("CN", common_name)?)])))
    }

    /// `C=country, O=organization, CN=common_name`: the form of the Centiloc
    /// root (spec, fact 6).
    ///
    /// # Errors
    /// The country is not two capital letters; else as for
    /// [`Subject::common_name`].
    pub fn country(country: &str, organization: &str, common_name: &str) -> Result<Self, SubjectError> {
        if country.len() != 2 || !country.bytes().all(|letter| letter.is_ascii_uppercase()) {
            return Err(SubjectError { field: "C", reason: "a country has two capital letters, such as FR" });
        }
        let country = attribute(COUNTRY, der::element(der::PRINTABLE_STRING, country.as_bytes()));
        let organization = attribute(ORGANIZATION, text("O", organization)?);
        let common_name = attribute(COMMON_NAME, text("CN", common_name)?);
        Ok(Self(der::sequence(&[&country, &organization, &common_name])))
    }

    /// The name `der` as it is.
    ///
    /// # Errors
    /// It is no distinguished name, is empty or too long.
    pub fn taken_over(der: &[u8]) -> Result<Self, SubjectError> {
        let error = |reason| Err(SubjectError { field: "subject", reason });
        if der.len() > MAX_SUBJECT {
            return error("it is longer than 4,096 bytes; ask for a shorter name");
        }
        match X509Name::from_der(der) {
            Ok(([], name)) if name.iter().next().is_none() => error("it is empty; ask for one with a CN"),
            // A part without attributes is no part; others stumble over it.
            Ok(([], name)) if name.iter().all(|part| part.iter().next().is_some()) => Ok(Self(der.to_vec())),
            _ => error("it is no distinguished name in DER"),
        }
    }

    /// The name in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// The name for people: `CN=press-12, O=Borealis`.
    #[must_use]
    pub fn to_text(&self) -> String {
        X509Name::from_der(&self.0).map(|(_, name)| name::to_text(&name)).unwrap_or_default()
    }
}

fn attribute(oid: &[u8], value: Vec<u8>) -> Vec<u8> {
    let attribute = der::sequence(&[&der::element(der::OID, oid), &value]);
    der::element(der::SET, &attribute)
}

fn text(field: &'static str, text: &str) -> Result<Vec<u8>, SubjectError> {
    let error = |reason| Err(SubjectError { field, reason });
    match text.chars().count() {
        0 => return error("it is empty; give it a name"),
        1..=MAX_TEXT => {}
        _ => return error("it has more than 64 characters, which no certificate may hold; shorten it"),
    }
    if text.chars().any(char::is_control) {
        return error("it holds a control character; use letters, digits and signs");
    }
    Ok(der::element(der::UTF8_STRING, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_in_the_order_of_their_parts() {
        assert_eq!(Subject::common_name("acme7_press-12").unwrap().to_text(), "CN=acme7_press-12");
        let root = Subject::country("FR", "Centiloc", "Root CA Issuer").unwrap();
        assert_eq!(root.to_text(), "CN=Root CA Issuer, O=Centiloc, C=FR");
        assert_eq!(Subject::taken_over(root.der()), Ok(root));
        assert_eq!(Subject::organization("Ä", "ü").unwrap().to_text(), "CN=ü, O=Ä");
    }

    #[test]
    fn what_no_certificate_may_hold_is_named() {
        let field = |result: Result<Subject, SubjectError>| result.unwrap_err().field;
        assert_eq!(field(Subject::common_name("")), "CN");
        assert_eq!(field(Subject::common_name(&"x".repeat(65))), "CN");
        assert!(Subject::common_name(&"ü".repeat(64)).is_ok());
        assert_eq!(field(Subject::common_name("a\0b")), "CN");
        assert_eq!(field(Subject::organization("\n", "x")), "O");
        assert_eq!(field(Subject::country("fr", "o", "x")), "C");
        for der in [&[][..], &[0x30, 0], &[0x30, 2, 0x31, 0], b"hello", &[0x30, 1, 0, 0]] {
            assert_eq!(field(Subject::taken_over(der)), "subject", "{der:?}");
        }
    }
}
