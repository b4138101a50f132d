//! Devices that a person lets in one by one (C8Y-REG-03, C8Y-REG-04).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::broker::Guest;
use crate::ca::authority::{Kind as Refused, Scope};
use crate::ca::record::{DeviceRequestRow, DeviceRequestStatus};

use super::super::frame::authorization::Authorization;
use super::super::frame::body::{Json, Path, Query};
use super::super::frame::document::Routes;
use super::super::frame::moment::moment;
use super::super::frame::operation::Operation;
use super::super::frame::problem::{Kind, Problem};
use super::Api;
use super::page::{Around, Page};
use super::site::{InTenant, Site, Wanted};

const ALL: &str = "/devicecontrol/newDeviceRequests";
const ONE: &str = "/devicecontrol/newDeviceRequests/{id}";

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Progress {
    /// Nobody has seen the device yet.
    WaitingForConnection,
    /// The device has asked.
    PendingAcceptance,
    /// Somebody has accepted it.
    Accepted,
}

impl From<DeviceRequestStatus> for Progress {
    fn from(status: DeviceRequestStatus) -> Self {
        match status {
            DeviceRequestStatus::WaitingForConnection => Self::WaitingForConnection,
            DeviceRequestStatus::PendingAcceptance => Self::PendingAcceptance,
            DeviceRequestStatus::Accepted => Self::Accepted,
        }
    }
}

/// A device that waits.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeviceRequest {
    /// The device.
    id: String,
    /// How far it has come.
    status: Progress,
    /// When it was announced.
    #[schema(format = DateTime)]
    creation_time: String,
    /// Whose it is.
    tenant_id: String,
    /// Its address.
    #[serde(rename = "self")]
    own: String,
}

/// A page of devices that wait.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeviceRequests {
    /// The devices.
    new_device_requests: Vec<DeviceRequest>,
    #[serde(flatten)]
    around: Around,
}

/// A device that is announced, or asks.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct Named {
    /// The device: 1 to 256 bytes without blanks, slashes, colons, + and #.
    #[schema(min_length = 1, max_length = 256)]
    id: String,
}

/// What is to become of it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
struct Decision {
    /// `ACCEPTED`.
    status: Progress,
}

/// What a device logs in with.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    /// The device.
    id: String,
    /// Its tenant.
    tenant_id: String,
    /// Its user name.
    username: String,
    /// Its password, which is told once.
    #[schema(format = Password)]
    password: String,
    /// The address at which it was asked for.
    #[serde(rename = "self")]
    own: String,
}

impl DeviceRequest {
    fn new(site: &Site, row: &DeviceRequestRow) -> Self {
        Self {
            id: row.id.clone(),
            status: row.status.into(),
            creation_time: moment(row.created_at),
            tenant_id: row.tenant.clone(),
            own: site.link(&["devicecontrol", "newDeviceRequests", &row.id]),
        }
    }
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let unusable = [(StatusCode::UNPROCESSABLE_ENTITY, "It cannot be done with what the body says, or not yet.")];
    let write = |method, path, id, summary| {
        Operation::new(method, path, id, summary).needs(Scope::DevicesWrite).refuses(&unusable)
    };
    let read = |path, id, summary| Operation::new(Method::GET, path, id, summary).needs(Scope::DevicesRead);
    let waits = [(StatusCode::CONFLICT, "It waits already.")];
    routes
        .about("registration", "Devices: one that a person lets in, many by a list, tokens for one with a certificate.")
        .add(
            read(ALL, "listDeviceRequests", "List the devices that wait")
                .query::<Page>()
                .gives::<DeviceRequests>(StatusCode::OK, "A page of the list."),
            list,
        )
        .add(
            write(Method::POST, ALL, "announceDevice", "Announce a device that will ask")
                .takes::<Named>()
                .gives::<DeviceRequest>(StatusCode::CREATED, "It is announced.")
                .refuses(&waits),
            announce,
        )
        .add(
            read(ONE, "getDeviceRequest", "Look at a device that waits")
                .gives::<DeviceRequest>(StatusCode::OK, "The device."),
            one,
        )
        .add(
            write(Method::PUT, ONE, "acceptDevice", "Accept a device that has asked")
                .takes::<Decision>()
                .gives::<DeviceRequest>(StatusCode::OK, "It is accepted."),
            accept,
        )
        .add(
            write(Method::DELETE, ONE, "forgetDeviceRequest", "Let a device wait no longer")
                .gives_nothing("It is gone."),
            forget,
        )
        .add(
            Operation::new(
                Method::POST,
                "/devicecontrol/deviceCredentials",
                "fetchCredentials",
                "Ask for the credentials of a device, with the bootstrap account",
            )
            .needs("the bootstrap account")
            .takes::<Named>()
            .gives::<Credentials>(StatusCode::CREATED, "The credentials, once the device is accepted.")
            .refuses(&[(StatusCode::NOT_FOUND, "It does not wait, or nobody has accepted it yet.")]),
            credentials,
        )
}

