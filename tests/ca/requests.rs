//! Certificate requests of openssl, read by us.
//!
//! What lives here: the seeds' own commands, every kind of key, every way in
//! which a request is stored, and what is wrong with one. What does not: what
//! becomes of a request. Invariant: each request was made by openssl, or is one
//! of those with a change.

use std::net::IpAddr;

use certus::ca::keypair::{KeyType, PrivateKey};
use certus::ca::profile::{AltName, Profile, Validity};
use certus::ca::request::{MAX_REQUEST, Objection, Request};
use certus::ca::signer::{CaOrder, LocalSigner, Order, Signer};
use certus::identity::key::Key;
use certus::identity::switch::KeyPolicy;
use proptest::prelude::*;

use crate::workshop::{Workshop, now};

const SEED: &str = "/C=FR/O=ACME SA/CN=acme/emailAddress=ops@acme.example";

/// The commands of the Centiloc documentation.
fn seed(shop: &Workshop, subject: &str) -> Vec<u8> {
    shop.openssl("ecparam -name prime256v1 -genkey -noout -out private-key.pem");
    request(shop, subject, &[])
}

fn request(shop: &Workshop, subject: &str, extra: &[&str]) -> Vec<u8> {
    let args = [&["req", "-new", "-key", "private-key.pem", "-out", "request.csr", "-subj", subject], extra].concat();
    shop.try_openssl_args(&args).unwrap();
    shop.read("request.csr")
}

fn refused(result: Result<Request, Objection>) -> (&'static str, String) {
    let Objection { field, reason } = result.unwrap_err();
    (field, reason)
}

/// CEN-CSR-01, CEN-CSR-02, CEN-CA-02
#[test]
fn the_seeds_request_is_taken_and_its_certificate_has_its_subject() {
    let shop = Workshop::new();
    let request = Request::read_centiloc(&seed(&shop, SEED)).unwrap();
    assert_eq!(request.subject().to_text(), "emailAddress=ops@acme.example, CN=acme, O=ACME SA, C=FR");
    assert_eq!((request.only("CN"), request.only("O")), (Ok("acme"), Ok("ACME SA")));
    assert_eq!(request.only("emailAddress"), Ok("ops@acme.example"));
    assert_eq!(*request.key(), Key::Ec("P-256"));
    shop.openssl("pkey -in private-key.pem -pubout -outform DER -out public.der");
    assert_eq!(request.public_key(), shop.read("public.der"));

    let ca = LocalSigner::create(&CaOrder::operator("FR", "Centiloc", "Root CA Issuer", now()).unwrap()).unwrap();
    let issued = ca
        .issue(&Order {
            subject: request.subject(),
            public_key: request.public_key(),
            validity: Validity::days(now(), 365),
            alt_names: &[],
            profile: Profile::Client,
        })
        .unwrap();
    shop.write("ca-cert.pem", certus::ca::armour::certificate_pem(ca.certificate()));
    shop.write("tls-cert.pem", certus::ca::armour::certificate_pem(&issued.certificate));
    shop.openssl("verify -CAfile ca-cert.pem tls-cert.pem");
    // The client joins it with its own key.
    shop.openssl("pkcs12 -export -inkey private-key.pem -in tls-cert.pem -out all.p12 -passout pass:x");
    let asked = shop.openssl("req -in request.csr -noout -subject -nameopt RFC2253,show_type");
    assert_eq!(shop.openssl("x509 -in tls-cert.pem -noout -subject -nameopt RFC2253,show_type"), asked);
}

/// TRUST-13
#[test]
fn every_form_in_which_a_request_is_stored_is_read() {
    let shop = Workshop::new();
    let pem = String::from_utf8(seed(&shop, SEED)).unwrap();
    let plain = Request::read(pem.as_bytes()).unwrap();
    shop.openssl("req -in request.csr -outform DER -out request.der");
    shop.openssl("req -in request.csr -text -out text.csr");
    let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let forms = [
        shop.read("request.der"),
        shop.read("text.csr"),
        pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST").into_bytes(),
        pem.replace('\n', "\r\n").into_bytes(),
        pem.replace('\n', "\\n").into_bytes(),
        pem.replace('\n', "").into_bytes(),
        format!("  {bare}\n").into_bytes(),
    ];
    for form in forms {
        let read = Request::read(&form).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&form)));
        assert_eq!((read.subject(), read.public_key()), (plain.subject(), plain.public_key()));
    }
}

