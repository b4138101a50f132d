//! From the messages of a turn to the queues of their recipients.
//!
//! One parcel, one push and at most one wake per recipient and turn. Order is
//! fixed here, before anything is durable: queues first, then one batch. What
//! reaches more than [`SLICE`] recipients is a work list that its driver goes
//! on with, ahead of everything else that the client sent.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::Waker;

use smallvec::SmallVec;

use crate::identity::policy::{Permit, Publish};
use crate::mqtt::{MessageId, MessageView, Qos};
use crate::router::Group;
use crate::store::{Batch, Op, Position, QueueEntry, StoredMessage};
use crate::telemetry::metrics::Counter;

use super::parcel::{Encode, Parcel, ParcelBuilder};
use super::route::{Recipient, Route, choose};
use super::{Mailbox, Pushed, SessionQueue};

/// Pushes between two looks at everything else.
pub const SLICE: usize = 1024;

/// How often a member is chosen anew because the one before has left.
const ATTEMPTS: usize = 8;

#[derive(Clone, Debug)]
enum Target {
    All(Arc<Route>),
    /// A member of the route's group with this number.
    Member {
        route: Arc<Route>,
        group: usize,
        recipient: Recipient,
        copy: u32,
    },
}

#[derive(Debug)]
struct Run {
    target: Target,
    start: u32,
    end: u32,
}

/// Most turns have one run: with its parcel it costs two allocations in all.
type Runs = SmallVec<[Run; 1]>;

/// One push that is due.
#[derive(Clone, Copy, Debug)]
struct Due {
    /// Equal for the pushes of one queue.
    queue: usize,
    run: u32,
    recipient: u32,
}

/// Who publishes, as stored messages name it.
#[derive(Clone, Copy, Debug)]
pub struct Publisher<'a> {
    /// The queue of its session, which numbers its publications.
    pub queue: &'a SessionQueue,
    /// The epoch of the node; see [`Domain::epoch`](super::Domain::epoch).
    pub epoch: u32,
    /// Wall time in milliseconds since 1970.
    pub now: u64,
}

/// Gathers the routed messages of a turn; its memory is used again.
#[derive(Debug, Default)]
pub struct Turn {
    builder: ParcelBuilder,
    runs: Vec<Run>,
    /// Copies for members of groups.
    copies: u32,
}

impl Turn {
    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// How many messages were added.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.builder.len()
    }

    /// Adds a message that `route` receives. The permit proves that its
    /// publisher had the right.
    pub fn add(&mut self, message: &MessageView<'_>, route: &Arc<Route>, encode: Encode, _: &Permit<Publish>) {
        if route.is_empty() {
            Counter::MessagesUnrouted.one();
            return;
        }
        let start = self.builder.len();
        self.builder.push(message, encode);
        let end = start + 1;
        if !route.recipients.is_empty() {
            match self.runs.last_mut() {
                Some(Run { target: Target::All(last), end: last_end, .. })
                    if *last_end == start && Arc::ptr_eq(last, route) =>
                {
                    *last_end = end;
                }
                _ => self.runs.push(Run { target: Target::All(Arc::clone(route)), start, end }),
            }
        }
        for (number, group) in route.groups.iter().enumerate() {
            if let Some(member) = choose(group, message.qos) {
                self.add_copy(route, number, member, start);
            }
        }
    }

    /// Adds a message that a member of the route's only group leaves behind.
    pub(super) fn pass_on(&mut self, message: &MessageView<'_>, route: &Arc<Route>, member: Recipient, encode: Encode) {
        let start = self.builder.len();
        self.builder.push(message, encode);
        self.add_copy(route, 0, member, start);
    }

    fn add_copy(&mut self, route: &Arc<Route>, group: usize, recipient: Recipient, start: u32) {
        let target = Target::Member { route: Arc::clone(route), group, recipient, copy: self.copies };
        self.copies += 1;
        self.runs.push(Run { target, start, end: start + 1 });
    }

    /// Makes the parcel and the list of what is due.
    pub fn finish(&mut self, publisher: Publisher<'_>) -> Fanout {
        let Publisher { queue, epoch, now } = publisher;
        let (uid, messages) = (queue.uid(), u64::from(self.builder.len()));
        // A member's copy has a name of its own: who subscribed twice, plainly
        // and as a member, gets two, and a queue refuses the name that it has.
        let counter = queue.count_published(messages + u64::from(std::mem::take(&mut self.copies)));
        let first_copy = MessageId { publisher: uid.0, epoch, counter: counter + messages };
        let parcel = self.builder.finish(now, uid, epoch, counter);
        let runs: Runs = self.runs.drain(..).collect();
        let due = if runs.len() > 1 { by_queue(&runs) } else { Vec::new() };
        Fanout {
            stored: Vec::new(),
            parcel,
            first_copy,
            runs,
            due,
            next: 0,
            batch: Batch::default(),
            owed: Vec::new(),
            congested: None,
        }
    }
}

