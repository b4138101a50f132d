//! `listeners.https` and `[https]`: REST and WebSocket over TLS.
//!
//! What lives here: the address, with what belongs to it, and the bounds. What
//! does not: what a bound does; the field of the settings says so. Invariant:
//! without an address there are no settings, but the bounds are checked.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::identity::tenant::TenantSettings;
use crate::net::HttpsSettings;

use super::document::{Given, Reader};
use super::error::{Complaint, Place};
use super::listeners::{default_tenant, networks, origins};
use super::values::{self, duration, size, whole, word};

const SOME: RangeInclusive<usize> = 1..=1_000_000;
/// Whoever's password changed elsewhere would stay in for longer.
const MEMORY: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(15 * 60);
const WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// The listener, unless it is turned off, and where its address stands.
pub(super) fn https(
    top: &Reader<'_>,
    listeners: &Reader<'_>,
    tenants: &[TenantSettings],
) -> Option<(HttpsSettings, Place)> {
    let bounds = bounds(top);
    let given = listeners.find("https");
    let written = listeners.table_if_any("https").map(|table| written(table, tenants));
    let (given, place) = match given {
        Some((given, place)) => (Some(given), place),
        None => (None, listeners.place()),
    };
    let bind = match given {
        Some(Given::Toml(value)) if value.as_table().is_some() => None,
        Some(given) if given.text().is_some_and(|text| text.trim() == "off") => return None,
        Some(given) => match values::address(given) {
            Ok(address) => Some(address),
            Err(Complaint { reason, remedy }) => {
                let complaint = Complaint::new(reason, format!("{remedy}; \"off\" for nowhere"));
                listeners.scope.report(place.clone(), listeners.name_of("https"), complaint);
                None
            }
        },
        None => None,
    };
    let first = tenants.first().map(|tenant| tenant.id.clone());
    let written = written.unwrap_or(HttpsSettings { default_tenant: first, ..HttpsSettings::default() });
    let settings = HttpsSettings {
        bind: bind.unwrap_or(written.bind),
        client_certificates: written.client_certificates,
        proxies: written.proxies,
        origins: written.origins,
        default_tenant: written.default_tenant,
        ..bounds
    };
    Some((settings, place))
}

/// The table as the file has it.
fn written(table: Reader<'_>, tenants: &[TenantSettings]) -> HttpsSettings {
    let default = HttpsSettings::default();
    if table.find("bind").is_none() {
        table.complain("bind", Complaint::new("it is missing", "write bind = \"ADDRESS:PORT\""));
    }
    let bind: SocketAddr = table.read("bind", default.bind, values::address);
    let client_certificates = table.read("client_certificates", default.client_certificates, word);
    let settings = HttpsSettings {
        bind,
        client_certificates,
        proxies: table.read("proxy_protocol", Vec::new(), networks),
        origins: table.read("origins", Vec::new(), origins),
        default_tenant: default_tenant(&table, tenants),
        ..default
    };
    table.close();
    settings
}

fn bounds(top: &Reader<'_>) -> HttpsSettings {
    let default = HttpsSettings::default();
    let table = top.table("https");
    let rate = |key, default| table.read(key, default, whole(0..=1_000_000));
    let wait = |key, default| table.read(key, default, duration(WAIT));
    let bytes = |key, default| table.read(key, default, size(1024..=1 << 30));
    let settings = HttpsSettings {
        max_connections: table.read("max_connections", default.max_connections, whole(SOME)),
        max_connections_per_address: table.read(
            "max_connections_per_address",
            default.max_connections_per_address,
            whole(0..=1_000_000),
        ),
        max_connect_rate_per_address: rate("max_connect_rate_per_address", default.max_connect_rate_per_address),
        max_request_rate_per_address: rate("max_request_rate_per_address", default.max_request_rate_per_address),
        max_handshakes: table.read("max_handshakes", default.max_handshakes, whole(SOME)),
        handshake_timeout: wait("handshake_timeout", default.handshake_timeout),
        head_timeout: wait("head_timeout", default.head_timeout),
        request_timeout: wait("request_timeout", default.request_timeout),
        write_timeout: wait("write_timeout", default.write_timeout),
        password_memory: table.read("password_memory", default.password_memory, duration(MEMORY)),
        // The HTTP library reads into a buffer of at least 8 KiB.
        max_head_bytes: table.read("max_head_bytes", default.max_head_bytes, size(8192..=1 << 20)),
        max_body_bytes: bytes("max_body_bytes", default.max_body_bytes),
        max_certificate_requests_per_minute: rate(
            "max_certificate_requests_per_minute",
            default.max_certificate_requests_per_minute,
        ),
        max_csv_bytes: bytes("max_csv_bytes", default.max_csv_bytes),
        max_crl_bytes: bytes("max_crl_bytes", default.max_crl_bytes),
        ..default
    };
    table.close();
    settings
}
