//! `certus cert list|issue|revoke`: certificates that the broker has issued.
//!
//! What lives here: arguments, and the words of what was done. Invariant:
//! nothing that exists is overwritten.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::{Outcome, say};
use super::client::{Client, Content, MOST};
use super::show::{self, Column};
use super::{Api, Done, anchor, ask, put, tenant, text};

/// Which broker, and whose certificates.
#[derive(Debug, clap::Args)]
pub(in crate::control::cli) struct At {
    /// The tenant; needed when there are several.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(flatten)]
    api: Api,
}

/// Arguments of `cert list`.
#[derive(Debug, clap::Args)]
pub(in crate::control::cli) struct List {
    /// Only those with this CN.
    #[arg(long, value_name = "CN")]
    cn: Option<String>,
    /// Also those that were taken back.
    #[arg(long)]
    revoked: bool,
    #[command(flatten)]
    at: At,
}

/// Arguments of `cert issue`.
#[derive(Debug, clap::Args)]
pub(in crate::control::cli) struct Issue {
    /// The device's own request (PKCS #10), PEM or DER; its CN is the device.
    #[arg(long, value_name = "FILE")]
    csr: PathBuf,
    /// Where the certificate is written, PEM [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

/// Arguments of `cert revoke`.
#[derive(Debug, clap::Args)]
pub(in crate::control::cli) struct Revoke {
    /// Its ID, as the list has it.
    id: String,
    /// Why, by the names of RFC 5280, such as keyCompromise or superseded.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: At,
}

pub(super) const COLUMNS: &[Column] = &[
    ("ID", "/id"),
    ("CN", "/common_name"),
    ("FOR", "/used_for"),
    ("SERIAL", "/serial"),
    ("NOT AFTER", "/not_after"),
    ("REVOKED", "/revoked_at"),
];

pub(in crate::control::cli) fn list(List { cn, revoked, at }: &List) -> Outcome {
    at.run(async |client, tenant| {
        let mut query = super::given(&[("common_name", cn)]);
        query.extend(revoked.then_some(("revoked", "true")));
        let all = client.all(&["tenants", tenant, "certificates"], &query, MOST).await?;
        show::list(&at.api, &all, COLUMNS);
        Ok(())
    })
}

pub(in crate::control::cli) fn issue(Issue { csr, out, at }: &Issue) -> Outcome {
    at.run(async |client, tenant| {
        let body = json!({ "csr": anchor::certificate(csr)? });
        let made = client.post(&["tenants", tenant, "certificates"], Content::Json(body)).await?;
        let pem = text(&made, "certificate");
        let words = format!("certificate {} for {}", text(&made, "id"), text(&made, "common_name"));
        match out {
            Some(file) => {
                write(file, pem)?;
                show::done(&at.api, &made, &format!("{words} written to {}", file.display()));
            }
            None if at.api.is_json() => show::done(&at.api, &made, &words),
            None => say(pem.trim_end()),
        }
        Ok(())
    })
}

pub(in crate::control::cli) fn revoke(Revoke { id, reason, yes, at }: &Revoke) -> Outcome {
    at.run(async |client, tenant| {
        ask::sure(*yes, &format!("Take back certificate {id}"))?;
        let mut body = json!({});
        put(&mut body, "reason", reason.as_deref());
        client.post(&["tenants", tenant, "certificates", id, "revoke"], Content::Json(body)).await?;
        say(format_args!("certificate {id} is taken back"));
        Ok(())
    })
}

impl At {
    fn run(&self, work: impl AsyncFnOnce(&Client, &str) -> Done) -> Outcome {
        super::run(&self.api, async |client| {
            let tenant = tenant(client, self.tenant.as_deref()).await?;
            work(client, &tenant).await
        })
    }
}

fn write(file: &Path, pem: &str) -> Done {
    let written =
        OpenOptions::new().write(true).create_new(true).open(file).and_then(|mut new| new.write_all(pem.as_bytes()));
    written.map_err(|error| {
        Outcome::failed(format_args!(
            "{}: it is not written ({error}); the certificate is issued: `certus cert list --json` has it",
            file.display()
        ))
    })
}
