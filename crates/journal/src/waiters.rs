//! Who waits for which record. A batch wakes those whose records were in it and nobody else.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::JournalError;

/// Ranges of failed records remembered for late callers; beyond it neighbours are joined.
const MAX_FAILED: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// All records up to here are stored or have failed.
    resolved: AtomicU64,
    /// The newest record that is stored.
    stored: AtomicU64,
    any_failed: AtomicBool,
    closed: AtomicBool,
    failed: Mutex<Vec<Failed>>,
    list: Mutex<Vec<(u64, Waker)>>,
}

#[derive(Debug)]
struct Failed {
    first: u64,
    last: u64,
    error: JournalError,
}

impl Waiters {
    pub(crate) fn new(resolved: u64, stored: u64) -> Self {
        Self { resolved: resolved.into(), stored: stored.into(), ..Self::default() }
    }

    pub(crate) fn resolved(&self) -> u64 {
        self.resolved.load(Ordering::Acquire)
    }

    pub(crate) fn stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    /// Records up to `last` are stored.
    pub(crate) fn store(&self, last: u64) {
        self.stored.store(last, Ordering::Release);
        self.advance(last);
    }

    /// Records `first` to `last` are not stored.
    pub(crate) fn fail(&self, first: u64, last: u64, error: &JournalError) {
        let mut failed = self.failed.lock();
        match failed.last_mut() {
            Some(previous) if previous.last + 1 == first && previous.error == *error => previous.last = last,
            _ => failed.push(Failed { first, last, error: error.clone() }),
        }
        if failed.len() > MAX_FAILED {
            // The two oldest become one: a very late caller may be told of a failure that was not his, never the reverse.
            let oldest = failed.remove(0);
            if let Some(next) = failed.first_mut() {
                next.first = oldest.first;
            }
        }
        self.any_failed.store(true, Ordering::Release);
        drop(failed);
        self.advance(last);
    }

    /// No record will be resolved any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        std::mem::take(&mut *self.list.lock()).into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn advance(&self, last: u64) {
        self.resolved.store(last, Ordering::Release);
        let ready: Vec<(u64, Waker)> = self.list.lock().extract_if(.., |(seq, _)| *seq <= last).collect();
        ready.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// What became of a record; none while it is on its way.
    pub(crate) fn outcome(&self, seq: u64) -> Option<Result<(), JournalError>> {
        if self.resolved() >= seq {
            if self.any_failed.load(Ordering::Acquire)
                && let Some(found) = self.failed.lock().iter().find(|f| f.first <= seq && seq <= f.last)
            {
                return Some(Err(found.error.clone()));
            }
            return Some(Ok(()));
        }
        self.closed.load(Ordering::Acquire).then_some(Err(JournalError::Closed))
    }

    /// Waits until the record is stored or has failed.
    pub(crate) fn wait(&self, seq: u64) -> Wait<'_> {
        Wait { waiters: self, seq, registered: None }
    }
}

/// See [`Waiters::wait`].
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    waiters: &'a Waiters,
    seq: u64,
    registered: Option<Waker>,
}

impl Future for Wait<'_> {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(outcome) = self.waiters.outcome(self.seq) {
            return Poll::Ready(outcome);
        }
        if self.registered.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            return Poll::Pending;
        }
        let waker = context.waker().clone();
        self.registered = Some(waker.clone());
        self.waiters.list.lock().push((self.seq, waker));
        // Resolved between the first look and the registration?
        match self.waiters.outcome(self.seq) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn everyone_learns_of_his_own_record() {
        let waiters = Arc::new(Waiters::new(10, 10));
        let wait = |seq| {
            let waiters = waiters.clone();
            tokio::spawn(async move { waiters.wait(seq).await })
        };
        let tasks: Vec<_> = (9..20).map(wait).collect();
        tokio::task::yield_now().await;
        waiters.store(12);
        waiters.fail(13, 15, &JournalError::DiskFull);
        assert_eq!(waiters.list.lock().len(), 4);
        waiters.store(17);
        assert_eq!((waiters.stored(), waiters.resolved()), (17, 17));
        waiters.close();
        for (seq, task) in (9..20).zip(tasks) {
            let expected = match seq {
                13..=15 => Err(JournalError::DiskFull),
                18.. => Err(JournalError::Closed),
                _ => Ok(()),
            };
            assert_eq!(task.await.unwrap(), expected, "{seq}");
        }
    }

    #[test]
    fn failures_are_bounded_and_never_forgotten() {
        let waiters = Waiters::new(0, 0);
        for n in 1..5000_u64 {
            waiters.fail(n * 10, n * 10 + 2, &JournalError::Full);
            waiters.store(n * 10 + 9);
        }
        assert!(waiters.failed.lock().len() <= MAX_FAILED);
        assert!((1..5000).all(|n| waiters.outcome(n * 10 + 1) == Some(Err(JournalError::Full))));
        assert_eq!(waiters.outcome(4999 * 10 + 5), Some(Ok(())));
    }
}
