//! What the control plane does now and then.
//!
//! What lives here: notices of certificates' lives, and the bounds of what is
//! kept. What does not: which notices are due (`ca::authority`), how they are
//! sent (`courier`). Invariant: a chore that fails is tried again, says so once,
//! and disturbs nobody.

mod courier;
pub mod mail;
mod starttls;
pub mod webhook;

use std::sync::Arc;
use std::time::Duration;

use crate::broker::Handle;
use crate::ca::authority::Fault;
use crate::control::settings::NoticeSettings;
use crate::shutdown::Tasks;

use courier::Courier;

/// How often they are done.
const PAUSE: Duration = Duration::from_secs(60);
/// How often where a test moves the clock.
const SHORT_PAUSE: Duration = Duration::from_secs(1);
/// The audit is looked over once in so many times: it grows slowly, and is
/// read whole.
const AUDIT_TURN: u64 = 60;

/// Does the chores of `broker` until `tasks` is told to stop.
pub fn keep(broker: Handle, notices: NoticeSettings, tasks: &Tasks) {
    let mut stop = tasks.stop_signal();
    let is_test = broker.authority().clock().is_moved_by_file();
    let pause = if is_test { SHORT_PAUSE } else { PAUSE };
    let mut chores = Chores { broker, courier: Courier::new(notices), tasks: tasks.clone(), turn: 0 };
    tasks.spawn("chores", async move {
        let mut failed = false;
        loop {
            let done = chores.once().await;
            if let Err(error) = &done
                && !failed
            {
                tracing::warn!(%error, "a chore of the control plane failed; it is tried again");
            }
            failed = done.is_err();
            tokio::select! {
                () = stop.stopped() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
}

struct Chores {
    broker: Handle,
    courier: Courier,
    /// Where long reads are done: no worker of a connection waits for them.
    tasks: Tasks,
    turn: u64,
}

impl Chores {
    async fn once(&mut self) -> Result<(), Fault> {
        let authority = self.broker.authority();
        let reader = Arc::clone(authority);
        let due = self.tasks.blocking("due notices", move || reader.due_notices()).await.transpose()?;
        let due = due.unwrap_or_default();
        if !due.is_empty() {
            tracing::info!(count = due.len(), "notices of certificates are written");
        }
        for notice in due {
            authority.write_notice(notice).await?;
        }
        self.courier.deliver(authority).await?;
        if self.turn.is_multiple_of(AUDIT_TURN) {
            let reader = Arc::clone(authority);
            self.tasks.blocking("audit", move || reader.sweep_audit()).await.transpose()?;
        }
        self.turn += 1;
        // Last: a certificate that cannot be read holds up nothing else.
        let reader = Arc::clone(authority);
        let indexed =
            self.tasks.blocking("certificates by CN", move || reader.index_certificates()).await.transpose()?;
        if let Some(count) = indexed.filter(|count| *count > 0) {
            tracing::info!(count, "certificates of an earlier version can be found by their CN");
        }
        Ok(())
    }
}
