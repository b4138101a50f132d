//! When silence becomes a violation.

use std::time::{Duration, Instant};

/// The keep alive of one connection [MQTT-3.1.2-22].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    limit: Option<Duration>,
}

impl KeepAlive {
    /// `seconds` as CONNECT or CONNACK gives them; 0 switches it off.
    #[must_use]
    pub fn new(seconds: u16) -> Self {
        let limit = (seconds > 0).then(|| Duration::from_millis(u64::from(seconds) * 1500));
        Self { limit }
    }

    /// When a client that was last heard at `heard` is given up.
    #[must_use]
    pub fn deadline(&self, heard: Instant) -> Option<Instant> {
        self.limit.map(|limit| heard + limit)
    }
}
