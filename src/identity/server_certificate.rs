//! The broker's own certificate.
//!
//! What lives here: reading the server's chain and key, with errors that name
//! file, reason and remedy. What does not: making them (`ca`). Invariant: what
//! is returned can serve: key and certificate belong together, and the
//! certificate is valid now.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::{Certificate, CertificateFacts, Unreadable, date, unix_seconds};
use super::pem::{self, PemError, Wanted};

/// The broker's chain and key.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    pub(super) key: Arc<CertifiedKey>,
    /// What people are told about it.
    pub facts: Arc<CertificateFacts>,
    /// What clients verify it under, as PEM.
    pub authorities: Arc<str>,
}

/// Where the CA of the server's certificate is looked for, beside it.
const DEVELOPMENT_CA: &str = "server-ca.pem";

/// Why the broker's certificate cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerCertificateError {
    /// A file cannot be read.
    #[error("{path}: cannot read the {what}: {source}; let the broker's user read it, or name another file", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The file holds no certificates.
    #[error("{path}: {source}", path = path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is missing.
        source: PemError,
    },
    /// What it holds is no X.509.
    #[error("{path}: certificate {number}: {source}", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Counts from 1.
        number: usize,
        /// What is wrong.
        source: Unreadable,
    },
    /// The file holds no key that can be used.
    #[error("{path}: {problem}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would work.
        problem: String,
    },
    /// The CA that is named has not signed the chain.
    #[error("{path}: no certificate in it is the issuer of {subject}, where the server's chain ends; name the file of its CA (server_tls.ca)", path = path.display())]
    Authority {
        /// The file of the CA.
        path: PathBuf,
        /// Where the chain ends.
        subject: String,
    },
    /// Key and certificate are not a pair.
    #[error("{key}: the key does not belong to the certificate in {certificate} ({subject}); give the pair that was made together", key = key.display(), certificate = certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
        /// The certificate's subject.
        subject: String,
    },
    /// The certificate is past its end, or before its begin.
    #[error("{path}: the server certificate {problem}; renew it (clients would refuse it)", path = path.display())]
    NotValid {
        /// The file.
        path: PathBuf,
        /// When.
        problem: String,
    },
}

impl ServerCertificate {
    /// Reads chain and key from files.
    ///
    /// # Errors
    /// Names the file, the reason and the remedy.
    pub fn load(certificate: &Path, key: &Path, now: SystemTime) -> Result<Self, ServerCertificateError> {
        let read = |path: &Path, what| {
            fs::read(path).map_err(|source| ServerCertificateError::Unreadable { path: path.to_owned(), what, source })
        };
        let chain_pem = read(certificate, "server certificate")?;
        let key_pem = zeroize::Zeroizing::new(read(key, "server key")?);
        let chain = pem::certificates(&chain_pem)
            .map_err(|source| ServerCertificateError::Pem { path: certificate.to_owned(), source })?;
        let facts = check_chain(certificate, &chain, now)?;
        let signing_key = read_key(key, &key_pem)?;
        let leaf = chain.first().and_then(|der| Certificate::read(der.clone()).ok());
        let pair = leaf.zip(signing_key.public_key()).is_none_or(|(leaf, key)| leaf.public_key() == key.as_ref());
        if !pair {
            return Err(ServerCertificateError::Mismatch {
                key: key.to_owned(),
                certificate: certificate.to_owned(),
                subject: facts.subject.clone(),
            });
        }
        let authorities = authorities(certificate, &chain, None)?;
        Ok(Self { key: Arc::new(CertifiedKey::new(chain, signing_key)), facts, authorities })
    }

    /// The same, with the CA in `path` as what clients verify it under.
    ///
    /// # Errors
    /// The file cannot be read, or holds another CA.
    pub fn with_authority(self, path: &Path) -> Result<Self, ServerCertificateError> {
        let authorities = authorities(path, &self.key.cert, Some(path))?;
        Ok(Self { authorities, ..self })
    }
}

/// What clients verify `chain` under: what is in the file that is `named`, else
/// the development CA beside the certificate, else what the chain itself has
/// beyond its leaf. A certificate that is alone is trusted as it is.
fn authorities(
    certificate: &Path,
    chain: &[CertificateDer<'static>],
    named: Option<&Path>,
) -> Result<Arc<str>, ServerCertificateError> {
    let last = chain.last().and_then(|der| Certificate::read(der.clone()).ok());
    let signs = |der: &CertificateDer<'static>| {
        let authority = Certificate::read(der.clone()).ok();
        authority.zip(last.as_ref()).is_some_and(|(authority, last)| last.names_as_issuer(&authority))
    };
    let development = certificate.with_file_name(DEVELOPMENT_CA);
    let (path, pem) = match (named, fs::read(named.unwrap_or(&development))) {
        (Some(path), Err(source)) => {
            let what = "CA of the server certificate";
            return Err(ServerCertificateError::Unreadable { path: path.to_owned(), what, source });
        }
        (_, pem) => (named.unwrap_or(&development), pem.unwrap_or_default()),
    };
    let found = pem::certificates(&pem);
    match (found, named) {
        (Ok(found), _) if found.iter().any(signs) => Ok(pem::text(&found).into()),
        (Err(source), Some(_)) => Err(ServerCertificateError::Pem { path: path.to_owned(), source }),
        (Ok(_), Some(_)) => {
            let subject = last.map(|last| last.facts().subject.clone()).unwrap_or_default();
            Err(ServerCertificateError::Authority { path: path.to_owned(), subject })
        }
        (_, None) => Ok(pem::text(chain.get(1..).filter(|rest| !rest.is_empty()).unwrap_or(chain)).into()),
    }
}

fn check_chain(
    path: &Path,
    chain: &[CertificateDer<'static>],
    now: SystemTime,
) -> Result<Arc<CertificateFacts>, ServerCertificateError> {
    let mut leaf = None;
    for (index, der) in chain.iter().enumerate() {
        let certificate = Certificate::read(der.clone()).map_err(|source| ServerCertificateError::Certificate {
            path: path.to_owned(),
            number: index + 1,
            source,
        })?;
        let _first = leaf.get_or_insert_with(|| certificate.facts());
    }
    let facts = leaf.ok_or_else(|| ServerCertificateError::Pem {
        path: path.to_owned(),
        source: PemError::Nothing(Wanted::Certificate),
    })?;
    let now = unix_seconds(now);
    let problem = if now > facts.not_after {
        format!("expired on {}", date(facts.not_after))
    } else if now < facts.not_before {
        format!("is not valid before {}", date(facts.not_before))
    } else {
        return Ok(facts);
    };
    Err(ServerCertificateError::NotValid { path: path.to_owned(), problem })
}

fn read_key(path: &Path, pem: &[u8]) -> Result<Arc<dyn SigningKey>, ServerCertificateError> {
    let error = |problem: String| ServerCertificateError::Key { path: path.to_owned(), problem };
    if pem.windows(9).any(|window| window == b"ENCRYPTED") {
        return Err(error("the key is encrypted; decrypt it (`openssl pkey -in FILE -out FILE.plain`)".to_owned()));
    }
    let der = PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| error("it holds no private key; expected PEM (-----BEGIN PRIVATE KEY-----)".to_owned()))?;
    rustls::crypto::aws_lc_rs::sign::any_supported_type(&der)
        .map_err(|_| error("the key is damaged or of a kind that is not served; use RSA 2048 to 8192, EC P-256, P-384, P-521 or Ed25519".to_owned()))
}
