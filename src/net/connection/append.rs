//! What a turn leaves for the store.
//!
//! What lives here: the append, and waiting when the store has no room: the
//! batch is kept, its answers wait, and the client is read no further. What
//! does not: how the store makes room. Invariant: what waits here is one turn
//! of one client, and it is appended before anything that came later.

use std::task::Context;

use crate::delivery::{Fanout, Progress};
use crate::session::Session;
use crate::store::{Batch, Position};
use crate::telemetry::metrics::Counter;

use super::super::lent::Buffers;
use super::super::remember;
use super::{Connection, Ending};

/// A turn that the store has no room for.
pub(super) struct Unappended {
    batch: Batch,
    /// Whose messages they are, if it is not only the session's own state.
    fanout: Option<Fanout>,
}

impl Connection {
    /// Appends what a complete fan-out leaves for the store. Answers whether it
    /// has to wait.
    pub(super) fn complete(&mut self, mut fanout: Fanout, cx: &mut Context<'_>) -> bool {
        if let Some(queue) = fanout.congested().cloned() {
            self.be_courteous(&queue, cx);
        }
        let batch = fanout.take_batch();
        self.append_or_wait(batch, Some(fanout), cx)
    }

    /// Appends a batch with what the session must remember, or keeps it while
    /// the store has no room for what grows. Answers whether it waits.
    pub(super) fn append_or_wait(&mut self, batch: Batch, fanout: Option<Fanout>, cx: &mut Context<'_>) -> bool {
        let grows = !batch.is_empty() || self.session.as_ref().is_some_and(|session| session.will_grow());
        if grows && self.parts.node.store.wake_with_room(cx.waker()) {
            Counter::PublishersChoked.one();
            self.unappended = Some(Box::new(Unappended { batch, fanout }));
            return true;
        }
        self.append(batch, fanout);
        false
    }

    fn append(&mut self, mut batch: Batch, fanout: Option<Fanout>) {
        let Some(session) = &mut self.session else { return };
        let position = append(&self.parts, session, &mut batch);
        let retained = std::mem::replace(&mut self.retained_at, Position::NONE);
        session.answers_wait_for(position.max(retained).0);
        fanout.into_iter().for_each(|fanout| fanout.appended_at(position));
    }

    /// Whether a PUBLISH with this first byte waits until the store has room:
    /// what is retained is stored whoever receives it. The client is not read
    /// meanwhile.
    pub(super) fn must_wait_for_room(&mut self, first: u8, cx: &mut Context<'_>) -> bool {
        let retain = first & 1 == 1;
        self.choked = retain && self.parts.node.store.wake_with_room(cx.waker());
        self.choked
    }

    /// Whether the client waits until the store has room.
    pub(super) fn is_choked(&mut self, cx: &mut Context<'_>) -> bool {
        self.choked = self.choked && self.parts.node.store.wake_with_room(cx.waker());
        self.choked || self.unappended.is_some()
    }

    /// A batch that waited is appended first: what the client sent later must
    /// not overtake it.
    pub(super) fn go_on_with_append(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Result<(), Ending> {
        let Some(waiting) = self.unappended.take() else { return Ok(()) };
        if self.parts.node.store.wake_with_room(cx.waker()) {
            self.unappended = Some(waiting);
            return Ok(());
        }
        self.append(waiting.batch, waiting.fanout);
        let lent = self.go_on_with_partial(buffers);
        self.work_off(cx, buffers, lent)
    }

    /// What began is completed: its messages were taken over.
    pub(super) fn finish_turn(&mut self, session: &mut Session) {
        let waiting = match (self.unappended.take(), self.fanout.take()) {
            (Some(waiting), _) => *waiting,
            (None, Some(mut fanout)) => {
                while fanout.advance() == Progress::More {}
                Unappended { batch: fanout.take_batch(), fanout: Some(*fanout) }
            }
            (None, None) => return,
        };
        let Unappended { mut batch, fanout } = waiting;
        let position = append(&self.parts, session, &mut batch);
        session.answers_wait_for(position.0);
        fanout.into_iter().for_each(|fanout| fanout.appended_at(position));
    }
}

/// Appends `batch` with what the session must remember.
fn append(parts: &super::Parts, session: &mut Session, batch: &mut Batch) -> Position {
    let uid = parts.queue.uid();
    if session.has_changes() {
        batch.ops.extend(session.drain_changes().map(|change| remember::changed(uid, change)));
    }
    parts.domain.append(std::mem::take(batch))
}
