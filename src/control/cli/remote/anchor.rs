//! `certus anchor`: the CA certificates under which a tenant's devices are known.
//!
//! What lives here: arguments, and the words of what was done. Invariant: an
//! anchor is deleted only by somebody who was told whom that cuts off.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::super::{Outcome, say};
use super::client::{Client, Content, MOST};
use super::show::{self, Column};
use super::{Api, Done, ask, put, tenant, text};

/// Arguments of `anchor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus anchor add --tenant lab --name root lab-ca.pem
  certus anchor code root                       the CN that proves possession of its key
  certus anchor verify root proof.pem
  certus anchor set root --crl http://pki.example/ca.crl --stale-crl hard
  certus anchor preview old-root                who a removal would cut off; --devices: those away, too
  certus anchor delete old-root

An anchor is named by its name, its identifier or its SHA-256. Everything holds
at once: whoever is no longer admitted is closed within a second, all others stay.")]
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
    /// List the anchors.
    List,
    /// Upload a CA certificate.
    Add {
        /// The certificate: PEM or DER.
        file: PathBuf,
        /// What people call it [default: the name of the file].
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// A first connection through it makes the device known.
        #[arg(long)]
        auto_registration: bool,
        /// It does not count yet.
        #[arg(long)]
        disabled: bool,
    },
    /// Look at one.
    Show {
        /// The anchor.
        anchor: String,
        /// Print its certificate, PEM, and nothing else.
        #[arg(long, conflicts_with_all = ["json", "output"])]
        pem: bool,
    },
    /// Ask for the code that proves possession of its key.
    Code {
        /// The anchor.
        anchor: String,
    },
    /// Prove possession: a certificate whose CN is the code, signed by its key.
    Verify {
        /// The anchor.
        anchor: String,
        /// The certificate: PEM or DER.
        proof: PathBuf,
    },
    /// Let it count.
    Enable {
        /// The anchor.
        anchor: String,
    },
    /// Let it count no longer; whoever came in through it has to go.
    Disable {
        /// The anchor.
        anchor: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Let devices in through it only for the renewal of their certificates.
    RenewOnly {
        /// The anchor.
        anchor: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Rename it, or change what it says about registration, revocation lists
    /// and those that are late.
    #[command(visible_alias = "set")]
    Change {
        /// The anchor.
        anchor: String,
        /// What people call it.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Whether a first connection through it makes the device known.
        #[arg(long, value_name = "BOOL")]
        auto_registration: Option<bool>,
        /// What becomes of devices when its revocation list is out of date.
        #[arg(long, value_name = "POLICY")]
        stale_crl: Option<StaleCrl>,
        /// Where a revocation list is fetched, over http; several times for
        /// several. In place of those that were named before.
        #[arg(long, value_name = "URL")]
        crl: Vec<String>,
        /// Fetch its revocation lists nowhere; those that were fetched are
        /// forgotten.
        #[arg(long, conflicts_with = "crl")]
        no_crl: bool,
        /// How long after a good fetch the next one comes, such as 30m
        /// [default: 1h].
        #[arg(long, value_name = "TIME", value_parser = super::token::lasts)]
        crl_refresh: Option<u64>,
    },
    /// Show who a removal would cut off: live connections, or devices.
    Preview {
        /// The anchor.
        anchor: String,
        /// The devices that came through it last, connected or not.
        #[arg(long)]
        devices: bool,
    },
    /// Delete it; whoever came in through it has to go.
    Delete {
        /// The anchor.
        anchor: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StaleCrl {
    /// They are taken; an alarm is raised.
    Soft,
    /// They are refused.
    Hard,
}

const COLUMNS: &[Column] = &[
    ("NAME", "/name"),
    ("STATUS", "/status"),
    ("PROVED", "/proved"),
    ("SUBJECT", "/certificate/subject"),
    ("NOT AFTER", "/certificate/not_after"),
    ("CONFIGURED", "/configured"),
    ("ID", "/id"),
];
const DETAILS: &[Column] = &[
    ("NAME", "/name"),
    ("ID", "/id"),
    ("STATUS", "/status"),
    ("PROVED", "/proved"),
    ("AUTO-REGISTRATION", "/auto_registration"),
    ("STALE CRL", "/stale_crl"),
    ("CRL", "/crl"),
    ("CRL REFRESH", "/crl_refresh_seconds"),
    ("CONFIGURED", "/configured"),
    ("SUBJECT", "/certificate/subject"),
    ("ISSUER", "/certificate/issuer"),
    ("SERIAL", "/certificate/serial"),
    ("SHA-256", "/certificate/fingerprint"),
    ("SHA-1", "/sha1"),
    ("NOT BEFORE", "/certificate/not_before"),
    ("NOT AFTER", "/certificate/not_after"),
    ("KEY", "/certificate/key"),
    ("CREATED", "/created_at"),
    ("REVISION", "/revision"),
];

pub(in crate::control::cli) fn run(args: &Args) -> Outcome {
    super::run(&args.api, async |client| {
        let place = Place { client, tenant: tenant(client, args.tenant.as_deref()).await?, api: &args.api };
        place.work(&args.command).await
    })
}

/// Where the anchors are.
struct Place<'c> {
    client: &'c Client,
    tenant: String,
    api: &'c Api,
}

impl Place<'_> {
    async fn work(&self, command: &Command) -> Done {
        match command {
            Command::List => {
                let all = self.client.all(&["tenants", &self.tenant, "anchors"], &[], MOST).await?;
                show::list(self.api, &all, COLUMNS);
                Ok(())
            }
            Command::Add { file, name, auto_registration, disabled } => {
                self.add(file, name.as_deref(), *auto_registration, *disabled).await
            }
            Command::Show { anchor, pem } => {
                let found = self.found(anchor).await?;
                match pem {
                    true => say(text(&found, "pem").trim_end()),
                    false => show::one(self.api, &found, DETAILS),
                }
                Ok(())
            }
            Command::Code { anchor } => self.code(anchor).await,
            Command::Verify { anchor, proof } => self.verify(anchor, proof).await,
            Command::Enable { anchor } => self.set(anchor, json!({ "status": "enabled" })).await,
            Command::Disable { anchor, yes } => {
                self.warned(anchor, "Disable", *yes).await?;
                self.set(anchor, json!({ "status": "disabled" })).await
            }
            Command::RenewOnly { anchor, yes } => {
                self.warned(anchor, "Leave for renewal only", *yes).await?;
                self.set(anchor, json!({ "status": "renew_only" })).await
            }
            Command::Change { anchor, name, auto_registration, stale_crl, crl, no_crl, crl_refresh } => {
                let mut change = json!({});
                put(&mut change, "name", name.as_deref());
                put(&mut change, "auto_registration", *auto_registration);
                put(
                    &mut change,
                    "stale_crl",
                    stale_crl.map(|policy| match policy {
                        StaleCrl::Soft => "soft",
                        StaleCrl::Hard => "hard",
                    }),
                );
                put(&mut change, "crl", (*no_crl || !crl.is_empty()).then(|| Value::from(crl.clone())));
                put(&mut change, "crl_refresh_seconds", *crl_refresh);
                self.set(anchor, change).await
            }
            Command::Preview { anchor, devices } => {
                let found = self.found(anchor).await?;
                match devices {
                    true => show::list(self.api, &self.devices_of(&found).await?, super::device::COLUMNS),
                    false => show::list(self.api, &self.cut_off(&found).await?, super::connections::COLUMNS),
                }
                Ok(())
            }
            Command::Delete { anchor, yes } => {
                let found = self.warned(anchor, "Delete", *yes).await?;
                self.client.delete(&self.path(&found, &[]), &[]).await?;
                show::done(self.api, &found, &format!("anchor {} deleted", text(&found, "name")));
                Ok(())
            }
        }
    }

    async fn add(&self, file: &Path, name: Option<&str>, auto_registration: bool, disabled: bool) -> Done {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let mut body = json!({
            "name": name.unwrap_or(&stem),
            "certificate": certificate(file)?,
            "auto_registration": auto_registration,
        });
        put(&mut body, "status", disabled.then_some("disabled"));
        let made = self.client.post(&["tenants", &self.tenant, "anchors"], Content::Json(body)).await?;
        let (name, id) = (text(&made, "name"), text(&made, "id"));
        show::done(self.api, &made, &format!("anchor {name} ({id}) added to tenant {}", self.tenant));
        if !self.api.is_json() && made.get("proved") == Some(&Value::Bool(false)) {
            say(format_args!("possession of its key is not proved yet: see `certus anchor code {id}`"));
        }
        Ok(())
    }

    async fn code(&self, anchor: &str) -> Done {
        let found = self.found(anchor).await?;
        let code = self.client.get(&self.path(&found, &["registration-code"]), &[]).await?;
        let columns = [("CODE", "/registration_code"), ("USABLE UNTIL", "/usable_until")];
        show::one(self.api, &code, &columns);
        Ok(())
    }

    async fn verify(&self, anchor: &str, proof: &Path) -> Done {
        let body = json!({ "certificate": certificate(proof)? });
        let found = self.found(anchor).await?;
        let now = self.client.post(&self.path(&found, &["verify"]), Content::Json(body)).await?;
        show::done(self.api, &now, &format!("anchor {}: possession of its key is proved", text(&now, "name")));
        Ok(())
    }

    async fn set(&self, anchor: &str, change: Value) -> Done {
        let found = self.found(anchor).await?;
        let now = self.client.patch(&self.path(&found, &[]), change).await?;
        show::done(
            self.api,
            &now,
            &format!("anchor {} is {}", text(&now, "name"), text(&now, "status").replace('_', "-")),
        );
        Ok(())
    }

    /// The anchor, after somebody who knows whom it costs has agreed.
    async fn warned(&self, anchor: &str, verb: &str, yes: bool) -> Done<Value> {
        let found = self.found(anchor).await?;
        if !yes {
            let (live, known) = (self.cut_off(&found).await?.len(), self.devices_of(&found).await?.len());
            let name = text(&found, "name");
            let whom = format!("{live} live connections came in, and {known} known devices last");
            ask::sure(yes, &format!("{verb} anchor {name}, through which {whom}"))?;
        }
        Ok(found)
    }

    async fn cut_off(&self, anchor: &Value) -> Done<Vec<Value>> {
        self.client.all(&self.path(anchor, &["cut-off"]), &[], MOST).await
    }

    /// The devices that came through it last.
    async fn devices_of(&self, anchor: &Value) -> Done<Vec<Value>> {
        let fingerprint = anchor.pointer("/certificate/fingerprint").and_then(Value::as_str).unwrap_or_default();
        self.client.all(&["tenants", &self.tenant, "devices"], &[("anchor", fingerprint)], MOST).await
    }

    async fn found(&self, anchor: &str) -> Done<Value> {
        find(self.client, &self.tenant, anchor).await
    }

    fn path<'a>(&'a self, anchor: &'a Value, more: &[&'a str]) -> Vec<&'a str> {
        let mut path = vec!["tenants", self.tenant.as_str(), "anchors", text(anchor, "id")];
        path.extend_from_slice(more);
        path
    }
}

