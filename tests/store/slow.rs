//! What the slow double adds: durability that comes late, in steps, or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use certus::shutdown::Tasks;
use certus::store::{Batch, Plan, Position, SessionUid, SlowStore, Store, StoreError};

use crate::{advance, append, enqueue, read, seqs};

const ONE: SessionUid = SessionUid(1);

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn pair() -> (Arc<Self>, Waker) {
        let count = Arc::<Self>::default();
        (Arc::clone(&count), Waker::from(count))
    }

    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Appends `batches` entries and answers how far the store is durable after
/// each of them.
fn durable_after_each(store: &SlowStore, batches: u64) -> Vec<u64> {
    let each = (0..batches).map(|seq| {
        assert_eq!(append(store, [enqueue(ONE, seq, seq)]), Position(seq + 1));
        store.durable().0
    });
    each.collect()
}

#[test]
fn behind_trails_by_a_fixed_number_of_batches() {
    assert_eq!(durable_after_each(&SlowStore::new(Plan::Behind(2), 0), 5), [0, 0, 1, 2, 3]);
    assert_eq!(durable_after_each(&SlowStore::new(Plan::Behind(0), 0), 3), [1, 2, 3]);
}

#[test]
fn steps_are_groups_that_the_seed_decides() {
    let run = |seed| durable_after_each(&SlowStore::new(Plan::Steps(7), seed), 200);
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
    let mut rises: Vec<_> = run(3);
    rises.dedup();
    let sizes: Vec<_> = rises.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(sizes.iter().all(|size| (1..=7).contains(size)), "{sizes:?}");
    assert!((1..=7).all(|size| sizes.contains(&size)), "every size comes: {sizes:?}");
}

#[test]
fn never_moves_by_hand_only() {
    let store = SlowStore::new(Plan::Never, 0);
    assert_eq!(durable_after_each(&store, 4), [0, 0, 0, 0]);
    assert_eq!((store.step(1), store.pending()), (Position(1), 3));
    assert_eq!(store.step(0), Position(1));
    assert_eq!((store.step(9), store.pending()), (Position(4), 0));
}

#[test]
fn a_waiter_is_woken_once_for_each_rise_that_concerns_it() {
    let store = SlowStore::new(Plan::Never, 0);
    durable_after_each(&store, 6);
    let (first, one) = Count::pair();
    let (second, other) = Count::pair();
    for position in [2, 3, 3, 5] {
        assert!(store.wake_at(Position(position), &one));
    }
    assert!(store.wake_at(Position(4), &other));
    store.step(1);
    assert_eq!((first.times(), second.times()), (0, 0));
    store.step(2);
    assert_eq!((first.times(), second.times()), (1, 0), "three positions of one task in one rise are one wake");
    store.step(3);
    assert_eq!((first.times(), second.times()), (2, 1));
    assert_eq!(store.waiting(), 0);
    assert!(!store.wake_at(Position(6), &one));
    assert_eq!((first.times(), store.waiting()), (2, 0), "what is durable already keeps nothing");
}

#[test]
fn a_failed_sync_latches_for_ever_and_tells_those_who_wait() {
    let store = SlowStore::new(Plan::FailAfter(3), 0);
    assert_eq!(durable_after_each(&store, 3), [1, 2, 3]);
    assert_eq!(append(&store, [enqueue(ONE, 3, 3)]), Position(4), "the append itself is taken");
    assert!(store.is_latched());
    assert_eq!(store.append(Batch { ops: vec![enqueue(ONE, 4, 4)] }), Err(StoreError::Latched));
    assert_eq!((store.step(9), seqs(&store, ONE).len()), (Position(3), 4));
    let (count, waker) = Count::pair();
    assert!(store.wake_at(Position(4), &waker));
    assert_eq!((count.times(), store.waiting()), (1, 0), "it is told at once");
    assert!(!store.wake_at(Position(3), &waker));
}

#[test]
fn a_failure_wakes_those_who_wait_already() {
    let store = SlowStore::new(Plan::Never, 0);
    durable_after_each(&store, 2);
    let (count, waker) = Count::pair();
    assert!(store.wake_at(Position(1), &waker));
    store.fail();
    assert_eq!((count.times(), store.durable(), store.is_latched()), (1, Position::NONE, true));
}

#[test]
fn an_entry_says_where_it_is_durable_until_it_is() {
    let store = SlowStore::new(Plan::Never, 0);
    durable_after_each(&store, 3);
    let positions = || read(&store, ONE, 1, 9).iter().map(|queued| queued.position).collect::<Vec<_>>();
    assert_eq!(positions(), [Position(2), Position(3)]);
    store.step(2);
    assert_eq!(positions(), [Position::NONE, Position(3)]);
    assert!(read(&store.crash_later(1), ONE, 0, 9).iter().all(|queued| queued.position == Position::NONE));
}

#[test]
fn a_full_store_takes_nothing_of_a_batch() {
    let store = SlowStore::new(Plan::FullAfter(2), 0);
    durable_after_each(&store, 2);
    let before = store.visible().contents();
    assert_eq!(store.append(Batch { ops: vec![enqueue(ONE, 9, 9), advance(ONE, 1, &[])] }), Err(StoreError::Full));
    assert_eq!((store.visible().contents(), store.durable(), store.is_latched()), (before, Position(2), false));
}

#[test]
fn a_crash_keeps_what_was_durable_and_no_more() {
    let store = SlowStore::new(Plan::Never, 0);
    durable_after_each(&store, 5);
    store.step(2);
    assert_eq!(seqs(&store, ONE), [0, 1, 2, 3, 4], "a reader sees what was appended");
    assert_eq!(seqs(&store.crash(), ONE), [0, 1]);
    assert_eq!(seqs(&store.crash_later(2), ONE), [0, 1, 2, 3]);
    assert_eq!(seqs(&store.crash_later(9), ONE), [0, 1, 2, 3, 4]);
    let again = SlowStore::resume(Plan::Never, 0, &store.crash());
    assert_eq!(append(&again, [enqueue(ONE, 5, 5)]), Position(1));
    assert_eq!((seqs(&again, ONE), seqs(&again.crash(), ONE)), (vec![0, 1, 5], vec![0, 1]));
    assert_eq!(seqs(&store, ONE).len(), 5, "the store that crashed is another one");
}

/// A thread that commits late, as `certus serve` runs it.
#[test]
fn a_late_store_wakes_its_waiters_from_the_committers_thread() {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let store = Arc::new(SlowStore::new(Plan::Late(Duration::from_millis(1)), 0));
    assert!(store.needs_committer());
    let committer = Tasks::new().spawn_thread("committer", {
        let store = Arc::clone(&store);
        move || store.run_committer()
    });
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    for seq in 0..3 {
        let position = append(&*store, [enqueue(ONE, seq, seq)]);
        while store.wake_at(position, &waker) {
            thread::park();
        }
        assert_eq!(store.durable(), position);
    }
    store.close();
    committer.unwrap().join().unwrap();
    assert_eq!(seqs(&store.crash(), ONE), [0, 1, 2]);
}
