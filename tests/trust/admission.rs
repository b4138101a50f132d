//! The answers to CONNECT (spec.md section 7), and to a change of trust.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use certus::identity::admission::{Admission, Answer, ConnectRequest, ListenerScope, Peer, admit};
use certus::identity::certificate::Certificate;
use certus::identity::devices::Known;
use certus::identity::principal::Holder;
use certus::identity::readmission::readmit;
use certus::identity::reason::Reason;
use certus::identity::refusal::Refusal;
use certus::identity::refusals::{RefusalFilter, Refusals};
use certus::identity::revocation::RevocationTarget;
use certus::identity::switch::{
    AnchorKind, AnchorState, AutoRegister, CleanSessionPolicy, IdentityRule, PlainListener, Profile, RejectAt,
};
use certus::identity::tenant::{AnchorSettings, Switches, TenantSettings};
use certus::identity::trust::TrustSnapshot;
use certus::mqtt::{TenantId, TopicName, Version};

use crate::pki::{anchor, chain, days_later, der, noon, revocation, snapshot, tenant, with};

pub const CONNECT: ConnectRequest<'static> = ConnectRequest {
    version: Version::V4,
    bridge: false,
    client_id: "press",
    clean_start: true,
    session_expiry: 0,
    user_name: None,
    password: None,
    will_topic: None,
};

pub fn as_client(client_id: &str) -> ConnectRequest<'_> {
    ConnectRequest { client_id, ..CONNECT }
}

fn with_password<'a>(user_name: &'a str, password: Option<&'a str>) -> ConnectRequest<'a> {
    ConnectRequest { user_name: Some(user_name), password: password.map(str::as_bytes), ..CONNECT }
}

pub fn over(tls: bool, sent: &[&str]) -> Peer {
    let scope = ListenerScope {
        name: Arc::from(if tls { "tls" } else { "plain" }),
        tls,
        websocket: false,
        default_tenant: Some(TenantId::new("lab")),
    };
    Peer {
        address: SocketAddr::from(([127, 0, 0, 1], 4000)),
        chain: (!sent.is_empty()).then(|| chain(sent).into()),
        server_name: None,
        tls: tls.then_some("1.3"),
        listener: Arc::new(scope),
    }
}

pub fn over_tls(sent: &[&str]) -> Peer {
    over(true, sent)
}

fn lab(profile: Profile, change: impl FnOnce(&mut Switches)) -> Arc<TrustSnapshot> {
    snapshot(&[with(tenant("lab", profile, &["root"]), change)])
}

pub fn refusal(outcome: Result<Admission, Box<Refusal>>) -> (Reason, u8) {
    let refusal = outcome.map(|admission| admission.principal.to_string()).unwrap_err();
    (refusal.reason, refusal.reason.connack().connack_v3())
}

pub fn ask(snapshot: &TrustSnapshot, peer: &Peer, request: &ConnectRequest<'_>) -> Result<Admission, Box<Refusal>> {
    match admit(snapshot, peer, request, noon())? {
        Answer::Admitted(admission) => Ok(*admission),
        Answer::Unproved(unproved) => panic!("a password has to be checked: {unproved:?}"),
    }
}

/// AUTH-06
#[test]
fn open_takes_the_cn_as_client_id_and_nothing_else() {
    let snapshot = lab(Profile::Open, |_| ());
    let admission = ask(&snapshot, &over_tls(&["eku-client"]), &CONNECT).unwrap();
    assert_eq!((admission.client_id.as_str(), admission.assigned), ("press", false));
    assert_eq!(admission.principal.common_name(), Some("press"));
    assert!(admission.not_after.unwrap() > noon());
    let other = ask(&snapshot, &over_tls(&["eku-client"]), &as_client("pump")).unwrap_err();
    assert_eq!((other.reason, other.expected.as_deref()), (Reason::CnMismatch, Some("\"press\"")));
    assert_eq!(other.reason.connack().connack_v3(), 5);
}

