//! Trust that is taken back while a connection is on its way in, or at work
//! (dataplane.md section 12): when a change is published, nobody whom it does
//! not admit is connected a second later.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use certus::broker;
use certus::identity::certificate::Serial;
use certus::identity::crl::CrlSettings;
use certus::identity::revocation::{Revocation, RevocationTarget};
use certus::identity::switch::{AnchorState, RevocationReason, StaleCrl};
use certus::mqtt::{Qos, ReasonCode, Version};
use certus::net::ClientFilter;
use certus::telemetry::metrics::Gauge;
use rustls::{ClientConfig, HandshakeKind};

use crate::peer::{Hello, Peer, device, publish};
use crate::stage::{MIB, Stage, now, pause};

const WITHIN: Duration = Duration::from_secs(1);

/// How far the connection is when trust goes.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// ClientHello has left, and nothing more.
    Handshake,
    /// TLS stands; CONNECT did not come.
    Silent,
    /// It is served.
    Live,
    /// It is served, and takes nothing of what the broker has to write.
    Blocked,
}

const STEPS: [Step; 4] = [Step::Handshake, Step::Silent, Step::Live, Step::Blocked];

fn without_anchor(stage: &Stage) -> broker::Settings {
    let mut settings = stage.settings.clone();
    settings.tenants[0].anchors[0].state = AnchorState::Disabled;
    settings
}

fn reach(step: Step, stage: &Stage, config: &Arc<ClientConfig>, source: &mut Peer) -> Peer {
    let hello = Hello::new("sensor-1");
    if matches!(step, Step::Live | Step::Blocked) {
        let mut peer = Peer::connect_tls(stage.tls, config, &hello);
        if matches!(step, Step::Blocked) {
            peer.subscribe("block", Qos::AtMostOnce);
            source.flood(&publish(Version::V5, "block", Qos::AtMostOnce, 0, &[0; 64 * 1024]), 8 * MIB, WITHIN);
        }
        return peer;
    }
    let mut peer = Peer::over_tls(stage.tls, config);
    let stream = peer.tls();
    if matches!(step, Step::Silent) {
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
    } else {
        let mut wire = Vec::new();
        while stream.conn.wants_write() {
            stream.conn.write_tls(&mut wire).unwrap();
        }
        stream.sock.write_all(&wire).unwrap();
    }
    peer
}

/// The client goes on as if nothing had happened.
fn go_on(step: Step, peer: &mut Peer) {
    if matches!(step, Step::Handshake | Step::Silent) {
        assert_ne!(peer.greet(&Hello::new("sensor-1")), Some(ReasonCode::Success), "{step:?}");
    }
}

fn rounds(version: &'static rustls::SupportedProtocolVersion) {
    let stage = Stage::start();
    let mut source = Peer::connect(stage.plain, &Hello::new("source"));
    let without = without_anchor(&stage);
    for (round, step) in (0..40).zip(STEPS.into_iter().cycle()) {
        let config = device(stage.files.path(), "sensor-1", version);
        let has_ticket = round % 8 >= 4;
        if has_ticket {
            // A ticket, so that the round is one of a resumed connection.
            Peer::connect_tls(stage.tls, &config, &Hello::new("sensor-1")).ping();
        }
        let mut peer = reach(step, &stage, &config, &mut source);
        if !matches!(step, Step::Handshake) {
            let expected = if has_ticket { HandshakeKind::Resumed } else { HandshakeKind::Full };
            assert_eq!(peer.tls().conn.handshake_kind(), Some(expected), "{step:?} of round {round}");
        }
        stage.handle().reload(&without).unwrap();
        let changed = now();
        go_on(step, &mut peer);
        stage.await_connections(1);
        assert!(now() - changed < WITHIN, "{step:?} of round {round} ended after {:?}", now() - changed);
        source.ping();
        stage.handle().reload(&stage.settings).unwrap();
    }
}

#[test]
fn nobody_outlives_the_trust_in_its_anchor_over_tls_1_2() {
    rounds(&rustls::version::TLS12);
}

#[test]
fn nobody_outlives_the_trust_in_its_anchor_over_tls_1_3() {
    rounds(&rustls::version::TLS13);
}

