//! One subscriber: reads in large pieces, counts, answers a batch in one write.
//!
//! What lives here: the receiving half of QoS 0, 1 and 2. What does not: subscribing (`dial`).
//! Invariant: each message is counted once, before it is acknowledged.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::dial::{Link, peeked};
use super::error::Error;
use super::run::Run;
use super::tally::{Stamp, Tally};
use crate::codec::frame::varint;
use crate::shutdown::Stop;

/// Flat out, one message in so many is timed.
const SAMPLE: u64 = 16;

/// A subscriber at work, until it is told to stop.
pub struct Subscriber {
    link: Link,
    run: Arc<Run>,
    stop: Stop,
    /// Its number, for the count of losses.
    number: usize,
    tally: Tally,
    /// Whether every message is timed.
    time_all: bool,
    /// Whether what came behind SUBACK or CONNACK is still to be looked at: no read announces it.
    is_fresh: bool,
    seen: u64,
}

impl Subscriber {
    /// A subscriber over a connection that has its subscriptions; it counts into `tally`.
    pub fn new(link: Link, run: Arc<Run>, stop: Stop, number: usize, tally: Tally, time_all: bool) -> Self {
        Self { link, run, stop, number, tally, time_all, is_fresh: true, seen: 0 }
    }

    fn take_messages(&mut self) -> Result<(), Error> {
        let now = self.run.elapsed();
        let (mut used, before) = (0, self.seen);
        let inbox = std::mem::take(&mut self.link.wire.inbox);
        while let Some(frame) = peeked(inbox.get(used..).unwrap_or_default())? {
            used += frame.len;
            match frame.first >> 4 {
                3 => self.take(frame.first, frame.body, now)?,
                6 => self.answer(0x70, frame.body),
                14 => {
                    return Err(Error::Closed(format!(
                        ": DISCONNECT {:#04x} to a subscriber",
                        frame.body.first().unwrap_or(&0)
                    )));
                }
                _ => {}
            }
        }
        self.link.wire.inbox = inbox;
        self.link.wire.consume(used);
        self.run.count_received(self.seen - before, now);
        Ok(())
    }

    fn take(&mut self, first: u8, body: &[u8], now: Duration) -> Result<(), Error> {
        let Some((id, payload)) = parts(first, body, self.link.version.is_v5()) else {
            return Err(Error::Protocol("a PUBLISH that is cut short".into()));
        };
        self.seen += 1;
        if let Some(stamp) = Stamp::of(payload) {
            self.tally.count(stamp);
            if (self.time_all || self.seen.is_multiple_of(SAMPLE))
                && self.run.is_measuring()
                && let Some(due) = stamp.due
            {
                self.run.timings.latency.record(now.saturating_sub(due));
            }
        }
        match first & 0x06 {
            2 => self.answer(0x40, id),
            4 => self.answer(0x50, id),
            _ => {}
        }
        Ok(())
    }

    /// An acknowledgement of `first` for the packet id at the head of `body`.
    fn answer(&mut self, first: u8, body: &[u8]) {
        if let Some(id) = body.first_chunk::<2>() {
            let [high, low] = *id;
            self.link.wire.out.extend_from_slice(&[first, 2, high, low]);
        }
    }

    fn pass(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.stop.poll_stopping(cx).is_ready() {
            self.link.wire.say_goodbye(cx, &[0xE0, 0]);
            return Poll::Ready(Ok(()));
        }
        loop {
            let read = self.link.wire.poll_read(cx)?;
            if read.is_ready() || std::mem::take(&mut self.is_fresh) {
                self.take_messages()?;
            }
            let _ = self.link.wire.poll_flush(cx)?;
            if read.is_pending() {
                return Poll::Pending;
            }
        }
    }
}

/// Packet id (with what follows it) and payload of a PUBLISH body.
fn parts(first: u8, body: &[u8], v5: bool) -> Option<(&[u8], &[u8])> {
    let (length, rest) = body.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*length))..)?;
    let (id, mut rest) = if first & 0x06 == 0 { (rest, rest) } else { (rest, rest.get(2..)?) };
    if v5 {
        let (properties, after) = varint(rest).ok()??;
        rest = after.get(usize::try_from(properties).ok()?..)?;
    }
    Some((id, rest))
}

impl Future for Subscriber {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.pass(cx)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.run.leave_subscriber(self.number, std::mem::take(&mut self.tally));
    }
}
