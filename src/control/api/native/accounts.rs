//! Accounts: of a tenant, and of the whole broker.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::ca::authority::{AccountChange, Caller, NewAccount, Scope};
use crate::ca::record::AccountRow;

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::conditional::{IfMatch, etag};
use super::super::frame::document::Routes;
use super::super::frame::moment::moment;
use super::super::frame::operation::Operation;
use super::super::frame::paging::{Listed, Piece};
use super::super::frame::problem::{Kind, Problem};
use super::{Api, BASE, CONFLICT, IF_MATCH, ONCE, STALE};

/// The shortest and the longest password.
const PASSWORD: std::ops::RangeInclusive<usize> = 8..=512;

/// An account. Its password is kept as a hash and never shown.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Account {
    /// Its name, without the tenant.
    name: String,
    /// What it is for towards MQTT: `device`, `application` or `operator`.
    role: String,
    /// What it may do over the API: scopes, or `admin`, `operator`, `auditor`.
    scopes: Vec<String>,
    /// Whether it may be used.
    enabled: bool,
    /// SHA-256 of the certificates that it was given together with, if it is
    /// the account of a grant: it is of use beside these alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    grant: Vec<String>,
    /// When it was made over the API; absent for one of the configuration.
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// Counts its changes.
    revision: u64,
}

impl From<Arc<AccountRow>> for Account {
    fn from(row: Arc<AccountRow>) -> Self {
        Self {
            name: row.name.clone(),
            role: row.role.clone(),
            scopes: row.scopes.clone(),
            enabled: row.enabled,
            grant: row.grant.clone(),
            created_at: Some(row.created_at).filter(|at| *at > 0).map(moment),
            revision: row.revision,
        }
    }
}

/// An account that is to be made.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = NewAccount)]
struct Create {
    /// Its name, without the tenant.
    #[schema(min_length = 1, example = "ada")]
    name: String,
    /// Its password.
    #[schema(min_length = 8, max_length = 512, format = Password)]
    password: String,
    /// What it is for towards MQTT: `device`, `application` or `operator`.
    #[schema(example = "application")]
    role: String,
    /// What it may do over the API. Nobody grants what they lack.
    #[serde(default)]
    scopes: Vec<String>,
}

/// What is to change; what is absent stays.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[schema(as = AccountChange)]
struct Change {
    /// A new password.
    #[schema(min_length = 8, max_length = 512, format = Password)]
    password: Option<String>,
    /// What it is for towards MQTT.
    role: Option<String>,
    /// What it may do over the API.
    scopes: Option<Vec<String>>,
    /// Whether it may be used.
    enabled: Option<bool>,
}

const OF_TENANT: [&str; 2] = ["/tenants/{tenant}/accounts", "/tenants/{tenant}/accounts/{account}"];
const OF_BROKER: [&str; 2] = ["/accounts", "/accounts/{account}"];

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let routes = routes
        .about("accounts", "Accounts: names with passwords, of a tenant or of the whole broker.")
        .add(described(Method::GET, OF_TENANT[0], "listAccounts", "List the accounts of a tenant"), list)
        .add(described(Method::POST, OF_TENANT[0], "createAccount", "Make an account of a tenant"), create)
        .add(described(Method::GET, OF_TENANT[1], "getAccount", "Look at an account of a tenant"), one)
        .add(described(Method::PATCH, OF_TENANT[1], "changeAccount", "Change an account of a tenant"), change)
        .add(described(Method::DELETE, OF_TENANT[1], "deleteAccount", "Delete an account of a tenant"), delete);
    routes
        .add(
            described(Method::GET, OF_BROKER[0], "listBrokerAccounts", "List the accounts of the whole broker"),
            list_all,
        )
        .add(
            described(Method::POST, OF_BROKER[0], "createBrokerAccount", "Make an account of the whole broker"),
            create_all,
        )
        .add(
            described(Method::GET, OF_BROKER[1], "getBrokerAccount", "Look at an account of the whole broker"),
            one_all,
        )
        .add(
            described(Method::PATCH, OF_BROKER[1], "changeBrokerAccount", "Change an account of the whole broker"),
            change_all,
        )
        .add(
            described(Method::DELETE, OF_BROKER[1], "deleteBrokerAccount", "Delete an account of the whole broker"),
            delete_all,
        )
}

fn described(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let operation = Operation::new(method.clone(), path, id, summary);
    let write = Scope::AccountsWrite;
    match method {
        Method::POST => operation
            .needs(write)
            .header(ONCE.0, ONCE.1)
            .takes::<Create>()
            .gives::<Account>(StatusCode::CREATED, "It is made.")
            .refuses(&[CONFLICT]),
        Method::PATCH => operation
            .needs(write)
            .header(IF_MATCH.0, IF_MATCH.1)
            .takes::<Change>()
            .gives::<Account>(StatusCode::OK, "It is changed.")
            .refuses(&[CONFLICT, STALE]),
        Method::DELETE => operation.needs(write).gives_nothing("It is gone.").refuses(&[CONFLICT]),
        _ if path.ends_with("{account}") => {
            operation.needs(Scope::AccountsRead).gives::<Account>(StatusCode::OK, "The account, without its password.")
        }
        _ => operation.needs(Scope::AccountsRead).query::<Piece>().lists::<Account>("A piece of the list."),
    }
}

