//! Verdicts that are remembered (PERF-04).
//!
//! What lives here: a bounded table from a chain to the verdict on it. What
//! does not: judging (`chain`). Invariant: only good verdicts are kept, a
//! snapshot that judges otherwise starts with an empty table, and what a
//! client sends can never make the table grow beyond its bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use rustls_pki_types::CertificateDer;

use super::certificate::Fingerprint;
use super::path::Verdict;
use crate::mqtt::TenantId;

/// Shards, so that handshakes on different cores seldom meet.
const SHARDS: usize = 16;
/// Verdicts per shard and generation; a verdict is about 1 KiB, so that all
/// of them together stay below 64 MiB.
const PER_SHARD: usize = 2048;

/// Two generations: when the young one is full it becomes the old one, and
/// what was not used meanwhile is forgotten.
#[derive(Debug, Default)]
struct Shard {
    young: HashMap<Fingerprint, Arc<Verdict>>,
    old: HashMap<Fingerprint, Arc<Verdict>>,
}

/// The table.
#[derive(Debug)]
pub(super) struct Verdicts {
    shards: [Mutex<Shard>; SHARDS],
}

impl Default for Verdicts {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Verdicts {
    /// The key of a chain: all that was sent, and whose anchors come first.
    pub(super) fn key(sent: &[CertificateDer<'_>], prefer: Option<&TenantId>) -> Fingerprint {
        let mut context = Context::new(&SHA256);
        for der in sent {
            context.update(&der.len().to_be_bytes());
            context.update(der);
        }
        context.update(prefer.map(|tenant| tenant.as_str().as_bytes()).unwrap_or_default());
        Fingerprint(context.finish().as_ref().try_into().unwrap_or_default())
    }

    pub(super) fn find(&self, key: &Fingerprint) -> Option<Arc<Verdict>> {
        let mut shard = self.shard(key)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = shard.young.get(key) {
            return Some(Arc::clone(verdict));
        }
        let verdict = shard.old.remove(key)?;
        shard.insert(*key, Arc::clone(&verdict));
        Some(verdict)
    }

    pub(super) fn remember(&self, key: Fingerprint, verdict: Arc<Verdict>) {
        let Some(shard) = self.shard(&key) else { return };
        shard.lock().unwrap_or_else(PoisonError::into_inner).insert(key, verdict);
    }

    fn shard(&self, key: &Fingerprint) -> Option<&Mutex<Shard>> {
        self.shards.get(usize::from(*key.0.first()?) % SHARDS)
    }
}

impl Shard {
    fn insert(&mut self, key: Fingerprint, verdict: Arc<Verdict>) {
        if self.young.len() >= PER_SHARD {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, verdict);
    }
}
