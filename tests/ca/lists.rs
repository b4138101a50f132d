//! Revocation lists of openssl, read by us, and ours, read by both.
//!
//! What lives here: every kind of list that a CA issues, what we refuse in one,
//! and lists of a hundred thousand entries. What does not: what a list means
//! for a connection (`tests/trust`). Invariant: no entry is believed before
//! the signature.

use std::fmt::Write as _;

use certus::ca::armour::{certificate_pem, pem};
use certus::ca::crl::{Crl, CrlError, CrlOrder, Limits, Revoked, read};
use certus::ca::profile::{Profile, Validity};
use certus::ca::signer::{CaOrder, LocalSigner, Order, Signer};
use certus::ca::subject::Subject;
use certus::identity::certificate::{Certificate, Serial};
use certus::identity::switch::RevocationReason;
use proptest::prelude::*;
use rustls_pki_types::CertificateDer;

use crate::workshop::{Workshop, now};

const KEYS: [&str; 6] = [
    "rsa -pkeyopt rsa_keygen_bits:2048",
    "rsa -pkeyopt rsa_keygen_bits:4096",
    "ec -pkeyopt ec_paramgen_curve:P-256",
    "ec -pkeyopt ec_paramgen_curve:P-384",
    "ec -pkeyopt ec_paramgen_curve:P-521",
    "ed25519",
];
const EC: &str = KEYS[2];

/// The example of the Cumulocity documentation, shortened: `openssl ca` with a
/// database of what was issued.
const CONFIGURATION: &str = "\
[req]
distinguished_name = dn
x509_extensions = v3_ca
[dn]
[v3_ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature,cRLSign,keyCertSign
[no_crl_sign]
basicConstraints = critical,CA:TRUE
keyUsage = critical,digitalSignature,keyEncipherment,keyCertSign
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
crlnumber = crlnumber
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_crl_days = 30
[crl_ext]
authorityKeyIdentifier = keyid:always
[delta]
2.5.29.27 = critical,DER:020101
[indirect]
issuingDistributionPoint = critical,@indirect_point
[indirect_point]
fullname = URI:http://ca.example/crl
indirectCRL = TRUE
[attributes]
issuingDistributionPoint = critical,@attributes_point
[attributes_point]
onlyAA = TRUE
[partial]
issuingDistributionPoint = critical,@partial_point
[partial_point]
fullname = URI:http://ca.example/crl
onlyuser = TRUE
[critical]
1.2.3.4.5678 = critical,DER:0500
[freshest]
2.5.29.46 = DER:3000
";

fn begin(key: &str) -> Workshop {
    let shop = Workshop::new();
    shop.write("ca.cnf", CONFIGURATION);
    shop.write("crlnumber", "1000\n");
    shop.write("serial", "01\n");
    shop.write("index.txt", INDEX);
    make_ca(&shop, "ca", "/C=FI/O=Borealis/CN=Plant 7 CA", key, "v3_ca");
    shop
}

fn make_ca(shop: &Workshop, name: &str, subject: &str, key: &str, extensions: &str) {
    shop.openssl(&format!("genpkey -algorithm {key} -out {name}.key"));
    let args =
        ["req", "-x509", "-new", "-key", &format!("{name}.key"), "-days", "3650", "-out", &format!("{name}.pem")];
    let more = ["-subj", subject, "-config", "ca.cnf", "-extensions", extensions];
    shop.try_openssl_args(&[&args[..], &more].concat()).unwrap();
}

/// Status, end, since and why, serial, file, subject.
const INDEX: &str = "\
R\t360101000000Z\t261120090000Z\t1000\tunknown\t/CN=a
V\t360101000000Z\t\t1001\tunknown\t/CN=b
R\t360101000000Z\t261121090001Z,keyCompromise\t00FB\tunknown\t/CN=c
R\t360101000000Z\t491231235959Z,CACompromise\t7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\tunknown\t/CN=d
R\t360101000000Z\t261121090001Z,certificateHold\t05\tunknown\t/CN=e
";

fn list(shop: &Workshop, extra: &str) -> Vec<u8> {
    shop.openssl(&format!("ca -config ca.cnf -gencrl -out list.pem {extra}"));
    shop.read("list.pem")
}

fn certificate(shop: &Workshop, name: &str) -> Certificate<'static> {
    Certificate::read(CertificateDer::from(shop.der(&format!("{name}.pem")))).unwrap()
}

