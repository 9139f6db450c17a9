//! Tokens nobody here made, or nobody made for this.

use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use model::{Certificate, CertificateStatus, Principal, Role};
use proptest::prelude::*;

use super::*;
use crate::{KeyKind, hash_secret};

both! { forged_tokens_are_refused tokens_of_elsewhere_are_refused things_sign_for_themselves_alone }

fn b64(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap())
}

fn parts(token: &str) -> (Value, Value, Vec<u8>) {
    let mut parts = token.split('.').map(|p| URL_SAFE_NO_PAD.decode(p).unwrap());
    let json = |bytes: Vec<u8>| serde_json::from_slice(&bytes).unwrap();
    (json(parts.next().unwrap()), json(parts.next().unwrap()), parts.next().unwrap())
}

fn with(mut value: Value, name: &str, member: Value) -> Value {
    value[name] = member;
    value
}

fn hmac(algorithm: aws_lc_rs::hmac::Algorithm, key: &[u8], header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", b64(header), b64(claims));
    let tag = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(algorithm, key), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

fn rsa(key: &RsaKeyPair, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", b64(header), b64(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &aws_lc_rs::rand::SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn forged_tokens_are_refused(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Reader).await;
    let signed_in = house.signed_in("alice@example.com").await;
    let token = house.token("alice@example.com").await;
    let (header, claims, signature) = parts(&token);
    let greater = with(claims.clone(), "heliograph", with(claims["heliograph"].clone(), "role", json!("owner")));
    let hs_token = house.identity.issue(&signed_in, &HS, None).await.unwrap().token;
    let (hs_header, hs_claims, _) = parts(&hs_token);
    let spki = base64::engine::general_purpose::STANDARD.decode(house.identity.realm_public_key()).unwrap();
    let pem = pem::encode(&pem::Pem::new("PUBLIC KEY", spki.clone()));
    let jwk = house.identity.jwks()["keys"].as_array().unwrap().iter().find(|k| k["alg"] == "RS256").unwrap().clone();
    let own = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
    let signed =
        |header: &Value, claims: &Value, signature: &[u8]| format!("{}.{}.{}", b64(header), b64(claims), URL_SAFE_NO_PAD.encode(signature));

    let mut forged: Vec<(&str, String, TokenProfile)> = Vec::new();
    for none in ["none", "None", "NONE", ""] {
        let header = with(header.clone(), "alg", json!(none));
        forged.push(("no algorithm, no signature", signed(&header, &claims, b""), RS));
        forged.push(("no algorithm, the old signature", signed(&header, &claims, &signature), RS));
    }
    let h256 = with(header.clone(), "alg", json!("HS256"));
    let h512 = with(header.clone(), "alg", json!("HS512"));
    for key in [spki.as_slice(), pem.as_bytes(), pem.trim().as_bytes(), jwk["n"].as_str().unwrap().as_bytes(), b""] {
        forged.push(("HS256 with the public key", hmac(aws_lc_rs::hmac::HMAC_SHA256, key, &h256, &claims), RS));
        forged.push(("HS512 with the public key", hmac(aws_lc_rs::hmac::HMAC_SHA512, key, &h512, &claims), RS));
        forged.push(("HS512 with the public key as the HMAC profile", hmac(aws_lc_rs::hmac::HMAC_SHA512, key, &h512, &hs_claims), HS));
        forged.push(("HS512 with a guessed key", hmac(aws_lc_rs::hmac::HMAC_SHA512, key, &hs_header, &hs_claims), HS));
    }
    let (n, e) = {
        use aws_lc_rs::signature::KeyPair as _;
        let public = aws_lc_rs::signature::RsaPublicKeyComponents::<Vec<u8>>::from(own.public_key());
        (URL_SAFE_NO_PAD.encode(public.n), URL_SAFE_NO_PAD.encode(public.e))
    };
    let own_jwk = json!({"kty": "RSA", "n": n, "e": e, "kid": header["kid"], "alg": "RS256"});
    forged.push(("another key", rsa(&own, &header, &claims), RS));
    forged.push(("a key the token brings", rsa(&own, &with(header.clone(), "jwk", own_jwk), &claims), RS));
    forged.push(("a key the token points to", rsa(&own, &with(header.clone(), "jku", json!("https://evil.example/jwks")), &claims), RS));
    forged.push(("a certificate the token brings", rsa(&own, &with(header.clone(), "x5c", json!(["MIIB"])), &claims), RS));
    forged.push(("an unknown key id", rsa(&own, &with(header.clone(), "kid", json!("nope")), &claims), RS));
    forged.push(("a key id out of a path", rsa(&own, &with(header.clone(), "kid", json!("../../dev/null")), &claims), RS));
    let mut no_kid = header.clone();
    no_kid.as_object_mut().unwrap().remove("kid");
    forged.push(("no key id", rsa(&own, &no_kid, &claims), RS));
    forged.push(("the other key's id", signed(&with(header.clone(), "kid", hs_header["kid"].clone()), &claims, &signature), RS));
    forged.push(("greater claims", signed(&header, &greater, &signature), RS));
    forged.push(("no signature", signed(&header, &claims, b""), RS));
    forged.push(("half a signature", signed(&header, &claims, &signature[..128]), RS));
    forged.push(("a signature of zeros", signed(&header, &claims, &[0; 256]), RS));
    forged.push(("another algorithm of the same family", signed(&with(header.clone(), "alg", json!("RS512")), &claims, &signature), RS));
    forged.push(("PSS", signed(&with(header.clone(), "alg", json!("PS256")), &claims, &signature), RS));
    forged.push(("a critical extension", signed(&with(header.clone(), "crit", json!(["exp"])), &claims, &signature), RS));
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        &token[..token.len() - 1],
        &format!("{token}A"),
        &format!("{token}."),
        &format!(" {token}"),
        &format!("{token}\n"),
        &token.replace('.', "=."),
        &format!("Bearer {token}"),
    ] {
        forged.push(("not a token", text.to_owned(), RS));
    }
    for size in [crate::TOKEN_MAX, crate::TOKEN_MAX + 1, 1 << 20] {
        forged.push(("far too long", "a".repeat(size), RS));
        forged.push(("far too many parts", ".".repeat(size), RS));
    }
    for (what, token, profile) in forged {
        assert_unauthenticated(house.identity.verify(&token, &profile).await.inspect(|_| panic!("accepted: {what}: {token}")));
    }
    // The real ones are still good, and only where they belong.
    assert!(house.identity.verify(&token, &RS).await.is_ok());
    for profile in [RS_OTHER, ED, HS, TokenProfile { audience: Some("api"), name: "x", ..RS }] {
        assert_unauthenticated(house.identity.verify(&token, &profile).await);
    }
    assert_unauthenticated(house.identity.verify(&hs_token, &HS_OTHER).await);
    assert_unauthenticated(house.identity.verify(&hs_token, &RS).await);
    // A bit of anything.
    for i in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
        assert_unauthenticated(house.identity.verify(&String::from_utf8(bytes).unwrap(), &RS).await);
    }
}

