//! Trust anchors: upload, change, removal.
//!
//! What lives here: what may happen to an anchor, and when. What does not:
//! proof of possession (`proof`), which chains end in an anchor (`identity`). Invariant: an anchor counts only once its tenant's rules are
//! met, and the two that a tenant may have are counted with the configured
//! ones.

use std::sync::Arc;

use super::access::Scope;
use super::caller::Caller;
use super::crls::MOST as MOST_LISTS;
use super::draft::Draft;
use super::fault::{Fault, Kind};
use super::proof::fresh_challenge;
use super::state::{State, configured_id};
use super::tenants::{configured, expect_revision, no_tenant};
use super::{Authority, random};
use crate::ca::record::{AnchorRow, AnchorStatus, StaleCrlPolicy};
use crate::identity::anchor::{Anchor, AnchorError};
use crate::identity::certificate::{Certificate, CertificateFacts};
use crate::identity::pem;
use crate::identity::switch::{AnchorKind, AnchorState, StaleCrl};
use crate::identity::tenant::{AnchorSettings, TenantSettings};

/// The longest name.
const NAME: usize = 255;

/// A certificate that is to be an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAnchor {
    /// What people call it.
    pub name: String,
    /// The certificate: PEM in any form, base64 or DER.
    pub certificate: Vec<u8>,
    /// Whether it counts.
    pub status: AnchorStatus,
    /// Whether a first connection through it makes the device known.
    pub auto_registration: bool,
}

/// What is to change of an anchor; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnchorChange {
    /// What people call it.
    pub name: Option<String>,
    /// Whether it counts.
    pub status: Option<AnchorStatus>,
    /// Whether a first connection through it makes the device known.
    pub auto_registration: Option<bool>,
    /// What becomes of devices when its revocation list is out of date.
    pub stale_crl: Option<StaleCrlPolicy>,
    /// Where its revocation lists are fetched: addresses that somebody has
    /// checked. Only who runs the whole broker names any, since the broker
    /// asks there from where it stands.
    pub crl: Option<Vec<String>>,
    /// Seconds from one good fetch to the next.
    pub crl_refresh: Option<u64>,
    /// The revision that the change was made for.
    pub if_revision: Option<u64>,
}

/// An anchor as callers see it.
#[derive(Clone, Debug)]
pub struct AnchorView {
    /// The row; that of a configured one is made up.
    pub row: Arc<AnchorRow>,
    /// The file that the configuration has it from; none when it was uploaded.
    pub configured: Option<String>,
    /// Whether possession of its key is proved; configured ones count as proved.
    pub proved: bool,
    /// What stands in the certificate.
    pub facts: Arc<CertificateFacts>,
}

impl AnchorView {
    /// SHA-1 of the DER in hexadecimal digits (C8Y-TC-01).
    #[must_use]
    pub fn sha1(&self) -> String {
        random::sha1_hex(&self.row.der)
    }

    /// The algorithm that it is signed by, as a dotted object identifier.
    #[must_use]
    pub fn signature_oid(&self) -> String {
        let read = Certificate::read(self.row.der.as_slice().into());
        read.map(|certificate| certificate.signature_oid().to_owned()).unwrap_or_default()
    }
}

impl Authority {
    /// The anchors of a tenant: configured ones first, then by their age.
    ///
    /// # Errors
    /// The caller may not see them, or there is no such tenant.
    pub fn anchors(&self, caller: &Caller, tenant: &str) -> Result<Vec<AnchorView>, Fault> {
        caller.needs(Scope::AnchorsRead, tenant)?;
        anchors(&self.state(), tenant)
    }

    /// One anchor, by its identifier or by its SHA-1 (in any case).
    ///
    /// # Errors
    /// It is not there.
    pub fn anchor(&self, caller: &Caller, tenant: &str, id: &str) -> Result<AnchorView, Fault> {
        caller.needs(Scope::AnchorsRead, tenant)?;
        find(&self.state(), tenant, id)
    }

    /// Takes a certificate as an anchor.
    ///
    /// # Errors
    /// It cannot be one, is one already, or there are as many as may be.
    pub async fn upload_anchor(&self, caller: &Caller, tenant: &str, new: NewAnchor) -> Result<AnchorView, Fault> {
        let mut all = self.upload_anchors(caller, tenant, vec![new]).await?;
        all.pop().ok_or_else(|| Fault::new(Kind::Internal, "nothing was uploaded"))
    }

