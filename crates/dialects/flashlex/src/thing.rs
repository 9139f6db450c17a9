//! Things: provision, read, deprovision, and the distribution to put on a device.

use axum::extract::State;
use edge::Payload;
use http::HeaderMap;
use model::{Caller, CertificateStatus, Error, Permission, Result, Thing};
use serde_json::{Map, Value};
use things::{Credentials, NewThing, ThingFilter, ThingKeys};
use uuid::Uuid;

use crate::auth::{Handle, User};
use crate::dist::Distribution;
use crate::error::{Answer, counted};
use crate::filter::Filter;
use crate::respond::{ok, with_next};
use crate::wire::{CreateThing, Keys, ThingWire, namespace};
use crate::{App, Shared, lists, names, payload, zipped};

pub(crate) async fn list(State(app): Shared, user: User, filter: Filter) -> Answer {
    let listed = lists::walk(&filter, |page| {
        let (app, caller) = (&app, &user.caller);
        async move { app.things.things(caller, &ThingFilter::default(), &page).await }
    })
    .await?;
    let mut things = Vec::with_capacity(listed.items.len());
    for thing in listed.items {
        let keys = keys(&app, &user.caller, &thing.key).await?;
        things.push(ThingWire::new(thing, shown(&app, &user.caller, keys)));
    }
    Ok(with_next(ok("Things found.", things), listed.next.as_deref()))
}

pub(crate) async fn one(State(app): Shared, user: User, Handle(handle): Handle) -> Answer {
    let thing = app.things.thing(&user.caller, &handle).await?;
    let keys = keys(&app, &user.caller, &handle).await?;
    Ok(ok("Thing found.", ThingWire::new(thing, shown(&app, &user.caller, keys))))
}

pub(crate) async fn create(State(app): Shared, user: User, body: Payload) -> Answer {
    let new = new_thing(&user.caller, &body.0?)?;
    match app.things.provision(&user.caller, new).await {
        Ok(made) => Ok(ok("Thing created.", ThingWire::new(made.thing, made.keys.map(whole).unwrap_or_default()))),
        Err(error) => Err(counted(&app, &user.caller, error).await),
    }
}

pub(crate) async fn remove(State(app): Shared, user: User, Handle(handle): Handle) -> Answer {
    app.things.deprovision(&user.caller, &handle).await?;
    Ok(ok("Thing deleted.", serde_json::json!({ "message": "Thing deleted.", "flthingspk": handle })))
}

pub(crate) async fn dist(State(app): Shared, user: User, Handle(handle): Handle, filter: Filter, headers: HeaderMap) -> Answer {
    // A distribution holds the private key: reading things is not enough.
    user.caller.require(Permission::ThingWrite)?;
    let thing = app.things.thing(&user.caller, &handle).await?;
    let Some(keys) = keys(&app, &user.caller, &handle).await? else {
        return Err(Error::conflict("thing", "has no certificate to put into a distribution").into());
    };
    let name = format!("{}.zip", thing.name);
    // Deflate and the SDK on disk take their time: not on the threads that serve.
    let zip = tokio::task::spawn_blocking(move || distribution(&app, &thing, &keys)).await.map_err(Error::internal)??;
    Ok(zipped::respond(&zip, &name, zipped::wants_raw(filter.raw, &headers)))
}

fn distribution(app: &App, thing: &Thing, keys: &Keys) -> Result<Vec<u8>> {
    Distribution {
        endpoint: &app.identity.public_url(),
        mqtt_host: &app.options.mqtt_host,
        mqtt_port: app.options.mqtts_port,
        id: &thing.key,
        name: &thing.name,
        certificate: &keys.certificate_pem,
        private: &keys.private,
        public: &keys.public,
        root_ca: &app.identity.ca_certificate_pem(),
        at: thing.created,
    }
    .zip(app.options.sdk_zip.as_deref())
}

/// A thing's newest certificate that may be used: one of ours with its keys, or one it brought along, of which the private key is
/// its own business.
async fn keys(app: &App, caller: &Caller, handle: &str) -> Result<Option<Keys>> {
    if let Some(ours) = app.things.keys(caller, handle).await? {
        return Ok(Some(whole(ours)));
    }
    let brought = app.things.certificates(caller, handle).await?.into_iter().filter(|c| c.status == CertificateStatus::Active);
    Ok(brought.max_by_key(|c| c.created).map(|certificate| Keys {
        certificate_id: certificate.fingerprint.to_string(),
        certificate_pem: certificate.pem,
        private: String::new(),
        public: certificate.public_key,
    }))
}

