//! First start and declarative provisioning.

use model::{ApiKey, Client, Grant, Membership, Permission, Role, User};

use super::*;
use crate::{ExposeSecret as _, NewApiKey, NewClient, Outcome, UserChange};

both! { the_first_start_makes_an_operator applying_twice_changes_nothing descriptions_are_followed contradictions_are_refused }

async fn the_first_start_makes_an_operator(house: House) {
    assert_not_found(house.identity.default_tenant().await);
    let first = house.identity.first_start("Admin@localhost").await.unwrap().unwrap();
    assert_eq!((first.tenant.name.as_str(), first.tenant.plan), ("main", PlanName::Unlimited));
    assert!(house.identity.first_start("admin@localhost").await.unwrap().is_none());
    assert_eq!(house.identity.default_tenant().await.unwrap(), first.tenant);
    let caller = house.password("admin@localhost", first.password.expose_secret()).await.unwrap().caller;
    assert!(caller.permissions.has(Permission::Operate) && caller.tenant == first.tenant.id);
    assert!(house.identity.create_tenant(&caller, NewTenant { name: "acme".into(), ..NewTenant::default() }).await.is_ok());
    assert!(first.password.expose_secret().len() >= 43 && !format!("{first:?}").contains(first.password.expose_secret()));
}

struct Described {
    tenant: (Tenant, Outcome),
    user: (User, Outcome),
    membership: (Membership, Outcome),
    client: (Client, Outcome),
    key: (ApiKey, Outcome),
}

/// What examples/fleet.toml describes.
async fn apply(house: &House) -> Described {
    let id = &house.identity;
    let new = NewTenant {
        name: "acme".into(),
        id: Some("7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01".parse().unwrap()),
        affiliation: Some("FP_AUS".into()),
        plan: Some(PlanName::Sapphire),
    };
    let tenant = id.ensure_tenant(&house.operator(), new).await.unwrap();
    let caller = id.operator_caller(tenant.0.id);
    let new = NewUser {
        email: "alice@example.com".into(),
        password: Some(secret(PASSWORD)),
        id: Some("ecd13b11-6d91-4e8e-9156-60e451a3c975".parse().unwrap()),
        username: Some("alice".into()),
        given_name: Some("Alice".into()),
        family_name: Some("Anders".into()),
        verified: true,
        ..NewUser::default()
    };
    let user = id.ensure_user(&caller, new).await.unwrap();
    let membership = id.ensure_membership(&caller, user.0.id, Role::Owner).await.unwrap();
    let new = NewClient {
        id: Some("backend".into()),
        secret: Some(secret("s3cr3t-of-the-backend")),
        grants: vec![Grant::ClientCredentials, Grant::AuthorizationCode, Grant::RefreshToken],
        redirect_uris: vec!["http://127.0.0.1:9999/cb".into()],
        scopes: vec!["openid".into(), "email".into(), "profile".into()],
        ..NewClient::default()
    };
    let client = id.ensure_client(&caller, new).await.unwrap();
    let new = NewApiKey { user: user.0.id, label: String::new(), key: Some(secret("K1-2b1f0f8b5d5c4b7f")), expires: None };
    let key = id.ensure_api_key(&caller, new).await.unwrap();
    Described { tenant, user, membership, client, key }
}

async fn applying_twice_changes_nothing(house: House) {
    let first = apply(&house).await;
    let outcomes = |d: &Described| [d.tenant.1, d.user.1, d.membership.1, d.client.1, d.key.1];
    assert_eq!(outcomes(&first), [Outcome::Created; 5]);
    let hash = house.db.read().await.unwrap().user(first.user.0.id).await.unwrap().unwrap().password;
    let token = house.token("alice").await;
    let mut changes = house.identity.changes();
    house.advance(3_000);
    let second = apply(&house).await;
    assert_eq!(outcomes(&second), [Outcome::Unchanged; 5]);
    assert_eq!((first.tenant.0, first.user.0.clone(), first.membership.0), (second.tenant.0, second.user.0, second.membership.0));
    assert_eq!((first.client.0, first.key.0), (second.client.0, second.key.0));
    assert_eq!(house.db.read().await.unwrap().user(first.user.0.id).await.unwrap().unwrap().password, hash, "not even hashed again");
    assert!(changes.try_recv().is_err(), "no session ends");
    assert!(house.identity.verify(&token, &RS).await.is_ok());
    // After a restart there is no memory to help.
    let node = house.another().await;
    let new = NewUser { email: "alice@example.com".into(), password: Some(secret(PASSWORD)), ..NewUser::default() };
    assert_eq!(node.ensure_user(&house.operator(), new).await.unwrap().1, Outcome::Unchanged);
    for credential in [
        Credential::Password { login: "alice", password: PASSWORD },
        Credential::ApiKey { key: "K1-2b1f0f8b5d5c4b7f" },
        Credential::Client { id: "backend", secret: "s3cr3t-of-the-backend" },
    ] {
        assert!(house.identity.sign_in(credential, TenantChoice::Named("acme"), &origin()).await.is_ok(), "{credential:?}");
    }
}

