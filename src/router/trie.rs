//! Values by filters with wildcards.
//!
//! What lives here: the tree of levels and the walk that matches a topic. What
//! does not: filters without wildcards (`index`). Invariant: every node but
//! the root leads to a value; what becomes empty is freed up to the first node
//! that is not.
//!
//! Nodes lie in one vector; the children of all nodes lie in one hash table by
//! (parent, level), `+` is a field and `#` a second value of its parent. A topic
//! is walked level by level with the set of nodes that its beginning reaches:
//! no recursion, and each node is entered at most once, so that the filters
//! that a hostile client has stored bound what its topics cost, whatever their
//! shape.

use std::hash::{BuildHasher, Hasher};
use std::mem;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::mqtt::TopicName;

/// The index of a node; 4 thousand million of them do not fit in memory.
type NodeId = u32;

/// The root is nobody's child, so its index also stands for "none".
const ROOT: NodeId = 0;

#[derive(Debug)]
struct Node<V> {
    parent: NodeId,
    /// The child for `+`, or [`ROOT`].
    plus: NodeId,
    /// The number of children with a name.
    named: u32,
    /// The level; empty for the root and for a `+`.
    label: Box<str>,
    /// Of the filter that ends here.
    value: Option<V>,
    /// Of the filter that ends here with `#`.
    rest: Option<V>,
}

impl<V> Node<V> {
    fn new(parent: NodeId, label: &str) -> Self {
        Self { parent, plus: ROOT, named: 0, label: Box::from(label), value: None, rest: None }
    }

    const fn is_unwanted(&self) -> bool {
        self.plus == ROOT && self.named == 0 && self.value.is_none() && self.rest.is_none()
    }
}

/// The working memory of [`Trie::visit`].
#[derive(Debug, Default)]
pub(super) struct Frontier {
    now: Vec<NodeId>,
    next: Vec<NodeId>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Trie<V> {
    nodes: Vec<Node<V>>,
    free: Vec<NodeId>,
    named: HashTable<NodeId>,
    hasher: RandomState,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), named: HashTable::new(), hasher: RandomState::default() }
    }
}

/// Where a filter ends.
enum End {
    Value(NodeId),
    Rest(NodeId),
}

impl<V> Trie<V> {
    /// The value under `path`.
    pub(super) fn get(&self, path: &str) -> Option<&V> {
        match self.find(path)? {
            End::Value(at) => self.node(at)?.value.as_ref(),
            End::Rest(at) => self.node(at)?.rest.as_ref(),
        }
    }

    /// The value under `path`.
    pub(super) fn get_mut(&mut self, path: &str) -> Option<&mut V> {
        match self.find(path)? {
            End::Value(at) => self.node_mut(at)?.value.as_mut(),
            End::Rest(at) => self.node_mut(at)?.rest.as_mut(),
        }
    }

    /// Removes the value under `path`, and the nodes that nothing needs then.
    pub(super) fn remove(&mut self, path: &str) -> Option<V> {
        let (at, value) = match self.find(path)? {
            End::Value(at) => (at, self.node_mut(at)?.value.take()),
            End::Rest(at) => (at, self.node_mut(at)?.rest.take()),
        };
        self.prune(at);
        value
    }

