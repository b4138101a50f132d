//! What anybody may hand in to the certificate authority.

use std::sync::OnceLock;

use base64ct::{Base64, Encoding};
use certus::ca::armour::{base64_lines, pem};
use certus::ca::crl::{Limits, Revoked, read};
use certus::ca::keypair::KeyType;
use certus::ca::pkcs7::certificates_only;
use certus::ca::profile::{Profile, Validity};
use certus::ca::request::Request;
use certus::ca::signer::{CaOrder, LocalSigner, Order, Signer};
use certus::ca::subject::Subject;
use certus::identity::certificate::Certificate;
use rustls_pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, FromDer};

/// A CA whose key is gone, and all the lists that it signed and that are taken.
const CA: &[u8] = include_bytes!("../corpus/crl/ca.der");
const SIGNED: [&[u8]; 4] = [
    include_bytes!("../corpus/crl/crl_ext.der"),
    include_bytes!("../corpus/crl/empty.der"),
    include_bytes!("../corpus/crl/partial.der"),
    include_bytes!("../corpus/crl/v1.der"),
];

fn signer() -> &'static LocalSigner {
    static SIGNER: OnceLock<LocalSigner> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let validity = Validity { not_before: 1_800_000_000, not_after: 1_900_000_000 };
        let subject = Subject::common_name("ca").expect("a good name");
        LocalSigner::create(&CaOrder { subject, key: KeyType::P256, path_length: Some(0), validity }).expect("a CA")
    })
}

fn issued(request: &Request) -> Vec<u8> {
    let order = Order {
        subject: request.subject(),
        public_key: request.public_key(),
        validity: signer().validity(),
        alt_names: &[],
        profile: Profile::Client,
    };
    signer().issue(&order).expect("a key that signed a request can be certified").certificate
}

/// A request: what is taken can be certified, with its subject as it is.
pub fn csr(input: &[u8]) {
    let taken = match Request::read(input) {
        Ok(request) => request,
        Err(objection) => {
            assert!(!objection.field.is_empty() && objection.reason.len() > 10);
            return;
        }
    };
    if let Err(objection) = Request::read_centiloc(input) {
        assert!(!objection.reason.is_empty());
    }
    let issued = issued(&taken);
    let read = Certificate::read(CertificateDer::from(issued)).expect("what we issue can be read");
    assert_eq!((read.subject_der(), read.public_key()), (taken.subject().der(), taken.public_key()));
}

/// The contents of the elements of `der`, one behind the other.
fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (rest, element) = Any::from_der(der).expect("DER");
        found.push(element.data);
        der = rest;
    }
    found
}

/// A body of EST: a request is the same in every form in which clients send
/// it, and the certificate stands in the answer where RFC 5652 has it.
pub fn est(input: &[u8]) {
    let Ok(request) = Request::read(input) else { return };
    let der = request.der();
    let lines = base64_lines(der);
    let forms = [
        lines.replace('\n', "\r\n"),
        lines.replace('\n', ""),
        pem("CERTIFICATE REQUEST", der),
        pem("NEW CERTIFICATE REQUEST", der),
        lines,
    ];
    for form in forms {
        let read = Request::read(form.as_bytes()).map(|read| read.der().to_vec());
        assert_eq!(read.as_deref(), Ok(der), "{form}");
    }
    let certificate = issued(&request);
    let answer = base64_lines(&certificates_only(&[&certificate, signer().certificate()]));
    let envelope = Base64::decode_vec(&answer.replace('\n', "")).expect("base64 in lines");
    let content = elements(elements(&envelope)[0])[1];
    let signed_data = elements(elements(content)[0]);
    assert_eq!(signed_data[3], [&certificate[..], signer().certificate()].concat());
}

fn entries(der: &[u8], ca: &Certificate<'_>) -> Vec<Vec<Revoked>> {
    let lists = read(der, &Limits::default()).unwrap_or_default();
    let taken = lists.into_iter().filter_map(|list| {
        assert!(!list.issuer().chars().any(char::is_control));
        list.signed_by(ca).ok()
    });
    taken
        .map(|list| {
            let entries: Vec<Revoked> = list.entries().collect();
            assert_eq!(entries.len(), list.len(), "what was read once is read again");
            entries
        })
        .collect()
}

/// Lists: none is taken that the CA did not sign.
pub fn crl(input: &[u8]) {
    let ca = Certificate::read(CertificateDer::from(CA)).expect("a good certificate");
    static KNOWN: OnceLock<Vec<Vec<Revoked>>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| SIGNED.iter().flat_map(|der| entries(der, &ca)).collect());
    assert_eq!(known.len(), SIGNED.len());
    assert!(entries(input, &ca).iter().all(|found| known.contains(found)), "a forgery");
    if let Err(error) = read(input, &Limits::default()) {
        assert!(error.to_string().len() > 10);
    }
}
