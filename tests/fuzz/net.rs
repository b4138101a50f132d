//! What stands around MQTT on a stream: WebSocket frames, the request that
//! asks for them, PROXY headers.
//!
//! What lives here: their targets. What does not: the code itself, which the
//! product closes to all but its neighbours and which is taken in by its path;
//! so this module has the name of theirs. Invariant: how a stream is cut
//! changes nothing.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

#[allow(dead_code)]
#[path = "../../src/net/websocket/frame.rs"]
mod frame;
#[allow(dead_code)]
#[path = "../../src/net/proxy_protocol.rs"]
mod proxy_protocol;
#[allow(dead_code)]
#[path = "../../src/net/websocket/upgrade.rs"]
mod request;

/// What a client's frames came to.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    payload: Vec<u8>,
    breach: Option<frame::Breach>,
    asked: frame::Asked,
}

fn unframed(stream: &[u8], piece: usize) -> Outcome {
    let (mut decoder, mut outcome) = (frame::Decoder::default(), Outcome::default());
    for piece in stream.chunks(piece) {
        let mut piece = piece.to_vec();
        let (length, breach) = decoder.decode(&mut piece);
        outcome.payload.extend_from_slice(&piece[..length]);
        outcome.breach = breach;
        if breach.is_some() || decoder.asked.close.is_some() {
            break;
        }
    }
    outcome.asked = std::mem::take(&mut decoder.asked);
    assert!(outcome.asked.pong.as_ref().is_none_or(|pong| pong.len() <= 125));
    outcome
}

/// What the frames of a server carry, one behind the other.
fn payloads(mut frames: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [0x82, short, rest @ ..] = frames {
        let (head, length) = match short {
            126 => (2, usize::from(u16::from_be_bytes([rest[0], rest[1]]))),
            127 => panic!("so much was not given"),
            short => (0, usize::from(*short)),
        };
        let (payload, behind) = rest[head..].split_at(length);
        out.extend_from_slice(payload);
        frames = behind;
    }
    assert!(frames.is_empty(), "binary frames without a mask, and nothing else");
    out
}

/// The first byte says how the stream is cut.
pub fn websocket(input: &[u8]) {
    let Some((piece, stream)) = input.split_first() else { return };
    let whole = unframed(stream, usize::MAX);
    assert!(whole.payload.len() <= stream.len());
    assert_eq!(unframed(stream, 1 + usize::from(*piece % 32)), whole);
    let mut answer = Vec::new();
    frame::put_packets(&mut answer, stream);
    assert_eq!(payloads(&answer), stream);
}

pub fn upgrade(input: &[u8]) {
    let origins = ["https://app.example".to_owned()];
    match request::read(input, &origins) {
        Ok(None) => {}
        Ok(Some(upgrade)) => {
            let head = &input[..upgrade.length];
            assert_eq!(request::read(head, &origins), Ok(Some(upgrade)), "what follows are frames");
            assert_eq!(request::read(&head[..head.len() - 1], &origins), Ok(None));
        }
        Err(rejection) => {
            let answer = rejection.answer();
            let (head, text) = answer.split_once("\r\n\r\n").expect("a head and a text");
            assert!(head.is_ascii() && head.contains(&format!("Content-Length: {}\r\n", text.len())), "{answer:?}");
        }
    }
}

/// What is there already is never waited for.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("more bytes than there are"),
    }
}

pub fn proxy(input: &[u8]) {
    let mut rest = input;
    match at_once(proxy_protocol::receive(&mut rest)) {
        Ok(_) => assert_eq!(input.len() - rest.len(), 16 + usize::from(u16::from_be_bytes([input[14], input[15]]))),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(Ok(network)) = str::from_utf8(input).map(str::parse::<proxy_protocol::Network>) {
        let address = str::from_utf8(input).unwrap_or_default().split('/').next().map(str::parse::<std::net::IpAddr>);
        let Some(Ok(address)) = address else { panic!("{network:?}") };
        assert!(network.contains(address), "a network holds its own address");
    }
}
