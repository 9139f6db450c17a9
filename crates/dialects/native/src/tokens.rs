//! This API's own tokens: JWT access tokens after RFC 9068.

use std::time::Duration;

use identity::{Algorithm, TokenFacts, TokenProfile};
use model::Principal;
use serde_json::{Map, Value};

/// Own tokens: EdDSA, one hour, for the audience `heliograph`.
pub static TOKENS: TokenProfile = TokenProfile {
    name: "native",
    algorithm: Algorithm::EdDsa,
    issuer: str::to_owned,
    audience: Some("heliograph"),
    lifetime: Duration::from_hours(1),
    claims,
    typ: Some("at+jwt"),
};

/// RFC 9068 2.2: `sub` and `client_id` besides what identity sets; `scope` as RFC 8693 4.2; `tenant` is ours.
fn claims(facts: &TokenFacts<'_>) -> Map<String, Value> {
    let (subject, client) = match &facts.caller.principal {
        Principal::User(id) => (id.to_string(), OWN_CLIENT.to_owned()),
        Principal::Client(id) => (id.clone(), id.clone()),
        Principal::Thing(id) => (id.to_string(), OWN_CLIENT.to_owned()),
        Principal::Operator => ("operator".to_owned(), OWN_CLIENT.to_owned()),
    };
    let scope = facts.caller.permissions.iter().map(model::Permission::name).collect::<Vec<_>>().join(" ");
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), subject.into());
    claims.insert("client_id".to_owned(), client.into());
    claims.insert("scope".to_owned(), scope.into());
    claims.insert("tenant".to_owned(), facts.caller.tenant.to_string().into());
    claims
}

/// The client in whose name people and devices sign in directly.
const OWN_CLIENT: &str = "heliograph";

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::{Caller, Permission, Permissions, UserId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_claims_of_rfc_9068() {
        let caller = Caller {
            tenant: Uuid::from_u128(1).into(),
            principal: Principal::User(UserId(Uuid::from_u128(2))),
            permissions: Permissions::of(&[Permission::ThingRead, Permission::MessageRead]),
            request: Uuid::from_u128(3).into(),
            address: None,
        };
        let facts = TokenFacts {
            caller: &caller,
            user: None,
            membership: None,
            client: None,
            id: Uuid::from_u128(4),
            issued: Timestamp::UNIX_EPOCH,
            expires: Timestamp::UNIX_EPOCH,
            label: None,
            public_url: "https://gateway.example",
        };
        insta::assert_snapshot!(Value::Object((TOKENS.claims)(&facts)), @r#"{"client_id":"heliograph","scope":"thing:read message:read","sub":"00000000-0000-0000-0000-000000000002","tenant":"00000000-0000-0000-0000-000000000001"}"#);
        assert_eq!((TOKENS.issuer)("https://gateway.example"), "https://gateway.example");
    }
}
