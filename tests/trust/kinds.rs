//! Every kind of certificate, judged by our rules (deps.md section 2.3).

use std::time::SystemTime;

use certus::identity::path::Failure;
use certus::identity::reason::{Alert, Reason};
use certus::identity::switch::{AnchorInChain, AnchorKind, AnchorState, KeyPolicy, Profile, V1};
use certus::identity::tenant::{Switches, TenantSettings};
use certus::identity::trust::TrustSnapshot;

use crate::pki::{anchor, chain, days_later, noon, snapshot, tenant, with};

fn seconds(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn judge(snapshot: &TrustSnapshot, sent: &[&str], at: SystemTime) -> Result<(), Box<Failure>> {
    snapshot.judge(&chain(sent), None, seconds(at)).map(|_| ())
}

/// `max_chain_length` and version 1 anchors as wide as they go, so that a
/// kind is judged by what it is.
fn lab(anchors: &[&str]) -> TenantSettings {
    with(tenant("lab", Profile::Open, anchors), |switches| {
        switches.x509_v1_anchor = V1::Allow;
        switches.max_anchors = 0;
    })
}

#[track_caller]
fn verdict(anchors: &[&str], sent: &[&str], expected: Result<(), Reason>) {
    verdict_at(anchors, sent, noon(), expected);
}

#[track_caller]
fn verdict_at(anchors: &[&str], sent: &[&str], at: SystemTime, expected: Result<(), Reason>) {
    let outcome = judge(&snapshot(&[lab(anchors)]), sent, at);
    let found = outcome.as_ref().copied().map_err(|failure| failure.reason);
    assert_eq!(found, expected, "{sent:?} under {anchors:?}: {outcome:?}");
    if let Err(failure) = outcome {
        assert!(!failure.detail.is_empty() && failure.facts.is_some(), "{sent:?}: {failure:?}");
    }
}

#[track_caller]
fn verdict_with(change: impl FnOnce(&mut Switches), anchors: &[&str], sent: &[&str], expected: Result<(), Reason>) {
    let outcome = judge(&snapshot(&[with(lab(anchors), change)]), sent, noon());
    assert_eq!(outcome.map_err(|failure| failure.reason), expected, "{sent:?} under {anchors:?}");
}

/// Kinds 1 to 5: the extensions of an ordinary leaf do not matter.
#[test]
fn version_3_leaves_pass_with_or_without_key_usage_and_san() {
    for leaf in ["eku-client", "eku-none", "eku-both", "san-only", "san-many", "san-none"] {
        verdict(&["root"], &[leaf], Ok(()));
    }
}

/// Kinds 6 and 7: what `openssl x509 -req` makes without -extfile.
#[test]
fn version_1_leaves_pass_where_the_tenant_allows_them() {
    for leaf in ["v1-ec", "v1-rsa"] {
        verdict(&["root"], &[leaf], Ok(()));
        verdict_with(|switches| switches.x509_v1_leaf = V1::Refuse, &["root"], &[leaf], Err(Reason::X509Version));
    }
}

/// Kinds 8 to 12: the anchor is judged when it becomes one.
#[test]
fn leaves_of_odd_roots_pass_if_the_root_may_be_an_anchor() {
    verdict(&["root-v1"], &["under-v1"], Ok(()));
    verdict(&["root-v1"], &["v1-under-v1"], Ok(()));
    verdict(&["root-server"], &["under-server"], Ok(()));
    // Without basicConstraints it is a pinned device, and no issuer.
    verdict(&["root-plain"], &["under-plain"], Err(Reason::UnknownIssuer));
    verdict(&["root-plain"], &["root-plain"], Ok(()));
}

#[test]
fn a_certificate_that_may_not_sign_is_no_anchor_where_anchors_are_no_leaves() {
    for (name, change) in [
        ("root-plain", (|_| ()) as fn(&mut Switches)),
        ("root-nosign", |_| ()),
        ("eku-client", |_| ()),
        ("root-v1", |switches| switches.x509_v1_anchor = V1::Refuse),
        ("v1-ec", |_| ()),
        ("sub", |_| ()),
    ] {
        let settings = with(tenant("acme", Profile::Mindconnect, &[name]), change);
        let errors = TrustSnapshot::build(&[settings]).unwrap_err();
        let text = errors[0].to_string();
        assert!(text.contains("acme") && text.contains(name) && text.contains(".pem"), "{text}");
    }
}

/// An anchor's dates count, which webpki never looks at.
#[test]
fn an_expired_anchor_refuses_its_devices_by_name() {
    verdict(&["root-short"], &["under-short"], Ok(()));
    verdict_at(&["root-short"], &["under-short"], days_later(2), Err(Reason::Expired));
    let outcome = judge(&snapshot(&[lab(&["root-short"])]), &["under-short"], days_later(2)).unwrap_err();
    assert!(outcome.detail.contains("anchor") && outcome.detail.contains("root-short"), "{}", outcome.detail);
}

/// Kinds 13 and 26 to 28.
#[test]
fn intermediates_have_to_be_cas_of_version_3_and_have_to_be_sent() {
    verdict(&["root"], &["below-sub", "sub"], Ok(()));
    verdict(&["root"], &["below-sub"], Err(Reason::UnknownIssuer));
    verdict(&["sub"], &["below-sub"], Ok(()));
    verdict(&["root"], &["below-v1-sub", "sub-v1"], Err(Reason::NotCa));
    verdict(&["root"], &["below-noca", "sub-noca"], Err(Reason::NotCa));
    verdict_at(&["root"], &["below-short", "sub-short"], days_later(2), Err(Reason::Expired));
}

/// Kinds 14 to 17.
#[test]
fn extended_key_usage_needs_client_auth_or_any_when_it_is_there() {
    verdict(&["root"], &["eku-server"], Err(Reason::ExtendedKeyUsage));
    verdict(&["root"], &["eku-any"], Ok(()));
    verdict(&["root"], &["ku-encipherment"], Ok(()));
}

/// Kinds 18 to 21.
#[test]
fn a_ca_is_a_device_only_where_it_is_itself_the_anchor() {
    verdict(&["root"], &["ca-true"], Err(Reason::CaLeaf));
    verdict(&["self-ca"], &["self-ca"], Ok(()));
    verdict(&["root"], &["self-ca"], Err(Reason::UnknownIssuer));
    verdict(&["self-leaf"], &["self-leaf"], Ok(()));
    verdict_with(|switches| switches.anchor_may_be_leaf = false, &["self-ca"], &["self-ca"], Err(Reason::CaLeaf));
}

/// Kinds 22 to 25.
#[test]
fn unknown_critical_extensions_wrong_dates_and_foreign_issuers_are_refused() {
    verdict(&["root"], &["critical"], Err(Reason::CriticalExtension));
    verdict(&["root"], &["short"], Ok(()));
    verdict_at(&["root"], &["short"], days_later(2), Err(Reason::Expired));
    let yesterday = noon() - std::time::Duration::from_secs(86_400);
    verdict_at(&["root"], &["eku-client"], yesterday, Err(Reason::NotYetValid));
    verdict(&["root"], &["foreign"], Err(Reason::UnknownIssuer));
    verdict(&["root"], &["foreign", "root-other"], Err(Reason::UnknownIssuer));
}

/// Kinds 29 to 38.
#[test]
fn keys_are_taken_by_policy_and_never_when_weak() {
    for leaf in ["key-rsa2048", "key-rsa3072", "key-rsa4096", "key-leaf384", "key-leaf521", "key-ed"] {
        verdict(&["root"], &[leaf], Ok(()));
    }
    verdict(&["root"], &["key-rsa1024"], Err(Reason::WeakKey));
    verdict(&["root"], &["key-leafk1"], Err(Reason::KeyType));
    verdict(&["root"], &["key-ed448"], Err(Reason::KeyType));
    verdict_with(|switches| switches.key_policy = KeyPolicy::RsaEc, &["root"], &["key-ed"], Err(Reason::KeyType));
    verdict_with(|switches| switches.key_policy = KeyPolicy::Ec, &["root"], &["key-rsa2048"], Err(Reason::KeyType));
    verdict_with(|switches| switches.key_policy = KeyPolicy::Ec, &["root"], &["key-leaf521"], Ok(()));
}

/// Kinds 39 to 41.
#[test]
fn cas_of_every_kind_verify_their_leaves() {
    for (root, leaf) in
        [("root-p521", "under-p521"), ("root-p384", "under-p384"), ("root-ed", "under-ed"), ("root-rsa", "under-rsa")]
    {
        verdict(&[root], &[leaf], Ok(()));
    }
}

/// Kinds 42 and 43.
#[test]
fn sha_1_is_too_weak_and_an_odd_pss_salt_is_not_understood() {
    verdict(&["root-rsa"], &["sha1"], Err(Reason::WeakSignature));
    verdict(&["root"], &["sha1-ec"], Err(Reason::WeakSignature));
    verdict(&["root-rsa"], &["pss-default"], Err(Reason::SignatureAlgorithm));
    verdict(&["root-rsa"], &["pss-digest"], Ok(()));
}

/// Kinds 44 to 46.
#[test]
fn serial_numbers_are_opaque() {
    for (leaf, serial) in
        [("serial-0", "00"), ("serial-negative", "fb"), ("serial-21", "00800102030405060708090a0b0c0d0e0f1011121314")]
    {
        let verdict = snapshot(&[lab(&["root"])]).judge(&chain(&[leaf]), None, seconds(noon())).unwrap();
        assert_eq!(verdict.facts.serial.to_string(), serial, "{leaf}");
    }
}

/// TRUST-09: the key decides between CAs of one name.
#[test]
fn a_namesake_of_the_anchor_is_not_the_anchor() {
    verdict(&["root"], &["namesake"], Err(Reason::UnknownIssuer));
    verdict(&["root", "root-namesake"], &["namesake"], Ok(()));
    verdict(&["root", "root-namesake"], &["eku-client"], Ok(()));
}

/// TRUST-05
#[test]
fn chain_length_counts_leaf_and_anchor() {
    let of = |length| move |switches: &mut Switches| switches.max_chain_length = length;
    verdict_with(of(2), &["root"], &["eku-client"], Ok(()));
    verdict_with(of(2), &["root"], &["below-sub", "sub"], Err(Reason::ChainTooLong));
    verdict_with(of(3), &["root"], &["below-sub", "sub"], Ok(()));
    verdict_with(of(1), &["self-ca"], &["self-ca"], Ok(()));
}

/// TRUST-06
#[test]
fn a_tenant_may_insist_on_the_anchor_in_the_chain() {
    let required = |switches: &mut Switches| switches.anchor_in_chain = AnchorInChain::Required;
    verdict_with(required, &["root"], &["eku-client"], Err(Reason::MissingAnchor));
    verdict_with(required, &["root"], &["eku-client", "root"], Ok(()));
    verdict_with(required, &["root"], &["eku-client", "root-other", "root"], Ok(()));
    verdict_with(required, &["self-ca"], &["self-ca"], Ok(()));
}

/// TRUST-07: A(2), B(1), C(0), device; one more CA below C is one too many.
#[test]
fn path_lengths_are_honoured() {
    verdict(&["root-pathlen2"], &["below-c", "c0", "b1"], Ok(()));
    verdict_with(|switches| switches.max_chain_length = 4, &["root-pathlen2"], &["below-c", "b1", "c0"], Ok(()));
    verdict(&["root-pathlen2"], &["below-d", "d", "c0", "b1"], Err(Reason::PathLength));
}

/// TRUST-03
#[test]
fn anchors_that_are_disabled_or_not_proved_do_not_count_and_say_so() {
    let mut settings = tenant("acme", Profile::Mindconnect, &["root"]);
    settings.anchors[0].proved = false;
    let unproved = judge(&snapshot(&[settings.clone()]), &["eku-client"], noon());
    assert_eq!(unproved.map_err(|failure| failure.reason), Err(Reason::AnchorUnproved));
    settings.anchors[0].state = AnchorState::Disabled;
    let disabled = judge(&snapshot(&[settings.clone()]), &["eku-client"], noon());
    assert_eq!(disabled.map_err(|failure| failure.reason), Err(Reason::AnchorDisabled));
    settings.anchors[0].state = AnchorState::Enabled;
    settings.profile = Profile::Open;
    settings.switches = Profile::Open.switches();
    assert!(judge(&snapshot(&[settings]), &["eku-client"], noon()).is_ok(), "open needs no proof");
}

#[test]
fn more_than_ten_certificates_are_not_read() {
    let sent =
        ["eku-client", "root", "root-other", "sub", "sub-v1", "sub-noca", "b1", "c0", "d", "root-p521", "root-v1"];
    verdict(&["root"], &sent, Err(Reason::ChainTooLong));
    verdict(&["root"], &sent[..10], Ok(()));
}

/// Below a platform CA the CN is the tenant, of that CA's profile only.
#[test]
fn a_platform_ca_signs_for_the_tenants_of_its_profile() {
    let mut operator = tenant("operator", Profile::Centiloc, &[]);
    operator.anchors.push(certus::identity::tenant::AnchorSettings { kind: AnchorKind::Operator, ..anchor("root") });
    let tenants = [operator, tenant("acme", Profile::Centiloc, &[]), tenant("press", Profile::Open, &[])];
    let snapshot = snapshot(&tenants);
    let verdict = snapshot.judge(&chain(&["tenant-acme"]), None, seconds(noon())).unwrap();
    assert_eq!(verdict.tenant.as_str(), "acme");
    for foreign in ["tenant-nobody", "eku-client"] {
        let outcome = judge(&snapshot, &[foreign], noon());
        assert_eq!(outcome.map_err(|failure| failure.reason), Err(Reason::NoTenant), "{foreign}");
    }
}

/// TRUST-02, TRUST-09 and a domain for two.
#[test]
fn settings_that_contradict_each_other_are_all_named_at_once() {
    let mut one = tenant("one", Profile::Open, &["root", "root-other", "root-rsa"]);
    let mut two = tenant("two", Profile::Open, &["root"]);
    one.domain = Some("factory.lan".to_owned());
    two.domain = Some("Factory.lan".to_owned());
    let errors = TrustSnapshot::build(&[one, two]).unwrap_err();
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 3, "{text:?}");
    for part in ["max_anchors is 2", "factory.lan", "tenant one, anchor \"root\""] {
        assert!(text.iter().any(|text| text.contains(part)), "{part}: {text:?}");
    }
}

