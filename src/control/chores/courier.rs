//! Bringing notices to where they go.
//!
//! What lives here: which way a tenant's notices take, how often each is
//! tried, and what is said of a way that does not work. What does not: the
//! ways themselves (`mail`, `webhook`). Invariant: a way that fails holds up
//! no other, and is complained of once until it works again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::ca::authority::{Authority, Fault, Tried, Way};
use crate::ca::record::NoticeRow;
use crate::control::settings::{NoticeSettings, NoticeWays};
use crate::telemetry::metrics::Counter;

use super::mail::MailError;

/// How often a notice is tried on one way.
const TRIES: u32 = 60;

/// Brings notices to mail servers and web addresses.
pub(super) struct Courier {
    everywhere: NoticeWays,
    tenants: BTreeMap<String, NoticeWays>,
    /// The ways whose last try failed: it is said once.
    failing: BTreeSet<Route>,
}

/// A way, and the tenant that has it for itself.
type Route = (Way, Option<String>);

impl Courier {
    pub(super) fn new(settings: NoticeSettings) -> Self {
        Self { everywhere: settings.everywhere, tenants: settings.tenants, failing: BTreeSet::new() }
    }

    /// Tries to bring everything that waits.
    pub(super) async fn deliver(&mut self, authority: &Authority) -> Result<(), Fault> {
        for way in Way::ALL {
            let mut failed = BTreeSet::new();
            for notice in authority.unsent_notices(way) {
                let Some((ways, route)) = self.route(way, &notice.tenant) else { continue };
                if failed.contains(&route) {
                    continue; // it would fail as well
                }
                let done = match (way, &ways.mail, &ways.webhook) {
                    (Way::Mail, Some(mail), _) => mail.send(&notice).await.map_err(Failure::from),
                    (Way::Webhook, _, Some(hook)) => {
                        let now = authority.clock().unix_seconds();
                        hook.post(&notice, now).await.map_err(|error| Failure::Again(error.to_string()))
                    }
                    _ => continue,
                };
                let tried = self.judge(&route, &notice, done);
                if tried == Tried::Failed {
                    failed.insert(route);
                }
                authority.note_notice(&notice, way, tried).await?;
            }
        }
        Ok(())
    }

    /// The tenant's own way, else that of all.
    fn route(&self, way: Way, tenant: &str) -> Option<(NoticeWays, Route)> {
        let has = |ways: &NoticeWays| match way {
            Way::Mail => ways.mail.is_some(),
            Way::Webhook => ways.webhook.is_some(),
        };
        if let Some(own) = self.tenants.get(tenant).filter(|ways| has(ways)) {
            return Some((own.clone(), (way, Some(tenant.to_owned()))));
        }
        has(&self.everywhere).then(|| (self.everywhere.clone(), (way, None)))
    }

    fn judge(&mut self, route: &Route, notice: &NoticeRow, done: Result<(), Failure>) -> Tried {
        let (sent, failures) = match route.0 {
            Way::Mail => (Counter::NoticesMailed, Counter::NoticeMailFailures),
            Way::Webhook => (Counter::NoticesPosted, Counter::NoticePostFailures),
        };
        let failure = match done {
            Ok(()) => {
                sent.add(1);
                self.failing.remove(route);
                return Tried::Sent;
            }
            Err(failure) => failure,
        };
        failures.add(1);
        let (id, way) = (notice.id.as_str(), route.0.as_str());
        match failure {
            Failure::Never(error) => {
                tracing::warn!(notice = id, way, %error, "a notice cannot be sent; it stays in the outbox");
                Tried::GivenUp
            }
            Failure::Again(error) if notice.attempts_by(route.0 == Way::Webhook) + 1 >= TRIES => {
                tracing::warn!(notice = id, way, %error, "a notice was given up; it stays in the outbox");
                Tried::GivenUp
            }
            Failure::Again(error) => {
                if self.failing.insert(route.clone()) {
                    let tenant = route.1.as_deref().unwrap_or_default();
                    tracing::warn!(way, tenant, %error, "notices cannot be sent; they wait in the outbox");
                }
                Tried::Failed
            }
        }
    }
}

/// Why a try failed.
enum Failure {
    /// It may work later.
    Again(String),
    /// It never will.
    Never(String),
}

impl From<MailError> for Failure {
    fn from(error: MailError) -> Self {
        let text = |error: &dyn Display| error.to_string();
        match &error {
            MailError::NoMail(_) => Self::Never(text(&error)),
            MailError::Io(_) | MailError::Server(_) | MailError::Late => Self::Again(text(&error)),
        }
    }
}
