//! A short life under churn; `tests/run churn` lasts longer.

use certus::store::{Level, Settings};

use crate::life::{Churn, taken};
use crate::running::{Running, small};

/// Bounds so small that the index is rewritten several times.
fn settings() -> Settings {
    let (apply_bytes, segment_bytes, pending_bytes) = (1 << 18, 1 << 20, 4 << 20);
    Settings { apply_bytes, segment_bytes, pending_bytes, compact_bytes: 4 << 20, ..small(Level::Os) }
}

#[test]
fn what_comes_and_goes_leaves_the_directory_as_small_as_what_is_there() {
    let (mut store, mut life) = (Running::new(settings()), Churn::new(7));
    let bound = Churn::bound(&settings());
    for life_of_the_process in 0..3 {
        while life.changes < 30_000 * (life_of_the_process + 1) {
            for _ in 0..500 {
                life.turn(&*store);
            }
            let taken = taken(store.path());
            assert!(taken < bound, "{taken} bytes on disk, {bound} at most");
        }
        life.settle(&*store);
        store = store.again(settings());
        assert_eq!(life.compare(&*store), Ok(()));
        let report = store.check().unwrap();
        assert_eq!(report.faults, 0, "{:?}", report.told);
    }
}
