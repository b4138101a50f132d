//! Who a connection was proved to be.
//!
//! What lives here: the principal and its parts. What does not: how it is
//! proved (`admission`), what it may do (`policy`). Invariant: two principals
//! are equal exactly when the one may take over the other's session.

use std::fmt;
use std::sync::Arc;

use crate::mqtt::TenantId;

/// Which anchors a certificate's name was proved under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lineage {
    /// The tenant's own: all of them are one lineage, so that a device that
    /// moves from the first CA to the second stays itself.
    Tenant,
    /// A CA that signs for many tenants, by its name.
    Platform(Arc<str>),
}

/// What was proved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// Possession of the key of a certificate with this subject CN.
    Certificate {
        /// Where the certificate comes from.
        lineage: Lineage,
        /// The subject CN.
        common_name: Arc<str>,
    },
    /// Knowledge of an account's password.
    Account(Arc<str>),
    /// Nothing.
    Anonymous,
}

/// A tenant's client, as far as it proved itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal {
    /// The tenant that it belongs to.
    pub tenant: TenantId,
    /// What it proved.
    pub holder: Holder,
}

impl Principal {
    /// The subject CN, when a certificate was proved.
    #[must_use]
    pub fn common_name(&self) -> Option<&str> {
        match &self.holder {
            Holder::Certificate { common_name, .. } => Some(common_name),
            Holder::Account(_) | Holder::Anonymous => None,
        }
    }

    /// The account's name, when a password was proved.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match &self.holder {
            Holder::Account(name) => Some(name),
            Holder::Certificate { .. } | Holder::Anonymous => None,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Holder::Certificate { lineage: Lineage::Tenant, common_name } => {
                write!(f, "{}/cn={}", self.tenant, common_name.escape_debug())
            }
            Holder::Certificate { lineage: Lineage::Platform(anchor), common_name } => {
                write!(f, "{}/cn={} under {anchor}", self.tenant, common_name.escape_debug())
            }
            Holder::Account(name) => write!(f, "{}/account={}", self.tenant, name.escape_debug()),
            Holder::Anonymous => write!(f, "{}/anonymous", self.tenant),
        }
    }
}
