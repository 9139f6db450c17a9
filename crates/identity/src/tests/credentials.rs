//! Who gets in, and who is told what when not.

use std::net::IpAddr;
use std::time::Duration;

use model::{Error, Grant, Permission, Principal, Role, Thing, ThingId, ThingStatus, Timestamp};
use uuid::Uuid;

use super::*;
use crate::{ExposeSecret as _, NewApiKey, NewClient, UserChange, hash_secret};

both! {
    one_refusal_for_every_reason a_user_signs_in_by_either_name failures_are_limited_per_account failures_are_limited_per_address
    a_remembered_password_is_dropped_on_change api_keys_open_one_tenant client_secrets a_client_acts_for_itself_only_if_it_may forgotten_devices_make_room thing_secrets a_tenant_is_chosen
    every_try_is_on_the_trail
}

async fn one_refusal_for_every_reason(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::User).await;
    let off = house.member(&acme, "off@example.com", Role::User).await;
    house.identity.update_user(&house.operator(), off, UserChange { disabled: Some(true), ..UserChange::default() }).await.unwrap();
    let bare = NewUser { email: "bare@example.com".to_owned(), membership: Some((acme.id, Role::User)), ..NewUser::default() };
    house.identity.create_user(&house.operator(), bare).await.unwrap();
    assert_refused(house.password("alice@example.com", "wrong password").await);
    assert_refused(house.password("alice@example.com", "").await);
    assert_refused(house.password("nobody@example.com", PASSWORD).await);
    assert_refused(house.password("off@example.com", PASSWORD).await);
    assert_refused(house.password("bare@example.com", PASSWORD).await);
    assert_refused(house.password("bare@example.com", "").await);
    assert_refused(house.password("", "").await);
    assert_refused(house.password(&"x".repeat(100_000), PASSWORD).await);
    assert_refused(house.password("alice@example.com", &"x".repeat(100_000)).await);
    assert_refused(house.password("' or 1=1 --", PASSWORD).await);
    assert!(house.password("alice@example.com", PASSWORD).await.is_ok());
}

async fn a_user_signs_in_by_either_name(house: House) {
    let acme = house.tenant("acme").await;
    let new = NewUser {
        email: "Alice@Example.com".to_owned(),
        username: Some("Alice".to_owned()),
        password: Some(secret(PASSWORD)),
        membership: Some((acme.id, Role::Writer)),
        ..NewUser::default()
    };
    let alice = house.identity.create_user(&house.operator(), new).await.unwrap();
    for login in ["alice@example.com", " ALICE@EXAMPLE.COM ", "alice", "ALICE"] {
        let signed_in = house.password(login, PASSWORD).await.unwrap();
        assert_eq!(signed_in.caller.principal, Principal::User(alice.id));
        assert_eq!(signed_in.caller.tenant, acme.id);
        assert_eq!(signed_in.caller.permissions, Role::Writer.permissions());
        assert_eq!(signed_in.user.as_ref().unwrap().email, "alice@example.com");
        assert_eq!(signed_in.membership.as_ref().unwrap().role, Role::Writer);
    }
}

async fn failures_are_limited_per_account(house: House) {
    let acme = house.tenant("acme").await;
    let new = NewUser {
        email: "alice@example.com".to_owned(),
        username: Some("alice".to_owned()),
        password: Some(secret(PASSWORD)),
        membership: Some((acme.id, Role::User)),
        ..NewUser::default()
    };
    house.identity.create_user(&house.operator(), new).await.unwrap();
    house.member(&acme, "bob@example.com", Role::User).await;
    for _ in 0..200 {
        house.signed_in("alice").await;
    }
    for n in 0..10 {
        // Both names share one allowance.
        let login = if n % 2 == 0 { "alice" } else { "alice@example.com" };
        assert_refused(house.password(login, &format!("guess number {n}")).await);
    }
    let limited = house.password("alice", "guess number 11").await.unwrap_err();
    assert_eq!(limited, Error::TooMany { retry_after: Duration::from_secs(6) });
    let limited = house.password("alice", PASSWORD).await.unwrap_err();
    assert!(matches!(limited, Error::TooMany { .. }), "even the right one, or guessing would go on: {limited}");
    assert!(house.password("bob@example.com", PASSWORD).await.is_ok());
    // Who is unknown is limited the same way, so that the limit does not tell who is known.
    for n in 0..10 {
        assert_refused(house.password("nobody@example.com", &format!("guess number {n}")).await);
    }
    assert!(matches!(house.password("nobody@example.com", "x").await, Err(Error::TooMany { .. })));
    house.advance(6);
    assert!(house.password("alice", PASSWORD).await.is_ok());
}

