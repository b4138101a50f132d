//! `certus acl test`: who may do what, and which rule says so?
//!
//! What lives here: arguments, the client as it would be proved, printing. What
//! does not: the rights; they are the broker's own (`identity::policy`).
//! Invariant: nothing is connected to, and nothing is changed.

use std::fmt::Display;
use std::path::PathBuf;

use crate::clock::Clock;
use crate::identity::attributes::of_certificate;
use crate::identity::name::CommonName;
use crate::identity::pem;
use crate::identity::policy::{Attributes, Decision};
use crate::identity::switch::Variable;
use crate::identity::trust::{Tenant, TrustSnapshot};
use crate::mqtt::{TopicFilter, TopicName};

use super::{Outcome, say, settings};

/// Arguments of `acl`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say whether a client may publish to a topic or subscribe to a filter,
    /// and which rule decides.
    #[command(after_help = "Examples:
  certus acl test publish hall/7/temp --client-id press --cert press.pem
  certus acl test subscribe 'hall/#' --user bob
  certus acl test publish a/b --attribute ou=line-4 --attribute cn=press

Exit code 0 when it is allowed, 1 when it is denied.")]
    Test(Test),
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Act {
    Publish,
    Subscribe,
}

#[derive(Debug, clap::Args)]
struct Test {
    /// What the client would do.
    #[arg(value_enum)]
    act: Act,
    /// The topic, or the filter.
    topic: String,
    /// The tenant; needed when there are several.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// The ClientId; without it the CN.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The client's certificate with what it would send after it, PEM. It is
    /// judged first, as the broker would.
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The account whose password the client would prove.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// As if a certificate proved this: cn=press, ou=line-4, dns=a.lan, …
    #[arg(long, value_name = "NAME=VALUE", value_parser = attribute)]
    attribute: Vec<(Variable, String)>,
    #[command(flatten)]
    place: settings::Where,
}

fn attribute(text: &str) -> Result<(Variable, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| String::from("write NAME=VALUE, such as ou=line-4"))?;
    let variable = name.parse().map_err(|error| format!("{error}"))?;
    match variable {
        Variable::Tenant | Variable::ClientId | Variable::User | Variable::Role => {
            Err(format!("{name} is no attribute of a certificate; use --tenant, --client-id or --user"))
        }
        _ => Ok((variable, value.to_owned())),
    }
}

pub(super) fn run(args: &Args) -> Outcome {
    let Command::Test(test) = &args.command;
    match decide(test) {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::Failed(String::new()),
        Err(outcome) => outcome,
    }
}

fn decide(test: &Test) -> Result<bool, Outcome> {
    let config = test.place.load().map_err(Outcome::wrong)?;
    let snapshot = TrustSnapshot::build(&config.broker.tenants)
        .map_err(|errors| Outcome::Wrong(errors.iter().map(|error| format!("{error}\n")).collect()))?;
    let proved = Proved::of(test, &snapshot)?;
    let account = match &test.user {
        Some(name) => Some(proved.tenant.account(name).ok_or_else(|| {
            let remedy = "`certus passwd --list` shows all";
            Outcome::wrong(format_args!("tenant {} has no account {name}; {remedy}", proved.tenant.id))
        })?),
        None => None,
    };
    let who = Attributes {
        tenant: proved.tenant.id.as_str(),
        client_id: test.client_id.as_deref().or(proved.common_name.as_deref()).unwrap_or_default(),
        common_name: proved.common_name.as_deref(),
        account: account.map(|account| account.name.as_str()),
        role: account.map(|account| account.role),
        certificate: &proved.attributes,
    };
    let rights = proved.tenant.rights.of(&who);
    let wrong = |error: &dyn Display| Outcome::wrong(format_args!("{:?} {error}", test.topic));
    Ok(match test.act {
        Act::Publish => {
            let topic = TopicName::new(&test.topic).map_err(|error| wrong(&error))?;
            told(rights.decide_publish(topic))
        }
        Act::Subscribe => {
            let filter = TopicFilter::new(&test.topic).map_err(|error| wrong(&error))?;
            told(rights.decide_subscribe(&filter))
        }
    })
}

fn told(decision: Decision<'_>) -> bool {
    match (decision.outcome, decision.by) {
        (Ok(()), Some(origin)) => say(format_args!("allowed by {origin}")),
        (Ok(()), None) => say("allowed"),
        (Err(denied), Some(origin)) => say(format_args!("denied by {origin}: {denied}")),
        (Err(denied), None) => say(format_args!("denied, no rule allows it: {denied}")),
    }
    decision.outcome.is_ok()
}

/// The client as its certificate, or the arguments, prove it.
struct Proved<'s> {
    tenant: &'s Tenant,
    common_name: Option<String>,
    attributes: Vec<(Variable, String)>,
}

impl<'s> Proved<'s> {
    fn of(test: &Test, snapshot: &'s TrustSnapshot) -> Result<Self, Outcome> {
        let (mut tenant, mut common_name, mut attributes) = (named(test, snapshot)?, None, Vec::new());
        if let Some(file) = &test.cert {
            let of_file = |error: &dyn Display| Outcome::failed(format_args!("{}: {error}", file.display()));
            let text = std::fs::read(file).map_err(|error| of_file(&format_args!("it cannot be read ({error})")))?;
            let chain = pem::certificates(&text).map_err(|error| of_file(&error))?;
            let now = Clock::system().unix_seconds().cast_signed();
            let verdict = snapshot.judge(&chain, tenant.map(|tenant| &tenant.id), now).map_err(|failure| {
                of_file(&format_args!("it would be refused: {}: {}", failure.reason, failure.detail))
            })?;
            let owner = snapshot.tenant(&verdict.tenant).map(AsRef::as_ref);
            if tenant.is_some_and(|tenant| tenant.id != verdict.tenant) {
                return Err(of_file(&format_args!("it belongs to tenant {}", verdict.tenant)));
            }
            tenant = owner;
            if let CommonName::One(name) = &verdict.facts.common_name {
                common_name = Some(name.clone());
            }
            attributes = chain.first().map(|leaf| of_certificate(leaf, &verdict)).unwrap_or_default();
        }
        for (variable, value) in &test.attribute {
            match variable {
                Variable::CommonName => common_name = Some(value.clone()),
                _ => attributes.push((*variable, value.clone())),
            }
        }
        let mut all = snapshot.tenants();
        let only = all.next().filter(|_| all.next().is_none()).map(AsRef::as_ref);
        let tenant = tenant.or(only).ok_or_else(|| {
            Outcome::Wrong(format!("there are several tenants ({}); say which with --tenant", names(snapshot)))
        })?;
        Ok(Self { tenant, common_name, attributes })
    }
}

fn named<'s>(test: &Test, snapshot: &'s TrustSnapshot) -> Result<Option<&'s Tenant>, Outcome> {
    let Some(name) = &test.tenant else { return Ok(None) };
    match snapshot.tenant_named(name) {
        Some(tenant) => Ok(Some(tenant)),
        None => Err(Outcome::wrong(format_args!("there is no tenant {name}; configured are {}", names(snapshot)))),
    }
}

fn names(snapshot: &TrustSnapshot) -> String {
    snapshot.tenants().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>().join(", ")
}