    /// Takes several certificates as anchors: all of them, or none.
    ///
    /// # Errors
    /// As [`Authority::upload_anchor`], for the first that cannot be taken.
    pub async fn upload_anchors(
        &self,
        caller: &Caller,
        tenant: &str,
        new: Vec<NewAnchor>,
    ) -> Result<Vec<AnchorView>, Fault> {
        caller.needs(Scope::AnchorsWrite, tenant)?;
        let ids = self
            .change(caller, "anchor.upload", |draft| {
                draft.concerns(tenant);
                let settings = draft.state.settings(tenant).ok_or_else(|| no_tenant(tenant))?;
                let mut taken: Vec<AnchorRow> = Vec::new();
                for new in new {
                    let row = self.check_upload(draft, &settings, &taken, new)?;
                    taken.push(row);
                }
                Ok(taken.into_iter().map(|row| draft.put(row).id.clone()).collect::<Vec<_>>())
            })
            .await?;
        let state = self.state();
        ids.iter().map(|id| find(&state, tenant, id)).collect()
    }

    fn check_upload(
        &self,
        draft: &Draft<'_>,
        settings: &TenantSettings,
        taken: &[AnchorRow],
        new: NewAnchor,
    ) -> Result<AnchorRow, Fault> {
        let tenant = settings.id.as_str();
        check_name(&new.name)?;
        let der = first_certificate(&new.certificate)?;
        let here = draft.state.anchors.of(&[tenant]).map(|row| &row.der);
        let known =
            here.chain(settings.anchors.iter().map(|anchor| &anchor.der)).chain(taken.iter().map(|row| &row.der));
        if known.into_iter().any(|known| *known == der) {
            return Err(Fault::new(
                Kind::AlreadyExists,
                format!("this certificate is an anchor of tenant {tenant} already"),
            ));
        }
        let uploaded = draft.state.anchors.of(&[tenant]).count();
        let configured = draft
            .state
            .configured
            .get(tenant)
            .map_or(0, |configured| configured.anchors.iter().filter(|anchor| anchor.kind.counts()).count());
        let limit = settings.switches.max_anchors;
        if limit > 0 && uploaded + configured + taken.len() >= limit {
            let detail = format!("tenant {tenant} has the {limit} CA certificates that it may have");
            return Err(Fault::new(Kind::LimitReached, detail).but("delete one of them, or raise max_anchors"));
        }
        let candidate = AnchorSettings {
            name: new.name.clone(),
            der: der.clone(),
            source: "uploaded".to_owned(),
            kind: AnchorKind::Uploaded,
            state: AnchorState::Enabled,
            proved: false,
            auto_registration: new.auto_registration,
            stale_crl: StaleCrl::Soft,
            crls: Vec::new(),
        };
        Anchor::upload(&settings.id, &settings.switches, &candidate, self.clock.wall()).map_err(unusable)?;
        Ok(AnchorRow {
            id: random::hex(12)?,
            tenant: tenant.to_owned(),
            name: new.name,
            der,
            status: new.status,
            auto_registration: new.auto_registration,
            proved_at: None,
            registration: None,
            challenge: Some(fresh_challenge(draft.now)?),
            stale_crl: StaleCrlPolicy::Soft,
            crl: Vec::new(),
            crl_refresh: None,
            created_at: draft.now,
            revision: 1,
        })
    }

    /// Changes an anchor.
    ///
    /// # Errors
    /// It is not there, is configured, or was changed meanwhile.
    pub async fn change_anchor(
        &self,
        caller: &Caller,
        tenant: &str,
        id: &str,
        change: AnchorChange,
    ) -> Result<AnchorView, Fault> {
        caller.needs(Scope::AnchorsWrite, tenant)?;
        check_addresses(caller, &change)?;
        self.change(caller, "anchor.change", |draft| {
            draft.concerns(tenant);
            let mut row = uploaded(draft.state, tenant, id)?.as_ref().clone();
            expect_revision(change.if_revision, row.revision, "anchor", id)?;
            if let Some(name) = change.name {
                check_name(&name)?;
                row.name = name;
            }
            row.status = change.status.unwrap_or(row.status);
            row.auto_registration = change.auto_registration.unwrap_or(row.auto_registration);
            row.stale_crl = change.stale_crl.unwrap_or(row.stale_crl);
            row.crl = change.crl.unwrap_or(row.crl);
            row.crl_refresh = change.crl_refresh.or(row.crl_refresh);
            row.revision += 1;
            draft.put(row);
            Ok(())
        })
        .await?;
        find(&self.state(), tenant, id)
    }

