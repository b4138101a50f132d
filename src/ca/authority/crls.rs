//! Certificate revocation lists of the anchors.
//!
//! What lives here: taking lists in, and showing which there are. What does
//! not: reading a list and checking who signed it (`ca::crl`), fetching them
//! (`control`). Invariant: a list that is older than the one that is kept is
//! not taken, and of several lists in one file all are taken or none.

use std::sync::Arc;

use super::Authority;
use super::access::Scope;
use super::anchors::{AnchorView, find};
use super::caller::Caller;
use super::fault::{Fault, Kind};
use super::state::configured_id;
use crate::ca::crl::{self, Crl, CrlError, Limits};
use crate::ca::record::{AnchorRow, AnchorStatus, CrlRow};
use crate::identity::certificate::{Certificate, Fingerprint};
use crate::identity::crl::CrlSettings;

/// Bytes of the lists that one upload holds.
pub const MAX_CRL_BYTES: usize = 8 * 1024 * 1024;
/// Lists that one anchor may have.
pub(super) const MOST: usize = 16;

/// Where a list that somebody uploaded comes from.
const UPLOAD: &str = "upload";

/// A list of an uploaded anchor that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedList {
    /// The anchor.
    pub anchor: Arc<AnchorRow>,
    /// Where the list is.
    pub address: String,
}

impl Authority {
    /// The lists of an anchor.
    ///
    /// # Errors
    /// The caller may not see them, or the anchor is not there.
    pub fn crls(&self, caller: &Caller, tenant: &str, anchor: &str) -> Result<Vec<Arc<CrlRow>>, Fault> {
        caller.needs(Scope::RevocationsRead, tenant)?;
        let state = self.state();
        let anchor = find(&state, tenant, anchor)?;
        Ok(state.crls.of(&[tenant, &anchor.row.id]).cloned().collect())
    }

    /// Takes lists that the anchor signed, in PEM, base64 or DER, several
    /// behind each other. `source` is the address that they were fetched
    /// from, if they were.
    ///
    /// # Errors
    /// One of them cannot be read, is another CA's, or older than what is kept.
    pub async fn take_crls(
        &self,
        caller: &Caller,
        tenant: &str,
        anchor: &str,
        lists: &[u8],
        source: Option<&str>,
    ) -> Result<Vec<Arc<CrlRow>>, Fault> {
        caller.needs(Scope::RevocationsWrite, tenant)?;
        let anchor = find(&self.state(), tenant, anchor)?;
        let limits = Limits { bytes: MAX_CRL_BYTES, ..Limits::default() };
        let lists = read(&anchor, lists, &limits)?;
        if let Some(kept) = self.kept_alike(&anchor, tenant, &lists, source) {
            return Ok(kept);
        }
        self.change(caller, "crl.take", |draft| {
            draft.concerns(tenant);
            // It may have gone while the signatures were checked.
            find(draft.state, tenant, &anchor.row.id)?;
            let mut taken = Vec::new();
            for (index, list) in lists.iter().enumerate() {
                let source = name_of(source, index);
                let old = draft.state.crls.get(&[tenant, &anchor.row.id, &source]);
                if old.and_then(|old| old.settings()).is_some_and(|old| old.this_update > list.this_update()) {
                    let detail = "the list is older than the one that is kept";
                    return Err(
                        Fault::new(Kind::Stale, detail).but("give the newest list, or delete the kept one first")
                    );
                }
                taken.push(CrlRow::new(tenant, &anchor.row.id, &source, list.der(), draft.now));
            }
            if draft.state.crls.of(&[tenant, &anchor.row.id]).count() + taken.len() > 2 * MOST || taken.len() > MOST {
                return Err(Fault::new(Kind::LimitReached, format!("an anchor may have {MOST} lists")));
            }
            Ok(taken.into_iter().map(|row| draft.put(row)).collect())
        })
        .await
    }

    /// The rows of `lists`, if each is kept as it is: nothing has to change,
    /// and nobody to be looked at again.
    fn kept_alike(
        &self,
        anchor: &AnchorView,
        tenant: &str,
        lists: &[Crl],
        source: Option<&str>,
    ) -> Option<Vec<Arc<CrlRow>>> {
        let state = self.state();
        let kept = lists.iter().enumerate().map(|(index, list)| {
            let row = state.crls.get(&[tenant, &anchor.row.id, &name_of(source, index)]);
            row.filter(|row| row.der == list.der()).cloned()
        });
        kept.collect()
    }

