//! The arguments of `certus bench`.
//!
//! What lives here: names, defaults and their help. What does not: their effect. Invariant: the
//! defaults are the row "10:10, QoS 1, 16 bytes, window 20, mutual TLS".

use std::path::PathBuf;

use super::beside::What;
use super::credentials::{KeyKind, TlsVersion};
use crate::mqtt::{Qos, Version};

/// Messages a second of one publisher in `slow`, unless a rate is given.
const SELDOM: f64 = 5.0;
/// Messages of `queue`, unless a count is given.
const QUEUED: u64 = 50_000;

/// Who sends what to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Each publisher has a topic, each topic its subscribers.
    Pairs,
    /// All subscribers want one topic.
    FanOut,
    /// One subscriber wants the topics of all publishers.
    FanIn,
    /// All subscribers want `b/+/v`.
    Wildcard,
    /// All subscribers share the messages of all publishers: each message is for one of them.
    Shared,
    /// Many publishers that send seldom: what a message costs where no batch can form.
    Slow,
    /// Messages are queued for sessions that sleep, and fetched when these wake: acknowledged queueing, then draining.
    Queue,
    /// Connections are made and ended.
    Connect,
    /// Connections are made and held; start the broker anew, or memory that earlier clients gave back counts as none.
    Idle,
    /// No load: a broker that does the least possible, to measure the generator itself.
    #[value(hide = true)]
    Null,
}

/// How the broker is reached, and who its clients are.
#[derive(Clone, Debug, clap::Args)]
pub struct Reach {
    /// Where the broker is
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Its port [default: 8883, with --plain 1883]
    #[arg(long)]
    pub port: Option<u16>,
    /// Measure this process too: CPU time and resident memory
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Only this TLS version
    #[arg(long, value_enum)]
    pub tls: Option<TlsVersion>,
    /// The CA of the broker's certificate
    #[arg(long, value_name = "FILE", default_value = "certs/server-ca.pem")]
    pub cafile: PathBuf,
    /// Do not check the broker's certificate
    #[arg(long)]
    pub insecure: bool,
    /// The CA that signs one certificate a client (CN = ClientId)
    #[arg(long, value_name = "FILE", default_value = "certs/device-ca.pem")]
    pub ca_cert: PathBuf,
    /// Its key
    #[arg(long, value_name = "FILE", default_value = "certs/device-ca.key")]
    pub ca_key: PathBuf,
    /// TLS without client certificates
    #[arg(long)]
    pub no_client_cert: bool,
    /// Threads of the generator
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Begins every ClientId
    #[arg(long, default_value = "bench-")]
    pub prefix: String,
}

/// Measure a broker: throughput, latency, connects, memory.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The shape of the load
    #[arg(value_enum)]
    pub shape: Shape,
    /// How the broker is reached
    #[command(flatten)]
    pub reach: Reach,
    /// Publishers [default: 10; fan-out 1, fan-in and slow 1000]
    #[arg(long)]
    pub publishers: Option<u16>,
    /// Subscribers, of `queue` the sessions that sleep [default: 10; fan-out 1000, fan-in 1]
    #[arg(long)]
    pub subscribers: Option<u16>,
    /// So many of the subscribers have sessions that last: what is for them is stored before it is acknowledged
    #[arg(long, default_value_t = 0)]
    pub lasting: u16,
    /// Beside the subscribers, so many sessions that want the same and sleep
    #[arg(long, default_value_t = 0)]
    pub sleepers: u16,
    /// Measure a second time, with this beside the load
    #[arg(long, value_enum, value_name = "WHAT")]
    pub beside: Option<What>,
    /// How many of them [default: storm 1000, subscriptions and wildcards 100000, sleeping 20000, others 1]
    #[arg(long, requires = "beside", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub many: Option<u32>,
    /// Connections of `connect` and `idle`
    #[arg(long, default_value_t = 1000)]
    pub clients: usize,
    /// Quality of service, both ways
    #[arg(long, short, default_value = "1", value_parser = qos)]
    pub qos: Qos,
    /// Payload bytes; losses are counted from 8, latency from 16
    #[arg(long, default_value_t = 16)]
    pub size: usize,
    /// Unacknowledged messages a publisher, at QoS 1 and 2
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..60_000))]
    pub window: u16,
    /// Deliveries outstanding at most, in all
    #[arg(long, default_value_t = 20_000)]
    pub backlog: u64,
    /// Messages a second in all; without it flat out [slow: five a publisher]
    #[arg(long)]
    pub rate: Option<f64>,
    /// Seconds to measure
    #[arg(long, default_value_t = 5.0)]
    pub duration: f64,
    /// Seconds before that
    #[arg(long, default_value_t = 1.0)]
    pub warm_up: f64,
    /// Stop after so many messages instead of --duration [queue: 50000]
    #[arg(long)]
    pub count: Option<u64>,
    /// Protocol version
    #[arg(long, short = 'V', default_value = "3.1.1", value_parser = version)]
    pub protocol: Version,
    /// No TLS
    #[arg(long)]
    pub plain: bool,
    /// The kind of the clients' keys
    #[arg(long, value_enum, default_value = "ec")]
    pub key: KeyKind,
    /// `idle`: seconds of keep alive, within which each client asks for a sign of life; 0 for none
    #[arg(long, default_value_t = 0)]
    pub keep_alive: u16,
    /// `connect`, `--beside storm`: with a ticket of an earlier connection
    #[arg(long)]
    pub resumed: bool,
    /// Handshakes under way at once
    #[arg(long, default_value_t = 32)]
    pub concurrency: usize,
    /// Measure the generator itself, against a broker that does the least possible
    #[arg(long, conflicts_with = "pid")]
    pub null: bool,
    /// One JSON object instead of the table
    #[arg(long)]
    pub json: bool,
}

