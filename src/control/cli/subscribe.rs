//! `certus sub`.
//!
//! What lives here: how messages are printed, and when to stop. What does not:
//! the client (`crate::bench::client`). Invariant: a message is acknowledged
//! before it is printed, and printed whole.

use std::io::Write;
use std::time::Duration;

use crate::bench::client::{Client, Message, Options};
use crate::bench::{Error, qos};
use crate::mqtt::Qos;

use super::{Outcome, session};

/// Arguments of `certus sub`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
    /// What to subscribe to; may be given several times
    #[arg(long, short, required = true)]
    topic: Vec<String>,
    /// Quality of service at most: 0, 1 or 2
    #[arg(long, short, default_value = "0", value_parser = qos)]
    qos: Qos,
    /// End after so many messages
    #[arg(long, short = 'C', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds; with -C it is a failure
    #[arg(long, short = 'W', value_name = "SECONDS")]
    wait: Option<u64>,
    /// Print the topic before each message
    #[arg(long, short)]
    verbose: bool,
    /// No line break after each message
    #[arg(long, short = 'N')]
    no_newline: bool,
    /// Leave out messages that the broker had kept
    #[arg(long, short = 'R')]
    no_retained: bool,
}

/// Connects, subscribes, prints what comes.
pub(super) fn run(args: &Args) -> Outcome {
    session::run(&args.options, async |client| subscribe(client, args).await)
}

async fn subscribe(mut client: Client, args: &Args) -> Result<(), Error> {
    client.subscribe(&args.topic, args.qos).await?;
    let limit = args.wait.map_or(Duration::from_secs(u64::from(u32::MAX)), Duration::from_secs);
    let interrupt = tokio::signal::ctrl_c();
    let ended = tokio::select! {
        ended = tokio::time::timeout(limit, print_all(&mut client, args)) => ended,
        _ = interrupt => Ok(Ok(())),
    };
    match (ended, args.wait, args.count) {
        (Ok(ended), ..) => ended?,
        (Err(_), Some(wait), Some(_)) => return Err(Error::Late("waiting for the messages", wait)),
        (Err(_), ..) => {}
    }
    client.disconnect().await;
    Ok(())
}

async fn print_all(client: &mut Client, args: &Args) -> Result<(), Error> {
    let mut seen = 0;
    while args.count.is_none_or(|count| seen < count) {
        let message = client.receive().await?;
        if !(message.retain && args.no_retained) {
            // Whoever closed the pipe does not want the rest.
            if print(&message, args).is_err() {
                return Ok(());
            }
            seen += 1;
        }
    }
    Ok(())
}

fn print(message: &Message, args: &Args) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if args.verbose {
        write!(out, "{} ", message.topic)?;
    }
    out.write_all(&message.payload)?;
    if !args.no_newline {
        out.write_all(b"\n")?;
    }
    out.flush()
}
