//! One publisher: frames encoded once, stamped and written in batches.
//!
//! What lives here: the window, the handshakes of QoS 1 and 2, and the pace. What does not:
//! connecting (`dial`). Invariant: never more than `window` messages are unacknowledged, and each
//! is stamped with the moment it was due, not the moment it left.

use std::collections::VecDeque;
use std::future::Future;
use std::num::NonZeroU16;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::dial::{Link, peeked};
use super::error::Error;
use super::run::Run;
use super::tally::{STAMP, Stamp};
use crate::codec::{Outgoing, publish};
use crate::mqtt::{Qos, TopicName, Version};
use crate::shutdown::Stop;

/// Bytes that a publisher writes at most before others have their turn.
const BATCH: usize = 32 * 1024;

/// What a publisher sends.
pub struct Work {
    /// Its number, in each stamp.
    pub number: u16,
    /// Where to.
    pub topic: String,
    /// With which quality.
    pub qos: Qos,
    /// Payload bytes.
    pub size: usize,
    /// Unacknowledged messages at most, at QoS 1 and 2.
    pub window: u64,
    /// When it may send; flat out without.
    pub pace: Option<Arc<Pace>>,
}

/// When the messages of one publisher are due.
pub struct Pace {
    /// The first message, since the run began.
    pub first: Duration,
    /// From one message to the next.
    pub interval: Duration,
    /// All of a stretch of this length are due at its end; zero for each on its own.
    pub burst: Duration,
    due: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

impl Pace {
    /// A pace at which nothing is due yet.
    pub fn new(first: Duration, interval: Duration, burst: Duration) -> Self {
        Self { first, interval, burst, due: AtomicU64::new(0), waker: Mutex::default() }
    }

    /// When message `sequence` is due, since the run began.
    pub fn due_at(&self, sequence: u64) -> Duration {
        let nanos = self.interval.as_nanos().saturating_mul(u128::from(sequence));
        let due = self.first + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let over = due.as_nanos().checked_rem(self.burst.as_nanos()).unwrap_or(0);
        let rest = if over == 0 { 0 } else { self.burst.as_nanos() - over };
        due + Duration::from_nanos(u64::try_from(rest).unwrap_or(0))
    }

    /// One message more is due.
    pub fn release(&self) {
        self.due.fetch_add(1, SeqCst);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How many are due beyond the `sent` first ones.
    fn ready(&self, sent: u64, waker: &Waker) -> u64 {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
        self.due.load(SeqCst).saturating_sub(sent)
    }
}

/// A publisher at work, until it is told to stop.
pub struct Publisher {
    link: Link,
    run: Arc<Run>,
    stop: Stop,
    work: Work,
    frame: Vec<u8>,
    id_at: usize,
    sequence: u64,
    /// Packet ids without their last answer, and when their messages were due.
    unacknowledged: VecDeque<(u16, Duration)>,
    next_id: u16,
}

impl Publisher {
    /// A publisher over an accepted connection.
    ///
    /// # Errors
    /// The topic is none that can be published to.
    pub fn new(link: Link, run: Arc<Run>, stop: Stop, work: Work) -> Result<Self, Error> {
        let frame = template(&work, link.version)?;
        // Fixed header, topic length, topic: then the packet id.
        let header = frame.len() - peeked(&frame)?.map_or(0, |frame| frame.body.len());
        let id_at = header + 2 + work.topic.len();
        Ok(Self { link, run, stop, work, frame, id_at, sequence: 0, unacknowledged: VecDeque::new(), next_id: 1 })
    }

    fn take_answers(&mut self) -> Result<(), Error> {
        let (mut used, before, now) = (0, self.unacknowledged.len(), self.run.elapsed());
        let inbox = std::mem::take(&mut self.link.wire.inbox);
        while let Some(frame) = peeked(inbox.get(used..).unwrap_or_default())? {
            used += frame.len;
            let failed = self.link.version.is_v5() && frame.body.get(2).is_some_and(|&code| code >= 0x80);
            match frame.first >> 4 {
                4 | 7 => self.settle(frame.body, now),
                5 if failed => self.settle(frame.body, now),
                5 => {
                    let id = frame.body.first_chunk::<2>().copied().unwrap_or_default();
                    self.link.wire.out.extend_from_slice(&[0x62, 2]);
                    self.link.wire.out.extend_from_slice(&id);
                }
                14 => return Err(Error::Closed(": it sent DISCONNECT to a publisher".into())),
                _ => {}
            }
            if failed {
                self.run.fail(format!(
                    "a message to {} was refused, code {:#04x}",
                    self.work.topic,
                    frame.body.get(2).unwrap_or(&0)
                ));
            }
        }
        self.link.wire.inbox = inbox;
        self.link.wire.consume(used);
        self.run.count_acknowledged((before - self.unacknowledged.len()) as u64, now);
        Ok(())
    }

