//! Every way to get it wrong: a refusal in the envelope that names the mistake, nothing stored, never a 500.

use serde_json::json;
use testkit::Gateway;
use testkit::fleet::{ALICE, CAROL};

use super::{ABSENT, THING, collect, note, provision, raw, thing_token};

#[tokio::test(flavor = "multi_thread")]
async fn provisioning() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let before = alice.get("/prd/v1/things").await.expect(200).json();
    for (body, says) in [
        (&b"{"[..], "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"\"x\"", "body"),
        (b"{\"a\":1}{\"b\":2}", "body"),
        (b"\xff\xfe", "UTF-8"),
        (br#"{"flthingspk":7}"#, "expected a string"),
        (br#"{"flthingspk":"dev-1"}"#, "flthingspk"),
        (br#"{"flthingspk":"../../etc/passwd"}"#, "flthingspk"),
        (br#"{"thingName":["a"]}"#, "expected a string"),
        (br#"{"thingName":"a/b"}"#, "thingName"),
        (br#"{"thingName":"a b"}"#, "thingName"),
        (br#"{"thingName":"+"}"#, "thingName"),
        (br#"{"thingName":""}"#, "thingName"),
        (br#"{"attributes":[]}"#, "expected a map"),
        (br#"{"attributes":{"a":{}}}"#, "body"),
    ] {
        let answer = raw(&alice, "POST", "/prd/v1/things", body).await;
        assert_eq!(answer.status, 400, "{}: {answer}", String::from_utf8_lossy(body));
        assert!(note(&answer).contains(says), "{}: {answer}", String::from_utf8_lossy(body));
    }
    let long = json!({ "thingName": "x".repeat(500) });
    let _ = alice.post("/prd/v1/things", &long).await.expect(400);
    let kind = json!({ "thingType": "x".repeat(5_000) });
    assert!(note(&alice.post("/prd/v1/things", &kind).await.expect(400)).contains("thingType"));
    let _ = raw(&alice, "POST", "/prd/v1/things", &vec![b' '; 2 << 20]).await.expect(413);
    let after = alice.get("/prd/v1/things").await.expect(200).json();
    assert_eq!(before["result"], after["result"], "nothing was provisioned");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_names_that_are_taken() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (alice, carol) = (ALICE.flashlex(&http).await, CAROL.flashlex(&http).await);
    provision(&alice).await;
    let _ = alice.post("/prd/v1/things", &json!({ "flthingspk": THING, "thingName": "other" })).await.expect(409);
    let _ = alice.post("/prd/v1/things", &json!({ "flthingspk": THING.to_uppercase(), "thingName": "other" })).await.expect(409);
    let _ = alice.post("/prd/v1/things", &json!({ "thingName": "mything" })).await.expect(409);
    // Another tenant's choice is its own: it can't even be noticed.
    let _ = carol.post("/prd/v1/things", &json!({ "flthingspk": THING, "thingName": "mything" })).await.expect(200);
    let things = alice.get("/prd/v1/things").await.expect(200).json();
    assert_eq!(things["result"].as_array().unwrap().len(), 2, "dev-1 and the new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_and_collecting() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let publish = format!("/prd/v1/things/{THING}/publish");
    let deep = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    for (body, status) in
        [(&b""[..], 400), (b"  ", 400), (b"\xff\xfe\x00", 400), (&deep, 400), (&vec![b'x'; 200 << 10], 413), (&vec![b'x'; 2 << 20], 413)]
    {
        let answer = raw(&alice, "POST", &publish, body).await;
        assert_eq!(answer.status, status, "{} bytes: {answer}", body.len());
        assert_eq!(answer.json()["code"], status);
    }
    let token = thing_token(&gateway, &thing);
    for (body, status) in [("", 400), ("{", 400), ("foo", 400), ("{\"v\": NaN}", 400), (&"9".repeat(2 << 20), 413)] {
        let answer = collect(&gateway, &token, THING, body).await;
        assert_eq!(answer.status, status, "{} bytes: {answer}", body.len());
    }
    for key in ["", &"k".repeat(256), "naïve"] {
        let headers = [("idempotency-key", key)];
        let _ = alice.send(reqwest::Method::POST, &publish, &headers, Some(b"{}".to_vec())).await.expect(400);
    }
    let messages = alice.get(&format!("/prd/v1/things/{THING}/messages")).await.expect(200).json();
    assert_eq!(messages["result"], json!([]), "nothing was stored");
    // Broken JSON is free text for a publish, as documented, and reaches the thing as a JSON string.
    let _ = raw(&alice, "POST", &publish, b"{\"broken\": ").await.expect(200);
    let messages = alice.get(&format!("/prd/v1/things/{THING}/messages")).await.expect(200).json();
    assert_eq!(messages["result"][0]["payload"], "{\"broken\": ");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    provision(&alice).await;
    for query in [
        "startts=-1",
        "endts=-5",
        "startts=20&endts=10",
        "startts=NaN",
        "endts=Infinity",
        "startts=1.5",
        "startts=yesterday",
        "endts=99999999999999999999",
        "endts=1563587144000",
        "messagetype=inbound",
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=1&cursor=%00nonsense",
    ] {
        for path in ["messages", "archive"] {
            let answer = alice.get(&format!("/prd/v1/things/{THING}/{path}?{query}")).await;
            assert_eq!(answer.status, 400, "{path}?{query}: {answer}");
            let name = query.rsplit('&').next().unwrap().split('=').next().unwrap();
            assert!(note(&answer).contains(name), "{path}?{query}: {answer}");
        }
    }
    let _ = alice.delete(&format!("/prd/v1/things/{THING}/messages?startts=20&endts=10")).await.expect(400);
    let _ = alice.delete(&format!("/prd/v1/things/{THING}/messages?startts=x")).await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_in_paths() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let long = "x".repeat(3_000);
    for id in ["not-a-uuid", "..%2F..%2Fetc", "%00", "%ff", "%22%3B--", "+", &long, "'%20or%20'1'='1"] {
        for (method, path) in [
            ("GET", format!("things/{id}")),
            ("DELETE", format!("things/{id}")),
            ("GET", format!("things/{id}/messages")),
            ("GET", format!("things/{id}/archive")),
            ("GET", format!("things/{id}/dist")),
            ("GET", format!("things/{id}/messages/stream")),
            ("POST", format!("things/{id}/publish")),
            ("GET", format!("users/{id}")),
            ("GET", format!("subscriptions/{id}")),
        ] {
            let answer = raw(&alice, method, &format!("/prd/v1/{path}"), b"{}").await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer}");
            assert_eq!(answer.json()["code"], 404);
        }
    }
}

/// What is another tenant's looks exactly like what does not exist: same status, same body.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_is_absent() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (alice, carol) = (ALICE.flashlex(&http).await, CAROL.flashlex(&http).await);
    let thing = provision(&alice).await;
    let _ = raw(&alice, "POST", &format!("/prd/v1/things/{THING}/publish"), b"secret").await.expect(200);
    for (method, path) in [
        ("GET", "/prd/v1/things/{}"),
        ("DELETE", "/prd/v1/things/{}"),
        ("GET", "/prd/v1/things/{}/messages"),
        ("DELETE", "/prd/v1/things/{}/messages"),
        ("GET", "/prd/v1/things/{}/archive"),
        ("GET", "/prd/v1/things/{}/dist"),
        ("GET", "/prd/v1/things/{}/messages/stream"),
        ("POST", "/prd/v1/things/{}/publish"),
    ] {
        let foreign = raw(&carol, method, &path.replace("{}", THING), b"{}").await.expect(404);
        let absent = raw(&carol, method, &path.replace("{}", ABSENT), b"{}").await.expect(404);
        assert_eq!(foreign.body, absent.body, "{method} {path}");
    }
    let foreign = carol.get(&format!("/prd/v1/users/{}", ALICE.id)).await.expect(404);
    let absent = carol.get(&format!("/prd/v1/users/{ABSENT}")).await.expect(404);
    assert_eq!(foreign.body, absent.body);
    let id = alice.get("/prd/v1/subscriptions/active").await.expect(200).json()["result"]["subscription"]["flsubscriptionspk"].clone();
    let foreign = carol.get(&format!("/prd/v1/subscriptions/{}", id.as_str().unwrap())).await.expect(404);
    let absent = carol.get(&format!("/prd/v1/subscriptions/{ABSENT}")).await.expect(404);
    assert_eq!(foreign.body, absent.body);
    // A collect for a thing one does not own reads like one for a thing that is not there.
    let token = thing_token(&gateway, &thing);
    let mine = carol.post("/prd/v1/things", &json!({})).await.expect(200).json()["result"].clone();
    let foreign = collect(&gateway, &token, mine["flthingspk"].as_str().unwrap(), "{}").await.expect(401);
    let absent = collect(&gateway, &token, ABSENT, "{}").await.expect(401);
    assert_eq!(foreign.body, absent.body);
    assert!(!carol.get("/prd/v1/things").await.text().contains(THING));
    assert_eq!(alice.get(&format!("/prd/v1/things/{THING}/messages")).await.json()["result"].as_array().unwrap().len(), 1);
}
