//! A set of queue numbers that is small where they lie side by side.
//!
//! What lives here: numbers as intervals. What does not: what they stand for.
//! Invariant: intervals are not empty, do not touch, and are in order; a queue
//! whose middle was evicted a million times over costs one interval.

use std::collections::BTreeMap;
use std::ops::Range;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Intervals {
    /// End of each interval by its start.
    ends: BTreeMap<u64, u64>,
}

impl Intervals {
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many intervals there are.
    pub(crate) fn pieces(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        self.ends.range(..=number).next_back().is_some_and(|(_, &end)| number < end)
    }

    /// Whether the whole of `range` is in the set.
    pub(crate) fn covers(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.ends.range(..=range.start).next_back().is_some_and(|(_, &end)| range.end <= end)
    }

    pub(crate) fn insert(&mut self, number: u64) {
        self.insert_range(number..number.saturating_add(1));
    }

    pub(crate) fn insert_range(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        // The one before may reach into or up to it; those behind may begin within it.
        while let Some((&other, &other_end)) = self.ends.range(..=end).next_back().filter(|(_, other)| **other >= start)
        {
            self.ends.remove(&other);
            (start, end) = (start.min(other), end.max(other_end));
        }
        self.ends.insert(start, end);
    }

    pub(crate) fn remove(&mut self, number: u64) {
        let Some((&start, &end)) = self.ends.range(..=number).next_back().filter(|(_, end)| number < **end) else {
            return;
        };
        self.ends.remove(&start);
        self.insert_range(start..number);
        self.insert_range(number.saturating_add(1)..end);
    }

    /// Forgets every number below `floor`.
    pub(crate) fn cut_below(&mut self, floor: u64) {
        while let Some(first) = self.ends.first_entry().filter(|first| *first.key() < floor) {
            let end = first.remove();
            self.insert_range(floor..end.max(floor));
        }
    }

    /// Behind the highest number; `None` of an empty set.
    pub(crate) fn end(&self) -> Option<u64> {
        self.ends.last_key_value().map(|(_, &end)| end)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ends.iter().map(|(&start, &end)| start..end)
    }
}

impl FromIterator<u64> for Intervals {
    fn from_iter<T: IntoIterator<Item = u64>>(numbers: T) -> Self {
        let mut all = Self::default();
        numbers.into_iter().for_each(|number| all.insert(number));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn intervals_are_the_set_of_their_numbers(
            steps in proptest::collection::vec((0..5_u8, 0..40_u64, 0..12_u64), 0..60),
        ) {
            let (mut intervals, mut plain) = (Intervals::default(), BTreeSet::new());
            for (kind, at, more) in steps {
                match kind {
                    0 => { intervals.insert(at); plain.insert(at); }
                    1 => { intervals.insert_range(at..at + more); plain.extend(at..at + more); }
                    2 => { intervals.remove(at); plain.remove(&at); }
                    3 if more == 0 => { intervals.cut_below(at); plain.retain(|&number| number >= at); }
                    _ => {
                        let range = at..at + more;
                        prop_assert_eq!(intervals.covers(&range), range.clone().all(|number| plain.contains(&number)));
                    }
                }
                prop_assert_eq!(intervals.iter().flatten().collect::<Vec<_>>(), plain.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(intervals.end(), plain.last().map(|last| last + 1));
                prop_assert_eq!(intervals.contains(at), plain.contains(&at));
                prop_assert_eq!(intervals.is_empty(), plain.is_empty());
                let ends: Vec<_> = intervals.iter().collect();
                prop_assert!(ends.windows(2).all(|pair| pair[0].end < pair[1].start), "touching pieces: {ends:?}");
                prop_assert_eq!(intervals.pieces(), ends.len());
            }
        }
    }
}
