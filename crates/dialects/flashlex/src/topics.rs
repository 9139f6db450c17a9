//! Topics: what a thing may do with them, and what a message looks like when it gets there.
//!
//! | topic | a thing may | meaning |
//! |---|---|---|
//! | `ingress/{name}` | publish, subscribe | its inbox: messages to the thing arrive here |
//! | `egress/{name}` | publish, subscribe | a message from the thing, stored like a collect |
//! | `pubsub/{name}` | publish, subscribe | loops back to whoever subscribes, the thing itself as a rule |
//! | `flashlex/collect` | publish | a message from the thing, stored like a collect |
//! | `flashlex/test` | publish | the thing's set-up works: it counts as verified |

use model::{Message, Thing};
use serde::Serialize;
use serde_json::value::RawValue;
use things::{Handle, Publish, TopicMap};
use uuid::Uuid;

use crate::payload;

/// The dialect's topics.
pub static TOPICS: TopicMap =
    TopicMap { dialect: "flashlex", publish, subscribe, inbox, outgoing, target, handle: Handle::Name, channels: None };

const TEST: &str = "flashlex/test";
const COLLECT: &str = "flashlex/collect";

/// The first level of a topic of this very thing.
fn own<'a>(thing: &Thing, topic: &'a str) -> Option<&'a str> {
    topic.split_once('/').and_then(|(root, name)| (name == thing.name).then_some(root))
}

fn publish(thing: &Thing, topic: &str) -> Option<Publish> {
    match topic {
        TEST => Some(Publish::Test),
        COLLECT => Some(Publish::Message),
        _ => match own(thing, topic)? {
            "egress" => Some(Publish::Message),
            "ingress" | "pubsub" => Some(Publish::Local),
            _ => None,
        },
    }
}

fn subscribe(thing: &Thing, filter: &str) -> bool {
    matches!(own(thing, filter), Some("ingress" | "egress" | "pubsub"))
}

fn inbox(thing: &Thing) -> String {
    format!("ingress/{}", thing.name)
}

fn target(topic: &str) -> Option<String> {
    topic.strip_prefix("ingress/").filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned)
}

/// What a device receives. Clients read `message` only; the id is beside it, so that they can tell a repetition.
#[derive(Serialize)]
struct Delivery {
    message: Box<RawValue>,
    flmessagespk: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

fn outgoing(_: &Thing, message: &Message) -> Vec<u8> {
    let rendered = payload::render(&message.payload);
    let delivery = Delivery { message: rendered.json, flmessagespk: message.id.uuid(), encoding: rendered.base64.then_some("base64") };
    // Serializing these three can't fail; if it did, valid JSON would still go out.
    serde_json::to_vec(&delivery).unwrap_or_else(|_| br#"{"message":null}"#.to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Direction, MessageId, MessageStatus, TenantId, ThingId, ThingStatus, Timestamp};
    use proptest::prelude::*;
    use uuid::uuid;

    use super::*;

    fn thing() -> Thing {
        Thing {
            id: ThingId(Uuid::from_u128(7)),
            tenant: TenantId(Uuid::nil()),
            key: "k".into(),
            name: "ecd13b11-mything".into(),
            kind: String::new(),
            distribution: String::new(),
            tags: vec![],
            attributes: BTreeMap::new(),
            status: ThingStatus::Created,
            owner: None,
            created: Timestamp::UNIX_EPOCH,
            updated: Timestamp::UNIX_EPOCH,
        }
    }

    fn sent(payload: &[u8]) -> String {
        let message = Message {
            id: MessageId(uuid!("1bdae18a-d97f-48ac-8256-f753de1c032f")),
            tenant: TenantId(Uuid::nil()),
            thing: thing().id,
            direction: Direction::Outbound,
            at: Timestamp::UNIX_EPOCH,
            topic: String::new(),
            payload: payload.to_vec(),
            expires: None,
            status: MessageStatus::Queued,
        };
        String::from_utf8((TOPICS.outgoing)(&thing(), &message)).unwrap()
    }

    #[test]
    fn a_thing_publishes_on_its_own_topics_only() {
        let may = |topic: &str| (TOPICS.publish)(&thing(), topic);
        assert!(matches!(may("flashlex/test"), Some(Publish::Test)));
        assert!(matches!(may("flashlex/collect"), Some(Publish::Message)));
        assert!(matches!(may("egress/ecd13b11-mything"), Some(Publish::Message)));
        assert!(matches!(may("pubsub/ecd13b11-mything"), Some(Publish::Local)));
        assert!(matches!(may("ingress/ecd13b11-mything"), Some(Publish::Local)));
        for other in [
            "egress/ecd13b11-other",
            "egress/",
            "egress",
            "ingress/ecd13b11-mything/x",
            "/egress/ecd13b11-mything",
            "flashlex/other",
            "",
            "$SYS/x",
        ] {
            assert!(may(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_thing_subscribes_to_its_own_topics_only() {
        let may = |filter: &str| (TOPICS.subscribe)(&thing(), filter);
        for good in ["ingress/ecd13b11-mything", "egress/ecd13b11-mything", "pubsub/ecd13b11-mything"] {
            assert!(may(good), "{good}");
        }
        for bad in [
            "#",
            "ingress/#",
            "ingress/+",
            "+/ecd13b11-mything",
            "ingress/ecd13b11-other",
            "flashlex/test",
            "flashlex/collect",
            "ingress/ecd13b11-mything/#",
        ] {
            assert!(!may(bad), "{bad}");
        }
        assert_eq!((TOPICS.inbox)(&thing()), "ingress/ecd13b11-mything");
    }

    #[test]
    fn a_back_end_reaches_a_thing_by_its_inbox_topic() {
        assert_eq!((TOPICS.target)("ingress/ecd13b11-mything").as_deref(), Some("ecd13b11-mything"));
        for other in ["egress/ecd13b11-mything", "ingress/", "ingress", "ingress/a/b"] {
            assert_eq!((TOPICS.target)(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_sent_arrives_wrapped() {
        let id = "1bdae18a-d97f-48ac-8256-f753de1c032f";
        assert_eq!(sent(br#"{"body": "Clouds"}"#), format!(r#"{{"message":{{"body":"Clouds"}},"flmessagespk":"{id}"}}"#));
        assert_eq!(sent(b"FOO|BAR|This is a message."), format!(r#"{{"message":"FOO|BAR|This is a message.","flmessagespk":"{id}"}}"#));
        assert_eq!(sent(&[0xff]), format!(r#"{{"message":"/w==","flmessagespk":"{id}","encoding":"base64"}}"#));
    }

    proptest! {
        #[test]
        fn a_device_never_gets_anything_but_a_json_object_with_a_message(payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            let value: serde_json::Value = serde_json::from_str(&sent(&payload)).unwrap();
            prop_assert!(value.get("message").is_some());
        }
    }
}
