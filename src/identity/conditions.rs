//! What a tenant demands of a connection, at CONNECT and for as long as it
//! lives.
//!
//! What lives here: one check per demand that is the same in both places. What
//! does not: their order (`admission`, `readmission`). Invariant: each is pure,
//! costs look-ups at most, and names what would help.

use std::sync::Arc;

use super::admission::{No, Peer};
use super::certificate::{CertificateFacts, date};
use super::devices::DeviceBook;
use super::name::CommonName;
use super::path::Verdict;
use super::reason::Reason;
use super::revocation::Revoked;
use super::switch::{AutoRegister, Password, PlainListener, WebSocket};
use super::trust::Tenant;
use crate::mqtt::{ClientId, Version};

/// Centiloc's subscription, and whatever else switches a whole tenant off.
pub(super) fn check_enabled(tenant: &Tenant) -> Result<(), No> {
    if tenant.enabled {
        return Ok(());
    }
    Err(No::because(Reason::SubscriptionInactive, format!("tenant {} is switched off", tenant.id)))
}

/// Whether the device was taken back by its name, whatever proves it.
pub(super) fn check_device(tenant: &Tenant, client_id: &ClientId, session_key: &ClientId) -> Result<(), No> {
    told(tenant.revoked_device([client_id.as_str(), session_key.as_str()]))
}

/// Whether the name of a device was taken back, as a CN or as the device's.
pub(super) fn check_taken_back(tenant: &Tenant, name: &str) -> Result<(), No> {
    told(tenant.revocations.of_common_name(name).or_else(|| tenant.revoked_device([name])))
}

fn told(revoked: Option<Revoked>) -> Result<(), No> {
    match revoked {
        None => Ok(()),
        Some(Revoked { since, reason }) => {
            let detail = format!("the device was revoked on {} ({reason})", date(since));
            Err(No::because(Reason::Revoked, detail))
        }
    }
}

pub(super) fn check_level(tenant: &Tenant, version: Version) -> Result<(), No> {
    if tenant.switches.mqtt_levels.contains(version) {
        return Ok(());
    }
    Err(No::because(Reason::ProtocolLevel, format!("MQTT {version} is not served in tenant {}", tenant.id)))
}

/// MQTT-WS-02: over WebSocket such a tenant's clients prove themselves by
/// password only.
pub(super) fn is_by_password(tenant: &Tenant, peer: &Peer) -> bool {
    peer.listener.websocket && tenant.switches.websocket == WebSocket::PasswordOnly
}

/// Whether the tenant takes clients over this transport.
pub(super) fn check_transport(tenant: &Tenant, peer: &Peer) -> Result<(), No> {
    let refuse =
        |what: &str| Err(No::because(Reason::TransportForbidden, format!("tenant {} takes {what}", tenant.id)));
    if peer.listener.websocket && tenant.switches.websocket == WebSocket::Off {
        return refuse("no WebSocket");
    }
    if peer.listener.tls {
        return Ok(());
    }
    match tenant.switches.plain_listener {
        PlainListener::Off => refuse("no connections without TLS"),
        PlainListener::Loopback if !peer.address.ip().to_canonical().is_loopback() => {
            refuse("connections without TLS from this machine only")
        }
        PlainListener::Loopback | PlainListener::PasswordOnly | PlainListener::On => Ok(()),
    }
}

/// AUTH-02
pub(super) fn single_common_name(facts: &CertificateFacts) -> Result<&str, No> {
    let what = match &facts.common_name {
        CommonName::One(name) => return Ok(name),
        CommonName::Missing => "has no CN",
        CommonName::Several => "has several CNs",
        CommonName::Unreadable => "has a CN that is no text",
    };
    Err(No::because(Reason::CnMissing, format!("the subject {} {what}", facts.subject)))
}

/// Whether the device of a live connection is still known, and enabled.
pub(super) fn check_known(devices: &DeviceBook, tenant: &Tenant, device: Option<&str>) -> Result<(), No> {
    let Some(device) = device else { return Ok(()) };
    match devices.of(&tenant.id).find(device) {
        Some(known) if known.enabled => Ok(()),
        Some(_) => Err(disabled_device(device)),
        None => Err(No::because(Reason::NotRegistered, format!("the device {} was removed", device.escape_debug()))),
    }
}

/// AUTH-13: the device that this certificate names, if it is known or may
/// become known by itself; none where a certificate names no single device.
pub(super) fn check_registration(
    devices: &DeviceBook,
    tenant: &Tenant,
    verdict: &Verdict,
    name: &str,
) -> Result<Option<Arc<str>>, No> {
    let by_itself = match tenant.switches.auto_register {
        AutoRegister::Yes => true,
        AutoRegister::PerAnchor => verdict.anchor.auto_registration,
        AutoRegister::No => false,
    };
    match devices.of(&tenant.id).find(name) {
        Some(known) if !known.enabled => Err(disabled_device(name)),
        Some(_) => Ok(Some(Arc::from(name))),
        None if by_itself => Ok(Some(Arc::from(name))),
        // The account that stands beside the certificate was registered.
        None if tenant.switches.password == Password::Always => Ok(None),
        None => Err(No::because(
            Reason::NotRegistered,
            format!(
                "the device is not registered, and the anchor \"{}\" does not register devices by itself",
                verdict.anchor.name
            ),
        )),
    }
}

pub(super) fn disabled_device(device: &str) -> No {
    No::because(Reason::DeviceDisabled, format!("the device {} is disabled", device.escape_debug()))
}
