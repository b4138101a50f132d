//! Who receives the messages of one topic, as a connection keeps it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::mqtt::Qos;
use crate::router::{self, Group, Readiness, Stamp, Subscription};

use super::{Manner, SessionQueue};

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
                group: None,
            },
        });
        Self { recipients: recipients.collect(), groups: found.groups.iter().cloned().collect(), stamp }
    }

    /// A route to one group alone.
    pub(super) fn of_group(group: Group<Mailbox>, stamp: Stamp) -> Self {
        Self { recipients: Box::default(), groups: Box::new([group]), stamp }
    }

    /// Whether nobody receives.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.recipients.is_empty() && self.groups.is_empty()
    }
}

/// Chooses the member of a group that receives the next message. Its queue is
/// promised one: [`SessionQueue::keep_promise`] is due when it has come, or is
/// given to another.
pub(super) fn choose(group: &Group<Mailbox>, qos: Qos) -> Option<Recipient> {
    choose_among(group, |member| member.handle.0.readiness(qos.min(member.options.qos)))
}

/// The same without one member, and, unless `away_too`, without those that are
/// away.
pub(super) fn choose_other(group: &Group<Mailbox>, qos: Qos, except: &Mailbox, away_too: bool) -> Option<Recipient> {
    choose_among(group, |member| {
        if member.handle == *except {
            return Readiness::Absent;
        }
        match member.handle.0.readiness(qos.min(member.options.qos)) {
            Readiness::Waiting(_) if !away_too => Readiness::Absent,
            readiness => readiness,
        }
    })
}

fn choose_among(
    group: &Group<Mailbox>,
    readiness: impl FnMut(&Subscription<Mailbox>) -> Readiness,
) -> Option<Recipient> {
    let member = group.pick(readiness)?;
    let queue = Arc::clone(&member.handle.0);
    queue.promise();
    let manner = Manner {
        qos: member.options.qos,
        retain_as_published: member.options.retain_as_published,
        ids: member.id.map(|id| [id].as_slice().into()),
        group: Some(group.filter().clone()),
    };
    Some(Recipient { queue, manner })
}
