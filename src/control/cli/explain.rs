//! `certus explain`: why would this certificate be refused?
//!
//! What lives here: arguments and printing. What does not: the judgement; it is
//! the broker's own (`identity::explain`). Invariant: nothing is connected to,
//! and nothing is changed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::clock::Clock;
use crate::identity::explain::explain;
use crate::identity::trust::TrustSnapshot;
use crate::mqtt::TenantId;

use super::{Outcome, say, settings};

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus explain certs/sensor-1.pem --client-id sensor-1
  certus explain device.pem --at 2027-01-01         as if it were that day
  openssl s_client … | certus explain -             from standard input

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
    #[command(flatten)]
    place: settings::Where,
}

pub(super) fn run(args: &Args) -> Outcome {
    let config = match args.place.load() {
        Ok(config) => config,
        Err(problems) => return Outcome::wrong(problems),
    };
    let snapshot = match TrustSnapshot::build(&config.broker.tenants) {
        Ok(snapshot) => snapshot,
        Err(errors) => return Outcome::Wrong(errors.iter().map(|error| format!("{error}\n")).collect()),
    };
    let tenant = args.tenant.as_deref().map(TenantId::new);
    if let Some(tenant) = &tenant
        && snapshot.tenant(tenant).is_none()
    {
        let known: Vec<&str> = snapshot.tenants().map(|tenant| tenant.id.as_str()).collect();
        return Outcome::wrong(format_args!("there is no tenant {tenant}; configured are {}", known.join(", ")));
    }
    let pem = match read(&args.chain) {
        Ok(pem) => pem,
        Err(error) => return Outcome::failed(format_args!("{}: it cannot be read ({error})", args.chain.display())),
    };
    let at = args.at.unwrap_or_else(|| Clock::system().wall());
    match explain(&pem, args.client_id.as_deref(), tenant.as_ref(), at, &snapshot) {
        Err(error) => Outcome::failed(format_args!("{}: {error}", args.chain.display())),
        Ok(report) => {
            say(report.to_string().trim_end());
            if report.reason().is_none() { Outcome::Done } else { Outcome::Failed(String::new()) }
        }
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
