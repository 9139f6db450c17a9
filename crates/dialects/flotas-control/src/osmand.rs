//! `/api/osmand`: positions from phones, in the form `OsmAnd` and its kin send. Not the platform's; ours, for trackers.
//!
//! The fields come in the query, in a form body, or as JSON. The device signs in with its key and secret each time; who is unknown or
//! does not know the secret is refused and never made.

use std::collections::BTreeMap;

use bytes::Bytes;
use edge::Origin;
use http::{HeaderMap, Uri};
use identity::{Credential, TenantChoice};
use model::{Error, Principal, Result};
use serde_json::{Map, Value};

use crate::Shared;
use crate::error::Problem;
use crate::reply::Reply;

/// The channel these messages come in by.
const CHANNEL: &str = "http:osmand";
/// Most fields of one report.
const FIELDS: usize = 64;

const REFUSED: Error = Error::Unauthenticated { reason: "The device or its secret is not known." };

pub(crate) async fn report(
    app: &Shared,
    headers: &HeaderMap,
    uri: &Uri,
    body: &[u8],
    origin: &Origin,
) -> std::result::Result<Reply, Problem> {
    let mut fields: Map<String, Value> = strings(edge::query(uri)?);
    let content_type = edge::header(headers, "content-type").unwrap_or_default().trim_start().to_ascii_lowercase();
    if content_type.starts_with("application/json") {
        fields.extend(edge::json::<Map<String, Value>>(body)?);
    } else if content_type.starts_with("application/x-www-form-urlencoded") {
        fields.extend(strings(edge::form(body)?));
    }
    if fields.len() > FIELDS {
        return Err(Error::invalid("body", format!("has more than {FIELDS} fields")).into());
    }
    let mut take = |names: &[&str]| -> Option<String> {
        // All of them go, whichever counts: a secret must not be stored.
        let found: Vec<Value> = names.iter().filter_map(|name| fields.remove(*name)).collect();
        match found.into_iter().next()? {
            Value::String(text) if !text.is_empty() => Some(text),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    };
    let named = take(&["id", "deviceid", "device_id", "deviceId"]);
    let shown = take(&["secret", "key"]);
    let unit = take(&["speedUnit"]);
    let basic = edge::basic(headers);
    let id =
        named.or_else(|| basic.as_ref().map(|b| b.user.clone())).ok_or_else(|| Error::invalid("id", "is required: the device's id"))?;
    let secret = match (&basic, shown) {
        (Some(basic), _) if basic.user == id => basic.password.clone(),
        (Some(_), _) => return Err(Error::invalid("id", "is not the user name of the Authorization header").into()),
        (None, Some(secret)) => secret,
        (None, None) => return Err(REFUSED.into()),
    };
    let credential = Credential::Thing { handle: &id, secret: &secret };
    let signed_in = app.identity.sign_in(credential, TenantChoice::Home, &origin.into()).await.map_err(|error| match error {
        Error::Unauthenticated { .. } | Error::Forbidden(_) => REFUSED,
        other => other,
    })?;
    let Principal::Thing(thing) = signed_in.caller.principal else { return Err(REFUSED.into()) };
    let payload = normalized(fields, unit.as_deref(), app.identity.clock().now())?;
    app.things.collect(&signed_in.caller, &thing.to_string(), CHANNEL, payload, None).await?;
    Ok(Reply::empty())
}

fn strings(fields: BTreeMap<String, String>) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}

/// The message that is stored: the fields as they came, but for the speed, which becomes metres a second; and it must be a position.
fn normalized(mut fields: Map<String, Value>, unit: Option<&str>, now: model::Timestamp) -> Result<Bytes> {
    let factor = match unit.map(str::to_ascii_lowercase).as_deref() {
        // What the form's best known sender speaks.
        None | Some("kn") => things::KNOT,
        Some("ms" | "m/s") => 1.0,
        Some("kmh" | "km/h") => 1.0 / 3.6,
        Some("mph") => 0.447_04,
        Some(_) => return Err(Error::invalid("speedUnit", "must be kn, ms, kmh or mph")),
    };
    // `location=4.6,-74.1` is another way to say where.
    if let Some((lat, lon)) = fields.get("location").and_then(Value::as_str).and_then(|text| text.split_once(',')) {
        let (lat, lon) = (lat.trim().to_owned(), lon.trim().to_owned());
        fields.remove("location");
        fields.insert("lat".to_owned(), lat.into());
        fields.insert("lon".to_owned(), lon.into());
    }
    if let Some(speed) = fields.get("speed").and_then(things::number) {
        fields.insert("speed".to_owned(), Value::from((speed * factor * 1e6).round() / 1e6));
    }
    let payload = serde_json::to_vec(&fields).map_err(Error::internal)?;
    if things::position(&payload, now).is_none() {
        return Err(Error::invalid("lat", "and lon are required: degrees, -90 to 90 and -180 to 180"));
    }
    Ok(payload.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn stored(fields: &Value, unit: Option<&str>) -> Result<Value> {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let bytes = normalized(fields.as_object().unwrap().clone(), unit, now)?;
        Ok(serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn speeds_become_metres_a_second() {
        let fields = json!({ "lat": "4.6", "lon": "-74.1", "speed": "36" });
        for (unit, speed) in [(None, 18.52), (Some("kn"), 18.52), (Some("MS"), 36.0), (Some("km/h"), 10.0), (Some("mph"), 16.09344)] {
            assert_eq!(stored(&fields, unit).unwrap()["speed"], speed, "{unit:?}");
        }
        assert!(stored(&fields, Some("furlongs")).is_err());
        // A phone's own JSON says metres a second inside, and is left alone.
        let nested = json!({ "location": { "coords": { "latitude": 1, "longitude": 2, "speed": 3 } } });
        assert_eq!(stored(&nested, None).unwrap(), nested);
        assert_eq!(stored(&json!({ "location": "4.6, -74.1" }), None).unwrap(), json!({ "lat": "4.6", "lon": "-74.1" }));
    }

    #[test]
    fn no_place_no_message() {
        for fields in [
            json!({}),
            json!({ "lat": "1" }),
            json!({ "lat": "91", "lon": "1" }),
            json!({ "lat": "x", "lon": "1" }),
            json!({ "location": "home" }),
        ] {
            assert!(stored(&fields, None).is_err(), "{fields}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_a_position_or_refused(lat in ".{0,8}", lon in ".{0,8}", speed in ".{0,8}", location in ".{0,12}") {
            let fields = json!({ "lat": lat, "lon": lon, "speed": speed, "location": location });
            if let Ok(message) = stored(&fields, None) {
                prop_assert!(things::position(message.to_string().as_bytes(), model::Timestamp::UNIX_EPOCH).is_some());
            }
        }
    }
}
