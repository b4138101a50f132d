//! Revocation lists that are fetched.
//!
//! What lives here: which lists those are, when each is fetched, and what is
//! told of failures. What does not: fetching one (`fetch`), reading it and the
//! check of its signature (`ca`), what becomes of certificates while a list is
//! late (`identity`). Invariant: only what the configuration, or who runs the
//! broker, names is fetched, never an address out of a certificate; a failure
//! changes no list.

mod fetch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::settings::RevocationListSettings;
use crate::broker::Handle;
use crate::ca::authority::{Authority, Caller, FetchedList};
use crate::shutdown::Tasks;
use crate::telemetry::metrics::Counter;

use fetch::fetch;

/// The first wait after a failure; it doubles with each one that follows.
const SOON: Duration = Duration::from_secs(5);
/// From one good fetch to the next, where nobody said.
const HOUR: Duration = Duration::from_secs(3600);
/// Each may hold a whole list in memory.
const FETCHES_AT_ONCE: usize = 4;

/// The fetching of all lists.
pub struct Lists {
    configured: watch::Sender<Vec<RevocationListSettings>>,
    tasks: Tasks,
}

impl Lists {
    /// Fetches from now on what `configured` and the uploaded anchors name.
    /// Lists that were fetched before, from where none is fetched any more,
    /// are forgotten.
    #[must_use]
    pub fn start(broker: &Handle, configured: Vec<RevocationListSettings>) -> Self {
        let tasks = Tasks::new();
        let configured = watch::Sender::new(configured);
        let keeper = Keeper {
            broker: broker.clone(),
            configured: configured.subscribe(),
            seats: Arc::new(Semaphore::new(FETCHES_AT_ONCE)),
            tasks: tasks.clone(),
            followed: HashMap::new(),
            is_new: true,
        };
        tasks.spawn("revocation lists", keeper.run());
        Self { configured, tasks }
    }

    /// Takes another configuration.
    pub fn renew(&mut self, configured: Vec<RevocationListSettings>) {
        self.configured.send_replace(configured);
    }

    /// Fetches no more, and waits for what is under way, at most `limit`.
    pub async fn stop(self, limit: Duration) {
        self.tasks.stop();
        let _ = self.tasks.drained(limit).await;
    }
}

/// Keeps who follows a list in step with which there are.
struct Keeper {
    broker: Handle,
    configured: watch::Receiver<Vec<RevocationListSettings>>,
    seats: Arc<Semaphore>,
    tasks: Tasks,
    /// Each list that is followed, with what ends that.
    followed: HashMap<RevocationListSettings, watch::Sender<()>>,
    /// Whether nothing was followed yet: an earlier run may have left lists.
    is_new: bool,
}

impl Keeper {
    async fn run(mut self) {
        let mut stop = self.tasks.stop_signal();
        let mut changes = self.broker.authority().changes();
        loop {
            changes.mark_unchanged();
            let wanted = self.wanted();
            if self.follow(&wanted).await {
                tokio::select! {
                    () = stop.stopped() => return,
                    () = forget_others(self.broker.authority(), &wanted) => {}
                }
            }
            tokio::select! {
                () = stop.stopped() => return,
                _ = self.configured.changed() => {}
                _ = changes.changed() => {}
            }
        }
    }

    fn wanted(&mut self) -> Vec<RevocationListSettings> {
        let mut wanted = self.configured.borrow_and_update().clone();
        let uploaded = self.broker.authority().fetched_lists();
        wanted.extend(uploaded.iter().filter_map(of_uploaded));
        wanted
    }

    /// Follows these and no others; answers whether they are others than before.
    async fn follow(&mut self, wanted: &[RevocationListSettings]) -> bool {
        let mut has_changed = std::mem::take(&mut self.is_new);
        let gone: Vec<_> = self.followed.extract_if(|list, _| !wanted.contains(list)).collect();
        for (_, ending) in gone {
            has_changed = true;
            ending.send_replace(());
            // What it was about to take is taken before it is forgotten.
            ending.closed().await;
        }
        for list in wanted {
            if self.followed.contains_key(list) {
                continue;
            }
            has_changed = true;
            let ending = watch::Sender::new(());
            let follower = Follower {
                broker: self.broker.clone(),
                list: list.clone(),
                seats: Arc::clone(&self.seats),
                tasks: self.tasks.clone(),
                ended: ending.subscribe(),
            };
            self.tasks.spawn("revocation list", follower.run());
            self.followed.insert(list.clone(), ending);
        }
        if has_changed && !wanted.is_empty() {
            tracing::info!(count = wanted.len(), "revocation lists are fetched");
        }
        has_changed
    }
}

/// An address was checked when it was taken; one that is none is left out.
fn of_uploaded(FetchedList { anchor, address }: &FetchedList) -> Option<RevocationListSettings> {
    Some(RevocationListSettings {
        tenant: anchor.tenant.clone(),
        anchor: anchor.der.clone(),
        name: anchor.name.clone(),
        place: address.parse().ok()?,
        refresh: anchor.crl_refresh.map_or(HOUR, Duration::from_secs),
    })
}

async fn forget_others(authority: &Authority, named: &[RevocationListSettings]) {
    let id = |list: &RevocationListSettings| authority.anchor_id(&list.tenant, &list.anchor);
    let named: Vec<_> = named.iter().map(|list| (list.tenant.as_str(), id(list), list.place.url())).collect();
    let still = |tenant: &str, anchor: &str, source: &str| {
        named.iter().any(|(own, id, url)| *own == tenant && id == anchor && *url == source)
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
    /// Told when nobody wants the list any more.
    ended: watch::Receiver<()>,
}

impl Follower {
    async fn run(self) {
        let mut stop = self.tasks.stop_signal();
        let mut ended = self.ended.clone();
        let mut failures = 0_u32;
        loop {
            let fetched = tokio::select! {
                () = stop.stopped() => return,
                _ = ended.changed() => return,
                fetched = self.once() => fetched,
            };
            failures = self.tell(fetched, failures);
            tokio::select! {
                () = stop.stopped() => return,
                _ = ended.changed() => return,
                () = tokio::time::sleep(pause(self.list.refresh, failures)) => {}
            }
        }
    }

    /// Fetches the list and hands it over.
    async fn once(&self) -> Result<(), String> {
        let _seat = self.seats.acquire().await.map_err(|closed| closed.to_string())?;
        Counter::CrlFetches.one();
        let bytes = fetch(&self.list.place, &self.tasks).await.map_err(|error| error.to_string())?;
        let (authority, tenant) = (self.broker.authority(), &self.list.tenant);
        let anchor = authority.anchor_id(tenant, &self.list.anchor);
        let source = Some(self.list.place.url());
        let taken = authority.take_crls(&Caller::broker(), tenant, &anchor, &bytes, source).await;
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
