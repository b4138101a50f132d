//! Frames of RFC 6455, as a server reads and writes them.
//!
//! What lives here: the machine that takes the framing off in place, and the
//! heads of frames that we send. What does not: sockets, and who answers
//! (`super`). Invariant: payload passes through as it comes, so that no frame,
//! however long, is ever gathered; what is kept is one head and the payload of
//! one control frame.

use crate::codec;

/// The longest frame: as long as the longest MQTT packet.
const LONGEST: u64 = 268_435_460;
/// The longest head of a frame of a client: 2, length 8, mask 4.
const HEAD: usize = 14;
/// The longest payload of a control frame (§5.5).
const CONTROL: u64 = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// How a client broke RFC 6455, or its use by MQTT. Sections are those of the
/// RFC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::net) enum Breach {
    /// [MQTT-6.0.0-1]
    #[error("a text frame; MQTT travels in binary frames [MQTT-6.0.0-1]")]
    Text,
    /// §5.1
    #[error("a WebSocket frame without a mask (RFC 6455, 5.1)")]
    Unmasked,
    /// §5.2: no extension was agreed on that would use these bits.
    #[error("a WebSocket frame with reserved bits; no extension was agreed on (RFC 6455, 5.2)")]
    Reserved,
    /// §5.2
    #[error("a WebSocket frame of the unknown type {0} (RFC 6455, 5.2)")]
    Opcode(u8),
    /// §5.2: the shortest form, below 2^63.
    #[error("the length of a WebSocket frame is not in its shortest form (RFC 6455, 5.2)")]
    Length,
    /// Our own bound.
    #[error("a WebSocket frame of {0} bytes; no MQTT packet is longer than 268435460")]
    TooLong(u64),
    /// §5.4
    #[error("the parts of a WebSocket message are out of order (RFC 6455, 5.4)")]
    Order,
    /// §5.5
    #[error("a WebSocket control frame in parts, or longer than 125 bytes (RFC 6455, 5.5)")]
    Control,
    /// §7.4
    #[error("a WebSocket close frame with a code that may not be sent (RFC 6455, 7.4)")]
    CloseCode,
    /// §8.1
    #[error("a WebSocket close frame whose reason is not UTF-8 (RFC 6455, 8.1)")]
    CloseReason,
}

impl Breach {
    /// The code of the close frame that answers it (§7.4.1).
    pub(super) const fn code(self) -> u16 {
        match self {
            Self::Text => 1003,
            Self::CloseReason => 1007,
            Self::TooLong(_) => 1009,
            _ => 1002,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Close,
    Ping,
    Pong,
}

/// A frame whose payload is coming.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    left: u64,
    /// Turned so that its first byte is for the next byte of payload.
    mask: [u8; 4],
}

impl Frame {
    fn unmask(&mut self, bytes: &mut [u8]) {
        let mask = self.mask;
        let [a, b, c, d] = mask;
        let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = bytes.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
        }
        rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        self.mask.rotate_left(rest.len() % 4);
        self.left = self.left.saturating_sub(bytes.len() as u64);
    }
}

/// What the client's control frames ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// A pong with this payload; of several pings only the last is answered
    /// (§5.5.3).
    pub(super) pong: Option<Vec<u8>>,
    /// The end, with this code if the client gave one. Nothing is read behind
    /// it.
    pub(super) close: Option<Option<u16>>,
}

/// Takes the framing off what a client sends.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    head: [u8; HEAD],
    have: usize,
    frame: Option<Frame>,
    /// A message has begun that did not end.
    in_message: bool,
    control: Vec<u8>,
    pub(super) asked: Asked,
}

