//! Rivals for one session, in every order (dataplane: take-over).
//!
//! What lives here: two to five connections that claim one session, yield it,
//! end it or give up waiting, enumerated. What does not: sockets
//! (`tests/hostile`). Invariant: a schedule is a list of steps, and each one is
//! played from the beginning.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use certus::delivery::{
    Budget, Ground, Kind, Moment, Outcome, Overflow, Parked, Registry, Returned, SessionQueue, Settings, Yield,
};
use certus::identity::principal::{Holder, Principal};
use certus::mqtt::{ClientId, TenantId};
use certus::store::SessionUid;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The next rival comes.
    Claim,
    /// Who holds the session gives it back, to be kept.
    Keep,
    /// Who holds the session ends it.
    End,
    /// A rival that waits gives up.
    GiveUp(usize),
}

#[derive(Default)]
struct Told(AtomicUsize);

impl Yield for Told {
    fn yield_to(&self, _: u64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

enum State {
    Waits(oneshot::Receiver<Option<Parked<u32>>>),
    Holds,
    Gone,
}

struct Rival {
    generation: u64,
    told: Arc<Told>,
    state: State,
}

/// What is played, with what must be true of it.
struct Game {
    registry: Registry<u32>,
    key: ClientId,
    queue: Arc<SessionQueue>,
    rivals: Vec<Rival>,
    /// The session that was kept last; nothing when it ended.
    kept: Option<u32>,
    handed: u32,
}

impl Game {
    fn new() -> Self {
        let budget = Arc::new(Budget::new(u64::MAX, true));
        let ground = Arc::new(Ground { settings: Arc::new(Settings::default()), budget, kept: Arc::default() });
        let queue = SessionQueue::new(SessionUid(1), Kind::Persistent, Overflow::DropOldest, &ground);
        let (registry, key) = (Registry::default(), ClientId::new("prize"));
        Self { registry, key, queue: Arc::new(queue), rivals: Vec::new(), kept: None, handed: 0 }
    }

    fn holder(&self) -> Option<usize> {
        let holders: Vec<usize> =
            (0..self.rivals.len()).filter(|&rival| matches!(self.rivals[rival].state, State::Holds)).collect();
        assert!(holders.len() <= 1, "two own the session: {holders:?}");
        holders.first().copied()
    }

    /// What may happen next, when there are `rivals` in all.
    fn steps(&self, rivals: usize) -> Vec<Step> {
        let claim = (self.rivals.len() < rivals).then_some(Step::Claim);
        let waits = |rival: &usize| matches!(self.rivals[*rival].state, State::Waits(_));
        let give_up = (0..self.rivals.len()).filter(waits).map(Step::GiveUp);
        let yields = self.holder().into_iter().flat_map(|_| [Step::Keep, Step::End]);
        claim.into_iter().chain(yields).chain(give_up).collect()
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Claim => self.claim(),
            Step::Keep => {
                self.handed += 1;
                self.hand_back(Some(self.handed));
            }
            Step::End => self.hand_back(None),
            Step::GiveUp(rival) => self.rivals[rival].state = State::Gone,
        }
        self.look();
    }

    fn claim(&mut self) {
        let principal = Principal { tenant: TenantId::new("lab"), holder: Holder::Account("a".into()) };
        let told = Arc::new(Told::default());
        let claim = self.registry.claim(&self.key, &principal, Arc::clone(&told) as Arc<dyn Yield>).unwrap();
        let state = match claim.outcome {
            Outcome::New => {
                assert_eq!(self.kept, None, "what was kept is not lost");
                State::Holds
            }
            Outcome::Resumed(parked) => {
                assert_eq!(Some(parked.session), self.kept);
                State::Holds
            }
            Outcome::Awaited(receiver) => State::Waits(receiver),
        };
        self.rivals.push(Rival { generation: claim.generation, told, state });
    }

    fn hand_back(&mut self, session: Option<u32>) {
        let holder = self.holder().unwrap();
        self.kept = session;
        self.rivals[holder].state = State::Gone;
        let parked =
            session.map(|session| Parked { session, queue: Arc::clone(&self.queue), next: 0, ends: Moment::NEVER });
        let returned = self.registry.hand_back(&self.key, self.rivals[holder].generation, parked);
        assert_ne!(returned, Returned::Foreign, "it was the owner");
    }

    /// Those who wait look whether they were given the session, or superseded.
    fn look(&mut self) {
        let last = self.rivals.len().saturating_sub(1);
        for (number, rival) in self.rivals.iter_mut().enumerate() {
            let State::Waits(receiver) = &mut rival.state else { continue };
            match receiver.try_recv() {
                Ok(parked) => {
                    assert_eq!(number, last, "only the last claim is given it");
                    assert_eq!(parked.map(|parked| parked.session), self.kept);
                    rival.state = State::Holds;
                }
                Err(TryRecvError::Closed) => {
                    assert!(number < last, "the last claim is never superseded");
                    rival.state = State::Gone;
                }
                Err(TryRecvError::Empty) => assert_eq!(number, last, "who was superseded knows at once"),
            }
        }
        if let Some(holder) = self.holder() {
            let told = self.rivals[holder].told.0.load(Ordering::Relaxed);
            assert_eq!(told, usize::from(holder < last), "an owner is told once, when another claims");
        }
    }

    /// Nobody is left: the session rests, or is gone, and no owner stands in
    /// the way of the next.
    fn end(mut self) {
        assert_eq!(self.registry.len(), usize::from(self.kept.is_some()));
        self.claim();
        assert!(matches!(self.rivals.last().unwrap().state, State::Holds), "owner none");
    }
}

/// Plays every schedule that begins with `played`; counts those that end.
fn explore(rivals: usize, played: &mut Vec<Step>) -> usize {
    let mut game = Game::new();
    played.iter().for_each(|step| game.take(*step));
    let steps = game.steps(rivals);
    if steps.is_empty() {
        game.end();
        return 1;
    }
    let mut ended = 0;
    for step in steps {
        played.push(step);
        ended += explore(rivals, played);
        played.pop();
    }
    ended
}

#[test]
fn every_order_of_two_to_five_rivals_leaves_one_owner() {
    let counts: Vec<usize> = (2..=5).map(|rivals| explore(rivals, &mut Vec::new())).collect();
    assert!(counts.is_sorted() && counts[3] > 500, "{counts:?}");
}
