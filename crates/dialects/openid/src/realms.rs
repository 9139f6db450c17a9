//! The faces: where each one's endpoints are, and how its tokens look.

use std::time::Duration;

use identity::oauth::Realm;
use identity::{Algorithm, TokenFacts, TokenProfile};
use serde_json::{Map, Value, json};

/// A realm and its addresses, below the public URL.
#[derive(Debug)]
pub struct Face {
    /// The realm.
    pub realm: Realm,
    /// The issuer's path; empty at the root.
    pub base: &'static str,
    /// Authorization endpoint.
    pub authorize: &'static str,
    /// Token endpoint.
    pub token: &'static str,
    /// Userinfo endpoint.
    pub userinfo: &'static str,
    /// JWK set.
    pub jwks: &'static str,
    /// Introspection endpoint (RFC 7662).
    pub introspect: &'static str,
    /// Revocation endpoint (RFC 7009).
    pub revoke: &'static str,
    /// Device authorization endpoint (RFC 8628).
    pub device: &'static str,
    /// Pushed authorization request endpoint (RFC 9126).
    pub par: &'static str,
    /// Client registration endpoint (RFC 7591).
    pub register: &'static str,
    /// Logout endpoint (OpenID Connect RP-Initiated Logout).
    pub logout: &'static str,
}

/// The plain face: RFC 9068 access tokens signed EdDSA, valid for what their scope names.
pub static PLAIN: Face = Face {
    realm: Realm {
        profile: TokenProfile {
            name: "openid",
            algorithm: Algorithm::EdDsa,
            issuer: plain_issuer,
            audience: Some("heliograph"),
            lifetime: Duration::from_hours(1),
            claims: no_claims,
            typ: Some("at+jwt"),
        },
        refresh_lifetime: Duration::from_hours(30 * 24),
        keycloak: false,
        token_path: "/oauth2/token",
    },
    base: "",
    authorize: "/oauth2/authorize",
    token: "/oauth2/token",
    userinfo: "/oauth2/userinfo",
    jwks: "/oauth2/jwks",
    introspect: "/oauth2/introspect",
    revoke: "/oauth2/revoke",
    device: "/oauth2/device_authorization",
    par: "/oauth2/par",
    register: "/oauth2/register",
    logout: "/oauth2/logout",
};

/// The realm `olt` (contracts/lightelligence.md 2): RS256, tokens of ten and eleven days as observed.
pub static OLT: Face = Face {
    realm: Realm {
        profile: TokenProfile {
            name: "olt",
            algorithm: Algorithm::Rs256,
            issuer: olt_issuer,
            audience: Some(identity::ANY_AUDIENCE),
            lifetime: Duration::from_secs(864_000),
            claims: no_claims,
            typ: Some("JWT"),
        },
        refresh_lifetime: Duration::from_secs(950_400),
        keycloak: true,
        token_path: "/v1/id/auth/realms/olt/protocol/openid-connect/token",
    },
    base: "/v1/id/auth/realms/olt",
    authorize: "/v1/id/auth/realms/olt/protocol/openid-connect/auth",
    token: "/v1/id/auth/realms/olt/protocol/openid-connect/token",
    userinfo: "/v1/id/auth/realms/olt/protocol/openid-connect/userinfo",
    jwks: "/v1/id/auth/realms/olt/protocol/openid-connect/certs",
    introspect: "/v1/id/auth/realms/olt/protocol/openid-connect/token/introspect",
    revoke: "/v1/id/auth/realms/olt/protocol/openid-connect/revoke",
    device: "/v1/id/auth/realms/olt/protocol/openid-connect/auth/device",
    par: "/v1/id/auth/realms/olt/protocol/openid-connect/ext/par/request",
    register: "/v1/id/auth/realms/olt/clients-registrations/openid-connect",
    logout: "/v1/id/auth/realms/olt/protocol/openid-connect/logout",
};

fn olt_issuer(public_url: &str) -> String {
    format!("{public_url}{}", OLT.base)
}

fn plain_issuer(public_url: &str) -> String {
    public_url.to_owned()
}

fn no_claims(_: &TokenFacts<'_>) -> Map<String, Value> {
    Map::new()
}

impl Face {
    /// The discovery document (OpenID Connect Discovery 3, RFC 8414 2): only what works.
    #[must_use]
    pub fn discovery(&self, public_url: &str, mtls_url: Option<&str>) -> Value {
        let at = |path: &str| format!("{public_url}{path}");
        let mut methods = vec!["client_secret_basic", "client_secret_post", "private_key_jwt"];
        if mtls_url.is_some() {
            methods.push("self_signed_tls_client_auth");
        }
        let confidential = methods.clone();
        methods.push("none");
        let mut document = json!({
            "issuer": self.realm.issuer(public_url),
            "authorization_endpoint": at(self.authorize),
            "token_endpoint": at(self.token),
            "userinfo_endpoint": at(self.userinfo),
            "jwks_uri": at(self.jwks),
            "introspection_endpoint": at(self.introspect),
            "revocation_endpoint": at(self.revoke),
            "device_authorization_endpoint": at(self.device),
            "end_session_endpoint": at(self.logout),
            "scopes_supported": identity::oauth::SCOPES,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "pushed_authorization_request_endpoint": at(self.par),
            "require_pushed_authorization_requests": false,
            "registration_endpoint": at(self.register),
            "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange", "id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": identity::oauth::ASYMMETRIC,
            "introspection_endpoint_auth_methods_supported": confidential,
            "introspection_endpoint_auth_signing_alg_values_supported": identity::oauth::ASYMMETRIC,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": identity::oauth::ASYMMETRIC,
            "dpop_signing_alg_values_supported": identity::oauth::ASYMMETRIC,
            "tls_client_certificate_bound_access_tokens": mtls_url.is_some(),
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "acr_values_supported": identity::oauth::ACR_VALUES,
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "acr", "amr", "nonce", "at_hash", "sid", "tenant",
                "name", "given_name", "family_name", "preferred_username", "email", "email_verified"],
            "claims_parameter_supported": false,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "authorization_response_iss_parameter_supported": true
        });
        // RFC 8705 5: where a certificate reaches us, which a proxy before the public URL may not let through.
        if let (Some(base), Some(members)) = (mtls_url, document.as_object_mut()) {
            let at = |path: &str| format!("{base}{path}");
            let aliases = json!({
                "token_endpoint": at(self.token),
                "userinfo_endpoint": at(self.userinfo),
                "introspection_endpoint": at(self.introspect),
                "revocation_endpoint": at(self.revoke),
                "device_authorization_endpoint": at(self.device),
                "pushed_authorization_request_endpoint": at(self.par),
            });
            members.insert("mtls_endpoint_aliases".to_owned(), aliases);
        }
        document
    }
}
