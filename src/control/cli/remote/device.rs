//! `certus device`: the devices that a tenant knows.
//!
//! What lives here: arguments, and the words of what was done. What does not:
//! taking a device's trust away for good (`revoke`).

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::super::{Outcome, say};
use super::client::{Client, Content, MOST};
use super::show::{self, Column};
use super::{Api, Done, anchor, ask, put, tenant, text};

/// Arguments of `device`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus device add pump-7 --type pump --name 'Pump, hall 3'
  certus device list --never-seen               registered, and never connected
  certus device show pump-7
  certus device disable pump-7                  its connections end within a second
  certus device remove pump-7

A device is known by its first connection, where its anchor and its tenant let
it, or beforehand by `add`. `remove` forgets it: where first connections register
it comes again; `disable` or `certus revoke --device` keep it out.")]
pub(in crate::control::cli) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The tenant; needed when there are several.
    #[arg(long, global = true, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the devices.
    List {
        /// Only those whose names begin so.
        #[arg(long, value_name = "TEXT")]
        begins: Option<String>,
        /// Only those of this type.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Only those that came to be known so.
        #[arg(long, value_name = "HOW")]
        origin: Option<Origin>,
        /// Only those that came through this anchor last.
        #[arg(long, value_name = "ANCHOR")]
        anchor: Option<String>,
        /// Only those that may not connect.
        #[arg(long)]
        disabled: bool,
        /// Only those that never connected.
        #[arg(long)]
        never_seen: bool,
    },
    /// Look at one, its certificates and its connections.
    Show {
        /// The device.
        device: String,
    },
    /// Make devices known before their first connection.
    Add {
        /// The devices: the CNs of their certificates.
        #[arg(required = true)]
        devices: Vec<String>,
        /// Their type.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// The name for people.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// A file with a JSON object: whatever else is to be said of them.
        #[arg(long, value_name = "FILE")]
        properties: Option<PathBuf>,
    },
    /// Let one connect.
    Enable {
        /// The device.
        device: String,
    },
    /// Let one connect no longer; its connections end.
    Disable {
        /// The device.
        device: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Forget one; its connections end.
    Remove {
        /// The device.
        device: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Origin {
    /// By its first connection.
    Connection,
    /// In a list of many.
    Bulk,
    /// By a call of the API, such as `certus device add`.
    Api,
}

pub(super) const COLUMNS: &[Column] = &[
    ("DEVICE", "/id"),
    ("ENABLED", "/enabled"),
    ("LIVE", "/connections"),
    ("LAST CONNECTED", "/last_connected_at"),
    ("FIRST CONNECTED", "/first_connected_at"),
    ("BY", "/origin"),
    ("TYPE", "/type"),
    ("NAME", "/name"),
];
const DETAILS: &[Column] = &[
    ("DEVICE", "/id"),
    ("ENABLED", "/enabled"),
    ("KNOWN BY", "/origin"),
    ("KNOWN SINCE", "/registered_at"),
    ("FIRST CONNECTED", "/first_connected_at"),
    ("LAST CONNECTED", "/last_connected_at"),
    ("CONNECTIONS", "/connections"),
    ("TYPE", "/type"),
    ("NAME", "/name"),
    ("PROPERTIES", "/properties"),
    ("ANCHOR", "/anchor"),
];

pub(in crate::control::cli) fn run(args: &Args) -> Outcome {
    super::run(&args.api, async |client| {
        let tenant = tenant(client, args.tenant.as_deref()).await?;
        work(client, &tenant, args).await
    })
}

async fn work(client: &Client, tenant: &str, Args { command, api, .. }: &Args) -> Done {
    let all = ["tenants", tenant, "devices"];
    match command {
        Command::List { .. } => {
            let wanted = wanted(client, tenant, command).await?;
            let query: Vec<(&str, &str)> = wanted.iter().map(|(name, value)| (*name, value.as_str())).collect();
            show::list(api, &client.all(&all, &query, MOST).await?, COLUMNS);
        }
        Command::Show { device } => look_at(client, tenant, api, device).await?,
        Command::Add { devices, kind, name, properties } => {
            let properties = properties.as_deref().map(object).transpose()?;
            let mut made = Vec::new();
            for device in devices {
                let mut body = json!({ "id": device });
                put(&mut body, "type", kind.as_deref());
                put(&mut body, "name", name.as_deref());
                put(&mut body, "properties", properties.clone());
                made.push(client.post(&all, Content::Json(body)).await?);
                if !api.is_json() {
                    say(show::harmless(&format!("device {device} of tenant {tenant} is known")));
                }
            }
            if api.is_json() {
                show::list(api, &made, COLUMNS);
            }
        }
        Command::Enable { device } => set(client, tenant, api, device, true).await?,
        Command::Disable { device, yes } => {
            ask::sure(*yes, &format!("Disable device {device} of tenant {tenant}, whose connections end"))?;
            set(client, tenant, api, device, false).await?;
        }
        Command::Remove { device, yes } => {
            ask::sure(*yes, &format!("Forget device {device} of tenant {tenant}, whose connections end"))?;
            client.delete(&["tenants", tenant, "devices", device], &[]).await?;
            say(show::harmless(&format!("device {device} is forgotten")));
        }
    }
    Ok(())
}

/// The query of a list.
async fn wanted(client: &Client, tenant: &str, command: &Command) -> Done<Vec<(&'static str, String)>> {
    let Command::List { begins, kind, origin, anchor, disabled, never_seen } = command else { return Ok(Vec::new()) };
    let mut query = Vec::new();
    query.extend(begins.clone().map(|begins| ("begins", begins)));
    query.extend(kind.clone().map(|kind| ("type", kind)));
    query.extend(origin.and_then(|origin| Some(("origin", origin.to_possible_value()?.get_name().to_owned()))));
    query.extend(disabled.then(|| ("enabled", "false".to_owned())));
    query.extend(never_seen.then(|| ("seen", "false".to_owned())));
    if let Some(named) = anchor {
        let found = anchor::find(client, tenant, named).await?;
        let fingerprint = found.pointer("/certificate/fingerprint").and_then(Value::as_str).unwrap_or_default();
        query.push(("anchor", fingerprint.to_owned()));
    }
    Ok(query)
}

async fn look_at(client: &Client, tenant: &str, api: &Api, device: &str) -> Done {
    let mut found = client.get(&["tenants", tenant, "devices", device], &[]).await?;
    let live = client.all(&["connections"], &[("tenant", tenant), ("device", device)], MOST).await?;
    let query = [("common_name", device), ("revoked", "true")];
    let certificates = client.all(&["tenants", tenant, "certificates"], &query, MOST).await?;
    if api.is_json() {
        put(&mut found, "live", Some(live));
        put(&mut found, "certificates", Some(certificates));
        show::one(api, &found, DETAILS);
        return Ok(());
    }
    show::one(api, &found, DETAILS);
    if !live.is_empty() {
        say("\nlive connections");
        show::list(api, &live, super::connections::COLUMNS);
    }
    if !certificates.is_empty() {
        say("\ncertificates that were issued here");
        show::list(api, &certificates, super::issued::COLUMNS);
    }
    Ok(())
}

async fn set(client: &Client, tenant: &str, api: &Api, device: &str, enabled: bool) -> Done {
    let now = client.patch(&["tenants", tenant, "devices", device], json!({ "enabled": enabled })).await?;
    let status = if enabled { "enabled" } else { "disabled" };
    show::done(api, &now, &format!("device {} is {status}", text(&now, "id")));
    Ok(())
}

fn object(file: &std::path::Path) -> Done<Value> {
    let wrong = |why: &dyn std::fmt::Display| Outcome::wrong(format_args!("--properties {}: {why}", file.display()));
    let text = std::fs::read(file).map_err(|error| wrong(&error))?;
    let read: Value = serde_json::from_slice(&text).map_err(|error| wrong(&error))?;
    if read.is_object() { Ok(read) } else { Err(wrong(&"it holds no JSON object")) }
}