    /// Calls `found` with every value whose filter matches `topic`. Topics
    /// that start with `$` are hidden from a wildcard in the first level
    /// [MQTT-4.7.2-1].
    pub(super) fn visit<'a>(&'a self, topic: TopicName<'_>, frontier: &mut Frontier, mut found: impl FnMut(&'a V)) {
        let Some(root) = self.node(ROOT) else { return };
        let Frontier { now, next } = frontier;
        let mut wild = !topic.is_dollar();
        if wild && let Some(rest) = &root.rest {
            found(rest);
        }
        now.clear();
        now.push(ROOT);
        for label in topic.as_str().split('/') {
            next.clear();
            let hash = self.hasher.hash_one(label);
            for node in now.iter().filter_map(|&at| Some((at, self.node(at)?))) {
                let (at, node) = node;
                if node.named > 0
                    && let Some(child) = self.named_child(at, label, hash)
                {
                    next.push(child);
                }
                if wild && node.plus != ROOT {
                    next.push(node.plus);
                }
            }
            mem::swap(now, next);
            if now.is_empty() {
                return;
            }
            now.iter().filter_map(|&at| self.node(at)?.rest.as_ref()).for_each(&mut found);
            wild = true;
        }
        now.iter().filter_map(|&at| self.node(at)?.value.as_ref()).for_each(found);
    }

    /// The number of nodes in use, the root included.
    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    fn node(&self, at: NodeId) -> Option<&Node<V>> {
        self.nodes.get(at as usize)
    }

    fn node_mut(&mut self, at: NodeId) -> Option<&mut Node<V>> {
        self.nodes.get_mut(at as usize)
    }

    fn find(&self, path: &str) -> Option<End> {
        let mut at = ROOT;
        for label in path.split('/') {
            at = match label {
                "#" => return Some(End::Rest(at)),
                "+" => Some(self.node(at)?.plus).filter(|&plus| plus != ROOT)?,
                _ => self.named_child(at, label, self.hasher.hash_one(label))?,
            };
        }
        Some(End::Value(at))
    }

    /// `label_hash` is the hash of `label`: a topic's level is hashed once,
    /// however many nodes are asked for it.
    fn named_child(&self, parent: NodeId, label: &str, label_hash: u64) -> Option<NodeId> {
        let is_it =
            |&child: &NodeId| self.node(child).is_some_and(|node| node.parent == parent && *node.label == *label);
        self.named.find(place(&self.hasher, parent, label_hash), is_it).copied()
    }

    /// Frees `at` and its ancestors as far as nothing needs them.
    fn prune(&mut self, mut at: NodeId) {
        while at != ROOT && self.node(at).is_some_and(Node::is_unwanted) {
            at = self.unlink(at);
        }
        if self.node(ROOT).is_some_and(Node::is_unwanted) {
            *self = Self::default();
        }
    }

    /// Takes `at` out and answers its parent.
    fn unlink(&mut self, at: NodeId) -> NodeId {
        let Some(node) = self.node_mut(at) else { return ROOT };
        let (parent, label) = (node.parent, mem::take(&mut node.label));
        self.free.push(at);
        let hash = place(&self.hasher, parent, self.hasher.hash_one(&*label));
        let named = self.named.find_entry(hash, |&child| child == at).map(|entry| entry.remove()).is_ok();
        if let Some(parent) = self.node_mut(parent) {
            if named {
                parent.named -= 1;
            } else {
                parent.plus = ROOT;
            }
        }
        parent
    }
}

impl<V: Default> Trie<V> {
    /// Calls `change` with the value under `path`, made when there is none.
    pub(super) fn change(&mut self, path: &str, change: impl FnOnce(&mut V) -> bool) -> bool {
        if self.nodes.is_empty() {
            self.nodes.push(Node::new(ROOT, ""));
        }
        let mut at = ROOT;
        let mut rest = false;
        for label in path.split('/') {
            match label {
                "#" => rest = true,
                "+" => at = self.plus_or_new(at),
                _ => at = self.named_or_new(at, label),
            }
        }
        let Some(node) = self.node_mut(at) else { return false };
        let end = if rest { &mut node.rest } else { &mut node.value };
        change(end.get_or_insert_default())
    }

    fn plus_or_new(&mut self, parent: NodeId) -> NodeId {
        match self.node(parent).map(|node| node.plus) {
            Some(ROOT) | None => {}
            Some(plus) => return plus,
        }
        let child = self.push(Node::new(parent, ""));
        if let Some(node) = self.node_mut(parent) {
            node.plus = child;
        }
        child
    }

    fn named_or_new(&mut self, parent: NodeId, label: &str) -> NodeId {
        let label_hash = self.hasher.hash_one(label);
        if let Some(child) = self.named_child(parent, label, label_hash) {
            return child;
        }
        let child = self.push(Node::new(parent, label));
        if let Some(node) = self.node_mut(parent) {
            node.named += 1;
        }
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        let rehash = |&child: &NodeId| {
            let node = nodes.get(child as usize);
            node.map_or(0, |node| place(hasher, node.parent, hasher.hash_one(&*node.label)))
        };
        self.named.insert_unique(place(hasher, parent, label_hash), child, rehash);
        child
    }

    fn push(&mut self, node: Node<V>) -> NodeId {
        if let Some(at) = self.free.pop()
            && let Some(free) = self.node_mut(at)
        {
            *free = node;
            return at;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as NodeId
    }
}

/// Where the child `label` of `parent` lies in the hash table.
fn place(hasher: &RandomState, parent: NodeId, label_hash: u64) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write_u64(label_hash);
    hasher.write_u32(parent);
    hasher.finish()
}
