//! Certificates that are issued here: agents, devices, and their revocation.
//!
//! What lives here: who may have one, what becomes of it. What does not: what
//! stands in it (`ca::profile`), making key pairs (their callers, where nobody
//! waits). Invariant: a certificate is known before its holder has it, a name
//! is given to one agent at a time, and no private key is kept.

use std::sync::Arc;

use super::access::Scope;
use super::caller::Caller;
use super::draft::Draft;
use super::fault::{Fault, Kind};
use super::names;
use super::options::agent_days;
use super::tenants::no_tenant;
use super::voucher::{Voucher, spent};
use super::{Authority, random};
use crate::ca::csr_attributes;
use crate::ca::profile::{AltName, Profile, Validity};
use crate::ca::record::{
    CertificateName, CertificateRow, CertificateUse, KeyUse, NamedCertificate, Record, RevocationKind, RevocationRow,
};
use crate::ca::request::Request;
use crate::ca::signer::{Order, SignError};
use crate::ca::subject::Subject;

/// Lifetime of certificates, days; that of agents' where the tenant says
/// nothing else (MC-AGT-06).
pub const CERTIFICATE_DAYS: u32 = 365;
/// Certificates that are read at once.
const PIECE: usize = 200;
/// Certificates that one question looks at; whoever wants the rest goes on.
const LOOKED_AT: usize = 100 * PIECE;
/// A CN holds no more (RFC 5280, ub-common-name).
const COMMON_NAME: usize = 64;

/// An agent that is to have a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAgent {
    /// Its name; the ClientId is the tenant's name, an underscore, and this.
    pub name: String,
    /// Who asked for it.
    pub owner: Option<String>,
}

/// Which issued certificates are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFilter {
    /// Only those of this use.
    pub used_for: Option<CertificateUse>,
    /// Only those with this CN.
    pub common_name: Option<String>,
    /// Also those that were taken back.
    pub revoked: bool,
}

/// What a signer is asked for.
pub(super) struct Wish<'w> {
    pub(super) used_for: CertificateUse,
    pub(super) key_use: KeyUse,
    pub(super) subject: &'w Subject,
    pub(super) common_name: String,
    pub(super) public_key: &'w [u8],
    pub(super) alt_names: &'w [AltName],
    pub(super) name: String,
}

impl Authority {
    /// Gives an agent a certificate over the public key `public_key`
    /// (SubjectPublicKeyInfo), whose private key only the caller has
    /// (MC-AGT-01).
    ///
    /// # Errors
    /// The name cannot be one or is taken.
    pub async fn create_agent(
        &self,
        caller: &Caller,
        tenant: &str,
        new: NewAgent,
        public_key: &[u8],
    ) -> Result<Arc<CertificateRow>, Fault> {
        caller.needs(Scope::CertificatesWrite, tenant)?;
        let client_id = check_agent_name(tenant, &new.name)?;
        let subject = Subject::common_name(&client_id)
            .map_err(|error| Fault::in_field(Kind::Invalid, "name", error.to_string()))?;
        self.change(caller, "certificate.create", |draft| {
            draft.concerns(tenant);
            if draft.stored::<CertificateName>(&[tenant, &new.name])?.is_some() {
                let detail = format!("the agent {} has a certificate already", new.name);
                return Err(Fault::new(Kind::NameTaken, detail).but("delete it first, or choose another name"));
            }
            let wish = Wish {
                used_for: CertificateUse::Agent,
                key_use: KeyUse::Issuer,
                subject: &subject,
                common_name: client_id.clone(),
                public_key,
                alt_names: &[],
                name: new.name.clone(),
            };
            let mut row = self.sign(draft, tenant, &wish)?;
            row.owner = new.owner;
            row.agent_id = Some(random::hex(16)?);
            row.client_id = Some(client_id.clone());
            let name = CertificateName { tenant: tenant.to_owned(), name: new.name, id: row.id.clone() };
            draft.store_row(&name, None);
            draft.store_row(&row, None);
            Ok(Arc::new(row))
        })
        .await
    }

    /// Gives a device a certificate for its own request. The CN is the device;
    /// nobody gets another's name, and of what else the request asks for only
    /// what the voucher covers: rights may depend on it.
    ///
    /// # Errors
    /// The request asks for what its voucher does not cover, or the token was
    /// used meanwhile.
    pub async fn enrol(
        &self,
        voucher: Voucher<'_>,
        tenant: &str,
        request: &Request,
    ) -> Result<Arc<CertificateRow>, Fault> {
        let common_name =
            request.only("CN").map_err(|error| Fault::in_field(Kind::Invalid, "CN", error.reason))?.to_owned();
        let (caller, action) = voucher.stands_for(tenant, &common_name)?;
        let granted = voucher.grants(request, &common_name)?;
        self.change(&caller, action, |draft| {
            draft.concerns(tenant);
            let settings = draft.state.settings(tenant).ok_or_else(|| no_tenant(tenant))?;
            request
                .check_key(settings.switches.key_policy)
                .map_err(|error| Fault::in_field(Kind::Invalid, "key", error.reason))?;
            if let Voucher::Enrolment(token) = voucher {
                let token = draft.state.enrolments.get(&[&token.id]).cloned();
                let token = token.filter(|token| token.expires_at > draft.now);
                draft.remove(token.ok_or_else(spent)?.as_ref());
            }
            let wish = Wish {
                used_for: CertificateUse::Device,
                key_use: KeyUse::Issuer,
                subject: &granted.subject,
                common_name: common_name.clone(),
                public_key: request.public_key(),
                alt_names: &granted.alt_names,
                name: common_name.clone(),
            };
            let row = self.sign(draft, tenant, &wish)?;
            draft.store_row(&row, None);
            Ok(Arc::new(row))
        })
        .await
    }

