//! The OpenID provider's stories: what each client shows, and what it gets for that.

mod clients;
mod exchanging;
mod pushing;
mod refreshing;
mod registering;
mod rotating;
mod showing;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::{Client, Grant, Role, TenantId, Timestamp, UserId};
use serde_json::{Map, Value, json};
use store::LoginRecord;
use uuid::Uuid;

use super::{House, URL, both, origin};
use crate::oauth::{
    Authorization, ClientAuth, Decision, Dpop, Login, OAuthError, OAuthErrorCode, Params, Realm, Shown, TokenRequest, TokenResponse,
};
use crate::{ANY_AUDIENCE, Algorithm, NewClient, SecretString, TokenFacts, TokenProfile, secret};

pub(super) const CALLBACK: &str = "https://app.example/cb";
pub(super) const SECRET: &str = "a secret of sixteen";
pub(super) const TOKEN_PATH: &str = "/oauth2/token";
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn here(public_url: &str) -> String {
    public_url.to_owned()
}

fn nothing(_: &TokenFacts<'_>) -> Map<String, Value> {
    Map::new()
}

/// Like the plain face.
pub(super) const PLAIN: Realm = Realm {
    profile: TokenProfile {
        name: "plain",
        algorithm: Algorithm::EdDsa,
        issuer: here,
        audience: Some("heliograph"),
        lifetime: std::time::Duration::from_hours(1),
        claims: nothing,
        typ: Some("at+jwt"),
    },
    refresh_lifetime: std::time::Duration::from_hours(24),
    keycloak: false,
    token_path: TOKEN_PATH,
};

/// Like the realm of Keycloak's kind.
pub(super) const KEYCLOAK: Realm = Realm {
    profile: TokenProfile {
        name: "keycloak",
        algorithm: Algorithm::Rs256,
        audience: Some(ANY_AUDIENCE),
        typ: Some("JWT"),
        ..PLAIN.profile
    },
    keycloak: true,
    ..PLAIN
};

/// Somebody else's key pair.
pub(super) enum Key {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
}

impl Key {
    pub(super) fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    pub(super) fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(super) fn jwk(&self) -> Value {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref())}),
            Self::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])})
            }
        }
    }

    pub(super) fn jkt(&self) -> String {
        crate::oauth::PublicKey::read(&self.jwk()).unwrap().thumbprint()
    }

    pub(super) fn alg(&self) -> &'static str {
        if matches!(self, Self::Ed(_)) { "EdDSA" } else { "ES256" }
    }

    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = match self {
            Self::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A DPoP proof for a request, with whatever else `more` says (null takes a claim away).
    pub(super) fn proof(&self, house: &House, method: &str, path: &str, token: Option<&str>, more: Value) -> String {
        let mut claims = json!({
            "jti": Uuid::new_v4().to_string(), "htm": method, "htu": format!("{URL}{path}"), "iat": house.clock.now().as_second(),
        });
        if let Some(token) = token {
            claims["ath"] = json!(URL_SAFE_NO_PAD.encode(secret::sha256(token.as_bytes())));
        }
        merge(&mut claims, more);
        self.sign(&json!({"typ": "dpop+jwt", "alg": self.alg(), "jwk": self.jwk()}), &claims)
    }

    /// A client assertion, with whatever else `more` says.
    pub(super) fn assertion(&self, house: &House, client: &str, more: Value) -> String {
        let now = house.clock.now().as_second();
        let mut claims = json!({
            "iss": client, "sub": client, "aud": URL, "exp": now + 60, "iat": now, "jti": Uuid::new_v4().to_string(),
        });
        merge(&mut claims, more);
        self.sign(&json!({"alg": self.alg()}), &claims)
    }
}

fn merge(claims: &mut Value, more: Value) {
    let (Value::Object(claims), Value::Object(more)) = (claims, more) else { return };
    for (name, value) in more {
        if value.is_null() {
            claims.remove(&name);
        } else {
            claims.insert(name, value);
        }
    }
}

pub(super) fn params(pairs: &[(&str, &str)]) -> Params {
    Params::new(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))).unwrap()
}

/// What a POST to the token endpoint shows.
pub(super) fn shown(proof: Option<&str>) -> Shown<'_> {
    Shown { method: "POST", path: TOKEN_PATH, dpop: proof.map_or(Dpop::Absent, Dpop::One), ..Shown::default() }
}

pub(super) fn code_of(outcome: Result<TokenResponse, OAuthError>) -> OAuthErrorCode {
    outcome.unwrap_err().code
}

/// What a token says.
pub(super) fn claims_of(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
}

/// A house with a tenant, a user in it, and clients.
pub(super) struct Place {
    pub(super) house: House,
    pub(super) user: UserId,
}

