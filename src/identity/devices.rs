//! The devices that are known (AUTH-13).
//!
//! What lives here: for each tenant the names of its devices, whether they may
//! be used, and the anchor that each came through last. What does not: the
//! rows behind them (`store::rows`, written by `net::registration` and the
//! control plane). Invariant: one device is changed by one caller at a time,
//! who writes the row while nobody else can; a change is met by the next
//! CONNECT at once, and live connections are looked at by whoever made it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::certificate::Fingerprint;
use crate::mqtt::TenantId;
use crate::telemetry::metrics::Gauge;

/// What is known of a device besides its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Whether it may connect.
    pub enabled: bool,
    /// Whether it ever did.
    pub connected: bool,
    /// The anchor that it came through last.
    pub anchor: Option<Fingerprint>,
    /// When it connected last since the broker was started, in seconds since
    /// 1970. It is not kept: a row a connection would cost more than it tells.
    pub last_connected: Option<u32>,
}

/// A [`Known`] in few bytes: there may be millions.
#[derive(Clone, Copy, Debug)]
struct Compact {
    enabled: bool,
    connected: bool,
    /// Its place among [`Devices::anchors`]; [`NONE`] without one.
    anchor: u32,
    /// 0 if it did not.
    last_connected: u32,
}

const NONE: u32 = u32::MAX;

/// Anchors by number and back.
#[derive(Debug, Default)]
struct Anchors {
    numbers: HashMap<Fingerprint, u32>,
    all: Vec<Fingerprint>,
}

/// The devices of one tenant.
#[derive(Debug, Default)]
pub struct Devices {
    by_name: DashMap<Box<str>, Compact, foldhash::fast::RandomState>,
    anchors: RwLock<Anchors>,
}

impl Devices {
    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What is known of a device.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Known> {
        let compact = *self.by_name.get(name)?;
        Some(self.known(compact))
    }

    /// Whether a device is known, enabled or not.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Makes a device known, or known otherwise; the row has to be written.
    pub fn insert(&self, name: &str, known: Known) {
        self.change(name, |_| (Some(known), ()));
    }

    /// Forgets a device. Answers whether it was known.
    pub fn remove(&self, name: &str) -> bool {
        self.change(name, |known| (None, known.is_some()))
    }

    /// Lets a device connect, or keeps it from it. Answers whether it is known.
    pub fn enable(&self, name: &str, enabled: bool) -> bool {
        self.change(name, |known| (known.map(|known| Known { enabled, ..known }), known.is_some()))
    }

    /// Changes what is known of a device to what `make` answers first. Nobody
    /// else looks at or changes this device meanwhile: `make` may append the
    /// row, and must not look at other devices or wait.
    pub fn change<T>(&self, name: &str, make: impl FnOnce(Option<Known>) -> (Option<Known>, T)) -> T {
        match self.by_name.entry(name.into()) {
            Entry::Occupied(mut entry) => {
                let (next, told) = make(Some(self.known(*entry.get())));
                match next {
                    Some(next) => drop(entry.insert(self.compact(next))),
                    None => {
                        entry.remove();
                        Gauge::Devices.add(-1);
                    }
                }
                told
            }
            Entry::Vacant(entry) => {
                let (next, told) = make(None);
                if let Some(next) = next {
                    entry.insert(self.compact(next));
                    Gauge::Devices.add(1);
                }
                told
            }
        }
    }

    /// The names of devices that came through `anchor` last, in their order,
    /// behind `after`, at most `limit`.
    #[must_use]
    pub fn below(&self, anchor: Fingerprint, after: &str, limit: usize) -> Vec<String> {
        let number = self.anchors.read().unwrap_or_else(PoisonError::into_inner).numbers.get(&anchor).copied();
        let Some(number) = number else { return Vec::new() };
        let mut page: BTreeSet<Box<str>> = BTreeSet::new();
        for entry in self.by_name.iter().filter(|entry| entry.value().anchor == number && &**entry.key() > after) {
            let is_late = page.len() >= limit && page.last().is_none_or(|last| last <= entry.key());
            if !is_late {
                page.insert(entry.key().clone());
                if page.len() > limit {
                    page.pop_last();
                }
            }
        }
        page.into_iter().map(String::from).collect()
    }

    fn known(&self, Compact { enabled, connected, anchor, last_connected }: Compact) -> Known {
        let anchors = self.anchors.read().unwrap_or_else(PoisonError::into_inner);
        let last_connected = Some(last_connected).filter(|at| *at > 0);
        Known { enabled, connected, anchor: anchors.all.get(anchor as usize).copied(), last_connected }
    }

    fn compact(&self, Known { enabled, connected, anchor, last_connected }: Known) -> Compact {
        let anchor = anchor.map_or(NONE, |anchor| self.number_of(anchor));
        Compact { enabled, connected, anchor, last_connected: last_connected.unwrap_or_default() }
    }

    fn number_of(&self, anchor: Fingerprint) -> u32 {
        if let Some(number) = self.anchors.read().unwrap_or_else(PoisonError::into_inner).numbers.get(&anchor) {
            return *number;
        }
        let mut anchors = self.anchors.write().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(anchors.all.len()).unwrap_or(NONE);
        let Anchors { numbers, all } = &mut *anchors;
        *numbers.entry(anchor).or_insert_with(|| {
            all.push(anchor);
            next
        })
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        Gauge::Devices.add(-i64::try_from(self.by_name.len()).unwrap_or(i64::MAX));
    }
}

/// The devices of all tenants. It outlives every snapshot.
#[derive(Debug, Default)]
pub struct DeviceBook {
    by_tenant: RwLock<HashMap<TenantId, Arc<Devices>>>,
}

impl DeviceBook {
    /// The devices of a tenant, which need not be configured (any more).
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Arc<Devices> {
        if let Some(devices) = self.by_tenant.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Arc::clone(devices);
        }
        let mut by_tenant = self.by_tenant.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(by_tenant.entry(tenant.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Known = Known { enabled: true, connected: false, anchor: None, last_connected: None };

    #[test]
    fn a_device_is_known_by_its_exact_name_until_it_is_removed() {
        let devices = Devices::default();
        devices.insert("pump", NEW);
        assert_eq!((devices.find("pump"), devices.find("Pump"), devices.len()), (Some(NEW), None, 1));
        assert!(devices.enable("pump", false) && !devices.enable("other", false));
        assert_eq!(devices.find("pump"), Some(Known { enabled: false, ..NEW }));
        assert!(devices.remove("pump") && !devices.remove("pump") && devices.is_empty());
    }

    #[test]
    fn devices_are_listed_by_the_anchor_that_they_came_through_last() {
        let devices = Devices::default();
        let (one, two) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        for number in 0..10 {
            let anchor = Some(if number % 2 == 0 { one } else { two });
            devices.insert(&format!("d{number}"), Known { anchor, ..NEW });
        }
        devices.insert("d1", Known { anchor: Some(one), ..NEW });
        assert_eq!(devices.below(one, "", 3), ["d0", "d1", "d2"]);
        assert_eq!(devices.below(one, "d2", 9), ["d4", "d6", "d8"]);
        assert_eq!(devices.below(two, "", 9), ["d3", "d5", "d7", "d9"]);
        assert!(devices.below(Fingerprint([3; 32]), "", 9).is_empty());
    }
}
