//! Passwords: argon2id on blocking threads behind a bounded queue, and a short memory of successful checks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use model::{Clock, Error, Result};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use crate::secret;

/// The longest password read, in bytes: hashing must not become a burden by length.
pub(crate) const PASSWORD_MAX: usize = 1_024;
/// The shortest password a person may choose.
pub(crate) const PASSWORD_MIN: usize = 8;

/// Cost of a new argon2id hash; stored hashes keep their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes.
    pub time: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for PasswordCost {
    /// m = 19,456 KiB, t = 2, p = 1.
    fn default() -> Self {
        Self { memory: 19_456, time: 2, lanes: 1 }
    }
}

impl PasswordCost {
    /// As cheap as argon2id can be: for tests only.
    #[must_use]
    pub fn fast() -> Self {
        Self { memory: 8, time: 1, lanes: 1 }
    }

    fn argon2(self) -> Result<Argon2<'static>> {
        let params = Params::new(self.memory, self.time, self.lanes, None)
            .map_err(|e| Error::invalid("password_cost", format!("argon2 does not take it: {e}")))?;
        Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// HMAC over account, stored hash and password under a key that lives as long as the process.
type Fingerprint = [u8; 32];

/// How a running check ended, for those who wait for the same one.
type Flight = watch::Receiver<Option<Result<bool>>>;

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    clock: Clock,
    argon2: Argon2<'static>,
    /// A well-formed hash no password has, at the present cost: who is unknown costs the same work.
    dummy: String,
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    key: hmac::Key,
    remember: i64,
    remembered: Mutex<HashMap<Fingerprint, i64>>,
    flights: Mutex<HashMap<Fingerprint, Flight>>,
}

const REMEMBERED_MAX: usize = 50_000;

impl Passwords {
    pub(crate) fn new(clock: Clock, cost: PasswordCost, queue: usize, remember: Duration) -> Result<Self> {
        let argon2 = cost.argon2()?;
        let (salt, output) = (STANDARD_NO_PAD.encode(secret::random::<16>()), STANDARD_NO_PAD.encode(secret::random::<32>()));
        let dummy = format!("$argon2id$v=19$m={},t={},p={}${salt}${output}", cost.memory, cost.time, cost.lanes);
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Ok(Self {
            clock,
            argon2,
            dummy,
            cores: Arc::new(Semaphore::new(cores)),
            waiting: AtomicUsize::new(0),
            queue,
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret::random::<32>()),
            remember: i64::try_from(remember.as_micros()).unwrap_or(i64::MAX / 4),
            remembered: Mutex::new(HashMap::new()),
            flights: Mutex::new(HashMap::new()),
        })
    }

    /// Is a new password fit for use? What it is made of is its owner's business (NIST SP 800-63B 5.1.1).
    pub(crate) fn check_new(password: &str) -> Result<()> {
        match password.len() {
            PASSWORD_MIN..=PASSWORD_MAX => Ok(()),
            _ => Err(Error::invalid("password", format!("must have {PASSWORD_MIN} to {PASSWORD_MAX} bytes"))),
        }
    }

    /// A PHC string of the password, with a salt of its own.
    pub(crate) async fn hash(&self, password: &str) -> Result<String> {
        if password.is_empty() || password.len() > PASSWORD_MAX {
            return Err(Error::invalid("password", format!("must have 1 to {PASSWORD_MAX} bytes")));
        }
        let (argon2, password) = (self.argon2.clone(), Zeroizing::new(password.as_bytes().to_vec()));
        let salt: [u8; 16] = secret::random();
        self.on_a_core(move || {
            argon2
                .hash_password_with_salt(&password, &salt)
                .map(|hash| hash.to_string())
                .map_err(|e| Error::internal(format!("argon2: {e}")))
        })
        .await?
    }

    /// What identifies this very check: the stored hash is part of it, so a changed password is never taken for the old one.
    pub(crate) fn fingerprint(&self, account: &str, stored: Option<&str>, password: &str) -> Fingerprint {
        let mut mac = hmac::Context::with_key(&self.key);
        for part in [account, stored.unwrap_or(""), password] {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part.as_bytes());
        }
        let mut out = [0u8; 32];
        out.copy_from_slice(mac.sign().as_ref());
        out
    }

    /// Was this very check successful a short while ago?
    pub(crate) fn remembers(&self, fingerprint: &Fingerprint) -> bool {
        let now = self.clock.micros();
        self.remembered.lock().get(fingerprint).is_some_and(|until| *until > now)
    }

    /// The same check that runs already, if one does.
    pub(crate) fn flight(&self, fingerprint: &Fingerprint) -> Option<Flight> {
        self.flights.lock().get(fingerprint).cloned()
    }

    /// Waits for a check that someone else began.
    pub(crate) async fn join(mut flight: Flight) -> Result<bool> {
        match flight.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(false)),
            Err(_) => Err(Error::unavailable("the password check was abandoned")),
        }
    }

    /// Checks a password against a stored hash, or against none at the same cost.
    pub(crate) async fn check(&self, fingerprint: Fingerprint, stored: Option<&str>, password: &str) -> Result<bool> {
        let (sender, receiver) = watch::channel(None);
        self.flights.lock().insert(fingerprint, receiver);
        let _landing = Landing { flights: &self.flights, fingerprint };
        let outcome = self.check_now(fingerprint, stored, password).await;
        sender.send_replace(Some(outcome.clone()));
        outcome
    }

    async fn check_now(&self, fingerprint: Fingerprint, stored: Option<&str>, password: &str) -> Result<bool> {
        if password.len() > PASSWORD_MAX {
            return Ok(false);
        }
        let known = stored.is_some();
        let hash = stored.unwrap_or(&self.dummy).to_owned();
        let (argon2, password) = (self.argon2.clone(), Zeroizing::new(password.as_bytes().to_vec()));
        let good = self
            .on_a_core(move || match PasswordHash::new(&hash) {
                Ok(parsed) => Ok(argon2.verify_password(&password, &parsed).is_ok()),
                Err(e) => Err(Error::internal(format!("a stored password hash is not readable: {e}"))),
            })
            .await??;
        if good && known && self.remember > 0 {
            let now = self.clock.micros();
            let mut remembered = self.remembered.lock();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.retain(|_, until| *until > now);
            }
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(fingerprint, now.saturating_add(self.remember));
        }
        Ok(good && known)
    }

    /// Forgets checks whose time is over.
    pub(crate) fn prune(&self) {
        let now = self.clock.micros();
        self.remembered.lock().retain(|_, until| *until > now);
    }

    async fn on_a_core<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let permit = match Arc::clone(&self.cores).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _place = Place::take(&self.waiting, self.queue)?;
                Arc::clone(&self.cores).acquire_owned().await.map_err(|_| Error::unavailable("stopping"))?
            }
        };
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(|e| Error::internal(format!("password hashing: {e}")))
    }
}

