//! People who register themselves, hold tokens across tenants, invite and are invited.

use model::{Permission, Permissions, Role};

use super::*;
use crate::{ADMIN_STAYS, ExposeSecret as _, NO_REFRESH, Person, Profile, TOO_MANY_ACCOUNTS, UNPROVED, WRONG_SECRET, account_name};

both! {
    an_address_is_proved_before_the_password_counts who_never_proves_it_goes mailed_secrets_end_and_serve_one_purpose
    a_token_grants_what_it_said_and_what_is_left accounts_are_made_and_shared invitations_are_answered_once refresh_tokens_rotate
}

async fn register(house: &House, email: &str) -> String {
    let profile = Profile { terms: true, ..Profile::default() };
    let (user, mailed) = house.identity.register_person(email, &secret(PASSWORD), profile, &origin()).await.unwrap();
    assert!(!user.verified && mailed.secret.expose_secret().len() == 16);
    mailed.secret.expose_secret().to_owned()
}

async fn newcomer(house: &House, email: &str) -> Person {
    let mailed = register(house, email).await;
    house.identity.activate_person(&mailed, &origin()).await.unwrap();
    house.advance(1);
    person(house, email).await
}

async fn person(house: &House, email: &str) -> Person {
    let user = house.identity.sign_in_person(email, PASSWORD, &origin()).await.unwrap();
    let token = house.identity.issue_person(&user, &RS, |_| Map::new(), &origin()).await.unwrap().token;
    house.identity.verify_person(&token, &RS, &origin()).await.unwrap().0
}

async fn an_address_is_proved_before_the_password_counts(house: House) {
    let identity = &house.identity;
    let mailed = register(&house, "new@example.com").await;
    assert_conflict(identity.register_person("New@example.com", &secret(PASSWORD), Profile::default(), &origin()).await);
    assert_refused(house.password("new@example.com", PASSWORD).await);
    assert_eq!(identity.sign_in_person("new@example.com", PASSWORD, &origin()).await.unwrap_err(), UNPROVED);
    assert_refused(identity.sign_in_person("new@example.com", "wrong", &origin()).await);
    // An administrator who takes it in is not fooled by whoever typed the address.
    let tenant = house.tenant("acme").await;
    house.member(&tenant, "boss@example.com", Role::Owner).await;
    identity.add_member_named(&house.caller("boss@example.com").await, "new@example.com", Role::User).await.unwrap();
    assert_refused(house.password("new@example.com", PASSWORD).await);
    identity.activate_person(&mailed, &origin()).await.unwrap();
    assert!(identity.sign_in_person("new@example.com", PASSWORD, &origin()).await.unwrap().verified);
    assert!(house.password("new@example.com", PASSWORD).await.is_ok());
    assert_eq!(identity.activate_person(&mailed, &origin()).await.unwrap_err(), WRONG_SECRET);
}

async fn who_never_proves_it_goes(house: House) {
    register(&house, "squatter@example.com").await;
    newcomer(&house, "kept@example.com").await;
    house.advance(7 * 86_400 + 1);
    house.identity.prune_people(house.clock.now()).await.unwrap();
    house.advance(6);
    let mailed = register(&house, "squatter@example.com").await;
    house.identity.activate_person(&mailed, &origin()).await.unwrap();
    assert!(house.identity.sign_in_person("kept@example.com", PASSWORD, &origin()).await.is_ok());
}

