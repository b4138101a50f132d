//! All rows of one kind, in memory, in the order of their keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ca::record::Record;

/// A shelf of rows.
#[derive(Debug)]
pub(super) struct Shelf<R>(BTreeMap<Vec<u8>, Arc<R>>);

impl<R> Default for Shelf<R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<R: Record> Shelf<R> {
    /// The row that these fields name.
    pub(super) fn get(&self, fields: &[&str]) -> Option<&Arc<R>> {
        self.0.get(&R::key_of(fields))
    }

    /// The rows whose first fields are these.
    pub(super) fn of<'s>(&'s self, fields: &[&str]) -> impl Iterator<Item = &'s Arc<R>> + use<'s, R> {
        let prefix = R::prefix_of(fields);
        let end = prefix.clone();
        self.0.range(prefix..).take_while(move |(key, _)| key.starts_with(&end)).map(|(_, row)| row)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<R>> {
        self.0.values()
    }

    /// Puts a row in its place, or takes it away; answers what was there.
    pub(super) fn set(&mut self, key: &[u8], row: Option<Arc<R>>) -> Option<Arc<R>> {
        match row {
            Some(row) => self.0.insert(key.to_vec(), row),
            None => self.0.remove(key),
        }
    }
}
