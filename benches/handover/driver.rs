//! The broker's side: one hand-written future a connection, as dataplane.md §2 and §8 draw it,
//! with the switches whose effect is in question. Invariant: a mailbox wakes its reader only
//! when it goes from empty to non-empty.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::wire::{ReadCall, Wire, frames};

/// When the acknowledgements of a turn leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// Written first, the parcel is handed over afterwards.
    BeforeHandOver,
    /// The parcel is handed over, then they are written in the same poll.
    AfterHandOver,
    /// The driver queues itself behind its recipients and writes them in its next poll.
    Deferred,
}

/// What a driver does after one read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// Reads until the socket is empty, a parcel for each read.
    Greedy,
    /// Queues itself again only when the read filled the budget.
    WhenFull,
    /// Queues itself again after every read.
    Always,
}

/// When a socket whose bytes are ready is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drain {
    /// The subscriber writes in the poll that its mailbox woke.
    AtOnce,
    /// It lets everything that is ready go first, once.
    AfterYield,
}

#[derive(Clone, Copy, Debug)]
pub struct Switches {
    pub acks: Acks,
    pub again: Again,
    pub drain: Drain,
    pub read: ReadCall,
    /// Bytes a turn reads at most.
    pub budget: usize,
}

/// One writer each (the driver), one reader (the report): plain adds suffice.
#[derive(Default)]
pub struct Counters {
    pub messages_in: AtomicU64,
    pub turns_in: AtomicU64,
    pub deliveries: AtomicU64,
    pub turns_out: AtomicU64,
    pub wakes: AtomicU64,
    pub polls: AtomicU64,
    pub recv: AtomicU64,
    pub send: AtomicU64,
}

fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Relaxed) + by, Relaxed);
}

struct Parcel {
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Inside {
    queue: VecDeque<Arc<Parcel>>,
    waker: Option<Waker>,
}

#[derive(Default)]
pub struct Mailbox(Mutex<Inside>);

impl Mailbox {
    fn push(&self, parcel: Arc<Parcel>) -> bool {
        let waker = {
            let mut inside = self.0.lock().unwrap();
            inside.queue.push_back(parcel);
            if inside.queue.len() > 1 { None } else { inside.waker.take() }
        };
        waker.map(Waker::wake).is_some()
    }

    fn drain(&self, into: &mut VecDeque<Arc<Parcel>>, waker: &Waker) {
        let mut inside = self.0.lock().unwrap();
        std::mem::swap(&mut inside.queue, into);
        match &mut inside.waker {
            Some(known) if known.will_wake(waker) => {}
            slot => *slot = Some(waker.clone()),
        }
    }
}

/// What a connection says it is by its first frame.
enum Role {
    Unknown,
    Publisher(Vec<Arc<Mailbox>>),
    Subscriber(Arc<Mailbox>),
}

pub struct Driver {
    wire: Wire,
    role: Role,
    mailboxes: Arc<Vec<Arc<Mailbox>>>,
    fan_out: bool,
    switches: Switches,
    counters: Arc<Counters>,
    partial: Vec<u8>,
    drained: VecDeque<Arc<Parcel>>,
    waited: bool,
}

thread_local! {
    static LENT: std::cell::RefCell<Vec<u8>> = std::cell::RefCell::new(vec![0; 64 * 1024]);
}

impl Driver {
    pub fn new(
        wire: Wire,
        mailboxes: Arc<Vec<Arc<Mailbox>>>,
        fan_out: bool,
        switches: Switches,
        counters: Arc<Counters>,
    ) -> Self {
        let (partial, drained) = (Vec::new(), VecDeque::new());
        Self { wire, role: Role::Unknown, mailboxes, fan_out, switches, counters, partial, drained, waited: false }
    }

