//! Why would this certificate be refused?
//!
//! What lives here: the same judgement as in a handshake and at CONNECT, run
//! offline and written out step by step. What does not: printing (`control`).
//! Invariant: the verdict is that of the broker, from the same code.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::anchor::Purpose;
use super::certificate::unix_seconds;
use super::chain::Court;
use super::conditions::{self, single_common_name};
use super::path::{Step, Trace, Verdict};
use super::pem::{self, PemError};
use super::reason::Reason;
use super::switch::{AutoRegister, Password};
use super::trust::{Tenant, TrustSnapshot};
use crate::mqtt::TenantId;

/// What became of a chain, step by step.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every step up to the one that failed.
    pub steps: Vec<Step>,
    /// The tenant that the chain leads to.
    pub tenant: Option<TenantId>,
    /// The ClientIds that would be accepted, in words.
    pub expected: Option<String>,
}

impl Report {
    /// Why the connection would be refused; `None` if it would not.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.steps.last().and_then(|step| step.outcome.err())
    }
}

/// Judges the certificates in `pem` as of `at`, for a client that would use
/// `client_id` (empty or absent: the broker chooses) and expects to be in
/// `tenant`.
///
/// # Errors
/// The text holds no certificates.
pub fn explain(
    pem: &[u8],
    client_id: Option<&str>,
    tenant: Option<&TenantId>,
    at: SystemTime,
    snapshot: &TrustSnapshot,
) -> Result<Report, PemError> {
    let chain = pem::certificates(pem)?;
    let mut trace = Trace::on();
    let court = Court { snapshot, prefer: tenant, now: unix_seconds(at), purpose: Purpose::Connect };
    let verdict = match court.judge(&chain, &mut trace) {
        Ok(verdict) => verdict,
        Err(failure) => {
            let mut steps = trace.into_steps();
            // The search may have gone on behind the failure that counts.
            steps.push(Step { name: "verdict", outcome: Err(failure.reason), text: failure.detail });
            return Ok(Report { steps, tenant: None, expected: None });
        }
    };
    let Some(owner) = snapshot.tenant(&verdict.tenant) else {
        return Ok(Report { steps: trace.into_steps(), tenant: None, expected: None });
    };
    let expected = identify(&mut trace, &verdict, owner, client_id.unwrap_or_default(), tenant, snapshot);
    Ok(Report { steps: trace.into_steps(), tenant: Some(verdict.tenant), expected })
}

/// The steps of CONNECT; stops at the first that fails.
fn identify(
    trace: &mut Trace,
    verdict: &Verdict,
    owner: &Arc<Tenant>,
    client_id: &str,
    wanted: Option<&TenantId>,
    snapshot: &TrustSnapshot,
) -> Option<String> {
    let right_tenant = wanted.is_none_or(|wanted| *wanted == verdict.tenant);
    trace.step("tenant", if right_tenant { Ok(()) } else { Err(Reason::TenantConflict) }, || {
        format!("the chain leads to tenant {} (profile {})", verdict.tenant, owner.profile)
    });
    if !right_tenant {
        return None;
    }
    if let Err(no) = conditions::check_enabled(owner) {
        trace.step("tenant", Err(no.reason), || no.detail);
        return None;
    }
    let common_name = match single_common_name(&verdict.facts) {
        Ok(name) => name,
        Err(no) => {
            trace.step("common name", Err(no.reason), || no.detail);
            return None;
        }
    };
    trace.step("common name", Ok(()), || format!("\"{}\"", common_name.escape_debug()));
    let expected = owner.rule.expected(common_name);
    match owner.rule.check(common_name, client_id) {
        Ok(accepted) => trace.step("ClientId", Ok(()), || match accepted {
            Some(accepted) => {
                format!("\"{}\" by the rule {}", accepted.client_id.as_str().escape_debug(), owner.rule.kind)
            }
            None => format!("any, by the rule {}", owner.rule.kind),
        }),
        Err(mismatch) => {
            let reason = super::admission::No::from(mismatch).reason;
            trace.step("ClientId", Err(reason), || format!("\"{}\"; expected {expected}", client_id.escape_debug()));
            return Some(expected);
        }
    }
    let registered = match owner.switches.auto_register {
        AutoRegister::Yes => true,
        AutoRegister::PerAnchor => verdict.anchor.auto_registration,
        AutoRegister::No => owner.switches.password == Password::Always,
    } || snapshot.devices().of(&owner.id).contains(common_name);
    trace.step("registration", if registered { Ok(()) } else { Err(Reason::NotRegistered) }, || {
        format!(
            "auto_register is {}, the anchor's flag {}",
            owner.switches.auto_register, verdict.anchor.auto_registration
        )
    });
    if registered && owner.switches.password == Password::Always {
        trace.step("password", Ok(()), || "user name and password are needed beside the certificate".to_owned());
    }
    Some(expected)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            match step.outcome {
                Ok(()) => writeln!(f, "passed  {}: {}", step.name, step.text)?,
                Err(reason) => writeln!(f, "FAILED  {}: {reason}: {}", step.name, step.text)?,
            }
        }
        match self.reason() {
            Some(reason) => writeln!(f, "refused: {reason}\nremedy: {}", reason.remedy()),
            None => match &self.expected {
                Some(expected) => writeln!(f, "accepted; ClientId: {expected}"),
                None => writeln!(f, "accepted"),
            },
        }
    }
}
