//! Revocation lists that are fetched.
//!
//! What lives here: when a configured list is fetched, and what is told of
//! failures. What does not: fetching one (`fetch`), reading it and the check
//! of its signature (`ca`), what becomes of certificates while a list is late
//! (`identity`). Invariant: only what the configuration names is fetched,
//! never an address out of a certificate; a failure changes no list.

mod fetch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::settings::RevocationListSettings;
use crate::broker::Handle;
use crate::ca::authority::{Authority, Caller};
use crate::shutdown::Tasks;
use crate::telemetry::metrics::Counter;

use fetch::fetch;

/// The first wait after a failure; it doubles with each one that follows.
const SOON: Duration = Duration::from_secs(5);
/// Each may hold a whole list in memory.
const FETCHES_AT_ONCE: usize = 4;

/// The fetching of all configured lists.
pub struct Lists {
    broker: Handle,
    settings: Vec<RevocationListSettings>,
    tasks: Tasks,
}

impl Lists {
    /// Fetches from now on what `settings` name. Lists that were fetched
    /// before, from where none is fetched any more, are forgotten.
    #[must_use]
    pub fn start(broker: &Handle, settings: Vec<RevocationListSettings>) -> Self {
        let tasks = Tasks::new();
        let (seats, count) = (Arc::new(Semaphore::new(FETCHES_AT_ONCE)), settings.len());
        let named = settings.clone();
        let (authority, forgetting) = (Arc::clone(broker.authority()), tasks.stop_signal());
        tasks.spawn("revocation lists", async move {
            let mut stop = forgetting;
            tokio::select! {
                () = stop.stopped() => {}
                () = forget_others(&authority, &named) => {}
            }
        });
        for list in settings.clone() {
            let follower = Follower { broker: broker.clone(), list, seats: Arc::clone(&seats), tasks: tasks.clone() };
            tasks.spawn("revocation list", follower.run());
        }
        if count > 0 {
            tracing::info!(count, "revocation lists are fetched");
        }
        Self { broker: broker.clone(), settings, tasks }
    }

    /// Takes other settings.
    pub fn renew(&mut self, settings: Vec<RevocationListSettings>) {
        if settings != self.settings {
            self.tasks.stop();
            *self = Self::start(&self.broker, settings);
        }
    }

    /// Fetches no more, and waits for what is under way, at most `limit`.
    pub async fn stop(self, limit: Duration) {
        self.tasks.stop();
        let _ = self.tasks.drained(limit).await;
    }
}

async fn forget_others(authority: &Authority, named: &[RevocationListSettings]) {
    let still = |tenant: &str, anchor: &str, source: &str| {
        named.iter().any(|list| {
            list.tenant == tenant && list.place.url() == source && Authority::anchor_id(&list.anchor) == anchor
        })
    };
    if let Err(fault) = authority.forget_fetched(still).await {
        tracing::error!(%fault, "revocation lists that are not fetched any more could not be forgotten");
    }
}

/// One list over time.
struct Follower {
    broker: Handle,
    list: RevocationListSettings,
    seats: Arc<Semaphore>,
    tasks: Tasks,
}

impl Follower {
    async fn run(self) {
        let mut stop = self.tasks.stop_signal();
        let mut failures = 0_u32;
        loop {
            let fetched = tokio::select! {
                () = stop.stopped() => return,
                fetched = self.once() => fetched,
            };
            failures = self.tell(fetched, failures);
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(pause(self.list.refresh, failures)) => {}
            }
        }
    }

    /// Fetches the list and hands it over.
    async fn once(&self) -> Result<(), String> {
        let _seat = self.seats.acquire().await.map_err(|closed| closed.to_string())?;
        Counter::CrlFetches.one();
        let bytes = fetch(&self.list.place, &self.tasks).await.map_err(|error| error.to_string())?;
        let (tenant, anchor) = (&self.list.tenant, Authority::anchor_id(&self.list.anchor));
        let source = Some(self.list.place.url());
        let taken = self.broker.authority().take_crls(&Caller::broker(), tenant, &anchor, &bytes, source).await;
        taken.map(drop).map_err(|fault| fault.to_string())
    }

    /// One line for each change; answers how many failures there were in a
    /// row.
    fn tell(&self, fetched: Result<(), String>, failures: u32) -> u32 {
        let RevocationListSettings { tenant, name, place, .. } = &self.list;
        let url = place.url();
        match fetched {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!(target: "certus::audit", tenant, anchor = name, url, failures, "the revocation list is fetched again");
                }
                0
            }
            Err(reason) => {
                Counter::CrlFetchFailures.one();
                if failures == 0 {
                    tracing::error!(
                        target: "certus::audit", tenant, anchor = name, url,
                        "the revocation list could not be fetched: {reason}; the one before stays in use, and it is tried again until it works"
                    );
                }
                failures.saturating_add(1)
            }
        }
    }
}

/// How long until the next fetch.
fn pause(refresh: Duration, failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => refresh,
        Some(before) => refresh.min(SOON.saturating_mul(1 << before.min(16))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_tried_again_soon_and_then_less_and_less_often() {
        let hour = Duration::from_secs(3600);
        let pauses = [0, 1, 2, 3, 4, 1000].map(|failures| pause(hour, failures).as_secs());
        assert_eq!(pauses, [3600, 5, 10, 20, 40, 3600]);
        assert_eq!(pause(Duration::from_secs(1), 7), Duration::from_secs(1));
    }
}
