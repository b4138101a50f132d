//! rustls as it is driven here, over sockets that are hard to please.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::io::{BufRead, Write};

use super::*;

/// Both ends of a connection before its first byte.
fn strangers(version: &'static SupportedProtocolVersion) -> (Session, ClientConnection) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[version]);
    let server = builder.unwrap().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
    let client = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    (Session::new(Arc::new(server)).unwrap(), ClientConnection::new(Arc::new(client), name).unwrap())
}

/// Both ends of a connection whose handshake is over; what the client said came
/// in pieces of `piece` bytes.
fn pair_in_pieces(version: &'static SupportedProtocolVersion, piece: usize) -> (Session, ClientConnection) {
    let (mut server, mut client) = strangers(version);
    let mut phase = Phase::Shaking;
    while phase == Phase::Shaking {
        let bytes = said(&mut client);
        assert!(!bytes.is_empty(), "both wait for each other");
        for piece in bytes.chunks(piece) {
            phase = hear(&mut server, piece, &mut Vec::new()).unwrap();
        }
        heard(&mut client, &std::mem::take(&mut server.owed));
    }
    assert!(!client.is_handshaking() && !server.common().is_handshaking());
    (server, client)
}

fn pair(version: &'static SupportedProtocolVersion) -> (Session, ClientConnection) {
    pair_in_pieces(version, usize::MAX)
}

/// What the client has to say.
fn said(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// What the server makes of `bytes`, as it is driven by a read.
fn hear(server: &mut Session, bytes: &[u8], into: &mut Vec<u8>) -> Result<Phase, rustls::Error> {
    let mut cipher = Vec::new();
    let kept = server.begin(&mut cipher, bytes.len());
    cipher[kept..].copy_from_slice(bytes);
    server.hear(&mut cipher, into)
}

/// `bytes` as the server encrypts them.
fn encrypted(server: &mut Session, bytes: &[u8]) -> Vec<u8> {
    Out::lend(|out| {
        server.say(bytes, out).unwrap();
        out.filled().to_vec()
    })
}

/// What the client makes of ciphertext.
fn heard(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
        while let Ok(chunk @ [_, ..]) = client.reader().fill_buf().map(<[u8]>::to_vec).as_deref() {
            plain.extend_from_slice(chunk);
            let count = chunk.len();
            client.reader().consume(count);
        }
    }
    plain
}

/// A socket that takes little: at most `most` bytes a call, and nothing at
/// every second call if it `blocks`.
struct Grudging {
    taken: Vec<u8>,
    most: usize,
    blocks: bool,
    full: bool,
    blocked: usize,
}

impl Write for Grudging {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.blocks && std::mem::replace(&mut self.full, true) {
            (self.full, self.blocked) = (false, self.blocked + 1);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(self.most);
        self.taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn grudging(most: usize, blocks: bool) -> Grudging {
    Grudging { taken: Vec::new(), most, blocks, full: false, blocked: 0 }
}

/// More than six full records.
fn long() -> Vec<u8> {
    (0..100_000_u32).map(|number| (number % 251) as u8).collect()
}

#[test]
fn everything_leaves_through_a_socket_that_takes_one_byte_a_write() {
    for version in [&TLS12, &TLS13] {
        let (mut server, mut client) = pair(version);
        let bytes = encrypted(&mut server, &long());
        let mut socket = grudging(1, false);
        assert_eq!(push(&bytes, |rest| socket.write(rest)).unwrap(), bytes.len());
        assert_eq!(heard(&mut client, &socket.taken), long());
    }
}

#[test]
fn a_socket_that_blocks_within_records_gets_them_whole() {
    for version in [&TLS12, &TLS13] {
        let (mut server, mut client) = pair(version);
        let mut left = encrypted(&mut server, &long());
        let mut socket = grudging(1_000, true);
        while !left.is_empty() {
            let taken = push(&left, |rest| socket.write(rest)).unwrap();
            left.drain(..taken);
        }
        assert!(socket.blocked >= 100, "{} times", socket.blocked);
        assert_eq!(heard(&mut client, &socket.taken), long());
    }
}

#[test]
fn a_handshake_may_come_byte_by_byte_and_its_last_words_precede_the_first_answer() {
    for version in [&TLS12, &TLS13] {
        for piece in [1, 7, usize::MAX] {
            let (mut server, mut client) = pair_in_pieces(version, piece);
            client.writer().write_all(b"hello").unwrap();
            let mut plain = Vec::new();
            assert_eq!(hear(&mut server, &said(&mut client), &mut plain).unwrap(), Phase::Open);
            assert_eq!(plain, b"hello");
            let answer = encrypted(&mut server, b"welcome");
            assert!(server.owed.is_empty());
            assert_eq!(heard(&mut client, &answer), b"welcome");
        }
    }
}

/// The alert is there to be sent, and nothing can be said or heard behind it.
#[test]
fn what_is_no_tls_is_answered_by_an_alert_and_ends_the_conversation() {
    let (mut server, mut client) = pair(&TLS13);
    client.writer().write_all(b"hello").unwrap();
    let mut bytes = said(&mut client);
    *bytes.last_mut().unwrap() ^= 1;
    hear(&mut server, &bytes, &mut Vec::new()).unwrap_err();
    let owed = std::mem::take(&mut server.owed);
    client.read_tls(&mut owed.as_slice()).unwrap();
    let told = client.process_new_packets().unwrap_err();
    assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
    let refused = Out::lend(|out| server.say(b"more", out)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
    let (mut server, _) = strangers(&TLS13);
    hear(&mut server, b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n", &mut Vec::new()).unwrap_err();
    assert!(!server.owed.is_empty(), "an alert for who speaks something else");
}

/// A handshake message of 16 MiB is announced: its beginning is not kept for ever.
#[test]
fn a_message_that_never_ends_is_refused_at_a_bound() {
    let (mut server, _) = strangers(&TLS13);
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    let refused = (0..8).find_map(|_| hear(&mut server, &record, &mut Vec::new()).err());
    assert!(refused.is_some(), "more than 64 KiB were kept");
}

/// What a client says between two changes of its keys and before its end
/// counts, however the stream is cut.
#[test]
fn records_key_updates_and_the_end_may_come_in_one_read() {
    for piece in [usize::MAX, 1, 7, 64] {
        let (mut server, mut client) = pair(&TLS13);
        client.writer().write_all(b"one").unwrap();
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(b"two").unwrap();
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(b"three").unwrap();
        client.send_close_notify();
        let bytes = said(&mut client);
        let mut plain = Vec::new();
        let mut ends = Vec::new();
        for piece in bytes.chunks(piece) {
            ends.push(hear(&mut server, piece, &mut plain).unwrap());
        }
        assert_eq!(plain, b"onetwothree", "in pieces of {piece}");
        assert_eq!((ends.pop(), ends.contains(&Phase::Closed)), (Some(Phase::Closed), false));
        let answer = encrypted(&mut server, b"last words");
        assert_eq!(heard(&mut client, &answer), b"last words", "under the server's new keys");
    }
}
