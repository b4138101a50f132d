//! Devices that are known (AUTH-13, C8Y-REG-02).
//!
//! What lives here: registering devices by hand, looking at them, switching
//! them off and forgetting them. What does not: first connections
//! (`net::registration`), what a connection is asked (`identity::admission`).
//! Invariant: a device is changed only while nobody else can (the entry of
//! `identity::devices`, then the lock of the authority, in this order), so that
//! what is known at once and what is kept say the same. Whoever switches a
//! device off looks at live connections behind it.

use super::access::Scope;
use super::caller::Caller;
use super::draft::Draft;
use super::durable;
use super::fault::{Fault, Kind};
use super::tenants::{expect_revision, no_tenant};
use super::{Authority, random};
use crate::ca::record::AccountRow;
use crate::identity::devices::Known;
use crate::identity::fingerprint::Fingerprint;
use crate::identity::switch::Role;
use crate::mqtt::TenantId;
use crate::store::rows::{DeviceRow, Origin};
use crate::store::{Position, Table};

/// The longest name of a device, bytes.
const NAME: usize = 256;
/// The longest of its other texts, bytes.
const TEXT: usize = 1024;
/// The longest JSON of its properties, bytes.
const PROPERTIES: usize = 16 * 1024;
/// Devices that are read at once.
const PIECE: usize = 2000;
/// Devices that one question looks at; whoever wants the rest goes on.
const LOOKED_AT: usize = 10 * PIECE;

/// A device that is to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDevice {
    /// Its name: the CN of its certificate.
    pub id: String,
    /// How it comes to be known.
    pub origin: Origin,
    /// Its type.
    pub kind: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// Whatever else is said of it, as a JSON object.
    pub properties: Option<String>,
}

/// What of a device is to change; what is absent stays, and `Some(None)` is
/// taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceChange {
    /// Whether it may connect.
    pub enabled: Option<bool>,
    /// Its type.
    pub kind: Option<Option<String>>,
    /// Its name for people.
    pub name: Option<Option<String>>,
    /// Whatever else is said of it, as a JSON object.
    pub properties: Option<Option<String>>,
    /// Only if it is still of this revision.
    pub if_revision: Option<u64>,
}

/// Which devices are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// Only those whose names begin so.
    pub begins: String,
    /// Only those that may connect, or may not.
    pub enabled: Option<bool>,
    /// Only those that have ever connected, or never have.
    pub seen: Option<bool>,
    /// Only those that came to be known so.
    pub origin: Option<Origin>,
    /// Only those of this type.
    pub kind: Option<String>,
    /// Only those that came through this anchor last.
    pub anchor: Option<Fingerprint>,
}

impl DeviceFilter {
    fn takes(&self, row: &DeviceRow) -> bool {
        self.enabled.is_none_or(|wanted| wanted == row.enabled)
            && self.seen.is_none_or(|wanted| wanted == row.first_seen.is_some())
            && self.origin.is_none_or(|wanted| wanted == row.origin)
            && (self.kind.is_none() || self.kind == row.kind)
            && self.anchor.is_none_or(|wanted| row.anchor == Some(wanted.0))
    }
}

/// A device as callers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Its name.
    pub id: String,
    /// What is kept of it.
    pub row: DeviceRow,
    /// When it connected last, in seconds since 1970; none since the broker
    /// was started.
    pub last_connected: Option<u64>,
}

impl DeviceView {
    /// Stands for what callers may change of it: it is another one after each
    /// change of theirs, and the same however often the device connects.
    #[must_use]
    pub fn revision(&self) -> u64 {
        revision(&self.row)
    }
}

impl Authority {
    /// Makes a device known before its first connection. Answers whether it
    /// was not. Of one that was, type, name and properties are taken over.
    /// `most` is how many a tenant may have; 0 for any number.
    ///
    /// # Errors
    /// The name cannot be one, or there are too many.
    pub async fn register_device(
        &self,
        caller: &Caller,
        tenant: &str,
        new: NewDevice,
        most: usize,
    ) -> Result<bool, Fault> {
        let mut all = self.register_devices(caller, tenant, vec![new], most).await?;
        all.pop().unwrap_or_else(|| Err(Fault::new(Kind::Internal, "nothing was registered")))
    }

