//! A node without a composition root, recipients who are away, and drivers
//! that are dropped.
//!
//! What lives here: how they are made and what is left of them. What does not:
//! what is said (`tests`). Invariant: one thread does everything.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::net::{TcpListener, TcpStream};

use crate::clock::Clock;
use crate::delivery::{self, Budget, Domain, Kind, Mailbox, Overflow};
use crate::identity::policy::{Attributes, Rights, TenantRights};
use crate::identity::refusals::Refusals;
use crate::identity::switch::Profile;
use crate::identity::tenant::TenantSettings;
use crate::identity::trust::{Trust, TrustSnapshot};
use crate::mqtt::{MessageId, MessageView, Qos, SubscriptionOptions, TenantId, TopicFilter, TopicName};
use crate::net::arrival::Accepted;
use crate::net::establish::begin;
use crate::net::limits::{Limits, Source};
use crate::net::shared::{Domains, Node, Resting};
use crate::net::{Census, Listener, ListenerSettings, Live, Overload, Passwords, Settings, Turns};
use crate::shutdown::Tasks;
use crate::store::{MemoryStore, Plan, Position, SlowStore, Store};

use super::super::Connection;
use super::client;

/// More recipients than one slice of a fan-out has.
const WIDE: usize = 1100;
/// Retained messages below `topic/9`.
pub(super) const RETAINED: u32 = 40;

/// At which Pending the driver is dropped, and what was seen then.
#[derive(Default)]
pub(super) struct Fate {
    /// Pendings to come; 0 = it is not dropped.
    pub(super) left: AtomicUsize,
    /// The session had no owner behind the drop.
    pub(super) rests: AtomicBool,
}

/// A node with its listener, and recipients who are away.
pub(super) struct Scene {
    pub(super) node: Arc<Node>,
    pub(super) slow: Option<Arc<SlowStore>>,
    listener: Arc<Listener>,
    door: TcpListener,
    domain: Arc<Domain<Resting>>,
    pub(super) wide: Vec<Mailbox>,
    pub(super) fate: Arc<Fate>,
}

fn node(store: Arc<dyn Store>, tenant: &TenantId) -> Arc<Node> {
    let snapshot = TrustSnapshot::build(&[TenantSettings::new(tenant.clone(), Profile::Open)]).unwrap();
    let budget = Arc::new(Budget::new(1 << 40, true));
    let (bounds, uids) = (Arc::new(delivery::Settings::default()), Arc::new(AtomicU64::new(1)));
    let (charged, shared) = (Arc::clone(&budget), Arc::clone(&store));
    let domains = Domains::new(move |tenant| {
        let (bounds, store, uids) = (Arc::clone(&bounds), Arc::clone(&shared), Arc::clone(&uids));
        Arc::new(Domain::new(tenant.clone(), bounds, Arc::clone(&charged), store, uids))
    });
    let (clock, tasks) = (Clock::system(), Tasks::new());
    Arc::new(Node {
        clock: clock.clone(),
        settings: arc_swap::ArcSwap::from_pointee(Settings::default()),
        trust: Arc::new(Trust::new(snapshot)),
        refusals: Arc::new(Refusals::new(10)),
        store,
        domains,
        agenda: crate::net::Due::new(&clock),
        live: Arc::new(Live::default()),
        census: Census::default(),
        handshakes: Turns::of_runtime(),
        limits: Arc::new(Limits::default()),
        overload: Overload::new(u64::MAX),
        budget,
        first_connections: crate::net::first_connections(),
        passwords: Passwords::new(tasks.clone()),
        tasks,
    })
}

fn rights() -> Arc<Rights> {
    let who =
        Attributes { tenant: "t", client_id: "c", common_name: None, account: None, role: None, certificate: &[] };
    TenantRights::new(Profile::Open, &Default::default(), "t").of(&who)
}

