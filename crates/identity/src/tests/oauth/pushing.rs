//! Pushed authorization requests (RFC 9126) and resource indicators (RFC 8707).

use super::*;
use crate::oauth::AuthorizeError;

both! {
    a_pushed_request_is_answered_once a_pushed_request_is_judged_at_once a_client_may_have_to_push
    signing_in_again_is_asked_once_for_a_pushed_request tokens_for_other_resources_are_of_no_use_here
}

const REQUEST: [(&str, &str); 6] = [
    ("client_id", "backend"),
    ("client_secret", SECRET),
    ("response_type", "code"),
    ("redirect_uri", CALLBACK),
    ("scope", "openid email"),
    ("state", "xyz"),
];

impl Place {
    async fn push(&self, pairs: &[(&str, &str)], proof: Option<&str>) -> Result<String, OAuthError> {
        let auth = ClientAuth { basic: None, shown: Shown { path: "/oauth2/par", ..shown(proof) } };
        let pushed = self.house.identity.push_request(&PLAIN, auth, &params(pairs), &origin()).await?;
        assert_eq!(pushed.expires_in, 600);
        Ok(pushed.request_uri)
    }

    /// What comes of following a `request_uri`.
    async fn follow(&self, client: &str, uri: &str, login: Option<&Login>) -> Result<Authorization, AuthorizeError> {
        let identity = &self.house.identity;
        let request =
            identity.authorize_request(&PLAIN, &params(&[("client_id", client), ("request_uri", uri), ("state", "other")])).await?;
        identity.authorize(&PLAIN, &request, login, Some(Decision { allow: true, tenant: None }), &origin()).await
    }
}

fn refused(outcome: Result<Authorization, AuthorizeError>) -> OAuthErrorCode {
    match outcome {
        Err(AuthorizeError::Show(error)) => error.code,
        other => panic!("{other:?}"),
    }
}

async fn a_pushed_request_is_answered_once(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |_| ()).await;
    place.client("other", |_| ()).await;
    let login = place.login().await;
    let uri = place.push(&REQUEST, None).await.unwrap();
    assert!(uri.starts_with("urn:ietf:params:oauth:request_uri:"), "{uri}");
    // Another client's browser gets nothing for it, and looking does not use it up.
    assert_eq!(refused(place.follow("other", &uri, Some(&login)).await), OAuthErrorCode::InvalidRequestUri);
    assert!(matches!(place.follow("backend", &uri, None).await, Ok(Authorization::LogIn)));
    let Ok(Authorization::Answer(answer)) = place.follow("backend", &uri, Some(&login)).await else { panic!("no answer") };
    let of = |name: &str| answer.params.iter().find(|(n, _)| *n == name).unwrap().1.clone();
    // Only what was pushed counts.
    assert_eq!(of("state"), "xyz");
    assert_eq!(place.redeem(&PLAIN, "backend", &of("code")).await.unwrap().scope, "openid email");
    assert_eq!(refused(place.follow("backend", &uri, Some(&login)).await), OAuthErrorCode::InvalidRequestUri);
    for foreign in ["urn:ietf:params:oauth:request_uri:abc", "https://app.example/request.jwt"] {
        assert_eq!(refused(place.follow("backend", foreign, Some(&login)).await), OAuthErrorCode::InvalidRequestUri);
    }
    let late = place.push(&REQUEST, None).await.unwrap();
    place.house.advance(600);
    assert_eq!(refused(place.follow("backend", &late, Some(&login)).await), OAuthErrorCode::InvalidRequestUri);
    place.house.identity.prune_oauth().await.unwrap();
}

async fn a_pushed_request_is_judged_at_once(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |_| ()).await;
    let with = |name: &'static str, value: &'static str| {
        let mut pairs: Vec<_> = REQUEST.into_iter().filter(|(n, _)| *n != name).collect();
        pairs.push((name, value));
        pairs
    };
    for (name, value, code) in [
        ("client_secret", "wrong", OAuthErrorCode::InvalidClient),
        ("redirect_uri", "https://evil.example/cb", OAuthErrorCode::InvalidRequest),
        ("response_type", "token", OAuthErrorCode::UnsupportedResponseType),
        ("scope", "admin", OAuthErrorCode::InvalidScope),
        ("request_uri", "urn:ietf:params:oauth:request_uri:abc", OAuthErrorCode::InvalidRequest),
        ("request", "e30.e30.", OAuthErrorCode::RequestNotSupported),
        ("resource", "https://unknown.example", OAuthErrorCode::InvalidTarget),
        ("dpop_jkt", "short", OAuthErrorCode::InvalidRequest),
    ] {
        assert_eq!(place.push(&with(name, value), None).await.unwrap_err().code, code, "{name}={value}");
    }
    let long = "x".repeat(8_000);
    let mut pairs = REQUEST.to_vec();
    pairs.extend([("nonce", long.as_str()), ("login_hint", &long), ("a", &long)]);
    assert_eq!(place.push(&pairs, None).await.unwrap_err().code, OAuthErrorCode::InvalidRequest);
    // A proof shown while pushing binds the code (RFC 9449 10.1).
    let key = Key::ec();
    let proof = |key: &Key| key.proof(&place.house, "POST", "/oauth2/par", None, json!({}));
    let (named, of_another) = (Key::ec().jkt(), proof(&key));
    let mut pairs = REQUEST.to_vec();
    pairs.push(("dpop_jkt", &named));
    assert_eq!(place.push(&pairs, Some(&of_another)).await.unwrap_err().code, OAuthErrorCode::InvalidDpopProof);
    let uri = place.push(&REQUEST, Some(&proof(&key))).await.unwrap();
    let login = place.login().await;
    let Ok(Authorization::Answer(answer)) = place.follow("backend", &uri, Some(&login)).await else { panic!("no answer") };
    let code = &answer.params.iter().find(|(n, _)| *n == "code").unwrap().1;
    assert_eq!(code_of(place.redeem(&PLAIN, "backend", code).await), OAuthErrorCode::InvalidGrant);
}

