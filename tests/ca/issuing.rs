//! Keys, authorities and certificates of ours, read by openssl.
//!
//! What lives here: what openssl says about each kind. What does not: requests
//! and lists of others. Invariant: every certificate is verified by openssl
//! under its authority before anything else is asked of it.

use std::net::IpAddr;

use certus::ca::armour::{certificate_pem, pem};
use certus::ca::crl::{CrlOrder, Revoked};
use certus::ca::keypair::{KeyType, PrivateKey};
use certus::ca::profile::{AltName, DAY, Profile, Validity};
use certus::ca::signer::{CaOrder, Issued, LocalSigner, Order, SignError, Signer};
use certus::ca::subject::Subject;
use certus::identity::certificate::{Fingerprint, Serial};
use certus::identity::switch::RevocationReason;

use crate::workshop::{Workshop, now};

const KINDS: [KeyType; 6] =
    [KeyType::Rsa2048, KeyType::Rsa3072, KeyType::Rsa4096, KeyType::P256, KeyType::P384, KeyType::Ed25519];

fn agents() -> LocalSigner {
    LocalSigner::create(&CaOrder::agents("acme7", now()).unwrap()).unwrap()
}

fn order<'a>(subject: &'a Subject, key: &'a PrivateKey) -> Order<'a> {
    let validity = Validity::days(now(), 365);
    Order { subject, public_key: key.public_key(), validity, alt_names: &[], profile: Profile::Client }
}

fn issue(signer: &LocalSigner, name: &str) -> (Issued, PrivateKey) {
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    (signer.issue(&order(&Subject::common_name(name).unwrap(), &key)).unwrap(), key)
}

/// `openssl x509 -text` of a certificate that it verified under `ca`.
fn seen(shop: &Workshop, ca: &[u8], certificate: &[u8], purpose: &str) -> String {
    shop.write("ca.pem", certificate_pem(ca));
    shop.write("leaf.pem", certificate_pem(certificate));
    shop.openssl(&format!("verify -x509_strict -purpose {purpose} -CAfile ca.pem leaf.pem"));
    shop.openssl("x509 -in leaf.pem -noout -text -nameopt RFC2253 -certopt ext_error")
}

fn expect(text: &str, wanted: &[&str]) {
    let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for wanted in wanted {
        assert!(squeezed.contains(wanted), "{wanted:?} is not in\n{text}");
    }
}

/// MC-AGT-01: the awk lines of the seed leave a file that openssl reads.
#[test]
fn openssl_reads_every_kind_of_key_and_finds_it_sound() {
    let shop = Workshop::new();
    for kind in KINDS {
        let key = PrivateKey::generate(kind).unwrap();
        shop.write("key.pem", key.to_pem().as_bytes());
        shop.openssl("pkey -in key.pem -check -noout");
        shop.openssl("pkey -in key.pem -pubout -outform DER -out public.der");
        assert_eq!(shop.read("public.der"), key.public_key(), "{kind}");
        // The traditional tools of RSA read PKCS#1 by its own name.
        let traditional = shop.try_openssl("rsa -in key.pem -check -noout").is_ok();
        assert_eq!(traditional, matches!(kind, KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096), "{kind}");
    }
}

/// MC-AGT-05, CEN-CA-02
#[test]
fn a_client_certificate_has_what_is_promised_and_nothing_else() {
    let (shop, ca) = (Workshop::new(), agents());
    let (issued, _) = issue(&ca, "acme7_press-12");
    let text = seen(&shop, ca.certificate(), &issued.certificate, "sslclient");
    expect(
        &text,
        &[
            "Version: 3 (0x2)",
            "Signature Algorithm: ecdsa-with-SHA256",
            "Issuer: CN=Agent CA,O=acme7",
            "Subject: CN=acme7_press-12",
            "X509v3 Basic Constraints: critical CA:FALSE",
            "X509v3 Key Usage: critical Digital Signature X509v3",
            "X509v3 Extended Key Usage: TLS Web Client Authentication X509v3",
            "X509v3 Subject Key Identifier:",
            "X509v3 Authority Key Identifier:",
        ],
    );
    assert_eq!(text.matches("X509v3 ").count(), 5 + 1, "five extensions below one head:\n{text}");
    assert!(shop.try_openssl("verify -purpose sslserver -CAfile ca.pem leaf.pem").is_err());
    let serial = shop.openssl("x509 -in leaf.pem -noout -serial").trim().to_lowercase();
    assert_eq!(serial, format!("serial={}", issued.serial));
}