    /// Deletes an anchor, with its revocation lists. Whoever came in through
    /// it has to go.
    ///
    /// # Errors
    /// It is not there, or configured.
    pub async fn delete_anchor(&self, caller: &Caller, tenant: &str, id: &str) -> Result<(), Fault> {
        caller.needs(Scope::AnchorsWrite, tenant)?;
        self.change(caller, "anchor.delete", |draft| {
            draft.concerns(tenant);
            let row = uploaded(draft.state, tenant, id)?;
            draft.remove(row.as_ref());
            draft.state.crls.of(&[tenant, &row.id]).for_each(|crl| draft.remove(crl.as_ref()));
            Ok(())
        })
        .await
    }
}

fn check_addresses(caller: &Caller, change: &AnchorChange) -> Result<(), Fault> {
    let Some(addresses) = change.crl.as_ref().filter(|addresses| !addresses.is_empty()) else { return Ok(()) };
    caller
        .needs_everywhere(Scope::AnchorsWrite)
        .map_err(|fault| fault.but("have the addresses set by who runs the broker, or upload the lists"))?;
    if addresses.len() > MOST_LISTS {
        let detail = format!("{} addresses; an anchor may have {MOST_LISTS} lists", addresses.len());
        return Err(Fault::in_field(Kind::LimitReached, "crl", detail));
    }
    Ok(())
}

fn anchors(state: &State, tenant: &str) -> Result<Vec<AnchorView>, Fault> {
    if state.settings(tenant).is_none() {
        return Err(no_tenant(tenant));
    }
    let from_file = state.configured.get(tenant).map(|configured| configured.anchors.as_slice()).unwrap_or_default();
    let mut all: Vec<AnchorView> = from_file.iter().filter_map(|anchor| of_file(tenant, anchor)).collect();
    let mut rows: Vec<_> = state.anchors.of(&[tenant]).cloned().collect();
    rows.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    all.extend(rows.into_iter().filter_map(of_row));
    Ok(all)
}

fn of_row(row: Arc<AnchorRow>) -> Option<AnchorView> {
    let facts = CertificateFacts::of_der(&row.der)?;
    let proved = row.is_proved();
    Some(AnchorView { row, configured: None, proved, facts })
}

fn of_file(tenant: &str, anchor: &AnchorSettings) -> Option<AnchorView> {
    let facts = CertificateFacts::of_der(&anchor.der)?;
    let id = configured_id(facts.fingerprint);
    let row = AnchorRow {
        id,
        tenant: tenant.to_owned(),
        name: anchor.name.clone(),
        der: anchor.der.clone(),
        status: anchor.state.into(),
        auto_registration: anchor.auto_registration,
        proved_at: None,
        registration: None,
        challenge: None,
        stale_crl: anchor.stale_crl.into(),
        crl: Vec::new(),
        crl_refresh: None,
        created_at: 0,
        revision: 0,
    };
    Some(AnchorView { row: Arc::new(row), configured: Some(anchor.source.clone()), proved: true, facts })
}

pub(super) fn find(state: &State, tenant: &str, id: &str) -> Result<AnchorView, Fault> {
    let wanted = id.to_ascii_lowercase();
    let all = anchors(state, tenant)?;
    let found = all.into_iter().find(|anchor| anchor.row.id == wanted || anchor.sha1() == wanted);
    found.ok_or_else(|| Fault::not_found("CA certificate", id))
}

/// The row of an anchor that was uploaded.
pub(super) fn uploaded(state: &State, tenant: &str, id: &str) -> Result<Arc<AnchorRow>, Fault> {
    let found = find(state, tenant, id)?;
    match found.configured {
        Some(file) => Err(configured(&format!("the anchor ({file})"), &found.row.name)),
        None => Ok(found.row),
    }
}

/// The first certificate of an upload (TRUST-13).
pub(super) fn first_certificate(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let unreadable = |error: pem::PemError| Fault::new(Kind::InvalidCertificate, error.to_string());
    let found = pem::certificates(text).map_err(unreadable)?;
    let first = found.into_iter().next();
    first.map(|der| der.to_vec()).ok_or_else(|| unreadable(pem::PemError::Nothing(pem::Wanted::Certificate)))
}

fn unusable(error: AnchorError) -> Fault {
    Fault::new(Kind::InvalidCertificate, format!("the certificate {}", error.problem)).but(error.remedy)
}

fn check_name(name: &str) -> Result<(), Fault> {
    if name.chars().count() > NAME {
        return Err(Fault::in_field(Kind::Invalid, "name", format!("the name is longer than {NAME} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Fault::in_field(Kind::Invalid, "name", "the name holds control characters"));
    }
    Ok(())
}
