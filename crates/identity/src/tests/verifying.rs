//! Tokens from issue to the end.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use model::{Permission, Principal, Role};
use uuid::Uuid;

use super::*;
use crate::{Change, NewApiKey, NewClient, TokenRef, UserChange};

both! {
    tokens_of_every_algorithm_come_back anyone_can_check_them_with_the_published_keys rotation_overlaps revocation
    tokens_follow_the_membership tokens_end_with_what_they_came_from other_nodes_follow hmac_keys_are_one_profiles_own
}

fn payload(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn header(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').next().unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn tokens_of_every_algorithm_come_back(house: House) {
    let acme = house.tenant("acme").await;
    let alice = house.member(&acme, "alice@example.com", Role::Writer).await;
    let signed_in = house.signed_in("alice@example.com").await;
    for profile in [RS, ED, HS] {
        let issued = house.identity.issue(&signed_in, &profile, Some("backend/1")).await.unwrap();
        assert_eq!(issued.expires.as_second() - issued.issued.as_second(), 3_600);
        let claims = payload(&issued.token);
        assert_eq!(claims["iss"], "https://gw.example/realm");
        assert_eq!(claims["iat"], house.clock.now().as_second());
        assert_eq!(claims["exp"], house.clock.now().as_second() + 3_600);
        assert_eq!(claims["jti"], issued.id.to_string());
        assert_eq!(claims.get("aud"), profile.audience.map(|a| json!(a)).as_ref());
        assert_eq!(claims["heliograph"]["profile"], profile.name);
        assert_eq!(claims["heliograph"]["tenant"], acme.id.to_string());
        assert_eq!(claims["heliograph"]["role"], "writer");
        assert_eq!(claims["sub"], if profile.name == "ed" { "its own".to_owned() } else { alice.to_string() });
        let header = header(&issued.token);
        assert_eq!((&header["alg"], header.get("typ")), (&json!(profile.algorithm.name()), profile.typ.map(|t| json!(t)).as_ref()));
        assert!(header["kid"].is_string() && header.as_object().unwrap().len() <= 3);
        for _ in 0..2 {
            let caller = house.identity.verify(&issued.token, &profile).await.unwrap();
            assert_eq!((caller.tenant, &caller.principal), (acme.id, &Principal::User(alice)));
            assert_eq!(caller.permissions, Role::Writer.permissions());
        }
        house.advance(1);
    }
    assert_eq!(payload(&house.token("alice@example.com").await)["username"], "alice@example.com");
    let token = house.token("alice@example.com").await;
    house.advance(3_599);
    assert!(house.identity.verify(&token, &RS).await.is_ok());
    house.advance(1);
    assert_unauthenticated(house.identity.verify(&token, &RS).await);
    assert_unauthenticated(house.another().await.verify(&token, &RS).await);
}

async fn anyone_can_check_them_with_the_published_keys(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Writer).await;
    let signed_in = house.signed_in("alice@example.com").await;
    let jwks: JwkSet = serde_json::from_value(house.identity.jwks()).unwrap();
    assert_eq!(jwks.keys.len(), 2, "one of each public kind");
    for profile in [RS, ED] {
        let token = house.identity.issue(&signed_in, &profile, None).await.unwrap().token;
        let kid = jsonwebtoken::decode_header(&token).unwrap().kid.unwrap();
        let key = DecodingKey::from_jwk(jwks.find(&kid).unwrap()).unwrap();
        let mut validation = Validation::new(jsonwebtoken::decode_header(&token).unwrap().alg);
        validation.set_issuer(&["https://gw.example/realm"]);
        validation.aud = profile.audience.map(|a| [a.to_owned()].into());
        validation.validate_exp = false;
        jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap();
    }
    let text = house.identity.jwks().to_string();
    assert!(!text.contains("\"d\"") && !text.contains("\"k\""), "public halves only");
    // The realm's key is the same RSA key, as SPKI.
    use base64::Engine as _;
    let spki = base64::engine::general_purpose::STANDARD.decode(house.identity.realm_public_key()).unwrap();
    let token = house.token("alice@example.com").await;
    let mut validation = Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.validate_exp = false;
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", spki));
    jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), &validation).unwrap();
}

