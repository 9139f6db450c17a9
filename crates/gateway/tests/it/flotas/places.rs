//! Where devices were: reported over MQTT and by phones, asked for by back ends.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::Gateway;
use testkit::mqtt::{Client, Options};

use super::{SECRET, alice, carol, day, error, rita, start, with_secret};

async fn tracker(gateway: &Gateway) -> Client {
    with_secret(gateway).await;
    Client::connect(gateway.mqtt(), &Options::new("tracker").login("dev-1", SECRET).level(5)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mqtt_tracker_is_found() {
    let gateway = start().await;
    let alice = alice(&gateway).await;
    let last = alice.get("/api/devices/dev-1/lastLocation").await.expect(200).json();
    assert_eq!((&last["success"], &last["lastLocation"]), (&json!(true), &Value::Null), "no fix yet");

    let mut tracker = tracker(&gateway).await;
    let fix =
        json!({ "lat": 4.65, "lon": -74.05, "speed": 12.5, "course": 90, "battery": 80, "timestamp": "2026-03-01T11:58:00Z", "sat": 9 });
    assert_eq!(tracker.publish("positions/dev-1", fix.to_string().as_bytes(), 1).await, 0);
    // Its other topics are as good, and what is no position does not hide one.
    let alarm = json!({ "latitude": "4.66", "lng": "-74.06", "time": 1_772_366_340, "alerts": ["SOSButton"], "alertTexts": ["Help!"] });
    assert_eq!(tracker.publish("things/dev-1/gps", alarm.to_string().as_bytes(), 1).await, 0);
    // Kept in a tunnel and handed in late.
    let late = json!({ "lat": 4.6, "lon": -74, "timestamp": "2026-03-01T11:00:00Z", "warnings": ["LowBattery"] });
    assert_eq!(tracker.publish("positions/dev-1", late.to_string().as_bytes(), 1).await, 0);
    assert_eq!(tracker.publish("things/dev-1/status", b"{\"door\":\"open\"}", 1).await, 0);
    for foreign in ["positions/dev-9", "positions/truck-1", "commands/dev-1"] {
        assert_eq!(tracker.publish(foreign, fix.to_string().as_bytes(), 1).await, 0x87, "{foreign}");
    }

    let last = alice.get("/api/devices/dev-1/lastLocation").await.expect(200).json()["lastLocation"].clone();
    assert_eq!(
        last,
        json!({ "dateTime": "2026-03-01T11:59:00Z", "latitude": 4.66, "longitude": -74.06, "alerts": ["SOSButton"], "alertTexts": ["Help!"],
            "warnings": [], "warningTexts": [], "hasCriticalAlert": true, "attributes": {} })
    );
    let answer = alice.post("/api/devices/dev-1/locations", &day()).await.expect(200).json();
    let locations = answer["locations"].as_array().unwrap();
    let times: Vec<_> = locations.iter().map(|l| l["dateTime"].as_str().unwrap()).collect();
    assert_eq!(times, ["2026-03-01T11:00:00Z", "2026-03-01T11:58:00Z", "2026-03-01T11:59:00Z"], "by the devices' own time");
    assert_eq!(
        locations[1],
        json!({ "dateTime": "2026-03-01T11:58:00Z", "latitude": 4.65, "longitude": -74.05, "speed": 12.5, "course": 90.0, "battery": 80,
            "alerts": [], "alertTexts": [], "warnings": [], "warningTexts": [], "hasCriticalAlert": false, "attributes": { "Satellites": "9" } })
    );
    // Both ends belong to the range; the body may hold the page's `location` too.
    let minute = json!({ "from": "2026-03-01T11:00:00Z", "to": "2026-03-01T12:58:00+01:00", "location": { "latitude": 1 } });
    let found = alice.post("/api/device/dev-1/Locations", &minute).await.expect(200).json();
    assert_eq!(found["locations"].as_array().unwrap().len(), 2);

    let alerts = async |name: Value| {
        let mut body = day();
        body["alertName"] = name;
        alice.post("/api/devices/dev-1/alerts", &body).await.expect(200).json()["alerts"].clone()
    };
    assert_eq!(
        alerts(Value::Null).await,
        json!([
            { "dateTime": "2026-03-01T11:00:00Z", "latitude": 4.6, "longitude": -74.0, "text": "LowBattery", "notifications": [], "alerts": ["LowBattery"] },
            { "dateTime": "2026-03-01T11:59:00Z", "latitude": 4.66, "longitude": -74.06, "text": "Help!", "notifications": [], "alerts": ["SOSButton"] },
        ])
    );
    for (name, times) in [("SOSButton", 1), ("lowbattery", 1), ("Offline", 0), ("Help!", 1), ("Speeding Alert", 0)] {
        assert_eq!(alerts(json!(name)).await.as_array().unwrap().len(), times, "{name}");
    }
    // A reader looks; another account finds nothing.
    let _ = rita(&gateway).await.get("/api/devices/dev-1/lastLocation").await.expect(200);
    let carol = carol(&gateway).await;
    for foreign in ["dev-1", "nothing"] {
        assert_eq!(error(&carol.get(&format!("/api/devices/{foreign}/lastLocation")).await.expect(404)), "Device not found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_report_in_the_osmand_form() {
    let gateway = start().await;
    with_secret(&gateway).await;
    let (http, alice) = (gateway.http(), alice(&gateway).await);
    let last = async || alice.get("/api/devices/dev-1/lastLocation").await.expect(200).json()["lastLocation"].clone();
    let secret = SECRET.replace(' ', "+");
    let query =
        format!("id=dev-1&key={secret}&lat=4.65&lon=-74.05&timestamp=1772366280&speed=10&bearing=45.5&altitude=2600&batt=77&hdop=1.2");
    let _ = http.get(&format!("/api/osmand?{query}")).await.expect(200);
    let fix = last().await;
    assert_eq!((&fix["dateTime"], &fix["course"], &fix["battery"]), (&json!("2026-03-01T11:58:00Z"), &json!(45.5), &json!(77)));
    assert!((fix["speed"].as_f64().unwrap() - 5.144_444).abs() < 1e-6, "10 knots in metres a second: {fix}");
    assert_eq!(fix["attributes"], json!({ "Altitude": "2600", "HDOP": "1.2" }), "neither secret nor id");

    // The same by POST, in the query and as a form; then as Basic; then the JSON of newer phones.
    let later = query.replace("1772366280", "1772366281000");
    let _ = http.send(reqwest::Method::POST, &format!("/api/OsmAnd/?{later}"), &[], None).await.expect(200);
    let form = [
        ("deviceid", "dev-1"),
        ("secret", SECRET),
        ("lat", "4.7"),
        ("lon", "-74"),
        ("timestamp", "1772366282"),
        ("speed", "36"),
        ("speedUnit", "kmh"),
    ];
    let _ = http.form("/api/osmand", &form).await.expect(200);
    assert_eq!((&last().await["speed"], &last().await["latitude"]), (&json!(10.0), &json!(4.7)));
    let _ = http.basic("dev-1", SECRET).get("/api/osmand?lat=4.8&lon=-74&timestamp=2026-03-01T11:58:03Z").await.expect(200);
    assert_eq!(last().await["latitude"], 4.8);
    let phone = json!({ "device_id": "dev-1", "location": { "timestamp": "2026-03-01T11:58:04.000Z", "battery": { "level": 0.5 }, "is_moving": true,
        "coords": { "latitude": 4.9, "longitude": -74, "speed": 3.5, "heading": 10 } } });
    let _ = http.post(&format!("/api/osmand?key={secret}"), &phone).await.expect(200);
    let fix = last().await;
    assert_eq!((&fix["latitude"], &fix["speed"], &fix["battery"]), (&json!(4.9), &json!(3.5), &json!(50)));

    let stored = || async {
        let native = testkit::fleet::ALICE.native(&http).await;
        native.get("/heliograph/v1/things/dev-1/messages").await.expect(200)
    };
    assert!(!stored().await.text().contains(SECRET), "a secret is not stored");
    let before = stored().await.json()["items"].as_array().unwrap().len();
    let place = "lat=1&lon=1";
    for (status, query) in [
        (400, format!("key={secret}&{place}")),
        (401, format!("id=dev-1&{place}")),
        (401, format!("id=dev-1&key=&{place}")),
        (401, format!("id=dev-1&key=wrong&{place}")),
        (401, format!("id=nobody&key={secret}&{place}")),
        (401, format!("id=dev-9&key={secret}&{place}")),
        (400, format!("id=dev-1&key={secret}")),
        (400, format!("id=dev-1&key={secret}&lat=91&lon=1")),
        (400, format!("id=dev-1&key={secret}&lat=x&lon=1")),
        (400, format!("id=dev-1&key={secret}&speedUnit=c&{place}")),
    ] {
        let answer = http.get(&format!("/api/osmand?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {answer}");
        let _ = error(&answer);
        gateway.advance(Duration::from_secs(5));
    }
    let _ = http.basic("dev-1", "wrong").get("/api/osmand?lat=1&lon=1").await.expect(401);
    let _ = http.basic("dev-1", SECRET).get("/api/osmand?id=dev-9&lat=1&lon=1").await.expect(400);
    let _ = alice.get("/api/osmand?id=dev-1&lat=1&lon=1").await.expect(401);
    assert_eq!(stored().await.json()["items"].as_array().unwrap().len(), before, "nothing was stored");
    let _ = super::alice(&gateway).await.get("/api/devices/nobody").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_have_bounds() {
    let gateway = start().await;
    let mut tracker = tracker(&gateway).await;
    for n in 0..25 {
        let fix = json!({ "lat": n, "lon": 0, "ts": 1_772_366_400 + n * 60 });
        assert_eq!(tracker.publish("positions/dev-1", fix.to_string().as_bytes(), 1).await, 0);
        gateway.advance(Duration::from_secs(60));
    }
    let alice = alice(&gateway).await;
    let count = async |from: &str, to: &str| {
        let answer = alice.post("/api/devices/dev-1/locations", &json!({ "from": from, "to": to })).await.expect(200).json();
        answer["locations"].as_array().unwrap().len()
    };
    assert_eq!(count("2026-03-01T12:05:00Z", "2026-03-01T12:09:00Z").await, 5);
    assert_eq!(count("2026-03-01 12:05:00", "2026-03-01 12:09:00").await, 5);
    assert_eq!(count("2026-03-01", "2026-03-02").await, 25);
    assert_eq!(count("2026-02-01", "2026-02-28").await, 0);
    let too_long = json!({ "from": "2026-01-01", "to": "2026-03-01" });
    assert!(error(&alice.post("/api/devices/dev-1/locations", &too_long).await.expect(400)).contains("31 days"));
}
