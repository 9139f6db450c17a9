//! Who are you, what may you do, here is your token: credentials, sessions, keys, certificates, tokens; no HTTP.
//!
//! [`Identity`] is opened once over the store. `sign_in` checks a credential (limited per account and address, audited)
//! and makes a [`Caller`](model::Caller); `issue` turns it into a token of a dialect's [`TokenProfile`]; `verify` turns
//! the token back, each time intersected with what its holder may still do. The other verbs administer tenants, users,
//! memberships, clients and API keys, each permission-checked, confined to the caller's tenant and audited.
//! Private keys rest sealed under the [`MasterKey`]; our own CA signs the server's and the devices' certificates.

mod access;
mod accounts;
mod api_keys;
mod applications;
mod audit;
mod clients;
mod directory;
mod factor;
mod founding;
mod installations;
mod invitations;
mod keys;
mod limits;
mod listing;
mod master;
mod memberships;
pub mod oauth;
mod password;
mod people;
mod pki;
mod provision;
mod reach;
mod registration;
mod roles;
mod secret;
mod shapes;
mod sign_in;
mod tenants;
#[cfg(test)]
mod tests;
mod thing_tokens;
mod tokens;
mod types;
mod user_refresh;
mod users;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use model::{Clock, Result};
use parking_lot::{Mutex, RwLock};
use store::Db;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub use accounts::*;
pub use applications::{AllowedTenant, Application, ApplicationChange, NewApplication, NewCustomPermission};
pub use factor::{FACTOR_DEMANDED, FactorState, HalfLogin, HalfWay, LoginStep, Offer, RecoveryCodes, STALE_OFFER, WRONG_CODE};
pub use founding::MayDo;
pub use installations::{Agreed, Availability, Installing, OfferedApplication};
pub use invitations::*;
pub use limits::RateLimits;
pub use listing::{Listing, Span};
pub use master::MasterKey;
pub use password::PasswordCost;
pub use people::*;
pub use pki::CERTIFICATE_MAX;
pub use reach::for_applications;
pub use roles::{NewRole, RoleChange, RoleHolder, TenantRole, base_role_id};
pub use secrecy::{ExposeSecret, SecretString};
pub use secret::{certificate_fingerprint, hash_secret, random_secret, same_hash};
pub use shapes::*;
pub use sign_in::UNPROVED;
pub use store::{CustomPermissionRecord, Grants, InstallationRecord, InvitationStatus};
pub use tokens::{ANY_AUDIENCE, Person, TOKEN_MAX};
pub use types::*;
pub use user_refresh::{NO_REFRESH, OLD_REFRESH};

/// How often audit lines are written.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// Flushes between two looks at what other nodes changed.
const FLUSHES_PER_LOOK: u64 = 10;
/// Looks between two clean-ups.
const LOOKS_PER_PRUNE: u64 = 12;

/// The identity provider; cheap to clone.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    public_url: RwLock<String>,
    mtls_url: RwLock<Option<String>>,
    db: Db,
    sealer: master::Sealer,
    codes: hmac::Key,
    recovery: hmac::Key,
    nonces: hmac::Key,
    refresh: hmac::Key,
    proofs: oauth::Proofs,
    passwords: password::Passwords,
    limiter: limits::Limiter,
    directory: directory::Directory,
    keys: keys::KeyRing,
    tokens: tokens::Tokens,
    trail: audit::Trail,
    ca: pki::Ca,
    changes: broadcast::Sender<Change>,
    looks: AtomicU64,
    stopping: Arc<Notify>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

impl Inner {
    /// Tells everyone who keeps something alive; forgets what was looked up before.
    fn announce(&self, change: Change) {
        self.directory.changed();
        // No receiver is no error.
        let _ = self.changes.send(change);
    }
}

