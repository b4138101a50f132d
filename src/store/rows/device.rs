//! The rows of devices that are known (`Table::Registrations`).
//!
//! What lives here: what such a row says. What does not: who writes it
//! (`net::registration`, the control plane). Invariant: that of all rows
//! (`rows`).

use super::{Reader, RowError, Writer};

/// How a device came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By its first connection.
    Connection,
    /// In a list of many.
    Bulk,
    /// By a call of the API.
    Api,
}

/// A device that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// How it came to be known.
    pub origin: Origin,
    /// When it became known, in milliseconds since 1970.
    pub registered: u64,
    /// When it connected first, in milliseconds since 1970; none before that.
    pub first_seen: Option<u64>,
    /// SHA-256 of the anchor that it came through last.
    pub anchor: Option<[u8; 32]>,
    /// Whether it may connect.
    pub enabled: bool,
    /// Its type, as whoever registered it calls it.
    pub kind: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// Whatever else was said of it, as a JSON object.
    pub properties: Option<String>,
}

impl DeviceRow {
    /// The key of a device's row: the tenant, a zero byte, the device.
    #[must_use]
    pub fn key(tenant: &str, device: &str) -> Vec<u8> {
        [tenant.as_bytes(), &[0], device.as_bytes()].concat()
    }

    /// A device that is known, and of which no more is, since `now`.
    #[must_use]
    pub const fn new(origin: Origin, now: u64) -> Self {
        Self {
            origin,
            registered: now,
            first_seen: None,
            anchor: None,
            enabled: true,
            kind: None,
            name: None,
            properties: None,
        }
    }

    /// The row as bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut row = Writer::new();
        row.u8(self.origin as u8);
        row.u64(self.registered);
        row.option(self.first_seen.as_ref(), |row, at| row.u64(*at));
        row.option(self.anchor.as_ref(), |row, anchor| row.bytes(anchor));
        row.u8(self.enabled.into());
        for text in [&self.kind, &self.name, &self.properties] {
            row.option(text.as_ref(), |row, text| row.text(text));
        }
        row.0
    }

    /// Reads what [`DeviceRow::encode`] wrote.
    ///
    /// # Errors
    /// See [`RowError`].
    pub fn decode(row: &[u8]) -> Result<Self, RowError> {
        let mut row = Reader::new(row)?;
        let row = &mut row;
        let found = Self {
            origin: match row.u8()? {
                0 => Origin::Connection,
                1 => Origin::Bulk,
                2 => Origin::Api,
                _ => return Err(RowError::Damaged),
            },
            registered: row.u64()?,
            first_seen: row.option(Reader::u64)?,
            anchor: row.option(|row| row.bytes()?.try_into().map_err(|_| RowError::Damaged))?,
            enabled: match row.u8()? {
                0 => false,
                1 => true,
                _ => return Err(RowError::Damaged),
            },
            kind: row.option(Reader::text)?,
            name: row.option(Reader::text)?,
            properties: row.option(Reader::text)?,
        };
        row.end(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceRow {
        DeviceRow {
            origin: Origin::Bulk,
            registered: 5,
            first_seen: Some(6),
            anchor: Some([7; 32]),
            enabled: false,
            kind: Some("c8y_Pump".into()),
            name: Some("Pump hall 3".into()),
            properties: Some("{}".into()),
        }
    }

    #[test]
    fn what_was_written_is_read_and_what_is_cut_or_longer_is_not() {
        let bare = DeviceRow::new(Origin::Connection, 1);
        for origin in [Origin::Connection, Origin::Bulk, Origin::Api] {
            let row = DeviceRow { origin, ..device() };
            assert_eq!(DeviceRow::decode(&row.encode()), Ok(row));
        }
        assert_eq!(DeviceRow::decode(&bare.encode()), Ok(bare));
        let whole = device().encode();
        for length in 0..whole.len() {
            assert_eq!(DeviceRow::decode(whole.get(..length).unwrap()), Err(RowError::Damaged));
        }
        assert_eq!(DeviceRow::decode(&[whole.as_slice(), &[0]].concat()), Err(RowError::Damaged));
    }
}
