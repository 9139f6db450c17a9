//! Every operation, tried by everybody who may not: without a token, with garbage, with an expired one, as another tenant, without the
//! permission. An operation that is missing in the table fails the test, so nobody can forget one.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::fleet::{ACME, ALICE, CAROL, RITA};
use testkit::{Auth, Gateway, Http};

use crate::lightelligence_tenancy::{self, Api};

/// Who of those that are signed in may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    /// Nobody: it needs no token, or shows only the caller's own.
    Nobody,
    /// Anyone may in its own tenant; another tenant does not find it.
    Stranger,
    /// As above, and a reader is refused.
    Reader,
    /// Only the gateway's operator may.
    Owner,
}

struct Operation {
    method: &'static str,
    path: &'static str,
    lacks: Lacks,
    body: fn() -> Value,
}

const fn op(method: &'static str, path: &'static str, lacks: Lacks, body: fn() -> Value) -> Operation {
    Operation { method, path, lacks, body }
}

/// A self-signed certificate, valid from 2020 to 2049.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIBJzCBz6ADAgECAgEBMAoGCCqGSM49BAMCMB4xHDAaBgNVBAMME2EgZGV2aWNl\n\
    IG9mIGl0cyBvd24wHhcNMjAwMTAxMDAwMDAwWhcNNDkxMjMxMDAwMDAwWjAeMRww\n\
    GgYDVQQDDBNhIGRldmljZSBvZiBpdHMgb3duMFkwEwYHKoZIzj0CAQYIKoZIzj0D\n\
    AQcDQgAEr5PqhxtwUZ7uUS+Jqvz1CkxKbp83fPHjt9IBZxnhGlPQLCRosAlQg26L\n\
    nt+77R7jYfxR/UNWzoNGSCCnT66aszAKBggqhkjOPQQDAgNHADBEAiAkjpDEY84j\n\
    8cyywk0kNbwhqpwkUS3LCoOb28DzEZhEGAIgNqDl8PrVYOgOPwaz2D45TLmQkzpi\n\
    1yHDVzMTX0agIxU=\n\
    -----END CERTIFICATE-----\n";

fn none() -> Value {
    Value::Null
}

fn rule() -> Value {
    let condition = json!({ "compare": { "path": "$.attributes.t", "comparator": "gt", "constant": 30 } });
    json!({ "name": "hot", "condition": condition, "event": "overheated" })
}

fn notification() -> Value {
    json!({ "template": { "recipients": ["a@example.com"], "payload": "x" }, "filter": { "events": ["overheated"] } })
}

/// Operations without a credential, or whose credential is part of the request.
const OPEN: &[&str] = &["POST /heliograph/v1/token"];