fn checked(shop: &Workshop, bytes: &[u8], ca: &str) -> Result<Crl, CrlError> {
    read(bytes, &Limits::default())?.remove(0).signed_by(&certificate(shop, ca))
}

fn serial(bytes: &[u8]) -> Serial {
    Serial(bytes.into())
}

/// TRUST-10
#[test]
fn a_list_of_openssl_is_read_with_every_kind_of_key_and_in_both_versions() {
    let mut highest = [0xFF_u8; 20];
    highest[0] = 0x7F;
    for key in KEYS {
        let shop = begin(key);
        let crl =
            checked(&shop, &list(&shop, "-crlexts crl_ext"), "ca").unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(crl.issuer(), "CN=Plant 7 CA, O=Borealis, C=FI");
        assert_eq!((crl.number(), crl.len(), crl.is_partial()), (Some(&[0x10_u8, 0][..]), 4, false));
        assert!((now() - crl.this_update()).abs() < 600);
        assert_eq!(crl.next_update().unwrap() - crl.this_update(), 30 * 86_400);
        let found: Vec<Revoked> = crl.entries().collect();
        assert_eq!(
            found,
            [
                Revoked { serial: serial(&[5]), since: 1_795_251_601, reason: RevocationReason::CertificateHold },
                Revoked { serial: serial(&[0, 0xFB]), since: 1_795_251_601, reason: RevocationReason::KeyCompromise },
                Revoked { serial: serial(&[0x10, 0]), since: 1_795_165_200, reason: RevocationReason::Unspecified },
                Revoked { serial: serial(&highest), since: 2_524_607_999, reason: RevocationReason::CaCompromise },
            ],
            "{key}"
        );
        // Version 1 has no extensions at all.
        shop.write("ca.cnf", CONFIGURATION.replace("crlnumber = crlnumber\n", ""));
        shop.write("index.txt", INDEX.lines().next().unwrap().to_owned() + "\n");
        let crl = checked(&shop, &list(&shop, ""), "ca").unwrap();
        assert!(shop.openssl("crl -in list.pem -noout -text").contains("Version 1 "));
        assert_eq!((crl.number(), crl.len()), (None, 1));
    }
}

#[test]
fn several_lists_are_read_in_every_form() {
    let shop = begin(EC);
    let one = String::from_utf8(list(&shop, "-crlexts crl_ext")).unwrap();
    shop.openssl("crl -in list.pem -outform DER -out one.der");
    let two = String::from_utf8(list(&shop, "-crlexts crl_ext")).unwrap();
    shop.openssl("crl -in list.pem -outform DER -out two.der");
    let text = shop.openssl("crl -in list.pem -text");
    let ders = [shop.read("one.der"), shop.read("two.der")];
    let count = |bytes: &[u8]| read(bytes, &Limits::default()).map(|lists| lists.len());
    assert_eq!(count(one.as_bytes()), Ok(1));
    assert_eq!(count(format!("{one}{two}").as_bytes()), Ok(2));
    assert_eq!(count(&ders[0]), Ok(1));
    assert_eq!(count(&ders.concat()), Ok(2));
    assert_eq!(count(text.as_bytes()), Ok(1));
    assert_eq!(count(one.replace('\n', "").as_bytes()), Ok(1));
    assert_eq!(count(pem("X509 CRL", &ders.concat()).as_bytes()), Ok(2));
    assert_eq!(count(&[ders[0].as_slice(), &[0]].concat()), Err(CrlError::Der));
    let crl = checked(&shop, &ders[1], "ca").unwrap();
    assert_eq!((crl.der(), crl.number()), (ders[1].as_slice(), Some(&[0x10, 1][..])));
}

