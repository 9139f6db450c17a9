//! Devices: things, as a fleet sees them, with what they reported (contracts/flotas-control.md 3.2 to 3.6).

use std::collections::BTreeMap;

use model::{Error, PageRequest, Result, Thing, Timestamp};
use serde::{Deserialize, Serialize};
use things::ThingFilter;

use crate::Shared;
use crate::alerts::{Alert, Wanted};
use crate::asking::Asking;
use crate::location::Location;
use crate::reply::Reply;
use crate::wire::{self, named};

#[derive(Debug, Serialize)]
struct Device {
    id: String,
    name: String,
    description: String,
    /// Mobile identity number: the phone number of its SIM.
    min: String,
    tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

const DESCRIPTION: &str = "description";
const MIN: &str = "min";
const EXPIRES: &str = "expires";

/// When the device's licence ends: its attribute `expires`, if that is a time.
fn expires(thing: &Thing) -> Option<Timestamp> {
    things::moment(thing.attributes.get(EXPIRES)?)
}

impl From<Thing> for Device {
    fn from(thing: Thing) -> Self {
        let expires = expires(&thing).map(wire::time);
        let mut attributes = thing.attributes;
        let mut take = |name: &str| attributes.remove(name).unwrap_or_default();
        let (description, min) = (take(DESCRIPTION), take(MIN));
        attributes.remove(EXPIRES);
        let labels = thing.tags.into_iter().map(|tag| match tag.split_once('=') {
            Some((name, value)) if !name.is_empty() => (name.to_owned(), value.to_owned()),
            _ => (tag, "true".to_owned()),
        });
        let mut tags: BTreeMap<String, String> = labels.collect();
        tags.extend(attributes);
        Self { id: thing.key, name: thing.name, description, min, tags, expires }
    }
}

/// Active ones: those whose licence has not ended.
pub(crate) async fn list(app: &Shared, asking: &Asking) -> Result<Reply> {
    let now = app.identity.clock().now();
    let mut devices = Vec::new();
    let mut page = PageRequest::max();
    loop {
        let things = app.things.things(&asking.caller, &ThingFilter::default(), &page).await?;
        devices.extend(things.items.into_iter().filter(|thing| expires(thing).is_none_or(|end| end > now)).map(Device::from));
        match things.next {
            Some(next) => page.cursor = Some(next),
            None => return Ok(Reply::ok(&named("devices", devices))),
        }
    }
}

pub(crate) async fn one(app: &Shared, asking: &Asking, id: &str) -> Result<Reply> {
    let thing = app.things.thing(&asking.caller, id).await?;
    Ok(Reply::ok(&named("device", Device::from(thing))))
}

pub(crate) async fn last_location(app: &Shared, asking: &Asking, id: &str) -> Result<Reply> {
    let position = app.things.last_position(&asking.caller, id).await?;
    Ok(Reply::ok(&named("lastLocation", position.map(Location::from))))
}

/// A range; what else the platform's page shows in the body (`location`) is not looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    alert_name: Option<String>,
}

impl Range {
    fn read(body: &[u8]) -> Result<(Timestamp, Timestamp, Wanted)> {
        let range: Self = edge::json(body)?;
        let time = |field: &'static str, text: Option<&str>| match text.map(str::trim) {
            None | Some("") => Err(Error::invalid(field, "is required")),
            Some(text) => wire::moment(field, text),
        };
        let wanted = Wanted::of(range.alert_name.as_deref());
        if range.alert_name.is_some_and(|name| name.len() > 128) {
            return Err(Error::invalid("alertName", "must have at most 128 bytes"));
        }
        Ok((time("from", range.from.as_deref())?, time("to", range.to.as_deref())?, wanted))
    }
}

pub(crate) async fn locations(app: &Shared, asking: &Asking, id: &str, body: &[u8]) -> Result<Reply> {
    let (from, to, _) = Range::read(body)?;
    let positions = app.things.positions(&asking.caller, id, from, to, |_| true).await?;
    Ok(Reply::ok(&named("locations", positions.into_iter().map(Location::from).collect::<Vec<_>>())))
}

pub(crate) async fn alerts(app: &Shared, asking: &Asking, id: &str, body: &[u8]) -> Result<Reply> {
    let (from, to, wanted) = Range::read(body)?;
    let positions = app.things.positions(&asking.caller, id, from, to, |position| wanted.is(position)).await?;
    Ok(Reply::ok(&named("alerts", positions.into_iter().map(Alert::from).collect::<Vec<_>>())))
}
