//! Who are you, what may you do, here is your token: credentials, sessions, keys, certificates, tokens; no HTTP.
//!
//! [`Identity`] is opened once over the store. `sign_in` checks a credential (limited per account and address, audited)
//! and makes a [`Caller`](model::Caller); `issue` turns it into a token of a dialect's [`TokenProfile`]; `verify` turns
//! the token back, each time intersected with what its holder may still do. The other verbs administer tenants, users,
//! memberships, clients and API keys, each permission-checked, confined to the caller's tenant and audited.
//! Private keys rest sealed under the [`MasterKey`]; our own CA signs the server's and the devices' certificates.

mod master;
mod secret;
mod stubs;
mod types;

use std::sync::Arc;

use model::{Clock, Result};
use parking_lot::RwLock;
use store::Db;
use tokio::sync::broadcast;
use zeroize::Zeroizing;

pub use master::MasterKey;
pub use secrecy::{ExposeSecret, SecretString};
pub use secret::{certificate_fingerprint, hash_secret, random_secret, same_hash};
pub use types::*;

/// Cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct PasswordCost;
impl PasswordCost {
    /// Fast.
    pub fn fast() -> Self { Self }
}
/// Limits.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateLimits;

/// Identity; cheap to clone.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    public_url: RwLock<String>,
    sealer: master::Sealer,
    changes: broadcast::Sender<Change>,
    #[expect(dead_code)]
    db: Db,
}

impl Identity {
    /// Opens identity over the store; the first start makes signing keys and the CA.
    pub async fn open(db: Db, options: Options) -> Result<Self> {
        let sealer = options.master_key.sealer()?;
        let public_url = RwLock::new(options.public_url.clone());
        Ok(Self { inner: Arc::new(Inner { options, public_url, sealer, changes: broadcast::channel(1024).0, db }) })
    }
    /// The clock.
    pub fn clock(&self) -> &Clock { &self.inner.options.clock }
    /// Where clients reach the gateway.
    pub fn public_url(&self) -> String { self.inner.public_url.read().clone() }
    /// Sets it; known only after binding port 0.
    pub fn set_public_url(&self, url: String) { *self.inner.public_url.write() = url; }
    /// Changes that live sessions must heed.
    pub fn changes(&self) -> broadcast::Receiver<Change> { self.inner.changes.subscribe() }
    /// Seals bytes under the master key; `aad` binds them to their place.
    pub fn seal(&self, plain: &[u8], aad: &[u8]) -> Vec<u8> { self.inner.sealer.seal(plain, aad) }
    /// Opens what `seal` sealed with the same `aad`.
    pub fn unseal(&self, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>> { self.inner.sealer.unseal(sealed, aad) }
}
