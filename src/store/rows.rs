//! The values of the tables, as bytes.
//!
//! What lives here: what a row of each table says, and its form. What does
//! not: keys (`net/remember` makes them), what a backend adds to a row.
//! Invariant: a row begins with the version of its form, and reading one never
//! panics; a row of a newer form is refused.
//!
//! Numbers are big-endian. A text or a run of bytes is a 32-bit length, then
//! the bytes; an optional field is one byte 0 or 1, then the field.

mod device;

use bytes::Bytes;

pub use device::{DeviceRow, Origin};

use super::{SessionUid, StoredMessage};
use crate::mqtt::{MessageId, Qos, SubscriptionOptions};

/// The form that is written.
const VERSION: u8 = 1;

/// Why a row cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A later version of the broker wrote it.
    #[error("the row has form {0}, this version reads up to {VERSION}; use the version that wrote it")]
    Newer(u8),
    /// It is not whole.
    #[error("the row is damaged")]
    Damaged,
}

/// For whom a session is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The holder of a certificate with this CN.
    Certificate {
        /// The name of the CA that signs for many tenants; none for the
        /// tenant's own.
        platform: Option<String>,
        /// The subject CN.
        common_name: String,
    },
    /// An account.
    Account(String),
    /// Nobody in particular.
    Anonymous,
}

/// A session that outlives its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The name of this life of the session.
    pub uid: SessionUid,
    /// Its ClientId.
    pub client_id: String,
    /// For whom it is kept.
    pub keeper: Keeper,
    /// The account that was proved, alone or beside a certificate.
    pub account: Option<String>,
    /// What else the certificate said, as far as rights ask for it.
    pub attributes: Vec<(String, String)>,
    /// Seconds that it outlives a connection; `u32::MAX` never ends.
    pub expiry: u32,
    /// Its oldest messages that may have been sent; `u16::MAX` for any number.
    pub window: u16,
    /// When its last connection ended, in milliseconds since 1970; none while
    /// there is one.
    pub left_at: Option<u64>,
    /// The will that is to be published.
    pub will: Option<WillRow>,
}

/// A will, as the session keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillRow {
    /// Where to.
    pub topic: String,
    /// The application's bytes.
    pub payload: Vec<u8>,
    /// The quality of service.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// Seconds to wait before it is published.
    pub delay: u32,
    /// Properties that are passed on, in wire form.
    pub properties: Vec<u8>,
    /// Its message expiry in seconds.
    pub expiry: Option<u32>,
}

/// A subscription; its filter is in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// How it is to be delivered.
    pub options: SubscriptionOptions,
    /// The identifier that deliveries carry; 0 is none.
    pub id: u32,
}

impl SessionRow {
    /// The row as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Writer::new();
        row.u64(self.uid.0);
        row.text(&self.client_id);
        match &self.keeper {
            Keeper::Certificate { platform, common_name } => {
                row.u8(0);
                row.option(platform.as_ref(), |row, name| row.text(name));
                row.text(common_name);
            }
            Keeper::Account(name) => {
                row.u8(1);
                row.text(name);
            }
            Keeper::Anonymous => row.u8(2),
        }
        row.option(self.account.as_ref(), |row, name| row.text(name));
        row.u32(u32::try_from(self.attributes.len()).unwrap_or(u32::MAX));
        for (name, value) in &self.attributes {
            row.text(name);
            row.text(value);
        }
        row.u32(self.expiry);
        row.u16(self.window);
        row.option(self.left_at.as_ref(), |row, at| row.u64(*at));
        row.option(self.will.as_ref(), |row, will| will.write(row));
        row.0
    }

    /// Reads what [`SessionRow::encode`] wrote.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut row = Reader::new(row)?;
        let row = &mut row;
        let found = Self {
            uid: SessionUid(row.u64()?),
            client_id: row.text()?,
            keeper: match row.u8()? {
                0 => Keeper::Certificate { platform: row.option(Reader::text)?, common_name: row.text()? },
                1 => Keeper::Account(row.text()?),
                2 => Keeper::Anonymous,
                _ => return Err(RowError::Damaged),
            },
            account: row.option(Reader::text)?,
            attributes: {
                let count = row.u32()?;
                (0..count).map(|_| Ok((row.text()?, row.text()?))).collect::<Result<_, RowError>>()?
            },
            expiry: row.u32()?,
            window: row.u16()?,
            left_at: row.option(Reader::u64)?,
            will: row.option(WillRow::read)?,
        };
        row.end(found)
    }
}

impl WillRow {
    fn write(&self, row: &mut Writer) {
        row.text(&self.topic);
        row.bytes(&self.payload);
        row.u8(self.qos.bits());
        row.u8(self.retain.into());
        row.u32(self.delay);
        row.bytes(&self.properties);
        row.option(self.expiry.as_ref(), |row, expiry| row.u32(*expiry));
    }

    fn read(row: &mut Reader<'_>) -> Result<Self, RowError> {
        Ok(Self {
            topic: row.text()?,
            payload: row.bytes()?.to_vec(),
            qos: row.qos()?,
            retain: row.u8()? != 0,
            delay: row.u32()?,
            properties: row.bytes()?.to_vec(),
            expiry: row.option(Reader::u32)?,
        })
    }
}

