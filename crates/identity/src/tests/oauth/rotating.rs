//! Keys change under load: no valid token is ever refused.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use crate::Identity;

both! { no_valid_token_is_refused_while_keys_rotate }

/// Fetches tokens at one node and uses them at both, new ones and old ones.
async fn use_tokens(one: Identity, other: Identity, realm: Realm, stop: Arc<AtomicBool>, used: Arc<AtomicUsize>) {
    let mut kept: VecDeque<(String, Timestamp)> = VecDeque::new();
    while !stop.load(Ordering::Acquire) {
        let form = params(&[("grant_type", "client_credentials"), ("client_id", "backend"), ("client_secret", SECRET)]);
        let request = TokenRequest { auth: ClientAuth { basic: None, shown: shown(None) }, params: &form, tenant: None, origin: &origin() };
        let token = one.token(&realm, &request).await.unwrap();
        let header: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.access_token.split('.').next().unwrap()).unwrap()).unwrap();
        let published = one.jwks();
        assert!(published["keys"].as_array().unwrap().iter().any(|key| key["kid"] == header["kid"]), "a key that nobody can check signs");
        kept.push_back((token.access_token, token.expires_at));
        if kept.len() > 200 {
            kept.pop_front();
        }
        for (token, expires) in kept.iter().take(2).chain(kept.back()) {
            for node in [&one, &other] {
                if let Err(refused) = node.verify(token, &realm.profile).await {
                    assert!(node.clock().now() >= *expires, "a valid token was refused: {refused}");
                }
                used.fetch_add(1, Ordering::AcqRel);
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn no_valid_token_is_refused_while_keys_rotate(house: House) {
    let place = Place::new(house).await;
    place.client("backend", |_| ()).await;
    let (one, other) = (place.house.identity.clone(), place.house.another().await);
    let (stop, used) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let realm = if n % 2 == 0 { PLAIN } else { KEYCLOAK };
            tokio::spawn(use_tokens(one.clone(), other.clone(), realm, stop.clone(), used.clone()))
        })
        .collect();
    let operator = place.house.operator();
    let mut before = 0;
    for _ in 0..5 {
        for algorithm in [Algorithm::Rs256, Algorithm::EdDsa] {
            one.rotate_signing_key(&operator, algorithm).await.unwrap();
        }
        // What every node does every few seconds, within the ten minutes in which the new key does not sign yet.
        other.maintain().await.unwrap();
        for _ in 0..3 {
            place.house.advance(210);
            while used.load(Ordering::Acquire) < before + 60 && tasks.iter().all(|task| !task.is_finished()) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            before = used.load(Ordering::Acquire);
        }
    }
    stop.store(true, Ordering::Release);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(used.load(Ordering::Acquire) >= 900);
    let signed = one.signing_keys(&operator).await.unwrap();
    assert!(signed.len() >= 12, "five rotations of two algorithms: {}", signed.len());
}
