//! What is written at once.
//!
//! The verbs are those of queues, not of keys, so that a run of
//! acknowledgements is one record and a segmented log fits beneath.

use std::sync::Arc;

use bytes::Bytes;

use super::Position;
use crate::mqtt::{MessageId, Qos, TopicFilter};

/// Names one life of a session; a clean start makes a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionUid(pub u64);

/// Writes the tables with the codes that name them on disk.
macro_rules! tables {
    ($($(#[$doc:meta])* $table:ident = $code:literal,)*) => {
        /// Typed tables beside the queues.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Table { $($(#[$doc])* $table,)* }

        impl Table {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$table,)*];

            /// What names it on disk; never given to another table.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $(Self::$table => $code,)* }
            }

            /// The table of a code.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$table),)* _ => None }
            }

            /// Its name in exports and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$table => stringify!($table),)* }
            }
        }
    };
}

tables! {
    /// Persistent sessions by tenant and client identifier.
    Sessions = 1,
    /// Subscriptions of persistent sessions, by session and filter.
    Subscriptions = 2,
    /// Retained messages by tenant and topic.
    Retained = 3,
    // 4 was never written.
    /// Trust anchors by tenant and fingerprint.
    TrustAnchors = 16,
    /// Accounts by tenant and name.
    Accounts = 17,
    /// Certificates that were issued, by tenant and serial number.
    IssuedCertificates = 18,
    /// Certificates that were revoked, by issuer and serial number.
    Revocations = 19,
    /// Devices that are known, by tenant and name.
    Registrations = 20,
    /// What was done to the broker, by time.
    Audit = 21,
    /// Tenants that were made over the API.
    Tenants = 22,
    /// Tokens of the API, by their names.
    Tokens = 23,
    /// Private keys of the broker's own CAs, sealed.
    Keys = 24,
    /// Certificate requests that somebody decides about.
    CertificateRequests = 25,
    /// Devices that wait to be let in.
    DeviceRequests = 26,
    /// Options of tenants.
    Options = 27,
}

/// A value of a table, and the key that it is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// A message whose bytes are shared by all the queues that wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The identity of the publication.
    pub id: MessageId,
    /// Where it was published to.
    pub topic: Box<str>,
    /// Properties that are passed on, in wire form.
    pub properties: Box<[u8]>,
    /// The application's bytes.
    pub payload: Bytes,
    /// The quality of service of the publication.
    pub qos: Qos,
    /// When it expires, in milliseconds since 1970.
    pub expires_at: Option<u64>,
}

/// One message in one session's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    /// Its place in the queue; grows, and is never used twice in a session.
    pub seq: u64,
    /// The quality of service to deliver with.
    pub qos: Qos,
    /// The RETAIN flag to deliver with.
    pub retain: bool,
    /// The subscription identifiers to deliver with.
    pub subscription_ids: Box<[u32]>,
    /// The shared subscription whose member the session was chosen as.
    pub group: Option<TopicFilter>,
    /// The message.
    pub message: Arc<StoredMessage>,
}

/// An entry as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// What was enqueued.
    pub entry: QueueEntry,
    /// Whether [`Op::Released`] came: PUBREL is what is resent.
    pub released: bool,
    /// Where its batch is durable; [`Position::NONE`] once it is. A delivery of
    /// QoS 2 waits for it: after a crash the number would be used again, and
    /// the client take another message for a repetition.
    pub position: Position,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Adds an entry to a session's queue.
    Enqueue {
        /// Whose queue.
        session: SessionUid,
        /// What is added.
        entry: QueueEntry,
    },
    /// Ends every entry below `up_to`, and those named in `sparse`; also those
    /// of them that have not arrived yet.
    Advance {
        /// Whose queue.
        session: SessionUid,
        /// The first entry that is still wanted.
        up_to: u64,
        /// Entries above it that are not.
        sparse: Vec<u64>,
    },
    /// PUBREC arrived for an outgoing QoS 2 entry: from now on PUBREL is
    /// what is resent.
    Released {
        /// Whose queue.
        session: SessionUid,
        /// Which entry.
        seq: u64,
    },
    /// Remembers or forgets the packet identifier of an incoming QoS 2
    /// publication.
    SetInbound {
        /// Whose.
        session: SessionUid,
        /// The client's packet identifier.
        packet_id: u16,
        /// Received and not released yet.
        held: bool,
    },
    /// Forgets a session's queue and inbound identifiers.
    DropSession {
        /// Whose.
        session: SessionUid,
    },
    /// Writes a value.
    Put {
        /// Where.
        table: Table,
        /// The key.
        key: Vec<u8>,
        /// The value.
        value: Vec<u8>,
    },
    /// Deletes a value.
    Delete {
        /// Where.
        table: Table,
        /// The key.
        key: Vec<u8>,
    },
}

/// Changes that become durable together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// In the order in which they happen.
    pub ops: Vec<Op>,
}

impl Batch {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Adds one change.
    pub fn push(&mut self, op: Op) {
        self.ops.push(op);
    }
}
