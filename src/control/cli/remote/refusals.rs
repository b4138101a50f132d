//! `certus refusals`: why clients were not let in, or were not allowed something.
//!
//! What lives here: arguments, and one line for each refusal.

use std::time::Duration;

use serde_json::Value;

use super::super::{Outcome, complain, say};
use super::{Api, show, text};

/// A stream that ended is taken up again no sooner than this.
const PAUSE: Duration = Duration::from_secs(1);

/// Arguments of `refusals`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  certus refusals --client-id pump-7
  certus refusals --follow --reason unknown_issuer
  certus refusals --json --limit 500

Each line has when, where, the reason, what was found, and the remedy; the newest
is the last. `certus explain` judges a certificate in all steps.")]
pub(in crate::control::cli) struct Args {
    /// Print them as they happen, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// How many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500), conflicts_with = "follow")]
    limit: u16,
    /// Only those of this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only those for this reason, such as unknown_issuer.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only those at this stage: accept, handshake, connect, live, publish or subscribe.
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Only those of this ClientId.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Only those of certificates with this CN.
    #[arg(long, value_name = "CN")]
    cn: Option<String>,
    #[command(flatten)]
    api: Api,
}

pub(in crate::control::cli) fn run(args: &Args) -> Outcome {
    super::run(&args.api, async |client| {
        let given = [
            ("tenant", &args.tenant),
            ("reason", &args.reason),
            ("stage", &args.stage),
            ("client_id", &args.client_id),
            ("common_name", &args.cn),
        ];
        let mut query = super::given(&given);
        if args.follow {
            loop {
                client
                    .follow(&["refusals", "tail"], &query, |kind, data| heard(args.api.is_json(), kind, data))
                    .await?;
                // The broker ends a stream now and then, so that its client logs in again.
                tokio::time::sleep(PAUSE).await;
            }
        }
        let limit = args.limit.to_string();
        query.push(("limit", &limit));
        let found = client.get(&["refusals"], &query).await?;
        let items = found.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match args.api.is_json() {
            true => say(format_args!("{:#}", Value::from(items.to_vec()))),
            false if items.is_empty() => say("none"),
            false => items.iter().rev().for_each(|refusal| say(line(refusal))),
        }
        Ok(())
    })
}

fn heard(json: bool, kind: &str, data: &str) {
    match (kind, json) {
        ("missed", _) => complain(format_args!("{data} refusals were missed: they came too fast")),
        (_, true) => say(data),
        (_, false) => say(line(&serde_json::from_str(data).unwrap_or_default())),
    }
}

/// A refusal in one line.
fn line(refusal: &Value) -> String {
    let part = |name: &str, pointer: &str| {
        let value = refusal.pointer(pointer).and_then(Value::as_str).filter(|value| !value.is_empty())?;
        Some(format!(" {name}={value:?}"))
    };
    let facts = [
        ("tenant", "/tenant"),
        ("client_id", "/client_id"),
        ("expected", "/expected_client_id"),
        ("user", "/user_name"),
        ("topic", "/topic"),
        ("subject", "/certificate/subject"),
        ("serial", "/certificate/serial"),
        ("issuer", "/certificate/issuer"),
        ("anchor", "/anchor"),
        ("address", "/address"),
        ("listener", "/listener"),
    ];
    let facts: String = facts.into_iter().filter_map(|(name, pointer)| part(name, pointer)).collect();
    let [time, stage, reason, detail, remedy] =
        ["time", "stage", "reason", "detail", "remedy"].map(|name| text(refusal, name));
    let remedy = if remedy.is_empty() { String::new() } else { format!("; remedy: {remedy}") };
    show::harmless(&format!("{time} {stage} {reason}: {detail}{facts}{remedy}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_what_why_and_what_to_do() {
        let refusal = json!({
            "time": "2027-01-31T12:00:00Z", "stage": "connect", "reason": "cn_mismatch", "detail": "not its name",
            "remedy": "use the other", "client_id": "a\u{1b}[2J", "certificate": { "subject": "CN=b" }, "tenant": null,
        });
        let want = "2027-01-31T12:00:00Z connect cn_mismatch: not its name client_id=\"a\\u{1b}[2J\" \
                    subject=\"CN=b\"; remedy: use the other";
        assert_eq!(line(&refusal), want);
    }
}
