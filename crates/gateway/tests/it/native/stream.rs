//! Live streams: what comes, what came meanwhile, and how they end.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::fleet::{ALICE, API_KEY, CAROL, RITA, thing_with_secret};
use testkit::{Auth, Gateway, Http};

use super::v1;

/// A reader of server-sent events.
struct Events {
    answer: reqwest::Response,
    buffer: String,
}

/// One event: its name, id and data.
#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Events {
    async fn open(http: &Http, path: &str, after: Option<&str>) -> Self {
        let Auth::Bearer(token) = http.auth() else { panic!("no token") };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.get(format!("{}{path}", http.base())).bearer_auth(token);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, buffer: String::new() }
    }

    /// The next event that has data; none at the stream's end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let mut event = Event::default();
                let mut data = Vec::new();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("event", name)) => event.name = name.to_owned(),
                        Some(("id", id)) => event.id = id.to_owned(),
                        Some(("data", text)) => data.push(text.to_owned()),
                        _ => {}
                    }
                }
                self.buffer = rest.to_owned();
                if !data.is_empty() {
                    event.data = serde_json::from_str(&data.join("\n")).unwrap();
                    return Some(event);
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.answer.chunk()).await.expect("an event within 20 s");
            self.buffer.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }

    async fn payload(&mut self) -> String {
        let event = self.next().await.expect("the stream goes on");
        assert_eq!(event.name, "", "{event:?}");
        assert_eq!(event.id, event.data["id"].as_str().unwrap());
        event.data["payload"].as_str().unwrap().to_owned()
    }
}

async fn say(http: &Http, thing: &str, payload: &str) -> String {
    let sent = http.post(&v1(&format!("/things/{thing}/messages")), &json!({ "payload": payload })).await.expect(201).json();
    sent["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_as_they_come() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (alice, carol) = (ALICE.native(&http).await, CAROL.native(&http).await);
    let _ = thing_with_secret(&alice, "other", "a secret of another").await;
    let _ = say(&alice, "dev-1", "before").await;
    let mut thing = Events::open(&alice, &v1("/things/dev-1/messages/stream"), None).await;
    let mut tenant = Events::open(&alice, &v1("/messages/stream"), None).await;
    let mut inbound = Events::open(&alice, &v1("/messages/stream?direction=inbound"), None).await;
    let _ = say(&carol, "dev-9", "of another tenant").await;
    let _ = say(&alice, "other", "of another thing").await;
    let _ = say(&alice, "dev-1", "two\r\nlines").await;
    assert_eq!(thing.payload().await, "two\r\nlines");
    assert_eq!((tenant.payload().await, tenant.payload().await), ("of another thing".to_owned(), "two\r\nlines".to_owned()));
    // Said by the thing itself.
    let login = testkit::mqtt::Options::new("other").login("other", "a secret of another").level(5);
    let mut device = testkit::mqtt::Client::connect(gateway.mqtt(), &login).await;
    assert_eq!(device.publish("things/other/t", b"here I am", 1).await, 0);
    assert_eq!(inbound.payload().await, "here I am");
    assert_eq!(tenant.payload().await, "here I am");
    let _ = alice.get(&v1("/things/nothing/messages/stream")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_resumes_where_it_broke() {
    let gateway = Gateway::start().await;
    let alice = ALICE.native(&gateway.http()).await;
    let path = v1("/things/dev-1/messages/stream");
    let mut ids = Vec::new();
    // More than one page of history, all at one moment of the clock, which stands still.
    for n in 0..450 {
        ids.push(say(&alice, "dev-1", &n.to_string()).await);
    }
    let mut events = Events::open(&alice, &path, Some(&ids[9])).await;
    for n in 10..450 {
        assert_eq!(events.payload().await, n.to_string());
    }
    let _ = say(&alice, "dev-1", "live").await;
    assert_eq!(events.payload().await, "live");

    // The last message was deleted meanwhile: nothing is left out.
    gateway.advance(Duration::from_secs(60));
    let last = say(&alice, "dev-1", "soon deleted").await;
    gateway.advance(Duration::from_secs(60));
    let _ = say(&alice, "dev-1", "after it").await;
    let _ = alice.delete(&v1("/things/dev-1/messages?from=2026-03-01T12:01:00Z&to=2026-03-01T12:01:00Z")).await.expect(200);
    let mut events = Events::open(&alice, &path, Some(&last)).await;
    assert_eq!(events.payload().await, "after it");

    // The whole tenant has no history: it says that something is missing.
    let mut tenant = Events::open(&alice, &v1("/messages/stream"), Some(&last)).await;
    let event = tenant.next().await.unwrap();
    assert_eq!((event.name.as_str(), &event.data), ("lagged", &json!({ "missed": null })));
    let headers = [("last-event-id", "17")];
    let _ = alice.send(reqwest::Method::GET, &path, &headers, None).await.expect(400);
}

/// A reader that does not read holds nobody up; when it reads again, a thing's stream has everything, in order, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_catches_up() {
    let gateway = Gateway::start().await;
    let alice = ALICE.native(&gateway.http()).await;
    let mut thing = Events::open(&alice, &v1("/things/dev-1/messages/stream"), None).await;
    let mut tenant = Events::open(&alice, &v1("/messages/stream"), None).await;
    // More than the sockets and the journal's ring hold.
    let filler = "x".repeat(60_000);
    for n in 0..600 {
        let _ = say(&alice, "dev-1", &format!("{n} {filler}")).await;
    }
    for n in 0..600 {
        let payload = thing.payload().await;
        assert_eq!(payload.split(' ').next(), Some(n.to_string().as_str()));
    }
    let mut told = 0;
    let missed = loop {
        let event = tenant.next().await.unwrap();
        if event.name == "lagged" {
            break event.data["missed"].as_u64().unwrap();
        }
        told += 1;
    };
    assert!(missed > 0 && told + missed < 600, "{told} told, {missed} missed");
    let _ = say(&alice, "dev-1", "at last").await;
    assert_eq!(thing.payload().await, "at last");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_credential() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = ALICE.native(&http).await;
    let path = v1("/messages/stream");
    let ended = async |mut events: Events| {
        let event = events.next().await.expect("a last word");
        assert_eq!(event.name, "end", "{event:?}");
        assert_eq!(events.next().await, None);
    };
    // A revoked token.
    let revoked = RITA.native(&http).await;
    let events = Events::open(&revoked, &path, None).await;
    let _ = revoked.post(&v1("/token/revoke"), &json!({})).await.expect(204);
    ended(events).await;
    // A removed key.
    let events = Events::open(&http.bearer(API_KEY), &path, None).await;
    let id = alice.get(&v1("/api-keys")).await.expect(200).json()["items"][0]["id"].as_str().unwrap().to_owned();
    let _ = alice.delete(&v1(&format!("/api-keys/{id}"))).await.expect(204);
    ended(events).await;
    // A removed member; the tenant's others go on.
    let events = Events::open(&RITA.native(&http).await, &path, None).await;
    let mut owner = Events::open(&alice, &path, None).await;
    let _ = alice.delete(&v1(&format!("/memberships/{}", RITA.id))).await.expect(204);
    ended(events).await;
    let _ = say(&alice, "dev-1", "still here").await;
    assert_eq!(owner.payload().await, "still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_hold_up_the_stop() {
    let mut gateway = Gateway::start().await;
    let alice = ALICE.native(&gateway.http()).await;
    let mut events = Events::open(&alice, &v1("/messages/stream"), None).await;
    let began = std::time::Instant::now();
    gateway.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(events.next().await, None);
}
