//! `certus tenant`: who shares the broker, each with trust and rights of its own.
//!
//! What lives here: arguments, and the words of what was done.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::identity::switch::Profile;

use super::super::{Outcome, say};
use super::client::{Client, Content, MOST};
use super::show::{self, Column};
use super::{Api, Done, ask, put, text};

/// Arguments of `tenant`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus tenant add acme --profile mindconnect --domain acme.broker.example
  certus tenant disable acme
  certus tenant delete acme")]
pub(in crate::control::cli) struct Args {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tenants.
    List,
    /// Make one.
    Add {
        /// Its name.
        name: String,
        /// open, mindconnect, cumulocity or centiloc.
        #[arg(long, value_name = "PROFILE", default_value = "open")]
        profile: Profile,
        /// The TLS server name under which clients mean it.
        #[arg(long, value_name = "NAME")]
        domain: Option<String>,
    },
    /// Look at one.
    Show {
        /// The tenant.
        name: String,
    },
    /// Change the server name under which clients mean it.
    #[command(visible_alias = "set")]
    Change {
        /// The tenant.
        name: String,
        /// The TLS server name; "" for none.
        #[arg(long, value_name = "NAME")]
        domain: String,
    },
    /// Let its clients connect.
    Enable {
        /// The tenant.
        name: String,
    },
    /// Let its clients connect no longer; those that are connected have to go.
    Disable {
        /// The tenant.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Delete it with all that is its; its clients have to go.
    Delete {
        /// The tenant.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

const COLUMNS: &[Column] = &[
    ("NAME", "/id"),
    ("PROFILE", "/profile"),
    ("ENABLED", "/enabled"),
    ("DOMAIN", "/domain"),
    ("CONFIGURED", "/configured"),
    ("CREATED", "/created_at"),
];

pub(in crate::control::cli) fn run(args: &Args) -> Outcome {
    super::run(&args.api, async |client| work(client, args).await)
}

async fn work(client: &Client, Args { command, api }: &Args) -> Done {
    match command {
        Command::List => show::list(api, &client.all(&["tenants"], &[], MOST).await?, COLUMNS),
        Command::Add { name, profile, domain } => {
            let mut body = json!({ "id": name, "profile": profile.to_string() });
            put(&mut body, "domain", domain.as_deref());
            let made = client.post(&["tenants"], Content::Json(body)).await?;
            show::done(api, &made, &format!("tenant {} ({profile}) made", text(&made, "id")));
        }
        Command::Show { name } => show::one(api, &client.get(&["tenants", name], &[]).await?, COLUMNS),
        Command::Change { name, domain } => {
            let domain = Some(domain.as_str()).filter(|domain| !domain.is_empty());
            let now = client.patch(&["tenants", name], json!({ "domain": domain })).await?;
            let words = match domain {
                Some(domain) => format!("tenant {name} is meant by {domain}"),
                None => format!("tenant {name} has no server name"),
            };
            show::done(api, &now, &words);
        }
        Command::Enable { name } => set(client, api, name, true).await?,
        Command::Disable { name, yes } => {
            ask::sure(*yes, &format!("Disable tenant {name}, whose clients have to go"))?;
            set(client, api, name, false).await?;
        }
        Command::Delete { name, yes } => {
            ask::sure(*yes, &format!("Delete tenant {name} with all that is its"))?;
            client.delete(&["tenants", name], &[]).await?;
            say(format_args!("tenant {name} deleted"));
        }
    }
    Ok(())
}

async fn set(client: &Client, api: &Api, name: &str, enabled: bool) -> Done {
    let now: Value = client.patch(&["tenants", name], json!({ "enabled": enabled })).await?;
    show::done(api, &now, &format!("tenant {name} is {}", if enabled { "enabled" } else { "disabled" }));
    Ok(())
}
