//! Bytes as people write them, for the tests of the codec.

use certus::codec::{DecodeError, Packet, peek};
use certus::mqtt::Version;

/// Turns `"c0 00"` into bytes; `'text'` stands for itself, behind its length.
pub fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            out.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
            out.extend(part.as_bytes());
        } else {
            out.extend(part.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")));
        }
    }
    out
}

/// A packet from its first byte and its body, with the right length.
pub fn packet(first: u8, body: &str) -> Vec<u8> {
    let body = bytes(body);
    let mut out = vec![first];
    let mut len = body.len();
    while len >= 0x80 {
        out.push((len & 0x7F) as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend(body);
    out
}

/// What a server makes of bytes that a client sent; the bytes are one packet.
pub fn from_client(version: Version, input: Vec<u8>) -> Result<Packet<'static>, DecodeError> {
    let input: &'static [u8] = input.leak();
    let frame = peek(input, usize::MAX)?.expect("a whole packet");
    assert_eq!(frame.len, input.len(), "one packet and no more");
    Packet::decode_from_client(&frame, version)
}

/// As [`from_client`], for bytes of either side.
pub fn from_either(version: Version, input: Vec<u8>) -> Result<Packet<'static>, DecodeError> {
    let input: &'static [u8] = input.leak();
    Packet::decode(&peek(input, usize::MAX)?.expect("a whole packet"), version)
}

/// Rows of (first byte, body, the error that it must give).
pub fn refused(version: Version, rows: &[(u8, &str, DecodeError)]) {
    for (first, body, error) in rows {
        let got = from_client(version, packet(*first, body));
        assert_eq!(got, Err(*error), "{version} {first:#04x} {body}");
        assert!(error.reason().is_error());
    }
}

/// As [`refused`], for packets of a server.
pub fn refused_from_server(version: Version, rows: &[(u8, &str, DecodeError)]) {
    for (first, body, error) in rows {
        let got = from_either(version, packet(*first, body));
        assert_eq!(got, Err(*error), "{version} {first:#04x} {body}");
    }
}
