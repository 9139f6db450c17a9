//! Tokens that things sign: only the thing's own key, for itself, for now.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::Gateway;
use testkit::fleet::ALICE;

use super::{THING, claims, collect, encoded, header, provision, signed, thing_token};

fn key(thing: &Value) -> String {
    thing["keyPairPrivate"].as_str().unwrap().to_owned()
}

fn with(mut base: Value, change: Value) -> Value {
    for (name, value) in change.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

#[tokio::test(flavor = "multi_thread")]
async fn a_things_token_is_checked_in_every_part() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let other = alice.post("/prd/v1/things", &json!({ "thingName": "other" })).await.expect(200).json()["result"].clone();
    let other_id = other["flthingspk"].as_str().unwrap();
    let now = gateway.clock().now().as_second();
    let good = claims(&gateway, THING);
    let sign = |head: Value, body: Value| signed(&key(&thing), &head, &body);
    let unsigned =
        |alg: &str, signature: &str| format!("{}.{}.{signature}", encoded(&with(header(THING), json!({ "alg": alg }))), encoded(&good));
    let user_token = match alice.auth() {
        testkit::Auth::Bearer(token) => token.clone(),
        auth => panic!("{auth:?}"),
    };
    let valid = sign(header(THING), good.clone());
    let (head_and_claims, _) = valid.rsplit_once('.').unwrap();
    let refused = [
        ("expired", sign(header(THING), with(good.clone(), json!({ "exp": now - 61, "nbf": now - 700 })))),
        ("not yet valid", sign(header(THING), with(good.clone(), json!({ "nbf": now + 61 })))),
        ("no exp", sign(header(THING), json!({ "iss": good["iss"], "aud": good["aud"] }))),
        ("exp as text", sign(header(THING), with(good.clone(), json!({ "exp": "later" })))),
        ("another thing's key", signed(&key(&other), &header(THING), &good)),
        ("another thing's token", thing_token(&gateway, &other)),
        ("wrong issuer", sign(header(THING), with(good.clone(), json!({ "iss": format!("urn:thing:{other_id}") })))),
        ("wrong audience", sign(header(THING), with(good.clone(), json!({ "aud": "urn:flashlex:else" })))),
        ("wrong kid", sign(with(header(THING), json!({ "kid": other_id })), good.clone())),
        ("no kid", sign(json!({ "alg": "RS256" }), good.clone())),
        ("alg none", unsigned("none", "")),
        ("alg None", unsigned("None", "")),
        ("alg none with the old signature", unsigned("none", valid.rsplit('.').next().unwrap())),
        ("no signature", format!("{head_and_claims}.")),
        ("two parts", head_and_claims.to_owned()),
        ("RS512 over an RS256 signature", sign(with(header(THING), json!({ "alg": "RS512" })), good.clone())),
        (
            "HS256 with the public key",
            hs256(thing["keyPairPublic"].as_str().unwrap(), &with(header(THING), json!({ "alg": "HS256" })), &good),
        ),
        ("the owner's token", user_token),
        ("garbage", "garbage".to_owned()),
        ("nothing", String::new()),
    ];
    for (what, token) in refused {
        let answer = collect(&gateway, &token, THING, "{}").await;
        assert_eq!(answer.status, 401, "{what}: {answer}");
        assert_eq!(answer.json()["message"], "Unauthorized", "{what}");
    }
    let stored = alice.get(&format!("/prd/v1/things/{THING}/messages")).await.expect(200).json();
    assert_eq!(stored["result"], json!([]), "nothing was stored");
    let _ = collect(&gateway, &valid, THING, "{}").await.expect(200);
    // Clocks of small devices run wrong: a minute either way is forgiven.
    let skewed = [json!({ "exp": now - 55, "nbf": now - 700 }), json!({ "nbf": now + 55 })];
    for change in skewed {
        let _ = collect(&gateway, &sign(header(THING), with(good.clone(), change)), THING, "{}").await.expect(200);
    }
    gateway.advance(Duration::from_secs(360 + 61));
    let _ = collect(&gateway, &valid, THING, "{}").await.expect(401);
}

/// HS256 by somebody who takes the public key for a secret.
fn hs256(key: &str, header: &Value, claims: &Value) -> String {
    let text = format!("{}.{}", encoded(header), encoded(claims));
    let script = "import sys,hmac,hashlib,base64;print(base64.urlsafe_b64encode(hmac.new(sys.argv[1].encode(),sys.argv[2].encode(),hashlib.sha256).digest()).decode().rstrip('='))";
    let out = std::process::Command::new("python3").args(["-c", script, key, &text]).output().unwrap();
    assert!(out.status.success());
    format!("{text}.{}", String::from_utf8(out.stdout).unwrap().trim())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_things_token_is_for_collect_only() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let device = gateway.http().bearer(thing_token(&gateway, &thing));
    for path in ["/prd/v1/things", &format!("/prd/v1/things/{THING}"), &format!("/prd/v1/things/{THING}/messages"), "/heliograph/v1/things"]
    {
        let _ = device.get(path).await.expect(401);
    }
}
