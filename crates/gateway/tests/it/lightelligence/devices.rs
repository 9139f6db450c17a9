//! Device types and devices: every operation, and what the platform's clients rely on beyond their description.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::both_engines;

use super::{Api, builder, id, lamp};

/// So that one is newer than the other: the test's clock stands still otherwise.
const TICK: Duration = Duration::from_secs(1);

both_engines!(types_from_birth_to_death, super::types_life);
both_engines!(devices_from_birth_to_death, super::devices_life);
both_engines!(devices_are_found, super::finding);

async fn types_life(store: Option<String>) {
    let gateway = builder().store(store).start().await;
    let api = Api::backend(&gateway).await;

    let made = api.post("/device-types", &lamp()).await.expect(201).json();
    // The default is written down where the maker left it out.
    assert_eq!(made["data"]["schema"]["actions"]["additionalProperties"], false);
    assert_eq!(made["data"]["reportingRules"][0], json!({ "path": "$.configuration.brightness", "reportTo": ["timeseries"] }));
    let lamps = id(&made);
    let read = api.get(&format!("/device-types/{lamps}")).await.expect(200).json();
    assert_eq!(read, made);
    // With a slash at the end and an empty schema, as older clients write it.
    gateway.advance(TICK);
    let bare = id(&api.post("/device-types/", &json!({ "name": "bare", "schema": {} })).await.expect(201).json());

    let names = async |query: &str| -> Vec<Value> {
        let list = api.get(&format!("/device-types{query}")).await.expect(200).json();
        list["data"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect()
    };
    let both = [json!("bare"), json!("Extended OSR Light switch")];
    assert_eq!(names("").await, both, "the newest first");
    assert_eq!(names("?deviceTypeName=BARE,nothing").await, [json!("bare")]);
    assert_eq!(names("?deviceTypeName=*light*").await, [json!("Extended OSR Light switch")]);
    assert_eq!(names("?deviceTypeCategory=urn:oma:lwm2m:ext:3001").await, [json!("Extended OSR Light switch")]);
    assert_eq!(names(&format!("?deviceTypeId={bare}&deviceTypeCategory=urn:x")).await, Vec::<Value>::new());
    assert_eq!(names("?page=1&pageSize=1").await, [json!("Extended OSR Light switch")]);
    let page = api.get("/device-types?page=1&pageSize=1").await.expect(200).json();
    assert_eq!(page["meta"], json!({ "page": 1, "pageSize": 1, "itemsTotal": 2, "pagesTotal": 2 }));
    let by_body = api.send("GET", "/device-types", Some(&json!({ "deviceTypeName": ["bar*"] }))).await.expect(200).json();
    assert_eq!(by_body["meta"]["itemsTotal"], 1);
    let categories = api.get("/device-types/categories").await.expect(200).json();
    assert_eq!(categories["data"], json!(["urn:oma:lwm2m:ext:3001"]));

    let change = json!({ "name": "Lamp", "description": null, "schema": { "events": { "broken": {} } }, "communicationInterval": 60 });
    let changed = api.patch(&format!("/device-types/{lamps}"), &change).await.expect(200).json();
    assert_eq!((&changed["data"]["name"], &changed["data"]["manufacturer"]), (&json!("Lamp"), &json!("OSRAM")));
    assert_eq!((changed["data"].get("description"), &changed["data"]["schema"]["events"]), (None, &json!({ "broken": {} })));
    assert_eq!(changed["data"]["schema"]["attributes"]["temperature"], json!({ "type": "number" }));

    let monitoring = format!("/device-types/{lamps}/onlinemonitoring");
    assert_eq!(api.get(&monitoring).await.expect(200).json()["data"], json!({ "communicationInterval": 60 }));
    let off = api.patch(&monitoring, &json!({ "communicationInterval": null })).await.expect(200).json();
    assert_eq!(off["data"], json!({ "communicationInterval": null }));

    let device = api.new_device(&lamps, "in the way").await;
    let refused = api.delete(&format!("/device-types/{lamps}")).await.expect(409).json();
    assert_eq!(refused["errorCode"], "DEVICE_DEVICETYPE_IN_USE");
    // At once after its last device: the platform's scripts clean up so.
    let _ = api.delete(&format!("/devices/{device}")).await.expect(204);
    let _ = api.delete(&format!("/device-types/{lamps}")).await.expect(204);
    let gone = api.get(&format!("/device-types/{lamps}")).await.expect(404).json();
    assert_eq!(gone["errorCode"], "DEVICE_RESOURCE_NOT_FOUND");
    let _ = api.delete(&format!("/device-types/{lamps}")).await.expect(404);
}

async fn devices_life(store: Option<String>) {
    let gateway = builder().store(store).start().await;
    let api = Api::backend(&gateway).await;
    let lamps = api.new_type().await;
    let bridge = api.new_device(&lamps, "Hue bridge").await;
    let body = json!({
        "info": {
            "name": "Gateway North 1", "deviceTypeId": lamps, "description": "first floor",
            "installationTimestamp": "1985-04-12T23:20:50.52Z", "tags": ["LightHouse", "room123"], "connectedBy": bridge,
            "location": "siteA.buildingB.floorC.roomD", "aliases": ["frontdoor", "06-00-00-00-00-00"],
            "coordinates": { "x": 22.5, "y": 2.3, "z": 0.02 }, "communicationInterval": 60,
        },
        "configuration": { "brightness": 60, "color": { "r": 255, "g": 255 } },
        "custom": { "my": { "custom": "data" } },
    });
    let made = api.post("/devices", &body).await.expect(201).json();
    let mut wanted = body.clone();
    wanted["info"]["tags"] = json!(["lighthouse", "room123"]);
    wanted["info"]["creationTimestamp"] = made["data"]["info"]["creationTimestamp"].clone();
    wanted["id"] = made["data"]["id"].clone();
    assert_eq!(made["data"], wanted, "tags become lower case, everything else stays");
    let device = id(&made);
    assert_eq!(api.get(&format!("/devices/{device}")).await.expect(200).json(), made);
    assert_eq!(
        api.get("/devices/tags").await.expect(200).json()["data"],
        json!([{ "name": "lighthouse" }, { "name": "north" }, { "name": "room123" }])
    );

    // A name is not unique; an alias is.
    let twin = api.new_device(&lamps, "Gateway North 1").await;
    let _ = api.patch(&format!("/devices/{twin}"), &json!({ "info": { "aliases": ["frontdoor"] } })).await.expect(409);
    let nobody = uuid::Uuid::nil();
    let lost = json!({ "info": { "name": "lost", "deviceTypeId": lamps, "connectedBy": nobody } });
    let refused = api.post("/devices", &lost).await.expect(409).json();
    assert_eq!(refused["errorCode"], "DEVICE_CONNECTEDBY_CONFLICT");

    let change = json!({
        "info": { "description": null, "coordinates": { "z": null }, "tags": ["attic"] },
        "configuration": { "brightness": 10 }, "custom": { "open": true },
    });
    let changed = api.patch(&format!("/devices/{device}"), &change).await.expect(200).json();
    assert_eq!(changed["data"]["info"].get("description"), None);
    assert_eq!(changed["data"]["info"]["coordinates"], json!({ "x": 22.5, "y": 2.3 }));
    assert_eq!(changed["data"]["info"]["tags"], json!(["attic"]));
    assert_eq!(changed["data"]["configuration"], json!({ "brightness": 10, "color": { "r": 255, "g": 255 } }));
    assert_eq!(changed["data"]["custom"], json!({ "my": { "custom": "data" }, "open": true }));
    let monitoring = format!("/devices/{device}/onlinemonitoring");
    assert_eq!(api.get(&monitoring).await.expect(200).json()["data"], json!({ "communicationInterval": 60 }));
    let off = api.patch(&monitoring, &json!({ "communicationInterval": 0 })).await.expect(200).json();
    assert_eq!(off["data"], json!({ "communicationInterval": 0 }));

    // A fresh device has said nothing yet.
    let state = api.get(&format!("/devices/{twin}/state")).await.expect(200).json();
    assert_eq!(state["data"], json!({ "configuration": {}, "attributes": {}, "status": "NOT MONITORED" }));

    // The bridge goes before what is behind it.
    let _ = api.delete(&format!("/devices/{bridge}")).await.expect(204);
    let _ = api.delete(&format!("/devices/{device}")).await.expect(204);
    for path in ["", "/state", "/last-events", "/certificates", "/last-diagnostics", "/last-timeseries?path=$.attributes.temperature"] {
        let _ = api.get(&format!("/devices/{device}{path}")).await.expect(404);
    }
    let _ = api.get(&monitoring).await.expect(403);
}

async fn finding(store: Option<String>) {
    let gateway = builder().store(store).start().await;
    let api = Api::backend(&gateway).await;
    let lamps = api.new_type().await;
    let other = id(&api.post("/device-types", &json!({ "name": "other", "schema": {} })).await.expect(201).json());
    let bridge = api.new_device(&other, "Bridge").await;
    let make = async |name: &str, tag: &str, alias: &str| {
        gateway.advance(TICK);
        let info = json!({ "name": name, "deviceTypeId": lamps, "tags": [tag], "aliases": [alias], "connectedBy": bridge });
        id(&api.post("/devices", &json!({ "info": info })).await.expect(201).json())
    };
    let living = make("Living Room", "ground", "aa-01").await;
    let bath = make("Bathroom", "first", "aa-02").await;
    let found = async |query: String| -> Vec<String> {
        let list = api.get(&format!("/devices?{query}")).await.expect(200).json();
        let rows = list["data"].as_array().unwrap();
        assert_eq!(list["meta"]["itemsTotal"], rows.len());
        rows.iter().map(|one| one["info"]["name"].as_str().unwrap().to_owned()).filter(|name| name != "truck-1").collect()
    };
    assert_eq!(found(String::new()).await, ["Bathroom", "Living Room", "Bridge"], "the newest first");
    for query in [
        "deviceName=living*",
        "name=LIVING%20ROOM",
        "deviceTag=*GROUN*,nothing",
        "tags=ground",
        "deviceAlias=*-01",
        &format!("deviceId={living}"),
        &format!("deviceConnectedBy={bridge}&deviceTag=ground"),
        &format!("connectedBy={bridge}&deviceName=living*"),
    ] {
        assert_eq!(found(query.to_owned()).await, ["Living Room"], "{query}");
    }
    assert_eq!(found(format!("deviceTypeId={lamps}")).await, ["Bathroom", "Living Room"]);
    assert_eq!(found("deviceTypeName=other".to_owned()).await, ["Bridge"]);
    assert_eq!(found("deviceTypeCategory=urn:oma:lwm2m:ext:3001&deviceAlias=aa-02".to_owned()).await, ["Bathroom"]);
    assert_eq!(found("deviceTag=ground&deviceName=bath*".to_owned()).await, Vec::<String>::new());
    let page = api.get("/devices?page=1&pageSize=1").await.expect(200).json();
    assert_eq!(page["data"][0]["id"], living);
    let none = api.get("/devices?pageSize=0").await.expect(200).json();
    assert_eq!((&none["data"], &none["meta"]["pagesTotal"]), (&json!([]), &json!(0)));

    let filter = json!({ "deviceTag": ["first"], "deviceTypeName": ["ext*"] });
    let by_body = api.send("GET", "/devices", Some(&filter)).await.expect(200).json();
    assert_eq!((&by_body["meta"]["itemsTotal"], &by_body["data"][0]["id"]), (&json!(1), &json!(bath)));
    let states = api.send("GET", "/devices/states", Some(&filter)).await.expect(200).json();
    let fresh = json!({ "deviceId": bath, "configuration": {}, "attributes": {}, "status": "NOT MONITORED" });
    assert_eq!(states["data"], json!([fresh]));
    assert_eq!(api.get("/devices/states?deviceTag=ground").await.expect(200).json()["meta"]["itemsTotal"], 1);
    // What came by another face is here too: a device without a type.
    let native = api.get("/devices?deviceName=truck-1").await.expect(200).json();
    assert_eq!(native["data"][0]["info"]["deviceTypeId"], uuid::Uuid::nil().to_string());
}
