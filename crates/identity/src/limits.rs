//! Failures allowed per account and per address: token buckets in memory, on the given clock, bounded in number.
//!
//! Only failures cost. An account's bucket is charged before the check and given back on success, so that many tries at
//! once cannot slip through; an address's bucket is charged after the check, so that many good sign-ins from one address
//! (a site behind one router) never get in each other's way.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use model::{Clock, Error, Result};
use parking_lot::Mutex;

/// Failures allowed before a credential check is refused unread.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// Failures a minute per account (user, client, thing), and as many at once.
    pub account_failures: u32,
    /// Failures a minute per address (IPv6: per /64), and as many at once.
    pub address_failures: u32,
    /// The longest back-off: it doubles with each failure beyond the allowance.
    pub longest_backoff: Duration,
    /// Accounts, and addresses, remembered at most.
    pub remembered: usize,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self { account_failures: 10, address_failures: 60, longest_backoff: Duration::from_mins(15), remembered: 100_000 }
    }
}

/// The two sets of buckets.
pub(crate) struct Limiter {
    clock: Clock,
    accounts: Buckets<String>,
    codes: Buckets<String>,
    addresses: Buckets<IpAddr>,
}

/// Wrong codes of a second factor: so many at once, and one more each while. A code has a million values and three are good at
/// a time: at this pace a guesser who has the password is right once in three years.
const CODE_FAILURES: u32 = 5;
const CODE_AGAIN: Duration = Duration::from_mins(5);
const CODE_BACKOFF: Duration = Duration::from_secs(30);

/// A charge on an account's bucket: kept if dropped, given back by [`Charge::give_back`].
pub(crate) struct Charge<'a> {
    limiter: &'a Limiter,
    buckets: &'a Buckets<String>,
    account: String,
    address: Option<IpAddr>,
    settled: bool,
}

impl Limiter {
    pub(crate) fn new(clock: Clock, limits: &RateLimits) -> Self {
        Self {
            clock,
            accounts: Buckets::new(limits.account_failures, limits),
            codes: Buckets::slow(CODE_FAILURES, CODE_AGAIN, CODE_BACKOFF, limits),
            addresses: Buckets::new(limits.address_failures, limits),
        }
    }

    /// May this address try anything at all?
    pub(crate) fn admit(&self, address: Option<IpAddr>) -> Result<()> {
        match address {
            Some(address) => self.addresses.admit(&network(address), self.clock.micros()),
            None => Ok(()),
        }
    }

    /// Charges one try to the account, or says when to come back.
    pub(crate) fn charge(&self, account: &str, address: Option<IpAddr>) -> Result<Charge<'_>> {
        self.admit(address)?;
        self.accounts.charge(account.to_owned(), self.clock.micros())?;
        Ok(Charge { limiter: self, buckets: &self.accounts, account: account.to_owned(), address, settled: false })
    }

    /// Charges one try at a second factor, which has an allowance of its own.
    pub(crate) fn charge_code(&self, account: &str, address: Option<IpAddr>) -> Result<Charge<'_>> {
        self.admit(address)?;
        self.codes.charge(account.to_owned(), self.clock.micros())?;
        Ok(Charge { limiter: self, buckets: &self.codes, account: account.to_owned(), address, settled: false })
    }

    /// Charges a failure to an address alone.
    pub(crate) fn fail_address(&self, address: Option<IpAddr>) {
        if let Some(address) = address {
            self.addresses.fail(network(address), self.clock.micros());
        }
    }
}

impl Charge<'_> {
    /// Success costs nothing, and neither does a check that could not be made.
    pub(crate) fn give_back(mut self) {
        self.settled = true;
        self.buckets.give_back(&self.account);
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.limiter.fail_address(self.address);
        }
    }
}

/// An IPv6 peer owns its /64 at least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

struct Buckets<K> {
    capacity: f64,
    per_micro: f64,
    first_backoff: i64,
    longest_backoff: i64,
    most: usize,
    map: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: i64,
    strikes: u32,
    blocked_until: i64,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(per_minute: u32, limits: &RateLimits) -> Self {
        let per_minute = f64::from(per_minute.max(1));
        Self {
            capacity: per_minute,
            per_micro: per_minute / 60e6,
            #[expect(clippy::cast_possible_truncation, reason = "at most a minute in microseconds")]
            first_backoff: (60e6 / per_minute) as i64,
            longest_backoff: i64::try_from(limits.longest_backoff.as_micros()).unwrap_or(i64::MAX / 4),
            most: limits.remembered.max(16),
            map: Mutex::new(HashMap::new()),
        }
    }

