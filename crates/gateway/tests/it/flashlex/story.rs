//! A back end and a device, from the first token to the thing's end.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;
use testkit::Gateway;
use testkit::fleet::ALICE;

use super::{ABSENT, THING, collect, provision, raw, thing_token};

#[tokio::test(flavor = "multi_thread")]
async fn a_thing_from_its_first_to_its_last_day() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let login = http.basic(ALICE.email, ALICE.password);
    let token = login.send(reqwest::Method::GET, "/token", &[("client-id", "clays-postman")], None).await.expect(200);
    assert_snapshot!(token, @r#"
    GET /token
    200
    content-type: application/json
    cache-control: no-store

    {
      "accessToken": "[token]"
    }
    "#);
    let alice = http.bearer(token.json()["accessToken"].as_str().unwrap());

    let made = alice
        .post("/prd/v1/things", &json!({ "flthingspk": THING, "thingName": "mything", "attributes": { "location": "Living Room" } }))
        .await;
    assert_snapshot!(made, @r#"
    POST /prd/v1/things
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "Thing created."
        }
      ],
      "result": {
        "attributes": {
          "location": "Living Room"
        },
        "certificateId": "[fingerprint]",
        "certificatePem": "[pem]\n",
        "datecreated": "[time]",
        "flthingspk": "[id 1]",
        "fltimestamp": [epoch],
        "fluserspk": "[id 2]",
        "keyPairPrivate": "[pem]\n",
        "keyPairPublic": "[pem]\n",
        "testStatus": "CREATED",
        "thingDist": "Python",
        "thingName": "ecd13b11-mything",
        "thingType": "RaspberryPi"
      },
      "status": "OK"
    }
    "#);
    let thing = made.json()["result"].clone();
    assert_snapshot!(alice.get(&format!("/prd/v1/things/{THING}")).await, @r#"
    GET /prd/v1/things/[id 1]
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "Thing found."
        }
      ],
      "result": {
        "attributes": {
          "location": "Living Room"
        },
        "certificateId": "[fingerprint]",
        "certificatePem": "[pem]\n",
        "datecreated": "[time]",
        "flthingspk": "[id 1]",
        "fltimestamp": [epoch],
        "fluserspk": "[id 2]",
        "keyPairPrivate": "[pem]\n",
        "keyPairPublic": "[pem]\n",
        "testStatus": "CREATED",
        "thingDist": "Python",
        "thingName": "ecd13b11-mything",
        "thingType": "RaspberryPi"
      },
      "status": "OK"
    }
    "#);
    let upper = alice.get(&format!("/prd/v1/things/{}", THING.to_uppercase())).await;
    assert_eq!(upper.json()["result"], thing, "ids are read in either case, and reading gives everything that making gave");

    // The thing speaks.
    let device = thing_token(&gateway, &thing);
    let collected = collect(&gateway, &device, THING, r#"{"foo": "bar"}"#).await;
    let id = collected.json()["result"]["flmessagespk"].as_str().unwrap().to_owned();
    let text = r#"{"status":"OK","code":200,"messages":[{"key":"message","value":"Message collected."}],"result":{"message":"Message collected.","flthingspk":"THING","flmessagespk":"ID"}}"#;
    assert_eq!(collected.text(), text.replace("THING", THING).replace("ID", &id), "to the letter, in the documented order");
    assert_snapshot!(collected, @r#"
    POST /prd/v1/things/[id 1]/collect
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "Message collected."
        }
      ],
      "result": {
        "flmessagespk": "[id 2]",
        "flthingspk": "[id 1]",
        "message": "Message collected."
      },
      "status": "OK"
    }
    "#);
    gateway.advance(Duration::from_secs(10));
    // Its back end answers, with the content type that published clients send.
    assert_snapshot!(raw(&alice, "POST", &format!("/prd/v1/things/{THING}/publish"), br#"{"body": "Clouds & Rain|82|60|F|24 hours", "elapsed": 20}"#).await, @r#"
    POST /prd/v1/things/[id 1]/publish
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "Message published."
        }
      ],
      "result": {
        "flmessagespk": "[id 2]",
        "flthingspk": "[id 1]",
        "message": "Message published."
      },
      "status": "OK"
    }
    "#);
    gateway.advance(Duration::from_secs(10));
    let _ = raw(&alice, "POST", &format!("/prd/v1/things/{THING}/publish"), b"FOO|BAR|This is a message.").await.expect(200);

    assert_snapshot!(alice.get(&format!("/prd/v1/things/{THING}/messages")).await, @r#"
    GET /prd/v1/things/[id 1]/messages
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "Messages found."
        }
      ],
      "result": [
        {
          "datecreated": "[time]",
          "flmessagespk": "[id 2]",
          "flthingspk": "[id 1]",
          "fltimestamp": [epoch],
          "fluserspk": "[id 3]",
          "messagetype": "egress",
          "payload": {
            "foo": "bar"
          }
        },
        {
          "datecreated": "[time]",
          "flmessagespk": "[id 4]",
          "flthingspk": "[id 1]",
          "fltimestamp": [epoch],
          "fluserspk": "[id 3]",
          "messagetype": "ingress",
          "payload": {
            "body": "Clouds & Rain|82|60|F|24 hours",
            "elapsed": 20
          }
        },
        {
          "datecreated": "[time]",
          "flmessagespk": "[id 5]",
          "flthingspk": "[id 1]",
          "fltimestamp": [epoch],
          "fluserspk": "[id 3]",
          "messagetype": "ingress",
          "payload": "FOO|BAR|This is a message."
        }
      ],
      "status": "OK"
    }
    "#);

    // The thing's last day.
    assert_snapshot!(alice.delete(&format!("/prd/v1/things/{THING}")).await, @r#"
    DELETE /prd/v1/things/[id 1]
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "Thing deleted."
        }
      ],
      "result": {
        "flthingspk": "[id 1]",
        "message": "Thing deleted."
      },
      "status": "OK"
    }
    "#);
    assert_snapshot!(alice.get(&format!("/prd/v1/things/{THING}")).await, @r#"
    GET /prd/v1/things/[id 1]
    404
    content-type: application/json
    cache-control: no-store

    {
      "code": 404,
      "messages": [
        {
          "key": "message",
          "value": "Not Found. The thing was not found."
        }
      ],
      "result": {},
      "status": "Not Found"
    }
    "#);
    for path in ["messages", "archive", "dist"] {
        let _ = alice.get(&format!("/prd/v1/things/{THING}/{path}")).await.expect(404);
    }
    let _ = raw(&alice, "POST", &format!("/prd/v1/things/{THING}/publish"), b"too late").await.expect(404);
    let _ = collect(&gateway, &device, THING, "{}").await.expect(401);
    // Its id is free again, and what was its is gone.
    provision(&alice).await;
    let messages = alice.get(&format!("/prd/v1/things/{THING}/messages")).await.expect(200).json();
    assert_eq!(messages["result"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_filtered_by_time_and_kind_paged_and_deleted() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let start = gateway.clock().now().as_second();
    let path = format!("/prd/v1/things/{THING}/messages");
    for n in 0..4 {
        let _ = raw(&alice, "POST", &format!("/prd/v1/things/{THING}/publish"), format!("{{\"n\":{n}}}").as_bytes()).await.expect(200);
        let _ = collect(&gateway, &thing_token(&gateway, &thing), THING, &format!("{{\"n\":{n}}}")).await.expect(200);
        gateway.advance(Duration::from_millis(2_500));
    }
    let seen = async |query: String| -> Vec<String> {
        let answer = alice.get(&format!("{path}?{query}")).await.expect(200).json();
        let one = |m: &serde_json::Value| format!("{}{}", &m["messagetype"].as_str().unwrap()[..1], m["payload"]["n"]);
        answer["result"].as_array().unwrap().iter().map(one).collect()
    };
    // At 0, 2.5, 5 and 7.5 seconds; both ends inclusive, to the whole second.
    assert_eq!(seen(String::new()).await, ["i0", "e0", "i1", "e1", "i2", "e2", "i3", "e3"]);
    assert_eq!(seen(format!("startts={}&endts={}", start + 2, start + 5)).await, ["i1", "e1", "i2", "e2"]);
    assert_eq!(seen(format!("startts={}", start + 6)).await, ["i3", "e3"]);
    assert_eq!(seen(format!("endts={start}")).await, ["i0", "e0"]);
    assert_eq!(seen("messagetype=ingress".to_owned()).await, ["i0", "i1", "i2", "i3"]);
    assert_eq!(seen(format!("messagetype=egress&endts={}", start + 3)).await, ["e0", "e1"]);
    assert_eq!(seen(format!("startts={}", start + 100)).await, [""; 0]);

    let first = alice.get(&format!("{path}?limit=3&messagetype=egress")).await.expect(200);
    let cursor = first.header("x-next-cursor").unwrap().to_owned();
    assert_eq!(first.json()["result"].as_array().unwrap().len(), 3);
    assert_eq!(seen(format!("limit=3&messagetype=egress&cursor={cursor}")).await, ["e3"]);
    assert_eq!(alice.get(&path).await.header("x-next-cursor"), None);

    let gone = alice.delete(&format!("{path}?messagetype=ingress&endts={}", start + 3)).await;
    assert_snapshot!(gone, @r#"
    DELETE /prd/v1/things/[id 1]/messages?messagetype=ingress&endts=[epoch]
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "Messages deleted."
        }
      ],
      "result": {
        "count": 2,
        "flthingspk": "[id 1]",
        "message": "Messages deleted."
      },
      "status": "OK"
    }
    "#);
    assert_eq!(seen(String::new()).await, ["e0", "e1", "i2", "e2", "i3", "e3"]);
    let _ = alice.delete(&path).await.expect(200);
    assert_eq!(seen(String::new()).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_has_an_end_and_says_so() {
    let fleet = testkit::fleet::FLEET.replacen("UNLIMITED", "AMBER", 1);
    let gateway = Gateway::builder().provision(&fleet).start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    assert_snapshot!(alice.get("/prd/v1/subscriptions").await, @r#"
    GET /prd/v1/subscriptions
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "Subscriptions found."
        }
      ],
      "result": [
        {
          "common_name": "AMBER",
          "datecreated": "[time]",
          "endts": [epoch],
          "flstatus": "active",
          "flsubscriptionspk": "[id 1]",
          "fltimestamp": [epoch],
          "fluserspk": "[id 2]",
          "plan_id": "plan_amber_1",
          "plan_name": "Flashlex Amber 1",
          "product_id": "prod_amber",
          "startts": [epoch]
        }
      ],
      "status": "OK"
    }
    "#);
    let active = alice.get("/prd/v1/subscriptions/active").await;
    assert_snapshot!(active, @r#"
    GET /prd/v1/subscriptions/active
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "Subscription found."
        }
      ],
      "result": {
        "policy": {
          "Statement": [
            {
              "Action": "flashex:createThing",
              "ActualCount": 1,
              "AllowedCount": 1,
              "Effect": "Deny",
              "Resource": "[id 1]:thing:*"
            },
            {
              "Action": "flashex:collectMessage",
              "ActualCount": 0,
              "AllowedCount": 1000,
              "Effect": "Allow",
              "Resource": "[id 1]:message:egress:*"
            },
            {
              "Action": "flashex:publishMessage",
              "ActualCount": 0,
              "AllowedCount": 1000,
              "Effect": "Allow",
              "Resource": "[id 1]:message:ingress:*"
            }
          ]
        },
        "subscription": {
          "common_name": "AMBER",
          "datecreated": "[time]",
          "endts": [epoch],
          "flstatus": "active",
          "flsubscriptionspk": "[id 2]",
          "fltimestamp": [epoch],
          "fluserspk": "[id 1]",
          "plan_id": "plan_amber_1",
          "plan_name": "Flashlex Amber 1",
          "product_id": "prod_amber",
          "startts": [epoch]
        }
      },
      "status": "OK"
    }
    "#);
    let id = active.json()["result"]["subscription"]["flsubscriptionspk"].as_str().unwrap().to_owned();
    let one = alice.get(&format!("/prd/v1/subscriptions/{id}")).await.expect(200).json();
    assert_eq!(one["result"], active.json()["result"]["subscription"], "the same id leads to the same subscription");
    for absent in [ABSENT, "not-a-uuid", ""] {
        let _ = alice.get(&format!("/prd/v1/subscriptions/{absent}x")).await.expect(404);
    }
    // The plan's one thing is there already.
    assert_snapshot!(alice.post("/prd/v1/things", &json!({ "flthingspk": THING })).await, @r#"
    POST /prd/v1/things
    403
    content-type: application/json
    cache-control: no-store

    {
      "code": 403,
      "messages": [
        {
          "key": "message",
          "value": "quota used up: 1 of 1 things"
        }
      ],
      "result": {
        "policy": {
          "Statement": [
            {
              "Action": "flashex:createThing",
              "ActualCount": 1,
              "AllowedCount": 1,
              "Effect": "Deny",
              "Resource": "[id 1]:thing:*"
            },
            {
              "Action": "flashex:collectMessage",
              "ActualCount": 0,
              "AllowedCount": 1000,
              "Effect": "Allow",
              "Resource": "[id 1]:message:egress:*"
            },
            {
              "Action": "flashex:publishMessage",
              "ActualCount": 0,
              "AllowedCount": 1000,
              "Effect": "Allow",
              "Resource": "[id 1]:message:ingress:*"
            }
          ]
        },
        "subscription": {
          "common_name": "AMBER",
          "datecreated": "[time]",
          "endts": [epoch],
          "flstatus": "active",
          "flsubscriptionspk": "[id 2]",
          "fltimestamp": [epoch],
          "fluserspk": "[id 1]",
          "plan_id": "plan_amber_1",
          "plan_name": "Flashlex Amber 1",
          "product_id": "prod_amber",
          "startts": [epoch]
        }
      },
      "status": "Forbidden"
    }
    "#);
    let _ = alice.delete("/prd/v1/things/dev-1").await.expect(200);
    let thing = provision(&alice).await;
    let path = format!("/prd/v1/things/{THING}/publish");
    for _ in 0..1_000 {
        let _ = raw(&alice, "POST", &path, b"{}").await.expect(200);
    }
    let over = raw(&alice, "POST", &path, b"{}").await.expect(403).json();
    assert_eq!(over["result"]["policy"]["Statement"][2]["Action"], "flashex:publishMessage");
    assert_eq!(over["result"]["policy"]["Statement"][2]["Effect"], "Deny");
    // What things hand in is counted on its own.
    let _ = collect(&gateway, &thing_token(&gateway, &thing), THING, "{}").await.expect(200);
    // A new period begins.
    gateway.advance(Duration::from_secs(32 * 86_400));
    let alice = ALICE.flashlex(&gateway.http()).await;
    let _ = raw(&alice, "POST", &path, b"{}").await.expect(200);
    let next = alice.get("/prd/v1/subscriptions/active").await.expect(200).json();
    assert_ne!(next["result"]["subscription"]["flsubscriptionspk"], json!(id), "another period is another subscription");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_twice_with_one_key_is_said_once() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    let thing = provision(&alice).await;
    let send = async |http: &testkit::Http, path: &str, key: &str| {
        let path = format!("/prd/v1/things/{THING}/{path}");
        http.send(reqwest::Method::POST, &path, &[("idempotency-key", key)], Some(b"{\"a\":1}".to_vec())).await.expect(200)
    };
    let id = |answer: &testkit::Exchange| answer.json()["result"]["flmessagespk"].as_str().unwrap().to_owned();
    let (one, again, other) =
        (send(&alice, "publish", "k-1").await, send(&alice, "publish", "k-1").await, send(&alice, "publish", "k-2").await);
    assert_eq!(id(&one), id(&again));
    assert_ne!(id(&one), id(&other));
    assert_eq!((one.header("idempotency-replayed"), again.header("idempotency-replayed")), (None, Some("true")));
    let device = gateway.http().bearer(thing_token(&gateway, &thing));
    let (one, again) = (send(&device, "collect", "k-1").await, send(&device, "collect", "k-1").await);
    assert_eq!(id(&one), id(&again));
    let messages = alice.get(&format!("/prd/v1/things/{THING}/messages")).await.expect(200).json();
    assert_eq!(messages["result"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_themselves() {
    let gateway = Gateway::start().await;
    let alice = ALICE.flashlex(&gateway.http()).await;
    assert_snapshot!(alice.get(&format!("/prd/v1/users/{}", ALICE.id)).await, @r#"
    GET /prd/v1/users/[id 1]
    200
    content-type: application/json
    cache-control: no-store

    {
      "code": 200,
      "messages": [
        {
          "key": "message",
          "value": "User found."
        }
      ],
      "result": {
        "datecreated": "[time]",
        "emailverified": true,
        "fltimestamp": [epoch],
        "fluserspk": "[id 1]",
        "username": "alice@example.com"
      },
      "status": "OK"
    }
    "#);
    let rita = testkit::fleet::RITA.flashlex(&gateway.http()).await;
    let _ = rita.get(&format!("/prd/v1/users/{}", testkit::fleet::RITA.id)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_no_private_key() {
    let gateway = Gateway::start().await;
    provision(&ALICE.flashlex(&gateway.http()).await).await;
    let rita = testkit::fleet::RITA.flashlex(&gateway.http()).await;
    let thing = rita.get(&format!("/prd/v1/things/{THING}")).await.expect(200).json();
    assert_eq!(thing["result"]["keyPairPrivate"], "");
    assert_ne!(thing["result"]["keyPairPublic"], "");
    let listed = rita.get("/prd/v1/things").await.expect(200);
    assert!(!listed.text().contains("PRIVATE KEY"));
    let _ = rita.get(&format!("/prd/v1/things/{THING}/dist")).await.expect(403);
}