/// AUTH-02: no CN, two, one with a blank, one that is not ASCII.
#[test]
fn the_cn_is_compared_byte_for_byte_and_there_is_exactly_one() {
    let snapshot = lab(Profile::Open, |_| ());
    for (leaf, client_id, expected) in [
        ("cn-none", "press", Some((Reason::CnMissing, 5))),
        ("cn-two", "a", Some((Reason::CnMissing, 5))),
        ("cn-blank", "press", Some((Reason::CnMismatch, 5))),
        ("cn-utf8", "Prüfstand 7", None),
    ] {
        let outcome = ask(&snapshot, &over_tls(&[leaf]), &as_client(client_id));
        match expected {
            Some(expected) => assert_eq!(refusal(outcome), expected, "{leaf}"),
            None => assert_eq!(outcome.unwrap().principal.common_name(), Some(client_id)),
        }
    }
}

/// AUTH-03, AUTH-04, AUTH-05 with their codes.
#[test]
fn each_platform_checks_the_client_id_in_its_own_way() {
    let mindconnect = lab(Profile::Mindconnect, |_| ());
    for (client_id, good) in [("lab_press", true), ("press", true), ("lab2_press", false)] {
        let outcome = ask(&mindconnect, &over_tls(&["eku-client"]), &as_client(client_id));
        assert_eq!(outcome.is_ok(), good, "{client_id}");
    }
    let cumulocity = lab(Profile::Cumulocity, |_| ());
    for (client_id, expected) in [
        ("press", None),
        ("d:press", None),
        ("d:press:gw", None),
        ("d:pump", Some((Reason::CnMismatch, 5))),
        ("x:press:gw", Some((Reason::ClientId, 2))),
        ("d:", Some((Reason::ClientId, 2))),
    ] {
        let outcome = ask(&cumulocity, &over_tls(&["eku-client"]), &as_client(client_id));
        match expected {
            Some(expected) => assert_eq!(refusal(outcome), expected, "{client_id}"),
            None => assert_eq!(outcome.unwrap().session_key.as_str(), "press", "{client_id}"),
        }
    }
}

/// AUTH-07, AUTH-05: CN = tenant, a password beside the certificate.
#[test]
fn centiloc_needs_a_password_beside_the_certificate() {
    let mut operator = tenant("operator", Profile::Centiloc, &[]);
    operator.anchors.push(AnchorSettings { kind: AnchorKind::Operator, ..anchor("root") });
    let tenants = [operator, tenant("acme", Profile::Centiloc, &[]), tenant("bravo", Profile::Centiloc, &[])];
    let snapshot = snapshot(&tenants);
    let peer = over_tls(&["tenant-acme"]);
    for (request, expected) in [
        (as_client("acme-1"), (Reason::BadPassword, 4)),
        (with_password("acme/um-1", None), (Reason::BadPassword, 4)),
        (with_password("acme/um-1", Some("wrong")), (Reason::BadPassword, 4)),
        (with_password("bravo/um-1", Some("right")), (Reason::TenantConflict, 5)),
    ] {
        assert_eq!(refusal(ask(&snapshot, &peer, &request)), expected, "{request:?}");
    }
}

/// AUTH-08, AUTH-09, AUTH-10
#[test]
fn cumulocity_tells_wrong_passwords_from_empty_ones_and_never_blames_them_on_a_certificate() {
    let settings = [tenant("lab", Profile::Cumulocity, &["root"]), tenant("other", Profile::Cumulocity, &[])];
    let snapshot = snapshot(&settings);
    let bare = over_tls(&[]);
    for (request, expected) in [
        (with_password("lab/device", Some("wrong")), (Reason::BadPassword, 4)),
        (with_password("nobody/device", Some("wrong")), (Reason::BadPassword, 4)),
        (with_password("lab/device", Some("")), (Reason::EmptyPassword, 5)),
        (with_password("lab/device", None), (Reason::EmptyPassword, 5)),
        (CONNECT, (Reason::NoCredentials, 5)),
    ] {
        assert_eq!(refusal(ask(&snapshot, &bare, &request)), expected, "{request:?}");
    }
    let device = over_tls(&["eku-client"]);
    for (user_name, good) in
        [("lab", true), ("anything", true), ("lab/device", true), ("other", false), ("other/x", false)]
    {
        let outcome = ask(&snapshot, &device, &with_password(user_name, Some("wrong")));
        assert_eq!(outcome.is_ok(), good, "{user_name}");
        if !good {
            assert_eq!(refusal(outcome), (Reason::TenantConflict, 5), "{user_name}");
        }
    }
}

