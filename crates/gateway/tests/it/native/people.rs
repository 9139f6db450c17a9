//! Tenants, users, memberships, clients, API keys.

use serde_json::json;
use testkit::fleet::{ACME, ALICE, CAROL, GLOBEX, RITA};
use testkit::{Auth, Gateway};

use super::{ROOT, v1, with_operator};

#[tokio::test(flavor = "multi_thread")]
async fn a_users_life() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = ALICE.native(&http).await;
    let new = json!({ "email": "Bob@Example.com", "password": "bob types it every day", "given_name": "Bob", "role": "writer" });
    let made = alice.post(&v1("/users"), &new).await.expect(201);
    let path = made.header("location").unwrap().to_owned();
    let made = made.json();
    assert_eq!((&made["email"], &made["verified"], &made["operator"]), (&json!("bob@example.com"), &json!(false), &json!(false)));
    assert!(!made.to_string().contains("bob types"), "a password is never shown");
    assert_eq!(alice.get(&path).await.expect(200).json(), made);
    assert_eq!(alice.post(&v1("/users"), &new).await.expect(409).json()["type"], "/docs/problems#conflict");

    // Bob himself.
    let bob = testkit::fleet::Person { email: "bob@example.com", password: "bob types it every day", id: "" };
    let bob_http = bob.native(&http).await;
    let me = bob_http.get(&v1("/me")).await.expect(200).json();
    assert_eq!((&me["tenant"], &me["memberships"][0]["role"]), (&json!(ACME), &json!("writer")));
    let me = bob_http.patch(&v1("/users/me"), &json!({ "given_name": "Robert", "username": "bob" })).await.expect(200).json();
    assert_eq!((&me["given_name"], &me["username"]), (&json!("Robert"), &json!("bob")));
    let me = bob_http.patch(&v1("/users/me"), &json!({ "username": null })).await.expect(200).json();
    assert_eq!((&me["given_name"], me.get("username")), (&json!("Robert"), None));
    for not_his in [json!({ "operator": true }), json!({ "disabled": false }), json!({ "verified": true })] {
        let _ = bob_http.patch(&v1("/users/me"), &not_his).await.expect(403);
    }
    for wrong in [json!({ "email": null }), json!({ "email": "no address" }), json!({ "name": "Bob" })] {
        let _ = bob_http.patch(&v1("/users/me"), &wrong).await.expect(400);
    }

    // Another role is felt at once, with the old token.
    let _ = bob_http.post(&v1("/things"), &json!({ "key": "of-bob" })).await.expect(201);
    let id = made["id"].as_str().unwrap();
    let changed = alice.patch(&v1(&format!("/memberships/{id}")), &json!({ "role": "reader" })).await.expect(200).json();
    assert_eq!((&changed["role"], &changed["tenant"]), (&json!("reader"), &json!(ACME)));
    let _ = bob_http.post(&v1("/things"), &json!({ "key": "of-bob-2" })).await.expect(403);
    // So is being locked out.
    let _ = alice.patch(&path, &json!({ "disabled": true })).await.expect(200);
    let _ = bob_http.get(&v1("/me")).await.expect(401);
    let _ = alice.patch(&path, &json!({ "disabled": false })).await.expect(200);

    let _ = alice.put(&format!("{path}/password"), &json!({ "password": "bob has another one" })).await.expect(204);
    let _ = http.basic(bob.email, bob.password).post(&v1("/token"), &json!({})).await.expect(401);
    let _ = http.basic(bob.email, "bob has another one").post(&v1("/token"), &json!({})).await.expect(200);

    let _ = alice.delete(&path).await.expect(204);
    let _ = alice.get(&path).await.expect(404);
    let _ = http.basic(bob.email, "bob has another one").post(&v1("/token"), &json!({})).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = ALICE.native(&http).await;
    let members = alice.get(&v1("/memberships")).await.expect(200).json();
    let mut list: Vec<_> = members["items"].as_array().unwrap().iter().map(|m| format!("{} {}", m["user"]["email"], m["role"])).collect();
    list.sort();
    assert_eq!(list, ["\"alice@example.com\" \"owner\"", "\"rita@example.com\" \"reader\""]);
    let rita = RITA.native(&http).await;
    let _ = alice.delete(&v1(&format!("/memberships/{}", RITA.id))).await.expect(204);
    let _ = alice.delete(&v1(&format!("/memberships/{}", RITA.id))).await.expect(404);
    assert!(matches!(rita.get(&v1("/things")).await.status, 401 | 403), "what she may do there has ended");
    for wrong in [
        json!({ "role": "reader" }),
        json!({ "email": "rita@example.com", "role": "king" }),
        json!({ "user": RITA.id, "email": RITA.email, "role": "user" }),
    ] {
        let _ = alice.post(&v1("/memberships"), &wrong).await.expect(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_and_its_tenants() {
    let (gateway, root) = with_operator().await;
    let http = gateway.http();
    let made = root.post(&v1("/tenants"), &json!({ "name": "initech", "affiliation": "FP_LUX", "plan": "SAPPHIRE" })).await.expect(201);
    let path = made.header("location").unwrap().to_owned();
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(root.post(&v1("/tenants"), &json!({ "name": "initech" })).await.expect(409).json()["type"], "/docs/problems#conflict");
    assert_eq!(root.get(&v1("/tenants")).await.expect(200).json()["items"].as_array().unwrap().len(), 4, "main, acme, globex, initech");
    let changed = root.patch(&path, &json!({ "affiliation": null, "plan": "AMETHYST" })).await.expect(200).json();
    assert_eq!((changed.get("affiliation"), &changed["plan"]), (None, &json!("AMETHYST")));
    let _ = root.patch(&path, &json!({ "plan": null })).await.expect(400);

    // In another tenant, by query or header, by id or name.
    let _ = root.post(&v1(&format!("/things?tenant={id}")), &json!({ "key": "here" })).await.expect(201);
    let Auth::Bearer(token) = root.auth() else { panic!("a token") };
    for name in ["initech", id.as_str()] {
        let headers = [("authorization", format!("Bearer {token}")), ("tenant", name.to_owned())];
        let headers: Vec<_> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let list = http.send(reqwest::Method::GET, &v1("/things"), &headers, None).await.expect(200).json();
        assert_eq!(list["items"][0]["key"], "here", "{name}");
    }
    assert!(!root.get(&v1("/things")).await.expect(200).text().contains("\"here\""), "not in the operator's own");
    for nothing in ["0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11", "nothing"] {
        let _ = root.get(&v1(&format!("/things?tenant={nothing}"))).await.expect(404);
    }
    // Others may not, whether it exists or not.
    let alice = ALICE.native(&http).await;
    for tenant in [GLOBEX, "globex", "0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11", "nothing"] {
        let _ = alice.get(&v1(&format!("/things?tenant={tenant}"))).await.expect(403);
    }
    let _ = alice.get(&v1(&format!("/things?tenant={ACME}"))).await.expect(200);
    let _ = alice.post(&v1("/tenants"), &json!({ "name": "mine" })).await.expect(403);
    let own = alice.get(&v1("/tenants")).await.expect(200).json();
    assert_eq!((own["items"].as_array().unwrap().len(), &own["items"][0]["name"]), (1, &json!("acme")));

    // An existing user joins another tenant and chooses where to sign in.
    let joined = json!({ "email": CAROL.email, "role": "user" });
    let _ = root.post(&v1(&format!("/memberships?tenant={id}")), &joined).await.expect(201);
    let there =
        http.post(&v1("/token"), &json!({ "email": CAROL.email, "password": CAROL.password, "tenant": "initech" })).await.expect(200);
    let carol = http.bearer(there.json()["access_token"].as_str().unwrap());
    let me = carol.get(&v1("/me")).await.expect(200).json();
    assert_eq!((&me["tenant"], me["memberships"].as_array().unwrap().len()), (&json!(id), 2));
    assert_eq!(CAROL.native(&http).await.get(&v1("/me")).await.expect(200).json()["tenant"], GLOBEX, "home is the oldest");

    let _ = root.delete(&path).await.expect(204);
    let _ = root.get(&path).await.expect(404);
    assert_eq!(carol.get(&v1("/things")).await.status, 401);
    let _ = root.get(&v1(&format!("/users/{}", ROOT.id))).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_and_keys_show_their_secret_once() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = ALICE.native(&http).await;
    let new = json!({ "id": "reader app", "grants": ["client_credentials"], "scopes": ["thing:read"] });
    let made =
        alice.post(&v1("/clients"), &json!({ "id": "reader-app", "grants": new["grants"], "scopes": new["scopes"] })).await.expect(201);
    let path = made.header("location").unwrap().to_owned();
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    assert!(secret.len() >= 32);
    for shown in [alice.get(&path).await.expect(200), alice.get(&v1("/clients")).await.expect(200)] {
        assert!(!shown.text().contains(&secret), "{shown}");
    }
    // Its scopes bound what it may do.
    let token = http.post(&v1("/token"), &json!({ "client_id": "reader-app", "client_secret": secret })).await.expect(200).json();
    let app = http.bearer(token["access_token"].as_str().unwrap());
    let _ = app.get(&v1("/things")).await.expect(200);
    let _ = app.post(&v1("/things"), &json!({ "key": "by-app" })).await.expect(403);
    let _ = alice.delete(&path).await.expect(204);
    let _ = app.get(&v1("/things")).await.expect(401);
    let _ = alice.get(&path).await.expect(404);
    let _ = alice.post(&v1("/clients"), &json!({ "grants": ["implicit"] })).await.expect(400);

    let made = alice.post(&v1("/api-keys"), &json!({ "label": "station", "expires": "2026-03-02T00:00:00Z" })).await.expect(201).json();
    let key = made["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with(made["hint"].as_str().unwrap().trim_end_matches('…')) && made["user"] == ALICE.id, "{made}");
    let list = alice.get(&v1(&format!("/api-keys?user={}", ALICE.id))).await.expect(200);
    assert!(!list.text().contains(&key) && list.text().contains("station"), "{list}");
    let _ = http.bearer(&key).get(&v1("/things")).await.expect(200);
    gateway.advance(std::time::Duration::from_secs(13 * 3600));
    let _ = http.bearer(&key).get(&v1("/things")).await.expect(401);
}
