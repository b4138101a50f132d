//! Who receives the messages of one topic, as a connection keeps it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::router::{self, Group, Readiness, Stamp};

use super::{Kind, Manner, SessionQueue};

/// A session queue as the router knows it: equal when the session is the same.
#[derive(Clone, Debug)]
pub struct Mailbox(pub Arc<SessionQueue>);

impl PartialEq for Mailbox {
    fn eq(&self, other: &Self) -> bool {
        self.0.uid() == other.0.uid()
    }
}

impl Eq for Mailbox {}

impl Hash for Mailbox {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.uid().0.hash(state);
    }
}

/// One recipient of a route.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Its queue.
    pub queue: Arc<SessionQueue>,
    /// How it wants messages.
    pub manner: Manner,
}

/// Who receives the messages of one topic.
#[derive(Debug)]
pub struct Route {
    /// One copy each.
    pub recipients: Box<[Recipient]>,
    /// One copy for one member each.
    pub groups: Box<[Group<Mailbox>]>,
    /// When it was computed.
    pub stamp: Stamp,
}

impl Route {
    pub(super) fn new(found: &router::Route<Mailbox>, stamp: Stamp) -> Self {
        let recipients = found.recipients.iter().map(|recipient| Recipient {
            queue: Arc::clone(&recipient.handle.0),
            manner: Manner {
                qos: recipient.qos,
                retain_as_published: recipient.retain_as_published,
                ids: (!recipient.ids.is_empty()).then(|| recipient.ids.as_slice().into()),
            },
        });
        Self { recipients: recipients.collect(), groups: found.groups.iter().cloned().collect(), stamp }
    }

    /// Whether nobody receives.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.recipients.is_empty() && self.groups.is_empty()
    }
}

/// Chooses the member of a group that receives the next message.
pub(super) fn choose(group: &Group<Mailbox>) -> Option<Recipient> {
    let member = group.pick(|mailbox| {
        if mailbox.0.is_connected() {
            Readiness::Ready
        } else if mailbox.0.kind() == Kind::Persistent {
            Readiness::Waiting(usize::try_from(mailbox.0.depth()).unwrap_or(usize::MAX))
        } else {
            Readiness::Absent
        }
    })?;
    Some(Recipient {
        queue: Arc::clone(&member.handle.0),
        manner: Manner {
            qos: member.options.qos,
            retain_as_published: member.options.retain_as_published,
            ids: member.id.map(|id| [id].as_slice().into()),
        },
    })
}