/// Everything about a key pair of ours.
fn whole(keys: ThingKeys) -> Keys {
    Keys {
        certificate_id: keys.fingerprint.to_string(),
        certificate_pem: keys.certificate_pem,
        private: keys.private_key_pem.map(|pem| pem.as_str().to_owned()).unwrap_or_default(),
        public: keys.public_key_pem,
    }
}

/// What of it a reader is shown: the private key only to those who could make a new one, and only if the operator goes along.
fn shown(app: &App, caller: &Caller, keys: Option<Keys>) -> Keys {
    let mut keys = keys.unwrap_or_default();
    if !app.options.return_private_key_on_get || caller.require(Permission::ThingWrite).is_err() {
        keys.private.clear();
    }
    keys
}

/// The body of `POST /things` as input of the verb; an empty body is a thing of which everything is made up.
fn new_thing(caller: &Caller, body: &[u8]) -> Result<NewThing> {
    let text = payload::utf8(body)?;
    let wire: CreateThing = if text.trim().is_empty() {
        CreateThing::default()
    } else {
        let object: Map<String, Value> = edge::json(text.as_bytes())?;
        serde_json::from_value(Value::Object(object)).map_err(|e| Error::invalid("body", e.to_string()))?
    };
    // Made up ids are random, not sorted by time: their first part is the thing's name and must differ.
    let key = wire.flthingspk.map_or_else(|| Ok(Uuid::new_v4().to_string()), |id| names::thing_id(&id))?;
    let asked = wire.thing_name.or(wire.name);
    let name = names::prefixed(namespace(caller), asked.as_deref().unwrap_or_else(|| names::default_name(&key)))?;
    Ok(NewThing {
        name: Some(name),
        kind: wire.thing_type.unwrap_or_else(|| "RaspberryPi".to_owned()),
        distribution: wire.thing_dist.unwrap_or_else(|| "Python".to_owned()),
        attributes: wire.attributes.unwrap_or_default().into_iter().map(|(k, v)| (k, v.into())).collect(),
        credentials: Credentials::RsaCertificate,
        key: Some(key),
        ..NewThing::default()
    })
}

#[cfg(test)]
mod tests {
    use model::{Permissions, Principal, RequestId, TenantId, UserId};
    use uuid::uuid;

    use super::*;

    fn made(body: &str) -> Result<NewThing> {
        let caller = Caller {
            tenant: TenantId(Uuid::nil()),
            principal: Principal::User(UserId(uuid!("ecd13b11-6d91-4e8e-9156-60e451a3c975"))),
            permissions: Permissions::NONE,
            request: RequestId(Uuid::nil()),
            address: None,
        };
        new_thing(&caller, body.as_bytes())
    }

    #[test]
    fn a_thing_is_made_as_asked() {
        let it = made(
            r#"{"flthingspk":"349C5942-77d6-4f36-880b-1762a3b07f06","thingName":"mything","thingType":"ESP32","thingDist":"C","attributes":{"floor":2}}"#,
        )
        .unwrap();
        assert_eq!(it.key.as_deref(), Some("349c5942-77d6-4f36-880b-1762a3b07f06"));
        assert_eq!(it.name.as_deref(), Some("ecd13b11-mything"));
        assert_eq!((it.kind.as_str(), it.distribution.as_str()), ("ESP32", "C"));
        assert_eq!(it.attributes.get("floor").map(String::as_str), Some("2"));
    }

    #[test]
    fn what_is_not_said_is_made_up() {
        for body in ["", "  ", "{}"] {
            let it = made(body).unwrap();
            let key = it.key.unwrap();
            assert_eq!(it.name.unwrap(), format!("ecd13b11-{}", &key[..8]));
            assert_eq!((it.kind.as_str(), it.distribution.as_str()), ("RaspberryPi", "Python"));
        }
        assert_eq!(made(r#"{"name":"porch"}"#).unwrap().name.as_deref(), Some("ecd13b11-porch"));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for bad in [
            "{",
            "[]",
            "null",
            "7",
            r#""x""#,
            r#"{"flthingspk":7}"#,
            r#"{"flthingspk":"dev-1"}"#,
            r#"{"thingName":"a/b"}"#,
            r#"{"thingName":""}"#,
        ] {
            assert!(matches!(made(bad), Err(Error::Invalid { .. })), "{bad}");
        }
    }
}
