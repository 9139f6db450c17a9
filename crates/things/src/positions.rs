//! Positions: where a thing was, read out of its messages.
//!
//! [`position`] is pure: any JSON object that holds a latitude and a longitude is a position, whoever wrote it. Three spellings are
//! told apart where units differ: flat (`lat`, `lon`, `speed` in m/s), `OwnTracks` (`vel` in km/h) and nested (`location.coords`,
//! battery as a fraction), as phone trackers send. The verbs look through the journal for them.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use model::{Caller, Direction, Error, PageRequest, Result};
use serde_json::{Map, Value};

use crate::{MessageFilter, Things};

/// The longest range of time one may ask for.
const SPAN: SignedDuration = SignedDuration::from_hours(31 * 24);
/// A tracker that was out of reach hands in what it kept; what comes later than this is in no range.
const LATE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A clock may be that much ahead; what lies further in the future is taken as of its receipt.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// Positions one answer holds.
const POSITIONS: usize = 10_000;
/// Messages looked through for one answer.
const LOOKED_AT: usize = 200_000;
/// Newest messages among which the latest fix is chosen by its own time.
const NEWEST: u32 = 100;
/// Messages looked through for a last fix.
const LOOKED_BACK: usize = 20_000;
/// How deep a position may be nested.
const DEPTH: usize = 3;
/// No fix of a satellite receiver is older: what claims so has no clock.
const EPOCH: i64 = 946_684_800;
/// A knot in metres a second.
pub const KNOT: f64 = 1_852.0 / 3_600.0;

/// Where a thing was.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// When, as the thing says; when the message came, if it does not say or cannot know.
    pub at: Timestamp,
    /// Degrees, north is positive, -90 to 90.
    pub latitude: f64,
    /// Degrees, east is positive, -180 to 180.
    pub longitude: f64,
    /// Metres a second.
    pub speed: Option<f64>,
    /// Degrees clockwise from north, 0 to below 360.
    pub course: Option<f64>,
    /// Metres above sea level.
    pub altitude: Option<f64>,
    /// Percent.
    pub battery: Option<f64>,
    /// Names of alerts it raises.
    pub alerts: Vec<String>,
    /// Names of warnings.
    pub warnings: Vec<String>,
    /// Everything else the message says.
    pub other: Map<String, Value>,
}

/// Reads a position out of a message; none when it is no JSON object with a latitude and a longitude.
#[must_use]
pub fn position(payload: &[u8], received: Timestamp) -> Option<Position> {
    // Most messages of most things are none; their first byte mostly says so.
    if payload.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return None;
    }
    let object: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    let mut fields = flatten(object, DEPTH)?;
    let latitude = number(&take(&mut fields, LATITUDE)?).filter(|v| (-90.0..=90.0).contains(v))?;
    let longitude = number(&take(&mut fields, LONGITUDE)?).filter(|v| (-180.0..=180.0).contains(v))?;
    let at = take(&mut fields, TIME).and_then(|value| time(&value)).filter(|at| plausible(*at, received)).unwrap_or(received);
    let mut positive =
        |names: &[&str], factor: f64| take(&mut fields, names).and_then(|value| number(&value)).filter(|v| *v >= 0.0).map(|v| v * factor);
    let speed = positive(&["speed"], 1.0).or(positive(&["speedkmh", "speed_kmh", "kmh", "vel"], 1.0 / 3.6)).or(positive(&["knots"], KNOT));
    let course = positive(&["course", "bearing", "heading", "cog"], 1.0).map(|degrees| degrees % 360.0);
    let altitude = take(&mut fields, &["altitude", "alt"]).and_then(|value| number(&value));
    let battery = take(&mut fields, &["battery", "batt"]).and_then(|value| battery(&value)).filter(|v| (0.0..=100.0).contains(v));
    let mut alerts = texts(take(&mut fields, &["alerts", "alert"]));
    alerts.extend(texts(take(&mut fields, &["alarm"])).into_iter().map(|alarm| named(&alarm)));
    alerts.dedup();
    let warnings = texts(take(&mut fields, &["warnings", "warning"]));
    Some(Position { at, latitude, longitude, speed, course, altitude, battery, alerts, warnings, other: fields })
}

const LATITUDE: &[&str] = &["latitude", "lat"];
const LONGITUDE: &[&str] = &["longitude", "lon", "lng", "long"];
const TIME: &[&str] = &["datetime", "timestamp", "fixtime", "time", "tst", "ts"];
/// Under which names a position is nested.
const NESTS: &[&str] = &["location", "position", "coords", "gps"];

