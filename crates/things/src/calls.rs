//! Calls of an API that counts them: by user and day in memory, stored with every step of upkeep, held against the tenant's plan.
//!
//! After a crash the calls of the last minute are forgotten, in favour of the caller.

use std::collections::HashMap;

use jiff::Timestamp;
use model::{Caller, PlanName, Result, TenantId};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::Things;

const DAY: i64 = 86_400;
/// Days whose counts are kept.
const KEEP: i64 = 400;

/// Calls of the present day, UTC, the one that asks included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiUsage {
    /// By this user.
    pub user: u64,
    /// By everybody in the tenant.
    pub tenant: u64,
    /// How many the tenant's plan allows in a day; absent: no limit.
    pub limit: Option<u64>,
}

/// Calls a day: AMBER 1,000, SAPPHIRE 20,000, AMETHYST 100,000, UNLIMITED as many as one likes.
#[must_use]
pub fn daily_calls(plan: PlanName) -> Option<u64> {
    match plan {
        PlanName::Amber => Some(1_000),
        PlanName::Sapphire => Some(20_000),
        PlanName::Amethyst => Some(100_000),
        PlanName::Unlimited => None,
    }
}

/// The day's counts of every tenant that called.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    tenants: Mutex<HashMap<TenantId, Today>>,
}

#[derive(Debug, Default)]
struct Today {
    day: i64,
    total: u64,
    users: HashMap<Uuid, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u64,
    unsaved: u64,
}

impl Today {
    fn loaded(day: i64, rows: Vec<(Uuid, u64)>) -> Self {
        let users: HashMap<_, _> = rows.into_iter().map(|(user, all)| (user, Count { all, unsaved: 0 })).collect();
        Self { day, total: users.values().map(|c| c.all).sum(), users }
    }

    /// One more; none: the limit is reached.
    fn take(&mut self, user: Uuid, limit: Option<u64>) -> Option<ApiUsage> {
        if limit.is_some_and(|limit| self.total >= limit) {
            return None;
        }
        let count = self.users.entry(user).or_default();
        count.all += 1;
        count.unsaved += 1;
        self.total += 1;
        Some(ApiUsage { user: count.all, tenant: self.total, limit })
    }

    fn usage(&self, user: Uuid, limit: Option<u64>) -> ApiUsage {
        ApiUsage { user: self.users.get(&user).map_or(0, |c| c.all), tenant: self.total, limit }
    }
}

fn day_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY)
}

/// A call that was counted, or was one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The day's counts.
    pub usage: ApiUsage,
    /// May it go on?
    pub allowed: bool,
    /// Until the count begins anew, seconds.
    pub resets_in: u64,
}

impl Things {
    /// Counts a call of the caller's, unless the tenant has used up its day.
    pub async fn count_call(&self, caller: &Caller) -> Result<Counted> {
        let now = self.now();
        let day = day_of(now);
        let plan = match self.known_state(caller.tenant) {
            Some(state) => state.plan(),
            None => self.state(&mut self.inner.db.read().await?, caller.tenant).await?.plan(),
        };
        let limit = daily_calls(plan.name);
        let user = caller.user().map_or(Uuid::nil(), model::UserId::uuid);
        let resets_in = u64::try_from((day + 1) * DAY - now.as_second()).unwrap_or(1).max(1);
        let take = |today: &mut Today| match today.take(user, limit) {
            Some(usage) => Counted { usage, allowed: true, resets_in },
            None => Counted { usage: today.usage(user, limit), allowed: false, resets_in },
        };
        let calls = &self.inner.calls;
        if let Some(today) = calls.tenants.lock().get_mut(&caller.tenant).filter(|today| today.day == day) {
            return Ok(take(today));
        }
        // What yesterday left unsaved is saved before it goes.
        self.save_calls().await?;
        let rows = self.inner.db.read().await?.api_calls(caller.tenant, day).await?;
        let mut tenants = calls.tenants.lock();
        let today = tenants.entry(caller.tenant).or_default();
        if today.day != day {
            *today = Today::loaded(day, rows);
        }
        Ok(take(today))
    }

    /// Stores what was counted since the last time, and learns what other nodes counted.
    pub(crate) async fn save_calls(&self) -> Result<()> {
        let calls = &self.inner.calls;
        let mut taken: Vec<(TenantId, i64, Uuid, u64)> = Vec::new();
        for (tenant, today) in calls.tenants.lock().iter_mut() {
            let unsaved = today.users.iter_mut().filter(|(_, count)| count.unsaved > 0);
            taken.extend(unsaved.map(|(user, count)| (*tenant, today.day, *user, std::mem::take(&mut count.unsaved))));
        }
        if taken.is_empty() {
            return Ok(());
        }
        match self.write_calls(&taken).await {
            Ok(stored) => {
                let mut tenants = calls.tenants.lock();
                for (tenant, day, rows) in stored {
                    let Some(today) = tenants.get_mut(&tenant).filter(|today| today.day == day) else { continue };
                    for (user, stored) in rows {
                        let count = today.users.entry(user).or_default();
                        count.all = stored + count.unsaved;
                    }
                    today.total = today.users.values().map(|c| c.all).sum();
                }
                let day = day_of(self.now());
                tenants.retain(|_, today| today.day == day || today.users.values().any(|c| c.unsaved > 0));
                Ok(())
            }
            Err(error) => {
                let mut tenants = calls.tenants.lock();
                for (tenant, day, user, more) in taken {
                    let today = tenants.get_mut(&tenant).filter(|today| today.day == day);
                    if let Some(count) = today.and_then(|today| today.users.get_mut(&user)) {
                        count.unsaved += more;
                    }
                }
                Err(error)
            }
        }
    }

    async fn write_calls(&self, taken: &[(TenantId, i64, Uuid, u64)]) -> Result<Vec<(TenantId, i64, Vec<(Uuid, u64)>)>> {
        let mut tx = self.inner.db.begin().await?;
        let mut days: Vec<(TenantId, i64)> = taken.iter().map(|(tenant, day, _, _)| (*tenant, *day)).collect();
        days.sort_unstable();
        days.dedup();
        let mut stored = Vec::with_capacity(days.len());
        for (tenant, day) in days {
            // A tenant that is gone has nobody to count for.
            if tx.tenant(tenant).await?.is_none() {
                continue;
            }
            for (_, _, user, more) in taken.iter().filter(|(t, d, _, _)| (*t, *d) == (tenant, day)) {
                tx.add_api_calls(tenant, day, *user, *more).await?;
            }
            tx.purge_api_calls(tenant, day - KEEP).await?;
            stored.push((tenant, day, tx.api_calls(tenant, day).await?));
        }
        tx.commit().await?;
        Ok(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight() {
        let at = |text: &str| day_of(text.parse().unwrap());
        assert_eq!(at("1970-01-01T23:59:59.999Z"), 0);
        assert_eq!(at("1970-01-02T00:00:00Z"), 1);
        assert_eq!(at("1969-12-31T23:59:59Z"), -1);
    }

    #[test]
    fn the_tenants_limit_holds_for_all_its_users() {
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut today = Today::loaded(7, vec![(a, 1)]);
        assert_eq!(today.take(a, Some(3)), Some(ApiUsage { user: 2, tenant: 2, limit: Some(3) }));
        assert_eq!(today.take(b, Some(3)), Some(ApiUsage { user: 1, tenant: 3, limit: Some(3) }));
        assert_eq!((today.take(a, Some(3)), today.take(b, Some(3))), (None, None));
        assert_eq!(today.usage(a, None).tenant, 3);
        assert!(today.take(a, None).is_some());
    }
}