impl Decoder {
    /// Leaves the payload of `bytes` at their front, and gives its length; how
    /// the client broke the rules behind that, if it did.
    pub(super) fn decode(&mut self, bytes: &mut [u8]) -> (usize, Option<Breach>) {
        let (mut read, mut written) = (0, 0);
        while read < bytes.len() && self.asked.close.is_none() {
            let step = match &mut self.frame {
                None => self.take_head(bytes.get(read..).unwrap_or_default()),
                Some(frame) => {
                    let left = usize::try_from(frame.left).unwrap_or(usize::MAX);
                    let end = read + left.min(bytes.len() - read);
                    let Some(payload) = bytes.get_mut(read..end) else { break };
                    frame.unmask(payload);
                    if frame.kind == Kind::Data {
                        bytes.copy_within(read..end, written);
                        written += end - read;
                    } else {
                        self.control.extend_from_slice(payload);
                    }
                    Ok(end - read)
                }
            };
            match step.and_then(|count| self.end_frame().map(|()| count)) {
                Ok(count) => read += count,
                Err(breach) => return (written, Some(breach)),
            }
        }
        (written, None)
    }

    /// Takes what belongs to a frame's head; the frame begins when it is whole.
    fn take_head(&mut self, bytes: &[u8]) -> Result<usize, Breach> {
        let mut taken = 0;
        for byte in bytes {
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *byte;
            }
            self.have += 1;
            taken += 1;
            if self.have >= 2 && self.have == head_length(self.head) {
                break;
            }
        }
        if self.have >= 2 {
            self.check_start()?;
            if self.have == head_length(self.head) {
                self.frame = Some(self.begin()?);
                self.have = 0;
            }
        }
        Ok(taken)
    }

    /// Whether the first two bytes of a head may stand.
    fn check_start(&self) -> Result<(), Breach> {
        let [first, second, ..] = self.head;
        let (opcode, is_last) = (first & 15, first & 0x80 != 0);
        if first & 0x70 != 0 {
            return Err(Breach::Reserved);
        }
        if second & 0x80 == 0 {
            return Err(Breach::Unmasked);
        }
        match opcode {
            TEXT => Err(Breach::Text),
            CONTINUATION if !self.in_message => Err(Breach::Order),
            BINARY if self.in_message => Err(Breach::Order),
            CONTINUATION | BINARY => Ok(()),
            CLOSE | PING | PONG if is_last && u64::from(second & 127) <= CONTROL => Ok(()),
            CLOSE | PING | PONG => Err(Breach::Control),
            other => Err(Breach::Opcode(other)),
        }
    }

    fn begin(&mut self) -> Result<Frame, Breach> {
        let [first, second, a, b, c, d, e, f, g, h, i, j, k, l] = self.head;
        let (left, mask, shortest) = match second & 127 {
            126 => (u64::from(u16::from_be_bytes([a, b])), [c, d, e, f], 126),
            127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), [i, j, k, l], 1 << 16),
            short => (u64::from(short), [a, b, c, d], 0),
        };
        if left < shortest || left >= 1 << 63 {
            return Err(Breach::Length);
        }
        if left > LONGEST {
            return Err(Breach::TooLong(left));
        }
        let kind = match first & 15 {
            CLOSE => Kind::Close,
            PING => Kind::Ping,
            PONG => Kind::Pong,
            _ => {
                self.in_message = first & 0x80 == 0;
                Kind::Data
            }
        };
        Ok(Frame { kind, left, mask })
    }

    /// Ends a frame whose payload is complete.
    fn end_frame(&mut self) -> Result<(), Breach> {
        let Some(Frame { kind, left: 0, .. }) = self.frame else { return Ok(()) };
        self.frame = None;
        let payload = std::mem::take(&mut self.control);
        match kind {
            Kind::Data | Kind::Pong => {}
            Kind::Ping => self.asked.pong = Some(payload),
            Kind::Close => self.asked.close = Some(close_code(&payload)?),
        }
        Ok(())
    }
}

/// The length of a head of which two bytes are known.
const fn head_length(head: [u8; HEAD]) -> usize {
    let [_, second, ..] = head;
    match second & 127 {
        126 => 8,
        127 => HEAD,
        _ => 6,
    }
}

/// The code in the payload of a close frame.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Breach> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        [_] => return Err(Breach::CloseCode),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Breach::CloseCode);
    }
    if str::from_utf8(reason).is_err() {
        return Err(Breach::CloseReason);
    }
    Ok(Some(code))
}

