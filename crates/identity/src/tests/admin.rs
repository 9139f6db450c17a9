//! Administration: who may do what to whom, and what stays hidden.

use model::{Page, PageRequest, Permission, Permissions, PlanName, Role};

use super::*;
use crate::{AuditFilter, Change, NewApiKey, NewClient, TenantChange, UserChange};

both! {
    tenants_do_not_see_each_other nobody_climbs a_narrow_token_does_not_widen_itself a_tenant_keeps_an_owner users_of_several_tenants roles_bound_the_verbs
    lists_are_paged the_trail_is_read_in_parts shapes_are_checked oneself changes_are_announced
}

fn change(f: impl FnOnce(&mut UserChange)) -> UserChange {
    let mut change = UserChange::default();
    f(&mut change);
    change
}

async fn tenants_do_not_see_each_other(house: House) {
    let (acme, umbrella) = (house.tenant("acme").await, house.tenant("umbrella").await);
    let alice = house.member(&acme, "alice@example.com", Role::Owner).await;
    house.member(&umbrella, "eve@example.com", Role::Owner).await;
    let (ours, eve) = (house.caller("alice@example.com").await, house.caller("eve@example.com").await);
    let id = &house.identity;
    let (client, _) = id.create_client(&ours, NewClient { id: Some("backend".into()), ..NewClient::default() }).await.unwrap();
    let (key, _) = id.create_api_key(&ours, NewApiKey { user: alice, label: "x".into(), key: None, expires: None }).await.unwrap();

    assert_not_found(id.tenant(&eve, acme.id).await);
    assert_not_found(id.update_tenant(&eve, acme.id, TenantChange { name: Some("pwned".into()), ..TenantChange::default() }).await);
    assert_not_found(id.delete_tenant(&eve, acme.id).await);
    assert_not_found(id.user(&eve, alice).await);
    assert_not_found(id.user_named(&eve, "alice@example.com").await);
    assert_not_found(id.update_user(&eve, alice, change(|c| c.disabled = Some(true))).await);
    assert_not_found(id.set_password(&eve, alice, &secret("another long password")).await);
    assert_not_found(id.delete_user(&eve, alice).await);
    assert_not_found(id.change_role(&eve, alice, Role::Reader).await);
    assert_not_found(id.remove_member(&eve, alice).await);
    assert_not_found(id.membership(&eve, alice).await);
    assert_not_found(id.client(&eve, &client.id).await);
    assert_not_found(id.delete_client(&eve, &client.id).await);
    assert_not_found(id.delete_api_key(&eve, key.id).await);
    assert_not_found(id.create_api_key(&eve, NewApiKey { user: alice, label: "x".into(), key: None, expires: None }).await);
    assert_not_found(
        id.create_user(&eve, NewUser { email: "mole@example.com".into(), membership: Some((acme.id, Role::Reader)), ..NewUser::default() })
            .await,
    );
    assert_forbidden(eve.in_tenant(acme.id));
    let page = PageRequest::max();
    assert!(id.users(&eve, &page).await.unwrap().items.iter().all(|u| u.email == "eve@example.com"));
    assert!(id.members(&eve, &page).await.unwrap().items.iter().all(|m| m.user.email == "eve@example.com"));
    assert!(id.clients(&eve, &page).await.unwrap().items.is_empty());
    assert!(id.api_keys(&eve, None, &page).await.unwrap().items.is_empty());
    assert!(id.api_keys(&eve, Some(alice), &page).await.unwrap().items.is_empty());
    assert_eq!(id.tenants(&eve, &page).await.unwrap().items, [umbrella]);
    let trail = id.audit(&eve, &AuditFilter::default(), &page).await.unwrap().items;
    assert!(!trail.is_empty() && trail.iter().all(|e| e.tenant == Some(eve.tenant)));
    assert_forbidden(id.audit(&eve, &AuditFilter { everywhere: true, ..AuditFilter::default() }, &page).await);
    assert_forbidden(id.all_users(&eve, &page).await);
    // And nothing has happened.
    assert_eq!(id.client(&ours, "backend").await.unwrap(), client);
    assert!(house.password("alice@example.com", PASSWORD).await.is_ok());
    assert_eq!(id.tenant(&ours, acme.id).await.unwrap().name, "acme");
    // A client id is taken on the whole gateway, and that is all one learns.
    assert_conflict(id.create_client(&eve, NewClient { id: Some("backend".into()), ..NewClient::default() }).await);
}

