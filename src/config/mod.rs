//! What the broker is told to be: flags, variables, `config.toml`.
//!
//! What lives here: reading all of it into the settings of the parts, with
//! every mistake reported at once. What does not: what the settings do.
//! Invariant: a configuration is taken whole or not at all; nothing starts or
//! changes on half of one.

mod accounts;
mod anchors;
mod bounds;
mod document;
mod error;
mod https;
mod listeners;
mod notices;
mod rights;
mod sources;
mod storage;
mod tenants;
mod units;
mod values;

#[cfg(test)]
mod tests;

pub use error::{Complaint, Place, Problem, Problems};
pub use sources::{DEFAULT_FILE, Flag, Sources, variable_for};
pub use units::{duration, show_duration, show_size, size};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use crate::broker;
use crate::control::settings::{NoticeSettings, NoticeWays, RevocationListSettings};
use crate::mqtt::TenantId;
use crate::telemetry::logging;

use document::{Reader, Scope};

/// Everything that was configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the broker is made of.
    pub broker: broker::Settings,
    /// Revocation lists that are fetched.
    pub revocation_lists: Vec<RevocationListSettings>,
    /// Where health and metrics are asked for; nowhere when absent.
    pub admin: Option<SocketAddr>,
    /// Where notices of certificates go.
    pub notices: NoticeSettings,
    /// Where certificates lie, and the development PKI is made.
    pub certs_dir: PathBuf,
    /// Where the broker keeps its state.
    pub state_dir: PathBuf,
    /// What is logged.
    pub log_level: logging::Level,
    /// How it is written.
    pub log_format: logging::Format,
    /// Threads that serve connections; 0 stands for one per core.
    pub worker_threads: usize,
    /// A file that moves the wall time, for tests.
    pub test_clock: Option<PathBuf>,
    /// What the person who runs the broker should know, though it is no
    /// mistake.
    pub notes: Vec<String>,
}

/// What must lie in the certificates directory before the anchors are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The directory.
    pub certs_dir: PathBuf,
    /// Which store the broker rests on.
    pub durability: broker::Durability,
    /// Whether the server's certificate has its default name there.
    pub server: bool,
    /// Whether the device CA of the development PKI is an anchor.
    pub devices: bool,
    /// Names for the server's certificate: the configured ones, and the
    /// addresses that are bound.
    pub server_names: Vec<String>,
    /// Every tenant with its file of accounts, if it has one.
    pub accounts: Vec<(TenantId, Option<PathBuf>)>,
}

/// The server's certificate in the certificates directory, by default.
const SERVER_CERTIFICATE: &str = "server.pem";
/// Its key.
const SERVER_KEY: &str = "server.key";

/// Reads the configuration. `prepare` is called once, when nothing is wrong
/// with what was read; it may make the development PKI, and answers which
/// files would only be made at the start.
///
/// # Errors
/// All mistakes that were found.
pub fn load(
    sources: &Sources,
    prepare: impl FnOnce(&Plan) -> Result<Vec<PathBuf>, Problem>,
) -> Result<Config, Problems> {
    let (text, present) = file(sources)?;
    read_text(sources, &text, present, prepare)
}

/// Checks a configuration that lies in no file, without variables and flags;
/// nothing is made. Answers what should be known, though it is no mistake.
///
/// # Errors
/// All mistakes that were found.
pub fn check_text(text: &str) -> Result<Vec<String>, Problems> {
    let sources = Sources::new();
    let would_be_made = |plan: &Plan| Ok(vec![plan.certs_dir.join(tenants::DEFAULT_ANCHOR)]);
    read_text(&sources, text, true, would_be_made).map(|config| config.notes)
}

fn read_text(
    sources: &Sources,
    text: &str,
    present: bool,
    prepare: impl FnOnce(&Plan) -> Result<Vec<PathBuf>, Problem>,
) -> Result<Config, Problems> {
    let scope = Scope::new(sources.file().display().to_string(), text, sources);
    let (document, syntax) = DeTable::parse_recoverable(text);
    for error in &syntax {
        let place = scope.place_at(error.span().map_or(0, |span| span.start));
        let reason = format!("this is not TOML ({})", error.message().replace('\n', ", "));
        scope.report(place, "", Complaint::new(reason, "see https://toml.io/en/v1.0.0"));
    }
    if !syntax.is_empty() {
        return Err(Problems(scope.into_problems()));
    }
    let config = read(&scope, document.get_ref(), present, prepare);
    let problems = sorted(scope.into_problems());
    if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
}

