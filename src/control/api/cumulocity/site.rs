//! Where a request went, and whom it may mean.
//!
//! What lives here: the address in links, the tenant of a site, and whether
//! the answer to a change is wanted. What does not: who asks (`frame`).
//! Invariant: what a `Host` says chooses a tenant to log in to, and grants
//! nothing.

use std::fmt::Write as _;

use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::broker::Handle;
use crate::ca::authority::{Authority, Caller, Kind as Refused, Profile};

use super::super::frame::body::Json;
use super::super::frame::caller::{CalledBy, Home};
use super::super::frame::problem::{Kind, Problem};

/// The name under which the broker was asked.
#[derive(Clone, Debug)]
pub(super) struct Site {
    host: String,
}

/// Whether the client wants the object that it made or changed (C8Y-API-04).
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted(bool);

/// A caller with the tenant that it means where the path names none.
#[derive(Clone, Debug)]
pub(super) struct InTenant {
    pub(super) caller: Caller,
    pub(super) tenant: String,
}

impl Site {
    fn of(fields: &HeaderMap) -> Self {
        let host = fields.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        Self { host: host.to_owned() }
    }

    #[cfg(test)]
    pub(super) fn at(host: &str) -> Self {
        Self { host: host.to_owned() }
    }

    /// Its name without the port.
    pub(super) fn name(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => &self.host,
        }
    }

    /// The address of what lies under these names.
    pub(super) fn link(&self, names: &[&str]) -> String {
        let mut link = format!("https://{}", self.host);
        for name in names {
            link.push('/');
            for byte in name.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => link.push(byte.into()),
                    _ => drop(write!(link, "%{byte:02X}")),
                }
            }
        }
        link
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Site {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(parts.headers.contains_key(header::ACCEPT)))
    }
}

impl Wanted {
    /// The answer to a change: with the object if it is wanted.
    pub(super) fn answer<T: Serialize>(self, status: StatusCode, object: T) -> Response {
        if self.0 { (status, Json(object)).into_response() } else { status.into_response() }
    }
}

impl<S> FromRequestParts<S> for InTenant
where
    S: Send + Sync,
    Handle: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let CalledBy(caller) = CalledBy::from_request_parts(parts, state).await?;
        let own = caller.tenant.as_deref().map(str::to_owned);
        let tenant = own.or_else(|| parts.extensions.get::<Home>().map(|Home(tenant)| tenant.clone()));
        let none = || {
            let problem = Problem::new(Kind::Refused(Refused::NoTenant), "no tenant has the profile cumulocity");
            problem.but("configure one, or ask under the domain of a tenant")
        };
        Ok(Self { caller, tenant: tenant.ok_or_else(none)? })
    }
}

/// Finds the tenant that a name without one means: that of the domain, else
/// that of the path, else the first of this profile.
pub(super) async fn find_home(State(broker): State<Handle>, mut request: Request, next: Next) -> Response {
    let authority = broker.authority();
    let site = Site::of(request.headers());
    let of_path = || {
        let rest = request.uri().path().strip_prefix("/tenant/tenants/")?;
        let tenant = rest.split('/').next().filter(|tenant| authority.has_tenant(tenant))?;
        Some(tenant.to_owned())
    };
    let home = authority.tenant_of_domain(site.name()).or_else(of_path);
    if let Some(home) = home.or_else(|| authority.first_tenant(Profile::Cumulocity)) {
        request.extensions_mut().insert(Home(home));
    }
    next.run(request).await
}

/// Lets pass what is about a tenant that is there (C8Y-TC-07).
pub(super) fn check_tenant(authority: &Authority, tenant: &str) -> Result<(), Problem> {
    if authority.has_tenant(tenant) {
        return Ok(());
    }
    Err(Problem::new(Kind::Refused(Refused::NoTenant), format!("There is no tenant with id = {tenant}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_name_that_was_asked_and_hold_no_name_as_it_is() {
        let site = Site::at("factory.broker.lan:8443");
        assert_eq!(site.name(), "factory.broker.lan");
        assert_eq!(site.link(&["a", "pump 1/ü"]), "https://factory.broker.lan:8443/a/pump%201%2F%C3%BC");
        assert_eq!(Site::at("[::1]").name(), "[::1]");
    }
}
