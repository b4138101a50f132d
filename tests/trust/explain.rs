//! `certus explain`, and the errors of the broker's own certificate.

use std::fs;

use certus::identity::explain::{Report, explain};
use certus::identity::pem::{PemError, Wanted};
use certus::identity::reason::Reason;
use certus::identity::server_certificate::ServerCertificate;
use certus::identity::switch::Profile;
use certus::mqtt::TenantId;

use crate::pki::{days_later, noon, path, snapshot, tenant};

fn report(files: &[&str], client_id: Option<&str>, wanted: Option<&str>) -> Report {
    let pem: Vec<u8> = files.iter().flat_map(|file| fs::read(path(&format!("{file}.pem"))).unwrap()).collect();
    let snapshot = snapshot(&[tenant("lab", Profile::Open, &["root"])]);
    explain(&pem, client_id, wanted.map(TenantId::new).as_ref(), noon(), &snapshot).unwrap()
}

#[test]
fn a_good_chain_is_explained_step_by_step_to_its_client_id() {
    let report = report(&["below-sub", "sub"], Some("press"), Some("lab"));
    assert_eq!(report.reason(), None, "{report}");
    let names: Vec<_> = report.steps.iter().map(|step| step.name).collect();
    for step in
        ["read", "intermediate", "anchor", "chain length", "validity", "key", "tenant", "common name", "ClientId"]
    {
        assert!(names.contains(&step), "{step}: {names:?}");
    }
    let text = report.to_string();
    assert!(text.contains("passed  anchor: CN=sub, O=Lab is signed by the anchor \"root\""), "{text}");
    assert!(text.ends_with("accepted; ClientId: \"press\"\n"), "{text}");
}

#[test]
fn each_failure_ends_with_its_reason_and_remedy() {
    for (files, client_id, wanted, reason) in [
        (&["below-sub"][..], None, None, Reason::UnknownIssuer),
        (&["namesake"], None, None, Reason::UnknownIssuer),
        (&["eku-server"], None, None, Reason::ExtendedKeyUsage),
        (&["ca-true"], None, None, Reason::CaLeaf),
        (&["sha1-ec"], None, None, Reason::WeakSignature),
        (&["eku-client"], Some("pump"), None, Reason::CnMismatch),
        (&["eku-client"], None, Some("other"), Reason::TenantConflict),
        (&["cn-two"], None, None, Reason::CnMissing),
    ] {
        let report = report(files, client_id, wanted);
        assert_eq!(report.reason(), Some(reason), "{files:?}: {report}");
        let text = report.to_string();
        assert!(text.contains("FAILED") && text.contains(reason.remedy()), "{text}");
    }
    let text = report(&["below-sub"], None, None).to_string();
    assert!(text.contains("was issued by CN=sub, O=Lab, which is no trust anchor and was not sent"), "{text}");
}

#[test]
fn what_is_no_certificate_is_not_explained_away() {
    let snapshot = snapshot(&[]);
    let key = fs::read(path("leaf.key")).unwrap();
    let outcome = explain(&key, None, None, noon(), &snapshot).map(|_| ());
    assert_eq!(outcome, Err(PemError::PrivateKey(Wanted::Certificate)));
}

/// SYS-07
#[test]
fn a_server_certificate_that_cannot_serve_is_named_with_its_file_and_a_remedy() {
    let load = |certificate: &str, key: &str, at| {
        ServerCertificate::load(&path(certificate), &path(key), at).map(|_| ()).unwrap_err().to_string()
    };
    assert!(ServerCertificate::load(&path("server.pem"), &path("server.key"), noon()).is_ok());
    assert!(ServerCertificate::load(&path("v1-rsa.pem"), &path("rsa2048.key"), noon()).is_ok());
    for (certificate, key, late, parts) in [
        ("server.pem", "leaf.key", false, &["leaf.key", "server.pem", "CN=localhost", "does not belong"][..]),
        ("absent.pem", "server.key", false, &["absent.pem", "No such file"]),
        ("server.key", "server.key", false, &["server.key", "private key and no certificate"]),
        ("server.pem", "server.pem", false, &["server.pem", "holds no private key"]),
        ("short.pem", "leaf.key", true, &["short.pem", "expired on", "renew"]),
        ("key-ed448.pem", "ed448.key", false, &["ed448.key", "Ed25519"]),
    ] {
        let text = load(certificate, key, if late { days_later(2) } else { noon() });
        for part in parts {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\n'), "{text}");
    }
}