impl Scene {
    pub(super) async fn new(lags: bool) -> Self {
        let slow = lags.then(|| Arc::new(SlowStore::new(Plan::Never, 1)));
        let store: Arc<dyn Store> = match &slow {
            Some(slow) => Arc::clone(slow) as _,
            None => Arc::new(MemoryStore::default()),
        };
        let tenant = TenantId::new("t");
        let node = node(store, &tenant);
        let domain = node.domains.of(&tenant);
        let listener = ListenerSettings {
            name: "plain".into(),
            bind: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: false,
            websocket: None,
            proxies: Vec::new(),
            default_tenant: Some(tenant),
        };
        let listener = Arc::new(Listener::bind(&listener, 16, None).unwrap());
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let wide: Vec<_> =
            (0..WIDE).map(|_| Mailbox(domain.new_queue(Kind::Persistent, Overflow::DropNewest))).collect();
        for filter in filters(&[3, 4]) {
            let permit = rights().subscribe(&filter).unwrap();
            let options = SubscriptionOptions::of_qos(Qos::ExactlyOnce);
            for mailbox in &wide {
                domain.subscribe(&filter, mailbox.clone(), options, None, &permit);
            }
        }
        for number in 0..RETAINED {
            let (topic, payload) = (format!("topic/9/{number}"), number.to_be_bytes());
            let topic = TopicName::new(&topic).unwrap();
            let qos = Qos::AtLeastOnce;
            let message = MessageView { topic, qos, retain: true, properties: &[], expiry: None, payload: &payload };
            let id = MessageId { publisher: 0, epoch: 0, counter: number.into() };
            domain.retained.set(&message, id, 0, |_| Position::NONE).unwrap();
        }
        Self { node, slow, listener, door, domain, wide, fate: Arc::default() }
    }

    /// Opens a connection, whose driver is dropped in time if it is `fated`.
    pub(super) async fn dial(&self, fated: bool) -> TcpStream {
        let (client, accepted) = tokio::join!(TcpStream::connect(self.door.local_addr().unwrap()), self.door.accept());
        let ((socket, address), client) = (accepted.unwrap(), client.unwrap());
        socket.set_nodelay(true).unwrap();
        client.set_nodelay(true).unwrap();
        let settings = self.node.settings.load_full();
        let admitted = self.node.limits.admit(address, Source::Client, &settings).unwrap();
        let shaking = admitted.shake(Source::Client, &settings).unwrap();
        let entered = self.node.live.enter(address);
        let accepted = Accepted { socket, address, admitted, shaking, since: self.node.clock.now() };
        let begin = begin(Arc::clone(&self.node), Arc::clone(&self.listener), accepted, entered);
        let fate = if fated { Arc::clone(&self.fate) } else { Arc::default() };
        self.node.tasks.spawn("connection", async move {
            if let Ok(connection) = begin.await {
                drive(connection, &fate).await;
            }
        });
        client
    }

    /// What each of those who were away was left.
    pub(super) fn left_for(&self, mailbox: &Mailbox) -> BTreeMap<(String, usize), usize> {
        let mut cx = Context::from_waker(Waker::noop());
        let read = self.domain.store().poll_queue(&mut cx, mailbox.0.uid(), 0, 1000);
        let Poll::Ready(Ok(entries)) = read else { panic!("these stores answer at once") };
        let names = entries.iter().map(|queued| {
            let message = &queued.entry.message;
            (message.topic.to_string(), u32::from_be_bytes(message.payload[..4].try_into().unwrap()) as usize)
        });
        count(names)
    }

    /// Nothing is held for anybody any more.
    pub(super) fn assert_empty(self, charged: u64) {
        let Self { node, domain, wide, .. } = self;
        for mailbox in wide {
            domain.unsubscribe(filters(&[3, 4]).iter(), &mailbox);
        }
        assert_eq!((domain.registry.len(), domain.subscriptions()), (0, (0, 0)));
        assert!(node.live.is_empty());
        assert!(node.census.by_place().iter().all(|(_, _, count)| *count == 0), "{:?}", node.census);
        let bounds = Settings { max_connections: 1, max_connections_per_address: 1, ..Settings::default() };
        let seat = node.limits.admit((Ipv4Addr::LOCALHOST, 1).into(), Source::Client, &bounds);
        drop(seat.expect("every seat was given back"));
        assert_eq!(node.budget.used(), charged);
    }
}

/// Polls the driver, and drops it at its last Pending.
async fn drive(connection: Box<Connection>, fate: &Fate) {
    let domain = Arc::clone(&connection.parts.domain);
    let (key, generation) = (connection.parts.admission.session_key.clone(), connection.parts.generation);
    let mut driver = Some(connection);
    poll_fn(|cx| {
        if driver.as_mut().is_none_or(|driver| Pin::new(&mut **driver).poll(cx).is_ready()) {
            return Poll::Ready(());
        }
        let before = fate.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if before != Ok(1) {
            return Poll::Pending;
        }
        driver = None;
        fate.rests.store(domain.registry.with_parked(&key, generation, |_| ()).is_some(), Ordering::Relaxed);
        Poll::Ready(())
    })
    .await;
}

pub(super) fn filters(numbers: &[u8]) -> Vec<TopicFilter> {
    numbers.iter().map(|number| TopicFilter::new(&client::topic(*number)).unwrap()).collect()
}

pub(super) fn count(names: impl Iterator<Item = (String, usize)>) -> BTreeMap<(String, usize), usize> {
    names.fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name).or_default() += 1;
        counts
    })
}
