//! Who asks, in which tenant, and the end of its tokens (C8Y-API-06).

use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::ca::authority::{Caller, Kind as Refused, Scopes};

use super::super::frame::body::Json;
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::{Kind, Problem};
use super::Api;
use super::site::{InTenant, Site};

/// The roles of Cumulocity that stand for scopes here.
const ROLES: [&str; 5] = [
    "ROLE_TENANT_ADMIN",
    "ROLE_TENANT_MANAGEMENT_ADMIN",
    "ROLE_TENANT_MANAGEMENT_READ",
    "ROLE_DEVICE_CONTROL_ADMIN",
    "ROLE_DEVICE_CONTROL_READ",
];

/// What its own tenant is to a caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CurrentTenant {
    /// Its identifier.
    name: String,
    /// The server name under which clients mean it.
    domain_name: String,
    /// Whether it may make tenants: no.
    allow_create_tenants: bool,
    /// Nothing.
    custom_properties: serde_json::Map<String, serde_json::Value>,
    /// Its address.
    #[serde(rename = "self")]
    own: String,
}

/// What a caller is to itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CurrentUser {
    /// Its identifier: its name.
    id: String,
    /// Its name.
    user_name: String,
    /// Whether it may be used: yes.
    enabled: bool,
    /// Whether it has to choose another password: no.
    should_reset_password: bool,
    /// Its roles.
    effective_roles: Vec<Role>,
    /// Its address.
    #[serde(rename = "self")]
    own: String,
}

/// A role.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Role {
    /// Its name.
    id: &'static str,
    /// Its name again.
    name: &'static str,
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let get = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs("a login");
    routes
        .about("session", "The caller and its tenant.")
        .add(
            get("/tenant/currentTenant", "getCurrentTenant", "Ask which tenant one is in")
                .gives::<CurrentTenant>(StatusCode::OK, "The tenant."),
            current_tenant,
        )
        .add(
            get("/user/currentUser", "getCurrentUser", "Ask who one is")
                .gives::<CurrentUser>(StatusCode::OK, "The user."),
            current_user,
        )
        .add(
            Operation::new(Method::POST, "/user/logout", "logout", "End the access tokens that one was given")
                .needs("a login")
                .gives_empty("They have ended."),
            logout,
        )
}

async fn current_tenant(
    State(api): State<Api>,
    InTenant { tenant, .. }: InTenant,
    site: Site,
) -> Result<Json<CurrentTenant>, Problem> {
    let gone = || Problem::new(Kind::Refused(Refused::NoTenant), format!("There is no tenant with id = {tenant}"));
    let view = api.broker.authority().find_tenant(&tenant).ok_or_else(gone)?;
    let domain_name = view.settings.domain.unwrap_or_else(|| site.name().to_owned());
    Ok(Json(CurrentTenant {
        name: tenant,
        domain_name,
        allow_create_tenants: false,
        custom_properties: serde_json::Map::new(),
        own: site.link(&["tenant", "currentTenant"]),
    }))
}

async fn current_user(CalledBy(caller): CalledBy, site: Site) -> Result<Json<CurrentUser>, Problem> {
    let name = user_name(&caller);
    let covered = |role: &&&str| role.parse::<Scopes>().is_ok_and(|scopes| caller.scopes.covers(scopes));
    Ok(Json(CurrentUser {
        id: name.clone(),
        user_name: name,
        enabled: true,
        should_reset_password: false,
        effective_roles: ROLES.iter().filter(covered).map(|role| Role { id: role, name: role }).collect(),
        own: site.link(&["user", "currentUser"]),
    }))
}

async fn logout(State(api): State<Api>, CalledBy(caller): CalledBy) -> Result<StatusCode, Problem> {
    if let Some(subject) = subject(&caller) {
        let tenant = caller.tenant.as_deref().unwrap_or_default();
        api.broker.authority().end_access(&caller, tenant, &subject).await?;
    }
    Ok(StatusCode::OK)
}

/// Kind and name of a caller: `account`, `device` or `token`.
fn parts(caller: &Caller) -> (&str, &str) {
    let (kind, name) = caller.name.split_once(' ').unwrap_or(("account", &caller.name));
    let own = caller.tenant.as_deref().and_then(|tenant| name.strip_prefix(tenant)?.strip_prefix('/'));
    (kind, own.filter(|_| kind == "account").unwrap_or(name))
}

fn user_name(caller: &Caller) -> String {
    match parts(caller) {
        ("device", name) => format!("device_{name}"),
        (_, name) => name.to_owned(),
    }
}

/// Whom access tokens are given to; nobody is given one for a kept token.
fn subject(caller: &Caller) -> Option<String> {
    let (kind, name) = parts(caller);
    matches!(kind, "account" | "device").then(|| format!("{kind}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Caller {
        Caller { name: name.into(), tenant: Some("t2250".into()), ..Caller::broker() }
    }

    #[test]
    fn a_caller_is_called_as_its_platform_does() {
        for (name, user, wanted) in [
            ("account t2250/admin", "admin", Some("account/admin")),
            ("account admin", "admin", Some("account/admin")),
            ("device pump-1", "device_pump-1", Some("device/pump-1")),
            ("token ci (4f)", "ci (4f)", None),
        ] {
            assert_eq!((user_name(&caller(name)).as_str(), subject(&caller(name)).as_deref()), (user, wanted));
        }
    }
}
