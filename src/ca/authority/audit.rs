//! Reading the audit, and its bound.

use super::Authority;
use super::access::Scope;
use super::caller::Caller;
use super::fault::Fault;
use crate::ca::record::AuditRow;
use crate::store::{Batch, Op};

/// Lines that are read at once.
const PAGE: usize = 500;
/// Lines that are kept; the oldest go first.
const KEPT: usize = 100_000;
/// Lines that go at once.
const SWEEP: usize = 10_000;

/// Which lines are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only those of this tenant.
    pub tenant: Option<String>,
    /// Only those whose action begins so.
    pub action: Option<String>,
    /// Only those of this caller.
    pub who: Option<String>,
    /// Only those about this object.
    pub object: Option<String>,
    /// Not before this, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Not after this.
    pub until: Option<u64>,
}

/// Something that was done to what is not kept in rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What kind of thing it is.
    pub kind: &'static str,
    /// Which.
    pub object: String,
    /// What it was: never a secret.
    pub before: serde_json::Value,
    /// What became of it.
    pub after: serde_json::Value,
}

impl AuditFilter {
    fn takes(&self, line: &AuditRow) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.tenant, &line.tenant)
            && self.action.as_deref().is_none_or(|action| line.action.starts_with(action))
            && is(&self.who, &line.who)
            && is(&self.object, &line.object)
            && self.until.is_none_or(|until| line.at <= until)
    }
}

impl Authority {
    /// Writes down what `caller` has done, and waits until that lasts.
    ///
    /// # Errors
    /// The store takes nothing.
    pub async fn note(&self, caller: &Caller, tenant: &str, action: &'static str, note: Note) -> Result<(), Fault> {
        self.change(caller, action, |draft| {
            draft.concerns(tenant);
            draft.note(note);
            Ok(())
        })
        .await
    }

    /// Up to `limit` audit lines behind the key `after`, oldest first, with
    /// the key to go on from.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn audit(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<(Vec<AuditRow>, Option<Vec<u8>>), Fault> {
        match filter.tenant.as_deref() {
            Some(tenant) => caller.needs(Scope::AuditRead, tenant)?,
            None => caller.needs_everywhere(Scope::AuditRead)?,
        }
        let since =
            filter.since.map(|since| since.saturating_sub(1).to_be_bytes().into_iter().chain([0xff; 4]).collect());
        let mut at: Option<Vec<u8>> = after.map(<[u8]>::to_vec).max(since);
        let mut found = Vec::new();
        loop {
            let rows = self.store.scan(AuditRow::TABLE, &[], at.as_deref(), PAGE)?;
            if rows.is_empty() {
                return Ok((found, None));
            }
            for row in rows {
                let line = AuditRow::decode(&row.value)?;
                at = Some(row.key);
                if filter.takes(&line) {
                    found.push(line);
                }
                if found.len() == limit {
                    return Ok((found, at));
                }
            }
        }
    }

    /// Takes away the oldest lines when there are more than are kept. It reads
    /// them all: to be called now and then, and not where others wait.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn sweep_audit(&self) -> Result<usize, Fault> {
        let (mut count, mut at, mut oldest) = (0, None::<Vec<u8>>, Vec::new());
        loop {
            let rows = self.store.scan(AuditRow::TABLE, &[], at.as_deref(), PAGE)?;
            let Some(last) = rows.last() else { break };
            at = Some(last.key.clone());
            count += rows.len();
            oldest.extend(rows.into_iter().take(SWEEP - oldest.len().min(SWEEP)).map(|row| row.key));
        }
        let gone = count.saturating_sub(KEPT).min(oldest.len());
        if gone == 0 {
            return Ok(0);
        }
        let ops = oldest.drain(..gone).map(|key| Op::Delete { table: AuditRow::TABLE, key }).collect();
        self.store.append(Batch { ops })?;
        Ok(gone)
    }
}
