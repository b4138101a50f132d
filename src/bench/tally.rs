//! What subscribers received: losses, repeats and disorder, by publisher.
//!
//! What lives here: the stamp in each payload and the bookkeeping of sequences, of one subscriber and of a
//! group that shares its messages. What does not: sockets. Invariant: every message counts once, as
//! expected, late, or repeated.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bytes of a whole stamp; shorter payloads carry what fits.
pub const STAMP: usize = 16;
/// Missing numbers that are remembered for each publisher; older ones count as lost for good.
const REMEMBERED: usize = 100_000;

/// What stands in the first bytes of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which publisher.
    pub publisher: u16,
    /// Its how many-th message, from 0; 48 bits.
    pub sequence: u64,
    /// When it was due, since the run began. Only in payloads of 16 bytes and more.
    pub due: Option<Duration>,
}

impl Stamp {
    /// The stamp in wire form; a payload takes as much of it as it has room for.
    pub fn to_bytes(self) -> [u8; STAMP] {
        let head = u64::from(self.publisher) << 48 | (self.sequence & 0xFFFF_FFFF_FFFF);
        let due = u64::try_from(self.due.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        (u128::from(head) << 64 | u128::from(due)).to_be_bytes()
    }

    /// Reads the stamp of a payload of at least 8 bytes.
    pub fn of(payload: &[u8]) -> Option<Self> {
        let (head, rest) = payload.split_first_chunk::<8>()?;
        let head = u64::from_be_bytes(*head);
        let due = rest.first_chunk::<8>().map(|due| Duration::from_nanos(u64::from_be_bytes(*due)));
        Some(Self { publisher: (head >> 48) as u16, sequence: head & 0xFFFF_FFFF_FFFF, due })
    }
}

/// The sum of what went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Sent, and never received.
    pub lost: u64,
    /// Received more than once.
    pub repeated: u64,
    /// Received after a later one of the same publisher.
    pub disordered: u64,
}

impl std::ops::AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.disordered += other.disordered;
    }
}

/// The messages of all publishers at one subscriber.
#[derive(Default)]
pub struct Tally {
    lanes: Vec<Lane>,
    faults: Faults,
    /// With whom the messages are shared.
    group: Option<Arc<Group>>,
}

#[derive(Default)]
struct Lane {
    next: u64,
    missing: BTreeSet<u64>,
}

/// The messages of all publishers at subscribers that share them: each is for one of them, and only
/// what one of them gets has an order.
#[derive(Default)]
pub struct Group(Mutex<Tally>);

impl Group {
    /// Losses and repeats among all members; disorder is told by each member's own tally.
    pub fn faults(&self, publishers: u16, sent: impl Fn(u16) -> u64) -> Faults {
        let tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Faults { disordered: 0, ..tally.faults(publishers, sent) }
    }

    /// Answers whether no member had it before.
    fn is_new(&self, stamp: Stamp) -> bool {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let repeated = tally.faults.repeated;
        tally.count(stamp);
        tally.faults.repeated == repeated
    }
}

impl Tally {
    /// The tally of one member of `group`.
    pub fn of_member(group: Arc<Group>) -> Self {
        Self { group: Some(group), ..Self::default() }
    }

    /// Counts one message.
    #[inline]
    pub fn count(&mut self, stamp: Stamp) {
        let at = usize::from(stamp.publisher);
        if at >= self.lanes.len() {
            self.lanes.resize_with(at + 1, Lane::default);
        }
        let Some(lane) = self.lanes.get_mut(at) else { return };
        if let Some(group) = &self.group {
            let is_late = stamp.sequence < lane.next;
            lane.next = lane.next.max(stamp.sequence + 1);
            self.faults.disordered += u64::from(group.is_new(stamp) && is_late);
        } else if stamp.sequence == lane.next {
            lane.next += 1;
        } else {
            lane.count_odd(stamp.sequence, &mut self.faults);
        }
    }