/// The text of the file; nothing when the default one is absent.
fn file(sources: &Sources) -> Result<(String, bool), Problems> {
    match std::fs::read_to_string(sources.file()) {
        Ok(text) => Ok((text, true)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !sources.is_file_named() => {
            Ok((String::new(), false))
        }
        Err(error) => {
            let place = Place::File { name: sources.file().display().to_string(), line: 0 };
            let complaint =
                Complaint::new(format!("it cannot be read ({error})"), "name a readable file with --config");
            Err(Problems(vec![Problem { place, key: String::new(), complaint }]))
        }
    }
}

fn read<'a>(
    scope: &'a Scope<'a>,
    document: &'a DeTable<'a>,
    present: bool,
    prepare: impl FnOnce(&Plan) -> Result<Vec<PathBuf>, Problem>,
) -> Config {
    let top = Reader::top(scope, document);
    let certs_dir = top.read("certs_dir", PathBuf::from("certs"), values::path);
    let state_dir = top.read("state_dir", PathBuf::from("data"), values::path);
    let sealing_key_file = top.read("sealing_key_file", None, |given| values::path(given).map(Some));
    let test_clock = top.read("test_clock", None, |given| values::path(given).map(Some));
    let worker_threads = top.read("worker_threads", 0, values::whole(0..=1024));
    let (log_level, log_format) = log(&top);
    let (server_tls, mut server_names, server) = server_tls(&top, &certs_dir);
    let (durability, slow_store) = storage::storage(&top, &state_dir);
    let everywhere = notices::ways(&top);
    let (net, delivery) = (bounds::net(&top), bounds::delivery(&top));
    let entries = tenants::tenants(&top);
    let named: Vec<_> = entries.iter().map(|entry| entry.settings.clone()).collect();
    let listeners::Listeners { mqtt: listeners, https, admin } = listeners::listeners(&top, &named);
    top.close();
    let mut notes = beside(scope, present);
    notes.extend(admin.and_then(listeners::unguarded));
    let device_ca = Path::new(tenants::DEFAULT_ANCHOR);
    let devices = entries.iter().flat_map(|entry| &entry.anchors).any(|anchor| anchor.file == device_ca);
    let secure = listeners.iter().filter(|listener| listener.tls).map(|listener| listener.bind);
    server_names.extend(secure.chain(https.iter().map(|https| https.bind)).filter_map(bound_name));
    let of_tenants = entries.iter().map(|entry| (entry.settings.id.to_string(), entry.notices.clone()));
    let of_tenants = of_tenants.filter(|(_, ways)| *ways != NoticeWays::default()).collect();
    let notices = NoticeSettings { everywhere, tenants: of_tenants };
    let of_tenant = |entry: &tenants::TenantEntry| {
        (entry.settings.id.clone(), entry.accounts.as_ref().map(|accounts| accounts.file.clone()))
    };
    let accounts = entries.iter().map(of_tenant).collect();
    let plan = Plan { certs_dir, durability: durability.clone(), server, devices, server_names, accounts };
    let made_at_start = prepared(scope, &plan, prepare);
    let (tenants, revocation_lists) = anchors::read(scope, entries, &plan.certs_dir, &made_at_start);
    let broker = broker::Settings {
        listeners,
        https,
        server_tls,
        net,
        delivery,
        tenants,
        durability,
        sealing_key_file,
        slow_store,
    };
    let certs_dir = plan.certs_dir;
    Config {
        broker,
        revocation_lists,
        admin,
        notices,
        certs_dir,
        state_dir,
        log_level,
        log_format,
        worker_threads,
        test_clock,
        notes,
    }
}

