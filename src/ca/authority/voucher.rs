//! Who vouches for a certificate request, and for what of it.
//!
//! What lives here: the ways in which a device may ask. What does not: issuing
//! (`certificates`), the proof of a certificate (`identity`). Invariant: a
//! certificate holds nothing that nobody vouched for. Rights may depend on any
//! part of it, and a request is its sender's own word.

use std::sync::Arc;

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::access::Scope;
use super::caller::Caller;
use super::fault::{Fault, Kind};
use crate::ca::profile::AltName;
use crate::ca::record::EnrolmentRow;
use crate::ca::request::{Request, alt_name};
use crate::ca::subject::Subject;

/// Who vouches for a certificate request.
#[derive(Clone, Copy, Debug)]
pub enum Voucher<'v> {
    /// A caller who may issue certificates, for all that stands in it.
    Caller(&'v Caller),
    /// A one-time token, which is used up; for the CN alone.
    Enrolment(&'v EnrolmentRow),
    /// The holder of a certificate of this CN, which the caller has verified.
    Holder {
        /// The tenant that the certificate belongs to.
        tenant: &'v str,
        /// Its CN.
        common_name: &'v str,
        /// The certificate in DER, for what else stands in it; without one the
        /// CN alone is vouched for.
        certificate: Option<&'v [u8]>,
    },
}

/// The names that a certificate gets.
pub(super) struct Granted {
    pub(super) subject: Subject,
    pub(super) alt_names: Vec<AltName>,
}

impl Voucher<'_> {
    /// Who is written into the audit, if it covers a certificate of this CN.
    pub(super) fn stands_for(self, tenant: &str, common_name: &str) -> Result<(Caller, &'static str), Fault> {
        let device = |name: &str| Caller {
            name: Arc::from(format!("device {name}")),
            tenant: Some(Arc::from(tenant)),
            ..Caller::broker()
        };
        let wrong = |named: &str| {
            let detail = format!("the request names {common_name:?}, but what vouches for it {named:?}");
            Err(Fault::in_field(Kind::Forbidden, "CN", detail)
                .but("ask for a certificate with your own name as the CN"))
        };
        match self {
            Self::Caller(caller) => {
                caller.needs(Scope::CertificatesWrite, tenant).map(|()| (caller.clone(), "certificate.issue"))
            }
            Self::Enrolment(token) if token.tenant != tenant => Err(spent()),
            Self::Enrolment(token) if token.device != common_name => wrong(&token.device),
            Self::Enrolment(token) => Ok((device(&token.device), "certificate.enrol")),
            Self::Holder { tenant: own, .. } if own != tenant => {
                Err(Fault::new(Kind::Forbidden, "the certificate belongs to another tenant"))
            }
            Self::Holder { common_name: own, .. } if own != common_name => wrong(own),
            Self::Holder { common_name: own, .. } => Ok((device(own), "certificate.renew")),
        }
    }

    /// What of the names in `request` it vouches for.
    pub(super) fn grants(self, request: &Request, common_name: &str) -> Result<Granted, Fault> {
        let all = || Granted { subject: request.subject().clone(), alt_names: request.alt_names().to_vec() };
        let old = match self {
            Self::Caller(_) => return Ok(all()),
            Self::Enrolment(_) => None,
            Self::Holder { certificate, .. } => {
                certificate.and_then(|der| X509Certificate::from_der(der).ok()).map(|(_, old)| old)
            }
        };
        let same = old.as_ref().is_some_and(|old| old.subject().as_raw() == request.subject().der());
        let subject = match same {
            true => request.subject().clone(),
            false => Subject::common_name(common_name)
                .map_err(|error| Fault::in_field(Kind::Invalid, "CN", error.to_string()))?,
        };
        let had = old.as_ref().map(alt_names_of).unwrap_or_default();
        let alt_names = request.alt_names().iter().filter(|name| had.contains(name)).cloned().collect();
        Ok(Granted { subject, alt_names })
    }
}

pub(super) fn alt_names_of(certificate: &X509Certificate<'_>) -> Vec<AltName> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.map(|extension| extension.value.general_names.iter());
    names.into_iter().flatten().filter_map(alt_name).collect()
}

pub(super) fn spent() -> Fault {
    Fault::new(Kind::Unauthorized, "the enrolment token is unknown, used or ended").but("ask for a new one")
}
