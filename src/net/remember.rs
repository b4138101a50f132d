//! What a session must remember, as changes of the store.

use crate::mqtt::{ClientId, MessageView, TenantId, TopicFilter};
use crate::session::{Change, Subscription};
use crate::store::{Batch, Op, SessionUid, Table};

/// The key of a session in its table: tenant, a zero byte, ClientId. Neither
/// name can hold the zero byte [MQTT-1.5.4-2].
fn session_key(tenant: &TenantId, client: &ClientId) -> Vec<u8> {
    [tenant.as_str().as_bytes(), &[0], client.as_str().as_bytes()].concat()
}

/// The key of a subscription: the session, then the filter.
fn subscription_key(session: SessionUid, filter: &TopicFilter) -> Vec<u8> {
    [&session.0.to_be_bytes(), filter.as_str().as_bytes()].concat()
}

/// The session exists, under this name, for this long after its connection.
pub(super) fn created(batch: &mut Batch, tenant: &TenantId, client: &ClientId, session: SessionUid, expiry: u32) {
    let value = [session.0.to_be_bytes().as_slice(), &expiry.to_be_bytes()].concat();
    batch.push(Op::Put { table: Table::Sessions, key: session_key(tenant, client), value });
}

/// The session is gone with all that it held.
pub(super) fn ended<'a>(
    batch: &mut Batch,
    tenant: &TenantId,
    client: &ClientId,
    session: SessionUid,
    subscriptions: impl Iterator<Item = &'a Subscription>,
) {
    batch.push(Op::Delete { table: Table::Sessions, key: session_key(tenant, client) });
    for subscription in subscriptions {
        batch.push(Op::Delete { table: Table::Subscriptions, key: subscription_key(session, &subscription.filter) });
    }
    batch.push(Op::DropSession { session });
}

/// A topic's retained message is replaced, or cleared by an empty payload.
pub(super) fn retained(tenant: &TenantId, message: &MessageView<'_>) -> Op {
    let key = [tenant.as_str().as_bytes(), &[0], message.topic.as_str().as_bytes()].concat();
    if message.payload.is_empty() {
        Op::Delete { table: Table::Retained, key }
    } else {
        Op::Put { table: Table::Retained, key, value: message.payload.to_vec() }
    }
}

/// A change of the protocol state.
pub(super) fn changed(session: SessionUid, change: Change) -> Op {
    match change {
        Change::Inbound { packet_id, held } => Op::SetInbound { session, packet_id, held },
        Change::Released { seq } => Op::Released { session, seq },
        Change::Subscribed(subscription) => {
            let id = subscription.id.map_or(0, u32::from);
            let value = [[subscription.options.bits()].as_slice(), &id.to_be_bytes()].concat();
            Op::Put { table: Table::Subscriptions, key: subscription_key(session, &subscription.filter), value }
        }
        Change::Unsubscribed(filter) => {
            Op::Delete { table: Table::Subscriptions, key: subscription_key(session, &filter) }
        }
    }
}
