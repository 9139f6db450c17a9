//! The least a server could do: handlers of axum that only sign, or only answer. `peer ADDRESS RSA.pem ED25519.pem`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

struct Keys {
    rsa: EncodingKey,
    ed: EncodingKey,
}

fn token(algorithm: Algorithm, key: &EncodingKey) -> Json<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": "http://127.0.0.1:8080", "sub": "ecd13b11-6d91-4e8e-9156-60e451a3c975", "aud": "heliograph", "exp": now + 3600, "iat": now,
        "jti": "0199c1a2-0000-7000-8000-000000000001", "client_id": "heliograph", "username": "alice@example.com",
        "tenant": "7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01", "scope": "tenant:read thing:read thing:write message:read",
    });
    let header = Header { kid: Some("a-key-id".to_owned()), ..Header::new(algorithm) };
    Json(json!({ "accessToken": encode(&header, &claims, key).unwrap() }))
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let pem = |n: usize| std::fs::read(&arguments[n]).unwrap();
    let keys = Arc::new(Keys { rsa: EncodingKey::from_rsa_pem(&pem(2)).unwrap(), ed: EncodingKey::from_ed_pem(&pem(3)).unwrap() });
    let router = Router::new()
        .route("/rs256", get(async |State(k): State<Arc<Keys>>| token(Algorithm::RS256, &k.rsa)))
        .route("/eddsa", get(async |State(k): State<Arc<Keys>>| token(Algorithm::EdDSA, &k.ed)))
        .route("/answer", get(async || Json(json!({ "status": "OK", "code": 200, "messages": [], "result": {} }))))
        .route("/take", post(async |Json(body): Json<Value>| Json(json!({ "status": "OK", "code": 200, "messages": [], "result": { "bytes": body.to_string().len() } }))))
        .with_state(keys);
    let listener = tokio::net::TcpListener::bind(&arguments[1]).await.unwrap();
    axum::serve(listener, router).await.unwrap();
}
