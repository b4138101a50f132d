//! A device becomes known by its first connection (AUTH-13, C8Y-REG-01).
//!
//! What lives here: the row that says so, written before CONNACK, and what is
//! read of it at the start. What does not: whether a device may become known
//! so (`identity::admission`), registration by hand (`ca`). Invariant: the row
//! is appended while nobody else can change the device, and CONNACK waits for
//! it, so that whoever was let in is known after a crash.

use std::sync::Arc;

use crate::delivery::Domain;
use crate::identity::admission::Admission;
use crate::identity::certificate::Fingerprint;
use crate::identity::devices::Known;
use crate::identity::reason::Reason;
use crate::mqtt::{ClientId, TenantId};
use crate::store::rows::{DeviceRow, Origin};
use crate::store::{Batch, Op, Position, StoreError, Table};
use crate::telemetry::metrics::Counter;

use super::shared::{Node, Resting};

/// First connections that wait for whoever follows them; older ones are left
/// out for who is slow.
pub(super) const FOLLOWED: usize = 1024;

/// The first connection of a device.
#[derive(Clone, Debug)]
pub struct FirstConnection {
    /// Whose device it is.
    pub tenant: TenantId,
    /// Its name: the CN of its certificate.
    pub device: Arc<str>,
    /// The ClientId that it came with.
    pub client_id: ClientId,
    /// The anchor that its chain ends in.
    pub anchor: Option<Fingerprint>,
    /// Whether it was registered before, by hand.
    pub was_registered: bool,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// The key of a device's row.
#[must_use]
pub fn device_key(tenant: &TenantId, device: &str) -> Vec<u8> {
    DeviceRow::key(tenant.as_str(), device)
}

/// Why the device cannot become known now, if so.
pub(super) fn obstacle(node: &Node, admission: &Admission, most: usize) -> Option<(Reason, String)> {
    let device = admission.device.as_deref()?;
    let devices = node.trust.current().devices().of(&admission.tenant.id);
    if devices.contains(device) {
        return None;
    }
    if most > 0 && devices.len() >= most {
        let detail = format!("tenant {} knows limits.max_devices = {most} devices", admission.tenant.id);
        return Some((Reason::TooManyDevices, detail));
    }
    // Its CONNACK would wait for ever.
    let error = if node.store.is_latched() { StoreError::Latched } else { node.store.refuses()? };
    Some((Reason::Unavailable, error.to_string()))
}

/// Makes the device known, if it has to be, and gives the position at which
/// that lasts.
pub(super) fn register(node: &Node, domain: &Domain<Resting>, admission: &Admission) -> Position {
    let Some(device) = &admission.device else { return Position::NONE };
    let anchor = admission.anchor.as_ref().map(|anchor| anchor.facts.fingerprint);
    let devices = node.trust.current().devices().of(&admission.tenant.id);
    let now = node.clock.unix_millis();
    let tell = |was_registered: bool| {
        Counter::DevicesRegistered.add(u64::from(!was_registered));
        // Nobody may follow; who is slow is not waited for.
        let _ = node.first_connections.send(FirstConnection {
            tenant: admission.tenant.id.clone(),
            device: Arc::clone(device),
            client_id: admission.client_id.clone(),
            anchor,
            was_registered,
            at: now,
        });
    };
    let last_connected = u32::try_from(now / 1000).ok();
    devices.change(device, |known| match known {
        Some(known) if known.connected && known.anchor == anchor => {
            (Some(Known { last_connected, ..known }), Position::NONE)
        }
        known => {
            let key = device_key(&admission.tenant.id, device);
            let kept = known.and_then(|_| node.store.get(Table::Registrations, &key).ok().flatten());
            let kept = kept.and_then(|row| DeviceRow::decode(&row).ok());
            let row = kept.unwrap_or_else(|| DeviceRow::new(Origin::Connection, now));
            let row =
                DeviceRow { first_seen: row.first_seen.or(Some(now)), anchor: anchor.map(|anchor| anchor.0), ..row };
            let op = Op::Put { table: Table::Registrations, key, value: row.encode() };
            let position = domain.append(Batch { ops: vec![op] });
            if known.is_none_or(|known| !known.connected) {
                tell(known.is_some());
            }
            let enabled = known.is_none_or(|known| known.enabled);
            (Some(Known { enabled, connected: true, anchor, last_connected }), position)
        }
    })
}

/// What a row says that has to be known at once.
pub(super) fn known(row: &DeviceRow) -> Known {
    Known {
        enabled: row.enabled,
        connected: row.first_seen.is_some(),
        anchor: row.anchor.map(Fingerprint),
        last_connected: None,
    }
}
