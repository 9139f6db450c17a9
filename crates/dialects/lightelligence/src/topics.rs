//! Topics over MQTT: devices publish to `data-ingest` and `event-ingest`, commands come on `devices/{id}/…`.

use model::{Message, Thing};
use serde_json::json;
use things::{Channel, Command, Handle, Publish, TopicMap};

/// The topic of values.
pub(crate) const DATA: &str = "data-ingest";
/// The topic of events.
pub(crate) const EVENT: &str = "event-ingest";

/// The dialect's topics. Plain messages of other faces are not delivered here: a device would not know what to make of them.
pub static TOPICS: TopicMap = TopicMap {
    dialect: "lightelligence",
    publish,
    subscribe,
    inbox: |thing| format!("devices/{}/configuration", thing.id),
    outgoing,
    target: |_| None,
    handle: Handle::Key,
    channels: Some(channel),
};

fn publish(_: &Thing, topic: &str) -> Option<Publish> {
    match topic {
        DATA => Some(Publish::Values),
        EVENT => Some(Publish::Event),
        _ => None,
    }
}

fn subscribe(thing: &Thing, filter: &str) -> bool {
    let rest = filter.strip_prefix("devices/").and_then(|rest| rest.strip_prefix(&thing.id.to_string()));
    matches!(rest, Some("/configuration" | "/actions" | "/+" | "/#"))
}

fn channel(thing: &Thing, channel: Channel) -> Option<String> {
    match channel {
        Channel::Plain => None,
        Channel::Configuration => Some(format!("devices/{}/configuration", thing.id)),
        Channel::Action => Some(format!("devices/{}/actions", thing.id)),
    }
}

fn outgoing(_: &Thing, message: &Message) -> Vec<u8> {
    let said = match Command::read(message) {
        Some(Command::Configuration { thing, aliases, configuration }) => {
            json!({ "deviceId": thing, "aliases": aliases, "configuration": configuration })
        }
        Some(Command::Action { thing, aliases, id, action }) => {
            json!({ "deviceId": thing, "aliases": aliases, "actionId": id, "action": action.name, "payload": action.payload })
        }
        None => return message.payload.clone(),
    };
    said.to_string().into_bytes()
}
