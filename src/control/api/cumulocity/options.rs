//! Options of a tenant (C8Y-OPT-01).

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ca::authority::Scope;
use crate::ca::record::OptionRow;

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::Problem;
use super::Api;
use super::page::{Around, Page};
use super::site::{InTenant, Site, Wanted};

const ALL: &str = "/tenant/options";
const ONE: &str = "/tenant/options/{category}/{key}";

/// What stands in place of a value that is a secret.
const HIDDEN: &str = "<<Encrypted>>";

/// An option.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct TenantOption {
    /// Its group, such as `oauth.internal`.
    category: String,
    /// Its name in the group, such as `device-token.lifespan.seconds`.
    key: String,
    /// Its value. Those of keys that begin with `credentials.` are not told.
    value: String,
    /// Its address.
    #[serde(rename = "self")]
    own: String,
}

/// A page of options that were set.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct TenantOptions {
    /// The options.
    options: Vec<TenantOption>,
    #[serde(flatten)]
    around: Around,
}

/// An option that is to be set.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct NewOption {
    /// Its group.
    category: String,
    /// Its name in the group.
    key: String,
    /// Its value.
    value: String,
}

/// The new value of an option.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct OptionValue {
    /// The value.
    value: String,
}

impl TenantOption {
    fn new(site: &Site, row: &OptionRow) -> Self {
        let is_secret = row.key.starts_with("credentials.");
        Self {
            category: row.category.clone(),
            key: row.key.clone(),
            value: if is_secret { HIDDEN.to_owned() } else { row.value.clone() },
            own: site.link(&["tenant", "options", &row.category, &row.key]),
        }
    }
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let unusable = [(StatusCode::UNPROCESSABLE_ENTITY, "The option cannot have this value.")];
    let write = |method, path, id, summary| {
        Operation::new(method, path, id, summary).needs(Scope::OptionsWrite).refuses(&unusable)
    };
    let read = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs(Scope::OptionsRead);
    routes
        .about("options", "Options of a tenant: how long device tokens last, and whether the list of serials counts.")
        .add(
            read(ALL, "listOptions", "List the options that were set")
                .query::<Page>()
                .gives::<TenantOptions>(StatusCode::OK, "A page of the list."),
            list,
        )
        .add(
            write(Method::POST, ALL, "setOption", "NewOption an option")
                .takes::<NewOption>()
                .gives::<TenantOption>(StatusCode::OK, "It is set."),
            set,
        )
        .add(
            read(ONE, "getOption", "Look at an option, or its default")
                .gives::<TenantOption>(StatusCode::OK, "The option."),
            one,
        )
        .add(
            write(Method::PUT, ONE, "changeOption", "NewOption an option by its address")
                .takes::<OptionValue>()
                .gives::<TenantOption>(StatusCode::OK, "It is set."),
            change,
        )
        .add(
            write(Method::DELETE, ONE, "deleteOption", "Take an option back to its default")
                .gives_nothing("It was taken back."),
            delete,
        )
}

async fn list(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    site: Site,
    Query(page): Query<Page>,
) -> Result<Json<TenantOptions>, Problem> {
    let all = api.broker.authority().options(&caller, &tenant)?;
    let (rows, around) = page.cut(&site, &["tenant", "options"], all)?;
    Ok(Json(TenantOptions { options: rows.iter().map(|row| TenantOption::new(&site, row)).collect(), around }))
}

async fn set(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    site: Site,
    wanted: Wanted,
    Json(NewOption { category, key, value }): Json<NewOption>,
) -> Result<Response, Problem> {
    let row = api.broker.authority().set_option(&caller, &tenant, &category, &key, &value).await?;
    Ok(wanted.answer(StatusCode::OK, TenantOption::new(&site, &row)))
}

async fn one(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    site: Site,
    Path((category, key)): Path<(String, String)>,
) -> Result<Json<TenantOption>, Problem> {
    let row = api.broker.authority().option(&caller, &tenant, &category, &key)?;
    Ok(Json(TenantOption::new(&site, &row)))
}

async fn change(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    site: Site,
    wanted: Wanted,
    Path((category, key)): Path<(String, String)>,
    Json(OptionValue { value }): Json<OptionValue>,
) -> Result<Response, Problem> {
    let row = api.broker.authority().set_option(&caller, &tenant, &category, &key, &value).await?;
    Ok(wanted.answer(StatusCode::OK, TenantOption::new(&site, &row)))
}

async fn delete(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    Path((category, key)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    api.broker.authority().delete_option(&caller, &tenant, &category, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}