async fn descriptions_are_followed(house: House) {
    let first = apply(&house).await;
    let (operator, caller) = (house.operator(), house.identity.operator_caller(first.tenant.0.id));
    let id = &house.identity;
    let token = house.token("alice").await;
    house.advance(1);
    let new = NewUser { email: "alice@example.com".into(), password: Some(secret("x")), ..NewUser::default() };
    let (user, outcome) = id.ensure_user(&operator, new.clone()).await.unwrap();
    assert_eq!((outcome, user.given_name.as_deref(), user.verified), (Outcome::Updated, Some("Alice"), true), "absent fields stay");
    assert!(house.password("alice", "x").await.is_ok(), "any password, if the file says so");
    assert_unauthenticated(id.verify(&token, &RS).await);
    assert_eq!(id.ensure_user(&operator, new).await.unwrap().1, Outcome::Unchanged);
    // What was switched off by hand is not switched on by a file that does not speak of it.
    id.update_user(&operator, user.id, UserChange { disabled: Some(true), ..UserChange::default() }).await.unwrap();
    let named = NewUser { email: "alice@example.com".into(), family_name: Some("Berg".into()), ..NewUser::default() };
    let (user, outcome) = id.ensure_user(&operator, named).await.unwrap();
    assert!(outcome == Outcome::Updated && user.disabled && user.family_name.as_deref() == Some("Berg"));

    let plan = NewTenant { name: "acme".into(), plan: Some(PlanName::Amethyst), ..NewTenant::default() };
    let (tenant, outcome) = id.ensure_tenant(&operator, plan).await.unwrap();
    assert!(outcome == Outcome::Updated && tenant.affiliation.as_deref() == Some("FP_AUS") && tenant.plan_since == house.clock.now());
    let bob = house.member(&first.tenant.0, "bob@example.com", Role::Owner).await;
    assert_eq!(id.ensure_membership(&caller, user.id, Role::Reader).await.unwrap().1, Outcome::Updated);
    let new = NewClient { id: Some("backend".into()), scopes: vec!["openid".into()], ..NewClient::default() };
    let (client, outcome) = id.ensure_client(&caller, new).await.unwrap();
    assert!(outcome == Outcome::Updated && client.scopes == ["openid"] && client.grants.is_empty());
    let credential = Credential::Client { id: "backend", secret: "s3cr3t-of-the-backend" };
    assert!(id.sign_in(credential, TenantChoice::Home, &origin()).await.is_ok(), "without a secret it keeps its own");
    let new = NewClient { id: Some("backend".into()), secret: Some(secret("new")), ..NewClient::default() };
    id.ensure_client(&caller, new).await.unwrap();
    assert_refused(id.sign_in(credential, TenantChoice::Home, &origin()).await);
    let new = NewApiKey { user: user.id, label: "named".into(), key: Some(secret("K1-2b1f0f8b5d5c4b7f")), expires: None };
    assert_eq!(id.ensure_api_key(&caller, new).await.unwrap().1, Outcome::Updated);
    let page = model::PageRequest::max();
    assert_eq!(id.api_keys(&caller, Some(user.id), &page).await.unwrap().items[0].label, "named");
    assert!(id.api_keys(&caller, Some(bob), &page).await.unwrap().items.is_empty());
    let new = NewUser { email: "carol@example.com".into(), membership: Some((first.tenant.0.id, Role::Reader)), ..NewUser::default() };
    assert_eq!(id.ensure_user(&operator, new.clone()).await.unwrap().1, Outcome::Created);
    assert_eq!(id.ensure_user(&operator, new).await.unwrap().1, Outcome::Unchanged);
}

async fn contradictions_are_refused(house: House) {
    let first = apply(&house).await;
    let other = house.tenant("other").await;
    let (operator, elsewhere) = (house.operator(), house.identity.operator_caller(other.id));
    let id = &house.identity;
    let another = Some(Uuid::nil());
    let tenant = NewTenant { name: "acme".into(), id: another.map(TenantId), ..NewTenant::default() };
    assert_conflict(id.ensure_tenant(&operator, tenant).await);
    let user = NewUser { email: "alice@example.com".into(), id: another.map(UserId), ..NewUser::default() };
    assert_conflict(id.ensure_user(&operator, user).await);
    let user = NewUser { email: "thief@example.com".into(), username: Some("alice".into()), ..NewUser::default() };
    assert_conflict(id.ensure_user(&operator, user).await);
    let client = NewClient { id: Some("backend".into()), secret: Some(secret("x")), ..NewClient::default() };
    assert_conflict(id.ensure_client(&elsewhere, client).await);
    assert_invalid(id.ensure_client(&elsewhere, NewClient { id: Some("new".into()), ..NewClient::default() }).await, "secret");
    assert_invalid(id.ensure_client(&elsewhere, NewClient { public: true, ..NewClient::default() }).await, "id");
    let key = |text: &str| NewApiKey { user: first.user.0.id, label: String::new(), key: Some(secret(text)), expires: None };
    assert_conflict(id.ensure_api_key(&elsewhere, key("K1-2b1f0f8b5d5c4b7f")).await);
    assert_conflict(id.ensure_api_key(&elsewhere, key("K2-2b1f0f8b5d5c4b7f")).await);
    // Only the command line and operators provision.
    let caller = house.caller("alice").await;
    assert_forbidden(id.ensure_tenant(&caller, NewTenant { name: "mine".into(), ..NewTenant::default() }).await);
    assert_forbidden(id.ensure_user(&caller, NewUser { email: "x@example.com".into(), ..NewUser::default() }).await);
    assert_forbidden(id.ensure_membership(&caller, first.user.0.id, Role::Owner).await);
    assert_forbidden(id.ensure_client(&caller, NewClient { id: Some("x".into()), public: true, ..NewClient::default() }).await);
    assert_forbidden(id.ensure_api_key(&caller, key("K3-2b1f0f8b5d5c4b7f")).await);
}
