//! `certus revoke`: takes certificates, keys, names and devices back.
//!
//! What lives here: arguments, and the words of what was done. Invariant:
//! what is taken back is named on the command line, one kind at a time.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::{Outcome, say};
use super::client::{Client, Content, MOST};
use super::show::{self, Column};
use super::{Api, Done, anchor, ask, put, tenant, text};

/// Arguments of `revoke`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus revoke --serial 01:23:45 --anchor root --reason keyCompromise
  certus revoke --device pump-7 --note 'stolen'
  certus revoke --crl lab.crl --anchor root       a list that the anchor has signed
  certus revoke --list
  certus revoke --device pump-7 --undo

It holds at once: whoever it concerns is closed within a second and refused from
then on; the log and `certus refusals` say why.")]
pub(in crate::control::cli) struct Args {
    #[command(flatten)]
    target: Target,
    /// The anchor that a serial number or a list belongs to.
    #[arg(long, value_name = "ANCHOR")]
    anchor: Option<String>,
    /// Why, by the names of RFC 5280, such as keyCompromise or superseded.
    #[arg(long, value_name = "REASON", conflicts_with_all = ["crl", "list", "undo"])]
    reason: Option<String>,
    /// What people should know about it.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["crl", "list", "undo"])]
    note: Option<String>,
    /// Since when: 2027-01-31T12:00:00Z [default: now].
    #[arg(long, value_name = "TIME", conflicts_with_all = ["crl", "list", "undo"])]
    since: Option<String>,
    /// Give back what was taken back by name.
    #[arg(long, conflicts_with_all = ["crl", "list"])]
    undo: bool,
    /// The tenant; needed when there are several.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// A serial number, in hexadecimal digits; name its --anchor.
    #[arg(long, value_name = "HEX")]
    serial: Option<String>,
    /// SHA-256 of a certificate.
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
    /// SHA-256 of a public key (SubjectPublicKeyInfo).
    #[arg(long, value_name = "HEX")]
    key: Option<String>,
    /// The CN of certificates.
    #[arg(long, value_name = "CN")]
    cn: Option<String>,
    /// A device.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// A certificate revocation list, PEM or DER.
    #[arg(long, value_name = "FILE")]
    crl: Option<PathBuf>,
    /// Nothing: list what was taken back.
    #[arg(long)]
    list: bool,
}

impl Target {
    /// What is named, and by which words.
    fn named(&self) -> Option<(&'static str, &str)> {
        let all = [
            ("serial", &self.serial),
            ("fingerprint", &self.fingerprint),
            ("key", &self.key),
            ("common_name", &self.cn),
            ("device", &self.device),
        ];
        all.into_iter().find_map(|(kind, value)| Some((kind, value.as_deref()?)))
    }
}

const COLUMNS: &[Column] = &[
    ("TARGET", "/target"),
    ("VALUE", "/value"),
    ("REASON", "/reason"),
    ("SINCE", "/since"),
    ("NOTE", "/note"),
    ("ANCHOR", "/anchor"),
];
const LISTS: &[Column] = &[
    ("SOURCE", "/source"),
    ("ENTRIES", "/entries"),
    ("THIS UPDATE", "/this_update"),
    ("NEXT UPDATE", "/next_update"),
    ("TAKEN", "/taken_at"),
];

pub(in crate::control::cli) fn run(args: &Args) -> Outcome {
    super::run(&args.api, async |client| {
        let tenant = tenant(client, args.tenant.as_deref()).await?;
        match (&args.target.crl, args.target.named()) {
            (Some(file), _) => upload(client, args, &tenant, file).await,
            (None, Some(named)) => by_name(client, args, &tenant, named).await,
            (None, None) => {
                let all = client.all(&["tenants", &tenant, "revocations"], &[], MOST).await?;
                show::list(&args.api, &all, COLUMNS);
                Ok(())
            }
        }
    })
}

async fn by_name(client: &Client, args: &Args, tenant: &str, (kind, value): (&str, &str)) -> Done {
    let path = ["tenants", tenant, "revocations"];
    let anchor = match &args.anchor {
        Some(anchor) => {
            let found = anchor::find(client, tenant, anchor).await?;
            found.pointer("/certificate/fingerprint").and_then(Value::as_str).map(str::to_owned)
        }
        None => None,
    };
    let words = format!("{} {value}", kind.replace("common_name", "CN"));
    if args.undo {
        ask::sure(args.yes, &format!("Trust {words} again"))?;
        let mut query = vec![("target", kind), ("value", value)];
        query.extend(anchor.as_deref().map(|anchor| ("anchor", anchor)));
        client.delete(&path, &query).await?;
        say(show::harmless(&format!("{words} is given back")));
        return Ok(());
    }
    ask::sure(args.yes, &format!("Take back {words} of tenant {tenant}"))?;
    let mut body = json!({ "target": kind, "value": value });
    put(&mut body, "anchor", anchor);
    put(&mut body, "reason", args.reason.as_deref());
    put(&mut body, "note", args.note.as_deref());
    put(&mut body, "since", args.since.as_deref());
    let made = client.post(&path, Content::Json(body)).await?;
    show::done(&args.api, &made, &format!("{words} is taken back ({})", text(&made, "reason")));
    Ok(())
}

async fn upload(client: &Client, args: &Args, tenant: &str, file: &Path) -> Done {
    let anchor = args.anchor.as_deref().ok_or_else(|| Outcome::wrong("say by --anchor who has signed the list"))?;
    let bytes = std::fs::read(file).map_err(|error| Outcome::wrong(format_args!("{}: {error}", file.display())))?;
    let found = anchor::find(client, tenant, anchor).await?;
    ask::sure(args.yes, &format!("Take the list {} of anchor {}", file.display(), text(&found, "name")))?;
    let media = if bytes.starts_with(b"\x30") { "application/pkix-crl" } else { "application/x-pem-file" };
    let path = ["tenants", tenant, "anchors", text(&found, "id"), "crls"];
    let lists = client.post(&path, Content::Bytes(media, bytes)).await?;
    let items = lists.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    show::list(&args.api, &items, LISTS);
    Ok(())
}
