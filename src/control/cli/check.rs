//! `certus check-config`: would a start take this configuration?
//!
//! What lives here: the same reading as a start, without making or binding
//! anything. What does not: the reading itself (`config`). Invariant: it changes
//! nothing.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::broker::ServerTls;
use crate::ca;
use crate::clock::Clock;
use crate::config::{Plan, Problem, load};
use crate::identity::anchor::{Anchor, Purpose};
use crate::identity::server_certificate::{ServerCertificate, ServerCertificateError};
use crate::identity::tenant::TenantSettings;
use crate::identity::trust::{TrustError, TrustSnapshot};

use super::{Outcome, say, settings};

pub(super) fn run(args: &settings::Args) -> Outcome {
    let sources = args.sources();
    let mut pending = Vec::new();
    let config = load(&sources, |plan| {
        pending = ca::pending(&plan.certs_dir, &wanted(plan)).map_err(Problem::told)?;
        Ok(pending.clone())
    });
    let config = match config {
        Ok(config) => config,
        Err(problems) => return Outcome::wrong(problems),
    };
    let trusted = match trusted(&config.broker.tenants, Clock::system().wall()) {
        Ok(trusted) => trusted,
        Err(problems) => return Outcome::wrong(problems),
    };
    let server_tls = &config.broker.server_tls;
    if !pending.contains(&server_tls.certificate)
        && let Err(error) = server_certificate(server_tls)
    {
        return Outcome::wrong(error);
    }
    for note in &config.notes {
        say(format_args!("note: {note}"));
    }
    if !pending.is_empty() {
        say(format_args!("note: the first start would make {} files in {}", pending.len(), config.certs_dir.display()));
    }
    for line in trusted {
        say(format_args!("trusted: {line}"));
    }
    match sources.file() {
        file if file.exists() => say(format_args!("{}: good", file.display())),
        _ => say("the defaults: good"),
    }
    Outcome::Done
}

fn server_certificate(tls: &ServerTls) -> Result<ServerCertificate, ServerCertificateError> {
    let certificate = ServerCertificate::load(&tls.certificate, &tls.key, Clock::system().wall())?;
    match &tls.ca {
        Some(ca) => certificate.with_authority(ca),
        None => Ok(certificate),
    }
}

/// What the plan wants of the development PKI.
pub(super) fn wanted(plan: &Plan) -> ca::Wanted<'_> {
    ca::Wanted { server: plan.server, devices: plan.devices, server_names: &plan.server_names }
}

/// One line for each anchor, or all that keeps one from being an anchor.
pub(super) fn trusted(tenants: &[TenantSettings], now: SystemTime) -> Result<Vec<String>, String> {
    let joined = |errors: Vec<TrustError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let snapshot = TrustSnapshot::build(tenants).map_err(joined)?;
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).cast_signed();
    let line = |anchor: &Arc<Anchor>| {
        let proof = snapshot.tenant(&anchor.tenant).is_some_and(|tenant| tenant.switches.pop_required);
        let idle = anchor.unusable(Purpose::Connect, proof, seconds).map(|reason| format!(", not used: {reason}"));
        format!("tenant {}: {}{}", anchor.tenant, anchor.summary(), idle.unwrap_or_default())
    };
    let mut lines: Vec<String> = snapshot.anchors().map(line).collect();
    lines.sort();
    Ok(lines)
}
