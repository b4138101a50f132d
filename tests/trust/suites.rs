//! Which cipher suite a connection gets (TLS-08).

use std::sync::Arc;

use certus::identity::switch::Profile;
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

use crate::handshakes::{Listener, client_of, meet, presents};
use crate::pki::{clock_at, noon, tenant, with};

/// The suite that a client gets which offers those that contain one of
/// `words`, in the order of the words.
fn agreed(version: &'static SupportedProtocolVersion, words: &[&str]) -> String {
    let lab = with(tenant("lab", Profile::Open, &["root"]), |switches| switches.max_anchors = 0);
    let listener = Listener::new(&[lab], clock_at(noon()));
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let place = |name: &str| words.iter().position(|word| name.contains(word));
    provider.cipher_suites.retain(|suite| place(suite.suite().as_str().unwrap()).is_some());
    provider.cipher_suites.sort_by_key(|suite| place(suite.suite().as_str().unwrap()));
    let config = client_of(provider, &presents(&["v1-ec"], "leaf"), version);
    let met = meet(&Arc::new(config), &listener).accepted();
    met.server.negotiated_cipher_suite().unwrap().suite().as_str().unwrap().to_owned()
}

#[test]
fn a_client_that_asks_for_sha384_first_gets_sha256_which_is_cheaper() {
    for version in [&TLS12, &TLS13] {
        let suite = agreed(version, &["AES_256_GCM_SHA384", "CHACHA20", "AES_128_GCM_SHA256"]);
        assert!(suite.ends_with("AES_128_GCM_SHA256"), "{suite}");
    }
}

#[test]
fn a_client_that_puts_chacha20_first_gets_it() {
    for version in [&TLS12, &TLS13] {
        let suite = agreed(version, &["CHACHA20", "AES_128_GCM_SHA256", "AES_256_GCM_SHA384"]);
        assert!(suite.contains("CHACHA20"), "{suite}");
    }
}

#[test]
fn a_client_that_insists_on_aes_256_gets_it() {
    for version in [&TLS12, &TLS13] {
        let suite = agreed(version, &["AES_256_GCM_SHA384"]);
        assert!(suite.ends_with("AES_256_GCM_SHA384"), "{suite}");
    }
}
