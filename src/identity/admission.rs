//! May this connection come in, and as whom?
//!
//! What lives here: the answer to CONNECT, from the tenant to the rights
//! (spec.md sections 2, 7 and 9), for full and resumed handshakes alike. What
//! does not: the handshake (`verifier`), the same question asked again of a
//! live connection (`readmission`). Invariant: pure and total: snapshot, peer,
//! request and time in, admission or refusal out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;

use super::account::Account;
use super::anchor::Anchor;
use super::attributes::rights_of;
use super::certificate::{CertificateFacts, system_time, unix_seconds};
use super::conditions;
use super::credentials::{self, Proof, Proved, Unproved};
use super::path::{Failure, Verdict};
use super::policy::Rights;
use super::principal::{Holder, Principal};
use super::reason::Reason;
use super::refusal::{Refusal, Stage};
use super::rule::{Accepted, Mismatch};
use super::switch::{CleanSessionPolicy, ClientCert, Profile, RejectAt};
use super::trust::{Tenant, TrustSnapshot};
use crate::mqtt::{ClientId, TenantId, TopicName, Version};

/// What a listener means for the connections that it accepts.
#[derive(Clone, Debug)]
pub struct ListenerScope {
    /// Its name in logs.
    pub name: Arc<str>,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Whether MQTT travels in WebSocket frames.
    pub websocket: bool,
    /// The tenant of clients that name none.
    pub default_tenant: Option<TenantId>,
}

/// The other end, as the transport knows it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The certificates that it sent, leaf first; of a resumed session those
    /// of the first handshake.
    pub chain: Option<Arc<[CertificateDer<'static>]>>,
    /// The server name that it asked for.
    pub server_name: Option<Arc<str>>,
    /// `1.2` or `1.3`; `None` without TLS.
    pub tls: Option<&'static str>,
    /// Where it came in.
    pub listener: Arc<ListenerScope>,
}

impl Peer {
    /// The client's own certificate, DER.
    #[must_use]
    pub fn leaf(&self) -> Option<&[u8]> {
        self.chain.as_deref()?.first().map(AsRef::as_ref)
    }

    /// The tenant that is known before any certificate: that of the server
    /// name, else the listener's default (TLS-12).
    #[must_use]
    pub fn scope<'s>(&self, snapshot: &'s TrustSnapshot) -> Option<&'s Arc<Tenant>> {
        scope(snapshot, self.server_name.as_deref(), self.listener.default_tenant.as_ref())
    }
}

/// The tenant that is known before any certificate.
#[must_use]
pub fn scope<'s>(
    snapshot: &'s TrustSnapshot,
    server_name: Option<&str>,
    default_tenant: Option<&TenantId>,
) -> Option<&'s Arc<Tenant>> {
    let named = server_name.and_then(|name| snapshot.tenant_of_domain(name));
    named.or_else(|| snapshot.tenant(default_tenant?))
}

/// What CONNECT asks for, as far as identity is concerned.
#[derive(Clone, Copy, Debug)]
pub struct ConnectRequest<'a> {
    /// The protocol version.
    pub version: Version,
    /// Whether the top bit of the level marks a bridge (MQTT-CON-07).
    pub bridge: bool,
    /// The ClientId, maybe empty.
    pub client_id: &'a str,
    /// Clean Session or Clean Start.
    pub clean_start: bool,
    /// Session Expiry Interval in seconds; 0 for the older versions.
    pub session_expiry: u32,
    /// The user name.
    pub user_name: Option<&'a str>,
    /// The password.
    pub password: Option<&'a [u8]>,
    /// The will's topic.
    pub will_topic: Option<TopicName<'a>>,
}

/// A connection that may come in.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Its tenant, with the switches.
    pub tenant: Arc<Tenant>,
    /// Who it was proved to be.
    pub principal: Principal,
    /// Its ClientId.
    pub client_id: ClientId,
    /// Under what its session is kept.
    pub session_key: ClientId,
    /// Whether the ClientId was chosen by the server.
    pub assigned: bool,
    /// What it may do.
    pub rights: Arc<Rights>,
    /// The account whose password was proved, alone or beside a certificate.
    pub account: Option<Arc<Account>>,
    /// The device that it is known as, or becomes known as by this connection.
    pub device: Option<Arc<str>>,
    /// Its certificate.
    pub certificate: Option<Arc<CertificateFacts>>,
    /// When the connection has to end, if its tenant's
    /// `disconnect_on_expiry` says so (TRUST-12).
    pub not_after: Option<SystemTime>,
    /// The anchor that its chain leads to.
    pub anchor: Option<Arc<Anchor>>,
    /// The whole verdict on its chain.
    pub verdict: Option<Arc<Verdict>>,
    /// The version of trust that it was judged by.
    pub trust_version: u64,
    /// The protocol version that it speaks.
    pub version: Version,
}