async fn rotation_overlaps(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Writer).await;
    let operator = house.operator();
    let kid = |token: &str| header(token)["kid"].as_str().unwrap().to_owned();
    let published = || house.identity.jwks()["keys"].as_array().unwrap().iter().filter(|k| k["alg"] == "RS256").count();
    let first = house.token("alice@example.com").await;
    let next = house.identity.rotate_signing_key(&operator, Algorithm::Rs256).await.unwrap();
    assert!(!next.current && next.signs_from > house.clock.now());
    assert_eq!(published(), 2, "published before it signs");
    assert_conflict(house.identity.rotate_signing_key(&operator, Algorithm::Rs256).await);
    let still = house.token("alice@example.com").await;
    assert_eq!(kid(&first), kid(&still));
    house.advance(10 * 60);
    let second = house.token("alice@example.com").await;
    assert_eq!(kid(&second), next.kid);
    assert!(house.identity.verify(&still, &RS).await.is_ok() && house.identity.verify(&second, &RS).await.is_ok());
    let restarted = house.another().await;
    assert!(restarted.verify(&still, &RS).await.is_ok() && restarted.verify(&second, &RS).await.is_ok(), "after a restart, too");
    let keys = house.identity.signing_keys(&operator).await.unwrap();
    let old = keys.iter().find(|k| k.kid == kid(&first)).unwrap();
    assert_eq!(old.verifies_until.unwrap().as_second(), old.signs_until.unwrap().as_second() + 3_600 + 60);
    house.advance(3_600 + 60);
    house.identity.maintain().await.unwrap();
    house.identity.prune_keys().await.unwrap();
    assert_eq!(published(), 1, "gone with its last token");
    assert!(house.identity.signing_keys(&operator).await.unwrap().iter().all(|k| k.kid != kid(&first)));
    assert!(house.identity.verify(&house.token("alice@example.com").await, &RS).await.is_ok());
    assert_forbidden(house.identity.rotate_signing_key(&house.caller("alice@example.com").await, Algorithm::Rs256).await);
    assert_forbidden(house.identity.signing_keys(&house.caller("alice@example.com").await).await);
}

async fn revocation(house: House) {
    let (acme, umbrella) = (house.tenant("acme").await, house.tenant("umbrella").await);
    house.member(&acme, "alice@example.com", Role::Writer).await;
    house.member(&acme, "bob@example.com", Role::Writer).await;
    house.member(&umbrella, "eve@example.com", Role::Owner).await;
    let mut changes = house.identity.changes();
    let issued = house.identity.issue(&house.signed_in("alice@example.com").await, &RS, None).await.unwrap();
    let other = house.token("alice@example.com").await;
    let text = TokenRef::Text(&issued.token);
    assert_not_found(house.identity.revoke_token(&house.caller("bob@example.com").await, text).await);
    assert_not_found(house.identity.revoke_token(&house.caller("eve@example.com").await, text).await);
    assert_forbidden(house.identity.revoke_token(&house.caller("alice@example.com").await, TokenRef::Id(issued.id)).await);
    assert!(house.identity.verify(&issued.token, &RS).await.is_ok());
    house.identity.revoke_token(&house.caller("alice@example.com").await, text).await.unwrap();
    assert_unauthenticated(house.identity.verify(&issued.token, &RS).await);
    assert!(house.identity.verify(&other, &RS).await.is_ok());
    while changes.try_recv().unwrap() != Change::TokenRevoked(issued.id) {}
    // A text that is no token is no error, and neither is doing it twice.
    house.identity.revoke_token(&house.caller("alice@example.com").await, TokenRef::Text("rubbish")).await.unwrap();
    house.identity.revoke_token(&house.caller("alice@example.com").await, text).await.unwrap();
    let by_id = house.identity.issue(&house.signed_in("bob@example.com").await, &RS, None).await.unwrap();
    let node = house.another().await;
    assert_unauthenticated(node.verify(&issued.token, &RS).await);
    assert!(node.verify(&by_id.token, &RS).await.is_ok());
    house.identity.revoke_token(&house.operator(), TokenRef::Id(by_id.id)).await.unwrap();
    assert_unauthenticated(house.identity.verify(&by_id.token, &RS).await);
    node.maintain().await.unwrap();
    assert_unauthenticated(node.verify(&by_id.token, &RS).await);
    // Rows go when the tokens would have expired.
    house.advance(3_600);
    house.identity.prune().await.unwrap();
    assert!(house.db.read().await.unwrap().revoked_tokens(Timestamp::UNIX_EPOCH).await.unwrap().is_empty());
}