/// The pushes of several runs, those of one queue side by side and in order of
/// the messages.
fn by_queue(runs: &[Run]) -> Vec<Due> {
    let mut due = Vec::new();
    for (run, number) in runs.iter().zip(0..) {
        for (recipient, index) in run.recipients().iter().zip(0..) {
            due.push(Due { queue: Arc::as_ptr(&recipient.queue) as usize, run: number, recipient: index });
        }
    }
    due.sort_by_key(|due| due.queue);
    due
}

impl Run {
    fn recipients(&self) -> &[Recipient] {
        match &self.target {
            Target::All(route) => &route.recipients,
            Target::Member { recipient, .. } => std::slice::from_ref(recipient),
        }
    }
}

/// Pushes that are due, and what they leave behind.
#[derive(Debug)]
pub struct Fanout {
    parcel: Arc<Parcel>,
    first_copy: MessageId,
    runs: Runs,
    /// Empty when there is only one run: its recipients are the list.
    due: Vec<Due>,
    next: usize,
    stored: Vec<Option<Arc<StoredMessage>>>,
    batch: Batch,
    /// Queues with something left to do once the batch is appended.
    owed: Vec<(Arc<SessionQueue>, Owed)>,
    congested: Option<Arc<SessionQueue>>,
}

/// The push at `next`.
fn upcoming<'a>(runs: &'a [Run], due: &[Due], next: usize) -> Option<(&'a Run, &'a Recipient)> {
    let (run, recipient) = match runs {
        [_] => (0, next),
        _ => due.get(next).map(|due| (due.run as usize, due.recipient as usize))?,
    };
    let run = runs.get(run)?;
    Some((run, run.recipients().get(recipient)?))
}

fn fire(wake: Option<(*const SessionQueue, Waker)>) {
    if let Some((_, waker)) = wake {
        Counter::Wakes.one();
        waker.wake();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    Settle(u64),
    Nudge,
}

/// Whether a fan-out is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every recipient has its messages.
    Done,
    /// There are more; go on soon.
    More,
}

impl Fanout {
    /// Pushes to the next recipients.
    pub fn advance(&mut self) -> Progress {
        let runs = std::mem::take(&mut self.runs);
        let mut wake = None;
        let mut progress = Progress::More;
        for _ in 0..SLICE {
            let Some((run, recipient)) = upcoming(&runs, &self.due, self.next) else {
                progress = Progress::Done;
                break;
            };
            self.next += 1;
            self.push(run, recipient, &mut wake);
        }
        fire(wake);
        self.runs = runs;
        progress
    }

    /// Pushes one run. A queue is woken behind its last push, so that one turn
    /// is one wake.
    fn push(&mut self, run: &Run, recipient: &Recipient, wake: &mut Option<(*const SessionQueue, Waker)>) {
        let (recipient, mut pushed) = match &run.target {
            Target::All(_) => {
                let pushed = recipient.queue.push(&self.parcel, run.start, run.end, &recipient.manner);
                (Cow::Borrowed(recipient), pushed)
            }
            Target::Member { route, group, .. } => {
                let Some(found) = self.push_to_member(run, recipient, route.groups.get(*group)) else { return };
                found
            }
        };
        if pushed.piecewise {
            for start in run.start..run.end {
                self.push(&Run { target: run.target.clone(), start, end: start + 1 }, &recipient, wake);
            }
            return;
        }
        let queue = Arc::as_ptr(&recipient.queue);
        if wake.as_ref().is_some_and(|(other, _)| *other != queue) {
            fire(wake.take());
        }
        Counter::MessagesRouted.add(u64::from(run.end - run.start));
        if let Some(waker) = pushed.wake.take() {
            *wake = Some((queue, waker));
        }
        if pushed.congested {
            self.congested = Some(Arc::clone(&recipient.queue));
        }
        if pushed.stored > 0 || !pushed.evicted.is_empty() {
            self.keep(&recipient, run, &pushed);
        }
        let is_exact = recipient.manner.qos == Qos::ExactlyOnce && self.parcel.highest_qos() == Qos::ExactlyOnce;
        if is_exact {
            self.owed.push((Arc::clone(&recipient.queue), Owed::Nudge));
        }
    }