/// The anchor with this identifier, SHA-256 or name.
pub(super) async fn find(client: &Client, tenant: &str, anchor: &str) -> Done<Value> {
    let all = client.all(&["tenants", tenant, "anchors"], &[], MOST).await?;
    let digits = anchor.replace([':', ' '], "").to_ascii_lowercase();
    let is_it = |one: &&Value| {
        text(one, "id") == digits
            || text(one, "name") == anchor
            || one.pointer("/certificate/fingerprint").and_then(Value::as_str) == Some(&digits)
    };
    let mut found = all.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only.clone()),
        (Some(_), Some(_)) => Err(Outcome::wrong(format_args!(
            "several anchors of tenant {tenant} are called {anchor}; name one by its ID"
        ))),
        (None, _) => {
            let names: Vec<&str> = all.iter().map(|one| text(one, "name")).collect();
            let known =
                if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
            Err(Outcome::failed(format_args!("tenant {tenant} has no anchor {anchor}; {known}")))
        }
    }
}

/// A certificate as the API takes it: PEM as it is, DER in base64.
pub(super) fn certificate(file: &Path) -> Done<String> {
    use base64ct::{Base64, Encoding};
    let bytes = std::fs::read(file).map_err(|error| Outcome::wrong(format_args!("{}: {error}", file.display())))?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|der| Base64::encode_string(der.as_bytes())))
}
