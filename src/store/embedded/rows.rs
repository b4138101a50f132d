//! Rows of the tables, as far as the index does not know them yet.
//!
//! What lives here: what was put and deleted and is not applied, and how it is
//! laid over what lies on disk. What does not: what the rows mean. Invariant: a
//! reader looks here before it looks at the disk, so that a row that moves
//! there meanwhile is seen in one of the two places.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::{Op, Position, Row, StoreError, Table};

type Key = (Table, Vec<u8>);

/// A value that was put, or none for one that was deleted.
type Value = Option<Vec<u8>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rows {
    changed: Mutex<BTreeMap<Key, (Value, Position)>>,
}

/// The rows, held.
pub(super) struct HeldRows<'a>(MutexGuard<'a, BTreeMap<Key, (Value, Position)>>);

impl Rows {
    pub(super) fn hold(&self) -> HeldRows<'_> {
        HeldRows(self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was last done to a row; `None` when the disk knows best.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Option<Value> {
        self.hold().0.get(&(table, key.to_vec())).map(|(value, _)| value.clone())
    }

    /// Forgets what the index holds now.
    pub(super) fn applied(&self, position: Position) {
        self.hold().0.retain(|_, (_, changed)| *changed > position);
    }

    /// Up to `limit` rows from `from` on whose keys begin with `prefix`: those
    /// of `disk`, which is told how many it may be asked for, with the changes
    /// over them.
    pub(super) fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        from: Bound<Vec<u8>>,
        limit: usize,
        disk: impl FnOnce(usize) -> Result<Vec<Row>, StoreError>,
    ) -> Result<Vec<Row>, StoreError> {
        let changed = self.changed_from(table, prefix, &from, limit);
        // Each change hides one row of the disk at most.
        let most = limit.saturating_add(changed.rows.len());
        let mut merged: BTreeMap<Vec<u8>, Value> =
            disk(most)?.into_iter().map(|row| (row.key, Some(row.value))).collect();
        let end = changed.end;
        merged.extend(changed.rows);
        // Changes behind the last one that was looked at are not known here.
        let sure = merged.into_iter().take_while(|(key, _)| end.as_ref().is_none_or(|end| key <= end));
        let rows = sure.filter_map(|(key, value)| Some(Row { key, value: value? }));
        Ok(rows.take(limit).collect())
    }

    fn changed_from(&self, table: Table, prefix: &[u8], from: &Bound<Vec<u8>>, limit: usize) -> Changed {
        let held = self.hold();
        let from = match from {
            Bound::Included(key) => Bound::Included((table, key.clone())),
            Bound::Excluded(key) => Bound::Excluded((table, key.clone())),
            Bound::Unbounded => Bound::Included((table, Vec::new())),
        };
        let (mut changed, mut puts) = (Changed::default(), 0);
        for ((_, key), (value, _)) in
            held.0.range((from, Bound::Unbounded)).take_while(|((of, key), _)| *of == table && key.starts_with(prefix))
        {
            puts += usize::from(value.is_some());
            changed.rows.push((key.clone(), value.clone()));
            if puts >= limit {
                changed.end = Some(key.clone());
                break;
            }
        }
        changed
    }
}

#[derive(Debug, Default)]
struct Changed {
    rows: Vec<(Vec<u8>, Value)>,
    /// The last key that was looked at, when there may be more.
    end: Option<Vec<u8>>,
}

impl HeldRows<'_> {
    /// Takes a change in.
    pub(super) fn take(&mut self, op: &Op, position: Position) {
        match op {
            Op::Put { table, key, value } => {
                drop(self.0.insert((*table, key.clone()), (Some(value.clone()), position)));
            }
            Op::Delete { table, key } => drop(self.0.insert((*table, key.clone()), (None, position))),
            _ => {}
        }
    }
}