/// Whoever binds an address expects clients to connect to it by that.
fn bound_name(bind: SocketAddr) -> Option<String> {
    let address = bind.ip();
    (!address.is_unspecified() && !address.is_loopback()).then(|| address.to_string())
}

/// On a sound document the plan is carried out; otherwise nothing is made, and
/// what would have been made is not missed.
fn prepared(
    scope: &Scope<'_>,
    plan: &Plan,
    prepare: impl FnOnce(&Plan) -> Result<Vec<PathBuf>, Problem>,
) -> Vec<PathBuf> {
    let development = vec![plan.certs_dir.join(tenants::DEFAULT_ANCHOR)];
    if !scope.is_sound() {
        return development;
    }
    prepare(plan).unwrap_or_else(|problem| {
        scope.report(problem.place, problem.key, problem.complaint);
        development
    })
}

fn log(top: &Reader<'_>) -> (logging::Level, logging::Format) {
    let table = top.table("log");
    let level = table.read("level", logging::Level::default(), |given| {
        let text = values::text(given)?;
        text.parse().map_err(|_| {
            let remedy = "write off, error, warn, info, debug or trace, or a list such as \"info,certus::net=debug\"";
            Complaint::new(format!("{text:?} is not a log level"), remedy)
        })
    });
    let format = table.read("format", logging::Format::default(), |given| match given.text() {
        Some("text") => Ok(logging::Format::Text),
        Some("json") => Ok(logging::Format::Json),
        _ => {
            let reason = format!("{} is no format of log lines", given.shown());
            Err(Complaint::new(reason, values::one_of(["text", "json"].into_iter())))
        }
    });
    table.close();
    (level, format)
}

/// Where the server's certificate is, what it is called, and whether it is that
/// of the development PKI.
fn server_tls(top: &Reader<'_>, certs_dir: &Path) -> (broker::ServerTls, Vec<String>, bool) {
    let table = top.table("server_tls");
    let certificate = table.read("cert", PathBuf::from(SERVER_CERTIFICATE), values::path);
    let key = table.read("key", PathBuf::from(SERVER_KEY), values::path);
    let ca = table.read("ca", None, |given| values::path(given).map(Some));
    let names = table.read("names", Vec::new(), names);
    table.close();
    let development = certificate == Path::new(SERVER_CERTIFICATE) && key == Path::new(SERVER_KEY);
    let ca = ca.map(|ca: PathBuf| certs_dir.join(ca));
    let server_tls = broker::ServerTls { certificate: certs_dir.join(certificate), key: certs_dir.join(key), ca };
    (server_tls, names, development)
}

/// Host names and addresses that a certificate can hold.
fn names(given: document::Given<'_>) -> Result<Vec<String>, Complaint> {
    let names = values::texts(given)?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '*' | '_');
    let bad = |name: &&String| {
        let is_host = !name.is_empty() && name.len() <= 253 && name.chars().all(good);
        !is_host && name.parse::<std::net::IpAddr>().is_err()
    };
    match names.iter().find(bad) {
        None => Ok(names),
        Some(name) => {
            let reason = format!("{name:?} is neither a host name nor an address");
            Err(Complaint::new(reason, "write names such as \"broker.lan\" or \"192.0.2.7\""))
        }
    }
}

/// Flags for unknown keys are mistakes. Unknown variables are notes: other
/// programs set variables too.
fn beside(scope: &Scope<'_>, present: bool) -> Vec<String> {
    let known = scope.known();
    for flag in scope.sources().flags_beside(&known) {
        let remedy = document::suggestion(&flag.key, known.iter().map(String::as_str));
        let complaint = Complaint::new("no such key", remedy);
        scope.report(Place::Flag(flag.name.clone()), flag.key.clone(), complaint);
    }
    let mut notes: Vec<String> = Vec::new();
    if !present {
        notes.push(format!("there is no {}; the defaults hold", scope.sources().file().display()));
    }
    for name in scope.sources().variables_beside(&known) {
        notes.push(format!("the variable {name} stands for no key and is not read"));
    }
    notes
}

/// In the order of the file, then flags and variables.
fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| match &problem.place {
        Place::File { line, .. } => *line,
        _ => usize::MAX,
    });
    problems
}
