//! Certificates, requests and revocation lists as text.
//!
//! What lives here: a PEM reader more tolerant than OpenSSL's (TRUST-13), and
//! the writer. What does not: what is in a certificate (`certificate`). Invariant: what is
//! accepted is complete base64 between two markers, bare base64, or DER;
//! nothing is guessed.

use std::borrow::Cow;
use std::fmt;

use base64ct::{Base64, Encoding};
use rustls_pki_types::CertificateDer;
use zeroize::Zeroize;

/// What a text should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A certificate.
    Certificate,
    /// A certificate signing request (PKCS#10).
    Request,
    /// A certificate revocation list.
    RevocationList,
}

impl Wanted {
    /// The labels of its markers, without blanks; the usual one first.
    const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Certificate => &["CERTIFICATE", "X509CERTIFICATE"],
            Self::Request => &["CERTIFICATEREQUEST", "NEWCERTIFICATEREQUEST"],
            Self::RevocationList => &["X509CRL", "CRL"],
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Certificate => "CERTIFICATE",
            Self::Request => "CERTIFICATE REQUEST",
            Self::RevocationList => "X509 CRL",
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Request => "certificate request",
            Self::RevocationList => "revocation list",
        })
    }
}

/// Why a text does not hold what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Neither PEM, base64 nor DER.
    #[error("it holds no {0}; expected PEM (-----BEGIN {label}-----), bare base64 or DER", label = .0.label())]
    Nothing(Wanted),
    /// A begin marker without its end.
    #[error("{wanted} {number} is cut off: its -----END {label}----- is missing", label = wanted.label())]
    CutOff {
        /// What it is.
        wanted: Wanted,
        /// Counts from 1.
        number: usize,
    },
    /// What stands between the markers is not base64.
    #[error("{wanted} {number} is not valid base64; copy it again, whole")]
    Base64 {
        /// What it is.
        wanted: Wanted,
        /// Counts from 1.
        number: usize,
    },
    /// Nothing stands between the markers.
    #[error("{wanted} {number} is empty: nothing stands between its markers; copy it again, whole")]
    Empty {
        /// What it is.
        wanted: Wanted,
        /// Counts from 1.
        number: usize,
    },
    /// A private key where something public belongs.
    #[error("it holds a private key and no {0}; give the {0}'s file")]
    PrivateKey(Wanted),
}

/// Certificates as PEM, one behind the other.
#[must_use]
pub fn text<'c>(certificates: impl IntoIterator<Item = &'c CertificateDer<'c>>) -> String {
    certificates.into_iter().map(|certificate| armoured("CERTIFICATE", certificate)).collect()
}

/// Bytes that make a line of 64 characters.
const LINE: usize = 48;

/// `der` between the markers of `label`; ends in a line break. The text is made
/// in one piece of memory, so that a private key leaves no copy behind when the
/// text is wiped.
#[must_use]
pub fn armoured(label: &str, der: &[u8]) -> String {
    let body = der.len().div_ceil(LINE) * 65;
    let mut text = String::with_capacity(body + 2 * (label.len() + 17));
    text.extend(["-----BEGIN ", label, "-----\n"]);
    put_lines(&mut text, der);
    text.extend(["-----END ", label, "-----\n"]);
    text
}

/// Base64 in lines of 64 characters.
#[must_use]
pub fn base64_lines(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(LINE) * 65);
    put_lines(&mut text, bytes);
    text
}

fn put_lines(text: &mut String, bytes: &[u8]) {
    let mut line = [0_u8; LINE / 3 * 4];
    for part in bytes.chunks(LINE) {
        // It cannot fail: a line has room for 48 bytes.
        text.push_str(Base64::encode(part, &mut line).unwrap_or_default());
        text.push('\n');
    }
    line.zeroize();
}

/// Reads every certificate in `bytes`, in their order. Taken are LF, CRLF or
/// no line breaks, literal `\n`, leading blanks, text around the markers,
/// other PEM objects between them, bare base64, and DER.
///
/// # Errors
/// Says what is missing.
pub fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    Ok(objects(bytes, Wanted::Certificate)?.into_iter().map(CertificateDer::from).collect())
}

