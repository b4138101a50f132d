//! The authority over a store in memory: what is kept, counted and published.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

use super::*;
use crate::ca::record::{AnchorStatus, CertificateRow, KeyUse};
use crate::ca::request::Request;
use crate::identity::switch::Profile;
use crate::mqtt::TenantId;
use crate::store::MemoryStore;

mod agents;
mod grants;
mod names;

/// Keeps the last snapshot.
#[derive(Default)]
struct Wall(Mutex<Option<Arc<TrustSnapshot>>>);

impl Publish for Wall {
    fn current(&self) -> Arc<TrustSnapshot> {
        self.0.lock().unwrap().clone().unwrap_or_else(|| Arc::new(TrustSnapshot::build(&tenants()).unwrap()))
    }

    fn publish(&self, next: TrustSnapshot) -> Result<(), String> {
        *self.0.lock().unwrap() = Some(Arc::new(next));
        Ok(())
    }
}

struct House {
    authority: Authority,
    store: Arc<MemoryStore>,
    wall: Arc<Wall>,
}

fn tenants() -> Vec<TenantSettings> {
    [("mc", Profile::Mindconnect), ("mc2", Profile::Mindconnect), ("open", Profile::Open), ("cent", Profile::Centiloc)]
        .map(|(id, profile)| TenantSettings::new(TenantId::new(id), profile))
        .into()
}

fn house_on(store: Arc<MemoryStore>) -> House {
    let (authority, _) = Authority::open(
        Arc::clone(&store) as Arc<dyn Store>,
        Clock::system(),
        SealingKey::random().unwrap(),
        &tenants(),
    )
    .unwrap();
    let wall = Arc::new(Wall::default());
    authority.publish_to(Arc::clone(&wall) as Arc<dyn Publish>);
    House { authority, store, wall }
}

fn house() -> House {
    house_on(Arc::new(MemoryStore::default()))
}

fn ca(name: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem().into_bytes()
}

fn upload(name: &str, certificate: &[u8]) -> NewAnchor {
    NewAnchor {
        name: name.into(),
        certificate: certificate.to_vec(),
        status: AnchorStatus::Enabled,
        auto_registration: true,
    }
}

fn broker() -> Caller {
    Caller::broker()
}

#[tokio::test]
async fn an_upload_is_kept_counted_audited_and_published() {
    let house = house();
    let one = house.authority.upload_anchor(&broker(), "mc", upload("one", &ca("one"))).await.unwrap();
    assert!(one.row.id.len() == 24 && !one.proved && one.sha1().len() == 40);
    house.authority.upload_anchor(&broker(), "mc", upload("two", &ca("two"))).await.unwrap();
    let third = house.authority.upload_anchor(&broker(), "mc", upload("three", &ca("three"))).await.unwrap_err();
    assert!(third.kind == Kind::LimitReached && third.detail.contains('2'), "{third}");
    let published = house.wall.0.lock().unwrap().as_ref().unwrap().anchors().count();
    assert_eq!(published, 2);

    let again = house_on(Arc::clone(&house.store));
    assert_eq!(again.authority.anchors(&broker(), "mc").unwrap().len(), 2, "they are there after a start");
    let filter = AuditFilter { tenant: Some("mc".into()), ..AuditFilter::default() };
    let (lines, end) = again.authority.audit(&broker(), &filter, None, 10).unwrap();
    assert!(lines.len() == 2 && end.is_none() && lines[0].action == "anchor.upload" && lines[0].before.is_null());

    again.authority.delete_anchor(&broker(), "mc", &one.row.id).await.unwrap();
    assert_eq!(again.authority.delete_anchor(&broker(), "mc", &one.row.id).await.unwrap_err().kind, Kind::NotFound);
    again.authority.upload_anchor(&broker(), "mc", upload("three", &ca("three"))).await.unwrap();
}