/// Appends whole MQTT packets, each in a binary frame of its own. They might
/// share one [MQTT-6.0.0-2], but clients in the field (Paho C 1.3, the web
/// client of HiveMQ) find the second packet of a frame late or never.
pub(super) fn put_packets(out: &mut Vec<u8>, mut packets: &[u8]) {
    while let Ok(Some(packet)) = codec::peek(packets, usize::MAX) {
        let Some((packet, rest)) = packets.split_at_checked(packet.len) else { break };
        put(out, BINARY, packet);
        packets = rest;
    }
    if !packets.is_empty() {
        put(out, BINARY, packets);
    }
}

/// Appends a pong with the payload of a ping.
pub(super) fn put_pong(out: &mut Vec<u8>, payload: &[u8]) {
    put(out, PONG, payload);
}

/// Appends a close frame, with `code` if there is one.
pub(super) fn put_close(out: &mut Vec<u8>, code: Option<u16>) {
    match code {
        Some(code) => put(out, CLOSE, &code.to_be_bytes()),
        None => put(out, CLOSE, &[]),
    }
}

fn put(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.reserve(10 + payload.len());
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as a client sends it.
    fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, first & 15, payload);
        bytes[0] = first;
        bytes[1] |= 0x80;
        let head = bytes.len() - payload.len();
        bytes.splice(head.., mask.into_iter().chain(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b)));
        bytes
    }

    /// What comes out when the bytes arrive in pieces of these lengths.
    fn decoded(bytes: &[u8], pieces: &[usize]) -> (Vec<u8>, Option<Breach>, Asked) {
        let (mut decoder, mut out, mut rest) = (Decoder::default(), Vec::new(), bytes);
        for at in pieces.iter().copied().chain([usize::MAX]) {
            let (piece, behind) = rest.split_at(at.min(rest.len()));
            rest = behind;
            let mut piece = piece.to_vec();
            let (length, breach) = decoder.decode(&mut piece);
            out.extend_from_slice(&piece[..length]);
            if breach.is_some() {
                return (out, breach, decoder.asked);
            }
        }
        (out, None, decoder.asked)
    }

    fn breach(bytes: &[u8]) -> Option<Breach> {
        decoded(bytes, &[]).1
    }

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// RFC 6455 §5.7, as binary.
    #[test]
    fn the_example_of_the_rfc_is_read_and_written() {
        let masked = [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(decoded(&masked, &[]).0, b"Hello");
        let mut out = Vec::new();
        put(&mut out, BINARY, b"Hello");
        assert_eq!(out, b"\x82\x05Hello");
    }

    /// [MQTT-6.0.0-1]. 3.1.1 [MQTT-6.0.0-1].
    #[test]
    fn text_frames_are_refused_and_what_came_before_them_counts() {
        let bytes = [frame(0x82, b"before", MASK), frame(0x81, b"text", MASK)].concat();
        let (out, breach, _) = decoded(&bytes, &[]);
        assert_eq!((out.as_slice(), breach), (&b"before"[..], Some(Breach::Text)));
        assert_eq!(Breach::Text.code(), 1003);
    }

    /// RFC 6455 §5
    #[test]
    fn what_the_rfc_forbids_is_refused() {
        let long = vec![0; 126];
        for (bytes, expected) in [
            (vec![0x82, 0x00], Breach::Unmasked),
            (frame(0xc2, b"", MASK), Breach::Reserved),
            (frame(0x83, b"", MASK), Breach::Opcode(3)),
            (frame(0x8b, b"", MASK), Breach::Opcode(11)),
            (frame(0x80, b"", MASK), Breach::Order),
            ([frame(0x02, b"", MASK), frame(0x82, b"", MASK)].concat(), Breach::Order),
            (frame(0x09, b"", MASK), Breach::Control),
            (frame(0x89, &long, MASK), Breach::Control),
            (vec![0x82, 0xfe, 0, 125, 0, 0, 0, 0], Breach::Length),
            (vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0], Breach::Length),
            (vec![0x82, 0xff, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Breach::Length),
            (vec![0x82, 0xff, 0, 0, 0, 0, 16, 0, 0, 5, 0, 0, 0, 0], Breach::TooLong(LONGEST + 1)),
            (frame(0x88, b"\x03", MASK), Breach::CloseCode),
            (frame(0x88, b"\x03\xed", MASK), Breach::CloseCode),
            (frame(0x88, b"\x03\xe8\xff", MASK), Breach::CloseReason),
        ] {
            assert_eq!(breach(&bytes), Some(expected), "{bytes:?}");
        }
    }

    #[test]
    fn nothing_is_read_behind_a_close_frame_and_its_code_is_kept() {
        let bytes = [frame(0x88, b"\x03\xe9bye", MASK), frame(0x82, b"late", MASK)].concat();
        let (out, breach, asked) = decoded(&bytes, &[]);
        assert_eq!((out.len(), breach, asked.close), (0, None, Some(Some(1001))));
        assert_eq!(decoded(&frame(0x88, b"", MASK), &[]).2.close, Some(None));
    }

    #[test]
    fn the_heads_of_all_lengths_are_those_of_the_rfc() {
        for (length, head) in [
            (125_usize, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 255, 255]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            put(&mut out, BINARY, &vec![7; length]);
            assert_eq!(&out[..head.len()], head);
            assert_eq!(out.len(), head.len() + length);
        }
    }

    #[test]
    fn each_packet_has_a_frame_of_its_own() {
        let long = [b"\x30\xc8\x01".as_slice(), &[7; 200]].concat();
        let mut out = Vec::new();
        put_packets(&mut out, &[b"\x90\x03\0\x01\0".as_slice(), &long, b"\xd0\0"].concat());
        let expected = [b"\x82\x05\x90\x03\0\x01\0".as_slice(), b"\x82\x7e\0\xcb", &long, b"\x82\x02\xd0\0"].concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn what_is_no_packet_is_framed_all_the_same() {
        for bytes in [b"".as_slice(), b"\xd0", b"\0\0\0"] {
            let (mut out, mut expected) = (Vec::new(), Vec::new());
            put_packets(&mut out, bytes);
            if !bytes.is_empty() {
                put(&mut expected, BINARY, bytes);
            }
            assert_eq!(out, expected);
        }
    }

    proptest! {
        /// [MQTT-6.0.0-2]. 3.1.1 [MQTT-6.0.0-2].
        #[test]
        fn payload_comes_through_however_it_is_framed_and_cut(
            parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), any::<[u8; 4]>(), 0..4_u8), 1..8),
            pieces in prop::collection::vec(0..90_usize, 0..20),
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            let mut last_ping = None;
            let mut in_message = false;
            for (payload, mask, choice) in &parts {
                // A control frame may stand between the parts of a message.
                if choice & 2 != 0 {
                    let ping = payload.get(..payload.len().min(125)).unwrap();
                    bytes.extend(frame(0x89, ping, *mask));
                    last_ping = Some(ping.to_vec());
                }
                let is_last = choice & 1 != 0;
                let first = if in_message { CONTINUATION } else { BINARY } | if is_last { 0x80 } else { 0 };
                in_message = !is_last;
                bytes.extend(frame(first, payload, *mask));
                expected.extend_from_slice(payload);
            }
            let (out, breach, asked) = decoded(&bytes, &pieces);
            prop_assert_eq!(out, expected);
            prop_assert_eq!(breach, None);
            prop_assert_eq!(asked.pong, last_ping);
        }

        #[test]
        fn any_bytes_are_read_alike_whole_or_cut(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0x82), Just(0x80), Just(0xfe), Just(0x89)], 0..200),
            pieces in prop::collection::vec(0..20_usize, 0..20),
        ) {
            prop_assert_eq!(decoded(&bytes, &pieces), decoded(&bytes, &[]));
        }
    }
}