#[test]
fn every_kind_of_authority_signs_every_kind_of_key() {
    let shop = Workshop::new();
    let keys: Vec<PrivateKey> = [KeyType::Rsa2048, KeyType::P256, KeyType::P384, KeyType::Ed25519]
        .map(|kind| PrivateKey::generate(kind).unwrap())
        .into();
    for kind in [KeyType::Rsa2048, KeyType::Rsa4096, KeyType::P256, KeyType::P384, KeyType::Ed25519] {
        let ca = LocalSigner::create(&CaOrder { key: kind, ..CaOrder::tenant("t2250", now()).unwrap() }).unwrap();
        for key in &keys {
            let subject = Subject::organization("ACME SA", "pump-0042").unwrap();
            let issued = ca.issue(&order(&subject, key)).unwrap();
            expect(
                &seen(&shop, ca.certificate(), &issued.certificate, "sslclient"),
                &["Subject: CN=pump-0042,O=ACME SA"],
            );
        }
    }
}

/// CEN-CA-01, MC-AGT-05, C8Y-EST-01
#[test]
fn the_three_authorities_have_their_forms() {
    let shop = Workshop::new();
    let operator = CaOrder::operator("FR", "Centiloc", "Root CA Issuer", now()).unwrap();
    let tenant = CaOrder::tenant("t2250", now()).unwrap();
    let agents = CaOrder::agents("acme7", now()).unwrap();
    for (order, subject, constraints, days) in [
        (operator, "CN=Root CA Issuer,O=Centiloc,C=FR", "CA:TRUE X509v3", 7_300),
        (tenant, "CN=t2250", "CA:TRUE, pathlen:0 X509v3", 1_095),
        (agents, "CN=Agent CA,O=acme7", "CA:TRUE, pathlen:0 X509v3", 3_650),
    ] {
        let ca = LocalSigner::create(&order).unwrap();
        let text = seen(&shop, ca.certificate(), ca.certificate(), "any");
        expect(
            &text,
            &[
                "Version: 3 (0x2)",
                "NIST CURVE: P-256",
                &format!("Issuer: {subject} "),
                &format!("Subject: {subject} "),
                &format!("X509v3 Basic Constraints: critical {constraints}"),
                "X509v3 Key Usage: critical Certificate Sign, CRL Sign X509v3",
            ],
        );
        let Validity { not_before, not_after } = ca.validity();
        assert_eq!(not_after - now(), days * DAY - (now() - not_before - 3_600));
    }
}

/// CEN-CA-02: a subject keeps its order, its string types and what occurs
/// twice or together.
#[test]
fn a_subject_is_taken_over_byte_by_byte() {
    let (shop, ca) = (Workshop::new(), agents());
    shop.openssl("ecparam -name prime256v1 -genkey -noout -out private-key.pem");
    for (name, extra) in [
        ("/C=FR/O=ACME SA/CN=acme/emailAddress=ops@acme.example", ""),
        ("/DC=example/DC=acme/OU=a/OU=b/CN=acme", ""),
        ("/CN=acme+UID=7+serialNumber=1/O=x", "-multivalue-rdn"),
        ("/O=J\u{fc}rgen/CN=\u{4f8b}", "-utf8"),
    ] {
        let mut args = vec!["req", "-new", "-key", "private-key.pem", "-out", "request.pem", "-subj", name];
        args.extend(Some(extra).filter(|extra| !extra.is_empty()));
        shop.try_openssl_args(&args).unwrap();
        let asked = shop.openssl("req -in request.pem -noout -subject -nameopt RFC2253,show_type");
        // The subject of a self-signed certificate over the same request is the same DER.
        shop.openssl("x509 -req -in request.pem -signkey private-key.pem -out own.pem");
        let subject = Subject::taken_over(&subject_der(&shop.der("own.pem"))).unwrap();
        let key = PrivateKey::generate(KeyType::P256).unwrap();
        let issued = ca.issue(&order(&subject, &key)).unwrap();
        seen(&shop, ca.certificate(), &issued.certificate, "sslclient");
        let got = shop.openssl("x509 -in leaf.pem -noout -subject -nameopt RFC2253,show_type");
        assert_eq!(asked, got);
        assert_eq!(subject_der(&issued.certificate), subject.der());
    }
}

