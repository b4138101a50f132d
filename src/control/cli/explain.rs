//! `certus explain`: why would this certificate be refused?
//!
//! What lives here: arguments, whom to ask, and the judgement where no broker
//! runs. What does not: asking a broker (`remote::explain`), the judgement; it
//! is the broker's own (`identity::explain`, `ca`). Invariant: nothing is
//! changed, neither in a broker nor in a store.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::ValueEnum;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::broker::{Durability, Explanation, Inquiry};
use crate::ca::authority::Authority;
use crate::ca::seal::SealingKey;
use crate::clock::Clock;
use crate::config::Config;
use crate::control::api::explained;
use crate::identity::explain::explain;
use crate::identity::trust::TrustSnapshot;
use crate::mqtt::TenantId;
use crate::store::{EmbeddedStore, OpenError};

use super::remote::Api;
use super::remote::explain::Question;
use super::{Outcome, complain, settings};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus explain certs/sensor-1.pem --client-id sensor-1
  certus explain device.pem --at 2027-01-01         as if it were that day
  certus explain device.pem --tenant lab --output json
  openssl s_client … | certus explain -             from standard input

With a token (--token-file or CERTUS_TOKEN) the running broker is asked. Without
one, or where none runs, the store of a stopped broker is looked at, and where
there is none the configuration alone, which knows nothing of what was uploaded,
taken back or registered. --by says whom to ask; the first line says who was.

Exit code 0 when the broker would accept it, 1 when it would refuse it.")]
pub(super) struct Args {
    /// The certificate with what the client would send after it, PEM; "-" for
    /// standard input.
    chain: PathBuf,
    /// The ClientId that the client would use; without it, the one that the
    /// broker would give.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The tenant that the client should end up in.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Another time than now: 2027-01-31 or 2027-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<SystemTime>,
    /// Whom to ask [default: the first that can be].
    #[arg(long, value_name = "WHOM")]
    by: Option<By>,
    #[command(flatten)]
    place: settings::Where,
    /// Where a stopped broker keeps its state [default: data].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    #[command(flatten)]
    api: Api,
}

/// Who judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// The running broker.
    Broker,
    /// The store of a stopped broker, which is left as it is.
    Store,
    /// The configuration alone.
    Config,
}

pub(super) fn run(args: &Args) -> Outcome {
    let pem = match read(&args.chain) {
        Ok(pem) => pem,
        Err(error) => return Outcome::failed(format_args!("{}: it cannot be read ({error})", args.chain.display())),
    };
    if args.by == Some(By::Broker) || (args.by.is_none() && args.api.has_token()) {
        let at = args.at.map(|at| OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_default());
        let (client_id, tenant) = (args.client_id.as_deref(), args.tenant.as_deref());
        match args.api.explain(&Question { pem: &pem, client_id, tenant, at }) {
            Some(told) => return told,
            None if args.by.is_some() => {
                return Outcome::failed(format_args!("{}: nobody listens; is the broker running?", args.api.url()));
            }
            None => complain(format_args!("{}: nobody listens there, so no broker is asked", args.api.url())),
        }
    }
    let config = match args.place.load_beside(args.state_dir.as_deref()) {
        Ok(config) => config,
        Err(problems) => return Outcome::wrong(problems),
    };
    if args.by != Some(By::Config) {
        match by_store(args, &pem, &config) {
            Ok(told) => return told,
            Err(why) if args.by == Some(By::Store) => return Outcome::failed(why),
            Err(NoStore::Absent(_)) => {}
            Err(why @ NoStore::Other(_)) => complain(format_args!("{why}; so it is not looked at")),
        }
    }
    by_configuration(args, &pem, &config)
}

/// Why no store is looked at.
#[derive(Debug, thiserror::Error)]
enum NoStore {
    /// There is none.
    #[error("{0}")]
    Absent(String),
    /// It cannot be looked at.
    #[error("{0}")]
    Other(String),
}

