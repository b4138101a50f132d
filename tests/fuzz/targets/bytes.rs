//! Packets out of any bytes, in every version.

use certus::codec::{DecodeError, Packet, peek};
use certus::mqtt::Version;

/// The longest packet that is taken here.
const LONGEST: usize = 4096;

/// The first byte chooses the version, the rest is what came.
pub fn decode(input: &[u8]) {
    let Some((version, mut stream)) = input.split_first() else { return };
    let version = [Version::V3, Version::V4, Version::V5][usize::from(version % 3)];
    while let Some(frame) = whole(stream) {
        let either = Packet::decode(&frame, version);
        match Packet::decode_from_client(&frame, version) {
            Ok(packet) => assert_eq!(either, Ok(packet), "what a client may send anybody may"),
            Err(error) => assert!(error.reason().is_error() && !error.to_string().is_empty()),
        }
        if let Ok(packet) = either {
            comes_back(&packet, version);
        }
        stream = &stream[frame.len..];
    }
}

/// The packet at the head of `stream`, if one is there; however it is cut, the
/// same one.
fn whole(stream: &[u8]) -> Option<certus::codec::Frame<'_>> {
    let last = peek(stream, LONGEST);
    for cut in 0..stream.len().min(64) {
        match peek(&stream[..cut], LONGEST) {
            Ok(None) => {}
            Ok(Some(frame)) => {
                assert_eq!(frame.len, cut, "found as soon as it is there");
                assert_eq!(last, Ok(Some(frame)));
                break;
            }
            Err(error) => {
                assert_eq!(last, Err(error), "more bytes mend nothing");
                break;
            }
        }
    }
    match last {
        Ok(frame) => frame,
        Err(DecodeError::PacketTooLarge { len, max }) => {
            assert!(len > max);
            None
        }
        Err(_) => None,
    }
}

/// What was read is what is read again once it was written.
fn comes_back(packet: &Packet<'_>, version: Version) {
    let mut written = Vec::new();
    packet.encode(version, &mut written);
    let frame = peek(&written, usize::MAX).expect("a good header").expect("all of it");
    assert_eq!(frame.len, written.len());
    let version = match packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    };
    assert_eq!(Packet::decode(&frame, version).as_ref(), Ok(packet));
    let mut again = Vec::new();
    packet.encode(version, &mut again);
    assert_eq!(again, written);
}