#[test]
fn a_list_of_a_kind_that_we_do_not_take_says_which() {
    let shop = begin(EC);
    for (extensions, said) in [
        ("delta", "delta list"),
        ("indirect", "indirect list"),
        ("attributes", "attribute certificates"),
        ("critical", "critical extension 1.2.3.4.5678"),
    ] {
        let error = checked(&shop, &list(&shop, &format!("-crlexts {extensions}")), "ca").unwrap_err().to_string();
        assert!(error.contains(said), "{extensions}: {error}");
    }
    assert!(checked(&shop, &list(&shop, "-crlexts partial"), "ca").unwrap().is_partial());
    assert!(!checked(&shop, &list(&shop, "-crlexts freshest"), "ca").unwrap().is_partial());
    // The reason of an entry becomes the certificate issuer of an indirect list.
    list(&shop, "-crlexts crl_ext");
    shop.openssl("crl -in list.pem -outform DER -out list.der");
    let mut der = shop.read("list.der");
    let at = der.windows(3).position(|oid| oid == [0x55, 29, 21]).unwrap();
    der[at + 2] = 29;
    assert_eq!(read(&der, &Limits::default()).unwrap_err(), CrlError::Indirect);
    der[at + 2] = 99; // not critical, and unknown
    assert!(read(&der, &Limits::default()).is_ok());
}

#[test]
fn a_list_that_the_ca_did_not_sign_is_refused() {
    let shop = begin(EC);
    let list_of = |extra: &str| list(&shop, &format!("-crlexts crl_ext {extra}"));
    make_ca(&shop, "twin", "/C=FI/O=Borealis/CN=Plant 7 CA", EC, "v3_ca");
    make_ca(&shop, "other", "/CN=other", EC, "v3_ca");
    make_ca(&shop, "mute", "/CN=mute", EC, "no_crl_sign");
    for (signer, ca, extra, said) in [
        ("twin", "ca", "", "another key signed it"),
        ("other", "ca", "", "the CA is called CN=Plant 7 CA"),
        ("mute", "mute", "", "lacks cRLSign"),
        ("ca", "ca", "-md sha1", "SHA-1 with ECDSA"),
    ] {
        let bytes = list_of(&format!("-cert {signer}.pem -keyfile {signer}.key {extra}"));
        let error = checked(&shop, &bytes, ca).unwrap_err().to_string();
        assert!(error.contains(said), "{signer} {ca} {extra}: {error}");
    }
    let bytes = list_of("");
    assert!(read(&bytes, &Limits::default()).unwrap()[0].is_named_after(&certificate(&shop, "twin")));
    assert!(!read(&bytes, &Limits::default()).unwrap()[0].is_named_after(&certificate(&shop, "other")));
}

#[test]
fn limits_hold_and_rubbish_is_named() {
    let shop = begin(EC);
    let bytes = list(&shop, "-crlexts crl_ext");
    let limits = Limits::default();
    let error = |bytes: &[u8], limits: Limits| read(bytes, &limits).unwrap_err().to_string();
    assert!(error(&bytes, Limits { bytes: 10, ..limits }).contains("at most 10 are read"));
    assert!(error(&bytes, Limits { entries: 3, ..limits }).contains("more than 3 entries"));
    assert!(
        error(&[bytes.clone(), bytes.clone()].concat(), Limits { lists: 1, ..limits }).contains("more than 1 lists")
    );
    assert!(read(&bytes, &Limits { entries: 4, lists: 1, bytes: bytes.len() }).is_ok());
    for (bytes, said) in [
        (&b""[..], "no revocation list"),
        (b"hello", "no revocation list"),
        (&shop.read("ca.key"), "private key"),
        (&shop.read("ca.pem"), "no revocation list"),
        (&bytes[..bytes.len() - 30], "cut off"),
        (&shop.der("ca.pem"), "not an X.509 revocation list"),
    ] {
        assert!(error(bytes, limits).contains(said), "{said}: {}", error(bytes, limits));
    }
}

