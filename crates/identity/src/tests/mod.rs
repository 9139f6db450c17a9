//! Stories over a whole [`Identity`], each told on SQLite and, where a server is at hand, on PostgreSQL.

mod admin;
mod attacks;
mod credentials;
mod factor;
mod oauth;
mod people;
mod pki;
mod provisioning;
mod registering;
mod upkeep;
mod verifying;
mod wycheproof;

use std::net::IpAddr;
use std::time::Duration;

use model::{Caller, Clock, Error, PlanName, RequestId, Result, Role, Tenant, TenantId, Timestamp, UserId};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use store::Db;
use uuid::Uuid;

use crate::{
    Algorithm, Credential, Identity, MasterKey, NewTenant, NewUser, Options, Origin, PasswordCost, SignedIn, TenantChoice, TokenFacts,
    TokenProfile,
};

pub(super) const PASSWORD: &str = "correct horse battery staple";
pub(super) const URL: &str = "https://gw.example";

/// The same story on both engines.
macro_rules! both {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                super::$name(super::super::House::sqlite().await).await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(house) = super::super::House::postgres().await {
                    super::$name(house).await;
                }
            }
        }
    )*};
}
pub(crate) use both;

/// An identity over a fresh database, with a clock set by hand.
pub(super) struct House {
    pub(super) identity: Identity,
    pub(super) clock: Clock,
    pub(super) db: Db,
    pub(super) options: Options,
    _dir: Option<tempfile::TempDir>,
}

impl House {
    pub(super) async fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::sqlite_unsynced(&dir.path().join("heliograph.db")).await.unwrap();
        Self::over(db, Some(dir)).await
    }

    #[expect(clippy::disallowed_methods, reason = "the test script says where PostgreSQL is")]
    pub(super) async fn postgres() -> Option<Self> {
        let Ok(server) = std::env::var("HELIOGRAPH_TEST_POSTGRES_URL") else {
            assert!(std::env::var("HELIOGRAPH_TEST_REQUIRE").is_err(), "HELIOGRAPH_TEST_POSTGRES_URL is not set");
            eprintln!("skipped: HELIOGRAPH_TEST_POSTGRES_URL is not set");
            return None;
        };
        let name = format!("t{}", Uuid::new_v4().simple());
        let made = std::process::Command::new("psql").args(["-qX", &server, "-c", &format!("create database {name}")]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let (base, _) = server.rsplit_once('/').unwrap();
        Some(Self::over(Db::postgres(&format!("{base}/{name}")).await.unwrap(), None).await)
    }

    async fn over(db: Db, dir: Option<tempfile::TempDir>) -> Self {
        let clock = Clock::manual("2026-05-04T10:00:00Z".parse().unwrap());
        let mut options = Options::new(clock.clone(), URL, MasterKey::generate());
        options.password = PasswordCost::fast();
        let identity = Identity::open(db.clone(), options.clone()).await.unwrap();
        Self { identity, clock, db, options, _dir: dir }
    }

    /// Another node on the same data, or this one after a restart.
    pub(super) async fn another(&self) -> Identity {
        Identity::open(self.db.clone(), self.options.clone()).await.unwrap()
    }

    pub(super) fn operator(&self) -> Caller {
        self.identity.operator_caller(TenantId(Uuid::nil()))
    }

    pub(super) async fn tenant(&self, name: &str) -> Tenant {
        let new = NewTenant { name: name.to_owned(), plan: Some(PlanName::Sapphire), ..NewTenant::default() };
        self.identity.ensure_tenant(&self.operator(), new).await.unwrap().0
    }

    /// A user with [`PASSWORD`], a member of that tenant.
    pub(super) async fn member(&self, tenant: &Tenant, email: &str, role: Role) -> UserId {
        let new = NewUser {
            email: email.to_owned(),
            password: Some(SecretString::from(PASSWORD)),
            membership: Some((tenant.id, role)),
            ..NewUser::default()
        };
        self.identity.create_user(&self.operator(), new).await.unwrap().id
    }

    pub(super) async fn password(&self, login: &str, password: &str) -> Result<SignedIn> {
        self.identity.sign_in(Credential::Password { login, password }, TenantChoice::Home, &origin()).await
    }

    pub(super) async fn signed_in(&self, login: &str) -> SignedIn {
        self.password(login, PASSWORD).await.unwrap()
    }

    pub(super) async fn caller(&self, login: &str) -> Caller {
        self.signed_in(login).await.caller
    }

    pub(super) async fn token(&self, login: &str) -> String {
        self.identity.issue(&self.signed_in(login).await, &RS, None).await.unwrap().token
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub(super) fn origin() -> Origin {
    from(None)
}

pub(super) fn from(address: Option<IpAddr>) -> Origin {
    Origin { address, label: None, request: RequestId(Uuid::nil()) }
}

pub(super) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

/// The same for every reason to refuse a credential.
pub(super) fn assert_refused<T: std::fmt::Debug>(outcome: Result<T>) {
    assert_eq!(outcome.unwrap_err(), crate::sign_in::REFUSED);
}

pub(super) fn assert_unauthenticated<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::Unauthenticated { .. })), "{outcome:?}");
}

pub(super) fn assert_forbidden<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::Forbidden(_))), "{outcome:?}");
}

pub(super) fn assert_not_found<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::NotFound { .. })), "{outcome:?}");
}

pub(super) fn assert_conflict<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(Error::Conflict { .. })), "{outcome:?}");
}

pub(super) fn assert_invalid<T: std::fmt::Debug>(outcome: Result<T>, field: &str) {
    assert!(matches!(&outcome, Err(Error::Invalid { field: f, .. }) if *f == field), "{outcome:?}");
}

fn issuer(public_url: &str) -> String {
    format!("{public_url}/realm")
}

fn claims(facts: &TokenFacts<'_>) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("token_use".to_owned(), json!("access"));
    claims.insert("username".to_owned(), json!(facts.user.map(|u| &u.email)));
    claims.insert("client_id".to_owned(), json!(facts.label));
    claims
}

/// What no dialect may do.
fn greedy(_: &TokenFacts<'_>) -> Map<String, Value> {
    let taken = json!({"iss": "evil", "aud": "evil", "exp": 1, "iat": 1, "jti": "x", "heliograph": {}, "sub": "its own"});
    taken.as_object().cloned().unwrap()
}

pub(super) const RS: TokenProfile = TokenProfile {
    name: "rs",
    algorithm: Algorithm::Rs256,
    issuer,
    audience: None,
    lifetime: Duration::from_secs(3_600),
    claims,
    typ: None,
};
/// Same algorithm, same issuer: only the profile tells them apart.
pub(super) const RS_OTHER: TokenProfile = TokenProfile { name: "rs-other", ..RS };
pub(super) const ED: TokenProfile =
    TokenProfile { name: "ed", algorithm: Algorithm::EdDsa, audience: Some("api"), typ: Some("at+jwt"), claims: greedy, ..RS };
pub(super) const HS: TokenProfile = TokenProfile { name: "hs", algorithm: Algorithm::Hs512, typ: Some("JWT"), ..RS };
pub(super) const HS_OTHER: TokenProfile = TokenProfile { name: "hs-other", ..HS };

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}
