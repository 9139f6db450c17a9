//! What must not work (RFC 6749, RFC 7636, RFC 9700).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde_json::Value;
use testkit::fleet::ALICE;

use super::start;
use crate::Place;

const CALLBACK: &str = "http://127.0.0.1:9999/cb";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A browser that follows nothing by itself and keeps its cookie.
pub(super) struct Browser {
    http: &'static reqwest::Client,
    pub(super) base: String,
    pub(super) cookie: Option<String>,
}

impl Browser {
    pub(super) fn new(base: String) -> Self {
        Self { http: testkit::client(), base, cookie: None }
    }

    pub(super) async fn get(&self, path: &str) -> reqwest::Response {
        let mut request = self.http.get(format!("{}{path}", self.base));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        request.send().await.unwrap()
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> reqwest::Response {
        let mut request =
            self.http.post(format!("{}{path}", self.base)).header("content-type", "application/x-www-form-urlencoded").body(form(fields));
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    pub(super) async fn log_in(&mut self) {
        let answer = self.post("/console/login", &[("email", ALICE.email), ("password", ALICE.password), ("next", "/")], &[]).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
        self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
    }

    /// A code for `client`, consent included.
    async fn code(&self, client: &str, extra: &[(&str, &str)]) -> String {
        let mut fields = vec![
            ("client_id", client),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid email"),
            ("consent", "allow"),
        ];
        fields.extend_from_slice(extra);
        let answer = self.post("/oauth2/authorize", &fields, &[]).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{}", answer.text().await.unwrap());
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        assert!(location.starts_with(CALLBACK), "{location}");
        location.split(['?', '&']).find_map(|p| p.strip_prefix("code=")).unwrap_or_else(|| panic!("{location}")).to_owned()
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (StatusCode, Value) {
        let answer = self.post("/oauth2/token", fields, &[]).await;
        (answer.status(), answer.json().await.unwrap())
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        text.bytes()
            .map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect::<String>()
    };
    fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_bound_to_client_redirect_and_challenge() {
    let place = Place::new();
    let gateway = start(&place);
    let mut browser = Browser::new(gateway.ready("public_url").to_owned());
    browser.log_in().await;
    let pkce = [("code_challenge", CHALLENGE), ("code_challenge_method", "S256")];
    let spa = |code: &str, verifier: Option<&str>, redirect: &str| {
        let mut fields = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("client_id", "spa".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", redirect.to_owned()),
        ];
        fields.extend(verifier.map(|v| ("code_verifier", v.to_owned())));
        fields
    };
    for (verifier, redirect) in [
        (None, CALLBACK),
        (Some("wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong"), CALLBACK),
        (Some(VERIFIER), "http://127.0.0.1:9999/other"),
    ] {
        let code = browser.code("spa", &pkce).await;
        let fields = spa(&code, verifier, redirect);
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let (status, body) = browser.token(&fields).await;
        assert_eq!((status, body["error"].as_str()), (StatusCode::BAD_REQUEST, Some("invalid_grant")));
    }
    // Another client can't redeem it, and does not use it up.
    let code = browser.code("spa", &pkce).await;
    let thief = [
        ("grant_type", "authorization_code"),
        ("client_id", "backend"),
        ("client_secret", "s3cr3t-of-the-backend"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(browser.token(&thief).await.1["error"], "invalid_grant");
    let owner = [
        ("grant_type", "authorization_code"),
        ("client_id", "spa"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let (status, tokens) = browser.token(&owner).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    // A public client without a challenge gets no code; `plain` is no challenge.
    for query in ["", "&code_challenge=abc&code_challenge_method=plain", "&code_challenge=abc"] {
        let answer =
            browser.get(&format!("/oauth2/authorize?client_id=spa&redirect_uri={CALLBACK}&response_type=code&scope=openid{query}")).await;
        let location = answer.headers()["location"].to_str().unwrap();
        assert!(location.contains("error=invalid_request"), "{location}");
    }
    // A verifier for a code without a challenge: somebody stripped it.
    let code = browser.code("backend", &[]).await;
    let stripped = [
        ("grant_type", "authorization_code"),
        ("client_id", "backend"),
        ("client_secret", "s3cr3t-of-the-backend"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(browser.token(&stripped).await.1["error"], "invalid_grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_used_twice_at_once_is_a_lost_reply() {
    let place = Place::new();
    let gateway = start(&place);
    let mut browser = Browser::new(gateway.ready("public_url").to_owned());
    browser.log_in().await;
    let code = browser.code("backend", &[]).await;
    let secret = ("client_secret", "s3cr3t-of-the-backend");
    let (_, tokens) = browser
        .token(&[("grant_type", "authorization_code"), ("client_id", "backend"), secret, ("code", &code), ("redirect_uri", CALLBACK)])
        .await;
    let refresh = tokens["refresh_token"].as_str().unwrap().to_owned();
    let again = [("grant_type", "refresh_token"), ("client_id", "backend"), secret, ("refresh_token", refresh.as_str())];
    let (first, second) = (browser.token(&again).await, browser.token(&again).await);
    assert_eq!((first.0, second.0), (StatusCode::OK, StatusCode::OK));
    // The same successor: two hands on one token never make two families of it.
    assert_eq!(first.1["refresh_token"], second.1["refresh_token"]);
    // More scope than was granted is refused, less is not.
    let next = second.1["refresh_token"].as_str().unwrap().to_owned();
    let more =
        [("grant_type", "refresh_token"), ("client_id", "backend"), secret, ("refresh_token", next.as_str()), ("scope", "openid profile")];
    assert_eq!(browser.token(&more).await.1["error"], "invalid_scope");
    let less = [("grant_type", "refresh_token"), ("client_id", "backend"), secret, ("refresh_token", next.as_str()), ("scope", "openid")];
    assert_eq!(browser.token(&less).await.1["scope"], "openid");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_one_face_are_refused_elsewhere() {
    let place = Place::new();
    let gateway = start(&place);
    let browser = Browser::new(gateway.ready("public_url").to_owned());
    let grant = [("grant_type", "client_credentials"), ("client_id", "backend"), ("client_secret", "s3cr3t-of-the-backend")];
    let plain = browser.token(&grant).await.1["access_token"].as_str().unwrap().to_owned();
    let realm = browser.post("/v1/id/auth/realms/olt/protocol/openid-connect/token", &grant, &[]).await;
    let realm: Value = realm.json().await.unwrap();
    let realm = realm["access_token"].as_str().unwrap().to_owned();
    let introspect = async |path: &str, token: &str| {
        let fields = [("client_id", "backend"), ("client_secret", "s3cr3t-of-the-backend"), ("token", token)];
        browser.post(path, &fields, &[]).await.json::<Value>().await.unwrap()["active"].as_bool()
    };
    let (here, there) = ("/oauth2/introspect", "/v1/id/auth/realms/olt/protocol/openid-connect/token/introspect");
    assert_eq!((introspect(here, &plain).await, introspect(there, &plain).await), (Some(true), Some(false)));
    assert_eq!((introspect(here, &realm).await, introspect(there, &realm).await), (Some(false), Some(true)));
    // The algorithm is the key's: a header of another makes no token.
    let mut parts = plain.split('.');
    let (_, claims, signature) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256","typ":"at+jwt"}"#, r#"{"alg":"EdDSA","typ":"at+jwt","kid":"x"}"#] {
        let forged = format!("{}.{claims}.{signature}", URL_SAFE_NO_PAD.encode(header));
        assert_eq!(introspect(here, &forged).await, Some(false), "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_the_code_its_rfc_names() {
    let place = Place::new();
    let gateway = start(&place);
    let mut browser = Browser::new(gateway.ready("public_url").to_owned());
    let secret = ("client_secret", "s3cr3t-of-the-backend");
    for (fields, error) in [
        (vec![], "invalid_request"),
        (vec![("grant_type", "password"), ("client_id", "backend"), secret], "unsupported_grant_type"),
        (vec![("grant_type", "client_credentials")], "invalid_client"),
        (vec![("grant_type", "client_credentials"), ("client_id", "backend"), ("client_secret", "wrong")], "invalid_client"),
        (vec![("grant_type", "client_credentials"), ("client_id", "nobody"), ("client_secret", "wrong")], "invalid_client"),
        (vec![("grant_type", "client_credentials"), ("client_id", "spa")], "unauthorized_client"),
        (
            vec![("grant_type", "client_credentials"), ("grant_type", "client_credentials"), ("client_id", "backend"), secret],
            "invalid_request",
        ),
        (vec![("grant_type", "refresh_token"), ("client_id", "backend"), secret, ("refresh_token", "x")], "invalid_grant"),
        (vec![("grant_type", "authorization_code"), ("client_id", "backend"), secret], "invalid_request"),
        (vec![("grant_type", "client_credentials"), ("client_id", "backend"), secret, ("scope", "admin")], "invalid_scope"),
    ] {
        let (status, body) = browser.token(&fields).await;
        assert!(status.is_client_error() && body["error"] == error, "{fields:?}: {status} {body}");
    }
    // Another site's form does not sign anybody in, and another site's consent counts for nothing.
    let answer =
        browser.post("/console/login", &[("email", ALICE.email), ("password", ALICE.password)], &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    browser.log_in().await;
    let fields =
        [("client_id", "backend"), ("redirect_uri", CALLBACK), ("response_type", "code"), ("scope", "openid"), ("consent", "allow")];
    let answer = browser.post("/oauth2/authorize", &fields, &[("origin", "https://evil.example")]).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    // Nobody is sent where a link says.
    let answer = browser.get("/oauth2/logout?post_logout_redirect_uri=https://evil.example&client_id=backend").await;
    assert_eq!((answer.status(), answer.headers().get("location")), (StatusCode::BAD_REQUEST, None));
    // A wrong token at userinfo.
    let answer = browser.get("/oauth2/userinfo").await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}
