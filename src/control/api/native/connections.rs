//! Live connections.

use axum::extract::State;
use axum::http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use crate::broker::{ClientFilter, Connected};
use crate::ca::authority::{Caller, Note, Scope};
use crate::mqtt::TenantId;

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::document::Routes;
use super::super::frame::moment::moment_at;
use super::super::frame::operation::Operation;
use super::super::frame::paging::{Listed, Piece, cursor};
use super::super::frame::problem::{Kind, Problem};
use super::Api;

/// A live connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Connection {
    /// Its number in the log.
    id: u64,
    /// Its tenant.
    tenant: String,
    /// Its ClientId.
    client_id: String,
    /// Who it was proved to be.
    principal: String,
    /// The account that was proved, alone or beside a certificate.
    account: Option<String>,
    /// The CN of its certificate.
    common_name: Option<String>,
    /// The device that it is known as.
    device: Option<String>,
    /// The serial number of its certificate, in hexadecimal digits.
    serial: Option<String>,
    /// SHA-256 of its certificate.
    fingerprint: Option<String>,
    /// The name of the anchor that its chain ends in.
    anchor: Option<String>,
    /// When its certificate, or one above it, ends.
    #[schema(format = DateTime)]
    not_after: Option<String>,
    /// Where the client is.
    address: String,
    /// The listener that it came in by.
    listener: String,
    /// Whether it speaks in WebSocket frames.
    websocket: bool,
    /// `1.2` or `1.3`; absent without TLS.
    tls: Option<String>,
    /// The level of the protocol: 3, 4 or 5.
    protocol_level: u8,
    /// Clean Session or Clean Start.
    clean_start: bool,
    /// The keep alive that holds, in seconds; 0 is none.
    keep_alive: u16,
    /// Seconds that its session outlives it.
    session_expiry: u32,
    /// When its CONNECT was accepted.
    #[schema(format = DateTime)]
    connected_since: String,
    /// Its subscriptions.
    subscriptions: usize,
    /// Messages that wait for it.
    queued: u64,
    /// Messages that it has not acknowledged yet.
    in_flight: u64,
}

impl From<Connected> for Connection {
    fn from(client: Connected) -> Self {
        Self {
            id: client.id,
            tenant: client.tenant.to_string(),
            client_id: client.client_id.as_str().to_owned(),
            principal: client.principal.to_string(),
            account: client.account,
            common_name: client.common_name,
            device: client.device.map(|device| device.to_string()),
            serial: client.serial,
            fingerprint: client.fingerprint.map(|fingerprint| fingerprint.to_string()),
            anchor: client.anchor.map(|(name, _)| name.to_string()),
            not_after: client.not_after.map(moment_at),
            address: client.address.to_string(),
            listener: client.listener.to_string(),
            websocket: client.websocket,
            tls: client.tls.map(str::to_owned),
            protocol_level: client.version.level(),
            clean_start: client.clean_start,
            keep_alive: client.keep_alive,
            session_expiry: client.session_expiry,
            connected_since: moment_at(client.since),
            subscriptions: client.subscriptions,
            queued: client.queued,
            in_flight: client.in_flight,
        }
    }
}

/// Which connections are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Connections at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// Where to go on: `next` of the piece before.
    after: Option<String>,
    /// Only those of this tenant; a caller of a tenant sees its own alone.
    tenant: Option<String>,
    /// Only the one with this ClientId.
    client_id: Option<String>,
    /// Only those with this CN.
    common_name: Option<String>,
    /// Only those of this device.
    device: Option<String>,
    /// Only those of this account.
    account: Option<String>,
    /// Only those by this listener.
    listener: Option<String>,
}

/// Why a connection is ended.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Why {
    /// For the audit, the log, and the client (in MQTT 5.0): 200 bytes at most.
    #[param(max_length = 200)]
    why: Option<String>,
}

