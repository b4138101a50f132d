//! The only place that spawns tasks and threads, and the signal that ends them.
//!
//! What lives here: [`Tasks`], a group of tasks that is stopped and waited for
//! as one, and [`Stop`], its signal. What does not: what a task does when it is
//! told to stop. Invariant: a task that panics ends alone; the panic is counted
//! and logged, and its group still drains.
#![allow(clippy::disallowed_methods)] // This file is the one that may spawn.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;

use crate::telemetry::metrics::Counter;

/// A group of tasks that stops and drains as one. Clones share the group.
///
/// Phases of a stop are separate groups: first that of the listeners, then that
/// of the connections, then what they rest on.
#[derive(Clone, Default)]
pub struct Tasks {
    group: Arc<Group>,
}

#[derive(Default)]
struct Group {
    stopping: AtomicBool,
    wakers: Mutex<Wakers>,
    /// Running tasks by name; empty when drained.
    running: Mutex<BTreeMap<&'static str, usize>>,
    drained: Notify,
}

/// One place for the waker of each [`Stop`] that was polled.
#[derive(Default)]
struct Wakers {
    slots: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// Tasks were still running when the time to drain was over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("still running after the time to stop: {}", .names.join(", "))]
pub struct StillRunning {
    /// Name and number of each kind of task, such as `connection ×3`.
    pub names: Vec<String>,
}

impl Tasks {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task of this group on the current runtime.
    ///
    /// The future is boxed once: the task then holds a pointer, and nothing of
    /// a large future is copied into a wrapper.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let seat = Seat::take(Arc::clone(&self.group), name);
        tokio::spawn(Guarded { future: Some(Box::pin(future)), seat });
    }

