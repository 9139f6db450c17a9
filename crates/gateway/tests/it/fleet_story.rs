//! One fleet, many faces: a thing of FlashLex is seen by Flotas control, watched by a rule, told of by Lightelligence's mail and by
//! GraphQL; and who loses access loses it at every face at once.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use testkit::fleet::{ACME, ALICE, FLEET, Person};
use testkit::mqtt::{Client, Options};
use testkit::{Gateway, Http, both_engines, eventually};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::flashlex::registering::Mailbox;
use crate::lightelligence_tenancy::{Api, PORTAL};

both_engines!(one_fleet, super::story);

const BOB: Person = Person { email: "bob@example.com", password: "bob drives them all", id: "ecd13b16-6d91-4e8e-9156-60e451a3c975" };
const BOBS_KEY: &str = "K4-1f2e3d4c5b6a7988";
const THING: &str = "0b8f6c1e-94d6-4f0e-8a63-0f8f4c2d7a11";
const SECRET: &str = "a secret of the truck";

fn fleet() -> String {
    format!(
        "{FLEET}{PORTAL}\n[[user]]\nemail = \"{}\"\npassword = \"{}\"\nid = \"{}\"\nverified = true\n\
         memberships = [{{ tenant = \"acme\", role = \"admin\" }}]\n\n\
         [[api_key]]\ntenant = \"acme\"\nuser = \"{}\"\nkey = \"{BOBS_KEY}\"\n",
        BOB.email, BOB.password, BOB.id, BOB.email
    )
}

async fn graphql(http: &Http, query: &str) -> Value {
    http.post("/graphql", &json!({ "query": query })).await.json()
}

