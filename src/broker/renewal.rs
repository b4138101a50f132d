//! Certificates shown for renewal.
//!
//! What lives here: what the control plane asks about a guest of HTTPS whose
//! certificate is to be renewed, and the names of tenants. What does not: the
//! judgement (`identity::renewal`), issuing (`ca`). Invariant: every refusal
//! is recorded beside those of connections.

use crate::identity::renewal::{self, Renewable};
use crate::net::Guest;

use super::Handle;

impl Handle {
    /// What the certificate of `guest` proves for its renewal; nothing when it
    /// sent none.
    ///
    /// # Errors
    /// Why the certificate is not accepted, with the remedy.
    pub fn renewable(&self, guest: &Guest) -> Result<Option<Renewable>, String> {
        let (snapshot, now) = (self.node.trust.current(), self.node.clock.wall());
        renewal::renewable(&snapshot, guest.peer(), now).map_err(|refusal| {
            let told = refusal.reason_string();
            self.node.refusals.record(*refusal);
            told
        })
    }

    /// Whether a device that proved its name otherwise may have a certificate.
    ///
    /// # Errors
    /// Why not: its tenant is switched off, or it was taken back.
    pub fn may_renew(&self, tenant: &str, device: &str) -> Result<(), String> {
        renewal::check_name(&self.node.trust.current(), tenant, device)
    }

    /// The tenant that the certificate of `guest` belongs to, if it is a good
    /// one. For what everybody may know: nothing is recorded.
    #[must_use]
    pub fn tenant_of_guest(&self, guest: &Guest) -> Option<String> {
        let proved = renewal::renewable(&self.node.trust.current(), guest.peer(), self.node.clock.wall());
        Some(proved.ok()??.tenant.to_string())
    }

    /// The tenant that is meant by a host name.
    #[must_use]
    pub fn tenant_of_host(&self, host: &str) -> Option<String> {
        self.node.trust.current().tenant_of_domain(host).map(|tenant| tenant.id.to_string())
    }
}
