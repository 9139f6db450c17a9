//! The provisioning file as written: every table optional, an unknown key is an error that names its line.

use std::collections::{BTreeMap, HashMap, HashSet};

use identity::SecretString;
use model::{AuthMethod, Grant, PlanName, Role, TenantId, Thing, UserId};
use serde::Deserialize;
use toml::Spanned;

use crate::Problem;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// Tenants, first.
    pub tenant: Vec<Spanned<TenantEntry>>,
    /// Users and their memberships.
    pub user: Vec<Spanned<UserEntry>>,
    /// OAuth clients.
    pub client: Vec<Spanned<ClientEntry>>,
    /// API keys.
    pub api_key: Vec<Spanned<ApiKeyEntry>>,
    /// Things.
    pub thing: Vec<Spanned<ThingEntry>>,
}

/// `[[tenant]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantEntry {
    /// Unique on this gateway.
    pub name: String,
    /// Made when absent.
    pub id: Option<TenantId>,
    /// Flash Payments affiliation.
    pub affiliation: Option<String>,
    /// AMBER when absent.
    pub plan: Option<PlanName>,
    /// `sync`, `flush` or `memory`; when absent the tenant keeps the one it has.
    pub durability: Option<Level>,
}

/// A durability level.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// On disk.
    Sync,
    /// With the operating system.
    Flush,
    /// In memory.
    Memory,
}

impl From<Level> for journal::Durability {
    fn from(level: Level) -> Self {
        match level {
            Level::Sync => Self::Sync,
            Level::Flush => Self::Flush,
            Level::Memory => Self::Memory,
        }
    }
}

/// `[[user]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserEntry {
    /// Unique on this gateway.
    pub email: String,
    /// Absent: cannot sign in by password.
    pub password: Option<SecretString>,
    /// Made when absent.
    pub id: Option<UserId>,
    /// A second name to sign in by.
    pub username: Option<String>,
    /// First name.
    pub given_name: Option<String>,
    /// Last name.
    pub family_name: Option<String>,
    /// Is the address proved?
    #[serde(default)]
    pub verified: bool,
    /// Runs the gateway?
    #[serde(default)]
    pub operator: bool,
    /// Where the user belongs; the first is its home.
    #[serde(default)]
    pub memberships: Vec<MembershipEntry>,
}

/// One of a user's memberships.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembershipEntry {
    /// By name.
    pub tenant: Spanned<String>,
    /// As what.
    pub role: Role,
}

/// `[[client]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientEntry {
    /// By name.
    pub tenant: Spanned<String>,
    /// Unique on this gateway.
    pub id: String,
    /// For people; the id when absent.
    pub name: Option<String>,
    /// Absent with `public = true`.
    pub secret: Option<SecretString>,
    /// Without a secret?
    #[serde(default)]
    pub public: bool,
    /// What it may ask for.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// Where codes may be sent.
    #[serde(default)]
    pub redirect_uris: Vec<String>,
    /// The scopes it may ask for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Good in every tenant of its user, with all that the user may there? For the gateway's own front ends.
    #[serde(default)]
    pub everywhere: bool,
    /// How it proves itself; absent: by its secret, or not at all when public.
    pub auth_method: Option<AuthMethod>,
    /// Its public keys, a JWK set as a TOML table.
    pub jwks: Option<serde_json::Value>,
    /// Its certificates, PEM or fingerprint.
    #[serde(default)]
    pub certificates: Vec<String>,
    /// Bind its access tokens to its certificate?
    #[serde(default)]
    pub certificate_bound_tokens: bool,
    /// Refuse it tokens without DPoP?
    #[serde(default)]
    pub dpop_bound_tokens: bool,
    /// Refuse authorization requests it did not push?
    #[serde(default)]
    pub require_pushed_requests: bool,
    /// The resources it may ask tokens for, beside the gateway.
    #[serde(default)]
    pub resources: Vec<String>,
}

impl ClientEntry {
    fn takes_secret(&self) -> bool {
        !self.public && self.auth_method.is_none_or(AuthMethod::by_secret)
    }
}

/// `[[api_key]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyEntry {
    /// By name.
    pub tenant: Spanned<String>,
    /// By e-mail.
    pub user: Spanned<String>,
    /// The key itself.
    pub key: SecretString,
    /// For people.
    pub label: Option<String>,
}

/// `[[thing]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThingEntry {
    /// By name.
    pub tenant: Spanned<String>,
    /// Its handle, unique in the tenant.
    pub id: Spanned<String>,
    /// The id when absent. Blanks become hyphens: a name is part of topics.
    pub name: Option<Spanned<String>>,
    /// What sort of device.
    pub kind: Option<String>,
    /// What software it runs.
    pub distribution: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Name-value pairs.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// A shared secret by which it is recognised, beside its certificate.
    pub secret: Option<SecretString>,
    /// A certificate it has already, PEM; then none is issued.
    pub certificate: Option<Spanned<String>>,
}