async fn a_client_may_have_to_push(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |new| new.require_pushed_requests = true).await;
    let direct = [("client_id", "backend"), ("response_type", "code"), ("redirect_uri", CALLBACK), ("scope", "openid")];
    match place.house.identity.authorize_request(&PLAIN, &params(&direct)).await {
        Err(AuthorizeError::Redirect(answer)) => assert!(answer.params.contains(&("error", "invalid_request".to_owned()))),
        other => panic!("{other:?}"),
    }
    let uri = place.push(&REQUEST, None).await.unwrap();
    assert!(matches!(place.follow("backend", &uri, Some(&place.login().await)).await, Ok(Authorization::Answer(_))));
}

async fn signing_in_again_is_asked_once_for_a_pushed_request(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |_| ()).await;
    let before = place.login().await;
    place.house.advance(10);
    let mut pairs = REQUEST.to_vec();
    pairs.push(("prompt", "login"));
    let uri = place.push(&pairs, None).await.unwrap();
    assert!(matches!(place.follow("backend", &uri, Some(&before)).await, Ok(Authorization::LogIn)));
    place.house.advance(10);
    assert!(matches!(place.follow("backend", &uri, Some(&place.login().await)).await, Ok(Authorization::Answer(_))));
}

async fn tokens_for_other_resources_are_of_no_use_here(house: House) {
    const API: &str = "https://api.example";
    const OTHER: &str = "urn:example:store";
    let place = Place::new(house).await;
    place.client("backend", |new| new.resources = vec![API.to_owned(), OTHER.to_owned()]).await;
    let identity = &place.house.identity;
    let auth = || ClientAuth { basic: Some(("backend", SECRET)), shown: shown(None) };
    for realm in [&PLAIN, &KEYCLOAK] {
        let own = [("grant_type", "client_credentials"), ("client_id", "backend"), ("client_secret", SECRET)];
        let ask = |more: &[(&'static str, &'static str)]| [own.as_slice(), more].concat();
        let token = place.token(realm, &ask(&[("resource", API)]), shown(None)).await.unwrap().access_token;
        assert_eq!(claims_of(&token)["aud"], API);
        assert!(identity.verify(&token, &realm.profile).await.is_err());
        assert!(identity.verify_shown(&token, &realm.profile, &shown(None)).await.is_err());
        let found = identity.introspect(realm, auth(), &params(&[("token", &token)]), &origin()).await.unwrap();
        assert_eq!((found.active, &found.claims["aud"]), (true, &json!(API)));
        let both = place.token(realm, &ask(&[("resource", API), ("resource", OTHER)]), shown(None)).await.unwrap().access_token;
        assert_eq!(claims_of(&both)["aud"], json!([API, OTHER]));
        let here = place.token(realm, &ask(&[("resource", URL)]), shown(None)).await.unwrap().access_token;
        assert!(identity.verify(&here, &realm.profile).await.is_ok());
        for wrong in [&[("resource", "https://unknown.example")][..], &[("resource", API), ("resource", URL)]] {
            assert_eq!(code_of(place.token(realm, &ask(wrong), shown(None)).await), OAuthErrorCode::InvalidTarget, "{wrong:?}");
        }
        // A user's session: what was granted bounds every later token.
        let login = place.login().await;
        let code = place.code(realm, &login, "backend", &[("resource", API), ("resource", URL)]).await;
        let redeem = |resource: &'static str| {
            let code = code.clone();
            let place = &place;
            async move {
                let pairs = [
                    ("grant_type", "authorization_code"),
                    ("client_id", "backend"),
                    ("client_secret", SECRET),
                    ("code", code.as_str()),
                    ("redirect_uri", CALLBACK),
                    ("resource", resource),
                ];
                place.token(realm, &pairs, shown(None)).await
            }
        };
        assert_eq!(code_of(redeem(OTHER).await), OAuthErrorCode::InvalidTarget);
        let tokens = redeem(API).await.unwrap();
        assert_eq!(claims_of(&tokens.access_token)["aud"], API);
        let refresh = tokens.refresh_token.unwrap();
        let pairs = [
            ("grant_type", "refresh_token"),
            ("client_id", "backend"),
            ("client_secret", SECRET),
            ("refresh_token", refresh.as_str()),
            ("resource", URL),
        ];
        let next = place.token(realm, &pairs, shown(None)).await.unwrap();
        assert!(identity.verify(&next.access_token, &realm.profile).await.is_ok());
    }
}
