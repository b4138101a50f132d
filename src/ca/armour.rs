//! PEM and base64, written.
//!
//! What lives here: the text forms of what we give out. EST takes base64 with
//! and without line breaks (RFC 8951 section 3.1). What does not: reading them
//! as people have them (`identity::pem`). Invariant: a private key's text is
//! wiped when it is dropped.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

pub use crate::identity::pem::{armoured as pem, base64_lines};

/// A certificate as PEM.
#[must_use]
pub fn certificate_pem(der: &[u8]) -> String {
    pem("CERTIFICATE", der)
}

/// A private key as PEM, wiped when it is dropped.
pub(super) fn secret_pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(pem(label, der))
}

/// Base64 in one line.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// Reads base64 with blanks and line breaks in it.
pub(super) fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let squeezed: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
    Base64::decode_vec(&squeezed).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn what_is_written_is_read_again_at_every_length() {
        for length in 1..200_usize {
            let der: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let text = certificate_pem(&der);
            assert!(text.ends_with("-----END CERTIFICATE-----\n"));
            assert!(text.lines().all(|line| line.len() <= 64), "{text}");
            assert_eq!(rustls_pki_types::CertificateDer::from_pem_slice(text.as_bytes()).unwrap().as_ref(), der);
            assert_eq!(*from_base64(&base64_lines(&der)).unwrap(), der);
        }
    }

    /// A text that grew would have left parts of a key where it was before.
    #[test]
    fn a_text_never_grows() {
        for length in [1, 47, 48, 49, 121, 1_700] {
            let text = pem("PRIVATE KEY", &vec![1; length]);
            assert!(text.capacity() < text.len() + 130, "{length}: {} of {}", text.len(), text.capacity());
            assert!(text.len() <= length.div_ceil(48) * 65 + 2 * (11 + 17), "{length}");
        }
    }
}
