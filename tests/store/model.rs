//! Random batches against a plain model: lists that are searched from end to
//! end, written from the contract and not from the code.

use std::collections::{BTreeMap, BTreeSet};

use certus::store::{
    Batch, Contents, MemoryStore, Op, Plan, Position, QueueContents, QueueEntry, Queued, SessionUid, SlowStore, Store,
    Table,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{advance, enqueue, read};

#[derive(Default)]
pub struct Model {
    queues: BTreeMap<SessionUid, ModelQueue>,
    ended: BTreeSet<SessionUid>,
    tables: BTreeMap<Table, BTreeMap<Vec<u8>, Vec<u8>>>,
}

#[derive(Default)]
struct ModelQueue {
    /// Everything that was taken, finished or not, in order of arrival.
    taken: Vec<QueueEntry>,
    /// Every number that was ever named.
    named: BTreeSet<u64>,
    up_to: u64,
    sparse: BTreeSet<u64>,
    released: BTreeSet<u64>,
    inbound: BTreeSet<u16>,
}

impl ModelQueue {
    fn is_finished(&self, seq: u64) -> bool {
        seq < self.up_to || self.sparse.contains(&seq)
    }

    fn waiting(&self) -> Vec<&QueueEntry> {
        self.taken.iter().filter(|entry| !self.is_finished(entry.seq)).collect()
    }

    fn contents(&self) -> QueueContents {
        let queued = |entry: &&QueueEntry| Queued {
            entry: (*entry).clone(),
            released: self.released.contains(&entry.seq),
            position: Position::NONE,
        };
        let mut entries: Vec<_> = self.waiting().iter().map(queued).collect();
        entries.sort_by_key(|queued| queued.entry.seq);
        let unused = self.named.last().map_or(0, |last| last + 1).max(self.up_to);
        QueueContents { span: self.up_to..unused, entries, inbound: self.inbound.iter().copied().collect() }
    }
}

impl Model {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put { table, key, value } => {
                drop(self.tables.entry(*table).or_default().insert(key.clone(), value.clone()))
            }
            Op::Delete { table, key } => drop(self.tables.entry(*table).or_default().remove(key)),
            Op::DropSession { session } => {
                self.queues.remove(session);
                self.ended.insert(*session);
            }
            Op::Enqueue { session, .. }
            | Op::Advance { session, .. }
            | Op::Released { session, .. }
            | Op::SetInbound { session, .. } => {
                if !self.ended.contains(session) {
                    Self::apply_to(self.queues.entry(*session).or_default(), op);
                }
            }
        }
    }

    fn apply_to(queue: &mut ModelQueue, op: &Op) {
        match op {
            Op::Enqueue { entry, .. } => {
                let is_known =
                    queue.is_finished(entry.seq) || queue.waiting().iter().any(|other| other.seq == entry.seq);
                let is_twin = queue.waiting().iter().any(|other| other.message.id == entry.message.id);
                queue.named.insert(entry.seq);
                if !is_known && is_twin {
                    queue.sparse.insert(entry.seq);
                } else if !is_known {
                    queue.released.remove(&entry.seq);
                    queue.taken.push(entry.clone());
                }
            }
            Op::Advance { up_to, sparse, .. } => {
                queue.up_to = queue.up_to.max(*up_to);
                let above: Vec<_> = sparse.iter().filter(|&&seq| seq >= queue.up_to).copied().collect();
                queue.named.extend(&above);
                queue.sparse.extend(above);
            }
            Op::Released { seq, .. } => {
                if queue.waiting().iter().any(|entry| entry.seq == *seq) {
                    queue.released.insert(*seq);
                }
            }
            Op::SetInbound { packet_id, held: true, .. } => drop(queue.inbound.insert(*packet_id)),
            Op::SetInbound { packet_id, .. } => drop(queue.inbound.remove(packet_id)),
            Op::Put { .. } | Op::Delete { .. } | Op::DropSession { .. } => {}
        }
    }

    pub fn of(batches: &[Batch]) -> Contents {
        let mut model = Self::default();
        batches.iter().flat_map(|batch| &batch.ops).for_each(|op| model.apply(op));
        let queues = model.queues.iter().map(|(&session, queue)| (session, queue.contents()));
        let queues = queues.filter(|(_, contents)| *contents != QueueContents::default()).collect();
        Contents { queues, tables: model.tables.into_iter().filter(|(_, rows)| !rows.is_empty()).collect() }
    }
}

