//! Certificate requests that somebody decides about, and the grants that come
//! of them (CEN-CSR-03, CEN-CSR-04).
//!
//! What lives here: handing in, approving, rejecting. What does not: what a
//! request has to look like (`ca::request`), mails (`notices`). Invariant: a
//! grant is a certificate of the operator's CA and an account of the same
//! tenant; a renewal keeps the account.

use std::sync::Arc;

use super::access::Scope;
use super::caller::Caller;
use super::draft::Draft;
use super::fault::{Fault, Kind};
use super::notices::Notice;
use super::{Authority, holders, random};
use crate::ca::record::{AccountRow, CertificateRow, RequestRow, RequestStatus};
use crate::ca::request::Request;
use crate::identity::switch::{Profile, Role};

/// Requests that may wait at once: anybody can hand one in.
const MOST_WAITING: usize = 1000;
/// Requests that are kept; of those that were decided the oldest go first.
const MOST: usize = 10_000;
/// Bytes of a request: anybody can hand one in, and a key of P-521 with all
/// names takes a fifth of it.
const MOST_BYTES: usize = 8 * 1024;

/// Certificates of one account that live at once: each is a renewal of the one
/// before.
const MOST_OF_A_GRANT: usize = 16;

/// What an approval gives.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The request, as it is now.
    pub request: RequestRow,
    /// The certificate.
    pub certificate: CertificateRow,
    /// The account, with its tenant.
    pub account: Arc<AccountRow>,
    /// Whether the account was made with it, so that its password is to be
    /// told.
    pub is_new: bool,
}

impl Authority {
    /// Takes a request in; anybody may. It is not told apart whether the
    /// tenant is unknown or of another profile.
    ///
    /// # Errors
    /// It does not meet the requirements (the field is named), or too many
    /// wait.
    pub async fn hand_in(&self, request: &[u8]) -> Result<RequestRow, Fault> {
        if request.len() > MOST_BYTES {
            let detail = format!("the request has {} bytes; {MOST_BYTES} are taken", request.len());
            return Err(
                Fault::in_field(Kind::InvalidCertificate, "csr", detail).but("hand in one request, without a chain")
            );
        }
        let read = Request::read_centiloc(request)
            .map_err(|error| Fault::in_field(Kind::InvalidCertificate, error.field, error.reason))?;
        let text = |field| read.only(field).map(str::to_owned).unwrap_or_default();
        let (tenant, organization, email) = (text("CN"), text("O"), text("emailAddress"));
        let is_known = |draft: &Draft<'_>| {
            draft.state.settings(&tenant).is_some_and(|settings| settings.profile == Profile::Centiloc)
        };
        self.change(&Caller::broker(), "request.hand_in", |draft| {
            draft.concerns(&tenant);
            if !is_known(draft) {
                return Err(Fault::in_field(Kind::InvalidCertificate, "CN", format!("there is no tenant {tenant:?}"))
                    .but("use your tenant id as the CN"));
            }
            let waiting = draft.state.requests.iter().filter(|row| row.status == RequestStatus::Pending).count();
            if waiting >= MOST_WAITING {
                return Err(
                    Fault::new(Kind::Unavailable, "too many requests wait for a decision").but("try again later")
                );
            }
            forget_decided(draft);
            let row = RequestRow {
                id: random::ulid(draft.now)?,
                tenant: tenant.clone(),
                der: read.der().to_vec(),
                organization,
                email,
                curve: read.key().to_string(),
                status: RequestStatus::Pending,
                reason: None,
                certificate: None,
                created_at: draft.now,
            };
            Ok(draft.put(row).as_ref().clone())
        })
        .await
    }

    /// Whether the requests of a tenant are approved without an operator.
    #[must_use]
    pub fn approves_by_itself(&self, tenant: &str) -> bool {
        self.state().settings(tenant).is_some_and(|settings| settings.switches.auto_approve)
    }

    /// One request: whoever knows its identifier.
    ///
    /// # Errors
    /// It is not there.
    pub fn request(&self, id: &str) -> Result<RequestRow, Fault> {
        let row = self.state().requests.get(&[id]).map(|row| row.as_ref().clone());
        row.ok_or_else(|| Fault::not_found("certificate request", id))
    }

    /// The requests that the caller may decide about, oldest first.
    ///
    /// # Errors
    /// The caller may see none.
    pub fn requests(&self, caller: &Caller) -> Result<Vec<RequestRow>, Fault> {
        caller.needs_scope(Scope::CertificatesRead)?;
        let mine = |row: &&Arc<RequestRow>| caller.tenant.as_deref().is_none_or(|own| own == row.tenant);
        Ok(self.state().requests.iter().filter(mine).map(|row| row.as_ref().clone()).collect())
    }

    /// Approves a request. `hash` is that of the password that the account
    /// gets if it is made now.
    ///
    /// # Errors
    /// It is not there, or decided already, or the account has too many
    /// certificates.
    pub async fn approve(&self, caller: &Caller, id: &str, hash: String) -> Result<Grant, Fault> {
        self.change(caller, "request.approve", |draft| {
            let old = self.undecided(draft, caller, id)?;
            let read = Request::read_centiloc(&old.der)
                .map_err(|error| Fault::in_field(Kind::InvalidCertificate, error.field, error.reason))?;
            let mut certificate = self.sign_grant(draft, &old.tenant, &read, &old.organization)?;
            let (account, is_new) = account_of(draft, &old, hash, random::sha256_hex(&certificate.der))?;
            certificate.owner = Some(old.email.clone());
            certificate.account = Some(account.name.clone());
            draft.store_row(&certificate, None);
            holders::note(draft, &certificate)?;
            let request =
                RequestRow { status: RequestStatus::Issued, certificate: Some(certificate.id.clone()), ..old.clone() };
            draft.put(request.clone());
            Notice::Issued.put(draft, &certificate)?;
            Ok(Grant { request, certificate, account, is_new })
        })
        .await
    }

    /// Rejects a request, with a reason for its sender.
    ///
    /// # Errors
    /// It is not there, or decided already.
    pub async fn reject(&self, caller: &Caller, id: &str, reason: &str) -> Result<RequestRow, Fault> {
        if reason.trim().is_empty() || reason.len() > 1024 {
            return Err(Fault::in_field(Kind::Missing, "reason", "a rejection needs a reason of 1 to 1024 bytes"));
        }
        self.change(caller, "request.reject", |draft| {
            let old = self.undecided(draft, caller, id)?;
            let row = RequestRow { status: RequestStatus::Rejected, reason: Some(reason.to_owned()), ..old.clone() };
            Ok(draft.put(row).as_ref().clone())
        })
        .await
    }

    fn undecided(&self, draft: &mut Draft<'_>, caller: &Caller, id: &str) -> Result<RequestRow, Fault> {
        let row = draft.state.requests.get(&[id]).map(|row| row.as_ref().clone());
        let row = row.ok_or_else(|| Fault::not_found("certificate request", id))?;
        caller.needs(Scope::CertificatesWrite, &row.tenant)?;
        draft.concerns(&row.tenant);
        if row.status == RequestStatus::Pending {
            return Ok(row);
        }
        Err(Fault::new(Kind::WrongState, format!("certificate request {id} was decided already")))
    }
}

