//! What a session must remember, as changes of the store, and back.
//!
//! What lives here: keys, and what rows say of sessions, subscriptions and
//! retained messages. What does not: when a session comes back (`recover`).
//! Invariant: what is read is what was written; domain types and rows are
//! changed into each other nowhere else.

use std::sync::Arc;

use crate::delivery::Domain;
use crate::identity::admission::{Admission, Peer};
use crate::identity::attributes;
use crate::identity::policy::Rights;
use crate::identity::principal::{Holder, Lineage, Principal};
use crate::identity::switch::Variable;
use crate::identity::trust::Tenant;
use crate::mqtt::{ClientId, TenantId, TopicFilter, TopicName};
use crate::session::{Change, Session, Subscription, Will};
use crate::store::rows::{Keeper, SessionRow, SubscriptionRow, WillRow};
use crate::store::{Batch, Op, Row, SessionUid, Store, StoreError, StoredMessage, Table};

use super::shared::Resting;

/// Rows read at once.
pub(super) const SLICE: usize = 1024;

/// A key of a table: tenant, a zero byte, ClientId or topic. None of them can
/// hold the zero byte [MQTT-1.5.4-2].
pub(super) fn key(tenant: &TenantId, name: &str) -> Vec<u8> {
    [tenant.as_str().as_bytes(), &[0], name.as_bytes()].concat()
}

/// What [`key`] joined.
pub(super) fn names(key: &[u8]) -> Option<(TenantId, &str)> {
    let (tenant, name) = std::str::from_utf8(key).ok()?.split_once('\0')?;
    Some((TenantId::new(tenant), name))
}

/// The key of a subscription: the session, then the filter.
fn subscription_key(session: SessionUid, filter: &TopicFilter) -> Vec<u8> {
    [&session.0.to_be_bytes(), filter.as_str().as_bytes()].concat()
}

/// The session exists, under the name that its admission gives it.
pub(super) fn session(
    tenant: &TenantId,
    uid: SessionUid,
    admission: &Admission,
    peer: &Peer,
    session: &Session,
    left_at: Option<u64>,
) -> Op {
    let attributes = attributes::asked_for(&admission.tenant, admission.verdict.as_deref().zip(peer.leaf()));
    let row = SessionRow {
        uid,
        client_id: session.client_id().as_str().to_owned(),
        keeper: keeper(&admission.principal),
        account: admission.account.as_ref().map(|account| account.name.clone()),
        attributes: attributes.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect(),
        expiry: session.terms().session_expiry,
        window: session.outbound().perhaps_sent(),
        left_at,
        will: session.will().map(will_row),
    };
    put(tenant, &admission.session_key, &row)
}

/// Writes a session's row.
pub(super) fn put(tenant: &TenantId, name: &ClientId, row: &SessionRow) -> Op {
    Op::Put { table: Table::Sessions, key: key(tenant, name.as_str()), value: row.encode() }
}

/// What the store says of a session; `None` when it says nothing that can be
/// read.
pub(super) fn stored(domain: &Domain<Resting>, name: &ClientId) -> Result<Option<SessionRow>, StoreError> {
    let row = domain.store().get(Table::Sessions, &key(domain.tenant(), name.as_str()))?;
    Ok(row.and_then(|row| SessionRow::decode(&row).ok()))
}

/// Rows of the subscriptions of a session behind `after`, [`SLICE`] at most.
pub(super) fn subscription_rows(
    store: &dyn Store,
    session: SessionUid,
    after: Option<&[u8]>,
) -> Result<Vec<Row>, StoreError> {
    store.scan(Table::Subscriptions, &session.0.to_be_bytes(), after, SLICE)
}

/// The rights that the client of a stored session has now.
pub(super) fn rights(tenant: &Tenant, kept: &SessionRow) -> Arc<Rights> {
    let principal = principal(&tenant.id, &kept.keeper);
    let account = kept.account.as_deref().and_then(|account| tenant.account(account));
    let client_id = ClientId::new(kept.client_id.as_str());
    attributes::rights_with(tenant, &principal, account.map(AsRef::as_ref), &client_id, &variables(kept))
}

/// The row of a session at rest, now that its will is published.
pub(super) fn without_will(domain: &Domain<Resting>, name: &ClientId) -> Batch {
    let row = stored(domain, name).ok().flatten();
    Batch { ops: row.map(|row| put(domain.tenant(), name, &SessionRow { will: None, ..row })).into_iter().collect() }
}

