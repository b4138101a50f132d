//! A device that waits to be let in (C8Y-REG-04).

use serde::{Deserialize, Serialize};

use super::Record;
use crate::store::Table;

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeviceRequestStatus {
    /// Nobody has seen the device yet.
    WaitingForConnection,
    /// The device has asked.
    PendingAcceptance,
    /// Somebody has accepted it.
    Accepted,
}

/// A request's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequestRow {
    /// Whose it is.
    pub tenant: String,
    /// The device.
    pub id: String,
    /// How far it has come.
    pub status: DeviceRequestStatus,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
}

impl Record for DeviceRequestRow {
    const TABLE: Table = Table::DeviceRequests;
    const NAME: &'static str = "device request";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, &self.id]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({ "status": self.status })
    }
}