#[test]
fn every_kind_of_key_proves_itself() {
    let shop = Workshop::new();
    for (make, digest, key) in [
        ("rsa -pkeyopt rsa_keygen_bits:2048", "-sha256", Key::Rsa(2048)),
        ("rsa -pkeyopt rsa_keygen_bits:4096", "-sha512", Key::Rsa(4096)),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "-sha256", Key::Ec("P-256")),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "-sha384", Key::Ec("P-256")),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "-sha256", Key::Ec("P-384")),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "-sha384", Key::Ec("P-384")),
        ("ec -pkeyopt ec_paramgen_curve:P-521", "-sha256", Key::Ec("P-521")),
        ("ec -pkeyopt ec_paramgen_curve:P-521", "-sha512", Key::Ec("P-521")),
        ("ed25519", "-sha256", Key::Ed25519),
    ] {
        shop.openssl(&format!("genpkey -algorithm {make} -out private-key.pem"));
        let read = Request::read(&request(&shop, "/CN=x", &[digest]));
        let read = read.unwrap_or_else(|error| panic!("{make} {digest}: {error}"));
        assert_eq!(*read.key(), key, "{make}");
        assert_eq!(read.check_key(KeyPolicy::Ec).is_ok(), matches!(key, Key::Ec(_)), "{make}");
        assert!(read.check_key(KeyPolicy::RsaEcEd25519).is_ok(), "{make}");
    }
}

/// CEN-CSR-01
#[test]
fn centiloc_takes_elliptic_curves_of_256_bit_alone() {
    let shop = Workshop::new();
    for (make, good) in [
        ("rsa -pkeyopt rsa_keygen_bits:2048", false),
        ("rsa -pkeyopt rsa_keygen_bits:1024", false),
        ("ec -pkeyopt ec_paramgen_curve:P-256", true),
        ("ec -pkeyopt ec_paramgen_curve:P-384", true),
        ("ec -pkeyopt ec_paramgen_curve:P-521", true),
        ("ec -pkeyopt ec_paramgen_curve:secp256k1", false),
        ("ec -pkeyopt ec_paramgen_curve:secp224r1", false),
        ("ec -pkeyopt ec_paramgen_curve:brainpoolP256r1", false),
        ("ed25519", false),
    ] {
        shop.openssl(&format!("genpkey -algorithm {make} -out private-key.pem"));
        let read = Request::read_centiloc(&request(&shop, SEED, &[]));
        assert_eq!(read.is_ok(), good, "{make}");
        if !good {
            assert_eq!(refused(read), ("key", "only elliptic curve keys of at least 256 bit".to_owned()), "{make}");
        }
    }
}

/// CEN-CSR-02
#[test]
fn centiloc_names_each_field_that_is_missing() {
    let shop = Workshop::new();
    for (subject, field, said) in [
        ("/CN=acme/emailAddress=a@b.example", "O", "lacks O;"),
        ("/O=ACME SA/emailAddress=a@b.example", "CN", "lacks CN;"),
        ("/O=ACME SA/CN=acme", "emailAddress", "lacks emailAddress;"),
        ("/C=FR", "O", "lacks O and CN and emailAddress;"),
        ("/O=ACME SA/CN=a/CN=b/emailAddress=a@b.example", "CN", "several CN"),
        ("/O=ACME SA/CN=acme/emailAddress=nobody", "emailAddress", "no e-mail address"),
        ("/O=ACME SA/CN=acme/emailAddress=@b.example", "emailAddress", "no e-mail address"),
    ] {
        let (named, reason) = refused(Request::read_centiloc(&seed(&shop, subject)));
        assert!(named == field && reason.contains(said), "{subject}: {named}, {reason}");
    }
}