/// Reads everything of the kind `wanted` in `bytes`, as [`certificates`] does.
/// DER is taken whole, whatever follows in it.
///
/// # Errors
/// Says what is missing.
pub fn objects(bytes: &[u8], wanted: Wanted) -> Result<Vec<Vec<u8>>, PemError> {
    // A SEQUENCE with a length of several bytes: no text begins like that.
    if let [0x30, 0x81..=0x84, ..] = bytes {
        return Ok(vec![bytes.to_vec()]);
    }
    let text = String::from_utf8_lossy(bytes);
    // A revocation list has megabytes: it is not copied without need.
    let text = if text.contains('\\') { Cow::Owned(text.replace("\\r", "").replace("\\n", "\n")) } else { text };
    if !text.contains("-----BEGIN") {
        let body = squeeze(&text);
        let bare = !body.is_empty() && body.starts_with("MI");
        return if bare { decode(&body, wanted, 1).map(|der| vec![der]) } else { Err(PemError::Nothing(wanted)) };
    }
    let mut found = Vec::new();
    let mut has_key = false;
    for section in text.split("-----BEGIN").skip(1) {
        let number = found.len() + 1;
        let Some((label, rest)) = section.split_once("-----") else { continue };
        let label = squeeze(label);
        has_key |= label.ends_with("PRIVATEKEY");
        if !wanted.labels().contains(&label.as_str()) {
            continue;
        }
        let (body, _) = rest.split_once("-----END").ok_or(PemError::CutOff { wanted, number })?;
        found.push(decode(&squeeze(body), wanted, number)?);
    }
    match found.is_empty() {
        true if has_key => Err(PemError::PrivateKey(wanted)),
        true => Err(PemError::Nothing(wanted)),
        false => Ok(found),
    }
}

fn squeeze(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

fn decode(body: &str, wanted: Wanted, number: usize) -> Result<Vec<u8>, PemError> {
    let der = Base64::decode_vec(body).map_err(|_| PemError::Base64 { wanted, number })?;
    if der.is_empty() { Err(PemError::Empty { wanted, number }) } else { Ok(der) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "MIIBAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJicoKSorLC0uLzAxMjM0";

    fn pem() -> String {
        let (first, second) = BODY.split_at(64);
        format!("-----BEGIN CERTIFICATE-----\n{first}\n{second}\n-----END CERTIFICATE-----\n")
    }

    /// TRUST-13
    #[test]
    fn every_way_in_which_people_store_a_certificate_is_read() {
        let plain = certificates(pem().as_bytes()).unwrap();
        assert_eq!(plain.len(), 1);
        for variant in [
            pem().replace('\n', "\r\n"),
            pem().replace('\n', ""),
            pem().replace('\n', "\\n"),
            pem().replace('\n', "\\r\\n"),
            pem().replace('\n', " "),
            pem().lines().map(|line| format!("    {line}\n")).collect(),
            format!("Certificate:\n    Data: Version: 1 (0x0)\n{}", pem()),
            format!("\u{feff}{}", pem()),
            BODY.to_owned(),
            format!("  {BODY}\n"),
        ] {
            assert_eq!(certificates(variant.as_bytes()), Ok(plain.clone()), "{variant:?}");
        }
        assert_eq!(certificates(format!("{}{}", pem(), pem()).as_bytes()).map(|all| all.len()), Ok(2));
        assert_eq!(certificates(&[0x30, 0x82, 1, 2]).map(|all| all.len()), Ok(1));
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
        let request = key.replace("PRIVATE KEY", "CERTIFICATE REQUEST");
        let cut = pem().replace("-----END CERTIFICATE-----", "");
        let damaged = pem().replace("MIIB", "M*IB");
        for (text, error) in [
            ("", PemError::Nothing(Wanted::Certificate)),
            ("hello", PemError::Nothing(Wanted::Certificate)),
            (key, PemError::PrivateKey(Wanted::Certificate)),
            (&request, PemError::Nothing(Wanted::Certificate)),
            (&cut, PemError::CutOff { wanted: Wanted::Certificate, number: 1 }),
            (&damaged, PemError::Base64 { wanted: Wanted::Certificate, number: 1 }),
            (
                "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
                PemError::Empty { wanted: Wanted::Certificate, number: 1 },
            ),
        ] {
            assert_eq!(certificates(text.as_bytes()), Err(error), "{text:?}");
        }
    }

    #[test]
    fn requests_and_revocation_lists_are_told_apart_from_certificates() {
        let relabelled = |label: &str| pem().replace("CERTIFICATE", label);
        for (label, wanted) in [
            ("CERTIFICATE REQUEST", Wanted::Request),
            ("NEW CERTIFICATE REQUEST", Wanted::Request),
            ("X509 CRL", Wanted::RevocationList),
        ] {
            let text = relabelled(label);
            for all in [Wanted::Certificate, Wanted::Request, Wanted::RevocationList] {
                let found = objects(text.as_bytes(), all);
                assert_eq!(found.is_ok(), all == wanted, "{label} as {all}");
                assert!(found.is_ok() || found.unwrap_err().to_string().contains(&format!("no {all}")));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = certificates(&bytes);
        }
    }
}