/// The gateway's own API. What destroys comes last, so that the ones before it still find something.
const NATIVE: &[Operation] = &[
    op("POST", "/heliograph/v1/token", Lacks::Nobody, none),
    op("GET", "/heliograph/v1/me", Lacks::Nobody, none),
    op("GET", "/heliograph/v1/info", Lacks::Nobody, none),
    op("GET", "/heliograph/v1/usage", Lacks::Nobody, none),
    op("GET", "/heliograph/v1/tenants", Lacks::Nobody, none),
    op("GET", "/heliograph/v1/things", Lacks::Nobody, none),
    op("GET", "/heliograph/v1/messages/stream", Lacks::Nobody, none),
    op("GET", "/heliograph/v1/tenants/{tenant}", Lacks::Stranger, none),
    op("GET", "/heliograph/v1/things/{thing}", Lacks::Stranger, none),
    op("GET", "/heliograph/v1/things/{thing}/certificates", Lacks::Stranger, none),
    op("GET", "/heliograph/v1/things/{thing}/messages", Lacks::Stranger, none),
    op("GET", "/heliograph/v1/things/{thing}/messages/{message}", Lacks::Stranger, none),
    op("GET", "/heliograph/v1/things/{thing}/messages/stream", Lacks::Stranger, none),
    op("GET", "/heliograph/v1/things/{thing}/inbox", Lacks::Stranger, none),
    op("GET", "/heliograph/v1/things/{thing}/dead-letters", Lacks::Stranger, none),
    op("GET", "/heliograph/v1/tenants/{tenant}/durability", Lacks::Stranger, none),
    op("PUT", "/heliograph/v1/tenants/{tenant}/durability", Lacks::Owner, || json!({ "level": "flush" })),
    op("POST", "/heliograph/v1/things/{thing}/messages/{again}/redeliver", Lacks::Reader, || json!({ "first": true })),
    op("POST", "/heliograph/v1/things/{thing}/inbox/{buried}/bury", Lacks::Reader, || json!({ "reason": "why not" })),
    op("POST", "/heliograph/v1/things/{thing}/inbox/{over}/expire", Lacks::Reader, none),
    op("GET", "/heliograph/v1/things/{thing}/keys", Lacks::Stranger, none),
    op("POST", "/heliograph/v1/things", Lacks::Reader, || json!({ "key": "new-thing" })),
    op("PATCH", "/heliograph/v1/things/{thing}", Lacks::Reader, || json!({ "kind": "other" })),
    op("POST", "/heliograph/v1/things/{thing}/certificates", Lacks::Reader, || json!({ "pem": CERTIFICATE })),
    op("PUT", "/heliograph/v1/things/{thing}/secret", Lacks::Reader, || json!({})),
    op("POST", "/heliograph/v1/things/{thing}/messages", Lacks::Reader, || json!({ "payload": "hello" })),
    op("GET", "/heliograph/v1/users", Lacks::Reader, none),
    op("POST", "/heliograph/v1/users", Lacks::Reader, || json!({ "email": "new@example.com", "role": "reader" })),
    op("GET", "/heliograph/v1/users/{user}", Lacks::Reader, none),
    op("PATCH", "/heliograph/v1/users/{user}", Lacks::Reader, || json!({ "given_name": "Rita" })),
    op("PUT", "/heliograph/v1/users/{user}/password", Lacks::Reader, || json!({ "password": "a leaver has a password" })),
    op("GET", "/heliograph/v1/users/{user}/second-factor", Lacks::Reader, none),
    op("PUT", "/heliograph/v1/users/{user}/second-factor", Lacks::Reader, || json!({ "required": true })),
    op("DELETE", "/heliograph/v1/users/{user}/second-factor", Lacks::Reader, none),
    op("GET", "/heliograph/v1/tenants/{tenant}/second-factor", Lacks::Stranger, none),
    op("PUT", "/heliograph/v1/tenants/{tenant}/second-factor", Lacks::Reader, || json!({ "required": false })),
    op("GET", "/heliograph/v1/memberships", Lacks::Reader, none),
    op("POST", "/heliograph/v1/memberships", Lacks::Reader, || json!({ "user": "{member}", "role": "reader" })),
    op("PATCH", "/heliograph/v1/memberships/{member}", Lacks::Reader, || json!({ "role": "reader" })),
    op("GET", "/heliograph/v1/clients", Lacks::Reader, none),
    op("POST", "/heliograph/v1/clients", Lacks::Reader, || json!({ "id": "new-client", "grants": ["client_credentials"] })),
    op("GET", "/heliograph/v1/clients/{client}", Lacks::Reader, none),
    op("GET", "/heliograph/v1/initial-access-tokens", Lacks::Reader, none),
    op("POST", "/heliograph/v1/initial-access-tokens", Lacks::Reader, || json!({ "label": "new" })),
    op("GET", "/heliograph/v1/api-keys", Lacks::Reader, none),
    op("POST", "/heliograph/v1/api-keys", Lacks::Reader, || json!({ "label": "new", "user": "{member}" })),
    op("GET", "/heliograph/v1/audit", Lacks::Reader, none),
    op("PATCH", "/heliograph/v1/tenants/{tenant}", Lacks::Reader, || json!({ "name": "acme" })),
    op("POST", "/heliograph/v1/tenants", Lacks::Owner, || json!({ "name": "new-tenant" })),
    op("GET", "/heliograph/v1/keys", Lacks::Owner, none),
    op("POST", "/heliograph/v1/keys", Lacks::Owner, || json!({ "algorithm": "EdDSA" })),
    op("GET", "/heliograph/v1/outbox", Lacks::Nobody, none),
    op("POST", "/heliograph/v1/outbox/{delivery}/retry", Lacks::Reader, none),
    op("GET", "/heliograph/v1/rules", Lacks::Nobody, none),
    op("POST", "/heliograph/v1/rules", Lacks::Reader, rule),
    op("GET", "/heliograph/v1/rules/{rule}", Lacks::Stranger, none),
    op("PUT", "/heliograph/v1/rules/{rule}", Lacks::Reader, rule),
    op("GET", "/heliograph/v1/rules/{rule}/executions", Lacks::Stranger, none),
    op("GET", "/heliograph/v1/alerts", Lacks::Nobody, none),
    op("GET", "/heliograph/v1/alerts/{alert}", Lacks::Stranger, none),
    op("POST", "/heliograph/v1/alerts/{alert}/acknowledge", Lacks::Reader, none),
    op("POST", "/heliograph/v1/alerts/{alert}/clear", Lacks::Reader, none),
    op("GET", "/heliograph/v1/notifications", Lacks::Nobody, none),
    op("POST", "/heliograph/v1/notifications", Lacks::Reader, notification),
    op("GET", "/heliograph/v1/notifications/{notification}", Lacks::Stranger, none),
    op("PUT", "/heliograph/v1/notifications/{notification}", Lacks::Reader, notification),
    op("GET", "/heliograph/v1/notifications/{notification}/history", Lacks::Stranger, none),
    op("GET", "/heliograph/v1/notifications/{notification}/webhook-secret", Lacks::Reader, none),
    op("GET", "/heliograph/v1/deliveries", Lacks::Nobody, none),
    op("POST", "/heliograph/v1/deliveries/{delivery}/retry", Lacks::Reader, none),
    op("POST", "/heliograph/v1/provision", Lacks::Owner, none),
    op("POST", "/heliograph/v1/backup", Lacks::Owner, none),
    // What destroys.
    op("DELETE", "/heliograph/v1/rules/{rule}", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/notifications/{notification}", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/things/{thing}/inbox/{message}", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/things/{thing}/dead-letters/{buried}", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/things/{thing}/messages", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/things/{thing}/certificates/{fingerprint}", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/things/{thing}", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/clients/{client}", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/initial-access-tokens/{initial}", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/api-keys/{apikey}", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/memberships/{member}", Lacks::Reader, none),
    op("DELETE", "/heliograph/v1/users/{goner}", Lacks::Reader, none),
    op("POST", "/heliograph/v1/token/revoke", Lacks::Nobody, none),
    op("DELETE", "/heliograph/v1/tenants/{tenant}", Lacks::Reader, none),
];

