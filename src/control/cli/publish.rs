//! `certus pub`.
//!
//! What lives here: where the payload comes from. What does not: the client
//! (`crate::bench::client`). Invariant: 0 only after the broker has answered for
//! every message whose QoS has an answer.

use std::io::{BufRead, Read};
use std::path::PathBuf;

use crate::bench::client::{Client, Options};
use crate::bench::{Error, qos};
use crate::mqtt::Qos;

use super::{Outcome, session};

/// Arguments of `certus pub`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
    /// Where to publish to
    #[arg(long, short)]
    topic: String,
    #[command(flatten)]
    payload: Payload,
    /// Quality of service: 0, 1 or 2
    #[arg(long, short, default_value = "0", value_parser = qos)]
    qos: Qos,
    /// The broker keeps the message for later subscribers
    #[arg(long, short)]
    retain: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Payload {
    /// The message
    #[arg(long, short)]
    message: Option<String>,
    /// The content of a file
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// All of standard input as one message
    #[arg(long, short = 's')]
    stdin: bool,
    /// Each line of standard input as a message
    #[arg(long, short)]
    lines: bool,
    /// An empty message; with -r it clears what is kept
    #[arg(long, short)]
    null: bool,
}

/// Connects, publishes, says goodbye.
pub(super) fn run(args: &Args) -> Outcome {
    session::run(&args.options, async |client| publish(client, args).await)
}

async fn publish(mut client: Client, args: &Args) -> Result<(), Error> {
    if args.payload.lines {
        for line in std::io::stdin().lock().lines() {
            let line = line.map_err(Error::Io)?;
            client.publish(&args.topic, line.as_bytes(), args.qos, args.retain).await?;
        }
    } else {
        client.publish(&args.topic, &payload(&args.payload)?, args.qos, args.retain).await?;
    }
    client.disconnect().await;
    Ok(())
}

fn payload(from: &Payload) -> Result<Vec<u8>, Error> {
    if let Some(message) = &from.message {
        return Ok(message.clone().into_bytes());
    }
    if let Some(file) = &from.file {
        return std::fs::read(file).map_err(|error| Error::file(file, error));
    }
    let mut bytes = Vec::new();
    if from.stdin {
        std::io::stdin().lock().read_to_end(&mut bytes).map_err(Error::Io)?;
    }
    Ok(bytes)
}