    /// Makes devices known, each by itself, and waits for all together.
    ///
    /// # Errors
    /// The caller may not, or there is no such tenant. What is wrong with one
    /// device is told in its place.
    pub async fn register_devices(
        &self,
        caller: &Caller,
        tenant: &str,
        new: Vec<NewDevice>,
        most: usize,
    ) -> Result<Vec<Result<bool, Fault>>, Fault> {
        caller.needs(Scope::DevicesWrite, tenant)?;
        if !self.has_tenant(tenant) {
            return Err(no_tenant(tenant));
        }
        let mut last = Position::NONE;
        let mut all = Vec::with_capacity(new.len());
        for (number, new) in new.into_iter().enumerate() {
            if number % 64 == 63 {
                tokio::task::yield_now().await; // a long list keeps nobody else from this thread
            }
            all.push(self.register_now(caller, tenant, new, most).map(|(is_new, position)| {
                last = last.max(position);
                is_new
            }));
        }
        durable::wait(self.store.as_ref(), last).await?;
        Ok(all)
    }

    fn register_now(
        &self,
        caller: &Caller,
        tenant: &str,
        new: NewDevice,
        most: usize,
    ) -> Result<(bool, Position), Fault> {
        check_device(&new)?;
        self.room_for(tenant, &new.id, most)?;
        let NewDevice { id, origin, kind, name, properties } = new;
        self.change_device_now(caller, "device.register", tenant, &id, |before, now| {
            let row = before.cloned().unwrap_or_else(|| DeviceRow::new(origin, now));
            let is_new = before.is_none();
            let row = DeviceRow {
                kind: kind.or(row.kind.clone()),
                name: name.or(row.name.clone()),
                properties: properties.or(row.properties.clone()),
                ..row
            };
            Ok((Some(row), is_new))
        })
    }

    /// Makes a device known that is not yet.
    ///
    /// # Errors
    /// It is known, its name cannot be one, or there are too many.
    pub async fn create_device(
        &self,
        caller: &Caller,
        tenant: &str,
        new: NewDevice,
        most: usize,
    ) -> Result<DeviceView, Fault> {
        caller.needs(Scope::DevicesWrite, tenant)?;
        if !self.has_tenant(tenant) {
            return Err(no_tenant(tenant));
        }
        check_device(&new)?;
        self.room_for(tenant, &new.id, most)?;
        let NewDevice { id, origin, kind, name, properties } = new;
        let (row, position) = self.change_device_now(caller, "device.register", tenant, &id, |before, now| {
            if before.is_some() {
                let fault = Fault::new(Kind::AlreadyExists, format!("the device {id} is known already"));
                return Err(fault.but("change it, or forget it first"));
            }
            let row = DeviceRow { kind, name, properties, ..DeviceRow::new(origin, now) };
            Ok((Some(row.clone()), row))
        })?;
        durable::wait(self.store.as_ref(), position).await?;
        Ok(self.view(tenant, id, row))
    }

