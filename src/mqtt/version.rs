//! Protocol versions.

/// The three versions of the protocol, told apart by CONNECT's level byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1 (`MQIsdp`, level 3).
    V3,
    /// MQTT 3.1.1 (`MQTT`, level 4).
    V4,
    /// MQTT 5.0 (`MQTT`, level 5).
    V5,
}

impl Version {
    /// The level byte of CONNECT.
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
            Self::V5 => 5,
        }
    }

    /// The version of a level byte, if there is one.
    #[must_use]
    pub const fn from_level(level: u8) -> Option<Self> {
        match level {
            3 => Some(Self::V3),
            4 => Some(Self::V4),
            5 => Some(Self::V5),
            _ => None,
        }
    }

    /// Whether this is MQTT 5.0, which has properties and reason codes.
    #[must_use]
    pub const fn is_v5(self) -> bool {
        matches!(self, Self::V5)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V3 => "3.1",
            Self::V4 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}