async fn nobody_climbs(house: House) {
    let acme = house.tenant("acme").await;
    let owner = house.member(&acme, "owner@example.com", Role::Owner).await;
    let admin = house.member(&acme, "admin@example.com", Role::Admin).await;
    let user = house.member(&acme, "user@example.com", Role::User).await;
    let boss = NewUser {
        email: "boss@example.com".into(),
        password: Some(secret(PASSWORD)),
        operator: true,
        membership: Some((acme.id, Role::Reader)),
        ..NewUser::default()
    };
    let boss = house.identity.create_user(&house.operator(), boss).await.unwrap().id;
    let caller = house.caller("admin@example.com").await;
    let id = &house.identity;
    let new =
        |role, operator| NewUser { email: "new@example.com".into(), membership: Some((acme.id, role)), operator, ..NewUser::default() };
    let key = |user| NewApiKey { user, label: "x".into(), key: None, expires: None };
    assert_forbidden(id.create_user(&caller, new(Role::Owner, false)).await);
    assert_forbidden(id.create_user(&caller, new(Role::User, true)).await);
    assert_forbidden(id.change_role(&caller, admin, Role::Owner).await);
    assert_forbidden(id.change_role(&caller, user, Role::Owner).await);
    assert_forbidden(id.change_role(&caller, owner, Role::Reader).await);
    assert_forbidden(id.remove_member(&caller, owner).await);
    assert_forbidden(id.update_user(&caller, user, change(|c| c.operator = Some(true))).await);
    assert_forbidden(id.update_user(&caller, admin, change(|c| c.operator = Some(true))).await);
    for above in [owner, boss] {
        assert_forbidden(id.set_password(&caller, above, &secret("another long password")).await);
        assert_forbidden(id.update_user(&caller, above, change(|c| c.email = Some("mine@example.com".into()))).await);
        assert_forbidden(id.update_user(&caller, above, change(|c| c.disabled = Some(true))).await);
        assert_forbidden(id.delete_user(&caller, above).await);
        assert_forbidden(id.create_api_key(&caller, key(above)).await);
    }
    assert_forbidden(id.update_tenant(&caller, acme.id, TenantChange { plan: Some(PlanName::Unlimited), ..TenantChange::default() }).await);
    assert_forbidden(
        id.update_tenant(&caller, acme.id, TenantChange { affiliation: Some(Some("FP_AUS".into())), ..TenantChange::default() }).await,
    );
    assert_forbidden(id.delete_tenant(&caller, acme.id).await);
    assert_forbidden(id.create_tenant(&caller, NewTenant { name: "x".into(), ..NewTenant::default() }).await);
    assert_forbidden(id.sign_in_as(&caller, user, TenantChoice::Home).await);
    for scope in ["gateway:operate", "user:write"] {
        let made = id.create_client(&caller, NewClient { scopes: vec![scope.into()], ..NewClient::default() }).await;
        if let Ok((client, _)) = made {
            let permissions = crate::directory::client_permissions(&client.scopes);
            assert!(!permissions.has(Permission::Operate) && permissions.intersect(caller.permissions) == permissions);
        }
    }
    // What an administrator may do.
    assert!(id.create_user(&caller, new(Role::Admin, false)).await.is_ok());
    id.set_password(&caller, user, &secret("another long password")).await.unwrap();
    assert!(house.password("user@example.com", "another long password").await.is_ok());
    id.change_role(&caller, user, Role::Reader).await.unwrap();
    assert!(id.create_api_key(&caller, key(user)).await.is_ok());
    id.delete_user(&caller, user).await.unwrap();

    // A client with `user:write` alone stands where an administrator stands, but hands out no more than it has.
    let narrow = NewClient {
        id: Some("narrow".into()),
        secret: Some(secret("0123456789abcdef")),
        scopes: vec!["user:write".into(), "user:read".into()],
        ..NewClient::default()
    };
    id.create_client(&caller, narrow).await.unwrap();
    let credential = Credential::Client { id: "narrow", secret: "0123456789abcdef" };
    let client = id.sign_in(credential, TenantChoice::Home, &origin()).await.unwrap().caller;
    let mole = NewUser { email: "mole@example.com".into(), membership: Some((acme.id, Role::Admin)), ..NewUser::default() };
    assert_forbidden(id.create_user(&client, mole).await);
    assert_forbidden(id.set_password(&client, admin, &secret("another long password")).await);
    assert_forbidden(id.delete_tenant(&client, acme.id).await);
    // Refusals are on the trail.
    let filter = AuditFilter { allowed: Some(false), actor: Some(caller.principal.label()), ..AuditFilter::default() };
    let refused = id.audit(&caller, &filter, &PageRequest::max()).await.unwrap().items;
    for action in ["user.created", "member.changed", "user.password_set", "tenant.deleted", "api_key.created"] {
        assert!(refused.iter().any(|e| e.action == action), "{action}");
    }
}

