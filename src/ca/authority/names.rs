//! Which certificates have which CN, so that a question for one CN need not
//! look through all certificates of a tenant.
//!
//! What lives here: the index and its making. What does not: the answer
//! (`certificates`). Invariant: the index only leads to certificates; what is
//! shown is read from their own rows, and nobody relies on it before it is
//! whole. A store whose certificates are older than the index is gone through
//! once, behind the start of the broker.

use super::Authority;
use super::draft::Draft;
use super::fault::Fault;
use crate::ca::record::{CertificateRow, NamedCertificate, Record};
use crate::store::{Batch, Op, Row, Store};

/// Certificates whose names are written at once.
const PIECE: usize = 500;

/// Notes a certificate that is being made.
pub(super) fn note(draft: &mut Draft<'_>, row: &CertificateRow) {
    draft.store_row(&named(row), None);
}

/// Whether all certificates of the store stand in the index.
pub(super) fn is_whole(store: &dyn Store) -> Result<bool, Fault> {
    Ok(store.get(NamedCertificate::TABLE, &whole().key())?.is_some())
}

/// The certificate that a row of the index leads to.
pub(super) fn lead(store: &dyn Store, row: &Row) -> Result<CertificateRow, Fault> {
    let named = NamedCertificate::decode(&row.value)?;
    let found = store.get(CertificateRow::TABLE, &CertificateRow::key_of(&[&named.tenant, &named.id]))?;
    Ok(CertificateRow::decode(&found.ok_or_else(|| Fault::not_found("certificate", &named.id))?)?)
}

fn named(row: &CertificateRow) -> NamedCertificate {
    NamedCertificate { tenant: row.tenant.clone(), common_name: row.common_name.clone(), id: row.id.clone() }
}

/// The row that says that the index is whole: nobody has this name.
const fn whole() -> NamedCertificate {
    NamedCertificate { tenant: String::new(), common_name: String::new(), id: String::new() }
}

impl Authority {
    /// Completes the index of certificates by CN, if an earlier version left
    /// it incomplete; answers how many certificates were added to it. What is
    /// issued meanwhile is in it already. It reads the store: not for a thread
    /// that others wait for.
    ///
    /// # Errors
    /// The store takes nothing, or a row cannot be read; it is begun again then.
    pub fn index_certificates(&self) -> Result<usize, Fault> {
        let store = self.store.as_ref();
        if is_whole(store)? {
            return Ok(0);
        }
        let (mut after, mut count) = (None, 0);
        loop {
            let rows = store.scan(CertificateRow::TABLE, &CertificateRow::prefix_of(&[]), after.as_deref(), PIECE)?;
            let Some(last) = rows.last() else { break };
            let mut batch = Batch { ops: Vec::new() };
            for row in &rows {
                batch.push(put(&named(&CertificateRow::decode(&row.value)?)));
            }
            store.append(batch)?;
            count += rows.len();
            after = Some(last.key.clone());
        }
        store.append(Batch { ops: vec![put(&whole())] })?;
        Ok(count)
    }
}

fn put(row: &NamedCertificate) -> Op {
    Op::Put { table: NamedCertificate::TABLE, key: row.key(), value: row.encode() }
}
