//! Dynamic client registration (RFC 7591, 7592).

use model::{AuthMethod, PageRequest};

use super::super::{assert_forbidden, assert_invalid, assert_not_found};
use super::*;
use crate::ExposeSecret as _;
use crate::oauth::{NewInitialToken, Registered};

both! { clients_register_within_what_an_owner_allows metadata_are_checked a_registration_is_its_clients_own }

impl Place {
    async fn initial(&self, change: impl FnOnce(&mut NewInitialToken)) -> String {
        let mut new = NewInitialToken { label: "partners".to_owned(), uses: Some(20), ..NewInitialToken::default() };
        change(&mut new);
        let caller = self.house.caller("alice@example.com").await;
        self.house.identity.create_initial_token(&caller, new).await.unwrap().1.expose_secret().to_owned()
    }

    async fn register(&self, bearer: &str, asked: Value) -> Result<Registered, OAuthError> {
        let Value::Object(asked) = asked else { panic!("an object") };
        self.house.identity.register_client(bearer, &asked, &origin()).await
    }
}

fn refused(outcome: Result<Registered, OAuthError>) -> OAuthErrorCode {
    outcome.unwrap_err().code
}

fn text(registered: &Registered, name: &str) -> String {
    registered.metadata[name].as_str().unwrap_or_else(|| panic!("{name}")).to_owned()
}

async fn clients_register_within_what_an_owner_allows(house: House) {
    let place = Place::new(house).await;
    let identity = &place.house.identity;
    let web = json!({"redirect_uris": [CALLBACK], "client_name": "Partner", "scope": "openid email admin thing:write"});
    assert_eq!(refused(place.register("hgi_nothing", web.clone()).await), OAuthErrorCode::InvalidToken);
    let once = place.initial(|new| new.uses = Some(1)).await;
    let made = place.register(&once, web.clone()).await.unwrap();
    assert_eq!(
        (text(&made, "scope"), text(&made, "token_endpoint_auth_method")),
        ("openid email".to_owned(), "client_secret_basic".to_owned())
    );
    assert_eq!(made.metadata["grant_types"], json!(["authorization_code"]));
    assert_eq!(refused(place.register(&once, web.clone()).await), OAuthErrorCode::InvalidToken, "used up");
    // It is a client like any other: by Basic, as it registered, and not by form.
    let login = place.login().await;
    let code = place.code(&PLAIN, &login, &made.id, &[("scope", "openid email")]).await;
    let password = text(&made, "client_secret");
    let form = params(&[("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)]);
    let auth = ClientAuth { basic: Some((&made.id, &password)), shown: shown(None) };
    let request = TokenRequest { auth, params: &form, tenant: None, origin: &origin() };
    assert_eq!(identity.token(&PLAIN, &request).await.unwrap().scope, "openid email");
    let posted = [("grant_type", "authorization_code"), ("client_id", &made.id), ("client_secret", &password), ("code", "x")];
    assert_eq!(code_of(place.token(&PLAIN, &posted, shown(None)).await), OAuthErrorCode::InvalidClient);
    // Time is up; removed; not an owner; out of bounds.
    let short = place.initial(|_| ()).await;
    place.house.advance(7 * 86_400);
    assert_eq!(refused(place.register(&short, web.clone()).await), OAuthErrorCode::InvalidToken);
    let caller = place.house.caller("alice@example.com").await;
    let kept = place.initial(|_| ()).await;
    let page = identity.initial_tokens(&caller, &PageRequest::max()).await.unwrap();
    let id = page.items.last().unwrap().id;
    let globex = place.house.tenant("globex").await;
    place.house.member(&globex, "carol@example.com", Role::Owner).await;
    let stranger = place.house.caller("carol@example.com").await;
    assert_not_found(identity.delete_initial_token(&stranger, id).await);
    assert!(identity.initial_tokens(&stranger, &PageRequest::max()).await.unwrap().items.is_empty());
    identity.delete_initial_token(&caller, id).await.unwrap();
    assert_eq!(refused(place.register(&kept, web).await), OAuthErrorCode::InvalidToken);
    let acme = identity.tenant(&caller, caller.tenant).await.unwrap();
    place.house.member(&acme, "adam@example.com", Role::Admin).await;
    let admin = place.house.caller("adam@example.com").await;
    let new = |label: &str| NewInitialToken { label: label.to_owned(), ..NewInitialToken::default() };
    assert_forbidden(identity.create_initial_token(&admin, new("mine")).await);
    assert_invalid(identity.create_initial_token(&caller, new("")).await, "label");
    assert_invalid(identity.create_initial_token(&caller, NewInitialToken { uses: Some(0), ..new("x") }).await, "uses");
    assert_invalid(identity.create_initial_token(&caller, NewInitialToken { uses: Some(1001), ..new("x") }).await, "uses");
    let far = NewInitialToken { expires: Some(after(place.house.clock.now(), 91 * 86_400)), ..new("x") };
    assert_invalid(identity.create_initial_token(&caller, far).await, "expires");
}

async fn metadata_are_checked(house: House) {
    let place = Place::new(house).await;
    let token = place.initial(|new| new.scopes = vec!["openid".into(), "thing:read".into()]).await;
    let own = |new: &mut NewInitialToken| {
        new.scopes = vec!["openid".into(), "thing:read".into()];
        new.grants = vec![Grant::ClientCredentials];
    };
    // Without the named permission it would be allowed what a writer is: more than its registration.
    let machine = place.initial(own).await;
    let asked = |scope: &str| json!({"grant_types": ["client_credentials"], "scope": scope});
    assert_eq!(refused(place.register(&machine, asked("openid")).await), OAuthErrorCode::InvalidClientMetadata);
    assert_eq!(text(&place.register(&machine, asked("thing:read")).await.unwrap(), "scope"), "thing:read");
    let web = |more: Value| {
        let mut all = json!({"redirect_uris": [CALLBACK]});
        merge(&mut all, more);
        all
    };
    for (asked, code) in [
        (json!({}), OAuthErrorCode::InvalidRedirectUri),
        (json!({"redirect_uris": []}), OAuthErrorCode::InvalidRedirectUri),
        (json!({"redirect_uris": "https://app.example/cb"}), OAuthErrorCode::InvalidClientMetadata),
        (json!({"redirect_uris": ["http://app.example/cb"]}), OAuthErrorCode::InvalidRedirectUri),
        (json!({"redirect_uris": ["javascript:alert(1)"]}), OAuthErrorCode::InvalidRedirectUri),
        (json!({"redirect_uris": ["https://*.example/cb"]}), OAuthErrorCode::InvalidRedirectUri),
        (json!({"redirect_uris": vec![CALLBACK; 51]}), OAuthErrorCode::InvalidRedirectUri),
        (web(json!({"grant_types": ["client_credentials"]})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"grant_types": ["password"]})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"grant_types": [1]})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"response_types": ["token"]})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"token_endpoint_auth_method": "client_secret_jwt"})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"token_endpoint_auth_method": "private_key_jwt"})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"jwks": {"keys": []}})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"jwks_uri": "https://app.example/jwks"})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"scope": "admin"})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"scope": 1})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"client_name": "x".repeat(129)})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"dpop_bound_access_tokens": "yes"})), OAuthErrorCode::InvalidClientMetadata),
        (web(json!({"subject_type": "pairwise"})), OAuthErrorCode::InvalidClientMetadata),
    ] {
        assert_eq!(refused(place.register(&token, asked.clone()).await), code, "{asked}");
    }
    let made = place.register(&token, web(json!({"token_endpoint_auth_method": "none", "dpop_bound_access_tokens": true}))).await.unwrap();
    assert!(!made.metadata.contains_key("client_secret"));
    let client = place.house.identity.known_client(&made.id).await.unwrap().unwrap();
    assert!(client.public && client.security.dpop_bound_tokens);
}