    /// Signs, and makes the row of what was signed, which the caller keeps.
    pub(super) fn sign(&self, draft: &mut Draft<'_>, tenant: &str, wish: &Wish<'_>) -> Result<CertificateRow, Fault> {
        let owner = if wish.key_use == KeyUse::Operator { "" } else { tenant };
        let signer = self.keys.signer(draft, owner, wish.key_use)?;
        let now = i64::try_from(draft.now / 1000).unwrap_or(i64::MAX);
        let days = match wish.used_for {
            CertificateUse::Agent => agent_days(draft.state, tenant),
            CertificateUse::Device | CertificateUse::Grant => CERTIFICATE_DAYS,
        };
        let issued = signer
            .issue(&Order {
                subject: wish.subject,
                public_key: wish.public_key,
                validity: Validity::days(now, days),
                alt_names: wish.alt_names,
                profile: Profile::Client,
            })
            .map_err(unsigned)?;
        let millis = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
        let row = CertificateRow {
            id: random::ulid(draft.now)?,
            tenant: tenant.to_owned(),
            used_for: wish.used_for,
            name: wish.name.clone(),
            owner: None,
            agent_id: None,
            common_name: wish.common_name.clone(),
            client_id: None,
            account: None,
            serial: issued.serial.to_string(),
            der: issued.certificate,
            not_before: millis(issued.not_before),
            not_after: millis(issued.not_after),
            revoked_at: None,
            noticed: Vec::new(),
            created_at: draft.now,
        };
        names::note(draft, &row);
        Ok(row)
    }

    /// Signs a grant of the operator's CA: the subject stays byte for byte.
    pub(super) fn sign_grant(
        &self,
        draft: &mut Draft<'_>,
        tenant: &str,
        request: &Request,
        name: &str,
    ) -> Result<CertificateRow, Fault> {
        let wish = Wish {
            used_for: CertificateUse::Grant,
            key_use: KeyUse::Operator,
            subject: request.subject(),
            common_name: tenant.to_owned(),
            public_key: request.public_key(),
            alt_names: &[],
            name: name.to_owned(),
        };
        self.sign(draft, tenant, &wish)
    }

