//! The TLS side of identity: which client certificates a handshake takes.
//!
//! What lives here: our `ClientCertVerifier`. rustls' own refuses X.509
//! version 1 and pinned CA certificates, which the devices of all three
//! platforms have (deps.md section 2.3). What does not: the judgement
//! (`chain`), the server's side of the configuration (`handshake`). Invariant:
//! a certificate passes only with proof of its key, in both TLS versions
//! against the bare public key.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};

use super::capture;
use super::certificate::Certificate;
use super::path::Failure;
use super::reason::{Alert, Reason};
use super::signature::{self, ALGORITHMS, SCHEMES};
use super::switch::{AnchorKind, AnchorState, ClientCert, RejectAt};
use super::trust::{Tenant, Trust, TrustSnapshot};
use crate::mqtt::TenantId;

/// Names of anchors in a CertificateRequest at most, bytes (TLS-05): small
/// clients refuse an over-long handshake.
const MAX_HINTS: usize = 8 * 1024;

/// Judges client certificates for one listener and server name.
pub struct Verifier {
    /// Asked anew for each certificate: what is taken back holds at once.
    trust: Arc<Trust>,
    /// The tenant that is known before any certificate.
    scope: Option<TenantId>,
    mode: ClientCert,
    hints: Vec<DistinguishedName>,
}

impl Verifier {
    /// A verifier for connections whose tenant is `scope` unless their
    /// certificate says otherwise. Without a scope nothing is insisted on:
    /// CONNECT decides (TLS-12).
    #[must_use]
    pub fn new(trust: Arc<Trust>, scope: Option<TenantId>, by_server_name: bool) -> Self {
        let snapshot = trust.current();
        let tenant = scope.as_ref().and_then(|scope| snapshot.tenant(scope));
        let mode = tenant.map_or(ClientCert::Optional, |tenant| tenant.switches.client_cert);
        let hints = hints(&snapshot, tenant.map(|tenant| &**tenant).filter(|_| by_server_name));
        Self { trust, scope, mode, hints }
    }

    fn judge(&self, sent: &[CertificateDer<'_>], now: i64) -> Result<(), Box<Failure>> {
        let verdict = self.trust.current().judge(sent, self.scope.as_ref(), now)?;
        capture::put_not_after(verdict.not_after);
        Ok(())
    }

    /// The tenant whose switches decide about a failure.
    fn tenant_of<'s>(&self, snapshot: &'s TrustSnapshot, failure: &Failure) -> Option<&'s Arc<Tenant>> {
        match &failure.anchor {
            Some(anchor) => snapshot.tenant(&anchor.tenant),
            None => snapshot.tenant(self.scope.as_ref()?),
        }
    }

    /// TLS-07: a certificate that can be read may wait for CONNECT with its
    /// refusal, if the tenant wants it so.
    fn waits_for_connect(&self, failure: &Failure) -> bool {
        let snapshot = self.trust.current();
        let readable = failure.facts.is_some() && failure.reason != Reason::Encoding;
        readable
            && self.tenant_of(&snapshot, failure).is_some_and(|tenant| tenant.switches.reject_at == RejectAt::Connack)
    }

    fn refuse(&self, mut failure: Failure) -> Error {
        failure.scope.clone_from(&self.scope);
        let profile = self.tenant_of(&self.trust.current(), &failure).map(|tenant| tenant.profile);
        let alert = failure.reason.alert(profile);
        let error = error_of(failure.reason, alert);
        capture::put_failure(failure);
        error
    }

    fn wrong_key(&self, certificate: &CertificateDer<'_>) -> Error {
        let detail = "the client did not prove that it holds the certificate's private key";
        let failure = Failure::new(Reason::WrongKey, detail);
        match Certificate::read(certificate.clone()) {
            Ok(leaf) => self.refuse(*failure.about(&leaf)),
            Err(_) => self.refuse(*failure),
        }
    }
}

/// The error for which rustls sends `alert`.
fn error_of(reason: Reason, alert: Option<Alert>) -> Error {
    let error = match alert {
        Some(Alert::BadCertificate) => CertificateError::BadEncoding,
        Some(Alert::UnsupportedCertificate) => CertificateError::InvalidPurpose,
        Some(Alert::CertificateRevoked) => CertificateError::Revoked,
        Some(Alert::CertificateExpired) => CertificateError::Expired,
        Some(Alert::UnknownCa) => CertificateError::UnknownIssuer,
        Some(Alert::DecryptError) => CertificateError::BadSignature,
        Some(Alert::CertificateUnknown | Alert::CertificateRequired) | None => {
            CertificateError::Other(OtherError(Arc::new(Refused(reason))))
        }
    };
    Error::InvalidCertificate(error)
}

/// A reason as an error, for rustls to carry.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(Reason);

/// The subjects of the anchors that are not disabled, or none at all, which means any
/// (TLS-05). A client leaves its certificate out when its CA is not in the
/// list, so the list is whole or empty: too long, or one tenant that hides
/// its names, and it is empty.
pub(super) fn hints(snapshot: &TrustSnapshot, only: Option<&Tenant>) -> Vec<DistinguishedName> {
    let concerned = |tenant: &Tenant| only.is_none_or(|only| only.id == tenant.id);
    if snapshot.tenants().any(|tenant| concerned(tenant) && !tenant.switches.send_ca_names) {
        return Vec::new();
    }
    let mut subjects: Vec<&[u8]> = snapshot
        .anchors()
        // A device of a renew-only anchor shall read why it is refused.
        .filter(|anchor| anchor.state != AnchorState::Disabled)
        .filter(|anchor| anchor.kind == AnchorKind::Operator || only.is_none_or(|only| only.id == anchor.tenant))
        .map(|anchor| anchor.certificate.subject_der())
        .collect();
    subjects.sort_unstable();
    subjects.dedup();
    // Each name is preceded by a length of two bytes.
    if subjects.iter().map(|subject| subject.len() + 2).sum::<usize>() > MAX_HINTS {
        return Vec::new();
    }
    subjects.into_iter().map(|subject| DistinguishedName::from(subject.to_vec())).collect()
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.mode != ClientCert::Off
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mode == ClientCert::Required
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
        match self.judge(&sent, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(failure) if self.waits_for_connect(&failure) => Ok(ClientCertVerified::assertion()),
            Err(failure) => Err(self.refuse(*failure)),
        }
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
            .map_err(|_| self.wrong_key(certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = public_key(certificate)?;
        verify_tls13_signature_with_raw_key(message, &key, signed, &ALGORITHMS).map_err(|_| self.wrong_key(certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

pub(super) fn public_key(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    Certificate::read(certificate.clone())
        .map(|certificate| SubjectPublicKeyInfoDer::from(certificate.public_key().to_vec()))
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("scope", &self.scope).field("mode", &self.mode).finish_non_exhaustive()
    }
}
