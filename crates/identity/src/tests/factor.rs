//! Second factors: set up, shown, lost, demanded, guessed at.

use std::net::IpAddr;

use model::{Caller, Error, Permission, Role};
use secrecy::ExposeSecret as _;

use super::*;
use crate::factor::test_code as code;
use crate::oauth::{Login, LoginSession};
use crate::{FACTOR_DEMANDED, LoginStep, NewApiKey, RecoveryCodes, STALE_OFFER, WRONG_CODE};

both! {
    a_second_factor_is_set_up_and_asked_for
    a_code_counts_once_and_a_recovery_code_too
    guesses_are_few
    who_must_and_has_none_is_led_to_it
    a_tenants_demand_shuts_out_passwords_alone
    an_owner_helps_who_lost_the_phone
    half_a_sign_in_is_worth_nothing
    a_changed_password_keeps_this_browser_alone
    taking_it_away_needs_password_and_code
}

const ALICE: &str = "alice@example.com";

async fn step(house: &House, email: &str) -> LoginStep {
    house.identity.log_in(email, &secret(PASSWORD), false, &origin()).await.unwrap()
}

async fn signed_in(house: &House, email: &str) -> LoginSession {
    match step(house, email).await {
        LoginStep::Done(session) => session,
        other => panic!("{other:?}"),
    }
}

async fn half(house: &House, email: &str) -> SecretString {
    match step(house, email).await {
        LoginStep::Code(half) => half.cookie,
        other => panic!("{other:?}"),
    }
}

/// Sets a second factor up for a user who is signed in; its secret in base32, the new session, the recovery codes.
async fn enrolled(house: &House, login: &Login) -> (SecretString, LoginSession, RecoveryCodes) {
    let offer = house.identity.offer_factor(login).await.unwrap();
    let typed = code(&offer.secret, house.clock.now());
    let (session, codes) = house.identity.enrol_factor(login, &offer.sealed, &secret(PASSWORD), &typed, &origin()).await.unwrap();
    (offer.secret, session, codes)
}

async fn alice(house: &House) -> (Tenant, UserId, SecretString, LoginSession, RecoveryCodes) {
    let tenant = house.tenant("acme").await;
    let user = house.member(&tenant, ALICE, Role::Owner).await;
    let login = signed_in(house, ALICE).await.login;
    let (key, session, codes) = enrolled(house, &login).await;
    house.advance(60);
    (tenant, user, key, session, codes)
}

async fn actions(house: &House, tenant: TenantId) -> Vec<String> {
    house.identity.stop().await;
    let caller = house.identity.operator_caller(tenant);
    let trail = house.identity.audit(&caller, &crate::AuditFilter::default(), &model::PageRequest::max()).await.unwrap();
    trail.items.into_iter().map(|e| e.action).collect()
}

