//! Many devices at once (C8Y-REG-02).
//!
//! Invariant: each row is done or told with its reason; a row that fails
//! keeps no other from being done.

use std::collections::BTreeMap;
use std::time::Instant;

use axum::Extension;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::ca::authority::{Caller, NewDevice, Scope};

use super::super::frame::body::Json;
use super::super::frame::document::Routes;
use super::super::frame::operation::Operation;
use super::super::frame::problem::Problem;
use super::super::https::Entrance;
use super::Api;
use super::device_table::{self, Entry, Proof, Row};
use super::site::InTenant;
use super::upload;

const MEDIA: HeaderValue = HeaderValue::from_static("application/vnd.com.nsn.cumulocity.bulknewdevicerequest+json");

/// What became of a list.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// Rows of the list.
    number_of_all: usize,
    /// Devices that were not known before.
    number_of_created: usize,
    /// Rows that were not done.
    number_of_failed: usize,
    /// Rows that were done.
    number_of_successful: usize,
    /// Devices that were known and got what the row says.
    credential_updated_list: Vec<Updated>,
    /// The rows that were not done.
    failed_creation_list: Vec<Failed>,
}

/// A device that was known.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Updated {
    /// `CREDENTIAL_UPDATED`.
    bulk_new_device_status: &'static str,
    /// The device.
    device_id: String,
}

/// A row that was not done.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Failed {
    /// `FAILED`.
    bulk_new_device_status: &'static str,
    /// The device.
    device_id: String,
    /// Why.
    failure_reason: String,
    /// The row, without its secrets.
    line: String,
}

pub(super) fn add(routes: Routes<Api>) -> Routes<Api> {
    let unreadable = [(StatusCode::UNPROCESSABLE_ENTITY, "The file is no list of devices, or too long.")];
    routes.add(
        Operation::new(
            Method::POST,
            "/devicecontrol/bulkNewDeviceRequests",
            "registerDevices",
            "Register many devices by a list",
        )
        .needs(Scope::DevicesWrite)
        .takes_text(
            &["multipart/form-data", "text/csv"],
            "The part `file`: CSV with the columns ID, AUTH_TYPE, CREDENTIALS, …",
        )
        .gives::<Outcome>(StatusCode::CREATED, "What became of each row.")
        .refuses(&unreadable),
        register.layer(upload::own_bound()),
    )
}

async fn register(
    State(api): State<Api>,
    InTenant { caller, tenant }: InTenant,
    Extension(entrance): Extension<Entrance>,
    request: Request,
) -> Result<Response, Problem> {
    caller.needs(Scope::DevicesWrite, &tenant)?;
    let settings = entrance.door.settings();
    let rows = device_table::read(&upload::read(request, settings.max_csv_bytes).await?.bytes)?;
    // Passwords take their time. What is left when most of it is over is told as not done.
    let time = settings.request_timeout * 3 / 4;
    let mut list = List {
        api: &api,
        caller: &caller,
        home: &tenant,
        until: api.broker.clock().now() + time,
        outcome: Outcome::default(),
    };
    list.outcome.number_of_all = rows.len();
    list.register(rows).await?;
    let outcome = list.outcome;
    Ok((StatusCode::CREATED, [(header::CONTENT_TYPE, MEDIA)], Json(outcome)).into_response())
}

/// A list that is being worked on.
struct List<'l> {
    api: &'l Api,
    caller: &'l Caller,
    /// The tenant of rows that name none.
    home: &'l str,
    until: Instant,
    outcome: Outcome,
}

/// The rows of one tenant.
#[derive(Default)]
struct Batch {
    certificates: Vec<(Label, NewDevice)>,
    passwords: Vec<(Label, String)>,
}

/// What tells a row apart from others.
struct Label {
    id: String,
    line: String,
}

impl List<'_> {
    async fn register(&mut self, rows: Vec<Row>) -> Result<(), Problem> {
        let mut batches: BTreeMap<String, Batch> = BTreeMap::new();
        for Row { id, line, entry } in rows {
            let label = Label { id, line };
            match entry {
                Err(reason) => self.failed(label, reason),
                Ok(Entry { device, proof, tenant }) => {
                    let batch = batches.entry(tenant.unwrap_or_else(|| self.home.to_owned())).or_default();
                    match proof {
                        Proof::Certificate => batch.certificates.push((label, device)),
                        Proof::Password(password) => batch.passwords.push((label, password)),
                    }
                }
            }
        }
        for (tenant, Batch { certificates, passwords }) in batches {
            self.by_certificate(&tenant, certificates).await;
            self.by_password(&tenant, passwords).await;
        }
        let failed = self.outcome.failed_creation_list.len();
        self.outcome.number_of_failed = failed;
        self.outcome.number_of_successful = self.outcome.number_of_all - failed;
        Ok(())
    }

    async fn by_certificate(&mut self, tenant: &str, rows: Vec<(Label, NewDevice)>) {
        let (labels, devices): (Vec<Label>, Vec<NewDevice>) = rows.into_iter().unzip();
        let broker = &self.api.broker;
        let done = broker.authority().register_devices(self.caller, tenant, devices, broker.max_devices()).await;
        match done {
            Ok(done) => labels.into_iter().zip(done).for_each(|(label, done)| match done {
                Ok(is_new) => self.done(label, is_new),
                Err(fault) => self.failed(label, fault.to_string()),
            }),
            Err(fault) => labels.into_iter().for_each(|label| self.failed(label, fault.to_string())),
        }
    }

    async fn by_password(&mut self, tenant: &str, rows: Vec<(Label, String)>) {
        let (mut labels, mut hashed) = (Vec::new(), Vec::new());
        for (label, password) in rows {
            if let Err(fault) = crate::ca::authority::check_device_name(&label.id) {
                self.failed(label, fault.to_string());
                continue;
            }
            if self.api.broker.clock().now() >= self.until {
                self.failed(label, "the time of the request was over; send this row again".to_owned());
                continue;
            }
            match self.api.broker.hash_password(Zeroizing::new(password.into_bytes())).await {
                Some(hash) => {
                    hashed.push((label.id.clone(), hash));
                    labels.push(label);
                }
                None => self.failed(label, "max_password_checks passwords are being worked on already".to_owned()),
            }
        }
        match self.api.broker.authority().set_device_passwords(self.caller, tenant, hashed).await {
            Ok(done) => labels.into_iter().zip(done).for_each(|(label, is_new)| self.done(label, is_new)),
            Err(fault) => labels.into_iter().for_each(|label| self.failed(label, fault.to_string())),
        }
    }

    fn done(&mut self, label: Label, is_new: bool) {
        if is_new {
            self.outcome.number_of_created += 1;
            return;
        }
        let updated = Updated { bulk_new_device_status: "CREDENTIAL_UPDATED", device_id: label.id };
        self.outcome.credential_updated_list.push(updated);
    }

    fn failed(&mut self, Label { id, line }: Label, failure_reason: String) {
        let failed = Failed { bulk_new_device_status: "FAILED", device_id: id, failure_reason, line };
        self.outcome.failed_creation_list.push(failed);
    }
}