    /// The devices of a tenant that `filter` takes in the order of their
    /// names, behind `after`, at most `limit`, and the name to go on behind if
    /// there may be more. A piece may hold fewer than there are: one question
    /// looks at a bounded number of rows.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn devices(
        &self,
        caller: &Caller,
        tenant: &str,
        filter: &DeviceFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<DeviceView>, Option<String>), Fault> {
        caller.needs(Scope::DevicesRead, tenant)?;
        if !self.has_tenant(tenant) {
            return Err(no_tenant(tenant));
        }
        let (own, prefix) = (DeviceRow::key(tenant, "").len(), DeviceRow::key(tenant, &filter.begins));
        let name = |key: &[u8]| String::from_utf8_lossy(key.get(own..).unwrap_or_default()).into_owned();
        let mut at = after.map(|after| DeviceRow::key(tenant, after));
        let mut found = Vec::new();
        for _ in 0..LOOKED_AT / PIECE {
            let rows = self.store.scan(Table::Registrations, &prefix, at.as_deref(), PIECE)?;
            let is_last = rows.len() < PIECE;
            for row in rows {
                if found.len() == limit {
                    return Ok((found, at.as_deref().map(name)));
                }
                if let Ok(device) = DeviceRow::decode(&row.value)
                    && filter.takes(&device)
                {
                    found.push(self.view(tenant, name(&row.key), device));
                }
                at = Some(row.key);
            }
            if is_last {
                return Ok((found, None));
            }
        }
        Ok((found, at.as_deref().map(name)))
    }

    /// One device.
    ///
    /// # Errors
    /// It is not known.
    pub fn device(&self, caller: &Caller, tenant: &str, id: &str) -> Result<DeviceView, Fault> {
        caller.needs(Scope::DevicesRead, tenant)?;
        if !self.has_tenant(tenant) {
            return Err(no_tenant(tenant));
        }
        let row = self.device_row(tenant, id)?.ok_or_else(|| Fault::not_found("device", id))?;
        Ok(self.view(tenant, id.to_owned(), row))
    }

    /// Changes what is said of a device, lets it connect, or keeps it from it.
    ///
    /// # Errors
    /// It is not known, or was changed meanwhile.
    pub async fn change_device(
        &self,
        caller: &Caller,
        tenant: &str,
        id: &str,
        change: DeviceChange,
    ) -> Result<DeviceView, Fault> {
        caller.needs(Scope::DevicesWrite, tenant)?;
        let DeviceChange { enabled, kind, name, properties, if_revision } = change;
        check_texts(kind.as_ref(), name.as_ref(), properties.as_ref())?;
        let (row, position) = self.change_device_now(caller, "device.change", tenant, id, |before, _| {
            let old = before.cloned().ok_or_else(|| Fault::not_found("device", id))?;
            expect_revision(if_revision, revision(&old), "device", id)?;
            let row = DeviceRow {
                enabled: enabled.unwrap_or(old.enabled),
                kind: kind.unwrap_or(old.kind),
                name: name.unwrap_or(old.name),
                properties: properties.unwrap_or(old.properties),
                ..old
            };
            Ok((Some(row.clone()), row))
        })?;
        durable::wait(self.store.as_ref(), position).await?;
        Ok(self.view(tenant, id.to_owned(), row))
    }

    /// Forgets a device, if it is still of this revision.
    ///
    /// # Errors
    /// It is not known, or was changed meanwhile.
    pub async fn forget_device(
        &self,
        caller: &Caller,
        tenant: &str,
        id: &str,
        if_revision: Option<u64>,
    ) -> Result<(), Fault> {
        caller.needs(Scope::DevicesWrite, tenant)?;
        let ((), position) = self.change_device_now(caller, "device.forget", tenant, id, |before, _| {
            let old = before.ok_or_else(|| Fault::not_found("device", id))?;
            expect_revision(if_revision, revision(old), "device", id)?;
            Ok((None, ()))
        })?;
        durable::wait(self.store.as_ref(), position).await
    }

    /// Gives devices accounts `device_<id>` with passwords of these hashes,
    /// all in one change. Answers for each whether it had none (C8Y-REG-02).
    ///
    /// # Errors
    /// The caller may not, or there is no such tenant.
    pub async fn set_device_passwords(
        &self,
        caller: &Caller,
        tenant: &str,
        hashed: Vec<(String, String)>,
    ) -> Result<Vec<bool>, Fault> {
        caller.needs(Scope::DevicesWrite, tenant)?;
        if hashed.is_empty() {
            return Ok(Vec::new());
        }
        self.change(caller, "device.password", |draft| {
            draft.concerns(tenant);
            if !draft.state.has(tenant) {
                return Err(no_tenant(tenant));
            }
            let put = |(id, hash): (String, String)| {
                let name = format!("device_{id}");
                let old = draft.state.accounts.get(&[tenant, &name]).cloned();
                draft.put(AccountRow {
                    tenant: tenant.to_owned(),
                    name,
                    hash,
                    role: Role::Device.to_string(),
                    scopes: Vec::new(),
                    enabled: old.as_ref().is_none_or(|old| old.enabled),
                    grant: Vec::new(),
                    created_at: old.as_ref().map_or(draft.now, |old| old.created_at),
                    revision: old.as_ref().map_or(1, |old| old.revision + 1),
                });
                old.is_none()
            };
            Ok(hashed.into_iter().map(put).collect())
        })
        .await
    }

    /// Whether one more device may be known.
    fn room_for(&self, tenant: &str, id: &str, most: usize) -> Result<(), Fault> {
        let devices = self.devices.of(&TenantId::new(tenant));
        if most > 0 && devices.len() >= most && !devices.contains(id) {
            let detail = format!("tenant {tenant} knows limits.max_devices = {most} devices");
            return Err(Fault::new(Kind::LimitReached, detail).but("forget some, or raise the limit"));
        }
        Ok(())
    }

    fn view(&self, tenant: &str, id: String, row: DeviceRow) -> DeviceView {
        let known = self.devices.of(&TenantId::new(tenant)).find(&id);
        let last_connected = known.and_then(|known| known.last_connected).map(u64::from);
        DeviceView { id, row, last_connected }
    }

    pub(super) fn device_row(&self, tenant: &str, id: &str) -> Result<Option<DeviceRow>, Fault> {
        let row = self.store.get(Table::Registrations, &DeviceRow::key(tenant, id))?;
        let damaged = |error: crate::store::rows::RowError| Fault::new(Kind::Internal, format!("device {id}: {error}"));
        row.map(|row| DeviceRow::decode(&row)).transpose().map_err(damaged)
    }

    /// Changes the row of a device to what `make` answers, and what is known
    /// of it with it.
    fn change_device_now<T>(
        &self,
        caller: &Caller,
        action: &'static str,
        tenant: &str,
        id: &str,
        make: impl FnOnce(Option<&DeviceRow>, u64) -> Result<(Option<DeviceRow>, T), Fault>,
    ) -> Result<(T, Position), Fault> {
        self.devices.of(&TenantId::new(tenant)).change(id, |known| {
            let changed = self.device_row(tenant, id).and_then(|before| {
                self.change_now(caller, action, |draft: &mut Draft<'_>| {
                    draft.concerns(tenant);
                    let (after, told) = make(before.as_ref(), draft.now)?;
                    draft.put_device(id, before.as_ref(), after.as_ref());
                    Ok((after, told))
                })
            });
            match changed {
                Ok(((after, told), position)) => {
                    let last_connected = known.and_then(|known| known.last_connected);
                    let after = after.as_ref().map(|row| Known { last_connected, ..known_of(row) });
                    (after, Ok((told, position)))
                }
                Err(fault) => (known, Err(fault)),
            }
        })
    }
}

