//! Which store a broker rests on, and the threads that keep it.
//!
//! What lives here: opening, the start and the end of its threads. What does
//! not: what is stored. Invariant: its threads end only when everything that
//! was taken is written.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ca::seal::{self, SealError, SealingKey};
use crate::shutdown::Tasks;
use crate::store::{self, EmbeddedStore, MemoryStore, OpenError, Plan, SlowStore, Store};

use super::{Settings, StartError};

/// How long an acknowledged message lasts. Source: house decisions on
/// durability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Until the process ends.
    Memory,
    /// As the store's level says.
    Disk {
        /// Where the store lies; made when it is absent.
        directory: PathBuf,
        /// Its level and its bounds.
        settings: store::Settings,
    },
}

/// The key that seals what the store holds of private keys, from where the
/// settings or the environment say, else from beside the store; one for a
/// store in memory lasts as long as that.
pub(super) fn sealing_key(settings: &Settings) -> Result<SealingKey, SealError> {
    match &settings.durability {
        Durability::Memory => SealingKey::random(),
        Durability::Disk { directory, .. } => {
            let state_dir = directory.parent().unwrap_or(directory).to_owned();
            let (key, origin) = seal::Sources::of_this_process(settings.sealing_key_file.clone(), state_dir).load()?;
            tracing::info!(key = %key.id(), from = %origin, "private keys at rest are sealed");
            Ok(key)
        }
    }
}

/// A store with what keeps it running.
pub(super) struct Storage {
    pub(super) store: Arc<dyn Store>,
    keeper: Keeper,
}

enum Keeper {
    Nobody,
    Slow(Arc<SlowStore>),
    Embedded(Arc<EmbeddedStore>),
}

impl Storage {
    /// The store that the settings name.
    pub(super) fn open(settings: &Settings) -> Result<Self, StartError> {
        if let Some(specification) = &settings.slow_store {
            let plan: Plan = specification.parse().map_err(|error| StartError::SlowStore(format!("{error}")))?;
            let slow = Arc::new(SlowStore::new(plan, 1));
            return Ok(Self { store: Arc::clone(&slow) as Arc<dyn Store>, keeper: Keeper::Slow(slow) });
        }
        match &settings.durability {
            Durability::Memory => Ok(Self::given(Arc::new(MemoryStore::default()))),
            Durability::Disk { directory, settings } => Ok(Self::embedded(directory, settings.clone())?),
        }
    }

    /// A store that needs nobody.
    pub(super) fn given(store: Arc<dyn Store>) -> Self {
        Self { store, keeper: Keeper::Nobody }
    }

    fn embedded(directory: &std::path::Path, settings: store::Settings) -> Result<Self, OpenError> {
        let opened = EmbeddedStore::open(directory, settings)?;
        for damage in &opened.damage {
            tracing::error!(store = %directory.display(), "{damage}");
        }
        for (first, there) in &opened.missing {
            let missing = there - first;
            tracing::error!(store = %directory.display(), first, missing, "groups are missing from the store's log");
        }
        let store = opened.store;
        Ok(Self { store: Arc::clone(&store) as Arc<dyn Store>, keeper: Keeper::Embedded(store) })
    }

    /// Whether what it holds lies in memory.
    pub(super) const fn is_in_memory(&self) -> bool {
        !matches!(self.keeper, Keeper::Embedded(_))
    }

    /// Starts its threads.
    pub(super) fn run(&self, tasks: &Tasks) -> std::io::Result<()> {
        match &self.keeper {
            Keeper::Nobody => {}
            Keeper::Slow(slow) => {
                let slow = Arc::clone(slow);
                tasks.spawn_thread("committer", move || slow.run_committer())?;
            }
            Keeper::Embedded(store) => {
                let [committer, applier, keeper] = [(); 3].map(|()| Arc::clone(store));
                tasks.spawn_thread("committer", move || committer.run_committer())?;
                tasks.spawn_thread("applier", move || applier.run_applier())?;
                tasks.spawn_thread("keeper", move || keeper.run_keeper())?;
            }
        }
        Ok(())
    }

    /// Lets its threads end, once everything is written.
    pub(super) fn close(&self) {
        match &self.keeper {
            Keeper::Nobody => {}
            Keeper::Slow(slow) => slow.close(),
            Keeper::Embedded(store) => store.close(),
        }
    }
}
