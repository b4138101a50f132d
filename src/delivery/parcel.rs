//! The messages of one turn, copied once and shared by all who receive them.
//!
//! A parcel is one buffer: first every message in wire form for the common
//! shape (3.1.1, no properties, RETAIN 0, the publisher's QoS), one behind the
//! other so that a run is copied at once, then the properties, then a table.
//! Payloads above [`LARGE`] stand outside in buffers of their own. Invariant:
//! a parcel never changes, but for the position at which it is durable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::mqtt::{MessageId, MessageView, Qos};
use crate::store::{Position, SessionUid, StoredMessage};
use crate::telemetry::metrics::{Counter, Gauge};

use super::budget::{Budget, Charge};

/// Payloads above this many bytes are shared, smaller ones copied.
pub const LARGE: usize = 4096;

/// Where the parts of an encoded PUBLISH lie, counted from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameShape {
    /// The topic's first byte.
    pub topic: u32,
    /// The packet identifier's first byte; 0 when QoS is 0.
    pub packet_id: u32,
    /// The payload's first byte.
    pub payload: u32,
}

/// Appends a message's frame in the common shape to a buffer; the payload is
/// left out when the last argument says so, though the header counts it.
pub type Encode = fn(&MessageView<'_>, &mut Vec<u8>, Payload) -> FrameShape;

/// Whether a frame holds its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Behind the header.
    Inline,
    /// In a buffer of its own.
    Apart,
}

/// Parcels up to this many bytes are never copied out.
const SMALL: usize = 1024;
/// The length of one line of the table.
const LINE: usize = 40;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    start: u32,
    end: u32,
    topic: u32,
    topic_end: u32,
    packet_id: u32,
    payload: u32,
    properties: u32,
    properties_end: u32,
    expiry: u32,
    /// Bits 0–1 QoS, bit 2 RETAIN, from bit 8 the large payload's number + 1.
    flags: u32,
}

impl Line {
    fn write(self, out: &mut Vec<u8>) {
        let Self { start, end, topic, topic_end, packet_id, payload, properties, properties_end, expiry, flags } = self;
        for field in [start, end, topic, topic_end, packet_id, payload, properties, properties_end, expiry, flags] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes.as_chunks::<4>().0.iter().map(|field| u32::from_le_bytes(*field));
        Some(Self {
            start: fields.next()?,
            end: fields.next()?,
            topic: fields.next()?,
            topic_end: fields.next()?,
            packet_id: fields.next()?,
            payload: fields.next()?,
            properties: fields.next()?,
            properties_end: fields.next()?,
            expiry: fields.next()?,
            flags: fields.next()?,
        })
    }

    fn qos(self) -> Qos {
        Qos::from_bits((self.flags & 3) as u8).unwrap_or(Qos::AtMostOnce)
    }
}

/// One message of a parcel.
#[derive(Clone, Copy, Debug)]
pub struct MessageRef<'a> {
    /// The frame in the common shape; without its payload when that is large.
    pub frame: &'a [u8],
    /// Where the packet identifier lies in the frame; 0 = nowhere.
    pub packet_id_at: usize,
    /// The topic.
    pub topic: &'a [u8],
    /// The payload, wherever it lies.
    pub payload: &'a [u8],
    /// Whether the payload stands outside the frame.
    pub apart: bool,
    /// Properties that are passed on, in wire form.
    pub properties: &'a [u8],
    /// Seconds that the message might wait when the parcel was made.
    pub expiry: Option<u32>,
    /// The publisher's quality of service.
    pub qos: Qos,
    /// The publisher's RETAIN flag.
    pub retain: bool,
}

/// The messages of one turn.
#[derive(Debug)]
pub struct Parcel {
    bytes: Box<[u8]>,
    table: usize,
    large: Vec<Bytes>,
    /// When it was made, in milliseconds since 1970.
    born: u64,
    first_id: MessageId,
    position: AtomicU64,
    /// The highest QoS in it.
    highest: Qos,
    /// Whether a message in it has an expiry.
    expires: bool,
    /// Bytes of all its payloads.
    payloads: u64,
    /// Once a queue holds it.
    charge: OnceLock<Charge>,
}

/// The position of a parcel whose batch was not appended yet.
const UNDECIDED: u64 = u64::MAX;

impl Parcel {
    /// How many messages it holds.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from((self.bytes.len() - self.table) / LINE).unwrap_or(0)
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When it was made, in milliseconds since 1970.
    #[must_use]
    pub const fn born(&self) -> u64 {
        self.born
    }

    /// The highest quality of service of its messages.
    #[must_use]
    pub const fn highest_qos(&self) -> Qos {
        self.highest
    }

    /// Whether the time of one of its messages may pass.
    #[must_use]
    pub const fn expires(&self) -> bool {
        self.expires
    }

    /// Whether deliveries that wait for the disk may leave.
    #[must_use]
    pub fn is_durable(&self, durable: Position) -> bool {
        self.position.load(Ordering::Acquire) <= durable.0
    }

