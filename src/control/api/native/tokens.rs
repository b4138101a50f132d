//! Tokens of the API: of a tenant, and of the whole broker.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ca::authority::{Caller, NewToken, Scope};
use crate::ca::record::TokenRow;

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::moment::moment;
use super::super::frame::operation::Operation;
use super::super::frame::paging::{Listed, Piece};
use super::super::frame::problem::Problem;
use super::{Api, BASE, CONFLICT, ONCE};

/// A token, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Token {
    /// The part of the token that names it.
    id: String,
    /// What people call it.
    name: String,
    /// What it may do.
    scopes: Vec<String>,
    /// When it ends; never when absent.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<Arc<TokenRow>> for Token {
    fn from(row: Arc<TokenRow>) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            scopes: row.scopes.clone(),
            expires_at: row.expires_at.map(moment),
            created_at: moment(row.created_at),
        }
    }
}

/// A token with its secret, which is told this once.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = MadeToken)]
struct Made {
    /// What to send as `Authorization: Bearer …`.
    token: String,
    /// What is kept of it.
    #[serde(flatten)]
    kept: Token,
}

/// A token that is to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = NewToken)]
struct Create {
    /// What people call it.
    #[schema(example = "ci")]
    name: String,
    /// What it may do: scopes, or `admin`, `operator`, `auditor`. Nobody grants
    /// what they lack.
    #[schema(example = json!(["auditor"]))]
    scopes: Vec<String>,
    /// For how many seconds; for ever when absent.
    #[schema(minimum = 1)]
    lasts_seconds: Option<u64>,
}

const OF_TENANT: &str = "/tenants/{tenant}/tokens";
const OF_BROKER: &str = "/tokens";

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let list_of = |path, id, summary| {
        let operation = Operation::new(Method::GET, path, id, summary).needs(Scope::AccountsRead).query::<Piece>();
        operation.lists::<Token>("A piece of the list.")
    };
    let create_of = |path, id, summary| {
        let operation = Operation::new(Method::POST, path, id, summary).needs(Scope::AccountsWrite);
        let operation = operation.header(ONCE.0, ONCE.1).takes::<Create>();
        operation.gives::<Made>(StatusCode::CREATED, "It is made; its secret is told this once.").refuses(&[CONFLICT])
    };
    routes
        .about("tokens", "Tokens: what scripts log in with, of a tenant or of the whole broker.")
        .add(list_of(OF_TENANT, "listTokens", "List the tokens of a tenant"), list)
        .add(create_of(OF_TENANT, "createToken", "Make a token of a tenant"), create)
        .add(list_of(OF_BROKER, "listBrokerTokens", "List the tokens of the whole broker"), list_all)
        .add(create_of(OF_BROKER, "createBrokerToken", "Make a token of the whole broker"), create_all)
        .add(
            Operation::new(Method::DELETE, "/tokens/{token}", "deleteToken", "End a token, whosever it is")
                .needs(Scope::AccountsWrite)
                .gives_nothing("It is gone."),
            delete,
        )
}

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Query(piece): Query<Piece>,
) -> Result<Json<Listed<Token>>, Problem> {
    let all = api.broker.authority().tokens(&caller, &tenant)?;
    Ok(Json(piece.cut(all, |row| row.id.clone(), Token::from)?))
}

async fn list_all(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Query(piece): Query<Piece>,
) -> Result<Json<Listed<Token>>, Problem> {
    let all = api.broker.authority().tokens(&caller, "")?;
    Ok(Json(piece.cut(all, |row| row.id.clone(), Token::from)?))
}

async fn create(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Json(new): Json<Create>,
) -> Result<impl IntoResponse, Problem> {
    make(&api, &caller, &tenant, new).await
}

async fn create_all(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Json(new): Json<Create>,
) -> Result<impl IntoResponse, Problem> {
    make(&api, &caller, "", new).await
}

async fn make(api: &Api, caller: &Caller, tenant: &str, new: Create) -> Result<impl IntoResponse + use<>, Problem> {
    let Create { name, scopes, lasts_seconds } = new;
    let new = NewToken { name, scopes, lasts: lasts_seconds.map(Duration::from_secs) };
    let made = api.broker.authority().create_token(caller, tenant, new).await?;
    let place = format!("{BASE}/tokens/{}", made.row.id);
    let made = Made { token: made.secret.to_string(), kept: Token::from(made.row) };
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(made)))
}

async fn delete(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(token): Path<String>,
) -> Result<StatusCode, Problem> {
    api.broker.authority().delete_token(&caller, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}
