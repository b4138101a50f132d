//! `certus explain`, and the errors of the broker's own certificate.

use std::fs;

use certus::identity::explain::{Inquiry, Report, explain};
use certus::identity::pem::{PemError, Wanted};
use certus::identity::reason::Reason;
use certus::identity::server_certificate::ServerCertificate;
use certus::identity::switch::Profile;
use certus::mqtt::TenantId;

use crate::pki::{days_later, noon, path, snapshot, tenant};

fn report(files: &[&str], client_id: Option<&str>, wanted: Option<&str>) -> Report {
    let pem: Vec<u8> = files.iter().flat_map(|file| fs::read(path(&format!("{file}.pem"))).unwrap()).collect();
    let snapshot = snapshot(&[tenant("lab", Profile::Open, &["root"])]);
    let tenant = wanted.map(TenantId::new);
    explain(&Inquiry { pem: &pem, client_id, tenant: tenant.as_ref(), at: noon() }, &snapshot).unwrap()
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
    let certificate = fs::read(path("below-sub.pem")).unwrap();
    let der = certus::identity::pem::certificates(&certificate).unwrap().remove(0);
    let key_id = hex_after(&der, &[0x55, 0x1d, 0x23]);
    let missing = format!("missing is the certificate of CN=sub, O=Lab with the key identifier {key_id}");
    assert!(text.contains(&missing), "{missing}: {text}");
}

/// The 20 bytes of the key identifier in the extension `oid` (2.5.29.35).
fn hex_after(der: &[u8], oid: &[u8]) -> String {
    let at = der.windows(oid.len()).position(|window| window == oid).unwrap() + oid.len();
    // OCTET STRING { SEQUENCE { [0] of 20 bytes
    assert_eq!(der[at..at + 6], [0x04, 0x18, 0x30, 0x16, 0x80, 0x14], "another form");
    der[at + 6..at + 26].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_speaks_against_a_device_is_told_as_at_connect() {
    use certus::identity::devices::Known;
    use certus::identity::revocation::{Revocation, RevocationTarget};
    use certus::identity::switch::RevocationReason;

    let pem = fs::read(path("eku-client.pem")).unwrap();
    let lab = TenantId::new("lab");
    let judge = |snapshot: &certus::identity::trust::TrustSnapshot, client_id: Option<&str>| {
        explain(&Inquiry { pem: &pem, client_id, tenant: Some(&lab), at: noon() }, snapshot).unwrap()
    };
    let mut settings = tenant("lab", Profile::Open, &["root"]);
    let free = snapshot(&[settings.clone()]);
    let report = judge(&free, None);
    assert_eq!(report.reason(), None, "{report}");
    let name = report.certificate.as_ref().unwrap().common_name.clone();
    let certus::identity::name::CommonName::One(name) = name else { panic!("{name:?}") };
    assert!(report.to_string().contains("becomes so by its first connection"), "{report}");
    let known = Known { enabled: false, connected: true, anchor: None, last_connected: None };
    free.devices().of(&lab).insert(&name, known);
    assert_eq!(judge(&free, None).reason(), Some(Reason::DeviceDisabled));
    free.devices().of(&lab).insert(&name, Known { enabled: true, ..known });
    assert!(judge(&free, None).to_string().contains("the device is known, and enabled"));

    for target in [RevocationTarget::CommonName(name.clone()), RevocationTarget::Device(name.clone())] {
        settings.revocations =
            vec![Revocation { target, since: 1_700_000_000, reason: RevocationReason::KeyCompromise }];
        let report = judge(&snapshot(&[settings.clone()]), None);
        assert_eq!(report.reason(), Some(Reason::Revoked), "{report}");
        assert!(report.to_string().contains("on 2023-11-14T22:13:20Z (keyCompromise)"), "{report}");
    }
}

/// What another tenant trusts is not told to this one.
#[test]
fn a_chain_of_another_tenant_is_told_to_be_that_and_no_more() {
    let all = snapshot(&[tenant("lab", Profile::Open, &[]), tenant("secretive", Profile::Open, &["root"])]);
    let pem = fs::read(path("eku-client.pem")).unwrap();
    let lab = TenantId::new("lab");
    let inquiry = Inquiry { pem: &pem, client_id: None, tenant: Some(&lab), at: noon() };
    let whole = explain(&inquiry, &all).unwrap();
    assert!(whole.to_string().contains("secretive"), "{whole}");
    let told = whole.for_tenant(&lab);
    assert_eq!((told.reason(), told.anchor.is_none(), told.tenant.clone()), (Some(Reason::TenantConflict), true, None));
    let text = told.to_string();
    assert!(!text.contains("secretive") && !text.contains("root"), "{text}");
    let own = explain(&Inquiry { tenant: None, ..inquiry }, &all).unwrap().for_tenant(&TenantId::new("secretive"));
    assert_eq!(own.reason(), None, "its own is told whole");
}

#[test]
fn what_is_no_certificate_is_not_explained_away() {
    let snapshot = snapshot(&[]);
    let key = fs::read(path("leaf.key")).unwrap();
    let inquiry = Inquiry { pem: &key, client_id: None, tenant: None, at: noon() };
    let outcome = explain(&inquiry, &snapshot).map(|_| ());
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
