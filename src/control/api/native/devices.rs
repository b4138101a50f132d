//! Devices that a tenant knows.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::broker::Handle;
use crate::ca::authority::{DeviceChange, DeviceFilter, DeviceView, NewDevice, Origin as Known, Scope};
use crate::mqtt::TenantId;
use crate::shutdown::Tasks;

use super::super::frame::body::{Json, Path, Query};
use super::super::frame::caller::CalledBy;
use super::super::frame::conditional::{IfMatch, etag};
use super::super::frame::document::Routes;
use super::super::frame::moment::moment;
use super::super::frame::operation::Operation;
use super::super::frame::paging::{Listed, Piece, cursor};
use super::super::frame::problem::{Kind, Problem};
use super::tenants::given;
use super::{Api, BASE, CONFLICT, IF_MATCH, ONCE, STALE};

/// How a device came to be known.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeviceOrigin)]
enum Origin {
    /// By its first connection.
    Connection,
    /// In a list of many.
    Bulk,
    /// By a call of the API.
    Api,
}

impl From<Known> for Origin {
    fn from(known: Known) -> Self {
        match known {
            Known::Connection => Self::Connection,
            Known::Bulk => Self::Bulk,
            Known::Api => Self::Api,
        }
    }
}

impl From<Origin> for Known {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Connection => Self::Connection,
            Origin::Bulk => Self::Bulk,
            Origin::Api => Self::Api,
        }
    }
}

/// A device that is known.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Device {
    /// Its name: the CN of its certificate.
    id: String,
    /// Whether it may connect.
    enabled: bool,
    /// How it came to be known.
    origin: Origin,
    /// Its type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Its name for people.
    name: Option<String>,
    /// Whatever else is said of it.
    #[schema(value_type = Option<Object>)]
    properties: Option<Value>,
    /// When it became known.
    #[schema(format = DateTime)]
    registered_at: String,
    /// When it connected first; absent before that.
    #[schema(format = DateTime)]
    first_connected_at: Option<String>,
    /// When it connected last, as far as the broker knows since its own start.
    #[schema(format = DateTime)]
    last_connected_at: Option<String>,
    /// The live connections that it has; `GET /connections?device=` lists them.
    connections: usize,
    /// SHA-256 of the anchor that it came through last.
    anchor: Option<String>,
}

impl Device {
    fn new(view: DeviceView, connections: usize) -> Self {
        let DeviceView { id, row, last_connected } = view;
        Self {
            id,
            enabled: row.enabled,
            origin: row.origin.into(),
            kind: row.kind,
            name: row.name,
            properties: row.properties.and_then(|text| serde_json::from_str(&text).ok()),
            registered_at: moment(row.registered),
            first_connected_at: row.first_seen.map(moment),
            last_connected_at: last_connected.map(|seconds| moment(seconds * 1000)),
            connections,
            anchor: row.anchor.map(|anchor| anchor.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}

/// A device that is to be known before its first connection.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(as = NewDevice)]
struct Create {
    /// Its name: the CN of its certificate.
    #[schema(min_length = 1, max_length = 256, example = "pump-7")]
    id: String,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(max_length = 1024)]
    kind: Option<String>,
    /// Its name for people.
    #[schema(max_length = 1024)]
    name: Option<String>,
    /// Whatever else is to be said of it, 16 KiB at most.
    #[schema(value_type = Option<Object>)]
    properties: Option<Map<String, Value>>,
}

/// What is to change; what is absent stays, and null takes away.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = DeviceChange)]
struct Change {
    /// Whether it may connect. Its connections end when it may not.
    enabled: Option<bool>,
    /// Its type.
    #[serde(default, rename = "type", deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    kind: Option<Option<String>>,
    /// Its name for people.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 1024)]
    name: Option<Option<String>>,
    /// Whatever else is to be said of it, as a whole.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Object>)]
    properties: Option<Option<Map<String, Value>>>,
}

/// Which devices are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Devices at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<usize>,
    /// Where to go on: `next` of the piece before.
    after: Option<String>,
    /// Only those whose names begin so.
    begins: Option<String>,
    /// Only those that may connect, or may not.
    enabled: Option<bool>,
    /// Only those that have ever connected, or never have.
    seen: Option<bool>,
    /// `connection`, `bulk` or `api`: how they came to be known.
    #[param(inline)]
    origin: Option<Origin>,
    /// Only those of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Only those that came through this anchor last: its SHA-256.
    anchor: Option<String>,
}

impl Wanted {
    fn filter(&self) -> Result<DeviceFilter, Problem> {
        let read = |digits: &String| {
            let no =
                || Problem::in_field(Kind::Parameter, "anchor", "anchor is no SHA-256: write 64 hexadecimal digits");
            digits.replace(':', "").parse().map_err(|_| no())
        };
        Ok(DeviceFilter {
            begins: self.begins.clone().unwrap_or_default(),
            enabled: self.enabled,
            seen: self.seen,
            origin: self.origin.map(Known::from),
            kind: self.kind.clone(),
            anchor: self.anchor.as_ref().map(read).transpose()?,
        })
    }
}

const ALL: &str = "/tenants/{tenant}/devices";
const ONE: &str = "/tenants/{tenant}/devices/{device}";

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let read = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs(Scope::DevicesRead);
    let write = |method, path, id, summary| Operation::new(method, path, id, summary).needs(Scope::DevicesWrite);
    routes
        .about("devices", "Devices that a tenant knows, by their first connection or beforehand.")
        .add(
            read(ALL, "listDevices", "List the devices of a tenant")
                .query::<Wanted>()
                .lists::<Device>("A piece of the list; with a filter it may be short although more follows."),
            list,
        )
        .add(
            write(Method::POST, ALL, "createDevice", "Make a device known before its first connection")
                .header(ONCE.0, ONCE.1)
                .takes::<Create>()
                .gives::<Device>(StatusCode::CREATED, "It is known.")
                .refuses(&[CONFLICT]),
            create,
        )
        .add(read(ONE, "getDevice", "Look at a device").gives::<Device>(StatusCode::OK, "The device."), one)
        .add(
            write(Method::PATCH, ONE, "changeDevice", "Change what is said of a device, or switch it off and on")
                .header(IF_MATCH.0, IF_MATCH.1)
                .takes::<Change>()
                .gives::<Device>(StatusCode::OK, "It is changed; if it may not connect now, its connections end.")
                .refuses(&[STALE]),
            change,
        )
        .add(
            write(Method::DELETE, ONE, "deleteDevice", "Forget a device")
                .header(IF_MATCH.0, IF_MATCH.1)
                .gives_nothing(
                    "It is forgotten, and its connections end. Where first connections register, it may come again: \
                     disable or revoke it to keep it out.",
                )
                .refuses(&[STALE]),
            delete,
        )
}

