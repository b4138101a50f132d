//! Taking trust back, by name.

use std::sync::Arc;

use super::Authority;
use super::access::Scope;
use super::caller::Caller;
use super::fault::{Fault, Kind};
use super::tenants::no_tenant;
use crate::ca::record::{Record, RevocationKind, RevocationRow};
use crate::identity::switch::RevocationReason;

/// The most revocations of one tenant; longer lists come as CRLs.
const MOST: usize = 100_000;

/// What is to be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRevocation {
    /// What is named.
    pub kind: RevocationKind,
    /// The name: hexadecimal digits (colons and blanks are read over), or the
    /// CN or device itself.
    pub value: String,
    /// The anchor that a serial belongs to, as SHA-256; none for all.
    pub anchor: Option<String>,
    /// Since when, in milliseconds since 1970; none is now, and the future is
    /// now too.
    pub since: Option<u64>,
    /// Why.
    pub reason: RevocationReason,
    /// What people note.
    pub note: Option<String>,
    /// Whether it counts only while the tenant's list is switched on
    /// (C8Y-CRL-01).
    pub listed: bool,
}

impl Authority {
    /// The revocations of a tenant.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn revocations(&self, caller: &Caller, tenant: &str) -> Result<Vec<Arc<RevocationRow>>, Fault> {
        caller.needs(Scope::RevocationsRead, tenant)?;
        let state = self.state();
        if state.settings(tenant).is_none() {
            return Err(no_tenant(tenant));
        }
        Ok(state.revocations.of(&[tenant]).cloned().collect())
    }

    /// Takes back what `new` names: all of it, or nothing. What was taken back
    /// before stays as it is.
    ///
    /// # Errors
    /// A name cannot be one, or there are too many.
    pub async fn revoke(
        &self,
        caller: &Caller,
        tenant: &str,
        new: Vec<NewRevocation>,
    ) -> Result<Vec<Arc<RevocationRow>>, Fault> {
        caller.needs(Scope::RevocationsWrite, tenant)?;
        let now = self.clock.unix_millis();
        let rows = new.into_iter().map(|new| new.row(tenant, now)).collect::<Result<Vec<_>, _>>()?;
        self.change(caller, "revocation.create", |draft| {
            draft.concerns(tenant);
            if draft.state.settings(tenant).is_none() {
                return Err(no_tenant(tenant));
            }
            if draft.state.revocations.of(&[tenant]).count() + rows.len() > MOST {
                let detail = format!("tenant {tenant} would have more than {MOST} revocations");
                return Err(Fault::new(Kind::LimitReached, detail).but("upload a CRL instead"));
            }
            let known = |row: &RevocationRow| draft.state.revocations.get(&row.key_fields()).cloned();
            let known: Vec<_> = rows.iter().map(known).collect();
            let put = rows.into_iter().zip(known).map(|(row, known)| known.unwrap_or_else(|| draft.put(row)));
            Ok(put.collect())
        })
        .await
    }

    /// Gives back what was taken back by name.
    ///
    /// # Errors
    /// It is not there.
    pub async fn unrevoke(
        &self,
        caller: &Caller,
        tenant: &str,
        kind: RevocationKind,
        value: &str,
        anchor: Option<&str>,
    ) -> Result<(), Fault> {
        caller.needs(Scope::RevocationsWrite, tenant)?;
        let wanted = kept_form(kind, value.to_owned())?;
        let anchor = anchor.map(|anchor| digits(anchor, 64..=64)).transpose()?.unwrap_or_default();
        self.change(caller, "revocation.delete", |draft| {
            draft.concerns(tenant);
            let fields = [tenant, kind.as_str(), &wanted, &anchor];
            let row = draft.state.revocations.get(&fields).cloned();
            let row = row.ok_or_else(|| Fault::not_found("revocation", value))?;
            draft.remove(row.as_ref());
            Ok(())
        })
        .await
    }
}

impl NewRevocation {
    fn row(self, tenant: &str, now: u64) -> Result<RevocationRow, Fault> {
        let value = kept_form(self.kind, self.value)?;
        let anchor = self.anchor.map(|anchor| digits(&anchor, 64..=64)).transpose()?;
        Ok(RevocationRow {
            tenant: tenant.to_owned(),
            kind: self.kind,
            value,
            anchor: anchor.filter(|_| self.kind == RevocationKind::Serial),
            since: self.since.map_or(now, |since| since.min(now)),
            reason: self.reason.to_string(),
            note: self.note,
            listed: self.listed,
        })
    }
}

/// A name in the form in which it is kept, however people write it.
fn kept_form(kind: RevocationKind, value: String) -> Result<String, Fault> {
    match kind {
        RevocationKind::CommonName | RevocationKind::Device => checked_text(value),
        RevocationKind::Serial => digits(&value, 1..=128),
        RevocationKind::Fingerprint | RevocationKind::Key => digits(&value, 64..=64),
    }
}

fn checked_text(value: String) -> Result<String, Fault> {
    if value.is_empty() || value.len() > 1024 || value.contains('\0') {
        return Err(Fault::in_field(Kind::Invalid, "value", "a name has 1 to 1024 bytes, none of them zero"));
    }
    Ok(value)
}

/// Hexadecimal digits as people copy them, in the one form in which they are
/// compared: lower case, of a serial in whole bytes.
fn digits(text: &str, count: std::ops::RangeInclusive<usize>) -> Result<String, Fault> {
    let text = text.trim().trim_start_matches("0x");
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | ' ')).collect::<String>().to_ascii_lowercase();
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) || !count.contains(&digits.len()) {
        let detail = format!("{text:?} is no number of {} to {} hexadecimal digits", count.start(), count.end());
        return Err(Fault::in_field(Kind::Invalid, "value", detail));
    }
    Ok(if digits.len() % 2 == 1 { format!("0{digits}") } else { digits })
}
