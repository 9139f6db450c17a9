//! How clients prove themselves: `private_key_jwt` (RFC 7523) and certificates (RFC 8705).

use model::AuthMethod;

use super::*;

both! { an_assertion_counts_once_and_only_if_all_of_it_is_right a_certificate_proves_its_client what_a_client_registers_is_checked }

fn grant<'a>(assertion: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![("grant_type", "client_credentials"), ("client_assertion", assertion), ("client_assertion_type", JWT_BEARER)];
    pairs.extend_from_slice(more);
    pairs
}

async fn an_assertion_counts_once_and_only_if_all_of_it_is_right(house: House) {
    let place = Place::new(house).await;
    for key in [Key::ed(), Key::ec()] {
        let id = format!("signer-{}", key.alg());
        let set = json!({"keys": [Key::ed().jwk(), key.jwk()]});
        place
            .client(&id, |new| {
                new.auth_method = Some(AuthMethod::PrivateKeyJwt);
                new.jwks = Some(set);
            })
            .await;
        for aud in [json!(URL), json!(format!("{URL}{TOKEN_PATH}")), json!([URL, "https://elsewhere.example"])] {
            let good = key.assertion(&place.house, &id, json!({ "aud": aud }));
            let tokens = place.token(&PLAIN, &grant(&good, &[("client_id", &id)]), shown(None)).await.unwrap();
            assert_eq!(claims_of(&tokens.access_token)["client_id"], id);
            assert_eq!(code_of(place.token(&PLAIN, &grant(&good, &[]), shown(None)).await), OAuthErrorCode::InvalidClient, "played again");
        }
        let wrongs: [fn(i64) -> Value; 12] = [
            |_| json!({"aud": "https://elsewhere.example"}),
            |_| json!({"aud": null}),
            |_| json!({"iss": "somebody"}),
            |_| json!({"exp": null}),
            |now| json!({"exp": now - 31}),
            |now| json!({"exp": now + 331}),
            |now| json!({"nbf": now + 31}),
            |now| json!({"iat": now + 31}),
            |_| json!({"jti": null}),
            |_| json!({"jti": ""}),
            |_| json!({"jti": "x".repeat(257)}),
            |_| json!({"sub": "backend"}),
        ];
        for wrong in wrongs {
            // Failures are counted; in this story nobody is in a hurry.
            place.house.advance(3600);
            let wrong = wrong(place.seconds());
            let text = key.assertion(&place.house, &id, wrong.clone());
            assert_eq!(code_of(place.token(&PLAIN, &grant(&text, &[]), shown(None)).await), OAuthErrorCode::InvalidClient, "{wrong}");
        }
        place.house.advance(3600);
        let good = || key.assertion(&place.house, &id, json!({}));
        // Another key, no signature, a shared secret for a signature, a critical extension.
        let now = place.seconds();
        let claims = json!({"iss": id, "sub": id, "aud": URL, "exp": now + 60, "jti": "a"});
        for text in [
            Key::ed().assertion(&place.house, &id, json!({})),
            key.sign(&json!({"alg": "none"}), &claims),
            key.sign(&json!({"alg": "HS256"}), &claims),
            key.sign(&json!({"alg": key.alg(), "crit": ["exp"]}), &claims),
            format!("{}.", good().rsplit_once('.').unwrap().0),
            "a.b.c".to_owned(),
            "x".repeat(8193),
        ] {
            place.house.advance(3600);
            // The parameter itself is bounded, too.
            let Ok(form) = Params::new(grant(&text, &[]).into_iter().map(|(n, v)| (n.to_owned(), v.to_owned()))) else { continue };
            let request =
                TokenRequest { auth: ClientAuth { basic: None, shown: shown(None) }, params: &form, tenant: None, origin: &origin() };
            assert_eq!(code_of(place.house.identity.token(&PLAIN, &request).await), OAuthErrorCode::InvalidClient);
        }
        // One proof, of one client, of one kind.
        place.house.advance(3600);
        let (one, two, three) = (good(), good(), good());
        for (pairs, code) in [
            (grant(&one, &[("client_id", "backend")]), OAuthErrorCode::InvalidRequest),
            (grant(&two, &[("client_secret", SECRET)]), OAuthErrorCode::InvalidRequest),
            (vec![("grant_type", "client_credentials"), ("client_assertion", three.as_str())], OAuthErrorCode::InvalidRequest),
            (vec![("grant_type", "client_credentials"), ("client_id", &id)], OAuthErrorCode::InvalidClient),
            (vec![("grant_type", "client_credentials"), ("client_id", &id), ("client_secret", SECRET)], OAuthErrorCode::InvalidClient),
        ] {
            assert_eq!(code_of(place.token(&PLAIN, &pairs, shown(None)).await), code, "{pairs:?}");
        }
        place.house.advance(3600);
    }
    // A client by secret has no assertions, whatever keys it registered.
    let key = Key::ed();
    let set = json!({"keys": [key.jwk()]});
    place.client("backend", |new| new.jwks = Some(set)).await;
    let text = key.assertion(&place.house, "backend", json!({}));
    assert_eq!(code_of(place.token(&PLAIN, &grant(&text, &[]), shown(None)).await), OAuthErrorCode::InvalidClient);
}

