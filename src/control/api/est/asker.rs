//! Who asks for a certificate, and of which tenant.
//!
//! What lives here: the ways in which a device proves its name (RFC 7030
//! section 3.2.3): a one-time token, an account or token that may issue, a
//! device's access token, or the certificate that it has. What does not: what
//! each of them covers (`ca::authority::Voucher`). Invariant: what is written
//! in `Authorization` counts; a certificate counts where nothing is written.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use zeroize::Zeroizing;

use crate::broker::{Guest, Handle};
use crate::ca::authority::{Authority, Caller, Kind as Refused, Voucher};
use crate::ca::record::EnrolmentRow;

use super::super::frame::access;
use super::super::frame::authorization::Authorization;
use super::super::frame::caller::CalledBy;
use super::super::frame::problem::{Kind, Problem};
use super::super::https::Entrance;
use super::Est;

/// Whoever vouches for the request.
pub(super) enum Asker {
    /// The bearer of a one-time token.
    Invited(Arc<EnrolmentRow>),
    /// Somebody who may issue certificates.
    Known(Caller),
    /// A device, by its access token or its certificate.
    Device { tenant: String, name: String, certificate: Option<Vec<u8>> },
}

/// What the request says of its tenant beside label and credentials.
pub(super) struct Place {
    guest: Option<Arc<Guest>>,
    host: Option<String>,
    usual: Option<String>,
}

impl Asker {
    /// The tenant that it belongs to; none for those of the whole broker.
    pub(super) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Invited(row) => Some(&row.tenant),
            Self::Known(caller) => caller.tenant.as_deref(),
            Self::Device { tenant, .. } => Some(tenant),
        }
    }

    pub(super) fn voucher(&self) -> Voucher<'_> {
        match self {
            Self::Invited(row) => Voucher::Enrolment(row),
            Self::Known(caller) => Voucher::Caller(caller),
            Self::Device { tenant, name, certificate } => {
                Voucher::Holder { tenant, common_name: name, certificate: certificate.as_deref() }
            }
        }
    }

    fn name(&self) -> Arc<str> {
        match self {
            Self::Invited(row) => Arc::from(format!("device {}", row.device)),
            Self::Known(caller) => Arc::clone(&caller.name),
            Self::Device { name, .. } => Arc::from(format!("device {name}")),
        }
    }

    async fn find(parts: &mut Parts, est: &Est) -> Result<Self, Problem> {
        if parts.headers.contains_key(AUTHORIZATION) {
            if let Some(token) = one_time(parts).filter(|token| Authority::is_enrolment(token)) {
                let found = est.broker.authority().enrolment(&token).map(Self::Invited);
                return found.ok_or_else(|| unknown("the one-time token is unknown, used or ended"));
            }
            let CalledBy(caller) = <CalledBy as FromRequestParts<Est>>::from_request_parts(parts, est).await?;
            return by_access_token(&est.broker, caller);
        }
        let guest = parts.extensions.get::<Arc<Guest>>();
        match guest.map(|guest| est.broker.renewable(guest)).transpose() {
            Ok(Some(Some(proved))) => Ok(Self::Device {
                tenant: proved.tenant.to_string(),
                name: proved.common_name,
                certificate: Some(proved.certificate),
            }),
            Ok(_) => Err(unknown("nothing says who asks")),
            Err(refused) => Err(unknown(format!("the certificate is not accepted here: {refused}"))),
        }
    }
}

/// What may be a one-time token: the password of a Basic login, whatever the
/// user is called, or the token of Bearer.
fn one_time(parts: &Parts) -> Option<Zeroizing<String>> {
    match Authorization::read(&parts.headers)? {
        Authorization::Bearer(token) => Some(token),
        other => other.login().map(|login| login.password),
    }
}

/// A device that was given an access token is vouched for by it, for its own
/// name; whoever else comes with credentials needs the right to issue.
fn by_access_token(broker: &Handle, caller: Caller) -> Result<Asker, Problem> {
    let device = caller.name.strip_prefix("device ").zip(caller.tenant.as_deref());
    let Some((name, tenant)) = device.map(|(name, tenant)| (name.to_owned(), tenant.to_owned())) else {
        return Ok(Asker::Known(caller));
    };
    match broker.may_renew(&tenant, &name) {
        Ok(()) => Ok(Asker::Device { tenant, name, certificate: None }),
        Err(why) => Err(Problem::new(Kind::Refused(Refused::Forbidden), why)),
    }
}

fn unknown(message: impl Into<String>) -> Problem {
    let remedy = "send Basic with the device's name and its one-time token, a Bearer token, or come with a certificate \
                  of this tenant";
    Problem::new(Kind::Refused(Refused::Unauthorized), message).but(remedy)
}

impl FromRequestParts<Est> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, est: &Est) -> Result<Self, Problem> {
        let asker = Self::find(parts, est).await?;
        if let Some(known) = parts.extensions.get::<access::Asker>() {
            let _ = known.0.set(asker.name());
        }
        Ok(asker)
    }
}

impl FromRequestParts<Est> for Place {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Est) -> Result<Self, Infallible> {
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let usual = parts.extensions.get::<Entrance>();
        Ok(Self {
            guest: parts.extensions.get::<Arc<Guest>>().cloned(),
            host: host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned()),
            usual: usual.and_then(|entrance| Some(entrance.door.settings().default_tenant.as_ref()?.to_string())),
        })
    }
}

impl Place {
    /// The tenant: that of the label, else that of whoever asks, else that of
    /// the client's certificate, else that of the host name, else the
    /// listener's.
    pub(super) fn tenant(&self, broker: &Handle, label: Option<String>, own: Option<&str>) -> Result<String, Problem> {
        let certificate = || self.guest.as_deref().and_then(|guest| broker.tenant_of_guest(guest));
        let host = || self.host.as_deref().and_then(|host| broker.tenant_of_host(host));
        label
            .or_else(|| own.map(str::to_owned))
            .or_else(certificate)
            .or_else(host)
            .or_else(|| self.usual.clone())
            .ok_or_else(|| {
                Problem::new(Kind::Parameter, "the request names no tenant")
                    .but(format!("write its name into the path: {}/TENANT/…", super::BASE))
            })
    }
}
