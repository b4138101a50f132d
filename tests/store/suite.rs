//! What every backend does.

use std::task::Waker;

use certus::store::{Batch, Level, MemoryStore, Op, Plan, Position, Row, SessionUid, SlowStore, Store, Table};

use crate::running::{Running, small};
use crate::{advance, append, enqueue, entry, message, read, seqs};

const ONE: SessionUid = SessionUid(1);
/// In the same shard of a store that shares out by low bits.
const OTHER: SessionUid = SessionUid(65);

/// Runs each test on each backend.
macro_rules! suite {
    (@define { $($(#[$doc:meta])* fn $test:ident($store:ident: &dyn Store) $body:block)* }) => {
        mod contract {
            use super::*;
            $($(#[$doc])* pub(super) fn $test($store: &dyn Store) $body)*
        }
    };
    (@run $open:expr, { $($(#[$doc:meta])* fn $test:ident($store:ident: &dyn Store) $body:block)* }) => {
        $($(#[$doc])* #[test] fn $test() { super::contract::$test(&$open); })*
    };
    (on { $($backend:ident: $open:expr;)* } $tests:tt) => {
        suite!(@define $tests);
        $(mod $backend {
            use super::*;
            suite!(@run $open, $tests);
        })*
    };
}

fn put(table: Table, key: &str, value: &str) -> Op {
    Op::Put { table, key: key.into(), value: value.into() }
}

fn set_inbound(session: SessionUid, packet_id: u16, held: bool) -> Op {
    Op::SetInbound { session, packet_id, held }
}

suite! {
    on {
        memory: MemoryStore::default();
        behind: SlowStore::new(Plan::Behind(3), 1);
        steps: SlowStore::new(Plan::Steps(5), 1);
        never: SlowStore::new(Plan::Never, 1);
        fsync: *Running::new(small(Level::Fsync));
        os: *Running::new(small(Level::Os));
        log_only: *Running::log_only();
        opened_again: *Running::new(small(Level::Fsync)).again(small(Level::Fsync));
        resumed: SlowStore::resume(Plan::Behind(0), 1, &SlowStore::new(Plan::Never, 1).crash());
    }
    {
        fn an_entry_is_read_back_as_it_was_enqueued(store: &dyn Store) {
            let expected = entry(3, &message(1));
            append(store, [Op::Enqueue { session: ONE, entry: expected.clone() }]);
            let queued = read(store, ONE, 0, 10);
            assert_eq!(queued.len(), 1);
            assert_eq!((&queued[0].entry, queued[0].released), (&expected, false));
            assert!(read(store, OTHER, 0, 10).is_empty());
        }

        fn one_body_serves_all_the_queues_that_wait_for_it(store: &dyn Store) {
            let body = message(1);
            append(store, [ONE, OTHER].map(|session| Op::Enqueue { session, entry: entry(0, &body) }));
            for session in [ONE, OTHER] {
                assert_eq!(read(store, session, 0, 1)[0].entry.message, body);
            }
        }

        fn entries_come_in_the_order_of_their_numbers(store: &dyn Store) {
            for seq in [4, 1, 9, 2] {
                append(store, [enqueue(ONE, seq, seq)]);
            }
            assert_eq!(seqs(store, ONE), [1, 2, 4, 9]);
        }

        fn a_read_begins_where_it_is_asked_and_ends_at_its_limit(store: &dyn Store) {
            append(store, (0..10).map(|seq| enqueue(ONE, seq, seq)));
            let part = |from, limit| read(store, ONE, from, limit).iter().map(|queued| queued.entry.seq).collect::<Vec<_>>();
            assert_eq!(part(4, 3), [4, 5, 6]);
            assert_eq!(part(8, 3), [8, 9]);
            assert!(part(10, 3).is_empty());
            assert!(part(0, 0).is_empty());
        }

        fn an_advance_ends_what_is_below_it_and_what_it_names(store: &dyn Store) {
            append(store, (0..10).map(|seq| enqueue(ONE, seq, seq)));
            append(store, [advance(ONE, 3, &[5, 8])]);
            assert_eq!(seqs(store, ONE), [3, 4, 6, 7, 9]);
            append(store, [advance(ONE, 2, &[])]);
            assert_eq!(seqs(store, ONE), [3, 4, 6, 7, 9], "the point never goes back");
            append(store, [advance(ONE, 10, &[])]);
            assert!(seqs(store, ONE).is_empty());
        }

        /// A publisher's batch may come after the subscriber's acknowledgement.
        fn an_entry_that_was_ended_before_it_arrived_is_dropped(store: &dyn Store) {
            append(store, [advance(ONE, 5, &[7])]);
            append(store, [4, 5, 6, 7].map(|seq| enqueue(ONE, seq, seq)));
            assert_eq!(seqs(store, ONE), [5, 6]);
        }

        fn a_queue_holds_a_publication_once(store: &dyn Store) {
            append(store, [enqueue(ONE, 0, 77), enqueue(ONE, 1, 77), enqueue(OTHER, 0, 77)]);
            assert_eq!((seqs(store, ONE), seqs(store, OTHER)), (vec![0], vec![0]));
            append(store, [advance(ONE, 2, &[]), enqueue(ONE, 2, 77)]);
            assert_eq!(seqs(store, ONE), [2], "it may come again when the first is finished");
        }

        fn the_first_entry_keeps_its_number(store: &dyn Store) {
            append(store, [enqueue(ONE, 0, 1), enqueue(ONE, 0, 2)]);
            assert_eq!(read(store, ONE, 0, 10)[0].entry.message, message(1));
            append(store, [enqueue(ONE, 1, 2)]);
            assert_eq!(seqs(store, ONE), [0, 1], "what was refused is not held");
        }

        fn an_entry_stays_released(store: &dyn Store) {
            append(store, [enqueue(ONE, 0, 0), enqueue(ONE, 1, 1), enqueue(OTHER, 1, 2)]);
            append(store, [Op::Released { session: ONE, seq: 1 }, Op::Released { session: ONE, seq: 2 }]);
            let released = |session| read(store, session, 0, 10).iter().map(|queued| queued.released).collect::<Vec<_>>();
            assert_eq!((released(ONE), released(OTHER)), (vec![false, true], vec![false]));
        }

        /// [MQTT-4.3.3-10]: what was received and not released is known.
        fn inbound_identifiers_are_remembered_until_they_are_released(store: &dyn Store) {
            append(store, [9, 3, 9].map(|id| set_inbound(ONE, id, true)));
            append(store, [set_inbound(OTHER, 4, true)]);
            assert_eq!(store.inbound(ONE).unwrap(), [3, 9]);
            append(store, [set_inbound(ONE, 3, false), set_inbound(ONE, 8, false)]);
            assert_eq!((store.inbound(ONE).unwrap(), store.inbound(OTHER).unwrap()), (vec![9], vec![4]));
        }

        fn a_session_that_ends_leaves_nothing_behind(store: &dyn Store) {
            append(store, [enqueue(ONE, 0, 0), set_inbound(ONE, 1, true), enqueue(OTHER, 0, 0)]);
            append(store, [Op::DropSession { session: ONE }]);
            append(store, [enqueue(ONE, 1, 1), set_inbound(ONE, 2, true), advance(ONE, 9, &[])]);
            assert!(seqs(store, ONE).is_empty(), "not even by a batch that comes too late");
            assert!(store.inbound(ONE).unwrap().is_empty());
            assert_eq!(store.queue_span(ONE).unwrap(), 0..0);
            assert_eq!(seqs(store, OTHER), [0]);
        }

        /// Otherwise an emptied queue would begin again below its own point.
        fn numbering_goes_on_where_it_was(store: &dyn Store) {
            assert_eq!(store.queue_span(ONE).unwrap(), 0..0);
            append(store, [0, 1, 2].map(|seq| enqueue(ONE, seq, seq)));
            append(store, [advance(ONE, 1, &[])]);
            assert_eq!(store.queue_span(ONE).unwrap(), 1..3);
            append(store, [advance(ONE, 3, &[4])]);
            assert_eq!(store.queue_span(ONE).unwrap(), 3..5);
            append(store, [advance(ONE, 8, &[])]);
            assert_eq!(store.queue_span(ONE).unwrap(), 8..8);
        }

        fn a_batch_happens_in_its_order(store: &dyn Store) {
            append(store, [put(Table::Audit, "k", "1"), put(Table::Audit, "k", "2"), enqueue(ONE, 0, 0), advance(ONE, 1, &[])]);
            append(store, [put(Table::Audit, "j", "1"), Op::Delete { table: Table::Audit, key: "j".into() }]);
            assert_eq!(store.get(Table::Audit, b"k").unwrap(), Some(b"2".to_vec()));
            assert_eq!(store.get(Table::Audit, b"j").unwrap(), None);
            assert!(seqs(store, ONE).is_empty());
        }

        fn tables_do_not_see_each_other(store: &dyn Store) {
            append(store, [put(Table::Sessions, "k", "s"), put(Table::Retained, "k", "r"), put(Table::Subscriptions, "k", "u")]);
            append(store, [Op::Delete { table: Table::Sessions, key: "k".into() }]);
            let value = |table| store.get(table, b"k").unwrap().map(|value| String::from_utf8(value).unwrap());
            assert_eq!(value(Table::Sessions), None);
            assert_eq!(value(Table::Audit), None);
            assert_eq!(value(Table::Retained).as_deref(), Some("r"));
            assert_eq!(value(Table::Subscriptions).as_deref(), Some("u"));
        }

        fn a_scan_goes_through_a_prefix_in_slices(store: &dyn Store) {
            append(store, ["b", "a/2", "a/1", "a", "a/3", "a0", ""].map(|key| put(Table::Retained, key, key)));
            let scan = |prefix: &str, after: Option<&str>, limit| {
                let rows = store.scan(Table::Retained, prefix.as_bytes(), after.map(str::as_bytes), limit).unwrap();
                rows.into_iter().map(|Row { key, .. }| String::from_utf8(key).unwrap()).collect::<Vec<_>>()
            };
            assert_eq!(scan("a/", None, 10), ["a/1", "a/2", "a/3"]);
            assert_eq!(scan("a/", None, 2), ["a/1", "a/2"]);
            assert_eq!(scan("a/", Some("a/2"), 2), ["a/3"]);
            assert_eq!(scan("a/", Some("a/25"), 2), ["a/3"]);
            assert_eq!(scan("a/", Some("a"), 1), ["a/1"], "what lies before the prefix hides nothing");
            assert!(scan("a/", Some("b"), 2).is_empty());
            assert_eq!(scan("", Some(""), 10), ["a", "a/1", "a/2", "a/3", "a0", "b"]);
            assert!(scan("c", None, 10).is_empty());
        }

        fn an_empty_batch_waits_for_nothing(store: &dyn Store) {
            assert_eq!(store.append(Batch::default()), Ok(Position::NONE));
            assert!(!store.wake_at(Position::NONE, Waker::noop()));
        }

        fn positions_and_durability_never_go_back(store: &dyn Store) {
            let mut last = (Position::NONE, store.durable());
            for seq in 0..50 {
                let now = (append(store, [enqueue(ONE, seq, seq)]), store.durable());
                assert!(now.0 >= last.0 && now.1 >= last.1, "{last:?} {now:?}");
                assert!(now.0 == Position::NONE || now.0 > last.0, "each batch has a position of its own");
                last = now;
            }
            assert!(!store.is_latched());
        }
    }
}
