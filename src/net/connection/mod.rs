//! The driver: one connection, one future, one await point.
//!
//! What lives here: the order in which a connection looks at its inputs. What
//! does not: protocol state (`session`), who receives (`delivery`), what a turn
//! of input does (`turn`), how it ends (`conclude`). Invariant: it holds no
//! inner future, no lock and no lent buffer when it returns Pending, and every
//! step is complete or can be gone on with, so that dropping it at any Pending
//! loses nothing.
//!
//! A poll visits, in this order: commands and trust, timers, what the socket
//! still has to take, a fan-out that is not complete, the socket's input (read,
//! decode, route, hand over), answers that are durable, the session queue, and
//! then writes once. Handing over comes before our own writing, so that the
//! recipients work meanwhile (the measurements are in the manual, `handover`).

mod append;
mod conclude;
mod ending;
mod farewell;
mod heritage;
mod pace;
mod review;
mod search;
mod turn;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use tokio::time::Sleep;

pub(super) use conclude::{end_session, publish_will};
pub(super) use farewell::linger;

use crate::codec::Packet;
use crate::delivery::{Bound, Charge, Domain, Fanout, Mailbox, Progress, SessionQueue};
use crate::identity::admission::{Admission, Peer};
use crate::mqtt::MessageId;
use crate::session::{KeepAlive, Session, Violation};
use crate::store::Position;
use crate::telemetry::metrics::Counter;
use crate::telemetry::traffic;

use ending::{Ending, overflow};
use farewell::Farewell;
use pace::Pause;
use search::Searches;

use super::census::Counted;
use super::control::{Command, Entered};
use super::lent::{Buffers, lend};
use super::limits::Admitted;
use super::outgoing::{Drain, Drained, Outgoing, most_output};
use super::rate::PublishRate;
use super::shared::{Node, Resting};
use super::slots::Slots;
use super::stream::Stream;
use super::tls::Read;
use super::websocket::breach;

/// Turns of input in one poll before others are let through.
const TURNS: usize = 4;
/// Entries that the outgoing lists may have room for between turns.
const BURST: usize = 64;

/// What a connection is made of.
pub(super) struct Parts {
    pub node: Arc<Node>,
    pub transport: Stream,
    pub entered: Entered,
    /// The seat among the connections, given back with the rest.
    pub _seat: Admitted,
    /// Its place among the tenant's clients.
    pub counted: Counted,
    pub peer: Arc<Peer>,
    pub admission: Arc<Admission>,
    pub domain: Arc<Domain<Resting>>,
    pub queue: Arc<SessionQueue>,
    /// The queue, as the router knows it.
    pub mailbox: Mailbox,
    pub outgoing: Outgoing,
    pub generation: u64,
    pub keep_alive: KeepAlive,
    /// Bytes that came behind CONNECT [MQTT-3.1.4-5 of 3.1.1].
    pub behind: Vec<u8>,
    pub bridge: bool,
    /// Publications within a second; 0 = no bound.
    pub max_publish_rate: u32,
}

impl Parts {
    /// Names one publication of this session.
    fn new_message(&self) -> MessageId {
        MessageId { publisher: self.queue.uid().0, epoch: self.domain.epoch(), counter: self.queue.count_published(1) }
    }
}

