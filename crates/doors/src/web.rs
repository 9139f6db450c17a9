//! Requests through the routers of one gateway: no socket, the same code.

use std::sync::OnceLock;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edge::{Meter, VirtualHosts};
use gateway::{Config, Running};
use http::{Method, Request, Uri, header};
use http_body_util::BodyExt as _;
use identity::TokenProfile;
use model::{Clock, Timestamp};
use serde_json::{Value, json};
use testkit::fleet::{ALICE, API_KEY, FLEET};
use tokio_util::sync::CancellationToken;

use crate::runtime;

const SECRET: &str = "a secret of truck 1";
const CALLBACK: &str = "https://app.example/cb";

struct House {
    running: Running,
    app: edge::App,
    clock: Clock,
    native: String,
    flotas: String,
    flash: String,
    open_iot: String,
    flashlex: String,
    cookie: String,
    _folder: tempfile::TempDir,
}

fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(|| runtime().block_on(open()))
}

async fn open() -> House {
    // A second call only says that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let fleet = folder.path().join("fleet.toml");
    let able = format!(
        "grants = [\"client_credentials\", \"authorization_code\", \"refresh_token\"]\nredirect_uris = [\"{CALLBACK}\"]\nscopes = [\"openid\", \"email\"]"
    );
    let text = FLEET
        .replace("grants = [\"client_credentials\"]", &able)
        .replace("name = \"acme\"\n", "name = \"acme\"\naffiliation = \"FP_AUS\"\n");
    std::fs::write(&fleet, text).unwrap();
    let clock = Clock::manual("2026-03-01T12:00:00Z".parse().unwrap());
    let mut config = Config::for_test(folder.path().join("data"), clock.clone());
    config.provision = Some(fleet);
    let running = gateway::start(config).await.unwrap();
    let gateway::House { identity, things, notify, rules, .. } = running.house.clone();
    let options = native::Options::new("0", clock.now());
    let app = native::App {
        identity: identity.clone(),
        things: things.clone(),
        notify: notify.clone(),
        rules: rules.clone(),
        options,
        provision: None,
        backup: None,
        counts: None,
        docs: Vec::new(),
    };
    let flashlex_options = flashlex::Options {
        mqtt_host: "localhost".into(),
        mqtts_port: 8883,
        sdk_zip: None,
        return_private_key_on_get: false,
        registration: true,
    };
    let flashlex = flashlex::App { identity: identity.clone(), things: things.clone(), notify: notify.clone(), options: flashlex_options };
    let realm = &openid::realms::OLT.realm.profile;
    let lightelligence = lightelligence::App { identity: identity.clone(), things: things.clone(), rules: rules.clone(), realm };
    let root = native::router(app)
        .merge(flotas_control::router(flotas_control::App { identity: identity.clone(), things: things.clone() }))
        .merge(flash_payments::router(flash_payments::App { identity: identity.clone(), things: things.clone(), rules: rules.clone() }))
        .merge(openid::router(openid::App { identity: identity.clone(), notify: notify.clone() }))
        .merge(lightelligence::router(lightelligence))
        .merge(flashlex::router(flashlex))
        .merge(open_iot::router(open_iot::App { identity, notify, registration: true, version: "0" }));
    let app = edge::App::new(VirtualHosts::new(root), clock.clone(), Vec::new(), Meter::default());
    let mut house = House {
        running,
        app,
        clock,
        native: String::new(),
        flotas: String::new(),
        flash: String::new(),
        open_iot: String::new(),
        flashlex: String::new(),
        cookie: String::new(),
        _folder: folder,
    };
    house.native = house.token("/heliograph/v1/token", &json!({ "email": ALICE.email, "password": ALICE.password }), "/access_token").await;
    house.flotas = house.token("/api/Auth/Token", &json!({ "userName": ALICE.email, "apiKey": API_KEY }), "/token").await;
    let login = json!({ "username": ALICE.email, "password": ALICE.password });
    house.open_iot = house.token("/v1/api/auth/token", &login, "/token").await;
    let query = format!("mutation {{ login(input: {{ email: \"{}\", password: \"{}\" }}) {{ token }} }}", ALICE.email, ALICE.password);
    house.flash = house.token("/graphql", &json!({ "query": query }), "/data/login/token").await;
    let basic = [("authorization", basic(ALICE.email, ALICE.password))];
    let answer = house.ask(Method::GET, "/prd/v1/token", &basic, Vec::new()).await.unwrap();
    house.flashlex = json_of(answer).await["accessToken"].as_str().unwrap().to_owned();
    let bearer = [("authorization", format!("Bearer {}", house.native))];
    let set = json!({ "secret": SECRET }).to_string().into_bytes();
    let answer = house.ask(Method::PUT, "/heliograph/v1/things/dev-1/secret", &bearer, set).await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
    let form = format!("email={}&password={}&next=/", ALICE.email, ALICE.password.replace(' ', "+"));
    let answer = house.ask(Method::POST, "/console/login", &[FORM], form.into_bytes()).await.unwrap();
    house.cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    house
}

