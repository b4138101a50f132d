//! Accounts at CONNECT: who has to prove a password, and what is told to those who cannot (spec.md section 7).

use std::net::SocketAddr;
use std::sync::Arc;

use certus::identity::account::Account;
use certus::identity::admission::{Admission, Answer, ConnectRequest, ListenerScope, Peer, admit};
use certus::identity::fingerprint::Fingerprint;
use certus::identity::password;
use certus::identity::readmission::readmit;
use certus::identity::reason::Reason;
use certus::identity::refusal::Refusal;
use certus::identity::switch::{AnchorKind, ClientCert, Password, Profile, RejectAt, Role};
use certus::identity::tenant::{AnchorSettings, TenantSettings};
use certus::identity::trust::TrustSnapshot;
use certus::mqtt::{TenantId, TopicName, Version};

use crate::pki::{anchor, chain, noon, snapshot, tenant, with};

/// argon2id with 8 KiB and one pass, of "secret": made by `Argon2::new(Argon2id, V0x13, (8, 1, 1))`.
fn account(name: &str, role: Role) -> Account {
    use argon2::password_hash::PasswordHasher;
    let params = argon2::Params::new(8, 1, 1, None).unwrap();
    let quick = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let hash = quick.hash_password(b"secret").unwrap().to_string();
    Account { name: name.to_owned(), hash, role, enabled: true, grant: Vec::new() }
}

fn with_accounts(mut settings: TenantSettings) -> TenantSettings {
    settings.accounts = vec![
        account("dev", Role::Device),
        account("app", Role::Application),
        account("op", Role::Operator),
        Account { enabled: false, ..account("gone", Role::Operator) },
    ];
    settings
}

fn peer(tls: bool, sent: &[&str], default_tenant: Option<&str>) -> Peer {
    let default_tenant = default_tenant.map(TenantId::new);
    Peer {
        address: SocketAddr::from(([127, 0, 0, 1], 4000)),
        chain: (!sent.is_empty()).then(|| chain(sent).into()),
        server_name: None,
        tls: tls.then_some("1.3"),
        listener: Arc::new(ListenerScope { name: Arc::from("l"), tls, websocket: false, default_tenant }),
    }
}

fn connect<'a>(client_id: &'a str, user_name: Option<&'a str>, password: Option<&'a str>) -> ConnectRequest<'a> {
    ConnectRequest {
        version: Version::V4,
        bridge: false,
        client_id,
        clean_start: true,
        session_expiry: 0,
        user_name,
        password: password.map(str::as_bytes),
        will_topic: None,
    }
}

/// The answer, with the password checked as a broker would.
fn ask(trust: &TrustSnapshot, peer: &Peer, request: &ConnectRequest<'_>) -> Result<Admission, Box<Refusal>> {
    match admit(trust, peer, request, noon())? {
        Answer::Admitted(admission) => Ok(*admission),
        Answer::Unproved(unproved) if password::verify(&unproved.challenge.hash, &unproved.challenge.password) => {
            unproved.right
        }
        Answer::Unproved(unproved) => Err(unproved.wrong),
    }
}

fn told(trust: &TrustSnapshot, peer: &Peer, request: &ConnectRequest<'_>) -> Result<String, (Reason, u8)> {
    ask(trust, peer, request)
        .map(|admission| admission.principal.to_string())
        .map_err(|refusal| (refusal.reason, refusal.reason.connack().connack_v3()))
}