/// The change and the connection race each other: whoever comes first, nobody
/// is left.
#[test]
fn no_connection_slips_past_a_change_that_is_being_made() {
    let stage = Stage::start();
    let without = without_anchor(&stage);
    let config = device(stage.files.path(), "sensor-1", &rustls::version::TLS13);
    for round in 0..120_u64 {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut peer = Peer::over_tls(stage.tls, &config);
                if peer.greet(&Hello::new("sensor-1")) == Some(ReasonCode::Success) {
                    assert!(matches!(peer.ending(), None | Some(ReasonCode::NotAuthorized)));
                }
            });
            pause(Duration::from_micros(round * 100 % 8_000));
            stage.handle().reload(&without).unwrap();
        });
        stage.await_connections(0);
        stage.handle().reload(&stage.settings).unwrap();
    }
}

/// Whoever is named goes, with its will; nobody else notices.
#[test]
fn only_those_who_are_taken_back_are_looked_at() {
    let stage = Stage::start();
    let mut witness = Peer::connect(stage.plain, &Hello::new("witness"));
    witness.subscribe("wills/+", Qos::AtLeastOnce);
    let names: Vec<String> = (0..8).map(|number| format!("sensor-{number}")).collect();
    let mut peers: Vec<Peer> = Vec::new();
    for name in &names {
        if !stage.files.path().join(format!("{name}.pem")).exists() {
            certus::ca::new_device(stage.files.path(), name, certus::clock::Clock::system().wall()).unwrap();
        }
        let config = device(stage.files.path(), name, &rustls::version::TLS13);
        let hello = Hello::new(name).will(&format!("wills/{name}"), Qos::AtLeastOnce);
        peers.push(Peer::connect_tls(stage.tls, &config, &hello));
    }
    let listed = stage.handle().connections(&ClientFilter::default(), 0, 100);
    assert_eq!(listed.len(), 9);
    let certificate = |name: &str| listed.iter().find(|client| client.client_id.as_str() == name).unwrap();
    let fingerprint = |name: &str| certificate(name).fingerprint.unwrap();
    let serial = Serial(hex(certificate("sensor-1").serial.as_deref().unwrap()).into());
    let targets = [
        RevocationTarget::Fingerprint(fingerprint("sensor-0")),
        RevocationTarget::Serial { anchor: None, serial },
        RevocationTarget::CommonName("sensor-2".to_owned()),
        RevocationTarget::Device("sensor-3".to_owned()),
    ];
    let mut settings = stage.settings.clone();
    for (number, target) in targets.into_iter().enumerate() {
        settings.tenants[0].revocations.push(Revocation { target, since: 0, reason: RevocationReason::Unspecified });
        let told = stage.handle().recheck_concerned();
        assert_eq!(told, 0, "nothing has changed yet");
        stage.handle().reload(&settings).unwrap();
        let changed = now();
        assert_eq!(peers[number].ending(), Some(ReasonCode::NotAuthorized));
        assert_eq!(&*witness.message().topic, format!("wills/{}", names[number]));
        stage.await_connections(8 - number);
        assert!(now() - changed < WITHIN);
    }
    for peer in &mut peers[4..] {
        peer.ping();
    }
}

fn hex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// A list that goes stale takes the connections of its anchor with it, where
/// the anchor says so, without anybody's doing.
#[test]
fn a_list_that_goes_stale_ends_live_connections_when_hard() {
    let stage = Stage::start();
    let config = device(stage.files.path(), "sensor-1", &rustls::version::TLS13);
    let mut peer = Peer::connect_tls(stage.tls, &config, &Hello::new("sensor-1"));
    let seconds = |ahead: u64| i64::try_from(certus::clock::Clock::system().unix_seconds() + ahead).unwrap();
    let mut settings = stage.settings.clone();
    let list = CrlSettings {
        issuer: None,
        serials: Arc::default(),
        this_update: seconds(0) - 60,
        next_update: Some(seconds(1)),
        source: "plant.crl".to_owned(),
    };
    settings.tenants[0].anchors[0].crls = vec![list];
    stage.handle().reload(&settings).unwrap();
    pause(Duration::from_millis(3500));
    peer.ping();
    assert_eq!(Gauge::CrlStale.value(), 1);
    settings.tenants[0].anchors[0].stale_crl = StaleCrl::Hard;
    settings.tenants[0].anchors[0].crls[0].next_update = Some(seconds(1));
    stage.handle().reload(&settings).unwrap();
    peer.ping();
    stage.await_connections_within(0, Duration::from_secs(8));
    let mut late = Peer::over_tls(stage.tls, &config);
    assert_ne!(late.greet(&Hello::new("sensor-1")), Some(ReasonCode::Success));
    settings.tenants[0].anchors[0].crls[0].next_update = Some(seconds(3600));
    stage.handle().reload(&settings).unwrap();
    Peer::connect_tls(stage.tls, &config, &Hello::new("sensor-1")).ping();
}