async fn a_registration_is_its_clients_own(house: House) {
    let place = Place::new(house).await;
    let token = place.initial(|new| new.grants = vec![Grant::AuthorizationCode, Grant::RefreshToken]).await;
    let web = json!({"redirect_uris": [CALLBACK], "grant_types": ["authorization_code", "refresh_token"]});
    let (one, two) = (place.register(&token, web.clone()).await.unwrap(), place.register(&token, web).await.unwrap());
    let (mine, other) = (text(&one, "registration_access_token"), text(&two, "registration_access_token"));
    let identity = &place.house.identity;
    let read = identity.registration(&one.id, &mine, &origin()).await.unwrap();
    assert_eq!(read.metadata["grant_types"], json!(["authorization_code", "refresh_token"]));
    for (id, bearer) in [(one.id.as_str(), other.as_str()), (&one.id, ""), ("nobody", &mine)] {
        assert_eq!(refused(identity.registration(id, bearer, &origin()).await), OAuthErrorCode::InvalidToken);
        assert_eq!(identity.end_registration(id, bearer, &origin()).await.unwrap_err().code, OAuthErrorCode::InvalidToken);
    }
    let change = async |more: Value| {
        let mut all = json!({"client_id": one.id, "redirect_uris": ["https://app.example/new"]});
        merge(&mut all, more);
        let Value::Object(all) = all else { panic!("an object") };
        identity.change_registration(&one.id, &mine, &all, &origin()).await
    };
    for wrong in [
        json!({"client_id": "another"}),
        json!({"client_id": null}),
        json!({"registration_access_token": mine}),
        json!({"client_secret": "not the one"}),
        json!({"grant_types": ["client_credentials"]}),
    ] {
        assert!(change(wrong.clone()).await.is_err(), "{wrong}");
    }
    let narrowed = change(json!({"client_secret": text(&one, "client_secret"), "scope": "openid"})).await.unwrap();
    assert_eq!((text(&narrowed, "scope"), narrowed.metadata["grant_types"].clone()), ("openid".to_owned(), json!(["authorization_code"])));
    // What was given up is gone.
    assert!(change(json!({"grant_types": ["refresh_token"]})).await.is_err());
    assert_eq!(text(&change(json!({"scope": "openid email"})).await.unwrap(), "scope"), "openid");
    let keys = json!({"keys": [Key::ed().jwk()]});
    change(json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": keys})).await.unwrap();
    let client = identity.known_client(&one.id).await.unwrap().unwrap();
    assert_eq!(
        (client.redirect_uris.as_slice(), client.security.auth_method),
        (&["https://app.example/new".to_owned()][..], Some(AuthMethod::PrivateKeyJwt))
    );
    assert!(change(json!({})).await.unwrap().metadata.contains_key("client_secret"), "back to a secret: a new one");
    identity.end_registration(&one.id, &mine, &origin()).await.unwrap();
    assert!(identity.known_client(&one.id).await.unwrap().is_none());
    assert_eq!(refused(identity.registration(&one.id, &mine, &origin()).await), OAuthErrorCode::InvalidToken);
}
