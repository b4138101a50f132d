//! May a live connection stay, now that trust has changed?
//!
//! What lives here: the question of `admission`, asked again of a connection
//! that was admitted under an older snapshot. What does not: when it is asked
//! (`net`). Invariant: nobody stays whom the new snapshot would refuse at
//! CONNECT, and nobody has to go whom it would admit.

use std::sync::Arc;
use std::time::SystemTime;

use super::account::Account;
use super::admission::{self, Admission, No, Peer};
use super::attributes::rights_of;
use super::certificate::unix_seconds;
use super::conditions;
use super::credentials;
use super::path::{Failure, Verdict};
use super::principal::Holder;
use super::reason::Reason;
use super::refusal::{Refusal, Stage};
use super::switch::{ClientCert, Password, Role};
use super::trust::{Tenant, TrustSnapshot};

/// Decides whether the connection that was admitted as `admission` may stay.
/// The answer carries the new rights.
///
/// # Errors
/// The refusal that ends the connection.
pub fn readmit(
    snapshot: &TrustSnapshot,
    peer: &Peer,
    admission: &Admission,
    now: SystemTime,
) -> Result<Admission, Box<Refusal>> {
    let stays = Review { snapshot, peer, admission, now }.decide();
    stays.map_err(|no| {
        let mut refusal = Refusal::new(Stage::Live, no.reason, no.detail, now).at(peer);
        refusal.client_id = Some(admission.client_id.as_str().to_owned());
        refusal.expected = no.expected;
        refusal.tenant = Some(admission.tenant.id.clone());
        refusal.certificate.clone_from(&admission.certificate);
        refusal.anchor = admission.anchor.as_ref().map(|anchor| Arc::clone(&anchor.name));
        Box::new(refusal)
    })
}

/// Whether nothing that `admission` rests on has changed since, so that it
/// needs no look: the tenant, and the tenant of its anchor, are those of then.
#[must_use]
pub fn is_untouched(snapshot: &TrustSnapshot, admission: &Admission) -> bool {
    let is_same = |id, then: &Arc<Tenant>| snapshot.tenant(id).is_some_and(|now| Arc::ptr_eq(now, then));
    let anchor = admission.anchor.as_ref();
    is_same(&admission.tenant.id, &admission.tenant) && anchor.is_none_or(|anchor| anchor.tenant == admission.tenant.id)
}

/// Whether the connection has to look again itself: it has to go, or may do
/// something else than before. For whoever changed trust, so that nobody else is
/// disturbed.
#[must_use]
pub fn is_concerned(snapshot: &TrustSnapshot, peer: &Peer, admission: &Admission, now: SystemTime) -> bool {
    match (Review { snapshot, peer, admission, now }).decide() {
        Err(_) => true,
        Ok(next) => !Arc::ptr_eq(&next.rights, &admission.rights) || next.not_after != admission.not_after,
    }
}

struct Review<'r> {
    snapshot: &'r TrustSnapshot,
    peer: &'r Peer,
    admission: &'r Admission,
    now: SystemTime,
}

