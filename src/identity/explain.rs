//! Why would this certificate be refused?
//!
//! What lives here: the same judgement as in a handshake and at CONNECT, run
//! without a connection and written out step by step. What does not: printing
//! (`control`), what only the store says (`ca`).
//! Invariant: the verdict is that of the broker, from the same code.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::anchor::{Anchor, Purpose};
use super::certificate::{CertificateFacts, Missing, unix_seconds};
use super::chain::Court;
use super::conditions::{self, single_common_name};
pub use super::path::Step;
use super::path::{Failure, Trace, Verdict};
use super::pem::{self, PemError};
use super::reason::Reason;
use super::switch::Password;
use super::trust::{Tenant, TrustSnapshot};
use crate::mqtt::TenantId;

/// What became of a chain, step by step.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Every step up to the one that failed.
    pub steps: Vec<Step>,
    /// The tenant that the chain leads to.
    pub tenant: Option<TenantId>,
    /// The ClientIds that would be accepted, in words.
    pub expected: Option<String>,
    /// The device's certificate.
    pub certificate: Option<Arc<CertificateFacts>>,
    /// Where the chain ends, or would.
    pub anchor: Option<Arc<Anchor>>,
    /// The issuer that is not there, when that is the reason.
    pub missing: Option<Missing>,
    /// The tenants whose anchors have signed something of the chain.
    pub met: BTreeSet<TenantId>,
}

impl Report {
    /// Why the connection would be refused; `None` if it would not.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.steps.last().and_then(|step| step.outcome.err())
    }

    /// What is left of it for somebody who may see nothing but `tenant`: a
    /// chain that another tenant's anchors have signed is told to be that, and
    /// no more.
    #[must_use]
    pub fn for_tenant(self, tenant: &TenantId) -> Self {
        if self.met.iter().all(|met| met == tenant) {
            return self;
        }
        let text = format!("the chain leads to an anchor of another tenant than {tenant}");
        let step = Step { name: "tenant", outcome: Err(Reason::TenantConflict), text };
        Self { steps: vec![step], certificate: self.certificate, ..Self::default() }
    }

    fn refused(failure: Failure, trace: Trace) -> Self {
        let (mut steps, met) = trace.into_parts();
        let Failure { reason, mut detail, facts, anchor, missing, .. } = failure;
        if let Some(missing) = &missing {
            detail.push_str(&format!("; missing is {missing}"));
        }
        // The search may have gone on behind the failure that counts.
        steps.push(Step { name: "verdict", outcome: Err(reason), text: detail });
        Self { steps, certificate: facts, anchor, missing, met, ..Self::default() }
    }
}

/// What is asked about a chain.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'i> {
    /// The certificates that the client would send, its own first: PEM.
    pub pem: &'i [u8],
    /// The ClientId that it would use; the broker chooses when it is absent
    /// or empty.
    pub client_id: Option<&'i str>,
    /// The tenant that it expects to be in.
    pub tenant: Option<&'i TenantId>,
    /// The moment.
    pub at: SystemTime,
}

/// Judges a chain as the broker would.
///
/// # Errors
/// The text holds no certificates.
pub fn explain(inquiry: &Inquiry<'_>, snapshot: &TrustSnapshot) -> Result<Report, PemError> {
    let chain = pem::certificates(inquiry.pem)?;
    let mut trace = Trace::on();
    let now = unix_seconds(inquiry.at);
    let court = Court { snapshot, prefer: inquiry.tenant, now, purpose: Purpose::Connect };
    let verdict = match court.judge(&chain, &mut trace) {
        Ok(verdict) => verdict,
        Err(failure) => return Ok(Report::refused(*failure, trace)),
    };
    let owner = snapshot.tenant(&verdict.tenant);
    let expected = owner.and_then(|owner| identify(&mut trace, &verdict, owner, inquiry, snapshot));
    let (steps, met) = trace.into_parts();
    let Verdict { tenant, anchor, facts, .. } = verdict;
    let tenant = owner.map(|_| tenant);
    Ok(Report { steps, tenant, expected, certificate: Some(facts), anchor: Some(anchor), missing: None, met })
}

/// The steps of CONNECT; stops at the first that fails.
fn identify(
    trace: &mut Trace,
    verdict: &Verdict,
    owner: &Arc<Tenant>,
    inquiry: &Inquiry<'_>,
    snapshot: &TrustSnapshot,
) -> Option<String> {
    let client_id = inquiry.client_id.unwrap_or_default();
    let right_tenant = inquiry.tenant.is_none_or(|wanted| *wanted == verdict.tenant);
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
    let accepted = match owner.rule.check(common_name, client_id) {
        Ok(accepted) => accepted,
        Err(mismatch) => {
            let reason = super::admission::No::from(mismatch).reason;
            trace.step("ClientId", Err(reason), || format!("\"{}\"; expected {expected}", client_id.escape_debug()));
            return Some(expected);
        }
    };
    trace.step("ClientId", Ok(()), || match &accepted {
        Some(accepted) => {
            format!("\"{}\" by the rule {}", accepted.client_id.as_str().escape_debug(), owner.rule.kind)
        }
        None => format!("any, by the rule {}", owner.rule.kind),
    });
    if let Some(accepted) = &accepted
        && let Err(no) = conditions::check_device(owner, &accepted.client_id, &accepted.session_key)
    {
        trace.step("revocation", Err(no.reason), || no.detail);
        return Some(expected);
    }
    register(trace, verdict, owner, common_name, snapshot);
    Some(expected)
}

/// The registration of the device, and what is needed beside its certificate.
fn register(trace: &mut Trace, verdict: &Verdict, owner: &Tenant, name: &str, snapshot: &TrustSnapshot) {
    let is_known = snapshot.devices().of(&owner.id).contains(name);
    match conditions::check_registration(snapshot.devices(), owner, verdict, name) {
        Err(no) => return trace.step("registration", Err(no.reason), || no.detail),
        Ok(device) => trace.step("registration", Ok(()), || match (device, is_known) {
            (None, _) => "the account that is proved beside the certificate stands for it".to_owned(),
            (Some(_), true) => "the device is known, and enabled".to_owned(),
            (Some(_), false) => format!(
                "the device is not known, and becomes so by its first connection (auto_register is {}, the anchor's flag {})",
                owner.switches.auto_register, verdict.anchor.auto_registration
            ),
        }),
    }
    if owner.switches.password == Password::Always {
        trace.step("password", Ok(()), || "user name and password are needed beside the certificate".to_owned());
    }
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
