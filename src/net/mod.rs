//! Sockets, TLS and the driver of a connection.
//!
//! What lives here: accepting, handshakes, CONNECT, and the driver that joins
//! codec, session, identity and delivery. What does not: any of those four.
//! Invariant: a slow, silent or hostile client costs itself, not its neighbours.

mod announce;
mod arrival;
mod census;
mod clients;
mod connection;
mod control;
mod due;
mod encode;
mod establish;
mod https;
mod lent;
mod limits;
mod listener;
mod outgoing;
mod overload;
mod passwords;
mod proxy_protocol;
mod rate;
mod reception;
mod recover;
mod registration;
mod remember;
mod settings;
mod shared;
mod slots;
mod stream;
mod terms;
mod tls;
mod wake;
mod websocket;
mod written;

pub use announce::Voice;
pub use census::{Census, Count};
pub use clients::{ClientFilter, Connected};
pub use control::{Command, Live};
pub use due::{Away, Due, Event, catch_up, due};
pub use https::{Guest, HttpsDoor};
pub use limits::Limits;
pub use listener::Listener;
pub use overload::{Overload, watch};
pub use passwords::{Checked, Passwords};
pub use proxy_protocol::{Network, NoNetwork};
pub use recover::{RecoverError, Recovered, recover};
pub use registration::{FirstConnection, device_key};
pub use settings::{HttpsSettings, ListenerSettings, Settings, WebSocketSettings};
pub use shared::{Domains, Node, Resting, first_connections};
pub use tls::{HttpsStream, Turns};
pub use websocket::{Agreed, NotAgreed, WebSocketRequest};