impl Args {
    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.reach.port.unwrap_or(if self.plain { 1883 } else { 8883 })
    }

    /// Publishers and subscribers, by the shape where they are not given.
    pub fn sides(&self) -> (u16, u16) {
        let (publishers, subscribers) = match self.shape {
            Shape::FanOut => (1, 1000),
            Shape::FanIn => (1000, 1),
            Shape::Slow => (1000, 10),
            _ => (10, 10),
        };
        let publishers = self.publishers.unwrap_or(publishers);
        let subscribers = match self.shape {
            Shape::Pairs => self.subscribers.unwrap_or(publishers),
            _ => self.subscribers.unwrap_or(subscribers),
        };
        (publishers, subscribers)
    }

    /// Messages a second in all; `None` is flat out.
    pub fn rate(&self) -> Option<f64> {
        let seldom = (self.shape == Shape::Slow).then(|| f64::from(self.sides().0) * SELDOM);
        self.rate.or(seldom)
    }

    /// How many of what is beside the load.
    pub fn many(&self) -> u32 {
        self.many.or(self.beside.map(What::usual)).unwrap_or(0)
    }

    /// How many messages are sent, if they are counted.
    pub fn count(&self) -> Option<u64> {
        self.count.or((self.shape == Shape::Queue).then_some(QUEUED))
    }

    /// Connections that are open at the same time.
    pub fn connections(&self) -> usize {
        let (publishers, subscribers) = self.sides();
        match self.shape {
            Shape::Connect => self.concurrency.min(self.clients),
            Shape::Idle => self.clients,
            _ => usize::from(publishers) + usize::from(subscribers) + self.connections_beside(),
        }
    }

    fn connections_beside(&self) -> usize {
        let many = usize::try_from(self.many()).unwrap_or(usize::MAX);
        self.beside.map_or(0, |what| what.connections(many))
    }
}

/// Reads a quality of service.
///
/// # Errors
/// Anything but 0, 1 and 2.
pub fn qos(text: &str) -> Result<Qos, String> {
    let bits = text.parse().ok().and_then(Qos::from_bits);
    bits.ok_or_else(|| "0, 1 or 2".into())
}

/// Reads a protocol version.
///
/// # Errors
/// Anything but the versions that there are.
pub fn version(text: &str) -> Result<Version, String> {
    match text {
        "3" | "3.1" | "mqttv31" => Ok(Version::V3),
        "4" | "3.1.1" | "mqttv311" => Ok(Version::V4),
        "5" | "5.0" | "mqttv5" => Ok(Version::V5),
        _ => Err("3.1, 3.1.1 or 5.0".into()),
    }
}
