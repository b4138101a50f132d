//! The contract of `store`, kept by every backend.
//!
//! What lives here: one suite that runs on each backend, what only the slow
//! double does, and random batches against a plain model. What does not: who
//! waits for which position (`session`, `delivery`). Invariant: a backend is
//! one line of [`suite`]'s list.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod churn;
mod crash;
mod damage;
mod disk;
mod durable;
#[path = "../churn/life.rs"]
mod life;
mod looking;
mod model;
mod moving;
mod running;
mod slow;
mod suite;

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use certus::mqtt::{MessageId, Qos, TopicFilter};
use certus::store::{Batch, Op, Position, QueueEntry, Queued, SessionUid, Store, StoredMessage};

/// A message that is told apart by `counter`.
fn message(counter: u64) -> Arc<StoredMessage> {
    Arc::new(StoredMessage {
        id: MessageId { publisher: 9, epoch: 1, counter },
        topic: format!("a/{counter}").into(),
        properties: Box::new([1, 2]),
        payload: Bytes::from(counter.to_string()),
        qos: Qos::ExactlyOnce,
        expires_at: Some(counter),
    })
}

fn entry(seq: u64, message: &Arc<StoredMessage>) -> QueueEntry {
    let message = Arc::clone(message);
    let group = seq.is_multiple_of(3).then(|| TopicFilter::new("$share/g/a/+").unwrap());
    QueueEntry { seq, qos: Qos::AtLeastOnce, retain: seq % 2 == 1, subscription_ids: Box::new([7]), group, message }
}

fn enqueue(session: SessionUid, seq: u64, counter: u64) -> Op {
    Op::Enqueue { session, entry: entry(seq, &message(counter)) }
}

fn advance(session: SessionUid, up_to: u64, sparse: &[u64]) -> Op {
    Op::Advance { session, up_to, sparse: sparse.to_vec() }
}

fn append(store: &dyn Store, ops: impl IntoIterator<Item = Op>) -> Position {
    store.append(Batch { ops: ops.into_iter().collect() }).unwrap()
}

fn read(store: &dyn Store, session: SessionUid, from: u64, limit: usize) -> Vec<Queued> {
    match store.poll_queue(&mut Context::from_waker(Waker::noop()), session, from, limit) {
        Poll::Ready(entries) => entries.unwrap(),
        Poll::Pending => panic!("these backends answer at once"),
    }
}

/// The numbers of all entries of a queue.
fn seqs(store: &dyn Store, session: SessionUid) -> Vec<u64> {
    read(store, session, 0, usize::MAX).iter().map(|queued| queued.entry.seq).collect()
}
