//! What `certus pub` and `certus sub` do alike.
//!
//! What lives here: the runtime of one client, its password, and its exit code.
//! What does not: messages. Invariant: a password is never taken from the
//! command line, where every user of the machine could read it.

use std::io::{BufRead, IsTerminal};
use std::process::{Command, Stdio};

use crate::bench::Error;
use crate::bench::client::{Client, Options};

use super::Outcome;

/// Connects, and does `work` with the client.
pub(super) fn run<W>(options: &Options, work: W) -> Outcome
where
    W: AsyncFnOnce(Client) -> Result<(), Error>,
{
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::failed(format!("cannot start: {error}")),
    };
    let password = match options.wants_password().then(ask).transpose() {
        Ok(password) => password,
        Err(error) => return Outcome::wrong(format!("no password: {error}; give it by --password-file")),
    };
    let done = runtime.block_on(async {
        let client = Client::connect(options, password).await?;
        work(client).await
    });
    match done {
        Ok(()) => Outcome::Done,
        Err(error @ (Error::Usage(_) | Error::File { .. } | Error::Content { .. })) => Outcome::wrong(error),
        Err(error) => Outcome::failed(error),
    }
}

/// Asks for a password without showing it; from a pipe it is the first line.
fn ask() -> std::io::Result<Vec<u8>> {
    let hidden = std::io::stdin().is_terminal();
    if hidden {
        eprint!("Password: ");
        echo("-echo");
    }
    let mut line = Vec::new();
    let read = std::io::stdin().lock().read_until(b'\n', &mut line);
    if hidden {
        echo("echo");
        eprintln!();
    }
    read?;
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    Ok(line)
}

/// Terminal echo by `stty`, which spares this program the unsafe call.
fn echo(setting: &str) {
    let _ = Command::new("stty").arg(setting).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
}
