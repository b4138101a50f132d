//! Clients that know no TLS 1.2.
//!
//! What lives here: the look at a ClientHello before rustls sees it, and the
//! alert for one that is too old. What does not: any other reason to refuse a
//! handshake. Invariant: bytes are only looked at.
//!
//! rustls meets the missing signature algorithms of such a hello before it looks
//! at the version, and says `handshake_failure`. TLS-01 wants
//! `protocol_version`, which tells the person at the device what to change.

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A fatal alert `protocol_version` (70), in a record of TLS 1.0.
const ALERT: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];
/// Record header, handshake header, client version.
const HEAD: usize = 5 + 4 + 2;

/// Refuses a client whose newest version is older than TLS 1.2; `hello` is what
/// it has sent.
///
/// # Errors
/// The client was refused, or the stream failed.
pub(super) async fn refuse(socket: &mut TcpStream, hello: &[u8]) -> io::Result<()> {
    let Some(version) = hello.get(..HEAD).and_then(older_than_1_2) else { return Ok(()) };
    socket.write_all(&ALERT).await?;
    socket.shutdown().await?;
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("the client speaks nothing newer than {version}")))
}

/// The version of a ClientHello, if it is one and older than TLS 1.2.
fn older_than_1_2(head: &[u8]) -> Option<&'static str> {
    match *head {
        [22, 3, _, _, _, 1, _, _, _, 3, 0] => Some("SSL 3.0"),
        [22, 3, _, _, _, 1, _, _, _, 3, 1] => Some("TLS 1.0"),
        [22, 3, _, _, _, 1, _, _, _, 3, 2] => Some("TLS 1.1"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_hello_older_than_1_2_is_too_old() {
        let hello = |minor| [22, 3, 1, 0, 117, 1, 0, 0, 113, 3, minor];
        assert_eq!(older_than_1_2(&hello(2)), Some("TLS 1.1"));
        // TLS 1.3 says 3.3 here as well, and names itself in an extension.
        assert_eq!(older_than_1_2(&hello(3)), None);
        assert_eq!(older_than_1_2(&hello(2)[..10]), None, "half a head is left to rustls");
        assert_eq!(older_than_1_2(b"\x10\x10\x00\x04MQTT\x04\x02\x00"), None);
    }
}
