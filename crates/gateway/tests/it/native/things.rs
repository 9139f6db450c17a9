//! Things: a life from provisioning to the end, lists, credentials.

use serde_json::{Value, json};
use testkit::fleet::{ALICE, CAROL, RITA};
use testkit::{Auth, Gateway, redact};

use super::v1;

#[tokio::test(flavor = "multi_thread")]
async fn a_things_life() {
    let gateway = Gateway::start().await;
    let alice = ALICE.native(&gateway.http()).await;
    let new = json!({
        "key": "dev:7", "name": "truck-7", "kind": "tracker", "distribution": "Rust", "tags": ["south", "new"],
        "attributes": { "colour": "red", "plate": "B-17" }, "credentials": "ecdsa_certificate"
    });
    let made = alice.post(&v1("/things"), &new).await.expect(201);
    assert_eq!(made.header("location"), Some("/heliograph/v1/things/dev:7"));
    let made = made.json();
    assert_eq!((&made["status"], &made["owner"], &made["tags"]), (&json!("CREATED"), &json!(ALICE.id), &json!(["south", "new"])));
    assert!(made["keys"]["private_key"].as_str().unwrap().contains("PRIVATE KEY"));
    assert!(made["keys"]["ca"].as_str().unwrap().contains("BEGIN CERTIFICATE") && made.get("secret").is_none());

    // By key and by id it is the same.
    let by_key = alice.get(&v1("/things/dev:7")).await.expect(200);
    let by_id = alice.get(&v1(&format!("/things/{}", made["id"].as_str().unwrap()))).await.expect(200);
    assert_eq!(by_key.json(), by_id.json());
    assert_eq!(
        redact(&by_key.json().to_string()),
        r#"{"attributes":{"colour":"red","plate":"B-17"},"created":"[time]","distribution":"Rust","id":"[id 1]","key":"dev:7","kind":"tracker","name":"truck-7","owner":"[id 2]","status":"CREATED","tags":["south","new"],"updated":"[time]"}"#
    );

    // A merge patch.
    gateway.advance(std::time::Duration::from_secs(60));
    let patch = json!({ "name": "truck-8", "kind": null, "tags": ["north"], "attributes": { "plate": null, "wheels": "6" } });
    let changed = alice.patch(&v1("/things/dev:7"), &patch).await.expect(200).json();
    assert_eq!((&changed["name"], &changed["kind"], &changed["distribution"]), (&json!("truck-8"), &json!(""), &json!("Rust")));
    assert_eq!((&changed["tags"], &changed["attributes"]), (&json!(["north"]), &json!({ "colour": "red", "wheels": "6" })));
    assert_eq!((&changed["created"], &changed["updated"]), (&json!("2026-03-01T12:00:00Z"), &json!("2026-03-01T12:01:00Z")));
    let unchanged = alice.patch(&v1("/things/dev:7"), &json!({})).await.expect(200).json();
    assert_eq!(unchanged["attributes"], changed["attributes"]);

    // Names are taken in the tenant, not in the next one.
    for taken in [json!({ "key": "dev:7" }), json!({ "key": "dev-8", "name": "truck-8" })] {
        assert_eq!(alice.post(&v1("/things"), &taken).await.expect(409).json()["type"], "/docs/problems#conflict");
    }
    let carol = CAROL.native(&gateway.http()).await;
    let _ = carol.post(&v1("/things"), &json!({ "key": "dev:7" })).await.expect(201);

    let _ = alice.delete(&v1("/things/dev:7")).await.expect(204);
    let gone = alice.get(&v1("/things/dev:7")).await.expect(404);
    let never = alice.get(&v1("/things/never-was")).await.expect(404);
    assert_eq!(gone.looks(), never.looks());
    let _ = carol.get(&v1("/things/dev:7")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_and_filtered() {
    let gateway = Gateway::start().await;
    let carol = CAROL.native(&gateway.http()).await;
    for n in 0..7 {
        let new = json!({ "key": format!("k{n}"), "kind": if n % 2 == 0 { "even" } else { "odd" }, "tags": [format!("t{}", n % 3)] });
        let _ = carol.post(&v1("/things"), &new).await.expect(201);
    }
    let mut seen = Vec::new();
    let mut path = "/things?limit=3".to_owned();
    loop {
        let page = carol.get(&v1(&path)).await.expect(200).json();
        let items = page["items"].as_array().unwrap().clone();
        assert!((1..=3).contains(&items.len()), "{page}");
        seen.extend(items.iter().map(|t| t["key"].as_str().unwrap().to_owned()));
        match page.get("next").and_then(Value::as_str) {
            Some(next) => path = format!("/things?limit=3&cursor={next}"),
            None => break,
        }
    }
    seen.sort();
    assert_eq!(seen, ["dev-9", "k0", "k1", "k2", "k3", "k4", "k5", "k6"]);

    let keys = async |query: &str| -> Vec<String> {
        let page = carol.get(&v1(&format!("/things?{query}"))).await.expect(200).json();
        page["items"].as_array().unwrap().iter().map(|t| t["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys("kind=odd").await.len(), 3);
    assert_eq!(keys("tag=t1").await.len(), 2);
    assert_eq!(keys("kind=odd&tag=t1").await, ["k1"]);
    assert_eq!(keys("name=TRUCK").await, ["dev-9"]);
    assert_eq!(keys("status=VERIFIED").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_a_thing() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (alice, rita) = (ALICE.native(&http).await, RITA.native(&http).await);

    // Keys made here can be had again; the private one not by those who only read.
    let made = alice.post(&v1("/things"), &json!({ "key": "rsa", "credentials": "rsa_certificate" })).await.expect(201).json();
    assert!(made["keys"]["private_key"].as_str().unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    let again = alice.get(&v1("/things/rsa/keys")).await.expect(200).json();
    assert_eq!(again, made["keys"]);
    let public = rita.get(&v1("/things/rsa/keys")).await;
    assert!(!public.text().contains("PRIVATE KEY"), "{public}");

    // The certificate is listed, may be registered elsewhere only once, and revoked for good.
    let fingerprint = made["keys"]["fingerprint"].as_str().unwrap();
    let list = alice.get(&v1("/things/rsa/certificates")).await.expect(200).json();
    assert_eq!((&list["items"][0]["fingerprint"], &list["items"][0]["status"]), (&json!(fingerprint), &json!("active")));
    let pem = json!({ "pem": made["keys"]["certificate"] });
    let _ = alice.post(&v1("/things/dev-1/certificates"), &pem).await.expect(409);
    let bad = alice.post(&v1("/things/dev-1/certificates"), &json!({ "pem": "no certificate" })).await.expect(400);
    assert!(bad.json()["field"].is_string(), "{bad}");
    let _ = alice.delete(&v1(&format!("/things/rsa/certificates/{fingerprint}"))).await.expect(204);
    let list = alice.get(&v1("/things/rsa/certificates")).await.expect(200).json();
    assert_eq!(list["items"][0]["status"], "revoked");
    let _ = alice.get(&v1("/things/rsa/keys")).await.expect(404);
    let _ = alice.delete(&v1("/things/rsa/certificates/short")).await.expect(404);

    // A secret is told once.
    let made = alice.post(&v1("/things"), &json!({ "key": "s", "credentials": "secret" })).await.expect(201).json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.len() >= 32 && !alice.get(&v1("/things/s")).await.expect(200).text().contains(&secret));
    let set = alice.put(&v1("/things/s/secret"), &json!({ "secret": "one of my own choosing" })).await.expect(200).json();
    assert_eq!(set["secret"], "one of my own choosing");
    let other = alice.put(&v1("/things/s/secret"), &json!({})).await.expect(200).json();
    assert_ne!(other["secret"], set["secret"]);
    let _ = alice.put(&v1("/things/s/secret"), &json!({ "secret": "short" })).await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_used_up_says_so() {
    let file = r#"
        [[tenant]]
        name = "small"
        plan = "AMBER"
        [[user]]
        email = "alice@example.com"
        password = "correct horse battery staple"
        memberships = [{ tenant = "small", role = "owner" }]
    "#;
    let gateway = Gateway::builder().provision(file).start().await;
    let alice = ALICE.native(&gateway.http()).await;
    let _ = alice.post(&v1("/things"), &json!({ "key": "first" })).await.expect(201);
    let full = alice.post(&v1("/things"), &json!({ "key": "second" })).await.expect(403).json();
    assert_eq!((&full["type"], &full["quota"]), (&json!("/docs/problems#quota"), &json!({ "kind": "things", "allowed": 1, "actual": 1 })));
    let usage = alice.get(&v1("/usage")).await.expect(200).json();
    assert_eq!((&usage["plan"], &usage["things"]), (&json!("AMBER"), &json!({ "allowed": 1, "actual": 1 })));
    assert_eq!((&usage["period_start"], &usage["retention_seconds"]), (&json!("2026-03-01T12:00:00Z"), &json!(86_400)));
    let _ = alice.delete(&v1("/things/first")).await.expect(204);
    let _ = alice.post(&v1("/things"), &json!({ "key": "second" })).await.expect(201);
    // An unrelated header does no harm, an own tenant named is one's own.
    let tenant = alice.get(&v1("/me")).await.expect(200).json()["tenant"].as_str().unwrap().to_owned();
    let token = match alice.auth() {
        Auth::Bearer(token) => token.clone(),
        other => panic!("{other:?}"),
    };
    let headers = [("tenant", tenant.as_str()), ("authorization", &format!("Bearer {token}"))];
    let _ = gateway.http().send(reqwest::Method::GET, &v1("/things"), &headers, None).await.expect(200);
}
