//! Accounts: made, read, changed, ended; activation codes; members and roles.

use std::time::Duration;

use serde_json::json;
use testkit::Gateway;
use testkit::fleet::{ACME, ALICE, CAROL, RITA};

use super::sign_in;

#[tokio::test(flavor = "multi_thread")]
async fn an_account_as_its_clients_know_it() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let made = alice.post("/v1/api/accounts", &json!({ "name": "Garden" })).await.expect(201).json();
    for (name, value) in [
        ("healthTimePeriod", 86_400),
        ("exec_interval", 300),
        ("base_line_exec_interval", 86_400),
        ("cd_model_frequency", 604_800),
        ("cd_execution_frequency", 600),
        ("data_retention", 0),
    ] {
        assert_eq!(made[name], value, "{name}");
    }
    assert_eq!(made["settings"], json!({ "trackSensorHealth": false }));
    let now = gateway.clock().now().as_millisecond();
    assert_eq!((&made["created"], &made["activation_code_expire_date"]), (&json!(now), &json!(now + 3_600_000)));
    assert_eq!(made["activation_code"].as_str().unwrap().len(), 8);

    let alice = sign_in(&http, &ALICE).await;
    let path = format!("/v1/api/accounts/{}", made["id"].as_str().unwrap());
    assert_eq!(alice.get(&path).await.expect(200).json(), made);
    let change = json!({ "name": "Greenhouse", "healthTimePeriod": 60, "attributes": { "place": "roof" }, "id": made["id"] });
    let changed = alice.put(&path, &change).await.expect(200).json();
    assert_eq!(
        (&changed["name"], &changed["healthTimePeriod"], &changed["attributes"]["place"]),
        (&json!("Greenhouse"), &json!(60), &json!("roof"))
    );
    assert_eq!(changed["exec_interval"], 300);
    let tracking = json!({ "name": "Greenhouse", "settings": { "trackSensorHealth": true } });
    assert_eq!(alice.put(&path, &tracking).await.expect(400).json()["code"], 3401);
    let other = json!({ "name": "Greenhouse", "id": ACME });
    assert_eq!(alice.put(&path, &other).await.expect(400).json()["code"], 3400);

    let ended = alice.delete(&path).await.expect(204);
    assert!(ended.body.is_empty());
    let gone = alice.get(&path).await.expect(404).json();
    assert_eq!(gone, json!({ "code": 3404, "message": "Account not found" }));
}

/// Names belong to nobody: two people may have a garden each, and do not learn of one another.
#[tokio::test(flavor = "multi_thread")]
async fn two_accounts_may_have_one_name() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    for who in [ALICE, CAROL] {
        let made = sign_in(&http, &who).await.post("/v1/api/accounts", &json!({ "name": "Garden" })).await.expect(201).json();
        assert_eq!(made["name"], "Garden");
        let again = sign_in(&http, &who).await;
        let path = format!("/v1/api/accounts/{}", made["id"].as_str().unwrap());
        assert_eq!(again.get(&path).await.expect(200).json()["name"], "Garden");
        assert_eq!(again.put(&path, &json!({ "name": "acme" })).await.expect(200).json()["name"], "acme");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_accounts_are_enough() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let long = "x".repeat(128);
    for _ in 0..29 {
        let _ = alice.post("/v1/api/accounts", &json!({ "name": long })).await.expect(201);
    }
    let full = alice.post("/v1/api/accounts", &json!({ "name": "one more" })).await.expect(400).json();
    assert_eq!(full, json!({ "code": 3513, "message": "User has reached maximum amount of accounts" }));
    // However long their names, the token still holds them all.
    let alice = sign_in(&http, &ALICE).await;
    let info = alice.get("/v1/api/auth/tokenInfo").await.expect(200).json();
    assert_eq!(info["payload"]["accounts"].as_array().unwrap().len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn activation_codes() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let path = format!("/v1/api/accounts/{ACME}/activationcode");
    let none = json!({ "activationCode": null, "timeLeft": null });
    assert_eq!(alice.get(&path).await.expect(200).json(), none);
    let code = alice.put(&format!("{path}/refresh"), &json!({})).await.expect(200).json();
    let text = code["activationCode"].as_str().unwrap();
    assert!(text.len() == 8 && text.bytes().all(|b| b.is_ascii_alphanumeric()));
    assert_eq!(code["timeLeft"], gateway.clock().now().as_second() + 3_600, "when it ends, in seconds: not what is left");
    assert_eq!(alice.get(&path).await.expect(200).json(), code);
    // The SDKs send no body at all.
    let next = alice.send(reqwest::Method::PUT, &format!("{path}/refresh"), &[], None).await.expect(200).json();
    assert_ne!(next["activationCode"], code["activationCode"]);
    gateway.advance(Duration::from_secs(3_600));
    assert_eq!(alice.get(&path).await.expect(200).json(), none);
    assert_eq!(alice.put(&format!("{path}/refresh"), &json!({ "x": 1 })).await.expect(400).json()["code"], 400);
    // A reader lets no devices in.
    let rita = sign_in(&http, &RITA).await;
    let _ = rita.get(&path).await.expect(401);
    let _ = rita.put(&format!("{path}/refresh"), &json!({})).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_roles() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let path = format!("/v1/api/accounts/{ACME}/users");
    let list = alice.get(&path).await.expect(200).json();
    let mut roles: Vec<(String, String)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|u| (u["email"].as_str().unwrap().to_owned(), u["accounts"][ACME].as_str().unwrap().to_owned()))
        .collect();
    roles.sort();
    assert_eq!(roles, [(ALICE.email.to_owned(), "admin".to_owned()), (RITA.email.to_owned(), "user".to_owned())]);

    let role = |user: &str, role: &str| json!({ "id": user, "accounts": { ACME: role } });
    let rita = format!("{path}/{}", RITA.id);
    let _ = alice.put(&rita, &role(RITA.id, "user")).await.expect(200);
    let _ = alice.put(&rita, &role(RITA.id, "admin")).await.expect(200);
    let lowered = alice.put(&rita, &role(RITA.id, "user")).await.expect(500).json();
    assert_eq!(lowered, json!({ "code": 2503, "message": "Admin privileges cannot be reduced" }));
    for body in [role(RITA.id, "owner"), role(ALICE.id, "admin"), json!({}), json!({ "accounts": { "another": "admin" } })] {
        assert_eq!(alice.put(&rita, &body).await.expect(400).json()["code"], 400, "{body}");
    }
    assert_eq!(alice.put(&format!("{path}/{}", CAROL.id), &role(CAROL.id, "admin")).await.expect(404).json()["code"], 2404);

    // Two administrators: either may leave, the last one may not.
    let invites = format!("/v1/api/accounts/{ACME}/invites");
    let left = alice.delete(&format!("{invites}/me")).await.expect(200);
    assert_eq!(left.json(), "OK");
    let _ = alice.get(&path).await.expect(401);
    let rita = sign_in(&http, &RITA).await;
    for me in ["me", RITA.email, RITA.id] {
        let last = rita.delete(&format!("{invites}/{me}")).await.expect(401).json();
        assert_eq!(last, json!({ "code": 3601, "message": "Could not leave Account" }), "{me}");
    }
}
