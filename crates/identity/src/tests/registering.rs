//! Registration with a six-digit code.

use std::net::IpAddr;

use model::Role;

use super::*;
use crate::{ExposeSecret as _, Pending};

both! { a_code_makes_a_tenant five_tries_a_code codes_end codes_are_not_sent_at_will a_known_address_looks_the_same a_code_is_redeemed_once }

async fn register(house: &House, email: &str) -> Result<Pending> {
    house.identity.register(email, &secret(PASSWORD), &origin()).await
}

fn code(pending: &Pending) -> String {
    pending.code.as_ref().unwrap().expose_secret().to_owned()
}

fn other_than(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

async fn a_code_makes_a_tenant(house: House) {
    let pending = register(&house, " New@Example.com ").await.unwrap();
    assert_eq!(pending.email, "new@example.com");
    assert_eq!(pending.expires, house.clock.now().checked_add(jiff::SignedDuration::from_mins(15)).unwrap());
    let code = code(&pending);
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()));
    assert_refused(house.password("new@example.com", PASSWORD).await);
    assert_unauthenticated(house.identity.verify_registration("new@example.com", &other_than(&code), &origin()).await);
    assert_unauthenticated(house.identity.verify_registration("other@example.com", &code, &origin()).await);
    let signed_in = house.identity.verify_registration("NEW@example.com", &format!(" {code} "), &origin()).await.unwrap();
    assert_eq!(signed_in.membership.as_ref().unwrap().role, Role::Owner);
    assert!(signed_in.user.as_ref().unwrap().verified);
    let tenant = house.identity.tenant(&signed_in.caller, signed_in.caller.tenant).await.unwrap();
    assert_eq!((tenant.name.as_str(), tenant.plan), ("new@example.com", PlanName::Amber));
    assert!(house.password("new@example.com", PASSWORD).await.is_ok());
    // Somebody else's tenant may have the name already.
    house.tenant("late@example.com").await;
    let pending = register(&house, "late@example.com").await.unwrap();
    let signed_in = house.identity.verify_registration("late@example.com", &self::code(&pending), &origin()).await.unwrap();
    let tenant = house.identity.tenant(&signed_in.caller, signed_in.caller.tenant).await.unwrap();
    assert!(tenant.name.starts_with("late@example.com "), "{}", tenant.name);
    assert_invalid(house.identity.register("x@example.com", &secret("short"), &origin()).await, "password");
    assert_invalid(register(&house, "nobody").await, "email");
}

async fn five_tries_a_code(house: House) {
    let code = code(&register(&house, "new@example.com").await.unwrap());
    for _ in 0..5 {
        assert_unauthenticated(house.identity.verify_registration("new@example.com", &other_than(&code), &origin()).await);
    }
    assert_unauthenticated(house.identity.verify_registration("new@example.com", &code, &origin()).await);
    house.advance(60);
    let fresh = self::code(&register(&house, "new@example.com").await.unwrap());
    assert!(house.identity.verify_registration("new@example.com", &fresh, &origin()).await.is_ok());
}

async fn codes_end(house: House) {
    let code = code(&register(&house, "new@example.com").await.unwrap());
    house.advance(15 * 60);
    assert_unauthenticated(house.identity.verify_registration("new@example.com", &code, &origin()).await);
    let second = self::code(&register(&house, "new@example.com").await.unwrap());
    house.advance(60);
    let third = self::code(&register(&house, "new@example.com").await.unwrap());
    if second != third {
        assert_unauthenticated(house.identity.verify_registration("new@example.com", &second, &origin()).await);
    }
    assert!(house.identity.verify_registration("new@example.com", &third, &origin()).await.is_ok());
    house.advance(25 * 3_600);
    register(&house, "gone@example.com").await.unwrap();
    house.advance(25 * 3_600);
    house.identity.prune().await.unwrap();
    assert!(house.db.read().await.unwrap().registration("gone@example.com").await.unwrap().is_none());
}

async fn codes_are_not_sent_at_will(house: House) {
    let limited = |outcome: Result<Pending>| match outcome {
        Err(Error::TooMany { retry_after }) => retry_after.as_secs(),
        other => panic!("{other:?}"),
    };
    register(&house, "new@example.com").await.unwrap();
    house.advance(20);
    assert_eq!(limited(register(&house, "new@example.com").await), 40);
    for _ in 0..4 {
        house.advance(60);
        register(&house, "new@example.com").await.unwrap();
    }
    house.advance(3_600);
    assert_eq!(limited(register(&house, "new@example.com").await), 24 * 3_600 - 3_600 - 260);
    house.advance(24 * 3_600);
    assert!(register(&house, "new@example.com").await.is_ok());
    // One address cannot make us write to the whole world.
    let here = from(Some(IpAddr::from([192, 0, 2, 9])));
    for n in 0..60 {
        house.identity.register(&format!("victim{n}@example.com"), &secret(PASSWORD), &here).await.unwrap();
    }
    limited(house.identity.register("victim60@example.com", &secret(PASSWORD), &here).await);
}

async fn a_known_address_looks_the_same(house: House) {
    let acme = house.tenant("acme").await;
    house.member(&acme, "alice@example.com", Role::Owner).await;
    let pending = house.identity.register("alice@example.com", &secret("the thief's password"), &origin()).await.unwrap();
    assert!(pending.code.is_none(), "the mail says that there is an account");
    assert!(matches!(register(&house, "alice@example.com").await, Err(Error::TooMany { .. })), "limited alike");
    for guess in ["000000", "123456", ""] {
        assert_unauthenticated(house.identity.verify_registration("alice@example.com", guess, &origin()).await);
    }
    assert!(house.password("alice@example.com", PASSWORD).await.is_ok(), "the password stays");
    assert_refused(house.password("alice@example.com", "the thief's password").await);
}

async fn a_code_is_redeemed_once(house: House) {
    let code = code(&register(&house, "new@example.com").await.unwrap());
    let one = origin();
    let both = tokio::join!(
        house.identity.verify_registration("new@example.com", &code, &one),
        house.identity.verify_registration("new@example.com", &code, &one)
    );
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    assert_unauthenticated(house.identity.verify_registration("new@example.com", &code, &one).await);
}
