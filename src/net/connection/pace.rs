//! When a client is read, and when it is left to wait.
//!
//! What lives here: the courtesy to a recipient that is behind, the client's own
//! rate, and the answers that it does not read. What does not: what is read
//! (`turn`). Invariant: writing and commands go on during every pause, and
//! whatever ends one wakes the driver.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use tokio::time::Sleep;

use crate::delivery::SessionQueue;
use crate::session::Violation;
use crate::telemetry::metrics::Counter;

use super::{Connection, Ending};

/// Answers that may wait for the disk before the client is read no further.
const UNANSWERED: usize = 16 * 1024;
/// PINGRESP that may wait for the socket before the client is read no further.
const PONGS: u32 = 1024;
/// How long a publisher waits for a recipient that is behind, at most.
const COURTESY: Duration = Duration::from_millis(10);

/// How long a publisher is not read while memory is short.
const SHORT_OF_MEMORY: Duration = Duration::from_secs(1);
/// The same for one that has messages of its own to acknowledge: what it sends
/// drains a queue.
const AT_WORK: Duration = Duration::from_millis(50);

/// A publisher's courtesy to a recipient that is behind.
pub(super) struct Pause {
    end: Pin<Box<Sleep>>,
    /// The recipient; nothing when the client's own rate is the reason, or
    /// short memory.
    queue: Option<Arc<SessionQueue>>,
}

impl Connection {
    /// Whether the client may be read. Writing goes on during every pause.
    pub(super) fn may_read(&mut self, cx: &mut Context<'_>) -> bool {
        if self.fanout.is_some() || self.leaving.is_some() {
            return false;
        }
        if let Some(pause) = &mut self.pause {
            if !pause.queue.as_ref().is_some_and(|queue| queue.has_room()) && pause.end.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.pause = None;
        }
        !self.is_behind() && !self.is_choked(cx)
    }

    /// How many publications more the client may have taken now.
    pub(super) fn allowance(&self) -> u32 {
        let Some(rate) = &self.rate else { return u32::MAX };
        rate.allowance(self.parts.node.clock.now()).saturating_sub(self.published)
    }

    /// Charges the turn to the client's rate: who is above it is not read for a
    /// while, and one who never slows down is closed. While memory is short
    /// whoever publishes waits behind every turn.
    pub(super) fn pay(&mut self) -> Result<(), Ending> {
        let count = std::mem::take(&mut self.published);
        if count > 0 && self.parts.node.overload.is_short_of_memory() {
            Counter::PublishersPaused.one();
            let in_flight = self.session.as_ref().is_some_and(|session| session.outbound().oldest().is_some());
            let at_work = in_flight || !self.parts.outgoing.is_empty();
            let end = self.heard + if at_work { AT_WORK } else { SHORT_OF_MEMORY };
            self.pause = Some(Box::new(Pause { end: Box::pin(tokio::time::sleep_until(end.into())), queue: None }));
        }
        let Some(rate) = &mut self.rate else { return Ok(()) };
        let Some(until) = rate.charge(count, self.heard) else { return Ok(()) };
        Counter::PublishersHeld.one();
        if rate.held_for(self.heard) > self.parts.node.settings.load().publish_rate_patience {
            return Err(Ending::Violated(Violation::PublishRate(self.parts.max_publish_rate)));
        }
        self.pause = Some(Box::new(Pause { end: Box::pin(tokio::time::sleep_until(until.into())), queue: None }));
        Ok(())
    }

    /// Whether the client is not read because of its own rate, or of short
    /// memory.
    pub(super) fn is_held(&self) -> bool {
        self.choked || self.unappended.is_some() || self.pause.as_ref().is_some_and(|pause| pause.queue.is_none())
    }

    /// Whether so many answers wait that the client is read no further.
    pub(super) fn is_behind(&self) -> bool {
        let unanswered = self.session.as_ref().map_or(0, |session| session.answers_waiting());
        unanswered >= UNANSWERED || self.pongs >= PONGS
    }

    /// Gives a recipient that is behind, and at work, a little time.
    pub(super) fn be_courteous(&mut self, queue: &Arc<SessionQueue>, cx: &mut Context<'_>) {
        if self.is_held() || Arc::ptr_eq(queue, &self.parts.queue) {
            return;
        }
        queue.wait_for_room(cx.waker());
        self.pause =
            Some(Box::new(Pause { end: Box::pin(tokio::time::sleep(COURTESY)), queue: Some(Arc::clone(queue)) }));
        cx.waker().wake_by_ref();
    }
}