async fn list(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    site: Site,
    Query(page): Query<Page>,
) -> Result<Json<DeviceRequests>, Problem> {
    let all = api.broker.authority().device_requests(&caller, &tenant)?;
    let (rows, around) = page.cut(&site, &["devicecontrol", "newDeviceRequests"], all)?;
    Ok(Json(DeviceRequests {
        new_device_requests: rows.iter().map(|row| DeviceRequest::new(&site, row)).collect(),
        around,
    }))
}

async fn announce(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    site: Site,
    wanted: Wanted,
    Json(Named { id }): Json<Named>,
) -> Result<impl IntoResponse, Problem> {
    let row = api.broker.authority().expect_device(&caller, &tenant, &id).await?;
    let shown = DeviceRequest::new(&site, &row);
    Ok(([(header::LOCATION, shown.own.clone())], wanted.answer(StatusCode::CREATED, shown)))
}

async fn one(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    site: Site,
    Path(id): Path<String>,
) -> Result<Json<DeviceRequest>, Problem> {
    let row = api.broker.authority().device_request(&caller, &tenant, &id)?;
    Ok(Json(DeviceRequest::new(&site, &row)))
}

async fn accept(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    site: Site,
    wanted: Wanted,
    Path(id): Path<String>,
    Json(Decision { status }): Json<Decision>,
) -> Result<Response, Problem> {
    if status != Progress::Accepted {
        let problem = Problem::in_field(Kind::Invalid, "status", "a request can only be accepted");
        return Err(problem.but("send ACCEPTED, or delete the request"));
    }
    let row = api.broker.authority().accept_device(&caller, &tenant, &id).await?;
    Ok(wanted.answer(StatusCode::OK, DeviceRequest::new(&site, &row)))
}

async fn forget(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    api.broker.authority().forget_device_request(&caller, &tenant, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The password of whoever knows the bootstrap account, which belongs to no
/// tenant.
struct Bootstrap {
    address: IpAddr,
    password: Zeroizing<Vec<u8>>,
}

const USERS: [&str; 2] = ["management/devicebootstrap", "devicebootstrap"];

fn unknown() -> Problem {
    Problem::new(Kind::Refused(Refused::Unauthorized), "this needs the bootstrap account")
}

impl<S: Send + Sync> FromRequestParts<S> for Bootstrap {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let login = Authorization::read(&parts.headers).and_then(Authorization::login);
        let login = login.filter(|login| USERS.contains(&login.user.as_str())).ok_or_else(unknown)?;
        let guest = parts.extensions.get::<Arc<Guest>>().ok_or_else(unknown)?;
        Ok(Self { address: guest.address(), password: Zeroizing::new(login.password.as_bytes().to_vec()) })
    }
}

/// A device does not say whose it is: it waits in one tenant.
async fn credentials(
    State(api): State<Api>,
    bootstrap: Bootstrap,
    site: Site,
    Json(Named { id }): Json<Named>,
) -> Result<impl IntoResponse, Problem> {
    let authority = api.broker.authority();
    let waiting = authority.waiting_device(&id);
    let tenant = waiting.as_ref().map(|row| row.tenant.as_str());
    api.check_bootstrap(&bootstrap, tenant)?;
    let missing = || Problem::new(Kind::Refused(Refused::NotFound), format!("the device {id} was not accepted yet"));
    let tenant = tenant.ok_or_else(missing)?;
    if authority.device_asked(tenant, &id).await? != DeviceRequestStatus::Accepted {
        return Err(missing());
    }
    let password = authority.fresh_password()?;
    let busy = || Problem::new(Kind::Unavailable, "max_password_checks passwords are being worked on already");
    let hash = api.broker.hash_password(Zeroizing::new(password.as_bytes().to_vec())).await.ok_or_else(busy)?;
    let account = authority.claim_device(tenant, &id, hash).await?;
    let given = Credentials {
        id,
        tenant_id: account.tenant.clone(),
        username: account.name.clone(),
        password: password.to_string(),
        own: site.link(&["devicecontrol", "deviceCredentials"]),
    };
    Ok((StatusCode::CREATED, Json(given)))
}

impl Api {
    /// The password is that of the tenant in which the device waits; that of
    /// any tenant where it waits in none, so that nothing is told of devices.
    fn check_bootstrap(&self, bootstrap: &Bootstrap, tenant: Option<&str>) -> Result<(), Problem> {
        use crate::broker::Checked;
        match self.broker.check_bootstrap(bootstrap.address, tenant, &bootstrap.password) {
            Checked::Right => Ok(()),
            Checked::LockedOut => {
                let problem = Problem::new(Kind::TooMany, "too many wrong passwords came from this address");
                Err(problem.after(std::time::Duration::from_secs(60)))
            }
            Checked::Wrong | Checked::Busy => Err(unknown()),
        }
    }
}