/// AUTH-11, the rows that are decided here.
#[test]
fn levels_and_lengths_have_their_own_codes() {
    let cumulocity = lab(Profile::Cumulocity, |_| ());
    fn level_3(client_id: &str) -> ConnectRequest<'_> {
        ConnectRequest { version: Version::V3, ..as_client(client_id) }
    }
    let peer = over_tls(&["eku-client"]);
    assert_eq!(refusal(ask(&cumulocity, &peer, &level_3(&"x".repeat(24)))), (Reason::LongClientId, 5));
    assert_eq!(refusal(ask(&cumulocity, &peer, &level_3(&"x".repeat(23)))), (Reason::CnMismatch, 5));
    let mindconnect = lab(Profile::Mindconnect, |_| ());
    assert_eq!(refusal(ask(&mindconnect, &peer, &level_3("press"))), (Reason::ProtocolLevel, 1));
    let open = lab(Profile::Open, |_| ());
    assert_eq!(refusal(ask(&open, &peer, &as_client(&"x".repeat(257)))), (Reason::ClientId, 2));
    let lasting = ConnectRequest { clean_start: false, ..as_client("") };
    assert_eq!(refusal(ask(&open, &peer, &lasting)), (Reason::ClientId, 2));
}

/// MQTT-CON-05
#[test]
fn an_empty_client_id_becomes_the_expected_one_or_a_random_one_in_open() {
    let open = lab(Profile::Open, |_| ());
    let named = ask(&open, &over_tls(&["eku-client"]), &as_client("")).unwrap();
    assert_eq!((named.client_id.as_str(), named.assigned), ("press", true));
    // [MQTT-3.1.3-6]: MQTT 5.0 lets a lasting session be named by the server.
    let lasting = ConnectRequest { version: Version::V5, clean_start: false, ..as_client("") };
    assert!(ask(&open, &over_tls(&["eku-client"]), &lasting).unwrap().assigned);
    let one = ask(&open, &over(false, &[]), &as_client("")).unwrap();
    let two = ask(&open, &over(false, &[]), &as_client("")).unwrap();
    assert!(one.assigned && one.client_id != two.client_id);
    let any = lab(Profile::Open, |switches| switches.identity_rule = IdentityRule::Any);
    assert!(ask(&any, &over_tls(&["eku-client"]), &as_client("")).unwrap().assigned);
}

/// TLS-12, and what `plain_listener` means.
#[test]
fn without_tls_only_open_lets_in_and_only_from_this_machine() {
    let open = lab(Profile::Open, |_| ());
    let admission = ask(&open, &over(false, &[]), &as_client("anything")).unwrap();
    assert_eq!(admission.principal.holder, Holder::Anonymous);
    let mut far = over(false, &[]);
    far.address = SocketAddr::from(([192, 0, 2, 1], 4000));
    assert_eq!(refusal(ask(&open, &far, &CONNECT)), (Reason::TransportForbidden, 5));
    let everywhere = lab(Profile::Open, |switches| switches.plain_listener = PlainListener::On);
    assert!(ask(&everywhere, &far, &CONNECT).is_ok());
    let by_password = lab(Profile::Open, |switches| switches.plain_listener = PlainListener::PasswordOnly);
    assert_eq!(refusal(ask(&by_password, &over(false, &[]), &CONNECT)), (Reason::NoCredentials, 5));
    assert_eq!(refusal(ask(&open, &over(false, &[]), &with_password("u", Some("p")))), (Reason::BadPassword, 4));
    let mindconnect = lab(Profile::Mindconnect, |_| ());
    assert_eq!(refusal(ask(&mindconnect, &over(false, &[]), &CONNECT)), (Reason::TransportForbidden, 5));
    assert_eq!(refusal(ask(&open, &over_tls(&[]), &CONNECT)), (Reason::NoCertificate, 5));
}