async fn tokens_of_elsewhere_are_refused(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Owner).await;
    let signed_in = house.signed_in("alice@example.com").await;
    let issue = |profile: TokenProfile| {
        let (identity, signed_in) = (house.identity.clone(), signed_in.clone());
        async move { identity.issue(&signed_in, &profile, None).await.unwrap().token }
    };
    // Signed with our own keys, so only the claims are left to tell.
    let elsewhere = issue(TokenProfile { issuer: |_| "https://elsewhere.example/realm".to_owned(), ..RS }).await;
    assert_unauthenticated(house.identity.verify(&elsewhere, &RS).await);
    let for_another = issue(TokenProfile { audience: Some("another"), ..ED }).await;
    assert_unauthenticated(house.identity.verify(&for_another, &ED).await);
    let for_nobody = issue(TokenProfile { audience: None, ..ED }).await;
    assert_unauthenticated(house.identity.verify(&for_nobody, &ED).await);
    let for_somebody = issue(TokenProfile { audience: Some("api"), ..RS }).await;
    assert_unauthenticated(house.identity.verify(&for_somebody, &RS).await);
    let of_another_type = issue(TokenProfile { typ: Some("JWT"), ..ED }).await;
    assert_unauthenticated(house.identity.verify(&of_another_type, &ED).await);
    let of_no_type = issue(TokenProfile { typ: None, ..ED }).await;
    assert_unauthenticated(house.identity.verify(&of_no_type, &ED).await);
    // The gateway moved: its old tokens are another issuer's.
    let token = issue(RS).await;
    assert!(house.identity.verify(&token, &RS).await.is_ok());
    house.identity.set_public_url("https://new.example".to_owned());
    assert_unauthenticated(house.identity.verify(&token, &RS).await);
    house.identity.set_public_url(URL.to_owned());
    assert!(house.identity.verify(&token, &RS).await.is_ok());
    // Another gateway, another master key, the same names.
    let other = House::sqlite().await;
    let twin = other.tenant("acme").await;
    other.member(&twin, "alice@example.com", Role::Owner).await;
    assert_unauthenticated(house.identity.verify(&other.token("alice@example.com").await, &RS).await);
}

