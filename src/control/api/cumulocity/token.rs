//! Tokens for devices that prove themselves by a certificate (C8Y-JWT-01).

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::broker::{Guest, NotProved};
use crate::ca::authority::{Caller, Claims, Kind as Refused, NewDevice, Origin};

use super::super::frame::body::Json;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::{Kind, Problem};
use super::Api;
use super::site::Site;

const CHAIN: &str = "X-Ssl-Cert-Chain";

/// A token, under both names that clients know.
#[derive(Clone, Serialize, ToSchema)]
struct Token {
    /// The token.
    #[serde(rename = "accessToken")]
    access_token: String,
    /// The token again.
    #[serde(rename = "access_token")]
    again: String,
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    routes.add(
        Operation::new(
            Method::POST,
            "/devicecontrol/deviceAccessToken",
            "getDeviceAccessToken",
            "Get a token with the certificate of the TLS handshake",
        )
        .needs("a client certificate")
        .header(
            CHAIN,
            "Certificates between the device's and a trusted one: PEM in one line, blanks in place of line breaks.",
        )
        .gives::<Token>(StatusCode::OK, "The token; it lasts as long as the tenant's option says.")
        .refuses(&[(StatusCode::UNPROCESSABLE_ENTITY, "The device is not registered, or switched off.")]),
        give,
    )
}

async fn give(
    State(api): State<Api>,
    Extension(guest): Extension<Arc<Guest>>,
    site: Site,
    fields: HeaderMap,
) -> Result<Json<Token>, Problem> {
    let broker = &api.broker;
    let more = fields.get(CHAIN).map(axum::http::HeaderValue::as_bytes);
    let proved = broker.prove(&guest, more).map_err(|no| match no {
        NotProved::Unreadable(why) => Problem::in_field(Kind::Syntax, CHAIN, format!("{CHAIN}: {why}")),
        NotProved::NotRegistered(why) => Problem::new(Kind::Refused(Refused::WrongState), why),
        NotProved::Refused(why) => Problem::new(Kind::Refused(Refused::Unauthorized), why),
    })?;
    let (tenant, name) = (proved.tenant.as_str(), proved.name.to_string());
    if !proved.is_known {
        let caller = Caller {
            name: Arc::from(format!("device {name}")),
            address: Some(Arc::from(guest.address().to_string())),
            ..Caller::broker()
        };
        let new = NewDevice { id: name.clone(), origin: Origin::Connection, kind: None, name: None, properties: None };
        broker.authority().register_device(&caller, tenant, new, broker.max_devices()).await?;
    }
    let claims = Claims {
        subject: format!("device/{name}"),
        tenant: tenant.to_owned(),
        scopes: Vec::new(),
        issuer: site.name().to_owned(),
    };
    let lasts = broker.authority().device_token_lifespan(tenant);
    let token = broker.authority().access_token(&claims, lasts).await?.to_string();
    Ok(Json(Token { again: token.clone(), access_token: token }))
}
