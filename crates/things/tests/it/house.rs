//! A house to tell stories in.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use identity::{Identity, MasterKey, NewTenant, PasswordCost};
use journal::{Durability, Journal};
use model::{Caller, Clock, Permissions, PlanName, Principal, Role, TenantId, Thing, ThingId, UserId};
use store::Db;
use things::{Incoming, NewThing, Options, Things, thing_permissions};
use uuid::Uuid;

pub struct House {
    pub db: Db,
    pub journal: Journal,
    pub identity: Identity,
    pub things: Things,
    pub clock: Clock,
    dir: tempfile::TempDir,
    postgres: Option<String>,
    /// What was killed: it must not tidy up while the story goes on.
    dead: Vec<Box<dyn std::any::Any + Send>>,
}

const MASTER: [u8; 32] = [42; 32];

impl House {
    pub async fn new(postgres: Option<String>) -> Self {
        let clock = Clock::manual("2026-05-01T12:00:00Z".parse().unwrap());
        Self::open(tempfile::tempdir().unwrap(), postgres, clock).await
    }

    async fn open(dir: tempfile::TempDir, postgres: Option<String>, clock: Clock) -> Self {
        let db = match &postgres {
            Some(url) => Db::postgres(url).await.unwrap(),
            None => Db::sqlite_unsynced(&dir.path().join("store.db")).await.unwrap(),
        };
        let mut options = journal::Options::new(dir.path().join("journal"), clock.clone());
        options.segment_bytes = 64 << 10;
        let journal = Journal::open(options).await.unwrap();
        let mut options = identity::Options::new(clock.clone(), "https://gate.example.com", MasterKey::from_bytes(MASTER));
        options.password = PasswordCost::fast();
        let identity = Identity::open(db.clone(), options).await.unwrap();
        let things = Things::open(db.clone(), journal.clone(), identity.clone(), Options::default()).await.unwrap();
        Self { db, journal, identity, things, clock, dir, postgres, dead: Vec::new() }
    }

    /// As after `kill -9` and a new start: what was on disk at this moment is all there is.
    pub async fn kill(self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(self.dir.path(), dir.path());
        let mut next = Self::open(dir, self.postgres.clone(), self.clock.clone()).await;
        let Self { db, journal, identity, things, dir, mut dead, .. } = self;
        dead.push(Box::new((db, journal, identity, things, dir)));
        next.dead = dead;
        next
    }

    /// A clean stop and a new start.
    pub async fn restart(self) -> Self {
        self.things.stop().await;
        self.identity.stop().await;
        self.journal.close().await.unwrap();
        self.db.close().await;
        let Self { dir, postgres, clock, dead, db, journal, identity, things } = self;
        drop((db, journal, identity, things));
        let mut next = Self::open(dir, postgres, clock).await;
        next.dead = dead;
        next
    }

    /// A tenant on this plan, and its owner.
    pub async fn tenant(&self, name: &str, plan: PlanName) -> Caller {
        let operator = self.operator();
        let new = NewTenant { name: name.to_owned(), plan: Some(plan), ..NewTenant::default() };
        let tenant = self.identity.create_tenant(&operator, new).await.unwrap();
        self.caller(tenant.id, Role::Owner.permissions())
    }

    pub fn operator(&self) -> Caller {
        self.identity.operator_caller(TenantId(Uuid::nil()))
    }

    pub fn caller(&self, tenant: TenantId, permissions: Permissions) -> Caller {
        Caller { tenant, principal: Principal::User(UserId(Uuid::from_u128(1))), permissions, request: self.clock.new_id(), address: None }
    }

    /// A thing of that name and key, without credentials.
    pub async fn thing(&self, owner: &Caller, name: &str) -> Thing {
        self.things.provision(owner, NewThing { key: Some(name.to_owned()), ..NewThing::default() }).await.unwrap().thing
    }

    /// The thing itself, calling.
    pub fn as_thing(&self, thing: &Thing) -> Caller {
        Caller {
            tenant: thing.tenant,
            principal: Principal::Thing(thing.id),
            permissions: thing_permissions(),
            request: self.clock.new_id(),
            address: None,
        }
    }

    /// As the broker does it: accepted, appended, durable.
    pub async fn publish(&self, thing: &Thing, payload: &str) -> model::Result<()> {
        let message = self.things.accept(&self.as_thing(thing), inbound(thing.id, payload))?;
        let ticket = self.journal.append(message, Durability::Flush)?;
        Ok(self.journal.durable(ticket.seq).await?)
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

pub fn inbound(thing: ThingId, payload: &str) -> Incoming {
    Incoming {
        thing,
        direction: model::Direction::Inbound,
        topic: Bytes::from_static(b"t"),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        qos: 1,
        retain: false,
        properties: Bytes::new(),
        expires: None,
        idempotency: None,
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// An empty database on the server the test script has started; none, with a line that says so, where there is no server.
pub fn fresh_postgres() -> Option<String> {
    let Some(server) = std::env::var_os("HELIOGRAPH_TEST_POSTGRES_URL").and_then(|url| url.into_string().ok()) else {
        assert!(std::env::var_os("HELIOGRAPH_TEST_REQUIRE").is_none(), "HELIOGRAPH_TEST_POSTGRES_URL is not set");
        eprintln!("skipped: HELIOGRAPH_TEST_POSTGRES_URL is not set");
        return None;
    };
    let name = format!("t{}", Uuid::new_v4().simple());
    let made = Command::new("psql").args(["-qX", &server, "-c", &format!("create database {name}")]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(format!("{}/{name}", server.rsplit_once('/').unwrap().0))
}

/// The same stories on both engines.
macro_rules! both {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$name(crate::house::House::new(None).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(url) = crate::house::fresh_postgres() {
                    super::$name(crate::house::House::new(Some(url)).await).await;
                }
            }
        }
    )*};
}
