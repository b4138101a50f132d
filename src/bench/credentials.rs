//! Certificates and TLS settings of our own clients.
//!
//! What lives here: reading PEM files, minting one client certificate a ClientId from a given CA,
//! and rustls' client configuration. What does not: verdicts on clients (`identity`). Invariant:
//! the server's certificate is checked unless `insecure` was asked for by name.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};

use super::error::Error;

/// Whose word is taken for the broker's identity.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The CAs in this PEM file.
    File(PathBuf),
    /// Anybody's: for tests only.
    Anyone,
}

/// Which TLS versions are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TlsVersion {
    /// TLS 1.2 only.
    #[value(name = "1.2")]
    V12,
    /// TLS 1.3 only.
    #[value(name = "1.3")]
    V13,
}

/// The kind of a client's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyKind {
    /// ECDSA on P-256.
    Ec,
    /// RSA with 2048 bits; clients share sixteen keys, as making one takes long.
    Rsa,
    /// Ed25519.
    Ed25519,
}

/// Keys that RSA clients share.
const RSA_KEYS: usize = 16;

/// What a client shows.
pub enum Identity {
    /// Nothing.
    Anonymous,
    /// A chain, leaf first, and the key of the leaf.
    Certificate(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
}

/// Makes client configurations that share all but the client's certificate.
pub struct Credentials {
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    versions: &'static [&'static SupportedProtocolVersion],
}

static V12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static V13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

impl Credentials {
    /// Reads the trust file.
    ///
    /// # Errors
    /// It cannot be read, or holds no certificate.
    pub fn new(trust: &Trust, version: Option<TlsVersion>) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match trust {
            Trust::Anyone => Arc::new(Believe(Arc::clone(&provider))),
            Trust::File(file) => {
                let mut roots = RootCertStore::empty();
                let (added, _) = roots.add_parsable_certificates(certificates(file)?);
                if added == 0 {
                    return Err(Error::content(file, "no certificate in it can be used as a CA"));
                }
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|error| Error::content(file, error.to_string()))?
            }
        };
        let versions = match version {
            Some(TlsVersion::V12) => V12,
            Some(TlsVersion::V13) => V13,
            None => rustls::DEFAULT_VERSIONS,
        };
        Ok(Self { provider, verifier, versions })
    }

    /// The configuration of one client, with a ticket store of its own.
    ///
    /// # Errors
    /// The key does not belong to the certificate, or is of a kind that rustls does not know.
    pub fn client(&self, identity: Identity) -> Result<Arc<ClientConfig>, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&self.verifier));
        let mut config = match identity {
            Identity::Anonymous => builder.with_no_client_auth(),
            Identity::Certificate(chain, key) => {
                let key = self.provider.key_provider.load_private_key(key)?;
                check_pair(&chain, key.as_ref())?;
                // Not `with_client_auth_cert`: it refuses certificates of version 1, which devices have.
                let certified = Arc::new(CertifiedKey::new(chain, key));
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        config.resumption = Resumption::in_memory_sessions(2);
        Ok(Arc::new(config))
    }
}

/// Compares the public keys of the leaf and of the private key, where the key tells its own.
fn check_pair(chain: &[CertificateDer<'static>], key: &dyn SigningKey) -> Result<(), Error> {
    let leaf = chain.first().map(|leaf| leaf.as_ref()).unwrap_or_default();
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|error| Error::Usage(format!("the client certificate cannot be read: {error}")))?;
    match key.public_key() {
        Some(public) if public.as_ref() != leaf.public_key().raw => {
            let subject = leaf.subject();
            Err(Error::Usage(format!("the private key does not belong to the certificate of {subject}; give the pair")))
        }
        _ => Ok(()),
    }
}

/// A CA that signs one certificate a ClientId.
pub struct Mint {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    kind: KeyKind,
    rsa: Mutex<VecDeque<rcgen::KeyPair>>,
    /// The CA's certificate and what follows it in its file; not sent, the broker has it.
    file: PathBuf,
}

impl Mint {
    /// Opens a CA: its certificate and its key, both PEM.
    ///
    /// # Errors
    /// One of the files cannot be read or holds something else.
    pub fn open(certificate: &Path, key: &Path, kind: KeyKind) -> Result<Self, Error> {
        let text = |file: &Path| std::fs::read_to_string(file).map_err(|error| Error::file(file, error));
        let pair = rcgen::KeyPair::from_pem(&text(key)?).map_err(|error| Error::content(key, error.to_string()))?;
        let issuer = rcgen::Issuer::from_ca_cert_pem(&text(certificate)?, pair)
            .map_err(|error| Error::content(certificate, error.to_string()))?;
        Ok(Self { issuer, kind, rsa: Mutex::default(), file: certificate.to_owned() })
    }

    /// A key, and a certificate whose CN is `client_id`, for client authentication.
    ///
    /// # Errors
    /// The CA's key refuses to sign.
    pub fn issue(&self, client_id: &str) -> Result<Identity, Error> {
        let broken = |error: rcgen::Error| Error::content(&self.file, format!("cannot sign {client_id}: {error}"));
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, client_id);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2049, 12, 31);
        let key = self.key().map_err(broken)?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(broken)?;
        let bytes = PrivatePkcs8KeyDer::from(key.serialize_der());
        if self.kind == KeyKind::Rsa {
            self.rsa.lock().unwrap_or_else(PoisonError::into_inner).push_back(key);
        }
        Ok(Identity::Certificate(vec![leaf.der().clone()], bytes.into()))
    }

    /// A new key, or an RSA key that was lent before.
    fn key(&self) -> Result<rcgen::KeyPair, rcgen::Error> {
        match self.kind {
            KeyKind::Ec => rcgen::KeyPair::generate(),
            KeyKind::Ed25519 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519),
            KeyKind::Rsa => {
                let mut known = self.rsa.lock().unwrap_or_else(PoisonError::into_inner);
                let lent = if known.len() < RSA_KEYS { None } else { known.pop_front() };
                drop(known);
                lent.map_or_else(
                    || rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
                    Ok,
                )
            }
        }
    }
}

/// A client certificate with its key from two PEM files.
///
/// # Errors
/// One of them cannot be read or holds something else.
pub fn identity_from(certificate: &Path, key: &Path) -> Result<Identity, Error> {
    let chain = certificates(certificate)?;
    let bytes = std::fs::read(key).map_err(|error| Error::file(key, error))?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        Error::content(key, format!("no private key in it that can be used without a password: {error}"))
    })?;
    Ok(Identity::Certificate(chain, key))
}

/// The common name of the leaf in a PEM file, if it has one.
///
/// # Errors
/// The file cannot be read or holds something else.
pub fn common_name(file: &Path) -> Result<Option<String>, Error> {
    let chain = certificates(file)?;
    let leaf = chain.first().map(|leaf| leaf.as_ref()).unwrap_or_default();
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf)
        .map_err(|error| Error::content(file, format!("the first certificate cannot be read: {error}")))?;
    let name = leaf.subject().iter_common_name().last();
    Ok(name.and_then(|name| name.as_str().ok()).map(str::to_owned))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = std::fs::read(file).map_err(|error| Error::file(file, error))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|error| Error::content(file, format!("not a PEM file of certificates: {error}")))?;
    if chain.is_empty() { Err(Error::content(file, "holds no PEM certificate")) } else { Ok(chain) }
}

/// Believes every certificate, yet checks that its owner signed the handshake.
#[derive(Debug)]
struct Believe(Arc<CryptoProvider>);

impl ServerCertVerifier for Believe {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