    fn take_mail(&mut self, cx: &mut Context<'_>) -> bool {
        let Role::Subscriber(mailbox) = &self.role else { return true };
        if self.switches.drain == Drain::AfterYield && !self.waited {
            self.waited = true;
            cx.waker().wake_by_ref();
            return false;
        }
        self.waited = false;
        mailbox.drain(&mut self.drained, cx.waker());
        let mut count = 0;
        for parcel in self.drained.drain(..) {
            for (_, frame) in frames(&parcel.bytes) {
                self.wire.out.extend_from_slice(frame);
                count += 1;
            }
        }
        if count > 0 {
            add(&self.counters.deliveries, count);
            add(&self.counters.turns_out, 1);
        }
        true
    }

    /// One parcel out of what was read, and its acknowledgements.
    fn decode(&mut self, plain: &[u8]) -> (Vec<u8>, Vec<u8>, u64) {
        let (mut parcel, mut acks, mut used, mut count) = (Vec::new(), Vec::new(), 0, 0);
        for (first, frame) in frames(plain) {
            used += frame.len();
            match first {
                0x32 => {
                    parcel.extend_from_slice(frame);
                    acks.extend_from_slice(&[0x40, 2, 0, 1]);
                    count += 1;
                }
                0x10 => {
                    let index = usize::from(frame[3]);
                    self.role = if frame[2] == b'S' {
                        Role::Subscriber(Arc::clone(&self.mailboxes[index]))
                    } else if self.fan_out {
                        Role::Publisher(self.mailboxes.to_vec())
                    } else {
                        Role::Publisher(vec![Arc::clone(&self.mailboxes[index])])
                    };
                    acks.extend_from_slice(&[0x20, 0]);
                }
                _ => {}
            }
        }
        self.partial = plain[used..].to_vec();
        (parcel, acks, count)
    }

    fn hand_over(&self, bytes: Vec<u8>) {
        let Role::Publisher(recipients) = &self.role else { return };
        let parcel = Arc::new(Parcel { bytes });
        let woken = recipients.iter().filter(|mailbox| mailbox.push(Arc::clone(&parcel))).count();
        add(&self.counters.wakes, woken as u64);
    }

    /// `Ready(true)`: come again at once; `Ready(false)`: leave, the task is queued already.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut plain = std::mem::take(&mut self.partial);
        let budget = self.switches.budget;
        let read = LENT.with_borrow_mut(|lent| {
            let lent = &mut lent[..budget];
            self.wire.poll_read(cx, self.switches.read, lent, &mut plain)
        });
        let Poll::Ready(read) = read else {
            self.partial = plain;
            return Poll::Pending;
        };
        let full = read? == budget;
        let (parcel, acks, count) = self.decode(&plain);
        self.wire.out.extend_from_slice(&acks);
        if acks.first() == Some(&0x20) {
            cx.waker().wake_by_ref(); // a new subscriber must register with its mailbox
        }
        if count > 0 {
            add(&self.counters.messages_in, count);
            add(&self.counters.turns_in, 1);
            if self.switches.acks == Acks::BeforeHandOver {
                let _ = self.wire.poll_flush(cx)?;
            }
            self.hand_over(parcel);
            if self.switches.acks == Acks::Deferred {
                cx.waker().wake_by_ref();
                return Poll::Ready(Ok(false));
            }
        }
        let _ = self.wire.poll_flush(cx)?;
        match self.switches.again {
            Again::Greedy => Poll::Ready(Ok(true)),
            Again::WhenFull if !full => Poll::Ready(Ok(true)),
            _ => {
                cx.waker().wake_by_ref();
                Poll::Ready(Ok(false))
            }
        }
    }

    fn pass(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.take_mail(cx) {
            let _ = self.wire.poll_flush(cx)?;
        }
        loop {
            match self.turn(cx)? {
                Poll::Ready(true) => {}
                Poll::Ready(false) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Future for Driver {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = self.pass(cx);
        add(&self.counters.polls, 1);
        self.counters.recv.store(self.wire.calls.recv, Relaxed);
        self.counters.send.store(self.wire.calls.send, Relaxed);
        answer
    }
}
