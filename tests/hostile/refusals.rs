//! What was refused, for people: the ring, its filters and who follows it.

use certus::identity::reason::Reason;
use certus::identity::refusal::Stage as At;
use certus::identity::refusals::RefusalFilter;
use certus::mqtt::{Qos, ReasonCode, Version};

use crate::peer::{Hello, Peer, device, publish, subscribe};
use crate::stage::{SERVED_WITHIN, Stage, now, pause};

fn restricted() -> Stage {
    Stage::with(|settings| {
        settings.tenants[0].switches.acl.profile_rights = false;
        settings.tenants[0].switches.acl.extra_publish = vec!["own/%c".to_owned()];
        settings.net.max_refusal_lines = 20;
    })
}

/// One that is denied a thousand times leaves room for others in the ring; the
/// numbers miss nothing.
#[test]
fn denials_are_kept_with_their_topic_and_do_not_flood_the_ring() {
    let stage = restricted();
    let mut followed = stage.handle().follow_refusals();
    let count = |reason: Reason| {
        let counts = stage.handle().refusals();
        counts.iter().find(|(name, _)| *name == reason.as_str()).unwrap().1
    };
    let mut peer = Peer::connect(stage.plain, &Hello::new("c"));
    for _ in 0..1000 {
        peer.send(&publish(Version::V5, "foreign/x", Qos::AtMostOnce, 0, b"")).unwrap();
    }
    peer.send(&subscribe(Version::V5, &["#"], Qos::AtMostOnce)).unwrap();
    peer.send(&publish(Version::V5, "own/c", Qos::AtLeastOnce, 9, b"")).unwrap();
    let limit = now() + SERVED_WITHIN;
    while count(Reason::SubscribeForbidden) == 0 {
        assert!(now() < limit);
        pause(std::time::Duration::from_millis(5));
    }
    assert_eq!(count(Reason::PublishForbidden), 1000);
    let filter = |stage| RefusalFilter { stage: Some(stage), ..RefusalFilter::default() };
    let kept = stage.handle().recent_refusals(&filter(At::Publish), 2000);
    assert!(!kept.is_empty() && kept.len() <= 100, "{} are kept", kept.len());
    let (newest, at) = (&kept[0], stage.handle().recent_refusals(&filter(At::Subscribe), 9));
    assert_eq!((newest.topic.as_deref(), newest.client_id.as_deref()), (Some("foreign/x"), Some("c")));
    assert_eq!((at.len(), at[0].topic.as_deref(), at[0].reason), (1, Some("#"), Reason::SubscribeForbidden));
    assert!(kept.is_sorted_by(|one, other| one.id > other.id), "newest first, each with an own number");
    let mut last = 0;
    while let Ok(refusal) = followed.try_recv() {
        assert!(refusal.id > last);
        last = refusal.id;
    }
    assert_eq!(last, at[0].id);
    let before = RefusalFilter { before: Some(last), after: Some(last - 3), ..RefusalFilter::default() };
    assert_eq!(stage.handle().recent_refusals(&before, 9).len(), 2);
}

/// A handshake that failed is told with the server name that was asked for and
/// the version of TLS that was offered.
#[test]
fn a_refused_handshake_says_whom_it_was_for() {
    let stage = Stage::start();
    let without = {
        let mut settings = stage.settings.clone();
        settings.tenants[0].anchors[0].state = certus::identity::switch::AnchorState::Disabled;
        settings
    };
    stage.handle().reload(&without).unwrap();
    for (version, name) in [(&rustls::version::TLS12, "1.2"), (&rustls::version::TLS13, "1.3")] {
        let config = device(stage.files.path(), "sensor-1", version);
        let mut peer = Peer::over_tls(stage.tls, &config);
        assert_ne!(peer.greet(&Hello::new("c")), Some(ReasonCode::Success));
        // The client may hear of it before it is written down.
        let newest = || stage.handle().recent_refusals(&RefusalFilter::default(), 1).pop();
        let end = now() + SERVED_WITHIN;
        while newest().is_none_or(|refusal| refusal.tls != Some(name)) && now() < end {
            pause(std::time::Duration::from_millis(5));
        }
        let refusal = newest().unwrap();
        assert_eq!((refusal.stage, refusal.reason), (At::Handshake, Reason::AnchorDisabled));
        assert_eq!((refusal.tls, refusal.server_name.as_deref()), (Some(name), Some("localhost")));
        let named = RefusalFilter { common_name: Some("sensor-1".to_owned()), ..RefusalFilter::default() };
        assert!(!stage.handle().recent_refusals(&named, 9).is_empty());
    }
}
