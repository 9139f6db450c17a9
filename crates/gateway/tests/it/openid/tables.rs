//! Every parameter of every endpoint: missing, repeated, too long, not UTF-8. And discovery says what is there, no more.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::fleet::ALICE;
use testkit::{Gateway, Http};

use super::fleet;

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
const CALLBACK: &str = "http://127.0.0.1:9999/cb";

/// One request that is well formed, and which of its parameters it cannot do without.
struct Ask {
    endpoint: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    needed: &'static [&'static str],
}

fn asks() -> Vec<Ask> {
    const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";
    let ask = |endpoint, needed, fields: &[(&'static str, &'static str)]| {
        let mut all = vec![("client_id", "backend"), ("client_secret", "s3cr3t-of-the-backend")];
        all.extend_from_slice(fields);
        Ask { endpoint, fields: all, needed }
    };
    let grant = |name, needed, fields: &[(&'static str, &'static str)]| {
        let mut all = vec![("grant_type", name)];
        all.extend_from_slice(fields);
        ask("token_endpoint", needed, &all)
    };
    vec![
        grant("client_credentials", &["client_id", "grant_type"], &[("scope", "openid")]),
        grant("authorization_code", &["client_id", "code"], &[("code", "x"), ("redirect_uri", CALLBACK), ("code_verifier", "x")]),
        grant("refresh_token", &["client_id", "refresh_token"], &[("refresh_token", "x"), ("scope", "openid")]),
        grant("urn:ietf:params:oauth:grant-type:device_code", &["client_id", "device_code"], &[("device_code", "x")]),
        grant(
            "urn:ietf:params:oauth:grant-type:token-exchange",
            &["client_id", "subject_token", "subject_token_type"],
            &[
                ("subject_token", "x"),
                ("subject_token_type", ACCESS),
                ("actor_token", "x"),
                ("actor_token_type", ACCESS),
                ("scope", "openid"),
            ],
        ),
        grant("id_token", &["client_id", "id_token"], &[("id_token", "x")]),
        ask("introspection_endpoint", &["client_id", "client_secret", "token"], &[("token", "x"), ("token_type_hint", "access_token")]),
        ask("revocation_endpoint", &["client_id", "token"], &[("token", "x"), ("token_type_hint", "refresh_token")]),
        ask("device_authorization_endpoint", &["client_id"], &[("scope", "openid")]),
        ask(
            "pushed_authorization_request_endpoint",
            &["client_id", "response_type"],
            &[
                ("response_type", "code"),
                ("redirect_uri", CALLBACK),
                ("scope", "openid"),
                ("state", "s"),
                ("nonce", "n"),
                ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
                ("code_challenge_method", "S256"),
            ],
        ),
        ask("end_session_endpoint", &["client_id"], &[("refresh_token", "x")]),
    ]
}

