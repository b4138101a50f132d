//! The list of a tenant's revoked serial numbers as a revocation list
//! (C8Y-CRL-01).
//!
//! What lives here: the list that the tenant's own CA signs. What does not:
//! the entries (`revocations`), lists of other CAs (`crls`). Invariant: the
//! list holds what was entered for it and no other revocation.

use std::sync::Arc;

use super::Authority;
use super::access::Scope;
use super::caller::Caller;
use super::fault::{Fault, Kind};
use super::tenants::no_tenant;
use crate::ca::crl::{CrlOrder, Revoked};
use crate::ca::record::{KeyUse, RevocationKind};
use crate::ca::signer::Signer;
use crate::identity::certificate::Serial;
use crate::identity::switch::RevocationReason;

/// How long a list may be kept by whoever fetched it, seconds.
const LASTS: i64 = 86_400;

impl Authority {
    /// The tenant's list of revoked serial numbers, DER, signed now by the
    /// tenant's own CA, which is made for it when it is not there.
    ///
    /// # Errors
    /// The caller may not see it, or the CA's key cannot be used.
    pub async fn listed_revocations(&self, caller: &Caller, tenant: &str) -> Result<Vec<u8>, Fault> {
        caller.needs(Scope::RevocationsRead, tenant)?;
        let signer = self.own_ca(tenant).await?;
        let rows: Vec<_> = self.state().revocations.of(&[tenant]).cloned().collect();
        let listed = rows.iter().filter(|row| row.listed && row.kind == RevocationKind::Serial);
        let entries: Vec<Revoked> = listed
            .filter_map(|row| {
                let since = i64::try_from(row.since / 1000).ok()?;
                let reason = row.reason.parse().unwrap_or(RevocationReason::Unspecified);
                Some(Revoked { serial: Serial(number(&row.value)?.into()), since, reason })
            })
            .collect();
        let now = self.clock.unix_seconds();
        let this_update = i64::try_from(now).unwrap_or(i64::MAX);
        let next_update = this_update.saturating_add(LASTS);
        let order = CrlOrder { number: now, this_update, next_update, entries: &entries };
        signer.sign_crl(&order).map_err(|error| Fault::new(Kind::Internal, error.to_string()))
    }

    async fn own_ca(&self, tenant: &str) -> Result<Arc<dyn Signer>, Fault> {
        if let Some(signer) = self.keys.existing(&self.state(), tenant, KeyUse::Issuer)? {
            return Ok(signer);
        }
        self.change(&Caller::broker(), "key.create", |draft| {
            draft.concerns(tenant);
            if !draft.state.has(tenant) {
                return Err(no_tenant(tenant));
            }
            self.keys.signer(draft, tenant, KeyUse::Issuer)
        })
        .await
    }
}

/// The bytes of an INTEGER that is not negative.
fn number(digits: &str) -> Option<Vec<u8>> {
    let serial = Serial::from_hex(digits)?;
    let significant = serial.significant();
    let needs_zero = significant.first().is_none_or(|first| first & 0x80 != 0);
    Some(if needs_zero { [&[0], significant].concat() } else { significant.to_vec() })
}