/// One live connection.
pub(super) struct Connection {
    parts: Parts,
    session: Option<Box<Session>>,
    trust_version: u64,
    /// What was read and is no whole packet yet.
    partial: Vec<u8>,
    /// `partial` may hold whole packets that nobody has looked at yet: they go
    /// before the socket.
    unread: bool,
    /// The stream has ended behind them.
    ended: bool,
    slots: Option<Box<Slots>>,
    fanout: Option<Box<Fanout>>,
    searches: Searches,
    markers: u64,
    heard: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    pause: Option<Box<Pause>>,
    /// The position for which the store has our waker.
    asked: Position,
    /// What waits until the store has room for it.
    unappended: Option<Box<append::Unappended>>,
    /// The next packet waits until the store has room.
    choked: bool,
    /// The position of the last retained change of this turn.
    retained_at: Position,
    /// CONNACK has left, deliveries may follow [MQTT-3.2.0-1].
    greeted: bool,
    listening: bool,
    /// DISCONNECT was read; what came behind it is not.
    leaving: Option<Ending>,
    /// PINGRESP that are owed.
    pongs: u32,
    /// Another connection of this client waits for the session.
    yielding: bool,
    rate: Option<Box<PublishRate>>,
    /// Publications of this turn, for the rate.
    published: u32,
    /// For output that the socket has not taken.
    unsent: Charge,
    /// It has ended and its client may read why.
    farewell: Option<Box<Farewell>>,
}

impl Connection {
    /// Begins with a session that was attached; its CONNACK waits in the ring.
    pub(super) fn new(mut parts: Parts, session: Box<Session>) -> Self {
        let heard = parts.node.clock.now();
        let partial = std::mem::take(&mut parts.behind);
        let mut connection = Self {
            unread: !partial.is_empty(),
            ended: false,
            trust_version: parts.admission.trust_version,
            session: Some(session),
            partial,
            slots: None,
            fanout: None,
            searches: Searches::default(),
            markers: 0,
            heard,
            timer: None,
            pause: None,
            asked: Position::NONE,
            unappended: None,
            choked: false,
            retained_at: Position::NONE,
            greeted: false,
            listening: false,
            leaving: None,
            pongs: 0,
            yielding: false,
            rate: PublishRate::new(parts.max_publish_rate, heard).map(Box::new),
            published: 0,
            unsent: Charge::new(parts.queue.budget()),
            farewell: None,
            parts,
        };
        // A session that was resumed may hold what its client has no right to now.
        connection.review_subscriptions();
        connection.timer = connection.deadline().map(|at| Box::pin(tokio::time::sleep_until(at.into())));
        connection
    }