/// A device with the count of its live connections.
fn counted(broker: &Handle, tenant: &str, view: DeviceView) -> Device {
    let mut counts = broker.count_by_device(&TenantId::new(tenant), &BTreeSet::from([view.id.clone()]));
    let connections = counts.remove(&view.id).unwrap_or_default();
    Device::new(view, connections)
}

async fn list(
    State(Api { broker, tasks, .. }): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Listed<Device>>, Problem> {
    let filter = wanted.filter()?;
    let piece = Piece { limit: wanted.limit, after: wanted.after };
    let (limit, after) = (piece.limit()?, piece.after()?);
    let (reader, place) = (broker.clone(), tenant.clone());
    let read = move || reader.authority().devices(&caller, &place, &filter, after.as_deref(), limit);
    let read = tasks.blocking("devices", read).await;
    let (found, next) = read.ok_or_else(|| Problem::new(Kind::Unavailable, "the list could not be read"))??;
    let names: BTreeSet<String> = found.iter().map(|view| view.id.clone()).collect();
    let counts = broker.count_by_device(&TenantId::new(&tenant), &names);
    let show = |view: DeviceView| {
        let connections = counts.get(&view.id).copied().unwrap_or_default();
        Device::new(view, connections)
    };
    Ok(Json(Listed { items: found.into_iter().map(show).collect(), next: next.as_deref().map(cursor) }))
}

async fn create(
    State(Api { broker, .. }): State<Api>,
    CalledBy(caller): CalledBy,
    Path(tenant): Path<String>,
    Json(Create { id, kind, name, properties }): Json<Create>,
) -> Result<impl IntoResponse, Problem> {
    let properties = properties.map(|properties| Value::from(properties).to_string());
    let new = NewDevice { id, origin: Known::Api, kind, name, properties };
    let view = broker.authority().create_device(&caller, &tenant, new, broker.max_devices()).await?;
    let (place, tag) = (format!("{BASE}/tenants/{tenant}/devices/{}", encoded(&view.id)), etag(view.revision()));
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], tag, Json(Device::new(view, 0))))
}

/// A device's name as it stands in an address.
fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

async fn one(
    State(Api { broker, .. }): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, device)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let view = broker.authority().device(&caller, &tenant, &device)?;
    Ok((etag(view.revision()), Json(counted(&broker, &tenant, view))))
}

async fn change(
    State(Api { broker, tasks, .. }): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, device)): Path<(String, String)>,
    IfMatch(if_revision): IfMatch,
    Json(change): Json<Change>,
) -> Result<impl IntoResponse, Problem> {
    let text =
        |properties: Option<Map<String, Value>>| properties.map(|properties| Value::from(properties).to_string());
    let change = DeviceChange {
        enabled: change.enabled,
        kind: change.kind,
        name: change.name,
        properties: change.properties.map(text),
        if_revision,
    };
    let may_end = change.enabled == Some(false);
    let view = broker.authority().change_device(&caller, &tenant, &device, change).await?;
    if may_end {
        recheck(&broker, &tasks).await;
    }
    Ok((etag(view.revision()), Json(counted(&broker, &tenant, view))))
}

/// Ends the connections that the change concerns: one look at each there is, so
/// not on a thread that they wait for.
async fn recheck(broker: &Handle, tasks: &Tasks) {
    let broker = broker.clone();
    let _ = tasks.blocking("recheck", move || broker.recheck_concerned()).await;
}

async fn delete(
    State(Api { broker, tasks, .. }): State<Api>,
    CalledBy(caller): CalledBy,
    Path((tenant, device)): Path<(String, String)>,
    IfMatch(if_revision): IfMatch,
) -> Result<StatusCode, Problem> {
    broker.authority().forget_device(&caller, &tenant, &device, if_revision).await?;
    recheck(&broker, &tasks).await;
    Ok(StatusCode::NO_CONTENT)
}
