//! Notifications: all seven operations on both engines, bad input, and a mail server somebody else wrote.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Gateway, both_engines, eventually, free_port};

use super::{Api, CLIENTS, builder};

both_engines!(from_birth_to_death, super::life);

fn note() -> Value {
    json!({
        "notificationTemplate": {
            "notificationRecipient": "alert@example.com", "notificationTopic": "Please check motion sensor",
            "notificationPayload": "Motion sensor needs maintenance", "debounceDuration": 4,
        },
        "notificationFilter": {
            "eventFilter": { "deviceEvent": ["maintenance"], "ruleId": "3064e3d7-79ba-4003-b9db-f03b43deecdd" },
            "deviceFilter": {
                "deviceId": ["eba878ba-4a5d-4e67-b9d4-4dfd4e55f32f"], "deviceTag": ["tag1", "tag2"],
                "deviceTypeId": ["e41bcf5e-2a4e-435a-8387-4617cd52b194"], "deviceTypeCategory": ["category1"],
                "deviceConnectedBy": ["eba878ba-4a5d-4e67-b9d4-4dfd4e55f32f"], "deviceName": ["Living*"],
                "deviceAlias": ["LivingRoom", "Hallway"],
            },
        },
    })
}

fn note_id(answer: &Value) -> String {
    answer["data"]["notificationId"].as_str().unwrap().to_owned()
}