async fn a_certificate_proves_its_client(house: House) {
    let place = Place::new(house).await;
    let mine = place.house.identity.issue_certificate(crate::KeyKind::EcdsaP256).await.unwrap();
    let other = place.house.identity.issue_certificate(crate::KeyKind::EcdsaP256).await.unwrap();
    let der = |pem: &str| pem::parse(pem).unwrap().into_contents();
    let (mine_der, other_der) = (der(&mine.certificate_pem), der(&other.certificate_pem));
    place
        .client("tls", |new| {
            new.auth_method = Some(AuthMethod::SelfSignedTlsClientAuth);
            new.certificates = vec![mine.certificate_pem.clone()];
            new.certificate_bound_tokens = true;
        })
        .await;
    let pairs = [("grant_type", "client_credentials"), ("client_id", "tls"), ("scope", "thing:read")];
    let with = |der| Shown { certificate: der, ..shown(None) };
    let tokens = place.token(&PLAIN, &pairs, with(Some(&mine_der))).await.unwrap();
    assert_eq!(tokens.token_type, "Bearer");
    let thumb = URL_SAFE_NO_PAD.encode(secret::sha256(&mine_der));
    assert_eq!(claims_of(&tokens.access_token)["cnf"], json!({"x5t#S256": thumb}));
    for wrong in [None, Some(other_der.as_slice()), Some(&b"no certificate"[..])] {
        assert_eq!(code_of(place.token(&PLAIN, &pairs, with(wrong)).await), OAuthErrorCode::InvalidClient);
    }
    // The token counts over the same certificate only; who knows nothing of certificates refuses it.
    let identity = &place.house.identity;
    let token = tokens.access_token.as_str();
    assert!(identity.verify_shown(token, &PLAIN.profile, &with(Some(&mine_der))).await.is_ok());
    for wrong in [None, Some(other_der.as_slice())] {
        let refused = identity.verify_shown(token, &PLAIN.profile, &with(wrong)).await.unwrap_err();
        assert_eq!(refused.code, OAuthErrorCode::InvalidToken);
    }
    assert!(identity.verify(token, &PLAIN.profile).await.is_err());
    // A certificate whose time is over proves nothing any more.
    place.house.clock.set(after(mine.not_after, 1));
    assert_eq!(code_of(place.token(&PLAIN, &pairs, with(Some(&mine_der))).await), OAuthErrorCode::InvalidClient);
}

async fn what_a_client_registers_is_checked(house: House) {
    use super::super::assert_invalid;
    let place = Place::new(house).await;
    let caller = place.house.caller("alice@example.com").await;
    let identity = &place.house.identity;
    let make = async |change: &dyn Fn(&mut NewClient)| {
        let mut new = NewClient::default();
        change(&mut new);
        identity.create_client(&caller, new).await
    };
    assert_invalid(make(&|new| new.auth_method = Some(AuthMethod::PrivateKeyJwt)).await, "jwks");
    assert_invalid(make(&|new| new.auth_method = Some(AuthMethod::SelfSignedTlsClientAuth)).await, "certificates");
    assert_invalid(make(&|new| new.auth_method = Some(AuthMethod::None)).await, "auth_method");
    assert_invalid(make(&|new| new.certificates = vec!["no PEM".to_owned()]).await, "certificates");
    assert_invalid(make(&|new| new.certificates = vec!["0".repeat(64); 21]).await, "certificates");
    for jwks in [json!({}), json!({"keys": []}), json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}), json!("x")] {
        assert_invalid(make(&|new| new.jwks = Some(jwks.clone())).await, "jwks");
    }
    for resource in ["", "no uri", "https://api.example/#x", "https://api.example/a b", "/path"] {
        assert_invalid(make(&|new| new.resources = vec![resource.to_owned()]).await, "resources");
    }
    let keys = json!({"keys": [Key::ed().jwk()]});
    let both = |new: &mut NewClient| {
        new.auth_method = Some(AuthMethod::PrivateKeyJwt);
        new.jwks = Some(keys.clone());
        new.secret = Some(SecretString::from(SECRET));
    };
    assert_invalid(make(&both).await, "secret");
    let signer = |new: &mut NewClient| {
        both(new);
        new.secret = None;
    };
    let (client, secret) = make(&signer).await.unwrap();
    assert!(secret.is_none());
    assert_eq!(identity.client(&caller, &client.id).await.unwrap().security, client.security);
}
