//! Tenants.

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::ca::authority::{NewTenant, Scope, TenantChange, TenantView};

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::conditional::{IfMatch, etag};
use super::super::frame::document::Routes;
use super::super::frame::moment::moment;
use super::super::frame::operation::Operation;
use super::super::frame::paging::{Listed, Piece};
use super::super::frame::problem::{Kind, Problem};
use super::{Api, BASE, CONFLICT, IF_MATCH, ONCE, STALE};

/// A tenant.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Tenant {
    /// Its name.
    id: String,
    /// Its profile.
    profile: String,
    /// The TLS server name under which clients mean it.
    domain: Option<String>,
    /// Whether its clients may connect.
    enabled: bool,
    /// Whether the configuration file makes it; then only `enabled` can be
    /// changed here.
    configured: bool,
    /// When it was made over the API.
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// Counts its changes.
    revision: u64,
}

impl From<TenantView> for Tenant {
    fn from(view: TenantView) -> Self {
        Self {
            id: view.settings.id.to_string(),
            profile: view.settings.profile.to_string(),
            domain: view.settings.domain,
            enabled: view.enabled,
            configured: view.configured,
            created_at: view.created_at.map(moment),
            revision: view.revision,
        }
    }
}

/// A tenant that is to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = NewTenant)]
struct Create {
    /// 1 to 64 letters, digits, hyphens, underscores and dots.
    #[schema(min_length = 1, max_length = 64, example = "acme")]
    id: String,
    /// `open`, `mindconnect`, `cumulocity` or `centiloc`.
    #[schema(example = "open")]
    profile: String,
    /// The TLS server name under which clients mean it.
    domain: Option<String>,
}

/// What is to change; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = TenantChange)]
struct Change {
    /// Whether its clients may connect. Those that are connected have to go.
    enabled: Option<bool>,
    /// The TLS server name; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    domain: Option<Option<String>>,
}

/// Tells null from absent.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<T>, D::Error> {
    T::deserialize(reader).map(Some)
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let get = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs(Scope::TenantsRead);
    routes
        .about("tenants", "Tenants: each with topics, trust, accounts and rights of its own.")
        .add(
            get("/tenants", "listTenants", "List the tenants that the caller may see")
                .query::<Piece>()
                .lists::<Tenant>("A piece of the list."),
            list,
        )
        .add(
            Operation::new(Method::POST, "/tenants", "createTenant", "Make a tenant")
                .needs(Scope::TenantsWrite)
                .header(ONCE.0, ONCE.1)
                .takes::<Create>()
                .gives::<Tenant>(StatusCode::CREATED, "It is made.")
                .refuses(&[CONFLICT]),
            create,
        )
        .add(
            get("/tenants/{tenant}", "getTenant", "Look at a tenant").gives::<Tenant>(StatusCode::OK, "The tenant."),
            read,
        )
        .add(
            Operation::new(Method::PATCH, "/tenants/{tenant}", "changeTenant", "Change a tenant, or switch it off")
                .needs(Scope::TenantsWrite)
                .header(IF_MATCH.0, IF_MATCH.1)
                .takes::<Change>()
                .gives::<Tenant>(StatusCode::OK, "It is changed.")
                .refuses(&[CONFLICT, STALE]),
            change,
        )
        .add(
            Operation::new(Method::DELETE, "/tenants/{tenant}", "deleteTenant", "Delete a tenant with all that is its")
                .needs(Scope::TenantsWrite)
                .gives_nothing("It is gone; its clients have to go.")
                .refuses(&[CONFLICT]),
            delete,
        )
}

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Query(piece): Query<Piece>,
) -> Result<Json<Listed<Tenant>>, Problem> {
    let all = api.broker.authority().tenants(&caller)?;
    Ok(Json(piece.cut(all, |view| view.settings.id.to_string(), Tenant::from)?))
}

async fn create(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Json(Create { id, profile, domain }): Json<Create>,
) -> Result<impl IntoResponse, Problem> {
    let profile =
        profile.parse().map_err(|error| Problem::in_field(Kind::Invalid, "profile", format!("profile: {error}")))?;
    let made = api.broker.authority().create_tenant(&caller, NewTenant { id, profile, domain }).await?;
    let place = format!("{BASE}/tenants/{}", made.settings.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], etag(made.revision), Json(Tenant::from(made))))
}

async fn read(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let view = api.broker.authority().tenant(&caller, &tenant)?;
    Ok((etag(view.revision), Json(Tenant::from(view))))
}

async fn change(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    IfMatch(if_revision): IfMatch,
    Json(Change { enabled, domain }): Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    let change = TenantChange { enabled, domain, if_revision };
    let view = api.broker.authority().change_tenant(&caller, &tenant, change).await?;
    Ok((etag(view.revision), Json(Tenant::from(view))))
}

async fn delete(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
) -> Result<StatusCode, Problem> {
    api.broker.authority().delete_tenant(&caller, &tenant).await?;
    Ok(StatusCode::NO_CONTENT)
}