    /// The position that deliveries of QoS 2 wait for, once it is known.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let position = self.position.load(Ordering::Acquire);
        (position != UNDECIDED).then_some(Position(position))
    }

    /// Sets the position of the batch that holds its messages.
    pub fn appended_at(&self, position: Position) {
        self.position.store(position.0, Ordering::Release);
    }

    fn line(&self, index: u32) -> Option<Line> {
        let start = self.table + index as usize * LINE;
        Line::read(self.bytes.get(start..start + LINE)?)
    }

    /// The quality of service of message `index`.
    #[must_use]
    pub fn qos(&self, index: u32) -> Qos {
        self.line(index).map_or(Qos::AtMostOnce, Line::qos)
    }

    /// The message at `index`.
    #[must_use]
    pub fn message(&self, index: u32) -> Option<MessageRef<'_>> {
        let line = self.line(index)?;
        let frame = self.bytes.get(line.start as usize..line.end as usize)?;
        let large = (line.flags >> 8).checked_sub(1).and_then(|number| self.large.get(number as usize));
        Some(MessageRef {
            frame,
            packet_id_at: line.packet_id as usize,
            topic: frame.get(line.topic as usize..line.topic_end as usize)?,
            payload: match large {
                Some(payload) => payload,
                None => frame.get(line.payload as usize..)?,
            },
            apart: large.is_some(),
            properties: self.bytes.get(line.properties as usize..line.properties_end as usize)?,
            expiry: (line.expiry != NONE).then_some(line.expiry),
            qos: line.qos(),
            retain: line.flags & 4 != 0,
        })
    }

    /// The frames of a run of messages as one slice, if none of them has a
    /// payload apart.
    #[must_use]
    pub fn frames(&self, start: u32, end: u32) -> Option<&[u8]> {
        if !self.large.is_empty() {
            return None;
        }
        let from = self.line(start)?.start as usize;
        let to = self.line(end.checked_sub(1)?)?.end as usize;
        self.bytes.get(from..to)
    }

    /// The bytes of the payloads of a run of messages.
    #[must_use]
    pub fn payload_bytes(&self, start: u32, end: u32) -> u64 {
        if start == 0 && end == self.len() {
            return self.payloads;
        }
        (start..end).filter_map(|index| self.message(index)).map(|message| message.payload.len() as u64).sum()
    }

    /// The bytes that a run of messages is charged with.
    #[must_use]
    pub fn run_bytes(&self, start: u32, end: u32) -> usize {
        let frames = match (self.line(start), end.checked_sub(1).and_then(|last| self.line(last))) {
            (Some(first), Some(last)) => (last.end - first.start) as usize,
            _ => 0,
        };
        if self.large.is_empty() {
            return frames;
        }
        let apart = (start..end).filter_map(|index| self.message(index)).filter(|message| message.apart);
        frames + apart.map(|message| message.payload.len()).sum::<usize>()
    }

    /// Message `index` copied out, so that it pins nothing.
    #[must_use]
    pub fn stored(&self, index: u32) -> Option<StoredMessage> {
        let line = self.line(index)?;
        let message = self.message(index)?;
        let large = (line.flags >> 8).checked_sub(1).and_then(|number| self.large.get(number as usize));
        Some(StoredMessage {
            id: MessageId { counter: self.first_id.counter + u64::from(index), ..self.first_id },
            topic: std::str::from_utf8(message.topic).ok()?.into(),
            properties: message.properties.into(),
            payload: large.cloned().unwrap_or_else(|| Bytes::copy_from_slice(message.payload)),
            qos: message.qos,
            expires_at: message.expiry.map(|seconds| self.born + u64::from(seconds) * 1000),
        })
    }

    /// One message to hold for a while, copied out if the parcel is much larger.
    #[must_use]
    pub fn hold(self: &Arc<Self>, index: u32) -> (Arc<Self>, u32) {
        if !self.pins_too_much(self.run_bytes(index, index + 1)) {
            return (Arc::clone(self), index);
        }
        self.extract(index, index + 1).map_or_else(|| (Arc::clone(self), index), |own| (own, 0))
    }

    /// Whether a holder of these messages alone would keep four times as much
    /// alive as it wants.
    pub(super) fn pins_too_much(&self, wanted: usize) -> bool {
        self.bytes.len() > SMALL && wanted * 4 < self.bytes.len()
    }

    /// A parcel of a run of messages alone. QoS 2 is left where it is: whether
    /// it may leave is known to the whole parcel only.
    pub(super) fn extract(&self, start: u32, end: u32) -> Option<Arc<Self>> {
        if self.highest == Qos::ExactlyOnce {
            return None;
        }
        let lines = (start..end).map(|index| self.line(index)).collect::<Option<Vec<_>>>()?;
        let mut builder = ParcelBuilder { highest: self.highest.bits(), ..ParcelBuilder::default() };
        for mut line in lines {
            let frame = self.bytes.get(line.start as usize..line.end as usize)?;
            let properties = self.bytes.get(line.properties as usize..line.properties_end as usize)?;
            if let Some(number) = (line.flags >> 8).checked_sub(1) {
                builder.large.push(self.large.get(number as usize)?.clone());
                line.flags = line.flags & 0xFF | offset(builder.large.len()) << 8;
            }
            line.start = offset(builder.frames.len());
            builder.frames.extend_from_slice(frame);
            line.end = offset(builder.frames.len());
            line.properties = offset(builder.properties.len());
            builder.properties.extend_from_slice(properties);
            line.properties_end = offset(builder.properties.len());
            builder.lines.push(line);
        }
        Counter::ParcelCopies.one();
        let MessageId { publisher, epoch, counter } = self.first_id;
        Some(builder.finish(self.born, SessionUid(publisher), epoch, counter + u64::from(start)))
    }

    fn size(&self) -> i64 {
        i64::try_from(self.bytes.len() + self.large.iter().map(Bytes::len).sum::<usize>()).unwrap_or(i64::MAX)
    }

    /// Charges it to the node, in full and once, however many queues hold it.
    pub(super) fn charge_to(&self, budget: &Arc<Budget>) {
        self.charge.get_or_init(|| {
            let mut charge = Charge::new(budget);
            charge.set(self.size().unsigned_abs() + size_of::<Self>() as u64);
            charge
        });
    }

    /// How many of a run's messages are delivered with QoS 1 or 2, where
    /// `wanted` is asked for.
    pub(super) fn durable_in(&self, start: u32, end: u32, wanted: Qos) -> u32 {
        if wanted == Qos::AtMostOnce || self.highest_qos() == Qos::AtMostOnce {
            return 0;
        }
        let count = (start..end).filter(|&index| self.qos(index) > Qos::AtMostOnce).count();
        u32::try_from(count).unwrap_or(0)
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        Gauge::ParcelBytes.add(-self.size());
    }
}

