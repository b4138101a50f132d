//! Notices of a certificate's life (CEN-EXP-01, CEN-EXP-02).
//!
//! What lives here: which notices are due, and the outbox that they wait in.
//! What does not: sending them (`control`). Invariant: a notice is written
//! once, in the batch that notes that it was.

use super::access::Scope;
use super::caller::Caller;
use super::draft::Draft;
use super::fault::Fault;
use super::state::each;
use super::{Authority, random};
use crate::ca::record::{CertificateRow, CertificateUse, NoticeRow};
use crate::identity::certificate::date;

/// Days before the end at which a notice goes out; 0 is the end itself.
const DAYS: [u16; 5] = [30, 14, 7, 1, 0];
const DAY: u64 = 86_400_000;
/// Notices that are kept; the oldest go first.
const MOST: usize = 10_000;

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    Issued,
    Ends(u16),
}

impl Notice {
    fn subject(self) -> String {
        match self {
            Self::Issued => "Your certificate was issued".to_owned(),
            Self::Ends(0) => "Your certificate has expired".to_owned(),
            Self::Ends(1) => "Your certificate expires in 1 day".to_owned(),
            Self::Ends(days) => format!("Your certificate expires in {days} days"),
        }
    }

    /// Puts it into the outbox.
    pub(super) fn put(self, draft: &mut Draft<'_>, row: &CertificateRow) -> Result<(), Fault> {
        let Some(to) = row.owner.clone() else { return Ok(()) };
        let until = date(i64::try_from(row.not_after / 1000).unwrap_or(i64::MAX));
        let remedy = match self {
            Self::Issued => "It works at once.",
            Self::Ends(0) => "It is not accepted any more. Hand in a new certificate request.",
            Self::Ends(_) => "Hand in a new certificate request before that day; user name and password stay.",
        };
        let body = format!(
            "Tenant: {}\nCompany: {}\nSerial number: {}\nValid until: {until}\n\n{remedy}\n",
            row.tenant, row.name, row.serial
        );
        let row = NoticeRow {
            id: random::ulid(draft.now)?,
            tenant: row.tenant.clone(),
            to,
            subject: self.subject(),
            body,
            certificate: row.id.clone(),
            sent_at: None,
            attempts: 0,
            created_at: draft.now,
        };
        draft.store_row(&row, None);
        Ok(())
    }
}

impl Authority {
    /// Writes every notice that is due now; answers how many. To be called now
    /// and then.
    ///
    /// # Errors
    /// The store takes nothing.
    pub async fn write_notices(&self) -> Result<usize, Fault> {
        let now = self.clock.unix_millis();
        let mut due = Vec::new();
        for tenant in self.state().tenant_names() {
            each::<CertificateRow, Fault>(self.store.as_ref(), &[&tenant], |row| {
                due.extend(due_of(&row, now).map(|days| (row, days)));
                Ok(())
            })?;
        }
        let count = due.len();
        for (row, days) in due {
            self.change(&Caller::broker(), "certificate.notice", |draft| {
                draft.concerns(&row.tenant);
                let mut noticed = row.clone();
                // What was missed while the broker was down is not sent late.
                noticed.noticed = DAYS.into_iter().filter(|earlier| *earlier >= days).collect();
                draft.store_row(&noticed, Some(&row));
                Notice::Ends(days).put(draft, &row)
            })
            .await?;
        }
        Ok(count)
    }

    /// The notices of a tenant, oldest first; of all tenants without one.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn notices(&self, caller: &Caller, tenant: Option<&str>) -> Result<Vec<NoticeRow>, Fault> {
        match tenant {
            Some(tenant) => caller.needs(Scope::CertificatesRead, tenant)?,
            None => caller.needs_everywhere(Scope::CertificatesRead)?,
        }
        self.outbox(|row| tenant.is_none_or(|tenant| row.tenant == tenant))
    }

    /// The notices that were not sent yet, oldest first.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn unsent_notices(&self) -> Result<Vec<NoticeRow>, Fault> {
        self.outbox(|row| row.sent_at.is_none())
    }

    fn outbox(&self, wanted: impl Fn(&NoticeRow) -> bool) -> Result<Vec<NoticeRow>, Fault> {
        let mut found = Vec::new();
        each::<NoticeRow, Fault>(self.store.as_ref(), &[], |row| {
            if wanted(&row) {
                found.push(row);
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Notes that a notice was sent, or that it could not be.
    ///
    /// # Errors
    /// The store takes nothing.
    pub async fn note_notice(&self, old: &NoticeRow, was_sent: bool) -> Result<(), Fault> {
        self.change(&Caller::broker(), "notice.send", |draft| {
            draft.concerns(&old.tenant);
            let sent_at = was_sent.then_some(draft.now);
            draft.store_row(&NoticeRow { sent_at, attempts: old.attempts + 1, ..old.clone() }, Some(old));
            Ok(())
        })
        .await
    }

    /// Takes the oldest notices away when there are more than are kept.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn sweep_notices(&self) -> Result<(), Fault> {
        let all = self.outbox(|_| true)?;
        let Some(surplus) = all.len().checked_sub(MOST).filter(|surplus| *surplus > 0) else { return Ok(()) };
        self.change(&Caller::broker(), "notice.sweep", |draft| {
            all.iter().take(surplus).for_each(|row| draft.drop_row(row));
            Ok(())
        })
        .await
    }
}

/// The notice that is due for a certificate: the latest that was not sent.
fn due_of(row: &CertificateRow, now: u64) -> Option<u16> {
    if row.used_for != CertificateUse::Grant || row.revoked_at.is_some() {
        return None;
    }
    let is_over = |days: u16| now + u64::from(days) * DAY >= row.not_after;
    let latest = DAYS.into_iter().filter(|days| is_over(*days)).min()?;
    (!row.noticed.contains(&latest)).then_some(latest)
}
