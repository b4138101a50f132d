//! The rows of the tables that the data plane keeps.
//!
//! Keys are made here too, so that whoever reads a row back knows whose it is.

use super::{Decoder, Malformed, VERSION, bytes, number, read_message, write_message};
use crate::store::{SessionUid, StoredMessage};

fn row(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    // The checksum is that of the record around it.
    let mut value = vec![VERSION];
    write(&mut value);
    value
}

fn open(value: &[u8]) -> Result<Decoder<'_>, Malformed> {
    match value.split_first() {
        Some((&VERSION, rest)) => Ok(Decoder::new(rest)),
        Some((&version, _)) => Err(Malformed::Newer(version)),
        None => Err(Malformed::Short),
    }
}

/// A name within a tenant. Neither part can hold the zero byte between them
/// [MQTT-1.5.4-2].
fn named(tenant: &str, name: &str) -> Vec<u8> {
    [tenant.as_bytes(), &[0], name.as_bytes()].concat()
}

fn names(key: &[u8]) -> Option<(&str, &str)> {
    let key = std::str::from_utf8(key).ok()?;
    key.split_once('\0')
}

/// A persistent session, by tenant and client identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Its life.
    pub uid: SessionUid,
    /// Seconds that it outlives its connection; `u32::MAX` is for ever.
    pub expiry: u32,
    /// When its last connection ended, in milliseconds since 1970; `None`
    /// while it is connected, or when the broker did not see it end.
    pub left_at: Option<u64>,
    /// The principal that proved itself, as text: who may resume it.
    pub principal: Box<str>,
}

impl SessionRow {
    /// The key of a session.
    #[must_use]
    pub fn key(tenant: &str, client_id: &str) -> Vec<u8> {
        named(tenant, client_id)
    }

    /// Tenant and client identifier of a key.
    #[must_use]
    pub fn names(key: &[u8]) -> Option<(&str, &str)> {
        names(key)
    }

    /// What is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        row(|into| {
            number(into, self.uid.0);
            number(into, self.expiry.into());
            number(into, self.left_at.map_or(0, |at| at.saturating_add(1)));
            bytes(into, self.principal.as_bytes());
        })
    }

    /// Reads what was stored.
    ///
    /// # Errors
    /// The bytes are no such row.
    pub fn from_bytes(value: &[u8]) -> Result<Self, Malformed> {
        let mut from = open(value)?;
        let uid = SessionUid(from.number()?);
        let expiry = from.small("session expiry")?;
        let left_at = from.number()?.checked_sub(1);
        let principal = from.text("principal")?.into();
        from.end().map(|()| Self { uid, expiry, left_at, principal })
    }
}

/// A subscription of a persistent session, by session and filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// The option byte of SUBSCRIBE.
    pub options: u8,
    /// The subscription identifier; 0 for none.
    pub id: u32,
}

impl SubscriptionRow {
    /// The key of a subscription.
    #[must_use]
    pub fn key(session: SessionUid, filter: &str) -> Vec<u8> {
        [Self::prefix(session).as_slice(), filter.as_bytes()].concat()
    }

    /// What the keys of a session's subscriptions begin with.
    #[must_use]
    pub const fn prefix(session: SessionUid) -> [u8; 8] {
        session.0.to_be_bytes()
    }

    /// The filter of a key.
    #[must_use]
    pub fn filter(key: &[u8]) -> Option<&str> {
        std::str::from_utf8(key.get(8..)?).ok()
    }

    /// What is stored.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        row(|into| {
            into.push(self.options);
            number(into, self.id.into());
        })
    }

    /// Reads what was stored.
    ///
    /// # Errors
    /// The bytes are no such row.
    pub fn from_bytes(value: &[u8]) -> Result<Self, Malformed> {
        let mut from = open(value)?;
        let row = Self { options: from.byte()?, id: from.small("subscription identifier")? };
        from.end().map(|()| row)
    }
}

/// A retained message, by tenant and topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedRow {
    /// Orders the writes of several owners: the highest wins.
    pub version: (u32, u64),
    /// The message.
    pub message: StoredMessage,
}

impl RetainedRow {
    /// The key of a topic.
    #[must_use]
    pub fn key(tenant: &str, topic: &str) -> Vec<u8> {
        named(tenant, topic)
    }

    /// Tenant and topic of a key.
    #[must_use]
    pub fn names(key: &[u8]) -> Option<(&str, &str)> {
        names(key)
    }

    /// What is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Self::encode(self.version, &self.message)
    }

    /// What is stored of a message that is only borrowed.
    #[must_use]
    pub fn encode(version: (u32, u64), message: &StoredMessage) -> Vec<u8> {
        row(|into| {
            number(into, version.0.into());
            number(into, version.1);
            write_message(into, message);
        })
    }

    /// Reads what was stored.
    ///
    /// # Errors
    /// The bytes are no such row.
    pub fn from_bytes(value: &[u8]) -> Result<Self, Malformed> {
        let mut from = open(value)?;
        let version = (from.small("epoch")?, from.number()?);
        let message = read_message(&mut from)?;
        from.end().map(|()| Self { version, message })
    }
}

/// A will of a persistent session, by session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillRow {
    /// When it is due, in milliseconds since 1970; `None` while its client is
    /// connected.
    pub due_at: Option<u64>,
    /// Seconds that it waits when the connection ends.
    pub delay: u32,
    /// The RETAIN flag.
    pub retain: bool,
    /// What it says.
    pub message: StoredMessage,
    /// Seconds that the message may wait for its recipients.
    pub expiry: Option<u32>,
}

impl WillRow {
    /// The key of a session's will.
    #[must_use]
    pub const fn key(session: SessionUid) -> [u8; 8] {
        session.0.to_be_bytes()
    }

    /// The session of a key.
    #[must_use]
    pub fn session(key: &[u8]) -> Option<SessionUid> {
        Some(SessionUid(u64::from_be_bytes(*key.first_chunk::<8>().filter(|_| key.len() == 8)?)))
    }

    /// What is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        row(|into| {
            number(into, self.due_at.map_or(0, |at| at.saturating_add(1)));
            number(into, self.delay.into());
            into.push(self.retain.into());
            number(into, self.expiry.map_or(0, |seconds| u64::from(seconds) + 1));
            write_message(into, &self.message);
        })
    }

    /// Reads what was stored.
    ///
    /// # Errors
    /// The bytes are no such row.
    pub fn from_bytes(value: &[u8]) -> Result<Self, Malformed> {
        let mut from = open(value)?;
        let due_at = from.number()?.checked_sub(1);
        let delay = from.small("delay")?;
        let retain = match from.byte()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed::Field("retain flag")),
        };
        let expiry = match from.number()? {
            0 => None,
            more => Some(u32::try_from(more - 1).map_err(|_| Malformed::Field("expiry"))?),
        };
        let message = read_message(&mut from)?;
        from.end().map(|()| Self { due_at, delay, retain, message, expiry })
    }
}