fn subject_der(certificate: &[u8]) -> Vec<u8> {
    let certificate = rustls_pki_types::CertificateDer::from(certificate.to_vec());
    certus::identity::certificate::Certificate::read(certificate).unwrap().subject_der().to_vec()
}

#[test]
fn a_server_certificate_verifies_for_its_names_and_addresses() {
    let (shop, ca) = (Workshop::new(), agents());
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let names = [
        AltName::Dns("broker.acme.example".to_owned()),
        AltName::Ip(IpAddr::from([192, 0, 2, 7])),
        AltName::Ip("2001:db8::7".parse().unwrap()),
        AltName::Email("ops@acme.example".to_owned()),
        AltName::Uri("urn:acme:7".to_owned()),
    ];
    let subject = Subject::common_name("broker.acme.example").unwrap();
    let wanted = Order { alt_names: &names, profile: Profile::Server, ..order(&subject, &key) };
    let issued = ca.issue(&wanted).unwrap();
    let text = seen(&shop, ca.certificate(), &issued.certificate, "sslserver");
    expect(
        &text,
        &[
            "TLS Web Server Authentication",
            "DNS:broker.acme.example, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7, email:ops@acme.example, URI:urn:acme:7",
        ],
    );
    for check in ["-verify_hostname broker.acme.example", "-verify_ip 192.0.2.7", "-verify_ip 2001:db8::7"] {
        shop.openssl(&format!("verify {check} -CAfile ca.pem leaf.pem"));
    }
    assert!(shop.try_openssl("verify -verify_hostname other.example -CAfile ca.pem leaf.pem").is_err());
    for name in ["", "a b", "b\u{fc}cher.example"] {
        let bad = Order { alt_names: &[AltName::Dns(name.to_owned())], ..wanted };
        assert_eq!(ca.issue(&bad), Err(SignError::AltName), "{name:?}");
    }
}

#[test]
fn no_certificate_outlives_its_authority() {
    let ca =
        LocalSigner::create(&CaOrder { validity: Validity::days(now(), 10), ..CaOrder::tenant("t", now()).unwrap() })
            .unwrap();
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    let subject = Subject::common_name("x").unwrap();
    let issued = ca.issue(&order(&subject, &key)).unwrap();
    assert_eq!(issued.not_after, ca.validity().not_after);
    let later = Order {
        validity: Validity { not_before: now() + 11 * DAY, not_after: now() + 12 * DAY },
        ..order(&subject, &key)
    };
    let error = ca.issue(&later).unwrap_err().to_string();
    assert!(error.contains("renew the CA"), "{error}");
    let (shop, far) = (Workshop::new(), Validity { not_before: now(), not_after: 4_780_166_400 });
    let ca = LocalSigner::create(&CaOrder { validity: far, ..CaOrder::tenant("t", now()).unwrap() }).unwrap();
    expect(&seen(&shop, ca.certificate(), ca.certificate(), "any"), &["Not After : Jun 24 00:00:00 2121 GMT"]);
}

#[test]
fn a_key_that_nobody_could_verify_is_not_certified() {
    let (shop, ca) = (Workshop::new(), agents());
    let subject = Subject::common_name("x").unwrap();
    let key = PrivateKey::generate(KeyType::P256).unwrap();
    for make in ["rsa -pkeyopt rsa_keygen_bits:1024", "ec -pkeyopt ec_paramgen_curve:secp256k1", "ed448"] {
        shop.openssl(&format!("genpkey -algorithm {make} -out key.pem"));
        shop.openssl("pkey -in key.pem -pubout -outform DER -out public.der");
        let public = shop.read("public.der");
        let refused = ca.issue(&Order { public_key: &public, ..order(&subject, &key) });
        assert!(matches!(refused, Err(SignError::PublicKey(_))), "{make}: {refused:?}");
    }
    let long = [key.public_key(), &[0]].concat();
    assert!(ca.issue(&Order { public_key: &long, ..order(&subject, &key) }).is_err());
}

#[test]
fn two_certificates_never_have_the_same_serial_number() {
    let ca = agents();
    let serials: std::collections::BTreeSet<Serial> = (0..100).map(|_| issue(&ca, "x").0.serial).collect();
    assert_eq!(serials.len(), 100);
    assert!(serials.iter().all(|serial| serial.0.len() == 16 && (0x40..0x80).contains(&serial.0[0])));
}