    /// Pushes to the member that was chosen, or to another one if it has left
    /// meanwhile: what is entered behind that is not passed on.
    fn push_to_member<'r>(
        &self,
        run: &Run,
        first: &'r Recipient,
        group: Option<&Group<Mailbox>>,
    ) -> Option<(Cow<'r, Recipient>, Pushed)> {
        let mut member = Cow::Borrowed(first);
        for attempt in 0.. {
            member.queue.keep_promise();
            let push = |recipient: &Recipient| {
                recipient.queue.push_if_read(&self.parcel, run.start, run.end, &recipient.manner)
            };
            if let Some(pushed) = push(&member) {
                return Some((member, pushed));
            }
            let next = group.and_then(|group| choose(group, self.parcel.qos(run.start)));
            let Some(next) = next else { break };
            // Nobody is there, or they come and go faster than we look.
            let is_away = next.queue.is_away();
            member = Cow::Owned(next);
            if is_away || attempt >= ATTEMPTS {
                member.queue.keep_promise();
                let pushed = member.queue.push(&self.parcel, run.start, run.end, &member.manner);
                return Some((member, pushed));
            }
        }
        Counter::MessagesUnrouted.one();
        None
    }

    /// Notes what the store must hold of a push.
    fn keep(&mut self, recipient: &Recipient, run: &Run, pushed: &Pushed) {
        let session = recipient.queue.uid();
        if !pushed.evicted.is_empty() {
            self.batch.push(Op::Advance { session, up_to: 0, sparse: pushed.evicted.clone() });
        }
        let Some(first) = pushed.first_seq else { return };
        let durable = (run.start..run.end).filter(|&index| self.parcel.qos(index) > Qos::AtMostOnce);
        for (index, seq) in durable.collect::<Vec<_>>().into_iter().zip(first..) {
            let Some(mut message) = self.message(index) else { continue };
            if let Target::Member { copy, .. } = run.target {
                let id = MessageId { counter: self.first_copy.counter + u64::from(copy), ..self.first_copy };
                message = Arc::new(StoredMessage { id, ..(*message).clone() });
            }
            let qos = message.qos.min(recipient.manner.qos);
            let retain = recipient.manner.retain_as_published && self.is_retained(index);
            let ids = recipient.manner.ids.iter().flat_map(|ids| ids.iter().map(|id| id.get()));
            let group = recipient.manner.group.clone();
            let entry = QueueEntry { seq, qos, retain, subscription_ids: ids.collect(), group, message };
            self.batch.push(Op::Enqueue { session, entry });
        }
        self.owed.push((Arc::clone(&recipient.queue), Owed::Settle(first)));
    }

    /// The message at `index`, copied out of the parcel once for all queues.
    fn message(&mut self, index: u32) -> Option<Arc<StoredMessage>> {
        let at = index as usize;
        if self.stored.len() <= at {
            self.stored.resize(at + 1, None);
        }
        let slot = self.stored.get_mut(at)?;
        if slot.is_none() {
            *slot = self.parcel.stored(index).map(Arc::new);
        }
        slot.clone()
    }

    fn is_retained(&self, index: u32) -> bool {
        self.parcel.message(index).is_some_and(|message| message.retain)
    }

    /// What must be appended now that every recipient has its messages.
    pub fn take_batch(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    /// Ends the fan-out: its batch is durable at `position`.
    pub fn appended_at(self, position: Position) {
        self.parcel.appended_at(position);
        for (queue, owed) in self.owed {
            match owed {
                Owed::Settle(first) => queue.settle(first),
                Owed::Nudge => queue.nudge(),
            }
        }
    }

    /// A recipient whose ring is more than half full, if there is one.
    #[must_use]
    pub const fn congested(&self) -> Option<&Arc<SessionQueue>> {
        self.congested.as_ref()
    }
}
