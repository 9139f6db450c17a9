//! The Lightelligence API over the sockets: the platform's own story, every answer held to its OpenAPI file, bad input, strangers,
//! MQTT, notifications, and the platform's own SDK.

mod bad_input;
mod devices;
mod mqtt;
mod notifications;
mod schema;
mod sdk;
mod story;
mod strangers;
mod streaming;

use serde_json::{Value, json};
use testkit::fleet::FLEET;
use testkit::{Builder, Exchange, Gateway, Http};

/// Applications: one that may all a writer may (`backend`, in the fleet), one that only reads, one of another tenant.
const CLIENTS: &str = r#"
[[client]]
tenant = "acme"
id = "watcher"
secret = "s3cr3t-of-the-watcher"
grants = ["client_credentials"]
scopes = ["thing:read", "type:read", "state:read", "point:read", "notification:read", "message:read", "rule:read"]

[[client]]
tenant = "globex"
id = "stranger"
secret = "s3cr3t-of-the-stranger"
grants = ["client_credentials"]
"#;

const TOKEN: &str = "/v1/id/auth/realms/olt/protocol/openid-connect/token";

fn builder() -> Builder {
    Gateway::builder().provision(&format!("{FLEET}{CLIENTS}"))
}

async fn open() -> Gateway {
    builder().start().await
}

/// Requests below `/v1` as an application; every answer is held to the OpenAPI file.
#[derive(Clone)]
struct Api(Http);

impl Api {
    /// Signs an application in at the realm.
    async fn sign_in(http: &Http, id: &str) -> Self {
        let secret = format!("s3cr3t-of-the-{id}");
        let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret.as_str())];
        let token = http.form(TOKEN, &form).await.expect(200).json();
        Self(http.bearer(token["access_token"].as_str().unwrap()))
    }

    async fn backend(gateway: &Gateway) -> Self {
        Self::sign_in(&gateway.http(), "backend").await
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Exchange {
        let text = body.map(|body| body.to_string().into_bytes());
        let headers: &[(&str, &str)] = if text.is_some() { &[("content-type", "application/json")] } else { &[] };
        let answer = self.0.send(method.parse().unwrap(), &format!("/v1{path}"), headers, text).await;
        schema::check(&answer);
        answer
    }

    async fn get(&self, path: &str) -> Exchange {
        self.send("GET", path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Exchange {
        self.send("POST", path, Some(body)).await
    }

    async fn put(&self, path: &str, body: &Value) -> Exchange {
        self.send("PUT", path, Some(body)).await
    }

    async fn patch(&self, path: &str, body: &Value) -> Exchange {
        self.send("PATCH", path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Exchange {
        self.send("DELETE", path, None).await
    }

    /// Makes a device type; its id.
    async fn new_type(&self) -> String {
        id(&self.post("/device-types", &lamp()).await.expect(201).json())
    }

    /// Makes a device; its id.
    async fn new_device(&self, kind: &str, name: &str) -> String {
        let body = json!({ "info": { "name": name, "deviceTypeId": kind } });
        id(&self.post("/devices", &body).await.expect(201).json())
    }
}

fn id(answer: &Value) -> String {
    answer["data"]["id"].as_str().unwrap_or_else(|| panic!("an id in {answer}")).to_owned()
}

/// The device type of the platform's documentation.
fn lamp() -> Value {
    json!({
        "name": "Extended OSR Light switch",
        "manufacturer": "OSRAM",
        "model": "C3PO",
        "description": "Newest version of the switch.",
        "categories": ["urn:oma:lwm2m:ext:3001"],
        "reportingRules": [
            { "path": "$.configuration.brightness", "reportTo": ["timeseries"] },
            { "path": "$.attributes.temperature", "reportTo": ["timeseries", "deviceManagement"] },
        ],
        "schema": {
            "configuration": {
                "brightness": { "type": "number", "property": "urn:oma:lwm2m:ext:5548", "minimum": 0, "maximum": 100 },
                "color": {
                    "type": "object",
                    "properties": { "r": { "type": "number", "minimum": 0, "maximum": 255 }, "g": { "type": "number" } },
                    "required": ["r"],
                },
            },
            "attributes": { "temperature": { "type": "number" }, "humidity": { "type": "number", "minimum": 0, "maximum": 100 } },
            "events": { "overheated": { "type": "object", "properties": { "temperature": { "type": "number" } } }, "alert": {} },
            "actions": {
                "raiseTemperature": {
                    "type": "object",
                    "properties": { "value": { "type": "number" }, "description": { "type": "string" } },
                },
            },
        },
        "slots": { "firmware": { "name": "Test name" } },
    })
}
