//! What evaluation remembers: of each thing the series that are listened to, and where each rule stands with it.

use std::collections::HashMap;

use model::{RuleId, ThingId, Value};
use store::RuleStateRecord;

use crate::index::Compiled;
use crate::window::Series;

/// Bounds of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Numbers kept of one series; a window that holds more looks at its newest only.
    pub series: usize,
    /// Numbers kept in all. When they are used up a series keeps its newest [`Limits::LEAST`] only.
    pub total: usize,
}

impl Limits {
    /// What every series may keep.
    pub const LEAST: usize = 16;
}

impl Default for Limits {
    fn default() -> Self {
        Self { series: 4_096, total: 4_000_000 }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct State {
    limits: Limits,
    things: HashMap<ThingId, OfThing>,
    points: usize,
}

#[derive(Debug, Default)]
pub(crate) struct OfThing {
    series: HashMap<String, Series>,
    standing: HashMap<RuleId, Vec<(String, Standing)>>,
}

/// Where a rule stands with a thing (and series).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// It was raised since its condition was last entered.
    pub(crate) raised: bool,
    /// When it was last raised, in microseconds.
    pub(crate) fired: Option<i64>,
}

impl State {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Numbers kept of all series.
    #[must_use]
    pub fn points(&self) -> usize {
        self.points
    }

    /// Where a rule stood when that was last stored.
    pub fn restore(&mut self, record: RuleStateRecord) {
        let standing = Standing { raised: record.holding, fired: record.fired.map(|at| at.as_microsecond()) };
        *self.things.entry(record.thing).or_default().standing_mut(record.rule, &record.path) = standing;
    }

    /// The rule starts afresh.
    pub fn forget_rule(&mut self, rule: RuleId) {
        self.things.values_mut().for_each(|thing| drop(thing.standing.remove(&rule)));
    }

    /// Runs something that may move standings, and puts them back.
    pub(crate) fn keep_standings(&mut self, run: impl FnOnce(&mut Self)) {
        let kept: Vec<_> = self.things.iter_mut().map(|(id, thing)| (*id, std::mem::take(&mut thing.standing))).collect();
        run(self);
        self.things.values_mut().for_each(|thing| thing.standing.clear());
        for (id, standing) in kept {
            self.things.entry(id).or_default().standing = standing;
        }
    }

    /// The thing is gone.
    pub fn forget_thing(&mut self, thing: ThingId) {
        if let Some(gone) = self.things.remove(&thing) {
            self.points -= gone.series.values().map(Series::points).sum::<usize>();
        }
    }

    /// Takes in a value; `keep`: seconds of the longest window over the series.
    pub(crate) fn take(&mut self, thing: ThingId, path: &str, at: i64, value: &Value, keep: Option<u32>) -> &mut OfThing {
        let most = if self.points >= self.limits.total { Limits::LEAST.min(self.limits.series) } else { self.limits.series };
        let of = self.things.entry(thing).or_default();
        // The path is copied the first time only.
        if !of.series.contains_key(path) {
            of.series.insert(path.to_owned(), Series::new(at));
        }
        if let Some(series) = of.series.get_mut(path) {
            self.points = self.points.saturating_add_signed(series.take(at, value, keep, most));
        }
        of
    }

    pub(crate) fn of(&mut self, thing: ThingId) -> &mut OfThing {
        self.things.entry(thing).or_default()
    }
}

impl OfThing {
    pub(crate) fn series(&self, path: &str) -> Option<&Series> {
        self.series.get(path)
    }

    pub(crate) fn standing_mut(&mut self, rule: RuleId, path: &str) -> &mut Standing {
        let list = self.standing.entry(rule).or_default();
        let place = list.iter().position(|(other, _)| other == path).unwrap_or_else(|| {
            list.push((path.to_owned(), Standing::default()));
            list.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just now")]
        &mut list[place].1
    }

    pub(crate) fn standing(&self, rule: &Compiled, path: &str) -> Standing {
        let list = self.standing.get(&rule.rule.id).map_or(&[][..], Vec::as_slice);
        list.iter().find(|(other, _)| other == path).map(|(_, standing)| *standing).unwrap_or_default()
    }
}
