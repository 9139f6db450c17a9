//! FlashLex API 1.4 over the sockets: what its back ends and devices do, told as stories, and what they must not get away with.

mod bad_input;
mod devices;
mod paths;
pub(crate) mod registering;
mod story;
mod streaming;
mod thing_tokens;
mod user_tokens;
mod zips;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use testkit::{Exchange, Gateway, Http};

/// A thing's id as its owner chose it.
const THING: &str = "349c5942-77d6-4f36-880b-1762a3b07f06";
/// Nobody's thing.
const ABSENT: &str = "00000000-0000-4000-8000-000000000000";

/// Provisions [`THING`]; its JSON.
async fn provision(owner: &Http) -> Value {
    owner.post("/prd/v1/things", &json!({ "flthingspk": THING, "thingName": "mything" })).await.expect(200).json()["result"].clone()
}

pub(crate) fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token signed with RS256 by a PEM key.
pub(crate) fn signed(key_pem: &str, header: &Value, claims: &Value) -> String {
    let key = any_supported_type(&PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap()).unwrap();
    let text = format!("{}.{}", encoded(header), encoded(claims));
    let signature = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).unwrap().sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The claims the device SDK makes at this moment.
fn claims(gateway: &Gateway, id: &str) -> Value {
    let now = gateway.clock().now().as_second();
    json!({ "exp": now + 360, "nbf": now - 360, "iss": format!("urn:thing:{id}"), "aud": format!("urn:flashlex:{id}") })
}

fn header(id: &str) -> Value {
    json!({ "typ": "JWT", "alg": "RS256", "kid": id })
}

/// The token the device SDK sends.
fn thing_token(gateway: &Gateway, thing: &Value) -> String {
    let id = thing["flthingspk"].as_str().unwrap();
    signed(thing["keyPairPrivate"].as_str().unwrap(), &header(id), &claims(gateway, id))
}

/// A collect as the device SDK does it.
async fn collect(gateway: &Gateway, token: &str, id: &str, body: &str) -> Exchange {
    let headers = [("content-type", "application/json")];
    let path = format!("/prd/v1/things/{id}/collect");
    gateway.http().bearer(token).send(reqwest::Method::POST, &path, &headers, Some(body.into())).await
}

/// Any request with a body as it is.
async fn raw(http: &Http, method: &str, path: &str, body: &[u8]) -> Exchange {
    http.send(method.parse().unwrap(), path, &[("content-type", "application/jsom")], Some(body.to_vec())).await
}

/// The text for people in an envelope.
fn note(exchange: &Exchange) -> String {
    exchange.json()["messages"][0]["value"].as_str().unwrap().to_owned()
}