/// A renewed authority of the same name and key stands in for the old one.
#[test]
fn a_renewed_authority_verifies_what_the_old_one_signed() {
    let (shop, old) = (Workshop::new(), agents());
    let (issued, _) = issue(&old, "x");
    let key = PrivateKey::from_pkcs8(old.key().pkcs8()).unwrap();
    let new = LocalSigner::create_with(&CaOrder::agents("acme7", now()).unwrap(), key).unwrap();
    assert_ne!(Fingerprint::of(new.certificate()), Fingerprint::of(old.certificate()));
    seen(&shop, new.certificate(), &issued.certificate, "sslclient");
}

#[test]
fn an_authority_of_openssl_signs_too_with_its_own_name_and_key_identifier() {
    let shop = Workshop::new();
    shop.write(
        "ca.cnf",
        "[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=ext\n[dn]\n0.OU=a\n1.OU=b\nCN=old\n[ext]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=01:02:03\n",
    );
    shop.openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out old.pem -days 30 -config ca.cnf");
    shop.openssl("pkcs8 -topk8 -nocrypt -in ca.key -outform DER -out ca.p8");
    let key = PrivateKey::from_pkcs8(&shop.read("ca.p8")).unwrap();
    let ca = LocalSigner::new(shop.der("old.pem"), key).unwrap();
    let (issued, _) = issue(&ca, "x");
    let text = seen(&shop, ca.certificate(), &issued.certificate, "sslclient");
    expect(&text, &["Issuer: CN=old,OU=b,OU=a", "Authority Key Identifier: 01:02:03", "sha256WithRSAEncryption"]);
}

#[test]
fn what_is_no_authority_signs_nothing() {
    let ca = agents();
    let (issued, key) = issue(&ca, "x");
    let error = |result: Result<LocalSigner, SignError>| result.unwrap_err().to_string();
    assert!(error(LocalSigner::new(issued.certificate, key)).contains("CA:TRUE"));
    let other = PrivateKey::generate(KeyType::P256).unwrap();
    assert!(error(LocalSigner::new(ca.certificate().to_vec(), other)).contains("another key"));
    let other = PrivateKey::generate(KeyType::P256).unwrap();
    assert!(error(LocalSigner::new(b"hello".to_vec(), other)).contains("cannot be read"));
}

/// TRUST-10
#[test]
fn openssl_refuses_what_stands_on_our_list_and_takes_the_rest() {
    let shop = Workshop::new();
    for kind in [KeyType::P256, KeyType::Rsa2048] {
        let ca = LocalSigner::create(&CaOrder { key: kind, ..CaOrder::tenant("t2250", now()).unwrap() }).unwrap();
        let ((good, _), (bad, _)) = (issue(&ca, "good"), issue(&ca, "bad"));
        let entries = [Revoked { serial: bad.serial, since: now() - 60, reason: RevocationReason::KeyCompromise }];
        let (this_update, next_update) = (now() - 60, now() + DAY);
        let full = CrlOrder { number: 200, this_update, next_update, entries: &entries };
        for (crl, taken) in [(full, false), (CrlOrder { entries: &[], ..full }, true)] {
            let crl = ca.sign_crl(&crl).unwrap();
            shop.write("ca.pem", certificate_pem(ca.certificate()));
            shop.write("crl.pem", pem("X509 CRL", &crl));
            for (certificate, taken) in [(&good.certificate, true), (&bad.certificate, taken)] {
                shop.write("leaf.pem", certificate_pem(certificate));
                let answer =
                    shop.try_openssl("verify -x509_strict -crl_check -CRLfile crl.pem -CAfile ca.pem leaf.pem");
                assert_eq!(answer.is_ok(), taken, "{answer:?}");
                assert!(taken || answer.unwrap_err().contains("certificate revoked"));
            }
        }
        shop.write("crl.der", ca.sign_crl(&full).unwrap());
        let text = shop.openssl("crl -inform DER -in crl.der -noout -text -nameopt RFC2253");
        expect(&text, &["Version 2 (0x1)", "X509v3 CRL Number: 200", "Key Compromise", "Issuer: CN=t2250"]);
    }
}