async fn a_second_factor_is_set_up_and_asked_for(house: House) {
    let tenant = house.tenant("acme").await;
    let user = house.member(&tenant, ALICE, Role::Owner).await;
    let (first, other) = (signed_in(&house, ALICE).await, signed_in(&house, ALICE).await);
    assert!(!first.login.second_factor());
    let identity = &house.identity;
    // A wrong password, a wrong code, an offer that is not one: nothing is set up.
    let offer = identity.offer_factor(&first.login).await.unwrap();
    let uri = offer.uri.expose_secret();
    assert!(uri.starts_with("otpauth://totp/Heliograph%20gw.example:alice%40example.com?secret="), "{uri}");
    assert!(uri.contains(offer.secret.expose_secret()) && offer.secret.expose_secret().len() == 32);
    let good = code(&offer.secret, house.clock.now());
    assert_refused(identity.enrol_factor(&first.login, &offer.sealed, &secret("wrong"), &good, &origin()).await);
    let refused = identity.enrol_factor(&first.login, &offer.sealed, &secret(PASSWORD), "000000x", &origin()).await;
    assert_eq!(refused.unwrap_err(), WRONG_CODE);
    let refused = identity.enrol_factor(&first.login, "AAAA", &secret(PASSWORD), &good, &origin()).await;
    assert_eq!(refused.unwrap_err(), STALE_OFFER);
    assert_eq!(identity.own_factor(&first.login).await.unwrap().enrolled, None);
    // Another user's offer is not one.
    house.member(&tenant, "bob@example.com", Role::User).await;
    let bob = signed_in(&house, "bob@example.com").await;
    let refused = identity.enrol_factor(&bob.login, &offer.sealed, &secret(PASSWORD), &good, &origin()).await;
    assert_eq!(refused.unwrap_err(), STALE_OFFER);
    let (session, codes) = identity.enrol_factor(&first.login, &offer.sealed, &secret(PASSWORD), &good, &origin()).await.unwrap();
    assert!(codes.0.len() == 10 && session.login.second_factor() && session.login.id == first.login.id);
    // This browser goes on with another cookie; the others are signed out.
    let login = |session: &LoginSession| session.cookie.clone();
    assert!(identity.login_of_cookie(login(&session).expose_secret()).await.unwrap().is_some_and(|l| l.second_factor()));
    for old in [&first, &other] {
        assert_eq!(identity.login_of_cookie(login(old).expose_secret()).await.unwrap(), None);
    }
    // Once there is one, nobody sets up another without taking it away.
    assert_forbidden(identity.offer_factor(&session.login).await);
    house.advance(60);
    let again = code(&offer.secret, house.clock.now());
    assert_forbidden(identity.enrol_factor(&session.login, &offer.sealed, &secret(PASSWORD), &again, &origin()).await);
    // The next sign-in asks for a code.
    house.advance(60);
    let cookie = half(&house, ALICE).await;
    let finished = identity.finish_login(cookie.expose_secret(), &code(&offer.secret, house.clock.now()), &origin()).await.unwrap();
    assert_eq!(finished.login.methods, "pwd otp");
    let state = identity.own_factor(&finished.login).await.unwrap();
    assert!(state.enrolled.is_some() && !state.demanded && state.recovery_codes == 10);
    // A restarted gateway opens what it sealed.
    let node = house.another().await;
    house.advance(60);
    let cookie = half(&house, ALICE).await;
    assert!(node.finish_login(cookie.expose_secret(), &code(&offer.secret, house.clock.now()), &origin()).await.is_ok());
    let trail = actions(&house, tenant.id).await;
    for wanted in ["second_factor.enrolled", "sign_in.half", "sign_in"] {
        assert!(trail.iter().any(|a| a == wanted), "{wanted} in {trail:?}");
    }
    let _ = user;
}

async fn a_code_counts_once_and_a_recovery_code_too(house: House) {
    let (tenant, _, key, _, codes) = alice(&house).await;
    let identity = &house.identity;
    let now = code(&key, house.clock.now());
    let (first, second) = (half(&house, ALICE).await, half(&house, ALICE).await);
    assert!(identity.finish_login(first.expose_secret(), &now, &origin()).await.is_ok());
    assert_eq!(identity.finish_login(second.expose_secret(), &now, &origin()).await.unwrap_err(), WRONG_CODE);
    // Nor does the one before it, unused though it is.
    let before = code(&key, house.clock.now() - Duration::from_secs(30));
    assert_eq!(identity.finish_login(second.expose_secret(), &before, &origin()).await.unwrap_err(), WRONG_CODE);
    // Typed with blanks, a step early: fine.
    let early = code(&key, house.clock.now() + Duration::from_secs(30));
    let typed = format!(" {} {} ", &early[..3], &early[3..]);
    assert!(identity.finish_login(second.expose_secret(), &typed, &origin()).await.is_ok());
    // A recovery code, in small letters.
    let lost = codes.0[3].expose_secret().to_lowercase();
    let (first, second) = (half(&house, ALICE).await, half(&house, ALICE).await);
    let session = identity.finish_login(first.expose_secret(), &lost, &origin()).await.unwrap();
    assert_eq!(identity.finish_login(second.expose_secret(), &lost, &origin()).await.unwrap_err(), WRONG_CODE);
    assert_eq!(identity.own_factor(&session.login).await.unwrap().recovery_codes, 9);
    // New ones end the old ones.
    house.advance(120);
    let typed = code(&key, house.clock.now());
    let fresh = identity.renew_recovery_codes(&session.login, &secret(PASSWORD), &typed, &origin()).await.unwrap();
    assert_eq!(identity.finish_login(second.expose_secret(), codes.0[5].expose_secret(), &origin()).await.unwrap_err(), WRONG_CODE);
    assert!(identity.finish_login(second.expose_secret(), fresh.0[0].expose_secret(), &origin()).await.is_ok());
    // Of two that come at once one wins.
    house.advance(120);
    let (first, second) = (half(&house, ALICE).await, half(&house, ALICE).await);
    let (typed, from) = (code(&key, house.clock.now()), origin());
    let (a, b) = tokio::join!(
        identity.finish_login(first.expose_secret(), &typed, &from),
        identity.finish_login(second.expose_secret(), &typed, &from)
    );
    assert_eq!(usize::from(a.is_ok()) + usize::from(b.is_ok()), 1);
    assert!(actions(&house, tenant.id).await.iter().any(|a| a == "second_factor.recovery_code_used"));
}