/// Takes the running check off the list, however it ends.
struct Landing<'a> {
    flights: &'a Mutex<HashMap<Fingerprint, Flight>>,
    fingerprint: Fingerprint,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.fingerprint);
    }
}

/// A place in the queue for a core.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Result<Self> {
        let taken = waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < most).then_some(n + 1));
        taken.map(|_| Self(waiting)).map_err(|_| Error::unavailable("too many password checks at once; try again shortly"))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn passwords(queue: usize) -> (Clock, Passwords) {
        let clock = Clock::manual(Timestamp::from_second(1_700_000_000).unwrap());
        (clock.clone(), Passwords::new(clock, PasswordCost::fast(), queue, Duration::from_mins(5)).unwrap())
    }

    async fn check(p: &Passwords, stored: Option<&str>, password: &str) -> Result<bool> {
        p.check(p.fingerprint("user", stored, password), stored, password).await
    }

    #[tokio::test]
    async fn hashes_are_argon2id_salted_and_checked() {
        let (_, p) = passwords(8);
        let (a, b) = (p.hash("correct horse").await.unwrap(), p.hash("correct horse").await.unwrap());
        assert!(a.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{a}");
        assert_ne!(a, b);
        assert!(check(&p, Some(&a), "correct horse").await.unwrap());
        assert!(!check(&p, Some(&a), "correct hors").await.unwrap());
        assert!(!check(&p, None, "correct horse").await.unwrap());
        assert!(!check(&p, Some(&a), &"x".repeat(PASSWORD_MAX + 1)).await.unwrap());
        assert!(check(&p, Some("plain"), "plain").await.is_err(), "a damaged hash is an error, not a sign-in");
    }

    #[tokio::test]
    async fn the_default_cost_is_what_the_design_says_and_the_dummy_has_it_too() {
        let p = Passwords::new(Clock::system(), PasswordCost::default(), 1, Duration::ZERO).unwrap();
        assert!(p.dummy.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let parsed = PasswordHash::new(&p.dummy).unwrap();
        assert!(p.argon2.verify_password(b"", &parsed).is_err(), "parses, runs, never matches");
    }

    #[tokio::test]
    async fn success_is_remembered_for_a_while_and_bound_to_the_stored_hash() {
        let (clock, p) = passwords(8);
        let (old, new) = (p.hash("same password").await.unwrap(), p.hash("same password").await.unwrap());
        let print = p.fingerprint("user", Some(&old), "same password");
        assert!(!p.remembers(&print));
        assert!(p.check(print, Some(&old), "same password").await.unwrap());
        assert!(p.remembers(&print));
        assert!(!p.remembers(&p.fingerprint("user", Some(&new), "same password")), "another hash");
        assert!(!p.remembers(&p.fingerprint("other", Some(&old), "same password")), "another account");
        clock.advance(Duration::from_mins(5));
        assert!(!p.remembers(&print));
        p.prune();
        assert!(p.remembered.lock().is_empty());
        assert!(!check(&p, Some(&old), "wrong one").await.unwrap());
        assert!(p.remembered.lock().is_empty(), "failures are not remembered");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_queue_refuses() {
        let (_, p) = passwords(1);
        let cores = u32::try_from(p.cores.available_permits()).unwrap();
        let p = Arc::new(p);
        let held = Arc::clone(&p.cores).acquire_many_owned(cores).await.unwrap();
        let waiting = tokio::spawn({
            let p = Arc::clone(&p);
            async move { p.hash("first in the queue").await }
        });
        while p.waiting.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(p.hash("one too many").await, Err(Error::Unavailable { .. })));
        drop(held);
        waiting.await.unwrap().unwrap();
        assert!(p.hash("room again").await.is_ok());
    }

    #[tokio::test]
    async fn equal_checks_at_once_are_made_once() {
        let (_, p) = passwords(8);
        let stored = p.hash("correct horse").await.unwrap();
        let print = p.fingerprint("user", Some(&stored), "correct horse");
        let cores = u32::try_from(p.cores.available_permits()).unwrap();
        let held = Arc::clone(&p.cores).acquire_many_owned(cores).await.unwrap();
        let mut first = std::pin::pin!(p.check(print, Some(&stored), "correct horse"));
        assert!(poll_once(first.as_mut()).is_pending());
        let flight = p.flight(&print).expect("the check runs");
        drop(held);
        let (a, b) = tokio::join!(first, Passwords::join(flight));
        assert!(a.unwrap() && b.unwrap());
        assert!(p.flight(&print).is_none());
    }

    fn poll_once<F: Future>(f: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        f.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