/// A refusal on its way, without what is known of the connection.
#[derive(Debug)]
pub(super) struct No {
    pub reason: Reason,
    pub detail: String,
    pub expected: Option<String>,
}

impl No {
    pub fn because(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), expected: None }
    }

    pub(super) fn at_connect(self, now: SystemTime) -> Refusal {
        let mut refusal = Refusal::new(Stage::Connect, self.reason, self.detail, now);
        refusal.expected = self.expected;
        refusal
    }
}

impl From<Mismatch> for No {
    fn from(mismatch: Mismatch) -> Self {
        let reason = match &mismatch {
            Mismatch::ClientId { .. } => Reason::ClientId,
            Mismatch::CommonName { .. } => Reason::CnMismatch,
        };
        Self { reason, detail: mismatch.to_string(), expected: Some(mismatch.expected().to_owned()) }
    }
}

/// What becomes of a CONNECT that nothing speaks against.
#[derive(Debug)]
pub enum Answer {
    /// It may come in.
    Admitted(Box<Admission>),
    /// It may, once its password has been checked.
    Unproved(Box<Unproved>),
}

/// Decides about a CONNECT. The same question is asked after full and resumed
/// handshakes, so that a ticket never outlives the trust that it was made
/// under.
///
/// # Errors
/// The refusal, complete with what a person needs to mend it.
pub fn admit(
    snapshot: &TrustSnapshot,
    peer: &Peer,
    request: &ConnectRequest<'_>,
    now: SystemTime,
) -> Result<Answer, Box<Refusal>> {
    let scope = peer.scope(snapshot);
    let judged = judge(snapshot, peer, scope, now);
    let mut context = Context { snapshot, peer, request, scope, verdict: None, tenant: None };
    let mut failed = None;
    match judged {
        Ok(verdict) => context.verdict = verdict,
        Err(failure) if context.falls_back_to_password() => {
            tracing::debug!(reason = %failure.reason, "a failed certificate leaves it to the password");
            failed = Some(failure);
        }
        Err(failure) => return Err(Box::new(context.complete(Refusal::of_chain(Stage::Connect, &failure, now)))),
    }
    let decided = context.decide();
    let refuse = |no: No| Box::new(context.complete(no.at_connect(now)));
    let Decided { rest, challenge } = decided.map_err(refuse)?;
    let rest = rest.map_err(refuse);
    let Some(challenge) = challenge else { return rest.map(|admission| Answer::Admitted(Box::new(admission))) };
    let wrong = match &failed {
        // AUTH-09: what began with a certificate never ends with code 4.
        Some(failure) => Box::new(context.complete(Refusal::of_chain(Stage::Connect, failure, now))),
        None => refuse(credentials::wrong_password()),
    };
    Ok(Answer::Unproved(Box::new(Unproved { challenge, right: rest, wrong })))
}

/// What [`Context::decide`] found.
struct Decided {
    /// The answer, if the password is right or none is needed.
    rest: Result<Admission, No>,
    /// The password that has to be checked first.
    challenge: Option<credentials::Challenge>,
}

/// The verdict on the peer's chain; `None` when there is none to judge.
pub(super) fn judge(
    snapshot: &TrustSnapshot,
    peer: &Peer,
    scope: Option<&Arc<Tenant>>,
    now: SystemTime,
) -> Result<Option<Arc<Verdict>>, Box<Failure>> {
    let Some(chain) = peer.chain.as_deref().filter(|chain| !chain.is_empty()) else { return Ok(None) };
    if scope.is_some_and(|tenant| conditions::is_by_password(tenant, peer)) {
        return Ok(None);
    }
    snapshot.judge(chain, scope.map(|tenant| &tenant.id), unix_seconds(now)).map(Some)
}

struct Context<'c> {
    snapshot: &'c TrustSnapshot,
    peer: &'c Peer,
    request: &'c ConnectRequest<'c>,
    scope: Option<&'c Arc<Tenant>>,
    verdict: Option<Arc<Verdict>>,
    tenant: Option<&'c Arc<Tenant>>,
}

