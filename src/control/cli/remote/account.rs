//! `certus account`: names with passwords, of a tenant or of the whole broker.
//!
//! What lives here: arguments, and the words of what was done. What does not:
//! the file of accounts that a configuration names (`passwd`). Invariant: a
//! password is typed, read from standard input, or from a file.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::identity::switch::Role;

use super::super::{Outcome, say};
use super::client::{Client, Content, MOST};
use super::show::{self, Column};
use super::{Api, Done, ask, put, scopes, text};

/// Arguments of `account`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus account add ada --scope operator                   of the whole broker: asks for the password, twice
  certus account add reader --tenant lab --role application < secret
  certus account passwd ada --password-file secret
  certus account disable reader --tenant lab       asks first, or takes --yes

The role says what it may do over MQTT, the scopes what it may do over the API.")]
pub(in crate::control::cli) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The tenant; without it the account is of the whole broker.
    #[arg(long, global = true, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the accounts.
    List,
    /// Make one.
    Add {
        /// Its name, without the tenant.
        name: String,
        /// What it is for towards MQTT: device, application or operator.
        #[arg(long, value_name = "ROLE", default_value = "application")]
        role: Role,
        /// What it may do over the API; several times, or with commas between them.
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<String>,
        /// A file with the password in its first line.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give it a new password; whoever is connected by the old one has to go.
    Passwd {
        /// The account.
        name: String,
        /// A file with the password in its first line.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Change what it may do.
    Change {
        /// The account.
        name: String,
        /// What it is for towards MQTT.
        #[arg(long, value_name = "ROLE", required_unless_present = "scope")]
        role: Option<Role>,
        /// What it may do over the API; "" for nothing.
        #[arg(long, value_name = "SCOPE")]
        scope: Vec<String>,
    },
    /// Look at one.
    Show {
        /// The account.
        name: String,
    },
    /// Take its password again.
    Enable {
        /// The account.
        name: String,
    },
    /// Refuse its password; whoever is connected by it has to go.
    Disable {
        /// The account.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Delete it; whoever is connected by it has to go.
    Delete {
        /// The account.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

const COLUMNS: &[Column] =
    &[("NAME", "/name"), ("ROLE", "/role"), ("SCOPES", "/scopes"), ("ENABLED", "/enabled"), ("CREATED", "/created_at")];

pub(in crate::control::cli) fn run(args: &Args) -> Outcome {
    super::run(&args.api, async |client| work(client, args).await)
}

async fn work(client: &Client, Args { command, tenant, api }: &Args) -> Done {
    let of = |name| match tenant {
        Some(tenant) => vec!["tenants", tenant, "accounts", name],
        None => vec!["accounts", name],
    };
    let mut all = of("");
    all.pop();
    let (name, change) = match command {
        Command::List => {
            show::list(api, &client.all(&all, &[], MOST).await?, COLUMNS);
            return Ok(());
        }
        Command::Add { name, role, scope, password_file } => {
            let password = ask::password(name, password_file.as_deref())?;
            let body = json!({
                "name": name, "password": password.as_str(), "role": role.to_string(), "scopes": scopes(scope),
            });
            let made = client.post(&all, Content::Json(body)).await?;
            show::done(api, &made, &format!("account {name} ({role}) made"));
            return Ok(());
        }
        Command::Show { name } => {
            show::one(api, &client.get(&of(name), &[]).await?, COLUMNS);
            return Ok(());
        }
        Command::Delete { name, yes } => {
            ask::sure(*yes, &format!("Delete account {name}"))?;
            client.delete(&of(name), &[]).await?;
            say(format_args!("account {name} deleted"));
            return Ok(());
        }
        Command::Passwd { name, password_file } => {
            let password = ask::password(name, password_file.as_deref())?;
            (name, json!({ "password": password.as_str() }))
        }
        Command::Change { name, role, scope } => {
            let mut change = json!({});
            put(&mut change, "role", role.map(|role| role.to_string()));
            put(&mut change, "scopes", (!scope.is_empty()).then(|| Value::from(scopes(scope))));
            (name, change)
        }
        Command::Enable { name } => (name, json!({ "enabled": true })),
        Command::Disable { name, yes } => {
            ask::sure(*yes, &format!("Disable account {name}; whoever is connected by it has to go"))?;
            (name, json!({ "enabled": false }))
        }
    };
    let now = client.patch(&of(name), change).await?;
    let status = if now.get("enabled") == Some(&Value::Bool(true)) { "enabled" } else { "disabled" };
    show::done(api, &now, &format!("account {name} ({}, {status}) changed", text(&now, "role")));
    Ok(())
}
