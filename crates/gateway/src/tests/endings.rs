//! A credential that ends takes along what was opened with it, however indirectly; a thing that is gone leaves nothing behind.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::{Credential, NewApiKey, Origin, SecretString, TenantChoice};
use model::RequestId;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use testkit::fleet::{ALICE, API_KEY};
use testkit::mqtt::Client;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Gateway, SECRET};

fn origin() -> Origin {
    Origin { address: None, label: None, request: RequestId(uuid::Uuid::nil()) }
}

/// The connection ends within a second of now.
async fn ends_at_once(mut client: Client, what: &str) {
    let begun = std::time::Instant::now();
    client.ended(2).await;
    assert!(begun.elapsed() < Duration::from_millis(1_900), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_made_for_an_api_key_ends_with_it() {
    let gateway = Gateway::start().await;
    let (identity, caller) = (gateway.running.house.identity.clone(), gateway.acme().await);
    let signed_in = identity.sign_in(Credential::ApiKey { key: API_KEY }, TenantChoice::Home, &origin()).await.unwrap();
    for profile in [&native::TOKENS, &flashlex::TOKENS] {
        let token = identity.issue(&signed_in, profile, None).await.unwrap().token;
        gateway.connect(profile.name, "a", &token).await.close().await;
    }
    let token = identity.issue(&signed_in, &native::TOKENS, None).await.unwrap().token;
    let client = gateway.connect("k", "a", &token).await;
    identity.delete_api_key(&caller, signed_in.api_key.unwrap()).await.unwrap();
    ends_at_once(client, "a token of a removed key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_that_runs_out_ends_its_connections() {
    let gateway = Gateway::start().await;
    let (identity, caller) = (gateway.running.house.identity.clone(), gateway.acme().await);
    let expires = Some(gateway.now() + Duration::from_secs(1));
    let new = NewApiKey { user: ALICE.id.parse().unwrap(), label: "short".to_owned(), key: None, expires };
    let (_, key) = identity.create_api_key(&caller, new).await.unwrap();
    let key: &str = identity::ExposeSecret::expose_secret(&key);
    let signed_in = identity.sign_in(Credential::ApiKey { key }, TenantChoice::Home, &origin()).await.unwrap();
    let token = identity.issue(&signed_in, &native::TOKENS, None).await.unwrap().token;
    let (by_key, by_token) = (gateway.connect("key", "a", key).await, gateway.connect("token", "a", &token).await);
    ends_at_once(by_key, "an expired key").await;
    ends_at_once(by_token, "a token of an expired key").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_a_thing_signed_ends_with_its_certificate() {
    let gateway = Gateway::start().await;
    let (things, caller) = (gateway.running.house.things.clone(), gateway.acme().await);
    let credentials = things::Credentials::RsaCertificate;
    let new = things::NewThing { key: Some("signer".to_owned()), credentials, ..Default::default() };
    let keys = things.provision(&caller, new).await.unwrap().keys.unwrap();
    let pem = keys.private_key_pem.unwrap();
    let key = any_supported_type(&PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let json = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json(serde_json::json!({ "typ": "JWT", "alg": "RS256", "kid": "signer" }));
    let exp = gateway.now().as_second() + 3_600;
    let claims = json(serde_json::json!({ "exp": exp, "iss": "urn:thing:signer", "aud": "urn:flashlex:signer" }));
    let signature = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).unwrap().sign(format!("{head}.{claims}").as_bytes()).unwrap();
    let token = format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature));

    let (signer, other) = (gateway.connect("signer", "signer", &token).await, gateway.connect("other", "dev-2", SECRET).await);
    things.revoke_certificate(&caller, "signer", &keys.fingerprint).await.unwrap();
    ends_at_once(signer, "a token signed with a revoked key").await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_thing_retained_goes_with_it() {
    let gateway = Gateway::start().await;
    let (things, caller) = (gateway.running.house.things.clone(), gateway.acme().await);
    let mut thing = gateway.connect("truck-2", "dev-2", SECRET).await;
    thing.writer.publish("things/dev-2/state", b"secret of the old one", 1, true).await.unwrap();
    thing.reader.expect().await;
    let mut alice = gateway.connect("alice", "a", API_KEY).await;
    assert_eq!(alice.subscribe("things/+/state", 1).await, 1);
    assert_eq!(alice.receive().await.1, "secret of the old one");

    // A new name is not its end.
    let change = things::ThingChange { name: Some("truck-22".to_owned()), ..Default::default() };
    things.update(&caller, "dev-2", change).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(gateway.running.broker.stats().retained, 1);

    things.deprovision(&caller, "dev-2").await.unwrap();
    testkit::eventually("forgotten", 2, async || gateway.running.broker.stats().retained == 0).await;
    let new = things::NewThing {
        key: Some("dev-2".to_owned()),
        credentials: things::Credentials::Secret,
        secret: Some(SecretString::from(SECRET)),
        ..Default::default()
    };
    things.provision(&caller, new).await.unwrap();
    let mut successor = gateway.connect("truck-2", "dev-2", SECRET).await;
    assert_eq!(successor.subscribe("things/dev-2/#", 1).await, 1);
    successor.quiet(Duration::from_millis(200)).await;
}

/// Signed in at the pages; the cookie.
async fn browser(gateway: &Gateway, person: testkit::fleet::Person) -> String {
    let form = format!("email={}&password={}&next=/", person.email.replace('@', "%40"), person.password.replace(' ', "+"));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let answer = gateway.http().send(reqwest::Method::POST, "/console/login", &headers, Some(form.into())).await;
    answer.header("set-cookie").unwrap_or_else(|| panic!("{answer}")).split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_link_signs_nobody_out() {
    let gateway = Gateway::start().await;
    let cookie = browser(&gateway, ALICE).await;
    let get = async |path: &str| gateway.http().send(reqwest::Method::GET, path, &[("cookie", &cookie)], None).await;
    assert_eq!(get("/console/sessions").await.status, 200);
    // Carol's own id token is one of ours, but says nothing about who sits here.
    let carols = id_token(&gateway, testkit::fleet::CAROL).await;
    for hint in ["x", "", "a.b.c", carols.as_str()] {
        let asked = get(&format!("/oauth2/logout?id_token_hint={hint}")).await;
        assert_eq!(asked.status, 200, "{hint}");
        assert!(asked.text().contains("Sign out?"), "{hint} {asked}");
        assert_eq!(get("/console/sessions").await.status, 200, "{hint}");
    }
    let alices = id_token(&gateway, ALICE).await;
    assert!(get(&format!("/oauth2/logout?id_token_hint={alices}")).await.text().contains("You are signed out"));
    assert_eq!(get("/console/sessions").await.status, 303);
}

/// An id token of somebody, by a client of its tenant.
async fn id_token(gateway: &Gateway, person: testkit::fleet::Person) -> String {
    let identity = &gateway.running.house.identity;
    let tenant = if person.id == ALICE.id { testkit::fleet::ACME } else { testkit::fleet::GLOBEX };
    let operator = identity.operator_caller(tenant.parse().unwrap());
    let id = format!("app-{}", person.id);
    let new = identity::NewClient {
        id: Some(id.clone()),
        secret: Some(SecretString::from("a secret of the app")),
        grants: vec![model::Grant::AuthorizationCode],
        redirect_uris: vec!["https://app.example/cb".to_owned()],
        scopes: vec!["openid".to_owned()],
        ..Default::default()
    };
    identity.create_client(&operator, new).await.unwrap();
    let cookie = browser(gateway, person).await;
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("cookie", cookie.as_str())];
    let form = format!("client_id={id}&response_type=code&scope=openid&consent=allow");
    let answer = gateway.http().send(reqwest::Method::POST, "/oauth2/authorize", &headers, Some(form.into())).await;
    let location = answer.header("location").unwrap_or_else(|| panic!("{answer}")).to_owned();
    assert_eq!(answer.status, 303, "{answer}");
    let code = location.split(['?', '&']).find_map(|p| p.strip_prefix("code=")).unwrap();
    let form = format!("grant_type=authorization_code&client_id={id}&client_secret=a+secret+of+the+app&code={code}");
    let answer = gateway.http().send(reqwest::Method::POST, "/oauth2/token", &headers[..1], Some(form.into())).await;
    answer.json()["id_token"].as_str().unwrap().to_owned()
}

/// A GraphQL subscription by hand: RFC 6455 frames, masked with zeros.
struct Socket(tokio::net::TcpStream);

impl Socket {
    async fn open(gateway: &Gateway) -> Self {
        let at = gateway.running.ready.http.unwrap();
        let mut socket = Self(tokio::net::TcpStream::connect(at).await.unwrap());
        let request = format!(
            "GET /graphql HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        );
        socket.0.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.0.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        socket
    }

    async fn send(&mut self, value: serde_json::Value) {
        let text = value.to_string();
        let mut frame = vec![0x81, 0xfe];
        frame.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
    }

    async fn receive(&mut self) -> serde_json::Value {
        let read = async {
            assert_eq!(self.0.read_u8().await.unwrap(), 0x81);
            let length = match self.0.read_u8().await.unwrap() {
                126 => usize::from(self.0.read_u16().await.unwrap()),
                short => usize::from(short),
            };
            let mut text = vec![0; length];
            self.0.read_exact(&mut text).await.unwrap();
            serde_json::from_slice(&text).unwrap()
        };
        tokio::time::timeout(Duration::from_secs(5), read).await.expect("nothing came")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graphql_subscription_ends_with_its_token() {
    let gateway = Gateway::start().await;
    let house = gateway.running.house.clone();
    let caller = gateway.acme().await;
    let signed_in = house.identity.sign_in(Credential::ApiKey { key: API_KEY }, TenantChoice::Home, &origin()).await.unwrap();
    let token = house.identity.issue(&signed_in, &flash_payments::TOKENS, None).await.unwrap().token;
    let mut socket = Socket::open(&gateway).await;
    socket.send(serde_json::json!({ "type": "connection_init", "payload": { "token": token } })).await;
    assert_eq!(socket.receive().await["type"], "connection_ack");
    let query = serde_json::json!({ "query": "subscription { messages { id } }" });
    socket.send(serde_json::json!({ "id": "1", "type": "subscribe", "payload": query })).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let say = async |text: &'static str| {
        let outgoing = things::Outgoing { payload: text.into(), idempotency_key: None, expires: None };
        house.things.send(&caller, "dev-2", outgoing).await.unwrap();
    };
    say("while it may").await;
    let told = socket.receive().await;
    assert!(told["payload"]["data"]["messages"]["id"].is_string(), "{told}");
    house.identity.revoke_token(&caller, identity::TokenRef::Text(&token)).await.unwrap();
    say("not for these eyes").await;
    let told = socket.receive().await;
    assert!(!told["payload"]["data"]["messages"]["id"].is_string(), "{told}");
    assert!(told.to_string().contains("UNAUTHENTICATED"), "{told}");
    assert_eq!(socket.receive().await["type"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_has_only_so_many_graphql_subscriptions() {
    let gateway = Gateway::start().await;
    let identity = &gateway.running.house.identity;
    let signed_in = identity.sign_in(Credential::ApiKey { key: API_KEY }, TenantChoice::Home, &origin()).await.unwrap();
    let token = identity.issue(&signed_in, &flash_payments::TOKENS, None).await.unwrap().token;
    let mut socket = Socket::open(&gateway).await;
    socket.send(serde_json::json!({ "type": "connection_init", "payload": { "token": token } })).await;
    assert_eq!(socket.receive().await["type"], "connection_ack");
    for id in 0..=256 {
        let query = serde_json::json!({ "query": "subscription { messages { id } }" });
        socket.send(serde_json::json!({ "id": id.to_string(), "type": "subscribe", "payload": query })).await;
    }
    let told = socket.receive().await;
    assert!(told.to_string().contains("too many"), "{told}");
}
