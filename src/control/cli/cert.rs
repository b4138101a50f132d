//! `certus cert`: certificates from the development CAs.
//!
//! What lives here: the arguments and what is printed. What does not: issuing
//! (`ca`). Invariant: nothing that exists is overwritten.

use clap::Subcommand;

use crate::ca;
use crate::clock::Clock;

use super::{Outcome, say, settings};

/// Arguments of `cert`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A device certificate: NAME is its CN, and so the ClientId to use.
    #[command(after_help = "Example:\n  certus cert new pump-7     writes certs/pump-7.pem and certs/pump-7.key")]
    New {
        /// The CN; also the name of the two files.
        name: String,
        #[command(flatten)]
        place: settings::Where,
    },
    /// A new server certificate, after server.pem and server.key were moved away.
    Server {
        #[command(flatten)]
        place: settings::Where,
    },
}

pub(super) fn run(args: &Args) -> Outcome {
    let (Command::New { place, .. } | Command::Server { place }) = &args.command;
    let plan = match place.plan() {
        Ok(plan) => plan,
        Err(problems) => return Outcome::wrong(problems),
    };
    let now = Clock::system().wall();
    let issued = match &args.command {
        Command::New { name, .. } => ca::new_device(&plan.certs_dir, name, now),
        Command::Server { .. } => ca::new_server(&plan.certs_dir, &plan.server_names, now),
    };
    match issued {
        Ok(pair) => {
            say(format_args!("certificate {}", pair.certificate.display()));
            say(format_args!("key         {}", pair.key.display()));
            Outcome::Done
        }
        Err(error @ ca::Error::Name { .. }) => Outcome::wrong(error),
        Err(error) => Outcome::failed(error),
    }
}
