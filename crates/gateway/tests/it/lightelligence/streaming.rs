//! Streaming connections, and the names and ports that are the dialect's own.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use testkit::Http;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;

use super::{Api, builder, id, open};

/// Connects to the address, as the platform's clients do: without a subprotocol.
async fn connect(url: &str) -> WebSocketStream<TcpStream> {
    let host = url.strip_prefix("ws://").unwrap().split('/').next().unwrap();
    let stream = TcpStream::connect(host).await.unwrap();
    tokio_tungstenite::client_async(url, stream).await.unwrap().0
}

async fn frame(socket: &mut WebSocketStream<TcpStream>) -> Value {
    let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.expect("a frame in time").unwrap().unwrap();
    serde_json::from_str(message.to_text().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_devices_report_as_it_comes() {
    let gateway = open().await;
    let api = Api::backend(&gateway).await;
    let kind = api.new_type().await;
    let tagged = json!({ "info": { "name": "table", "deviceTypeId": kind, "tags": ["kicker"] } });
    let table = id(&api.post("/devices", &tagged).await.expect(201).json());
    let other = api.new_device(&kind, "other").await;
    let asked = json!({
        "type": "live",
        "filter": { "type": ["attributeUpdate", "eventUpdate"], "deviceTag": ["kick*"], "event": ["alert"], "path": { "attributes": ["$.temperature"] } },
    });
    let made = api.post("/devices/streaming-connections", &asked).await.expect(200).json();
    let url = made["data"]["url"].as_str().unwrap();
    let secret = url.split('/').nth_back(2).unwrap();
    assert!(url.ends_with("/ws/live") && secret.len() == 64 && secret.bytes().all(|b| b.is_ascii_hexdigit()), "{url}");
    let mut typed = connect(url).await;
    let mut untyped = connect(url.strip_suffix("/live").unwrap()).await;

    let ingest = async |device: &str, path: &str, name: &str, value: Value| {
        let _ = api.post(path, &json!({ "deviceId": device, "type": name, "value": value })).await.expect(202);
    };
    ingest(&other, "/data-ingest", "attributes", json!({ "temperature": 1 })).await;
    ingest(&table, "/data-ingest", "attributes", json!({ "humidity": 2 })).await;
    ingest(&table, "/data-ingest", "configuration", json!({ "brightness": 3 })).await;
    ingest(&table, "/event-ingest", "overheated", json!({})).await;
    ingest(&table, "/data-ingest", "attributes", json!({ "temperature": 4, "humidity": 5 })).await;
    ingest(&table, "/event-ingest", "alert", json!({ "goals": 6 })).await;
    for socket in [&mut typed, &mut untyped] {
        let (first, second) = (frame(socket).await, frame(socket).await);
        assert_eq!(first["type"], "attributeUpdate");
        assert_eq!(
            (&first["payload"]["deviceId"], &first["payload"]["value"]),
            (&json!(table), &json!({ "temperature": 4, "humidity": 5 }))
        );
        assert!(first["payload"]["time"].is_string());
        assert_eq!((&second["type"], &second["payload"]["type"]), (&json!("eventUpdate"), &json!("alert")));
        assert_eq!((&second["payload"]["deviceId"], &second["payload"]["value"]), (&json!(table), &json!({ "goals": 6 })));
    }

    // Another tenant's stream of everything shows nothing of all this, only its own.
    let stranger = Api::sign_in(&gateway.http(), "stranger").await;
    let all = json!({ "filter": { "type": ["attributeUpdate", "configurationUpdate", "eventUpdate"] } });
    let made = stranger.post("/devices/streaming-connections", &all).await.expect(200).json();
    let mut theirs = connect(made["data"]["url"].as_str().unwrap()).await;
    ingest(&table, "/event-ingest", "alert", json!({ "goals": 7 })).await;
    let their_kind = stranger.new_type().await;
    let their_device = stranger.new_device(&their_kind, "theirs").await;
    let _ = stranger.post("/event-ingest", &json!({ "deviceId": their_device, "type": "alert" })).await.expect(202);
    assert_eq!(frame(&mut theirs).await["payload"]["deviceId"], their_device);

    // The address is over after 15 seconds; the stream goes on.
    gateway.advance(Duration::from_secs(16));
    let path = url.split_once("/v1").unwrap().1;
    let late = api.get(path).await.expect(403).json();
    assert_eq!(late["errorCode"], "STREAMING_INVALID_TOKEN");
    assert_eq!(frame(&mut typed).await["payload"]["value"], json!({ "goals": 7 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_streamed() {
    let gateway = open().await;
    let api = Api::backend(&gateway).await;
    for body in [
        json!({}),
        json!({ "filter": {} }),
        json!({ "filter": { "type": [] } }),
        json!({ "filter": { "type": "eventUpdate" } }),
        json!({ "filter": { "type": ["somethingElse"] } }),
        json!({ "filter": { "type": ["eventUpdate"], "deviceTags": ["a"] } }),
        json!({ "filter": { "type": ["eventUpdate"], "deviceId": ["a"] } }),
        json!({ "type": "buffered", "filter": { "type": ["eventUpdate"] } }),
    ] {
        let answer = api.post("/devices/streaming-connections", &body).await.expect(400);
        assert_eq!(answer.json()["errorCode"], "STREAMING_VALIDATION", "{body}");
    }
    let unknown = format!("/devices/streaming-connections/{}/ws", "0".repeat(64));
    for path in [unknown.clone(), format!("{unknown}/live"), format!("{unknown}/buffered")] {
        let answer = api.get(&path).await.expect(403).json();
        assert_eq!(answer["errorCode"], "STREAMING_INVALID_TOKEN");
    }
}

/// A host name of the dialect's own serves the API and its realm, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_of_its_own() {
    let gateway = builder().config(|config| config.lightelligence_hosts = vec!["api.lights.example".to_owned()]).start().await;
    let api = Api::backend(&gateway).await;
    let at =
        async |http: &Http, path: &str| http.send("GET".parse().unwrap(), path, &[("host", "API.lights.example:443")], None).await.status;
    assert_eq!(at(&api.0, "/v1/devices").await, 200);
    assert_eq!(at(&gateway.http(), "/v1/devices").await, 401);
    assert_eq!(at(&gateway.http(), "/v1/id/auth/realms/olt").await, 200);
    assert_eq!(at(&gateway.http(), "/heliograph/v1/info").await, 404);
    assert_eq!(gateway.http().get("/heliograph/v1/info").await.status, 401);
}
