//! Refresh tokens that look as Keycloak's do: its browser library reads them as JWTs, and fails where there is nothing to read.
//!
//! The secret stands where a signature would; it alone is looked up. What stands before it is for the client to read, and nobody
//! here does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;
use store::OAuthSession;

/// The secret of a refresh token, whatever its shape.
pub(super) fn secret_of(token: &str) -> &str {
    token.rsplit('.').next().unwrap_or(token)
}

/// The token of that secret for a client of Keycloak's kind.
pub(super) fn shaped(secret: &str, issuer: &str, session: &OAuthSession, now: Timestamp) -> String {
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let claims = json!({
        "iss": issuer, "aud": issuer, "sub": session.user, "azp": session.client, "typ": "Refresh", "sid": session.id,
        "scope": session.scope, "iat": now.as_second(), "exp": session.expires.as_second(),
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{secret}", part(&header), part(&claims))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_the_last_part() {
        assert_eq!(secret_of("abc"), "abc");
        assert_eq!(secret_of("h.p.abc"), "abc");
        assert_eq!(secret_of(""), "");
    }
}