/// The object that holds the position, with what the objects around it say besides.
fn flatten(mut outer: Map<String, Value>, depth: usize) -> Option<Map<String, Value>> {
    let has = |names: &[&str]| outer.keys().any(|key| is(key, names));
    if has(LATITUDE) && has(LONGITUDE) {
        return Some(outer);
    }
    if depth == 0 {
        return None;
    }
    for nest in NESTS {
        let Some(key) = outer.iter().find(|(key, value)| is(key, &[nest]) && value.is_object()).map(|(key, _)| key.clone()) else {
            continue;
        };
        let Some(Value::Object(inner)) = outer.get(&key).cloned() else { continue };
        let Some(mut found) = flatten(inner, depth - 1) else { continue };
        outer.remove(&key);
        for (key, value) in outer {
            found.entry(key).or_insert(value);
        }
        return Some(found);
    }
    None
}

fn is(key: &str, names: &[&str]) -> bool {
    names.iter().any(|name| key.eq_ignore_ascii_case(name))
}

/// Takes the first of these fields out; the case of its name does not matter.
fn take(fields: &mut Map<String, Value>, names: &[&str]) -> Option<Value> {
    let key = names.iter().find_map(|name| fields.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned())?;
    fields.remove(&key)
}

/// A finite number, written as one or as text.
#[must_use]
pub fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|v| v.is_finite())
}

fn battery(value: &Value) -> Option<f64> {
    match value {
        // A phone's own form: `{"level": 0.85}`.
        Value::Object(object) => object.get("level").and_then(number).map(|level| level * 100.0),
        other => number(other),
    }
}

fn texts(value: Option<Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) if !text.is_empty() => vec![text],
        Some(Value::Array(items)) => {
            items.into_iter().flat_map(|item| if item.is_string() { texts(Some(item)) } else { Vec::new() }).collect()
        }
        _ => Vec::new(),
    }
}

/// A tracker's `alarm` under the name fleet platforms list it by.
fn named(alarm: &str) -> String {
    let known = [
        ("sos", "SOSButton"),
        ("powerCut", "GPSUnplugged"),
        ("lowBattery", "LowBattery"),
        ("overspeed", "SpeedLimit"),
        ("hardBraking", "HarshBraking"),
        ("hardAcceleration", "HarshAcceleration"),
        ("vibration", "Vibration"),
        ("idle", "IdleTime"),
    ];
    let found = known.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(alarm));
    found.map_or_else(|| alarm.to_owned(), |(_, ours)| (*ours).to_owned())
}

fn plausible(at: Timestamp, received: Timestamp) -> bool {
    at.as_second() >= EPOCH && at.duration_since(received) <= AHEAD
}

fn time(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) => moment(text),
        other => since_epoch(number(other)?),
    }
}

/// Seconds, or milliseconds, or microseconds since 1970: told apart by their size.
fn since_epoch(number: f64) -> Option<Timestamp> {
    let micros = match number.abs() {
        n if n < 1e11 => number * 1e6,
        n if n < 1e14 => number * 1e3,
        _ => number,
    };
    if micros.abs() > 9e15 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    Timestamp::from_microsecond(micros as i64).ok()
}