/// The token of a GraphQL login.
async fn flash(http: &Http) -> String {
    let login = format!("mutation {{ login(input: {{ email: \"{}\", password: \"{}\" }}) {{ code token }} }}", BOB.email, BOB.password);
    let answer = graphql(http, &login).await;
    answer["data"]["login"]["token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

async fn story(store: Option<String>) {
    let mailbox = Mailbox::open().await;
    let url = mailbox.url.clone();
    let gateway = Gateway::builder()
        .provision(&fleet())
        .store(store)
        .config(move |config| config.smtp = Some(gateway::config::Smtp { url: url.into(), from: "gateway@example.com".to_owned() }))
        .start()
        .await;
    let http = gateway.http();
    let (native, flashlex) = (BOB.native(&http).await, BOB.flashlex(&http).await);
    let flotas = http.post("/api/Auth/Token", &json!({ "userName": BOB.email, "apiKey": BOBS_KEY })).await.expect(200).json();
    let flotas = http.bearer(flotas["token"].as_str().unwrap());
    let token = flash(&http).await;
    let flash = http.bearer(token.clone());
    let login = json!({ "username": BOB.email, "password": BOB.password });
    let open_iot = http.post("/v1/api/auth/token", &login).await.expect(200).json();
    let open_iot = http.bearer(open_iot["token"].as_str().unwrap());
    let lightelligence = Api::person(&http, &BOB, None).await.http;

    // Provisioned through FlashLex; a rule of the own API; a notification of Lightelligence.
    let _ = flashlex.post("/prd/v1/things", &json!({ "flthingspk": THING, "thingName": "mything" })).await.expect(200);
    let _ = native.put(&format!("/heliograph/v1/things/{THING}/secret"), &json!({ "secret": SECRET })).await;
    let condition = json!({ "compare": { "path": "$.attributes.temperature", "comparator": "gt", "constant": 30 } });
    let rule = json!({ "name": "too hot", "condition": condition, "event": "overheated", "repeating": false });
    let rule = native.post("/heliograph/v1/rules", &rule).await.expect(201).json();
    let note = json!({
        "notificationTemplate": { "notificationRecipient": "alert@example.com", "notificationTopic": "Truck", "notificationPayload": "It is too hot." },
        "notificationFilter": { "eventFilter": { "deviceEvent": ["overheated"], "ruleId": rule["id"] } },
    });
    let note = lightelligence.post("/v1/notifications", &note).await.expect(200).json();

    // Somebody looks on over GraphQL.
    let address = http.base().trim_start_matches("http://").to_owned();
    let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
    let stream = TcpStream::connect(&address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let query = format!("subscription {{ messages(thing: \"{THING}\") {{ text direction }} }}");
    for frame in [
        json!({ "type": "connection_init", "payload": { "authorization": format!("Bearer {token}") } }),
        json!({ "type": "subscribe", "id": "1", "payload": { "query": query } }),
    ] {
        socket.send(Message::text(frame.to_string())).await.unwrap();
    }
    let acknowledged = socket.next().await.unwrap().unwrap();
    assert!(acknowledged.to_text().unwrap().contains("connection_ack"), "{acknowledged}");

    let mut truck = Client::connect(gateway.mqtt(), &Options::new("truck").login(THING, SECRET)).await;
    let said = json!({ "lat": 4.65, "lon": -74.05, "timestamp": "2026-03-01T12:00:00Z", "temperature": 41 }).to_string();
    // The subscription begins some moment after it was asked for.
    let heard = async {
        loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Text(text) if text.contains("\"next\"") => return text.to_string(),
                _ => {}
            }
        }
    };
    let talk = async {
        loop {
            assert_eq!(truck.publish(&format!("positions/{THING}"), said.as_bytes(), 1).await, 0);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::select! {
            heard = heard => heard,
            () = talk => unreachable!(),
        }
    });
    assert!(heard.await.unwrap().contains("INBOUND"));

    // Flotas control shows where it is, the mail says what is wrong, everybody sees the alert.
    let last = flotas.get(&format!("/api/devices/{THING}/lastLocation")).await.expect(200).json();
    assert_eq!((&last["lastLocation"]["latitude"], &last["lastLocation"]["longitude"]), (&json!(4.65), &json!(-74.05)), "{last}");
    eventually("the mail", 20, async || !mailbox.mails.lock().is_empty()).await;
    {
        let mails = mailbox.mails.lock();
        assert!(mails.len() == 1 && mails[0].contains("To: alert@example.com") && mails[0].contains("It is too hot."), "{mails:?}");
    }
    let note = note["data"]["notificationId"].as_str().unwrap();
    let history = lightelligence.get(&format!("/v1/notifications/history?notificationId={note}")).await.expect(200).json();
    assert_eq!((&history["meta"]["itemsTotal"], &history["data"][0]["notificationTrigger"]["type"]), (&json!(1), &json!("overheated")));
    let alerts = native.get("/heliograph/v1/alerts?state=raised").await.expect(200).json();
    let alert = alerts["items"][0]["id"].as_str().unwrap_or_else(|| panic!("{alerts}"));
    assert_eq!((&alerts["items"][0]["rule"], &alerts["items"][0]["value"]), (&rule["id"], &json!(41)));
    let seen = graphql(&flash, &format!("mutation {{ acknowledgeAlert(id: \"{alert}\") {{ code alert {{ state name }} }} }}")).await;
    assert_eq!(seen["data"]["acknowledgeAlert"], json!({ "code": "SUCCESS", "alert": { "state": "acknowledged", "name": "too hot" } }));
    let told =
        graphql(&flash, "{ rules { items { name } } notifications { total items { events } } alerts(state: \"raised\") { items { id } } }")
            .await;
    let wanted = json!({
        "rules": { "items": [{ "name": "too hot" }] }, "notifications": { "total": 1, "items": [{ "events": ["overheated"] }] },
        "alerts": { "items": [] },
    });
    assert_eq!(told["data"], wanted);
    made_over_graphql(&flash, &native).await;
    let account = open_iot.get(&format!("/v1/api/accounts/{ACME}")).await.expect(200).json();
    assert_eq!(account["name"], "acme");

    // Bob leaves, once; no face knows him any more.
    let alice = ALICE.native(&http).await;
    let _ = alice.delete(&format!("/heliograph/v1/memberships/{}", BOB.id)).await.expect(204);
    let refused = async |http: &Http, path: &str| http.get(path).await.status;
    for (face, http, path) in [
        ("native", &native, "/heliograph/v1/rules"),
        ("FlashLex", &flashlex, "/prd/v1/things"),
        ("Flotas control", &flotas, "/api/devices"),
        ("Lightelligence", &lightelligence, "/v1/devices"),
        ("Open IoT", &open_iot, &*format!("/v1/api/accounts/{ACME}")),
    ] {
        let status = refused(http, path).await;
        assert!(matches!(status, 401 | 403 | 404), "{face}: {status}");
    }
    let answer = graphql(&flash, "{ rules { items { name } } }").await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{answer}");
}

/// A rule and a notification of GraphQL are those of every other face; what is wrong with one is said.
async fn made_over_graphql(flash: &Http, native: &Http) {
    let condition = "condition: { compare: { path: \"$.attributes.speed\", comparator: \"gt\", constant: 120 } }";
    let made = graphql(
        flash,
        &format!(
            "mutation {{ createRule(input: {{ name: \"too fast\", event: \"speeding\", {condition} }}) {{ code rule {{ id active }} }} }}"
        ),
    )
    .await;
    let reply = &made["data"]["createRule"];
    assert_eq!((&reply["code"], &reply["rule"]["active"]), (&json!("SUCCESS"), &json!(true)), "{made}");
    let rule = reply["rule"]["id"].as_str().unwrap();
    let seen = native.get(&format!("/heliograph/v1/rules/{rule}")).await.expect(200).json();
    assert_eq!(seen["condition"], json!({ "compare": { "path": "$.attributes.speed", "comparator": "gt", "constant": 120 } }));
    let made = graphql(
        flash,
        &format!(
            "mutation {{ createNotification(input: {{ recipients: [\"a@example.com\"], payload: \"p\", events: [\"speeding\"], rule: \"{rule}\" }}) \
             {{ code notification {{ id }} }} }}"
        ),
    )
    .await;
    let reply = &made["data"]["createNotification"];
    assert_eq!(reply["code"], "SUCCESS", "{made}");
    let path = format!("/heliograph/v1/notifications/{}", reply["notification"]["id"].as_str().unwrap());
    assert_eq!(native.get(&path).await.expect(200).json()["filter"]["rule"], rule);
    for wrong in [
        format!("createRule(input: {{ name: \"\", event: \"speeding\", {condition} }}) {{ code }}"),
        "createRule(input: { name: \"x\", event: \"y\", condition: { compare: 1 } }) { code }".to_owned(),
        "createNotification(input: { recipients: [\"nobody\"], payload: \"p\", events: [\"y\"] }) { code }".to_owned(),
        "createNotification(input: { recipients: [\"a@example.com\"], payload: \"p\", events: [] }) { code }".to_owned(),
    ] {
        let answer = graphql(flash, &format!("mutation {{ r: {wrong} }}")).await;
        assert_ne!(answer["data"]["r"]["code"], "SUCCESS", "{wrong}: {answer}");
        assert!(!answer.to_string().contains("INTERNAL"), "{wrong}: {answer}");
    }
}
