//! Resumption: faster, and never a way around trust.

use std::net::SocketAddr;
use std::sync::Arc;

use certus::identity::admission::{Answer, ConnectRequest, ListenerScope, Peer, admit};
use certus::identity::reason::Reason;
use certus::identity::switch::{ClientCert, Profile};
use certus::mqtt::{TenantId, Version};
use rustls::{ClientConfig, HandshakeKind};

use crate::handshakes::{Listener, Met, VERSIONS, client, meet, presents};
use crate::pki::{clock_at, days_later, noon, tenant, with};

fn peer(met: &Met) -> Peer {
    let chain = met.server.peer_certificates().map(|chain| chain.iter().map(|der| der.clone().into_owned()).collect());
    let scope = ListenerScope {
        name: Arc::from("tls"),
        tls: true,
        websocket: false,
        default_tenant: Some(TenantId::new("lab")),
    };
    Peer {
        address: SocketAddr::from(([127, 0, 0, 1], 4000)),
        chain,
        server_name: met.server.server_name().map(Arc::from),
        tls: Some("1.3"),
        listener: Arc::new(scope),
    }
}

fn connect(client_id: &str) -> ConnectRequest<'_> {
    ConnectRequest {
        version: Version::V4,
        bridge: false,
        client_id,
        clean_start: true,
        session_expiry: 0,
        user_name: None,
        password: None,
        will_topic: None,
    }
}

fn kind(config: &Arc<ClientConfig>, listener: &Listener) -> (Option<HandshakeKind>, Met) {
    let met = meet(config, listener).accepted();
    (met.server.handshake_kind(), met)
}

fn lab(anchors: &[&str]) -> Vec<certus::identity::tenant::TenantSettings> {
    vec![tenant("lab", Profile::Open, anchors)]
}

#[test]
fn a_client_resumes_in_both_versions_and_stays_who_it_is() {
    for version in VERSIONS {
        let listener = Listener::new(&lab(&["root"]), clock_at(noon()));
        let config = Arc::new(client(&presents(&["v1-ec"], "leaf"), version));
        assert_ne!(kind(&config, &listener).0, Some(HandshakeKind::Resumed));
        let (resumed, met) = kind(&config, &listener);
        assert_eq!(resumed, Some(HandshakeKind::Resumed), "{version:?}");
        let answer = admit(&listener.snapshot, &peer(&met), &connect("press"), noon()).unwrap();
        let Answer::Admitted(admission) = answer else { panic!("{answer:?}") };
        assert_eq!(admission.principal.common_name(), Some("press"));
    }
}

/// The promise: rustls would let it resume, the admission does not.
#[test]
fn a_device_whose_anchor_is_gone_resumes_tls_and_is_refused_at_connect() {
    for version in VERSIONS {
        let before = Listener::new(&lab(&["root"]), clock_at(noon()));
        let config = Arc::new(client(&presents(&["eku-client"], "leaf"), version));
        kind(&config, &before);
        let after = Listener::with(before.parts.clone(), &lab(&["root-rsa"]));
        let (resumed, met) = kind(&config, &after);
        assert_eq!(resumed, Some(HandshakeKind::Resumed), "the verifier is not asked again");
        let refusal = admit(&after.snapshot, &peer(&met), &connect("press"), noon()).unwrap_err();
        assert_eq!(refusal.reason, Reason::UnknownIssuer, "{version:?}: {refusal}");
    }
}

#[test]
fn forgotten_ticket_keys_make_every_handshake_a_full_one() {
    for version in VERSIONS {
        let listener = Listener::new(&lab(&["root"]), clock_at(noon()));
        let config = Arc::new(client(&presents(&["eku-client"], "leaf"), version));
        kind(&config, &listener);
        listener.parts.tickets.forget();
        assert_ne!(kind(&config, &listener).0, Some(HandshakeKind::Resumed), "{version:?}");
    }
}

#[test]
fn no_ticket_is_honoured_past_the_end_of_the_certificate() {
    for version in VERSIONS {
        let clock = clock_at(noon());
        let listener = Listener::new(&lab(&["root"]), clock.clone());
        let config = Arc::new(client(&presents(&["short"], "leaf"), version));
        // Two hours before the end; the ticket alone would live for six.
        let two_hours_before = days_later(1) - std::time::Duration::from_secs(3 * 3600);
        let moved = clock_at(two_hours_before);
        clock.shift_to(offset_of(&moved));
        kind(&config, &listener);
        assert_eq!(kind(&config, &listener).0, Some(HandshakeKind::Resumed));
        clock.shift_to(offset_of(&moved) + 3 * 3600);
        let met = meet(&config, &listener);
        assert_eq!(met.reason(), Some(Reason::Expired), "{version:?}");
    }
}

fn offset_of(clock: &certus::clock::Clock) -> i64 {
    let now = certus::clock::Clock::system();
    i64::try_from(clock.unix_seconds()).unwrap() - i64::try_from(now.unix_seconds()).unwrap()
}

/// A ticket from where certificates are optional opens nothing where they are
/// required, even with the same keys.
#[test]
fn a_ticket_opens_only_where_it_was_sealed_for() {
    for version in VERSIONS {
        let optional = vec![with(tenant("lab", Profile::Open, &["root"]), |switches| {
            switches.client_cert = ClientCert::Optional;
        })];
        let easy = Listener::new(&optional, clock_at(noon()));
        let config = Arc::new(client(&presents(&[], "leaf"), version));
        kind(&config, &easy);
        assert_eq!(kind(&config, &easy).0, Some(HandshakeKind::Resumed));
        let strict = Listener::with(easy.parts.clone(), &lab(&["root"]));
        let met = meet(&config, &strict);
        assert_eq!(met.server_error, Some(rustls::Error::NoCertificatesPresented), "{version:?}");
    }
}