/// TLS-06
#[test]
fn the_alerts_are_those_of_the_table() {
    for (reason, alert) in [
        (Reason::UnknownIssuer, Alert::UnknownCa),
        (Reason::Expired, Alert::CertificateExpired),
        (Reason::NotYetValid, Alert::CertificateExpired),
        (Reason::Revoked, Alert::CertificateRevoked),
        (Reason::WeakKey, Alert::BadCertificate),
        (Reason::KeyType, Alert::BadCertificate),
        (Reason::CaLeaf, Alert::BadCertificate),
        (Reason::NotCa, Alert::BadCertificate),
        (Reason::Encoding, Alert::BadCertificate),
        (Reason::NoCertificate, Alert::CertificateRequired),
    ] {
        assert_eq!(reason.alert(Some(Profile::Open)), Some(alert), "{reason}");
    }
}

/// PERF-04: the second judgement of a chain is the first one's verdict.
#[test]
fn a_verdict_is_remembered_until_trust_changes_or_a_certificate_ends() {
    let trust = certus::identity::trust::Trust::new(TrustSnapshot::build(&[lab(&["root"])]).unwrap());
    let judged = |at| trust.current().judge(&chain(&["short"]), None, seconds(at));
    let first = judged(noon()).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &judged(noon()).unwrap()));
    assert_eq!(judged(days_later(2)).map(|_| ()).map_err(|failure| failure.reason), Err(Reason::Expired));
    // The same trust published again keeps its verdicts, another one does not.
    assert!(!trust.publish(TrustSnapshot::build(&[lab(&["root"])]).unwrap()).anchor_gone);
    assert!(std::sync::Arc::ptr_eq(&first, &judged(noon()).unwrap()));
    assert!(trust.publish(TrustSnapshot::build(&[lab(&["root-other"])]).unwrap()).anchor_gone);
    assert_eq!(trust.version(), 3);
    assert!(judged(noon()).is_err());
}
