//! The gateway itself: facts, audit, signing keys, outbox, provisioning, backup.

use reqwest::Method;
use serde_json::{Value, json};
use testkit::fleet::{ACME, ALICE, FLEET, GLOBEX, RITA};

use super::{ROOT, v1, with_operator};

#[tokio::test(flavor = "multi_thread")]
async fn facts_and_counts() {
    let (gateway, root) = with_operator().await;
    let alice = ALICE.native(&gateway.http()).await;
    gateway.advance(std::time::Duration::from_secs(90));
    let facts = alice.get(&v1("/info")).await.expect(200).json();
    assert_eq!((&facts["name"], &facts["uptime_seconds"], facts.get("counts")), (&json!("heliograph"), &json!(90), None));
    let _ = alice.post(&v1("/things/dev-1/messages"), &json!({ "payload": "x" })).await.expect(201);
    let counts = root.get(&v1("/info")).await.expect(200).json()["counts"].clone();
    assert_eq!((&counts["inbox_messages"], &counts["connections"]), (&json!(1), &json!(0)));
    assert!(counts["journal_records"].as_u64().unwrap() >= 1 && counts["journal_bytes"].as_u64().unwrap() > 0, "{counts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail() {
    let (gateway, root) = with_operator().await;
    let http = gateway.http();
    let alice = ALICE.native(&http).await;
    let _ = alice.post(&v1("/things"), &json!({ "key": "watched" })).await.expect(201);
    let rita = RITA.native(&http).await;
    gateway.advance(std::time::Duration::from_secs(1));
    let _ = rita.post(&v1("/things"), &json!({ "key": "not-hers" })).await.expect(403);
    let trail = async |http: &testkit::Http, query: &str| -> Vec<Value> {
        http.get(&v1(&format!("/audit?{query}"))).await.expect(200).json()["items"].as_array().unwrap().clone()
    };
    let alice_ref = &alice;
    testkit::eventually("the trail is written", 10, async || !trail(alice_ref, "action=thing.provisioned&allowed=false").await.is_empty())
        .await;
    let newest = &trail(&alice, "action=thing.provisioned&limit=1").await[0];
    assert_eq!(
        (&newest["actor"], &newest["allowed"], &newest["tenant"]),
        (&json!(format!("user:{}", RITA.id)), &json!(false), &json!(ACME))
    );
    let refused = trail(&alice, "allowed=false&action=thing.provisioned").await;
    assert_eq!(refused.len(), 1);
    let by_alice = trail(&alice, &format!("actor=user:{}&action=thing.provisioned", ALICE.id)).await;
    assert_eq!(by_alice.len(), 1);
    assert!(trail(&alice, "to=2026-02-01T00:00:00Z").await.is_empty());
    let _ = rita.get(&v1("/audit")).await.expect(403);
    let _ = alice.get(&v1("/audit?everywhere=true")).await.expect(403);
    let everywhere = trail(&root, "everywhere=true&limit=1000").await;
    assert!(everywhere.iter().any(|e| e["tenant"] == GLOBEX) && everywhere.iter().any(|e| e["tenant"] == ACME));
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_keys_rotate_with_overlap() {
    let (gateway, root) = with_operator().await;
    let http = gateway.http();
    let old = ALICE.native(&http).await;
    let keys = root.get(&v1("/keys")).await.expect(200);
    assert!(!keys.text().contains("private"), "{keys}");
    let current = |page: &Value| {
        let mut ids: Vec<_> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|k| k["algorithm"] == "EdDSA" && k["current"] == true)
            .map(|k| k["id"].clone())
            .collect();
        ids.pop().unwrap()
    };
    let before = current(&keys.json());
    let new = root.post(&v1("/keys"), &json!({ "algorithm": "EdDSA" })).await.expect(201).json();
    assert_eq!(new["algorithm"], "EdDSA");
    assert_ne!(new["id"], before);
    // Published before it signs.
    gateway.advance(std::time::Duration::from_secs(15 * 60));
    assert_eq!(current(&root.get(&v1("/keys")).await.expect(200).json()), new["id"]);
    let _ = old.get(&v1("/me")).await.expect(200);
    let fresh = ALICE.native(&http).await;
    let _ = fresh.get(&v1("/me")).await.expect(200);
    let _ = root.post(&v1("/keys"), &json!({ "algorithm": "none" })).await.expect(400);
    let _ = old.post(&v1("/keys"), &json!({ "algorithm": "EdDSA" })).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioning_over_http() {
    let (gateway, root) = with_operator().await;
    let apply = async |http: &testkit::Http, text: &str| http.send(Method::POST, &v1("/provision"), &[], Some(text.into())).await;
    let report = apply(&root, FLEET).await.expect(200).json();
    assert_eq!((&report["created"], &report["updated"]), (&json!(0), &json!(0)), "applied twice changes nothing: {report}");
    let more = "[[thing]]\ntenant = \"acme\"\nid = \"dev-2\"\nname = \"truck-2\"\n";
    let report = apply(&root, more).await.expect(200).json();
    assert_eq!(
        (&report["created"], &report["entries"][0]),
        (&json!(1), &json!({ "kind": "thing", "name": "dev-2", "outcome": "created" }))
    );
    let wrong = apply(&root, "[[thing]]\ntenant = \"acme\"\ncolour = \"red\"\n").await.expect(400);
    assert!(wrong.json()["detail"].as_str().unwrap().contains("colour"), "{wrong}");
    let alice = ALICE.native(&gateway.http()).await;
    let _ = apply(&alice, more).await.expect(403);
    let _ = alice.get(&v1("/things/dev-2")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_while_running() {
    let (gateway, root) = with_operator().await;
    let made = root.post(&v1("/backup"), &json!({ "name": "first" })).await.expect(201).json();
    assert_eq!(made["name"], "first");
    assert!(made["bytes"].as_u64().unwrap() > 0 && std::path::Path::new(made["path"].as_str().unwrap()).is_dir(), "{made}");
    let _ = root.post(&v1("/backup"), &json!({ "name": "first" })).await.expect(409);
    for outside in ["../outside", "/tmp/outside", ".hidden", "a/b", ""] {
        let _ = root.post(&v1("/backup"), &json!({ "name": outside })).await.expect(400);
    }
    let unnamed = root.post(&v1("/backup"), &json!({})).await.expect(201).json();
    assert!(unnamed["name"].as_str().unwrap().starts_with("2026-03-01"), "{unnamed}");
    let _ = ALICE.native(&gateway.http()).await.post(&v1("/backup"), &json!({})).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_is_empty_and_guarded() {
    let (gateway, root) = with_operator().await;
    for state in ["", "?state=queued", "?state=sent", "?state=dead"] {
        assert_eq!(root.get(&v1(&format!("/outbox{state}"))).await.expect(200).json(), json!({ "items": [] }));
    }
    let _ = root.get(&v1("/outbox?state=lost")).await.expect(400);
    let _ = root.post(&v1("/outbox/0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11/retry"), &json!({})).await.expect(404);
    let _ = RITA.native(&gateway.http()).await.post(&v1(&format!("/outbox/{}/retry", ROOT.id)), &json!({})).await.expect(403);
}
