//! Every base path, `OPTIONS`, unknown paths and methods.

use testkit::Gateway;
use testkit::fleet::ALICE;

use super::provision;

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_base_path_works() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    for base in ["/prd/v1", "/dev/v1", "/dev", "/v1", "", "/staging/v1", "//v1", "//prd/v1", "/prd//v1"] {
        let token = http.basic(ALICE.email, ALICE.password).get(&format!("{base}/token")).await.expect(200).json();
        let token = token["accessToken"].as_str().unwrap().to_owned();
        let _ = http.bearer(&token).get(&format!("{base}/things")).await.expect(200);
        let _ = http.bearer(&token).get(&format!("{base}//subscriptions/active/")).await.expect(200);
        let _ = http.get(&format!("{base}/things")).await.expect(401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_needs_no_token_and_answers_for_any_origin() {
    let gateway = Gateway::start().await;
    for path in
        ["token", "things", "things/x", "things/x/publish", "things/x/collect", "things/x/messages", "subscriptions/active", "users/x"]
    {
        let answer =
            gateway.http().send(reqwest::Method::OPTIONS, &format!("/prd/v1/{path}"), &[("origin", "https://app.example")], None).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        for name in ["access-control-allow-methods", "access-control-allow-credentials", "access-control-allow-headers"] {
            assert!(answer.header(name).is_some(), "{path} {name}");
        }
    }
    let refused = gateway.http().get("/prd/v1/things").await.expect(401);
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"), "a web page may read refusals too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_refused_in_the_envelope() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    provision(&alice).await;
    for path in ["/prd/v1/thing", "/prd/v2/things", "/dev/metadata", "/prd/v1/things/x/y/z"] {
        let answer = alice.get(path).await.expect(404).json();
        assert_eq!((answer["status"].as_str(), answer["code"].as_u64()), (Some("Not Found"), Some(404)), "{path}");
    }
    for (method, path, allowed) in [
        ("POST", "/prd/v1/token", "GET"),
        ("PUT", "/prd/v1/things", "GET,POST"),
        ("PATCH", "/prd/v1/things/x", "GET,DELETE"),
        ("GET", "/prd/v1/things/x/collect", "POST"),
        ("GET", "/prd/v1/things/x/publish", "POST"),
    ] {
        let answer = alice.send(method.parse().unwrap(), path, &[], None).await.expect(405);
        assert!(answer.header("allow").unwrap().starts_with(allowed), "{method} {path}: {answer}");
        assert_eq!(answer.json()["code"], 405);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served() {
    let gateway = Gateway::start().await;
    let document = gateway.http().get("/docs/flashlex/openapi.json").await.expect(200).json();
    assert_eq!(document["openapi"], "3.1.0");
}