async fn a_narrow_token_does_not_widen_itself(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "other@example.com", Role::Owner).await;
    let me = house.member(&acme, "me@example.com", Role::Owner).await;
    let full = house.caller("me@example.com").await;
    let id = &house.identity;
    let scope = Permissions::of(&[Permission::ThingRead, Permission::ClientWrite, Permission::UserWrite, Permission::UserRead]);
    let narrow = Caller { permissions: scope, ..full.clone() };
    let key = || NewApiKey { user: me, label: "x".into(), key: None, expires: None };
    assert_forbidden(id.create_api_key(&narrow, key()).await);
    assert_forbidden(id.set_password(&narrow, me, &secret("another long password")).await);
    assert_forbidden(id.update_user(&narrow, me, change(|c| c.email = Some("thief@example.com".into()))).await);
    assert_forbidden(id.delete_user(&narrow, me).await);
    assert_forbidden(id.remove_member(&narrow, me).await);
    assert_forbidden(id.change_role(&narrow, me, Role::Admin).await);
    let mole = NewUser { email: "mole@example.com".into(), membership: Some((acme.id, Role::Admin)), ..NewUser::default() };
    assert_forbidden(id.create_user(&narrow, mole).await);
    assert_forbidden(id.create_client(&narrow, NewClient::default()).await);
    assert_forbidden(id.create_client(&narrow, NewClient { scopes: vec!["thing:write".into()], ..NewClient::default() }).await);
    assert!(id.create_client(&narrow, NewClient { scopes: vec!["thing:read".into()], ..NewClient::default() }).await.is_ok());
    assert!(id.create_api_key(&full, key()).await.is_ok());
    // A token keeps exactly what it was issued with.
    let signed_in = SignedIn { caller: narrow, ..house.signed_in("me@example.com").await };
    let token = id.issue(&signed_in, &RS, None).await.unwrap().token;
    assert_eq!(id.verify(&token, &RS).await.unwrap().permissions, scope);
}

