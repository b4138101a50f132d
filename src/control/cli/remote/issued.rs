//! `certus cert list|show|issue|renew|revoke`: certificates that the broker
//! has issued.
//!
//! What lives here: arguments, and the words of what was done. Invariant:
//! nothing that exists is overwritten, and a private key is read by its owner
//! alone from its first byte on.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

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

/// Arguments of `cert show`.
#[derive(Debug, clap::Args)]
pub(in crate::control::cli) struct Show {
    /// Its ID, as the list has it.
    id: String,
    /// Print the certificate, PEM, and nothing else.
    #[arg(long, conflicts_with_all = ["json", "output"])]
    pem: bool,
    #[command(flatten)]
    at: At,
}

/// Arguments of `cert issue`.
#[derive(Debug, clap::Args)]
pub(in crate::control::cli) struct Issue {
    /// The device: the CN. The broker makes a key for it, tells it this once
    /// and does not keep it; name its file by --key-out.
    #[arg(required_unless_present = "csr", conflicts_with = "csr", requires = "key_out")]
    device: Option<String>,
    /// The device's own request (PKCS #10), PEM or DER; its CN is the device.
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    #[command(flatten)]
    key: NewKey,
    /// Where the certificate is written, PEM [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

/// Arguments of `cert renew`.
#[derive(Debug, clap::Args)]
pub(in crate::control::cli) struct Renew {
    /// The ID of the certificate, as the list has it.
    id: String,
    /// A request of the device with another key and the same CN; without it and
    /// without --key-type the key stays.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_type", "key_out"])]
    csr: Option<PathBuf>,
    #[command(flatten)]
    key: NewKey,
    /// Take the old certificate back, as superseded; who uses it has to go.
    #[arg(long)]
    revoke_old: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Where the certificate is written, PEM [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    at: At,
}

/// A key that the broker makes.
#[derive(Debug, clap::Args)]
struct NewKey {
    /// The kind of the key that is made: rsa2048, rsa3072, rsa4096, p256, p384
    /// or ed25519 [default: p256].
    #[arg(long, value_name = "TYPE", requires = "key_out", conflicts_with = "csr")]
    key_type: Option<String>,
    /// Where the private key is written, PEM, for its owner alone (mode 0600).
    #[arg(long, value_name = "FILE", conflicts_with = "csr")]
    key_out: Option<PathBuf>,
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

const DETAILS: &[Column] = &[
    ("ID", "/id"),
    ("CN", "/common_name"),
    ("FOR", "/used_for"),
    ("NAME", "/name"),
    ("CLIENTID", "/client_id"),
    ("SERIAL", "/serial"),
    ("NOT BEFORE", "/not_before"),
    ("NOT AFTER", "/not_after"),
    ("REVOKED", "/revoked_at"),
    ("ISSUED", "/created_at"),
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

pub(in crate::control::cli) fn look_at(Show { id, pem, at }: &Show) -> Outcome {
    at.run(async |client, tenant| {
        let found = client.get(&["tenants", tenant, "certificates", id], &[]).await?;
        match pem {
            true => say(text(&found, "certificate").trim_end()),
            false => show::one(&at.api, &found, DETAILS),
        }
        Ok(())
    })
}

pub(in crate::control::cli) fn issue(Issue { device, csr, key, out, at }: &Issue) -> Outcome {
    at.run(async |client, tenant| {
        let mut body = json!({});
        put(&mut body, "common_name", device.as_deref());
        put(&mut body, "key_type", key.key_type.as_deref());
        put(&mut body, "csr", csr.as_deref().map(anchor::certificate).transpose()?);
        let files = Files::open(key.key_out.as_deref(), out.as_deref())?;
        let made = client.post(&["tenants", tenant, "certificates"], Content::Json(body)).await;
        files.tell(&at.api, made)
    })
}

pub(in crate::control::cli) fn renew(Renew { id, csr, key, revoke_old, yes, out, at }: &Renew) -> Outcome {
    at.run(async |client, tenant| {
        if *revoke_old {
            ask::sure(*yes, &format!("Renew certificate {id} and take it back, so that who uses it has to go"))?;
        }
        let mut body = json!({ "revoke_old": revoke_old });
        let kind = key.key_type.as_deref().or(key.key_out.as_ref().map(|_| "p256"));
        put(&mut body, "key_type", kind);
        put(&mut body, "csr", csr.as_deref().map(anchor::certificate).transpose()?);
        let files = Files::open(key.key_out.as_deref(), out.as_deref())?;
        let made = client.post(&["tenants", tenant, "certificates", id, "renew"], Content::Json(body)).await;
        files.tell(&at.api, made)
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

/// The files that an answer goes into. They are made before the question is
/// asked: a key is told once, and must not be lost to a full disk or a wrong
/// name.
struct Files<'f> {
    key: Option<(&'f Path, File)>,
    certificate: Option<(&'f Path, File)>,
}

impl<'f> Files<'f> {
    fn open(key: Option<&'f Path>, certificate: Option<&'f Path>) -> Done<Self> {
        let open = |path: &'f Path, mode: u32| {
            let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
            let failed = |error| Outcome::failed(format_args!("{}: it cannot be made ({error})", path.display()));
            made.map(|file| (path, file)).map_err(failed)
        };
        let key = key.map(|path| open(path, 0o600)).transpose()?;
        match certificate.map(|path| open(path, 0o644)).transpose() {
            Ok(certificate) => Ok(Self { key, certificate }),
            Err(why) => {
                Self { key, certificate: None }.remove();
                Err(why)
            }
        }
    }

    /// Writes what was answered, and says what was done.
    fn tell(self, api: &Api, made: Done<Value>) -> Done {
        let mut made = match made {
            Ok(made) => made,
            Err(why) => {
                self.remove();
                return Err(why);
            }
        };
        let words = format!("certificate {} for {}", text(&made, "id"), text(&made, "common_name"));
        let Self { key, certificate } = self;
        if let Some((path, mut file)) = key {
            let pem = made.as_object_mut().and_then(|made| made.remove("private_key"));
            let pem = pem.as_ref().and_then(Value::as_str).unwrap_or_default();
            written(&mut file, path, pem)?;
            if !api.is_json() && certificate.is_some() {
                say(format_args!("private key written to {}", path.display()));
            }
        }
        let pem = text(&made, "certificate");
        match certificate {
            Some((path, mut file)) => {
                written(&mut file, path, pem)?;
                show::done(api, &made, &format!("{words} written to {}", path.display()));
            }
            None if api.is_json() => show::done(api, &made, &words),
            None => say(pem.trim_end()),
        }
        Ok(())
    }

    /// Nothing came of it: what is empty is not left behind.
    fn remove(self) {
        for (path, file) in self.key.into_iter().chain(self.certificate) {
            drop(file);
            let _ = std::fs::remove_file(path);
        }
    }
}

fn written(file: &mut File, path: &Path, pem: &str) -> Done {
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        Outcome::failed(format_args!(
            "{}: it is not written ({error}); the certificate is issued: `certus cert list` has it",
            path.display()
        ))
    })
}