/// Makes room for one more request.
fn forget_decided(draft: &mut Draft<'_>) {
    let state = draft.state;
    let surplus = (state.requests.iter().count() + 1).saturating_sub(MOST);
    let decided = state.requests.iter().filter(|row| row.status != RequestStatus::Pending);
    decided.take(surplus).for_each(|row| draft.remove(row.as_ref()));
}

/// The account of a grant: that of an earlier grant of the same company and
/// address (CEN-ACC-03), else a new one; with the certificate `fingerprint`
/// among those that it is of use with.
fn account_of(
    draft: &mut Draft<'_>,
    request: &RequestRow,
    hash: String,
    fingerprint: String,
) -> Result<(Arc<AccountRow>, bool), Fault> {
    if let Some(mut account) = earlier_account(draft, request)? {
        if account.grant.len() >= MOST_OF_A_GRANT {
            let detail = format!("the account {} has {MOST_OF_A_GRANT} certificates that work", account.name);
            return Err(Fault::new(Kind::WrongState, detail).but("revoke one that is not used any more"));
        }
        account.grant.push(fingerprint);
        account.revision += 1;
        return Ok((draft.put(account), false));
    }
    let tenant = request.tenant.as_str();
    let taken = |number: &u32| draft.state.accounts.get(&[tenant, &format!("{tenant}-um-{number}")]).is_some();
    let number = (1..).find(|number| !taken(number)).unwrap_or(u32::MAX);
    let account = draft.put(AccountRow {
        tenant: tenant.to_owned(),
        name: format!("{tenant}-um-{number}"),
        hash,
        role: Role::Device.to_string(),
        scopes: Vec::new(),
        enabled: true,
        grant: vec![fingerprint],
        created_at: draft.now,
        revision: 1,
    });
    Ok((account, true))
}

/// The account of an earlier grant to the same holder, without the
/// certificates that ended or were taken back.
fn earlier_account(draft: &Draft<'_>, request: &RequestRow) -> Result<Option<AccountRow>, Fault> {
    let grants = holders::grants_of(draft, &request.tenant, &request.organization, &request.email)?;
    let is_alive = |row: &&CertificateRow| row.not_after > draft.now;
    let alive: Vec<String> = grants.iter().filter(is_alive).map(|row| random::sha256_hex(&row.der)).collect();
    let earlier = grants.last().and_then(|row| row.account.clone());
    let account = earlier.and_then(|name| draft.state.accounts.get(&[&request.tenant, &name]));
    Ok(account.map(|account| {
        let mut account = account.as_ref().clone();
        account.grant.retain(|fingerprint| alive.contains(fingerprint));
        account
    }))
}
