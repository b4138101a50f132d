//! The authority over a store in memory: what is kept, counted and published.

use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair};

use super::*;
use crate::ca::record::AnchorStatus;
use crate::identity::switch::Profile;
use crate::mqtt::TenantId;
use crate::store::MemoryStore;

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
    [("mc", Profile::Mindconnect), ("mc2", Profile::Mindconnect), ("open", Profile::Open)]
        .map(|(id, profile)| TenantSettings::new(TenantId::new(id), profile))
        .into()
}

fn house_on(store: Arc<MemoryStore>) -> House {
    let (authority, _) = Authority::open(Arc::clone(&store) as Arc<dyn Store>, Clock::system(), &tenants()).unwrap();
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
