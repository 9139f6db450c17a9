//! DPoP (RFC 9449): proofs, bound tokens, nonces.

use super::*;

both! {
    a_bound_token_counts_only_with_its_key a_proof_is_checked_in_every_part refresh_tokens_of_public_clients_are_bound
    a_code_may_be_bound_to_a_key a_client_may_be_held_to_it
}

const USERINFO: &str = "/oauth2/userinfo";
const CREDENTIALS: [(&str, &str); 4] =
    [("grant_type", "client_credentials"), ("client_id", "backend"), ("client_secret", SECRET), ("scope", "thing:read")];

fn at_resource<'a>(proof: Option<&'a str>, dpop_scheme: bool) -> Shown<'a> {
    Shown { method: "GET", path: USERINFO, dpop: proof.map_or(Dpop::Absent, Dpop::One), dpop_scheme, certificate: None }
}

async fn a_bound_token_counts_only_with_its_key(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |_| ()).await;
    let identity = &place.house.identity;
    for (realm, key) in [(&PLAIN, Key::ec()), (&KEYCLOAK, Key::ed())] {
        let proof = key.proof(&place.house, "POST", TOKEN_PATH, None, json!({}));
        let tokens = place.token(realm, &CREDENTIALS, shown(Some(&proof))).await.unwrap();
        assert_eq!(tokens.token_type, "DPoP");
        let token = tokens.access_token.as_str();
        assert_eq!(claims_of(token)["cnf"]["jkt"], key.jkt());
        // The proof is used up, at this endpoint as at any.
        assert_eq!(code_of(place.token(realm, &CREDENTIALS, shown(Some(&proof))).await), OAuthErrorCode::InvalidDpopProof);
        let fresh = |token| key.proof(&place.house, "GET", USERINFO, token, json!({}));
        let one = fresh(Some(token));
        assert!(identity.verify_shown(token, &realm.profile, &at_resource(Some(&one), true)).await.is_ok());
        let other = Key::ec().proof(&place.house, "GET", USERINFO, Some(token), json!({}));
        let (no_hash, of_another, two) = (fresh(None), fresh(Some("another")), fresh(Some(token)));
        for (proof, scheme, code) in [
            (Some(&one), true, OAuthErrorCode::InvalidDpopProof),
            (Some(&other), true, OAuthErrorCode::InvalidToken),
            (Some(&no_hash), true, OAuthErrorCode::InvalidDpopProof),
            (Some(&of_another), true, OAuthErrorCode::InvalidDpopProof),
            (None, true, OAuthErrorCode::InvalidDpopProof),
            (None, false, OAuthErrorCode::InvalidToken),
            (Some(&two), false, OAuthErrorCode::InvalidToken),
        ] {
            let shown = at_resource(proof.map(String::as_str), scheme);
            assert_eq!(identity.verify_shown(token, &realm.profile, &shown).await.unwrap_err().code, code, "{scheme}");
        }
        // Who knows nothing of proofs refuses it.
        assert!(identity.verify(token, &realm.profile).await.is_err());
        // And a plain token does not come as DPoP.
        let plain = place.token(realm, &CREDENTIALS, shown(None)).await.unwrap().access_token;
        let proof = fresh(Some(&plain));
        let refused = identity.verify_shown(&plain, &realm.profile, &at_resource(Some(&proof), true)).await.unwrap_err();
        assert_eq!(refused.code, OAuthErrorCode::InvalidToken);
        assert!(identity.verify_shown(&plain, &realm.profile, &at_resource(None, false)).await.is_ok());
        // Introspection tells what it is bound to, for the resource to check.
        let auth = ClientAuth { basic: Some(("backend", SECRET)), shown: shown(None) };
        let found = identity.introspect(realm, auth, &params(&[("token", token)]), &origin()).await.unwrap();
        assert!(found.active);
        assert_eq!((&found.claims["token_type"], &found.claims["cnf"]["jkt"]), (&json!("DPoP"), &json!(key.jkt())));
    }
}