async fn mailed_secrets_end_and_serve_one_purpose(house: House) {
    let identity = &house.identity;
    let activate = register(&house, "new@example.com").await;
    let reset = identity.forgot_password("new@example.com", &origin()).await.unwrap().unwrap().secret.expose_secret().to_owned();
    assert!(identity.forgot_password("nobody@example.com", &origin()).await.unwrap().is_none());
    assert_not_found(identity.request_activation("nobody@example.com", &origin()).await);
    assert_eq!(identity.activate_person(&reset, &origin()).await.unwrap_err(), WRONG_SECRET);
    let another = secret("another good password");
    assert_eq!(identity.reset_password(&activate, &another, &origin()).await.unwrap_err(), WRONG_SECRET);
    assert_invalid(identity.reset_password(&reset, &secret("12345678"), &origin()).await, "password");
    identity.reset_password(&reset, &another, &origin()).await.unwrap();
    assert!(identity.sign_in_person("new@example.com", "another good password", &origin()).await.unwrap().verified);
    // What waited is gone: the first mail cannot bring the first password back.
    identity.activate_person(&activate, &origin()).await.unwrap();
    assert_refused(identity.sign_in_person("new@example.com", PASSWORD, &origin()).await);
    let old = identity.forgot_password("new@example.com", &origin()).await.unwrap().unwrap();
    house.advance(3_600);
    assert_eq!(identity.reset_password(old.secret.expose_secret(), &another, &origin()).await.unwrap_err(), WRONG_SECRET);
}

async fn a_token_grants_what_it_said_and_what_is_left(house: House) {
    let identity = &house.identity;
    let (acme, globex) = (house.tenant("acme").await, house.tenant("globex").await);
    house.member(&acme, "boss@example.com", Role::Owner).await;
    let id = house.member(&acme, "ann@example.com", Role::Admin).await;
    let ann = person(&house, "ann@example.com").await;
    assert_eq!(ann.caller().permissions, Permissions::NONE);
    let (everything, little) = (Role::Owner.permissions(), Permissions::of(&[Permission::ThingRead]));
    assert_eq!(identity.person_in(&ann, acme.id, everything).await.unwrap().permissions, Role::Admin.permissions());
    assert_eq!(identity.person_in(&ann, acme.id, little).await.unwrap().permissions, little);
    assert_forbidden(identity.person_in(&ann, globex.id, everything).await);
    assert_not_found(identity.person_in(&ann, TenantId(Uuid::nil()), everything).await);
    // Such a token opens nothing where one tenant is asked for, and a token of one tenant is of the same profile but says less.
    let user = identity.sign_in_person("ann@example.com", PASSWORD, &origin()).await.unwrap();
    let token = identity.issue_person(&user, &RS, |_| Map::new(), &origin()).await.unwrap().token;
    assert_unauthenticated(identity.verify(&token, &RS).await);
    assert_unauthenticated(identity.verify_person(&token, &RS_OTHER, &origin()).await);
    identity.change_role(&house.caller("boss@example.com").await, id, Role::Reader).await.unwrap();
    let ann = identity.verify_person(&token, &RS, &origin()).await.unwrap().0;
    assert_eq!(identity.person_in(&ann, acme.id, everything).await.unwrap().permissions, Role::Reader.permissions());
    identity.remove_member(&house.caller("boss@example.com").await, id).await.unwrap();
    let ann = identity.verify_person(&token, &RS, &origin()).await.unwrap().0;
    assert_forbidden(identity.person_in(&ann, acme.id, everything).await);
    // Its own bearer ends it.
    identity.revoke_token(&ann.caller(), crate::TokenRef::Text(&token)).await.unwrap();
    assert_unauthenticated(identity.verify_person(&token, &RS, &origin()).await);
    assert_unauthenticated(identity.person_of_old_token(&token, &RS).await);
}