#[tokio::test]
async fn an_unproved_upload_blocks_nobody_and_an_active_one_does() {
    let house = house();
    let shared = ca("shared");
    house.authority.upload_anchor(&broker(), "mc", upload("squatter", &shared)).await.unwrap();
    house.authority.upload_anchor(&broker(), "mc2", upload("owner", &shared)).await.unwrap();
    house.authority.upload_anchor(&broker(), "open", upload("open", &shared)).await.unwrap();
    let twice = house.authority.upload_anchor(&broker(), "open", upload("again", &shared)).await.unwrap_err();
    assert_eq!(twice.kind, Kind::AlreadyExists);
    let id = house.authority.anchors(&broker(), "mc2").unwrap()[0].row.id.clone();
    let late = house.authority.confirm_anchor(&broker(), "mc2", &id).await.unwrap_err();
    assert_eq!(late.kind, Kind::OwnedByOther, "the open tenant's counts already: {late}");
    assert!(!house.authority.anchors(&broker(), "mc2").unwrap()[0].proved, "a failed change changes nothing");
}

#[tokio::test]
async fn nobody_grants_what_they_lack() {
    let house = house();
    let token = |scopes: &[&str]| NewToken {
        name: "t".into(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        lasts: None,
    };
    let small = house.authority.create_token(&broker(), "mc", token(&["accounts:write"])).await.unwrap();
    let caller = house.authority.bearer(&small.secret).unwrap();
    assert_eq!(caller.tenant.as_deref(), Some("mc"));
    let more = house.authority.create_token(&caller, "mc", token(&["admin"])).await.unwrap_err();
    assert_eq!(more.kind, Kind::Forbidden);
    let elsewhere = house.authority.create_token(&caller, "mc2", token(&["accounts:write"])).await.unwrap_err();
    assert_eq!(elsewhere.kind, Kind::Forbidden);
    assert!(house.authority.bearer(&small.secret.replace("certus_", "certus_0")).is_none());
    let mut wrong = small.secret.to_string();
    wrong.pop();
    assert!(house.authority.bearer(&wrong).is_none());
    house.authority.delete_token(&broker(), &small.row.id).await.unwrap();
    assert!(house.authority.bearer(&small.secret).is_none(), "an ended token is nobody's");
}

#[tokio::test]
async fn no_secret_is_in_the_audit() {
    let house = house();
    let token = NewToken { name: "ci".into(), scopes: vec!["admin".into()], lasts: None };
    let token = house.authority.create_token(&broker(), "", token).await.unwrap();
    let account = NewAccount {
        name: "bob".into(),
        hash: "$argon2id$hash".into(),
        role: crate::identity::switch::Role::Operator,
        scopes: vec!["operator".into()],
    };
    house.authority.create_account(&broker(), "mc", account).await.unwrap();
    let (lines, _) = house.authority.audit(&broker(), &AuditFilter::default(), None, 10).unwrap();
    let text = serde_json::to_string(&lines).unwrap();
    assert!(lines.len() == 2 && !text.contains("argon2id") && !text.contains(&token.row.hash), "{text}");
}

/// A request with this subject, DER, and its key.
fn request(subject: &[(DnType, &str)]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in subject {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

const EMAIL: &[u64] = &[1, 2, 840, 113_549, 1, 9, 1];

#[tokio::test]
async fn an_agent_has_its_name_alone_until_it_is_taken_back() {
    let house = house();
    let key = crate::ca::keypair::PrivateKey::generate(crate::ca::keypair::KeyType::P256).unwrap();
    let agent = |name: &str| NewAgent { name: name.into(), owner: None };
    let made = house.authority.create_agent(&broker(), "mc", agent("press-12"), key.public_key()).await.unwrap();
    assert_eq!((made.common_name.as_str(), made.client_id.as_deref()), ("mc_press-12", Some("mc_press-12")));
    let again = house.authority.create_agent(&broker(), "mc", agent("press-12"), key.public_key()).await.unwrap_err();
    assert_eq!(again.kind, Kind::NameTaken);
    for bad in ["", "a/b", "ü", &"x".repeat(62)] {
        let fault = house.authority.create_agent(&broker(), "mc", agent(bad), key.public_key()).await.unwrap_err();
        assert_eq!(fault.field, Some("name"), "{bad}");
    }
    house.authority.revoke_certificate(&broker(), "mc", &made.id, "unspecified").await.unwrap();
    let twice = house.authority.revoke_certificate(&broker(), "mc", &made.id, "unspecified").await.unwrap_err();
    assert_eq!(twice.kind, Kind::NotFound);
    house.authority.create_agent(&broker(), "mc", agent("press-12"), key.public_key()).await.unwrap();
    let all = CertificateFilter { revoked: true, ..CertificateFilter::default() };
    assert_eq!(house.authority.certificates(&broker(), "mc", &all, None, 10).unwrap().0.len(), 2);
    assert_eq!(
        house.authority.certificates(&broker(), "mc", &CertificateFilter::default(), None, 9).unwrap().0.len(),
        1
    );
    assert_eq!(house.authority.revocations(&broker(), "mc").unwrap().len(), 1);
    let again = house_on(Arc::clone(&house.store));
    assert!(again.authority.issuer("mc", KeyUse::Issuer).await.is_err(), "another sealing key opens nothing");
}

#[tokio::test]
async fn an_enrolment_token_is_for_one_device_and_one_time() {
    let house = house();
    let token = house.authority.create_enrolment(&broker(), "open", "dev-1", Duration::from_secs(60)).await.unwrap();
    let row = house.authority.enrolment(&token.secret).unwrap();
    let read = |name| Request::read(&request(&[(DnType::CommonName, name)])).unwrap();
    let other = house.authority.enrol(Voucher::Enrolment(&row), "open", &read("dev-2")).await.unwrap_err();
    assert_eq!(other.kind, Kind::Forbidden);
    let issued = house.authority.enrol(Voucher::Enrolment(&row), "open", &read("dev-1")).await.unwrap();
    assert_eq!(issued.common_name, "dev-1");
    let spent = house.authority.enrol(Voucher::Enrolment(&row), "open", &read("dev-1")).await.unwrap_err();
    assert!(spent.kind == Kind::Unauthorized && house.authority.enrolment(&token.secret).is_none());
    let holder = Voucher::Holder { tenant: "open", common_name: "dev-1", certificate: None };
    house.authority.enrol(holder, "open", &read("dev-1")).await.unwrap();
    assert_eq!(house.authority.enrol(holder, "mc", &read("dev-1")).await.unwrap_err().kind, Kind::Forbidden);
}

/// Rights may depend on O, OU and alternative names, and a request is its
/// sender's own word.
#[tokio::test]
async fn a_certificate_holds_no_name_that_nobody_vouched_for() {
    let house = house();
    let boss = [(DnType::OrganizationName, "Board"), (DnType::CommonName, "dev-1")];
    let asked = Request::read(&request(&boss)).unwrap();
    let subject = |row: &CertificateRow| CertificateFacts::of_der(&row.der).unwrap().subject.clone();
    let caller = broker();
    let full = house.authority.enrol(Voucher::Caller(&caller), "open", &asked).await.unwrap();
    let token = house.authority.create_enrolment(&caller, "open", "dev-1", Duration::from_secs(60)).await.unwrap();
    let row = house.authority.enrolment(&token.secret).unwrap();
    let bare = house.authority.enrol(Voucher::Enrolment(&row), "open", &asked).await.unwrap();
    assert!(subject(&full).contains("Board") && subject(&bare) == "CN=dev-1", "{} {}", subject(&full), subject(&bare));
    let holder = |certificate| Voucher::Holder { tenant: "open", common_name: "dev-1", certificate };
    let kept = house.authority.enrol(holder(Some(full.der.as_slice())), "open", &asked).await.unwrap();
    assert_eq!(subject(&kept), subject(&full));
    for before in [None, Some(bare.der.as_slice())] {
        let renewed = house.authority.enrol(holder(before), "open", &asked).await.unwrap();
        assert_eq!(subject(&renewed), "CN=dev-1");
    }
}

#[tokio::test]
async fn access_tokens_end_with_their_time_their_account_and_a_logout() {
    let house = house();
    house.authority.register_device(&broker(), "mc", device("d1"), 0).await.unwrap();
    let claims = Claims {
        subject: "device/d1".into(),
        tenant: "mc".into(),
        scopes: vec!["devices:read".into()],
        issuer: "mc.example".into(),
    };
    let token = house.authority.access_token(&claims, Duration::from_secs(300)).await.unwrap();
    assert_eq!(token.split('.').count(), 3);
    let caller = house.authority.access(&token).unwrap();
    assert_eq!((caller.name.as_ref(), caller.tenant.as_deref()), ("device d1", Some("mc")));
    for at in 0..token.len() {
        let mut changed = token.to_string().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        // The last character of a base64 text may hold bits that mean nothing, and they must be zero.
        assert!(house.authority.access(&changed).is_none(), "{at}");
    }
    house.authority.clock().shift_to(301);
    assert!(house.authority.access(&token).is_none());
    house.authority.clock().shift_to(0);
    house.authority.change_device(&broker(), "mc", "d1", switched(false)).await.unwrap();
    assert!(house.authority.access(&token).is_none());
    house.authority.change_device(&broker(), "mc", "d1", switched(true)).await.unwrap();
    assert!(house.authority.access(&token).is_some());
    house.authority.end_access(&broker(), "mc", "device/d1").await.unwrap();
    assert!(house.authority.access(&token).is_none());
    // Whoever logs in again at once is in, however short the time between.
    let next = house.authority.access_token(&claims, Duration::from_secs(300)).await.unwrap();
    assert!(house.authority.access(&next).is_some());
    let body = next.split('.').nth(1).map(|body| Base64UrlUnpadded::decode_vec(body).unwrap()).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((body["iss"].clone(), body["aud"].clone()), ("mc.example".into(), "mc.example".into()));
    assert!(body["nbf"].is_u64() && body["nbf"] == body["iat"], "{body}");
    // A clock that was set back by less than a minute refuses nobody.
    house.authority.clock().shift_to(1000);
    let ahead = house.authority.access_token(&claims, Duration::from_secs(300)).await.unwrap();
    house.authority.clock().shift_to(950);
    assert!(house.authority.access(&ahead).is_some());
    house.authority.clock().shift_to(900);
    assert!(house.authority.access(&ahead).is_none());
    house.authority.clock().shift_to(0);
    let orphan = Claims { subject: "account/nobody".into(), ..claims };
    let token = house.authority.access_token(&orphan, Duration::from_secs(300)).await.unwrap();
    assert!(house.authority.access(&token).is_none());
}

#[tokio::test]
async fn a_list_counts_for_the_anchor_that_signed_it_and_an_older_one_is_not_taken() {
    use crate::ca::crl::{CrlOrder, Revoked};
    use crate::ca::signer::{CaOrder, LocalSigner, Signer};
    use crate::identity::fingerprint::Serial;
    use crate::identity::switch::RevocationReason;

    let house = house();
    let now = i64::try_from(house.authority.clock().unix_seconds()).unwrap();
    let [ca, other] = ["one", "two"].map(|name| LocalSigner::create(&CaOrder::agents(name, now).unwrap()).unwrap());
    let anchor =
        house.authority.upload_anchor(&broker(), "open", upload("ca", ca.certificate())).await.unwrap().row.id.clone();
    let list = |by: &LocalSigner, at: i64| {
        let entry = Revoked { serial: Serial(Box::new([7])), since: at, reason: RevocationReason::Unspecified };
        by.sign_crl(&CrlOrder { number: 1, this_update: at, next_update: at + 60, entries: &[entry] }).unwrap()
    };
    let strange = house.authority.take_crls(&broker(), "open", &anchor, &list(&other, now), None).await.unwrap_err();
    assert_eq!(strange.kind, Kind::InvalidCertificate);
    house.authority.take_crls(&broker(), "open", &anchor, &list(&ca, now), None).await.unwrap();
    let older = house.authority.take_crls(&broker(), "open", &anchor, &list(&ca, now - 9), None).await.unwrap_err();
    assert_eq!(older.kind, Kind::Stale);
    let again = house_on(Arc::clone(&house.store));
    let settings = again.authority.find_tenant("open").unwrap().settings;
    let crls = &settings.anchors[0].crls;
    assert!(crls.len() == 1 && crls[0].serials.contains(&Serial(Box::new([7]))) && crls[0].this_update == now);
    again.authority.delete_crls(&broker(), "open", &anchor, None).await.unwrap();
    assert!(again.authority.crls(&broker(), "open", &anchor).unwrap().is_empty());
}

fn switched(on: bool) -> DeviceChange {
    DeviceChange { enabled: Some(on), ..DeviceChange::default() }
}

fn device(id: &str) -> NewDevice {
    NewDevice { id: id.into(), origin: Origin::Bulk, kind: Some("pump".into()), name: None, properties: None }
}

/// What connections know of a device of the tenant `open`.
fn known(house: &House, id: &str) -> Option<bool> {
    house.authority.devices.of(&TenantId::new("open")).find(id).map(|known| known.enabled)
}

/// C8Y-REG-02
#[tokio::test]
async fn a_device_is_known_to_connections_and_to_the_store_alike() {
    let house = house();
    let authority = &house.authority;
    let all = vec![device("one"), device("two words"), device("one"), device("three")];
    let told = authority.register_devices(&broker(), "open", all, 2).await.unwrap();
    assert_eq!(
        told.iter().map(|told| told.as_ref().ok().copied()).collect::<Vec<_>>(),
        [Some(true), None, Some(false), Some(true)]
    );
    let fault = authority.register_device(&broker(), "open", device("four"), 2).await.unwrap_err();
    assert_eq!(fault.kind, Kind::LimitReached);
    assert_eq!((known(&house, "one"), known(&house, "four")), (Some(true), None));
    authority.change_device(&broker(), "open", "one", switched(false)).await.unwrap();
    assert_eq!(
        (known(&house, "one"), authority.device(&broker(), "open", "one").unwrap().row.enabled),
        (Some(false), false)
    );
    let names = |after: Option<&str>| {
        let (page, next) = authority.devices(&broker(), "open", &DeviceFilter::default(), after, 10).unwrap();
        assert_eq!(next, None);
        page.into_iter().map(|device| device.id).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(None), names(Some("one"))),
        (vec!["one".to_owned(), "three".to_owned()], vec!["three".to_owned()])
    );
    authority.forget_device(&broker(), "open", "one", None).await.unwrap();
    assert_eq!((known(&house, "one"), names(None)), (None, vec!["three".to_owned()]));
    assert_eq!(authority.forget_device(&broker(), "open", "one", None).await.unwrap_err().kind, Kind::NotFound);
    let reader = Caller { scopes: Scopes::reading(), ..broker() };
    assert_eq!(authority.register_device(&reader, "open", device("x"), 0).await.unwrap_err().kind, Kind::Forbidden);
    assert_eq!(authority.register_device(&broker(), "none", device("x"), 0).await.unwrap_err().kind, Kind::NoTenant);
    let (lines, _) = authority.audit(&broker(), &AuditFilter::default(), None, 100).unwrap();
    let actions: Vec<_> = lines.iter().map(|line| (line.action.as_str(), line.object.as_str())).collect();
    for wanted in [("device.register", "one"), ("device.change", "one"), ("device.forget", "one")] {
        assert!(actions.contains(&wanted), "{wanted:?} in {actions:?}");
    }
}

/// C8Y-CRL-01
#[tokio::test]
async fn the_list_of_serials_is_signed_by_the_tenants_own_ca_and_holds_nothing_else() {
    let house = house();
    let revoked = |value: &str, listed: bool| NewRevocation {
        kind: crate::ca::record::RevocationKind::Serial,
        value: value.into(),
        anchor: None,
        since: Some(1_000_000_000_000),
        reason: RevocationReason::Unspecified,
        note: None,
        listed,
    };
    let all = vec![revoked("80", true), revoked("1000", true), revoked("1001", false)];
    house.authority.revoke(&broker(), "open", all).await.unwrap();
    let list = house.authority.listed_revocations(&broker(), "open").await.unwrap();
    let read = crate::ca::crl::read(&list, &crate::ca::crl::Limits::default()).unwrap();
    let kept = house.authority.find_tenant("open").unwrap().settings;
    let own = kept.anchors.iter().find(|anchor| anchor.source == "made here").unwrap();
    let own = crate::identity::certificate::Certificate::read(own.der.as_slice().into()).unwrap();
    let read = read.into_iter().next().unwrap().signed_by(&own).unwrap();
    let serials: Vec<String> = read.entries().map(|entry| entry.serial.to_string()).collect();
    assert_eq!(serials, ["1000", "0080"]);
}

fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// MC-CA-06
#[test]
fn of_many_uploads_that_race_for_two_places_two_are_taken() {
    let house = house();
    let all: Vec<_> = (0..8).map(|number| ca(&format!("ca {number}"))).collect();
    let upload_one = |pem: &[u8]| now(house.authority.upload_anchor(&broker(), "mc", upload("raced", pem))).is_ok();
    let taken = std::thread::scope(|scope| {
        let racing: Vec<_> = all.iter().map(|pem| scope.spawn(|| upload_one(pem))).collect();
        racing.into_iter().map(|one| one.join().unwrap()).filter(|taken| *taken).count()
    });
    assert_eq!(taken, 2);
    assert_eq!(house.authority.anchors(&broker(), "mc").unwrap().len(), 2);
}

#[test]
fn a_proof_that_races_with_a_removal_leaves_no_anchor_behind() {
    let house = house();
    for round in 0..20 {
        let pem = ca(&format!("ca {round}"));
        let id = now(house.authority.upload_anchor(&broker(), "mc", upload("raced", &pem))).unwrap().row.id.clone();
        std::thread::scope(|scope| {
            scope.spawn(|| now(house.authority.confirm_anchor(&broker(), "mc", &id)).map(|_| ()));
            scope.spawn(|| now(house.authority.delete_anchor(&broker(), "mc", &id)).unwrap());
        });
        assert!(house.authority.anchors(&broker(), "mc").unwrap().is_empty(), "round {round}");
        let again = house_on(Arc::clone(&house.store));
        assert!(again.authority.anchors(&broker(), "mc").unwrap().is_empty(), "round {round}, after a start");
    }
}

#[tokio::test]
async fn a_request_that_anybody_hands_in_is_bounded_in_size_and_by_what_waits() {
    let house = house();
    let long = house.authority.hand_in(&vec![b'x'; 8 * 1024 + 1]).await.unwrap_err();
    assert_eq!((long.kind, long.field), (Kind::InvalidCertificate, Some("csr")));
    let csr = request(&[
        (DnType::OrganizationName, "ACME SA"),
        (DnType::CommonName, "cent"),
        (DnType::CustomDnType(EMAIL.to_vec()), "ops@acme.example"),
    ]);
    let first = house.authority.hand_in(&csr).await.unwrap().id;
    for _ in 1..1000 {
        house.authority.hand_in(&csr).await.unwrap();
    }
    assert_eq!(house.authority.hand_in(&csr).await.unwrap_err().kind, Kind::Unavailable);
    house.authority.reject(&broker(), &first, "enough").await.unwrap();
    house.authority.hand_in(&csr).await.unwrap();
    let again = house_on(Arc::clone(&house.store));
    assert_eq!(again.authority.requests(&broker()).unwrap().len(), 1001, "they are there after a start");
}

/// A script sent the private key behind the request: it must not be kept.
#[tokio::test]
async fn nothing_is_kept_of_what_stands_beside_a_request() {
    let house = house();
    let csr = request(&[
        (DnType::OrganizationName, "ACME SA"),
        (DnType::CommonName, "cent"),
        (DnType::CustomDnType(EMAIL.to_vec()), "ops@acme.example"),
    ]);
    let der = house.authority.hand_in(&csr).await.unwrap().der;
    let text = |label: &str, bytes: &[u8]| {
        let body = base64ct::Base64::encode_string(bytes);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    };
    let key = KeyPair::generate().unwrap();
    let both = text("CERTIFICATE REQUEST", &der) + &text("PRIVATE KEY", &key.serialize_der());
    let kept = house.authority.hand_in(both.as_bytes()).await.unwrap();
    assert_eq!(kept.der, der);
    house.authority.approve(&broker(), &kept.id, "$argon2id$one".into()).await.unwrap();
}

/// C8Y-OPT-01: what begins with `credentials.` is a secret by convention, and no part of the product reads it.
#[tokio::test]
async fn an_option_that_is_a_secret_lies_sealed_in_the_store() {
    let house = house();
    house.authority.set_option(&broker(), "open", "mine", "credentials.mail", "hush").await.unwrap();
    house.authority.set_option(&broker(), "open", "mine", "mail", "told").await.unwrap();
    let value = |key| house.authority.option(&broker(), "open", "mine", key).unwrap().value;
    assert!(value("credentials.mail").starts_with("sealed:") && !value("credentials.mail").contains("hush"));
    assert_eq!(value("mail"), "told");
}
