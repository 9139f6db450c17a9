//! Users' tokens: shaped as the platform's were, checked in every part.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use insta::assert_snapshot;
use serde_json::{Value, json};
use testkit::fleet::{ALICE, RITA};
use testkit::{Auth, Gateway, redact};

use super::{THING, claims, encoded, header, provision, signed, thing_token};

fn part(token: &str, index: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_the_platforms_claims() {
    let gateway = Gateway::start().await;
    let login = gateway.http().basic(ALICE.email, ALICE.password);
    let answer = login.send(reqwest::Method::GET, "/prd/v1/token", &[("client-id", "clays-postman")], None).await.expect(200).json();
    let token = answer["accessToken"].as_str().unwrap();
    let (head, body) = (part(token, 0), part(token, 1));
    assert_eq!(head.as_object().unwrap().keys().collect::<Vec<_>>(), ["alg", "kid"], "no typ");
    assert_eq!(head["alg"], "RS256");
    assert_eq!(body["exp"].as_i64().unwrap() - body["iat"].as_i64().unwrap(), 3_600);
    assert_eq!(body["sub"], ALICE.id);
    assert_snapshot!(redact(&format!("{body:#}")), @r#"
    {
      "auth_time": [epoch],
      "client_id": "clays-postman",
      "device_key": "heliograph_[id 1]",
      "exp": [epoch],
      "heliograph": {
        "id": "[id 2]",
        "kind": "user",
        "profile": "flashlex",
        "role": "owner",
        "tenant": "[id 3]"
      },
      "iat": [epoch],
      "iss": "http://127.0.0.1:[port]",
      "jti": "[id 4]",
      "scope": "aws.cognito.signin.user.admin",
      "sub": "[id 2]",
      "token_use": "access",
      "username": "alice@example.com"
    }
    "#);
    // By user name too; the scheme word does not care about case.
    let by_name = gateway.http().basic("alice", ALICE.password).get("/prd/v1/token").await.expect(200).json();
    let lower = Auth::Header("authorization", format!("bearer {}", by_name["accessToken"].as_str().unwrap()));
    let _ = gateway.http().with(lower).get("/prd/v1/things").await.expect(200);
    assert_eq!(part(by_name["accessToken"].as_str().unwrap(), 1)["client_id"], "flashlex", "nobody said who it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_token_opens_nothing() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = ALICE.flashlex(&http).await;
    let thing = provision(&alice).await;
    let Auth::Bearer(token) = alice.auth().clone() else { panic!("{alice:?}") };
    let (head, body) = (part(&token, 0), part(&token, 1));
    let signature = token.rsplit('.').next().unwrap();
    let key = thing["keyPairPrivate"].as_str().unwrap();
    let mut promoted = body.clone();
    promoted["sub"] = json!(RITA.id);
    let mut eternal = body.clone();
    eternal["exp"] = json!(body["exp"].as_i64().unwrap() + 1_000_000);
    let none = json!({ "alg": "none", "kid": head["kid"] });
    let forged = [
        ("other claims under the old signature", format!("{}.{}.{signature}", encoded(&head), encoded(&promoted))),
        ("a longer life", format!("{}.{}.{signature}", encoded(&head), encoded(&eternal))),
        ("signed by a thing's key", signed(key, &head, &body)),
        ("signed by a thing's key without kid", signed(key, &json!({ "alg": "RS256" }), &body)),
        ("unsigned", format!("{}.{}.", encoded(&none), encoded(&body))),
        ("unsigned with a signature", format!("{}.{}.{signature}", encoded(&none), encoded(&body))),
        ("a thing's own token", thing_token(&gateway, &thing)),
        ("a thing's own claims, the user's header", signed(key, &header(THING), &claims(&gateway, THING))),
        ("cut short", token[..token.len() - 4].to_owned()),
        (
            "another API's",
            match ALICE.native(&http).await.auth() {
                Auth::Bearer(token) => token.clone(),
                auth => panic!("{auth:?}"),
            },
        ),
    ];
    for (what, token) in forged {
        let answer = http.bearer(token).get("/prd/v1/things").await;
        assert_eq!(answer.status, 401, "{what}: {answer}");
    }
    let _ = alice.get("/prd/v1/things").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reads_like_the_platforms() {
    let gateway = Gateway::start().await;
    assert_snapshot!(gateway.http().get("/prd/v1/things").await, @r#"
    GET /prd/v1/things
    401
    content-type: application/json
    www-authenticate: Bearer
    cache-control: no-store

    {
      "code": 401,
      "message": "Unauthorized",
      "messages": [
        {
          "key": "message",
          "value": "an Authorization header with a Bearer token is required"
        }
      ],
      "result": {},
      "status": "Unauthorized"
    }
    "#);
    assert_snapshot!(gateway.http().get("/prd/v1/token").await, @r#"
    GET /prd/v1/token
    401
    content-type: application/json
    www-authenticate: Basic realm="heliograph", charset="UTF-8"
    cache-control: no-store

    {
      "code": 401,
      "message": "Unauthorized",
      "messages": [
        {
          "key": "message",
          "value": "an Authorization header with Basic credentials is required"
        }
      ],
      "result": {},
      "status": "Unauthorized"
    }
    "#);
    assert_snapshot!(gateway.http().basic(ALICE.email, "wrong").get("/prd/v1/token").await, @r#"
    GET /prd/v1/token
    401
    content-type: application/json
    www-authenticate: Basic realm="heliograph", charset="UTF-8"
    cache-control: no-store

    {
      "code": 401,
      "message": "Unauthorized",
      "messages": [
        {
          "key": "message",
          "value": "the credentials are not valid"
        }
      ],
      "result": {},
      "status": "Unauthorized"
    }
    "#);
}
