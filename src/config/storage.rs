//! `[storage]`: how long what was acknowledged lasts.

use std::path::Path;
use std::time::Duration;

use crate::broker::Durability;
use crate::store::{Level, Settings};

use super::document::Reader;
use super::error::Complaint;
use super::values::{self, duration, size};

/// Below the state's directory, beside what else the broker keeps.
const STORE: &str = "store";

/// The level that was asked for.
#[derive(Clone, Copy)]
enum Wanted {
    Memory,
    Disk(Level),
}

pub(super) fn storage(top: &super::document::Reader<'_>, state_dir: &Path) -> (Durability, Option<String>) {
    let table = top.table("storage");
    let wanted = table.read("durability", Wanted::Disk(Level::Fsync), |given| match given.text() {
        Some("memory") => Ok(Wanted::Memory),
        Some("os") => Ok(Wanted::Disk(Level::Os)),
        Some("fsync") => Ok(Wanted::Disk(Level::Fsync)),
        _ => {
            let reason = format!("{} is no level of durability", given.shown());
            Err(Complaint::new(reason, values::one_of(["fsync", "os", "memory"].into_iter())))
        }
    });
    let settings = bounds(&table);
    let slow = table.read("slow_store", None, |given| {
        if cfg!(debug_assertions) {
            return values::text(given).map(Some);
        }
        Err(Complaint::new("the slow store is a test double of debug builds", "remove it"))
    });
    table.close();
    let durability = match wanted {
        Wanted::Memory => Durability::Memory,
        Wanted::Disk(level) => {
            Durability::Disk { directory: state_dir.join(STORE), settings: Settings { level, ..settings } }
        }
    };
    (durability, slow)
}

fn bounds(table: &Reader<'_>) -> Settings {
    let default = Settings::default();
    Settings {
        group_wait: table.read("group_wait", default.group_wait, duration(Duration::ZERO..=Duration::from_secs(1))),
        group_bytes: table.read("group_bytes", default.group_bytes, size(4096..=1 << 30)),
        pending_bytes: table.read("pending_bytes", default.pending_bytes, size(1 << 20..=1 << 40)),
        min_free: table.read("min_free", default.min_free, size(0..=1 << 50)),
        ..default
    }
}
