//! Sockets, TLS and the driver of a connection.

mod settings;

pub use settings::{ListenerSettings, Settings};