impl Identity {
    /// Opens identity over the store; the first start makes signing keys and the CA. A master key that does not open the
    /// data is refused here.
    pub async fn open(db: Db, options: Options) -> Result<Self> {
        let clock = options.clock.clone();
        let sealer = options.master_key.sealer()?;
        let ca = Self::open_ca(&db, &sealer, clock.now()).await?;
        let inner = Inner {
            public_url: RwLock::new(options.public_url.clone()),
            sealer,
            codes: options.master_key.mac(b"registration codes")?,
            recovery: options.master_key.mac(b"recovery codes")?,
            nonces: options.master_key.mac(b"DPoP nonces")?,
            refresh: options.master_key.mac(b"refresh tokens")?,
            proofs: oauth::Proofs::default(),
            mtls_url: RwLock::new(None),
            passwords: password::Passwords::new(clock.clone(), options.password, options.hash_queue, options.remember_passwords)?,
            limiter: limits::Limiter::new(clock.clone(), &options.limits),
            directory: directory::Directory::new(db.clone(), clock.clone()),
            keys: keys::KeyRing::new(clock.clone()),
            tokens: tokens::Tokens::default(),
            trail: audit::Trail::default(),
            ca,
            changes: broadcast::channel(1_024).0,
            looks: AtomicU64::new(0),
            stopping: Arc::new(Notify::new()),
            worker: Mutex::new(None),
            db,
            options,
        };
        let identity = Self { inner: Arc::new(inner) };
        identity.first_keys().await?;
        identity.inner.tokens.reload(&identity.inner.db, clock.now()).await?;
        *identity.inner.worker.lock() = Some(identity.start_worker());
        Ok(identity)
    }

    /// The clock everything here goes by.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.options.clock
    }

    /// Where clients reach the gateway.
    #[must_use]
    pub fn public_url(&self) -> String {
        self.inner.public_url.read().clone()
    }

    /// Says where clients reach the gateway, once port 0 is bound. Tokens of another issuer are refused from now on.
    pub fn set_public_url(&self, url: String) {
        *self.inner.public_url.write() = url;
        self.inner.tokens.forget();
    }

    /// Changes that live sessions and streams must heed. A receiver that lags should look at everything it keeps afresh.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes.subscribe()
    }

    /// Seals bytes under the master key (AES-256-GCM); `aad` binds them to their place.
    #[must_use]
    pub fn seal(&self, plain: &[u8], aad: &[u8]) -> Vec<u8> {
        self.inner.sealer.seal(plain, aad)
    }

    /// Opens what [`seal`](Self::seal) sealed with the same `aad`.
    pub fn unseal(&self, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.inner.sealer.unseal(sealed, aad)
    }

    /// SHA-256 of a high-entropy secret, as the store keeps it.
    #[must_use]
    pub fn hash_secret(text: &str) -> [u8; 32] {
        hash_secret(text)
    }

    /// One step of upkeep: what other nodes changed, and now and then what is over. Runs by itself every few seconds.
    pub async fn maintain(&self) -> Result<()> {
        let inner = &self.inner;
        inner.keys.reload(&inner.db, &inner.sealer).await?;
        inner.tokens.reload(&inner.db, self.clock().now()).await?;
        if inner.looks.fetch_add(1, Ordering::AcqRel).is_multiple_of(LOOKS_PER_PRUNE) {
            self.prune().await?;
        }
        Ok(())
    }

    /// Removes what is over: expired revocations, keys and registrations, old audit lines, memories.
    async fn prune(&self) -> Result<()> {
        let (inner, now) = (&self.inner, self.clock().now());
        inner.tokens.prune(now.as_microsecond());
        inner.passwords.prune();
        self.prune_proofs();
        let mut tx = inner.db.begin().await?;
        tx.prune_revoked_tokens(now).await?;
        tx.prune_registrations(now, now.checked_sub(registration::DAY).unwrap_or(now)).await?;
        tx.commit().await?;
        self.prune_oauth().await?;
        self.prune_people(now).await?;
        self.prune_keys().await?;
        self.prune_audit().await?;
        Ok(())
    }

    /// Ends the background work and writes the last audit lines. Verbs still work; what they record is flushed by a further `stop`.
    pub async fn stop(&self) {
        self.inner.stopping.notify_one();
        let worker = self.inner.worker.lock().take();
        if let Some(worker) = worker {
            let _ = worker.await;
        }
        // A failure is in the log already.
        let _ = self.inner.trail.flush(&self.inner.db).await;
    }

    /// Holds only a weak reference between its steps, so that an `Identity` nobody stops still ends.
    fn start_worker(&self) -> JoinHandle<()> {
        let (weak, stopping) = (Arc::downgrade(&self.inner), Arc::clone(&self.inner.stopping));
        tokio::spawn(async move {
            let mut flushes = 0u64;
            loop {
                tokio::select! {
                    () = stopping.notified() => return,
                    () = tokio::time::sleep(FLUSH_EVERY) => {}
                }
                let Some(inner) = weak.upgrade() else { return };
                let identity = Identity { inner };
                let _ = identity.inner.trail.flush(&identity.inner.db).await;
                flushes += 1;
                if flushes.is_multiple_of(FLUSHES_PER_LOOK)
                    && let Err(error) = identity.maintain().await
                {
                    tracing::warn!(%error, "upkeep of identity failed, it is tried again");
                }
            }
        })
    }
}