fn der() -> &'static (Vec<u8>, Certificate<'static>) {
    static DER: std::sync::OnceLock<(Vec<u8>, Certificate<'static>)> = std::sync::OnceLock::new();
    DER.get_or_init(|| {
        let shop = begin(EC);
        list(&shop, "-crlexts crl_ext");
        shop.openssl("crl -in list.pem -outform DER -out list.der");
        (shop.read("list.der"), certificate(&shop, "ca"))
    })
}

#[test]
fn no_bit_of_a_list_can_be_changed() {
    let (der, ca) = der();
    let taken = |bytes: &[u8]| {
        let lists = read(bytes, &Limits::default()).ok()?;
        lists.into_iter().next()?.signed_by(ca).ok()
    };
    assert!(taken(der).is_some());
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[at] ^= 1 << bit;
            assert!(taken(&changed).is_none(), "byte {at}, bit {bit}");
        }
        assert!(taken(&der[..at]).is_none(), "{at} bytes");
    }
}

/// All that a complete list can say.
const REASONS: &[RevocationReason] = &[
    RevocationReason::Unspecified,
    RevocationReason::KeyCompromise,
    RevocationReason::CaCompromise,
    RevocationReason::AffiliationChanged,
    RevocationReason::Superseded,
    RevocationReason::CessationOfOperation,
    RevocationReason::CertificateHold,
    RevocationReason::PrivilegeWithdrawn,
    RevocationReason::AaCompromise,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_change_of_a_list_makes_the_reader_panic(
        at in any::<prop::sample::Index>(), length in 0..20_usize, bytes in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let (der, ca) = der();
        let mut changed = der.clone();
        let start = at.index(changed.len());
        let end = (start + length).min(changed.len());
        changed.splice(start..end, bytes);
        for list in read(&changed, &Limits::default()).into_iter().flatten() {
            if let Ok(crl) = list.signed_by(ca) {
                prop_assert_eq!(crl.entries().count(), crl.len());
            }
        }
    }

    /// What we write is what we read, and openssl reads it too.
    #[test]
    fn every_list_that_is_written_is_read_again(
        entries in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..20), 0..4_000_000_000_i64, prop::sample::select(REASONS)), 0..20),
        number in any::<u64>(),
    ) {
        static CA: std::sync::OnceLock<LocalSigner> = std::sync::OnceLock::new();
        let ca = CA.get_or_init(|| LocalSigner::create(&CaOrder::tenant("t2250", now()).unwrap()).unwrap());
        let entries: Vec<Revoked> = entries
            .into_iter()
            .map(|(serial, since, reason)| Revoked { serial: Serial(serial.into()), since, reason })
            .collect();
        let order = CrlOrder { number, this_update: 1_000, next_update: 3_000_000_000, entries: &entries };
        let written = ca.sign_crl(&order).unwrap();
        let authority = Certificate::read(CertificateDer::from(ca.certificate().to_vec())).unwrap();
        let crl = read(&written, &Limits::default()).unwrap().remove(0).signed_by(&authority).unwrap();
        prop_assert_eq!(crl.entries().collect::<Vec<_>>(), entries);
        prop_assert_eq!((crl.this_update(), crl.next_update()), (1_000, Some(3_000_000_000)));
        let digits: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
        prop_assert_eq!(crl.number(), Some(digits.as_slice()));
    }
}

const MANY: usize = 100_000;

