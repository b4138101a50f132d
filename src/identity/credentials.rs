//! User names, passwords, and having neither.
//!
//! What lives here: the switches `password`, `anonymous` and `client_cert` at
//! CONNECT (AUTH-07 to AUTH-10). What does not: accounts; there are none yet,
//! so every password is wrong. Invariant: a wrong password is told apart from
//! an empty one (CONNACK 4 and 5), and neither from an unknown user.

use std::sync::Arc;

use super::admission::{No, Peer};
use super::principal::Holder;
use super::reason::Reason;
use super::switch::{Anonymous, ClientCert, Password, PlainListener};
use super::trust::{Tenant, TrustSnapshot};

/// The known tenant in a user name of the form `<tenant>/<user>`.
pub(super) fn named_tenant<'s>(snapshot: &'s TrustSnapshot, user_name: &str) -> Option<&'s Arc<Tenant>> {
    snapshot.tenant_named(user_name.split_once('/')?.0)
}

/// What a client offers besides its certificate.
#[derive(Clone, Copy)]
pub(super) struct Proof<'p> {
    pub tenant: &'p Tenant,
    pub peer: &'p Peer,
    pub user_name: Option<&'p str>,
    pub password: Option<&'p [u8]>,
}

impl Proof<'_> {
    /// A client that presented no certificate.
    pub fn without_certificate(self) -> Result<Holder, No> {
        let switches = &self.tenant.switches;
        if self.peer.listener.tls && switches.client_cert == ClientCert::Required {
            return Err(No::because(Reason::NoCertificate, "this tenant's clients need a certificate"));
        }
        if self.user_name.is_some() && switches.password != Password::Ignored {
            return self.account(Reason::EmptyPassword);
        }
        if may_be_anonymous(self.tenant, self.peer) {
            return Ok(Holder::Anonymous);
        }
        Err(No::because(Reason::NoCredentials, "neither certificate nor user name were given"))
    }

    /// AUTH-07: a password beside the certificate.
    pub fn beside_certificate(self, snapshot: &TrustSnapshot) -> Result<(), No> {
        let other = self.user_name.and_then(|name| named_tenant(snapshot, name));
        if other.is_some_and(|other| other.id != self.tenant.id) {
            return Err(No::because(Reason::TenantConflict, "the account belongs to another tenant"));
        }
        if self.user_name.is_none() {
            return Err(No::because(Reason::BadPassword, "user name and password are needed beside the certificate"));
        }
        self.account(Reason::BadPassword).map(|_| ())
    }

    /// Proves an account; `missing` is the reason when no password was sent.
    fn account(self, missing: Reason) -> Result<Holder, No> {
        match self.password {
            None => Err(No::because(missing, "no password was sent")),
            Some([]) => Err(No::because(Reason::EmptyPassword, "the password is empty")),
            Some(_) => Err(No::because(Reason::BadPassword, "user name or password is wrong")),
        }
    }
}

/// Whether the tenant takes clients that prove nothing over this transport.
pub(super) fn may_be_anonymous(tenant: &Tenant, peer: &Peer) -> bool {
    let switches = &tenant.switches;
    match switches.anonymous {
        Anonymous::No => false,
        Anonymous::PlainOnly => !peer.listener.tls && switches.plain_listener != PlainListener::PasswordOnly,
    }
}
