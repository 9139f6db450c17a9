//! One series as rules see it: its newest value, and as many of its last numbers as the longest window over it needs.

use std::collections::VecDeque;

use model::{Aggregate, Value, Window};

/// Microseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// When the newest value was true, in microseconds.
    pub(crate) newest: i64,
    pub(crate) last: Value,
    /// Numbers with their times, in order of time; of equal times in order of arrival.
    points: VecDeque<(i64, f64)>,
}

impl Series {
    pub(crate) fn new(at: i64) -> Self {
        Self { newest: at, ..Self::default() }
    }

    /// Takes in a value; of its numbers those of the last `keep` seconds stay, at most `most`. Answers by how many there are more or fewer.
    pub(crate) fn take(&mut self, at: i64, value: &Value, keep: Option<u32>, most: usize) -> isize {
        let before = self.points.len();
        if at >= self.newest {
            self.newest = at;
            self.last = value.clone();
        }
        if let (Some(keep), Some(number)) = (keep, value.as_f64()) {
            let place = self.points.iter().rposition(|(earlier, _)| *earlier <= at).map_or(0, |i| i + 1);
            self.points.insert(place, (at, number));
            let horizon = self.newest.saturating_sub(i64::from(keep) * SECOND);
            while self.points.front().is_some_and(|(at, _)| *at <= horizon) || self.points.len() > most.max(1) {
                self.points.pop_front();
            }
        } else if keep.is_none() {
            self.points = VecDeque::new();
        }
        self.points.len().cast_signed() - before.cast_signed()
    }

    pub(crate) fn points(&self) -> usize {
        self.points.len()
    }

    /// The numbers of the window that ends at `now` (or at the newest value, if that is later), as one; none where there are none to
    /// make one of.
    pub(crate) fn aggregate(&self, window: Window, now: i64) -> Option<f64> {
        let horizon = now.max(self.newest).saturating_sub(i64::from(window.seconds) * SECOND);
        let start = self.points.partition_point(|(at, _)| *at <= horizon);
        let mut numbers = self.points.range(start..).map(|(_, number)| *number);
        if window.aggregate == Aggregate::Count {
            return Some(count(numbers.len()));
        }
        let first = numbers.next()?;
        let all = std::iter::once(first).chain(numbers.clone());
        Some(match window.aggregate {
            Aggregate::Min => all.fold(f64::INFINITY, f64::min),
            Aggregate::Max => all.fold(f64::NEG_INFINITY, f64::max),
            Aggregate::Sum | Aggregate::Count => all.sum(),
            Aggregate::Mean => all.sum::<f64>() / count(numbers.len() + 1),
            Aggregate::First => first,
            Aggregate::Last => numbers.next_back().unwrap_or(first),
            Aggregate::Diff => numbers.next_back().unwrap_or(first) - first,
        })
    }
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::from(u32::MAX), f64::from)
}
