//! `/oauth/token`: access tokens for client credentials (MC-API-02, RFC 6749
//! section 4.4).
//!
//! The client is an account (`tenant/name` and its password). Errors are those
//! of RFC 6749 section 5.2.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use crate::broker::{Guest, Handle};
use crate::ca::authority::{Caller, Claims, Scopes};

use super::super::frame::authorization::{Authorization, Login};
use super::super::frame::body::Raw;
use super::super::frame::caller::by_password;
use super::super::frame::problem::{Kind, Problem};

/// How long a token lasts, as the original's do.
const LASTS: Duration = Duration::from_secs(1799);

/// A host name is no longer.
const LONGEST_HOST: usize = 253;

/// What is asked for.
#[derive(Deserialize)]
struct Asked {
    grant_type: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Zeroizing<String>>,
    scope: Option<String>,
}

impl Asked {
    fn login(&self) -> Option<Login> {
        Login::new(self.client_id.as_deref()?, self.client_secret.as_ref().map_or("", |secret| secret.as_str()))
    }
}

/// The routes, under both names.
pub(in super::super) fn routes(broker: Handle) -> Router {
    Router::new()
        .route("/oauth/token", post(token))
        .route("/api/technicaltokenmanager/v3/oauth/token", post(token))
        .with_state(broker)
}

async fn token(
    State(broker): State<Handle>,
    Extension(guest): Extension<Arc<Guest>>,
    fields: HeaderMap,
    body: Raw,
) -> Result<Response, Problem> {
    let Ok(asked) = serde_urlencoded::from_bytes::<Asked>(&body.bytes) else {
        return Ok(refused("invalid_request", "the body is no form; send application/x-www-form-urlencoded"));
    };
    if asked.grant_type.as_deref().is_some_and(|grant| grant != "client_credentials") {
        return Ok(refused("unsupported_grant_type", "only client_credentials is known"));
    }
    let caller = match known(&broker, &fields, &asked, guest.address()).await {
        Ok(caller) => caller,
        Err(problem) if matches!(problem.kind, Kind::TooMany | Kind::Unavailable) => return Err(problem),
        Err(_) => return Ok(refused("invalid_client", "the client's name or secret is wrong")),
    };
    let scopes = match wanted_scopes(&caller, asked.scope.as_deref()) {
        Ok(scopes) => scopes,
        Err(why) => return Ok(refused("invalid_scope", &why)),
    };
    let claims = Claims {
        subject: subject_of(&caller),
        tenant: caller.tenant.as_deref().unwrap_or_default().to_owned(),
        scopes,
        issuer: host(&fields),
    };
    let token = broker.authority().access_token(&claims, LASTS).await?;
    let body = json!({
        "access_token": token.as_str(), "token_type": "bearer", "expires_in": LASTS.as_secs(),
        "scope": claims.scopes.join(" "),
    });
    Ok(answer(StatusCode::OK, &body))
}

/// The name by which the broker was asked, without the port.
fn host(fields: &HeaderMap) -> String {
    let host = fields.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    name.map_or(host, |(name, _)| name).chars().take(LONGEST_HOST).collect()
}

/// Whom the token is given to: it ends with the account.
fn subject_of(caller: &Caller) -> String {
    let account = caller.name.strip_prefix("account ").unwrap_or(&caller.name);
    let tenant = caller.tenant.as_deref().map(|tenant| format!("{tenant}/")).unwrap_or_default();
    format!("account/{}", account.strip_prefix(&tenant).unwrap_or(account))
}

/// Basic, or the client's name and secret in the form.
async fn known(broker: &Handle, fields: &HeaderMap, asked: &Asked, address: IpAddr) -> Result<Caller, Problem> {
    let login = match Authorization::read(fields) {
        Some(Authorization::Basic(login)) => login,
        _ => asked.login(),
    };
    let login = login.ok_or_else(|| Problem::new(Kind::Missing, "the client does not say who it is"))?;
    by_password(broker, Some(address), &login, None, None).await
}

/// What the token may do: what was asked for, if the client may do that, else
/// all that the client may do.
fn wanted_scopes(caller: &Caller, asked: Option<&str>) -> Result<Vec<String>, String> {
    let names: Vec<&str> = asked.unwrap_or_default().split_ascii_whitespace().collect();
    if names.is_empty() {
        return Ok(caller.scopes.iter().map(|scope| scope.to_string()).collect());
    }
    let scopes = Scopes::read(names.iter().copied()).map_err(|error| error.to_string())?;
    match caller.scopes.covers(scopes) {
        true => Ok(names.into_iter().map(str::to_owned).collect()),
        false => Err("the client may not do all of this".to_owned()),
    }
}

fn refused(error: &str, description: &str) -> Response {
    let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    let mut response = answer(status, &json!({ "error": error, "error_description": description }));
    if status == StatusCode::UNAUTHORIZED {
        let way = header::HeaderValue::from_static("Basic realm=\"certus\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, way);
    }
    response
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
