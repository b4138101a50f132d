//! What stands in a session queue, and what a push and a read answer.
//!
//! What lives here: the words between a queue, those who fill it and the one
//! who reads it. What does not: the queue (`queue`). Invariant: plain values;
//! nothing here locks, counts or wakes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Waker;

use crate::mqtt::{Qos, TopicFilter};

use super::Parcel;

/// How one recipient wants a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manner {
    /// The highest QoS.
    pub qos: Qos,
    /// Whether the publisher's RETAIN flag is kept.
    pub retain_as_published: bool,
    /// The subscription identifiers to name.
    pub ids: Option<Arc<[NonZeroU32]>>,
    /// The shared subscription whose member it was chosen as, `$share/<group>/`
    /// included: another member gets what this one leaves behind.
    pub group: Option<TopicFilter>,
}

/// Something that waits in the ring.
#[derive(Clone, Debug)]
pub enum Item {
    /// A run of a parcel's messages.
    Run(Run),
    /// Retained messages belong here; nothing behind it is read before they
    /// were found. The number names the scan.
    Marker(u64),
}

/// A run of a parcel's messages for one recipient.
#[derive(Clone, Debug)]
pub struct Run {
    /// Where the messages lie.
    pub parcel: Arc<Parcel>,
    /// The first message.
    pub start: u32,
    /// Behind the last one.
    pub end: u32,
    /// How they are wanted.
    pub manner: Manner,
    /// The number of the first message that is stored, when any is.
    pub first_seq: Option<u64>,
    /// What is stored is read from the store; only QoS 0 counts here.
    pub stored_apart: bool,
}

/// What may happen to a queue that nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest message goes.
    DropOldest,
    /// The newest message goes.
    DropNewest,
}

/// Whether a session outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It ends with the connection; nothing is stored.
    Volatile,
    /// It is kept; QoS 1 and 2 are stored.
    Persistent,
}

/// What became of a run.
#[derive(Debug, Default)]
pub struct Pushed {
    /// The number of the first stored message.
    pub first_seq: Option<u64>,
    /// How many numbers were given. When there are any,
    /// `SessionQueue::settle` is due once the run is appended.
    pub stored: u32,
    /// Numbers of messages that make room, to be removed from the store.
    pub evicted: Vec<u64>,
    /// Nothing was done: there is no room for all of it, so that its messages
    /// are to be pushed one by one.
    pub piecewise: bool,
    /// The reader to wake.
    pub wake: Option<Waker>,
    /// The ring is more than half full and its reader is at work.
    pub congested: bool,
}

/// What a reader finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The ring's items were handed over.
    Items,
    /// Entries from the reader's place on wait in the store.
    Stored {
        /// Behind the last number that the store is sure to know.
        until: u64,
    },
    /// Nothing; the reader will be woken.
    Idle,
    /// Messages were lost that must not be: the session ends. See
    /// `SessionQueue::overflowed`.
    Overflowed,
}

/// Which bound a message met that a session may not lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bound {
    /// That of its own ring.
    Ring = 1,
    /// That of all queues of the node, of which it holds more than its share.
    Node = 2,
}