async fn a_tenant_keeps_an_owner(house: House) {
    let acme = house.tenant("acme").await;
    let one = house.member(&acme, "one@example.com", Role::Owner).await;
    let caller = house.caller("one@example.com").await;
    let operator = house.identity.operator_caller(acme.id);
    for caller in [&caller, &operator] {
        assert_conflict(house.identity.change_role(caller, one, Role::Admin).await);
        assert_conflict(house.identity.remove_member(caller, one).await);
        assert_conflict(house.identity.delete_user(caller, one).await);
    }
    assert_conflict(house.identity.ensure_membership(&operator, one, Role::Reader).await);
    let two = house.member(&acme, "two@example.com", Role::Owner).await;
    house.identity.change_role(&caller, one, Role::Admin).await.unwrap();
    assert_conflict(house.identity.remove_member(&operator, two).await);
    house.identity.change_role(&operator, one, Role::Owner).await.unwrap();
    // Both leave at once: one of them stays.
    let (a, b) = (house.caller("one@example.com").await, house.caller("two@example.com").await);
    let (x, y) = tokio::join!(house.identity.remove_member(&a, one), house.identity.remove_member(&b, two));
    assert!(x.is_ok() != y.is_ok(), "{x:?} {y:?}");
    let left = if x.is_ok() { two } else { one };
    let left_caller = house.identity.sign_in_as(&operator, left, TenantChoice::Home).await.unwrap().caller;
    house.identity.delete_tenant(&left_caller, acme.id).await.unwrap();
    assert_not_found(house.identity.tenant(&house.operator(), acme.id).await);
    assert!(house.identity.user(&house.operator(), one).await.is_ok(), "users outlive their tenant");
}

async fn users_of_several_tenants(house: House) {
    let (acme, umbrella) = (house.tenant("acme").await, house.tenant("umbrella").await);
    house.member(&acme, "admin@example.com", Role::Admin).await;
    let shared = house.member(&acme, "shared@example.com", Role::User).await;
    house.identity.add_member(&house.identity.operator_caller(umbrella.id), shared, Role::Owner).await.unwrap();
    let admin = house.caller("admin@example.com").await;
    let id = &house.identity;
    assert_forbidden(id.update_user(&admin, shared, change(|c| c.disabled = Some(true))).await);
    assert_forbidden(id.set_password(&admin, shared, &secret("another long password")).await);
    assert_forbidden(id.delete_user(&admin, shared).await);
    assert_eq!(id.user(&admin, shared).await.unwrap().email, "shared@example.com");
    id.change_role(&admin, shared, Role::Reader).await.unwrap();
    let key = "K1-2b1f0f8b5d5c4b7f";
    let new = NewApiKey { user: shared, label: "x".into(), key: Some(secret(key)), expires: None };
    id.create_api_key(&admin, new).await.unwrap();
    id.remove_member(&admin, shared).await.unwrap();
    assert_refused(id.sign_in(Credential::ApiKey { key }, TenantChoice::Home, &origin()).await);
    assert_not_found(id.user(&admin, shared).await);
    assert_eq!(house.signed_in("shared@example.com").await.caller.tenant, umbrella.id);
    id.add_member_named(&admin, "Shared@Example.com", Role::User).await.unwrap();
    assert_conflict(id.add_member(&admin, shared, Role::User).await);
    assert_not_found(id.add_member(&admin, UserId(Uuid::nil()), Role::User).await);
    let of = id.memberships_of(&house.caller("shared@example.com").await).await.unwrap();
    assert_eq!(of.iter().map(|m| m.tenant.name.as_str()).collect::<Vec<_>>(), ["umbrella", "acme"], "{of:?}");
}

