//! The numbers: `[limits]`, `[session]`, `[queues]`.
//!
//! What lives here: one key for each field of the settings of `net` and
//! `delivery`. What does not: what a bound does; the field says so. Invariant:
//! the defaults are those of the settings themselves.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{delivery, net};

use super::document::Reader;
use super::values::{amount, duration, size, whole};

const SOME: RangeInclusive<usize> = 1..=1_000_000_000;
const NONE_OR_SOME: RangeInclusive<usize> = 0..=1_000_000_000;
const BYTES: RangeInclusive<usize> = 1024..=1 << 50;

/// Less is no broker.
const MEMORY: RangeInclusive<u64> = 1 << 20..=1 << 50;

/// A wait that somebody notices, and no longer than an hour.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);

pub(super) fn net(top: &Reader<'_>) -> net::Settings {
    let default = net::Settings::default();
    let (limits, session) = (top.table("limits"), top.table("session"));
    let of = |key, default, range| limits.read(key, default, whole(range));
    let settings = net::Settings {
        backlog: limits.read("backlog", default.backlog, whole(1..=1_000_000)),
        max_connections: of("max_connections", default.max_connections, SOME),
        max_connections_per_address: of(
            "max_connections_per_address",
            default.max_connections_per_address,
            NONE_OR_SOME,
        ),
        max_connect_rate_per_address: limits.read(
            "max_connect_rate_per_address",
            default.max_connect_rate_per_address,
            whole(0..=1_000_000),
        ),
        max_handshakes: of("max_handshakes", default.max_handshakes, SOME),
        max_handshakes_per_address: of("max_handshakes_per_address", default.max_handshakes_per_address, SOME),
        handshake_timeout: limits.read("handshake_timeout", default.handshake_timeout, duration(WAIT)),
        connect_timeout: limits.read("connect_timeout", default.connect_timeout, duration(WAIT)),
        max_password_checks: of("max_password_checks", default.max_password_checks, SOME),
        max_devices: of("max_devices", default.max_devices, NONE_OR_SOME),
        max_connect_bytes: limits.read("max_connect_bytes", default.max_connect_bytes, size(256..=1 << 28)),
        max_memory: limits.read("max_memory", default.max_memory, amount(MEMORY)),
        max_refusals_kept: limits.read("max_refusals_kept", default.max_refusals_kept, whole(0..=1_000_000)),
        max_refusal_lines: limits.read("max_refusal_lines", default.max_refusal_lines, whole(0..=1_000_000)),
        max_lag: limits.read("max_lag", default.max_lag, duration(WAIT)),
        max_inflight: session.read("max_inflight", default.max_inflight, whole(1..=u16::MAX)),
        receive_maximum: session.read("receive_maximum", default.receive_maximum, whole(1..=u16::MAX)),
        topic_alias_maximum: session.read("topic_alias_maximum", default.topic_alias_maximum, whole(0..=u16::MAX)),
        outgoing_topic_aliases: session.read("outgoing_topic_aliases", default.outgoing_topic_aliases, whole(0..=1024)),
        max_subscriptions: session.read("max_subscriptions", default.max_subscriptions, whole(SOME)),
        max_topic_levels: session.read("max_topic_levels", default.max_topic_levels, whole(1..=32_768)),
        max_keep_alive: session.read("max_keep_alive", default.max_keep_alive, whole(0..=u16::MAX)),
        max_publish_rate: session.read("max_publish_rate", default.max_publish_rate, whole(0..=100_000_000)),
        publish_rate_patience: session.read("publish_rate_patience", default.publish_rate_patience, duration(WAIT)),
        sys_interval: top.read(
            "sys_interval",
            default.sys_interval,
            duration(Duration::ZERO..=Duration::from_secs(86_400)),
        ),
    };
    limits.close();
    session.close();
    settings
}

pub(super) fn delivery(top: &Reader<'_>) -> delivery::Settings {
    let default = delivery::Settings::default();
    let queues = top.table("queues");
    let settings = delivery::Settings {
        ring_messages: queues.read("ring_messages", default.ring_messages, whole(SOME)),
        ring_bytes: queues.read("ring_bytes", default.ring_bytes, size(BYTES)),
        offline_messages: queues.read("offline_messages", default.offline_messages, whole(NONE_OR_SOME)),
        offline_bytes: queues.read("offline_bytes", default.offline_bytes, size(BYTES)),
        total_bytes: queues.read("total_bytes", default.total_bytes, amount(MEMORY)),
        retained_messages: queues.read("retained_messages", default.retained_messages, whole(NONE_OR_SOME)),
        retained_bytes: queues.read("retained_bytes", default.retained_bytes, size(BYTES)),
        retained_memory: queues.read("retained_memory", default.retained_memory, size(0..=*BYTES.end())),
        subscriptions: queues.read("subscriptions", default.subscriptions, whole(SOME)),
        takeover_timeout: queues.read("takeover_timeout", default.takeover_timeout, duration(WAIT)),
    };
    queues.close();
    settings
}
