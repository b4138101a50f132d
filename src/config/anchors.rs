//! `[[tenant.anchor]]`: the CA certificates behind the file names.
//!
//! What lives here: reading them, and the rules that bind the anchors of one
//! broker together. What does not: whether a chain ends in one (`identity`).
//! Invariant: a configured anchor counts as proved, and against `max_anchors`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::control::settings::{ListPlace, RevocationListSettings};
use crate::identity::pem;
use crate::identity::switch::AnchorState;
use crate::identity::tenant::{AnchorSettings, TenantSettings};

use super::document::Scope;
use super::error::Complaint;
use super::tenants::{AnchorEntry, TenantEntry};

/// Reads all anchors of all tenants, and the other files that they name.
pub(super) fn read(
    scope: &Scope<'_>,
    entries: Vec<TenantEntry>,
    certs_dir: &Path,
    made_at_start: &[PathBuf],
) -> (Vec<TenantSettings>, Vec<RevocationListSettings>) {
    let mut lists = Vec::new();
    // Which tenant holds a certificate (TRUST-09).
    let mut owners: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    let mut tenants = Vec::new();
    for entry in entries {
        let mut tenant = entry.settings;
        tenant.accounts = super::accounts::read(scope, entry.accounts.as_ref());
        count(scope, &tenant, &entry.anchors);
        for anchor in entry.anchors {
            let path = certs_dir.join(&anchor.file);
            let read = match certificate(&path, certs_dir) {
                Err(_) if !path.exists() && made_at_start.contains(&path) => continue,
                other => other,
            };
            match read.and_then(|der| own(&mut owners, &tenant, &anchor, der)) {
                Ok(der) => {
                    let settings = settings(&anchor, &path, der);
                    lists.extend(fetched(&tenant, &anchor, &settings));
                    tenant.anchors.push(settings);
                }
                Err(complaint) => scope.report(anchor.place, "tenant.anchor.file", complaint),
            }
        }
        unique_names(scope, &tenant, &entry.place);
        tenants.push(tenant);
    }
    (tenants, lists)
}

/// Its revocation lists that are fetched.
fn fetched(tenant: &TenantSettings, entry: &AnchorEntry, anchor: &AnchorSettings) -> Vec<RevocationListSettings> {
    let (places, refresh) = &entry.lists;
    let settings = |place: &ListPlace| RevocationListSettings {
        tenant: tenant.id.to_string(),
        anchor: anchor.der.clone(),
        name: anchor.name.clone(),
        place: place.clone(),
        refresh: *refresh,
    };
    places.iter().map(settings).collect()
}

fn settings(anchor: &AnchorEntry, path: &Path, der: Vec<u8>) -> AnchorSettings {
    let stem = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    AnchorSettings {
        name: anchor.name.clone().unwrap_or_else(stem),
        der,
        source: path.display().to_string(),
        kind: anchor.kind,
        state: anchor.state,
        proved: true,
        auto_registration: anchor.auto_registration,
        stale_crl: anchor.stale_crl,
        crls: Vec::new(),
    }
}

/// Configured anchors take the places that uploaded ones would take.
fn count(scope: &Scope<'_>, tenant: &TenantSettings, anchors: &[AnchorEntry]) {
    let max = tenant.switches.max_anchors;
    let beyond = if max == 0 { None } else { anchors.iter().filter(|anchor| anchor.kind.counts()).nth(max) };
    if let Some(anchor) = beyond {
        let reason = format!("tenant {} may have {max} anchors (max_anchors), and this is one more", tenant.id);
        let remedy = "remove one, or set max_anchors in its switches; 0 means no limit";
        scope.report(anchor.place.clone(), "tenant.anchor", Complaint::new(reason, remedy));
    }
}

/// One certificate is an anchor of one tenant, once.
fn own(
    owners: &mut BTreeMap<Vec<u8>, String>,
    tenant: &TenantSettings,
    anchor: &AnchorEntry,
    der: Vec<u8>,
) -> Result<Vec<u8>, Complaint> {
    if let Some(owner) = owners.get(&der) {
        let reason = format!("this certificate is an anchor of tenant {owner} already");
        return Err(Complaint::new(reason, "list it once: a certificate leads to one tenant"));
    }
    // A disabled one leads nowhere, so it blocks nobody.
    if anchor.state != AnchorState::Disabled {
        owners.insert(der.clone(), tenant.id.to_string());
    }
    Ok(der)
}

fn unique_names(scope: &Scope<'_>, tenant: &TenantSettings, place: &super::error::Place) {
    for (index, anchor) in tenant.anchors.iter().enumerate() {
        if tenant.anchors.iter().take(index).any(|other| other.name == anchor.name) {
            let reason = format!("tenant {} has two anchors called {:?}", tenant.id, anchor.name);
            scope.report(place.clone(), "tenant.anchor.name", Complaint::new(reason, "give each its own name"));
        }
    }
}

/// The first certificate of a file, DER.
fn certificate(path: &Path, certs_dir: &Path) -> Result<Vec<u8>, Complaint> {
    let text = std::fs::read(path).map_err(|error| {
        let remedy =
            format!("name a readable PEM file; names are relative to certs_dir, which is {}", certs_dir.display());
        Complaint::new(format!("{} cannot be read ({error})", path.display()), remedy)
    })?;
    let first = pem::certificates(&text).map(|found| found.into_iter().next());
    let reason = match first {
        Ok(Some(der)) => return Ok(der.to_vec()),
        Ok(None) => String::from("it holds no certificate"),
        Err(error) => error.to_string(),
    };
    Err(Complaint::new(format!("{}: {reason}", path.display()), "name the CA's certificate file"))
}