/// MQTT-WS-02
#[test]
fn over_web_socket_cumulocity_wants_a_password_even_beside_a_certificate() {
    let web = |sent: &[&str]| {
        let mut peer = over_tls(sent);
        peer.listener = Arc::new(ListenerScope { websocket: true, ..(*peer.listener).clone() });
        peer
    };
    let cumulocity = lab(Profile::Cumulocity, |_| ());
    assert_eq!(refusal(ask(&cumulocity, &web(&["eku-client"]), &CONNECT)), (Reason::NoCredentials, 5));
    assert!(ask(&lab(Profile::Open, |_| ()), &web(&["eku-client"]), &CONNECT).is_ok());
    let mindconnect = lab(Profile::Mindconnect, |_| ());
    assert_eq!(refusal(ask(&mindconnect, &web(&["eku-client"]), &CONNECT)), (Reason::TransportForbidden, 5));
}

/// AUTH-13
#[test]
fn a_first_connection_registers_where_tenant_or_anchor_say_so() {
    let mut settings = tenant("lab", Profile::Cumulocity, &["root"]);
    settings.anchors[0].auto_registration = false;
    let strict = snapshot(std::slice::from_ref(&settings));
    assert_eq!(refusal(ask(&strict, &over_tls(&["eku-client"]), &CONNECT)), (Reason::NotRegistered, 5));
    settings.switches.auto_register = AutoRegister::Yes;
    assert!(ask(&snapshot(&[settings]), &over_tls(&["eku-client"]), &CONNECT).is_ok());
}

/// MQTT-SES-05, MQTT-WILL-02
#[test]
fn lasting_sessions_and_wills_need_the_tenants_leave() {
    let strict = lab(Profile::Open, |switches| switches.clean_session_policy = CleanSessionPolicy::RejectPersistent);
    let peer = over_tls(&["eku-client"]);
    let lasting = ConnectRequest { clean_start: false, ..CONNECT };
    assert_eq!(refusal(ask(&strict, &peer, &lasting)), (Reason::CleanSessionPolicy, 5));
    let expiring = ConnectRequest { version: Version::V5, session_expiry: 60, ..CONNECT };
    assert_eq!(refusal(ask(&strict, &peer, &expiring)), (Reason::CleanSessionPolicy, 5));
    assert!(ask(&strict, &peer, &CONNECT).is_ok());
    let will = |topic| ConnectRequest { will_topic: Some(TopicName::new(topic).unwrap()), ..CONNECT };
    let mindconnect = lab(Profile::Mindconnect, |_| ());
    assert!(ask(&mindconnect, &peer, &will("tc/lab/press/o/gone")).is_ok());
    assert_eq!(refusal(ask(&mindconnect, &peer, &will("tc/lab/pump/o/gone"))), (Reason::WillForbidden, 5));
}

/// TLS-07, AUTH-10's switch.
#[test]
fn a_chain_that_tls_let_through_is_refused_or_left_to_the_password() {
    let patient = |switches: &mut Switches| switches.reject_at = RejectAt::Connack;
    let snapshot = lab(Profile::Cumulocity, patient);
    let peer = over_tls(&["foreign"]);
    assert_eq!(refusal(ask(&snapshot, &peer, &CONNECT)), (Reason::UnknownIssuer, 5));
    let request = with_password("lab/device", Some("wrong"));
    assert_eq!(refusal(ask(&snapshot, &peer, &request)), (Reason::UnknownIssuer, 5));
    let snapshot = lab(Profile::Cumulocity, |switches| {
        patient(switches);
        switches.cert_fallback_to_password = true;
    });
    assert_eq!(refusal(ask(&snapshot, &peer, &request)), (Reason::BadPassword, 4));
    assert_eq!(refusal(ask(&snapshot, &peer, &CONNECT)), (Reason::UnknownIssuer, 5));
}

