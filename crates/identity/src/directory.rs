//! Who exists and what they may do now, in memory for a few seconds: tokens are checked against it at every call.
//!
//! Every change made through this process empties it at once; the short life covers changes by other nodes and by the
//! command line on the same data.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use model::{
    ApiKey, ApiKeyId, Clock, Membership, Permission, Permissions, Result, Role, SessionId, TenantId, ThingId, UserId, normalize_email,
};
use parking_lot::RwLock;
use store::{ClientReach, ClientRecord, Db, UserRecord};
use uuid::Uuid;

/// How long a change by another process may go unnoticed.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(5);
const ENTRIES_MAX: usize = 100_000;

/// A user as it stands: record and memberships, oldest first.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) record: UserRecord,
    pub(crate) memberships: Vec<Membership>,
    /// What roles of the tenants' own making permit beside the memberships' base roles.
    pub(crate) granted: Vec<(TenantId, Permissions)>,
    pub(crate) factor: FactorStanding,
}

/// A user's second factor as it stands.
#[derive(Debug, Default)]
pub(crate) struct FactorStanding {
    /// Has it one?
    pub(crate) enrolled: bool,
    /// Must it have one everywhere?
    pub(crate) required: bool,
    /// The tenants of its that demand one.
    pub(crate) tenants: Vec<TenantId>,
}

impl FactorStanding {
    async fn load(tx: &mut store::Tx, user: UserId) -> Result<Self> {
        let record = tx.second_factor(user).await?;
        Ok(Self { enrolled: record.secret.is_some(), required: record.required, tenants: tx.tenants_requiring_factor(user).await? })
    }

    /// Must the user have one, for whatever reason?
    pub(crate) fn demanded(&self) -> bool {
        self.required || !self.tenants.is_empty()
    }

    /// Must it have one to do anything in that tenant?
    pub(crate) fn demanded_in(&self, tenant: TenantId) -> bool {
        self.required || self.tenants.contains(&tenant)
    }
}

impl Standing {
    pub(crate) fn membership(&self, tenant: TenantId) -> Option<&Membership> {
        self.memberships.iter().find(|m| m.tenant == tenant)
    }

    /// What the user may do in that tenant now; nothing when locked out or no member.
    pub(crate) fn permissions(&self, tenant: TenantId) -> Permissions {
        let user = &self.record.user;
        match self.membership(tenant) {
            _ if user.disabled => Permissions::NONE,
            _ if user.operator => Permissions::all(),
            Some(membership) => {
                let extra = self.granted.iter().filter(|(of, _)| *of == tenant);
                extra.fold(membership.role.permissions(), |all, (_, more)| all.union(*more))
            }
            None => Permissions::NONE,
        }
    }
}

/// An installation as it stands: what an application may do in a tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Installed {
    /// On its own behalf.
    pub(crate) client: Permissions,
    /// At most, on a user's behalf; absent: all that the user may.
    pub(crate) user: Option<Permissions>,
}

/// What a client may do on its own behalf: what its scopes name, if they name permissions at all; else what a writer may.
pub(crate) fn client_permissions(scopes: &[String]) -> Permissions {
    let named: Vec<Permission> = scopes.iter().filter_map(|s| s.parse().ok()).filter(|p| *p != Permission::Operate).collect();
    if named.is_empty() { Role::Writer.permissions() } else { Permissions::of(&named) }
}

/// The memory.
pub(crate) struct Directory {
    db: Db,
    clock: Clock,
    generation: AtomicU64,
    users: Cache<UserId, Standing>,
    logins: Cache<String, UserId>,
    clients: Cache<String, ClientRecord>,
    keys: Cache<[u8; 32], ApiKey>,
    key_ids: Cache<ApiKeyId, ApiKey>,
    things: Cache<ThingId, TenantId>,
    sessions: Cache<SessionId, bool>,
    reaches: Cache<String, Option<ClientReach>>,
    installations: Cache<(Uuid, TenantId), Option<Installed>>,
}

