//! What was taken back, by every way of naming it, and what becomes of the
//! snapshot when it changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use certus::identity::certificate::{Certificate, Fingerprint, Serial};
use certus::identity::crl::CrlSettings;
use certus::identity::devices::Known;
use certus::identity::path::Failure;
use certus::identity::readmission::readmit;
use certus::identity::reason::{Alert, Reason};
use certus::identity::refusal::{Refusal, Stage};
use certus::identity::revocation::{Revocation, RevocationTarget};
use certus::identity::switch::{AnchorKind, AnchorState, Profile, StaleCrl};
use certus::identity::tenant::{AnchorSettings, TenantSettings};
use certus::identity::trust::{Trust, TrustSnapshot};
use certus::mqtt::TenantId;

use crate::admission::{CONNECT, as_client, ask, know, over, over_tls, refusal, review};
use crate::pki::{anchor, chain, der, noon, revocation, snapshot, tenant, with};

const DAY: i64 = 86_400;

fn seconds(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn serial(name: &str) -> Serial {
    Certificate::read(der(name)).unwrap().facts().serial.clone()
}

fn fingerprint(name: &str) -> Fingerprint {
    Fingerprint::of(&der(name))
}

fn key(name: &str) -> Fingerprint {
    Fingerprint::of(Certificate::read(der(name)).unwrap().public_key())
}

fn lab(anchors: &[&str]) -> TenantSettings {
    tenant("lab", Profile::Open, anchors)
}

fn without(target: RevocationTarget, anchors: &[&str]) -> TenantSettings {
    TenantSettings { revocations: vec![revocation(target)], ..lab(anchors) }
}

fn judge(tenants: &[TenantSettings], sent: &[&str]) -> Result<(), Box<Failure>> {
    snapshot(tenants).judge(&chain(sent), None, seconds(noon())).map(|_| ())
}

fn reason(outcome: Result<(), Box<Failure>>) -> Option<Reason> {
    outcome.err().map(|failure| failure.reason)
}

/// Every way of naming, of the leaf and of a CA between it and the anchor:
/// the next connection is refused, the live one ends.
#[test]
fn whatever_names_a_certificate_takes_it_back() {
    let sent = &["below-sub", "sub"][..];
    let named = |name: &str| {
        let (serial, root) = (serial(name), fingerprint("root"));
        [
            RevocationTarget::Serial { anchor: None, serial: serial.clone() },
            RevocationTarget::Serial { anchor: Some(root), serial },
            RevocationTarget::Fingerprint(fingerprint(name)),
            RevocationTarget::Key(key(name)),
        ]
    };
    let of_the_device = ["press"].map(str::to_owned).into_iter();
    let of_the_device =
        of_the_device.flat_map(|name| [RevocationTarget::CommonName(name.clone()), RevocationTarget::Device(name)]);
    for target in named("below-sub").into_iter().chain(named("sub")).chain(of_the_device) {
        let after = without(target.clone(), &["root"]);
        assert_eq!(review(&lab(&["root"]), &after, sent, noon()).err(), Some(Reason::Revoked), "{target:?}");
        assert_eq!(refusal(ask(&snapshot(&[after]), &over_tls(sent), &CONNECT)), (Reason::Revoked, 5), "{target:?}");
    }
}

#[test]
fn whoever_is_not_named_stays() {
    let others = [
        RevocationTarget::Serial { anchor: Some(fingerprint("root-rsa")), serial: serial("eku-client") },
        RevocationTarget::Serial { anchor: None, serial: serial("below-sub") },
        RevocationTarget::Fingerprint(fingerprint("eku-none")),
        RevocationTarget::Key(key("under-rsa").max(key("root-rsa"))),
        RevocationTarget::CommonName("Press".to_owned()),
        RevocationTarget::Device("press-2".to_owned()),
    ];
    let others = others.into_iter().filter(|target| *target != RevocationTarget::Key(key("eku-client")));
    for target in others {
        let after = without(target.clone(), &["root", "root-rsa"]);
        assert!(review(&lab(&["root", "root-rsa"]), &after, &["eku-client"], noon()).is_ok(), "{target:?}");
    }
}

/// A device is refused by its name, also when a password or nothing at all
/// proves it.
#[test]
fn a_device_is_taken_back_whatever_proves_it() {
    let after = without(RevocationTarget::Device("press".to_owned()), &["root"]);
    let snapshot = snapshot(std::slice::from_ref(&after));
    assert_eq!(refusal(ask(&snapshot, &over(false, &[]), &CONNECT)).0, Reason::Revoked);
    assert!(ask(&snapshot, &over(false, &[]), &as_client("press-2")).is_ok());
    assert_eq!(review(&lab(&["root"]), &after, &[], noon()).err(), Some(Reason::Revoked));
}

#[test]
fn a_refusal_names_the_certificate_the_date_and_the_reason() {
    let after = without(RevocationTarget::Key(key("sub")), &["root"]);
    let failure = judge(&[after], &["below-sub", "sub"]).unwrap_err();
    for part in ["CN=sub", "by its key", "2026-09-21", "keyCompromise"] {
        assert!(failure.detail.contains(part), "{part}: {}", failure.detail);
    }
}

/// What the operator takes back below its own CA, no tenant can keep.
#[test]
fn the_operator_takes_back_what_its_ca_signed() {
    let mut operator = tenant("operator", Profile::Centiloc, &[]);
    operator.anchors.push(AnchorSettings { kind: AnchorKind::Operator, ..anchor("root") });
    let acme = tenant("acme", Profile::Centiloc, &[]);
    assert_eq!(reason(judge(&[operator.clone(), acme.clone()], &["tenant-acme"])), None);
    operator.revocations = vec![revocation(RevocationTarget::Serial { anchor: None, serial: serial("tenant-acme") })];
    assert_eq!(reason(judge(&[operator, acme], &["tenant-acme"])), Some(Reason::Revoked));
}

fn list(issuer: Option<Fingerprint>, taken_back: &[&str], next_update: Option<i64>) -> CrlSettings {
    CrlSettings {
        issuer,
        serials: Arc::new(taken_back.iter().map(|name| serial(name)).collect()),
        this_update: seconds(noon()) - DAY,
        next_update,
        source: "plant.crl".to_owned(),
    }
}

fn with_list(list: CrlSettings, stale_crl: StaleCrl) -> TenantSettings {
    let mut settings = lab(&["root"]);
    settings.anchors[0].crls = vec![list];
    settings.anchors[0].stale_crl = stale_crl;
    settings
}

/// TRUST-10: each certificate is looked up in the list of the CA that signed
/// it, and in no other.
#[test]
fn a_list_speaks_for_its_issuer_alone() {
    let tomorrow = Some(seconds(noon()) + DAY);
    let sent = &["below-sub", "sub"][..];
    for (issuer, taken_back, expected) in [
        (None, "sub", Some(Reason::Revoked)),
        (None, "below-sub", None),
        (Some(key("sub")), "below-sub", Some(Reason::Revoked)),
        (Some(key("sub")), "sub", None),
        (Some(key("root")), "sub", Some(Reason::Revoked)),
    ] {
        let settings = with_list(list(issuer, &[taken_back], tomorrow), StaleCrl::Hard);
        assert_eq!(reason(judge(std::slice::from_ref(&settings), sent)), expected, "{taken_back} by {issuer:?}");
        assert_eq!(review(&lab(&["root"]), &settings, sent, noon()).err(), expected);
    }
}

#[test]
fn a_stale_list_is_enough_when_soft_and_not_when_hard() {
    let yesterday = Some(seconds(noon()) - 1);
    for (stale_crl, expected) in [(StaleCrl::Soft, None), (StaleCrl::Hard, Some(Reason::CrlStale))] {
        let settings = with_list(list(None, &["short"], yesterday), stale_crl);
        let outcome = judge(std::slice::from_ref(&settings), &["eku-client"]);
        if let Err(failure) = &outcome {
            for part in ["plant.crl", "CN=root", "2026"] {
                assert!(failure.detail.contains(part), "{part}: {}", failure.detail);
            }
        }
        assert_eq!(reason(outcome), expected);
        assert_eq!(review(&lab(&["root"]), &settings, &["eku-client"], noon()).err(), expected);
        let other = reason(judge(std::slice::from_ref(&settings), &["short"]));
        assert_eq!(other, Some(Reason::Revoked), "what is on it stays taken back");
        let forever = with_list(list(None, &[], None), stale_crl);
        assert_eq!(reason(judge(&[forever], &["eku-client"])), None, "without nextUpdate it is never stale");
    }
}

/// A verdict that is remembered is not what it was when its list went stale.
#[test]
fn time_makes_a_list_stale_for_remembered_verdicts_too() {
    let settings = with_list(list(None, &[], Some(seconds(noon()))), StaleCrl::Hard);
    let snapshot = snapshot(&[settings]);
    let judge = |now| snapshot.judge(&chain(&["eku-client"]), None, now).map(|_| ()).map_err(|failure| failure.reason);
    assert_eq!(judge(seconds(noon())), Ok(()));
    assert_eq!(judge(seconds(noon()) + 1), Err(Reason::CrlStale));
    let peer = over_tls(&["eku-client"]);
    let admission = ask(&snapshot, &peer, &CONNECT).unwrap();
    know(&snapshot, &admission);
    let later = noon() + std::time::Duration::from_secs(1);
    let refused = readmit(&snapshot, &peer, &admission, later).map(|_| ());
    assert_eq!(refused.map_err(|refusal| refusal.reason), Err(Reason::CrlStale));
}

#[test]
fn an_anchor_for_renewal_renews_and_connects_nobody() {
    let mut settings = lab(&["root"]);
    settings.anchors[0].state = AnchorState::RenewOnly;
    let outcome = ask(&snapshot(std::slice::from_ref(&settings)), &over_tls(&["eku-client"]), &CONNECT);
    assert_eq!(refusal(outcome), (Reason::AnchorRenewOnly, 5));
    assert_eq!(Reason::AnchorRenewOnly.alert(None), Some(Alert::UnknownCa));
    assert_eq!(review(&lab(&["root"]), &settings, &["eku-client"], noon()).err(), Some(Reason::AnchorRenewOnly));
    let renew = |settings: &TenantSettings, sent: &[&str]| {
        let snapshot = snapshot(std::slice::from_ref(settings));
        let verdict = snapshot.judge_for_renewal(&chain(sent), None, seconds(noon()));
        verdict.map(|verdict| verdict.anchor.name.to_string()).map_err(|failure| failure.reason)
    };
    assert_eq!(renew(&settings, &["eku-client"]), Ok("root".to_owned()));
    assert_eq!(renew(&settings, &["under-rsa"]), Err(Reason::UnknownIssuer));
    settings.revocations = vec![revocation(RevocationTarget::CommonName("press".to_owned()))];
    assert_eq!(renew(&settings, &["eku-client"]), Err(Reason::Revoked));
    settings.anchors[0].state = AnchorState::Disabled;
    assert_eq!(renew(&settings, &["eku-client"]), Err(Reason::AnchorDisabled));
}

/// TRUST-02
#[test]
fn uploaded_and_configured_anchors_share_the_places() {
    let places = |kinds: [AnchorKind; 3]| {
        let names = ["root", "root-rsa", "root-other"];
        let anchors = names.iter().zip(kinds).map(|(name, kind)| AnchorSettings { kind, ..anchor(name) }).collect();
        let settings = TenantSettings { anchors, ..lab(&[]) };
        TrustSnapshot::build(&[with(settings, |switches| switches.max_anchors = 2)]).is_ok()
    };
    assert!(!places([AnchorKind::Uploaded, AnchorKind::Configured, AnchorKind::Uploaded]));
    assert!(places([AnchorKind::Uploaded, AnchorKind::Configured, AnchorKind::Issuer]));
    assert!(places([AnchorKind::Uploaded, AnchorKind::Operator, AnchorKind::Configured]));
}

/// The CA that the broker keeps for a tenant is one of its lineage and signs
/// for nobody else.
#[test]
fn the_tenants_own_ca_proves_the_same_principal_as_its_other_anchors() {
    let mut settings = lab(&["root", "root-rsa"]);
    settings.anchors[0].kind = AnchorKind::Issuer;
    let snapshot = snapshot(&[settings, tenant("acme", Profile::Open, &[])]);
    let one = ask(&snapshot, &over_tls(&["eku-client"]), &CONNECT).unwrap();
    let two = ask(&snapshot, &over_tls(&["under-rsa"]), &CONNECT).unwrap();
    assert_eq!(one.principal, two.principal);
    let acme = snapshot.judge(&chain(&["tenant-acme"]), None, seconds(noon())).unwrap();
    assert_eq!(acme.tenant.as_str(), "lab");
}

#[test]
fn a_tenant_that_is_switched_off_lets_nobody_in_and_nobody_stay() {
    let off = TenantSettings { enabled: false, ..lab(&["root"]) };
    for sent in [&["eku-client"][..], &[]] {
        let peer = if sent.is_empty() { over(false, sent) } else { over_tls(sent) };
        let outcome = ask(&snapshot(std::slice::from_ref(&off)), &peer, &CONNECT);
        assert_eq!(refusal(outcome), (Reason::SubscriptionInactive, 5));
        assert_eq!(review(&lab(&["root"]), &off, sent, noon()).err(), Some(Reason::SubscriptionInactive));
    }
}

/// A change of one tenant costs what that tenant costs: all others, and of its
/// own anchors those that stayed the same, are taken over.
#[test]
fn a_change_takes_over_what_did_not_change() {
    let others = (0..100).map(|number| tenant(&format!("t{number}"), Profile::Open, &[]));
    let mut tenants: Vec<_> = others.collect();
    tenants.push(lab(&["root", "root-rsa"]));
    let trust = Trust::new(TrustSnapshot::build(&tenants).unwrap());
    let before = trust.current();
    let mut changed = lab(&["root", "root-rsa"]);
    let taken_back = |number: u32| Revocation {
        since: number.into(),
        ..revocation(RevocationTarget::Serial { anchor: None, serial: Serial(number.to_be_bytes().into()) })
    };
    changed.revocations = (1 << 20..(1 << 20) + 10_000).map(taken_back).collect();
    changed.anchors[1].state = AnchorState::Disabled;
    let next = before.with_tenants(std::slice::from_ref(&changed), &[TenantId::new("t7")]).unwrap();
    let change = trust.publish(next);
    let after = trust.current();
    assert!(change.anchor_gone && Arc::ptr_eq(&change.snapshot, &after) && after.version() == before.version() + 1);
    let names = |snapshot: &TrustSnapshot| snapshot.tenants().map(|tenant| tenant.id.clone()).collect::<BTreeSet<_>>();
    let gone: Vec<_> = names(&before).difference(&names(&after)).cloned().collect();
    assert_eq!(gone, [TenantId::new("t7")]);
    let of = |snapshot: &Arc<TrustSnapshot>, id: &str| Arc::clone(snapshot.tenant_named(id).unwrap());
    assert!(Arc::ptr_eq(&of(&before, "t8"), &of(&after, "t8")));
    let (old, new) = (of(&before, "lab"), of(&after, "lab"));
    assert!(Arc::ptr_eq(&old.anchors[0], &new.anchors[0]) && !Arc::ptr_eq(&old.anchors[1], &new.anchors[1]));
    assert!(Arc::ptr_eq(&old.rights, &new.rights));
    let judged = after.judge(&chain(&["eku-client"]), None, seconds(noon())).map(|_| ());
    assert!(judged.is_ok(), "{judged:?}");
}

#[test]
fn a_mistake_in_one_tenant_changes_nothing() {
    let trust = Trust::new(TrustSnapshot::build(&[lab(&["root"])]).unwrap());
    let twice = tenant("plant", Profile::Open, &["root"]);
    let errors = trust.current().with_tenants(&[twice], &[]).unwrap_err();
    assert!(errors[0].to_string().contains("belongs to one tenant"), "{errors:?}");
    assert_eq!(trust.current().version(), 1);
    assert!(trust.current().tenant_named("plant").is_none());
}

/// AUTH-13: a device that is disabled or removed goes, and the next CONNECT
/// finds it so.
#[test]
fn a_device_that_is_disabled_or_removed_does_not_stay() {
    let snapshot = snapshot(&[lab(&["root"])]);
    let peer = over_tls(&["eku-client"]);
    let admission = ask(&snapshot, &peer, &CONNECT).unwrap();
    assert_eq!(admission.device.as_deref(), Some("press"));
    know(&snapshot, &admission);
    let devices = snapshot.devices().of(&TenantId::new("lab"));
    let live = || readmit(&snapshot, &peer, &admission, noon()).map(|_| ()).map_err(|refusal| refusal.reason);
    assert_eq!(live(), Ok(()));
    assert!(devices.enable("press", false));
    assert_eq!(live(), Err(Reason::DeviceDisabled));
    assert_eq!(refusal(ask(&snapshot, &peer, &CONNECT)), (Reason::DeviceDisabled, 5));
    devices.remove("press");
    assert_eq!(live(), Err(Reason::NotRegistered));
    assert!(ask(&snapshot, &peer, &CONNECT).is_ok(), "it may become known again");
    let other = ask(&snapshot, &over(false, &[]), &CONNECT).unwrap();
    assert_eq!(other.device, None, "without a certificate there is no device");
}

/// C8Y-REG-01
#[test]
fn a_device_that_was_registered_by_hand_needs_no_leave_of_its_anchor() {
    let mut settings = tenant("lab", Profile::Cumulocity, &["root"]);
    settings.anchors[0].auto_registration = false;
    let snapshot = snapshot(&[settings]);
    assert_eq!(refusal(ask(&snapshot, &over_tls(&["eku-client"]), &CONNECT)), (Reason::NotRegistered, 5));
    let by_hand = Known { enabled: true, connected: false, anchor: None, last_connected: None };
    snapshot.devices().of(&TenantId::new("lab")).insert("press", by_hand);
    assert!(ask(&snapshot, &over_tls(&["eku-client"]), &CONNECT).is_ok());
}

/// Whoever reads the refusal can find the CA that is missing.
#[test]
fn an_unknown_issuer_is_named_with_its_key_id() {
    let failure = judge(&[lab(&["root-rsa"])], &["below-sub"]).unwrap_err();
    let missing = failure.missing.clone().unwrap();
    assert_eq!((failure.reason, missing.subject.as_str()), (Reason::UnknownIssuer, "CN=sub, O=Lab"));
    // `openssl x509 -req` writes no authorityKeyIdentifier unless it is asked for one.
    let written = missing.key_id.is_none_or(|id| id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert!(written);
    let key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "Plant 7 Root");
    let key_id: String = ca.key_identifier(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    let issuer = rcgen::Issuer::new(ca, key);
    let mut leaf = rcgen::CertificateParams::new(Vec::new()).unwrap();
    leaf.distinguished_name.push(rcgen::DnType::CommonName, "press");
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&rcgen::KeyPair::generate().unwrap(), &issuer).unwrap();
    let outcome = snapshot(&[lab(&["root"])]).judge(&[leaf.der().clone()], None, seconds(noon()));
    let failure = outcome.map(|_| ()).unwrap_err();
    let missing = failure.missing.clone().unwrap();
    assert_eq!(missing.key_id.as_deref(), Some(key_id.as_str()), "{failure:?}");
    let refusal = Refusal::of_chain(Stage::Handshake, &failure, noon());
    assert_eq!(refusal.to_json()["missing_issuer"]["key_id"], key_id.as_str());
    assert!(refusal.to_string().contains(&format!("missing_key_id={key_id}")), "{refusal}");
}