/// FlashLex API 1.4, at the platform's own base path.
const FLASHLEX: &[Operation] = &[
    op("GET", "/prd/v1/subscriptions", Lacks::Nobody, none),
    op("GET", "/prd/v1/subscriptions/active", Lacks::Nobody, none),
    op("GET", "/prd/v1/subscriptions/{subscription}", Lacks::Stranger, none),
    op("GET", "/prd/v1/things", Lacks::Nobody, none),
    op("GET", "/prd/v1/things/{thing}", Lacks::Stranger, none),
    op("GET", "/prd/v1/things/{thing}/messages", Lacks::Stranger, none),
    op("GET", "/prd/v1/things/{thing}/messages/stream", Lacks::Stranger, none),
    op("GET", "/prd/v1/things/{thing}/archive", Lacks::Stranger, none),
    op("GET", "/prd/v1/users/{own}", Lacks::Stranger, none),
    op("GET", "/prd/v1/things/{thing}/dist", Lacks::Reader, none),
    op("POST", "/prd/v1/things", Lacks::Reader, || json!({ "flthingspk": "0b8f6c1e-94d6-4f0e-8a63-0f8f4c2d7a11" })),
    op("POST", "/prd/v1/things/{thing}/publish", Lacks::Reader, || json!({ "message": "hello" })),
    op("DELETE", "/prd/v1/things/{thing}/messages", Lacks::Reader, none),
    op("DELETE", "/prd/v1/things/{thing}", Lacks::Reader, none),
];

