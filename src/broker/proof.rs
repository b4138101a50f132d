//! Devices that prove themselves over HTTPS, for the control plane.
//!
//! What lives here: the judgement of a guest's certificate. What does not: what
//! it is good for (`control`). Invariant: whoever is refused stands in the
//! record of refusals.

pub use crate::identity::device_proof::ProvedDevice;
use crate::identity::{device_proof, pem};
use crate::net::Guest;

use super::Handle;

/// Why a device did not prove itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProved {
    /// What was sent beside the handshake is no chain.
    #[error("{0}")]
    Unreadable(String),
    /// It would be good, but for its registration.
    #[error("{0}")]
    NotRegistered(String),
    /// It is not good.
    #[error("{0}")]
    Refused(String),
}

impl Handle {
    /// Judges the certificate of a guest, with `more` certificates as text
    /// that the handshake did not carry.
    ///
    /// # Errors
    /// See [`NotProved`].
    pub fn prove(&self, guest: &Guest, more: Option<&[u8]>) -> Result<ProvedDevice, NotProved> {
        let more = more.map(pem::certificates).transpose();
        let more = more.map_err(|error| NotProved::Unreadable(error.to_string()))?.unwrap_or_default();
        let snapshot = self.node.trust.current();
        device_proof::prove(&snapshot, guest.peer(), &more, self.node.clock.wall()).map_err(|refusal| {
            let said = format!("{}; {}", refusal.detail, refusal.reason.remedy());
            let is_unregistered = refusal.is_about_registration();
            self.node.refusals.record(*refusal);
            if is_unregistered { NotProved::NotRegistered(said) } else { NotProved::Refused(said) }
        })
    }

    /// How many devices a tenant may know; 0 for any number.
    #[must_use]
    pub fn max_devices(&self) -> usize {
        self.node.settings.load().max_devices
    }
}
