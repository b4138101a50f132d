//! Why would this certificate be refused?
//!
//! What lives here: the question of the control plane, asked of the trust that
//! holds now. What does not: the judgement (`identity::explain`), what only
//! the rows say (`ca`). Invariant: nothing is recorded and nobody is told.

pub use crate::ca::authority::Explanation;
pub use crate::identity::explain::{Inquiry, Step};
pub use crate::identity::pem::PemError;

use super::Handle;

impl Handle {
    /// Judges a chain as a handshake and CONNECT would, with what the rows say
    /// beside it. It reads the store, and may read long revocation lists: not
    /// for a thread that others wait for.
    ///
    /// # Errors
    /// The text holds no certificates.
    pub fn explain(&self, inquiry: &Inquiry<'_>) -> Result<Explanation, PemError> {
        self.authority().explain(inquiry, &self.node.trust.current())
    }

    /// How often trust has changed since the start.
    #[must_use]
    pub fn trust_version(&self) -> u64 {
        self.node.trust.version()
    }
}
