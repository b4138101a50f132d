//! The clients, in a process of their own with one thread, so that the broker's CPU time stands alone.
//! Publishers keep a window full: as many frames as acknowledgements were read, in one write.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::wire::{ReadCall, Wire, frames};

/// How clients write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writes {
    /// All that is due leaves in one write.
    Whole,
    /// The same, but the first window leaves one frame at a time: do broken batches heal?
    BrokenStart,
    /// One write a frame, always, as simple client libraries do.
    Single,
}

/// What the child is asked for, in the order of its arguments.
#[derive(Clone, Debug)]
pub struct Plan {
    pub port: u16,
    pub publishers: usize,
    pub subscribers: usize,
    pub window: usize,
    pub writes: Writes,
    /// The server's certificate in hex, or `-` for plain.
    pub trust: String,
}

impl Plan {
    pub fn to_args(&self) -> Vec<String> {
        let numbers = [usize::from(self.port), self.publishers, self.subscribers, self.window, self.writes as usize];
        numbers.iter().map(ToString::to_string).chain([self.trust.clone()]).collect()
    }

    pub fn from_args(args: &[String]) -> Self {
        let number = |at: usize| args[at].parse::<usize>().unwrap();
        Self {
            port: u16::try_from(number(0)).unwrap(),
            publishers: number(1),
            subscribers: number(2),
            window: number(3),
            writes: [Writes::Whole, Writes::BrokenStart, Writes::Single][number(4)],
            trust: args[5].clone(),
        }
    }
}

fn client(trust: &str) -> Option<Arc<rustls::ClientConfig>> {
    if trust == "-" {
        return None;
    }
    let bytes: Vec<u8> =
        (0..trust.len()).step_by(2).map(|at| u8::from_str_radix(&trust[at..at + 2], 16).unwrap()).collect();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(bytes.into()).unwrap();
    Some(Arc::new(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// PUBLISH QoS 1, topic `b/xx`, 16 bytes of payload: 26 bytes.
fn publish(index: usize) -> Vec<u8> {
    let mut frame = vec![0x32, 24, 0, 4];
    frame.extend_from_slice(format!("b/{:02}", index % 100).as_bytes());
    frame.extend_from_slice(&[0, 1]);
    frame.extend_from_slice(&[b'x'; 16]);
    frame
}

async fn connect(plan: &Plan, tls: Option<Arc<rustls::ClientConfig>>, kind: u8, index: usize) -> io::Result<Wire> {
    let tcp = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], plan.port))).await?;
    let tls = tls.map(|config| rustls::ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap().into());
    let mut wire = Wire::new(tcp, tls)?;
    wire.out.extend_from_slice(&[0x10, 2, kind, u8::try_from(index).unwrap_or(0)]);
    read(&mut wire, &mut Vec::new()).await?;
    Ok(wire)
}

/// Writes what stands in `out`, then waits for at least one whole frame; answers how many came.
async fn read(wire: &mut Wire, partial: &mut Vec<u8>) -> io::Result<usize> {
    let mut lent = vec![0; 64 * 1024];
    loop {
        poll_fn(|cx| {
            let _ = wire.poll_flush(cx)?;
            let answer = wire.poll_read(cx, ReadCall::Poll, &mut lent, partial);
            // A handshake step may have left something to say, also when nothing more was read.
            let _ = wire.poll_flush(cx)?;
            answer
        })
        .await?;
        let (count, used) = frames(partial).fold((0, 0), |(count, used), (_, frame)| (count + 1, used + frame.len()));
        partial.drain(..used);
        if count > 0 {
            return Ok(count);
        }
    }
}

/// The frame so many times, in one write or in as many; `read` writes what a full socket left.
async fn send(wire: &mut Wire, frame: &[u8], due: usize, writes: Writes) -> io::Result<()> {
    for _ in 0..due {
        wire.out.extend_from_slice(frame);
        if writes == Writes::Single {
            poll_fn(|cx| wire.poll_flush(cx)).await?;
        }
    }
    Ok(())
}

async fn publisher(mut wire: Wire, index: usize, plan: Plan) -> io::Result<()> {
    let (frame, mut partial) = (publish(index), Vec::new());
    let mut due = plan.window;
    if plan.writes == Writes::BrokenStart {
        for _ in 0..plan.window {
            wire.out.extend_from_slice(&frame);
            poll_fn(|cx| wire.poll_flush(cx)).await?;
            tokio::task::yield_now().await;
        }
        due = 0;
    }
    loop {
        send(&mut wire, &frame, due, plan.writes).await?;
        due = read(&mut wire, &mut partial).await?;
    }
}

async fn subscriber(mut wire: Wire, writes: Writes) -> io::Result<()> {
    let mut partial = Vec::new();
    loop {
        let due = read(&mut wire, &mut partial).await?;
        send(&mut wire, &[0x40, 2, 0, 1], due, writes).await?;
    }
}

/// Runs until it is killed.
pub fn run(plan: &Plan) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let tls = client(&plan.trust);
    local.block_on(&runtime, async {
        for index in 0..plan.subscribers {
            let wire = connect(plan, tls.clone(), b'S', index).await.unwrap();
            tokio::task::spawn_local(subscriber(wire, plan.writes));
        }
        let mut publishers = Vec::new();
        for index in 0..plan.publishers {
            publishers.push(connect(plan, tls.clone(), b'P', index).await.unwrap());
        }
        println!("ready");
        for (index, wire) in publishers.into_iter().enumerate() {
            tokio::task::spawn_local(publisher(wire, index, plan.clone()));
        }
        std::future::pending::<()>().await;
    });
}
