//! The platform's getting started, from the token to the mail: python-keycloak, openssl, Mosquitto, a mail server.

use model::Clock;
use serde_json::{Value, json};
use testkit::clients::script_with;
use testkit::fleet::{ALICE, FLEET};
use testkit::{Gateway, both_engines, eventually};

use super::mqtt::{Device, attributes_become, diagnostics, message};
use super::{Api, CLIENTS, lamp};
use crate::flashlex::registering::Mailbox;

both_engines!(getting_started, super::story);

/// Tokens as python-keycloak gets them: the application's own, and a user's through the login page.
async fn tokens(gateway: &Gateway) -> Option<(String, String)> {
    let arguments = [gateway.http().base().to_owned(), ALICE.email.to_owned(), ALICE.password.to_owned()];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = script_with("HELIOGRAPH_TEST_PYTHON_OPENID", "lightelligence_tokens.py", &arguments, 60).await?.ok();
    let tokens: Value = serde_json::from_str(outcome.out.trim()).unwrap();
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    Some((text("application"), text("user")))
}

async fn story(store: Option<String>) {
    let able = r#"grants = ["client_credentials", "authorization_code", "refresh_token"]
redirect_uris = ["http://127.0.0.1:9999/cb"]
scopes = ["openid", "email", "profile"]"#;
    let fleet = FLEET.replace(r#"grants = ["client_credentials"]"#, able);
    let mailbox = Mailbox::open().await;
    let url = mailbox.url.clone();
    let gateway = Gateway::builder()
        .provision(&format!("{fleet}{CLIENTS}"))
        .store(store)
        .clock(Clock::system())
        .config(move |config| config.smtp = Some(gateway::config::Smtp { url: url.into(), from: "gateway@example.com".to_owned() }))
        .start()
        .await;
    let Some((application, user)) = tokens(&gateway).await else { return };
    let api = Api(gateway.http().bearer(application));
    let person = Api(gateway.http().bearer(user));

    // The application makes what the person then sees.
    let kind = super::id(&api.post("/device-types", &lamp()).await.expect(201).json());
    let body = json!({ "info": { "name": "Lamp", "deviceTypeId": kind, "tags": ["story"], "communicationInterval": 3_600 } });
    let id = super::id(&api.post("/devices", &body).await.expect(201).json());
    assert_eq!(person.get("/devices?deviceTag=story").await.expect(200).json()["data"][0]["id"], id);
    let note = json!({
        "notificationTemplate": {
            "notificationRecipient": "alert@example.com, second@example.com", "notificationTopic": "Please check the lamp",
            "notificationPayload": "It is too hot.", "debounceDuration": 4,
        },
        "notificationFilter": { "eventFilter": { "deviceEvent": ["overheated"] }, "deviceFilter": { "deviceTag": ["story"] } },
    });
    let note = person.post("/notifications", &note).await.expect(200).json()["data"]["notificationId"].as_str().unwrap().to_owned();

    // The device comes with a certificate of its own and listens.
    let (device, _) = Device::register(&gateway, &api, &id).await;
    let mut heard = device.subscribe(&[&format!("devices/{id}/configuration"), &format!("devices/{id}/actions")]).await;
    eventually("its coming is noted", 20, async || diagnostics(&api, &id).await.contains(&"Device connected".to_owned())).await;

    // It reports; the newer value overwrites, the other one stays.
    device.publish("data-ingest", &json!({ "type": "attributes", "value": { "temperature": 20, "humidity": 40 } })).await;
    device.publish("data-ingest", &json!({ "type": "attributes", "value": { "temperature": 21.5 } })).await;
    attributes_become(&api, &id, &json!({ "temperature": 21.5, "humidity": 40 })).await;
    let state = api.get(&format!("/devices/{id}/state")).await.expect(200).json();
    assert_eq!(state["data"]["status"], "ONLINE");
    assert!(state["data"]["lastSeen"].is_string());

    // Told to change, it changes and says so.
    let desired = api.patch(&format!("/devices/{id}"), &json!({ "configuration": { "brightness": 60 } })).await.expect(200).json();
    assert_eq!(desired["data"]["configuration"], json!({ "brightness": 60 }));
    let (topic, said) = message(&mut heard).await;
    assert_eq!(topic, format!("devices/{id}/configuration"));
    assert_eq!(said, json!({ "deviceId": id, "aliases": [], "configuration": { "brightness": 60 } }));
    device.publish("data-ingest", &json!({ "type": "configuration", "value": { "brightness": 60 } })).await;
    eventually("the reported configuration", 20, async || {
        api.get(&format!("/devices/{id}/state")).await.expect(200).json()["data"]["configuration"] == json!({ "brightness": 60 })
    })
    .await;

    // Told to act, it hears of it.
    let action = json!({ "action": "raiseTemperature", "payload": { "value": 2, "description": "a bit" }, "description": "read past" });
    let accepted = api.post(&format!("/devices/{id}/actions"), &action).await.expect(202).json();
    let (topic, said) = message(&mut heard).await;
    assert_eq!(topic, format!("devices/{id}/actions"));
    let wanted = json!({
        "deviceId": id, "aliases": [], "actionId": accepted["data"]["actionId"], "action": "raiseTemperature",
        "payload": { "value": 2, "description": "a bit" },
    });
    assert_eq!(said, wanted);

    // What does not fit its type is noted and not believed.
    device.publish("data-ingest", &json!({ "type": "attributes", "value": { "humidity": 400 } })).await;
    device.publish("event-ingest", &json!({ "type": "unheardOf" })).await;
    eventually("two notes", 20, async || diagnostics(&api, &id).await.iter().filter(|note| !note.starts_with("Device ")).count() >= 2)
        .await;
    attributes_become(&api, &id, &json!({ "temperature": 21.5, "humidity": 40 })).await;

    // The series that its type keeps.
    let series = |path: &str, more: &str| format!("/devices/{id}/{path}path=$.attributes.temperature{more}");
    let points = api.get(&series("last-timeseries?", "")).await.expect(200).json();
    let values: Vec<&Value> = points["data"].as_array().unwrap().iter().map(|point| &point["value"]).collect();
    assert_eq!(values, [&json!(21.5), &json!(20)], "the newest first");
    assert_eq!(api.get(&format!("/devices/{id}/last-timeseries?path=$.attributes.humidity")).await.expect(200).json()["data"], json!([]));
    let now = Clock::system().now();
    let hour = jiff::SignedDuration::from_hours(1);
    let range = format!("&startTime={}&endTime={}", now - hour, now + hour);
    for (aggregation, value) in [
        ("min", json!(20)),
        ("max", json!(21.5)),
        ("mean", json!(20.75)),
        ("sum", json!(41.5)),
        ("count", json!(2)),
        ("diff", json!(1.5)),
        ("first", json!(20)),
        ("last", json!(21.5)),
    ] {
        let one = api.get(&series("aggregated-timeseries?", &format!("{range}&aggregation={aggregation}"))).await.expect(200).json();
        let data = one["data"].as_array().unwrap();
        assert_eq!((data.len(), &data[0]["value"]), (1, &value), "{aggregation}");
    }
    let _ = api.delete(&series("timeseries?", &range)).await.expect(204);
    assert_eq!(api.get(&series("last-timeseries?", "")).await.expect(200).json()["data"], json!([]));

    // It is too hot: one mail to both, though it happens twice.
    for temperature in [90, 91] {
        device.publish("event-ingest", &json!({ "type": "overheated", "value": { "temperature": temperature } })).await;
    }
    eventually("both mails", 30, async || mailbox.mails.lock().len() >= 2).await;
    for address in ["alert@example.com", "second@example.com"] {
        let mails = mailbox.mails.lock();
        let mine: Vec<&String> = mails.iter().filter(|mail| mail.contains(&format!("To: {address}"))).collect();
        assert_eq!(mine.len(), 1, "{mails:?}");
        assert!(mine[0].contains("Subject: Please check the lamp") && mine[0].contains("It is too hot."), "{}", mine[0]);
    }
    let events = api.get(&format!("/devices/{id}/last-events?eventTypes=overheated,alert")).await.expect(200).json();
    let temperatures: Vec<&Value> = events["data"].as_array().unwrap().iter().map(|one| &one["value"]["temperature"]).collect();
    assert_eq!(temperatures, [&json!(91), &json!(90)]);
    assert_eq!(api.get(&format!("/devices/{id}/last-events?eventTypes=alert")).await.expect(200).json()["data"], json!([]));
    eventually("both times in the history", 20, async || {
        let history = api.get(&format!("/notifications/history?notificationId={note}")).await.expect(200).json();
        history["meta"]["itemsTotal"] == 2 && history["data"][0]["notificationTrigger"]["value"] == json!({ "temperature": 91 })
    })
    .await;

    // By HTTP as by MQTT.
    let data = json!({ "deviceId": id, "type": "attributes", "value": { "temperature": 19 } });
    let _ = api.post("/data-ingest", &data).await.expect(202);
    attributes_become(&api, &id, &json!({ "temperature": 19, "humidity": 40 })).await;
    let _ = api.post("/event-ingest", &json!({ "deviceId": id, "type": "alert", "value": {} })).await.expect(202);
    eventually("the event", 20, async || {
        let events = api.get(&format!("/devices/{id}/events?eventTypes=alert")).await.expect(200).json();
        events["meta"]["itemsTotal"] == 1
    })
    .await;

    heard.kill().await;
    eventually("its going is noted", 20, async || diagnostics(&api, &id).await.contains(&"Device disconnected".to_owned())).await;
    let _ = api.delete(&format!("/devices/{id}")).await.expect(204);
    let refused = device.try_publish("data-ingest", "{}", &[]).await;
    assert_ne!(refused.code, Some(0), "a device that is gone: {refused:?}");
}
