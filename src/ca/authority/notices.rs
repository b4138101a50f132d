//! Notices of a certificate's life (CEN-EXP-01, CEN-EXP-02).
//!
//! What lives here: which notices are due, and the outbox that they wait in.
//! What does not: sending them (`control`). Invariant: a notice is written
//! once, in the batch that notes that it was.

use std::sync::Arc;

use super::access::Scope;
use super::caller::Caller;
use super::draft::Draft;
use super::fault::Fault;
use super::state::each;
use super::{Authority, random};
use crate::ca::record::{CertificateRow, CertificateUse, NoticeRow, Posting};
use crate::identity::certificate::date;
use crate::identity::switch::Profile;

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

/// How a notice goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// By mail.
    Mail,
    /// As a post to a web address.
    Webhook,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Mail, Self::Webhook];

    /// Its name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }
}

/// What came of sending a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It was sent.
    Sent,
    /// It was not, and may be later.
    Failed,
    /// It was not, and never will be.
    GivenUp,
}

/// A notice that is due.
#[derive(Clone, Debug)]
pub struct DueNotice {
    row: CertificateRow,
    /// Days before the end; 0 is the end itself.
    days: u16,
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

    const fn event(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Ends(0) => "ended",
            Self::Ends(_) => "ends",
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
            given_up: false,
            event: self.event().to_owned(),
            post: Posting::default(),
            created_at: draft.now,
        };
        let state = draft.state;
        let surplus = (state.notices.iter().count() + 1).saturating_sub(MOST);
        state.notices.iter().take(surplus).for_each(|oldest| draft.remove(oldest.as_ref()));
        draft.put(row);
        Ok(())
    }
}

impl Authority {
    /// The grants whose notices are due now. It reads every grant: not where
    /// others wait.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn due_notices(&self) -> Result<Vec<DueNotice>, Fault> {
        let now = self.clock.unix_millis();
        let mut due = Vec::new();
        let tenants = self.state().tenants_of(Profile::Centiloc);
        for tenant in tenants {
            each::<CertificateRow, Fault>(self.store.as_ref(), &[&tenant], |row| {
                due.extend(due_of(&row, now).map(|days| DueNotice { row, days }));
                Ok(())
            })?;
        }
        Ok(due)
    }

    /// Puts a notice that is due into the outbox.
    ///
    /// # Errors
    /// The store takes nothing.
    pub async fn write_notice(&self, due: DueNotice) -> Result<(), Fault> {
        self.change(&Caller::broker(), "certificate.notice", |draft| {
            let DueNotice { row, days } = due;
            draft.concerns(&row.tenant);
            let mut noticed = row.clone();
            // What was missed while the broker was down is not sent late.
            noticed.noticed = DAYS.into_iter().filter(|earlier| *earlier >= days).collect();
            draft.store_row(&noticed, Some(&row));
            Notice::Ends(days).put(draft, &row)
        })
        .await
    }

    /// The notices of a tenant, oldest first; of all tenants without one.
    ///
    /// # Errors
    /// The caller may not see them.
    pub fn notices(&self, caller: &Caller, tenant: Option<&str>) -> Result<Vec<Arc<NoticeRow>>, Fault> {
        match tenant {
            Some(tenant) => caller.needs(Scope::CertificatesRead, tenant)?,
            None => caller.needs_everywhere(Scope::CertificatesRead)?,
        }
        let wanted = |row: &&Arc<NoticeRow>| tenant.is_none_or(|tenant| row.tenant == tenant);
        Ok(self.state().notices.iter().filter(wanted).cloned().collect())
    }

    /// The notices that are still to be sent on this way, oldest first.
    #[must_use]
    pub fn unsent_notices(&self, way: Way) -> Vec<Arc<NoticeRow>> {
        let waits = |row: &&Arc<NoticeRow>| match way {
            Way::Mail => row.sent_at.is_none() && !row.given_up,
            Way::Webhook => row.post.sent_at.is_none() && !row.post.given_up,
        };
        self.state().notices.iter().filter(waits).cloned().collect()
    }

    /// Notes what came of sending a notice. One that had to make room
    /// meanwhile is forgotten.
    ///
    /// # Errors
    /// The store takes nothing.
    pub async fn note_notice(&self, notice: &NoticeRow, way: Way, tried: Tried) -> Result<(), Fault> {
        self.change(&Caller::broker(), "notice.send", |draft| {
            draft.concerns(&notice.tenant);
            let Some(old) = draft.state.notices.get(&[&notice.id]) else { return Ok(()) };
            let mut row = old.as_ref().clone();
            let sent_at = (tried == Tried::Sent).then_some(draft.now);
            let given_up = tried == Tried::GivenUp;
            match way {
                Way::Mail => (row.sent_at, row.given_up, row.attempts) = (sent_at, given_up, row.attempts + 1),
                Way::Webhook => row.post = Posting { sent_at, given_up, attempts: row.post.attempts + 1 },
            }
            draft.put(row);
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