impl<'c> Context<'c> {
    fn decide(&mut self) -> Result<Decided, No> {
        let tenant = self.find_tenant()?;
        self.tenant = Some(tenant);
        conditions::check_enabled(tenant)?;
        if conditions::is_by_password(tenant, self.peer) {
            // The anchor has told the tenant, and proves nothing more.
            self.verdict = None;
        }
        conditions::check_transport(tenant, self.peer)?;
        conditions::check_level(tenant, self.request.version)?;
        self.check_session_policy(tenant)?;
        let Proved { holder, account, challenge } = self.prove(tenant)?;
        let principal = Principal { tenant: tenant.id.clone(), holder };
        if self.verdict.is_some() {
            // What a certificate shows to be wrong needs no password. Of an account nothing is told before.
            self.client_id(tenant, &principal)?;
            self.check_registration(tenant, &principal)?;
        }
        let rest = match account {
            Ok(account) => self.grant(tenant, principal, account),
            Err(no) => Err(no),
        };
        Ok(Decided { rest, challenge })
    }

    fn grant(
        &self,
        tenant: &Arc<Tenant>,
        principal: Principal,
        account: Option<Arc<Account>>,
    ) -> Result<Admission, No> {
        let accepted = self.client_id(tenant, &principal)?;
        let device = self.check_registration(tenant, &principal)?;
        let leaf = self.verdict.as_deref().zip(self.peer.leaf());
        let rights = rights_of(tenant, &principal, account.as_deref(), &accepted.client_id, leaf);
        if self.request.will_topic.is_some_and(|topic| rights.publish(topic).is_err()) {
            return Err(No::because(
                Reason::WillForbidden,
                "the will's topic is not one that the client may publish to",
            ));
        }
        Ok(Admission { account, device, ..self.admission(tenant, principal, accepted, rights) })
    }

    /// AUTH-10: a failed certificate may leave it to the password.
    fn falls_back_to_password(&self) -> bool {
        let user_name = self.request.user_name.filter(|_| self.request.password.is_some());
        let tenant = user_name.and_then(|name| credentials::named_tenant(self.snapshot, name)).or(self.scope);
        tenant.is_some_and(|tenant| {
            let switches = &tenant.switches;
            user_name.is_some() && switches.cert_fallback_to_password && switches.reject_at == RejectAt::Connack
        })
    }