async fn guesses_are_few(house: House) {
    let (tenant, _, key, ..) = alice(&house).await;
    let identity = &house.identity;
    let cookie = half(&house, ALICE).await;
    let thief = from(Some(IpAddr::from([192, 0, 2, 66])));
    for _ in 0..5 {
        assert_eq!(identity.finish_login(cookie.expose_secret(), "123456", &thief).await.unwrap_err(), WRONG_CODE);
    }
    // Now even the right one has to wait, from wherever, with a fresh half sign-in.
    let cookie = half(&house, ALICE).await;
    let typed = code(&key, house.clock.now());
    assert!(matches!(identity.finish_login(cookie.expose_secret(), &typed, &origin()).await, Err(Error::TooMany { .. })));
    house.advance(6 * 60);
    let typed = code(&key, house.clock.now());
    assert!(identity.finish_login(cookie.expose_secret(), &typed, &origin()).await.is_ok());
    let trail = actions(&house, tenant.id).await;
    for wanted in ["second_factor.refused", "second_factor.limited"] {
        assert!(trail.iter().any(|a| a == wanted), "{wanted} in {trail:?}");
    }
}

async fn who_must_and_has_none_is_led_to_it(house: House) {
    let tenant = house.tenant("acme").await;
    let user = house.member(&tenant, ALICE, Role::Owner).await;
    let identity = &house.identity;
    let before = signed_in(&house, ALICE).await;
    identity.require_second_factor(&house.operator(), user, true).await.unwrap();
    // A browser signed in by password alone is so no more.
    assert_eq!(identity.login_of_cookie(before.cookie.expose_secret()).await.unwrap(), None);
    let LoginStep::Enrol(half) = step(&house, ALICE).await else { panic!("led to setting it up") };
    let cookie = half.cookie.expose_secret();
    assert_not_found(identity.finish_login(cookie, "123456", &origin()).await);
    let way = identity.half_way(cookie).await.unwrap().unwrap();
    assert!(!way.enrolled && way.email == ALICE);
    let offer = identity.offer_half_way(&way).await.unwrap();
    assert_eq!(identity.finish_enrolment(cookie, &offer.sealed, "999999x", &origin()).await.unwrap_err(), WRONG_CODE);
    let again = identity.offer_again(user, &offer.sealed).await.unwrap();
    assert_eq!(again.secret.expose_secret(), offer.secret.expose_secret(), "the same secret after a wrong code");
    let typed = code(&offer.secret, house.clock.now());
    let (session, codes) = identity.finish_enrolment(cookie, &offer.sealed, &typed, &origin()).await.unwrap();
    assert!(session.login.second_factor() && codes.0.len() == 10);
    // The way leads there once: with the password alone nobody puts another phone in the place of this one.
    assert!(identity.finish_enrolment(cookie, &offer.sealed, &typed, &origin()).await.is_err());
    let way = match step(&house, ALICE).await {
        LoginStep::Code(half) => identity.half_way(half.cookie.expose_secret()).await.unwrap().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_forbidden(identity.offer_half_way(&way).await);
    // An offer waits a quarter of an hour.
    house.advance(15 * 60);
    assert_eq!(identity.offer_again(user, &offer.sealed).await.unwrap_err(), STALE_OFFER);
    // An application may ask for one of who need not have it.
    house.member(&tenant, "bob@example.com", Role::User).await;
    let asked = identity.log_in("bob@example.com", &secret(PASSWORD), true, &origin()).await.unwrap();
    assert!(matches!(asked, LoginStep::Enrol(_)), "{asked:?}");
}

async fn a_tenants_demand_shuts_out_passwords_alone(house: House) {
    let (acme, other) = (house.tenant("acme").await, house.tenant("other").await);
    let owner = house.member(&acme, ALICE, Role::Owner).await;
    let bob = house.member(&acme, "bob@example.com", Role::User).await;
    let carol = house.member(&other, "carol@example.com", Role::Owner).await;
    let identity = &house.identity;
    let caller = house.caller(ALICE).await;
    // A second factor of one's own accord leaves the APIs alone.
    let login = signed_in(&house, "bob@example.com").await.login;
    enrolled(&house, &login).await;
    assert!(house.password("bob@example.com", PASSWORD).await.is_ok());
    let refresh = {
        let user = identity.sign_in_person("bob@example.com", PASSWORD, &origin()).await.unwrap();
        let token = identity.issue_person(&user, &RS, |_| Map::new(), &origin()).await.unwrap().token;
        identity.make_refresh(&identity.verify_person(&token, &RS, &origin()).await.unwrap().0).await.unwrap()
    };
    let key = NewApiKey { user: bob, label: "app".to_owned(), key: None, expires: None };
    let (_, key) = identity.create_api_key(&caller, key).await.unwrap();
    // Users, admins and other tenants' owners demand nothing.
    assert_forbidden(identity.require_second_factor_in(&house.caller("bob@example.com").await, acme.id, true).await);
    assert_not_found(identity.require_second_factor_in(&house.caller("carol@example.com").await, acme.id, true).await);
    identity.require_second_factor_in(&caller, acme.id, true).await.unwrap();
    assert!(identity.second_factor_required_in(&caller, acme.id).await.unwrap());
    for (email, password, wanted) in [(ALICE, PASSWORD, FACTOR_DEMANDED), (ALICE, "wrong", crate::sign_in::REFUSED)] {
        assert_eq!(house.password(email, password).await.unwrap_err(), wanted);
        assert_eq!(identity.sign_in_person(email, password, &origin()).await.unwrap_err(), wanted);
    }
    // Whether or not there is one: nothing shows it to an API.
    assert_eq!(house.password("bob@example.com", PASSWORD).await.unwrap_err(), FACTOR_DEMANDED);
    assert!(identity.use_refresh(bob, refresh.expose_secret(), &origin()).await.is_err());
    // API keys are what programs use there.
    let by_key = Credential::ApiKeyOf { login: "bob@example.com", key: key.expose_secret() };
    assert!(identity.sign_in(by_key, TenantChoice::Home, &origin()).await.is_ok());
    // Also where a password is asked for; its owner's only.
    let app = house.password("bob@example.com", key.expose_secret()).await.unwrap();
    assert!(app.api_key.is_some() && app.caller.tenant == acme.id);
    assert_refused(house.password(ALICE, key.expose_secret()).await);
    // Other tenants are not concerned; an operator there without being a member is.
    assert!(house.password("carol@example.com", PASSWORD).await.is_ok());
    let operator = crate::UserChange { operator: Some(true), ..crate::UserChange::default() };
    identity.update_user(&house.operator(), carol, operator).await.unwrap();
    let there = Credential::Password { login: "carol@example.com", password: PASSWORD };
    assert_eq!(identity.sign_in(there, TenantChoice::Id(acme.id), &origin()).await.unwrap_err(), FACTOR_DEMANDED);
    assert!(identity.second_factor(&caller, owner).await.unwrap().demanded);
    identity.require_second_factor_in(&caller, acme.id, false).await.unwrap();
    assert!(house.password(ALICE, PASSWORD).await.is_ok());
}

async fn an_owner_helps_who_lost_the_phone(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, ALICE, Role::Owner).await;
    house.member(&acme, "adam@example.com", Role::Admin).await;
    let bob = house.member(&acme, "bob@example.com", Role::User).await;
    let both = house.tenant("both").await;
    let identity = &house.identity;
    let login = signed_in(&house, "bob@example.com").await.login;
    let (_, session, _) = enrolled(&house, &login).await;
    let (owner, admin, oneself) =
        (house.caller(ALICE).await, house.caller("adam@example.com").await, house.caller("bob@example.com").await);
    assert!(identity.second_factor(&admin, bob).await.unwrap().enrolled.is_some());
    assert_forbidden(identity.reset_second_factor(&admin, bob).await);
    assert_forbidden(identity.reset_second_factor(&oneself, bob).await);
    assert_forbidden(identity.reset_second_factor(&owner, owner.user().unwrap()).await);
    house.member(&both, "dora@example.com", Role::Owner).await;
    assert_not_found(identity.reset_second_factor(&house.caller("dora@example.com").await, bob).await);
    let less = Caller { permissions: model::Permissions::of(&[Permission::UserRead]), ..owner.clone() };
    assert_forbidden(identity.reset_second_factor(&less, bob).await);
    identity.reset_second_factor(&owner, bob).await.unwrap();
    assert_eq!(identity.login_of_cookie(session.cookie.expose_secret()).await.unwrap(), None, "the lost phone's browsers, too");
    assert_eq!(identity.second_factor(&owner, bob).await.unwrap().enrolled, None);
    assert!(matches!(step(&house, "bob@example.com").await, LoginStep::Done(_)));
    identity.reset_second_factor(&owner, bob).await.unwrap();
    // Who belongs to another tenant as well is an operator's to help.
    let there = Caller { tenant: both.id, ..house.operator() };
    identity.add_member(&there, bob, Role::User).await.unwrap();
    assert_forbidden(identity.reset_second_factor(&owner, bob).await);
    assert!(identity.reset_second_factor(&house.operator(), bob).await.is_ok());
    assert!(actions(&house, acme.id).await.iter().any(|a| a == "second_factor.reset"));
}