async fn things_sign_for_themselves_alone(house: House) {
    let (acme, umbrella) = (house.tenant("acme").await, house.tenant("umbrella").await);
    let keys = |kind| {
        let identity = house.identity.clone();
        async move { identity.issue_certificate(kind).await.unwrap() }
    };
    let (rsa_pair, other_pair, ec_pair) = (keys(KeyKind::Rsa2048).await, keys(KeyKind::Rsa2048).await, keys(KeyKind::EcdsaP256).await);
    let (ours, twin, ec) = (
        super::credentials::thing(&acme, "dev-1"),
        super::credentials::thing(&umbrella, "dev-1"),
        super::credentials::thing(&acme, "dev-ec"),
    );
    let mut tx = house.db.begin().await.unwrap();
    for (thing, pair) in [(&ours, &rsa_pair), (&twin, &other_pair), (&ec, &ec_pair)] {
        tx.insert_thing(thing, Some(&hash_secret("x"))).await.unwrap();
        let certificate = Certificate {
            fingerprint: pair.fingerprint.clone(),
            tenant: thing.tenant,
            thing: thing.id,
            pem: pair.certificate_pem.clone(),
            public_key: pair.public_key_pem.clone(),
            status: CertificateStatus::Active,
            issued_here: true,
            not_before: pair.not_before,
            not_after: pair.not_after,
            created: house.clock.now(),
        };
        tx.insert_certificate(&certificate, None).await.unwrap();
    }
    tx.commit().await.unwrap();
    let now = house.clock.now().as_second();
    let sign = |pem: &str, header: &Header, claims: &Value| {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()).unwrap()
    };
    let header = |kid: &str| Header { kid: Some(kid.to_owned()), ..Header::new(jsonwebtoken::Algorithm::RS256) };
    let claims =
        |id: &str| json!({"exp": now + 360, "nbf": now - 360, "iss": format!("urn:thing:{id}"), "aud": format!("urn:flashlex:{id}")});
    let ours_id = ours.id.to_string();
    for (handle, pair, thing) in [("dev-1", &rsa_pair, &ours), ("dev-1", &other_pair, &twin), (ours_id.as_str(), &rsa_pair, &ours)] {
        let token = sign(&pair.private_key_pem, &header(handle), &claims(handle));
        let caller = house.identity.verify_thing_token(handle, &token).await.unwrap();
        assert_eq!((caller.tenant, caller.principal), (thing.tenant, Principal::Thing(thing.id)));
        assert!(!caller.permissions.has(model::Permission::ThingRead));
        // A session that rests on it ends with the certificate, however late the token says it ends.
        let late = with(claims(handle), "exp", json!(now + 400 * 365 * 86_400));
        if let Ok((_, ends)) = house.identity.verify_thing_token_until(handle, &sign(&pair.private_key_pem, &header(handle), &late)).await {
            assert_eq!(ends.map(|t| t.as_second()), Some(pair.not_after.as_second()));
        }
        let (_, ends) = house.identity.verify_thing_token_until(handle, &token).await.unwrap();
        assert_eq!(ends.map(|t| t.as_second()), Some(pair.not_after.as_second()));
    }
    let good = |claims: &Value| sign(&rsa_pair.private_key_pem, &header("dev-1"), claims);
    let base = claims("dev-1");
    let skewed = [("exp", now - 59), ("nbf", now + 60)];
    for (name, value) in skewed {
        assert!(house.identity.verify_thing_token("dev-1", &good(&with(base.clone(), name, json!(value)))).await.is_ok(), "{name} {value}");
    }
    let mut no_exp = base.clone();
    no_exp.as_object_mut().unwrap().remove("exp");
    let refused = [
        ("expired", good(&with(base.clone(), "exp", json!(now - 60)))),
        ("not yet", good(&with(base.clone(), "nbf", json!(now + 61)))),
        ("for ever", good(&no_exp)),
        ("another issuer", good(&with(base.clone(), "iss", json!("urn:thing:dev-2")))),
        ("another audience", good(&with(base.clone(), "aud", json!("urn:flashlex:dev-2")))),
        ("another kid", sign(&rsa_pair.private_key_pem, &header("dev-2"), &base)),
        ("no kid", sign(&rsa_pair.private_key_pem, &Header::new(jsonwebtoken::Algorithm::RS256), &base)),
        (
            "another RSA algorithm",
            sign(&rsa_pair.private_key_pem, &Header { kid: Some("dev-1".into()), ..Header::new(jsonwebtoken::Algorithm::RS512) }, &base),
        ),
        (
            "HS256 with the public key",
            hmac(
                aws_lc_rs::hmac::HMAC_SHA256,
                rsa_pair.public_key_pem.as_bytes(),
                &json!({"alg": "HS256", "kid": "dev-1", "typ": "JWT"}),
                &base,
            ),
        ),
        ("none", format!("{}.{}.", b64(&json!({"alg": "none", "kid": "dev-1"})), b64(&base))),
    ];
    for (what, token) in refused {
        assert_unauthenticated(house.identity.verify_thing_token("dev-1", &token).await.inspect(|_| panic!("accepted: {what}")));
    }
    // Another thing's handle, an unknown one, one whose key cannot sign RS256.
    let token = good(&base);
    for handle in ["dev-2", "dev-ec", &twin.id.to_string(), ""] {
        assert_unauthenticated(house.identity.verify_thing_token(handle, &token).await);
    }
    let crossed = sign(&rsa_pair.private_key_pem, &header("dev-ec"), &claims("dev-ec"));
    assert_unauthenticated(house.identity.verify_thing_token("dev-ec", &crossed).await);
    // Revoked is over at once.
    let mut tx = house.db.begin().await.unwrap();
    assert!(tx.revoke_certificate(acme.id, &rsa_pair.fingerprint).await.unwrap());
    tx.commit().await.unwrap();
    assert_unauthenticated(house.identity.verify_thing_token("dev-1", &token).await);
    // A thing's own token opens nothing that ours open.
    assert_unauthenticated(house.identity.verify(&sign(&other_pair.private_key_pem, &header("dev-1"), &claims("dev-1")), &RS).await);
}

#[test]
fn no_text_breaks_the_readers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let house = runtime.block_on(House::sqlite());
    proptest!(ProptestConfig::with_cases(200), |(text in "\\PC{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..300))| {
        runtime.block_on(async {
            prop_assert!(house.identity.verify(&text, &RS).await.is_err());
            prop_assert!(house.identity.verify_thing_token(&text, &text).await.is_err());
            let header = URL_SAFE_NO_PAD.encode(&bytes);
            let token = [header.as_str(); 3].join(".");
            prop_assert!(house.identity.verify(&token, &RS).await.is_err());
            prop_assert!(house.identity.read_certificate(&text).is_err());
            prop_assert!(house.identity.read_certificate_der(&bytes).is_err());
            prop_assert!(house.identity.unseal(&bytes, b"").is_err());
            Ok(())
        })?;
    });
}