/// Few names, so that they meet.
fn ops() -> impl Strategy<Value = Op> {
    let session = || prop::sample::select(vec![1, 65, 2]).prop_map(SessionUid);
    let key = || prop::sample::select(vec!["", "a", "a/b", "b"]).prop_map(|key| key.as_bytes().to_vec());
    let table = || prop::sample::select(vec![Table::Sessions, Table::Subscriptions, Table::Retained, Table::Audit]);
    prop_oneof![
        8 => (session(), 0..12_u64, 0..10_u64).prop_map(|(session, seq, counter)| enqueue(session, seq, counter)),
        3 => (session(), 0..9_u64, vec(0..14_u64, 0..3)).prop_map(|(session, up_to, sparse)| advance(session, up_to, &sparse)),
        2 => (session(), 0..12_u64).prop_map(|(session, seq)| Op::Released { session, seq }),
        2 => (session(), 1..4_u16, any::<bool>())
            .prop_map(|(session, packet_id, held)| Op::SetInbound { session, packet_id, held }),
        1 => session().prop_map(|session| Op::DropSession { session }),
        2 => (table(), key(), vec(0..4_u8, 0..2)).prop_map(|(table, key, value)| Op::Put { table, key, value }),
        1 => (table(), key()).prop_map(|(table, key)| Op::Delete { table, key }),
    ]
}

pub fn batches() -> impl Strategy<Value = Vec<Batch>> {
    vec(vec(ops(), 1..6).prop_map(|ops| Batch { ops }), 0..20)
}

fn plans() -> impl Strategy<Value = Plan> {
    prop_oneof![
        (1..5_u64).prop_map(Plan::Steps),
        (0..5_u64).prop_map(Plan::Behind),
        Just(Plan::Never),
        (0..25_u64).prop_map(Plan::FailAfter),
        (0..25_u64).prop_map(Plan::FullAfter),
    ]
}

proptest! {
    #[test]
    fn memory_holds_what_the_model_holds(batches in batches()) {
        let store = MemoryStore::default();
        for batch in &batches {
            prop_assert_eq!(store.append(batch.clone()), Ok(Position::NONE));
        }
        let expected = Model::of(&batches);
        prop_assert_eq!(store.contents(), expected.clone());
        prop_assert_eq!(store.clone().contents(), expected.clone());
        for (&session, contents) in &expected.queues {
            prop_assert_eq!(&read(&store, session, 0, usize::MAX), &contents.entries);
            prop_assert_eq!(store.queue_span(session).unwrap(), contents.span.clone());
            prop_assert_eq!(&store.inbound(session).unwrap(), &contents.inbound);
        }
    }

    /// Points 1, 4 and 5 of the contract, for any plan, and through two lives.
    #[test]
    fn a_crash_finds_exactly_the_durable_batches(
        lives in vec((batches(), plans(), any::<u64>(), vec(0..4_usize, 0..20), 0..3_usize), 1..3),
    ) {
        let mut found = MemoryStore::default();
        let mut past = Vec::new();
        for (batches, plan, seed, steps, more) in lives {
            let store = SlowStore::resume(plan, seed, &found);
            let mut taken = past.clone();
            let mut steps = steps.into_iter();
            for batch in batches {
                let latched = store.is_latched();
                if store.append(batch.clone()).is_ok() {
                    prop_assert!(!latched);
                    taken.push(batch);
                }
                steps.next().map(|batches| store.step(batches));
                let durable = past.len() + store.durable().0 as usize;
                prop_assert_eq!(store.pending(), taken.len() - durable);
                prop_assert_eq!(store.crash().contents(), Model::of(&taken[..durable]));
                prop_assert_eq!(store.visible().contents(), Model::of(&taken));
            }
            let kept = taken.len().min(past.len() + store.durable().0 as usize + more);
            found = store.crash_later(more);
            taken.truncate(kept);
            prop_assert_eq!(found.contents(), Model::of(&taken));
            past = taken;
        }
    }
}