    /// The identifier of an anchor of `tenant`, by its certificate in DER.
    #[must_use]
    pub fn anchor_id(&self, tenant: &str, der: &[u8]) -> String {
        let state = self.state();
        let uploaded = state.anchors.of(&[tenant]).find(|row| row.der == der).map(|row| row.id.clone());
        uploaded.unwrap_or_else(|| configured_id(Fingerprint::of(der)))
    }

    /// The lists of uploaded anchors that are to be fetched.
    #[must_use]
    pub fn fetched_lists(&self) -> Vec<FetchedList> {
        let state = self.state();
        let lists = |row: &Arc<AnchorRow>| {
            let of = Arc::clone(row);
            row.crl.clone().into_iter().map(move |address| FetchedList { anchor: Arc::clone(&of), address })
        };
        state.anchors.iter().filter(|row| row.status != AnchorStatus::Disabled).flat_map(lists).collect()
    }

    /// Forgets the lists that were fetched from where `still` says that none
    /// is fetched any more; it is asked for tenant, anchor and address, and must
    /// not ask the authority.
    ///
    /// # Errors
    /// The store takes nothing.
    pub async fn forget_fetched(&self, still: impl Fn(&str, &str, &str) -> bool) -> Result<(), Fault> {
        let address = |row: &CrlRow| row.source.rsplit_once('#').map_or(row.source.clone(), |(url, _)| url.to_owned());
        let is_left = |row: &CrlRow| address(row) != UPLOAD && !still(&row.tenant, &row.anchor, &address(row));
        let left: Vec<_> = self.state().crls.iter().filter(|row| is_left(row)).cloned().collect();
        for row in left {
            self.change(&Caller::broker(), "crl.forget", |draft| {
                draft.concerns(&row.tenant);
                draft.remove(row.as_ref());
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Forgets the lists of an anchor that came from `source`, or all.
    ///
    /// # Errors
    /// There is none.
    pub async fn delete_crls(
        &self,
        caller: &Caller,
        tenant: &str,
        anchor: &str,
        source: Option<&str>,
    ) -> Result<(), Fault> {
        caller.needs(Scope::RevocationsWrite, tenant)?;
        self.change(caller, "crl.delete", |draft| {
            draft.concerns(tenant);
            let anchor = find(draft.state, tenant, anchor)?;
            let all = draft.state.crls.of(&[tenant, &anchor.row.id]);
            let gone: Vec<_> = all.filter(|row| source.is_none_or(|source| row.source == source)).cloned().collect();
            if gone.is_empty() {
                return Err(Fault::not_found("revocation list of", &anchor.row.name));
            }
            gone.iter().for_each(|row| draft.remove(row.as_ref()));
            Ok(())
        })
        .await
    }
}

/// What the list at `index` of those from `source` is called.
fn name_of(source: Option<&str>, index: usize) -> String {
    match (source.unwrap_or(UPLOAD), index) {
        (source, 0) => source.to_owned(),
        (source, index) => format!("{source}#{index}"),
    }
}

fn read(anchor: &AnchorView, lists: &[u8], limits: &Limits) -> Result<Vec<Crl>, Fault> {
    let unusable = |error: CrlError| Fault::new(Kind::InvalidCertificate, error.to_string());
    let certificate = Certificate::read(anchor.row.der.as_slice().into());
    let certificate = certificate.map_err(|error| Fault::new(Kind::Internal, error.to_string()))?;
    let lists = crl::read(lists, limits).map_err(unusable)?;
    lists.into_iter().map(|list| list.signed_by(&certificate).map_err(unusable)).collect()
}

impl CrlRow {
    /// What connections know of the list; none if it cannot be read, which it
    /// could when it was taken. It is read once.
    #[must_use]
    pub fn settings(&self) -> Option<&CrlSettings> {
        let read = || {
            let limits = Limits { bytes: self.der.len(), ..Limits::default() };
            let list = crl::read(&self.der, &limits).ok()?.into_iter().next()?.taken_before();
            Some(list.settings(None, self.source.clone()))
        };
        self.read.get_or_init(read).as_ref()
    }
}