async fn failures_are_limited_per_address(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::User).await;
    let here = from(Some(IpAddr::from([192, 0, 2, 7])));
    let key = |n: u32| format!("no such key number {n}");
    for n in 0..60 {
        assert_refused(house.identity.sign_in(Credential::ApiKey { key: &key(n) }, TenantChoice::Home, &here).await);
    }
    let good = Credential::Password { login: "alice@example.com", password: PASSWORD };
    let limited = house.identity.sign_in(good, TenantChoice::Home, &here).await.unwrap_err();
    assert_eq!(limited, Error::TooMany { retry_after: Duration::from_secs(1) });
    let there = from(Some(IpAddr::from([192, 0, 2, 8])));
    assert!(house.identity.sign_in(good, TenantChoice::Home, &there).await.is_ok());
    house.advance(2);
    assert!(house.identity.sign_in(good, TenantChoice::Home, &here).await.is_ok());
}

async fn a_remembered_password_is_dropped_on_change(house: House) {
    let acme = house.tenant("acme").await;
    let alice = house.member(&acme, "alice@example.com", Role::User).await;
    house.signed_in("alice@example.com").await;
    house.identity.set_password(&house.operator(), alice, &secret("another long password")).await.unwrap();
    assert_refused(house.password("alice@example.com", PASSWORD).await);
    let caller = house.password("alice@example.com", "another long password").await.unwrap().caller;
    assert_refused(house.identity.change_password(&caller, &secret(PASSWORD), &secret("a third long password")).await);
    house.identity.change_password(&caller, &secret("another long password"), &secret("a third long password")).await.unwrap();
    assert_refused(house.password("alice@example.com", "another long password").await);
    assert!(house.password("alice@example.com", "a third long password").await.is_ok());
    // Remembered or not, who is locked out stays out.
    let off = UserChange { disabled: Some(true), ..UserChange::default() };
    house.identity.update_user(&house.operator(), alice, off).await.unwrap();
    assert_refused(house.password("alice@example.com", "a third long password").await);
}

async fn api_keys_open_one_tenant(house: House) {
    let (acme, umbrella) = (house.tenant("acme").await, house.tenant("umbrella").await);
    let alice = house.member(&acme, "alice@example.com", Role::Admin).await;
    house.identity.add_member(&house.identity.operator_caller(umbrella.id), alice, Role::Reader).await.unwrap();
    house.member(&acme, "bob@example.com", Role::User).await;
    let caller = house.caller("alice@example.com").await.clone();
    let expires = Some(house.clock.now().checked_add(jiff::SignedDuration::from_mins(10)).unwrap());
    let (_, text) = house
        .identity
        .create_api_key(&house.identity.operator_caller(umbrella.id), NewApiKey { user: alice, label: "ci".into(), key: None, expires })
        .await
        .unwrap();
    let key = text.expose_secret();
    let sign_in = |credential, choice| {
        let identity = house.identity.clone();
        async move { identity.sign_in(credential, choice, &origin()).await }
    };
    let signed_in = sign_in(Credential::ApiKey { key }, TenantChoice::Home).await.unwrap();
    assert_eq!(signed_in.caller.tenant, umbrella.id, "the key's tenant, not the user's home");
    assert_eq!(signed_in.caller.permissions, Role::Reader.permissions());
    assert!(signed_in.api_key.is_some());
    assert!(sign_in(Credential::ApiKey { key }, TenantChoice::Named("umbrella")).await.is_ok());
    assert_forbidden(sign_in(Credential::ApiKey { key }, TenantChoice::Id(acme.id)).await);
    assert!(sign_in(Credential::ApiKeyOf { login: "alice@example.com", key }, TenantChoice::Home).await.is_ok());
    assert_refused(sign_in(Credential::ApiKeyOf { login: "bob@example.com", key }, TenantChoice::Home).await);
    assert_refused(sign_in(Credential::ApiKeyOf { login: "nobody@example.com", key }, TenantChoice::Home).await);
    assert_refused(sign_in(Credential::ApiKey { key: &key[1..] }, TenantChoice::Home).await);
    assert_refused(sign_in(Credential::Password { login: "alice@example.com", password: key }, TenantChoice::Home).await);
    house.advance(600);
    assert_refused(sign_in(Credential::ApiKey { key }, TenantChoice::Home).await);

    let (own, text) = house
        .identity
        .create_api_key(&caller, NewApiKey { user: alice, label: String::new(), key: Some(secret("K1-2b1f0f8b5d5c4b7f")), expires: None })
        .await
        .unwrap();
    assert_eq!((text.expose_secret(), own.hint.as_str()), ("K1-2b1f0f8b5d5c4b7f", "K1-2"));
    let key = "K1-2b1f0f8b5d5c4b7f";
    assert!(sign_in(Credential::ApiKey { key }, TenantChoice::Home).await.is_ok());
    house.identity.delete_api_key(&caller, own.id).await.unwrap();
    assert_refused(sign_in(Credential::ApiKey { key }, TenantChoice::Home).await);
}

