//! Proofs of possession, made with the seeds' own commands.
//!
//! What lives here: verification certificates and signed codes of openssl, and
//! everything that is wrong with one. What does not: who was given a code.
//! Invariant: the verification certificates are of version 1 wherever the
//! seed's command makes them so.

use certus::ca::possession::{
    PossessionError, SignedCodeError, check_signed_code, check_verification_certificate, registration_code,
    verification_code,
};
use certus::identity::certificate::Certificate;
use rustls_pki_types::CertificateDer;

use crate::workshop::{Workshop, now};

const DAY: i64 = 86_400;

fn make_ca(shop: &Workshop, name: &str, subject: &str, key: &str) {
    shop.openssl(&format!("genpkey -algorithm {key} -out {name}.key"));
    shop.openssl(&format!("req -x509 -new -key {name}.key -sha256 -days 3650 -out {name}.pem -subj {subject}"));
}

fn ca(shop: &Workshop, name: &str) -> Certificate<'static> {
    Certificate::read(CertificateDer::from(shop.der(&format!("{name}.pem")))).unwrap()
}

/// The commands of S2: a version 1 certificate for seven days.
fn proof(shop: &Workshop, ca: &str, code: &str, extra: &str) -> Vec<u8> {
    if !shop.path("verificationCert.key").exists() {
        shop.openssl("genrsa -out verificationCert.key 2048");
    }
    shop.openssl(&format!("req -new -key verificationCert.key -out verificationCert.csr -subj /CN={code}"));
    shop.openssl(&format!(
        "x509 -req -in verificationCert.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -out verificationCert.pem -days 7 -sha256 {extra}"
    ));
    shop.read("verificationCert.pem")
}

const KEYS: [&str; 6] = [
    "rsa -pkeyopt rsa_keygen_bits:2048",
    "rsa -pkeyopt rsa_keygen_bits:4096",
    "ec -pkeyopt ec_paramgen_curve:P-256",
    "ec -pkeyopt ec_paramgen_curve:P-384",
    "ec -pkeyopt ec_paramgen_curve:P-521",
    "ed25519",
];

/// MC-POP-04
#[test]
fn a_verification_certificate_of_version_1_or_3_proves_every_kind_of_ca() {
    let (shop, code) = (Workshop::new(), registration_code().unwrap());
    shop.write("v3.cnf", "basicConstraints=critical,CA:FALSE\n");
    for key in KEYS {
        make_ca(&shop, "ca", "/C=FI/ST=TKU/O=BOREALIS/OU=IT/CN=acme7", key);
        for (extra, version) in [("", 1), ("-extfile v3.cnf", 3)] {
            for code_in_it in [code.clone(), code.to_uppercase()] {
                let sent = proof(&shop, "ca", &code_in_it, extra);
                let text = shop.openssl("x509 -in verificationCert.pem -noout -text");
                assert!(text.contains(&format!("Version: {version}")), "{text}");
                assert_eq!(
                    check_verification_certificate(&ca(&shop, "ca"), &code, &sent, now()),
                    Ok(()),
                    "{key} {extra}"
                );
            }
        }
    }
    // What people paste: text before it, no line breaks.
    let text = shop.openssl("x509 -in verificationCert.pem -text").replace('\n', "\\n");
    assert_eq!(check_verification_certificate(&ca(&shop, "ca"), &code, text.as_bytes(), now()), Ok(()));
}

/// A CA of version 1 is what the sample PEM in S2 has as its issuer.
#[test]
fn a_ca_of_version_1_is_proved_too() {
    let (shop, code) = (Workshop::new(), registration_code().unwrap());
    shop.openssl("genrsa -out ca.key 2048");
    shop.openssl("req -new -key ca.key -out ca.csr -subj /CN=conuaz");
    shop.openssl("x509 -req -in ca.csr -signkey ca.key -out ca.pem -days 10");
    let sent = proof(&shop, "ca", &code, "");
    assert_eq!(check_verification_certificate(&ca(&shop, "ca"), &code, &sent, now()), Ok(()));
}

