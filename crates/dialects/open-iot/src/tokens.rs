//! The token style: RS256, a day long, with the accounts and roles of the moment (seed; contracts/open-iot-service-platform.md 2).

use std::time::Duration;

use identity::{Algorithm, MemberOf, TokenFacts, TokenProfile, account_name};
use model::{Permissions, Role, TenantId};
use serde_json::{Map, Value, json};

/// Open IoT's user tokens.
pub static TOKENS: TokenProfile = TokenProfile {
    name: "open-iot",
    algorithm: Algorithm::Rs256,
    issuer: |public_url| public_url.trim_end_matches('/').to_owned(),
    audience: None,
    lifetime: Duration::from_hours(24),
    claims,
    typ: Some("JWT"),
};

/// Bytes of JSON that accounts may take: with the rest of a token it stays below what is read of one.
const ACCOUNTS_MAX: usize = 4_500;

fn claims(facts: &TokenFacts<'_>) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("type".to_owned(), json!("user"));
    claims.insert("resource_access".to_owned(), json!({ "oisp-frontend": { "roles": ["user"] } }));
    if let Some(user) = facts.user {
        claims.insert("email".to_owned(), json!(user.email));
    }
    claims
}

/// A role as this platform knows them.
pub(crate) fn role(role: Role) -> &'static str {
    match role {
        Role::Owner | Role::Admin => "admin",
        Role::Writer | Role::Reader | Role::User | Role::Guest => "user",
    }
}

/// `accounts`, oldest first. Names are left out where they do not all fit, then the youngest accounts.
pub(crate) fn accounts(all: &[MemberOf]) -> Map<String, Value> {
    let named = |m: &MemberOf| json!({ "id": m.tenant.id, "name": account_name(&m.tenant), "role": role(m.membership.role) });
    let bare = |m: &MemberOf| json!({ "id": m.tenant.id, "role": role(m.membership.role) });
    let size = |list: &[Value]| list.iter().map(|v| v.to_string().len() + 1).sum::<usize>();
    let mut list: Vec<Value> = all.iter().map(named).collect();
    if size(&list) > ACCOUNTS_MAX {
        list = all.iter().map(bare).collect();
        while size(&list) > ACCOUNTS_MAX {
            list.pop();
        }
    }
    Map::from_iter([("accounts".to_owned(), Value::Array(list))])
}

/// What a token's `accounts` grant in this one.
pub(crate) fn granted(claims: &Map<String, Value>, account: TenantId) -> Option<Permissions> {
    let id = account.to_string();
    let entry = claims.get("accounts")?.as_array()?.iter().find(|a| a.get("id").and_then(Value::as_str) == Some(&id))?;
    match entry.get("role")?.as_str()? {
        "admin" => Some(Role::Owner.permissions()),
        "user" => Some(Role::User.permissions()),
        _ => None,
    }
}

/// The accounts that a token names.
pub(crate) fn named(claims: &Map<String, Value>) -> Vec<TenantId> {
    let list = claims.get("accounts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|a| a.get("id")?.as_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use model::{Membership, Permission, PlanName, Tenant, Timestamp, UserId};
    use uuid::Uuid;

    use super::*;

    fn member(n: u128, name: &str, role: Role) -> MemberOf {
        let (at, id) = (Timestamp::UNIX_EPOCH, TenantId(Uuid::from_u128(n)));
        let tenant = Tenant { id, name: name.to_owned(), affiliation: None, plan: PlanName::Amber, plan_since: at, created: at };
        MemberOf { tenant, membership: Membership { tenant: id, user: UserId(Uuid::nil()), role, created: at } }
    }

    #[test]
    fn what_a_token_says_it_grants() {
        let claims = accounts(&[member(1, "one", Role::Owner), member(2, "two", Role::Reader)]);
        assert_eq!(claims["accounts"][0], json!({ "id": Uuid::from_u128(1), "name": "one", "role": "admin" }));
        assert!(granted(&claims, TenantId(Uuid::from_u128(1))).unwrap().has(Permission::UserWrite));
        assert!(!granted(&claims, TenantId(Uuid::from_u128(2))).unwrap().has(Permission::UserWrite));
        assert_eq!(granted(&claims, TenantId(Uuid::from_u128(3))), None);
        assert_eq!(granted(&Map::new(), TenantId(Uuid::from_u128(1))), None);
        assert_eq!(named(&claims).len(), 2);
    }

    #[test]
    fn however_many_accounts_the_token_can_be_read() {
        let long = "x".repeat(128);
        for count in [10, 30, 60, 1_000] {
            let all: Vec<MemberOf> = (0..count).map(|n| member(n, &long, Role::Owner)).collect();
            let claims = accounts(&all);
            assert!(claims["accounts"].to_string().len() <= ACCOUNTS_MAX + 2, "{count}");
            assert!(claims["accounts"].as_array().unwrap().len() >= usize::try_from(count.min(60)).unwrap(), "{count}");
        }
    }
}
