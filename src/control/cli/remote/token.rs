//! `certus token`: what scripts log in with.
//!
//! What lives here: arguments, and the words of what was done. What does not:
//! a token for a broker that stands still (`recover`). Invariant: a secret is
//! printed once, on standard output, and nowhere else.

use clap::Subcommand;
use serde_json::json;

use crate::config::duration;

use super::super::{Outcome, recover, say, settings};
use super::client::{Content, MOST};
use super::show::{self, Column};
use super::{Api, ask, put, scopes, tenant, text};

/// Arguments of `token`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus token issue --scope auditor --name nightly-report --lasts 30d
  certus token issue --tenant acme7 --scope mcmqtt.admin > token
  certus token enrol pump-8 --tenant lab > pump-8.token    for its first certificate over EST
  certus token delete 5b1e7f0c9a3d2e41
  certus token recover                     for whoever lost the last one: the broker must not run

Scopes are admin, operator, auditor, or single ones such as anchors:write.")]
pub(in crate::control::cli) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The tenant; without it the token is for the whole broker.
    #[arg(long, global = true, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tokens, without their secrets.
    List,
    /// Make one, and print it.
    Issue {
        /// What it may do; several times, or with commas between them.
        #[arg(long, value_name = "SCOPE", required = true)]
        scope: Vec<String>,
        /// What people call it.
        #[arg(long, value_name = "NAME", default_value = "command line")]
        name: String,
        /// For how long, such as 12h or 30d [default: for ever].
        #[arg(long, value_name = "DURATION", value_parser = lasts)]
        lasts: Option<u64>,
    },
    /// Make one with which a device gets its first certificate over EST, once,
    /// and print it.
    Enrol {
        /// The device: the CN of its certificate.
        device: String,
        /// For how long, such as 12h, a month at most [default: 1d].
        #[arg(long, value_name = "DURATION", value_parser = lasts)]
        lasts: Option<u64>,
    },
    /// End one.
    Delete {
        /// Its ID, as the list has it: the token's own first part.
        id: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Make an administrator's token in the store of a stopped broker.
    Recover {
        #[command(flatten)]
        place: Box<settings::Args>,
    },
}

/// Seconds, of a time such as 12h or 30d.
pub(super) fn lasts(text: &str) -> Result<u64, String> {
    let seconds = duration(text).map(|lasts| lasts.as_secs()).filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| String::from("write a number with a unit, such as 12h or 30d"))
}

const COLUMNS: &[Column] =
    &[("ID", "/id"), ("NAME", "/name"), ("SCOPES", "/scopes"), ("EXPIRES", "/expires_at"), ("CREATED", "/created_at")];

pub(in crate::control::cli) fn run(args: &Args) -> Outcome {
    if let Command::Recover { place } = &args.command {
        return recover::run(place);
    }
    super::run(&args.api, async |client| {
        let path: &[&str] = match &args.tenant {
            Some(tenant) => &["tenants", tenant, "tokens"],
            None => &["tokens"],
        };
        match &args.command {
            Command::Recover { .. } => {}
            Command::List => show::list(&args.api, &client.all(path, &[], MOST).await?, COLUMNS),
            Command::Issue { scope, name, lasts } => {
                let mut body = json!({ "name": name, "scopes": scopes(scope) });
                put(&mut body, "lasts_seconds", *lasts);
                let made = client.post(path, Content::Json(body)).await?;
                // Alone in its line, so that a shell can catch it.
                show::done(&args.api, &made, text(&made, "token"));
            }
            Command::Enrol { device, lasts } => {
                let tenant = tenant(client, args.tenant.as_deref()).await?;
                let mut body = json!({ "device": device });
                put(&mut body, "lasts_seconds", *lasts);
                let made = client.post(&["tenants", &tenant, "enrolment-tokens"], Content::Json(body)).await?;
                show::done(&args.api, &made, text(&made, "token"));
            }
            Command::Delete { id, yes } => {
                ask::sure(*yes, &format!("End token {id}"))?;
                client.delete(&["tokens", id], &[]).await?;
                say(format_args!("token {id} ended"));
            }
        }
        Ok(())
    })
}
