//! Who asks.
//!
//! What lives here: the proof of what a request logs in with. What does not: how
//! that is written (`authorization`), what a caller may do (`ca::authority`). Invariant: whoever is
//! not known is told nothing but that; a wrong name costs what a wrong password
//! does, and counts against its address together with those over MQTT.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use zeroize::Zeroizing;

use crate::broker::{Checked, Guest, Handle};
use crate::ca::authority::{Caller, Kind as Refused, Scopes};

use super::super::https::Entrance;
use super::access::{Asker, RequestId};
use super::authorization::{Authorization, Login};
use super::problem::{Kind, Problem};

/// A caller that is known.
#[derive(Clone, Debug)]
pub(in crate::control::api) struct CalledBy(pub(in crate::control::api) Caller);

/// The tenant that a user name without one means, where a face knows it: its
/// accounts come before those of the whole broker then.
#[derive(Clone, Debug)]
pub(in crate::control::api) struct Home(pub(in crate::control::api) String);

/// The name that Cumulocity has for those who run the whole of it.
const MANAGEMENT: &str = "management";

impl<S> FromRequestParts<S> for CalledBy
where
    S: Send + Sync,
    Handle: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let broker = Handle::from_ref(state);
        let address = parts.extensions.get::<Arc<Guest>>().map(|guest| guest.address());
        let Some(given) = Authorization::read(&parts.headers) else {
            return Err(
                unknown("this needs a login").but("send a Bearer token, or Basic with tenant/name and password")
            );
        };
        let known = match given {
            Authorization::Bearer(token) => {
                let authority = broker.authority();
                authority
                    .bearer(&token)
                    .or_else(|| authority.access(&token))
                    .ok_or_else(|| unknown("the token is not known, or has ended"))
            }
            Authorization::Basic(None) => Err(wrong()),
            Authorization::Basic(Some(login)) => {
                let place = parts
                    .extensions
                    .get::<Entrance>()
                    .and_then(|entrance| entrance.door.settings().default_tenant.as_ref().map(ToString::to_string));
                let home = parts.extensions.get::<Home>().map(|Home(tenant)| tenant.as_str());
                by_password(&broker, address, &login, home, place.as_deref()).await
            }
            Authorization::Unknown => Err(unknown("this way to log in is not known").but("use Bearer or Basic")),
        };
        let mut caller = known?;
        caller.address = address.map(|address| Arc::from(address.to_string()));
        caller.request = parts.extensions.get::<RequestId>().map(|id| Arc::clone(&id.0));
        if let Some(asker) = parts.extensions.get::<Asker>() {
            let _ = asker.0.set(Arc::clone(&caller.name));
        }
        Ok(Self(caller))
    }
}

fn unknown(message: &str) -> Problem {
    Problem::new(Kind::Refused(Refused::Unauthorized), message)
}

fn wrong() -> Problem {
    unknown("name or password is wrong")
}

/// `tenant/name`, or a name alone: that of an account of the whole broker, else
/// one of the listener's own tenant.
pub(in crate::control::api) async fn by_password(
    broker: &Handle,
    address: Option<IpAddr>,
    Login { user, password }: &Login,
    home: Option<&str>,
    default_tenant: Option<&str>,
) -> Result<Caller, Problem> {
    let (user, authority) = (user.as_str(), broker.authority());
    let (tenant, name) = match user.split_once('/') {
        Some((MANAGEMENT, name)) => ("", name),
        Some((tenant, name)) => (tenant, name),
        None if home.is_some_and(|home| authority.find_account(home, user).is_some()) => {
            (home.unwrap_or_default(), user)
        }
        None if authority.find_account("", user).is_some() => ("", user),
        None => (default_tenant.unwrap_or_default(), user),
    };
    let account = authority.find_account(tenant, name).filter(|account| account.enabled);
    let address = address.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    let hash = account.as_ref().map(|account| account.hash.as_str());
    let password = Zeroizing::new(password.as_bytes().to_vec());
    match (broker.check_password(address, hash, password).await, account) {
        (Checked::Right, Some(account)) => Ok(Caller {
            name: Arc::from(if tenant.is_empty() {
                format!("account {name}")
            } else {
                format!("account {tenant}/{name}")
            }),
            tenant: Some(tenant).filter(|tenant| !tenant.is_empty()).map(Arc::from),
            scopes: Scopes::read(account.scopes.iter().map(String::as_str)).unwrap_or_default(),
            address: None,
            request: None,
        }),
        (Checked::Right | Checked::Wrong, _) => Err(wrong()),
        (Checked::LockedOut, _) => {
            let problem = Problem::new(Kind::TooMany, "too many wrong passwords came from this address");
            Err(problem.after(Duration::from_secs(60)))
        }
        (Checked::Busy, _) => {
            let problem = Problem::new(Kind::Unavailable, "max_password_checks passwords are being checked already");
            Err(problem.after(Duration::from_secs(1)))
        }
    }
}