fn by_store(args: &Args, pem: &[u8], config: &Config) -> Result<Outcome, NoStore> {
    let other = |error: &dyn std::fmt::Display| NoStore::Other(error.to_string());
    let Durability::Disk { directory, settings } = &config.broker.durability else {
        return Err(NoStore::Absent("storage.durability is memory: there is no store on disk".to_owned()));
    };
    let opened = match EmbeddedStore::look(directory, settings.clone()) {
        Ok(opened) => opened,
        Err(error @ OpenError::Absent { .. }) => return Err(NoStore::Absent(error.to_string())),
        Err(error @ OpenError::Locked { .. }) => {
            return Err(NoStore::Other(format!("{error}; give a token, and the broker is asked")));
        }
        Err(error) => return Err(other(&error)),
    };
    opened.damage.iter().for_each(complain);
    // Nothing is unsealed to judge a certificate.
    let sealing = SealingKey::random().map_err(|error| other(&error))?;
    let kept = Authority::open(opened.store, Clock::system(), sealing, &config.broker.tenants);
    let (authority, snapshot) = kept.map_err(|error| other(&error))?;
    authority.tell_devices(pem, &snapshot);
    let by = format!("the store in {}", directory.display());
    Ok(judged(args, &snapshot, &by, |inquiry| authority.explain(inquiry, &snapshot), pem))
}

fn by_configuration(args: &Args, pem: &[u8], config: &Config) -> Outcome {
    let snapshot = match TrustSnapshot::build(&config.broker.tenants) {
        Ok(snapshot) => snapshot,
        Err(errors) => return Outcome::Wrong(errors.iter().map(|error| format!("{error}\n")).collect()),
    };
    let by = "the configuration alone; what a broker keeps beside it is not known here";
    let judge = |inquiry: &Inquiry<'_>| Ok(Explanation { report: explain(inquiry, &snapshot)?, device: None });
    judged(args, &snapshot, by, judge, pem)
}

/// Judges, and shows what came of it.
fn judged(
    args: &Args,
    snapshot: &TrustSnapshot,
    by: &str,
    judge: impl FnOnce(&Inquiry<'_>) -> Result<Explanation, crate::broker::PemError>,
    pem: &[u8],
) -> Outcome {
    let tenant = args.tenant.as_deref().map(TenantId::new);
    if let Some(tenant) = &tenant
        && snapshot.tenant(tenant).is_none()
    {
        let known: Vec<&str> = snapshot.tenants().map(|tenant| tenant.id.as_str()).collect();
        return Outcome::wrong(format_args!("there is no tenant {tenant}; there are {}", known.join(", ")));
    }
    let at = args.at.unwrap_or_else(|| Clock::system().wall());
    match judge(&Inquiry { pem, client_id: args.client_id.as_deref(), tenant: tenant.as_ref(), at }) {
        Err(error) => Outcome::failed(format_args!("{}: {error}", args.chain.display())),
        Ok(told) => args.api.show_explained(&explained(told), by),
    }
}

fn read(chain: &Path) -> std::io::Result<Vec<u8>> {
    if chain != Path::new("-") {
        return std::fs::read(chain);
    }
    let mut pem = Vec::new();
    std::io::stdin().read_to_end(&mut pem)?;
    Ok(pem)
}

fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(time.into());
    }
    match Date::parse(text, format_description!("[year]-[month]-[day]")) {
        Ok(date) => Ok(date.midnight().assume_utc().into()),
        Err(_) => Err(String::from("write a day such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_moment_is_a_day_or_a_time_with_its_zone() {
        let day = moment("2027-01-31").unwrap();
        assert_eq!(day.duration_since(UNIX_EPOCH).unwrap(), Duration::from_secs(1_801_353_600));
        assert_eq!(moment("2027-01-31T01:00:00+01:00").unwrap(), day);
        assert!(moment("tomorrow").is_err() && moment("2027-01-31T12:00:00").is_err());
    }
}
