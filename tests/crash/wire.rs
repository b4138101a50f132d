//! MQTT 3.1.1 and 5.0 in a few lines, written apart from the broker's codec.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than anything here takes; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why a client stopped.
#[derive(Debug)]
pub enum Trouble {
    /// The connection is gone, as it is after a kill.
    Gone,
    /// The broker broke a promise.
    Broken(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Broken(format!("nothing came for {PATIENCE:?}")),
            _ => Self::Gone,
        }
    }
}

/// Says that a promise was broken.
pub fn broken<T>(what: String) -> Result<T, Trouble> {
    Err(Trouble::Broken(what))
}

pub const PUBACK: u8 = 4;
pub const PUBREC: u8 = 5;
pub const PUBREL: u8 = 6;
pub const PUBCOMP: u8 = 7;

/// A message as it travels.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub dup: bool,
    pub retain: bool,
    pub id: u16,
}

/// What a broker says after CONNACK.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet {
    Publish(Message),
    Ack { kind: u8, id: u16, reason: u8 },
    Suback(Vec<u8>),
    Pong,
    Disconnect(u8),
}

/// What CONNECT says.
pub struct Hello<'a> {
    pub id: &'a str,
    pub v5: bool,
    pub lasting: bool,
    /// Topic, payload and QoS of a will.
    pub will: Option<(&'a str, String, u8)>,
}

/// A connection after CONNACK.
pub struct Link {
    stream: TcpStream,
    v5: bool,
    /// Written by [`flush`](Self::flush).
    out: Vec<u8>,
    read: Vec<u8>,
    at: usize,
}

fn text(to: &mut Vec<u8>, value: &[u8]) {
    to.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    to.extend_from_slice(value);
}

fn packet(to: &mut Vec<u8>, first: u8, body: &[u8]) {
    to.push(first);
    let mut left = body.len();
    loop {
        let low = u8::try_from(left & 0x7F).unwrap();
        left >>= 7;
        to.push(low | if left > 0 { 0x80 } else { 0 });
        if left == 0 {
            break;
        }
    }
    to.extend_from_slice(body);
}

fn connect(hello: &Hello) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, b"MQTT");
    let will = hello.will.as_ref().map_or(0, |(_, _, qos)| 4 | qos << 3);
    body.extend_from_slice(&[if hello.v5 { 5 } else { 4 }, will | if hello.lasting { 0 } else { 2 }, 0, 0]);
    if hello.v5 {
        // Session expiry, an hour; and a window of the client's own.
        body.extend_from_slice(if hello.lasting { &[8, 0x11, 0, 0, 14, 16, 0x21, 0, 33] } else { &[0] });
    }
    text(&mut body, hello.id.as_bytes());
    if let Some((topic, payload, _)) = &hello.will {
        if hello.v5 {
            body.push(0);
        }
        text(&mut body, topic.as_bytes());
        text(&mut body, payload.as_bytes());
    }
    let mut whole = Vec::new();
    packet(&mut whole, 0x10, &body);
    whole
}

impl Link {
    /// Connects; also answers whether there was a session.
    pub fn open(port: u16, hello: &Hello) -> Result<(Self, bool), Trouble> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut link = Self { stream, v5: hello.v5, out: connect(hello), read: Vec::new(), at: 0 };
        link.flush()?;
        let (first, body) = link.whole()?;
        match (first, body.as_slice()) {
            (0x20, [present, 0, ..]) => Ok((link, *present == 1)),
            other => broken(format!("{}: CONNECT was answered by {other:?}", hello.id)),
        }
    }

    pub fn publish(&mut self, message: &Message) {
        let mut body = Vec::with_capacity(message.payload.len() + 32);
        text(&mut body, message.topic.as_bytes());
        if message.qos > 0 {
            body.extend_from_slice(&message.id.to_be_bytes());
        }
        if self.v5 {
            body.push(0);
        }
        body.extend_from_slice(&message.payload);
        let flags = u8::from(message.dup) << 3 | message.qos << 1 | u8::from(message.retain);
        packet(&mut self.out, 0x30 | flags, &body);
    }

    pub fn acknowledge(&mut self, kind: u8, id: u16) {
        let flags = if kind == PUBREL { 2 } else { 0 };
        packet(&mut self.out, kind << 4 | flags, &id.to_be_bytes());
    }

    /// Sends SUBSCRIBE for all filters, each with its QoS.
    pub fn subscribe(&mut self, filters: &[(&str, u8)]) {
        let mut body = vec![0, 1];
        if self.v5 {
            body.push(0);
        }
        for (filter, qos) in filters {
            text(&mut body, filter.as_bytes());
            body.push(*qos);
        }
        packet(&mut self.out, 0x82, &body);
    }

    pub fn ping(&mut self) {
        packet(&mut self.out, 0xC0, &[]);
    }

    pub fn disconnect(mut self) {
        packet(&mut self.out, 0xE0, &[]);
        let _ = self.flush();
    }

    pub fn flush(&mut self) -> Result<(), Trouble> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The next packet. What is to be sent goes out before it is waited for.
    pub fn next(&mut self) -> Result<Packet, Trouble> {
        if self.split().is_none() {
            self.flush()?;
        }
        let (first, body) = self.whole()?;
        self.understand(first, &body).map_or_else(|| broken(format!("cannot be read: {first:#x} {body:?}")), Ok)
    }

    fn understand(&self, first: u8, body: &[u8]) -> Option<Packet> {
        let number = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
        Some(match first >> 4 {
            3 => {
                let end = 2 + usize::from(number(0)?);
                let (qos, mut at) = (first >> 1 & 3, end);
                let id = if qos > 0 { number(end)? } else { 0 };
                at += if qos > 0 { 2 } else { 0 };
                at += if self.v5 { 1 + usize::from(*body.get(at)?) } else { 0 };
                Packet::Publish(Message {
                    topic: String::from_utf8(body.get(2..end)?.to_vec()).ok()?,
                    payload: body.get(at..)?.to_vec(),
                    qos,
                    dup: first & 8 != 0,
                    retain: first & 1 != 0,
                    id,
                })
            }
            kind @ PUBACK..=PUBCOMP => Packet::Ack { kind, id: number(0)?, reason: body.get(2).copied().unwrap_or(0) },
            9 => Packet::Suback(body.get(if self.v5 { 3 } else { 2 }..)?.to_vec()),
            13 => Packet::Pong,
            14 => Packet::Disconnect(body.first().copied().unwrap_or(0)),
            _ => return None,
        })
    }

    fn whole(&mut self) -> Result<(u8, Vec<u8>), Trouble> {
        loop {
            if let Some((head, end)) = self.split() {
                let taken = (self.read[self.at], self.read[head..end].to_vec());
                self.at = end;
                return Ok(taken);
            }
            self.read.drain(..self.at);
            self.at = 0;
            let mut more = [0; 16 * 1024];
            match self.stream.read(&mut more)? {
                0 => return Err(Trouble::Gone),
                count => self.read.extend_from_slice(&more[..count]),
            }
        }
    }

    /// Where the body of the next whole packet begins and ends.
    fn split(&self) -> Option<(usize, usize)> {
        let (mut size, mut head) = (0, self.at + 1);
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(*self.read.get(head)?);
            head += 1;
            size |= (byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        (self.read.len() >= head + size).then_some((head, head + size))
    }
}
