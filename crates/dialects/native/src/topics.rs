//! This API's own topics: `things/{key}/…` and nothing else.
//!
//! A thing publishes and subscribes only below its own key. What it publishes there is an inbound message, but for its inbox
//! `things/{key}/inbox`, where it receives outbound messages as raw payload and where back ends publish to send to it.

use model::Thing;
use things::{Handle, Publish, TopicMap};

/// The topic space `things/{key}/…`.
pub static TOPICS: TopicMap = TopicMap {
    dialect: "native",
    publish,
    subscribe,
    inbox,
    outgoing: |_, message| message.payload.clone(),
    target,
    handle: Handle::Key,
    channels: None,
};

const ROOT: &str = "things/";
const INBOX: &str = "/inbox";

/// What follows `things/{key}/`, if the topic begins with this thing's key.
fn below<'a>(thing: &Thing, topic: &'a str) -> Option<&'a str> {
    topic.strip_prefix(ROOT)?.strip_prefix(thing.key.as_str())?.strip_prefix('/')
}

fn publish(thing: &Thing, topic: &str) -> Option<Publish> {
    below(thing, topic).filter(|rest| !rest.is_empty() && *rest != "inbox").map(|_| Publish::Message)
}

fn subscribe(thing: &Thing, filter: &str) -> bool {
    // A key holds no wildcard, so whatever follows it matches only below it.
    below(thing, filter).is_some_and(|rest| !rest.is_empty())
}

fn inbox(thing: &Thing) -> String {
    format!("{ROOT}{}{INBOX}", thing.key)
}

fn target(topic: &str) -> Option<String> {
    let key = topic.strip_prefix(ROOT)?.strip_suffix(INBOX)?;
    (!key.is_empty() && !key.contains('/')).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use model::ThingStatus;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn thing(key: &str) -> Thing {
        Thing {
            id: Uuid::from_u128(1).into(),
            tenant: Uuid::from_u128(2).into(),
            key: key.to_owned(),
            name: "truck".to_owned(),
            kind: String::new(),
            distribution: String::new(),
            tags: Vec::new(),
            attributes: BTreeMap::new(),
            status: ThingStatus::Created,
            owner: None,
            created: Timestamp::UNIX_EPOCH,
            updated: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_thing_keeps_to_its_own_key() {
        let dev = thing("dev-1");
        for good in ["things/dev-1/t", "things/dev-1/a/b/c", "things/dev-1/inbox/done"] {
            assert_eq!((TOPICS.publish)(&dev, good), Some(Publish::Message), "{good}");
        }
        for bad in [
            "things/dev-1",
            "things/dev-1/",
            "things/dev-10/t",
            "things/dev-2/t",
            "dev-1/t",
            "things//t",
            "Things/dev-1/t",
            "things/dev-1/inbox",
        ] {
            assert_eq!((TOPICS.publish)(&dev, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_thing_hears_only_below_its_own_key() {
        let dev = thing("dev-1");
        for good in ["things/dev-1/inbox", "things/dev-1/#", "things/dev-1/+", "things/dev-1/+/x"] {
            assert!((TOPICS.subscribe)(&dev, good), "{good}");
        }
        for bad in [
            "#",
            "+/dev-1/inbox",
            "things/#",
            "things/+/inbox",
            "things/dev-1",
            "things/dev-2/inbox",
            "things/dev-10/#",
            "$share/g/things/dev-2/#",
        ] {
            assert!(!(TOPICS.subscribe)(&dev, bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_inbox_leads_back_to_its_thing_and_is_no_other_things(key in "[A-Za-z0-9_:@-]{1,20}", other in "[A-Za-z0-9_:@-]{1,20}") {
            let (dev, stranger) = (thing(&key), thing(&other));
            let topic = (TOPICS.inbox)(&dev);
            prop_assert_eq!((TOPICS.target)(&topic), Some(key.clone()));
            prop_assert!((TOPICS.subscribe)(&dev, &topic));
            prop_assert_eq!((TOPICS.subscribe)(&stranger, &topic), key == other);
            prop_assert_eq!((TOPICS.publish)(&stranger, &format!("things/{key}/t")).is_some(), key == other);
        }
    }
}
