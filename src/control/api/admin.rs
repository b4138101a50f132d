//! The admin listener: health and metrics without TLS, for this machine.
//!
//! What lives here: its socket and its bounds. What does not: its routes
//! (`health`). Invariant: it never does anything for a client but answer, and
//! it is the last to stop, so that a stop can be watched.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::broker::Handle;
use crate::shutdown::Tasks;

use super::health;

/// Connections at once; more wait in the kernel's queue.
const MOST: usize = 64;
/// A request's head must be whole within this time.
const HEAD: Duration = Duration::from_secs(5);
/// The longest life of a connection, idle or not.
const LIFE: Duration = Duration::from_secs(300);
/// The longest head of a request.
const HEAD_BYTES: usize = 16 * 1024;

/// A bound admin listener that does not answer yet.
#[derive(Debug)]
pub struct Admin {
    socket: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// Those of the system, such as an address in use.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// The address that is listened on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for `broker` until `tasks` is told to stop.
    pub fn serve(self, broker: Handle, tasks: &Tasks) {
        let routes = health::routes(broker);
        tasks.spawn("admin listener", accept(self.socket, routes, tasks.clone()));
    }
}

async fn accept(socket: TcpListener, routes: Router, tasks: Tasks) {
    let seats = Arc::new(Semaphore::new(MOST));
    let mut stop = tasks.stop_signal();
    loop {
        let accepted = async {
            let seat = Arc::clone(&seats).acquire_owned().await;
            (seat, socket.accept().await)
        };
        let (seat, accepted) = tokio::select! {
            () = stop.stopped() => return,
            accepted = accepted => accepted,
        };
        match (seat, accepted) {
            (Ok(seat), Ok((stream, _))) => {
                let answering = answer(stream, routes.clone(), tasks.clone());
                tasks.spawn("admin connection", async move {
                    answering.await;
                    drop(seat);
                });
            }
            (_, Err(error)) => {
                // Out of descriptors, mostly: give the closing of others time.
                tracing::warn!(%error, "an admin connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (Err(_), Ok(_)) => return,
        }
    }
}

async fn answer(stream: TcpStream, routes: Router, tasks: Tasks) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = std::pin::pin!(connection);
    let mut stop = tasks.stop_signal();
    // What a client of this listener does wrong is its own business: errors of
    // the stream end the stream.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.stopped() => {}
        () = tokio::time::sleep(LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(Duration::from_millis(500), connection).await;
}
