//! The composition root: makes the parts, in order, and hands out [`Handle`].
//!
//! What lives here: which part gets what, the order of start and stop, and the
//! reload. What does not: what any part does. Invariant: a reload builds
//! everything new before it swaps anything; a settings error changes nothing.

mod clients;
mod decision;
mod explanation;
mod login;
mod proof;
mod publication;
mod renewal;
mod review;
mod stale_lists;
mod status;
mod storage;
mod sys_topics;

// What the control plane names of the data plane.
pub use crate::identity::reason::Reason;
pub use crate::identity::refusal::{Refusal, Stage};
pub use crate::identity::refusals::RefusalFilter;
pub use crate::net::{
    Agreed, ClientFilter, Connected, Guest, HttpsDoor, HttpsSettings, HttpsStream, NotAgreed, WebSocketRequest,
};
pub use decision::{Answer, Question, Unasked};
pub use explanation::{Explanation, Inquiry, PemError, Step};
pub use login::Checked;
pub use proof::{NotProved, ProvedDevice};
use publication::{Publication, Renewed, Told};
pub use status::Readiness;
pub use storage::Durability;
use storage::Storage;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::ca::authority::{self, Authority};
use crate::clock::Clock;
use crate::delivery::{Budget, Domain};
use crate::identity::handshake::{ListenerTls, TlsParts};
use crate::identity::https::HttpsTls;
use crate::identity::refusals::Refusals;
use crate::identity::server_certificate::{ServerCertificate, ServerCertificateError};
use crate::identity::tenant::TenantSettings;
use crate::identity::tickets::TicketKeys;
use crate::identity::trust::{Trust, TrustError, TrustSnapshot};
use crate::mqtt::TenantId;
use crate::net::{Census, Command, Domains, Limits, Listener, Live, Node, Overload, Passwords, Turns};
use crate::shutdown::Tasks;
use crate::store::{OpenError, Store};
use crate::telemetry::memory;
use crate::{delivery, net};

/// Where the server's own certificate and key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate chain, leaf first, as PEM.
    pub certificate: PathBuf,
    /// The private key, as PEM (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// The CA that clients verify it under, as PEM, for them to fetch. Without
    /// it the development CA beside the certificate, or what its chain holds.
    pub ca: Option<PathBuf>,
}

/// All that a running broker is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The listening sockets.
    pub listeners: Vec<net::ListenerSettings>,
    /// The HTTPS listener, if there is one. Whoever serves it takes it from
    /// [`Handle::https`].
    pub https: Option<net::HttpsSettings>,
    /// Who the server is.
    pub server_tls: ServerTls,
    /// Bounds of connections.
    pub net: net::Settings,
    /// Bounds of queues.
    pub delivery: delivery::Settings,
    /// The tenants with their trust anchors.
    pub tenants: Vec<TenantSettings>,
    /// How long acknowledged messages last.
    pub durability: Durability,
    /// The file with the key that seals private keys at rest. Without it the
    /// environment, a credential of systemd, or a key of its own beside the
    /// store.
    pub sealing_key_file: Option<PathBuf>,
    /// A debug build's store double, as a specification such as `late:5ms`.
    pub slow_store: Option<String>,
}