impl Review<'_> {
    fn decide(&self) -> Result<Admission, No> {
        let old = self.admission;
        let tenant = self
            .snapshot
            .tenant(&old.tenant.id)
            .ok_or_else(|| No::because(Reason::NoTenant, format!("the tenant {} is gone", old.tenant.id)))?;
        conditions::check_enabled(tenant)?;
        conditions::check_device(tenant, &old.client_id, &old.session_key)?;
        conditions::check_known(self.snapshot.devices(), tenant, old.device.as_deref())?;
        conditions::check_transport(tenant, self.peer)?;
        conditions::check_level(tenant, old.version)?;
        let verdict = match &old.verdict {
            Some(_) if conditions::is_by_password(tenant, self.peer) => {
                let detail = format!("tenant {} takes no certificates over WebSocket now", tenant.id);
                return Err(No::because(Reason::TransportForbidden, detail));
            }
            Some(verdict) => Some(self.review_chain(verdict, tenant)?),
            None => self.review_other(tenant)?,
        };
        let account = self.review_account(tenant, verdict.as_deref())?;
        self.check_client_id(tenant)?;
        Ok(Admission {
            tenant: Arc::clone(tenant),
            rights: self.rights(tenant, account.as_deref(), verdict.as_deref()),
            account,
            not_after: admission::end_of(tenant, verdict.as_deref()),
            anchor: verdict.as_ref().map(|verdict| Arc::clone(&verdict.anchor)),
            verdict,
            trust_version: self.snapshot.version(),
            ..old.clone()
        })
    }

    /// The old verdict if it holds, else a new one that proves the same
    /// principal.
    fn review_chain(&self, verdict: &Arc<Verdict>, tenant: &Tenant) -> Result<Arc<Verdict>, No> {
        if tenant.switches.password == Password::Always && self.admission.tenant.switches.password != Password::Always {
            return Err(No::because(Reason::BadPassword, "a password is needed beside the certificate now"));
        }
        // Without `disconnect_on_expiry` a certificate that has expired keeps its connection.
        let now = match tenant.switches.disconnect_on_expiry {
            true => unix_seconds(self.now),
            false => unix_seconds(self.now).min(verdict.not_after),
        };
        if self.snapshot.still_holds(verdict, &self.admission.tenant, now) {
            return Ok(Arc::clone(verdict));
        }
        let chain = self.peer.chain.as_deref().unwrap_or_default();
        let judged = self.snapshot.judge(chain, Some(&tenant.id), now).map_err(|failure| {
            let Failure { reason, detail, .. } = *failure;
            No::because(reason, detail)
        })?;
        if judged.tenant != verdict.tenant || judged.lineage != verdict.lineage {
            return Err(No::because(
                Reason::TenantConflict,
                "the certificate belongs to another tenant or lineage now",
            ));
        }
        Ok(judged)
    }

    fn review_other(&self, tenant: &Tenant) -> Result<Option<Arc<Verdict>>, No> {
        let exempt = self.admission.account.as_deref().is_some_and(|account| account.role != Role::Device)
            && self.peer.scope(self.snapshot).is_none_or(|s| s.switches.client_cert != ClientCert::Required);
        if self.peer.listener.tls && tenant.switches.client_cert == ClientCert::Required && !exempt {
            return Err(No::because(Reason::NoCertificate, "this tenant's clients need a certificate now"));
        }
        let anonymous = self.admission.principal.holder == Holder::Anonymous;
        if anonymous && !credentials::may_be_anonymous(tenant, self.peer) {
            return Err(No::because(Reason::NoCredentials, "this tenant takes no anonymous clients any more"));
        }
        Ok(None)
    }

    /// The account as it is now. A new hash is a new password: nobody has
    /// proved that one yet.
    fn review_account(&self, tenant: &Tenant, verdict: Option<&Verdict>) -> Result<Option<Arc<Account>>, No> {
        let Some(old) = &self.admission.account else { return Ok(None) };
        let beside = self.admission.verdict.is_some();
        let asks = match tenant.switches.password {
            Password::Ignored => false,
            Password::WithoutCert => !beside,
            Password::Always => true,
        };
        if !asks {
            let no = No::because(Reason::NoCredentials, "this tenant takes no passwords any more");
            return if beside { Ok(None) } else { Err(no) };
        }
        let account = tenant.account(&old.name).filter(|account| account.hash == old.hash);
        let account = account
            .ok_or_else(|| No::because(Reason::BadPassword, "the account is gone or has another password now"))?;
        if !account.enabled {
            return Err(No::because(Reason::AccountDisabled, "the account was disabled"));
        }
        match verdict {
            Some(verdict) => credentials::check_grant(account, verdict)?,
            None if !account.grant.is_empty() => return Err(credentials::no_certificate()),
            None => {}
        }
        Ok(Some(Arc::clone(account)))
    }

    fn check_client_id(&self, tenant: &Tenant) -> Result<(), No> {
        let asked = self.admission.client_id.as_str();
        let accepted = match self.admission.principal.common_name() {
            Some(common_name) => tenant.rule.check(common_name, asked)?,
            None => tenant.rule.check_form(asked)?,
        };
        if accepted.is_some_and(|accepted| accepted.session_key != self.admission.session_key) {
            return Err(No::because(Reason::ClientId, "the rule for ClientIds changed, and with it the session's key"));
        }
        Ok(())
    }

    /// The new rights; the old ones where nothing changed, so that what was
    /// decided by them stays decided.
    fn rights(
        &self,
        tenant: &Tenant,
        account: Option<&Account>,
        verdict: Option<&Verdict>,
    ) -> Arc<super::policy::Rights> {
        let Admission { principal, client_id, .. } = self.admission;
        let role = |account: Option<&Account>| account.map(|account| account.role);
        let old = self.admission;
        if Arc::ptr_eq(&tenant.rights, &old.tenant.rights)
            && role(account) == role(old.account.as_deref())
            && anchor_name(verdict) == anchor_name(old.verdict.as_deref())
        {
            return Arc::clone(&old.rights);
        }
        let rights = rights_of(tenant, principal, account, client_id, verdict.zip(self.peer.leaf()));
        if *rights == *self.admission.rights { Arc::clone(&self.admission.rights) } else { rights }
    }
}

fn anchor_name(verdict: Option<&Verdict>) -> Option<&str> {
    verdict.map(|verdict| &*verdict.anchor.name)
}