/// Gathers the messages of a turn; its memory is used again.
#[derive(Debug, Default)]
pub struct ParcelBuilder {
    frames: Vec<u8>,
    properties: Vec<u8>,
    lines: Vec<Line>,
    large: Vec<Bytes>,
    highest: u8,
}

impl ParcelBuilder {
    /// How many messages were added.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.lines.len()).unwrap_or(u32::MAX)
    }

    /// Whether none was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds a message.
    pub fn push(&mut self, message: &MessageView<'_>, encode: Encode) {
        let start = offset(self.frames.len());
        let apart = message.payload.len() > LARGE;
        let shape = encode(message, &mut self.frames, if apart { Payload::Apart } else { Payload::Inline });
        let mut flags = u32::from(message.qos.bits()) | u32::from(message.retain) << 2;
        if apart {
            self.large.push(Bytes::copy_from_slice(message.payload));
            flags |= offset(self.large.len()) << 8;
        }
        let properties = offset(self.properties.len());
        self.properties.extend_from_slice(message.properties);
        self.highest = self.highest.max(message.qos.bits());
        self.lines.push(Line {
            start,
            end: offset(self.frames.len()),
            topic: shape.topic,
            topic_end: shape.topic + offset(message.topic.as_str().len()),
            packet_id: shape.packet_id,
            payload: shape.payload,
            properties,
            properties_end: offset(self.properties.len()),
            expiry: message.expiry.unwrap_or(NONE),
            flags,
        });
    }

    /// Makes the parcel: two allocations, whatever the number of messages.
    pub fn finish(&mut self, born: u64, publisher: SessionUid, epoch: u32, counter: u64) -> Arc<Parcel> {
        let shift = offset(self.frames.len());
        let table = self.frames.len() + self.properties.len();
        let mut bytes = Vec::with_capacity(table + self.lines.len() * LINE);
        bytes.extend_from_slice(&self.frames);
        bytes.extend_from_slice(&self.properties);
        let expires = self.lines.iter().any(|line| line.expiry != NONE);
        let inline = self.lines.iter().map(|line| u64::from(line.end - line.start - line.payload)).sum::<u64>();
        let payloads = inline + self.large.iter().map(|payload| payload.len() as u64).sum::<u64>();
        for mut line in self.lines.drain(..) {
            line.properties += shift;
            line.properties_end += shift;
            line.write(&mut bytes);
        }
        self.frames.clear();
        self.properties.clear();
        let highest = Qos::from_bits(std::mem::take(&mut self.highest)).unwrap_or(Qos::AtMostOnce);
        let parcel = Parcel {
            bytes: bytes.into_boxed_slice(),
            table,
            large: std::mem::take(&mut self.large),
            born,
            first_id: MessageId { publisher: publisher.0, epoch, counter },
            position: AtomicU64::new(UNDECIDED),
            highest,
            expires,
            payloads,
            charge: OnceLock::new(),
        };
        Counter::Parcels.one();
        Gauge::ParcelBytes.add(parcel.size());
        Arc::new(parcel)
    }
}

/// A turn holds at most some hundred KiB, so offsets fit in 32 bits; packets
/// themselves are limited to 256 MiB by the standard.
fn offset(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
