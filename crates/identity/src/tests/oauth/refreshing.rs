//! Codes and refresh tokens: once each, and never after their session's end (RFC 9700 4.14).

use super::*;

both! { a_code_ends_with_the_sign_in_it_came_from a_stolen_refresh_token_cannot_fork_its_family a_lost_reply_is_answered_again }

async fn a_code_ends_with_the_sign_in_it_came_from(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |_| ()).await;
    let login = place.login().await;
    let (before, after) = (place.code(&PLAIN, &login, "backend", &[]).await, place.code(&PLAIN, &login, "backend", &[]).await);
    assert!(place.redeem(&PLAIN, "backend", &before).await.is_ok());
    place.house.identity.log_out(&login).await.unwrap();
    assert_eq!(code_of(place.redeem(&PLAIN, "backend", &after).await), OAuthErrorCode::InvalidGrant);
    // Nor is it of any use later.
    assert_eq!(code_of(place.redeem(&PLAIN, "backend", &after).await), OAuthErrorCode::InvalidGrant);
}

async fn a_stolen_refresh_token_cannot_fork_its_family(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |_| ()).await;
    let first = place.tokens(&PLAIN, "backend", &[]).await.refresh_token.unwrap();
    // The owner refreshes; a thief with the same token comes within the grace and gets nothing of its own.
    let owner = place.refresh(&PLAIN, "backend", &first).await.unwrap();
    let thief = place.refresh(&PLAIN, "backend", &first).await.unwrap();
    let shared = owner.refresh_token.unwrap();
    assert_eq!(thief.refresh_token.as_ref(), Some(&shared));
    // Whoever uses the shared successor first goes on; the other one is found out as soon as that is used in turn.
    let next = place.refresh(&PLAIN, "backend", &shared).await.unwrap();
    let last = place.refresh(&PLAIN, "backend", next.refresh_token.as_ref().unwrap()).await.unwrap();
    assert_eq!(code_of(place.refresh(&PLAIN, "backend", &shared).await), OAuthErrorCode::InvalidGrant);
    assert_eq!(code_of(place.refresh(&PLAIN, "backend", last.refresh_token.as_ref().unwrap()).await), OAuthErrorCode::InvalidGrant);
    for token in [&thief.access_token, &last.access_token] {
        assert!(place.house.identity.verify(token, &PLAIN.profile).await.is_err(), "the family's access tokens end with it");
    }
}

async fn a_lost_reply_is_answered_again(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |_| ()).await;
    let first = place.tokens(&PLAIN, "backend", &[]).await.refresh_token.unwrap();
    let (a, b) = tokio::join!(place.refresh(&PLAIN, "backend", &first), place.refresh(&PLAIN, "backend", &first));
    let (a, b) = (a.unwrap().refresh_token.unwrap(), b.unwrap().refresh_token.unwrap());
    assert_eq!(a, b);
    assert_ne!(a, first);
    // Another node with the same keys answers the same.
    let another = place.house.another().await;
    let form = params(&[("grant_type", "refresh_token"), ("client_id", "backend"), ("client_secret", SECRET), ("refresh_token", &first)]);
    let request = TokenRequest { auth: ClientAuth { basic: None, shown: shown(None) }, params: &form, tenant: None, origin: &origin() };
    assert_eq!(another.token(&PLAIN, &request).await.unwrap().refresh_token, Some(a.clone()));
    // Too late, it is a thief's.
    place.house.advance(31);
    assert_eq!(code_of(place.refresh(&PLAIN, "backend", &first).await), OAuthErrorCode::InvalidGrant);
    assert_eq!(code_of(place.refresh(&PLAIN, "backend", &a).await), OAuthErrorCode::InvalidGrant);
}