async fn a_proof_is_checked_in_every_part(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |_| ()).await;
    let (key, house) = (Key::ec(), &place.house);
    let now = place.seconds();
    let proof = |more| key.proof(house, "POST", TOKEN_PATH, None, more);
    let claims = json!({"jti": "j", "htm": "POST", "htu": format!("{URL}{TOKEN_PATH}"), "iat": now});
    let mut private = key.jwk();
    private["d"] = json!("AAAA");
    let header = |typ: &str, alg: &str, jwk: &Value| json!({"typ": typ, "alg": alg, "jwk": jwk});
    for wrong in [
        proof(json!({"htm": "GET"})),
        proof(json!({"htm": null})),
        proof(json!({"htu": "https://evil.example/oauth2/token"})),
        proof(json!({"htu": format!("{URL}/oauth2/other")})),
        proof(json!({"htu": null})),
        proof(json!({"jti": null})),
        proof(json!({"jti": "x".repeat(257)})),
        proof(json!({"iat": null})),
        key.sign(&header("JWT", "ES256", &key.jwk()), &claims),
        key.sign(&header("dpop+jwt", "none", &key.jwk()), &claims),
        key.sign(&header("dpop+jwt", "HS256", &key.jwk()), &claims),
        key.sign(&header("dpop+jwt", "EdDSA", &Key::ed().jwk()), &claims),
        key.sign(&header("dpop+jwt", "ES256", &Key::ec().jwk()), &claims),
        key.sign(&header("dpop+jwt", "ES256", &private), &claims),
        key.sign(&json!({"typ": "dpop+jwt", "alg": "ES256"}), &claims),
        "no JWT".to_owned(),
        "x".repeat(9000),
    ] {
        let outcome = place.token(&PLAIN, &CREDENTIALS, shown(Some(&wrong))).await;
        assert_eq!(code_of(outcome), OAuthErrorCode::InvalidDpopProof, "{}", wrong.get(..60).unwrap_or(&wrong));
    }
    let several = Shown { dpop: Dpop::Malformed, ..shown(None) };
    assert_eq!(code_of(place.token(&PLAIN, &CREDENTIALS, several).await), OAuthErrorCode::InvalidDpopProof);
    // A query and a default port make no difference (RFC 9449 4.3).
    let spelled = proof(json!({"htu": format!("HTTPS://GW.example:443{TOKEN_PATH}?x=1")}));
    assert!(place.token(&PLAIN, &CREDENTIALS, shown(Some(&spelled))).await.is_ok());
    // A clock that is wrong is told a nonce, and goes on with that.
    for iat in [now - 61, now + 61, now + 1_000_000] {
        let refused = place.token(&PLAIN, &CREDENTIALS, shown(Some(&proof(json!({ "iat": iat }))))).await.unwrap_err();
        assert_eq!(refused.code, OAuthErrorCode::UseDpopNonce);
        let nonce = refused.dpop_nonce.unwrap();
        let good = proof(json!({"iat": iat, "nonce": nonce}));
        assert!(place.token(&PLAIN, &CREDENTIALS, shown(Some(&good))).await.is_ok());
        house.advance(540);
        assert_eq!(code_of(place.token(&PLAIN, &CREDENTIALS, shown(Some(&good))).await), OAuthErrorCode::InvalidDpopProof, "played again");
        house.advance(80);
        let late = place.token(&PLAIN, &CREDENTIALS, shown(Some(&good))).await.unwrap_err();
        assert_eq!((late.code, late.dpop_nonce.is_some()), (OAuthErrorCode::UseDpopNonce, true));
    }
    // A nonce that is not ours is no nonce, whatever iat says.
    let foreign = proof(json!({"nonce": "abc"}));
    assert_eq!(code_of(place.token(&PLAIN, &CREDENTIALS, shown(Some(&foreign))).await), OAuthErrorCode::UseDpopNonce);
}

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const PKCE: [(&str, &str); 2] = [("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"), ("code_challenge_method", "S256")];

async fn refresh_tokens_of_public_clients_are_bound(house: House) {
    let place = Place::new(house).await;
    place.client("spa", |new| new.public = true).await;
    let key = Key::ec();
    let login = place.login().await;
    let code = place.code(&PLAIN, &login, "spa", &PKCE).await;
    let fresh = |key: &Key| key.proof(&place.house, "POST", TOKEN_PATH, None, json!({}));
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "spa"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let tokens = place.token(&PLAIN, &form, shown(Some(&fresh(&key)))).await.unwrap();
    let refresh = tokens.refresh_token.unwrap();
    let form = [("grant_type", "refresh_token"), ("client_id", "spa"), ("refresh_token", refresh.as_str())];
    let other = fresh(&Key::ec());
    for wrong in [None, Some(other.as_str())] {
        assert_eq!(code_of(place.token(&PLAIN, &form, shown(wrong)).await), OAuthErrorCode::InvalidGrant);
    }
    let next = place.token(&PLAIN, &form, shown(Some(&fresh(&key)))).await.unwrap();
    assert_eq!((next.token_type, claims_of(&next.access_token)["cnf"]["jkt"].clone()), ("DPoP", json!(key.jkt())));
}

async fn a_code_may_be_bound_to_a_key(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |_| ()).await;
    let (key, login) = (Key::ec(), place.login().await);
    let jkt = key.jkt();
    for proof in [None, Some(Key::ec().proof(&place.house, "POST", TOKEN_PATH, None, json!({})))] {
        let code = place.code(&PLAIN, &login, "backend", &[("dpop_jkt", &jkt)]).await;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "backend"),
            ("client_secret", SECRET),
            ("code", &code),
            ("redirect_uri", CALLBACK),
        ];
        assert_eq!(code_of(place.token(&PLAIN, &form, shown(proof.as_deref())).await), OAuthErrorCode::InvalidGrant);
    }
    let code = place.code(&PLAIN, &login, "backend", &[("dpop_jkt", &jkt)]).await;
    let proof = key.proof(&place.house, "POST", TOKEN_PATH, None, json!({}));
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "backend"),
        ("client_secret", SECRET),
        ("code", &code),
        ("redirect_uri", CALLBACK),
    ];
    assert_eq!(place.token(&PLAIN, &form, shown(Some(&proof))).await.unwrap().token_type, "DPoP");
}

async fn a_client_may_be_held_to_it(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |new| new.dpop_bound_tokens = true).await;
    assert_eq!(code_of(place.token(&PLAIN, &CREDENTIALS, shown(None)).await), OAuthErrorCode::InvalidDpopProof);
    let proof = Key::ed().proof(&place.house, "POST", TOKEN_PATH, None, json!({}));
    assert_eq!(place.token(&PLAIN, &CREDENTIALS, shown(Some(&proof))).await.unwrap().token_type, "DPoP");
}
