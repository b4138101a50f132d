//! What is due for sessions whose clients are away: their ends, their wills.
//!
//! What lives here: when it is due, and what is done then. What does not: the
//! order of what is due (`delivery`). Invariant: an end has an entry in the
//! agenda once it is nearer than the horizon. Before that it stands with the
//! session alone, so one that sleeps for a week costs nothing here, and neither
//! does one that comes and goes each minute of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::delivery::{Agenda, Domain, Mailbox, Moment};
use crate::mqtt::ClientId;
use crate::telemetry::metrics::Counter;

use super::shared::{Domains, Node, Resting};
use super::{connection, remember, wake};

/// When what is due is tried again, if the store does not answer.
const LATER: Duration = Duration::from_secs(10);

/// How far the horizon is at most; half of it later it is moved, which looks at
/// every session.
const LOOK_AHEAD: Duration = Duration::from_secs(20 * 60);

/// A session whose client is away.
#[derive(Clone)]
pub struct Away {
    /// Where it is kept.
    pub domain: Arc<Domain<Resting>>,
    /// Under which name.
    pub key: ClientId,
    /// As which claim; a later one makes what is due void.
    pub generation: u64,
}

/// What happens to a session whose client is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It ends.
    Expire,
    /// Its will is published.
    Will,
}

/// What is due for sessions whose clients are away.
pub struct Due {
    wills: Agenda<Away>,
    ends: Agenda<Away>,
    look_ahead: Duration,
    horizon: Mutex<Moment>,
}

impl Due {
    /// Nothing yet.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        Self::looking_ahead(clock, LOOK_AHEAD)
    }

    fn looking_ahead(clock: &Clock, look_ahead: Duration) -> Self {
        let ends = Agenda::new(clock);
        let horizon = Mutex::new(ends.moment(look_ahead));
        Self { wills: Agenda::new(clock), ends, look_ahead, horizon }
    }

    /// When a session ends `expiry` seconds after its client left, which was
    /// `gone` ago.
    pub(super) fn end(&self, expiry: u32, gone: Duration) -> Moment {
        match expiry {
            u32::MAX => Moment::NEVER,
            _ => self.ends.moment(left(expiry, gone)),
        }
    }

    /// Enters what comes for a session that is at rest since `gone`: the will
    /// after its delay, and the end after `expiry`, both in seconds, if it is
    /// near. `ends` is what [`Due::end`] said when it was laid to rest.
    pub(super) fn enter(&self, away: Away, gone: Duration, will_delay: Option<u32>, expiry: u32, ends: Moment) {
        if let Some(delay) = will_delay {
            self.wills.schedule(left(delay, gone), away.clone());
        }
        // It rests already: a horizon that is not seen here sees it.
        if ends <= *self.horizon() {
            self.ends.schedule(left(expiry, gone), away);
        }
    }

    fn horizon(&self) -> MutexGuard<'_, Moment> {
        self.horizon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next session for which something is due, once it is.
    pub async fn next(&self) -> (Away, Event) {
        tokio::select! {
            away = self.wills.next() => (away, Event::Will),
            away = self.ends.next() => (away, Event::Expire),
        }
    }

    /// A session for which something is due already.
    fn overdue(&self) -> Option<(Away, Event)> {
        let will = self.wills.overdue().map(|away| (away, Event::Will));
        will.or_else(|| self.ends.overdue().map(|away| (away, Event::Expire)))
    }

    /// Waits until the horizon is to be moved.
    pub async fn near_horizon(&self) {
        let horizon = *self.horizon();
        self.ends.wait_until(self.look_ahead / 2, horizon).await;
    }

    /// Moves the horizon, and enters the ends that it passes.
    pub fn look_ahead(&self, domains: &Domains) {
        let to = self.ends.moment(self.look_ahead);
        let from = std::mem::replace(&mut *self.horizon(), to);
        for domain in domains.all() {
            for (key, generation, ends) in domain.registry.ending(from, to) {
                self.ends.schedule_at(ends, Away { domain: Arc::clone(&domain), key, generation });
            }
        }
    }

    fn again(&self, away: &Away, event: Event) {
        let agenda = match event {
            Event::Will => &self.wills,
            Event::Expire => &self.ends,
        };
        agenda.schedule(LATER, away.clone());
    }
}

fn left(seconds: u32, gone: Duration) -> Duration {
    Duration::from_secs(seconds.into()).saturating_sub(gone)
}

/// Does all that is due already. After a start that is before anybody is
/// listened to: a client that is back at once would take its old will with it.
pub fn catch_up(node: &Node) {
    while let Some((away, event)) = node.agenda.overdue() {
        due(node, &away, event);
    }
}