async fn roles_bound_the_verbs(house: House) {
    let acme = house.tenant("acme").await;
    let id = &house.identity;
    for (email, role) in [("r@example.com", Role::Reader), ("w@example.com", Role::Writer), ("u@example.com", Role::User)] {
        let me = house.member(&acme, email, role).await;
        let caller = house.caller(email).await;
        let page = PageRequest::max();
        assert_forbidden(id.create_user(&caller, NewUser { email: "x@example.com".into(), ..NewUser::default() }).await);
        assert_forbidden(id.add_member_named(&caller, "r@example.com", Role::Reader).await);
        assert_forbidden(id.change_role(&caller, me, Role::Admin).await);
        assert_forbidden(id.create_client(&caller, NewClient::default()).await);
        assert_forbidden(id.clients(&caller, &page).await);
        assert_forbidden(id.api_keys(&caller, None, &page).await);
        assert_forbidden(id.audit(&caller, &AuditFilter::default(), &page).await);
        assert_forbidden(id.update_tenant(&caller, acme.id, TenantChange::default()).await);
        assert_forbidden(id.delete_tenant(&caller, acme.id).await);
        assert_eq!(id.users(&caller, &page).await.is_ok(), role == Role::User);
        assert_eq!(id.tenant(&caller, acme.id).await.unwrap(), acme);
        // One's own keys are one's own business.
        let (key, _) = id.create_api_key(&caller, NewApiKey { user: me, label: "mine".into(), key: None, expires: None }).await.unwrap();
        assert_eq!(id.api_keys(&caller, Some(me), &page).await.unwrap().items, std::slice::from_ref(&key));
        id.delete_api_key(&caller, key.id).await.unwrap();
    }
}

async fn lists_are_paged(house: House) {
    let acme = house.tenant("acme").await;
    let caller = house.identity.operator_caller(acme.id);
    for n in 0..7 {
        house.clock.advance(Duration::from_millis(1));
        house.member(&acme, &format!("user{n}@example.com"), Role::User).await;
        house.identity.create_client(&caller, NewClient { id: Some(format!("client{n}")), ..NewClient::default() }).await.unwrap();
        house.tenant(&format!("tenant {n}")).await;
    }
    async fn walk<T, F: Future<Output = Result<Page<T>>>>(list: impl Fn(PageRequest) -> F) -> Vec<T> {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = list(PageRequest::new(Some(3), cursor).unwrap()).await.unwrap();
            assert!(page.items.len() <= 3);
            all.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return all;
            }
        }
    }
    let (identity, caller) = (&house.identity, &caller);
    let users = walk(|page| async move { identity.users(caller, &page).await }).await;
    assert_eq!(
        users.iter().map(|u| u.email.as_str()).collect::<Vec<_>>(),
        (0..7).map(|n| format!("user{n}@example.com")).collect::<Vec<_>>()
    );
    let members = walk(|page| async move { identity.members(caller, &page).await }).await;
    assert_eq!(members.iter().map(|m| &m.user).collect::<Vec<_>>(), users.iter().collect::<Vec<_>>());
    assert!(members.iter().all(|m| m.membership.user == m.user.id && m.membership.role == Role::User));
    let clients = walk(|page| async move { identity.clients(caller, &page).await }).await;
    assert_eq!(clients.len(), 7);
    assert_eq!(walk(|page| async move { identity.tenants(caller, &page).await }).await.len(), 8);
    assert_eq!(walk(|page| async move { identity.all_users(caller, &page).await }).await.len(), 7);
    let trail =
        walk(|page| async move { identity.audit(caller, &AuditFilter { everywhere: true, ..AuditFilter::default() }, &page).await }).await;
    assert!(trail.windows(2).all(|w| w[0].id > w[1].id), "newest first");
    let bad = PageRequest { limit: 3, cursor: Some("nonsense".into()) };
    assert_invalid(house.identity.users(caller, &bad).await, "cursor");
    assert_invalid(house.identity.audit(caller, &AuditFilter::default(), &bad).await, "cursor");
}