    /// What went wrong, once `sent(publisher)` says how many messages each publisher sent to this subscriber.
    /// What a group lost or repeated is told by the group.
    pub fn faults(&self, publishers: u16, sent: impl Fn(u16) -> u64) -> Faults {
        let mut faults = self.faults;
        if self.group.is_some() {
            return faults;
        }
        for publisher in 0..publishers {
            let lane = self.lanes.get(usize::from(publisher));
            let (next, missing) = lane.map_or((0, 0), |lane| (lane.next, lane.missing.len() as u64));
            faults.lost += missing + sent(publisher).saturating_sub(next);
        }
        faults
    }
}

impl Lane {
    #[cold]
    fn count_odd(&mut self, sequence: u64, faults: &mut Faults) {
        if sequence > self.next {
            self.missing.extend(self.next..sequence.min(self.next.saturating_add(REMEMBERED as u64)));
            faults.lost += sequence.saturating_sub(self.next.saturating_add(REMEMBERED as u64));
            self.next = sequence + 1;
            while self.missing.len() > REMEMBERED && self.missing.pop_first().is_some() {
                faults.lost += 1;
            }
        } else if self.missing.remove(&sequence) {
            faults.disordered += 1;
        } else {
            faults.repeated += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sequences: &[u64]) -> Tally {
        let mut tally = Tally::default();
        sequences.iter().for_each(|&sequence| tally.count(Stamp { publisher: 1, sequence, due: None }));
        tally
    }

    #[test]
    fn a_stamp_survives_its_payload() {
        let stamp = Stamp { publisher: 999, sequence: 1 << 40, due: Some(Duration::from_nanos(123_456_789_012)) };
        assert_eq!(Stamp::of(&stamp.to_bytes()), Some(stamp));
        assert_eq!(Stamp::of(&stamp.to_bytes()[..8]), Some(Stamp { due: None, ..stamp }));
        assert_eq!(Stamp::of(&stamp.to_bytes()[..7]), None);
    }

    #[test]
    fn loss_repeats_and_disorder_are_told_apart() {
        let sent = |publisher| if publisher == 1 { 6 } else { 0 };
        let faults = |sequences: &[u64]| tally(sequences).faults(2, sent);
        assert_eq!(faults(&[0, 1, 2, 3, 4, 5]), Faults::default());
        assert_eq!(faults(&[0, 1, 3, 4, 5]), Faults { lost: 1, ..Faults::default() });
        assert_eq!(faults(&[0, 1, 2]), Faults { lost: 3, ..Faults::default() });
        assert_eq!(faults(&[0, 1, 1, 2, 3, 4, 5]), Faults { repeated: 1, ..Faults::default() });
        assert_eq!(faults(&[0, 2, 1, 3, 4, 5]), Faults { disordered: 1, ..Faults::default() });
        assert_eq!(faults(&[]), Faults { lost: 6, ..Faults::default() });
    }

    #[test]
    fn members_share_losses_and_repeats_and_have_an_order_each() {
        let faults = |received: &[(usize, u64)]| {
            let group = Arc::new(Group::default());
            let mut members = [(); 2].map(|()| Tally::of_member(Arc::clone(&group)));
            for &(member, sequence) in received {
                members[member].count(Stamp { publisher: 0, sequence, due: None });
            }
            let mut all = group.faults(1, |_| 4);
            members.iter().for_each(|member| all += member.faults(1, |_| 4));
            all
        };
        assert_eq!(faults(&[(0, 0), (1, 1), (0, 2), (1, 3)]), Faults::default());
        assert_eq!(faults(&[(0, 1), (0, 3), (1, 0), (1, 2)]), Faults::default(), "no order between members");
        assert_eq!(faults(&[(0, 0), (1, 1), (0, 3)]), Faults { lost: 1, ..Faults::default() });
        assert_eq!(faults(&[(0, 0), (1, 0), (1, 1), (0, 2), (1, 3)]), Faults { repeated: 1, ..Faults::default() });
        assert_eq!(faults(&[(0, 2), (0, 0), (1, 1), (1, 3)]), Faults { disordered: 1, ..Faults::default() });
    }

    #[test]
    fn a_jump_beyond_memory_is_still_counted_as_lost() {
        let far = 3 * REMEMBERED as u64;
        assert_eq!(tally(&[far]).faults(2, |at| if at == 1 { far + 1 } else { 0 }).lost, far);
    }
}
