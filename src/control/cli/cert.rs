//! `certus cert`: certificates from the development CAs, and those that a
//! running broker issues.
//!
//! What lives here: the arguments and what is printed. What does not: issuing
//! (`ca`), asking a broker (`remote`). Invariant: nothing that exists is overwritten.

use std::time::SystemTime;

use clap::Subcommand;

use crate::ca;
use crate::clock::Clock;
use crate::config::Plan;

use super::{Outcome, remote, say, settings};

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
    /// List the certificates that a running broker has issued.
    List(remote::issued::List),
    /// Look at one that a running broker has issued.
    Show(remote::issued::Show),
    /// Let a running broker issue a certificate, for a device's own request or
    /// with a key that is made for it.
    #[command(after_help = "Examples:
  certus cert issue --csr pump-7.csr --out pump-7.pem
  certus cert issue pump-7 --key-type p256 --key-out pump-7.key --out pump-7.pem")]
    Issue(Box<remote::issued::Issue>),
    /// Let a running broker issue a device's certificate anew, with its names.
    #[command(after_help = "Examples:
  certus cert renew 01HF… --out pump-7.pem           over the same key
  certus cert renew 01HF… --key-out pump-7.key --out pump-7.pem --revoke-old")]
    Renew(Box<remote::issued::Renew>),
    /// Take back a certificate that a running broker has issued.
    Revoke(remote::issued::Revoke),
}

pub(super) fn run(args: &Args) -> Outcome {
    match &args.command {
        Command::List(args) => remote::issued::list(args),
        Command::Show(args) => remote::issued::look_at(args),
        Command::Renew(args) => remote::issued::renew(args),
        Command::Issue(args) => remote::issued::issue(args),
        Command::Revoke(args) => remote::issued::revoke(args),
        Command::New { name, place } => develop(place, |plan, now| ca::new_device(&plan.certs_dir, name, now)),
        Command::Server { place } => {
            develop(place, |plan, now| ca::new_server(&plan.certs_dir, &plan.server_names, now))
        }
    }
}

fn develop(place: &settings::Where, issue: impl FnOnce(&Plan, SystemTime) -> Result<ca::Pair, ca::Error>) -> Outcome {
    let plan = match place.plan() {
        Ok(plan) => plan,
        Err(problems) => return Outcome::wrong(problems),
    };
    match issue(&plan, Clock::system().wall()) {
        Ok(pair) => {
            say(format_args!("certificate {}", pair.certificate.display()));
            say(format_args!("key         {}", pair.key.display()));
            Outcome::Done
        }
        Err(error @ ca::Error::Name { .. }) => Outcome::wrong(error),
        Err(error) => Outcome::failed(error),
    }
}
