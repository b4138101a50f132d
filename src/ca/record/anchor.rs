//! A trust anchor that was uploaded.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::identity::switch::{AnchorState, StaleCrl};
use crate::store::Table;

/// Whether an anchor counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnchorStatus {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It admits devices only to the renewal of their certificates.
    RenewOnly,
}

/// What becomes of devices when the anchor's revocation list is out of date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaleCrlPolicy {
    /// They are taken; an alarm is raised.
    #[default]
    Soft,
    /// They are refused.
    Hard,
}

impl From<AnchorStatus> for AnchorState {
    fn from(status: AnchorStatus) -> Self {
        match status {
            AnchorStatus::Enabled => Self::Enabled,
            AnchorStatus::Disabled => Self::Disabled,
            AnchorStatus::RenewOnly => Self::RenewOnly,
        }
    }
}

impl From<AnchorState> for AnchorStatus {
    fn from(state: AnchorState) -> Self {
        match state {
            AnchorState::Enabled => Self::Enabled,
            AnchorState::Disabled => Self::Disabled,
            AnchorState::RenewOnly => Self::RenewOnly,
        }
    }
}

impl From<StaleCrlPolicy> for StaleCrl {
    fn from(policy: StaleCrlPolicy) -> Self {
        match policy {
            StaleCrlPolicy::Soft => Self::Soft,
            StaleCrlPolicy::Hard => Self::Hard,
        }
    }
}

impl From<StaleCrl> for StaleCrlPolicy {
    fn from(policy: StaleCrl) -> Self {
        match policy {
            StaleCrl::Soft => Self::Soft,
            StaleCrl::Hard => Self::Hard,
        }
    }
}

/// A code that proves possession of the anchor's key, when it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The code.
    pub code: String,
    /// Until when it counts, in milliseconds since 1970.
    pub until: u64,
}

/// An anchor's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorRow {
    /// 24 hexadecimal digits.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// What people call it.
    pub name: String,
    /// The certificate, DER.
    #[serde(with = "super::base64_text")]
    pub der: Vec<u8>,
    /// Whether it counts.
    pub status: AnchorStatus,
    /// Whether a first connection through it makes the device known.
    pub auto_registration: bool,
    /// When possession of its key was proved, in milliseconds since 1970.
    pub proved_at: Option<u64>,
    /// The code that its key has to sign: as the CN of a certificate.
    pub registration: Option<Proof>,
    /// The code that its key has to sign: as it is (C8Y-POP-01).
    pub challenge: Option<Proof>,
    /// What becomes of devices when its revocation list is out of date.
    #[serde(default)]
    pub stale_crl: StaleCrlPolicy,
    /// Where its revocation lists are fetched.
    #[serde(default)]
    pub crl: Vec<String>,
    /// Seconds from one good fetch to the next; an hour when nobody said.
    #[serde(default)]
    pub crl_refresh: Option<u64>,
    /// When it came, in milliseconds since 1970.
    pub created_at: u64,
    /// Counts its changes.
    pub revision: u64,
}

impl AnchorRow {
    /// Whether possession of its key is known.
    #[must_use]
    pub const fn is_proved(&self) -> bool {
        self.proved_at.is_some()
    }
}

impl Record for AnchorRow {
    const TABLE: Table = Table::TrustAnchors;
    const NAME: &'static str = "anchor";

    fn key_fields(&self) -> Vec<&str> {
        vec![&self.tenant, &self.id]
    }

    fn audited(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name, "status": self.status, "auto_registration": self.auto_registration,
            "proved": self.proved_at.is_some(), "stale_crl": self.stale_crl, "crl": self.crl,
            "crl_refresh": self.crl_refresh,
        })
    }
}
