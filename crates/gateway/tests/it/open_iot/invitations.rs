//! Invitations, and their mails.

use serde_json::json;
use testkit::fleet::{ACME, ALICE, CAROL, GLOBEX, RITA};

use super::{mail_to, newcomer, open, sign_in, text};
use crate::flashlex::registering::Mailbox;

const INVITES: &str = "/v1/api/accounts/7a1c1c1e-5f0b-4f6e-9d5e-0c1f5f5b1a01/invites";

#[tokio::test(flavor = "multi_thread")]
async fn invited_by_mail_accepted_declined_withdrawn() {
    let mailbox = Mailbox::open().await;
    let gateway = open(&mailbox).await;
    let http = gateway.http();
    let alice = sign_in(&http, &ALICE).await;
    let email = "guest@example.com";
    let made = alice.post(INVITES, &json!({ "email": "Guest@Example.com" })).await.expect(201).json();
    assert_eq!(
        (&made["email"], &made["accountId"], &made["domainId"], &made["accountName"]),
        (&json!(email), &json!(ACME), &json!(ACME), &json!("acme"))
    );
    let mail = text(&mail_to(&mailbox, email, "invites").await);
    assert!(mail.contains("\"acme\"") && mail.contains(ALICE.email) && !mail.contains("token="), "{mail}");
    let again = alice.post(INVITES, &json!({ "email": email })).await.expect(409).json();
    assert_eq!(again, json!({ "code": 2420, "message": "User is already invited" }));
    assert_eq!(alice.get(INVITES).await.expect(200).json(), json!([email]));

    // Who is invited need not exist yet.
    let guest = newcomer(&gateway, &mailbox, email, "Receiver12345").await;
    let open = guest.get(&format!("/v1/api/invites/{email}")).await.expect(200).json();
    assert_eq!(open, json!([made]));
    let status = format!("/v1/api/invites/{}/status", made["_id"].as_str().unwrap());
    let declined = guest.put(&status, &json!({ "accept": false })).await.expect(200).json();
    assert_eq!(declined, json!({ "code": 204, "status": 204, "message": "Delete OK" }));
    let gone = guest.put(&status, &json!({ "accept": true })).await.expect(404);
    assert_eq!((gone.text().as_str(), gone.header("content-type")), ("Invitation not found", Some("text/plain; charset=utf-8")));
    assert_eq!(alice.get(INVITES).await.expect(200).json(), json!([]));

    let made = alice.post(INVITES, &json!({ "email": email })).await.expect(201).json();
    let status = format!("/v1/api/invites/{}/status", made["_id"].as_str().unwrap());
    // Somebody else's is not there.
    let carol = sign_in(&http, &CAROL).await;
    assert_eq!(carol.put(&status, &json!({ "accept": true })).await.expect(404).text(), "Invitation not found");
    let _ = carol.get(&format!("/v1/api/invites/{email}")).await.expect(401);
    assert_eq!(guest.put(&status, &json!({ "accept": true })).await.expect(200).json(), made);
    let member = alice.post(INVITES, &json!({ "email": email })).await.expect(409).json();
    assert_eq!(member["code"], 2420);

    let _ = alice.post(INVITES, &json!({ "email": "late@example.com" })).await.expect(201);
    for address in ["late@example.com", email] {
        let _ = alice.delete(&format!("{INVITES}/{address}")).await.expect(200);
        assert_eq!(alice.delete(&format!("{INVITES}/{address}")).await.expect(404).json()["code"], 10_404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_invite_and_unknown_ids_do_no_harm() {
    let gateway = testkit::Gateway::start().await;
    let http = gateway.http();
    let (alice, rita) = (sign_in(&http, &ALICE).await, sign_in(&http, &RITA).await);
    let _ = rita.post(INVITES, &json!({ "email": "x@example.com" })).await.expect(401);
    let _ = rita.delete(&format!("{INVITES}/{}", ALICE.email)).await.expect(401);
    for id in ["4bd7e8a1-0c6c-4c14-9a53-9df1ff32bd4b", "nonsense", "%00", "..%2f"] {
        let answer = alice.put(&format!("/v1/api/invites/{id}/status"), &json!({ "accept": true })).await.expect(404);
        assert_eq!(answer.text(), "Invitation not found");
    }
    let _ = alice.get("/v1/api/auth/me").await.expect(200);
    let _ = alice.post(&format!("/v1/api/accounts/{GLOBEX}/invites"), &json!({ "email": "x@example.com" })).await.expect(401);
}

/// An address that somebody merely claims to have is not enough.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_must_be_proved_to_be_invited() {
    let gateway = testkit::Gateway::start().await;
    let http = gateway.http();
    let native = CAROL.native(&http).await;
    let _ = native.patch(&format!("/heliograph/v1/users/{}", CAROL.id), &json!({ "email": "victim@example.com" })).await.expect(200);
    let alice = sign_in(&http, &ALICE).await;
    let made = alice.post(INVITES, &json!({ "email": "victim@example.com" })).await.expect(201).json();
    let carol = http.bearer(super::token(&http, "victim@example.com", CAROL.password).await);
    assert_eq!(carol.get("/v1/api/invites/victim@example.com").await.expect(200).json(), json!([]));
    let answer = carol.put(&format!("/v1/api/invites/{}/status", made["_id"].as_str().unwrap()), &json!({ "accept": true })).await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "Not Authorized"));
}
