//! `certus connections`: who is connected.
//!
//! What lives here: arguments, and the words of what was done.

use clap::Subcommand;

use super::super::{Outcome, say};
use super::Api;
use super::client::MOST;
use super::show::{self, Column};

/// Arguments of `connections`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus connections list --tenant lab
  certus connections list --client-id pump-7 --json
  certus connections disconnect 4711")]
pub(in crate::control::cli) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List live connections, the oldest first.
    List {
        /// Only those of this tenant.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Only the one with this ClientId.
        #[arg(long, value_name = "ID")]
        client_id: Option<String>,
        /// Only those with this CN.
        #[arg(long, value_name = "CN")]
        cn: Option<String>,
        /// Only those of this device.
        #[arg(long, value_name = "DEVICE")]
        device: Option<String>,
        /// Only those of this account.
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        /// Only those by this listener.
        #[arg(long, value_name = "LISTENER")]
        listener: Option<String>,
    },
    /// End one. Its client may come again.
    Disconnect {
        /// Its number, as the list and the log have it.
        id: u64,
        /// Why: for the audit, the log, and the client in MQTT 5.0.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
}

pub(super) const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("TENANT", "/tenant"),
    ("CLIENT", "/client_id"),
    ("PRINCIPAL", "/principal"),
    ("ANCHOR", "/anchor"),
    ("ADDRESS", "/address"),
    ("LISTENER", "/listener"),
    ("SINCE", "/connected_since"),
    ("QUEUED", "/queued"),
];

pub(in crate::control::cli) fn run(args: &Args) -> Outcome {
    super::run(&args.api, async |client| {
        match &args.command {
            Command::List { tenant, client_id, cn, device, account, listener } => {
                let given = [
                    ("tenant", tenant),
                    ("client_id", client_id),
                    ("common_name", cn),
                    ("device", device),
                    ("account", account),
                    ("listener", listener),
                ];
                let query = super::given(&given);
                show::list(&args.api, &client.all(&["connections"], &query, MOST).await?, COLUMNS);
            }
            Command::Disconnect { id, why } => {
                let why = super::given(&[("why", why)]);
                client.delete(&["connections", &id.to_string()], &why).await?;
                say(format_args!("connection {id} was told to end"));
            }
        }
        Ok(())
    })
}
