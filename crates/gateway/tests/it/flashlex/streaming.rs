//! The event stream: live, resumed, and ended when it must.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::fleet::{ACME, ALICE};
use testkit::{Auth, Gateway, Http};

use super::{THING, collect, provision, raw, thing_token};

/// A client of `text/event-stream`.
struct Events {
    answer: reqwest::Response,
    buffer: String,
}

impl Events {
    async fn open(http: &Http, query: &str, last: Option<&str>) -> Self {
        let Auth::Bearer(token) = http.auth() else { panic!("{http:?}") };
        let url = format!("{}/prd/v1/things/{THING}/messages/stream{query}", http.base());
        let mut request = reqwest::Client::builder().no_proxy().build().unwrap().get(url).bearer_auth(token);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, buffer: String::new() }
    }

    /// The next event's id and data; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.buffer = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name).map(|v| v.trim().to_owned()));
                if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                    return Some((id, serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.answer.chunk()).await.expect("an event within 10 s").ok()??;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn payloads(&mut self, count: usize) -> Vec<Value> {
        let mut seen = Vec::new();
        while seen.len() < count {
            seen.push(self.next().await.expect("another event").1["payload"].clone());
        }
        seen
    }
}

async fn publish(http: &Http, text: &str) -> String {
    let answer = raw(http, "POST", &format!("/prd/v1/things/{THING}/publish"), text.as_bytes()).await.expect(200);
    answer.json()["result"]["flmessagespk"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_seen_as_they_come() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let _ = publish(&alice, "before").await;
    let mut all = Events::open(&alice, "", None).await;
    let mut egress = Events::open(&alice, "?messagetype=egress", None).await;
    let id = publish(&alice, "{\n  \"pretty\": [1,\r\n 2]\n}").await;
    let _ = collect(&gateway, &thing_token(&gateway, &thing), THING, r#"{"foo":"bar"}"#).await.expect(200);
    let (seen, message) = all.next().await.unwrap();
    assert_eq!(seen, id);
    let stored = alice.get(&format!("/prd/v1/things/{THING}/messages")).await.json()["result"][1].clone();
    assert_eq!(message, stored, "an event is the message as it is listed");
    assert_eq!(all.payloads(1).await, [json!({ "foo": "bar" })]);
    assert_eq!(egress.payloads(1).await, [json!({ "foo": "bar" })]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumes_behind_the_last_message_seen() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    provision(&alice).await;
    let mut ids = Vec::new();
    for n in 0..250 {
        ids.push(publish(&alice, &n.to_string()).await);
        // Many in one moment, and some seconds apart.
        if n % 50 == 49 {
            gateway.advance(Duration::from_secs(3));
        }
    }
    for last in [0, 48, 49, 50, 120, 248] {
        let mut events = Events::open(&alice, "", Some(&ids[last])).await;
        let expected: Vec<Value> = (last + 1..250).map(|n| json!(n)).collect();
        assert_eq!(events.payloads(expected.len()).await, expected, "after {last}");
    }
    let mut events = Events::open(&alice, "", Some(&ids[249])).await;
    let _ = publish(&alice, "\"new\"").await;
    assert_eq!(events.payloads(1).await, [json!("new")]);
    // An id that says nothing begins with now.
    let mut events = Events::open(&alice, "", Some("nonsense")).await;
    let _ = publish(&alice, "\"newer\"").await;
    assert_eq!(events.payloads(1).await, [json!("newer")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_right_to_it() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = ALICE.flashlex(&http).await;
    provision(&alice).await;
    let rita = testkit::fleet::RITA.flashlex(&http).await;
    let mut events = Events::open(&rita, "", None).await;
    let _ = publish(&alice, "1").await;
    assert_eq!(events.payloads(1).await, [json!(1)]);
    let owner = ALICE.native(&http).await;
    let _ = owner.delete(&format!("/heliograph/v1/memberships/{}", testkit::fleet::RITA.id)).await;
    assert!(events.next().await.is_none(), "no member of {ACME} any more");
    let _ = publish(&alice, "2").await;
}
