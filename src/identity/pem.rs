//! Reading certificates from text, as people have them.
//!
//! What lives here: a PEM reader more tolerant than OpenSSL's (TRUST-13).
//! What does not: what is in a certificate (`certificate`). Invariant: what is
//! accepted is complete base64 between two markers, bare base64, or DER;
//! nothing is guessed.

use base64ct::{Base64, Encoding};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why a text holds no certificates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Neither PEM, base64 nor DER.
    #[error("it holds no certificate; expected PEM (-----BEGIN CERTIFICATE-----), bare base64 or DER")]
    NoCertificate,
    /// A begin marker without its end.
    #[error("certificate {number} is cut off: its -----END CERTIFICATE----- is missing")]
    CutOff {
        /// Counts from 1.
        number: usize,
    },
    /// What stands between the markers is not base64.
    #[error("certificate {number} is not valid base64; copy it again, whole")]
    Base64 {
        /// Counts from 1.
        number: usize,
    },
    /// Nothing stands between the markers.
    #[error("certificate {number} is empty: nothing stands between its markers; copy it again, whole")]
    Empty {
        /// Counts from 1.
        number: usize,
    },
    /// A private key where a certificate belongs.
    #[error("it holds a private key and no certificate; give the certificate's file")]
    PrivateKey,
}

/// Certificates as PEM, one behind the other.
#[must_use]
pub fn text<'c>(certificates: impl IntoIterator<Item = &'c CertificateDer<'c>>) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let body = Base64::encode_string(certificate);
        // Base64 is ASCII: every cut is between characters.
        for line in body.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// Reads every certificate in `bytes`, in their order. Taken are LF, CRLF or
/// no line breaks, literal `\n`, leading blanks, text around the markers,
/// other PEM objects between them, bare base64, and DER.
///
/// # Errors
/// Says what is missing.
pub fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    if bytes.starts_with(&[0x30, 0x80 | 2]) || bytes.starts_with(&[0x30, 0x80 | 1]) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let text = String::from_utf8_lossy(bytes).replace("\\r", "").replace("\\n", "\n");
    if !text.contains("-----BEGIN") {
        let body = squeeze(&text);
        let bare = !body.is_empty() && body.starts_with("MI");
        return if bare { decode(&body, 1).map(|der| vec![der]) } else { Err(PemError::NoCertificate) };
    }
    let mut found = Vec::new();
    let mut has_key = false;
    for section in text.split("-----BEGIN").skip(1) {
        let number = found.len() + 1;
        let Some((label, rest)) = section.split_once("-----") else { continue };
        let label = squeeze(label);
        has_key |= label.ends_with("PRIVATEKEY");
        if !matches!(label.as_str(), "CERTIFICATE" | "X509CERTIFICATE") {
            continue;
        }
        let (body, _) = rest.split_once("-----END").ok_or(PemError::CutOff { number })?;
        found.push(decode(&squeeze(body), number)?);
    }
    match found.is_empty() {
        true if has_key => Err(PemError::PrivateKey),
        true => Err(PemError::NoCertificate),
        false => Ok(found),
    }
}

fn squeeze(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

/// Decodes base64 through the strict reader, on lines as that one wants them.
fn decode(body: &str, number: usize) -> Result<CertificateDer<'static>, PemError> {
    let mut pem = String::with_capacity(body.len() + body.len() / 64 + 60);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    for (index, character) in body.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| PemError::Base64 { number })?;
    if der.is_empty() { Err(PemError::Empty { number }) } else { Ok(der) }
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
            ("", PemError::NoCertificate),
            ("hello", PemError::NoCertificate),
            (key, PemError::PrivateKey),
            (&request, PemError::NoCertificate),
            (&cut, PemError::CutOff { number: 1 }),
            (&damaged, PemError::Base64 { number: 1 }),
            ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", PemError::Empty { number: 1 }),
        ] {
            assert_eq!(certificates(text.as_bytes()), Err(error), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = certificates(&bytes);
        }
    }
}
