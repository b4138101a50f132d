//! The one owner of what the control plane keeps.
//!
//! What lives here: reading it at the start, and the one way in which it
//! changes. What does not: the words of any API (`control`), what connections
//! are judged by (`identity`). Invariant: a change is checked, written in one
//! batch with its audit lines, and published as one snapshot, in this order
//! and under one lock; a change that fails at any point changes nothing.

mod access;
mod access_tokens;
mod accounts;
mod anchors;
mod audit;
mod caller;
mod certificates;
mod crls;
mod device_requests;
mod devices;
mod draft;
mod durable;
mod explanation;
mod fault;
mod holders;
mod issuing;
mod keys;
mod listed;
mod names;
mod notices;
mod options;
mod proof;
mod random;
mod requests;
mod revocations;
mod shelf;
mod state;
mod tenants;
#[cfg(test)]
mod tests;
mod tokens;
mod voucher;

pub use crate::identity::certificate::CertificateFacts;
pub use crate::identity::name::CommonName;
pub use crate::identity::switch::{Profile, RevocationReason};
pub use crate::store::rows::{DeviceRow, Origin};
pub use access::{Scope, Scopes, UnknownScope};
pub use access_tokens::Claims;
pub use accounts::{AccountChange, NewAccount};
pub use anchors::{AnchorChange, AnchorView, NewAnchor};
pub use audit::{AuditFilter, Note};
pub use caller::Caller;
pub use certificates::{CERTIFICATE_DAYS, CertificateFilter, NewAgent};
pub use crls::{FetchedList, MAX_CRL_BYTES};
pub use devices::{DeviceChange, DeviceFilter, DeviceView, NewDevice, check_device_name};
pub use explanation::Explanation;
pub use fault::{Fault, Kind};
pub use issuing::RenewedKey;
pub use notices::{DueNotice, Tried, Way};
pub use random::new_password;
pub use requests::Grant;
pub use revocations::NewRevocation;
pub use tenants::{NewTenant, TenantChange, TenantView};
pub use tokens::{NewToken, Presented, TokenView};
pub use voucher::Voucher;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::ca::seal::SealingKey;
use crate::clock::Clock;
use crate::identity::devices::DeviceBook;
use crate::identity::tenant::TenantSettings;
use crate::identity::trust::{TrustError, TrustSnapshot};
use crate::store::Store;

use draft::Draft;
use keys::Keys;
use state::{Reach, State};

/// Lets a snapshot hold for everybody.
pub trait Publish: Send + Sync {
    /// What holds now.
    fn current(&self) -> Arc<TrustSnapshot>;

    /// Lets `next` hold from now on.
    ///
    /// # Errors
    /// Says what of it does not hold yet.
    fn publish(&self, next: TrustSnapshot) -> Result<(), String>;
}

/// Why what is kept cannot be read at the start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A row cannot be read.
    #[error("the control plane's rows: {0}")]
    Record(#[from] super::record::RecordError),
    /// The store failed.
    #[error("the control plane's rows: {0}")]
    Store(#[from] crate::store::StoreError),
    /// What is kept and what is configured do not go together.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Trust(Vec<TrustError>),
}

/// The control plane's memory, and the way to change it.
pub struct Authority {
    store: Arc<dyn Store>,
    clock: Clock,
    state: Mutex<State>,
    /// What connections know of devices.
    devices: Arc<DeviceBook>,
    keys: Keys,
    publisher: Mutex<Option<Arc<dyn Publish>>>,
    /// Counts the changes that connections are judged by.
    changes: watch::Sender<u64>,
}

impl Authority {
    /// Reads what is kept beside what is configured, and makes the first
    /// snapshot of both.
    ///
    /// # Errors
    /// Says what cannot be read, or what does not go together.
    pub fn open(
        store: Arc<dyn Store>,
        clock: Clock,
        sealing: SealingKey,
        configured: &[TenantSettings],
    ) -> Result<(Self, TrustSnapshot), OpenError> {
        let state = State::read(store.as_ref(), configured)?;
        let snapshot = state.snapshot().map_err(OpenError::Trust)?;
        let devices = Arc::clone(snapshot.devices());
        let (state, keys) = (Mutex::new(state), Keys::new(sealing));
        let changes = watch::Sender::new(0);
        Ok((Self { store, clock, state, devices, keys, publisher: Mutex::default(), changes }, snapshot))
    }

    /// Names whoever swaps snapshots; until then changes are only kept.
    pub fn publish_to(&self, publisher: Arc<dyn Publish>) {
        *self.publisher.lock().unwrap_or_else(PoisonError::into_inner) = Some(publisher);
    }

    /// Follows the changes that connections are judged by, for who keeps
    /// something in step with them.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes other configured tenants. `then` gets the snapshot that is to
    /// hold, while nothing else can change.
    ///
    /// # Errors
    /// What does not go together, or what `then` says; nothing is changed then.
    pub fn configure<E>(
        &self,
        configured: &[TenantSettings],
        then: impl FnOnce(TrustSnapshot) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<Vec<TrustError>>,
    {
        let mut state = self.state();
        let old = state.configure(configured);
        let taken = state.snapshot().map_err(E::from).and_then(then);
        if taken.is_err() {
            state.configured = old;
        }
        taken
    }

    /// The clock by which codes and tokens end.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change and waits until it is durable.
    async fn change<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        make: impl FnOnce(&mut Draft<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let (made, position) = self.change_now(caller, action, make)?;
        durable::wait(self.store.as_ref(), position).await?;
        Ok(made)
    }

    fn change_now<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        make: impl FnOnce(&mut Draft<'_>) -> Result<T, Fault>,
    ) -> Result<(T, crate::store::Position), Fault> {
        let mut state = self.state();
        let now = self.clock.unix_millis();
        let mut draft = Draft::new(&state, self.store.as_ref(), caller, action, now);
        let made = make(&mut draft)?;
        let change = draft.finish();
        let undo = state.apply(change.edits);
        let publisher = self.publisher.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let next = match (change.reach, &publisher) {
            (Reach::Nobody, _) => None,
            (Reach::Tenant, Some(publisher)) => Some(state.snapshot_beside(&publisher.current(), &change.tenant)),
            (Reach::Tenant | Reach::Everybody, _) => Some(state.snapshot()),
        };
        let next = match next.transpose() {
            Ok(next) => next,
            Err(errors) => {
                state.apply(undo);
                return Err(Fault::of_trust(&errors));
            }
        };
        let position = match self.store.append(change.batch) {
            Ok(position) => position,
            Err(error) => {
                state.apply(undo);
                return Err(error.into());
            }
        };
        if let Some((publisher, next)) = publisher.zip(next)
            && let Err(error) = publisher.publish(next)
        {
            tracing::error!(%error, "a change of trust is kept, but not all of it holds before the next start");
        }
        if change.reach != Reach::Nobody {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok((made, position))
    }
}
