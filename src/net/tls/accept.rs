//! The server's side of a handshake, on a socket.
//!
//! What lives here: the course from the first byte to the first plaintext. What
//! does not: what rustls makes of the bytes (`session`), what is learnt of the
//! peer (`handshake`). Invariant: a client that is refused reads why, in one
//! attempt that nobody waits for longer than the handshake may take.

use std::io;
use std::sync::Arc;

use rustls::server::{Acceptor, ClientHello};
use rustls::{Error, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::older;
use super::session::{Phase, Session};
use super::turns::Turns;
use crate::telemetry::metrics::Counter;

/// Room for what one read brings.
const READ: usize = 4 * 1024;

/// Shakes hands by the configuration that `choose` finds for the client, a step
/// at each of its `turns`.
///
/// # Errors
/// The client is refused, speaks no TLS, or went away.
pub(super) async fn accept(
    socket: &mut TcpStream,
    turns: &Turns,
    choose: impl FnOnce(&ClientHello<'_>) -> Arc<ServerConfig>,
) -> io::Result<Box<Session>> {
    let mut bytes = Vec::with_capacity(READ);
    let config = config(socket, &mut bytes, choose).await?;
    let mut session = Box::new(Session::new(config).map_err(invalid)?);
    let mut early = Vec::new();
    loop {
        let turn = turns.take().await;
        let heard = session.hear(&mut bytes, &mut early);
        drop(turn);
        match heard {
            Ok(Phase::Open) => {
                // In TLS 1.3 what is said last are tickets: they leave with the first answer.
                if session.common().protocol_version() != Some(ProtocolVersion::TLSv1_3) {
                    say(socket, &mut session).await?;
                }
                session.early = early;
                return Ok(session);
            }
            Ok(Phase::Shaking) => say(socket, &mut session).await?,
            Ok(Phase::Closed) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) => {
                let _ = say(socket, &mut session).await;
                return Err(invalid(error));
            }
        }
        let kept = session.begin(&mut bytes, 0);
        bytes.truncate(kept);
        read(socket, &mut bytes).await?;
    }
}

/// Reads the ClientHello into `bytes`.
async fn config(
    socket: &mut TcpStream,
    bytes: &mut Vec<u8>,
    choose: impl FnOnce(&ClientHello<'_>) -> Arc<ServerConfig>,
) -> io::Result<Arc<ServerConfig>> {
    let mut acceptor = Acceptor::default();
    let mut fed = 0;
    loop {
        read(socket, bytes).await?;
        older::refuse(socket, bytes).await?;
        while let Some(mut fresh) = bytes.get(fed..).filter(|fresh| !fresh.is_empty()) {
            fed += acceptor.read_tls(&mut fresh)?;
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => return Ok(choose(&accepted.client_hello())),
                Err((error, mut alert)) => {
                    let mut said = Vec::new();
                    alert.write_all(&mut said)?;
                    let _ = socket.write_all(&said).await;
                    return Err(invalid(error));
                }
            }
        }
    }
}

async fn read(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.reserve(READ);
    let count = socket.read_buf(bytes).await?;
    Counter::SocketReads.one();
    if count == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

async fn say(socket: &mut TcpStream, session: &mut Session) -> io::Result<()> {
    let said = std::mem::take(&mut session.owed);
    if said.is_empty() {
        return Ok(());
    }
    Counter::SocketWrites.one();
    socket.write_all(&said).await
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
