//! Who holds which grants, so that an approval need not look through all
//! certificates of a tenant.
//!
//! What lives here: the index of grants by company and address. What does not:
//! approving (`requests`). Invariant: the index only leads to certificates; what
//! holds is read from their own rows. A tenant whose grants are older than the
//! index is gone through once, by the first approval.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::fault::Fault;
use super::random;
use super::state::each;
use crate::ca::record::{CertificateRow, CertificateUse, GrantHolder};

/// The holder that no company can be: its row says that the index is whole.
const WHOLE: &str = "";

/// The certificates of this company and address that were not taken back,
/// oldest first.
pub(super) fn grants_of(
    draft: &Draft<'_>,
    tenant: &str,
    company: &str,
    email: &str,
) -> Result<Vec<CertificateRow>, Fault> {
    let key = key(company, email);
    let found = match is_whole(draft, tenant)? {
        true => draft.stored::<GrantHolder>(&[tenant, &key])?,
        false => indexed(draft, tenant)?.remove(&key),
    };
    let mut grants = Vec::new();
    for id in found.map(|holder| holder.certificates).unwrap_or_default() {
        let row = draft.stored::<CertificateRow>(&[tenant, &id])?;
        grants.extend(row.filter(|row| row.revoked_at.is_none()));
    }
    Ok(grants)
}

/// Notes a grant that was made just now.
pub(super) fn note(draft: &mut Draft<'_>, grant: &CertificateRow) -> Result<(), Fault> {
    let (tenant, key) = (grant.tenant.as_str(), key(&grant.name, grant.owner.as_deref().unwrap_or_default()));
    let mut holder = match is_whole(draft, tenant)? {
        true => draft.stored::<GrantHolder>(&[tenant, &key])?,
        false => {
            let mut all = indexed(draft, tenant)?;
            let own = all.remove(&key);
            all.values().for_each(|holder| draft.store_row(holder, None));
            draft.store_row(&empty(tenant, WHOLE), None);
            own
        }
    }
    .unwrap_or_else(|| empty(tenant, &key));
    holder.certificates.push(grant.id.clone());
    draft.store_row(&holder, None);
    Ok(())
}

fn is_whole(draft: &Draft<'_>, tenant: &str) -> Result<bool, Fault> {
    Ok(draft.stored::<GrantHolder>(&[tenant, WHOLE])?.is_some())
}

/// The index as the certificates themselves make it.
fn indexed(draft: &Draft<'_>, tenant: &str) -> Result<BTreeMap<String, GrantHolder>, Fault> {
    let mut all = BTreeMap::new();
    each::<CertificateRow, Fault>(draft.store, &[tenant], |row| {
        if row.used_for == CertificateUse::Grant && row.revoked_at.is_none() {
            let key = key(&row.name, row.owner.as_deref().unwrap_or_default());
            let holder: &mut GrantHolder = all.entry(key.clone()).or_insert_with(|| empty(tenant, &key));
            holder.certificates.push(row.id);
        }
        Ok(())
    })?;
    Ok(all)
}

fn empty(tenant: &str, holder: &str) -> GrantHolder {
    GrantHolder { tenant: tenant.to_owned(), holder: holder.to_owned(), certificates: Vec::new() }
}

/// Company and address in a form that no key's field forbids.
fn key(company: &str, email: &str) -> String {
    random::sha256_hex(format!("{company}\0{email}").as_bytes())
}