/// Does what is due for a session whose client is away.
pub fn due(node: &Node, away: &Away, event: Event) {
    let Away { domain, key, generation } = away;
    if let Err(error) = wake::wake(node, domain, key) {
        tracing::warn!(tenant = domain.tenant().as_str(), key = key.as_str(), %error, "what is due for a session waits");
        node.agenda.again(away, event);
        return;
    }
    match event {
        Event::Expire => {
            let Some(mut parked) = domain.registry.expire(key, *generation) else { return };
            Counter::SessionsExpired.one();
            node.census.expire(domain.tenant());
            let mailbox = Mailbox(Arc::clone(&parked.queue));
            let Resting { session, rights, .. } = &mut parked.session;
            if let Some(will) = session.take_will() {
                connection::publish_will(node, domain, &mailbox, rights, &will);
            }
            connection::end_session(domain, key, session, &mailbox, node.clock.unix_millis());
        }
        Event::Will => {
            let found = domain.registry.with_parked(key, *generation, |parked| {
                let Resting { session, rights, .. } = &mut parked.session;
                // While the session is locked: a connection that claims it
                // writes its own row behind this one.
                let _ = domain.append(remember::without_will(domain, key));
                (session.take_will(), Arc::clone(&parked.queue), Arc::clone(rights))
            });
            if let Some((Some(will), queue, rights)) = found {
                connection::publish_will(node, domain, &Mailbox(queue), &rights, &will);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::delivery::{Budget, Overflow, Settings};
    use crate::mqtt::TenantId;
    use crate::store::{MemoryStore, SessionUid, Store};

    fn domains() -> Domains {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        Domains::new(move |tenant| {
            let (bounds, budget) = (Arc::new(Settings::default()), Arc::new(Budget::new(1 << 20, true)));
            Arc::new(Domain::new(tenant.clone(), bounds, budget, Arc::clone(&store), Arc::new(AtomicU64::new(1))))
        })
    }

    /// Lays a session to sleep that ends in so many seconds.
    fn sleep(due: &Due, domains: &Domains, name: &str, expiry: u32) -> Away {
        let (domain, key) = (domains.of(&TenantId::new("t")), ClientId::new(name));
        let ends = due.end(expiry, Duration::ZERO);
        let queue = domain.kept_queue(SessionUid(u64::from(expiry)), Overflow::DropOldest).unwrap();
        assert!(domain.registry.lay(key.clone(), queue, ends));
        let away = Away { domain, key, generation: 1 };
        due.enter(away.clone(), Duration::ZERO, None, expiry, ends);
        away
    }

    #[test]
    fn an_end_is_entered_once_it_is_near() {
        let (mut due, domains) = (Due::new(&Clock::system()), domains());
        for (name, expiry) in [("near", 60), ("far", 7200), ("farther", 86_400), ("never", u32::MAX)] {
            sleep(&due, &domains, name, expiry);
        }
        assert_eq!(due.ends.len(), 1);
        due.look_ahead(&domains);
        assert_eq!(due.ends.len(), 1, "the horizon has hardly moved");
        due.look_ahead = Duration::from_secs(3 * 3600);
        for _ in 0..2 {
            due.look_ahead(&domains);
            assert_eq!(due.ends.len(), 2, "each is entered once");
        }
    }

    #[test]
    fn what_is_due_at_once_waits_for_no_clock() {
        let (due, domains) = (Due::new(&Clock::system()), domains());
        for number in 0..100 {
            let away = sleep(&due, &domains, &number.to_string(), 3600);
            due.enter(away, Duration::from_secs(1), Some(number % 2), u32::MAX, Moment::NEVER);
            assert_eq!(
                due.overdue().map(|(away, event)| (away.key, event)),
                Some((ClientId::new(number.to_string().as_str()), Event::Will))
            );
            assert!(due.overdue().is_none());
        }
    }

    #[test]
    fn a_session_that_comes_and_goes_leaves_nothing_behind() {
        let (due, domains) = (Due::new(&Clock::system()), domains());
        let away = sleep(&due, &domains, "c", 86_400);
        for generation in 2..1000 {
            let ends = due.end(86_400, Duration::ZERO);
            due.enter(Away { generation, ..away.clone() }, Duration::ZERO, None, 86_400, ends);
        }
        assert!(due.ends.is_empty());
    }

    #[tokio::test]
    async fn what_was_behind_the_horizon_ends_in_its_time() {
        let clock = Clock::system();
        let (due, domains) = (Due::looking_ahead(&clock, Duration::from_millis(400)), domains());
        let begin = clock.now();
        sleep(&due, &domains, "c", 2);
        assert!(due.ends.is_empty());
        loop {
            tokio::select! {
                (away, event) = due.next() => {
                    assert_eq!((away.key.as_str(), event), ("c", Event::Expire));
                    assert!(clock.now() - begin >= Duration::from_secs(2), "too soon");
                    return;
                }
                () = due.near_horizon() => due.look_ahead(&domains),
            }
        }
    }
}