    /// Spec.md section 2: the chain's anchor, the user name, the server name,
    /// the listener.
    fn find_tenant(&self) -> Result<&'c Arc<Tenant>, No> {
        let of_user = self.request.user_name.and_then(|name| credentials::named_tenant(self.snapshot, name));
        let Some(verdict) = &self.verdict else {
            return of_user.or(self.scope).ok_or_else(|| match self.request.user_name {
                // AUTH-08: an unknown tenant is a wrong user name.
                Some(_) => {
                    No::because(Reason::BadPassword, "the user name names no tenant, and the listener has no default")
                }
                None => No::because(
                    Reason::NoTenant,
                    "neither certificate, user name, server name nor listener name a tenant",
                ),
            });
        };
        let tenant = self.snapshot.tenant(&verdict.tenant);
        let tenant = tenant.ok_or_else(|| No::because(Reason::NoTenant, "the certificate's tenant is gone"))?;
        match of_user.or_else(|| self.whole_user_name(tenant)) {
            Some(other) if other.id != tenant.id => {
                let detail = format!("the certificate belongs to tenant {}, the user name to {}", tenant.id, other.id);
                Err(No::because(Reason::TenantConflict, detail))
            }
            _ => Ok(tenant),
        }
    }

    /// AUTH-10: in cumulocity a user name that is the id of a known tenant is
    /// compared with the anchor's; any other is read over.
    fn whole_user_name(&self, tenant: &Tenant) -> Option<&'c Arc<Tenant>> {
        let name = self.request.user_name.filter(|_| tenant.profile == Profile::Cumulocity)?;
        self.snapshot.tenant_named(name)
    }

    /// MQTT-SES-05
    fn check_session_policy(&self, tenant: &Tenant) -> Result<(), No> {
        let lasting = !self.request.clean_start || self.request.session_expiry > 0;
        if lasting && tenant.switches.clean_session_policy == CleanSessionPolicy::RejectPersistent {
            return Err(No::because(Reason::CleanSessionPolicy, "a lasting session was asked for"));
        }
        Ok(())
    }

    fn prove(&self, tenant: &Tenant) -> Result<Proved, No> {
        let insists = self.scope.is_some_and(|scope| scope.switches.client_cert == ClientCert::Required);
        let ConnectRequest { user_name, password, .. } = *self.request;
        let proof = Proof { tenant, peer: self.peer, insists, user_name, password };
        match &self.verdict {
            None => proof.without_certificate(),
            Some(verdict) => {
                let common_name = Arc::from(conditions::single_common_name(&verdict.facts)?);
                proof.with_certificate(
                    self.snapshot,
                    verdict,
                    Holder::Certificate { lineage: verdict.lineage.clone(), common_name },
                )
            }
        }
    }

    fn client_id(&self, tenant: &Tenant, principal: &Principal) -> Result<Accepted, No> {
        let asked = self.request.client_id;
        if asked.is_empty() && !self.request.clean_start && !self.request.version.is_v5() {
            return Err(No::because(Reason::ClientId, "an empty ClientId needs clean session"));
        }
        // AUTH-11: the bound of MQTT 3.1, which the original enforces.
        let long = self.request.version == Version::V3 && asked.chars().count() >= 24;
        if long && tenant.profile == Profile::Cumulocity {
            return Err(No::because(Reason::LongClientId, "a ClientId of 24 or more characters in MQTT 3.1"));
        }
        let accepted = match principal.common_name() {
            Some(common_name) => tenant.rule.check(common_name, asked)?,
            None => tenant.rule.check_form(asked)?,
        };
        match accepted {
            Some(accepted) => {
                conditions::check_device(tenant, &accepted.client_id, &accepted.session_key)?;
                Ok(accepted)
            }
            None if principal.common_name().is_some() || tenant.profile == Profile::Open => random_client_id(),
            None => Err(No::because(Reason::ClientId, "an empty ClientId needs a certificate here")),
        }
    }

    /// AUTH-13: the device whose connection this is, which becomes known by it
    /// if it is not; none where a certificate names no single device.
    fn check_registration(&self, tenant: &Tenant, principal: &Principal) -> Result<Option<Arc<str>>, No> {
        let (Some(verdict), Some(name)) = (&self.verdict, principal.common_name()) else { return Ok(None) };
        conditions::check_registration(self.snapshot.devices(), tenant, verdict, name)
    }

    fn admission(
        &self,
        tenant: &Arc<Tenant>,
        principal: Principal,
        accepted: Accepted,
        rights: Arc<Rights>,
    ) -> Admission {
        Admission {
            tenant: Arc::clone(tenant),
            principal,
            client_id: accepted.client_id,
            session_key: accepted.session_key,
            assigned: accepted.assigned,
            rights,
            account: None,
            device: None,
            certificate: self.verdict.as_ref().map(|verdict| Arc::clone(&verdict.facts)),
            not_after: end_of(tenant, self.verdict.as_deref()),
            anchor: self.verdict.as_ref().map(|verdict| Arc::clone(&verdict.anchor)),
            verdict: self.verdict.clone(),
            trust_version: self.snapshot.version(),
            version: self.request.version,
        }
    }

    fn complete(&self, refusal: Refusal) -> Refusal {
        let mut refusal = refusal.at(self.peer).asking(self.request.client_id);
        refusal.user_name = self.request.user_name.map(str::to_owned);
        if let Some(verdict) = &self.verdict {
            refusal.certificate = Some(Arc::clone(&verdict.facts));
            refusal.anchor = Some(Arc::clone(&verdict.anchor.name));
        }
        let tenant = self.tenant.or(self.scope).map(|tenant| tenant.id.clone());
        refusal.tenant = self.tenant.map(|tenant| tenant.id.clone()).or(refusal.tenant).or(tenant);
        refusal
    }
}

/// When a connection has to end by itself.
pub(super) fn end_of(tenant: &Tenant, verdict: Option<&Verdict>) -> Option<SystemTime> {
    verdict.filter(|_| tenant.switches.disconnect_on_expiry).map(|verdict| system_time(verdict.not_after))
}

fn random_client_id() -> Result<Accepted, No> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| No::because(Reason::Unavailable, "no random numbers for a ClientId"))?;
    Ok(Accepted::assigned(&format!("certus-{:016x}", u64::from_be_bytes(bytes))))
}
