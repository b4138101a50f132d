//! User names, passwords, and having neither.
//!
//! What lives here: the switches `password`, `anonymous` and `client_cert` at
//! CONNECT (AUTH-07 to AUTH-10), and the password that has still to be checked.
//! What does not: hashing (`password`) and the threads that do it (`net`).
//! Invariant: a wrong password is told apart from an empty one (CONNACK 4 and
//! 5), and neither from an unknown user: not by the answer, not by the time.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::account::Account;
use super::admission::{Admission, No, Peer};
use super::password::STAND_IN;
use super::path::Verdict;
use super::principal::Holder;
use super::reason::Reason;
use super::refusal::Refusal;
use super::switch::{AnchorKind, Anonymous, ClientCert, Password, PlainListener, Role};
use super::trust::{Tenant, TrustSnapshot};

/// The known tenant in a user name of the form `<tenant>/<user>`.
pub(super) fn named_tenant<'s>(snapshot: &'s TrustSnapshot, user_name: &str) -> Option<&'s Arc<Tenant>> {
    snapshot.tenant_named(user_name.split_once('/')?.0)
}

pub(super) fn wrong_password() -> No {
    No::because(Reason::BadPassword, "user name or password is wrong")
}

/// A password and what it is compared with.
#[derive(Debug)]
pub struct Challenge {
    /// The hash; that of nobody where there is no account.
    pub hash: Arc<str>,
    /// The password.
    pub password: Zeroizing<Vec<u8>>,
}

/// A connection that hangs on its password. Both answers are known before it
/// is checked.
#[derive(Debug)]
pub struct Unproved {
    /// What has to be checked.
    pub challenge: Challenge,
    /// The answer when it is right, which may be a refusal all the same.
    pub right: Result<Admission, Box<Refusal>>,
    /// The answer when it is wrong.
    pub wrong: Box<Refusal>,
}

/// What a client proved, but for the password.
pub(super) struct Proved {
    pub holder: Holder,
    /// The account, if its password is right; a refusal if that is not enough.
    pub account: Result<Option<Arc<Account>>, No>,
    pub challenge: Option<Challenge>,
}

impl Proved {
    const fn without_password(holder: Holder) -> Self {
        Self { holder, account: Ok(None), challenge: None }
    }
}

/// What a client offers besides its certificate.
#[derive(Clone, Copy)]
pub(super) struct Proof<'p> {
    pub tenant: &'p Tenant,
    pub peer: &'p Peer,
    /// Whether the handshake insisted on a certificate (TLS-12).
    pub insists: bool,
    pub user_name: Option<&'p str>,
    pub password: Option<&'p [u8]>,
}

impl Proof<'_> {
    /// A client that presented no certificate.
    pub fn without_certificate(self) -> Result<Proved, No> {
        let switches = &self.tenant.switches;
        let asks = self.user_name.is_some() && switches.password != Password::Ignored;
        let needs_certificate = self.peer.listener.tls && switches.client_cert == ClientCert::Required;
        // TLS-12: some accounts need none. Which, is told to those who know a password.
        let may_be_exempt = asks && !self.insists && !self.tenant.accounts.is_empty();
        if needs_certificate && !may_be_exempt {
            return Err(no_certificate());
        }
        if asks {
            let name = self.account_name();
            let (found, challenge) = self.challenge(name, Reason::EmptyPassword)?;
            let account = found.and_then(|account| match account.role {
                _ if !account.grant.is_empty() => Err(no_certificate()),
                Role::Device if needs_certificate => Err(no_certificate()),
                Role::Device | Role::Application | Role::Operator => Ok(Some(account)),
            });
            return Ok(Proved { holder: Holder::Account(Arc::from(name)), account, challenge: Some(challenge) });
        }
        if may_be_anonymous(self.tenant, self.peer) {
            return Ok(Proved::without_password(Holder::Anonymous));
        }
        Err(No::because(Reason::NoCredentials, "neither certificate nor user name were given"))
    }

    /// A client whose certificate, by `verdict`, proved it to be `holder`
    /// (AUTH-07, AUTH-10).
    pub fn with_certificate(self, snapshot: &TrustSnapshot, verdict: &Verdict, holder: Holder) -> Result<Proved, No> {
        if self.tenant.switches.password != Password::Always {
            return Ok(Proved::without_password(holder));
        }
        let Some(user_name) = self.user_name else {
            return Err(No::because(Reason::BadPassword, "user name and password are needed beside the certificate"));
        };
        if named_tenant(snapshot, user_name).is_some_and(|other| other.id != self.tenant.id) {
            return Err(No::because(Reason::TenantConflict, "the account belongs to another tenant"));
        }
        let (found, challenge) = self.challenge(self.account_name(), Reason::BadPassword)?;
        let account = found.and_then(|account| check_grant(&account, verdict).map(|()| Some(account)));
        Ok(Proved { holder, account, challenge: Some(challenge) })
    }

    /// The user name without its tenant.
    fn account_name(&self) -> &str {
        let user_name = self.user_name.unwrap_or_default();
        match user_name.split_once('/') {
            Some((tenant, name)) if tenant == self.tenant.id.as_str() => name,
            _ => user_name,
        }
    }

    /// What the password has to be compared with; `missing` is the reason when
    /// none was sent.
    fn challenge(&self, name: &str, missing: Reason) -> Result<(Result<Arc<Account>, No>, Challenge), No> {
        let password = match self.password {
            None => return Err(No::because(missing, "no password was sent")),
            Some([]) => return Err(No::because(Reason::EmptyPassword, "the password is empty")),
            Some(password) => Zeroizing::new(password.to_vec()),
        };
        if self.tenant.accounts.is_empty() {
            // There is nobody whose name the time could tell.
            return Err(wrong_password());
        }
        let account = self.tenant.account(name);
        let hash = Arc::from(account.map_or(STAND_IN, |account| account.hash.as_str()));
        let found = match account {
            None => Err(wrong_password()),
            Some(account) if !account.enabled => {
                Err(No::because(Reason::AccountDisabled, format!("the account {name} is disabled")))
            }
            Some(account) => Ok(Arc::clone(account)),
        };
        Ok((found, Challenge { hash, password }))
    }
}

/// CEN-ACC-01: a certificate of the operator's CA and an account of a grant
/// are of use together, and each with no other.
pub(super) fn check_grant(account: &Account, verdict: &Verdict) -> Result<(), No> {
    let is_granted = verdict.anchor.kind == AnchorKind::Operator || !account.grant.is_empty();
    if !is_granted || account.grant.contains(&verdict.facts.fingerprint) {
        return Ok(());
    }
    let detail = format!("the account {} was not given together with this certificate", account.name);
    Err(No::because(Reason::GrantConflict, detail))
}

pub(super) fn no_certificate() -> No {
    No::because(Reason::NoCertificate, "this tenant's clients need a certificate")
}

/// Whether the tenant takes clients that prove nothing over this transport.
pub(super) fn may_be_anonymous(tenant: &Tenant, peer: &Peer) -> bool {
    let switches = &tenant.switches;
    match switches.anonymous {
        Anonymous::No => false,
        Anonymous::PlainOnly => !peer.listener.tls && switches.plain_listener != PlainListener::PasswordOnly,
    }
}