async fn client_secrets(house: House) {
    let acme = house.tenant("acme").await;
    let caller = house.identity.operator_caller(acme.id);
    let new = NewClient { grants: vec![Grant::ClientCredentials], ..NewClient::default() };
    let (client, text) = house.identity.create_client(&caller, NewClient { id: Some("backend".into()), ..new.clone() }).await.unwrap();
    let text = text.unwrap();
    let sign_in = |id: &'static str, secret: String| {
        let identity = house.identity.clone();
        async move { identity.sign_in(Credential::Client { id, secret: &secret }, TenantChoice::Home, &origin()).await }
    };
    let signed_in = sign_in("backend", text.expose_secret().to_owned()).await.unwrap();
    assert_eq!(signed_in.caller.principal, Principal::Client("backend".into()));
    assert_eq!(signed_in.caller.permissions, Role::Writer.permissions());
    assert_eq!(signed_in.client, Some(client));
    assert_refused(sign_in("backend", "wrong".into()).await);
    assert_refused(sign_in("backend", String::new()).await);
    assert_refused(sign_in("nobody", "wrong".into()).await);
    // A public client has no secret, so none is right.
    house.identity.create_client(&caller, NewClient { id: Some("app".into()), public: true, ..new.clone() }).await.unwrap();
    assert_refused(sign_in("app", String::new()).await);
    // What the owner of the machine provisions is taken, weak or not; what is chosen over the API is not.
    let weak = NewClient { id: Some("weak".into()), secret: Some(secret("s3cret")), ..new.clone() };
    assert_invalid(house.identity.create_client(&caller, weak.clone()).await, "secret");
    house.identity.ensure_client(&caller, weak).await.unwrap();
    assert!(sign_in("weak", "s3cret".into()).await.is_ok());
    // Scopes that are permissions bound the client.
    let narrow =
        NewClient { id: Some("narrow".into()), secret: Some(secret("0123456789abcdef")), scopes: vec!["thing:read".into()], ..new };
    house.identity.create_client(&caller, narrow).await.unwrap();
    let permissions = sign_in("narrow", "0123456789abcdef".into()).await.unwrap().caller.permissions;
    assert_eq!(permissions.iter().collect::<Vec<_>>(), [Permission::ThingRead]);
    for _ in 0..9 {
        assert_refused(sign_in("weak", "guess".into()).await);
    }
    assert_refused(sign_in("weak", "guess".into()).await);
    assert!(matches!(sign_in("weak", "s3cret".into()).await, Err(Error::TooMany { .. })));
}