#[test]
fn a_list_of_a_hundred_thousand_certificates_of_openssl_is_read() {
    let shop = begin(EC);
    let mut index = String::new();
    for number in 0..MANY {
        writeln!(index, "R\t360101000000Z\t261120090000Z,superseded\t40{number:030X}\tunknown\t/CN=a").unwrap();
    }
    shop.write("index.txt", index);
    let bytes = list(&shop, "-crlexts crl_ext");
    let crl = checked(&shop, &bytes, "ca").unwrap();
    assert_eq!((crl.len(), crl.entries().count()), (MANY, MANY));
    let settings = crl.settings(None, "list.pem".to_owned());
    assert_eq!((settings.serials.len(), settings.next_update), (MANY, crl.next_update()));
    assert!(crl.entries().step_by(1_000).all(|entry| settings.serials.contains(&entry.serial)));
    // What is kept is the list itself.
    assert!(crl.der().len() < bytes.len() * 3 / 4 + 100);
    assert!(crl.entries().all(|entry| entry.reason == RevocationReason::Superseded && entry.serial.0.len() == 16));
}

#[test]
fn openssl_finds_one_certificate_among_a_hundred_thousand_on_our_list() {
    let shop = Workshop::new();
    let ca = LocalSigner::create(&CaOrder::tenant("t2250", now()).unwrap()).unwrap();
    let entry = |number: usize| {
        let serial = Serial([&[0x10][..], &number.to_be_bytes()].concat().into());
        Revoked { serial, since: now() - 60, reason: RevocationReason::Unspecified }
    };
    let subject = Subject::common_name("x").unwrap();
    let issue = || {
        let order = Order {
            subject: &subject,
            public_key: ca.key().public_key(),
            validity: Validity::days(now(), 1),
            alt_names: &[],
            profile: Profile::Client,
        };
        ca.issue(&order).unwrap()
    };
    let (good, bad) = (issue(), issue());
    let mut entries: Vec<Revoked> = (0..MANY).map(entry).collect();
    entries.insert(MANY / 2, Revoked { serial: bad.serial, ..entry(0) });
    let order = CrlOrder { number: 7, this_update: now() - 60, next_update: now() + 60, entries: &entries };
    shop.write("crl.pem", pem("X509 CRL", &ca.sign_crl(&order).unwrap()));
    shop.write("ca.pem", certificate_pem(ca.certificate()));
    for (certificate, is_good) in [(&good.certificate, true), (&bad.certificate, false)] {
        shop.write("leaf.pem", certificate_pem(certificate));
        let answer = shop.try_openssl("verify -crl_check -CRLfile crl.pem -CAfile ca.pem leaf.pem");
        assert_eq!(answer.is_ok(), is_good, "{answer:?}");
    }
}

/// C8Y-EST-01: what an EST client is answered.
#[test]
fn openssl_takes_the_certificates_out_of_the_envelope() {
    use certus::ca::armour::base64_lines;
    use certus::ca::pkcs7::certificates_only;

    let shop = Workshop::new();
    let cas: Vec<LocalSigner> =
        ["one", "two", "three"].map(|name| LocalSigner::create(&CaOrder::tenant(name, now()).unwrap()).unwrap()).into();
    let ders: Vec<&[u8]> = cas.iter().map(Signer::certificate).collect();
    for count in 0..=ders.len() {
        let envelope = certificates_only(&ders[..count]);
        shop.write("body.b64", base64_lines(&envelope));
        shop.openssl("base64 -d -in body.b64 -out body.p7");
        assert_eq!(shop.read("body.p7"), envelope);
        let printed = shop.openssl("pkcs7 -inform DER -in body.p7 -print_certs");
        let found: Vec<String> =
            printed.lines().filter(|line| line.starts_with("subject")).map(str::to_owned).collect();
        let wanted = ["subject=CN = one", "subject=CN = two", "subject=CN = three"];
        assert_eq!(found, wanted[..count]);
        assert_eq!(printed.matches("-----BEGIN CERTIFICATE-----").count(), count);
        shop.openssl("cms -cmsout -inform DER -in body.p7 -noout -print");
    }
}
