//! Time as a value: the gateway passes a clock down, tests pass one they turn by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use uuid::{NoContext, Uuid};

/// Where "now" comes from. Cheap to clone; clones of a manual clock share its hands.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until `advance` or `set`.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicI64::new(start.as_microsecond()))))
    }

    /// The present moment, to the microsecond (what the store keeps).
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now(&self) -> Timestamp {
        let micros = match &self.0 {
            Some(hands) => hands.load(Ordering::SeqCst),
            None => Timestamp::now().as_microsecond(),
        };
        Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub fn micros(&self) -> i64 {
        self.now().as_microsecond()
    }

    /// Moves a manual clock forward; the machine's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Some(hands) = &self.0 {
            hands.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock (backwards too); the machine's clock is left alone.
    pub fn set(&self, to: Timestamp) {
        if let Some(hands) = &self.0 {
            hands.store(to.as_microsecond(), Ordering::SeqCst);
        }
    }

    /// A fresh `UUIDv7`: sorted by time, never to be used as a secret.
    #[must_use]
    pub fn new_id<T: From<Uuid>>(&self) -> T {
        let micros = self.micros().max(0).unsigned_abs();
        let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
        T::from(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, nanos)))
    }
}