/// A client that only signs people in has a secret too, but it is no way to tokens of its own.
async fn a_client_acts_for_itself_only_if_it_may(house: House) {
    let acme = house.tenant("acme").await;
    let caller = house.identity.operator_caller(acme.id);
    for (id, grants, may) in [
        ("back-end", vec![Grant::ClientCredentials], true),
        ("web", vec![Grant::AuthorizationCode, Grant::RefreshToken], false),
        ("tv", vec![Grant::DeviceCode], false),
        ("nothing", Vec::new(), false),
    ] {
        let redirect_uris = vec!["https://app.example/cb".to_owned()];
        let new = NewClient { id: Some(id.into()), grants, redirect_uris, scopes: vec!["openid".into()], ..NewClient::default() };
        let (_, text) = house.identity.create_client(&caller, new).await.unwrap();
        let text = text.unwrap();
        let credential = Credential::Client { id, secret: text.expose_secret() };
        let signed_in = house.identity.sign_in(credential, TenantChoice::Home, &origin()).await.unwrap();
        let issued = house.identity.issue(&signed_in, &ED, None).await;
        assert_eq!(issued.is_ok(), may, "{id}");
        assert!(may || matches!(issued, Err(Error::Forbidden(_))), "{id}");
    }
}

/// Who asks for device codes without end finds the old ones gone, whenever upkeep comes by.
async fn forgotten_devices_make_room(house: House) {
    use crate::oauth::{ClientAuth, Params, Realm};
    let acme = house.tenant("acme").await;
    let caller = house.identity.operator_caller(acme.id);
    let new = NewClient { id: Some("tv".into()), public: true, grants: vec![Grant::DeviceCode], ..NewClient::default() };
    house.identity.create_client(&caller, new).await.unwrap();
    let realm = Realm { profile: ED, refresh_lifetime: Duration::from_hours(1), keycloak: false, token_path: "/token" };
    let params = Params::new([("client_id".to_owned(), "tv".to_owned())]).unwrap();
    let ask = async || house.identity.authorize_device(&realm, ClientAuth::default(), &params, &origin()).await.unwrap().user_code;
    let there = async |code: &str| house.db.read().await.unwrap().device_by_user_code(code).await.unwrap().is_some();
    let old = ask().await;
    house.clock.advance(Duration::from_mins(11));
    let newer = ask().await;
    assert!(there(&old).await, "one that has just expired is told so");
    house.clock.advance(Duration::from_mins(10));
    ask().await;
    assert!(!there(&old).await && there(&newer).await);
}

pub(super) fn thing(tenant: &Tenant, key: &str) -> Thing {
    Thing {
        id: ThingId(Uuid::new_v4()),
        tenant: tenant.id,
        key: key.to_owned(),
        name: key.to_owned(),
        kind: String::new(),
        distribution: String::new(),
        tags: Vec::new(),
        attributes: std::collections::BTreeMap::new(),
        status: ThingStatus::Created,
        owner: None,
        created: Timestamp::UNIX_EPOCH,
        updated: Timestamp::UNIX_EPOCH,
    }
}

async fn thing_secrets(house: House) {
    let (acme, umbrella) = (house.tenant("acme").await, house.tenant("umbrella").await);
    let (ours, theirs, mute) = (thing(&acme, "dev-1"), thing(&umbrella, "dev-1"), thing(&acme, "dev-2"));
    let mut tx = house.db.begin().await.unwrap();
    tx.insert_thing(&ours, Some(&hash_secret("ours"))).await.unwrap();
    tx.insert_thing(&theirs, Some(&hash_secret("theirs"))).await.unwrap();
    tx.insert_thing(&mute, None).await.unwrap();
    tx.commit().await.unwrap();
    let sign_in = |handle: String, secret: &'static str, choice| {
        let identity = house.identity.clone();
        async move { identity.sign_in(Credential::Thing { handle: &handle, secret }, choice, &origin()).await }
    };
    for (secret, thing) in [("ours", &ours), ("theirs", &theirs)] {
        for handle in ["dev-1".to_owned(), thing.id.to_string()] {
            let caller = sign_in(handle, secret, TenantChoice::Home).await.unwrap().caller;
            assert_eq!((caller.tenant, caller.principal), (thing.tenant, Principal::Thing(thing.id)));
            assert_eq!(caller.permissions.iter().collect::<Vec<_>>(), [Permission::MessageSubmit]);
        }
    }
    assert_forbidden(sign_in("dev-1".into(), "ours", TenantChoice::Id(umbrella.id)).await);
    assert_refused(sign_in(ours.id.to_string(), "theirs", TenantChoice::Home).await);
    assert_refused(sign_in("dev-2".into(), "", TenantChoice::Home).await);
    assert_refused(sign_in("dev-3".into(), "ours", TenantChoice::Home).await);
}