pub(super) fn known_of(row: &DeviceRow) -> Known {
    Known {
        enabled: row.enabled,
        connected: row.first_seen.is_some(),
        anchor: row.anchor.map(Fingerprint),
        last_connected: None,
    }
}

fn revision(row: &DeviceRow) -> u64 {
    let said = DeviceRow {
        enabled: row.enabled,
        kind: row.kind.clone(),
        name: row.name.clone(),
        properties: row.properties.clone(),
        ..DeviceRow::new(row.origin, row.registered)
    };
    random::short_digest(&said.encode())
}

fn check_device(new: &NewDevice) -> Result<(), Fault> {
    check_device_name(&new.id)?;
    check_texts(Some(&new.kind), Some(&new.name), Some(&new.properties))
}

fn check_texts(
    kind: Option<&Option<String>>,
    name: Option<&Option<String>>,
    properties: Option<&Option<String>>,
) -> Result<(), Fault> {
    for (field, text, most) in [("type", kind, TEXT), ("name", name, TEXT), ("properties", properties, PROPERTIES)] {
        let length = text.and_then(Option::as_ref).map_or(0, String::len);
        if length > most {
            let detail = format!("{field} has {length} bytes; {most} at most are kept");
            return Err(Fault::in_field(Kind::Invalid, field, detail));
        }
    }
    Ok(())
}

/// A device's name stands in topics, and in ClientIds between colons.
///
/// # Errors
/// It cannot be one.
pub fn check_device_name(id: &str) -> Result<(), Fault> {
    let bad = |c: char| matches!(c, '/' | '+' | '#' | ':') || c.is_whitespace() || c.is_control();
    if id.is_empty() || id.len() > NAME || id.chars().any(bad) {
        let detail = format!("{id:?} cannot name a device");
        let remedy = format!("use 1 to {NAME} bytes without blanks, slashes, colons, + and #");
        return Err(Fault::in_field(Kind::Invalid, "id", detail).but(remedy));
    }
    Ok(())
}
