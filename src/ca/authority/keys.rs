//! The keys of the broker's own CAs.
//!
//! What lives here: finding a CA's key, or making it at its first use. What
//! does not: sealing (`ca::seal`), signing (`ca::signer`). Invariant: a key is
//! in the store before anything that it signed is, and only sealed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64ct::{Base64, Encoding};

use super::draft::Draft;
use super::fault::{Fault, Kind};
use super::state::State;
use crate::ca::keypair::PrivateKey;
use crate::ca::record::{KeyRow, KeyUse};
use crate::ca::seal::SealingKey;
use crate::ca::signer::{CaOrder, LocalSigner, Signer};

/// The country of the operator's CA, as Centiloc's (fact 6 of the
/// requirements).
const COUNTRY: &str = "FR";

/// Opened keys.
pub(super) struct Keys {
    sealing: SealingKey,
    open: Mutex<HashMap<(String, KeyUse), Arc<LocalSigner>>>,
}

impl Keys {
    pub(super) fn new(sealing: SealingKey) -> Self {
        Self { sealing, open: Mutex::default() }
    }

    /// The CA of a tenant, or that of the operator (for no tenant); made in
    /// `draft` when it is not there.
    pub(super) fn signer(
        &self,
        draft: &mut Draft<'_>,
        tenant: &str,
        used_for: KeyUse,
    ) -> Result<Arc<dyn Signer>, Fault> {
        if let Some(signer) = self.existing(draft.state, tenant, used_for)? {
            return Ok(signer);
        }
        let now = i64::try_from(draft.now / 1000).unwrap_or(i64::MAX);
        let order = match used_for {
            KeyUse::Operator => CaOrder::operator(COUNTRY, "Certus", "Operator CA", now),
            KeyUse::Issuer | KeyUse::Tokens => CaOrder::agents(tenant, now),
        };
        let order = order.map_err(|error| Fault::new(Kind::Internal, format!("the CA's name: {error}")))?;
        let made = LocalSigner::create(&order).map_err(|error| Fault::new(Kind::Internal, error.to_string()))?;
        let made = Arc::new(made);
        draft.put(KeyRow {
            tenant: tenant.to_owned(),
            used_for,
            sealed: self.seal(made.key().pkcs8(), tenant, used_for)?,
            certificate: made.certificate().to_vec(),
            created_at: draft.now,
        });
        Ok(made)
    }

    /// The CA, if there is one.
    pub(super) fn existing(
        &self,
        state: &State,
        tenant: &str,
        used_for: KeyUse,
    ) -> Result<Option<Arc<dyn Signer>>, Fault> {
        let Some(row) = state.keys.get(&[tenant, used_for.as_str()]) else { return Ok(None) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (tenant.to_owned(), used_for);
        if let Some(signer) = open.get(&name).filter(|signer| signer.certificate() == row.certificate) {
            return Ok(Some(Arc::clone(signer) as Arc<dyn Signer>));
        }
        let pkcs8 = self.open(row)?;
        let key = PrivateKey::from_pkcs8(&pkcs8).map_err(|error| Fault::new(Kind::Internal, error.to_string()))?;
        let signer = LocalSigner::new(row.certificate.clone(), key)
            .map_err(|error| Fault::new(Kind::Internal, format!("the CA of {tenant:?}: {error}")))?;
        let signer = Arc::new(signer);
        open.insert(name, Arc::clone(&signer));
        Ok(Some(signer))
    }

    pub(super) fn seal(&self, secret: &[u8], tenant: &str, used_for: KeyUse) -> Result<Vec<u8>, Fault> {
        self.sealing
            .seal(secret, &owner(tenant, used_for))
            .map_err(|error| Fault::new(Kind::Internal, error.to_string()))
    }

    /// A tenant's secret as a text that only this broker could open.
    pub(super) fn seal_option(&self, secret: &str, tenant: &str) -> Result<String, Fault> {
        let sealed = self.sealing.seal(secret.as_bytes(), &format!("option/{tenant}"));
        let sealed = sealed.map_err(|error| Fault::new(Kind::Internal, error.to_string()))?;
        Ok(format!("sealed:{}", Base64::encode_string(&sealed)))
    }

    pub(super) fn open(&self, row: &KeyRow) -> Result<zeroize::Zeroizing<Vec<u8>>, Fault> {
        let opened = self.sealing.open(&row.sealed, &owner(&row.tenant, row.used_for));
        opened.map_err(|error| Fault::new(Kind::Unavailable, error.to_string()))
    }
}

fn owner(tenant: &str, used_for: KeyUse) -> String {
    format!("{}/{tenant}", used_for.as_str())
}