    /// So many at once and one more each `again`; the wait begins with `first`.
    fn slow(at_once: u32, again: Duration, first: Duration, limits: &RateLimits) -> Self {
        let micros = |d: Duration| i64::try_from(d.as_micros()).unwrap_or(i64::MAX / 4);
        Self { capacity: f64::from(at_once), per_micro: 1e-6 / again.as_secs_f64(), first_backoff: micros(first), ..Self::new(1, limits) }
    }

    fn refill(&self, bucket: &mut Bucket, now: i64) {
        // A clock set back gives nothing and takes nothing.
        let passed = now.saturating_sub(bucket.at).max(0);
        #[expect(clippy::cast_precision_loss, reason = "53 bits of microseconds are 285 years")]
        let gained = passed as f64 * self.per_micro;
        bucket.tokens = (bucket.tokens + gained).min(self.capacity);
        bucket.at = now;
        if bucket.tokens >= self.capacity {
            bucket.strikes = 0;
        }
    }

    fn admit(&self, key: &K, now: i64) -> Result<()> {
        match self.map.lock().get(key) {
            Some(bucket) if bucket.blocked_until > now => Err(too_many(bucket.blocked_until - now)),
            _ => Ok(()),
        }
    }

    fn charge(&self, key: K, now: i64) -> Result<()> {
        let mut map = self.map.lock();
        self.make_room(&mut map, now);
        let bucket = map.entry(key).or_insert(Bucket { tokens: self.capacity, at: now, strikes: 0, blocked_until: i64::MIN });
        if bucket.blocked_until > now {
            return Err(too_many(bucket.blocked_until - now));
        }
        self.refill(bucket, now);
        self.take(bucket, now);
        Ok(())
    }

    fn fail(&self, key: K, now: i64) {
        let mut map = self.map.lock();
        self.make_room(&mut map, now);
        let bucket = map.entry(key).or_insert(Bucket { tokens: self.capacity, at: now, strikes: 0, blocked_until: i64::MIN });
        self.refill(bucket, now);
        self.take(bucket, now);
    }

    fn take(&self, bucket: &mut Bucket, now: i64) {
        bucket.tokens -= 1.0;
        if bucket.tokens < 1.0 {
            let backoff = self.first_backoff.saturating_mul(1i64.checked_shl(bucket.strikes.min(30)).unwrap_or(i64::MAX));
            bucket.blocked_until = now.saturating_add(backoff.min(self.longest_backoff));
            bucket.strikes = bucket.strikes.saturating_add(1);
        }
        bucket.tokens = bucket.tokens.max(0.0);
    }

    fn give_back(&self, key: &K) {
        let mut map = self.map.lock();
        if let Some(bucket) = map.get_mut(key) {
            let was_blocked = bucket.tokens < 1.0;
            bucket.tokens = (bucket.tokens + 1.0).min(self.capacity);
            if was_blocked {
                // The charge that emptied the bucket was no failure after all.
                bucket.blocked_until = i64::MIN;
                bucket.strikes = bucket.strikes.saturating_sub(1);
            }
            if bucket.tokens >= self.capacity {
                map.remove(key);
            }
        }
    }

    /// Keeps the map within its bound: forgets whoever has recovered, then, if that is not enough, whoever failed longest ago.
    fn make_room(&self, map: &mut HashMap<K, Bucket>, now: i64) {
        if map.len() < self.most {
            return;
        }
        map.retain(|_, bucket| {
            self.refill(bucket, now);
            bucket.tokens < self.capacity || bucket.blocked_until > now
        });
        if map.len() >= self.most {
            let mut ages: Vec<i64> = map.values().map(|b| b.blocked_until.max(b.at)).collect();
            let half = ages.len() / 2;
            let (_, &mut middle, _) = ages.select_nth_unstable(half);
            map.retain(|_, bucket| bucket.blocked_until.max(bucket.at) > middle);
        }
    }
}