/// Why a broker does not start, or keeps its old settings.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("{name}: cannot listen on {address}: {error}{}", hint(.error))]
    Bind {
        /// The listener's name.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The server's certificate or key is not good.
    #[error("{0}")]
    Certificate(#[from] ServerCertificateError),
    /// A listener names a tenant that is not configured.
    #[error("listener {name}: default_tenant {tenant} is not configured; add a [[tenant]] with that id")]
    NoTenant {
        /// The listener's name.
        name: String,
        /// The tenant.
        tenant: TenantId,
    },
    /// The slow store's specification is not good.
    #[error("slow_store: {0}")]
    SlowStore(String),
    /// TLS cannot be configured.
    #[error("TLS cannot be configured: {0}")]
    Tls(String),
    /// The store cannot be opened.
    #[error("{0}")]
    Store(#[from] OpenError),
    /// A thread of the store cannot be started.
    #[error("a thread of the store cannot be started: {0}; raise the bound of processes (ulimit -u)")]
    Thread(std::io::Error),
    /// What is stored cannot be served.
    #[error("the store: {0}")]
    Recover(#[from] net::RecoverError),
    /// The key that seals private keys cannot be had.
    #[error("the sealing key: {0}")]
    Seal(#[from] crate::ca::seal::SealError),
    /// What the control plane keeps cannot be used.
    #[error("{0}")]
    Authority(#[from] authority::OpenError),
    /// The tenants' anchors are not good.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Trust(Vec<TrustError>),
}

impl From<Vec<TrustError>> for StartError {
    fn from(errors: Vec<TrustError>) -> Self {
        Self::Trust(errors)
    }
}

fn unusable(error: impl std::fmt::Display) -> StartError {
    StartError::Tls(error.to_string())
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; stop the program that listens there, or choose another address",
        std::io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: choose a higher one",
        std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}

/// How long the store may take, at the end, to write what it took.
const FLUSH: Duration = Duration::from_secs(4);

/// A running broker.
pub struct Broker {
    handle: Handle,
    /// What the connections rest on: it stops last.
    foundations: Tasks,
    storage: Storage,
}

/// What the control plane holds of a running broker. Clones share it.
#[derive(Clone)]
pub struct Handle {
    node: Arc<Node>,
    listeners: Arc<Vec<Arc<Listener>>>,
    https: Option<Arc<HttpsDoor>>,
    tickets: Arc<TicketKeys>,
    authority: Arc<Authority>,
    publication: Arc<Publication>,
    /// The tasks of listeners.
    accepting: Tasks,
    /// Bounds of queues, which hold until the end.
    queues: Arc<delivery::Settings>,
    started: Instant,
    /// One reload at a time.
    reloading: Arc<Mutex<()>>,
    /// Tells who keeps an interval that it may be another one.
    reloaded: Arc<Notify>,
}

/// An anchor as it is shown to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// Whose anchor it is.
    pub tenant: TenantId,
    /// Its name, subject, fingerprint and end.
    pub summary: String,
}

/// Starts a broker. Its listeners accept when this returns.
///
/// # Errors
/// What keeps it from starting; nothing is left running.
pub fn start(settings: Settings, clock: Clock) -> Result<Broker, StartError> {
    let storage = Storage::open(&settings)?;
    start_with(settings, clock, storage)
}

/// As [`start`], on a store that the caller made.
///
/// # Errors
/// As [`start`].
pub fn start_on(settings: Settings, clock: Clock, store: Arc<dyn Store>) -> Result<Broker, StartError> {
    start_with(settings, clock, Storage::given(store))
}

fn start_with(settings: Settings, clock: Clock, storage: Storage) -> Result<Broker, StartError> {
    let (authority, snapshot) = Authority::open(
        Arc::clone(&storage.store),
        clock.clone(),
        storage::sealing_key(&settings)?,
        &settings.tenants,
    )?;
    check_tenants(&settings, &snapshot)?;
    let trust = Arc::new(Trust::new(snapshot));
    let tickets = Arc::new(TicketKeys::new(clock.clone()));
    let tls = tls_parts(&settings, &tickets, &clock)?;
    let mut listeners = Vec::new();
    for listener in &settings.listeners {
        let tls = match listener.tls {
            true => Some(ListenerTls::new(&tls, &trust, listener.default_tenant.as_ref()).map_err(unusable)?),
            false => None,
        };
        let bound = Listener::bind(listener, settings.net.backlog, tls).map_err(|error| StartError::Bind {
            name: listener.name.clone(),
            address: listener.bind,
            error,
        })?;
        listeners.push(Arc::new(bound));
    }
    let (started, queues) = (clock.now(), Arc::new(settings.delivery.clone()));
    let node = Arc::new(node(&settings, clock, trust, &storage));
    let https = match &settings.https {
        Some(settings) => Some(Arc::new(https_door(settings, &node, &tls)?)),
        None => None,
    };
    let (accepting, foundations) = (Tasks::new(), Tasks::new());
    storage.run(&foundations).map_err(StartError::Thread)?;
    match net::recover(&node) {
        Ok(recovered) => report(recovered),
        Err(error) => {
            storage.close();
            return Err(error.into());
        }
    }
    net::catch_up(&node);
    for listener in &listeners {
        accepting.spawn("listener", Arc::clone(listener).run(Arc::clone(&node), accepting.clone()));
    }
    foundations.spawn("agenda", keep_agenda(Arc::clone(&node), foundations.clone()));
    foundations.spawn("overload", net::watch(Arc::clone(&node), foundations.clone()));
    let (listeners, reloading, reloaded) = (Arc::new(listeners), Arc::default(), Arc::new(Notify::new()));
    let offered = Renewed { parts: tls, https: settings.https };
    let told = Told::default();
    let (lists, connections) = (Arc::clone(&told.lists), Arc::clone(&told.connections));
    foundations.spawn("stale lists", stale_lists::watch(Arc::clone(&node), lists, foundations.clone()));
    foundations.spawn("review", review::watch(Arc::clone(&node), connections, foundations.clone()));
    let publication = Publication::new(&node, &listeners, &tickets, https.clone(), told, offered);
    let publication = Arc::new(publication);
    let authority = Arc::new(authority);
    authority.publish_to(Arc::clone(&publication) as Arc<dyn authority::Publish>);
    let telling = sys_topics::keep_telling(Arc::clone(&node), Arc::clone(&reloaded), foundations.clone());
    foundations.spawn("sys topics", telling);
    let handle = Handle {
        node,
        listeners,
        https,
        tickets,
        authority,
        publication,
        accepting,
        queues,
        started,
        reloading,
        reloaded,
    };
    Ok(Broker { handle, foundations, storage })
}

fn https_door(settings: &net::HttpsSettings, node: &Arc<Node>, parts: &TlsParts) -> Result<HttpsDoor, StartError> {
    let tls = HttpsTls::new(parts, &node.trust.current(), settings.client_certificates).map_err(unusable)?;
    HttpsDoor::bind(settings.clone(), node, tls).map_err(|error| StartError::Bind {
        name: "https".to_owned(),
        address: settings.bind,
        error,
    })
}

/// Says what came back from the store; silent when nothing did.
fn report(recovered: net::Recovered) {
    let net::Recovered { devices, sessions, subscriptions, retained, strangers, damaged } = recovered;
    if recovered != net::Recovered::default() {
        tracing::info!(devices, sessions, subscriptions, retained, "the store was read");
    }
    if strangers > 0 {
        tracing::warn!(rows = strangers, "rows of tenants that are not configured rest in the store");
    }
    if damaged > 0 {
        tracing::error!(rows = damaged, "rows of the store are damaged and were left out");
    }
}

fn check_tenants(settings: &Settings, snapshot: &TrustSnapshot) -> Result<(), StartError> {
    for listener in &settings.listeners {
        if let Some(tenant) = &listener.default_tenant
            && snapshot.tenant(tenant).is_none()
        {
            return Err(StartError::NoTenant { name: listener.name.clone(), tenant: tenant.clone() });
        }
    }
    Ok(())
}

fn tls_parts(settings: &Settings, tickets: &Arc<TicketKeys>, clock: &Clock) -> Result<TlsParts, StartError> {
    let ServerTls { certificate, key, ca } = &settings.server_tls;
    let certificate = ServerCertificate::load(certificate, key, clock.wall())?;
    let certificate = match ca {
        Some(ca) => certificate.with_authority(ca)?,
        None => certificate,
    };
    Ok(TlsParts { certificate, tickets: Arc::clone(tickets), clock: clock.clone() })
}

fn node(settings: &Settings, clock: Clock, trust: Arc<Trust>, storage: &Storage) -> Node {
    let store = Arc::clone(&storage.store);
    let (bounds, total) = (Arc::new(settings.delivery.clone()), memory::total());
    let budget = Arc::new(Budget::new(bounds.total_bytes.of(total), storage.is_in_memory()));
    let charged = Arc::clone(&budget);
    // No session of this start shares a name with one of an earlier start.
    let uids = Arc::new(AtomicU64::new(u64::from(store.epoch()) << 32 | 1));
    let shared = Arc::clone(&store);
    let domains = Domains::new(move |tenant| {
        let (bounds, store, uids) = (Arc::clone(&bounds), Arc::clone(&shared), Arc::clone(&uids));
        Arc::new(Domain::new(tenant.clone(), bounds, Arc::clone(&charged), store, uids))
    });
    let tasks = Tasks::new();
    let refusals = Refusals::new(settings.net.max_refusals_kept);
    refusals.limit_lines(settings.net.max_refusal_lines);
    Node {
        agenda: net::Due::new(&clock),
        clock,
        settings: arc_swap::ArcSwap::from_pointee(settings.net.clone()),
        trust,
        refusals: Arc::new(refusals),
        store,
        domains,
        live: Arc::new(Live::default()),
        census: Census::default(),
        handshakes: Turns::of_runtime(),
        limits: Arc::new(Limits::default()),
        overload: Overload::new(total),
        budget,
        first_connections: net::first_connections(),
        passwords: Passwords::new(tasks.clone()),
        tasks,
    }
}

/// Ends sessions and publishes wills when they are due.
async fn keep_agenda(node: Arc<Node>, tasks: Tasks) {
    let mut stop = tasks.stop_signal();
    loop {
        tokio::select! {
            () = stop.stopped() => return,
            (away, event) = node.agenda.next() => net::due(&node, &away, event),
            () = node.agenda.near_horizon() => node.agenda.look_ahead(&node.domains),
        }
    }
}

impl Broker {
    /// What the control plane holds.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops: accepts no more, tells every client, publishes wills. Returns
    /// what was still running when `limit` was over, if anything was.
    pub async fn stop(self, limit: Duration) -> Option<String> {
        self.handle.accepting.stop();
        let node = &self.handle.node;
        node.tasks.stop();
        node.live.tell_all(Command::ShutDown);
        let left = node.tasks.drained(limit).await.err().map(|left| left.to_string());
        self.storage.close();
        self.foundations.stop();
        let _ = self.foundations.drained(FLUSH).await;
        left
    }
}

impl Handle {
    /// The anchors that are trusted.
    #[must_use]
    pub fn trusted(&self) -> Vec<Trusted> {
        let snapshot = self.node.trust.current();
        let trusted =
            snapshot.anchors().map(|anchor| Trusted { tenant: anchor.tenant.clone(), summary: anchor.summary() });
        trusted.collect()
    }

    /// Takes new settings: trust, rights, switches, bounds of new connections,
    /// the server's certificate. Whoever is still admitted stays connected.
    /// Listening addresses and bounds of queues need a restart.
    ///
    /// # Errors
    /// What is wrong with them; nothing is changed then.
    pub fn reload(&self, settings: &Settings) -> Result<(), StartError> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = tls_parts(settings, &self.tickets, &self.node.clock)?;
        self.authority.configure(&settings.tenants, |next| {
            check_tenants(settings, &next)?;
            self.publication.swap(next, Some(Renewed { parts, https: settings.https.clone() }))
        })?;
        self.node.refusals.limit_lines(settings.net.max_refusal_lines);
        self.node.refusals.keep(settings.net.max_refusals_kept);
        self.node.settings.store(Arc::new(settings.net.clone()));
        self.reloaded.notify_one();
        Ok(())
    }

    /// The clock by which everything is measured.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.node.clock
    }

    /// The certificates that clients verify the server under, as PEM.
    #[must_use]
    pub fn server_authorities(&self) -> Arc<str> {
        self.publication.server_authorities()
    }

    /// The door of HTTPS, if there is one.
    #[must_use]
    pub fn https(&self) -> Option<Arc<HttpsDoor>> {
        self.https.clone()
    }

    /// The owner of what the control plane keeps.
    #[must_use]
    pub const fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Lets every connection look at the time and at trust again: for a clock
    /// that was moved.
    pub fn recheck(&self) {
        self.node.live.tell_all(Command::Recheck);
    }

    /// How many connections there are, those in their handshake included.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.node.live.len()
    }
}
