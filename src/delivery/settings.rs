//! What the delivery side lets an operator choose.

use crate::telemetry::memory::Amount;

/// Bounds of queues and retained messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Messages that wait for a connected client, at most.
    pub ring_messages: usize,
    /// Bytes that wait for a connected client, at most.
    pub ring_bytes: usize,
    /// Messages kept for a client that is away, at most (MQTT-SES-04).
    pub offline_messages: usize,
    /// Bytes kept for a client that is away, at most (MQTT-SES-04).
    pub offline_bytes: usize,
    /// Bytes in all queues together, at most.
    pub total_bytes: Amount,
    /// Retained messages per tenant, at most.
    pub retained_messages: usize,
    /// Bytes of retained messages per tenant, at most.
    pub retained_bytes: usize,
    /// Bytes of a tenant's retained messages that memory holds, at most. The
    /// others are read from the store when somebody subscribes.
    pub retained_memory: usize,
    /// Subscriptions per tenant, at most.
    pub subscriptions: usize,
    /// How long a newcomer waits for the session of the connection that it
    /// replaces.
    pub takeover_timeout: std::time::Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ring_messages: 50_000,
            ring_bytes: 32 << 20,
            offline_messages: 10_000,
            offline_bytes: 64 << 20,
            total_bytes: Amount::Percent(25),
            retained_messages: 1_000_000,
            retained_bytes: 1 << 30,
            retained_memory: 64 << 20,
            subscriptions: 10_000_000,
            takeover_timeout: std::time::Duration::from_secs(1),
        }
    }
}
