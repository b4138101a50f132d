//! What it takes until a batch is durable, by backend.
//!
//! What lives here: batches as turns make them, appended and waited for, by a lone writer: no group is shared. What does
//! not: many writers (`store`), queues and sessions. A disk makes its writers wait, so this measures time, not CPU time.
//! The disk is that of the directory for temporary files (`TMPDIR`).
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{JoinHandle, Thread};

use bytes::Bytes;
use certus::mqtt::{MessageId, Qos};
use certus::shutdown::Tasks;
use certus::store::{
    Batch, EmbeddedStore, Level, MemoryStore, Op, QueueEntry, SessionUid, Settings, Store, StoredMessage,
};
use criterion::{Criterion, Throughput};

/// As the broker is built.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A store on disk, and its threads.
struct Running {
    store: Arc<EmbeddedStore>,
    threads: Vec<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl Running {
    fn new(level: Level) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let opened = EmbeddedStore::open(directory.path(), Settings { level, ..Settings::default() }).unwrap();
        let (store, tasks) = (opened.store, Tasks::new());
        let [committer, applier, keeper] = [(); 3].map(|()| Arc::clone(&store));
        let threads = [
            tasks.spawn_thread("committer", move || committer.run_committer()),
            tasks.spawn_thread("applier", move || applier.run_applier()),
            tasks.spawn_thread("keeper", move || keeper.run_keeper()),
        ];
        Self { store, threads: threads.into_iter().map(Result::unwrap).collect(), _directory: directory }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.store.close();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

/// Wakes a thread that is parked.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A publisher whose messages are queued for some sessions, and acknowledged by them.
struct Load {
    sessions: Vec<SessionUid>,
    payload: Bytes,
    next: u64,
}

impl Load {
    fn new(sessions: std::ops::Range<u64>, size: usize) -> Self {
        Self { sessions: sessions.map(SessionUid).collect(), payload: vec![b'x'; size].into(), next: 1 }
    }

    /// So many messages into every queue, and an end to those of the batch before.
    fn batch(&mut self, messages: u64) -> Batch {
        let mut batch = Batch::default();
        for &session in &self.sessions {
            batch.push(Op::Advance { session, up_to: self.next, sparse: Vec::new() });
        }
        for seq in self.next..self.next + messages {
            let message = Arc::new(StoredMessage {
                id: MessageId { publisher: 9, epoch: 1, counter: seq },
                topic: "plant/line-07/pump-0042/temp".into(),
                properties: Box::default(),
                payload: self.payload.clone(),
                qos: Qos::AtLeastOnce,
                expires_at: None,
            });
            for &session in &self.sessions {
                let message = Arc::clone(&message);
                let (qos, subscription_ids) = (Qos::AtLeastOnce, Box::default());
                let entry = QueueEntry { seq, qos, retain: false, subscription_ids, group: None, message };
                batch.push(Op::Enqueue { session, entry });
            }
        }
        self.next += messages;
        batch
    }
}

fn commit(store: &dyn Store, batch: Batch, waker: &Waker) {
    let position = store.append(batch).unwrap();
    while store.durable() < position {
        assert!(!store.is_latched(), "the store stopped");
        if store.wake_at(position, waker) {
            std::thread::park();
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().without_plots();
    let waker = Waker::from(Arc::new(Parked(std::thread::current())));
    let [os, fsync] = [Level::Os, Level::Fsync].map(Running::new);
    let stores: [(&str, Arc<dyn Store>); 3] =
        [("memory", Arc::new(MemoryStore::default())), ("os", os.store.clone()), ("fsync", fsync.store.clone())];
    for (name, store) in stores {
        let mut group = criterion.benchmark_group(format!("store commit, {name}"));
        let mut free = 1;
        for (messages, sessions, size) in [(1, 1, 16), (20, 1, 16), (20, 1, 1024), (1, 1000, 16)] {
            // A session that has ended takes nothing more: each row has its own.
            let mut load = Load::new(free..free + sessions, size);
            free += sessions;
            commit(store.as_ref(), load.batch(messages), &waker);
            let last = store.queue_span(SessionUid(free - 1)).unwrap();
            assert_eq!(last, load.next - messages..load.next, "the batch is in the queue, the one before is not");
            group.throughput(Throughput::Elements(messages * sessions));
            group.bench_function(format!("{messages} messages of {size} bytes into {sessions} queues"), |bencher| {
                bencher.iter_batched(
                    || load.batch(messages),
                    |batch| commit(store.as_ref(), batch, &waker),
                    criterion::BatchSize::PerIteration,
                );
            });
            for &session in &load.sessions {
                commit(store.as_ref(), Batch { ops: vec![Op::DropSession { session }] }, &waker);
            }
        }
        group.finish();
    }
    criterion.final_summary();
}
