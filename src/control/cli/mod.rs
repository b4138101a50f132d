//! The command line.
//!
//! What lives here: its commands, what they share, and the exit codes. What
//! does not: the work; each command has its own file. Invariant: 0 means done, 1
//! that it did not work, 2 that the command or the configuration is wrong.

mod acl;
mod bench;
mod cert;
mod check;
mod explain;
mod passwd;
mod publish;
mod recover;
mod remote;
mod serve;
mod session;
mod settings;
mod store;
mod subscribe;
mod welcome;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A mutual-TLS MQTT broker in which the certificate is the identity.
#[derive(Debug, Parser)]
#[command(name = "certus", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: settings::Args,
}

const EXAMPLES: &str = "\
Without a command certus serves. Examples:
  certus                                     serve with config.toml, or with the defaults
  certus serve --listen-tls 0.0.0.0:8884     serve on another port
  certus check-config --config broker.toml   read a configuration, report every mistake
  certus cert new pump-7                     a device certificate from the development CA
  certus passwd bob --role operator          an account with a password
  certus acl test publish a/b --user bob     who may do what, and by which rule
  certus store check                         read all that a stopped broker has stored
  certus explain certs/pump-7.pem            why a certificate would be accepted or refused
  certus anchor add --name root lab-ca.pem   trust a CA, in the running broker
  certus refusals --follow                   why clients are refused, as it happens

Exit codes: 0 done, 1 it did not work, 2 the command or the configuration is wrong.";

const SERVE_EXAMPLES: &str = "\
Examples:
  certus serve
  certus serve --config broker.toml --certs-dir /etc/certus --state-dir /var/lib/certus
  certus serve --listen-tls 0.0.0.0:8884 --listen-plain off

SIGHUP reads the configuration again; SIGTERM and SIGINT stop within ten seconds.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker: make the development PKI when it is absent, listen,
    /// print how to connect, and say "ready".
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(settings::Args),
    /// Read the configuration and report every mistake at once.
    CheckConfig(settings::Args),
    /// Tenants of a running broker.
    Tenant(remote::tenant::Args),
    /// Trust anchors of a running broker: upload, prove, switch, delete.
    Anchor(remote::anchor::Args),
    /// Issue certificates from the development CA, or by a running broker.
    Cert(cert::Args),
    /// Devices that a running broker knows: register, switch off, forget.
    Device(remote::device::Args),
    /// Take back certificates, keys, names or devices, at once.
    Revoke(Box<remote::revoke::Args>),
    /// Accounts of a running broker: names with a password.
    Account(remote::account::Args),
    /// Tokens with which scripts administer a running broker.
    Token(remote::token::Args),
    /// Who is connected to a running broker.
    Connections(remote::connections::Args),
    /// Why clients were not let in, or were not allowed something.
    Refusals(remote::refusals::Args),
    /// Who changed what, and when.
    Audit(remote::audit::Args),
    /// Judge a certificate offline, step by step, as the broker would.
    Explain(explain::Args),
    /// Ask offline who may publish and subscribe to what.
    Acl(acl::Args),
    /// Make and edit the file of accounts that a configuration names.
    Passwd(passwd::Args),
    /// Check, shrink, export and import the store of a stopped broker.
    Store(store::Args),
    /// Publish a message.
    Pub(Box<publish::Args>),
    /// Subscribe, and print what comes.
    Sub(Box<subscribe::Args>),
    /// Measure a broker: throughput, latency, connects, memory.
    #[command(after_help = bench::EXAMPLES)]
    Bench(Box<bench::Bench>),
    /// Print completions for a shell: source <(certus completions bash).
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How a command ended.
enum Outcome {
    Done,
    /// It did not work: exit code 1.
    Failed(String),
    /// The command or the configuration is wrong: exit code 2.
    Wrong(String),
}

impl Outcome {
    fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }

    fn wrong(error: impl Display) -> Self {
        Self::Wrong(error.to_string())
    }

    fn exit(self) -> ExitCode {
        let (code, text) = match self {
            Self::Done => return ExitCode::SUCCESS,
            Self::Failed(text) => (1, text),
            Self::Wrong(text) => (2, text),
        };
        for line in text.lines() {
            complain(line);
        }
        ExitCode::from(code)
    }
}

/// Runs the command that this process was started with.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => serve::run(&cli.settings).exit(),
        Some(Command::Serve(args)) => serve::run(&args).exit(),
        Some(Command::CheckConfig(args)) => check::run(&args).exit(),
        Some(Command::Cert(args)) => cert::run(&args).exit(),
        Some(Command::Tenant(args)) => remote::tenant::run(&args).exit(),
        Some(Command::Anchor(args)) => remote::anchor::run(&args).exit(),
        Some(Command::Device(args)) => remote::device::run(&args).exit(),
        Some(Command::Revoke(args)) => remote::revoke::run(&args).exit(),
        Some(Command::Account(args)) => remote::account::run(&args).exit(),
        Some(Command::Token(args)) => remote::token::run(&args).exit(),
        Some(Command::Connections(args)) => remote::connections::run(&args).exit(),
        Some(Command::Refusals(args)) => remote::refusals::run(&args).exit(),
        Some(Command::Audit(args)) => remote::audit::run(&args).exit(),
        Some(Command::Explain(args)) => explain::run(&args).exit(),
        Some(Command::Acl(args)) => acl::run(&args).exit(),
        Some(Command::Passwd(args)) => passwd::run(&args).exit(),
        Some(Command::Store(args)) => store::run(&args).exit(),
        Some(Command::Pub(args)) => publish::run(&args).exit(),
        Some(Command::Sub(args)) => subscribe::run(&args).exit(),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Completions { shell }) => {
            // Into memory first: the generator panics when a pipe is closed.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "certus", &mut script);
            say(String::from_utf8_lossy(&script).trim_end());
            ExitCode::SUCCESS
        }
    }
}

/// Writes to standard output. Whoever closed it does not want the rest.
fn say(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Writes one line to standard error.
fn complain(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "certus: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_help_text() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}
