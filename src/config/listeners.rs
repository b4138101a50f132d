//! `[listeners]`: where the broker listens.
//!
//! What lives here: the addresses, from the file or from the flags and
//! variables that replace them. What does not: binding (`net`). Invariant: no
//! address is listed twice, and every default tenant exists.

use std::net::SocketAddr;

use crate::identity::tenant::TenantSettings;
use crate::mqtt::TenantId;
use crate::net::{HttpsSettings, ListenerSettings};

use super::document::{Given, Reader};
use super::error::{Complaint, Place};
use super::{https, values};

/// One kind of listener with the address that it has by default.
struct Kind {
    key: &'static str,
    tls: bool,
    websocket: bool,
    default: Option<&'static str>,
}

const KINDS: [Kind; 4] = [
    Kind { key: "tls", tls: true, websocket: false, default: Some("0.0.0.0:8883") },
    // Without TLS nobody is proved to be anybody: this machine only.
    Kind { key: "plain", tls: false, websocket: false, default: Some("127.0.0.1:1883") },
    Kind { key: "ws", tls: false, websocket: true, default: None },
    Kind { key: "wss", tls: true, websocket: true, default: None },
];

impl Kind {
    /// A listener of this kind without a word more than its address.
    fn bare(&self, bind: SocketAddr, default_tenant: Option<TenantId>) -> ListenerSettings {
        let websocket = self.websocket.then(Default::default);
        let name = self.key.to_owned();
        ListenerSettings { name, bind, tls: self.tls, websocket, proxies: Vec::new(), default_tenant }
    }
}

/// A listener and where it was written.
struct Entry {
    settings: ListenerSettings,
    key: String,
    place: Place,
}

/// Where the broker listens.
pub(super) struct Listeners {
    /// For MQTT.
    pub(super) mqtt: Vec<ListenerSettings>,
    /// For REST and WebSocket.
    pub(super) https: Option<HttpsSettings>,
    /// For health and metrics.
    pub(super) admin: Option<SocketAddr>,
}

pub(super) fn listeners(top: &Reader<'_>, tenants: &[TenantSettings]) -> Listeners {
    let table = top.table("listeners");
    let entries: Vec<Entry> = KINDS.iter().flat_map(|kind| of_kind(&table, kind, tenants)).collect();
    for (index, entry) in entries.iter().enumerate() {
        let same = |other: &&Entry| other.settings.bind == entry.settings.bind && entry.settings.bind.port() != 0;
        if entries.iter().take(index).any(|other| same(&other)) {
            let complaint = Complaint::new(
                format!("{} is listed twice", entry.settings.bind),
                "give each listener its own address",
            );
            top.scope.report(entry.place.clone(), entry.key.clone(), complaint);
        }
    }
    if entries.is_empty() {
        let complaint =
            Complaint::new("the broker would listen nowhere", "name at least one address under tls, plain, ws or wss");
        top.scope.report(table.place(), "listeners", complaint);
    }
    let admin = table.read("admin", ADMIN.parse().ok(), admin);
    let https = https::https(top, &table, tenants);
    if let Some((settings, place)) = &https
        && settings.bind.port() != 0
        && entries.iter().any(|entry| entry.settings.bind == settings.bind)
    {
        let complaint =
            Complaint::new(format!("{} is listed twice", settings.bind), "give each listener its own address");
        table.scope.report(place.clone(), table.name_of("https"), complaint);
    }
    table.close();
    let mqtt = entries.into_iter().map(|entry| entry.settings).collect();
    Listeners { mqtt, https: https.map(|(settings, _)| settings), admin }
}

/// Health and metrics: this machine only, because nobody logs in.
const ADMIN: &str = "127.0.0.1:9090";

fn admin(given: Given<'_>) -> Result<Option<SocketAddr>, Complaint> {
    if given.text().is_some_and(|text| text.trim() == "off") {
        return Ok(None);
    }
    values::address(given).map(Some)
}

/// Whoever opens the admin listener to others should know what it shows.
pub(super) fn unguarded(admin: SocketAddr) -> Option<String> {
    let text = "the admin listener has neither TLS nor login: everybody who reaches it can read health and metrics";
    (!admin.ip().is_loopback()).then(|| format!("listeners.admin = \"{admin}\": {text}"))
}