/// MC-POP-05
#[test]
fn what_a_verification_certificate_does_not_prove_is_told() {
    let (shop, code) = (Workshop::new(), registration_code().unwrap());
    let rsa = "rsa -pkeyopt rsa_keygen_bits:2048";
    make_ca(&shop, "ca", "/CN=acme7", rsa);
    make_ca(&shop, "other", "/CN=acme8", rsa);
    make_ca(&shop, "twin", "/CN=acme7", rsa);
    let good = proof(&shop, "ca", &code, "");
    let check = |sent: &[u8], now: i64| {
        check_verification_certificate(&ca(&shop, "ca"), &code, sent, now).unwrap_err().to_string()
    };
    assert_eq!(check(&good, now() + 8 * DAY), "expired");
    assert_eq!(check(&good, now() - DAY), "not yet valid");
    for (signer, cn, said) in [
        ("ca", "0000", "common name is not the registration code"),
        ("ca", &code[..63], "common name is not the registration code"),
        ("ca", &format!("{}/CN={code}", "0000"), "common name is not the registration code"),
        ("other", code.as_str(), "not signed by this CA certificate"),
        ("twin", code.as_str(), "not signed by this CA certificate"),
        ("other", "0000", "not signed by this CA certificate"),
    ] {
        assert_eq!(check(&proof(&shop, signer, cn, ""), now()), said, "{signer} {cn}");
    }
    let sha1 = proof(&shop, "ca", &code, "-sha1");
    assert_eq!(check(&sha1, now()), "not signed by this CA certificate");
    for bytes in [&b""[..], b"nonsense", &shop.read("ca.key"), &good[..good.len() / 2], &vec![b'x'; 70_000]] {
        assert_eq!(check(bytes, now()), "cannot be read");
    }
}

#[test]
fn no_bit_of_a_verification_certificate_can_be_changed() {
    let (shop, code) = (Workshop::new(), registration_code().unwrap());
    make_ca(&shop, "ca", "/CN=acme7", KEYS[2]);
    proof(&shop, "ca", &code, "");
    let (ca, der) = (ca(&shop, "ca"), shop.der("verificationCert.pem"));
    assert_eq!(check_verification_certificate(&ca, &code, &der, now()), Ok(()));
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[at] ^= 1 << bit;
            let checked = check_verification_certificate(&ca, &code, &changed, now());
            assert!(checked.is_err(), "byte {at}, bit {bit} of {}", der.len());
        }
        assert_eq!(
            check_verification_certificate(&ca, &code, &der[..at], now()),
            Err(PossessionError::Unreadable),
            "{at} bytes"
        );
    }
}

/// MC-POP-02
#[test]
fn a_registration_code_fills_a_cn() {
    let (one, other) = (registration_code().unwrap(), registration_code().unwrap());
    assert_ne!(one, other);
    assert!(one.len() == 64 && one.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)));
}

/// C8Y-POP-02: the command of the original's web page.
#[test]
fn a_code_that_openssl_signed_proves_every_kind_of_ca() {
    let (shop, code) = (Workshop::new(), verification_code().unwrap());
    assert_eq!(code.len(), 160);
    for key in KEYS {
        make_ca(&shop, "ca", "/CN=acme7", key);
        let ca = ca(&shop, "ca");
        for end in ["", "\n", "\r\n"] {
            shop.write("code.txt", format!("{code}{end}"));
            let sign = match key {
                "ed25519" => "pkeyutl -sign -rawin -inkey ca.key -in code.txt -out signature",
                _ => "dgst -sha256 -sign ca.key -out signature code.txt",
            };
            shop.openssl(sign);
            for form in ["base64 -A -in signature", "base64 -in signature"] {
                let signature = shop.openssl(form);
                assert_eq!(check_signed_code(&ca, &code, &signature), Ok(()), "{key} {end:?} {form}");
                assert_eq!(check_signed_code(&ca, &code[1..], &signature), Err(SignedCodeError::Wrong));
            }
        }
    }
}

#[test]
fn a_code_that_another_key_or_hash_signed_proves_nothing() {
    let (shop, code) = (Workshop::new(), verification_code().unwrap());
    for key in [KEYS[0], KEYS[2]] {
        make_ca(&shop, "ca", "/CN=acme7", key);
        make_ca(&shop, "other", "/CN=acme7", key);
        shop.write("code.txt", &code);
        for sign in ["-sha256 -sign other.key", "-sha1 -sign ca.key", "-sha512 -sign ca.key"] {
            shop.openssl(&format!("dgst {sign} -out signature code.txt"));
            let signature = shop.openssl("base64 -A -in signature");
            let checked = check_signed_code(&ca(&shop, "ca"), &code, &signature);
            assert_eq!(checked, Err(SignedCodeError::Wrong), "{key} {sign}");
        }
        assert_eq!(check_signed_code(&ca(&shop, "ca"), &code, "*"), Err(SignedCodeError::Base64));
        assert_eq!(check_signed_code(&ca(&shop, "ca"), &code, ""), Err(SignedCodeError::Wrong));
    }
}
