//! `certus token recover`: an administrator's token for whoever lost the last.
//!
//! What lives here: a broker that listens nowhere. What does
//! not: tokens (`ca`). Invariant: only who may write the store of a stopped
//! broker gets one, and the audit says that it was made.

use std::time::Duration;

use crate::broker::{self, Durability, StartError};
use crate::ca::authority::{Caller, NewToken};
use crate::clock::Clock;
use crate::config::load;
use crate::store::OpenError;

use super::{Outcome, say, settings};

/// As long as a broker takes at most.
const TIME_TO_STOP: Duration = Duration::from_secs(9);

pub(super) fn run(place: &settings::Args) -> Outcome {
    let mut settings = match load(&place.sources(), |_| Ok(Vec::new())) {
        Ok(config) => config.broker,
        Err(problems) => return Outcome::wrong(problems),
    };
    let Durability::Disk { directory, .. } = &settings.durability else {
        return Outcome::wrong("storage.durability is memory: a restart of the broker tells a token");
    };
    if !directory.join("format").exists() {
        let directory = directory.display();
        return Outcome::wrong(format_args!("there is no store in {directory}; name its state_dir with --state-dir"));
    }
    settings.listeners.clear();
    settings.https = None;
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::failed(format_args!("cannot start: {error}")),
    };
    runtime.block_on(async {
        let broker = match broker::start(settings, Clock::system()) {
            Ok(broker) => broker,
            Err(error @ StartError::Store(OpenError::Locked { .. })) => return Outcome::wrong(error),
            Err(error) => return Outcome::failed(error),
        };
        let new = NewToken { name: "recovered".to_owned(), scopes: vec!["admin".to_owned()], lasts: None };
        let made = broker.handle().authority().create_token(&Caller::broker(), "", new).await;
        let _ = broker.stop(TIME_TO_STOP).await;
        match made {
            Ok(made) => {
                say(made.secret.as_str());
                Outcome::Done
            }
            Err(error) => Outcome::failed(error),
        }
    })
}