/// Lightelligence: tenants, roles, applications. What a person asks of itself, and an application of itself, is tried in
/// `lightelligence_tenancy`.
const TENANCY: &[Operation] = &[
    op("GET", "/v1/users/{own}", Lacks::Nobody, none),
    op("GET", "/v1/users/{own}/tenants", Lacks::Nobody, none),
    op("GET", "/v1/users/{own}/tenants/{tenant}", Lacks::Nobody, none),
    op("GET", "/v1/users/{own}/permissions", Lacks::Nobody, none),
    op("GET", "/v1/users/{own}/invites", Lacks::Nobody, none),
    op("GET", "/v1/permissions", Lacks::Nobody, none),
    op("GET", "/v1/applications", Lacks::Nobody, none),
    op("GET", "/v1/tenants/{tenant}", Lacks::Stranger, none),
    op("GET", "/v1/tenants/{tenant}/roles", Lacks::Stranger, none),
    op("GET", "/v1/applications/{application}", Lacks::Stranger, none),
    op("GET", "/v1/applications/{application}/permissions", Lacks::Stranger, none),
    op("PATCH", "/v1/tenants/{tenant}", Lacks::Reader, || json!({ "contractId": "c-1" })),
    op("GET", "/v1/tenants/{tenant}/users", Lacks::Reader, none),
    op("GET", "/v1/tenants/{tenant}/users/{member}/roles", Lacks::Reader, none),
    op("PUT", "/v1/tenants/{tenant}/users/{member}/roles", Lacks::Reader, || json!([{ "id": "{role}" }])),
    op("GET", "/v1/tenants/{tenant}/users/{member}/permissions", Lacks::Reader, none),
    op("GET", "/v1/tenants/{tenant}/invites", Lacks::Reader, none),
    op(
        "POST",
        "/v1/tenants/{tenant}/invites",
        Lacks::Reader,
        || json!({ "receiverEmail": "friend@example.com", "roles": [{ "id": "{role}" }] }),
    ),
    op("GET", "/v1/roles", Lacks::Reader, none),
    op("POST", "/v1/roles", Lacks::Reader, || json!({ "name": "Another" })),
    op("GET", "/v1/roles/{role}", Lacks::Reader, none),
    op("PATCH", "/v1/roles/{role}", Lacks::Reader, || json!({ "description": "changed" })),
    op("GET", "/v1/roles/{role}/users", Lacks::Reader, none),
    op("GET", "/v1/audit-logs", Lacks::Reader, none),
    op("GET", "/v1/application-developer/applications", Lacks::Reader, none),
    op("POST", "/v1/application-developer/applications", Lacks::Reader, || json!({ "name": "Another" })),
    op("GET", "/v1/application-developer/applications/{application}", Lacks::Reader, none),
    op("PATCH", "/v1/application-developer/applications/{application}", Lacks::Reader, || json!({ "teaserDescription": "changed" })),
    op("POST", "/v1/application-developer/applications/{application}/secret", Lacks::Reader, || json!({})),
    op("GET", "/v1/application-developer/applications/{application}/allowed-tenants", Lacks::Reader, none),
    op("PUT", "/v1/application-developer/applications/{application}/allowed-tenants/{user}", Lacks::Reader, || json!({ "comment": "x" })),
    op("GET", "/v1/application-developer/applications/{application}/custom-permissions", Lacks::Reader, none),
    op(
        "POST",
        "/v1/application-developer/applications/{application}/custom-permissions",
        Lacks::Reader,
        || json!({ "alias": "another", "name": "another", "category": "another" }),
    ),
    op("GET", "/v1/application-developer/applications/{application}/custom-permissions/{custom}", Lacks::Reader, none),
    op(
        "PATCH",
        "/v1/application-developer/applications/{application}/custom-permissions/{custom}",
        Lacks::Reader,
        || json!({ "category": "changed" }),
    ),
    op("POST", "/v1/applications/{application}/installation", Lacks::Reader, || json!({ "permissions": { "client": [], "user": [] } })),
    op("GET", "/v1/applications/{application}/installation", Lacks::Stranger, none),
    op("PUT", "/v1/applications/{application}/installation", Lacks::Reader, none),
    op("PATCH", "/v1/applications/{application}/installation", Lacks::Reader, || json!({ "permissions": { "client": [], "user": [] } })),
    op("DELETE", "/v1/applications/{application}/installation", Lacks::Reader, none),
    op("DELETE", "/v1/application-developer/applications/{application}/custom-permissions/{custom}", Lacks::Reader, none),
    op("DELETE", "/v1/application-developer/applications/{application}/allowed-tenants/{user}", Lacks::Reader, none),
    op("DELETE", "/v1/application-developer/applications/{application}", Lacks::Reader, none),
    op("DELETE", "/v1/tenants/{tenant}/invites/{invite}", Lacks::Reader, none),
    op("DELETE", "/v1/roles/{role}", Lacks::Reader, none),
    op("DELETE", "/v1/tenants/{tenant}/users/{member}", Lacks::Reader, none),
    op("DELETE", "/v1/tenants/{tenant}", Lacks::Reader, none),
];

/// FlashLex operations that take another credential than a user's token: tried on their own below.
const FLASHLEX_OTHERWISE: &[&str] = &["GET /token", "POST /things/{id}/collect", "POST /register", "POST /register/verify"];

