//! What was sent on a topic, and what the broker has promised of it.
//!
//! The messages of a topic are numbered from 1; the number is the payload's
//! first word.

use std::collections::BTreeSet;

/// One topic of one sender.
#[derive(Clone)]
pub struct Track {
    pub topic: String,
    pub qos: u8,
    pub retain: bool,
    /// The number sent last.
    pub sent: u64,
    /// The highest number that was acknowledged.
    pub acknowledged: u64,
    /// Numbers that nobody was promised and nobody will send again.
    pub open: BTreeSet<u64>,
    /// Numbers that were sent a second time, with DUP.
    pub resent: BTreeSet<u64>,
}

impl Track {
    pub fn new(topic: String, qos: u8, retain: bool) -> Self {
        Self { topic, qos, retain, sent: 0, acknowledged: 0, open: BTreeSet::new(), resent: BTreeSet::new() }
    }

    /// The next number to send.
    pub fn begin(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    pub fn acknowledge(&mut self, number: u64) {
        self.acknowledged = self.acknowledged.max(number);
    }

    /// The highest number that must have arrived.
    pub fn due(&self) -> u64 {
        (1..=self.sent).rev().find(|number| !self.open.contains(number)).unwrap_or(0)
    }
}

/// The number of a message.
pub fn number(payload: &[u8]) -> Option<u64> {
    let word = payload.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(word).ok()?.parse().ok()
}