async fn tokens_follow_the_membership(house: House) {
    let (acme, umbrella) = (house.tenant("acme").await, house.tenant("umbrella").await);
    house.member(&acme, "boss@example.com", Role::Owner).await;
    let alice = house.member(&acme, "alice@example.com", Role::Writer).await;
    let boss = house.caller("boss@example.com").await;
    let token = house.token("alice@example.com").await;
    let permissions = || async { house.identity.verify(&token, &RS).await.map(|c| c.permissions) };
    assert_eq!(permissions().await.unwrap(), Role::Writer.permissions());
    house.identity.change_role(&boss, alice, Role::Reader).await.unwrap();
    assert_eq!(permissions().await.unwrap(), Role::Reader.permissions());
    house.identity.change_role(&boss, alice, Role::Admin).await.unwrap();
    assert_eq!(permissions().await.unwrap(), Role::Writer.permissions(), "never more than at its issue");
    house.identity.remove_member(&boss, alice).await.unwrap();
    assert_unauthenticated(permissions().await);
    house.identity.add_member(&house.identity.operator_caller(umbrella.id), alice, Role::Admin).await.unwrap();
    assert_unauthenticated(permissions().await);
    house.identity.add_member(&boss, alice, Role::Writer).await.unwrap();
    assert!(permissions().await.is_ok());
    let switch = |on| UserChange { disabled: Some(on), ..UserChange::default() };
    house.identity.update_user(&house.operator(), alice, switch(true)).await.unwrap();
    assert_unauthenticated(permissions().await);
    house.identity.update_user(&house.operator(), alice, switch(false)).await.unwrap();
    assert!(permissions().await.is_ok());
    house.advance(1);
    house.identity.set_password(&house.operator(), alice, &secret("another long password")).await.unwrap();
    assert_unauthenticated(permissions().await);
    let fresh = house.password("alice@example.com", "another long password").await.unwrap();
    let fresh = house.identity.issue(&fresh, &RS, None).await.unwrap().token;
    assert!(house.identity.verify(&fresh, &RS).await.is_ok(), "issued in the same second, but after");
    house.identity.delete_user(&house.operator(), alice).await.unwrap();
    assert_unauthenticated(house.identity.verify(&fresh, &RS).await);
}