/// The name that the authority has for the whole broker.
const BROKER: &str = "";

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Query(piece): Query<Piece>,
) -> Result<Json<Listed<Account>>, Problem> {
    api.list_accounts(&caller, &tenant, &piece)
}

async fn list_all(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Query(piece): Query<Piece>,
) -> Result<Json<Listed<Account>>, Problem> {
    api.list_accounts(&caller, BROKER, &piece)
}

async fn create(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Json(new): Json<Create>,
) -> Result<impl IntoResponse, Problem> {
    api.create_account(&caller, &tenant, new).await
}

async fn create_all(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Json(new): Json<Create>,
) -> Result<impl IntoResponse, Problem> {
    api.create_account(&caller, BROKER, new).await
}

async fn one(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, account)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    api.one_account(&caller, &tenant, &account)
}

async fn one_all(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(account): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    api.one_account(&caller, BROKER, &account)
}

async fn change(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, account)): Path<(String, String)>,
    revision: IfMatch,
    Json(change): Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    api.change_account(&caller, (&tenant, &account), revision, change).await
}

async fn change_all(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(account): Path<String>,
    revision: IfMatch,
    Json(change): Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    api.change_account(&caller, (BROKER, &account), revision, change).await
}

async fn delete(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, account)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    api.broker.authority().delete_account(&caller, &tenant, &account).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn delete_all(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(account): Path<String>,
) -> Result<StatusCode, Problem> {
    api.broker.authority().delete_account(&caller, BROKER, &account).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Api {
    fn list_accounts(&self, caller: &Caller, tenant: &str, piece: &Piece) -> Result<Json<Listed<Account>>, Problem> {
        let all = self.broker.authority().accounts(caller, tenant)?;
        Ok(Json(piece.cut(all, |row| row.name.clone(), Account::from)?))
    }

    fn one_account(&self, caller: &Caller, tenant: &str, name: &str) -> Result<impl IntoResponse + use<>, Problem> {
        let all = self.broker.authority().accounts(caller, tenant)?;
        let row = all.into_iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| Problem::not_found(format!("account {name} does not exist")))?;
        Ok((etag(row.revision), Json(Account::from(row))))
    }

    async fn create_account(
        &self,
        caller: &Caller,
        tenant: &str,
        new: Create,
    ) -> Result<impl IntoResponse + use<>, Problem> {
        let Create { name, password, role, scopes } = new;
        let role = role.parse().map_err(|error| Problem::in_field(Kind::Invalid, "role", format!("role: {error}")))?;
        // Whoever may not, costs no hash.
        caller.needs_scope(Scope::AccountsWrite)?;
        let hash = self.hashed(password).await?;
        let new = NewAccount { name, hash, role, scopes };
        let row = self.broker.authority().create_account(caller, tenant, new).await?;
        let place = match tenant {
            BROKER => format!("{BASE}/accounts/{}", row.name),
            tenant => format!("{BASE}/tenants/{tenant}/accounts/{}", row.name),
        };
        Ok((StatusCode::CREATED, [(header::LOCATION, place)], etag(row.revision), Json(Account::from(row))))
    }

    async fn change_account(
        &self,
        caller: &Caller,
        (tenant, account): (&str, &str),
        IfMatch(if_revision): IfMatch,
        change: Change,
    ) -> Result<impl IntoResponse + use<>, Problem> {
        let role = change.role.map(|role| role.parse()).transpose();
        let role = role.map_err(|error| Problem::in_field(Kind::Invalid, "role", format!("role: {error}")))?;
        caller.needs_scope(Scope::AccountsWrite)?;
        let hash = match change.password {
            Some(password) => Some(self.hashed(password).await?),
            None => None,
        };
        let change = AccountChange { hash, role, scopes: change.scopes, enabled: change.enabled, if_revision };
        let row = self.broker.authority().change_account(caller, tenant, account, change).await?;
        Ok((etag(row.revision), Json(Account::from(row))))
    }

    async fn hashed(&self, password: String) -> Result<String, Problem> {
        let password = Zeroizing::new(password.into_bytes());
        if !PASSWORD.contains(&password.len()) {
            let (least, most) = (PASSWORD.start(), PASSWORD.end());
            let message = format!("password has {} bytes; use {least} to {most}", password.len());
            return Err(Problem::in_field(Kind::Invalid, "password", message));
        }
        let busy = || Problem::new(Kind::Unavailable, "max_password_checks passwords are being worked on already");
        self.broker.hash_password(password).await.ok_or_else(busy)
    }
}
