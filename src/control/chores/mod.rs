//! What the control plane does now and then.
//!
//! What lives here: notices of certificates' lives, and the bounds of what is
//! kept. What does not: which notices are due (`ca::authority`), how they are
//! sent (`mail`). Invariant: a chore that fails is tried again, says so once,
//! and disturbs nobody.

pub mod mail;

use std::time::Duration;

use crate::broker::Handle;
use crate::ca::authority::Fault;
use crate::shutdown::Tasks;

use mail::Postman;

/// How often they are done.
const PAUSE: Duration = Duration::from_secs(60);
/// How often where a test moves the clock.
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// Does the chores of `broker` until `tasks` is told to stop.
pub fn keep(broker: Handle, mail: Option<mail::Settings>, tasks: &Tasks) {
    let mut stop = tasks.stop_signal();
    let is_test = broker.authority().clock().is_moved_by_file();
    let pause = if is_test { SHORT_PAUSE } else { PAUSE };
    tasks.spawn("chores", async move {
        let mut postman = mail.map(Postman::new);
        let mut failed = false;
        loop {
            let done = once(&broker, postman.as_mut()).await;
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

async fn once(broker: &Handle, postman: Option<&mut Postman>) -> Result<(), Fault> {
    let authority = broker.authority();
    let written = authority.write_notices().await?;
    if written > 0 {
        tracing::info!(count = written, "notices of certificates were written");
    }
    if let Some(postman) = postman {
        for notice in authority.unsent_notices()? {
            let is_done = postman.deliver(&notice).await;
            authority.note_notice(&notice, is_done).await?;
            if !is_done {
                break; // the others would fail as well
            }
        }
    }
    authority.sweep_notices().await?;
    authority.sweep_audit()?;
    Ok(())
}