async fn tokens_end_with_what_they_came_from(house: House) {
    let acme = house.tenant("acme").await;
    let alice = house.member(&acme, "alice@example.com", Role::Owner).await;
    let caller = house.caller("alice@example.com").await;
    let key = "K1-2b1f0f8b5d5c4b7f";
    let new = NewApiKey { user: alice, label: "ci".into(), key: Some(secret(key)), expires: None };
    let (api_key, _) = house.identity.create_api_key(&caller, new).await.unwrap();
    let signed_in = house.identity.sign_in(Credential::ApiKey { key }, TenantChoice::Home, &origin()).await.unwrap();
    let by_key = house.identity.issue(&signed_in, &RS, None).await.unwrap().token;
    let new = NewClient {
        id: Some("backend".into()),
        secret: Some(secret("0123456789abcdef")),
        grants: vec![model::Grant::ClientCredentials],
        ..NewClient::default()
    };
    house.identity.create_client(&caller, new).await.unwrap();
    let credential = Credential::Client { id: "backend", secret: "0123456789abcdef" };
    let signed_in = house.identity.sign_in(credential, TenantChoice::Home, &origin()).await.unwrap();
    let by_client = house.identity.issue(&signed_in, &ED, None).await.unwrap().token;
    let thing = super::credentials::thing(&acme, "dev-1");
    let mut tx = house.db.begin().await.unwrap();
    tx.insert_thing(&thing, Some(&crate::hash_secret("ours"))).await.unwrap();
    tx.commit().await.unwrap();
    let credential = Credential::Thing { handle: "dev-1", secret: "ours" };
    let signed_in = house.identity.sign_in(credential, TenantChoice::Home, &origin()).await.unwrap();
    let by_thing = house.identity.issue(&signed_in, &RS, None).await.unwrap().token;

    assert_eq!(house.identity.verify(&by_client, &ED).await.unwrap().principal, Principal::Client("backend".into()));
    assert_eq!(house.identity.verify(&by_thing, &RS).await.unwrap().principal, Principal::Thing(thing.id));
    assert!(house.identity.verify(&by_key, &RS).await.unwrap().permissions.has(Permission::TenantWrite));
    house.identity.delete_api_key(&caller, api_key.id).await.unwrap();
    assert_unauthenticated(house.identity.verify(&by_key, &RS).await);
    house.identity.delete_client(&caller, "backend").await.unwrap();
    assert_unauthenticated(house.identity.verify(&by_client, &ED).await);
    let mut tx = house.db.begin().await.unwrap();
    tx.delete_thing(acme.id, thing.id).await.unwrap();
    tx.commit().await.unwrap();
    house.identity.thing_removed(thing.id);
    assert_unauthenticated(house.identity.verify(&by_thing, &RS).await);
    assert_forbidden(house.identity.issue(&SignedIn { caller: house.operator(), ..signed_in }, &RS, None).await);
}

async fn other_nodes_follow(house: House) {
    let acme = house.tenant("acme").await;
    let alice = house.member(&acme, "alice@example.com", Role::Writer).await;
    let token = house.token("alice@example.com").await;
    let node = house.another().await;
    assert!(node.verify(&token, &RS).await.is_ok());
    house.identity.delete_user(&house.operator(), alice).await.unwrap();
    house.advance(5);
    assert_unauthenticated(node.verify(&token, &RS).await);
    // A key the other node has made since is looked up at the first token that needs it.
    house.member(&acme, "bob@example.com", Role::Writer).await;
    let made = house.identity.issue(&house.signed_in("bob@example.com").await, &HS, None).await.unwrap().token;
    assert!(node.verify(&made, &HS).await.is_ok());
}

async fn hmac_keys_are_one_profiles_own(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Writer).await;
    let signed_in = house.signed_in("alice@example.com").await;
    let one = house.identity.issue(&signed_in, &HS, None).await.unwrap().token;
    let two = house.identity.issue(&signed_in, &HS_OTHER, None).await.unwrap().token;
    assert_ne!(header(&one)["kid"], header(&two)["kid"]);
    assert!(house.identity.verify(&one, &HS).await.is_ok() && house.identity.verify(&two, &HS_OTHER).await.is_ok());
    assert_unauthenticated(house.identity.verify(&one, &HS_OTHER).await);
    assert_eq!(house.identity.jwks()["keys"].as_array().unwrap().len(), 2, "never published");
    let keys = house.identity.signing_keys(&house.operator()).await.unwrap();
    assert_eq!(keys.iter().filter_map(|k| k.profile.as_deref()).collect::<Vec<_>>(), ["hs", "hs-other"]);
    house.identity.rotate_signing_key(&house.operator(), Algorithm::Hs512).await.unwrap();
    house.advance(10 * 60);
    let signed_in = house.signed_in("alice@example.com").await;
    let next = house.identity.issue(&signed_in, &HS, None).await.unwrap().token;
    assert_ne!(header(&one)["kid"], header(&next)["kid"]);
    assert!(house.identity.verify(&one, &HS).await.is_ok() && house.identity.verify(&next, &HS).await.is_ok());
    assert!(Uuid::parse_str(payload(&next)["jti"].as_str().unwrap()).is_ok());
}
