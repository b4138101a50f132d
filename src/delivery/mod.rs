//! From a routed message to the queues of its recipients.
//!
//! What lives here: parcels, session queues, fan-out, retained messages, and
//! who owns a session. What does not: packets and sockets (`net`), protocol
//! state (`session`), the index of filters (`router`). Invariant: order is fixed
//! when a queue is entered, before anything is durable; what is acknowledged
//! later was appended in that order.

mod agenda;
mod budget;
mod domain;
mod fanout;
mod item;
mod kept;
mod lent;
mod parcel;
mod passing;
mod queue;
mod registry;
mod retained;
mod route;
mod settings;
#[cfg(test)]
mod tests;

pub use agenda::{Agenda, Moment};
pub use budget::{Budget, Charge};
pub use domain::{Domain, NEVER};
pub use fanout::{Fanout, Progress, Publisher, Turn};
pub use item::{Bound, Item, Kind, Manner, Overflow, Pushed, Reading, Run};
pub use kept::KeptSum;
pub use parcel::{Encode, FrameShape, LARGE, MessageRef, Parcel, ParcelBuilder, Payload};
pub use passing::{Heirs, Left};
pub use queue::{Ground, OpenQueue, SessionQueue};
pub use registry::{Claim, Outcome, Parked, Registry, Returned, Unclaimed, Yield};
pub use retained::{RetainedFull, RetainedMessages, Scan};
pub use route::{Mailbox, Recipient, Route};
pub use settings::Settings;
