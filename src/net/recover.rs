//! What the store remembers comes back: sessions, subscriptions, retained
//! messages.
//!
//! What lives here: the way from rows to sessions at rest, once, before
//! anybody is listened to. What does not: queues, which are read when their
//! client is back. Invariant: a session comes back with the rights that it has
//! now; a subscription without a right ends, as it does when rights change
//! under a connection.

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::{Domain, Mailbox, Overflow, Parked};
use crate::identity::attributes::rights_with;
use crate::identity::switch::QueueOverflow;
use crate::identity::trust::TrustSnapshot;
use crate::mqtt::{ClientId, TenantId};
use crate::session::{Session, Stage, Terms};
use crate::store::rows::{DeviceRow, RowError, SessionRow, SubscriptionRow};
use crate::store::{Batch, Row, SessionUid, StoreError, StoredMessage, Table};

use super::shared::{Away, Node, Resting};
use super::{registration, remember};

/// Rows read at once.
const SLICE: usize = 1024;
/// The window of a session that nobody can say of how much it was sent.
const ANY_NUMBER: u16 = u16::MAX;

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
            let rows = self.node.store.scan(table, &[], after.as_deref(), SLICE)?;
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
        let client_id = ClientId::new(kept.client_id.as_str());
        let principal = remember::principal(domain.tenant(), &kept.keeper);
        let account = kept.account.as_deref().and_then(|account| tenant.account(account));
        let variables = remember::variables(&kept);
        let rights = rights_with(&tenant, &principal, account.map(AsRef::as_ref), &client_id, &variables);
        let overflow = match tenant.switches.queue_overflow {
            QueueOverflow::DropOldest => Overflow::DropOldest,
            QueueOverflow::DropNewest => Overflow::DropNewest,
        };
        let queue = domain.kept_queue(kept.uid, overflow)?;
        let span = self.node.store.queue_span(kept.uid)?;
        if kept.left_at.is_none() {
            // What it had acknowledged last is lost with the broker, and no window bounds that.
            kept.window = ANY_NUMBER;
        }
        let mut session = self.protocol_state(&kept, client_id)?;
        session.outbound_mut().restore_doubt(kept.window, span.end);
        let resting = Resting { session, rights, queued_before: span.end };
        let mut parked = Parked { session: resting, queue, next: span.start };
        self.subscribe(&domain, kept.uid, &mut parked, batch)?;
        let will_delay = kept.will.as_ref().map(|will| will.delay.min(kept.expiry));
        if kept.left_at.is_none() {
            // Nobody saw it leave: it left now, and another start must not count anew.
            kept.left_at = Some(self.now);
            batch.push(remember::put(domain.tenant(), &key, &kept));
        }
        let gone = self.now.saturating_sub(kept.left_at.unwrap_or(self.now));
        if domain.registry.restore(&key, principal, parked) {
            self.found.sessions += 1;
            let away = Away { domain, key, generation: 1 };
            away.schedule(self.node, Duration::from_millis(gone), will_delay, kept.expiry);
        }
        Ok(())
    }

    /// The session as its row and its queue tell of it.
    fn protocol_state(&self, kept: &SessionRow, client_id: ClientId) -> Result<Box<Session>, RecoverError> {
        let mut session = Box::new(Session::new(client_id, Terms::at_rest(kept.expiry)));
        for packet_id in self.node.store.inbound(kept.uid)? {
            session.restore_received(packet_id);
        }
        for seq in self.node.store.released(kept.uid)? {
            session.outbound_mut().restore(seq, Stage::Released);
        }
        if let Some(will) = kept.will.clone() {
            session.restore_will(Box::new(remember::will(will)));
        }
        Ok(session)
    }

    /// Enters the subscriptions of a session into the router.
    fn subscribe(
        &mut self,
        domain: &Domain<Resting>,
        uid: SessionUid,
        parked: &mut Parked<Resting>,
        batch: &mut Batch,
    ) -> Result<(), RecoverError> {
        let prefix = uid.0.to_be_bytes();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.node.store.scan(Table::Subscriptions, &prefix, after.as_deref(), SLICE)?;
            for row in &rows {
                let Some(found) = self.read(row, SubscriptionRow::decode)? else { continue };
                let Some(subscription) = remember::subscription(&row.key, found) else { continue };
                let Resting { session, rights, .. } = &mut parked.session;
                let Ok(permit) = rights.subscribe(&subscription.filter) else {
                    batch.push(remember::unsubscribed(uid, &subscription.filter));
                    continue;
                };
                let mailbox = Mailbox(Arc::clone(&parked.queue));
                domain.subscribe(&subscription.filter, mailbox, subscription.options, subscription.id, &permit);
                session.restore_subscription(subscription);
                self.found.subscriptions += 1;
            }
            match rows.into_iter().last() {
                Some(last) => after = Some(last.key),
                None => return Ok(()),
            }
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