    /// The last answer for the packet id at the head of `body`; brokers may answer in any order.
    fn settle(&mut self, body: &[u8], now: Duration) {
        let id = body.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id));
        let Some(at) = self.unacknowledged.iter().position(|(waits, _)| *waits == id) else { return };
        if let Some((_, due)) = self.unacknowledged.remove(at)
            && self.run.is_measuring()
        {
            self.run.timings.acknowledgement.record(now.saturating_sub(due));
        }
    }

    /// Appends as many messages as window, pace and backlog allow; answers how many.
    fn fill(&mut self, cx: &Context<'_>) -> u64 {
        if !self.run.is_publishing() {
            return 0;
        }
        let mut wanted = (BATCH / self.frame.len().max(1)).max(1) as u64;
        if self.work.qos != Qos::AtMostOnce {
            wanted = wanted.min(self.work.window.saturating_sub(self.unacknowledged.len() as u64));
        }
        if let Some(pace) = &self.work.pace {
            wanted = wanted.min(pace.ready(self.sequence, cx.waker()));
        }
        let granted = self.run.take_room(wanted, cx.waker());
        let now = self.run.elapsed();
        for _ in 0..granted {
            self.append(now);
        }
        granted
    }

    fn append(&mut self, now: Duration) {
        let due = self.work.pace.as_ref().map_or(now, |pace| pace.due_at(self.sequence));
        if self.work.pace.is_some() && self.run.is_measuring() {
            self.run.timings.lateness.record(now.saturating_sub(due));
        }
        let stamp = Stamp { publisher: self.work.number, sequence: self.sequence, due: Some(due) }.to_bytes();
        let out = &mut self.link.wire.out;
        let from = out.len();
        out.extend_from_slice(&self.frame);
        if let Some(frame) = out.get_mut(from..) {
            let payload = frame.len() - self.work.size;
            let room = self.work.size.min(STAMP);
            if let (Some(place), Some(stamp)) = (frame.get_mut(payload..payload + room), stamp.get(..room)) {
                place.copy_from_slice(stamp);
            }
            if self.work.qos != Qos::AtMostOnce
                && let Some(place) = frame.get_mut(self.id_at..self.id_at + 2)
            {
                place.copy_from_slice(&self.next_id.to_be_bytes());
            }
        }
        self.sequence += 1;
        if self.work.qos != Qos::AtMostOnce {
            self.unacknowledged.push_back((self.next_id, due));
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        }
    }

    fn pass(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.stop.poll_stopping(cx).is_ready() {
            self.link.wire.say_goodbye(cx, &[0xE0, 0]);
            return Poll::Ready(Ok(()));
        }
        loop {
            let read = self.link.wire.poll_read(cx)?.is_ready();
            if read {
                self.take_answers()?;
            }
            // Nothing new is stamped while older bytes wait for the socket.
            let clean = self.link.wire.poll_flush(cx)?.is_ready();
            let filled = clean && self.fill(cx) > 0;
            if filled && self.link.wire.poll_flush(cx)?.is_ready() {
                if self.work.qos != Qos::AtMostOnce {
                    continue;
                }
                // QoS 0 has no window to end a pass: others go first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !read {
                return Poll::Pending;
            }
        }
    }
}

impl Future for Publisher {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.pass(cx)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.run.leave_publisher(self.work.number, self.sequence);
    }
}

fn template(work: &Work, version: Version) -> Result<Vec<u8>, Error> {
    let topic = TopicName::new(&work.topic)
        .map_err(|error| Error::Usage(format!("the topic {:?} cannot be published to: {error}", work.topic)))?;
    let payload = vec![b'.'; work.size];
    let message = Outgoing {
        dup: false,
        qos: work.qos,
        retain: false,
        packet_id: Some(NonZeroU16::MIN),
        topic,
        alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload: &payload,
    };
    let mut frame = Vec::new();
    publish::encode(&mut frame, version, &message);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_burst_are_due_together_and_none_sooner_than_its_own_time() {
        let micros = Duration::from_micros;
        let alone = Pace::new(micros(30), micros(100), Duration::ZERO);
        let bursts = Pace::new(micros(30), micros(100), micros(500));
        assert_eq!([0, 1, 5].map(|n| alone.due_at(n)), [30, 130, 530].map(micros));
        assert_eq!([0, 4, 5, 9].map(|n| bursts.due_at(n)), [500, 500, 1000, 1000].map(micros));
    }
}
