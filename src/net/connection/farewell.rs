//! The time after the last words, in which a client may read them.
//!
//! A socket that is closed with input that nobody read is reset, and a reset
//! takes along what the client has not read yet: the reason of its end. So our
//! side is ended, the rest is read and thrown away, and then the socket closes.
//! Invariant: the session is given back before; nobody waits but the socket,
//! within a bound of time and of bytes, and never where trust was withdrawn.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::super::control::Command;
use super::Connection;

/// How long a client has.
const TIME: Duration = Duration::from_secs(1);
/// How much is read that nobody wants: more than a socket buffers.
const BYTES: usize = 8 << 20;

/// A socket that is kept until the last words may have been read.
pub(super) struct Farewell {
    end: Pin<Box<Sleep>>,
    left: usize,
    /// Our side has ended.
    shut: bool,
}

impl Farewell {
    pub(super) fn new() -> Self {
        Self { end: Box::pin(tokio::time::sleep(TIME)), left: BYTES, shut: false }
    }
}

impl Connection {
    /// Ready when the socket may be closed.
    pub(super) fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(farewell) = &mut self.farewell else { return Poll::Ready(()) };
        let stopping = self.parts.entered.control.hear() == Some(Command::ShutDown);
        if stopping || farewell.end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let socket = self.parts.transport.socket_mut();
        if !farewell.shut {
            farewell.shut = true;
            let _ = std::pin::pin!(socket.shutdown()).poll(cx);
        }
        discard(socket, &mut farewell.left, cx)
    }
}

/// Reads until the client has ended its side too, or `left` bytes are gone.
fn discard(socket: &mut TcpStream, left: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
    let mut sink = [0; 4096];
    while *left > 0 {
        let mut buffer = ReadBuf::new(&mut sink);
        if ready!(Pin::new(&mut *socket).poll_read(cx, &mut buffer)).is_err() || buffer.filled().is_empty() {
            break;
        }
        *left = left.saturating_sub(buffer.filled().len());
    }
    Poll::Ready(())
}

/// The same for a socket that never became a connection.
pub(in crate::net) async fn linger(mut socket: TcpStream) {
    let _ = socket.shutdown().await;
    let mut left = BYTES;
    let drain = std::future::poll_fn(|cx| discard(&mut socket, &mut left, cx));
    let _ = tokio::time::timeout(TIME, drain).await;
}