const FORM: (&str, String) = ("content-type", String::new());

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

async fn json_of(answer: Response) -> Value {
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

impl House {
    async fn token(&self, path: &str, body: &Value, pointer: &str) -> String {
        let answer =
            self.ask(Method::POST, path, &[("content-type", "application/json".to_owned())], body.to_string().into_bytes()).await.unwrap();
        let value = json_of(answer).await;
        value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{path}: {value}")).to_owned()
    }

    /// `None` when the target is no address or a header no header: no listener would have taken it.
    async fn ask(&self, method: Method, target: &str, headers: &[(&str, String)], body: Vec<u8>) -> Option<Response> {
        let uri: Uri = target.parse().ok().filter(|uri: &Uri| uri.path().starts_with('/'))?;
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            let value = if *name == FORM.0 && value.is_empty() { "application/x-www-form-urlencoded" } else { value };
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(body)).ok()?;
        Some(self.app.respond(request, None, CancellationToken::new()).await)
    }
}

/// Sends it and looks at the answer.
fn send(method: &Method, target: &str, headers: &[(&str, String)], body: &[u8]) -> Option<Response> {
    let house = house();
    let answer = runtime().block_on(house.ask(method.clone(), target, headers, body.to_vec()))?;
    let status = answer.status();
    assert!(status.as_u16() < 500, "{method} {target}: {status}");
    Some(answer)
}

/// First byte: query, form or JSON; the rest are a tracker's fields, which come from a device that knows its secret.
pub fn tracker(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let _ = things::position(rest, Timestamp::UNIX_EPOCH);
    let who = ("authorization", basic("dev-1", SECRET));
    let path = "/api/osmand";
    let _ = match first % 3 {
        0 => match std::str::from_utf8(rest) {
            Ok(query) => send(&Method::GET, &format!("{path}?id=dev-1&{query}"), &[who], b""),
            Err(_) => None,
        },
        1 => send(&Method::POST, &format!("{path}?id=dev-1"), &[who, FORM], rest),
        _ => send(&Method::POST, &format!("{path}?id=dev-1"), &[who, ("content-type", "application/json".to_owned())], rest),
    };
    // A second later, so that nothing is rationed.
    house().clock.advance(std::time::Duration::from_secs(1));
}

/// Numbers, times and positions as trackers write them: what is read is finite and within its bounds.
pub fn numbers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for value in [Some(Value::from(text)), serde_json::from_str(text).ok()].into_iter().flatten() {
        if let Some(number) = things::number(&value) {
            assert!(number.is_finite(), "{value}");
        }
    }
    let _ = things::moment(text);
    let now = "2026-03-01T12:00:00Z".parse().unwrap();
    for fields in [json!({ "lat": text, "lon": text }), json!({ "lat": 1, "lon": 2, "timestamp": text, "speed": text, "alt": text })] {
        if let Some(position) = things::position(fields.to_string().as_bytes(), now) {
            assert!(position.latitude.abs() <= 90.0 && position.longitude.abs() <= 180.0, "{fields}");
        }
    }
}

/// A bearer token for every profile, and for a thing: none is good that was not issued.
pub fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let identity = &house().running.house.identity;
    let profiles: [&TokenProfile; 7] = [
        &native::TOKENS,
        &flashlex::TOKENS,
        &flotas_control::TOKENS,
        &flash_payments::TOKENS,
        &open_iot::TOKENS,
        &openid::realms::PLAIN.realm.profile,
        &openid::realms::OLT.realm.profile,
    ];
    // The key's id is new in each process: `KID` in the corpus stands for it.
    let jwks = identity.jwks();
    let kid = jwks["keys"][0]["kid"].as_str().unwrap();
    for text in [text.to_owned(), with_kid(text, kid)] {
        runtime().block_on(async {
            for profile in profiles {
                assert!(identity.verify(&text, profile).await.is_err(), "{text}");
            }
            assert!(identity.verify_thing_token("dev-1", &text).await.is_err(), "{text}");
        });
        let _ = send(&Method::GET, "/heliograph/v1/me", &[("authorization", format!("Bearer {text}"))], b"");
    }
}

