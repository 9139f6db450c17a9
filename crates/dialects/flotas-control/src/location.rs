//! A position as the platform's location object (contracts/flotas-control.md 3.3). Speed is in metres a second.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};
use things::Position;

use crate::wire;

/// Most attributes of one location.
const ATTRIBUTES: usize = 64;
/// The longest attribute value, in characters.
const VALUE: usize = 1_024;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Location {
    date_time: String,
    latitude: f64,
    longitude: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    speed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    course: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    battery: Option<i64>,
    #[serde(flatten)]
    measured: BTreeMap<&'static str, Value>,
    warning_texts: Vec<String>,
    alert_texts: Vec<String>,
    alerts: Vec<String>,
    warnings: Vec<String>,
    has_critical_alert: bool,
    attributes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accessories_attributes: Vec<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inputs: Option<Vec<bool>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Vec<bool>>,
}

/// The alert that calls for somebody at once.
const CRITICAL: &str = "SOSButton";

/// Whole numbers, and numbers, by their name on the wire (and `milleage` also by its right spelling).
const WHOLE: &[&str] = &["fuel", "fuel2", "sensorTime1", "sensorTime2", "sensorTime3", "sensorTime4", "inactiveSeconds", "rpm"];
const NUMBERS: &[(&str, &str)] =
    &[("temperature", "temperature"), ("temperature2", "temperature2"), ("milleage", "milleage"), ("mileage", "milleage")];

/// Attributes the platform has its own spelling for.
const SPELT: &[(&str, &str)] = &[
    ("hdop", "HDOP"),
    ("pdop", "PDOP"),
    ("vdop", "VDOP"),
    ("sat", "Satellites"),
    ("satellites", "Satellites"),
    ("gsm", "GSM"),
    ("rssi", "Signal"),
    ("signal", "Signal"),
    ("voltage", "Voltage"),
    ("power", "Power"),
    ("charge", "Charge"),
    ("valid", "Valid"),
    ("event", "Event"),
    ("status", "Status"),
    ("mcc", "MCC"),
    ("mnc", "MNC"),
    ("lac", "LAC"),
    ("cell", "Cell"),
    ("cid", "CID"),
    ("steps", "Steps"),
    ("driveruniqueid", "RFID"),
    ("rfid", "RFID"),
];

impl From<Position> for Location {
    fn from(position: Position) -> Self {
        let Position { at, latitude, longitude, speed, course, altitude, battery, alerts, warnings, mut other } = position;
        let mut measured = BTreeMap::new();
        for name in WHOLE {
            if let Some(number) = other.remove(*name).as_ref().and_then(things::number) {
                measured.insert(*name, Value::from(whole(number)));
            }
        }
        for (theirs, ours) in NUMBERS {
            if let Some(number) = other.remove(*theirs).as_ref().and_then(things::number) {
                measured.insert(*ours, Value::from(number));
            }
        }
        let alert_texts = strings(other.remove("alertTexts")).unwrap_or_else(|| alerts.clone());
        let warning_texts = strings(other.remove("warningTexts")).unwrap_or_else(|| warnings.clone());
        let critical = other.remove("hasCriticalAlert").as_ref().and_then(Value::as_bool);
        let critical = critical.unwrap_or_else(|| alerts.iter().any(|alert| alert.eq_ignore_ascii_case(CRITICAL)));
        let inputs = bools(other.remove("inputs"));
        let outputs = bools(other.remove("outputs"));
        let accessories_attributes = match other.remove("accessoriesAttributes") {
            Some(Value::Array(items)) => {
                items.into_iter().filter_map(|i| if let Value::Object(o) = i { Some(attributes(o)) } else { None }).collect()
            }
            _ => Vec::new(),
        };
        let mut named = match other.remove("attributes") {
            Some(Value::Object(object)) => attributes(object),
            _ => BTreeMap::new(),
        };
        for (name, value) in attributes(other) {
            if named.len() < ATTRIBUTES {
                named.entry(name).or_insert(value);
            }
        }
        if let Some(metres) = altitude {
            named.insert("Altitude".to_owned(), metres.to_string());
        }
        Self {
            date_time: wire::time(at),
            latitude,
            longitude,
            speed,
            course,
            battery: battery.map(whole),
            measured,
            warning_texts,
            alert_texts,
            alerts,
            warnings,
            has_critical_alert: critical,
            attributes: named,
            accessories_attributes,
            inputs,
            outputs,
        }
    }
}

fn whole(number: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a float beyond the range becomes its end")]
    let whole = number.round() as i64;
    whole
}

pub(crate) fn strings(value: Option<Value>) -> Option<Vec<String>> {
    let Some(Value::Array(items)) = value else { return None };
    Some(items.into_iter().filter_map(|item| if let Value::String(text) = item { Some(text) } else { None }).collect())
}

fn bools(value: Option<Value>) -> Option<Vec<bool>> {
    let Some(Value::Array(items)) = value else { return None };
    items.iter().map(|item| item.as_bool().or_else(|| item.as_i64().map(|n| n != 0))).collect()
}

/// Texts, numbers and truth values as texts, under the platform's names where it has some.
fn attributes(object: Map<String, Value>) -> BTreeMap<String, String> {
    let texts = object.into_iter().filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.chars().take(VALUE).collect(),
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        let spelt = SPELT.iter().find(|(plain, _)| plain.eq_ignore_ascii_case(&name));
        Some((spelt.map_or(name, |(_, spelt)| (*spelt).to_owned()), text))
    });
    texts.take(ATTRIBUTES).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(message: &Value) -> Value {
        let received = "2026-03-01T12:00:00Z".parse().unwrap();
        let position = things::position(message.to_string().as_bytes(), received).unwrap();
        serde_json::to_value(Location::from(position)).unwrap()
    }

    #[test]
    fn everything_has_its_place() {
        let it = shown(&json!({
            "dateTime": "2026-03-01T11:59:00Z", "latitude": 4.6, "longitude": -74.1, "speed": 13.9, "course": 90, "battery": 84.6, "fuel": "40",
            "rpm": 1500, "temperature": -3.5, "mileage": 120_345.6, "altitude": 2600, "sat": 9, "Plate": "FXS493", "nested": { "x": 1 },
            "alerts": ["SOSButton"], "alertTexts": ["Help!"], "warnings": ["LowBattery"], "inputs": [true, 0], "outputs": ["?"],
            "attributes": { "RFID": "77" }, "accessoriesAttributes": [{ "name": "probe", "value": 4 }] }));
        assert_eq!(
            it,
            json!({
                "dateTime": "2026-03-01T11:59:00Z", "latitude": 4.6, "longitude": -74.1, "speed": 13.9, "course": 90.0, "battery": 85, "fuel": 40,
                "rpm": 1500, "temperature": -3.5, "milleage": 120_345.6, "alerts": ["SOSButton"], "alertTexts": ["Help!"],
                "warnings": ["LowBattery"], "warningTexts": ["LowBattery"], "hasCriticalAlert": true, "inputs": [true, false],
                "attributes": { "Altitude": "2600", "Plate": "FXS493", "RFID": "77", "Satellites": "9" },
                "accessoriesAttributes": [{ "name": "probe", "value": "4" }] })
        );
    }

    #[test]
    fn a_bare_fix_is_enough() {
        let it = shown(&json!({ "lat": 1, "lon": 2 }));
        assert_eq!(
            it,
            json!({ "dateTime": "2026-03-01T12:00:00Z", "latitude": 1.0, "longitude": 2.0, "alerts": [], "alertTexts": [], "warnings": [],
                "warningTexts": [], "hasCriticalAlert": false, "attributes": {} })
        );
    }
}