/// CEN-ACC-01
#[test]
fn certificate_and_account_of_a_grant_work_together_and_with_no_other() {
    let granted = |leaf: &str| vec![Fingerprint::of(&chain(&[leaf])[0])];
    let grant = |name: &str, leaf: &str| Account { grant: granted(leaf), ..account(name, Role::Device) };
    let mut acme = with_accounts(tenant("acme", Profile::Centiloc, &[]));
    acme.anchors.push(AnchorSettings { kind: AnchorKind::Operator, ..anchor("root") });
    acme.accounts.extend([grant("um-1", "tenant-acme"), grant("um-2", "eku-client")]);
    let before = snapshot(std::slice::from_ref(&acme));
    let sent = peer(true, &["tenant-acme"], Some("acme"));
    let ask = |user, password| told(&before, &sent, &connect("acme-1", Some(user), Some(password)));
    assert_eq!(ask("um-1", "secret"), Ok("acme/cn=acme under root".to_owned()));
    assert_eq!(ask("um-2", "secret"), Err((Reason::GrantConflict, 5)), "the account of another grant");
    assert_eq!(ask("op", "secret"), Err((Reason::GrantConflict, 5)), "an account of no grant");
    assert_eq!(ask("um-2", "wrong"), Err((Reason::BadPassword, 4)), "a guess is not told to whom it belongs");
    let bare = told(&before, &peer(true, &[], None), &connect("acme-1", Some("acme/um-1"), Some("secret")));
    assert_eq!(bare, Err((Reason::NoCertificate, 5)), "the account alone");

    let admission = self::ask(&before, &sent, &connect("acme-1", Some("um-1"), Some("secret"))).unwrap();
    let review = |grant: Vec<Fingerprint>| {
        let mut after = acme.clone();
        after
            .accounts
            .iter_mut()
            .filter(|account| account.name == "um-1")
            .for_each(|account| account.grant.clone_from(&grant));
        readmit(&snapshot(&[after]), &sent, &admission, noon()).map(|_| ()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(review([granted("tenant-acme"), granted("eku-client")].concat()), Ok(()), "a renewal disturbs nobody");
    assert_eq!(review(granted("eku-client")), Err(Reason::GrantConflict));
}

/// A grant's certificate is of no other use, and its account neither: where no operator's CA signs, other accounts stay free.
#[test]
fn accounts_without_a_grant_go_with_any_certificate_of_a_tenants_own_anchor() {
    let mut lab = with(with_accounts(tenant("lab", Profile::Open, &["root"])), |s| s.password = Password::Always);
    lab.accounts.push(Account { grant: vec![Fingerprint([7; 32])], ..account("um-1", Role::Device) });
    let trust = snapshot(&[lab]);
    let ask = |user| told(&trust, &peer(true, &["eku-client"], None), &connect("press", Some(user), Some("secret")));
    assert_eq!(ask("dev"), Ok("lab/cn=press".to_owned()));
    assert_eq!(ask("um-1"), Err((Reason::GrantConflict, 5)));
}

/// AUTH-08
#[test]
fn without_a_certificate_the_user_name_names_tenant_and_account() {
    let trust = snapshot(&[with_accounts(tenant("t2250", Profile::Cumulocity, &["root"]))]);
    let peer = peer(true, &[], None);
    let ask = |user, password| told(&trust, &peer, &connect("d:x", Some(user), password));
    assert_eq!(ask("t2250/dev", Some("secret")), Ok("t2250/account=dev".to_owned()));
    assert_eq!(ask("t2250/dev", Some("wrong")), Err((Reason::BadPassword, 4)));
    assert_eq!(ask("t2250/nobody", Some("secret")), Err((Reason::BadPassword, 4)));
    assert_eq!(ask("t9/dev", Some("secret")), Err((Reason::BadPassword, 4)));
    assert_eq!(ask("t2250/dev", Some("")), Err((Reason::EmptyPassword, 5)));
    assert_eq!(ask("t2250/dev", None), Err((Reason::EmptyPassword, 5)));
    assert_eq!(ask("t2250/gone", Some("secret")), Err((Reason::AccountDisabled, 5)));
    assert_eq!(
        ask("t2250/gone", Some("wrong")),
        Err((Reason::BadPassword, 4)),
        "a guess is not told that it is disabled"
    );
}

/// AUTH-07
#[test]
fn beside_a_certificate_the_password_of_the_same_tenant_is_needed() {
    let always = |id| with(with_accounts(tenant(id, Profile::Open, &[])), |s| s.password = Password::Always);
    let mut lab = always("lab");
    lab.anchors = tenant("lab", Profile::Open, &["root"]).anchors;
    let trust = snapshot(&[lab, always("other")]);
    let peer = peer(true, &["eku-client"], Some("lab"));
    let ask = |id, user, password| told(&trust, &peer, &connect(id, user, password));
    assert_eq!(ask("press", Some("dev"), Some("secret")), Ok("lab/cn=press".to_owned()));
    assert_eq!(ask("press", Some("lab/dev"), Some("secret")), Ok("lab/cn=press".to_owned()));
    assert_eq!(ask("press", Some("lab/dev"), Some("wrong")), Err((Reason::BadPassword, 4)));
    assert_eq!(ask("press", Some("lab/dev"), None), Err((Reason::BadPassword, 4)));
    assert_eq!(ask("press", None, None), Err((Reason::BadPassword, 4)));
    assert_eq!(ask("press", Some("other/dev"), Some("secret")), Err((Reason::TenantConflict, 5)));
    assert_eq!(
        ask("kiln", Some("lab/dev"), Some("wrong")),
        Err((Reason::CnMismatch, 5)),
        "no hash for a wrong ClientId"
    );
}

/// TLS-12, ACL-07
#[test]
fn operators_and_applications_need_no_certificate_where_the_listener_does_not_insist() {
    let trust = snapshot(&[with_accounts(tenant("acme", Profile::Centiloc, &["root"]))]);
    let ask = |listener, user, password| told(&trust, &peer(true, &[], listener), &connect("op1", user, password));
    assert_eq!(ask(None, Some("acme/op"), Some("secret")), Ok("acme/account=op".to_owned()));
    assert_eq!(ask(None, Some("acme/app"), Some("secret")), Ok("acme/account=app".to_owned()));
    assert_eq!(ask(None, Some("acme/dev"), Some("secret")), Err((Reason::NoCertificate, 5)));
    for unknown in ["acme/dev", "acme/op", "acme/nobody"] {
        assert_eq!(ask(None, Some(unknown), Some("wrong")), Err((Reason::BadPassword, 4)), "{unknown}");
    }
    assert_eq!(ask(Some("acme"), Some("acme/op"), Some("secret")), Err((Reason::NoCertificate, 5)), "it insists");
}

/// ACL-04, ACL-07
#[test]
fn an_operator_may_publish_where_devices_may_not() {
    let trust = snapshot(&[with_accounts(tenant("acme", Profile::Centiloc, &["root"]))]);
    let admission = ask(&trust, &peer(true, &[], None), &connect("op1", Some("acme/op"), Some("secret"))).unwrap();
    assert!(admission.rights.publish(TopicName::new("centiloc/acme").unwrap()).is_ok());
    assert!(admission.rights.publish(TopicName::new("$SYS/x").unwrap()).is_err());
}

/// AUTH-09, AUTH-10
#[test]
fn a_certificate_that_failed_may_leave_it_to_the_password_but_never_to_code_4() {
    let settings = with(with_accounts(tenant("t2250", Profile::Cumulocity, &["root"])), |s| {
        (s.reject_at, s.cert_fallback_to_password) = (RejectAt::Connack, true);
    });
    let trust = snapshot(&[settings]);
    let peer = peer(true, &["under-rsa"], Some("t2250"));
    let ask = |password| told(&trust, &peer, &connect("d:x", Some("t2250/dev"), Some(password)));
    assert_eq!(ask("secret"), Ok("t2250/account=dev".to_owned()));
    assert_eq!(ask("wrong"), Err((Reason::UnknownIssuer, 5)));
}

#[test]
fn a_tenant_that_ignores_passwords_checks_none() {
    let trust = snapshot(&[with_accounts(tenant("m", Profile::Mindconnect, &["root"]))]);
    let answer = admit(&trust, &peer(true, &["eku-client"], None), &connect("press", Some("m/dev"), Some("x")), noon());
    assert!(matches!(answer, Ok(Answer::Admitted(_))), "{answer:?}");
}

#[test]
fn an_account_that_changes_takes_its_connections_along() {
    let before = with(with_accounts(tenant("lab", Profile::Open, &["root"])), |s| s.client_cert = ClientCert::Optional);
    let peer = peer(true, &[], Some("lab"));
    let admission =
        ask(&snapshot(std::slice::from_ref(&before)), &peer, &connect("x", Some("op"), Some("secret"))).unwrap();
    let review = |change: &dyn Fn(&mut TenantSettings)| {
        let mut after = before.clone();
        change(&mut after);
        readmit(&snapshot(&[after]), &peer, &admission, noon()).map(|_| ()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(review(&|_| ()), Ok(()));
    assert_eq!(review(&|t| t.accounts.retain(|a| a.name == "op")), Ok(()));
    assert_eq!(review(&|t| t.accounts.clear()), Err(Reason::BadPassword));
    assert_eq!(review(&|t| t.accounts = vec![account("op", Role::Operator)]), Err(Reason::BadPassword), "another salt");
    assert_eq!(review(&|t| t.accounts.iter_mut().for_each(|a| a.enabled = false)), Err(Reason::AccountDisabled));
    assert_eq!(review(&|t| t.switches.password = Password::Ignored), Err(Reason::NoCredentials));
    assert_eq!(review(&|t| t.switches.client_cert = ClientCert::Required), Err(Reason::NoCertificate));
}