fn of_kind(table: &Reader<'_>, kind: &Kind, tenants: &[TenantSettings]) -> Vec<Entry> {
    let key = table.name_of(kind.key);
    let first_tenant = || tenants.first().map(|tenant| tenant.id.clone());
    let written = written(table, kind, tenants);
    let found: Vec<(ListenerSettings, Place)> = match table.find(kind.key) {
        // What the file says beside the address goes on to hold.
        Some((Given::Text(text), place)) => {
            let addresses = standing_in(table, &key, text, &place).into_iter().enumerate();
            let settings = addresses.map(|(at, bind)| match written.get(at).or(written.first()) {
                Some((settings, _)) => ListenerSettings { bind, ..settings.clone() },
                None => kind.bare(bind, first_tenant()),
            });
            settings.map(|settings| (settings, place.clone())).collect()
        }
        Some(_) => written,
        None => {
            let bind = kind.default.and_then(|default| default.parse().ok()).into_iter();
            bind.map(|bind| (kind.bare(bind, first_tenant()), table.place())).collect()
        }
    };
    let named = found.into_iter().enumerate().map(|(index, (mut settings, place))| {
        if index > 0 {
            settings.name = format!("{}-{}", kind.key, index + 1);
        }
        Entry { settings, key: key.clone(), place }
    });
    named.collect()
}

/// The addresses of a flag or variable: a list with commas, or `off`.
fn standing_in(table: &Reader<'_>, key: &str, text: &str, place: &Place) -> Vec<SocketAddr> {
    if text.trim() == "off" {
        return Vec::new();
    }
    let mut addresses = Vec::new();
    for item in Given::Text(text).items().unwrap_or_default() {
        match values::address(item) {
            Ok(address) => addresses.push(address),
            Err(complaint) => table.scope.report(place.clone(), key.to_owned(), complaint),
        }
    }
    addresses
}

/// The listeners of one kind as the file has them.
fn written(table: &Reader<'_>, kind: &Kind, tenants: &[TenantSettings]) -> Vec<(ListenerSettings, Place)> {
    let mut found = Vec::new();
    for entry in table.tables(kind.key).unwrap_or_default() {
        let bind = entry.read("bind", None, |given| values::address(given).map(Some));
        if bind.is_none() && entry.find("bind").is_none() {
            entry.complain("bind", Complaint::new("it is missing", "write bind = \"ADDRESS:PORT\""));
        }
        let tenant = default_tenant(&entry, tenants);
        let proxies = entry.read("proxy_protocol", Vec::new(), networks);
        let origins = kind.websocket.then(|| entry.read("origins", Vec::new(), origins));
        let place = entry.place_of("bind");
        entry.close();
        if let Some(bind) = bind {
            let mut settings = ListenerSettings { proxies, ..kind.bare(bind, tenant) };
            if let (Some(websocket), Some(origins)) = (&mut settings.websocket, origins) {
                websocket.origins = origins;
            }
            found.push((settings, place));
        }
    }
    found
}

pub(super) fn default_tenant(entry: &Reader<'_>, tenants: &[TenantSettings]) -> Option<TenantId> {
    let name = entry.read("default_tenant", None, |given| values::text(given).map(Some))?;
    let known = tenants.iter().find(|known| name == known.id.as_str());
    if known.is_none() {
        let ids: Vec<&str> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
        let remedy = format!("configured are {}", ids.join(", "));
        entry.complain("default_tenant", Complaint::new(format!("there is no tenant {name:?}"), remedy));
    }
    known.map(|tenant| tenant.id.clone())
}

/// The balancers that say, by PROXY protocol, where their clients are.
pub(super) fn networks<T: std::str::FromStr<Err = impl std::fmt::Display>>(
    given: Given<'_>,
) -> Result<Vec<T>, Complaint> {
    let parse = |text: String| {
        let remedy = "write addresses or networks, such as [\"10.0.0.7\", \"10.1.0.0/16\"]";
        text.parse().map_err(|error| Complaint::new(format!("{error}"), remedy))
    };
    values::texts(given)?.into_iter().map(parse).collect()
}

/// Web origins: `https://dashboard.example`, or `*`.
pub(super) fn origins(given: Given<'_>) -> Result<Vec<String>, Complaint> {
    let origins = values::texts(given)?;
    let is_good = |origin: &str| {
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        matches!(origin, "*" | "null") || authority.is_some_and(|host| !host.is_empty() && !host.contains('/'))
    };
    match origins.iter().find(|origin| !is_good(origin)) {
        None => Ok(origins),
        Some(origin) => {
            let remedy = "write scheme, host and port as browsers do, such as \"https://dashboard.example\", or \"*\"";
            Err(Complaint::new(format!("{origin:?} is no origin"), remedy))
        }
    }
}
