//! Queues from the command line, and a journal that somebody damaged.

use serde_json::{Value, json};
use testkit::clients::{Outcome, run};
use testkit::fleet::ALICE;

use crate::{HELIOGRAPH, Place};

async fn heliograph(data: &str, arguments: &[&str]) -> Outcome {
    let all: Vec<&str> = arguments.iter().copied().chain(["--data", data]).collect();
    run(HELIOGRAPH, &all, 60).await
}

/// The lines a `messages` command prints, as JSON.
async fn lines(data: &str, arguments: &[&str]) -> Vec<Value> {
    let all: Vec<&str> = ["messages", "--tenant", "acme", "--json"].into_iter().chain(arguments.iter().copied()).collect();
    let outcome = heliograph(data, &all).await.ok();
    outcome.out.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect()
}

fn payloads(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|m| m["payload"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_edited_from_the_command_line_while_it_runs_and_while_it_does_not() {
    let place = Place::new();
    let data = place.data().display().to_string();
    let gateway = place.start();
    let alice = ALICE.native(&gateway.http()).await;
    let _ = alice.post("/heliograph/v1/things", &json!({ "key": "queued" })).await.expect(201);
    for (payload, priority) in [("one", None), ("two", None), ("three", Some("9"))] {
        let mut arguments = vec!["send", "queued", payload];
        arguments.extend(priority.into_iter().flat_map(|p| ["--priority", p]));
        assert_eq!(lines(&data, &arguments).await.len(), 1);
    }
    let inbox = lines(&data, &["inbox", "queued"]).await;
    assert_eq!(payloads(&inbox), ["three", "one", "two"]);
    let id = |n: usize| inbox[n]["id"].as_str().unwrap().to_owned();
    let _ = lines(&data, &["bury", "queued", &id(1), "--reason", "not today"]).await;
    let _ = lines(&data, &["expire", "queued", &id(2)]).await;
    let dead = lines(&data, &["dead", "queued"]).await;
    assert_eq!((payloads(&dead), dead[0]["reason"].as_str()), (vec!["one"], Some("not today")));
    assert_eq!(gateway.stop(), Some(0));
    // Nobody runs: the same commands work on the data directory.
    assert_eq!(lines(&data, &["show", "queued", &id(2)]).await[0]["status"], "expired");
    let copy = lines(&data, &["redeliver", "queued", &id(1), "--first"]).await;
    assert_eq!((copy[0]["status"].as_str(), copy[0]["priority"].as_u64()), (Some("queued"), Some(9)));
    let _ = lines(&data, &["remove", "queued", &id(0)]).await;
    assert_eq!(payloads(&lines(&data, &["inbox", "queued"]).await), ["one"]);
    assert!(lines(&data, &["dead", "queued"]).await.is_empty());
    let again = heliograph(&data, &["messages", "--tenant", "acme", "forget", "queued", &id(1)]).await;
    assert_ne!(again.code, Some(0), "it is no dead letter any more: {again:?}");
    assert_eq!(lines(&data, &["durability", "flush"]).await, [json!({ "level": "flush", "effective": "flush" })]);
    assert_eq!(lines(&data, &["durability", "default"]).await, [json!({ "effective": "sync" })]);
    assert_ne!(heliograph(&data, &["messages", "--tenant", "acme", "durability", "maybe"]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_repairs_a_damaged_journal() {
    let place = Place::new();
    let data = place.data().display().to_string();
    let gateway = place.start();
    let alice = ALICE.native(&gateway.http()).await;
    let _ = alice.post("/heliograph/v1/things", &json!({ "key": "hurt" })).await.expect(201);
    for n in 0..40 {
        let _ = alice.post("/heliograph/v1/things/hurt/messages", &json!({ "payload": format!("message {n}") })).await.expect(201);
    }
    let running = heliograph(&data, &["doctor", "--repair"]).await;
    assert!(running.code == Some(1) && running.out.contains("stop it, then repair"), "{running:?}");
    gateway.kill();
    // Somewhere in the middle of what is on disk.
    let journal = place.data().join("journal");
    let segment =
        std::fs::read_dir(&journal).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "log")).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.windows(10).position(|w| w == b"message 20").unwrap();
    bytes[middle..middle + 10].fill(0xEE);
    std::fs::write(&segment, &bytes).unwrap();
    let found = heliograph(&data, &["doctor"]).await;
    assert!(found.code == Some(1) && found.out.contains("doctor --repair"), "{found:?}");
    let repaired = heliograph(&data, &["doctor", "--repair"]).await;
    assert!(repaired.out.contains("covered; what was there is lost") && repaired.out.contains("quarantine"), "{repaired:?}");
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    let gateway = place.start();
    let alice = ALICE.native(&gateway.http()).await;
    let inbox = alice.get("/heliograph/v1/things/hurt/inbox?limit=1000").await.expect(200).json();
    let left = payloads(inbox["items"].as_array().unwrap()).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let expected: Vec<String> = (0..40).filter(|n| *n != 20).map(|n| format!("message {n}")).collect();
    assert_eq!(left, expected);
    let again = heliograph(&data, &["doctor"]).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(gateway.stop(), Some(0));
}