impl Place {
    pub(super) async fn new(house: House) -> Self {
        let tenant = house.tenant("acme").await;
        let user = house.member(&tenant, "alice@example.com", Role::Owner).await;
        Self { house, user }
    }

    /// A client with every grant and a callback, changed as asked for.
    pub(super) async fn client(&self, id: &str, change: impl FnOnce(&mut NewClient)) -> Client {
        let mut new = NewClient {
            id: Some(id.to_owned()),
            secret: Some(SecretString::from(SECRET)),
            grants: Grant::ALL.to_vec(),
            redirect_uris: vec![CALLBACK.to_owned()],
            scopes: ["openid", "email", "thing:read", "message:read"].map(str::to_owned).to_vec(),
            ..NewClient::default()
        };
        change(&mut new);
        if new.public || new.auth_method.is_some_and(|m| !m.by_secret()) {
            new.secret = None;
        }
        let caller = self.house.caller("alice@example.com").await;
        self.house.identity.create_client(&caller, new).await.unwrap().0
    }

    /// A browser in which the user signed in.
    pub(super) async fn login(&self) -> Login {
        let now = self.house.clock.now();
        let record = LoginRecord {
            id: Uuid::new_v4(),
            user: self.user,
            auth_time: now,
            expires: now + std::time::Duration::from_hours(10),
            agent: "test".to_owned(),
            address: None,
            methods: "pwd".to_owned(),
        };
        let mut tx = self.house.db.begin().await.unwrap();
        tx.insert_login_session(&secret::random::<32>(), &record).await.unwrap();
        tx.commit().await.unwrap();
        Login { id: record.id, user: self.user, auth_time: now, methods: record.methods }
    }

    /// The answer to an authorization request the user says yes to.
    pub(super) async fn authorize(&self, realm: &Realm, login: &Login, pairs: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        let identity = &self.house.identity;
        let request = identity.authorize_request(realm, &params(pairs)).await.unwrap();
        let yes = Decision { allow: true, tenant: None };
        match identity.authorize(realm, &request, Some(login), Some(yes), &origin()).await.unwrap() {
            Authorization::Answer(redirect) => redirect.params,
            other => panic!("{other:?}"),
        }
    }

    /// A code for a client that shows no PKCE, with whatever else the request says.
    pub(super) async fn code(&self, realm: &Realm, login: &Login, client: &str, more: &[(&str, &str)]) -> String {
        let mut pairs = vec![("client_id", client), ("response_type", "code"), ("redirect_uri", CALLBACK)];
        if !more.iter().any(|(name, _)| *name == "scope") {
            pairs.push(("scope", "openid email thing:read"));
        }
        pairs.extend_from_slice(more);
        let answer = self.authorize(realm, login, &pairs).await;
        answer.into_iter().find(|(name, _)| *name == "code").unwrap().1
    }

    pub(super) async fn token(&self, realm: &Realm, pairs: &[(&str, &str)], shown: Shown<'_>) -> Result<TokenResponse, OAuthError> {
        self.token_in(realm, pairs, shown, None).await
    }

    pub(super) async fn token_in(
        &self,
        realm: &Realm,
        pairs: &[(&str, &str)],
        shown: Shown<'_>,
        tenant: Option<TenantId>,
    ) -> Result<TokenResponse, OAuthError> {
        let request = TokenRequest { auth: ClientAuth { basic: None, shown }, params: &params(pairs), tenant, origin: &origin() };
        self.house.identity.token(realm, &request).await
    }

    /// Tokens for a user through a confidential client.
    pub(super) async fn tokens(&self, realm: &Realm, client: &str, more: &[(&str, &str)]) -> TokenResponse {
        let login = self.login().await;
        let code = self.code(realm, &login, client, more).await;
        self.redeem(realm, client, &code).await.unwrap()
    }

    pub(super) async fn redeem(&self, realm: &Realm, client: &str, code: &str) -> Result<TokenResponse, OAuthError> {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("client_secret", SECRET),
            ("code", code),
            ("redirect_uri", CALLBACK),
        ];
        self.token(realm, &pairs, shown(None)).await
    }

    pub(super) async fn refresh(&self, realm: &Realm, client: &str, token: &str) -> Result<TokenResponse, OAuthError> {
        let pairs = [("grant_type", "refresh_token"), ("client_id", client), ("client_secret", SECRET), ("refresh_token", token)];
        self.token(realm, &pairs, shown(None)).await
    }

    pub(super) fn seconds(&self) -> i64 {
        self.house.clock.now().as_second()
    }
}

pub(super) fn after(at: Timestamp, seconds: u64) -> Timestamp {
    at + std::time::Duration::from_secs(seconds)
}
