//! The alerts of a range: positions whose message raises an alert or a warning (contracts/flotas-control.md 3.6).

use serde::Serialize;
use things::Position;

use crate::location::strings;
use crate::wire;

/// The closed list of alerts that may be asked for by name.
const NAMES: &[&str] = &[
    "GPSOff",
    "GPSNoSignal",
    "ForbiddenArea",
    "AllowedArea",
    "SOSButton",
    "SpeedLimit",
    "NoMovementTime",
    "Sensor1On",
    "GPSUnplugged",
    "Sensor1Off",
    "TemperatureGreaterThan",
    "TemperatureLowerThan",
    "FuelJumpDown",
    "FuelJumpUp",
    "FuelLessThan",
    "FutureDate",
    "PastDate",
    "Sensor2On",
    "Sensor2Off",
    "Sensor3On",
    "Sensor3Off",
    "Sensor4On",
    "Sensor4Off",
    "ExpiredDate",
    "Mileage",
    "Vibration",
    "RPM",
    "CheckPoint",
    "CheckArea",
    "SpeedLower",
    "Offline",
    "LowBattery",
    "BatteryVoltage",
    "SleepMode",
    "Temperature2LessThan",
    "Temperature2GreaterThan",
    "Route",
    "Sensor1Time",
    "Sensor2Time",
    "Sensor3Time",
    "Sensor4Time",
    "SensorAccumulated1Time",
    "SensorAccumulated2Time",
    "SensorAccumulated3Time",
    "SensorAccumulated4Time",
    "FuelJumpDown2",
    "FuelJumpUp2",
    "FuelLessThan2",
    "AttributeEquals",
    "AttributeLessThan",
    "AttributeGreaterThan",
    "HarshBraking",
    "HarshAcceleration",
    "AuthenticationFailed",
    "IdleTime",
];

/// Which alerts are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// One of the list.
    Name(&'static str),
    /// Anything else is looked for among the texts: the platform's own example asks for `Speeding Alert`.
    Text(String),
}

impl Wanted {
    pub(crate) fn of(name: Option<&str>) -> Self {
        match name.map(str::trim) {
            None | Some("") => Self::All,
            Some(text) => match NAMES.iter().find(|name| name.eq_ignore_ascii_case(text)) {
                Some(name) => Self::Name(name),
                None => Self::Text(text.to_owned()),
            },
        }
    }

    /// Is this position one of them?
    pub(crate) fn is(&self, position: &Position) -> bool {
        let mut names = position.alerts.iter().chain(&position.warnings);
        match self {
            Self::All => names.next().is_some(),
            Self::Name(wanted) => names.any(|name| name.eq_ignore_ascii_case(wanted)),
            Self::Text(wanted) => {
                let texts =
                    ["alertTexts", "warningTexts"].into_iter().filter_map(|key| strings(position.other.get(key).cloned())).flatten();
                let all: Vec<String> = names.cloned().chain(texts).collect();
                all.iter().any(|text| text.eq_ignore_ascii_case(wanted))
            }
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Alert {
    date_time: String,
    latitude: f64,
    longitude: f64,
    text: String,
    /// How it was told to people: nothing here tells anybody, so the list is empty unless the message has one.
    notifications: Vec<String>,
    alerts: Vec<String>,
}

impl From<Position> for Alert {
    fn from(mut position: Position) -> Self {
        let mut take = |key: &str| strings(position.other.remove(key));
        let texts: Vec<String> = [
            take("alertTexts").unwrap_or_else(|| position.alerts.clone()),
            take("warningTexts").unwrap_or_else(|| position.warnings.clone()),
        ]
        .concat();
        let notifications = take("notifications").unwrap_or_default();
        Self {
            date_time: wire::time(position.at),
            latitude: position.latitude,
            longitude: position.longitude,
            text: texts.join(", "),
            notifications,
            alerts: [position.alerts, position.warnings].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(message: &Value) -> Position {
        things::position(message.to_string().as_bytes(), "2026-03-01T12:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn fifty_five_names() {
        assert_eq!(NAMES.len(), 55);
        assert_eq!(Wanted::of(Some("sosbutton")), Wanted::Name("SOSButton"));
        assert_eq!((Wanted::of(None), Wanted::of(Some(" "))), (Wanted::All, Wanted::All));
    }

    #[test]
    fn by_name_and_by_text() {
        let alert =
            read(&json!({ "lat": 1, "lon": 2, "alerts": ["SpeedLimit"], "alertTexts": ["Speeding Alert"], "warnings": ["LowBattery"] }));
        let quiet = read(&json!({ "lat": 1, "lon": 2 }));
        for (wanted, yes) in [
            (None, true),
            (Some("SpeedLimit"), true),
            (Some("lowbattery"), true),
            (Some("Speeding Alert"), true),
            (Some("Offline"), false),
            (Some("x"), false),
        ] {
            assert_eq!((Wanted::of(wanted).is(&alert), Wanted::of(wanted).is(&quiet)), (yes, false), "{wanted:?}");
        }
        assert_eq!(
            serde_json::to_value(Alert::from(alert)).unwrap(),
            json!({ "dateTime": "2026-03-01T12:00:00Z", "latitude": 1.0, "longitude": 2.0, "text": "Speeding Alert, LowBattery", "notifications": [],
                "alerts": ["SpeedLimit", "LowBattery"] })
        );
    }
}
