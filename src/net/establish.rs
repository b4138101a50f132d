//! From an accepted socket to a driver: handshake, CONNECT, session.
//!
//! What lives here: the phase that may await, in a future of its own that is
//! released before the driver's task begins. What does not: who may come in
//! (`identity`). Invariant: the connection stands in the live index before the
//! snapshot is loaded that admits it, and whoever holds a session gives it back,
//! however this phase ends.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Poll;
use std::time::Duration;

use crate::codec::{self, ConnAck, Connect, DecodeError, PacketType, PropertiesBuf};
use crate::delivery::{Kind, Mailbox, Outcome, Overflow, Parked, Unclaimed, Yield};
use crate::identity::admission::{Admission, Answer, ConnectRequest, Peer, admit};
use crate::identity::credentials::Unproved;
use crate::identity::reason::Reason;
use crate::identity::refusal::{Refusal, Stage};
use crate::identity::switch::{CleanSessionPolicy, Profile, QueueOverflow};
use crate::mqtt::{ClientId, ReasonCode, Version};
use crate::session::{KeepAlive, Session, Terms, Will};
use crate::store::{Batch, StoreError};
use crate::telemetry::metrics::Counter;
use arc_swap::ArcSwap;
use tokio::net::TcpStream;

use super::Settings;
use super::arrival::{self, Accepted};
use super::clients::Client;
use super::connection::{self, Connection, Parts};
use super::control::{Control, Entered};
use super::limits::Admitted;
use super::listener::Listener;
use super::outgoing::Outgoing;
use super::passwords::Checked;
use super::shared::{Node, Resting};
use super::stream::Stream;
use super::terms::{connack, keep_alive, terms, will};
use super::tls::{Read, shake};
use super::wake;
use super::websocket::{self, Breach, POLICY, PROTOCOL_ERROR};
use super::{registration, remember};

/// How a connection did not come about.
pub(super) enum Failed {
    /// There is nobody to tell.
    Quietly,
    /// The last words are on their way.
    Saying(TcpStream),
}

/// Makes the driver of a socket that was accepted.
pub(super) async fn begin(
    node: Arc<Node>,
    listener: Arc<Listener>,
    accepted: Accepted,
    entered: Entered,
) -> Result<Box<Connection>, Failed> {
    let settings = node.settings.load_full();
    let Accepted { socket, address, admitted, shaking, since } = accepted;
    let left = |limit: Duration, since| limit.saturating_sub(node.clock.now() - since);
    let shaken = shake(&node, &listener, socket, address, left(settings.handshake_timeout, since)).await;
    let (transport, peer) = shaken.ok_or(Failed::Quietly)?;
    drop(shaking);
    let since = node.clock.now();
    let opened = arrival::open(&node, &listener, transport, &peer, settings.connect_timeout).await;
    let transport = opened.map_err(|socket| socket.map_or(Failed::Quietly, Failed::Saying))?;
    let left = left(settings.connect_timeout, since);
    converse(node, (transport, peer), left, Seats { entered, admitted }).await
}

/// What a connection holds of the bounds and of the live index.
pub(super) struct Seats {
    pub(super) entered: Entered,
    pub(super) admitted: Admitted,
}

/// Reads CONNECT, within `limit`, and makes the driver.
pub(super) async fn converse(
    node: Arc<Node>,
    (transport, peer): (Stream, Peer),
    limit: Duration,
    Seats { entered, admitted }: Seats,
) -> Result<Box<Connection>, Failed> {
    let settings = node.settings.load_full();
    let connecting = Connecting { node, transport, peer: Arc::new(peer), input: Vec::new() };
    let (mut connecting, length) = connecting.await_connect(limit, settings.max_connect_bytes).await?;
    Counter::PacketsReceived.one();
    let packet: Vec<u8> = connecting.input.drain(..length).collect();
    connecting.connect(&packet, &settings, entered, admitted).await
}