async fn accounts_are_made_and_shared(house: House) {
    let identity = &house.identity;
    let (ann, bob) = (newcomer(&house, "ann@example.com").await, newcomer(&house, "bob@example.com").await);
    let made = identity.open_account(&ann.caller(), "Garden", Map::new(), Map::new()).await.unwrap();
    let other = identity.open_account(&bob.caller(), "Garden", Map::new(), Map::new()).await.unwrap();
    assert_eq!((made.name.as_str(), other.name.as_str(), account_name(&other.tenant)), ("Garden", "Garden", "Garden"));
    assert_ne!(made.tenant.name, other.tenant.name);
    let ann = person(&house, "ann@example.com").await;
    let caller = identity.person_in(&ann, made.tenant.id, Role::Owner.permissions()).await.unwrap();
    let code = identity.activation_code(&caller).await.unwrap().unwrap();
    assert_eq!(made.code.unwrap().code.expose_secret(), code.code.expose_secret());
    house.advance(3_600);
    assert!(identity.activation_code(&caller).await.unwrap().is_none());
    identity.renew_activation_code(&caller).await.unwrap();
    assert!(house.another().await.activation_code(&caller).await.unwrap().is_some());

    identity.add_member(&caller, bob.user.id, Role::User).await.unwrap();
    assert_eq!(identity.set_administrator(&caller, bob.user.id, true).await.unwrap().role, Role::Owner);
    assert_eq!(identity.set_administrator(&caller, bob.user.id, false).await.unwrap_err(), ADMIN_STAYS);
    identity.remove_member(&caller, ann.user.id).await.unwrap();
    for _ in 0..30 {
        identity.open_account(&ann.caller(), "one of many", Map::new(), Map::new()).await.unwrap();
    }
    assert_eq!(identity.open_account(&ann.caller(), "too many", Map::new(), Map::new()).await.unwrap_err(), TOO_MANY_ACCOUNTS);
}

async fn invitations_are_answered_once(house: House) {
    let identity = &house.identity;
    let acme = house.tenant("acme").await;
    house.member(&acme, "boss@example.com", Role::Owner).await;
    let boss = house.caller("boss@example.com").await;
    let invitation = identity.invite(&boss, " Ann@Example.com ").await.unwrap();
    assert_conflict(identity.invite(&boss, "ann@example.com").await);
    let (ann, bob) = (newcomer(&house, "ann@example.com").await, newcomer(&house, "bob@example.com").await);
    assert_eq!(identity.invitations_to(&ann).await.unwrap().len(), 1);
    assert_not_found(identity.answer_invitation(&bob, invitation.id, true).await);
    assert_not_found(identity.answer_invitation(&ann, Uuid::nil(), true).await);
    identity.answer_invitation(&ann, invitation.id, true).await.unwrap();
    assert_not_found(identity.answer_invitation(&ann, invitation.id, true).await);
    assert_eq!(identity.membership(&boss, ann.user.id).await.unwrap().role, Role::User);
    assert_conflict(identity.invite(&boss, "ann@example.com").await);
    let member = house.caller("ann@example.com").await;
    assert_forbidden(identity.invite(&member, "x@example.com").await);
    assert_forbidden(identity.withdraw(&member, "boss@example.com").await);
    identity.withdraw(&boss, "ann@example.com").await.unwrap();
    assert_not_found(identity.withdraw(&boss, "ann@example.com").await);
    assert_conflict(identity.withdraw(&boss, "boss@example.com").await);
}

async fn refresh_tokens_rotate(house: House) {
    let identity = &house.identity;
    let ann = newcomer(&house, "ann@example.com").await;
    let bob = newcomer(&house, "bob@example.com").await;
    let first = identity.make_refresh(&ann).await.unwrap();
    let gone = |outcome: Result<_>| assert_eq!(outcome.map(|_: (model::User, SecretString)| ()).unwrap_err(), NO_REFRESH);
    gone(identity.use_refresh(bob.user.id, first.expose_secret(), &origin()).await);
    let (user, second) = identity.use_refresh(ann.user.id, first.expose_secret(), &origin()).await.unwrap();
    assert_eq!(user.id, ann.user.id);
    gone(identity.use_refresh(ann.user.id, first.expose_secret(), &origin()).await);
    gone(identity.use_refresh(ann.user.id, second.expose_secret(), &origin()).await);
    let kept = identity.make_refresh(&ann).await.unwrap();
    for _ in 0..100 {
        house.advance(1);
        identity.make_refresh(&ann).await.unwrap();
    }
    gone(identity.use_refresh(ann.user.id, kept.expose_secret(), &origin()).await);
    let last = identity.make_refresh(&ann).await.unwrap();
    house.advance(1);
    identity.change_password_of("ann@example.com", &secret(PASSWORD), &secret("another good password"), &origin()).await.unwrap();
    gone(identity.use_refresh(ann.user.id, last.expose_secret(), &origin()).await);
}
