//! rustls as it is driven here, over sockets that are hard to please.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::*;

/// Both ends of a connection whose handshake is over.
fn pair(version: &'static SupportedProtocolVersion) -> (ServerConnection, ClientConnection) {
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
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    server.set_buffer_limit(None);
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        decrypt(&mut server, &bytes, &mut Vec::new()).unwrap();
        let mut bytes = Vec::new();
        write_some(&mut server, &mut bytes).unwrap();
        heard(&mut client, &bytes);
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    (server, client)
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
        server.writer().write_all(&long()).unwrap();
        let mut socket = grudging(1, false);
        write_some(&mut server, &mut socket).unwrap();
        assert!(!server.wants_write());
        assert_eq!(heard(&mut client, &socket.taken), long());
    }
}

#[test]
fn a_socket_that_blocks_between_records_gets_the_rest_when_it_is_ready() {
    for version in [&TLS12, &TLS13] {
        let (mut server, mut client) = pair(version);
        server.writer().write_all(&long()).unwrap();
        let mut socket = grudging(usize::MAX, true);
        let mut plain = Vec::new();
        let mut calls = 0;
        while server.wants_write() {
            write_some(&mut server, &mut socket).unwrap();
            plain.extend(heard(&mut client, &std::mem::take(&mut socket.taken)));
            calls += 1;
            assert!(calls < 100, "no progress");
        }
        // A write takes the first record of those that are offered, the next call blocks.
        assert!(socket.blocked >= 6, "{} times", socket.blocked);
        assert_eq!(plain, long());
    }
}

#[test]
fn a_socket_that_blocks_within_records_gets_them_whole() {
    let (mut server, mut client) = pair(&TLS13);
    server.writer().write_all(&long()).unwrap();
    let mut socket = grudging(1_000, true);
    while server.wants_write() {
        write_some(&mut server, &mut socket).unwrap();
    }
    assert_eq!(heard(&mut client, &socket.taken), long());
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
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut plain = Vec::new();
        let mut ends = Vec::new();
        for piece in bytes.chunks(piece) {
            ends.push(decrypt(&mut server, piece, &mut plain).unwrap());
        }
        assert_eq!(plain, b"onetwothree", "in pieces of {piece}");
        assert_eq!((ends.pop(), ends.contains(&true)), (Some(true), false));
        server.writer().write_all(b"last words").unwrap();
        let mut answer = Vec::new();
        write_some(&mut server, &mut answer).unwrap();
        assert_eq!(heard(&mut client, &answer), b"last words", "under the server's new keys");
    }
}