    /// Lends the buffers and visits every input; see the module's order.
    fn visit(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Result<(), Ending> {
        self.hear(cx)?;
        if self.yielding {
            return Err(self.hear_out(cx, buffers));
        }
        self.watch_time(cx)?;
        let mut writable = self.flush(cx)?;
        self.go_on_with_fanout(cx, buffers)?;
        self.go_on_with_append(cx, buffers)?;
        for turn in 0.. {
            let behind = self.is_behind();
            let mut more = if self.may_read(cx) { self.read(cx, buffers)? } else { false };
            self.search();
            if writable {
                self.write(cx, &mut buffers.output)?;
                writable = self.flush(cx)?;
            }
            // Nobody else would wake us for what the client has sent meanwhile.
            more |= behind && !self.is_behind();
            if let Some(ending) = self.leaving.take() {
                return Err(ending);
            }
            if !more {
                break;
            }
            if turn >= TURNS {
                cx.waker().wake_by_ref();
                break;
            }
        }
        if self.has_search() {
            cx.waker().wake_by_ref();
        }
        self.settle_down();
        Ok(())
    }

    /// Commands, and whether trust still admits us.
    fn hear(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        if !self.listening {
            self.listening = true;
            self.parts.entered.control.listen(cx.waker());
            self.parts.queue.attend(cx.waker());
        }
        if let Some(bound) = self.parts.queue.overflowed() {
            return Err(overflow(bound));
        }
        let mut told = false;
        while let Some(command) = self.parts.entered.control.hear() {
            match command {
                Command::ShutDown => return Err(Ending::ShutDown),
                Command::Yield => {
                    // It stays raised: whoever yields has no other command to hear.
                    self.yielding = true;
                    break;
                }
                Command::Dismiss => return Err(self.dismissed()),
                Command::Recheck => told = true,
            }
        }
        match told || self.parts.node.trust.version() != self.trust_version {
            true => self.recheck(told),
            false => Ok(()),
        }
    }

    /// A client that published, left and came back at once has its old
    /// connection's last bytes still in the socket: they count, and a
    /// DISCONNECT among them takes the will back.
    fn hear_out(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Ending {
        for _ in 0..TURNS {
            let read = if self.may_read(cx) { self.read(cx, buffers) } else { Ok(false) };
            match (self.leaving.take(), read) {
                (Some(ending), _) | (None, Err(ending @ Ending::Violated(_))) => return ending,
                (None, Ok(true)) => {}
                (None, _) => break,
            }
        }
        Ending::TakenOver
    }

    /// When silence, or the certificate's end, is due.
    fn deadline(&self) -> Option<Instant> {
        let silence = self.parts.keep_alive.deadline(self.heard);
        let expiry = self.certificate_end().map(|end| {
            let left = end.duration_since(self.parts.node.clock.wall()).unwrap_or_default();
            self.parts.node.clock.now() + left.min(Duration::from_secs(86_400))
        });
        silence.into_iter().chain(expiry).min()
    }

    fn certificate_end(&self) -> Option<SystemTime> {
        let admission = &self.parts.admission;
        admission.not_after.filter(|_| admission.tenant.switches.disconnect_on_expiry)
    }

    fn arm(&mut self) {
        match (self.deadline(), &mut self.timer) {
            (Some(at), Some(timer)) => timer.as_mut().reset(at.into()),
            (Some(at), None) => self.timer = Some(Box::pin(tokio::time::sleep_until(at.into()))),
            (None, timer) => *timer = None,
        }
    }

    fn watch_time(&mut self, cx: &mut Context<'_>) -> Result<(), Ending> {
        while let Some(timer) = &mut self.timer {
            if timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            let now = self.parts.node.clock.now();
            // Who is not read cannot be heard.
            if self.is_held() {
                self.heard = now;
            }
            if self.parts.keep_alive.deadline(self.heard).is_some_and(|at| at <= now) {
                return Err(Ending::Violated(Violation::KeepAlive));
            }
            if self.certificate_end().is_some_and(|end| end <= self.parts.node.clock.wall()) {
                self.recheck(true)?;
            }
            self.trim();
            self.arm();
        }
        Ok(())
    }

    /// Keeps no spare capacity: a timer has found the connection idle.
    fn trim(&mut self) {
        self.partial.shrink_to_fit();
        self.parts.outgoing.shrink(0);
        self.slots = None;
        self.session.iter_mut().for_each(|session| session.trim());
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Ending> {
        match self.parts.transport.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.unsent.set(0);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(lost(&error)),
            Poll::Pending => Ok(false),
        }
    }

    /// A fan-out that was not complete goes first: what the client sends later
    /// must not overtake it.
    fn go_on_with_fanout(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Result<(), Ending> {
        let Some(mut fanout) = self.fanout.take() else { return Ok(()) };
        if fanout.advance() == Progress::More {
            self.fanout = Some(fanout);
            cx.waker().wake_by_ref();
            return Ok(());
        }
        if self.complete(*fanout, cx) {
            return Ok(());
        }
        let lent = self.go_on_with_partial(buffers);
        self.work_off(cx, buffers, lent)
    }

    /// Reads once, unless something is unread, and takes the turn. Answers
    /// whether there may be more.
    fn read(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Result<bool, Ending> {
        let lent = self.go_on_with_partial(buffers);
        if !std::mem::take(&mut self.unread) {
            match self.parts.transport.poll_read(cx, &mut buffers.cipher, &mut buffers.input) {
                Poll::Pending => {
                    self.keep_partial(0, buffers, lent);
                    return Ok(false);
                }
                Poll::Ready(Ok(Read::Closed)) => self.ended = true,
                Poll::Ready(Ok(Read::Bytes { full })) => {
                    self.take_turn(cx, buffers, lent)?;
                    return Ok(full || self.unread);
                }
                Poll::Ready(Err(error)) => return Err(lost(&error)),
            }
        }
        self.take_turn(cx, buffers, lent)?;
        match self.ended && !self.unread {
            true if self.leaving.is_none() => Err(Ending::Lost(None)),
            ended => Ok(!ended),
        }
    }

    fn take_turn(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers, lent: Option<Vec<u8>>) -> Result<(), Ending> {
        self.work_off(cx, buffers, lent)?;
        self.pay()
    }

    /// Gathers everything that may leave and writes it at once.
    fn write(&mut self, cx: &mut Context<'_>, out: &mut Vec<u8>) -> Result<(), Ending> {
        let node = Arc::clone(&self.parts.node);
        let Some(session) = &mut self.session else { return Ok(()) };
        loop {
            let durable = node.store.durable();
            let answers = session.release(durable.0, out);
            self.greeted |= answers > 0;
            let pongs = if self.greeted { std::mem::take(&mut self.pongs) } else { 0 };
            for _ in 0..pongs {
                Packet::PingResp.encode(session.terms().version, out);
            }
            Counter::AnswersSent.add(answers + u64::from(pongs));
            let drained = if self.greeted {
                let now = node.clock.unix_millis();
                let queue = &self.parts.queue;
                let mut drain =
                    Drain { session, queue, store: &*node.store, durable, now, out, most: most_output(queue) };
                self.parts.outgoing.drain(cx, &mut drain)
            } else {
                Drained::Idle
            };
            match drained {
                Drained::Overflowed => return Err(overflow(self.parts.queue.overflowed().unwrap_or(Bound::Ring))),
                Drained::Full => cx.waker().wake_by_ref(),
                Drained::Idle => {}
            }
            let answers = session.waiting_for().filter(|at| *at < crate::delivery::NEVER.0).map(Position);
            let deliveries = self.parts.outgoing.waiting_for(durable);
            let waiting = answers.into_iter().chain(deliveries).min();
            match waiting {
                Some(position) if position != self.asked || durable >= position => {
                    self.asked = position;
                    if !node.store.wake_at(position, cx.waker()) {
                        self.asked = Position::NONE;
                        continue;
                    }
                }
                _ => {}
            }
            break;
        }
        if !out.is_empty() {
            let sent = self.parts.transport.send(out);
            self.unsent.set(if self.parts.transport.is_clean() { 0 } else { out.len() as u64 });
            out.clear();
            sent.map_err(|error| lost(&error))?;
        }
        self.note_finished();
        if let Some(session) = &self.session {
            self.parts.queue.note_window(session.terms().send_window, session.outbound().unfinished());
        }
        Ok(())
    }

    /// Lets go of what an idle connection does not need.
    fn settle_down(&mut self) {
        self.parts.outgoing.shrink(BURST);
        if self.partial.capacity() > 4 * self.partial.len() {
            self.partial.shrink_to_fit();
        }
        if let (Some(client), Some(session)) = (self.parts.entered.control.client(), &self.session) {
            client.subscriptions.store(session.subscriptions().len(), Ordering::Relaxed);
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.session.is_none() {
            return this.poll_farewell(cx);
        }
        let before = traffic::mark();
        Counter::Turns.one();
        let outcome = match lend(|buffers| this.visit(cx, buffers)) {
            Ok(()) => Poll::Pending,
            Err(ending) => {
                this.conclude(ending);
                this.poll_farewell(cx)
            }
        };
        this.parts.counted.add_since(&before);
        outcome
    }
}

/// How a stream that failed ends the connection.
fn lost(error: &std::io::Error) -> Ending {
    breach(error).map_or(Ending::Lost(Some(error.kind())), Ending::Misframed)
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.session.is_some() {
            let stopping = self.parts.node.tasks.is_stopping();
            self.conclude(if stopping { Ending::ShutDown } else { Ending::Panicked });
        }
    }
}

#[cfg(test)]
mod tests;