async fn a_tenant_is_chosen(house: House) {
    let (acme, umbrella, other) = (house.tenant("acme").await, house.tenant("umbrella").await, house.tenant("other").await);
    let alice = house.member(&umbrella, "alice@example.com", Role::Owner).await;
    house.advance(1);
    house.identity.add_member(&house.identity.operator_caller(acme.id), alice, Role::Reader).await.unwrap();
    let choose = |choice| {
        let identity = house.identity.clone();
        async move {
            let credential = Credential::Password { login: "alice@example.com", password: PASSWORD };
            identity.sign_in(credential, choice, &origin()).await.map(|s| (s.caller.tenant, s.caller.permissions))
        }
    };
    assert_eq!(choose(TenantChoice::Home).await.unwrap().0, umbrella.id, "the oldest membership");
    assert_eq!(choose(TenantChoice::Named("acme")).await.unwrap(), (acme.id, Role::Reader.permissions()));
    assert_eq!(choose(TenantChoice::Id(acme.id)).await.unwrap().0, acme.id);
    let (foreign, absent) = (choose(TenantChoice::Named("other")).await, choose(TenantChoice::Named("no such")).await);
    assert_eq!(foreign.as_ref().unwrap_err(), absent.as_ref().unwrap_err(), "foreign and absent look alike");
    assert_forbidden(foreign);
    assert_forbidden(choose(TenantChoice::Id(other.id)).await);

    let boss = NewUser { email: "boss@example.com".into(), password: Some(secret(PASSWORD)), operator: true, ..NewUser::default() };
    house.identity.create_user(&house.operator(), boss).await.unwrap();
    let credential = Credential::Password { login: "boss@example.com", password: PASSWORD };
    for tenant in [&acme, &other] {
        let caller = house.identity.sign_in(credential, TenantChoice::Id(tenant.id), &origin()).await.unwrap().caller;
        assert!(caller.tenant == tenant.id && caller.permissions.has(Permission::Operate));
    }
    assert_forbidden(house.identity.sign_in(credential, TenantChoice::Id(model::TenantId(Uuid::nil())), &origin()).await);
    assert!(
        house.identity.sign_in(credential, TenantChoice::Home, &origin()).await.is_ok(),
        "an operator is at home in the default tenant"
    );
    let lost = NewUser { email: "lost@example.com".into(), password: Some(secret(PASSWORD)), ..NewUser::default() };
    house.identity.create_user(&house.operator(), lost).await.unwrap();
    assert_forbidden(house.password("lost@example.com", PASSWORD).await);
}

async fn every_try_is_on_the_trail(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Admin).await;
    let caller = house.caller("alice@example.com").await;
    assert_refused(house.password("alice@example.com", "hunter2 hunter2").await);
    assert_refused(house.password("nobody\r\n@example.com", "hunter2 hunter2").await);
    for _ in 0..37 {
        house.token("alice@example.com").await;
    }
    let all = crate::AuditFilter { everywhere: true, ..crate::AuditFilter::default() };
    let trail = house.identity.audit(&house.operator(), &all, &model::PageRequest::max()).await.unwrap().items;
    let find = |action: &str, actor: &str| trail.iter().find(|e| e.action == action && e.actor == actor).cloned();
    let alice = caller.principal.label();
    let refused = find("sign_in.refused", "login:alice@example.com").unwrap();
    assert_eq!((refused.allowed, refused.tenant), (false, Some(acme.id)), "the tenant's own administrators see it");
    assert_eq!(refused.detail.as_deref(), Some("password: wrong password"));
    let unknown = find("sign_in.refused", "login:nobody\u{fffd}\u{fffd}@example.com").unwrap();
    assert_eq!((unknown.tenant, unknown.detail.as_deref()), (None, Some("password: unknown user")));
    assert_eq!(find("token.issued", &alice).unwrap().detail.as_deref(), Some("rs (37 times)"), "equal lines of a moment are one");
    let text = format!("{trail:?}");
    assert!(!text.contains("hunter2") && !text.contains(PASSWORD) && !text.contains("argon2"), "no secret on the trail");
}
