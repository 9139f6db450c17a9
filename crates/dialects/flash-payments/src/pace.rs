//! "You can't log in more than once per second" (contracts/flash-payments.md 2): per account, right or wrong.

use std::collections::HashMap;

use model::Clock;
use parking_lot::Mutex;

const SECOND: i64 = 1_000_000;
const ACCOUNTS_MAX: usize = 50_000;

/// When each account last tried.
pub(crate) struct Pace {
    clock: Clock,
    last: Mutex<HashMap<String, i64>>,
}

impl Pace {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, last: Mutex::new(HashMap::new()) }
    }

    /// May this account try now?
    pub(crate) fn admits(&self, account: &str) -> bool {
        let now = self.clock.micros();
        let account: String = account.trim().to_lowercase().chars().take(254).collect();
        let mut last = self.last.lock();
        if last.len() >= ACCOUNTS_MAX {
            last.retain(|_, at| (now - *at).abs() < SECOND);
        }
        match last.get(&account) {
            Some(at) if (0..SECOND).contains(&(now - at)) => false,
            // So many accounts within a second are nobody's users: let identity's limit by address speak.
            _ if last.len() >= ACCOUNTS_MAX => true,
            _ => {
                last.insert(account, now);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn once_a_second_for_each_account() {
        let clock = Clock::manual(jiff::Timestamp::UNIX_EPOCH);
        let pace = Pace::new(clock.clone());
        assert!(pace.admits("a@example.com"));
        assert!(!pace.admits(" A@example.com"));
        assert!(pace.admits("b@example.com"));
        clock.advance(Duration::from_millis(999));
        assert!(!pace.admits("a@example.com"));
        clock.advance(Duration::from_millis(1));
        assert!(pace.admits("a@example.com"));
    }
}
