//! Certificates over keys that the caller has, and renewal without the device.
//!
//! What lives here: what an administrator asks for. What does not: a device's
//! own request (`certificates`), making key pairs (their callers). Invariant:
//! a renewed certificate has the names of the old one and nothing more, so
//! that its holder stays who it is.

use std::sync::Arc;

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::Authority;
use super::access::Scope;
use super::caller::Caller;
use super::certificates::{Wish, take_back};
use super::draft::Draft;
use super::fault::{Fault, Kind};
use super::tenants::no_tenant;
use super::voucher::alt_names_of;
use crate::ca::record::{CertificateRow, CertificateUse, KeyUse};
use crate::ca::request::Request;
use crate::ca::subject::Subject;
use crate::identity::key::Key;

/// Over which key a certificate is renewed.
#[derive(Clone, Copy, Debug)]
pub enum RenewedKey<'k> {
    /// The one that it has.
    Same,
    /// One that was made for it: SubjectPublicKeyInfo in DER.
    Made(&'k [u8]),
    /// The one in a request of the device, whose CN has to be the same.
    Requested(&'k Request),
}

impl Authority {
    /// Issues a certificate of this CN over `public_key` (SubjectPublicKeyInfo
    /// in DER), whose private key only the caller has.
    ///
    /// # Errors
    /// The CN cannot be one, or the tenant takes no keys of this kind.
    pub async fn issue_certificate(
        &self,
        caller: &Caller,
        tenant: &str,
        common_name: &str,
        public_key: &[u8],
    ) -> Result<Arc<CertificateRow>, Fault> {
        caller.needs(Scope::CertificatesWrite, tenant)?;
        let subject = Subject::common_name(common_name)
            .map_err(|error| Fault::in_field(Kind::Invalid, "common_name", error.to_string()))?;
        self.change(caller, "certificate.issue", |draft| {
            draft.concerns(tenant);
            check_key(draft, tenant, public_key)?;
            let wish = Wish {
                used_for: CertificateUse::Device,
                key_use: KeyUse::Issuer,
                subject: &subject,
                common_name: common_name.to_owned(),
                public_key,
                alt_names: &[],
                name: common_name.to_owned(),
            };
            let row = self.sign(draft, tenant, &wish)?;
            draft.store_row(&row, None);
            Ok(Arc::new(row))
        })
        .await
    }

    /// Issues a certificate with the names of the one called `id`. With
    /// `retire` that one is taken back, as superseded; else both hold.
    ///
    /// # Errors
    /// It is not there, was taken back, is no device's, or the tenant takes no
    /// keys of this kind.
    pub async fn renew_certificate(
        &self,
        caller: &Caller,
        tenant: &str,
        id: &str,
        key: RenewedKey<'_>,
        retire: bool,
    ) -> Result<Arc<CertificateRow>, Fault> {
        caller.needs(Scope::CertificatesWrite, tenant)?;
        self.change(caller, "certificate.renew", |draft| {
            draft.concerns(tenant);
            let old = draft.stored::<CertificateRow>(&[tenant, id])?;
            let old = old.ok_or_else(|| Fault::not_found("certificate", id))?;
            check_renewable(&old)?;
            let damaged = || Fault::new(Kind::Internal, format!("certificate {id} cannot be read any more"));
            let (_, read) = X509Certificate::from_der(&old.der).map_err(|_| damaged())?;
            let subject = Subject::taken_over(read.subject().as_raw()).map_err(|_| damaged())?;
            let public_key = match key {
                RenewedKey::Same => read.public_key().raw,
                RenewedKey::Made(public_key) => public_key,
                RenewedKey::Requested(request) => requested(request, &old)?,
            };
            check_key(draft, tenant, public_key)?;
            let wish = Wish {
                used_for: CertificateUse::Device,
                key_use: KeyUse::Issuer,
                subject: &subject,
                common_name: old.common_name.clone(),
                public_key,
                alt_names: &alt_names_of(&read),
                name: old.name.clone(),
            };
            let row = self.sign(draft, tenant, &wish)?;
            draft.store_row(&row, None);
            if retire {
                take_back(draft, &old, "superseded")?;
            }
            Ok(Arc::new(row))
        })
        .await
    }
}

fn check_renewable(old: &CertificateRow) -> Result<(), Fault> {
    if old.revoked_at.is_some() {
        let fault = Fault::new(Kind::WrongState, format!("certificate {} was taken back", old.id));
        return Err(fault.but("issue a new one"));
    }
    match old.used_for {
        CertificateUse::Device => Ok(()),
        CertificateUse::Agent => {
            let fault = Fault::new(Kind::WrongState, format!("certificate {} is an agent's", old.id));
            Err(fault.but("delete the agent and make it anew, or let it renew over EST"))
        }
        CertificateUse::Grant => {
            let fault = Fault::new(Kind::WrongState, format!("certificate {} is a grant of the operator", old.id));
            Err(fault.but("hand in a new request"))
        }
    }
}

fn requested<'r>(request: &'r Request, old: &CertificateRow) -> Result<&'r [u8], Fault> {
    let name = request.only("CN").map_err(|error| Fault::in_field(Kind::Invalid, "CN", error.reason))?;
    if name == old.common_name {
        return Ok(request.public_key());
    }
    let detail = format!("the request names {name:?}, the certificate {:?}", old.common_name);
    Err(Fault::in_field(Kind::Invalid, "CN", detail).but("make the request with the same CN"))
}

fn check_key(draft: &Draft<'_>, tenant: &str, public_key: &[u8]) -> Result<(), Fault> {
    let settings = draft.state.settings(tenant).ok_or_else(|| no_tenant(tenant))?;
    let unreadable = || Fault::in_field(Kind::Invalid, "key", "the public key cannot be read");
    let (_, read) = SubjectPublicKeyInfo::from_der(public_key).map_err(|_| unreadable())?;
    let key = Key::read(&read);
    key.check(settings.switches.key_policy)
        .map_err(|reason| Fault::in_field(Kind::Invalid, "key", format!("the key is {key}; {}", reason.remedy())))
}