async fn life(store: Option<String>) {
    let gateway = builder().store(store).start().await;
    let api = Api::backend(&gateway).await;
    // 200, not 201: so the platform.
    let made = api.post("/notifications", &note()).await.expect(200).json();
    let one = note_id(&made);
    let mut wanted = note();
    wanted["notificationId"] = json!(one);
    wanted["active"] = json!(true);
    assert_eq!(made["data"], wanted);
    assert_eq!(api.get(&format!("/notifications/{one}")).await.expect(200).json(), made);
    gateway.advance(Duration::from_secs(1));
    let mut second = note();
    second["active"] = json!(false);
    second["notificationFilter"] = json!({ "eventFilter": { "deviceEvent": ["alert"] } });
    let second = note_id(&api.post("/notifications/", &second).await.expect(200).json());
    let list = api.get("/notifications").await.expect(200).json();
    let ids: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|one| &one["notificationId"]).collect();
    assert_eq!(ids, [&json!(second), &json!(one)], "the newest first");
    assert_eq!(list["data"][0]["active"], false);
    let page = api.get("/notifications?page=1&pageSize=1").await.expect(200).json();
    assert_eq!(page["meta"], json!({ "page": 1, "pageSize": 1, "itemsTotal": 2, "pagesTotal": 2 }));
    assert_eq!(page["data"][0]["notificationId"], one);

    // Deep: what is not named stays.
    let change = json!({
        "active": false,
        "notificationTemplate": { "notificationTopic": "alert!" },
        "notificationFilter": { "eventFilter": { "deviceEvent": ["overheated", "maintenance"], "ruleId": null }, "deviceFilter": { "deviceTag": ["tag3"], "deviceName": null } },
    });
    let _ = api.patch(&format!("/notifications/{one}"), &change).await.expect(204);
    wanted["active"] = json!(false);
    wanted["notificationTemplate"]["notificationTopic"] = json!("alert!");
    wanted["notificationFilter"]["eventFilter"] = json!({ "deviceEvent": ["overheated", "maintenance"] });
    wanted["notificationFilter"]["deviceFilter"]["deviceTag"] = json!(["tag3"]);
    wanted["notificationFilter"]["deviceFilter"].as_object_mut().unwrap().remove("deviceName");
    assert_eq!(api.get(&format!("/notifications/{one}")).await.expect(200).json()["data"], wanted);
    // Whole: what is not named goes.
    let whole = json!({
        "active": true,
        "notificationTemplate": { "notificationRecipient": "a@example.com,b@example.com", "notificationPayload": "x" },
        "notificationFilter": { "eventFilter": { "deviceEvent": ["alert"] } },
    });
    let _ = api.put(&format!("/notifications/{one}"), &whole).await.expect(204);
    let mut wanted = whole.clone();
    wanted["notificationId"] = json!(one);
    assert_eq!(api.get(&format!("/notifications/{one}")).await.expect(200).json()["data"], wanted);

    assert_eq!(api.get("/notifications/history").await.expect(200).json()["meta"]["itemsTotal"], 0);
    let _ = api.get(&format!("/notifications/history?notificationId={one},{second}")).await.expect(200);
    let _ = api.delete(&format!("/notifications/{one}")).await.expect(204);
    for answer in [
        api.get(&format!("/notifications/{one}")).await,
        api.delete(&format!("/notifications/{one}")).await,
        api.put(&format!("/notifications/{one}"), &whole).await,
        api.patch(&format!("/notifications/{one}"), &change).await,
    ] {
        assert_eq!(answer.expect(404).json()["errorCode"], "NOTIFICATION_RESOURCE_NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_notification() {
    let gateway = super::open().await;
    let api = Api::backend(&gateway).await;
    let one = format!("/notifications/{}", note_id(&api.post("/notifications", &note()).await.expect(200).json()));
    let spoil = |pointer: &str, to: Value| {
        let mut value = note();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        value.pointer_mut(parent).unwrap()[name] = to;
        value
    };
    let people = |count: usize| json!((0..count).map(|n| format!("p{n}@example.com")).collect::<Vec<_>>().join(","));
    let template = |name: &str, to: Value| spoil(&format!("/notificationTemplate/{name}"), to);
    let _ = api.post("/notifications", &template("notificationRecipient", people(100))).await.expect(200);
    let mut bad = vec![
        json!({}),
        spoil("/notificationTemplate", Value::Null),
        spoil("/notificationFilter", json!({})),
        spoil("/notificationFilter/eventFilter", json!({})),
        spoil("/notificationFilter/eventFilter/deviceEvent", json!([])),
        spoil("/notificationFilter/eventFilter/deviceEvent", json!("alert")),
        spoil("/notificationFilter/eventFilter/ruleId", json!("rule 1")),
        spoil("/notificationFilter/deviceFilter", json!({})),
        spoil("/notificationFilter/deviceFilter/deviceTag", json!([])),
        spoil("/notificationFilter/deviceFilter/deviceId", json!(["lamp"])),
        spoil("/notificationFilter/deviceFilter/unknown", json!(["a"])),
        template("notificationPayload", Value::Null),
        template("notificationPayload", json!("")),
        template("notificationRecipient", json!("")),
        template("notificationRecipient", json!("nobody")),
        template("notificationRecipient", people(101)),
        template("notificationTopic", json!("two\r\nBcc: c@example.com")),
        template("debounceDuration", json!(1)),
        template("debounceDuration", json!(2.5)),
        template("debounceDuration", json!(2_147_483_648_u64)),
        template("debounceDuration", json!("5")),
    ];
    for body in bad.drain(..) {
        let answer = api.post("/notifications", &body).await.expect(400);
        assert_eq!(answer.json()["errorCode"], "NOTIFICATION_BAD_REQUEST", "{body}");
        let mut whole = body.clone();
        whole["active"] = json!(true);
        let _ = api.put(&one, &whole).await.expect(400);
    }
    let _ = api.put(&one, &note()).await.expect(400);
    for part in [
        json!({ "active": "yes" }),
        json!({ "notificationTemplate": { "debounceDuration": 1 } }),
        json!({ "notificationTemplate": { "notificationRecipient": "" } }),
        json!({ "notificationFilter": { "eventFilter": { "deviceEvent": [] } } }),
        json!({ "notificationFilter": { "deviceFilter": { "deviceTag": [] } } }),
        json!([]),
    ] {
        let _ = api.patch(&one, &part).await.expect(400);
    }
    let _ = api.get("/notifications/first").await;
    for query in ["?page=-1", "?pageSize=0", "?pageSize=101", "/history?notificationId=first", "/history?pageSize=x"] {
        let answer = api.get(&format!("/notifications{query}")).await.expect(400);
        assert_eq!(answer.json()["errorCode"], "NOTIFICATION_BAD_REQUEST");
    }
    // Nothing of all that changed anything.
    let left = api.get(&one).await.expect(200).json();
    assert_eq!(left["data"]["notificationTemplate"], note()["notificationTemplate"]);
}

/// Through aiosmtpd, which keeps its mail in a folder; what a filter does not mean, nobody is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_through_a_real_server() {
    let Some(python) = testkit::environment("HELIOGRAPH_TEST_PYTHON_OPENID") else { return };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let (listen, mails) = (format!("127.0.0.1:{}", free_port()), folder.path().join("mails").display().to_string());
    let arguments = ["-m", "aiosmtpd", "-n", "-l", listen.as_str(), "-c", "aiosmtpd.handlers.Mailbox", mails.as_str()];
    let server = testkit::clients::Talking::start(&python, arguments);
    eventually("a mail server", 20, async || tokio::net::TcpStream::connect(&listen).await.is_ok()).await;
    let url = format!("smtp://{listen}");
    let gateway = Gateway::builder()
        .provision(&format!("{}{CLIENTS}", testkit::fleet::FLEET))
        .config(move |config| config.smtp = Some(gateway::config::Smtp { url: url.into(), from: "gateway@example.com".to_owned() }))
        .start()
        .await;
    let api = Api::backend(&gateway).await;
    let kind = api.new_type().await;
    let device = api.new_device(&kind, "Living Room").await;
    let note = |to: &str, name: &str, event: &str| {
        json!({
            "notificationTemplate": { "notificationRecipient": to, "notificationTopic": "Hot", "notificationPayload": "It is hot." },
            "notificationFilter": { "eventFilter": { "deviceEvent": [event] }, "deviceFilter": { "deviceName": [name] } },
        })
    };
    let _ = api.post("/notifications", &note("other@example.com", "Bath*", "overheated")).await.expect(200);
    let _ = api.post("/notifications", &note("event@example.com", "living*", "alert")).await.expect(200);
    let made = note_id(&api.post("/notifications", &note("right@example.com", "living*", "overheated")).await.expect(200).json());
    let event = json!({ "deviceId": device, "type": "overheated", "value": { "temperature": 90 } });
    let _ = api.post("/event-ingest", &event).await.expect(202);
    let arrived =
        || std::fs::read_dir(folder.path().join("mails/new")).map(|dir| dir.filter_map(Result::ok).collect::<Vec<_>>()).unwrap_or_default();
    eventually("a mail", 30, async || !arrived().is_empty()).await;
    let mail = std::fs::read_to_string(arrived()[0].path()).unwrap();
    assert!(mail.contains("To: right@example.com") && mail.contains("Subject: Hot") && mail.contains("It is hot."), "{mail}");
    let history = api.get("/notifications/history").await.expect(200).json();
    assert_eq!(history["meta"]["itemsTotal"], 1);
    assert_eq!(
        (&history["data"][0]["notificationId"], &history["data"][0]["notificationTrigger"]["deviceId"]),
        (&json!(made), &json!(device))
    );
    assert_eq!(arrived().len(), 1);
    server.kill().await;
}
