//! Certificates that the broker issues itself.
//!
//! What lives here: the development PKI of a first start, device certificates
//! from its CA, and the parts that every authority of ours is made of: keys,
//! names, what a certificate contains, signing, and keys at rest. What does
//! not: whether a certificate is trusted (`identity`). Invariant: nothing that
//! exists is ever overwritten, and no private key is kept in the clear except
//! in a file that its owner alone can read.

pub mod armour;
pub mod authority;
pub mod crl;
mod csr_attributes;
mod der;
mod development;
mod envelope;
mod files;
mod issue;
pub mod keypair;
pub mod outgoing;
pub mod pkcs7;
pub mod possession;
pub mod profile;
pub mod record;
pub mod request;
pub mod seal;
pub mod signer;
pub mod subject;

pub use development::{Made, Wanted, ensure, pending};
pub use issue::{Pair, new_device, new_server};

use std::path::PathBuf;

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of what belongs together is gone.
    #[error(
        "{}: {} {} here, but {} missing; put back what is missing, or move the rest away and all of it is made anew",
        directory.display(), present.join(", "), are(present), listed(missing)
    )]
    Partial {
        /// The certificates directory.
        directory: PathBuf,
        /// What is there.
        present: Vec<String>,
        /// What is not.
        missing: Vec<String>,
    },
    /// Something stands where a new file should go.
    #[error("{}: it exists already and is not overwritten; choose another name, or move it away", .0.display())]
    Exists(PathBuf),
    /// The file or directory cannot be written.
    #[error("{}: it cannot be written ({source}); make the directory writable, or choose another with --certs-dir", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A CA's certificate or key cannot be read.
    #[error("{}: it cannot be read ({reason}); {remedy}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The key is not that of the CA's certificate.
    #[error("{}: it is not the key of {}; put the right key there", key.display(), certificate.display())]
    Mismatch {
        /// The key.
        key: PathBuf,
        /// The certificate.
        certificate: PathBuf,
    },
    /// No certificate can carry this name.
    #[error("{name:?} cannot name a certificate: {reason}")]
    Name {
        /// The name.
        name: String,
        /// Why not, and what would do.
        reason: &'static str,
    },
    /// The certificate could not be built or signed.
    #[error("the certificate could not be made: {0}")]
    Issue(#[from] rcgen::Error),
}

fn are(names: &[String]) -> &'static str {
    if names.len() == 1 { "is" } else { "are" }
}

fn listed(names: &[String]) -> String {
    format!("{} {}", names.join(", "), are(names))
}
