//! Commands that administer a running broker.
//!
//! What lives here: where the broker is, who asks, and one file for each noun.
//! What does not: the operations; the broker has them (`control::api`), and
//! these commands can do nothing that another client of its API cannot.
//! Invariant: no token and no password is ever an argument, which every user
//! of the machine could read.

pub(super) mod account;
pub(super) mod anchor;
mod ask;
pub(super) mod audit;
mod client;
pub(super) mod connections;
pub(super) mod device;
pub(super) mod explain;
pub(super) mod issued;
pub(super) mod refusals;
pub(super) mod revoke;
mod show;
pub(super) mod tenant;
pub(super) mod token;

use std::path::PathBuf;

use serde_json::Value;
use zeroize::Zeroizing;

use super::{Outcome, settings};
use client::{Client, Place};

/// The variable that holds a token.
const TOKEN: &str = "CERTUS_TOKEN";

/// Where the broker is, and who asks.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Api {
    /// Where the broker's API is.
    #[arg(
        long,
        env = "CERTUS_URL",
        default_value = "https://localhost:8443",
        global = true,
        value_name = "URL",
        help_heading = "The broker"
    )]
    url: String,
    /// The CA that the broker is verified under [default: server-ca.pem in
    /// certs_dir]. A broker hands its own out at /broker-ca.pem.
    #[arg(long, env = "CERTUS_CA", global = true, value_name = "FILE", help_heading = "The broker")]
    ca: Option<PathBuf>,
    /// A file with the token in its first line; without it the variable
    /// CERTUS_TOKEN, else it is asked for.
    #[arg(long, global = true, value_name = "FILE", help_heading = "The broker")]
    token_file: Option<PathBuf>,
    /// How answers are printed.
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        default_value = "table",
        overrides_with = "json",
        help_heading = "The broker"
    )]
    output: Form,
    /// The same as --output json.
    #[arg(long, global = true, help_heading = "The broker")]
    json: bool,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What work with a broker answers.
type Done<T = ()> = Result<T, Outcome>;

/// Does `work` with a client of the broker.
fn run<W>(api: &Api, work: W) -> Outcome
where
    W: AsyncFnOnce(&Client) -> Done,
{
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::failed(format_args!("cannot start: {error}")),
    };
    let done = api.place().and_then(|place| {
        let token = api.token()?;
        runtime.block_on(async {
            let client = Client::new(&place, token).await?;
            work(&client).await
        })
    });
    done.err().unwrap_or(Outcome::Done)
}

impl Api {
    fn is_json(&self) -> bool {
        self.json || self.output == Form::Json
    }

    fn place(&self) -> Done<Place> {
        let ca = match &self.ca {
            Some(file) => file.clone(),
            None => settings::Where::of_environment().plan().map_err(Outcome::wrong)?.certs_dir.join("server-ca.pem"),
        };
        Place::new(&self.url, ca)
    }

    fn token(&self) -> Done<Zeroizing<String>> {
        let given = match &self.token_file {
            Some(file) => std::fs::read_to_string(file)
                .map(Zeroizing::new)
                .map_err(|error| Outcome::wrong(format_args!("--token-file {}: {error}", file.display())))?,
            None => match std::env::var(TOKEN) {
                Ok(token) => Zeroizing::new(token),
                Err(_) => ask::token()?,
            },
        };
        let token = given.lines().next().unwrap_or_default().trim();
        let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        match is_one {
            true => Ok(Zeroizing::new(token.to_owned())),
            false => Err(Outcome::wrong("the token is empty, or holds characters that no token has")),
        }
    }
}

/// The tenant that is meant: the one that is named, else the only one there is.
async fn tenant(client: &Client, named: Option<&str>) -> Done<String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let all = client.all(&["tenants"], &[], client::MOST).await?;
    let ids: Vec<&str> = all.iter().map(|one| text(one, "id")).collect();
    match ids.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Outcome::wrong("there is no tenant; make one by `certus tenant add`")),
        several => Err(Outcome::wrong(format_args!("say --tenant; there are {}", several.join(", ")))),
    }
}

/// A property that is a text; empty when it is absent.
fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The scopes or roles of an account or a token.
fn scopes(given: &[String]) -> Vec<&str> {
    given.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|scope| !scope.is_empty()).collect()
}

/// `None` becomes no property, and `Some` becomes one.
fn put(body: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let (Some(body), Some(value)) = (body.as_object_mut(), value) {
        body.insert(name.to_owned(), value.into());
    }
}

/// The parameters of a query that were given.
fn given<'a>(all: &[(&'a str, &'a Option<String>)]) -> Vec<(&'a str, &'a str)> {
    all.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect()
}
