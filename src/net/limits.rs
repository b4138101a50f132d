//! How many connections and handshakes there may be at once.
//!
//! Handshakes have a budget of their own, in all and per address, so that a
//! storm of them never stands in the way of established traffic. What an
//! address may do within a second is its own part ([`super::rate`]). Invariant:
//! a seat is given back exactly once, when it is dropped.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dashmap::DashMap;

use crate::identity::reason::Reason;
use crate::telemetry::metrics::Gauge;

use super::Settings;
use super::rate::ConnectRates;

/// The seats that are taken.
#[derive(Debug, Default)]
pub struct Limits {
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    addresses: DashMap<IpAddr, Taken, foldhash::fast::RandomState>,
    rates: ConnectRates,
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

/// Who is at the other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A client: the bounds of its address hold.
    Client,
    /// A balancer with many clients behind it: their bounds hold once it has
    /// said for whom it speaks.
    Balancer,
}

impl Limits {
    /// Counts one more connection of `address` within this second.
    ///
    /// # Errors
    /// [`Reason::ConnectRate`] when it has made as many as it may.
    pub fn pace(&self, address: IpAddr, settings: &Settings, now: Instant) -> Result<(), Reason> {
        match self.rates.admit(address, settings.max_connect_rate_per_address, now) {
            true => Ok(()),
            false => Err(Reason::ConnectRate),
        }
    }

    /// A seat for a connection from `peer`.
    ///
    /// # Errors
    /// The bound that is reached.
    pub fn admit(self: &Arc<Self>, peer: SocketAddr, source: Source, settings: &Settings) -> Result<Admitted, Reason> {
        let full = self.connections.load(Ordering::Relaxed) >= settings.max_connections;
        if full || !self.enter(peer.ip(), source, settings) {
            return Err(Reason::TooManyConnections);
        }
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Admitted { limits: Arc::clone(self), address: peer.ip() })
    }

    /// Counts a connection of `address`, unless it has its share.
    fn enter(&self, address: IpAddr, source: Source, settings: &Settings) -> bool {
        let mut taken = self.addresses.entry(address).or_default();
        let most = settings.max_connections_per_address;
        let has_room = most == 0 || source == Source::Balancer || taken.connections < most;
        taken.connections += usize::from(has_room);
        has_room
    }

    /// Counts a handshake of `address`, unless it has its share.
    fn begin(&self, address: IpAddr, source: Source, settings: &Settings) -> bool {
        let mut taken = self.addresses.entry(address).or_default();
        let has_room = source == Source::Balancer || taken.handshakes < settings.max_handshakes_per_address;
        taken.handshakes += usize::from(has_room);
        has_room
    }

    fn leave(&self, address: IpAddr, give_back: impl FnOnce(&mut Taken)) {
        if let Some(mut taken) = self.addresses.get_mut(&address) {
            give_back(&mut taken);
        }
        self.addresses.remove_if(&address, |_, taken| taken.connections == 0 && taken.handshakes == 0);
    }
}

impl Admitted {
    /// A seat for the handshake of this connection.
    ///
    /// # Errors
    /// The bound that is reached.
    pub fn shake(&self, source: Source, settings: &Settings) -> Result<Shaking, Reason> {
        let limits = &self.limits;
        let full = limits.handshakes.load(Ordering::Relaxed) >= settings.max_handshakes;
        if full || !limits.begin(self.address, source, settings) {
            return Err(Reason::TooManyHandshakes);
        }
        limits.handshakes.fetch_add(1, Ordering::Relaxed);
        Gauge::HandshakesInProgress.add(1);
        Ok(Shaking { limits: Arc::clone(limits), address: self.address })
    }

    /// Counts the connection and its handshake against the client at `address`,
    /// for whom a balancer speaks.
    ///
    /// # Errors
    /// The bound that is reached.
    pub fn speak_for(&mut self, shaking: &mut Shaking, address: IpAddr, settings: &Settings) -> Result<(), Reason> {
        let limits = &self.limits;
        if !limits.enter(address, Source::Client, settings) {
            return Err(Reason::TooManyConnections);
        }
        limits.leave(std::mem::replace(&mut self.address, address), Taken::end_connection);
        if !limits.begin(address, Source::Client, settings) {
            return Err(Reason::TooManyHandshakes);
        }
        limits.leave(std::mem::replace(&mut shaking.address, address), Taken::end_handshake);
        Ok(())
    }
}

impl Taken {
    const fn end_connection(&mut self) {
        self.connections = self.connections.saturating_sub(1);
    }

    const fn end_handshake(&mut self) {
        self.handshakes = self.handshakes.saturating_sub(1);
    }
}

impl Drop for Shaking {
    fn drop(&mut self) {
        self.limits.handshakes.fetch_sub(1, Ordering::Relaxed);
        Gauge::HandshakesInProgress.add(-1);
        self.limits.leave(self.address, Taken::end_handshake);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.limits.connections.fetch_sub(1, Ordering::Relaxed);
        self.limits.leave(self.address, Taken::end_connection);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Source = Source::Client;

    fn limits() -> (Arc<Limits>, Settings) {
        let settings = Settings {
            max_connections_per_address: 2,
            max_handshakes: 3,
            max_handshakes_per_address: 1,
            ..Settings::default()
        };
        (Arc::default(), settings)
    }

    #[test]
    fn seats_are_given_back_when_they_are_dropped() {
        let (limits, settings) = limits();
        let peer = "127.0.0.1:1".parse().unwrap();
        let first = limits.admit(peer, CLIENT, &settings).unwrap();
        let second = limits.admit(peer, CLIENT, &settings).unwrap();
        assert_eq!(limits.admit(peer, CLIENT, &settings).unwrap_err(), Reason::TooManyConnections);
        let shaking = first.shake(CLIENT, &settings).unwrap();
        assert_eq!(second.shake(CLIENT, &settings).unwrap_err(), Reason::TooManyHandshakes);
        drop((first, shaking));
        assert!(second.shake(CLIENT, &settings).is_ok());
        drop(second);
        assert!(limits.addresses.is_empty());
    }

    /// A table of addresses that are refused would be another way to fill memory.
    #[test]
    fn whoever_is_refused_leaves_nothing_behind() {
        let (limits, settings) = limits();
        let settings = Settings { max_connections: 0, ..settings };
        for last in 0..9 {
            assert!(limits.admit(([192, 0, 2, last], 1).into(), CLIENT, &settings).is_err());
        }
        assert!(limits.addresses.is_empty());
    }

    #[test]
    fn clients_behind_a_balancer_have_bounds_of_their_own() {
        let (limits, settings) = limits();
        let balancer = "10.0.0.1:1".parse().unwrap();
        let behind = |last: u8| {
            let mut seat = limits.admit(balancer, Source::Balancer, &settings).unwrap();
            let mut shaking = seat.shake(Source::Balancer, &settings).unwrap();
            let spoken = seat.speak_for(&mut shaking, [192, 0, 2, last].into(), &settings);
            (spoken, seat, shaking)
        };
        let (one, other, again) = (behind(1), behind(2), behind(1));
        assert!(one.0.is_ok() && other.0.is_ok());
        assert_eq!(again.0, Err(Reason::TooManyHandshakes));
        drop((one.2, other.2, again));
        // The second connection of the first client is gone again.
        let second = behind(1);
        assert!(second.0.is_ok());
        assert_eq!(behind(1).0, Err(Reason::TooManyConnections));
        drop((one.1, other.1, second));
        assert!(limits.addresses.is_empty());
        assert_eq!(limits.connections.load(Ordering::Relaxed), 0);
    }
}