impl SubscriptionRow {
    /// The row as bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut row = Writer::new();
        row.u8(self.options.bits());
        row.u32(self.id);
        row.0
    }

    /// Reads what [`SubscriptionRow::encode`] wrote.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut row = Reader::new(row)?;
        let options = SubscriptionOptions::from_bits(row.u8()?).ok_or(RowError::Damaged)?;
        let found = Self { options, id: row.u32()? };
        row.end(found)
    }
}

impl StoredMessage {
    /// The message as the row of a retained one.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Writer::new();
        row.u64(self.id.publisher);
        row.u32(self.id.epoch);
        row.u64(self.id.counter);
        row.text(&self.topic);
        row.bytes(&self.properties);
        row.bytes(&self.payload);
        row.u8(self.qos.bits());
        row.option(self.expires_at.as_ref(), |row, at| row.u64(*at));
        row.0
    }

    /// Reads what [`StoredMessage::encode`] wrote.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut row = Reader::new(row)?;
        let found = Self {
            id: MessageId { publisher: row.u64()?, epoch: row.u32()?, counter: row.u64()? },
            topic: row.text()?.into(),
            properties: row.bytes()?.into(),
            payload: Bytes::copy_from_slice(row.bytes()?),
            qos: row.qos()?,
            expires_at: row.option(Reader::u64)?,
        };
        row.end(found)
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(vec![VERSION])
    }

    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.u8(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(row: &'a [u8]) -> Result<Self, RowError> {
        match row.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            Some((&newer, _)) if newer > VERSION => Err(RowError::Newer(newer)),
            _ => Err(RowError::Damaged),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(RowError::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, RowError> {
        self.take().map(|[value]| value)
    }

    fn u16(&mut self) -> Result<u16, RowError> {
        self.take().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, RowError> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, RowError> {
        self.take().map(u64::from_be_bytes)
    }

    fn bytes(&mut self) -> Result<&'a [u8], RowError> {
        let length = self.u32()? as usize;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(RowError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn text(&mut self) -> Result<String, RowError> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| RowError::Damaged)
    }

    fn qos(&mut self) -> Result<Qos, RowError> {
        Qos::from_bits(self.u8()?).ok_or(RowError::Damaged)
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, RowError>) -> Result<Option<T>, RowError> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(RowError::Damaged),
        }
    }

    /// Nothing may follow.
    fn end<T>(&self, found: T) -> Result<T, RowError> {
        if self.0.is_empty() { Ok(found) } else { Err(RowError::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionRow {
        SessionRow {
            uid: SessionUid(7 << 40),
            client_id: "pump-1".into(),
            keeper: Keeper::Certificate { platform: Some("Platform CA".into()), common_name: "pump".into() },
            account: Some("operator".into()),
            attributes: vec![("ou".into(), "plant".into()), ("dns".into(), "pump.example".into())],
            expiry: u32::MAX,
            window: 20,
            left_at: Some(1_800_000_000_000),
            will: Some(WillRow {
                topic: "plant/pump".into(),
                payload: vec![0, 255],
                qos: Qos::ExactlyOnce,
                retain: true,
                delay: 5,
                properties: vec![1, 1],
                expiry: Some(60),
            }),
        }
    }

    fn message() -> StoredMessage {
        StoredMessage {
            id: MessageId { publisher: 1, epoch: 2, counter: 3 },
            topic: "a/b".into(),
            properties: [1, 0].into(),
            payload: Bytes::from_static(b"on"),
            qos: Qos::AtLeastOnce,
            expires_at: Some(9),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let bare = SessionRow { account: None, attributes: vec![], left_at: None, will: None, ..session() };
        let account = SessionRow { keeper: Keeper::Account("a".into()), ..bare.clone() };
        let anonymous = SessionRow { keeper: Keeper::Anonymous, ..bare.clone() };
        for row in [session(), bare, account, anonymous] {
            assert_eq!(SessionRow::decode(&row.encode()), Ok(row));
        }
        let options = SubscriptionOptions::from_bits(0b10_1101).unwrap();
        let subscription = SubscriptionRow { options, id: 268_435_455 };
        assert_eq!(SubscriptionRow::decode(&subscription.encode()), Ok(subscription));
        assert_eq!(StoredMessage::decode(&message().encode()), Ok(message()));
    }

    #[test]
    fn a_row_that_is_cut_or_longer_is_damaged_and_a_newer_one_is_refused() {
        let rows = [session().encode(), message().encode()];
        for whole in &rows {
            for length in 0..whole.len() {
                let cut = whole.get(..length).unwrap();
                assert_eq!(SessionRow::decode(cut), Err(RowError::Damaged));
                assert_eq!(StoredMessage::decode(cut), Err(RowError::Damaged));
            }
            let longer = [whole.as_slice(), &[0]].concat();
            assert!(SessionRow::decode(&longer).is_err() && StoredMessage::decode(&longer).is_err());
            let newer = [&[VERSION + 1], whole.get(1..).unwrap()].concat();
            assert_eq!(SessionRow::decode(&newer), Err(RowError::Newer(VERSION + 1)));
        }
    }
}
