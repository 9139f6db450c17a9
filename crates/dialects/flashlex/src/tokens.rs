//! The user's token: shaped as the platform's were, one hour long, RS256, no `typ`.

use std::time::Duration;

use identity::{Algorithm, TokenFacts, TokenProfile};
use serde_json::{Map, Value, json};
use uuid::{Uuid, uuid};

/// The dialect's tokens. `sub` is the `fluserspk`; `iss`, `exp`, `iat` and `jti` are set by `identity`.
pub static TOKENS: TokenProfile = TokenProfile {
    name: "flashlex",
    algorithm: Algorithm::Rs256,
    issuer: |public_url| public_url.trim_end_matches('/').to_owned(),
    audience: None,
    lifetime: Duration::from_hours(1),
    claims,
    typ: None,
};

/// What `client_id` says of a client that did not introduce itself by a `Client-Id` header.
const ANONYMOUS_CLIENT: &str = "flashlex";

/// Names the sessions' device keys: the same user with the same label keeps the same one.
const DEVICE_KEYS: Uuid = uuid!("0b2f43d2-1a57-5d0c-8a3e-6f5f0f6f2d9b");

fn claims(facts: &TokenFacts<'_>) -> Map<String, Value> {
    let sub = crate::wire::namespace(facts.caller);
    let label = facts.label.unwrap_or(ANONYMOUS_CLIENT);
    let username = facts.user.map_or_else(|| facts.caller.principal.label(), |user| user.email.clone());
    let device = Uuid::new_v5(&DEVICE_KEYS, format!("{sub}/{label}").as_bytes());
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("sub", json!(sub));
    put("device_key", json!(format!("heliograph_{device}")));
    put("token_use", json!("access"));
    put("scope", json!("aws.cognito.signin.user.admin"));
    put("auth_time", json!(facts.issued.as_second()));
    put("client_id", json!(label));
    put("username", json!(username));
    claims
}

#[cfg(test)]
mod tests {
    use model::{Caller, Permissions, Principal, RequestId, TenantId, Timestamp, UserId};

    use super::*;

    #[test]
    fn the_claims_are_the_platforms() {
        let caller = Caller {
            tenant: TenantId(Uuid::nil()),
            principal: Principal::User(UserId(uuid!("acd13b11-6d91-4e8e-9156-60e451a3c975"))),
            permissions: Permissions::NONE,
            request: RequestId(Uuid::nil()),
            address: None,
        };
        let issued = Timestamp::from_second(1_562_043_681).unwrap();
        let facts = TokenFacts {
            caller: &caller,
            user: None,
            membership: None,
            client: None,
            id: Uuid::nil(),
            issued,
            expires: issued,
            label: Some("clays-postman"),
            public_url: "https://gateway.example",
        };
        let it = claims(&facts);
        assert_eq!(it["sub"], "acd13b11-6d91-4e8e-9156-60e451a3c975");
        assert_eq!(it["token_use"], "access");
        assert_eq!(it["scope"], "aws.cognito.signin.user.admin");
        assert_eq!(it["auth_time"], 1_562_043_681);
        assert_eq!(it["client_id"], "clays-postman");
        assert_eq!(it["device_key"], claims(&facts)["device_key"], "stable");
        assert_ne!(it["device_key"], claims(&TokenFacts { label: None, ..facts })["device_key"]);
        assert_eq!((TOKENS.issuer)("https://gateway.example/"), "https://gateway.example");
    }
}