    /// Starts a thread of this group, for work that blocks.
    ///
    /// # Errors
    /// The system has no room for another thread.
    pub fn spawn_thread(&self, name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        let seat = Seat::take(Arc::clone(&self.group), name);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                report_panic(seat.name, panic.as_ref());
            }
            drop(seat);
        })
    }

    /// Runs `work`, which blocks, on a thread for such work; `None` when it
    /// panicked or the runtime ends.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let seat = Seat::take(Arc::clone(&self.group), name);
        let guarded = move || {
            let done = catch_unwind(AssertUnwindSafe(work));
            done.map_err(|panic| report_panic(seat.name, panic.as_ref())).ok()
        };
        tokio::task::spawn_blocking(guarded).await.ok().flatten()
    }

    /// A signal that turns ready when the group is told to stop.
    pub fn stop_signal(&self) -> Stop {
        Stop { group: Arc::clone(&self.group), slot: None, waker: None }
    }

    /// Tells every task of the group to stop, those to come included.
    pub fn stop(&self) {
        self.group.stopping.store(true, Ordering::SeqCst);
        let wakers: Vec<Waker> = lock(&self.group.wakers).slots.iter_mut().filter_map(Option::take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether the group has been told to stop.
    pub fn is_stopping(&self) -> bool {
        self.group.stopping.load(Ordering::SeqCst)
    }

    /// How many tasks and threads of the group are running.
    pub fn running(&self) -> usize {
        lock(&self.group.running).values().sum()
    }

    /// Waits until no task of the group is running.
    ///
    /// # Errors
    /// Some are still running after `timeout`; they are named.
    pub async fn drained(&self, timeout: Duration) -> Result<(), StillRunning> {
        let empty = async {
            loop {
                let notified = self.group.drained.notified();
                if self.running() == 0 {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(timeout, empty).await.map_err(|_| StillRunning { names: self.names() })
    }

    fn names(&self) -> Vec<String> {
        lock(&self.group.running).iter().map(|(name, count)| format!("{name} ×{count}")).collect()
    }
}

/// The signal of a [`Tasks`] group. Each clone is polled by one task.
pub struct Stop {
    group: Arc<Group>,
    slot: Option<usize>,
    /// The waker that the slot holds, so that an unchanged one costs no lock.
    waker: Option<Waker>,
}

impl Stop {
    /// Whether the group has been told to stop.
    pub fn is_stopping(&self) -> bool {
        self.group.stopping.load(Ordering::SeqCst)
    }

    /// Ready once the group has been told to stop; wakes the task of `cx` then.
    pub fn poll_stopping(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_stopping() {
            return Poll::Ready(());
        }
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.enter(cx.waker());
        // A stop between the first look and the entry has not seen the waker.
        if self.is_stopping() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns once the group has been told to stop.
    pub async fn stopped(&mut self) {
        poll_fn(|cx| self.poll_stopping(cx)).await;
    }

    fn enter(&mut self, waker: &Waker) {
        let mut wakers = lock(&self.group.wakers);
        let slot = match self.slot.or_else(|| wakers.free.pop()) {
            Some(slot) => slot,
            None => {
                wakers.slots.push(None);
                wakers.slots.len() - 1
            }
        };
        if let Some(place) = wakers.slots.get_mut(slot) {
            *place = Some(waker.clone());
        }
        self.slot = Some(slot);
        self.waker = Some(waker.clone());
    }
}

impl Clone for Stop {
    fn clone(&self) -> Self {
        Self { group: Arc::clone(&self.group), slot: None, waker: None }
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let mut wakers = lock(&self.group.wakers);
        if let Some(place) = wakers.slots.get_mut(slot) {
            *place = None;
        }
        wakers.free.push(slot);
    }
}

/// Counts one task in its group for as long as it lives.
struct Seat {
    group: Arc<Group>,
    name: &'static str,
}

impl Seat {
    fn take(group: Arc<Group>, name: &'static str) -> Self {
        *lock(&group.running).entry(name).or_default() += 1;
        Self { group, name }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut running = lock(&self.group.running);
        let left = running.get(self.name).copied().unwrap_or(1).saturating_sub(1);
        if left == 0 {
            running.remove(self.name);
        } else {
            running.insert(self.name, left);
        }
        if running.is_empty() {
            self.group.drained.notify_waiters();
        }
    }
}

/// A future whose panic ends it and nothing else.
struct Guarded<F> {
    future: Option<Pin<Box<F>>>,
    seat: Seat,
}

impl<F: Future<Output = ()>> Future for Guarded<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(future) = self.future.as_mut() else { return Poll::Ready(()) };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => {}
            Err(panic) => report_panic(self.seat.name, panic.as_ref()),
        }
        // Its own resources go before its seat: drained means released.
        self.future = None;
        Poll::Ready(())
    }
}

fn report_panic(name: &str, panic: &(dyn Any + Send)) {
    Counter::Panics.one();
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(task = name, panic = text.unwrap_or("(no text)"), "a task panicked and was ended; this is a bug");
}

/// These locks guard plain values that are whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_panic_ends_one_task_and_is_counted() {
        let tasks = Tasks::new();
        let before = Counter::Panics.total();
        tasks.spawn("bad", async { panic!("on purpose") });
        tasks.spawn("good", async {});
        tasks.drained(SOON).await.unwrap();
        assert!(Counter::Panics.total() > before);
    }

    #[tokio::test]
    async fn stop_wakes_every_task_that_waits_for_it() {
        let tasks = Tasks::new();
        for _ in 0..100 {
            let mut stop = tasks.stop_signal();
            tasks.spawn("waiting", async move { stop.stopped().await });
        }
        tokio::task::yield_now().await;
        tasks.stop();
        tasks.drained(SOON).await.unwrap();
        let mut late = tasks.stop_signal();
        late.stopped().await;
    }

    #[tokio::test]
    async fn what_does_not_stop_is_named() {
        let tasks = Tasks::new();
        tasks.spawn("stubborn", std::future::pending());
        let error = tasks.drained(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(error.names, ["stubborn ×1"]);
    }

    #[tokio::test]
    async fn dropped_signals_leave_no_slots_behind() {
        let tasks = Tasks::new();
        for _ in 0..10 {
            let mut stop = tasks.stop_signal();
            let _ = poll_fn(|cx| Poll::Ready(stop.poll_stopping(cx))).await;
        }
        assert_eq!(lock(&tasks.group.wakers).slots.len(), 1);
    }

    #[tokio::test]
    async fn a_thread_counts_as_running_until_it_ends() {
        let tasks = Tasks::new();
        let (sender, receiver) = std::sync::mpsc::sync_channel::<()>(0);
        let handle = tasks
            .spawn_thread("blocking", move || {
                let _ = receiver.recv();
            })
            .unwrap();
        assert_eq!(tasks.running(), 1);
        drop(sender);
        handle.join().unwrap();
        tasks.drained(SOON).await.unwrap();
    }
}
