//! Certus: a mutual-TLS MQTT broker in which the certificate is the identity.

// Tests make their own instants and threads; the product is judged in the build without tests.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

// The clients of the simulation are played with inside, too.
#[cfg(test)]
extern crate self as certus;

// Vocabulary and pure machines: no socket, no file, no clock.
pub mod codec;
pub mod identity;
pub mod manual;
pub mod mqtt;
pub mod router;
pub mod session;

// Everything that touches the world.
#[cfg(feature = "server")]
pub mod bench;
#[cfg(feature = "server")]
pub mod broker;
#[cfg(feature = "server")]
pub mod ca;
#[cfg(feature = "server")]
pub mod clock;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod control;
#[cfg(feature = "server")]
pub mod delivery;
#[cfg(feature = "server")]
pub mod net;
#[cfg(feature = "server")]
pub mod shutdown;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
