//! Trust that is taken back while a connection is on its way in, or at work
//! (dataplane.md section 12): when a change is published, nobody whom it does
//! not admit is connected a second later.

use std::io::Write;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use certus::broker;
use certus::identity::switch::AnchorState;
use certus::mqtt::{Qos, ReasonCode, Version};
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