/// OSRAM Lightelligence, below `/v1`: devices and notifications. Readers and strangers: `lightelligence/strangers.rs`.
const LIGHTELLIGENCE: &[(&str, &str)] = &[
    ("POST", "/device-types"),
    ("GET", "/device-types"),
    ("GET", "/device-types/categories"),
    ("GET", "/device-types/{deviceTypeId}"),
    ("PATCH", "/device-types/{deviceTypeId}"),
    ("DELETE", "/device-types/{deviceTypeId}"),
    ("PATCH", "/device-types/{deviceTypeId}/onlinemonitoring"),
    ("GET", "/device-types/{deviceTypeId}/onlinemonitoring"),
    ("POST", "/devices"),
    ("GET", "/devices"),
    ("GET", "/devices/tags"),
    ("GET", "/devices/{deviceId}"),
    ("PATCH", "/devices/{deviceId}"),
    ("DELETE", "/devices/{deviceId}"),
    ("PATCH", "/devices/{deviceId}/onlinemonitoring"),
    ("GET", "/devices/{deviceId}/onlinemonitoring"),
    ("POST", "/devices/{deviceId}/actions"),
    ("POST", "/devices/actions"),
    ("GET", "/devices/{deviceId}/state"),
    ("GET", "/devices/states"),
    ("GET", "/devices/{deviceId}/last-events"),
    ("POST", "/event-ingest"),
    ("POST", "/devices/{deviceId}/certificates"),
    ("GET", "/devices/{deviceId}/certificates"),
    ("GET", "/devices/{deviceId}/certificates/{certId}"),
    ("PATCH", "/devices/{deviceId}/certificates/{certId}"),
    ("DELETE", "/devices/{deviceId}/certificates/{certId}"),
    ("GET", "/devices/{deviceId}/last-diagnostics"),
    ("GET", "/devices/{deviceId}/aggregated-timeseries"),
    ("GET", "/devices/{deviceId}/last-timeseries"),
    ("DELETE", "/devices/{deviceId}/timeseries"),
    ("POST", "/data-ingest"),
    ("POST", "/devices/streaming-connections"),
    ("GET", "/notifications"),
    ("POST", "/notifications"),
    ("GET", "/notifications/{notificationId}"),
    ("PUT", "/notifications/{notificationId}"),
    ("PATCH", "/notifications/{notificationId}"),
    ("DELETE", "/notifications/{notificationId}"),
    ("GET", "/notifications/history"),
];

/// What stands in the platform's description but is not served (docs/dialects/lightelligence.md), or is itself the credential.
const LIGHTELLIGENCE_NOT_YET: &[&str] = &["firmware", "dump", "/devices/aggregated-timeseries", "/ws"];

/// What the placeholders of the table stand for: objects of tenant `acme`.
struct World {
    names: Vec<(&'static str, String)>,
}

impl World {
    async fn make(gateway: &Gateway, alice: &Http, flashlex: &Http) -> Self {
        let made =
            alice.post("/heliograph/v1/things", &json!({ "key": "watched", "credentials": "rsa_certificate" })).await.expect(201).json();
        let sent = alice.post("/heliograph/v1/things/watched/messages", &json!({ "payload": "secret of acme" })).await.expect(201).json();
        let mut more = Vec::new();
        for _ in 0..3 {
            more.push(alice.post("/heliograph/v1/things/watched/messages", &json!({ "payload": "more" })).await.expect(201).json());
        }
        let keys = alice.get("/heliograph/v1/api-keys").await.expect(200).json();
        let subscription = flashlex.get("/prd/v1/subscriptions/active").await.expect(200).json();
        let leaver =
            alice.post("/heliograph/v1/users", &json!({ "email": "leaver@example.com", "role": "reader" })).await.expect(201).json();
        let goner = alice.post("/heliograph/v1/users", &json!({ "email": "goner@example.com", "role": "reader" })).await.expect(201).json();
        let initial = alice.post("/heliograph/v1/initial-access-tokens", &json!({ "label": "partners" })).await.expect(201).json();
        let rule = alice.post("/heliograph/v1/rules", &rule()).await.expect(201).json();
        let notification = alice.post("/heliograph/v1/notifications", &notification()).await.expect(201).json();
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("text in {value}")).to_owned();
        let names = vec![
            ("{thing}", "watched".to_owned()),
            ("{message}", text(&sent["id"])),
            ("{again}", text(&more[0]["id"])),
            ("{buried}", text(&more[1]["id"])),
            ("{over}", text(&more[2]["id"])),
            ("{fingerprint}", text(&made["keys"]["fingerprint"])),
            ("{tenant}", ACME.to_owned()),
            ("{user}", text(&leaver["id"])),
            ("{goner}", text(&goner["id"])),
            ("{own}", ALICE.id.to_owned()),
            ("{member}", text(&leaver["id"])),
            ("{client}", "backend".to_owned()),
            ("{initial}", text(&initial["id"])),
            ("{apikey}", text(&keys["items"][0]["id"])),
            ("{rule}", text(&rule["id"])),
            ("{notification}", text(&notification["id"])),
            ("{alert}", gateway.clock().new_id::<uuid::Uuid>().to_string()),
            ("{delivery}", gateway.clock().new_id::<uuid::Uuid>().to_string()),
            ("{subscription}", text(&subscription["result"]["subscription"]["flsubscriptionspk"])),
        ];
        Self { names }
    }

    fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    async fn call(&self, http: &Http, operation: &Operation) -> u16 {
        let path = self.fill(operation.path);
        assert!(!path.contains('{'), "{path}: a placeholder that the world does not know");
        let body: Value = self.fill(&(operation.body)().to_string()).parse().unwrap();
        http.status(operation.method, &path, (!body.is_null()).then_some(&body)).await
    }
}

fn altered(token: &str) -> String {
    // Another letter in the middle of the signature: the last one may hold unused bits.
    let at = token.rfind('.').unwrap() + 20;
    let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

fn bearer(http: &Http) -> String {
    match http.auth() {
        Auth::Bearer(token) => token.clone(),
        other => panic!("{other:?}"),
    }
}

/// Goes through a table with everybody. `other_face` is a good token of another API of the same user.
async fn refuse_all(gateway: &Gateway, table: &[Operation], world: &World, alice: &Http, rita: &Http, carol: &Http, other_face: &Http) {
    let anon = gateway.http();
    let token = bearer(alice);
    let strangers = [
        ("nobody", anon.clone()),
        ("garbage", anon.bearer("garbage")),
        ("an altered token", anon.bearer(altered(&token))),
        ("a token without signature", anon.bearer(format!("{}.", token.rsplit_once('.').unwrap().0))),
        ("an unknown API key", anon.bearer("K1-0000000000000000")),
        ("Basic with a wrong password", anon.with(Auth::Header("authorization", "Basic YTpi".to_owned()))),
        ("another API's token", other_face.clone()),
    ];
    let mut wrong = Vec::new();
    let mut expect = |who: &str, operation: &Operation, status: u16, wanted: &[u16]| {
        if !wanted.contains(&status) {
            wrong.push(format!("{} {} as {who}: {status}, not {wanted:?}", operation.method, operation.path));
        }
    };
    for operation in table {
        if !OPEN.contains(&format!("{} {}", operation.method, operation.path).as_str()) {
            for (who, http) in &strangers {
                expect(who, operation, world.call(http, operation).await, &[401]);
            }
        }
        // Failures are rationed; this test is about refusals.
        gateway.advance(Duration::from_secs(10));
        // The first refusal must not have hurt: the next one is still looked at with the same objects.
        match operation.lacks {
            Lacks::Nobody => {}
            Lacks::Stranger => expect("another tenant", operation, world.call(carol, operation).await, &[404]),
            Lacks::Reader => {
                expect("a reader", operation, world.call(rita, operation).await, &[403]);
                if operation.path.contains('{') {
                    expect("another tenant", operation, world.call(carol, operation).await, &[404]);
                }
            }
            Lacks::Owner => expect("an owner", operation, world.call(alice, operation).await, &[403]),
        }
    }
    // The table's paths are real: whoever may, finds something there. In the table's order, since the last ones destroy.
    for operation in table.iter().filter(|o| o.lacks != Lacks::Owner && !OPEN.contains(&format!("{} {}", o.method, o.path).as_str())) {
        if operation.path.contains("{delivery}") || operation.path.contains("{alert}") {
            continue; // there is no mail to send again, and nothing was found
        }
        let once = if operation.path.ends_with("/revoke") { ALICE.native(&gateway.http()).await } else { alice.clone() };
        let status = world.call(&once, operation).await;
        // 409: what the table would make is there already.
        if !(200..300).contains(&status) && status != 409 {
            expect("its owner", operation, status, &[200]);
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_own_api_is_guarded() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (alice, flashlex) = (ALICE.native(&http).await, ALICE.flashlex(&http).await);
    let (rita, carol) = (RITA.native(&http).await, CAROL.native(&http).await);
    let world = World::make(&gateway, &alice, &flashlex).await;
    refuse_all(&gateway, NATIVE, &world, &alice, &rita, &carol, &flashlex).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_flashlex_is_guarded() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (native, alice) = (ALICE.native(&http).await, ALICE.flashlex(&http).await);
    let (rita, carol) = (RITA.flashlex(&http).await, CAROL.flashlex(&http).await);
    let world = World::make(&gateway, &native, &alice).await;
    refuse_all(&gateway, FLASHLEX, &world, &alice, &rita, &carol, &native).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_lightelligence_is_guarded() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let form = [("grant_type", "client_credentials"), ("client_id", "backend"), ("client_secret", "s3cr3t-of-the-backend")];
    let issue = async |path: &str| {
        let token = http.form(path, &form).await.expect(200).json();
        token["access_token"].as_str().unwrap().to_owned()
    };
    let token = issue("/v1/id/auth/realms/olt/protocol/openid-connect/token").await;
    let plain = issue("/oauth2/token").await;
    let _ = http.bearer(&token).get("/v1/devices").await.expect(200);
    let strangers = [
        ("nobody", http.clone()),
        ("garbage", http.bearer("garbage")),
        ("an altered token", http.bearer(altered(&token))),
        ("a token without signature", http.bearer(format!("{}.", token.rsplit_once('.').unwrap().0))),
        ("Basic credentials", http.basic("backend", "s3cr3t-of-the-backend")),
        ("a token of the plain face", http.bearer(plain)),
        ("another API's token", ALICE.native(&http).await),
    ];
    let call = async |who: &Http, (method, path): (&str, &str)| {
        let path: Vec<String> = path.split('/').map(|part| if part.starts_with('{') { ACME.to_owned() } else { part.to_owned() }).collect();
        who.status(method, &format!("/v1{}", path.join("/")), None).await
    };
    for operation in LIGHTELLIGENCE {
        for (who, http) in &strangers {
            assert_eq!(call(http, *operation).await, 401, "{operation:?} as {who}");
        }
    }
    // Eleven days later the token is over.
    gateway.advance(Duration::from_secs(11 * 86_400));
    for operation in LIGHTELLIGENCE {
        assert_eq!(call(&http.bearer(&token), *operation).await, 401, "{operation:?} with an expired token");
    }
}

#[test]
fn the_table_of_lightelligence_is_complete() {
    let document: Value = serde_json::from_str(include_str!("lightelligence/openapi.json")).unwrap();
    let mine = |text: &String| {
        let path = text.split_once(' ').unwrap().1;
        ["/device", "/data-ingest", "/event-ingest", "/notifications"].iter().any(|start| path.starts_with(start))
            && !LIGHTELLIGENCE_NOT_YET.iter().any(|part| path.contains(part))
    };
    let documented: BTreeSet<String> = operations(&document).into_iter().filter(mine).collect();
    let table: BTreeSet<String> = LIGHTELLIGENCE.iter().map(|(method, path)| anonymous(&format!("{method} {path}"))).collect();
    assert_eq!(table, documented);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_on_lightelligences_tenants_is_guarded() {
    let gateway = lightelligence_tenancy::builder().start().await;
    let http = gateway.http();
    let person = async |person| Api::person(&http, &person, None).await;
    let (alice, rita, carol) = (person(ALICE).await, person(RITA).await, person(CAROL).await);
    let native = ALICE.native(&http).await;
    let mut world = World::make(&gateway, &native, &ALICE.flashlex(&http).await).await;
    let id = |answer: testkit::Exchange| answer.expect(201).json()["data"]["id"].as_str().unwrap().to_owned();
    let application = json!({ "name": "Lamps", "allowedTenants": [{ "tenantId": ACME }] });
    let application = id(alice.post("/application-developer/applications", &application).await);
    let custom = json!({ "alias": "lamps", "name": "lamps", "category": "lamps" });
    let custom = id(alice.post(&format!("/application-developer/applications/{application}/custom-permissions"), &custom).await);
    let role = id(alice.post("/roles", &json!({ "name": "Lamps" })).await);
    let invite = json!({ "receiverEmail": "somebody@example.com", "roles": [{ "id": role }] });
    let invite = id(alice.post(&format!("/tenants/{ACME}/invites"), &invite).await);
    world.names.extend([("{application}", application), ("{custom}", custom), ("{role}", role), ("{invite}", invite)]);
    refuse_all(&gateway, TENANCY, &world, &alice.http, &rita.http, &carol.http, &native).await;
}

/// Tokens end: an hour and a bit later every operation refuses them.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_opens_nothing() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let (native, flashlex) = (ALICE.native(&http).await, ALICE.flashlex(&http).await);
    let world = World::make(&gateway, &native, &flashlex).await;
    gateway.advance(Duration::from_secs(3_600 + 120));
    for (who, table) in [(&native, NATIVE), (&flashlex, FLASHLEX)] {
        for operation in table.iter().filter(|o| !OPEN.contains(&format!("{} {}", o.method, o.path).as_str())) {
            let status = world.call(who, operation).await;
            assert_eq!(status, 401, "{} {} with an expired token", operation.method, operation.path);
        }
    }
    assert_eq!(ALICE.native(&http).await.get("/heliograph/v1/me").await.status, 200, "a new token is good again");
}

/// The credentials that are not user tokens.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_get_no_token() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    for base in ["", "/v1", "/prd/v1", "/dev"] {
        let path = format!("{base}/token");
        let _ = http.get(&path).await.expect(401);
        let _ = http.basic(ALICE.email, "wrong").get(&path).await.expect(401);
        let _ = http.basic("nobody@example.com", "wrong").get(&path).await.expect(401);
        let _ = http.bearer("garbage").get(&path).await.expect(401);
    }
    // A wrong password and an unknown account read alike.
    let wrong = http.basic(ALICE.email, "wrong").get("/prd/v1/token").await;
    let unknown = http.basic("nobody@example.com", "wrong").get("/prd/v1/token").await;
    assert_eq!(wrong.looks(), unknown.looks());
    for body in [
        json!({ "email": ALICE.email, "password": "wrong" }),
        json!({ "email": "nobody@example.com", "password": ALICE.password }),
        json!({ "client_id": "backend", "client_secret": "wrong" }),
        json!({ "client_id": "nobody", "client_secret": "s3cr3t-of-the-backend" }),
        json!({ "api_key": "K1-0000000000000000" }),
        json!({}),
    ] {
        let _ = http.post("/heliograph/v1/token", &body).await.expect(401);
    }
}

/// `collect` takes the thing's own signature and nothing else: not even its owner's token.
#[tokio::test(flavor = "multi_thread")]
async fn collect_takes_no_user_token() {
    let gateway = Gateway::start().await;
    let http = gateway.http();
    let alice = ALICE.flashlex(&http).await;
    let path = "/prd/v1/things/dev-1/collect";
    for http in [&http, &http.bearer("garbage"), &alice, &ALICE.native(&gateway.http()).await] {
        let _ = http.post(path, &json!({ "foo": "bar" })).await.expect(401);
    }
    let messages = alice.get("/prd/v1/things/dev-1/messages").await.expect(200).json();
    assert_eq!(messages["result"], json!([]), "nothing was stored");
}

/// The table above has every operation that the gateway documents, and no other.
#[test]
fn the_table_is_complete() {
    let document = serde_json::to_value(native::openapi()).unwrap();
    assert_eq!(shape(NATIVE), operations(&document), "crates/gateway/tests/it/unauthorized.rs and the OpenAPI document differ");
}

#[test]
fn the_table_of_flashlex_is_complete() {
    let document = serde_json::from_str(flashlex::openapi()).unwrap();
    let mut table: BTreeSet<String> = shape(FLASHLEX).iter().map(|text| text.replace("/prd/v1", "")).collect();
    table.extend(FLASHLEX_OTHERWISE.iter().map(|text| anonymous(text)));
    assert_eq!(table, operations(&document), "crates/gateway/tests/it/unauthorized.rs and the dialect's document differ");
}

fn operations(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "patch", "delete"] {
            if item.get(method).is_some() {
                found.insert(anonymous(&format!("{} {path}", method.to_uppercase())));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn shape(table: &[Operation]) -> BTreeSet<String> {
    let all: BTreeSet<String> = table.iter().map(|o| anonymous(&format!("{} {}", o.method, o.path))).collect();
    assert_eq!(all.len(), table.len(), "an operation stands twice in the table");
    all
}

/// Placeholders without their names.
fn anonymous(text: &str) -> String {
    text.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}
