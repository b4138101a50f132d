//! What is due later: the end of sessions, wills that wait.
//!
//! One heap and one sleeping task for a node, instead of a timer for each.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::clock::Clock;

/// Things in the order in which they are due.
#[derive(Debug)]
pub struct Agenda<T> {
    due: Mutex<Due<T>>,
    earlier: Notify,
}

#[derive(Debug)]
struct Due<T> {
    by_time: BTreeMap<(Instant, u64), T>,
    /// Tells apart what is due at the same instant.
    counter: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { due: Mutex::new(Due { by_time: BTreeMap::new(), counter: 0 }), earlier: Notify::new() }
    }
}

impl<T> Agenda<T> {
    fn lock(&self) -> MutexGuard<'_, Due<T>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters `what`, due at `at`.
    pub fn schedule(&self, at: Instant, what: T) {
        let mut due = self.lock();
        due.counter += 1;
        let key = (at, due.counter);
        due.by_time.insert(key, what);
        let is_first = due.by_time.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(due);
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// The next thing that is due, once it is.
    pub async fn next(&self, clock: &Clock) -> T {
        loop {
            let wait = {
                let mut due = self.lock();
                match due.by_time.first_entry() {
                    Some(first) if first.key().0 <= clock.now() => return first.remove(),
                    Some(first) => Some(first.key().0),
                    None => None,
                }
            };
            match wait {
                None => self.earlier.notified().await,
                Some(at) => {
                    let sleep = tokio::time::sleep_until(at.into());
                    tokio::select! {
                        () = sleep => {}
                        () = self.earlier.notified() => {}
                    }
                }
            }
        }
    }
}
