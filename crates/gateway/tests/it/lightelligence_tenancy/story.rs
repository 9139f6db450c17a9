//! Two tenants, two applications, from founding to the end.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::fleet::{ACME, ALICE, CAROL, GLOBEX, RITA};
use testkit::{Exchange, both_engines, redact};

use super::{Api, application_token, builder, claims, consent, id, new_tenant, permission, refresh, role, sign_in, text};

/// Exchanges one under the other, in the way of [`Exchange`]'s own text, ids numbered through.
#[derive(Default)]
struct Transcript(String);

impl Transcript {
    fn note(&mut self, answer: &Exchange) {
        self.0.push_str(&format!("{} {} -> {}\n", answer.method, answer.path, answer.status));
        if !answer.body.is_empty() {
            let body = answer.json();
            self.0.push_str(&format!("{}\n", serde_json::to_string(&body).unwrap()));
        }
    }

    fn read(&self) -> String {
        redact(&self.0)
    }
}

async fn tenants_and_people(url: Option<String>) {
    let gateway = builder().store(url).start().await;
    let http = gateway.http();
    let (alice, carol) = (Api::person(&http, &ALICE, None).await, Api::person(&http, &CAROL, None).await);
    let mut seen = Transcript::default();

    // Anybody founds a tenant and owns it.
    gateway.advance(Duration::from_secs(1));
    let made = alice.post("/tenants/", &new_tenant("Anders Labs")).await.expect(201);
    seen.note(&made);
    let labs = id(&made);
    seen.note(&alice.post("/tenants", &new_tenant("Anders Labs")).await.expect(409));
    seen.note(&alice.get(&format!("/users/{}/tenants?pageSize=1", ALICE.id)).await.expect(200));
    seen.note(&alice.get(&format!("/users/{}", ALICE.id)).await.expect(200));
    seen.note(&alice.get(&format!("/tenants/{labs}")).await.expect(404));

    // Into the new tenant, by either header; who is no member is refused, and keeps the refresh token.
    let there = alice.switch("tenant", &labs).await.expect(200).json();
    assert_eq!(claims(&there)["tenant"], labs);
    let alice = Api::of(&http, &there);
    let back = Api::of(&http, &alice.switch("X-Requested-With", ACME).await.expect(200).json());
    // A tenant that was not founded here has said nothing of billing, so this is not quite as described.
    assert_eq!(back.http.get(&format!("/v1/tenants/{ACME}")).await.expect(200).json()["data"]["name"], "acme");
    let alice = Api::of(&http, &back.switch("X-Requested-With", &labs).await.expect(200).json());
    seen.note(&carol.switch("tenant", &labs).await.expect(400));
    let carol = Api::of(&http, &carol.switch("X-Requested-With", "XMLHttpRequest").await.expect(200).json());
    seen.note(&alice.get(&format!("/users/{}/tenants/{labs}", ALICE.id)).await.expect(200));
    seen.note(&alice.patch(&format!("/tenants/{labs}"), &json!({ "name": "Anders Works", "contractId": "c-1" })).await.expect(200));

    // A role of its own.
    let (states, types) = (permission(&alice, "devices_states:read").await, permission(&alice, "devicetypes:read").await);
    let body = json!({ "name": "Lamp watchers", "description": "See lamps.", "permissions": [states, { "alias": "devicetypes:read" }] });
    let made = alice.post("/roles", &body).await.expect(201);
    seen.note(&made);
    let watchers = id(&made);
    seen.note(&alice.post("/roles", &body).await.expect(409));
    seen.note(&alice.patch(&format!("/roles/{watchers}"), &json!({ "permissions": [types] })).await.expect(200));
    let roles = alice.get("/roles").await.expect(200).json();
    let names: Vec<_> = roles["data"].as_array().unwrap().iter().map(|r| (text(&r["name"]), r["locked"] == true)).collect();
    assert_eq!(names, [("Lamp watchers", false), ("owner", true), ("writer", true), ("reader", true)].map(|(n, l)| (n.to_owned(), l)));
    let reader = role(&alice, "reader").await;

    // Carol is invited into it.
    let invite = json!({ "receiverEmail": CAROL.email, "roles": [{ "id": watchers }] });
    let sent = alice.post(&format!("/tenants/{labs}/invites"), &invite).await.expect(201);
    seen.note(&sent);
    seen.note(&alice.post(&format!("/tenants/{labs}/invites"), &invite).await.expect(409));
    seen.note(&carol.get(&format!("/users/{}/invites?status=open", CAROL.id)).await.expect(200));
    gateway.advance(Duration::from_secs(1));
    let answer = format!("/users/{}/invites/{}", CAROL.id, id(&sent));
    seen.note(&carol.patch(&answer, &json!({ "status": "accepted" })).await.expect(200));
    seen.note(&carol.patch(&answer, &json!({ "status": "declined" })).await.expect(404));
    seen.note(&alice.delete(&format!("/tenants/{labs}/invites/{}", id(&sent))).await.expect(404));
    assert_eq!(alice.get(&format!("/tenants/{labs}/invites?status=accepted")).await.expect(200).json()["meta"]["itemsTotal"], 1);
    assert_eq!(alice.get(&format!("/tenants/{labs}/invites?status=open")).await.expect(200).json()["meta"]["itemsTotal"], 0);

    // What she may there is what the role says, until it says more.
    let there = Api::of(&http, &carol.switch("tenant", &labs).await.expect(200).json());
    seen.note(&there.get(&format!("/users/{}/permissions", CAROL.id)).await.expect(200));
    seen.note(&there.get("/roles").await.expect(403));
    let _ = there.get(&format!("/tenants/{labs}")).await.expect(403);
    for body in [json!([{ "id": watchers }, reader]), reader.clone(), json!({ "roles": [{ "id": watchers }, reader] })] {
        let _ = alice.put(&format!("/tenants/{labs}/users/{}/roles", CAROL.id), &body).await.expect(204);
    }
    let _ = there.get(&format!("/tenants/{labs}")).await.expect(403); // this token was made for less
    let there = Api::of(&http, &there.switch("tenant", &labs).await.expect(200).json());
    let _ = there.get(&format!("/tenants/{labs}")).await.expect(200);
    seen.note(&alice.get(&format!("/tenants/{labs}/users")).await.expect(200));
    seen.note(&alice.get(&format!("/roles/{watchers}/users")).await.expect(200));
    seen.note(&alice.get(&format!("/roles?userId={}", CAROL.id)).await.expect(200));
    let _ = alice.get(&format!("/tenants/{labs}/users/{}/roles", CAROL.id)).await.expect(200);
    let _ = alice.get(&format!("/tenants/{labs}/users/{}/permissions", CAROL.id)).await.expect(200);
    let _ = alice.get(&format!("/tenants/{labs}/roles")).await.expect(200);

    // The trail, as JSON and as a file.
    let logs = alice.get("/audit-logs?pageSize=100").await.expect(200).json();
    let actions: Vec<_> = logs["data"].as_array().unwrap().iter().map(|l| text(&l["action"])).collect();
    assert!(actions.contains(&"role.created".to_owned()) && actions.contains(&"member.joined".to_owned()), "{actions:?}");
    let csv = alice.http.send("GET".parse().unwrap(), "/v1/audit-logs", &[("accept", "text/csv")], None).await.expect(200);
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(
        csv.text().starts_with("id,producer,producerVersion,userId,userEmail,clientId,tenantId,action,")
            && csv.text().contains(ALICE.email)
    );
    assert!(csv.text().lines().count() > actions.len());

    // Out again: her tokens there end at once. The last owner stays; the tenant ends with its owner.
    let _ = alice.delete(&format!("/roles/{watchers}")).await.expect(204);
    let _ = alice.delete(&format!("/tenants/{labs}/users/{}", CAROL.id)).await.expect(204);
    seen.note(&there.get(&format!("/tenants/{labs}")).await.expect(401));
    seen.note(&alice.delete(&format!("/tenants/{labs}/users/{}", ALICE.id)).await);
    let _ = alice.delete(&format!("/tenants/{labs}")).await.expect(204);
    let _ = alice.get(&format!("/users/{}", ALICE.id)).await.expect(401);
    insta::assert_snapshot!(seen.read(), @r#"
    POST /v1/tenants/ -> 201
    {"data":{"billingCompany":{"city":"Munich","countryCode":"DE","housenum":"6","name1":"Anders Labs","postcode":"80807","street":"Marcel-Breuer-Str."},"billingContact":{"email":"alice@example.com","firstname":"Alice","lastname":"Anders","phone":"123","phoneCountryPrefix":"+49","title":"Ms."},"id":"[id 1]","name":"Anders Labs","package":{"id":"OLT_FREE2019"},"payment":{"recurringDetailReference":"r","shopperReference":"[id 2]"},"status":{"code":"active"}}}
    POST /v1/tenants -> 409
    {"errorCode":"ID_CONFLICT","errorMessage":"name: another tenant has it"}
    GET /v1/users/[id 3]/tenants?pageSize=1 -> 200
    {"data":[{"applicationInstallationStatus":"ok","id":"[id 1]","name":"Anders Labs","status":{"code":"active"},"userRoles":[{"description":"Default owner role with full access to all resources.","id":"[id 4]","locked":true,"name":"owner"}]}],"meta":{"itemsTotal":2,"page":0,"pageSize":1,"pagesTotal":2}}
    GET /v1/users/[id 3] -> 200
    {"data":{"email":"alice@example.com","emailVerified":true,"enabled":true,"firstName":"Alice","id":"[id 3]","lastName":"Anders","twoFactorAuthEnabled":false}}
    GET /v1/tenants/[id 1] -> 404
    {"errorCode":"ID_RESOURCE_NOT_FOUND","errorMessage":"Resource could not be found or access to resource is not allowed"}
    POST /v1/id/auth/realms/olt/protocol/openid-connect/token -> 400
    {"error":"invalid_grant","error_description":"the user may no longer sign in there"}
    GET /v1/users/[id 3]/tenants/[id 1] -> 200
    {"data":{"applicationInstallationStatus":"ok","id":"[id 1]","name":"Anders Labs","status":{"code":"active"},"userRoles":[{"description":"Default owner role with full access to all resources.","id":"[id 4]","locked":true,"name":"owner"}]}}
    PATCH /v1/tenants/[id 1] -> 200
    {"data":{"billingCompany":{"city":"Munich","countryCode":"DE","housenum":"6","name1":"Anders Labs","postcode":"80807","street":"Marcel-Breuer-Str."},"billingContact":{"email":"alice@example.com","firstname":"Alice","lastname":"Anders","phone":"123","phoneCountryPrefix":"+49","title":"Ms."},"contractId":"c-1","id":"[id 1]","name":"Anders Works","package":{"id":"OLT_FREE2019"},"payment":{"recurringDetailReference":"r","shopperReference":"[id 2]"}}}
    POST /v1/roles -> 201
    {"data":{"createdAt":"[time]","customPermissions":[],"description":"See lamps.","id":"[id 5]","locked":false,"name":"Lamp watchers","permissionIds":["[id 6]","[id 7]"],"updatedAt":"[time]","usersCount":0}}
    POST /v1/roles -> 409
    {"errorCode":"ID_CONFLICT","errorMessage":"name: another role has it"}
    PATCH /v1/roles/[id 5] -> 200
    {"data":{"customPermissions":[],"description":"See lamps.","id":"[id 5]","name":"Lamp watchers","permissionIds":["[id 7]"],"updatedAt":"[time]"}}
    POST /v1/tenants/[id 1]/invites -> 201
    {"data":{"createdAt":"[time]","id":"[id 8]","receiverEmail":"carol@example.com","roles":[{"description":"See lamps.","id":"[id 5]","locked":false,"name":"Lamp watchers"}],"senderId":"[id 3]","status":"open","tenant":{"id":"[id 1]","name":"Anders Works"}}}
    POST /v1/tenants/[id 1]/invites -> 409
    {"errorCode":"ID_CONFLICT","errorMessage":"invitation: this address is invited already"}
    GET /v1/users/[id 9]/invites?status=open -> 200
    {"data":[{"createdAt":"[time]","id":"[id 8]","receiverEmail":"carol@example.com","roles":[{"description":"See lamps.","id":"[id 5]","locked":false,"name":"Lamp watchers"}],"senderId":"[id 3]","status":"open","tenant":{"id":"[id 1]","name":"Anders Works"}}],"meta":{"itemsTotal":1,"page":0,"pageSize":20,"pagesTotal":1}}
    PATCH /v1/users/[id 9]/invites/[id 8] -> 200
    {"data":{"id":"[id 8]","status":"accepted"}}
    PATCH /v1/users/[id 9]/invites/[id 8] -> 404
    {"errorCode":"ID_RESOURCE_NOT_FOUND","errorMessage":"Resource could not be found or access to resource is not allowed"}
    DELETE /v1/tenants/[id 1]/invites/[id 8] -> 404
    {"errorCode":"ID_RESOURCE_NOT_FOUND","errorMessage":"Resource could not be found or access to resource is not allowed"}
    GET /v1/users/[id 9]/permissions -> 200
    {"data":{"customPermissions":[],"permissions":[{"alias":"devicetypes:read","id":"[id 7]"}]}}
    GET /v1/roles -> 403
    {"errorCode":"ID_FORBIDDEN","errorMessage":"Access to resource is forbidden: user:read is required"}
    GET /v1/tenants/[id 1]/users -> 200
    {"data":[{"email":"carol@example.com","firstName":"","id":"[id 9]","lastName":"","twoFactorAuthEnabled":false,"userRoles":[{"description":"See lamps.","id":"[id 5]","locked":false,"name":"Lamp watchers"},{"description":"Default reader role including read access to every resource except the tenant's user management.","id":"[id 10]","locked":true,"name":"reader"}]},{"email":"alice@example.com","firstName":"Alice","id":"[id 3]","lastName":"Anders","twoFactorAuthEnabled":false,"userRoles":[{"description":"Default owner role with full access to all resources.","id":"[id 4]","locked":true,"name":"owner"}]}],"meta":{"itemsTotal":2,"page":0,"pageSize":20,"pagesTotal":1}}
    GET /v1/roles/[id 5]/users -> 200
    {"data":[{"email":"carol@example.com","firstName":"","id":"[id 9]","lastName":"","roleIds":["[id 5]","[id 10]"]}],"meta":{"itemsTotal":1,"page":0,"pageSize":20,"pagesTotal":1}}
    GET /v1/roles?userId=[id 9] -> 200
    {"data":[{"createdAt":"[time]","customPermissions":[],"description":"See lamps.","id":"[id 5]","locked":false,"name":"Lamp watchers","permissionIds":["[id 7]"],"updatedAt":"[time]","usersCount":1},{"createdAt":"[time]","customPermissions":[],"description":"Default reader role including read access to every resource except the tenant's user management.","id":"[id 10]","locked":true,"name":"reader","permissionIds":["[id 11]","[id 12]","[id 13]","[id 14]","[id 6]","[id 15]","[id 7]","[id 16]","[id 17]","[id 18]","[id 19]","[id 20]","[id 21]"],"updatedAt":"[time]","usersCount":1}],"meta":{"itemsTotal":2,"page":0,"pageSize":20,"pagesTotal":1}}
    GET /v1/tenants/[id 1] -> 401
    {"errorCode":"ID_UNAUTHORIZED","errorMessage":"Authorization missing in the header, or not valid"}
    DELETE /v1/tenants/[id 1]/users/[id 3] -> 409
    {"errorCode":"ID_CONFLICT","errorMessage":"member: is the tenant's last owner; make another one first, or end the tenant"}
    "#);
}

both_engines!(tenants_people_and_roles, tenants_and_people);

async fn applications(url: Option<String>) {
    let gateway = builder().store(url).start().await;
    let http = gateway.http();
    let (alice, carol) = (Api::person(&http, &ALICE, None).await, Api::person(&http, &CAROL, None).await);
    let mut seen = Transcript::default();
    let devices = permission(&alice, "devices_base_data:read").await;
    let management = permission(&alice, "tenant:write").await;

    // Alice develops two applications; Carol's tenant may install one of them.
    let wants = json!({ "client": [devices], "user": [devices, management] });
    let new = json!({
        "name": "Lamp room", "teaserDescription": "All lamps", "url": "https://lamps.example/", "withPublicOauth2Client": true,
        "redirectUris": [super::CALLBACK], "allowedTenants": [{ "tenantId": GLOBEX, "comment": "Carol" }], "permissions": wants,
    });
    let made = alice.post("/application-developer/applications", &new).await.expect(201);
    let data = made.json()["data"].clone();
    let (lamps, public, secret) =
        (text(&data["oauth2Client"]["id"]), text(&data["publicOauth2Client"]["id"]), text(&data["oauth2Client"]["secret"]));
    assert_eq!((data["oauth2Client"]["type"].as_str(), secret.len()), (Some("confidental"), 16));
    assert!(public != lamps && data["id"] == lamps.as_str());
    let of_app = format!("/application-developer/applications/{lamps}");
    gateway.advance(Duration::from_secs(1));
    let other = alice.post("/application-developer/applications", &json!({ "name": "Doors" })).await.expect(201);
    let doors = id(&other);
    seen.note(&alice.post("/application-developer/applications", &json!({ "name": "Doors" })).await.expect(409));
    seen.note(&alice.get("/application-developer/applications").await.expect(200));
    seen.note(&alice.get(&of_app).await.expect(200));
    seen.note(&carol.get(&of_app).await.expect(404));

    // Carol sees the one, installs it with all it wants and no less.
    seen.note(&carol.get("/applications").await.expect(200));
    seen.note(&carol.get(&format!("/applications/{doors}")).await.expect(404));
    let _ = carol.get(&format!("/applications/{lamps}")).await.expect(200);
    seen.note(&carol.get(&format!("/applications/{lamps}/permissions")).await.expect(200));
    let install = format!("/applications/{lamps}/installation");
    assert_eq!(consent(&http, &CAROL, &public, None).await.status, 303);
    let refused = consent(&http, &CAROL, &public, None).await;
    assert!(refused.header("location").unwrap().contains("error=access_denied"), "{refused}");
    seen.note(&application_token(&http, &lamps, &secret, Some(GLOBEX)).await.expect(400));
    let _ = carol.get(&install).await.expect(404);
    seen.note(&carol.post(&install, &json!({ "permissions": { "client": [], "user": [] } })).await.expect(400));
    seen.note(&carol.post(&install, &json!({ "permissions": wants })).await.expect(201));
    seen.note(&carol.post(&install, &json!({ "permissions": wants })).await.expect(409));
    seen.note(&carol.send("PUT", &install, None).await);
    let _ = carol.get(&install).await.expect(200);
    let _ = carol.get("/applications?installed=true").await.expect(200);
    seen.note(&alice.get(&format!("{of_app}/allowed-tenants")).await.expect(200));

    // On its own behalf: in no tenant it may ask about itself, in Carol's it reads devices, in Alice's it is not installed.
    let nowhere = application_token(&http, &lamps, &secret, None).await.expect(200).json();
    assert!(claims(&nowhere).get("tenant").is_none() && nowhere["scope"] == "olt-applications", "{nowhere}");
    let nowhere = Api::of(&http, &nowhere);
    seen.note(&nowhere.get("/application-info/installed-tenants").await.expect(200));
    seen.note(&nowhere.get("/application-info/installation").await.expect(404));
    seen.note(&nowhere.get("/roles").await.expect(403));
    seen.note(&nowhere.get("/applications").await.expect(403));
    seen.note(&carol.get("/application-info/installed-tenants").await.expect(403));
    seen.note(&application_token(&http, &lamps, &secret, Some(ACME)).await.expect(400));
    let inside = application_token(&http, &lamps, &secret, Some(GLOBEX)).await.expect(200).json();
    assert_eq!(claims(&inside)["tenant"], GLOBEX);
    let inside = Api::of(&http, &inside);
    seen.note(&inside.get("/application-info/installation").await.expect(200));
    let _ = inside.get(&format!("/tenants/{GLOBEX}")).await.expect(403);
    let _ = inside.get(&format!("/tenants/{GLOBEX}/users")).await.expect(403);

    // On Carol's behalf: what was agreed to, and nothing of the tenant though she owns it.
    let tokens = sign_in(&http, &CAROL, &public, None).await.expect(200).json();
    let through = Api::of(&http, &tokens);
    seen.note(&through.get(&format!("/users/{}/permissions", CAROL.id)).await.expect(200));
    let _ = through.get(&format!("/tenants/{GLOBEX}")).await.expect(403);
    let _ = through.get("/application-info/installation").await.expect(200);
    let _ = through.get("/application-info/installed-tenants").await.expect(403);
    let tenants = format!("/users/{}/tenants", CAROL.id);
    assert_eq!(through.get(&tenants).await.expect(200).json()["data"][0]["applicationInstallationStatus"], "ok");
    let owner = role(&carol, "owner").await;
    let _ = through.put(&format!("/tenants/{GLOBEX}/users/{}/roles", CAROL.id), &json!([owner])).await.expect(403);
    let _ = through.post("/application-developer/applications", &json!({ "name": "Child" })).await.expect(403);
    let refused = refresh(&http, &public, &through.refresh, &[("tenant", ACME)]).await.expect(400).json();
    assert_eq!(refused["error"], "invalid_grant");

    // Permissions of its own making, carried by a role of Carol's.
    let custom = format!("{of_app}/custom-permissions");
    let body = json!({ "alias": "lamps:dim", "category": "lamps", "name": "Dim lamps", "description": "Any of them" });
    let made = alice.post(&custom, &body).await.expect(201);
    let dim = id(&made);
    seen.note(&alice.post(&custom, &body).await.expect(409));
    seen.note(&alice.patch(&format!("{custom}/{dim}"), &json!({ "category": "light" })).await.expect(200));
    seen.note(&alice.get(&custom).await.expect(200));
    let _ = alice.get(&format!("{custom}/{dim}")).await.expect(200);
    let _ = carol.get(&format!("{custom}/{dim}")).await.expect(404);
    let body = json!({ "name": "Dimmers", "customPermissions": [{ "id": dim }] });
    let dimmers = id(&carol.post("/roles", &body).await.expect(201));
    let _ = alice.post("/roles", &body).await.expect(400); // not installed in hers
    let _ = carol.put(&format!("/tenants/{GLOBEX}/users/{}/roles", CAROL.id), &json!([owner, { "id": dimmers }])).await.expect(204);
    let may = carol.get(&format!("/users/{}/permissions", CAROL.id)).await.expect(200).json();
    assert_eq!(may["data"]["customPermissions"], json!([{ "id": dim, "alias": "lamps:dim" }]));
    let _ = alice.delete(&format!("{custom}/{dim}")).await.expect(204);
    assert_eq!(carol.get(&format!("/roles/{dimmers}")).await.expect(200).json()["data"]["customPermissions"], json!([]));

    // A new secret: the old one is dead at once. Wants more: what was agreed to is outdated until it is agreed to again.
    let fresh = text(&alice.post(&format!("{of_app}/secret"), &json!({})).await.expect(201).json()["data"]["secret"]);
    let _ = application_token(&http, &lamps, &secret, Some(GLOBEX)).await.expect(401);
    let _ = application_token(&http, &lamps, &fresh, Some(GLOBEX)).await.expect(200);
    let types = permission(&alice, "devicetypes:read").await;
    let wants = json!({ "client": [devices, types], "user": [] });
    seen.note(&alice.patch(&of_app, &json!({ "permissions": wants, "url": null })).await.expect(200));
    assert_eq!(carol.get(&install).await.expect(200).json()["data"]["status"], "outdated");
    assert_eq!(through.get(&tenants).await.expect(200).json()["data"][0]["applicationInstallationStatus"], "outdated");
    let again = carol.patch(&install, &json!({ "permissions": wants })).await.expect(200);
    assert_eq!(again.json()["data"]["status"], "ok");
    // Nothing was asked for on users' behalf any more, so nothing is left, in tokens that are out already.
    let may = through.get(&format!("/users/{}/permissions", CAROL.id)).await.expect(200).json();
    assert_eq!(may["data"]["permissions"], json!([]));

    // Switched off and on; not allowed and allowed; uninstalled: each ends what the application holds there.
    {
        let (off, on) = (json!({ "status": "inactive" }), json!({ "status": "active" }));
        let _ = alice.patch(&of_app, &off).await.expect(200);
        let _ = inside.get("/application-info/installation").await.expect(401);
        assert_eq!(carol.get(&format!("/applications/{lamps}")).await.expect(200).json()["data"]["availableCode"], "APP_INACTIVE");
        let _ = alice.patch(&of_app, &on).await.expect(200);
        let _ = inside.get("/application-info/installation").await.expect(200);
    }
    let allowed = format!("{of_app}/allowed-tenants/{GLOBEX}");
    let _ = alice.delete(&allowed).await.expect(204);
    let _ = inside.get("/application-info/installation").await.expect(401);
    assert_eq!(carol.get(&format!("/applications/{lamps}")).await.expect(200).json()["data"]["availableCode"], "APP_DENIED");
    seen.note(&alice.put(&allowed, &json!({ "comment": "Carol again" })).await.expect(200));
    let tokens = sign_in(&http, &CAROL, &public, None).await.expect(200).json();
    let through = Api::of(&http, &tokens);
    let _ = carol.delete(&install).await.expect(204);
    for ended in [&inside, &through] {
        let _ = ended.get("/permissions").await.expect(401);
    }
    let _ = refresh(&http, &public, &through.refresh, &[]).await.expect(400);
    let _ = application_token(&http, &lamps, &fresh, Some(GLOBEX)).await.expect(400);
    let _ = carol.delete(&install).await.expect(404);
    // In no tenant it may still ask where it is installed, until it is gone.
    assert_eq!(nowhere.get("/application-info/installed-tenants").await.expect(200).json()["data"], json!([]));
    let _ = carol.delete(&of_app).await.expect(404);
    let _ = alice.delete(&of_app).await.expect(204);
    let _ = nowhere.get("/application-info/installed-tenants").await.expect(401);
    let _ = application_token(&http, &lamps, &fresh, None).await.expect(401);
    // A reader develops nothing and installs nothing.
    let rita = Api::person(&http, &RITA, None).await;
    let _ = rita.get("/applications").await.expect(200);
    let _ = rita.get("/application-developer/applications").await.expect(403);
    let _ = rita.delete(&format!("/application-developer/applications/{doors}")).await.expect(403);
    let _: Value = rita.get("/permissions").await.expect(200).json();
    insta::assert_snapshot!(seen.read(), @r#"
    POST /v1/application-developer/applications -> 409
    {"errorCode":"APP_CONFLICT","errorMessage":"name: another application of this tenant has it"}
    GET /v1/application-developer/applications -> 200
    {"data":[{"createdAt":"[time]","id":"[id 1]","installationsCount":0,"name":"Doors","oauth2Client":{"id":"[id 1]","type":"confidental"},"status":"active","tenantId":"[id 2]","updatedAt":"[time]","withPublicOauth2Client":false},{"createdAt":"[time]","id":"[id 3]","installationsCount":0,"name":"Lamp room","oauth2Client":{"id":"[id 3]","type":"confidental"},"publicOauth2Client":{"id":"[id 4]","type":"public"},"status":"active","teaserDescription":"All lamps","tenantId":"[id 2]","updatedAt":"[time]","url":"https://lamps.example/","withPublicOauth2Client":true}],"meta":{"itemsTotal":2,"page":0,"pageSize":20,"pagesTotal":1}}
    GET /v1/application-developer/applications/[id 3] -> 200
    {"data":{"createdAt":"[time]","id":"[id 3]","installationsCount":0,"name":"Lamp room","oauth2Client":{"id":"[id 3]","type":"confidental"},"permissions":{"client":[{"id":"[id 5]"}],"user":[{"id":"[id 5]"},{"id":"[id 6]"}]},"publicOauth2Client":{"id":"[id 4]","type":"public"},"redirectUris":["http://127.0.0.1:[port]/cb"],"status":"active","teaserDescription":"All lamps","tenantId":"[id 2]","updatedAt":"[time]","url":"https://lamps.example/","withPublicOauth2Client":true}}
    GET /v1/application-developer/applications/[id 3] -> 404
    {"errorCode":"APP_RESOURCE_NOT_FOUND","errorMessage":"Resource could not be found or access to resource is not allowed"}
    GET /v1/applications -> 200
    {"data":[{"available":true,"availableCode":"APP_AVAILABLE","id":"[id 3]","name":"Lamp room","teaserDescription":"All lamps","url":"https://lamps.example/"}],"meta":{"itemsTotal":1,"page":0,"pageSize":20,"pagesTotal":1}}
    GET /v1/applications/[id 1] -> 404
    {"errorCode":"APP_RESOURCE_NOT_FOUND","errorMessage":"Resource could not be found or access to resource is not allowed"}
    GET /v1/applications/[id 3]/permissions -> 200
    {"data":{"client":[{"id":"[id 5]"}],"user":[{"id":"[id 5]"},{"id":"[id 6]"}]}}
    POST /v1/id/auth/realms/olt/protocol/openid-connect/token -> 400
    {"error":"invalid_grant","error_description":"the application is not installed in that tenant"}
    POST /v1/applications/[id 3]/installation -> 400
    {"errorCode":"APP_VALIDATION","errorMessage":"permissions: must be exactly what the application wants"}
    POST /v1/applications/[id 3]/installation -> 201
    {"data":{"applicationId":"[id 3]","createdAt":"[time]","permissions":{"client":[{"id":"[id 5]"}],"user":[{"id":"[id 5]"},{"id":"[id 6]"}]},"status":"ok","tenantId":"[id 7]","updatedAt":"[time]"}}
    POST /v1/applications/[id 3]/installation -> 409
    {"errorCode":"APP_CONFLICT","errorMessage":"installation: it is installed already"}
    PUT /v1/applications/[id 3]/installation -> 200
    {"data":{"applicationId":"[id 3]","createdAt":"[time]","permissions":{"client":[{"id":"[id 5]"}],"user":[{"id":"[id 5]"},{"id":"[id 6]"}]},"status":"ok","tenantId":"[id 7]","updatedAt":"[time]"}}
    GET /v1/application-developer/applications/[id 3]/allowed-tenants -> 200
    {"data":[{"comment":"Carol","createdAt":"[time]","installed":true,"tenantId":"[id 7]","tenantName":"globex"}],"meta":{"itemsTotal":1,"page":0,"pageSize":20,"pagesTotal":1}}
    GET /v1/application-info/installed-tenants -> 200
    {"data":[{"name":"globex","tenantId":"[id 7]"}],"meta":{"itemsTotal":1,"page":0,"pageSize":20,"pagesTotal":1}}
    GET /v1/application-info/installation -> 404
    {"errorCode":"APP_RESOURCE_NOT_FOUND","errorMessage":"Resource could not be found or access to resource is not allowed"}
    GET /v1/roles -> 403
    {"errorCode":"ID_FORBIDDEN","errorMessage":"Access to resource is forbidden: user:read is required"}
    GET /v1/applications -> 403
    {"errorCode":"APP_FORBIDDEN","errorMessage":"Access to resource is forbidden: installation:read is required"}
    GET /v1/application-info/installed-tenants -> 403
    {"errorCode":"APP_FORBIDDEN","errorMessage":"only an application asks this, by a token of its own"}
    POST /v1/id/auth/realms/olt/protocol/openid-connect/token -> 400
    {"error":"invalid_grant","error_description":"the application is not installed in that tenant"}
    GET /v1/application-info/installation -> 200
    {"data":{"applicationId":"[id 3]","createdAt":"[time]","permissions":{"client":[{"id":"[id 5]"}],"user":[{"id":"[id 5]"},{"id":"[id 6]"}]},"status":"ok","tenantId":"[id 7]","updatedAt":"[time]"}}
    GET /v1/users/[id 8]/permissions -> 200
    {"data":{"customPermissions":[],"permissions":[{"alias":"device_certificates:read","id":"[id 9]"},{"alias":"devices_base_data:read","id":"[id 5]"},{"alias":"firmware:read","id":"[id 10]"}]}}
    POST /v1/application-developer/applications/[id 3]/custom-permissions -> 409
    {"errorCode":"ID_CONFLICT","errorMessage":"alias: another permission of this application has it"}
    PATCH /v1/application-developer/applications/[id 3]/custom-permissions/[id 11] -> 200
    {"data":{"category":"light","description":"Any of them","id":"[id 11]","updatedAt":"[time]"}}
    GET /v1/application-developer/applications/[id 3]/custom-permissions -> 200
    {"data":[{"alias":"lamps:dim","applicationId":"[id 3]","category":"light","createdAt":"[time]","description":"Any of them","id":"[id 11]","name":"Dim lamps","updatedAt":"[time]"}],"meta":{"itemsTotal":1,"page":0,"pageSize":20,"pagesTotal":1}}
    PATCH /v1/application-developer/applications/[id 3] -> 200
    {"data":{"id":"[id 3]","name":"Lamp room","permissions":{"client":[{"id":"[id 5]"},{"id":"[id 12]"}],"user":[]},"publicOauth2Client":{"id":"[id 4]","type":"public"},"redirectUris":["http://127.0.0.1:[port]/cb"],"status":"active","teaserDescription":"All lamps","updatedAt":"[time]","withPublicOauth2Client":true}}
    PUT /v1/application-developer/applications/[id 3]/allowed-tenants/[id 7] -> 200
    {"data":{"comment":"Carol again","createdAt":"[time]","installed":true,"tenantId":"[id 7]","tenantName":"globex"}}
    "#);
}

both_engines!(applications_and_installations, applications);