/// The longest reason, bytes.
const LONGEST: usize = 200;

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    routes
        .about("connections", "Live MQTT connections.")
        .add(
            Operation::new(Method::GET, "/connections", "listConnections", "List live connections, the oldest first")
                .needs(Scope::ConnectionsRead)
                .query::<Wanted>()
                .lists::<Connection>("A piece of the list."),
            list,
        )
        .add(
            Operation::new(Method::DELETE, "/connections/{connection}", "endConnection", "End a live connection")
                .needs(Scope::ConnectionsWrite)
                .query::<Why>()
                .gives_nothing("It was told to end; its will is published."),
            end,
        )
}

/// The tenant that a caller may see, if it asks for no other.
pub(super) fn place(caller: &Caller, scope: Scope, wanted: Option<String>) -> Result<Option<TenantId>, Problem> {
    let tenant = wanted.or_else(|| caller.tenant.as_deref().map(str::to_owned));
    match &tenant {
        Some(tenant) => caller.needs(scope, tenant)?,
        None => caller.needs_everywhere(scope)?,
    }
    Ok(tenant.map(|tenant| TenantId::new(&tenant)))
}

async fn list(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed<Connection>>, Problem> {
    let tenant = place(&caller, Scope::ConnectionsRead, wanted.tenant)?;
    let piece = Piece { limit: wanted.limit, after: wanted.after };
    let filter = ClientFilter {
        tenant,
        client_id: wanted.client_id,
        common_name: wanted.common_name,
        device: wanted.device,
        account: wanted.account,
        listener: wanted.listener,
        ..ClientFilter::default()
    };
    let limit = piece.limit()?;
    let found = api.broker.connections(&filter, number_behind(&piece)?, limit + 1);
    Ok(Json(cut(found, limit)))
}

/// The number that a cursor names.
pub(super) fn number_behind(piece: &Piece) -> Result<u64, Problem> {
    let no = || Problem::in_field(Kind::Parameter, "after", "after is no cursor; take it from `next`");
    piece.after()?.map_or(Ok(0), |number| number.parse().map_err(|_| no()))
}

/// The piece of connections of which one more than `limit` were asked for.
pub(super) fn cut(mut found: Vec<Connected>, limit: usize) -> Listed<Connection> {
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|last| cursor(&last.id.to_string()));
    Listed { items: found.into_iter().map(Connection::from).collect(), next }
}

async fn end(
    State(api): State<Api>,
    CalledBy(caller): CalledBy,
    Path(connection): Path<String>,
    Query(Why { why }): Query<Why>,
) -> Result<StatusCode, Problem> {
    caller.needs_scope(Scope::ConnectionsWrite)?;
    if why.as_ref().is_some_and(|why| why.len() > LONGEST || why.chars().any(char::is_control)) {
        let message = format!("why has more than {LONGEST} bytes, or control characters");
        return Err(Problem::in_field(Kind::Parameter, "why", message));
    }
    let gone = || Problem::not_found(format!("connection {connection} does not exist"));
    let id: u64 = connection.parse().map_err(|_| gone())?;
    // Whose it is, is known only from the connection itself.
    let found = api.broker.connections(&ClientFilter::default(), id.saturating_sub(1), 1);
    let found = found.into_iter().find(|found| found.id == id).ok_or_else(gone)?;
    caller.needs(Scope::ConnectionsWrite, found.tenant.as_str()).map_err(|_| gone())?;
    let told = match &why {
        Some(why) => format!("ended by {}: {why}", caller.name),
        None => format!("ended by {}", caller.name),
    };
    if !api.broker.disconnect(id, &told) {
        return Err(gone());
    }
    let note = Note {
        kind: "connection",
        object: found.client_id.as_str().to_owned(),
        before: json!({
            "connection": id, "principal": found.principal.to_string(), "address": found.address.to_string(),
            "listener": found.listener.to_string(), "since": moment_at(found.since),
        }),
        after: json!({ "ended": true, "why": why }),
    };
    // It has ended, whether or not that can be written down.
    api.broker.authority().note(&caller, found.tenant.as_str(), "connection.end", note).await?;
    Ok(StatusCode::NO_CONTENT)
}
