//! Passwords of those who use the control plane.
//!
//! What lives here: checking and hashing them where those of MQTT clients are.
//! What does not: accounts (`ca`). Invariant: one bound and one lock-out hold
//! for MQTT and HTTPS together.

use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

pub use crate::net::Checked;

use super::Handle;

impl Handle {
    /// Checks a password from `address` against `hash`; without one there is
    /// no such account, which costs as much.
    pub async fn check_password(&self, address: IpAddr, hash: Option<&str>, password: Zeroizing<Vec<u8>>) -> Checked {
        let node = &self.node;
        let most = node.settings.load().max_password_checks;
        let memory = self.https.as_ref().map(|door| door.settings().password_memory).unwrap_or_default();
        node.passwords.check_hash(address, hash.map(Arc::from), password, most, memory, &node.clock).await
    }

    /// Checks the password of the bootstrap account: that of `tenant`, or of
    /// any tenant.
    #[must_use]
    pub fn check_bootstrap(&self, address: IpAddr, tenant: Option<&str>, given: &[u8]) -> Checked {
        let good = self.authority().bootstrap_passwords(tenant);
        let good: Vec<&[u8]> = good.iter().map(|password| password.0.as_bytes()).collect();
        self.node.passwords.compare(address, &good, given, &self.node.clock)
    }

    /// The hash of a password that was chosen; `None` when too many wait.
    pub async fn hash_password(&self, password: Zeroizing<Vec<u8>>) -> Option<String> {
        let most = self.node.settings.load().max_password_checks;
        self.node.passwords.hash(password, most).await
    }
}