    /// Up to `limit` certificates that `filter` takes, behind the one named
    /// `after` and in the order of their making, with the name to go on behind
    /// if there may be more. A piece may hold fewer than there are: one question
    /// looks at a bounded number of rows. It reads the store: not for a thread
    /// that others wait for.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn certificates(
        &self,
        caller: &Caller,
        tenant: &str,
        filter: &CertificateFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<CertificateRow>, Option<String>), Fault> {
        caller.needs(Scope::CertificatesRead, tenant)?;
        let store = self.store.as_ref();
        let by_name = match filter.common_name.as_deref() {
            Some(name) if names::is_whole(store)? => Some(name),
            _ => None,
        };
        let prefix = match by_name {
            Some(name) => NamedCertificate::prefix_of(&[tenant, name]),
            None => CertificateRow::prefix_of(&[tenant]),
        };
        // The identifier stands last in either key.
        let behind = |id: &String| [prefix.as_slice(), id.as_bytes()].concat();
        let mut last = after.map(str::to_owned);
        let mut found = Vec::new();
        for _ in 0..LOOKED_AT / PIECE {
            let rows = store.scan(CertificateRow::TABLE, &prefix, last.as_ref().map(behind).as_deref(), PIECE)?;
            let is_end = rows.len() < PIECE;
            for row in &rows {
                if found.len() == limit {
                    return Ok((found, last));
                }
                let row = match by_name {
                    Some(_) => names::lead(store, row)?,
                    None => CertificateRow::decode(&row.value)?,
                };
                last = Some(row.id.clone());
                if filter.takes(&row) {
                    found.push(row);
                }
            }
            if is_end {
                return Ok((found, None));
            }
        }
        Ok((found, last))
    }

    /// One certificate, taken back or not.
    ///
    /// # Errors
    /// It is not there.
    pub fn certificate(&self, caller: &Caller, tenant: &str, id: &str) -> Result<CertificateRow, Fault> {
        caller.needs(Scope::CertificatesRead, tenant)?;
        let row = self.store.get(CertificateRow::TABLE, &CertificateRow::key_of(&[tenant, id]))?;
        let row = row.ok_or_else(|| Fault::not_found("certificate", id))?;
        Ok(CertificateRow::decode(&row)?)
    }

    /// Takes a certificate back: its holder has to go, and its name is free.
    ///
    /// # Errors
    /// It is not there, or was taken back before.
    pub async fn revoke_certificate(&self, caller: &Caller, tenant: &str, id: &str, reason: &str) -> Result<(), Fault> {
        caller.needs(Scope::CertificatesWrite, tenant)?;
        self.change(caller, "certificate.revoke", |draft| {
            draft.concerns(tenant);
            let old = draft.stored::<CertificateRow>(&[tenant, id])?;
            let old = old.filter(|row| row.revoked_at.is_none()).ok_or_else(|| Fault::not_found("certificate", id))?;
            take_back(draft, &old, reason)
        })
        .await
    }

    /// What requests of a tenant's devices have to contain, as EST tells it
    /// (RFC 7030 section 4.5.2, CsrAttrs in DER); none if every key will do.
    ///
    /// # Errors
    /// There is no such tenant.
    pub fn request_attributes(&self, tenant: &str) -> Result<Option<Vec<u8>>, Fault> {
        let settings = self.state().settings(tenant).ok_or_else(|| no_tenant(tenant))?;
        Ok(csr_attributes::of(settings.switches.key_policy))
    }

    /// The certificate of a CA that was made here, DER, if it was.
    #[must_use]
    pub fn known_issuer(&self, tenant: &str, used_for: KeyUse) -> Option<Vec<u8>> {
        self.state().keys.get(&[tenant, used_for.as_str()]).map(|row| row.certificate.clone())
    }

    /// The certificate of the CA that signs for a tenant, DER; that of the
    /// operator for no tenant. Made when it is not there.
    ///
    /// # Errors
    /// There is no such tenant, or the CA's key cannot be opened.
    pub async fn issuer(&self, tenant: &str, used_for: KeyUse) -> Result<Vec<u8>, Fault> {
        if let Some(signer) = self.keys.existing(&self.state(), tenant, used_for)? {
            return Ok(signer.certificate().to_vec());
        }
        self.change(&Caller::broker(), "key.create", |draft| {
            draft.concerns(tenant);
            if !tenant.is_empty() && draft.state.settings(tenant).is_none() {
                return Err(no_tenant(tenant));
            }
            Ok(self.keys.signer(draft, tenant, used_for)?.certificate().to_vec())
        })
        .await
    }
}

impl CertificateFilter {
    fn takes(&self, row: &CertificateRow) -> bool {
        self.used_for.is_none_or(|wanted| wanted == row.used_for)
            && self.common_name.as_deref().is_none_or(|wanted| wanted == row.common_name)
            && (self.revoked || row.revoked_at.is_none())
    }
}

/// Takes a certificate back in a change that is being made.
pub(super) fn take_back(draft: &mut Draft<'_>, old: &CertificateRow, reason: &str) -> Result<(), Fault> {
    let CertificateRow { tenant, id, .. } = old;
    draft.put(RevocationRow {
        tenant: tenant.clone(),
        kind: RevocationKind::Fingerprint,
        value: random::sha256_hex(&old.der),
        anchor: None,
        since: draft.now,
        reason: reason.to_owned(),
        note: Some(format!("certificate {id}")),
        listed: false,
    });
    if let Some(name) = draft.stored::<CertificateName>(&[tenant, &old.name])?.filter(|name| name.id == *id) {
        draft.drop_row(&name);
    }
    draft.store_row(&CertificateRow { revoked_at: Some(draft.now), ..old.clone() }, Some(old));
    Ok(())
}

fn unsigned(error: SignError) -> Fault {
    let kind = match error {
        SignError::AltName | SignError::PublicKey(_) | SignError::Subject(_) => Kind::Invalid,
        SignError::Lifetime { .. } | SignError::Date | SignError::Authority(_) | SignError::Key(_) => Kind::Internal,
    };
    Fault::new(kind, error.to_string())
}

/// The ClientId of an agent, if its name can be one (MC-AGT-07).
fn check_agent_name(tenant: &str, name: &str) -> Result<String, Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() {
        return Err(Fault::in_field(Kind::Missing, "name", "the name is missing"));
    }
    if !name.chars().all(good) {
        let detail = format!("the name {name:?} holds other characters than A-Z a-z 0-9 . _ -");
        return Err(Fault::in_field(Kind::Invalid, "name", detail));
    }
    let client_id = format!("{tenant}_{name}");
    if client_id.len() > COMMON_NAME {
        let detail = format!("{client_id} has more than {COMMON_NAME} characters");
        return Err(Fault::in_field(Kind::Invalid, "name", detail).but("choose a shorter name"));
    }
    Ok(client_id)
}
