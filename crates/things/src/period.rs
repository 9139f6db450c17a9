//! Periods: months counted from the day a plan began.

use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::tz::TimeZone;

/// One period, its end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl Period {
    /// The period that holds `at`, of a plan that began at `since`; the first one for what was before.
    ///
    /// Always counted from the first day, so that a plan begun on the 31st is on the 31st again after a shorter month.
    pub(crate) fn holding(since: Timestamp, at: Timestamp) -> Self {
        let first = since.to_zoned(TimeZone::UTC);
        let there = at.to_zoned(TimeZone::UTC);
        let months = (i64::from(there.year()) - i64::from(first.year())) * 12 + i64::from(there.month()) - i64::from(first.month());
        let start = |n: i64| first.checked_add(n.months()).map_or(Timestamp::MAX, |z| z.timestamp());
        let n = if start(months) > at { months - 1 } else { months }.max(0);
        Self { start: start(n), end: start(n + 1) }
    }

    pub(crate) fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_plan_begun_on_the_31st_turns_over_at_the_ends_of_months() {
        let since = at("2026-01-31T10:00:00Z");
        let starts = |t: &str| Period::holding(since, at(t)).start.to_string();
        assert_eq!(starts("2026-01-31T10:00:00Z"), "2026-01-31T10:00:00Z");
        assert_eq!(starts("2026-02-28T09:59:59Z"), "2026-01-31T10:00:00Z");
        assert_eq!(starts("2026-02-28T10:00:00Z"), "2026-02-28T10:00:00Z");
        assert_eq!(starts("2026-03-30T10:00:00Z"), "2026-02-28T10:00:00Z");
        assert_eq!(starts("2026-03-31T10:00:00Z"), "2026-03-31T10:00:00Z");
        assert_eq!(starts("2027-02-01T00:00:00Z"), "2027-01-31T10:00:00Z");
    }

    #[test]
    fn what_was_before_the_plan_falls_into_its_first_period() {
        let since = at("2026-05-05T00:00:00Z");
        assert_eq!(Period::holding(since, at("2025-01-01T00:00:00Z")).start, since);
    }

    proptest! {
        #[test]
        fn every_moment_is_in_exactly_one_period(since in 0i64..4_000_000_000, after in 0i64..2_000_000_000) {
            let (since, moment) = (Timestamp::from_second(since).unwrap(), Timestamp::from_second(since + after).unwrap());
            let period = Period::holding(since, moment);
            prop_assert!(period.holds(moment) && period.start < period.end);
            let next = Period::holding(since, period.end);
            prop_assert_eq!(next.start, period.end);
        }
    }
}