fn encode(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Answers with an error of the RFCs, in JSON, and never with one of ours.
async fn refused(http: &Http, path: &str, body: String, what: &str) -> String {
    let answer = http.send(Method::POST, path, FORM, Some(body.into_bytes())).await;
    assert!((400..=401).contains(&answer.status), "{path} {what}: {answer}");
    answer.json()["error"].as_str().unwrap_or_else(|| panic!("{path} {what}: {answer}")).to_owned()
}

fn path_of(document: &Value, endpoint: &str) -> String {
    let url = document[endpoint].as_str().unwrap_or_else(|| panic!("{endpoint}"));
    format!("/{}", url.splitn(4, '/').nth(3).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_parameter_missing_repeated_too_long_or_not_utf8() {
    let fleet = fleet().replace(r#""refresh_token"]"#, r#""refresh_token", "device_code", "token_exchange", "id_token"]"#);
    let gateway = Gateway::builder().provision(&fleet).start().await;
    let http = gateway.http();
    let mut tried = 0;
    for face in ["", "/v1/id/auth/realms/olt"] {
        let document = http.get(&format!("{face}/.well-known/openid-configuration")).await.expect(200).json();
        for Ask { endpoint, fields, needed } in asks() {
            let path = path_of(&document, endpoint);
            let plain: Vec<(String, String)> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).replace(':', "%3A"))).collect();
            for (at, (name, _)) in fields.iter().enumerate() {
                let changed = |value: String| {
                    let mut all = plain.clone();
                    all[at].1 = value;
                    encode(&all)
                };
                let twice = format!("{}&{name}=x", encode(&plain));
                for (body, what) in
                    [(twice, "twice"), (changed("x".repeat(8 * 1024 + 1)), "too long"), (changed("%ff".to_owned()), "not UTF-8")]
                {
                    assert_eq!(refused(&http, &path, body, &format!("{name} {what}")).await, "invalid_request", "{path} {name} {what}");
                    tried += 1;
                }
                if needed.contains(name) {
                    let mut without = plain.clone();
                    without.remove(at);
                    let error = refused(&http, &path, encode(&without), &format!("without {name}")).await;
                    let expected = if matches!(*name, "client_id" | "client_secret") { "invalid_client" } else { "invalid_request" };
                    assert_eq!(error, expected, "{path} without {name}");
                    // Empty is as good as absent (RFC 6749 3.2).
                    assert_eq!(refused(&http, &path, changed(String::new()), &format!("{name} empty")).await, expected);
                    tried += 2;
                }
            }
            let many = (0..65).map(|n| format!("p{n}=1")).collect::<Vec<_>>().join("&");
            assert_eq!(refused(&http, &path, format!("{}&{many}", encode(&plain)), "too many").await, "invalid_request");
            // At the logout endpoint a form without a refresh token is a browser's, and answered by a page.
            for broken in ["%zz=%", "{}", "client_id", "\u{0}"].into_iter().filter(|_| endpoint != "end_session_endpoint") {
                refused(&http, &path, broken.to_owned(), broken).await;
            }
        }
        // At the authorization endpoint it is the user who is told, and nobody is sent anywhere.
        let authorize = path_of(&document, "authorization_endpoint");
        let good = format!("client_id=backend&redirect_uri={CALLBACK}&response_type=code&scope=openid&state=s");
        for name in ["client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "prompt", "request_uri", "code_challenge"] {
            for bad in [format!("{good}&{name}=x&{name}=x"), format!("{good}&{name}=%ff"), format!("{good}&{name}={}", "x".repeat(8193))] {
                let answer = http.get(&format!("{authorize}?{bad}")).await;
                assert_eq!((answer.status, answer.header("location")), (400, None), "{name}: {answer}");
                let posted = http.send(Method::POST, &authorize, FORM, Some(bad.into_bytes())).await;
                assert_eq!((posted.status, posted.header("location")), (400, None), "{name}: {posted}");
                tried += 2;
            }
        }
        // Registration takes JSON.
        let alice = ALICE.native(&http).await;
        let asked = json!({"label": "partners", "uses": 10});
        let initial = alice.post("/heliograph/v1/initial-access-tokens", &asked).await.expect(201).json();
        let partner = http.bearer(initial["token"].as_str().unwrap());
        let register = path_of(&document, "registration_endpoint");
        for body in ["", "[]", "{", "\"x\"", "\u{0}"] {
            let answer =
                partner.send(Method::POST, &register, &[("content-type", "application/json")], Some(body.as_bytes().to_vec())).await;
            assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_client_metadata")), "{body}: {answer}");
        }
        let answer = partner.send(Method::POST, &register, &[], Some(vec![0xff; 10])).await;
        assert_eq!(answer.status, 400, "{answer}");
        let nobody = http.post(&register, &json!({"redirect_uris": [CALLBACK]})).await;
        assert_eq!((nobody.status, nobody.json()["error"].as_str()), (401, Some("invalid_token")), "{nobody}");
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        let thief = alice.post(&register, &json!({"redirect_uris": [CALLBACK]})).await;
        assert_eq!(thief.status, 401, "an owner's own token is no initial access token: {thief}");
    }
    assert!(tried > 500, "{tried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_says_what_is_there() {
    let gateway = Gateway::builder().provision(&fleet()).start().await;
    let http = gateway.http();
    for face in ["", "/v1/id/auth/realms/olt"] {
        let document = http.get(&format!("{face}/.well-known/openid-configuration")).await.expect(200).json();
        for (endpoint, url) in document.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri") {
            let path = path_of(&document, endpoint);
            let method = if endpoint == "jwks_uri" { Method::GET } else { Method::POST };
            let answer = http.send(method, &path, FORM, Some(Vec::new())).await;
            assert!(answer.status != 404 && answer.status != 405 && answer.status < 500, "{endpoint} {url}: {answer}");
        }
        let lists = |name: &str, value: &str| document[name].as_array().unwrap().iter().any(|v| v == value);
        // Without a TLS listener there is no mutual TLS to speak of.
        assert!(document.get("mtls_endpoint_aliases").is_none());
        assert!(!lists("token_endpoint_auth_methods_supported", "self_signed_tls_client_auth"));
        assert_eq!(document["tls_client_certificate_bound_access_tokens"], false);
        assert!(lists("token_endpoint_auth_methods_supported", "private_key_jwt") && lists("dpop_signing_alg_values_supported", "ES256"));
        // Every grant that is named is known at the token endpoint, and no other.
        let grants = document["grant_types_supported"].as_array().unwrap();
        let token = path_of(&document, "token_endpoint");
        let client = [("client_id", "backend"), ("client_secret", "s3cr3t-of-the-backend")];
        for grant in grants.iter().map(|g| g.as_str().unwrap()).chain(["password", "urn:ietf:params:oauth:grant-type:saml2-bearer"]) {
            let answer = http.form(&token, &[client.as_slice(), &[("grant_type", grant)]].concat()).await;
            let unknown = answer.json()["error"] == "unsupported_grant_type";
            assert_eq!(unknown, !grants.iter().any(|g| g == grant), "{grant}: {answer}");
        }
    }
}
