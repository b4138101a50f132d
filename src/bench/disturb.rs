//! Clients that behave badly: flat out, deaf, slow as a byte a second, and breaking off every handshake.
//!
//! What lives here: these four. What does not: what is measured beside them. Invariant: none of them touches a
//! topic of the measured clients, and a broker that ends one has it come again.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::dial::{self, Caller, Target};
use super::error::Error;
use super::shape::Field;
use crate::codec::{Outgoing, publish};
use crate::mqtt::{Qos, TopicName, Version};
use crate::shutdown::Tasks;

/// Where the noise goes.
const TOPIC: &str = "noise/flood";
/// Payload of a message of it.
const SIZE: usize = 1024;
/// Messages that are written at once.
const BATCH: u64 = 32;
/// How long a client that was thrown out stays away.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a byte takes.
const DRIBBLE: Duration = Duration::from_secs(1);
/// The lowest priority of a thread.
const LAST: i32 = 19;
/// Far from the addresses of the measured clients.
const APART: usize = 1_000_000;

/// Four clients at work.
pub struct Noise(Arc<Counts>);

#[derive(Default)]
struct Counts {
    flood: AtomicU64,
    broken: AtomicU64,
    ended: AtomicU64,
}

/// What they did.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Messages that the publisher flat out has sent.
    pub flood_sent: u64,
    /// Handshakes that were broken off.
    pub handshakes_broken: u64,
    /// How often the broker has ended one of the others.
    pub ended_by_broker: u64,
}

impl Noise {
    /// Starts them on a thread of their own; they go on until `tasks` are told to stop.
    ///
    /// # Errors
    /// The system has no room for a thread.
    pub fn start(field: &Field, tasks: &Tasks, callers: Vec<Caller>, frame: Vec<u8>) -> Result<Self, Error> {
        let counts = Arc::new(Counts::default());
        let apart = callers.into_iter().enumerate().map(|(index, caller)| {
            let source = dial::spread(&field.target, APART + index * 100);
            Client { caller: Caller { source, ..caller }, target: field.target.clone(), counts: Arc::clone(&counts) }
        });
        let clients: Vec<Client> = apart.collect();
        let mut stop = tasks.stop_signal();
        on_a_thread(tasks, "noise", async move {
            let [flood, deaf, slow] = clients.as_slice() else { return };
            let work = async {
                tokio::join!(
                    deaf.go_on(Habit::Deaf, &frame),
                    flood.go_on(Habit::Loud, &frame),
                    slow.go_on(Habit::Slow, &frame),
                    flood.break_handshakes(),
                );
            };
            tokio::select! { () = work => {}, () = stop.stopped() => {} }
        })?;
        Ok(Self(counts))
    }

    /// What they have done.
    pub fn outcome(&self) -> Outcome {
        let counts = &self.0;
        Outcome {
            flood_sent: counts.flood.load(Relaxed),
            handshakes_broken: counts.broken.load(Relaxed),
            ended_by_broker: counts.ended.load(Relaxed),
        }
    }
}

/// Runs `work` on a thread with a runtime of its own. Those who disturb would have machines of their own: here
/// they get what the measured clients, whose latency it is about, leave of the processors.
///
/// # Errors
/// The system has no room for it.
pub fn on_a_thread(
    tasks: &Tasks,
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Io)?;
    tasks
        .spawn_thread(name, move || {
            let _ = rustix::process::nice(LAST);
            runtime.block_on(work);
        })
        .map_err(Error::Io)?;
    Ok(())
}

/// A message of the flood.
///
/// # Errors
/// The topic is none that can be published to.
pub fn frame(version: Version) -> Result<Vec<u8>, Error> {
    let topic = TopicName::new(TOPIC).map_err(|error| Error::Usage(format!("{TOPIC}: {error}")))?;
    let payload = vec![b'~'; SIZE];
    let message = Outgoing {
        dup: false,
        qos: Qos::AtMostOnce,
        retain: false,
        packet_id: Some(NonZeroU16::MIN),
        topic,
        alias: None,
        expiry: None,
        subscription_ids: &[],
        properties: &[],
        payload: &payload,
    };
    let mut frame = Vec::new();
    publish::encode(&mut frame, version, &message);
    Ok(frame)
}

/// How a client misbehaves.
#[derive(Clone, Copy)]
enum Habit {
    Loud,
    Deaf,
    Slow,
}

struct Client {
    caller: Caller,
    target: Target,
    counts: Arc<Counts>,
}

impl Client {
    /// Misbehaves, and comes again when it is thrown out.
    async fn go_on(&self, habit: Habit, frame: &[u8]) {
        loop {
            let ended = match habit {
                Habit::Loud => self.shout(frame).await,
                Habit::Deaf => self.listen_once().await,
                Habit::Slow => self.dribble(frame).await,
            };
            if ended.is_err() {
                self.counts.ended.fetch_add(1, Relaxed);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Publishes as fast as the broker takes it.
    async fn shout(&self, frame: &[u8]) -> Result<(), Error> {
        let mut link = dial::dial(&self.target, &self.caller).await?;
        loop {
            for _ in 0..BATCH {
                link.wire.out.extend_from_slice(frame);
            }
            link.flush().await?;
            self.counts.flood.fetch_add(BATCH, Relaxed);
            tokio::task::yield_now().await;
        }
    }

    /// Subscribes to the flood and never reads again.
    async fn listen_once(&self) -> Result<(), Error> {
        let mut link = dial::dial(&self.target, &self.caller).await?;
        link.subscribe(&[TOPIC], Qos::AtMostOnce).await?;
        std::future::pending().await
    }

    /// Sends a message byte by byte.
    async fn dribble(&self, frame: &[u8]) -> Result<(), Error> {
        let mut link = dial::dial(&self.target, &self.caller).await?;
        for byte in frame.iter().cycle() {
            link.wire.out.push(*byte);
            link.flush().await?;
            tokio::time::sleep(DRIBBLE).await;
        }
        Ok(())
    }

    /// Begins handshakes, takes the broker's answer and goes.
    async fn break_handshakes(&self) {
        loop {
            let source = dial::spread(&self.target, APART + 300);
            match dial::break_off(&self.target, &Caller { source, ..self.caller.clone() }).await {
                Ok(()) => {
                    self.counts.broken.fetch_add(1, Relaxed);
                }
                // It does not let this one in for a while.
                Err(_) => tokio::time::sleep(PAUSE / 10).await,
            }
        }
    }
}
