//! `GET /v1/users/{id}`, where FlashLex and Lightelligence meet on a name that belongs to neither: the token says which is meant.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tower::ServiceExt as _;

/// FlashLex, at any base path.
#[derive(Clone)]
pub struct Shared(pub Router);

/// Leads requests for a user to FlashLex unless they bear a token of the realm. The token is only looked at here; whoever gets the
/// request checks it.
pub async fn by_token(State(Shared(flashlex)): State<Shared>, request: Request, next: Next) -> Response {
    if is_user(request.uri().path()) && !edge::bearer(request.headers()).is_some_and(of_the_realm) {
        return flashlex.oneshot(request).await.into_response();
    }
    next.run(request).await
}

/// `/v1/users/{id}`, and nothing below it.
fn is_user(path: &str) -> bool {
    path.strip_prefix("/v1/users/").is_some_and(|rest| !rest.trim_end_matches('/').contains('/'))
}

fn of_the_realm(token: &str) -> bool {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<serde_json::Value> = claims.and_then(|json| serde_json::from_slice(&json).ok());
    claims.is_some_and(|claims| claims.pointer("/heliograph/profile").is_some_and(|name| name == openid::realms::OLT.realm.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_user_itself_is_shared() {
        assert!(is_user("/v1/users/1") && is_user("/v1/users/1/"));
        for other in ["/v1/users", "/v1/users/1/tenants", "/v1/usersets/1", "/v1/roles/1"] {
            assert!(!is_user(other), "{other}");
        }
    }

    #[test]
    fn the_realms_tokens_are_told_from_others() {
        let token = |json: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(json));
        assert!(of_the_realm(&token(r#"{"heliograph":{"profile":"olt"}}"#)));
        for other in [token(r#"{"heliograph":{"profile":"flashlex"}}"#), token("{}"), token("olt"), "olt".to_owned(), String::new()] {
            assert!(!of_the_realm(&other), "{other}");
        }
    }
}
