//! Who may connect, what a topic means, and how fast the end comes.

use std::time::Duration;

use identity::SecretString;
use testkit::fleet::{ALICE, API_KEY, CAROL, RITA};
use testkit::mqtt::{Client, Options};

use super::{Gateway, SECRET};

const BAD_CREDENTIALS: u8 = 0x86;
const NOT_AUTHORIZED: u8 = 0x87;

async fn token(gateway: &Gateway, person: testkit::fleet::Person) -> String {
    let body = serde_json::json!({ "email": person.email, "password": person.password });
    gateway.http().post("/heliograph/v1/token", &body).await.expect(200).json()["access_token"].as_str().unwrap().to_owned()
}

async fn flashlex_token(gateway: &Gateway, person: testkit::fleet::Person) -> String {
    let answer = gateway.http().basic(person.email, person.password).get("/token").await.expect(200).json();
    answer["accessToken"].as_str().unwrap().to_owned()
}

fn v5(id: &str) -> Options {
    Options::new(id).level(5)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_credential_opens_its_own_tenant() {
    let gateway = Gateway::start().await;
    let (native, flash) = (token(&gateway, ALICE).await, flashlex_token(&gateway, ALICE).await);
    let id = gateway.thing("dev-2").await.to_string();
    for (username, password) in [
        ("anything", native.as_str()),
        ("alice@example.com", &flash),
        ("whatever", API_KEY),
        ("alice@example.com", API_KEY),
        ("dev-2", SECRET),
        (&id, SECRET),
    ] {
        // Each its own client id: the last one's session may not be over yet, and belongs to another.
        gateway.connect(username, username, password).await.close().await;
    }
    for (username, password) in [
        ("alice@example.com", ALICE.password),
        ("dev-2", "not its secret, but as long"),
        ("dev-1", SECRET),
        ("carol@example.com", API_KEY),
        ("x", "K1-0000000000000000"),
        ("x", "eyJhbGciOiJub25lIn0.e30."),
        ("?SDK=Python&Version=1.4.4", ""),
    ] {
        let code = gateway.refused(v5("c").login(username, password)).await;
        assert_eq!(code, BAD_CREDENTIALS, "{username} {password}");
    }
    let mut nameless = v5("c");
    nameless.username = Some("?SDK=Python&Version=1.4.4".to_owned());
    assert_eq!(gateway.refused(nameless).await, BAD_CREDENTIALS, "a user name alone is no credential");
    assert_eq!(gateway.refused(v5("c")).await, BAD_CREDENTIALS, "nothing at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thing_keeps_to_its_topics_and_a_member_to_its_tenant() {
    let gateway = Gateway::start().await;
    let mut thing = gateway.connect("truck-2", "dev-2", SECRET).await;
    let mut alice = Client::connect(&gateway.at(), &v5("alice").login("a", API_KEY)).await;
    let carol = token(&gateway, CAROL).await;
    let mut carol = gateway.connect("carol", "c", &carol).await;
    assert_eq!(alice.subscribe("#", 1).await, 1);
    assert_eq!(carol.subscribe("#", 1).await, 1);
    for filter in ["ingress/truck-1", "#", "+/truck-2", "things/#", "$SYS/#", "egress/+"] {
        assert_eq!(thing.subscribe(filter, 1).await, 0x80, "{filter}");
    }
    assert_eq!(thing.publish("egress/truck-2", b"{\"t\":1}", 1).await, 0);
    assert_eq!(alice.receive().await, ("egress/truck-2".to_owned(), "{\"t\":1}".into()));
    // What a member says: to inboxes and on free topics, never in a thing's name.
    for topic in ["egress/truck-2", "things/dev-2/state", "flashlex/test", "pubsub/truck-2", "ingress/nobody", "things/nobody/inbox"] {
        assert_eq!(alice.publish(topic, b"forged", 1).await, NOT_AUTHORIZED, "{topic}");
    }
    assert_eq!(alice.publish("home/light", b"on", 1).await, 0);
    assert_eq!(alice.receive().await.0, "home/light");
    carol.quiet(Duration::from_millis(200)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_sends_to_a_thing_by_its_inbox_topic_in_either_dialect() {
    let gateway = Gateway::start().await;
    let mut alice = gateway.connect("alice", "a", API_KEY).await;
    assert_eq!(alice.publish("ingress/truck-2", b"{\"led\":\"on\"}", 1).await, 0);
    assert_eq!(alice.publish("things/dev-2/inbox", b"plain", 1).await, 0);
    let mut thing = gateway.connect("truck-2", "dev-2", SECRET).await;
    assert_eq!(thing.subscribe("ingress/truck-2", 1).await, 1);
    let (topic, payload) = thing.receive().await;
    let first: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!((topic.as_str(), &first["message"]["led"]), ("ingress/truck-2", &serde_json::json!("on")));
    let second: serde_json::Value = serde_json::from_slice(&thing.receive().await.1).unwrap();
    assert_eq!(second["message"], "plain");
    let caller = gateway.acme().await;
    let page = model::PageRequest::max();
    let all = gateway.running.house.things.messages(&caller, "dev-2", &things::MessageFilter::default(), false, &page).await.unwrap();
    assert_eq!(all.items.len(), 2, "they are the thing's outbound messages");
    assert!(all.items.iter().all(|m| m.direction == model::Direction::Outbound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_hears_and_stays_silent() {
    let gateway = Gateway::start().await;
    let token = token(&gateway, RITA).await;
    let mut rita = Client::connect(&gateway.at(), &v5("rita").login("r", &token)).await;
    assert_eq!(rita.subscribe("egress/+", 1).await, 1);
    for topic in ["ingress/truck-2", "home/light"] {
        assert_eq!(rita.publish(topic, b"x", 1).await, NOT_AUTHORIZED, "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_clients_only_where_they_are_let_in() {
    let gateway = Gateway::start_with(|config| config.anonymous_tenant = Some("acme".to_owned())).await;
    let mut one = Client::connect(&gateway.at(), &v5("one")).await;
    let mut two = Client::connect(&gateway.at(), &v5("two")).await;
    assert_eq!(two.subscribe("home/#", 1).await, 1);
    assert_eq!(one.publish("home/light", b"on", 1).await, 0);
    assert_eq!(two.receive().await.0, "home/light");
    for topic in ["egress/truck-2", "ingress/truck-2", "things/dev-2/inbox", "flashlex/test"] {
        assert_eq!(one.publish(topic, b"x", 1).await, NOT_AUTHORIZED, "{topic}");
    }
    // A wrong password is still wrong.
    assert_eq!(gateway.refused(v5("c").login("dev-2", "something that is wrong")).await, BAD_CREDENTIALS);
    let missing = Gateway::start_with(|_| {}).await;
    let mut config = crate::Config::for_test(missing.dir.path().join("other"), model::Clock::system());
    config.anonymous_tenant = Some("nowhere".to_owned());
    assert!(crate::start(config).await.unwrap_err().to_string().contains("there is no tenant of that name"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thing_proves_its_set_up_by_its_test_message() {
    let gateway = Gateway::start().await;
    let caller = gateway.acme().await;
    let things = &gateway.running.house.things;
    assert_eq!(things.thing(&caller, "dev-2").await.unwrap().status, model::ThingStatus::Created);
    let mut thing = gateway.connect("truck-2", "dev-2", SECRET).await;
    assert_eq!(thing.publish("flashlex/test", b"{}", 1).await, 0);
    testkit::eventually("verified", 2, async || things.thing(&caller, "dev-2").await.unwrap().status == model::ThingStatus::Verified).await;
}

/// A connection that must end within a second of what is done.
async fn ends(mut client: Client, what: &str, act: impl Future<Output = ()>) {
    act.await;
    let begun = std::time::Instant::now();
    client.ended(1).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{what} took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_ends_within_a_second() {
    let gateway = Gateway::start().await;
    let (house, caller) = (gateway.running.house.clone(), gateway.acme().await);
    let other = gateway.connect("other", "a", API_KEY).await;

    let thing = gateway.connect("truck-2", "dev-2", SECRET).await;
    ends(thing, "a changed secret", async {
        house.things.set_secret(&caller, "dev-2", Some(SecretString::from("another secret of it"))).await.unwrap();
    })
    .await;

    let thing = gateway.connect("truck-2", "dev-2", "another secret of it").await;
    ends(thing, "a deprovisioned thing", async { house.things.deprovision(&caller, "dev-2").await.unwrap() }).await;
    assert_eq!(gateway.refused(v5("truck-2").login("dev-2", "another secret of it")).await, BAD_CREDENTIALS);

    let text = token(&gateway, ALICE).await;
    let alice = gateway.connect("alice", "a", &text).await;
    ends(alice, "a revoked token", async {
        house.identity.revoke_token(&caller, identity::TokenRef::Text(&text)).await.unwrap();
    })
    .await;

    let rita = token(&gateway, RITA).await;
    let rita = gateway.connect("rita", "r", &rita).await;
    ends(rita, "a removed member", async {
        house.identity.remove_member(&caller, RITA.id.parse().unwrap()).await.unwrap();
    })
    .await;
    // Nobody else was disturbed.
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_key_and_a_changed_user_end_too() {
    let gateway = Gateway::start().await;
    let (house, caller) = (gateway.running.house.clone(), gateway.acme().await);
    let keys = house.identity.api_keys(&caller, None, &model::PageRequest::max()).await.unwrap();
    let by_key = gateway.connect("k", "a", API_KEY).await;
    ends(by_key, "a removed key", async { house.identity.delete_api_key(&caller, keys.items[0].id).await.unwrap() }).await;
    let alice = token(&gateway, ALICE).await;
    let alice = gateway.connect("alice", "a", &alice).await;
    ends(alice, "a disabled user", async {
        let change = identity::UserChange { disabled: Some(true), ..Default::default() };
        house.identity.update_user(&caller, ALICE.id.parse().unwrap(), change).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_session_is_there_after_a_restart() {
    let gateway = Gateway::start().await;
    let kept = Options::new("back-end").login("a", API_KEY).keep();
    let mut back_end = Client::connect(&gateway.at(), &kept).await;
    assert_eq!(back_end.subscribe("egress/+", 1).await, 1);
    back_end.close().await;
    let mut thing = gateway.connect("truck-2", "dev-2", SECRET).await;
    assert_eq!(thing.publish("egress/truck-2", b"while away", 1).await, 0);
    let gateway = gateway.again().await;
    let mut back_end = Client::connect(&gateway.at(), &kept).await;
    assert!(back_end.present);
    assert_eq!(back_end.receive().await.1, "while away");
    assert!(gateway.now() > model::Timestamp::UNIX_EPOCH);
}
