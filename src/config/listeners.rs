//! `[listeners]`: where the broker listens.
//!
//! What lives here: the addresses, from the file or from the flags and
//! variables that replace them. What does not: binding (`net`). Invariant: no
//! address is listed twice, and every default tenant exists.

use std::net::SocketAddr;

use crate::identity::tenant::TenantSettings;
use crate::mqtt::TenantId;
use crate::net::ListenerSettings;

use super::document::{Given, Reader};
use super::error::{Complaint, Place};
use super::values;

/// One kind of listener with the address that it has by default.
struct Kind {
    key: &'static str,
    tls: bool,
    default: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind { key: "tls", tls: true, default: "0.0.0.0:8883" },
    // Without TLS nobody is proved to be anybody: this machine only.
    Kind { key: "plain", tls: false, default: "127.0.0.1:1883" },
];

/// A listener and where it was written.
struct Entry {
    settings: ListenerSettings,
    key: String,
    place: Place,
}

pub(super) fn listeners(top: &Reader<'_>, tenants: &[TenantSettings]) -> Vec<ListenerSettings> {
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
            Complaint::new("the broker would listen nowhere", "name at least one address under tls or plain");
        top.scope.report(table.place(), "listeners", complaint);
    }
    table.close();
    entries.into_iter().map(|entry| entry.settings).collect()
}

fn of_kind(table: &Reader<'_>, kind: &Kind, tenants: &[TenantSettings]) -> Vec<Entry> {
    let key = table.name_of(kind.key);
    let first_tenant = tenants.first().map(|tenant| tenant.id.clone());
    let make = |index: usize, bind: SocketAddr, default_tenant: Option<TenantId>, place: Place| {
        let name = if index == 0 { kind.key.to_owned() } else { format!("{}-{}", kind.key, index + 1) };
        Entry { settings: ListenerSettings { name, bind, tls: kind.tls, default_tenant }, key: key.clone(), place }
    };
    let written = written(table, kind, tenants);
    match table.find(kind.key) {
        Some((Given::Text(text), place)) => {
            let tenant_of = |index: usize| match written.get(index).or(written.first()) {
                Some((_, tenant, _)) => tenant.clone(),
                None => first_tenant.clone(),
            };
            let addresses = standing_in(table, &key, text, &place);
            addresses.into_iter().enumerate().map(|(at, bind)| make(at, bind, tenant_of(at), place.clone())).collect()
        }
        Some(_) => {
            let numbered = written.into_iter().enumerate();
            numbered.map(|(index, (bind, tenant, place))| make(index, bind, tenant, place)).collect()
        }
        None => {
            let bind = kind.default.parse().into_iter();
            bind.map(|bind| make(0, bind, first_tenant.clone(), table.place())).collect()
        }
    }
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
fn written(table: &Reader<'_>, kind: &Kind, tenants: &[TenantSettings]) -> Vec<(SocketAddr, Option<TenantId>, Place)> {
    let mut found = Vec::new();
    for entry in table.tables(kind.key).unwrap_or_default() {
        let bind = entry.read("bind", None, |given| values::address(given).map(Some));
        if bind.is_none() && entry.find("bind").is_none() {
            entry.complain("bind", Complaint::new("it is missing", "write bind = \"ADDRESS:PORT\""));
        }
        let tenant = entry.read("default_tenant", None, |given| values::text(given).map(Some));
        let known = tenants.iter().find(|known| tenant.as_deref() == Some(known.id.as_str()));
        if let (Some(name), None) = (&tenant, known) {
            let ids: Vec<&str> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
            let remedy = format!("configured are {}", ids.join(", "));
            entry.complain("default_tenant", Complaint::new(format!("there is no tenant {name:?}"), remedy));
        }
        let place = entry.place_of("bind");
        entry.close();
        if let Some(bind) = bind {
            found.push((bind, known.map(|tenant| tenant.id.clone()), place));
        }
    }
    found
}