/// Why there is no CONNECT to judge.
#[derive(Debug, thiserror::Error)]
enum Unread {
    /// The client went away.
    #[error("the client closed the stream")]
    Closed,
    /// It is not well formed.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    /// It is not framed well.
    #[error("{0}")]
    Misframed(#[from] Breach),
    /// [MQTT-3.1.0-1]
    #[error("the first packet is {0}, not CONNECT")]
    NotConnect(&'static str),
}

/// A connection whose CONNECT is awaited or judged.
struct Connecting {
    node: Arc<Node>,
    transport: Stream,
    peer: Arc<Peer>,
    input: Vec<u8>,
}

impl Connecting {
    /// Reads until CONNECT is whole and gives its length.
    async fn await_connect(mut self, limit: Duration, most: usize) -> Result<(Self, usize), Failed> {
        match tokio::time::timeout(limit, self.read_connect(most)).await {
            Ok(Ok(length)) => Ok((self, length)),
            Ok(Err(Unread::Closed)) => Err(Failed::Quietly),
            Ok(Err(error)) => Err(self.refuse_bytes(&error)),
            Err(_) => {
                self.record(Reason::Timeout, "no CONNECT came in time".to_owned());
                Err(Failed::Quietly)
            }
        }
    }

    async fn read_connect(&mut self, most: usize) -> Result<usize, Unread> {
        let mut cipher = Vec::new();
        loop {
            // What is no CONNECT is refused by its first byte, however long it is.
            if let Some(&first) = self.input.first()
                && first >> 4 != 1
            {
                let packet = PacketType::from_first(first);
                return Err(Unread::NotConnect(packet.map_or("a packet of no known type", PacketType::name)));
            }
            match codec::peek(&self.input, most) {
                Ok(Some(frame)) => return Ok(frame.len),
                Ok(None) => {}
                Err(error) => return Err(error.into()),
            }
            let read = std::future::poll_fn(|cx| {
                let read = self.transport.poll_read(cx, &mut cipher, &mut self.input);
                // A WebSocket may owe a pong.
                match (&read, self.transport.poll_flush(cx)) {
                    (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(error)),
                    _ => read,
                }
            });
            match read.await {
                Ok(Read::Bytes { .. }) => {}
                Ok(Read::Closed) => return Err(Unread::Closed),
                Err(error) => return Err(websocket::breach(&error).map_or(Unread::Closed, Unread::Misframed)),
            }
        }
    }

    fn scope_profile(&self) -> Option<Profile> {
        let snapshot = self.node.trust.current();
        self.peer.scope(&snapshot).map(|tenant| tenant.profile)
    }

    /// Answers what is no CONNECT: by a CONNACK where a client is known to read
    /// one, else by closing.
    fn refuse_bytes(mut self, error: &Unread) -> Failed {
        let (why, reason) = match error {
            Unread::Misframed(_) => {
                self.record(Reason::ProtocolError, error.to_string());
                self.transport.close(PROTOCOL_ERROR);
                return Failed::Saying(self.transport.into_socket());
            }
            // In the form of 3.1.1, which a client of any age can read.
            Unread::Malformed(DecodeError::UnsupportedLevel(_)) => {
                (Reason::ProtocolLevel, ReasonCode::UnsupportedProtocolVersion)
            }
            _ if self.scope_profile() == Some(Profile::Cumulocity) => {
                (Reason::ProtocolError, ReasonCode::NotAuthorized)
            }
            _ => {
                self.record(Reason::ProtocolError, error.to_string());
                self.transport.close_frames(PROTOCOL_ERROR);
                return Failed::Quietly;
            }
        };
        self.record(why, error.to_string());
        self.say(Version::V4, reason, None, usize::MAX)
    }

    fn record(&self, reason: Reason, detail: String) {
        let refusal = Refusal::new(Stage::Connect, reason, detail, self.node.clock.wall());
        self.node.refusals.record(refusal.at(&self.peer));
    }

    /// Refuses with CONNACK, and keeps the socket until it may have been read.
    /// The text is left out where the client has no room for it
    /// [MQTT-3.2.2-19].
    fn say(mut self, version: Version, reason: ReasonCode, text: Option<&str>, most: usize) -> Failed {
        let mut words = Vec::new();
        let mut properties = PropertiesBuf::new();
        if let Some(text) = text {
            properties.reason_string(text);
        }
        let refusal = ConnAck { properties: properties.as_properties(), ..ConnAck::refusal(reason) };
        refusal.encode(version, &mut words);
        if words.len() > most {
            words.clear();
            ConnAck::refusal(reason).encode(version, &mut words);
        }
        if words.len() > most {
            return Failed::Quietly;
        }
        if self.transport.send(&words).is_err() {
            return Failed::Quietly;
        }
        Counter::AnswersSent.one();
        self.transport.close(POLICY);
        Failed::Saying(self.transport.into_socket())
    }

    fn refuse(self, connect: &Connect<'_>, refusal: Refusal) -> Failed {
        let reason = refusal.reason.connack();
        let properties = &connect.properties;
        let wants_text = connect.version.is_v5() && properties.request_problem_information().unwrap_or(true);
        let text = wants_text.then(|| refusal.reason_string());
        let most = properties.maximum_packet_size().map_or(usize::MAX, |most| most as usize);
        self.node.refusals.record(refusal.at(&self.peer).asking(connect.client_id));
        self.say(connect.version, reason, text.as_deref(), most)
    }

    fn refusal(&self, reason: Reason, detail: impl Into<String>) -> Refusal {
        Refusal::new(Stage::Connect, reason, detail, self.node.clock.wall())
    }

    /// Judges CONNECT, claims the session and makes the driver.
    async fn connect(
        self,
        packet: &[u8],
        settings: &Settings,
        entered: Entered,
        admitted: Admitted,
    ) -> Result<Box<Connection>, Failed> {
        let connect = match codec::peek(packet, packet.len()) {
            Ok(Some(frame)) => Connect::decode(&frame),
            Ok(None) => return Err(Failed::Quietly),
            Err(error) => Err(error),
        };
        let connect = match connect {
            Ok(connect) => connect,
            Err(error) => return Err(self.refuse_bytes(&error.into())),
        };
        let admission = match self.admit(&connect, settings).await {
            Ok(admission) => Arc::new(*admission),
            Err(refusal) => return Err(self.refuse(&connect, *refusal)),
        };
        let terms = terms(&connect, &admission, settings);
        if connack(&connect, true, &terms, &admission, settings).len() > terms.max_packet_out as usize {
            let detail = format!("CONNACK is longer than {} bytes", terms.max_packet_out);
            let refusal = self.refusal(Reason::PacketSize, detail);
            return Err(self.refuse(&connect, refusal));
        }
        if terms.session_expiry > 0
            && let Some(error) = self.writes_nothing()
        {
            let refusal = self.refusal(Reason::Unavailable, error.to_string());
            return Err(self.refuse(&connect, refusal));
        }
        if let Some((reason, detail)) = registration::obstacle(&self.node, &admission, settings.max_devices) {
            let refusal = self.refusal(reason, detail);
            return Err(self.refuse(&connect, refusal));
        }
        let will = will(&connect, &admission);
        let control: Arc<Control> = Arc::clone(&entered.control);
        let claimed = match self.claim(&admission, control).await {
            Ok(claimed) => claimed,
            Err(refusal) => return Err(self.refuse(&connect, *refusal)),
        };
        self.node.refusals.accepted(&self.peer, &admission);
        Ok(self.take_over(&connect, settings, Ready { entered, admitted, admission, terms, will, claimed }))
    }

    /// Why the CONNACK of a session that lasts would wait for ever, or for long.
    /// Where space is short its row is still written: who comes back makes room.
    fn writes_nothing(&self) -> Option<StoreError> {
        let store = &self.node.store;
        if store.is_latched() {
            Some(StoreError::Latched)
        } else {
            store.refuses().filter(|it| *it == StoreError::ReadOnly)
        }
    }

    async fn admit(&self, connect: &Connect<'_>, settings: &Settings) -> Result<Box<Admission>, Box<Refusal>> {
        match self.judge(connect)? {
            Answer::Admitted(admission) => Ok(admission),
            Answer::Unproved(unproved) => self.check_password(*unproved, settings).await,
        }
    }

    async fn check_password(&self, unproved: Unproved, settings: &Settings) -> Result<Box<Admission>, Box<Refusal>> {
        let Unproved { challenge, right, wrong } = unproved;
        let address = self.peer.address.ip();
        let node = &self.node;
        let outcome = node.passwords.check(address, challenge, settings.max_password_checks, &node.clock).await;
        let instead = |reason, detail: &str| {
            let refusal = Refusal { reason, detail: detail.to_owned(), ..*wrong.clone() };
            Err(Box::new(refusal))
        };
        match outcome {
            Checked::Right => right.map(Box::new),
            Checked::Wrong => Err(wrong),
            Checked::LockedOut => instead(Reason::LockedOut, "too many wrong passwords came from this address"),
            Checked::Busy => instead(Reason::Unavailable, "max_password_checks passwords are being checked already"),
        }
    }

    fn judge(&self, connect: &Connect<'_>) -> Result<Answer, Box<Refusal>> {
        let snapshot = self.node.trust.current();
        let request = ConnectRequest {
            version: connect.version,
            bridge: connect.bridge,
            client_id: connect.client_id,
            clean_start: connect.clean_start,
            session_expiry: connect.properties.session_expiry().unwrap_or(0),
            user_name: connect.user_name,
            password: connect.password,
            will_topic: connect.will.as_ref().map(|will| will.topic),
        };
        if connect.properties.authentication_method().is_some() {
            let detail = "enhanced authentication is not served; leave the authentication method out";
            return Err(Box::new(self.refusal(Reason::AuthenticationMethod, detail)));
        }
        admit(&snapshot, &self.peer, &request, self.node.clock.wall())
    }

    /// Claims the session, and waits for the connection that has it.
    async fn claim(&self, admission: &Admission, control: Arc<Control>) -> Result<Claimed, Box<Refusal>> {
        let domain = self.node.domains.of(&admission.tenant.id);
        let unavailable = |error: &StoreError| Box::new(self.refusal(Reason::Unavailable, error.to_string()));
        wake::wake(&self.node, &domain, &admission.session_key).map_err(|error| unavailable(&error))?;
        let claim = domain.registry.claim(&admission.session_key, &admission.principal, control as Arc<dyn Yield>);
        let claim = claim.map_err(|error| {
            let reason = match error {
                Unclaimed::Foreign => Reason::PrincipalConflict,
                Unclaimed::Asleep => Reason::Unavailable,
            };
            let mut refusal = self.refusal(reason, error.to_string());
            refusal.tenant = Some(admission.tenant.id.clone());
            refusal.certificate.clone_from(&admission.certificate);
            Box::new(refusal)
        })?;
        let generation = claim.generation;
        let parked = match claim.outcome {
            Outcome::New => None,
            Outcome::Resumed(parked) => Some(parked),
            Outcome::Awaited(mut receiver) => {
                let limit = domain.settings().takeover_timeout;
                match tokio::time::timeout(limit, &mut receiver).await {
                    Ok(Ok(parked)) => parked,
                    Ok(Err(_)) => {
                        return Err(Box::new(
                            self.refusal(Reason::Unavailable, "a later connection claimed the session"),
                        ));
                    }
                    Err(_) => {
                        receiver.close();
                        // It may have come in this very moment.
                        match receiver.try_recv() {
                            Ok(parked) => parked,
                            Err(_) => {
                                let detail = "the connection that holds the session did not yield in time";
                                return Err(Box::new(self.refusal(Reason::Unavailable, detail)));
                            }
                        }
                    }
                }
            }
        };
        Ok(Claimed { domain, generation, parked })
    }

    /// Makes the driver with the session, old or new. Nothing here can fail or
    /// wait: the session is held.
    fn take_over(self, connect: &Connect<'_>, settings: &Settings, ready: Ready) -> Box<Connection> {
        let Ready { entered, admitted, admission, terms, will, claimed } = ready;
        let Claimed { domain, generation, parked } = claimed;
        let clean =
            connect.clean_start || admission.tenant.switches.clean_session_policy == CleanSessionPolicy::ForceClean;
        let mut batch = Batch::default();
        let kept = match parked {
            Some(parked) if clean => {
                self.end_old(&domain, &admission.session_key, parked);
                None
            }
            kept => kept,
        };
        let present = kept.is_some();
        Counter::SessionsOpened.one();
        Counter::SessionsResumed.add(u64::from(present));
        // What an earlier connection stored is delivered, even if this is the last.
        let kind = if terms.session_expiry > 0 || present { Kind::Persistent } else { Kind::Volatile };
        let keep_alive = keep_alive(connect, settings);
        let (mut session, queue, outgoing) = match kept {
            Some(Parked { session: Resting { mut session, rights, queued_before }, queue, next, .. }) => {
                session.attach(terms, will);
                let changed = !Arc::ptr_eq(&rights, &admission.rights) && rights != admission.rights;
                let until = if changed { queue.next_seq() } else { queued_before };
                let mut outgoing = Outgoing::resume(next, session.resend());
                outgoing.review(until, &admission.rights);
                (session, queue, outgoing)
            }
            None => {
                let overflow = match admission.tenant.switches.queue_overflow {
                    QueueOverflow::DropOldest => Overflow::DropOldest,
                    QueueOverflow::DropNewest => Overflow::DropNewest,
                };
                let mut session = Box::new(Session::new(admission.client_id.clone(), terms.clone()));
                session.attach(terms, will);
                (session, domain.new_queue(kind, overflow), Outgoing::default())
            }
        };
        queue.connect(kind);
        if kind == Kind::Persistent {
            let uid = queue.uid();
            batch.push(remember::session(domain.tenant(), uid, &admission, &self.peer, &session, None));
        }
        let registered = registration::register(&self.node, &domain, &admission);
        let position = domain.append(batch).max(registered);
        session.push_answer(connack(connect, present, session.terms(), &admission, settings));
        session.answers_wait_for(position.0);
        session.release_again();
        entered.control.introduce(Client {
            peer: Arc::clone(&self.peer),
            admission: ArcSwap::new(Arc::clone(&admission)),
            queue: Arc::clone(&queue),
            since: self.node.clock.wall(),
            clean_start: connect.clean_start,
            keep_alive,
            session_expiry: session.terms().session_expiry,
            subscriptions: AtomicUsize::new(session.subscriptions().len()),
        });
        let counted = self.node.census.count(&admission.tenant.id, &self.peer.listener.name);
        let parts = Parts {
            node: self.node,
            transport: self.transport,
            entered,
            _seat: admitted,
            counted,
            peer: self.peer,
            admission,
            domain,
            mailbox: Mailbox(Arc::clone(&queue)),
            queue,
            outgoing,
            generation,
            keep_alive: KeepAlive::new(keep_alive),
            behind: self.input,
            bridge: connect.bridge,
            max_publish_rate: settings.max_publish_rate,
        };
        Box::new(Connection::new(parts, session))
    }

    /// Clean start: the old session ends, a will that waited is published now.
    fn end_old(&self, domain: &crate::delivery::Domain<Resting>, key: &ClientId, mut parked: Parked<Resting>) {
        let mailbox = Mailbox(Arc::clone(&parked.queue));
        let Resting { session, rights, .. } = &mut parked.session;
        if let Some(will) = session.take_will() {
            connection::publish_will(&self.node, domain, &mailbox, rights, &will);
        }
        connection::end_session(domain, key, session, &mailbox, self.node.clock.unix_millis());
    }
}

/// A session that was claimed.
struct Claimed {
    domain: Arc<crate::delivery::Domain<Resting>>,
    generation: u64,
    parked: Option<Parked<Resting>>,
}

/// All that a driver needs beside the socket.
struct Ready {
    entered: Entered,
    admitted: Admitted,
    admission: Arc<Admission>,
    terms: Terms,
    will: Option<Box<Will>>,
    claimed: Claimed,
}