impl ThingEntry {
    /// Its name as one topic level.
    #[must_use]
    pub fn topic_name(&self) -> String {
        let name = self.name.as_ref().map_or(self.id.get_ref(), Spanned::get_ref);
        name.split_whitespace().collect::<Vec<_>>().join("-")
    }
}

impl Fleet {
    /// Reads a file's shape: syntax, keys, types.
    pub fn read(name: &str, text: &str) -> Result<Self, Problem> {
        toml::from_str(text).map_err(|e| Problem::toml(name, text, &e))
    }

    /// Reads and checks a file as far as that is possible without looking at what exists: duplicates, names, references. A reference
    /// must be answered by the file itself or by what is known to exist.
    pub fn parse(name: &str, text: &str, known: &Known) -> Result<Self, Problem> {
        let fleet = Self::read(name, text)?;
        Checker { name, text }.fleet(&fleet, known)?;
        Ok(fleet)
    }
}

/// What exists before the file is applied, as far as references need it.
#[derive(Debug, Default)]
pub struct Known {
    /// Tenants by name.
    pub tenants: HashMap<String, TenantId>,
    /// Does a user of this address exist?
    pub users: HashSet<String>,
}

struct Checker<'a> {
    name: &'a str,
    text: &'a str,
}

impl Checker<'_> {
    fn at(&self, offset: usize, message: impl std::fmt::Display) -> Problem {
        Problem::at(self.name, self.text, offset, message)
    }

    fn unique<T: std::hash::Hash + Eq>(
        &self,
        seen: &mut HashSet<T>,
        key: T,
        offset: usize,
        what: impl std::fmt::Display,
    ) -> Result<(), Problem> {
        if seen.insert(key) { Ok(()) } else { Err(self.at(offset, format!("{what} is there twice"))) }
    }

    fn fleet(&self, fleet: &Fleet, known: &Known) -> Result<(), Problem> {
        let (mut names, mut ids) = (HashSet::new(), HashSet::new());
        for entry in &fleet.tenant {
            let (at, t) = (entry.span().start, entry.get_ref());
            if t.name.trim().is_empty() {
                return Err(self.at(at, "a tenant's name must not be empty"));
            }
            self.unique(&mut names, t.name.as_str(), at, format!("tenant {}", t.name))?;
            if let Some(id) = t.id {
                self.unique(&mut ids, id.uuid(), at, format!("id {id}"))?;
                if let Some(present) = known.tenants.get(&t.name).filter(|present| **present != id) {
                    return Err(self.at(at, format!("tenant {} exists with the id {present}; its id cannot be changed", t.name)));
                }
            }
        }
        let tenant = |spanned: &Spanned<String>| {
            let found = names.contains(spanned.get_ref().as_str()) || known.tenants.contains_key(spanned.get_ref());
            if found { Ok(()) } else { Err(self.at(spanned.span().start, format!("there is no tenant {}", spanned.get_ref()))) }
        };
        let (mut emails, mut usernames) = (HashSet::new(), HashSet::new());
        for entry in &fleet.user {
            let (at, u) = (entry.span().start, entry.get_ref());
            let email = model::normalize_email(&u.email).map_err(|e| self.at(at, format!("{}: {e}", u.email)))?;
            self.unique(&mut emails, email, at, format!("user {}", u.email))?;
            if let Some(username) = &u.username {
                self.unique(&mut usernames, username.to_lowercase(), at, format!("username {username}"))?;
            }
            if let Some(id) = u.id {
                self.unique(&mut ids, id.uuid(), at, format!("id {id}"))?;
            }
            let mut member_of = HashSet::new();
            for membership in &u.memberships {
                tenant(&membership.tenant)?;
                let offset = membership.tenant.span().start;
                self.unique(&mut member_of, membership.tenant.get_ref(), offset, format!("membership in {}", membership.tenant.get_ref()))?;
            }
        }
        let mut clients = HashSet::new();
        for entry in &fleet.client {
            let (at, c) = (entry.span().start, entry.get_ref());
            tenant(&c.tenant)?;
            self.unique(&mut clients, c.id.as_str(), at, format!("client {}", c.id))?;
            match (c.public, c.secret.is_some()) {
                (false, false) if !c.takes_secret() => {}
                (true, true) => return Err(self.at(at, format!("client {} is public, so it has no secret: remove one of the two", c.id))),
                (false, false) => return Err(self.at(at, format!("client {} needs a secret, or public = true", c.id))),
                _ => {}
            }
        }
        for entry in &fleet.api_key {
            let key = entry.get_ref();
            tenant(&key.tenant)?;
            let user = key.user.get_ref();
            let email = model::normalize_email(user).unwrap_or_default();
            if !emails.contains(&email) && !known.users.contains(&email) {
                return Err(self.at(key.user.span().start, format!("there is no user {user}")));
            }
        }
        self.things(fleet, &tenant)
    }

    fn things(&self, fleet: &Fleet, tenant: &dyn Fn(&Spanned<String>) -> Result<(), Problem>) -> Result<(), Problem> {
        let (mut keys, mut names) = (HashSet::new(), HashSet::new());
        for entry in &fleet.thing {
            let thing = entry.get_ref();
            tenant(&thing.tenant)?;
            let (of, id) = (thing.tenant.get_ref().as_str(), thing.id.get_ref().as_str());
            Thing::check_name("id", id).map_err(|e| self.at(thing.id.span().start, format!("thing {id}: {e}")))?;
            let named_at = thing.name.as_ref().map_or(thing.id.span().start, |n| n.span().start);
            let name = thing.topic_name();
            Thing::check_name("name", &name).map_err(|e| self.at(named_at, format!("thing {id}: {e}")))?;
            self.unique(&mut keys, (of, id), thing.id.span().start, format!("thing {id}"))?;
            self.unique(&mut names, (of, name.clone()), named_at, format!("a thing of the name {name}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("example.toml");

    fn mistake(text: &str) -> String {
        Fleet::parse("fleet.toml", text, &Known::default()).unwrap_err().to_string()
    }

    #[test]
    fn the_example_is_read() {
        let fleet = Fleet::parse("fleet.toml", EXAMPLE, &Known::default()).unwrap();
        assert_eq!((fleet.tenant.len(), fleet.user.len(), fleet.client.len(), fleet.api_key.len(), fleet.thing.len()), (2, 1, 1, 1, 1));
        let thing = fleet.thing[0].get_ref();
        assert_eq!((thing.id.get_ref().as_str(), thing.topic_name().as_str()), ("dev-1", "truck-1"));
        assert_eq!(fleet.user[0].get_ref().memberships[1].role, Role::Reader);
        let printed = format!("{fleet:?}");
        assert!(!printed.contains("battery") && !printed.contains("s3cr3t"), "{printed}");
    }

    #[test]
    fn an_empty_file_is_fine() {
        assert!(Fleet::parse("f", "", &Known::default()).is_ok());
    }

    #[test]
    fn mistakes_name_key_and_line() {
        for (text, expected) in [
            ("[[tenant]]\nname = \"a\"\n\n[[thnig]]\n", "fleet.toml line 4: unknown field `thnig`"),
            ("[[tenant]]\nname = \"a\"\ncolour = 1\n", "line 3: unknown field `colour`"),
            ("[[tenant]]\nplan = \"AMBER\"\n", "line 1: missing field `name`"),
            ("[[tenant]]\nname = \"a\"\nplan = \"GOLD\"\n", "line 3: unknown variant `GOLD`"),
            ("[[tenant]]\nname = \"a\"\n[[tenant]]\nname = \"a\"\n", "line 3: tenant a is there twice"),
            ("[[user]]\nemail = \"a\"\n", "line 1: a: email: is not an e-mail address"),
            ("[[user]]\nemail = \"a@b\"\nmemberships = [\n  { tenant = \"x\", role = \"owner\" },\n]\n", "line 4: there is no tenant x"),
            (
                "[[tenant]]\nname=\"x\"\n[[user]]\nemail = \"a@b\"\nmemberships = [{ tenant = \"x\", role = \"king\" }]\n",
                "line 5: unknown variant `king`",
            ),
            ("[[tenant]]\nname=\"x\"\n[[client]]\ntenant = \"x\"\nid = \"c\"\n", "line 3: client c needs a secret"),
            ("[[tenant]]\nname=\"x\"\n[[api_key]]\ntenant = \"x\"\nuser = \"a@b\"\nkey = \"k\"\n", "line 5: there is no user a@b"),
            ("[[tenant]]\nname=\"x\"\n[[thing]]\ntenant = \"x\"\nid = \"a/b\"\n", "line 5: thing a/b: id: must be"),
            ("[[tenant]]\nname=\"x\"\n[[thing]]\ntenant = \"x\"\nid = \"a\"\nname=\"#\"\n", "line 6: thing a: name: must be"),
            ("[[thing]]\ntenant = \"y\"\nid = \"a\"\n", "line 2: there is no tenant y"),
            ("name = 'unfinished", "line 1: "),
        ] {
            let line = mistake(text);
            assert!(line.contains(expected) && !line.contains('\n'), "{text:?} gave: {line}");
        }
    }

    #[test]
    fn what_exists_answers_references() {
        let id: TenantId = "7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01".parse().unwrap();
        let known = Known { tenants: HashMap::from([("x".to_owned(), id)]), users: HashSet::from(["a@b".to_owned()]) };
        let text = "[[api_key]]\ntenant = \"x\"\nuser = \"A@B\"\nkey = \"k\"\n[[thing]]\ntenant = \"x\"\nid = \"a\"\n";
        assert!(Fleet::parse("f", text, &known).is_ok());
        let other = "[[tenant]]\nname = \"x\"\nid = \"7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a02\"\n";
        let line = Fleet::parse("f", other, &known).unwrap_err().to_string();
        assert!(line.contains("tenant x exists with the id"), "{line}");
    }
}
