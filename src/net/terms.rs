//! What CONNECT and the configuration agree on, and the CONNACK that says so.

use crate::codec::{ConnAck, Connect, PropertiesBuf};
use crate::identity::admission::Admission;
use crate::identity::switch::{CleanSessionPolicy, Retain};
use crate::mqtt::{ReasonCode, Version};
use crate::session::{Terms, Will};

use super::Settings;

/// What CONNECT and the configuration agree on.
pub(super) fn terms(connect: &Connect<'_>, admission: &Admission, settings: &Settings) -> Terms {
    let switches = &admission.tenant.switches;
    let cap = u32::try_from(switches.session_expiry.as_secs()).unwrap_or(u32::MAX);
    let force_clean = switches.clean_session_policy == CleanSessionPolicy::ForceClean;
    let asked = match connect.version {
        Version::V5 => connect.properties.session_expiry().unwrap_or(0),
        _ if connect.clean_start => 0,
        _ => cap,
    };
    let window = connect.properties.receive_maximum().unwrap_or(u16::MAX);
    Terms {
        version: connect.version,
        send_window: window.min(settings.max_inflight),
        receive_maximum: settings.receive_maximum,
        max_packet_out: connect.properties.maximum_packet_size().unwrap_or(u32::MAX),
        topic_alias_maximum: settings.topic_alias_maximum,
        outgoing_aliases: connect.properties.topic_alias_maximum().unwrap_or(0).min(settings.outgoing_topic_aliases),
        max_subscriptions: settings.max_subscriptions,
        max_topic_levels: settings.max_topic_levels,
        problem_information: connect.properties.request_problem_information().unwrap_or(true),
        session_expiry: if force_clean { 0 } else { asked.min(cap) },
        session_expiry_cap: cap,
    }
}

pub(super) fn will(connect: &Connect<'_>, admission: &Admission) -> Option<Box<Will>> {
    let will = connect.will.as_ref()?;
    let mut properties = Vec::new();
    will.properties.copy_forwardable(&mut properties);
    Some(Box::new(Will {
        topic: will.topic.as_str().into(),
        payload: will.payload.into(),
        qos: will.qos,
        // MQTT-RET-02: the flag has no effect there, in a will neither.
        retain: will.retain && admission.tenant.switches.retain == Retain::Store,
        delay: will.properties.will_delay().unwrap_or(0),
        properties: properties.into(),
        expiry: will.properties.message_expiry(),
    }))
}

/// The keep alive that holds, in seconds.
pub(super) fn keep_alive(connect: &Connect<'_>, settings: &Settings) -> u16 {
    match (connect.keep_alive, settings.max_keep_alive) {
        (asked, 0) => asked,
        (0, most) => most,
        (asked, most) => asked.min(most),
    }
}

pub(super) fn connack(
    connect: &Connect<'_>,
    session_present: bool,
    terms: &Terms,
    admission: &Admission,
    settings: &Settings,
) -> Vec<u8> {
    let mut properties = PropertiesBuf::new();
    if connect.version.is_v5() {
        properties.receive_maximum(settings.receive_maximum);
        properties.maximum_packet_size(admission.tenant.switches.max_packet);
        if settings.topic_alias_maximum > 0 {
            properties.topic_alias_maximum(settings.topic_alias_maximum);
        }
        if admission.assigned {
            properties.assigned_client_id(admission.client_id.as_str());
        }
        let keep_alive = keep_alive(connect, settings);
        if keep_alive != connect.keep_alive {
            properties.server_keep_alive(keep_alive);
        }
        if terms.session_expiry != connect.properties.session_expiry().unwrap_or(0) {
            properties.session_expiry(terms.session_expiry);
        }
    }
    let mut packet = Vec::new();
    let accepted = ConnAck { session_present, reason: ReasonCode::Success, properties: properties.as_properties() };
    accepted.encode(connect.version, &mut packet);
    packet
}
