//! Token exchange (RFC 8693) and the grant `id_token`.

use super::*;

both! { an_exchanged_token_is_never_more_than_what_went_in actors_are_named_one_behind_the_other id_tokens_are_exchanged }

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID: &str = "urn:ietf:params:oauth:token-type:id_token";

fn ask<'a>(client: &'a str, subject: &'a str, kind: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![
        ("grant_type", EXCHANGE),
        ("client_id", client),
        ("client_secret", SECRET),
        ("subject_token", subject),
        ("subject_token_type", kind),
    ];
    pairs.extend_from_slice(more);
    pairs
}

async fn an_exchanged_token_is_never_more_than_what_went_in(house: House) {
    let place = Place::new(house).await;
    place.client("app", |_| ()).await;
    place
        .client("api", |new| {
            new.scopes = ["thing:read", "thing:write"].map(str::to_owned).to_vec();
            new.resources = vec!["https://down.example".to_owned()];
        })
        .await;
    place.client("spa", |new| new.public = true).await;
    place.client("narrow", |new| new.grants = vec![Grant::AuthorizationCode]).await;
    let identity = &place.house.identity;
    for realm in [&PLAIN, &KEYCLOAK] {
        let tokens = place.tokens(realm, "app", &[("scope", "openid thing:read message:read")]).await;
        let subject = tokens.access_token.as_str();
        place.house.advance(600);
        let out = place.token(realm, &ask("api", subject, ACCESS, &[]), shown(None)).await.unwrap();
        assert_eq!((out.issued_token_type, out.scope.as_str(), out.refresh_token.is_none()), (Some(ACCESS), "thing:read", true));
        let (before, now) = (claims_of(subject), claims_of(&out.access_token));
        assert_eq!((&now["sub"], &now["client_id"], &now["exp"]), (&before["sub"], &json!("api"), &before["exp"]), "the same end");
        let caller = identity.verify(&out.access_token, &realm.profile).await.unwrap();
        assert_eq!(caller.permissions, model::Permissions::of(&[model::Permission::ThingRead]));
        for (pairs, code) in [
            (ask("api", subject, ACCESS, &[("scope", "thing:write")]), OAuthErrorCode::InvalidScope),
            (ask("api", subject, ACCESS, &[("scope", "admin")]), OAuthErrorCode::InvalidScope),
            (ask("api", subject, ACCESS, &[("resource", "https://unknown.example")]), OAuthErrorCode::InvalidTarget),
            (ask("api", subject, ID, &[]), OAuthErrorCode::InvalidRequest),
            (ask("api", "garbage", ACCESS, &[]), OAuthErrorCode::InvalidRequest),
            (ask("api", subject, "urn:ietf:params:oauth:token-type:saml2", &[]), OAuthErrorCode::InvalidRequest),
            (ask("api", subject, ACCESS, &[("requested_token_type", ID)]), OAuthErrorCode::InvalidRequest),
            (ask("api", subject, ACCESS, &[("actor_token", subject)]), OAuthErrorCode::InvalidRequest),
            (ask("api", subject, ACCESS, &[("actor_token_type", ACCESS)]), OAuthErrorCode::InvalidRequest),
            (ask("narrow", subject, ACCESS, &[]), OAuthErrorCode::UnauthorizedClient),
        ] {
            assert_eq!(code_of(place.token(realm, &pairs, shown(None)).await), code, "{:?}", &pairs[3..]);
        }
        let public = [("grant_type", EXCHANGE), ("client_id", "spa"), ("subject_token", subject), ("subject_token_type", ACCESS)];
        assert_eq!(code_of(place.token(realm, &public, shown(None)).await), OAuthErrorCode::UnauthorizedClient);
        let down = place.token(realm, &ask("api", subject, ACCESS, &[("audience", "https://down.example")]), shown(None)).await.unwrap();
        assert_eq!(claims_of(&down.access_token)["aud"], "https://down.example");
        // The other realm does not know it.
        let other = if std::ptr::eq(realm, &PLAIN) { &KEYCLOAK } else { &PLAIN };
        assert_eq!(code_of(place.token(other, &ask("api", subject, ACCESS, &[]), shown(None)).await), OAuthErrorCode::InvalidRequest);
        // It ends with the session it came from.
        let auth = ClientAuth { basic: Some(("app", SECRET)), shown: shown(None) };
        identity.revoke(realm, auth, &params(&[("token", tokens.refresh_token.as_deref().unwrap())]), &origin()).await.unwrap();
        assert!(identity.verify(&out.access_token, &realm.profile).await.is_err());
    }
    // Another tenant's token is no token.
    let globex = place.house.tenant("globex").await;
    place.house.member(&globex, "carol@example.com", Role::Owner).await;
    let caller = place.house.caller("carol@example.com").await;
    let new = NewClient {
        id: Some("stranger".into()),
        secret: Some(SecretString::from(SECRET)),
        grants: Grant::ALL.to_vec(),
        scopes: vec!["thing:read".into()],
        ..NewClient::default()
    };
    identity.create_client(&caller, new).await.unwrap();
    let subject = place.tokens(&PLAIN, "app", &[]).await.access_token;
    assert_eq!(code_of(place.token(&PLAIN, &ask("stranger", &subject, ACCESS, &[]), shown(None)).await), OAuthErrorCode::InvalidRequest);
    // A bound token is not to be had unbound.
    let key = Key::ec();
    let fresh = || key.proof(&place.house, "POST", TOKEN_PATH, None, json!({}));
    let own = [("grant_type", "client_credentials"), ("client_id", "app"), ("client_secret", SECRET), ("scope", "thing:read")];
    let bound = place.token(&PLAIN, &own, shown(Some(&fresh()))).await.unwrap().access_token;
    assert_eq!(code_of(place.token(&PLAIN, &ask("api", &bound, ACCESS, &[]), shown(None)).await), OAuthErrorCode::InvalidRequest);
    let out = place.token(&PLAIN, &ask("api", &bound, ACCESS, &[]), shown(Some(&fresh()))).await.unwrap();
    assert_eq!((out.token_type, claims_of(&out.access_token)["sub"].clone()), ("DPoP", json!("app")));
}

