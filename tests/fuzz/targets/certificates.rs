//! Certificates that anybody may send, and the files that hold them.

use std::sync::{Arc, OnceLock};

use certus::identity::anchor::Anchor;
use certus::identity::capture;
use certus::identity::certificate::Certificate;
use certus::identity::pem::{Wanted, certificates, objects};
use certus::identity::switch::{AnchorKind, AnchorState, Profile, StaleCrl};
use certus::identity::tenant::{AnchorSettings, TenantSettings};
use certus::identity::trust::{Trust, TrustSnapshot};
use certus::identity::verifier::Verifier;
use certus::mqtt::TenantId;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};

/// A CA whose key is gone, and what it signed.
const CA: &[u8] = include_bytes!("../corpus/certificate/ca.der");
const SIGNED: [&[u8]; 3] = [
    include_bytes!("../corpus/certificate/leaf.der"),
    include_bytes!("../corpus/certificate/sub.der"),
    include_bytes!("../corpus/certificate/v1.der"),
];
/// January 2030: all of them are good then.
const WHEN: u64 = 1_893_456_000;

fn settings(der: &[u8]) -> AnchorSettings {
    AnchorSettings {
        name: "ca".to_owned(),
        der: der.to_vec(),
        source: "ca.der".to_owned(),
        kind: AnchorKind::Configured,
        state: AnchorState::Enabled,
        proved: true,
        auto_registration: true,
        stale_crl: StaleCrl::Soft,
        crls: Vec::new(),
    }
}

fn verifier() -> &'static Verifier {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    VERIFIER.get_or_init(|| {
        let mut tenant = TenantSettings::new(TenantId::new("lab"), Profile::Open);
        tenant.anchors = vec![settings(CA)];
        let snapshot = TrustSnapshot::build(&[tenant]).expect("a good anchor");
        Verifier::new(Arc::new(Trust::new(snapshot)), Some(TenantId::new("lab")), false)
    })
}

/// The verifier takes nothing that the CA did not sign.
fn judge(leaf: &CertificateDer<'_>, extras: &[CertificateDer<'_>]) {
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(WHEN));
    let taken = verifier().verify_client_cert(leaf, extras, now).is_ok();
    let failure = capture::take();
    if !taken {
        let failure = failure.expect("a refusal says why");
        assert!(!failure.detail.is_empty() && !failure.reason.remedy().is_empty());
        return;
    }
    let leaf = Certificate::read(leaf.clone()).expect("what is taken can be read");
    let is_known = |der: &&[u8]| {
        let known = Certificate::read(CertificateDer::from(*der)).expect("a good certificate");
        known.public_key() == leaf.public_key() && known.subject_der() == leaf.subject_der()
    };
    assert!(SIGNED.iter().chain([&CA]).any(is_known), "a forgery: {:?}", leaf.facts());
}

/// The bytes are the client's certificate, alone and with a good one behind it.
pub fn certificate(input: &[u8]) {
    let der = CertificateDer::from(input);
    let sub = CertificateDer::from(SIGNED[1]);
    judge(&der, &[]);
    judge(&der, std::slice::from_ref(&sub));
    judge(&CertificateDer::from(SIGNED[0]), std::slice::from_ref(&der));
    let switches = Profile::Open.switches();
    match Anchor::new(&TenantId::new("lab"), &switches, &settings(input)) {
        Ok(anchor) => assert!(anchor.summary().contains("ca")),
        Err(error) => assert!(!error.to_string().is_empty() && !error.remedy.is_empty()),
    }
    if let Ok(certificate) = Certificate::read(der) {
        assert_eq!(certificate.der(), input, "nothing is left over");
        assert!(!certificate.public_key().is_empty());
        let texts = [certificate.subject_text(), certificate.issuer_text(), format!("{:?}", certificate.facts())];
        assert!(texts.iter().all(|text| !text.chars().any(char::is_control)), "{texts:?}");
    }
}

/// A file: what is found in it is found again by itself.
pub fn pem(input: &[u8]) {
    match certificates(input) {
        Ok(found) => {
            assert!(!found.is_empty());
            for der in found {
                assert!(!der.is_empty());
                _ = Certificate::read(der);
            }
        }
        Err(error) => assert!(error.to_string().len() > 10),
    }
    for wanted in [Wanted::Request, Wanted::RevocationList] {
        match objects(input, wanted) {
            Ok(found) => assert!(!found.is_empty() && found.iter().all(|der| !der.is_empty())),
            Err(error) => assert!(error.to_string().len() > 10),
        }
    }
}
