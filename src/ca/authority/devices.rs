//! Devices that are known (AUTH-13, C8Y-REG-02).
//!
//! What lives here: registering devices by hand, looking at them, switching
//! them off and forgetting them. What does not: first connections
//! (`net::registration`), what a connection is asked (`identity::admission`).
//! Invariant: a device is changed only while nobody else can (the entry of
//! `identity::devices`, then the lock of the authority, in this order), so that
//! what is known at once and what is kept say the same. Whoever switches a
//! device off looks at live connections behind it.

use super::Authority;
use super::access::Scope;
use super::caller::Caller;
use super::draft::Draft;
use super::durable;
use super::fault::{Fault, Kind};
use super::tenants::no_tenant;
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
/// Devices that are looked at in one piece at most.
const PIECE: usize = 2000;

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

/// A device as callers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Its name.
    pub id: String,
    /// What is kept of it.
    pub row: DeviceRow,
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
        let devices = self.devices.of(&TenantId::new(tenant));
        if most > 0 && devices.len() >= most && !devices.contains(&new.id) {
            let detail = format!("tenant {tenant} knows limits.max_devices = {most} devices");
            return Err(Fault::new(Kind::LimitReached, detail).but("forget some, or raise the limit"));
        }
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

    /// The devices of a tenant in the order of their names, behind `after`, at
    /// most `limit`.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn devices(
        &self,
        caller: &Caller,
        tenant: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeviceView>, Fault> {
        caller.needs(Scope::DevicesRead, tenant)?;
        let prefix = DeviceRow::key(tenant, "");
        let after = after.map(|after| DeviceRow::key(tenant, after));
        let rows = self.store.scan(Table::Registrations, &prefix, after.as_deref(), limit.min(PIECE))?;
        let view = |row: &crate::store::Row| {
            let id = row.key.get(prefix.len()..).map(|name| String::from_utf8_lossy(name).into_owned());
            Some(DeviceView { id: id?, row: DeviceRow::decode(&row.value).ok()? })
        };
        Ok(rows.iter().filter_map(view).collect())
    }

    /// One device.
    ///
    /// # Errors
    /// It is not known.
    pub fn device(&self, caller: &Caller, tenant: &str, id: &str) -> Result<DeviceView, Fault> {
        caller.needs(Scope::DevicesRead, tenant)?;
        let row = self.device_row(tenant, id)?.ok_or_else(|| Fault::not_found("device", id))?;
        Ok(DeviceView { id: id.to_owned(), row })
    }

    /// Lets a device connect, or keeps it from it.
    ///
    /// # Errors
    /// It is not known.
    pub async fn enable_device(&self, caller: &Caller, tenant: &str, id: &str, enabled: bool) -> Result<(), Fault> {
        caller.needs(Scope::DevicesWrite, tenant)?;
        let ((), position) = self.change_device_now(caller, "device.change", tenant, id, |before, _| {
            let row = before.cloned().ok_or_else(|| Fault::not_found("device", id))?;
            Ok((Some(DeviceRow { enabled, ..row }), ()))
        })?;
        durable::wait(self.store.as_ref(), position).await
    }

    /// Forgets a device.
    ///
    /// # Errors
    /// It is not known.
    pub async fn forget_device(&self, caller: &Caller, tenant: &str, id: &str) -> Result<(), Fault> {
        caller.needs(Scope::DevicesWrite, tenant)?;
        let ((), position) = self.change_device_now(caller, "device.forget", tenant, id, |before, _| {
            before.map(|_| (None, ())).ok_or_else(|| Fault::not_found("device", id))
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

    fn device_row(&self, tenant: &str, id: &str) -> Result<Option<DeviceRow>, Fault> {
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
                Ok(((after, told), position)) => (after.as_ref().map(known_of), Ok((told, position))),
                Err(fault) => (known, Err(fault)),
            }
        })
    }
}

fn known_of(row: &DeviceRow) -> Known {
    Known { enabled: row.enabled, connected: row.first_seen.is_some(), anchor: row.anchor.map(Fingerprint) }
}

fn check_device(new: &NewDevice) -> Result<(), Fault> {
    check_device_name(&new.id)?;
    let long = |text: &Option<String>, most: usize| text.as_ref().is_some_and(|text| text.len() > most);
    if long(&new.kind, TEXT) || long(&new.name, TEXT) || long(&new.properties, PROPERTIES) {
        let detail = format!("type and name have {TEXT} bytes at most, the properties {PROPERTIES}");
        return Err(Fault::in_field(Kind::Invalid, "properties", detail));
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