#[test]
fn names_and_a_challenge_password_are_found_and_the_password_is_not_shown() {
    let shop = Workshop::new();
    seed(&shop, "/CN=x");
    let mut config =
        String::from("[req]\ndistinguished_name=dn\nattributes=at\nreq_extensions=ext\nprompt=no\n[dn]\nCN=pump\n");
    config += "[at]\nchallengePassword=one time 7\nunstructuredName=x\n[ext]\nbasicConstraints=CA:FALSE\n";
    config += "subjectAltName=DNS:pump.example,IP:192.0.2.7,IP:2001:db8::1,email:a@b.example,URI:urn:x,RID:1.2.3\n";
    shop.write("with.cnf", config);
    shop.openssl("req -new -key private-key.pem -config with.cnf -out with.csr");
    let read = Request::read(&shop.read("with.csr")).unwrap();
    assert_eq!(read.challenge_password(), Some("one time 7"));
    assert!(!format!("{read:?}").contains("one time"));
    assert_eq!(
        read.alt_names(),
        [
            AltName::Dns("pump.example".to_owned()),
            AltName::Ip(IpAddr::from([192, 0, 2, 7])),
            AltName::Ip("2001:db8::1".parse().unwrap()),
            AltName::Email("a@b.example".to_owned()),
            AltName::Uri("urn:x".to_owned()),
        ]
    );
    let none = Request::read(&request(&shop, "/CN=x", &[])).unwrap();
    assert_eq!((none.challenge_password(), none.alt_names()), (None, &[][..]));
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let shop = Workshop::new();
    let pem = String::from_utf8(seed(&shop, SEED)).unwrap();
    let certificate = shop.openssl("req -in request.csr -x509 -key private-key.pem -days 3");
    let key = String::from_utf8(shop.read("private-key.pem")).unwrap();
    let long = "x".repeat(MAX_REQUEST + 1);
    for (text, said) in [
        ("", "holds no certificate request"),
        ("hello", "holds no certificate request"),
        (key.as_str(), "holds a private key"),
        (certificate.as_str(), "holds no certificate request"),
        (&pem[..pem.len() - 40], "cut off"),
        (&certificate.replace("CERTIFICATE", "CERTIFICATE REQUEST"), "no certificate request (PKCS#10)"),
        (&pem.replace("MII", "M*I"), "not valid base64"),
        (&long, "at most 65536"),
    ] {
        let (field, reason) = refused(Request::read(text.as_bytes()));
        assert!(field == "csr" && reason.contains(said), "{text}: {reason}");
    }
    let weak = request(&shop, SEED, &["-sha1"]);
    assert!(refused(Request::read(&weak)).1.contains("SHA-1 with ECDSA; make it again with SHA-256"));
    let empty = request(&shop, "/", &[]);
    assert_eq!(refused(Request::read(&empty)).0, "subject");
}

/// Whoever does not hold the key cannot ask in its name.
#[test]
fn a_request_over_the_key_of_another_is_refused() {
    let shop = Workshop::new();
    seed(&shop, SEED);
    shop.openssl("req -in request.csr -outform DER -out request.der");
    let own = Request::read(&shop.read("request.der")).unwrap();
    let other = PrivateKey::generate(KeyType::P256).unwrap();
    let (der, key) = (shop.read("request.der"), own.public_key());
    let at = der.windows(key.len()).position(|part| part == key).unwrap();
    let stolen = [&der[..at], other.public_key(), &der[at + key.len()..]].concat();
    assert!(refused(Request::read(&stolen)).1.contains("was not made by the key in it"));
    assert!(Request::read(&[der.as_slice(), &[0]].concat()).is_err(), "something follows");
}

fn der() -> &'static [u8] {
    static DER: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    DER.get_or_init(|| {
        let shop = Workshop::new();
        seed(&shop, SEED);
        shop.openssl("req -in request.csr -outform DER -out request.der");
        shop.read("request.der")
    })
}

#[test]
fn no_bit_of_a_request_can_be_changed() {
    let der = der();
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.to_vec();
            changed[at] ^= 1 << bit;
            assert!(Request::read(&changed).is_err(), "byte {at}, bit {bit}");
        }
        assert!(Request::read(&der[..at]).is_err(), "{at} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_change_of_a_request_makes_the_reader_panic(
        at in any::<prop::sample::Index>(), length in 0..20_usize, bytes in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut changed = der().to_vec();
        let start = at.index(changed.len());
        let end = (start + length).min(changed.len());
        changed.splice(start..end, bytes);
        let _ = Request::read_centiloc(&changed);
    }
}