async fn actors_are_named_one_behind_the_other(house: House) {
    let place = Place::new(house).await;
    place.client("app", |_| ()).await;
    let own = |id: &str| {
        let id = id.to_owned();
        let place = &place;
        async move {
            place.client(&id, |_| ()).await;
            let pairs =
                [("grant_type", "client_credentials"), ("client_id", id.as_str()), ("client_secret", SECRET), ("scope", "thing:read")];
            place.token(&PLAIN, &pairs, shown(None)).await.unwrap().access_token
        }
    };
    let mut subject = place.tokens(&PLAIN, "app", &[]).await.access_token;
    let user = claims_of(&subject)["sub"].clone();
    for at in 0..4 {
        let actor = own(&format!("service-{at}")).await;
        let pairs = ask("app", &subject, ACCESS, &[("actor_token", &actor), ("actor_token_type", ACCESS)]);
        let out = place.token(&PLAIN, &pairs, shown(None)).await.unwrap().access_token;
        let claims = claims_of(&out);
        assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&user, &json!(format!("service-{at}"))));
        if at > 0 {
            assert_eq!(claims["act"]["act"]["sub"], format!("service-{}", at - 1));
        }
        subject = out;
    }
    // Without a new actor the old ones stay; a fifth is too many.
    let kept = place.token(&PLAIN, &ask("app", &subject, ACCESS, &[]), shown(None)).await.unwrap().access_token;
    assert_eq!(claims_of(&kept)["act"], claims_of(&subject)["act"]);
    let actor = own("service-4").await;
    let pairs = ask("app", &subject, ACCESS, &[("actor_token", &actor), ("actor_token_type", ACCESS)]);
    assert_eq!(code_of(place.token(&PLAIN, &pairs, shown(None)).await), OAuthErrorCode::InvalidRequest);
}

async fn id_tokens_are_exchanged(house: House) {
    let place = Place::new(house).await;
    place.client("app", |_| ()).await;
    place.client("api", |_| ()).await;
    place.client("spa", |new| new.public = true).await;
    for realm in [&PLAIN, &KEYCLOAK] {
        let tokens = place.tokens(realm, "app", &[]).await;
        let id_token = tokens.id_token.as_deref().unwrap();
        let out = place.token(realm, &ask("api", id_token, ID, &[]), shown(None)).await.unwrap();
        assert_eq!(out.scope, "openid email thing:read");
        assert!(place.house.identity.verify(&out.access_token, &realm.profile).await.is_ok());
        let form = |client: &'static str, name: &'static str| {
            vec![("grant_type", "id_token"), ("client_id", client), ("client_secret", SECRET), (name, id_token)]
        };
        for name in ["id_token", "assertion"] {
            let out = place.token(realm, &form("app", name), shown(None)).await.unwrap();
            assert_eq!((out.issued_token_type, out.refresh_token.is_none(), out.expires_in), (None, true, 3600), "{name}");
        }
        let mut twice = form("app", "id_token");
        twice.push(("assertion", id_token));
        let access = tokens.access_token.as_str();
        for (pairs, code) in [
            (twice, OAuthErrorCode::InvalidRequest),
            (form("app", "token"), OAuthErrorCode::InvalidRequest),
            // Made for another client; an access token; public clients prove nothing.
            (form("api", "id_token"), OAuthErrorCode::InvalidGrant),
            (
                vec![("grant_type", "id_token"), ("client_id", "app"), ("client_secret", SECRET), ("id_token", access)],
                OAuthErrorCode::InvalidGrant,
            ),
            (vec![("grant_type", "id_token"), ("client_id", "spa"), ("id_token", id_token)], OAuthErrorCode::InvalidGrant),
        ] {
            assert_eq!(code_of(place.token(realm, &pairs, shown(None)).await), code, "{pairs:?}");
        }
        place.house.advance(3600);
        assert_eq!(code_of(place.token(realm, &form("app", "id_token"), shown(None)).await), OAuthErrorCode::InvalidGrant, "over");
        // A session that has ended takes its id tokens along.
        let login = place.login().await;
        let code = place.code(realm, &login, "app", &[]).await;
        let id_token = place.redeem(realm, "app", &code).await.unwrap().id_token.unwrap();
        place.house.identity.log_out(&login).await.unwrap();
        let pairs = [("grant_type", "id_token"), ("client_id", "app"), ("client_secret", SECRET), ("id_token", id_token.as_str())];
        assert_eq!(code_of(place.token(realm, &pairs, shown(None)).await), OAuthErrorCode::InvalidGrant);
    }
}
