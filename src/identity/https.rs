//! The server's side of TLS for HTTPS: who is asked for a certificate.
//!
//! What lives here: the configurations of the HTTPS listener and the choice of
//! one by ClientHello. What does not: MQTT's listeners (`handshake`), what a
//! certificate allows (each path asks `TrustSnapshot::judge`). Invariant: a
//! handshake needs no certificate, and fails for none: a chain that is sent
//! only has to come with the proof of its key.
//!
//! A browser that is asked shows its user a choice of certificates, whatever
//! the page. So browsers are not asked: they are known by the reserved cipher
//! suites that they mix into their list (GREASE, RFC 8701), which the TLS
//! libraries of devices and tools do not send.

use std::fmt;
use std::sync::Arc;

use rustls::CipherSuite;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::capture;
use super::handshake::{Always, PROVIDER, Suited, TlsClock, TlsParts, VERSIONS};
use super::signature::{self, ALGORITHMS, SCHEMES};
use super::switch::{AnchorState, AskForCertificates};
use super::tickets::Tickets;
use super::trust::TrustSnapshot;
use super::verifier::{hints, public_key};

const HTTP_1_1: &[u8] = b"http/1.1";

/// The TLS configurations of the HTTPS listener under one snapshot.
#[derive(Clone, Debug)]
pub struct HttpsTls {
    silent: Pair,
    /// Only where there is somebody to ask.
    asking: Option<Pair>,
}

/// With the protocol that we speak, for clients that name it; without, because
/// rustls would refuse those that name only others.
#[derive(Clone, Debug)]
struct Pair {
    with_alpn: Suited,
    without_alpn: Suited,
}

impl HttpsTls {
    /// Builds the configurations.
    ///
    /// # Errors
    /// The provider lacks what TLS needs.
    pub fn new(parts: &TlsParts, snapshot: &Arc<TrustSnapshot>, ask: AskForCertificates) -> Result<Self, Error> {
        let silent = Pair::new(parts, Arc::new(NoClientAuth), "https")?;
        let has_anchor = snapshot.anchors().any(|anchor| anchor.state != AnchorState::Disabled);
        let asking = match ask {
            AskForCertificates::Tools if has_anchor => {
                let witness = Witness { snapshot: Arc::clone(snapshot), hints: hints(snapshot, None) };
                Some(Pair::new(parts, Arc::new(witness), "https with certificates")?)
            }
            AskForCertificates::Tools | AskForCertificates::Never => None,
        };
        Ok(Self { silent, asking })
    }

    /// The configuration for a client.
    #[must_use]
    pub fn choose(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let suites = hello.cipher_suites();
        let pair = match &self.asking {
            Some(asking) if !suites.iter().copied().any(is_grease) => asking,
            _ => &self.silent,
        };
        let known = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == HTTP_1_1));
        let suited = if known { &pair.with_alpn } else { &pair.without_alpn };
        Arc::clone(suited.choose(suites))
    }
}

/// `0x0A0A`, `0x1A1A` to `0xFAFA` (RFC 8701 §2).
fn is_grease(suite: CipherSuite) -> bool {
    let [high, low] = u16::from(suite).to_be_bytes();
    high == low && high & 0x0f == 0x0a
}

impl Pair {
    fn new(parts: &TlsParts, verifier: Arc<dyn ClientCertVerifier>, scope: &str) -> Result<Self, Error> {
        let clock = Arc::new(TlsClock(parts.clock.clone()));
        let mut config = ServerConfig::builder_with_details(Arc::clone(&PROVIDER), clock)
            .with_protocol_versions(VERSIONS)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Always(Arc::clone(&parts.certificate.key))));
        config.key_log = Arc::new(capture::VersionWitness);
        config.ticketer = Arc::new(Tickets { keys: Arc::clone(&parts.tickets), scope: scope.to_owned() });
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        let mut with_alpn = config.clone();
        with_alpn.alpn_protocols = vec![HTTP_1_1.to_vec()];
        Ok(Self { with_alpn: Suited::new(with_alpn), without_alpn: Suited::new(config) })
    }
}

/// Takes every chain whose key is proved, and leaves the verdict to the path.
struct Witness {
    snapshot: Arc<TrustSnapshot>,
    hints: Vec<DistinguishedName>,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

fn unproved(_: Error) -> Error {
    Error::InvalidCertificate(CertificateError::BadSignature)
}

impl ClientCertVerifier for Witness {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let sent: Vec<CertificateDer<'_>> = std::iter::once(end_entity).chain(intermediates).cloned().collect();
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        // No ticket may outlive a good chain; one for a bad chain proves nothing.
        if let Ok(verdict) = self.snapshot.judge_for_renewal(&sent, None, now) {
            capture::put_not_after(verdict.not_after);
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(certificate)?;
        signature::check_tls12(message, &key, signed.scheme, signed.signature())
            .map(|()| HandshakeSignatureValid::assertion())
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadSignature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(certificate)?;
        verify_tls13_signature_with_raw_key(message, &key, signed, &ALGORITHMS).map_err(unproved)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_known_by_their_reserved_suites() {
        let reserved = (0..=u16::MAX).filter(|value| is_grease(CipherSuite::from(*value))).count();
        assert_eq!(reserved, 16);
        assert!(is_grease(CipherSuite::from(0x8a8a)));
        assert!(!is_grease(CipherSuite::TLS13_AES_128_GCM_SHA256) && !is_grease(CipherSuite::from(0x0a1a)));
    }
}
