//! The null broker: as little as a broker can do, to find the ceiling of the generator.
//!
//! What lives here: frames forwarded as they came, memos of who wants a topic. What does not: a
//! broker; it checks nothing and keeps nothing. Invariant: it runs in a process of its own, so
//! that the CPU time of the two can be told apart.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;

use super::args::Args;
use super::dial::peeked;
use super::error::Error;
use super::process::Process;
use super::wire::Wire;
use crate::codec::{Connect, Subscribe};
use crate::mqtt::{ReasonCode, Version};
use crate::shutdown::Tasks;

/// Parcels that a subscriber may leave unread; more are dropped.
const UNREAD: usize = 100_000;

/// A null broker in a child process; it ends with this value.
pub struct Child {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    child: std::process::Child,
}

impl Child {
    /// Starts this program again as a null broker.
    ///
    /// # Errors
    /// It cannot be started, or does not say where it listens.
    pub fn start(args: &Args) -> Result<Self, Error> {
        let program = std::env::current_exe().map_err(Error::Io)?;
        let mut command = std::process::Command::new(program);
        command.args(["bench", "null", "--ca-cert"]).arg(&args.reach.ca_cert).arg("--ca-key").arg(&args.reach.ca_key);
        if args.plain {
            command.arg("--plain");
        }
        if args.reach.no_client_cert {
            command.arg("--no-client-cert");
        }
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(Error::Io)?;
        let output = child.stdout.take().ok_or_else(|| Error::Usage("the null broker has no output".into()))?;
        let mut this = Self { port: 0, child };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(Error::Io)?;
        let missing = |_| Error::Usage("the null broker did not start; its reason stands above".into());
        this.port = line.trim().parse().map_err(missing)?;
        Ok(this)
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints its port and serves until the process is killed.
///
/// # Errors
/// No certificate can be made, or no port is free.
pub async fn run(args: &Args, tasks: &Tasks) -> Result<(), Error> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Error::Io)?;
    let tls = if args.plain { None } else { Some(server(args)?) };
    println!("{}", listener.local_addr().map_err(Error::Io)?.port());
    serve(&listener, tls, tasks).await
}

/// Serves all who come.
///
/// # Errors
/// The TLS configuration is of no use.
pub async fn serve(listener: &TcpListener, tls: Option<Arc<ServerConfig>>, tasks: &Tasks) -> Result<(), Error> {
    let table = Arc::new(Mutex::new(Vec::new()));
    loop {
        let Ok((tcp, _)) = listener.accept().await else { continue };
        let tls = match &tls {
            Some(config) => Some(rustls::ServerConnection::new(Arc::clone(config))?.into()),
            None => None,
        };
        let Ok(wire) = Wire::new(tcp, tls) else { continue };
        let connection = Connection {
            wire,
            table: Arc::clone(&table),
            version: Version::V4,
            mailbox: Arc::default(),
            route: Vec::new(),
            members: Vec::new(),
            turn: 0,
            drained: VecDeque::new(),
        };
        tasks.spawn("null connection", async move { drop(connection.await) });
    }
}

fn server(args: &Args) -> Result<Arc<ServerConfig>, Error> {
    let text = |file: &std::path::Path| std::fs::read_to_string(file).map_err(|error| Error::file(file, error));
    let broken = |error: rcgen::Error| Error::content(&args.reach.ca_key, error.to_string());
    let ca = text(&args.reach.ca_cert)?;
    let signer = rcgen::KeyPair::from_pem(&text(&args.reach.ca_key)?).map_err(broken)?;
    let issuer = rcgen::Issuer::from_ca_cert_pem(&ca, signer).map_err(broken)?;
    let key = rcgen::KeyPair::generate().map_err(broken)?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf =
        rcgen::CertificateParams::new(names).and_then(|params| params.signed_by(&key, &issuer)).map_err(broken)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(rustls::DEFAULT_VERSIONS)?;
    let builder = if args.reach.no_client_cert {
        builder.with_no_client_auth()
    } else {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(ca.as_bytes()).filter_map(Result::ok));
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(
            verifier.map_err(|error| Error::content(&args.reach.ca_cert, error.to_string()))?,
        )
    };
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = builder.with_single_cert(vec![leaf.der().clone()], key.into())?;
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

#[derive(Default)]
struct Mailbox(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    queue: VecDeque<Arc<Vec<u8>>>,
    waker: Option<Waker>,
}

/// Who subscribed to what.
type Table = Arc<Mutex<Vec<(String, Arc<Mailbox>)>>>;

struct Connection {
    wire: Wire,
    table: Table,
    version: Version,
    mailbox: Arc<Mailbox>,
    /// The recipients of this connection's topic: a publisher has one.
    route: Vec<Arc<Mailbox>>,
    /// Those that share it, in rotation.
    members: Vec<Arc<Mailbox>>,
    turn: usize,
    drained: VecDeque<Arc<Vec<u8>>>,
}

