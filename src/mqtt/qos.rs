//! Quality of service.

/// How often a message may arrive. Source: MQTT 5.0 section 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Qos {
    /// QoS 0: at most once, no answer.
    AtMostOnce = 0,
    /// QoS 1: at least once, answered by PUBACK.
    AtLeastOnce = 1,
    /// QoS 2: exactly once, by PUBREC, PUBREL and PUBCOMP.
    ExactlyOnce = 2,
}

impl Qos {
    /// Reads the two bits of a QoS field; `None` for the forbidden value 3
    /// [MQTT-3.3.1-4].
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The value on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }
}