/// Spec.md section 2: the anchor's tenant comes before the listener's.
#[test]
fn the_anchor_finds_the_tenant_and_two_tenants_keep_one_cn_apart() {
    let tenants = [tenant("lab", Profile::Open, &["root-rsa"]), tenant("plant", Profile::Open, &["root"])];
    let snapshot = snapshot(&tenants);
    let plant = ask(&snapshot, &over_tls(&["eku-client"]), &CONNECT).unwrap();
    let lab = ask(&snapshot, &over_tls(&["under-rsa"]), &CONNECT).unwrap();
    assert_eq!((plant.tenant.id.as_str(), lab.tenant.id.as_str()), ("plant", "lab"));
    assert_ne!(plant.principal, lab.principal);
}

/// One lineage: a device that moves to the tenant's second CA stays itself.
#[test]
fn the_anchors_of_one_tenant_prove_the_same_principal() {
    let snapshot = snapshot(&[tenant("lab", Profile::Open, &["root", "root-rsa"])]);
    let one = ask(&snapshot, &over_tls(&["eku-client"]), &CONNECT).unwrap();
    let two = ask(&snapshot, &over_tls(&["under-rsa"]), &CONNECT).unwrap();
    assert_eq!(one.principal, two.principal);
    let anonymous = ask(&snapshot, &over(false, &[]), &CONNECT).unwrap();
    assert_ne!(one.principal, anonymous.principal);
}

/// Makes the device known, as its first connection does.
pub fn know(snapshot: &TrustSnapshot, admission: &Admission) {
    if let Some(device) = &admission.device {
        let known = Known { enabled: true, connected: true, anchor: None, last_connected: None };
        snapshot.devices().of(&admission.tenant.id).insert(device, known);
    }
}

pub fn review(
    before: &TenantSettings,
    after: &TenantSettings,
    sent: &[&str],
    at: SystemTime,
) -> Result<Admission, Reason> {
    let peer = if sent.is_empty() { over(false, sent) } else { over_tls(sent) };
    let admission = ask(&snapshot(std::slice::from_ref(before)), &peer, &CONNECT).unwrap();
    let after = snapshot(std::slice::from_ref(after));
    know(&after, &admission);
    readmit(&after, &peer, &admission, at).map_err(|refusal| refusal.reason)
}

/// TRUST-11, TRUST-12 and house.md's second promise.
#[test]
fn a_live_connection_stays_exactly_as_long_as_it_would_be_admitted() {
    let lab = |anchors: &[&str]| tenant("lab", Profile::Open, anchors);
    let device = &["eku-client"][..];
    assert!(review(&lab(&["root"]), &lab(&["root", "root-rsa"]), device, noon()).is_ok());
    assert_eq!(review(&lab(&["root"]), &lab(&["root-rsa"]), device, noon()).err(), Some(Reason::UnknownIssuer));
    let mut disabled = lab(&["root"]);
    disabled.anchors[0].state = AnchorState::Disabled;
    assert_eq!(review(&lab(&["root"]), &disabled, device, noon()).err(), Some(Reason::AnchorDisabled));
    let short = &["short"][..];
    assert_eq!(review(&lab(&["root"]), &lab(&["root"]), short, days_later(2)).err(), Some(Reason::Expired));
    let patient = with(lab(&["root"]), |switches| switches.disconnect_on_expiry = false);
    let stays = review(&patient, &patient, short, days_later(2)).unwrap();
    assert_eq!(stays.not_after, None);
    let narrow = with(lab(&["root"]), |switches| switches.max_chain_length = 1);
    assert_eq!(review(&lab(&["root"]), &narrow, device, noon()).err(), Some(Reason::ChainTooLong));
    let other_rule = with(lab(&["root"]), |switches| {
        switches.identity_rule = IdentityRule::TenantCn;
        switches.allow_bare_cn = false;
    });
    assert_eq!(review(&lab(&["root"]), &other_rule, device, noon()).err(), Some(Reason::CnMismatch));
    let closed = with(lab(&["root"]), |switches| switches.plain_listener = PlainListener::Off);
    assert_eq!(review(&lab(&["root"]), &closed, &[], noon()).err(), Some(Reason::TransportForbidden));
    assert!(review(&lab(&["root"]), &closed, device, noon()).is_ok());
    let gone = tenant("other", Profile::Open, &["root"]);
    assert_eq!(review(&lab(&["root"]), &gone, device, noon()).err(), Some(Reason::NoTenant));
}