fn too_many(micros: i64) -> Error {
    Error::TooMany { retry_after: Duration::from_micros(micros.unsigned_abs()) }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn limiter(most: usize) -> (Clock, Limiter) {
        let clock = Clock::manual(Timestamp::from_second(1_700_000_000).unwrap());
        let limits = RateLimits { remembered: most, ..RateLimits::default() };
        (clock.clone(), Limiter::new(clock, &limits))
    }

    fn retry_after(result: Result<Charge<'_>>) -> Duration {
        match result {
            Err(Error::TooMany { retry_after }) => retry_after,
            Err(other) => panic!("{other}"),
            Ok(_) => Duration::ZERO,
        }
    }

    #[test]
    fn ten_failures_then_a_growing_wait() {
        let (clock, limiter) = limiter(1_000);
        for _ in 0..10 {
            drop(limiter.charge("alice", None).unwrap());
        }
        assert_eq!(retry_after(limiter.charge("alice", None)), Duration::from_secs(6));
        assert!(limiter.charge("bob", None).is_ok(), "others are not concerned");
        clock.advance(Duration::from_secs(6));
        drop(limiter.charge("alice", None).unwrap());
        assert_eq!(retry_after(limiter.charge("alice", None)), Duration::from_secs(12));
        clock.advance(Duration::from_secs(12));
        drop(limiter.charge("alice", None).unwrap());
        drop(limiter.charge("alice", None).unwrap());
        assert_eq!(retry_after(limiter.charge("alice", None)), Duration::from_secs(24), "the allowance came back, the strikes stay");
        clock.advance(Duration::from_mins(5));
        for _ in 0..10 {
            drop(limiter.charge("alice", None).unwrap());
        }
        assert_eq!(retry_after(limiter.charge("alice", None)), Duration::from_secs(6), "a quiet while forgives");
    }

    #[test]
    fn success_costs_nothing() {
        let (_, limiter) = limiter(1_000);
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        for _ in 0..500 {
            limiter.charge("alice", address).unwrap().give_back();
        }
        assert!(limiter.accounts.map.lock().is_empty(), "and leaves nothing behind");
    }

    #[test]
    fn a_success_in_flight_does_not_block() {
        let (_, limiter) = limiter(1_000);
        for _ in 0..9 {
            drop(limiter.charge("alice", None).unwrap());
        }
        let last = limiter.charge("alice", None).unwrap();
        assert!(limiter.charge("alice", None).is_err(), "all spent while the check runs");
        last.give_back();
        assert!(limiter.charge("alice", None).is_ok());
    }

    #[test]
    fn an_address_is_limited_over_all_accounts_and_ipv6_by_its_network() {
        let (clock, limiter) = limiter(1_000);
        let host = |n: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 7, 0, 0, 0, n]));
        for n in 0..60 {
            drop(limiter.charge(&format!("user{n}"), host(n)).unwrap());
        }
        assert_eq!(retry_after(limiter.charge("another", host(99))), Duration::from_secs(1));
        assert!(limiter.charge("another", Some(IpAddr::from([0x2001, 0xdb8, 0, 8, 0, 0, 0, 1]))).is_ok());
        assert!(limiter.admit(host(5)).is_err());
        clock.advance(Duration::from_secs(1));
        assert!(limiter.admit(host(5)).is_ok());
    }

    #[test]
    fn codes_are_few() {
        let (clock, limiter) = limiter(1_000);
        let mut tries = 0;
        for _ in 0..24 * 60 * 6 {
            if let Ok(charge) = limiter.charge_code("alice", None) {
                drop(charge);
                tries += 1;
            }
            clock.advance(Duration::from_secs(10));
        }
        assert!((250..=300).contains(&tries), "{tries} guesses a day");
        clock.advance(Duration::from_mins(30));
        for _ in 0..500 {
            limiter.charge_code("alice", None).unwrap().give_back();
        }
    }

    #[test]
    fn memory_is_bounded_and_the_blocked_stay_blocked() {
        let (_, limiter) = limiter(100);
        for _ in 0..12 {
            drop(limiter.charge("victim", None));
        }
        for n in 0..5_000 {
            drop(limiter.charge(&format!("spray{n}"), None));
        }
        assert!(limiter.accounts.map.lock().len() <= 100);
        assert!(limiter.charge("victim", None).is_err(), "flooding does not unlock");
    }
}