impl Directory {
    pub(crate) fn new(db: Db, clock: Clock) -> Self {
        Self {
            db,
            clock,
            generation: AtomicU64::new(0),
            users: Cache::default(),
            logins: Cache::default(),
            clients: Cache::default(),
            keys: Cache::default(),
            key_ids: Cache::default(),
            things: Cache::default(),
            sessions: Cache::default(),
            reaches: Cache::default(),
            installations: Cache::default(),
        }
    }

    /// Something changed: look everything up afresh. What was read before the change can no longer be remembered after it.
    pub(crate) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.users.clear();
        self.logins.clear();
        self.clients.clear();
        self.keys.clear();
        self.key_ids.clear();
        self.things.clear();
        self.sessions.clear();
        self.reaches.clear();
        self.installations.clear();
    }

    /// A thing is gone: ask for it afresh.
    pub(crate) fn thing_removed(&self, id: ThingId) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.things.0.write().remove(&id);
    }

    /// The user, if it was looked up a moment ago.
    pub(crate) fn user_at_hand(&self, id: UserId) -> Option<Arc<Standing>> {
        self.users.get(&id, self.clock.micros())
    }

    pub(crate) async fn user(&self, id: UserId) -> Result<Option<Arc<Standing>>> {
        if let Some(standing) = self.user_at_hand(id) {
            return Ok(Some(standing));
        }
        let generation = self.generation.load(Ordering::Acquire);
        let mut tx = self.db.read().await?;
        let Some(record) = tx.user(id).await? else { return Ok(None) };
        let memberships = tx.memberships_of(id).await?;
        let granted = tx.role_grants_of(id).await?;
        let factor = FactorStanding::load(&mut tx, id).await?;
        Ok(Some(self.keep(&self.users, id, Standing { record, memberships, granted, factor }, generation)))
    }

    /// The user of that e-mail address or user name, in any case of letters.
    pub(crate) async fn user_by_login(&self, login: &str) -> Result<Option<Arc<Standing>>> {
        let Some(login) = normalize_login(login) else { return Ok(None) };
        if let Some(id) = self.logins.get(&login, self.clock.micros()) {
            return self.user(*id).await;
        }
        let generation = self.generation.load(Ordering::Acquire);
        let mut tx = self.db.read().await?;
        let record = if login.contains('@') { tx.user_by_email(&login).await? } else { tx.user_by_username(&login).await? };
        let Some(record) = record else { return Ok(None) };
        let id = record.user.id;
        let memberships = tx.memberships_of(id).await?;
        let granted = tx.role_grants_of(id).await?;
        let factor = FactorStanding::load(&mut tx, id).await?;
        self.keep(&self.logins, login, id, generation);
        Ok(Some(self.keep(&self.users, id, Standing { record, memberships, granted, factor }, generation)))
    }

    pub(crate) async fn client(&self, id: &str) -> Result<Option<Arc<ClientRecord>>> {
        if let Some(client) = self.clients.get(id, self.clock.micros()) {
            return Ok(Some(client));
        }
        let generation = self.generation.load(Ordering::Acquire);
        let Some(record) = self.db.read().await?.client(id).await? else { return Ok(None) };
        Ok(Some(self.keep(&self.clients, id.to_owned(), record, generation)))
    }

    pub(crate) async fn api_key(&self, hash: [u8; 32]) -> Result<Option<Arc<ApiKey>>> {
        if let Some(key) = self.keys.get(&hash, self.clock.micros()) {
            return Ok(Some(key));
        }
        let generation = self.generation.load(Ordering::Acquire);
        let Some(key) = self.db.read().await?.api_key_by_hash(&hash).await? else { return Ok(None) };
        Ok(Some(self.keep(&self.keys, hash, key, generation)))
    }

    pub(crate) async fn api_key_by_id(&self, tenant: TenantId, id: ApiKeyId) -> Result<Option<Arc<ApiKey>>> {
        if let Some(key) = self.key_ids.get(&id, self.clock.micros()) {
            return Ok(Some(key).filter(|key| key.tenant == tenant));
        }
        let generation = self.generation.load(Ordering::Acquire);
        let Some(key) = self.db.read().await?.api_key(tenant, id).await? else { return Ok(None) };
        Ok(Some(self.keep(&self.key_ids, id, key, generation)))
    }

    /// Has that OAuth session not been ended?
    pub(crate) async fn session_lives(&self, id: SessionId) -> Result<bool> {
        if let Some(lives) = self.sessions.get(&id, self.clock.micros()) {
            return Ok(*lives);
        }
        let generation = self.generation.load(Ordering::Acquire);
        let lives = self.db.read().await?.oauth_session(id).await?.is_some();
        Ok(*self.keep(&self.sessions, id, lives, generation))
    }

    /// How far a client reaches, if there is one.
    pub(crate) async fn reach(&self, client: &str) -> Result<Option<ClientReach>> {
        if let Some(reach) = self.reaches.get(client, self.clock.micros()) {
            return Ok(*reach);
        }
        let generation = self.generation.load(Ordering::Acquire);
        let reach = self.db.read().await?.client_reach(client).await?;
        Ok(*self.keep(&self.reaches, client.to_owned(), reach, generation))
    }

    /// What an application may do in a tenant: nothing unless it is active, the tenant may have it, and has it installed.
    pub(crate) async fn installed(&self, application: Uuid, tenant: TenantId) -> Result<Option<Installed>> {
        let key = (application, tenant);
        if let Some(installed) = self.installations.get(&key, self.clock.micros()) {
            return Ok(*installed);
        }
        let generation = self.generation.load(Ordering::Acquire);
        let mut tx = self.db.read().await?;
        let usable =
            tx.application(application).await?.is_some_and(|a| a.active) && tx.allowed_tenant(application, tenant).await?.is_some();
        let found = if usable { tx.installation(application, tenant).await? } else { None };
        let installed = found.map(|i| Installed { client: i.client.permissions, user: i.user.map(|u| u.permissions) });
        Ok(*self.keep(&self.installations, key, installed, generation))
    }

    /// The tenant of that thing, if it exists.
    pub(crate) async fn thing(&self, id: ThingId) -> Result<Option<TenantId>> {
        if let Some(tenant) = self.things.get(&id, self.clock.micros()) {
            return Ok(Some(*tenant));
        }
        let generation = self.generation.load(Ordering::Acquire);
        let Some(thing) = self.db.read().await?.thing_credential(id).await? else { return Ok(None) };
        Ok(Some(*self.keep(&self.things, id, thing.tenant, generation)))
    }

    fn keep<K: Hash + Eq, V>(&self, cache: &Cache<K, V>, key: K, value: V, generation: u64) -> Arc<V> {
        let value = Arc::new(value);
        let mut map = cache.0.write();
        // Under the map's lock: `changed` counts first and clears after, so nothing stale slips in behind it.
        if self.generation.load(Ordering::Acquire) == generation {
            if map.len() >= ENTRIES_MAX {
                map.clear();
            }
            map.insert(key, (Arc::clone(&value), self.clock.micros()));
        }
        value
    }
}

/// Lower case, of a length that can exist.
pub(crate) fn normalize_login(login: &str) -> Option<String> {
    let login = login.trim();
    if login.contains('@') {
        return normalize_email(login).ok();
    }
    (!login.is_empty() && login.len() <= 64).then(|| login.to_lowercase())
}

struct Cache<K, V>(RwLock<HashMap<K, (Arc<V>, i64)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(RwLock::new(HashMap::new()))
    }
}

impl<K: Hash + Eq, V> Cache<K, V> {
    fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q, now: i64) -> Option<Arc<V>>
    where
        K: std::borrow::Borrow<Q>,
    {
        let map = self.0.read();
        let (value, loaded) = map.get(key)?;
        // A clock set back makes entries old, not young.
        let age = now.checked_sub(*loaded).and_then(|age| u64::try_from(age).ok())?;
        (Duration::from_micros(age) < STALE_AFTER).then(|| Arc::clone(value))
    }

    fn clear(&self) {
        self.0.write().clear();
    }
}
