//! What must not work: bad input, strangers, and every way up that nobody may take.

use serde_json::{Value, json};
use testkit::Gateway;
use testkit::fleet::{ACME, ALICE, CAROL, GLOBEX, RITA};

use super::{Api, application_token, builder, id, new_tenant, permission, role, schema, sign_in, text};

const NOBODYS: &str = "0b8f6c1e-94d6-7f0e-8a63-0f8f4c2d7a11";

/// Gives Rita exactly these roles in `acme`, and signs her in.
async fn rita_as(gateway: &Gateway, alice: &Api, roles: &Value) -> Api {
    let _ = alice.put(&format!("/tenants/{ACME}/users/{}/roles", RITA.id), roles).await.expect(204);
    Api::person(&gateway.http(), &RITA, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_what_they_do_not_have() {
    let gateway = builder().start().await;
    let alice = Api::person(&gateway.http(), &ALICE, None).await;
    let (users, manage) =
        (permission(&alice, "tenant_user_management:read").await, permission(&alice, "tenant_user_management:write").await);
    let (types, write) = (permission(&alice, "devicetypes:read").await, permission(&alice, "devicetypes:write").await);
    let made = alice.post("/roles", &json!({ "name": "Managers", "permissions": [users, manage, types] })).await.expect(201);
    let managers = id(&made);
    let stronger = id(&alice.post("/roles", &json!({ "name": "Stronger", "permissions": [write] })).await.expect(201));
    let (owner, writer, reader) = (role(&alice, "owner").await, role(&alice, "writer").await, role(&alice, "reader").await);
    let rita = rita_as(&gateway, &alice, &json!([{ "id": managers }])).await;
    let own = format!("/tenants/{ACME}/users/{}/roles", RITA.id);

    // Up by a role for herself, by a new role, by changing her role, by an invitation, by changing or removing who stands above.
    for roles in [json!([owner]), json!([writer]), json!([reader]), json!([{ "id": managers }, { "id": stronger }])] {
        let _ = rita.put(&own, &roles).await.expect(403);
    }
    for named in [&write, &permission(&alice, "tenant:write").await, &permission(&alice, "applications:write").await] {
        let _ = rita.post("/roles", &json!({ "name": "Upper", "permissions": [named] })).await.expect(403);
        let _ = rita.patch(&format!("/roles/{managers}"), &json!({ "permissions": [users, manage, named] })).await.expect(403);
    }
    let _ = rita.patch(&format!("/roles/{stronger}"), &json!({ "name": "Mine now" })).await.expect(403);
    let _ = rita.delete(&format!("/roles/{stronger}")).await.expect(403);
    for roles in [json!([owner]), json!([writer]), json!([{ "id": stronger }])] {
        let invite = json!({ "receiverEmail": "friend@example.com", "roles": roles });
        let _ = rita.post(&format!("/tenants/{ACME}/invites"), &invite).await.expect(403);
    }
    let _ = rita.put(&format!("/tenants/{ACME}/users/{}/roles", ALICE.id), &json!([])).await.expect(403);
    let _ = rita.delete(&format!("/tenants/{ACME}/users/{}", ALICE.id)).await.expect(403);

    // What she may: a role of no more than hers, for somebody who has no more, and invitations into it.
    let less = id(&rita.post("/roles", &json!({ "name": "Less", "permissions": [types] })).await.expect(201));
    let invite = json!({ "receiverEmail": "friend@example.com", "roles": [{ "id": less }] });
    let _ = rita.post(&format!("/tenants/{ACME}/invites"), &invite).await.expect(201);
    let _ = rita.put(&own, &json!([{ "id": managers }, { "id": less }])).await.expect(204);
    // Taken from her, it is gone from tokens that are out.
    let _ = rita.get("/roles").await.expect(200);
    let _ = alice.delete(&format!("/roles/{managers}")).await.expect(204);
    let _ = rita.get("/roles").await.expect(403);
}

/// Whatever roles a caller has, it never gives more than it has: all pairs of a few roles, tried.
#[tokio::test(flavor = "multi_thread")]
async fn any_role_tries_to_give_any_other() {
    let gateway = builder().start().await;
    let alice = Api::person(&gateway.http(), &ALICE, None).await;
    let manage = permission(&alice, "tenant_user_management:write").await;
    let see = permission(&alice, "tenant_user_management:read").await;
    let aliases = ["devicetypes:read", "devicetypes:write", "ingest:write", "tenant:read", "audit_logs:read", "applications:write"];
    let mut givers = Vec::new();
    for (n, pair) in aliases.windows(2).enumerate() {
        let (a, b) = (permission(&alice, pair[0]).await, permission(&alice, pair[1]).await);
        let body = json!({ "name": format!("Giver {n}"), "permissions": [a, b, manage, see] });
        givers.push((pair.to_vec(), id(&alice.post("/roles", &body).await.expect(201))));
    }
    for (has, giver) in &givers {
        let rita = rita_as(&gateway, &alice, &json!([{ "id": giver }])).await;
        for (number, alias) in aliases.into_iter().enumerate() {
            let wanted = if has.contains(&alias) { 201 } else { 403 };
            let body = json!({ "name": format!("{} {number}", has.join(" ").replace(':', " ").get(..20).unwrap()), "permissions": [{ "alias": alias }] });
            let answer = rita.post("/roles", &body).await;
            assert_eq!(answer.status, wanted, "{has:?} gives {alias}: {answer}");
        }
        for name in ["owner", "writer", "reader"] {
            let role = role(&alice, name).await;
            let own = format!("/tenants/{ACME}/users/{}/roles", RITA.id);
            let _ = rita.put(&own, &json!([role])).await.expect(403);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_never_manage_tenants() {
    let gateway = builder().start().await;
    let http = gateway.http();
    let alice = Api::person(&http, &ALICE, None).await;
    let mut all = Vec::new();
    for alias in ["tenant:read", "tenant:write", "tenant_user_management:read", "tenant_user_management:write", "devices_base_data:write"] {
        all.push(permission(&alice, alias).await);
    }
    let wants = json!({ "client": all, "user": all });
    let new = json!({
        "name": "Greedy", "withPublicOauth2Client": true, "redirectUris": [super::CALLBACK], "permissions": wants,
        "allowedTenants": [{ "tenantId": ACME }],
    });
    let made = alice.post("/application-developer/applications", &new).await.expect(201).json();
    let (greedy, secret) = (text(&made["data"]["id"]), text(&made["data"]["oauth2Client"]["secret"]));
    let install = format!("/applications/{greedy}/installation");
    let _ = alice.post(&install, &json!({ "permissions": wants })).await.expect(201);
    let own = Api::of(&http, &application_token(&http, &greedy, &secret, Some(ACME)).await.expect(200).json());
    let through = Api::of(&http, &sign_in(&http, &ALICE, &text(&made["data"]["publicOauth2Client"]["id"]), None).await.expect(200).json());
    let owner = role(&alice, "owner").await;
    for api in [&own, &through] {
        let _ = api.get(&format!("/tenants/{ACME}")).await.expect(403);
        let _ = api.get(&format!("/tenants/{ACME}/users")).await.expect(403);
        let _ = api.get("/roles").await.expect(403);
        let _ = api.put(&format!("/tenants/{ACME}/users/{}/roles", RITA.id), &json!([owner])).await.expect(403);
        let _ =
            api.post(&format!("/tenants/{ACME}/invites"), &json!({ "receiverEmail": "a@b.example", "roles": [owner] })).await.expect(403);
        let _ = api.delete(&format!("/tenants/{ACME}")).await.expect(403);
        let _ = api.delete(&format!("/tenants/{ACME}/users/{}", ALICE.id)).await.expect(403);
        let _ = api.delete(&install).await.expect(403);
    }
    let may = through.get(&format!("/users/{}/permissions", ALICE.id)).await.expect(200).json();
    let aliases: Vec<_> = may["data"]["permissions"].as_array().unwrap().iter().map(|p| text(&p["alias"])).collect();
    assert!(!aliases.is_empty() && aliases.iter().all(|alias| alias.ends_with(":write") && !alias.starts_with("tenant")), "{aliases:?}");
    // Nor does its secret open anything by another door.
    let native = http.post("/heliograph/v1/token", &json!({ "client_id": greedy, "client_secret": secret })).await;
    assert_eq!(native.status, 403, "{native}");
    let _ = http.basic(&greedy, &secret).get("/heliograph/v1/things").await.expect(401);

    // Who may less than the application wants cannot install it.
    let installer = permission(&alice, "applications:write").await;
    let see = permission(&alice, "applications:read").await;
    let small = id(&alice.post("/roles", &json!({ "name": "Installer", "permissions": [installer, see] })).await.expect(201));
    let _ = alice.delete(&install).await.expect(204);
    let rita = rita_as(&gateway, &alice, &json!([{ "id": small }])).await;
    let _ = rita.post(&install, &json!({ "permissions": wants })).await.expect(403);
    let _ = rita.send("PUT", &install, None).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input() {
    let gateway = builder().start().await;
    let alice = Api::person(&gateway.http(), &ALICE, None).await;
    let nil = Value::Null;
    let app = id(&alice.post("/application-developer/applications", &json!({ "name": "Lamps" })).await.expect(201));
    let of_app = format!("/application-developer/applications/{app}");
    let invites = format!("/tenants/{ACME}/invites");
    let roles = format!("/tenants/{ACME}/users/{}/roles", RITA.id);
    let reader = role(&alice, "reader").await;
    let owner = text(&role(&alice, "owner").await["id"]);
    let long = "x".repeat(256);
    let mut tenant = new_tenant("Fine");
    tenant["billingContact"]["title"] = json!("Dr.");
    for (method, path, body, status, code) in [
        ("POST", "/tenants", json!({}), 400, "ID_VALIDATION"),
        ("POST", "/tenants", new_tenant("ab"), 400, "ID_VALIDATION"),
        ("POST", "/tenants", new_tenant(&"x".repeat(33)), 400, "ID_VALIDATION"),
        ("POST", "/tenants", tenant, 400, "ID_VALIDATION"),
        ("POST", "/tenants", json!([]), 400, "ID_VALIDATION"),
        ("PATCH", &format!("/tenants/{ACME}"), json!({ "name": 7 }), 400, "ID_VALIDATION"),
        ("GET", "/tenants/acme", nil.clone(), 400, "ID_VALIDATION"),
        ("GET", "/users/me", nil.clone(), 400, "ID_VALIDATION"),
        ("GET", "/roles?page=-1", nil.clone(), 400, "ID_VALIDATION"),
        ("GET", "/roles?pageSize=101", nil.clone(), 400, "ID_VALIDATION"),
        ("GET", "/roles?pageSize=0", nil.clone(), 400, "ID_VALIDATION"),
        ("GET", "/roles?userId=x", nil.clone(), 400, "ID_VALIDATION"),
        ("POST", "/roles", json!({}), 400, "ID_VALIDATION"),
        ("POST", "/roles", json!({ "name": "ab" }), 400, "ID_VALIDATION"),
        ("POST", "/roles", json!({ "name": "a/b c" }), 400, "ID_VALIDATION"),
        ("POST", "/roles", json!({ "name": "owner" }), 409, "ID_CONFLICT"),
        ("POST", "/roles", json!({ "name": "fine", "permissions": [{}] }), 400, "ID_VALIDATION"),
        ("POST", "/roles", json!({ "name": "fine", "permissions": [{ "alias": "all" }] }), 400, "ID_VALIDATION"),
        ("POST", "/roles", json!({ "name": "fine", "customPermissions": [{ "id": NOBODYS }] }), 400, "ID_VALIDATION"),
        ("PATCH", &format!("/roles/{owner}"), json!({ "name": "king" }), 403, "ID_FORBIDDEN"),
        ("DELETE", &format!("/roles/{owner}"), nil.clone(), 403, "ID_FORBIDDEN"),
        ("PUT", &roles, json!([{ "id": NOBODYS }]), 400, "ID_VALIDATION"),
        ("PUT", &roles, json!({ "name": "reader" }), 400, "ID_VALIDATION"),
        ("PUT", &roles, nil.clone(), 400, "ID_VALIDATION"),
        ("POST", &invites, json!({ "receiverEmail": "a@b.example" }), 400, "ID_VALIDATION"),
        ("POST", &invites, json!({ "receiverEmail": "nobody", "roles": [reader] }), 400, "ID_VALIDATION"),
        ("POST", &invites, json!({ "receiverEmail": "a@b.example", "roleNames": ["king"] }), 400, "ID_VALIDATION"),
        ("POST", &invites, json!({ "receiverEmail": RITA.email, "roles": [reader] }), 409, "ID_CONFLICT"),
        ("GET", &format!("{invites}?status=lost"), nil.clone(), 400, "ID_VALIDATION"),
        ("PATCH", &format!("/users/{}/invites/{NOBODYS}", ALICE.id), json!({ "status": "open" }), 400, "ID_VALIDATION"),
        ("PATCH", &format!("/users/{}/invites/{NOBODYS}", ALICE.id), json!({ "status": "accepted" }), 404, "ID_RESOURCE_NOT_FOUND"),
        ("POST", "/application-developer/applications", json!({ "name": "a!" }), 400, "APP_VALIDATION"),
        (
            "POST",
            "/application-developer/applications",
            json!({ "name": "fine", "redirectUris": ["http://evil.example/"] }),
            400,
            "APP_VALIDATION",
        ),
        ("POST", "/application-developer/applications", json!({ "name": "fine", "url": "javascript:alert(1)" }), 400, "APP_VALIDATION"),
        ("POST", "/application-developer/applications", json!({ "name": "fine", "teaserDescription": long }), 400, "APP_VALIDATION"),
        ("POST", "/application-developer/applications", json!({ "name": "fine", "permissions": { "client": [] } }), 400, "APP_VALIDATION"),
        (
            "POST",
            "/application-developer/applications",
            json!({ "name": "fine", "allowedTenants": [{ "tenantId": "x" }] }),
            400,
            "APP_VALIDATION",
        ),
        ("PATCH", &of_app, json!({ "status": "asleep" }), 400, "APP_VALIDATION"),
        ("PUT", &format!("{of_app}/allowed-tenants/{GLOBEX}"), json!({ "comment": long }), 400, "APP_VALIDATION"),
        ("DELETE", &format!("{of_app}/allowed-tenants/{NOBODYS}"), nil.clone(), 404, "APP_RESOURCE_NOT_FOUND"),
        (
            "POST",
            &format!("{of_app}/custom-permissions"),
            json!({ "alias": "a", "name": "fine", "category": "fine" }),
            400,
            "ID_VALIDATION",
        ),
        ("POST", &format!("{of_app}/custom-permissions"), json!({ "alias": "fine", "name": "fine" }), 400, "ID_VALIDATION"),
        ("PATCH", &format!("{of_app}/custom-permissions/{NOBODYS}"), json!({}), 404, "ID_RESOURCE_NOT_FOUND"),
        ("GET", "/applications?installed=perhaps", nil.clone(), 400, "APP_VALIDATION"),
        (
            "POST",
            &format!("/applications/{app}/installation"),
            json!({ "permissions": { "client": [], "user": [] } }),
            404,
            "APP_RESOURCE_NOT_FOUND",
        ),
        ("PATCH", &format!("/applications/{app}/installation"), json!({}), 400, "APP_VALIDATION"),
        ("GET", "/audit-logs?page=x", nil.clone(), 400, "VALIDATION"),
    ] {
        let answer = alice.send(method, path, Some(&body).filter(|b| !b.is_null())).await;
        assert_eq!((answer.status, answer.json()["errorCode"].as_str()), (status, Some(code)), "{method} {path} {body}\n{answer}");
    }
}

/// Every operation: without a token, with a wrong one, with another API's; and another tenant's objects look like absent ones.
#[tokio::test(flavor = "multi_thread")]
async fn strangers() {
    let gateway = builder().start().await;
    let http = gateway.http();
    let (alice, carol) = (Api::person(&http, &ALICE, None).await, Api::person(&http, &CAROL, None).await);
    let app = id(&alice.post("/application-developer/applications", &json!({ "name": "Lamps" })).await.expect(201));
    let role = id(&alice.post("/roles", &json!({ "name": "Lamps" })).await.expect(201));
    let native = Api { http: ALICE.native(&http).await, refresh: String::new() };
    let strangers =
        [Api { http: http.clone(), refresh: String::new() }, Api { http: http.bearer("garbage"), refresh: String::new() }, native];
    let fill = |operation: &str, app: &str, role: &str, tenant: &str, user: &str| {
        let path = operation.replace("{applicationId}", app).replace("{roleId}", role).replace("{tenantId}", tenant);
        path.replace("{userId}", user).replace("{inviteId}", NOBODYS).replace("{permissionId}", NOBODYS)
    };
    for operation in schema::operations() {
        let (method, template) = operation.split_once(' ').unwrap();
        let path = fill(template, &app, &role, ACME, ALICE.id);
        for stranger in &strangers {
            // On a name that both have, FlashLex answers who brings no token of the realm.
            if operation == "GET /users/{userId}" {
                let _ = stranger.http.get(&format!("/v1{path}")).await.expect(401);
                continue;
            }
            let answer = stranger.send(method, &path, None).await.expect(401);
            assert!(answer.json()["errorCode"].as_str().unwrap().ends_with("UNAUTHORIZED"), "{answer}");
        }
        if template.contains('{') && template != "/application-developer/applications/{applicationId}/allowed-tenants/{tenantId}" {
            let body = match template {
                t if t.ends_with("/installation") => json!({ "permissions": { "client": [], "user": [] } }),
                t if t.ends_with("/invites/{inviteId}") => json!({ "status": "accepted" }),
                t if t.ends_with("/invites") => json!({ "receiverEmail": "a@b.example", "roleNames": ["reader"] }),
                t if t.ends_with("/roles") => json!([]),
                t if t.ends_with("/custom-permissions") => json!({ "alias": "lamps", "name": "lamps", "category": "lamps" }),
                _ => json!({}),
            };
            let body = Some(&body).filter(|_| ["POST", "PUT", "PATCH"].contains(&method));
            let theirs = carol.send(method, &path, body).await;
            let nobodys = carol.send(method, &fill(template, NOBODYS, NOBODYS, NOBODYS, NOBODYS), body).await;
            assert!(matches!(theirs.status, 403 | 404), "{operation}: {theirs}");
            assert_eq!(theirs.looks(), nobodys.looks(), "{operation}");
        }
    }
    // Nothing was hurt.
    let _ = alice.get(&format!("/roles/{role}")).await.expect(200);
    let _ = alice.get(&format!("/application-developer/applications/{app}")).await.expect(200);
}

/// The operator may keep founding tenants to itself.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_may_be_the_operators_to_make() {
    let gateway = builder().config(|config| config.found_tenants = false).start().await;
    let alice = Api::person(&gateway.http(), &ALICE, None).await;
    let answer = alice.post("/tenants", &new_tenant("Mine")).await.expect(503);
    assert_eq!(answer.json()["errorCode"], "ID_MAINTENANCE");
}