/// `{"kid":"KID",…}.claims.signature`, header and claims as JSON: encoded as a token.
fn with_kid(text: &str, kid: &str) -> String {
    let text = text.replace("KID", kid);
    let mut parts = text.split('\n');
    let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(claims), signature) => {
            format!("{}.{}.{}", encode(header), encode(claims), signature.unwrap_or_default())
        }
        _ => text,
    }
}

/// A GraphQL document by somebody who is logged in. It is answered, with an error or without, and soon.
pub fn graphql(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let who = ("authorization", format!("Bearer {}", house().flash));
    let json = ("content-type", "application/json".to_owned());
    // A login asks for argon2 and is rationed: not what is looked for here.
    if text.contains("log") {
        return;
    }
    let began = std::time::Instant::now();
    let answer = send(&Method::POST, "/graphql", &[who, json], json!({ "query": text }).to_string().as_bytes()).unwrap();
    assert!(began.elapsed().as_secs() < 5, "slow: {text}");
    let body = runtime().block_on(json_of(answer));
    assert!(body.get("data").is_some() || body.get("errors").is_some(), "{body}");
    let ours = |error: &Value| error["extensions"]["code"] == "INTERNAL_SERVER_ERROR";
    assert!(!body["errors"].as_array().is_some_and(|errors| errors.iter().any(ours)), "{body}");
}

/// First byte: the operation; the rest is its JSON body.
pub fn json(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let house = house();
    let operations: &[(&str, Method, &str)] = &[
        (&house.native, Method::POST, "/heliograph/v1/things/dev-1/messages"),
        (&house.native, Method::PATCH, "/heliograph/v1/things/dev-1"),
        (&house.native, Method::POST, "/heliograph/v1/things/dev-1/certificates"),
        (&house.native, Method::POST, "/heliograph/v1/clients"),
        (&house.native, Method::POST, "/heliograph/v1/api-keys"),
        (&house.native, Method::POST, "/heliograph/v1/memberships"),
        (&house.native, Method::POST, "/heliograph/v1/token/revoke"),
        (&house.flashlex, Method::POST, "/prd/v1/things/dev-1/publish"),
        (&house.flotas, Method::PATCH, "/api/groups/1"),
        (&house.flotas, Method::PATCH, "/api/users/1"),
        (&house.flotas, Method::PUT, "/api/groups/1"),
        (&house.flotas, Method::POST, "/api/groups"),
        (&house.flotas, Method::POST, "/api/devices/1/locations"),
        (&house.flotas, Method::POST, "/api/devices/1/alerts"),
        (&house.flotas, Method::POST, "/api/devices/1/sendCommand"),
        (&house.open_iot, Method::POST, "/v1/api/accounts"),
        (&house.open_iot, Method::PUT, "/v1/api/users/ecd13b11-6d91-4e8e-9156-60e451a3c975"),
    ];
    let (token, method, path) = &operations[usize::from(*first) % operations.len()];
    let headers = [("authorization", format!("Bearer {token}")), ("content-type", "application/json".to_owned())];
    let _ = send(method, path, &headers, rest);
    house.clock.advance(std::time::Duration::from_secs(1));
}

/// First byte: the endpoint; the rest is its query or form. Whoever is sent somewhere is sent to a registered address or stays here.
pub fn oauth(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let house = house();
    let cookie = ("cookie", house.cookie.clone());
    let realm = "/v1/id/auth/realms/olt/protocol/openid-connect";
    let answer = match first % 8 {
        0 => send(&Method::GET, &format!("/oauth2/authorize?{text}"), &[cookie], b""),
        1 => send(&Method::GET, &format!("{realm}/auth?{text}"), &[cookie], b""),
        2 => send(&Method::POST, "/oauth2/authorize", &[cookie, FORM], rest),
        3 => send(&Method::GET, &format!("/oauth2/logout?{text}"), &[], b""),
        4 => send(&Method::POST, "/oauth2/token", &[FORM], rest),
        5 => send(&Method::GET, &format!("/console/login?{text}"), &[], b""),
        6 => send(&Method::POST, "/oauth2/device_authorization", &[FORM], rest),
        _ => send(&Method::GET, &format!("/oauth2/authorize?client_id=backend&{text}"), &[], b""),
    };
    if let Some(answer) = answer
        && let Some(location) = answer.headers().get(header::LOCATION)
    {
        let to = location.to_str().unwrap();
        let stays = to.starts_with('/') && !to.starts_with("//") && !to.starts_with("/\\");
        let registered = to.strip_prefix(CALLBACK).is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '#']));
        assert!(stays || registered, "sent to {to}");
    }
    house.clock.advance(std::time::Duration::from_secs(30));
}
