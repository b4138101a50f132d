//! How many connections and handshakes there may be at once.
//!
//! Handshakes have a budget of their own, in all and per address, so that a
//! storm of them never stands in the way of established traffic. Invariant: a
//! seat is given back exactly once, when it is dropped.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::identity::reason::Reason;
use crate::telemetry::metrics::Gauge;

use super::Settings;

/// The seats that are taken.
#[derive(Debug, Default)]
pub struct Limits {
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    addresses: DashMap<IpAddr, Taken, foldhash::fast::RandomState>,
}

#[derive(Debug, Default)]
struct Taken {
    connections: usize,
    handshakes: usize,
}

/// A connection's seat.
#[derive(Debug)]
pub struct Admitted {
    limits: Arc<Limits>,
    address: IpAddr,
}

/// A handshake's seat.
#[derive(Debug)]
pub struct Shaking {
    limits: Arc<Limits>,
    address: IpAddr,
}

impl Limits {
    /// A seat for a connection from `peer`.
    ///
    /// # Errors
    /// The bound that is reached.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr, settings: &Settings) -> Result<Admitted, Reason> {
        let address = peer.ip();
        let mut taken = self.addresses.entry(address).or_default();
        let most = settings.max_connections_per_address;
        let full = self.connections.load(Ordering::Relaxed) >= settings.max_connections;
        if full || (most > 0 && taken.connections >= most) {
            return Err(Reason::TooManyConnections);
        }
        taken.connections += 1;
        self.connections.fetch_add(1, Ordering::Relaxed);
        drop(taken);
        Ok(Admitted { limits: Arc::clone(self), address })
    }
}

impl Admitted {
    /// A seat for the handshake of this connection.
    ///
    /// # Errors
    /// The bound that is reached.
    pub fn shake(&self, settings: &Settings) -> Result<Shaking, Reason> {
        let limits = &self.limits;
        let mut taken = limits.addresses.entry(self.address).or_default();
        let full = limits.handshakes.load(Ordering::Relaxed) >= settings.max_handshakes;
        if full || taken.handshakes >= settings.max_handshakes_per_address {
            return Err(Reason::TooManyHandshakes);
        }
        taken.handshakes += 1;
        limits.handshakes.fetch_add(1, Ordering::Relaxed);
        drop(taken);
        Gauge::HandshakesInProgress.add(1);
        Ok(Shaking { limits: Arc::clone(limits), address: self.address })
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        self.limits.handshakes.fetch_sub(1, Ordering::Relaxed);
        Gauge::HandshakesInProgress.add(-1);
        if let Some(mut taken) = self.limits.addresses.get_mut(&self.address) {
            taken.handshakes = taken.handshakes.saturating_sub(1);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.limits.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(mut taken) = self.limits.addresses.get_mut(&self.address) {
            taken.connections = taken.connections.saturating_sub(1);
        }
        self.limits.addresses.remove_if(&self.address, |_, taken| taken.connections == 0 && taken.handshakes == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_given_back_when_they_are_dropped() {
        let limits = Arc::new(Limits::default());
        let settings = Settings { max_connections_per_address: 2, max_handshakes: 1, ..Settings::default() };
        let peer = "127.0.0.1:1".parse().unwrap();
        let first = limits.admit(peer, &settings).unwrap();
        let second = limits.admit(peer, &settings).unwrap();
        assert_eq!(limits.admit(peer, &settings).unwrap_err(), Reason::TooManyConnections);
        let shaking = first.shake(&settings).unwrap();
        assert_eq!(second.shake(&settings).unwrap_err(), Reason::TooManyHandshakes);
        drop((first, shaking));
        assert!(second.shake(&settings).is_ok());
        drop(second);
        assert!(limits.addresses.is_empty());
    }
}