async fn half_a_sign_in_is_worth_nothing(house: House) {
    let (_, user, key, ..) = alice(&house).await;
    let identity = &house.identity;
    let cookie = half(&house, ALICE).await;
    let cookie = cookie.expose_secret();
    assert_eq!(identity.login_of_cookie(cookie).await.unwrap(), None);
    for bad in ["", "x", &"A".repeat(43), &"A".repeat(5_000)] {
        assert!(identity.half_way(bad).await.unwrap().is_none());
        assert_eq!(identity.finish_login(bad, &code(&key, house.clock.now()), &origin()).await.unwrap_err(), STALE_OFFER);
    }
    // Ten minutes.
    house.advance(601);
    assert!(identity.half_way(cookie).await.unwrap().is_none());
    assert_eq!(identity.finish_login(cookie, &code(&key, house.clock.now()), &origin()).await.unwrap_err(), STALE_OFFER);
    // A password set meanwhile ends it.
    let cookie = half(&house, ALICE).await;
    house.advance(1);
    identity.set_password(&house.operator(), user, &secret("another password")).await.unwrap();
    assert!(identity.half_way(cookie.expose_secret()).await.unwrap().is_none());
}

async fn a_changed_password_keeps_this_browser_alone(house: House) {
    let tenant = house.tenant("acme").await;
    house.member(&tenant, ALICE, Role::Owner).await;
    let identity = &house.identity;
    let (mine, other) = (signed_in(&house, ALICE).await, signed_in(&house, ALICE).await);
    house.advance(5);
    let new = secret("a much better password");
    assert_refused(identity.change_own_password(&mine.login, &secret("wrong"), &new, &origin()).await);
    assert_invalid(identity.change_own_password(&mine.login, &secret(PASSWORD), &secret("12345678"), &origin()).await, "password");
    let session = identity.change_own_password(&mine.login, &secret(PASSWORD), &new, &origin()).await.unwrap();
    let live = identity.login_of_cookie(session.cookie.expose_secret()).await.unwrap().unwrap();
    assert_eq!(live.id, mine.login.id);
    for old in [&mine, &other] {
        assert_eq!(identity.login_of_cookie(old.cookie.expose_secret()).await.unwrap(), None);
    }
    assert_eq!(identity.open_sessions(&live).await.unwrap().len(), 1);
    assert_refused(identity.log_in(ALICE, &secret(PASSWORD), false, &origin()).await);
    assert!(identity.log_in(ALICE, &new, false, &origin()).await.is_ok());
}

async fn taking_it_away_needs_password_and_code(house: House) {
    let (_, _, key, session, codes) = alice(&house).await;
    let identity = &house.identity;
    let (login, typed) = (&session.login, code(&key, house.clock.now()));
    assert_refused(identity.remove_factor(login, &secret("wrong"), &typed, &origin()).await);
    assert_eq!(identity.remove_factor(login, &secret(PASSWORD), "", &origin()).await.unwrap_err(), WRONG_CODE);
    identity.remove_factor(login, &secret(PASSWORD), codes.0[0].expose_secret(), &origin()).await.unwrap();
    assert!(identity.login_of_cookie(session.cookie.expose_secret()).await.unwrap().is_some(), "signed in still");
    assert!(matches!(step(&house, ALICE).await, LoginStep::Done(_)));
    // Old recovery codes went with it.
    let (_, session, _) = enrolled(&house, &signed_in(&house, ALICE).await.login).await;
    let cookie = half(&house, ALICE).await;
    assert_eq!(identity.finish_login(cookie.expose_secret(), codes.0[1].expose_secret(), &origin()).await.unwrap_err(), WRONG_CODE);
    assert_eq!(identity.own_factor(&session.login).await.unwrap().recovery_codes, 10);
}