async fn the_trail_is_read_in_parts(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Owner).await;
    let begin = house.clock.now();
    let caller = house.caller("alice@example.com").await;
    house.advance(60);
    let (client, _) = house.identity.create_client(&caller, NewClient::default()).await.unwrap();
    let middle = house.clock.now();
    house.advance(60);
    house.identity.delete_client(&caller, &client.id).await.unwrap();
    let read = |filter: AuditFilter| {
        let (identity, caller) = (house.identity.clone(), caller.clone());
        async move {
            let items = identity.audit(&caller, &filter, &PageRequest::max()).await.unwrap().items;
            items.into_iter().map(|e| e.action).collect::<Vec<_>>()
        }
    };
    let all = read(AuditFilter::default()).await;
    assert_eq!(all, ["client.deleted", "client.created", "sign_in"], "the operator's acts are another tenant's");
    assert_eq!(read(AuditFilter { from: Some(middle), ..AuditFilter::default() }).await, ["client.deleted", "client.created"]);
    assert_eq!(read(AuditFilter { to: Some(middle), ..AuditFilter::default() }).await, ["client.created", "sign_in"]);
    assert_eq!(read(AuditFilter { from: Some(middle), to: Some(middle), ..AuditFilter::default() }).await, ["client.created"]);
    assert_eq!(read(AuditFilter { action: Some("sign_in".into()), ..AuditFilter::default() }).await, ["sign_in"]);
    assert_eq!(read(AuditFilter { actor: Some("user:nobody".into()), ..AuditFilter::default() }).await, [""; 0]);
    assert_eq!(read(AuditFilter { allowed: Some(false), ..AuditFilter::default() }).await, [""; 0]);
    let reversed = AuditFilter { from: Some(middle), to: Some(begin), ..AuditFilter::default() };
    assert_invalid(house.identity.audit(&caller, &reversed, &PageRequest::max()).await, "from");
}

async fn shapes_are_checked(house: House) {
    let acme = house.tenant("acme").await;
    let alice = house.member(&acme, "alice@example.com", Role::Owner).await;
    house.member(&acme, "bob@example.com", Role::User).await;
    let caller = house.caller("alice@example.com").await;
    let id = &house.identity;
    let new = |email: &str| NewUser { email: email.into(), ..NewUser::default() };
    assert_invalid(id.create_user(&caller, new("not an address")).await, "email");
    assert_invalid(id.create_user(&caller, NewUser { username: Some("a@b".into()), ..new("x@example.com") }).await, "username");
    assert_invalid(id.create_user(&caller, NewUser { given_name: Some("a\nb".into()), ..new("x@example.com") }).await, "given_name");
    assert_invalid(id.create_user(&caller, NewUser { family_name: Some("x".repeat(129)), ..new("x@example.com") }).await, "family_name");
    assert_invalid(id.create_user(&caller, NewUser { password: Some(secret("short")), ..new("x@example.com") }).await, "password");
    assert_invalid(
        id.create_user(&caller, NewUser { password: Some(secret(&"x".repeat(1_025))), ..new("x@example.com") }).await,
        "password",
    );
    assert_conflict(id.create_user(&caller, new("Alice@example.com")).await);
    assert_conflict(id.create_user(&caller, NewUser { id: Some(alice), ..new("x@example.com") }).await);
    assert_conflict(id.update_user(&caller, alice, change(|c| c.email = Some("bob@example.com".into()))).await);
    assert_invalid(id.update_tenant(&caller, acme.id, TenantChange { name: Some(" ".into()), ..TenantChange::default() }).await, "name");
    house.tenant("other").await;
    assert_conflict(id.update_tenant(&caller, acme.id, TenantChange { name: Some("other".into()), ..TenantChange::default() }).await);
    assert_conflict(id.create_tenant(&house.operator(), NewTenant { name: "other".into(), ..NewTenant::default() }).await);
    let client = |f: fn(&mut NewClient)| {
        let mut new = NewClient::default();
        f(&mut new);
        new
    };
    for (field, new) in [
        ("id", client(|c| c.id = Some("a:b".into()))),
        ("redirect_uris", client(|c| c.redirect_uris = vec!["javascript:alert(1)".into()])),
        ("redirect_uris", client(|c| c.redirect_uris = vec!["https://a.example/".into(); 51])),
        ("scopes", client(|c| c.scopes = vec!["a b".into()])),
        ("secret", client(|c| c.secret = Some(SecretString::from("short")))),
        ("secret", client(|c| (c.public, c.secret) = (true, Some(SecretString::from("0123456789abcdef"))))),
        ("name", client(|c| c.name = Some("x\u{7}".into()))),
    ] {
        assert_invalid(id.create_client(&caller, new).await, field);
    }
    let key = |text: &str| NewApiKey { user: alice, label: "x".into(), key: Some(secret(text)), expires: None };
    assert_invalid(id.create_api_key(&caller, key("short")).await, "key");
    assert_invalid(id.create_api_key(&caller, key("with a blank in it")).await, "key");
    assert_invalid(id.create_api_key(&caller, NewApiKey { expires: Some(house.clock.now()), ..key("0123456789abcdef") }).await, "expires");
    assert!(id.create_api_key(&caller, key("0123456789abcdef")).await.is_ok());
    assert_conflict(id.create_api_key(&caller, key("0123456789abcdef")).await);
}