/// TRUST-10: a serial anywhere below the anchor.
#[test]
fn a_revoked_serial_ends_the_live_connection_and_refuses_the_next_one() {
    let lab = tenant("lab", Profile::Open, &["root"]);
    for (sent, taken_back) in [(&["below-sub", "sub"][..], "below-sub"), (&["below-sub", "sub"], "sub")] {
        let serial = Certificate::read(der(taken_back)).unwrap().facts().serial.clone();
        let mut after = lab.clone();
        after.revocations.push(revocation(RevocationTarget::Serial { anchor: None, serial }));
        assert!(review(&lab, &lab, sent, noon()).is_ok());
        assert_eq!(review(&lab, &after, sent, noon()).err(), Some(Reason::Revoked), "{taken_back}");
        assert_eq!(refusal(ask(&snapshot(&[after]), &over_tls(sent), &CONNECT)), (Reason::Revoked, 5));
    }
}

#[test]
fn rights_are_swapped_on_a_live_connection_and_kept_when_they_are_the_same() {
    let before = tenant("lab", Profile::Mindconnect, &["root"]);
    let after = with(before.clone(), |switches| switches.acl.extra_publish.push("shared/%n".to_owned()));
    let peer = over_tls(&["eku-client"]);
    let admission = ask(&snapshot(std::slice::from_ref(&before)), &peer, &CONNECT).unwrap();
    let topic = TopicName::new("shared/press").unwrap();
    assert!(admission.rights.publish(topic).is_err());
    let after = snapshot(&[after]);
    know(&after, &admission);
    let stays = readmit(&after, &peer, &admission, noon()).unwrap();
    assert!(stays.rights.publish(topic).is_ok());
    let before = snapshot(&[before]);
    know(&before, &admission);
    let same = readmit(&before, &peer, &admission, noon()).unwrap();
    assert!(Arc::ptr_eq(&same.rights, &admission.rights));
}

/// House.md's fifth promise.
#[test]
fn a_refusal_says_all_that_is_needed_on_one_line_and_in_json() {
    let snapshot = lab(Profile::Open, |_| ());
    let hostile = "evil\n\u{1b}[31m\"id\"";
    let refusal = ask(&snapshot, &over_tls(&["eku-client"]), &as_client(hostile)).unwrap_err();
    let line = refusal.to_string();
    assert!(!line.contains(char::is_control), "{line:?}");
    for part in [
        "refused at connect: cn_mismatch",
        "address=127.0.0.1:4000",
        "listener=tls",
        "tenant=lab",
        "tls=1.3",
        "subject=\"CN=press, O=Lab\"",
        "issuer=\"CN=root, O=Lab\"",
        "serial=",
        "fingerprint=",
        "not_before=",
        "not_after=",
        "anchor=\"root\"",
        "expected=\"press\"",
        "remedy: use the expected ClientId",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let json = refusal.to_json();
    assert_eq!(json["reason"], "cn_mismatch");
    assert_eq!(json["client_id"], hostile);
    assert_eq!(json["certificate"]["common_name"], "press");
}

#[test]
fn the_ring_of_refusals_keeps_the_newest_and_counts_them_all() {
    let snapshot = lab(Profile::Open, |_| ());
    let refusals = Refusals::new(3);
    for number in 0..5 {
        let client_id = format!("x{number}");
        let refusal = ask(&snapshot, &over_tls(&["eku-client"]), &as_client(&client_id)).unwrap_err();
        refusals.record(refusal);
    }
    let kept: Vec<_> = refusals
        .recent(&RefusalFilter::default(), 9)
        .iter()
        .map(|refusal| refusal.client_id.clone().unwrap())
        .collect();
    assert_eq!(kept, ["x4", "x3", "x2"]);
    assert_eq!((refusals.count(Reason::CnMismatch), refusals.count(Reason::Expired)), (5, 0));
}
