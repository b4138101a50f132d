//! A change that is being made.
//!
//! What lives here: the rows that it writes, and the audit lines that go with
//! them. What does not: whether it may be made (each operation). Invariant:
//! every row that changes has an audit line in the same batch, with what was
//! before and what is now, and never a secret.

use std::sync::Arc;

use super::audit::Note;
use super::caller::Caller;
use super::fault::Fault;
use super::state::{Edit, Kept, Reach, State};
use crate::ca::record::{AuditRow, Record};
use crate::store::rows::DeviceRow;
use crate::store::{Batch, Op, Store, Table};

/// What a finished draft asks for.
pub(super) struct Change {
    pub(super) edits: Vec<Edit>,
    pub(super) batch: Batch,
    /// The tenant that it concerns.
    pub(super) tenant: String,
    pub(super) reach: Reach,
}

/// A change that is being made; reads show the state before it.
pub(super) struct Draft<'d> {
    pub(super) state: &'d State,
    pub(super) store: &'d dyn Store,
    pub(super) caller: &'d Caller,
    /// Milliseconds since 1970.
    pub(super) now: u64,
    action: &'static str,
    tenant: String,
    edits: Vec<Edit>,
    batch: Batch,
    lines: Vec<AuditRow>,
    reach: Reach,
}

impl<'d> Draft<'d> {
    pub(super) const fn new(
        state: &'d State,
        store: &'d dyn Store,
        caller: &'d Caller,
        action: &'static str,
        now: u64,
    ) -> Self {
        Self {
            state,
            store,
            caller,
            now,
            action,
            tenant: String::new(),
            edits: Vec::new(),
            batch: Batch { ops: Vec::new() },
            lines: Vec::new(),
            reach: Reach::Nobody,
        }
    }

    /// Names the tenant that audit lines are filed under.
    pub(super) fn concerns(&mut self, tenant: &str) {
        tenant.clone_into(&mut self.tenant);
    }

    /// Writes a row of a kind that is kept in memory.
    pub(super) fn put<R: Kept>(&mut self, row: R) -> Arc<R> {
        let key = row.key();
        let before = R::shelf(self.state).get(&row.key_fields()).map(|row| row.audited());
        self.audit(&row, before, Some(row.audited()));
        self.write(R::TABLE, &key, Some(row.encode()));
        let row = Arc::new(row);
        self.edits.push(R::edit(key, Some(Arc::clone(&row))));
        self.reach = self.reach.max(R::REACH);
        row
    }

    /// Takes away a row of a kind that is kept in memory.
    pub(super) fn remove<R: Kept>(&mut self, row: &R) {
        let key = row.key();
        self.audit(row, Some(row.audited()), None);
        self.write(R::TABLE, &key, None);
        self.edits.push(R::edit(key, None));
        self.reach = self.reach.max(R::REACH);
    }

    /// Writes a row of a kind that only the store keeps; `before` is what was
    /// there.
    pub(super) fn store_row<R: Record>(&mut self, row: &R, before: Option<&R>) {
        self.audit(row, before.map(Record::audited), Some(row.audited()));
        self.write(R::TABLE, &row.key(), Some(row.encode()));
    }

    /// Takes away a row of a kind that only the store keeps.
    pub(super) fn drop_row<R: Record>(&mut self, row: &R) {
        self.audit(row, Some(row.audited()), None);
        self.write(R::TABLE, &row.key(), None);
    }

    /// A row of a kind that only the store keeps.
    pub(super) fn stored<R: Record>(&self, fields: &[&str]) -> Result<Option<R>, Fault> {
        let row = self.store.get(R::TABLE, &R::key_of(fields))?;
        Ok(row.map(|bytes| R::decode(&bytes)).transpose()?)
    }

    /// Writes an audit line about what no row is kept of.
    pub(super) fn note(&mut self, Note { kind, object, before, after }: Note) {
        let line = self.line(kind, object);
        self.lines.push(AuditRow { before, after, ..line });
    }

    /// Writes or takes away the row of a device, which connections write as
    /// well and in a form of its own.
    pub(super) fn put_device(&mut self, device: &str, before: Option<&DeviceRow>, after: Option<&DeviceRow>) {
        let shown = |row: &DeviceRow| serde_json::json!({ "enabled": row.enabled, "type": row.kind, "name": row.name, "properties": row.properties });
        if let Some(line) = before.or(after).map(|_| self.line("device", device.to_owned())) {
            let (before, after) = (before.map(shown).unwrap_or_default(), after.map(shown).unwrap_or_default());
            self.lines.push(AuditRow { before, after, ..line });
        }
        let key = DeviceRow::key(&self.tenant, device);
        self.write(Table::Registrations, &key, after.map(DeviceRow::encode));
    }

    fn write(&mut self, table: Table, key: &[u8], value: Option<Vec<u8>>) {
        let key = key.to_vec();
        self.batch.push(match value {
            Some(value) => Op::Put { table, key, value },
            None => Op::Delete { table, key },
        });
    }

    fn audit<R: Record>(&mut self, row: &R, before: Option<serde_json::Value>, after: Option<serde_json::Value>) {
        if before.as_ref().or(after.as_ref()).is_none_or(serde_json::Value::is_null) {
            return; // an index of another row
        }
        let line = self.line(R::NAME, row.label());
        self.lines.push(AuditRow { before: before.unwrap_or_default(), after: after.unwrap_or_default(), ..line });
    }

    /// An audit line that does not say yet what changed.
    fn line(&self, kind: &str, object: String) -> AuditRow {
        AuditRow {
            at: self.now,
            number: 0,
            who: self.caller.name.to_string(),
            address: self.caller.address.as_deref().map(str::to_owned),
            tenant: self.tenant.clone(),
            action: self.action.to_owned(),
            kind: kind.to_owned(),
            object,
            before: serde_json::Value::Null,
            after: serde_json::Value::Null,
            request: self.caller.request.as_deref().map(str::to_owned),
        }
    }

    pub(super) fn finish(mut self) -> Change {
        for mut line in self.lines {
            line.number = self.state.next_audit_number();
            self.batch.push(Op::Put { table: AuditRow::TABLE, key: line.key(), value: line.encode() });
        }
        Change { edits: self.edits, batch: self.batch, tenant: self.tenant, reach: self.reach }
    }
}
