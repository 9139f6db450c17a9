//! Topics of MQTT trackers.
//!
//! | topic | a thing may | meaning |
//! |---|---|---|
//! | `positions/{key}` | publish | where it is: a JSON object with latitude and longitude |
//! | `commands/{key}` | subscribe | commands arrive here, byte for byte |
//!
//! Any other topic the thing may publish on does as well: a position is told by what the message says, not by where it came in.

use model::Thing;
use things::{Handle, Publish, TopicMap};

/// The dialect's topics.
pub static TOPICS: TopicMap = TopicMap {
    dialect: "flotas-control",
    publish,
    subscribe,
    inbox,
    outgoing: |_, message| message.payload.clone(),
    target,
    handle: Handle::Key,
    channels: None,
};

const POSITIONS: &str = "positions/";
const COMMANDS: &str = "commands/";

fn publish(thing: &Thing, topic: &str) -> Option<Publish> {
    (!thing.key.is_empty() && topic.strip_prefix(POSITIONS) == Some(thing.key.as_str())).then_some(Publish::Message)
}

fn subscribe(thing: &Thing, filter: &str) -> bool {
    !thing.key.is_empty() && filter.strip_prefix(COMMANDS) == Some(thing.key.as_str())
}

fn inbox(thing: &Thing) -> String {
    format!("{COMMANDS}{}", thing.key)
}

fn target(topic: &str) -> Option<String> {
    topic.strip_prefix(COMMANDS).filter(|key| !key.is_empty() && !key.contains('/')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use model::ThingStatus;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_tracker_keeps_to_its_own_key() {
        let tracker = Thing {
            id: Uuid::from_u128(1).into(),
            tenant: Uuid::from_u128(2).into(),
            key: "356938035643809".to_owned(),
            name: "truck".to_owned(),
            kind: String::new(),
            distribution: String::new(),
            tags: Vec::new(),
            attributes: BTreeMap::new(),
            status: ThingStatus::Created,
            owner: None,
            created: Timestamp::UNIX_EPOCH,
            updated: Timestamp::UNIX_EPOCH,
        };
        assert_eq!((TOPICS.publish)(&tracker, "positions/356938035643809"), Some(Publish::Message));
        for bad in
            ["positions/truck", "positions/", "positions/356938035643809/x", "positions/3569380356438099", "commands/356938035643809"]
        {
            assert_eq!((TOPICS.publish)(&tracker, bad), None, "{bad}");
        }
        assert!((TOPICS.subscribe)(&tracker, "commands/356938035643809"));
        for bad in ["commands/+", "commands/#", "#", "commands/truck", "positions/356938035643809"] {
            assert!(!(TOPICS.subscribe)(&tracker, bad), "{bad}");
        }
        assert_eq!((TOPICS.target)(&(TOPICS.inbox)(&tracker)).as_deref(), Some("356938035643809"));
        let nobody = Thing { key: String::new(), ..tracker };
        assert!((TOPICS.publish)(&nobody, "positions/").is_none() && !(TOPICS.subscribe)(&nobody, "commands/"));
    }
}
