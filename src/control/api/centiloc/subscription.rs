//! Whether a tenant's subscription is active (CEN-ACC-02).

use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::broker::Handle;
use crate::ca::authority::{Scope, TenantChange};

use super::super::frame::body::{Json, Path};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::Problem;

/// A tenant's subscription.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
struct Subscription {
    /// Whether the tenant's clients may connect.
    active: bool,
}

const PATH: &str = "/tenants/{tenantId}/subscription";

pub(super) fn add(routes: Routes<Handle>) -> Routes<Handle> {
    routes
        .about("subscriptions", "Who may connect at all.")
        .add(
            Operation::new(Method::GET, PATH, "getSubscription", "Whether a tenant's subscription is active")
                .needs(Scope::TenantsRead)
                .gives::<Subscription>(StatusCode::OK, "Whether it is."),
            get,
        )
        .add(
            Operation::new(Method::PUT, PATH, "setSubscription", "Switch a tenant's subscription")
                .needs(Scope::TenantsWrite)
                .takes::<Subscription>()
                .gives::<Subscription>(StatusCode::OK, "Switched off, whoever is connected has to go."),
            put,
        )
}

async fn get(
    State(broker): State<Handle>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
) -> Result<Json<Subscription>, Problem> {
    let tenant = broker.authority().tenant(&caller, &tenant)?;
    Ok(Json(Subscription { active: tenant.enabled }))
}

async fn put(
    State(broker): State<Handle>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Json(wanted): Json<Subscription>,
) -> Result<Json<Subscription>, Problem> {
    let change = TenantChange { enabled: Some(wanted.active), ..TenantChange::default() };
    let tenant = broker.authority().change_tenant(&caller, &tenant, change).await?;
    Ok(Json(Subscription { active: tenant.enabled }))
}
