//! Values by filters without wildcards.
//!
//! What lives here: one dense list of paths with their values, and a hash table
//! of places in it. What does not: filters with wildcards (`trie`). Invariant:
//! every place in the table is in the list, and the other way round.
//!
//! A hash table is up to half empty, more behind each doubling. So it holds
//! four bytes for each path, and the 32 bytes of path and value lie in the list
//! without gaps: most filters are those of sessions that sleep.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// See the module.
#[derive(Debug)]
pub(super) struct Exact<V> {
    list: Vec<(Box<str>, V)>,
    /// Four thousand million paths do not fit in memory.
    places: HashTable<u32>,
    hasher: RandomState,
}

impl<V> Default for Exact<V> {
    fn default() -> Self {
        Self { list: Vec::new(), places: HashTable::new(), hasher: RandomState::default() }
    }
}

impl<V> Exact<V> {
    pub(super) fn get(&self, path: &str) -> Option<&V> {
        let at = self.find(path)?;
        self.list.get(at).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, path: &str) -> Option<&mut V> {
        let at = self.find(path)?;
        self.list.get_mut(at).map(|(_, value)| value)
    }

    /// Enters a path that is not there.
    pub(super) fn insert(&mut self, path: &str, value: V) {
        let at = self.list.len() as u32;
        let hash = self.hasher.hash_one(path);
        self.list.push((Box::from(path), value));
        let (list, hasher) = (&self.list, &self.hasher);
        self.places.insert_unique(hash, at, |&at| hash_at(list, hasher, at));
    }

    /// Takes a path out. The last one takes its place.
    pub(super) fn remove(&mut self, path: &str) -> Option<V> {
        let at = self.find(path)?;
        let last = self.list.len().saturating_sub(1) as u32;
        let moved = hash_at(&self.list, &self.hasher, last);
        if let Ok(entry) = self.places.find_entry(self.hasher.hash_one(path), |&place| place as usize == at) {
            entry.remove();
        }
        if let Some(place) = self.places.find_mut(moved, |&place| place == last) {
            *place = at as u32;
        }
        let (_, value) = self.list.swap_remove(at);
        self.shrink();
        Some(value)
    }

    /// Gives memory back after many removals; the factor of eight keeps the
    /// copying below one move per removal.
    fn shrink(&mut self) {
        let few = self.list.len();
        if few < self.places.capacity() / 8 {
            let (list, hasher) = (&self.list, &self.hasher);
            self.places.shrink_to(few * 2, |&at| hash_at(list, hasher, at));
            self.list.shrink_to(few * 2);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn find(&self, path: &str) -> Option<usize> {
        let is_it = |&at: &u32| self.list.get(at as usize).is_some_and(|(found, _)| **found == *path);
        self.places.find(self.hasher.hash_one(path), is_it).map(|&at| at as usize)
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }
}

fn hash_at<V>(list: &[(Box<str>, V)], hasher: &RandomState, at: u32) -> u64 {
    list.get(at as usize).map_or(0, |(path, _)| hasher.hash_one(&**path))
}