async fn oneself(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "owner@example.com", Role::Owner).await;
    let me = house.member(&acme, "me@example.com", Role::Reader).await;
    let caller = house.caller("me@example.com").await;
    let id = &house.identity;
    let user = id.update_user(&caller, me, change(|c| c.given_name = Some(Some(" Mia ".into())))).await.unwrap();
    assert_eq!(user.given_name.as_deref(), Some("Mia"));
    let user = id.update_user(&house.operator(), me, change(|c| c.verified = Some(true))).await.unwrap();
    assert!(user.verified);
    let user = id.update_user(&caller, me, change(|c| c.email = Some("new@example.com".into()))).await.unwrap();
    assert_eq!((user.email.as_str(), user.verified), ("new@example.com", false), "a new address is unproved");
    assert_forbidden(id.update_user(&caller, me, change(|c| c.verified = Some(true))).await);
    assert_forbidden(id.update_user(&caller, me, change(|c| c.disabled = Some(false))).await);
    assert_forbidden(id.update_user(&caller, me, change(|c| c.operator = Some(true))).await);
    assert_eq!(id.user(&caller, me).await.unwrap().email, "new@example.com");
    assert_forbidden(id.users(&caller, &PageRequest::max()).await);
    id.delete_user(&caller, me).await.unwrap();
    assert_refused(house.password("new@example.com", PASSWORD).await);
}

async fn changes_are_announced(house: House) {
    let acme = house.tenant("acme").await;
    let alice = house.member(&acme, "alice@example.com", Role::User).await;
    let operator = house.identity.operator_caller(acme.id);
    let id = &house.identity;
    let (key, _) = id.create_api_key(&operator, NewApiKey { user: alice, label: "x".into(), key: None, expires: None }).await.unwrap();
    let (client, _) = id.create_client(&operator, NewClient::default()).await.unwrap();
    let mut changes = id.changes();
    id.set_password(&operator, alice, &secret("another long password")).await.unwrap();
    id.update_user(&operator, alice, change(|c| c.disabled = Some(true))).await.unwrap();
    id.change_role(&operator, alice, Role::Reader).await.unwrap();
    id.delete_api_key(&operator, key.id).await.unwrap();
    id.delete_client(&operator, &client.id).await.unwrap();
    id.remove_member(&operator, alice).await.unwrap();
    id.delete_tenant(&operator, acme.id).await.unwrap();
    let tenant = acme.id;
    for expected in [
        Change::UserChanged(alice),
        Change::UserChanged(alice),
        Change::MemberChanged { tenant, user: alice, removed: false },
        Change::KeyRemoved(key.id),
        Change::ClientRemoved(client.id),
        Change::MemberChanged { tenant, user: alice, removed: true },
        Change::TenantRemoved(tenant),
    ] {
        assert_eq!(changes.try_recv().unwrap(), expected);
    }
    assert!(changes.try_recv().is_err());
}