/// The session is gone with all that it held.
pub(super) fn ended<'a>(
    batch: &mut Batch,
    tenant: &TenantId,
    name: &ClientId,
    session: SessionUid,
    subscriptions: impl Iterator<Item = &'a Subscription>,
) {
    batch.push(Op::Delete { table: Table::Sessions, key: key(tenant, name.as_str()) });
    batch.ops.extend(subscriptions.map(|subscription| unsubscribed(session, &subscription.filter)));
    batch.push(Op::DropSession { session });
}

/// A subscription is gone.
pub(super) fn unsubscribed(session: SessionUid, filter: &TopicFilter) -> Op {
    Op::Delete { table: Table::Subscriptions, key: subscription_key(session, filter) }
}

/// A topic's retained message is replaced, or gone.
pub(super) fn retained(tenant: &TenantId, topic: TopicName<'_>, kept: Option<&StoredMessage>) -> Op {
    let (table, key) = (Table::Retained, key(tenant, topic.as_str()));
    match kept {
        Some(message) => Op::Put { table, key, value: message.encode() },
        None => Op::Delete { table, key },
    }
}

/// The retained message of a topic, as the store has it. A row that cannot be
/// understood is an error of the medium: the broker has written it.
pub(super) fn retained_message(domain: &Domain<Resting>, topic: &str) -> Result<Option<StoredMessage>, StoreError> {
    let row = domain.store().get(Table::Retained, &key(domain.tenant(), topic))?;
    row.map(|row| StoredMessage::decode(&row).map_err(|error| StoreError::Io(error.to_string()))).transpose()
}

/// A change of the protocol state.
pub(super) fn changed(session: SessionUid, change: Change) -> Op {
    match change {
        Change::Inbound { packet_id, held } => Op::SetInbound { session, packet_id, held },
        Change::Released { seq } => Op::Released { session, seq },
        Change::Subscribed(Subscription { filter, options, id }) => {
            let row = SubscriptionRow { options, id: id.map_or(0, u32::from) };
            Op::Put { table: Table::Subscriptions, key: subscription_key(session, &filter), value: row.encode() }
        }
        Change::Unsubscribed(filter) => unsubscribed(session, &filter),
    }
}

/// The subscription that a row and its key tell of.
pub(super) fn subscription(key: &[u8], row: SubscriptionRow) -> Option<Subscription> {
    let filter = std::str::from_utf8(key.get(size_of::<u64>()..)?).ok()?;
    let filter = TopicFilter::new(filter).ok()?;
    Some(Subscription { filter, options: row.options, id: std::num::NonZeroU32::new(row.id) })
}

/// For whom a row says that its session is kept.
pub(super) fn principal(tenant: &TenantId, keeper: &Keeper) -> Principal {
    let holder = match keeper {
        Keeper::Certificate { platform, common_name } => Holder::Certificate {
            lineage: platform.as_deref().map_or(Lineage::Tenant, |name| Lineage::Platform(Arc::from(name))),
            common_name: Arc::from(common_name.as_str()),
        },
        Keeper::Account(name) => Holder::Account(Arc::from(name.as_str())),
        Keeper::Anonymous => Holder::Anonymous,
    };
    Principal { tenant: tenant.clone(), holder }
}

fn keeper(principal: &Principal) -> Keeper {
    match &principal.holder {
        Holder::Certificate { lineage, common_name } => Keeper::Certificate {
            platform: match lineage {
                Lineage::Tenant => None,
                Lineage::Platform(name) => Some(name.to_string()),
            },
            common_name: common_name.to_string(),
        },
        Holder::Account(name) => Keeper::Account(name.to_string()),
        Holder::Anonymous => Keeper::Anonymous,
    }
}

/// What rights ask of the certificate. A variable that is unknown by now is
/// left out: what is not set denies.
fn variables(row: &SessionRow) -> Vec<(Variable, String)> {
    let known = row.attributes.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.clone())));
    known.collect()
}

/// The will that a row tells of.
pub(super) fn will(row: WillRow) -> Will {
    let WillRow { topic, payload, qos, retain, delay, properties, expiry } = row;
    Will { topic: topic.into(), payload: payload.into(), qos, retain, delay, properties: properties.into(), expiry }
}

fn will_row(will: &Will) -> WillRow {
    WillRow {
        topic: will.topic.to_string(),
        payload: will.payload.to_vec(),
        qos: will.qos,
        retain: will.retain,
        delay: will.delay,
        properties: will.properties.to_vec(),
        expiry: will.expiry,
    }
}