impl Connection {
    fn take_mail(&mut self, waker: &Waker) {
        {
            let mut inside = lock(&self.mailbox.0);
            std::mem::swap(&mut inside.queue, &mut self.drained);
            inside.waker = Some(waker.clone());
        }
        for parcel in self.drained.drain(..) {
            self.wire.out.extend_from_slice(&parcel);
        }
    }

    fn take_packets(&mut self) -> Result<bool, Error> {
        let inbox = std::mem::take(&mut self.wire.inbox);
        let (mut used, mut parcel, mut open) = (0, Vec::new(), true);
        while let Some(frame) = peeked(inbox.get(used..).unwrap_or_default())? {
            let bytes = inbox.get(used..used + frame.len).unwrap_or_default();
            used += frame.len;
            match frame.first >> 4 {
                1 => {
                    let connect = Connect::decode(&frame).map_err(|error| Error::Protocol(error.to_string()))?;
                    self.version = connect.version;
                    self.wire.out.extend_from_slice(if self.version.is_v5() {
                        &[0x20, 3, 0, 0, 0]
                    } else {
                        &[0x20, 2, 0, 0]
                    });
                }
                3 => self.publish(frame.first, frame.body, bytes, &mut parcel),
                5 => self.answer(0x62, frame.body),
                6 => self.answer(0x70, frame.body),
                8 => {
                    let packet =
                        Subscribe::decode(&frame, self.version).map_err(|error| Error::Protocol(error.to_string()))?;
                    self.subscribe(&packet);
                }
                12 => self.wire.out.extend_from_slice(&[0xD0, 0]),
                14 => open = false,
                _ => {}
            }
        }
        self.wire.inbox = inbox;
        self.wire.consume(used);
        self.hand_over(parcel);
        Ok(open)
    }

    fn answer(&mut self, first: u8, body: &[u8]) {
        if let Some(id) = body.first_chunk::<2>() {
            self.wire.out.extend_from_slice(&[first, 2]);
            self.wire.out.extend_from_slice(id);
        }
    }

    fn publish(&mut self, first: u8, body: &[u8], frame: &[u8], parcel: &mut Vec<u8>) {
        let Some((length, rest)) = body.split_first_chunk::<2>() else { return };
        let Some((topic, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { return };
        if self.route.is_empty() && self.members.is_empty() {
            let topic = String::from_utf8_lossy(topic);
            for (filter, mailbox) in lock(&self.table).iter() {
                // There is one group.
                let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
                if crate::mqtt::matches(shared.map_or(filter, |(_, filter)| filter), &topic) {
                    let list = if shared.is_some() { &mut self.members } else { &mut self.route };
                    list.push(Arc::clone(mailbox));
                }
            }
        }
        parcel.extend_from_slice(frame);
        match first & 0x06 {
            2 => self.answer(0x40, rest),
            4 => self.answer(0x50, rest),
            _ => {}
        }
    }

    fn subscribe(&mut self, packet: &Subscribe<'_>) {
        let mut table = lock(&self.table);
        // Subscriptions of connections that are gone: only the table holds their mailbox.
        table.retain(|(_, mailbox)| Arc::strong_count(mailbox) > 1);
        table.extend(packet.filters.iter().map(|entry| (entry.filter.to_owned(), Arc::clone(&self.mailbox))));
        drop(table);
        let codes: Vec<ReasonCode> =
            packet.filters.iter().map(|entry| ReasonCode::granted(entry.options.qos)).collect();
        let properties = crate::codec::Properties::EMPTY;
        let answer = crate::codec::SubAck { packet_id: packet.packet_id, properties, codes: codes.as_slice().into() };
        answer.encode(self.version, &mut self.wire.out);
    }

    fn hand_over(&mut self, parcel: Vec<u8>) {
        if parcel.is_empty() {
            return;
        }
        let parcel = Arc::new(parcel);
        self.turn += 1;
        let member = self.turn.checked_rem(self.members.len()).and_then(|turn| self.members.get(turn));
        for mailbox in self.route.iter().chain(member) {
            let waker = {
                let mut inside = lock(&mailbox.0);
                if inside.queue.len() < UNREAD {
                    inside.queue.push_back(Arc::clone(&parcel));
                }
                if inside.queue.len() > 1 { None } else { inside.waker.take() }
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    fn pass(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.take_mail(cx.waker());
        loop {
            let _ = self.wire.poll_flush(cx)?;
            if self.wire.poll_read(cx)?.is_pending() {
                let _ = self.wire.poll_flush(cx)?;
                return Poll::Pending;
            }
            if !self.take_packets()? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Future for Connection {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.pass(cx)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