/// A moment in text: RFC 3339, a date and time or a date alone (UTC), or a number since 1970.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if let Ok(number) = text.parse::<f64>() {
        return since_epoch(number).filter(|_| number.is_finite());
    }
    let civil = text.parse::<DateTime>().ok().or_else(|| Some(text.parse::<Date>().ok()?.to_datetime(jiff::civil::Time::midnight())));
    Some(civil?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

impl Things {
    /// Where a thing was between two moments, both included, by its own time, oldest first; of those that `keep` wants.
    ///
    /// The range spans 31 days at most and holds 10,000 positions at most. Positions that arrived more than 7 days late are not in it.
    /// Errors: Invalid(from, to), NotFound(thing). Permission: `message:read`.
    pub async fn positions(
        &self,
        caller: &Caller,
        handle: &str,
        from: Timestamp,
        to: Timestamp,
        keep: impl Fn(&Position) -> bool + Send + Sync,
    ) -> Result<Vec<Position>> {
        if to < from {
            return Err(Error::invalid("to", "is before the beginning of the range"));
        }
        if from < Timestamp::UNIX_EPOCH {
            return Err(Error::invalid("from", "is before 1970"));
        }
        if to.duration_since(from) > SPAN {
            return Err(Error::invalid("to", "is more than 31 days after the beginning of the range"));
        }
        let filter = MessageFilter {
            from: Some(from.checked_sub(AHEAD).unwrap_or(from).max(Timestamp::UNIX_EPOCH)),
            to: Some(to.checked_add(LATE).unwrap_or(Timestamp::MAX)),
            direction: Some(Direction::Inbound),
        };
        let (mut found, mut looked) = (Vec::new(), 0);
        let mut page = PageRequest::max();
        loop {
            let messages = self.messages(caller, handle, &filter, false, &page).await?;
            looked += messages.items.len();
            let positions = messages.items.iter().filter_map(|message| position(&message.payload, message.at));
            found.extend(positions.filter(|p| (from..=to).contains(&p.at) && keep(p)));
            if found.len() > POSITIONS {
                return Err(Error::invalid("to", format!("the range holds more than {POSITIONS}; ask for a shorter one")));
            }
            match messages.next {
                None => break,
                Some(_) if looked >= LOOKED_AT => {
                    return Err(Error::invalid("to", format!("the range takes in more than {LOOKED_AT} messages; ask for a shorter one")));
                }
                Some(next) => page.cursor = Some(next),
            }
        }
        found.sort_by_key(|position| position.at);
        Ok(found)
    }

    /// Where a thing was last: the latest fix, by its own time, among its newest 100 messages; failing that the newest one within
    /// 20,000 messages. Error: NotFound(thing). Permission: `message:read`.
    pub async fn last_position(&self, caller: &Caller, handle: &str) -> Result<Option<Position>> {
        let filter = MessageFilter { direction: Some(Direction::Inbound), ..MessageFilter::default() };
        let mut page = PageRequest { limit: NEWEST, cursor: None };
        let mut looked = 0;
        loop {
            let messages = self.messages(caller, handle, &filter, true, &page).await?;
            looked += messages.items.len();
            let positions = messages.items.iter().filter_map(|message| position(&message.payload, message.at));
            // Of two fixes of one moment the one received later: the first in this order.
            let latest = positions.reduce(|best, other| if other.at > best.at { other } else { best });
            if latest.is_some() {
                return Ok(latest);
            }
            match messages.next {
                Some(next) if looked < LOOKED_BACK => page = PageRequest { limit: PageRequest::MAX, cursor: Some(next) },
                _ => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn read(value: &Value) -> Option<Position> {
        position(value.to_string().as_bytes(), now())
    }

    #[test]
    fn three_spellings_of_one_position() {
        let flat = read(
            &json!({ "lat": 4.6, "lng": "-74.08", "timestamp": 1_772_366_100, "speed": 10, "bearing": 361.0, "altitude": 2600, "batt": "85" }),
        );
        let flat = flat.unwrap();
        assert_eq!((flat.latitude, flat.longitude, flat.speed, flat.course), (4.6, -74.08, Some(10.0), Some(1.0)));
        assert_eq!((flat.altitude, flat.battery, flat.at), (Some(2600.0), Some(85.0), "2026-03-01T11:55:00Z".parse().unwrap()));
        assert!(flat.other.is_empty());

        let owntracks = read(
            &json!({ "_type": "location", "lat": 4.6, "lon": -74.08, "tst": 1_772_366_100, "vel": 36, "cog": 1, "batt": 85, "alt": 2600 }),
        )
        .unwrap();
        assert_eq!((owntracks.speed, owntracks.course, owntracks.at), (Some(10.0), Some(1.0), flat.at));
        assert_eq!(owntracks.other, *json!({ "_type": "location" }).as_object().unwrap());

        let nested = read(&json!({
            "device_id": "7", "location": {
                "timestamp": "2026-03-01T11:55:00.000Z", "is_moving": true, "battery": { "level": 0.85, "is_charging": false },
                "coords": { "latitude": 4.6, "longitude": -74.08, "speed": 10, "heading": -1, "altitude": 2600, "accuracy": 5 } } }))
        .unwrap();
        assert_eq!((nested.latitude, nested.speed, nested.course, nested.battery, nested.at), (4.6, Some(10.0), None, Some(85.0), flat.at));
        assert_eq!(nested.other, *json!({ "device_id": "7", "is_moving": true, "accuracy": 5 }).as_object().unwrap());
    }

    #[test]
    fn what_is_no_position() {
        for value in [
            json!({}),
            json!([]),
            json!(7),
            json!({ "lat": 1 }),
            json!({ "lat": 91, "lon": 1 }),
            json!({ "lat": 1, "lon": 181 }),
            json!({ "lat": "north", "lon": 1 }),
            json!({ "lat": null, "lon": 1 }),
            json!({ "lat": "NaN", "lon": "inf" }),
            json!({ "location": "home" }),
            json!({ "gps": { "gps": { "gps": { "gps": { "lat": 1, "lon": 1 } } } } }),
        ] {
            assert_eq!(read(&value), None, "{value}");
        }
        for text in [&b""[..], b"4.6,-74", b"{", b"\xff", b"{\"lat\":1,\"lon\":1"] {
            assert_eq!(position(text, now()), None);
        }
    }

    #[test]
    fn times_in_their_forms() {
        let at = |value: Value| read(&json!({ "lat": 1, "lon": 1, "time": value })).unwrap().at;
        let five_to: Timestamp = "2026-03-01T11:55:00Z".parse().unwrap();
        for value in [
            json!(1_772_366_100),
            json!(1_772_366_100_000_i64),
            json!("1772366100"),
            json!("2026-03-01T11:55:00Z"),
            json!("2026-03-01T12:55:00+01:00"),
            json!("2026-03-01 11:55:00"),
            json!("2026-03-01T11:55:00"),
        ] {
            assert_eq!(at(value.clone()), five_to, "{value}");
        }
        assert_eq!(at(json!("2026-03-01")), "2026-03-01T00:00:00Z".parse().unwrap());
        // Nothing said, nothing readable, a clock that was never set, a clock that runs ahead: the time of receipt.
        for value in [json!(null), json!("yesterday"), json!(0), json!("1980-01-06T00:00:00Z"), json!("2027-01-01T00:00:00Z"), json!(1e300)]
        {
            assert_eq!(at(value.clone()), now(), "{value}");
        }
    }

    #[test]
    fn alerts_and_warnings() {
        let it = read(&json!({ "lat": 1, "lon": 1, "alerts": ["SpeedLimit", "", 7], "warnings": "LowBattery", "alarm": "SOS" })).unwrap();
        assert_eq!((it.alerts, it.warnings), (vec!["SpeedLimit".to_owned(), "SOSButton".to_owned()], vec!["LowBattery".to_owned()]));
    }

    proptest! {
        #[test]
        fn whatever_comes_a_position_is_on_the_globe_and_not_in_the_future(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(position(&payload, now()).is_none_or(|p| sane(&p)));
        }

        #[test]
        fn whatever_the_numbers(lat in any::<f64>(), lon in any::<f64>(), time in any::<f64>(), speed in any::<f64>(), course in any::<f64>(), battery in any::<f64>()) {
            let value = json!({ "lat": lat, "lon": lon, "time": time, "speed": speed, "course": course, "battery": battery });
            let found = read(&value);
            prop_assert_eq!(found.is_some(), (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon));
            prop_assert!(found.is_none_or(|p| sane(&p)));
        }

        #[test]
        fn what_is_on_the_globe_is_read_back(lat in -90.0..=90.0f64, lon in -180.0..=180.0f64, second in EPOCH..1_772_366_400, as_text in any::<bool>()) {
            let show = |v: f64| if as_text { json!(v.to_string()) } else { json!(v) };
            let it = read(&json!({ "Latitude": show(lat), "LONG": show(lon), "ts": second })).unwrap();
            // JSON's numbers are read to the last bit but one.
            prop_assert!((it.latitude - lat).abs() < 1e-9 && (it.longitude - lon).abs() < 1e-9);
            prop_assert_eq!(it.at.as_second(), second);
        }

        #[test]
        fn any_text_is_a_moment_or_none(text in ".{0,70}") {
            let _ = moment(&text);
        }
    }

    fn sane(p: &Position) -> bool {
        (-90.0..=90.0).contains(&p.latitude)
            && (-180.0..=180.0).contains(&p.longitude)
            && p.at <= now() + AHEAD
            && p.speed.is_none_or(|v| v.is_finite() && v >= 0.0)
            && p.course.is_none_or(|v| (0.0..360.0).contains(&v))
            && p.battery.is_none_or(|v| (0.0..=100.0).contains(&v))
    }
}
