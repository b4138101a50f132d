//! What the store remembers comes back: sessions, subscriptions, retained
//! messages.
//!
//! What lives here: the way from rows to sessions that sleep, once, before
//! anybody is listened to. What does not: the sessions themselves (`wake`) and
//! their queues, which are read when their client is back. Invariant: a session
//! comes back with the rights that it has now; a subscription without a right
//! ends, as it does when rights change under a connection.

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::{Domain, Mailbox, Overflow};
use crate::identity::policy::Rights;
use crate::identity::switch::QueueOverflow;
use crate::identity::trust::TrustSnapshot;
use crate::mqtt::{ClientId, TenantId};
use crate::store::rows::{DeviceRow, RowError, SessionRow, SubscriptionRow};
use crate::store::{Batch, Row, StoreError, StoredMessage, Table};

use super::due::Away;
use super::shared::{Node, Resting};
use super::{registration, remember, wake};

/// Why what is stored cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row was written by a later version.
    #[error("{0}")]
    Newer(RowError),
}

/// What came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Devices that are known.
    pub devices: usize,
    /// Sessions at rest.
    pub sessions: usize,
    /// Their subscriptions.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained: usize,
    /// Rows of tenants that are not configured. They stay where they are.
    pub strangers: usize,
    /// Rows that could not be read. They stay where they are.
    pub damaged: usize,
}

/// Puts back what the store remembers.
///
/// # Errors
/// When the store cannot be read, or a later version wrote it.
pub fn recover(node: &Node) -> Result<Recovered, RecoverError> {
    let mut recovery =
        Recovery { node, trust: node.trust.current(), now: node.clock.unix_millis(), found: Recovered::default() };
    recovery.each(Table::Registrations, Recovery::device)?;
    recovery.each(Table::Retained, Recovery::retained)?;
    recovery.each(Table::Sessions, Recovery::session)?;
    Ok(recovery.found)
}

struct Recovery<'a> {
    node: &'a Node,
    trust: Arc<TrustSnapshot>,
    /// Wall time in milliseconds since 1970.
    now: u64,
    found: Recovered,
}

impl Recovery<'_> {
    /// Gives every row of a table to `take`, and appends what that answers.
    fn each(
        &mut self,
        table: Table,
        take: fn(&mut Self, &Row, &mut Batch) -> Result<(), RecoverError>,
    ) -> Result<(), RecoverError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.node.store.scan(table, &[], after.as_deref(), remember::SLICE)?;
            let mut batch = Batch::default();
            for row in &rows {
                take(self, row, &mut batch)?;
            }
            // A store that has no room for it finds the same at the next start.
            let _ = self.node.store.append(batch);
            match rows.into_iter().last() {
                Some(last) => after = Some(last.key),
                None => return Ok(()),
            }
        }
    }

    fn retained(&mut self, row: &Row, batch: &mut Batch) -> Result<(), RecoverError> {
        let Some((domain, _)) = self.place(row) else { return Ok(()) };
        let Some(message) = self.read(row, StoredMessage::decode)? else { return Ok(()) };
        if message.expires_at.is_some_and(|at| at <= self.now) {
            batch.push(crate::store::Op::Delete { table: Table::Retained, key: row.key.clone() });
        } else {
            domain.retained.restore(message);
            self.found.retained += 1;
        }
        Ok(())
    }

    /// Of tenants that are not configured too: they may be, before the next
    /// start.
    fn device(&mut self, row: &Row, _batch: &mut Batch) -> Result<(), RecoverError> {
        let Some((tenant, name)) = remember::names(&row.key) else {
            self.found.damaged += 1;
            return Ok(());
        };
        let Some(device) = self.read(row, DeviceRow::decode)? else { return Ok(()) };
        self.trust.devices().of(&tenant).insert(name, registration::known(&device));
        self.found.devices += 1;
        Ok(())
    }

    fn session(&mut self, row: &Row, batch: &mut Batch) -> Result<(), RecoverError> {
        let Some((domain, name)) = self.place(row) else { return Ok(()) };
        let Some(mut kept) = self.read(row, SessionRow::decode)? else { return Ok(()) };
        let Some(tenant) = self.trust.tenant(domain.tenant()).cloned() else { return Ok(()) };
        let key = ClientId::new(name);
        let rights = remember::rights(&tenant, &kept);
        let overflow = match tenant.switches.queue_overflow {
            QueueOverflow::DropOldest => Overflow::DropOldest,
            QueueOverflow::DropNewest => Overflow::DropNewest,
        };
        let queue = domain.kept_queue(kept.uid, overflow)?;
        let gone = Duration::from_millis(self.now.saturating_sub(kept.left_at.unwrap_or(self.now)));
        let ends = self.node.agenda.end(kept.expiry, gone);
        if !domain.registry.lay(key.clone(), Arc::clone(&queue), ends) {
            return Ok(());
        }
        self.found.sessions += 1;
        self.subscribe(&domain, &Mailbox(queue), &rights, batch)?;
        let will_delay = kept.will.as_ref().map(|will| will.delay.min(kept.expiry));
        if kept.left_at.is_none() {
            // Nobody saw it leave: it left now, and another start must not count
            // anew. What it had acknowledged last is lost with the broker, and
            // no window bounds that.
            (kept.left_at, kept.window) = (Some(self.now), wake::ANY_NUMBER);
            batch.push(remember::put(domain.tenant(), &key, &kept));
        }
        let away = Away { domain, key, generation: 1 };
        self.node.agenda.enter(away, gone, will_delay, kept.expiry, ends);
        Ok(())
    }

    /// Enters the subscriptions of a session into the router.
    fn subscribe(
        &mut self,
        domain: &Domain<Resting>,
        mailbox: &Mailbox,
        rights: &Rights,
        batch: &mut Batch,
    ) -> Result<(), RecoverError> {
        let uid = mailbox.0.uid();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = remember::subscription_rows(&*self.node.store, uid, after.as_deref())?;
            for row in &rows {
                let Some(found) = self.read(row, SubscriptionRow::decode)? else { continue };
                let Some(subscription) = remember::subscription(&row.key, found) else { continue };
                let Ok(permit) = rights.subscribe(&subscription.filter) else {
                    batch.push(remember::unsubscribed(uid, &subscription.filter));
                    continue;
                };
                domain.subscribe(&subscription.filter, mailbox.clone(), subscription.options, subscription.id, &permit);
                self.found.subscriptions += 1;
            }
            if rows.len() < remember::SLICE {
                return Ok(());
            }
            after = rows.into_iter().last().map(|row| row.key);
        }
    }

    /// The topic space that a row belongs to, and the name in its key.
    fn place<'r>(&mut self, row: &'r Row) -> Option<(Arc<Domain<Resting>>, &'r str)> {
        let Some((tenant, name)): Option<(TenantId, &str)> = remember::names(&row.key) else {
            self.found.damaged += 1;
            return None;
        };
        if self.trust.tenant(&tenant).is_none() {
            self.found.strangers += 1;
            return None;
        }
        Some((self.node.domains.of(&tenant), name))
    }

    fn read<T>(&mut self, row: &Row, decode: fn(&[u8]) -> Result<T, RowError>) -> Result<Option<T>, RecoverError> {
        match decode(&row.value) {
            Ok(found) => Ok(Some(found)),
            Err(RowError::Damaged) => {
                self.found.damaged += 1;
                Ok(None)
            }
            Err(newer) => Err(RecoverError::Newer(newer)),
        }
    }
}
