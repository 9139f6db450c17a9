//! What topics mean: each dialect brings a [`TopicMap`], the broker's host asks the ordered list of them, [`Topics`].
//!
//! Pure: nothing here looks anything up or remembers anything.

use model::{Message, Thing};

use crate::Command;

/// More maps than there are dialects; a form has three bits for each.
const FORMS: u32 = 10;

/// A dialect's topics: data and functions.
#[derive(Clone, Copy, Debug)]
pub struct TopicMap {
    /// The dialect's name.
    pub dialect: &'static str,
    /// May this thing publish here, and what does it mean?
    pub publish: fn(&Thing, topic: &str) -> Option<Publish>,
    /// May this thing subscribe to this filter?
    pub subscribe: fn(&Thing, filter: &str) -> bool,
    /// The topic on which the thing receives outbound messages.
    pub inbox: fn(&Thing) -> String,
    /// The payload as that dialect's devices expect it.
    pub outgoing: fn(&Thing, &Message) -> Vec<u8>,
    /// A back end (user or client) that publishes here sends to the thing of this name or key.
    pub target: fn(topic: &str) -> Option<String>,
    /// By which of the two the topics call a thing.
    pub handle: Handle,
    /// The topic of each channel, where they differ; none for a channel that is not delivered. Absent: all on the inbox topic.
    pub channels: Option<fn(&Thing, Channel) -> Option<String>>,
}

/// What sort of outbound message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Anything but a [`Command`](crate::Command).
    Plain,
    /// A configuration to take over.
    Configuration,
    /// An action to carry out.
    Action,
}

/// How topics call a thing; both are unique in the tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// By its name.
    Name,
    /// By its key.
    Key,
}

/// What a thing's publication means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Publish {
    /// A message of the thing.
    Message,
    /// A message of the thing that also proves its set-up: marks it verified.
    Test,
    /// A message of the thing that holds values: `{"type": "attributes" | "configuration", "value": {…}}`, of the thing or, with `deviceId`
    /// or `alias`, of one behind it; `time` says when.
    Values,
    /// A message of the thing that holds an event: `{"type": "<name>", "value": …}`, with `deviceId`, `alias` as above; `createdAt` says when.
    Event,
    /// For whoever subscribes now; journaled for delivery, but neither history nor counted.
    Local,
}

impl Channel {
    const ALL: [Self; 3] = [Self::Plain, Self::Configuration, Self::Action];

    fn index(self) -> u32 {
        match self {
            Self::Plain => 0,
            Self::Configuration => 1,
            Self::Action => 2,
        }
    }
}

impl TopicMap {
    /// The topic on which the thing receives messages of this channel.
    fn topic(&self, thing: &Thing, channel: Channel) -> Option<String> {
        match self.channels {
            Some(channels) => channels(thing, channel),
            None => Some((self.inbox)(thing)),
        }
    }
}

/// Which maps and channels an inbox is read in: three bits for each map of [`Topics`], in order, carried through the broker, which
/// joins those of several subscriptions by OR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Form(pub u32);

/// What a granted subscription opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// The thing's inbox, in this form, if the filter matches its inbox topic.
    pub inbox: Option<Form>,
}

/// The thing a back end's publication goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The dialect that knows the topic.
    pub form: Form,
    /// The thing's name, or its key.
    pub name: String,
    /// Which of the two.
    pub handle: Handle,
}

/// The maps of all dialects that are switched on, in order of precedence.
#[derive(Clone, Debug, Default)]
pub struct Topics {
    maps: Vec<TopicMap>,
}

impl Topics {
    /// The list, of ten at most; of two maps that both know a topic, the earlier one speaks.
    #[must_use]
    pub fn new(maps: Vec<TopicMap>) -> Self {
        Self { maps }
    }

    /// Is this dialect's map among them?
    #[must_use]
    pub fn has(&self, dialect: &str) -> bool {
        self.maps.iter().any(|map| map.dialect == dialect)
    }

    /// May this thing publish here, and what does it mean? None: no.
    #[must_use]
    pub fn publish(&self, thing: &Thing, topic: &str) -> Option<Publish> {
        self.maps.iter().find_map(|map| (map.publish)(thing, topic))
    }

    /// May this thing subscribe to this filter, and does that open its inbox? None: no.
    #[must_use]
    pub fn subscribe(&self, thing: &Thing, filter: &str) -> Option<Subscribed> {
        let mut allowed = None;
        for (form, map) in self.forms() {
            if !(map.subscribe)(thing, filter) {
                continue;
            }
            let opens = |channel: &Channel| map.topic(thing, *channel).is_some_and(|topic| matches(filter, &topic));
            let channels = Channel::ALL.iter().filter(|channel| opens(channel)).fold(0, |bits, channel| bits | form.bit(*channel));
            if channels != 0 {
                return Some(Subscribed { inbox: Some(Form(channels)) });
            }
            allowed = Some(Subscribed { inbox: None });
        }
        allowed
    }

    /// An outbound message as topic and payload in the first form that takes it. None: there is none, the message stays where it is.
    #[must_use]
    pub fn outgoing(&self, form: Form, thing: &Thing, message: &Message) -> Option<(String, Vec<u8>)> {
        let channel = Command::channel(&message.topic);
        let (_, map) = self.forms().find(|(all, _)| form.0 & all.bit(channel) != 0)?;
        Some((map.topic(thing, channel)?, (map.outgoing)(thing, message)))
    }

    /// The thing a back end sends to when it publishes here. None: the topic is no inbox in any dialect.
    #[must_use]
    pub fn target(&self, topic: &str) -> Option<Target> {
        self.forms().find_map(|(form, map)| (map.target)(topic).map(|name| Target { form, name, handle: map.handle }))
    }

    fn forms(&self) -> impl Iterator<Item = (Form, &TopicMap)> {
        (0..FORMS).zip(&self.maps).map(|(i, map)| (Form(0b111 << (3 * i)), map))
    }
}

impl Form {
    /// The bit of one channel of the map of whose bits this is all three.
    fn bit(self, channel: Channel) -> u32 {
        (self.0 & self.0.wrapping_neg()) << channel.index()
    }
}

/// Does the filter match the topic (MQTT 3.1.1, section 4.7)? A leading `$` is matched by no wildcard.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut filter = filter.split('/');
    let mut topic = topic.split('/');
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) => return true,
            (Some("+"), Some(_)) => {}
            (Some(f), Some(t)) if f == t => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::{Direction, MessageId, MessageStatus, TenantId, ThingId, ThingStatus, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn thing(name: &str) -> Thing {
        Thing {
            id: ThingId(uuid::Uuid::from_u128(1)),
            tenant: TenantId(uuid::Uuid::from_u128(2)),
            key: "k".into(),
            name: name.into(),
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

    fn message(payload: &str) -> Message {
        Message {
            id: MessageId(uuid::Uuid::from_u128(3)),
            tenant: TenantId(uuid::Uuid::from_u128(2)),
            thing: ThingId(uuid::Uuid::from_u128(1)),
            direction: Direction::Outbound,
            at: Timestamp::UNIX_EPOCH,
            topic: String::new(),
            payload: payload.into(),
            expires: None,
            status: MessageStatus::Queued,
        }
    }

    const FIRST: Form = Form(0b111);
    const SECOND: Form = Form(0b111 << 3);
    const WRAPPED: TopicMap = TopicMap {
        dialect: "wrapped",
        publish: |thing, topic| match topic {
            "test" => Some(Publish::Test),
            _ if topic.strip_prefix("out/") == Some(&thing.name) => Some(Publish::Message),
            _ if topic.strip_prefix("loop/") == Some(&thing.name) => Some(Publish::Local),
            _ => None,
        },
        subscribe: |thing, filter| filter == format!("in/{}", thing.name) || filter == format!("loop/{}", thing.name),
        inbox: |thing| format!("in/{}", thing.name),
        outgoing: |_, message| [b"<", message.payload.as_slice(), b">"].concat(),
        target: |topic| topic.strip_prefix("in/").filter(|n| !n.is_empty() && !n.contains('/')).map(str::to_owned),
        handle: Handle::Name,
        channels: None,
    };
    const BARE: TopicMap = TopicMap {
        dialect: "bare",
        publish: |_, topic| topic.starts_with("t/").then_some(Publish::Message),
        subscribe: |thing, filter| filter == "t/#" || filter == format!("commands/{}/#", thing.name),
        inbox: |thing| format!("commands/{}/in", thing.name),
        outgoing: |_, message| message.payload.clone(),
        target: |topic| topic.strip_prefix("commands/").and_then(|rest| rest.strip_suffix("/in")).map(str::to_owned),
        handle: Handle::Key,
        channels: None,
    };

    #[test]
    fn a_thing_publishes_where_some_dialect_lets_it() {
        let topics = Topics::new(vec![WRAPPED, BARE]);
        let thing = thing("lamp");
        assert_eq!(topics.publish(&thing, "test"), Some(Publish::Test));
        assert_eq!(topics.publish(&thing, "out/lamp"), Some(Publish::Message));
        assert_eq!(topics.publish(&thing, "loop/lamp"), Some(Publish::Local));
        assert_eq!(topics.publish(&thing, "t/1"), Some(Publish::Message));
        assert_eq!(topics.publish(&thing, "out/other"), None);
        assert_eq!(Topics::default().publish(&thing, "test"), None);
    }

    #[test]
    fn a_filter_over_the_inbox_topic_opens_the_inbox_in_its_form() {
        let topics = Topics::new(vec![WRAPPED, BARE]);
        let thing = thing("lamp");
        assert_eq!(topics.subscribe(&thing, "in/lamp"), Some(Subscribed { inbox: Some(FIRST) }));
        assert_eq!(topics.subscribe(&thing, "commands/lamp/#"), Some(Subscribed { inbox: Some(SECOND) }));
        assert_eq!(topics.subscribe(&thing, "loop/lamp"), Some(Subscribed { inbox: None }));
        assert_eq!(topics.subscribe(&thing, "t/#"), Some(Subscribed { inbox: None }));
        for refused in ["in/other", "commands/other/#", "#", "in/+", "commands/+/in"] {
            assert_eq!(topics.subscribe(&thing, refused), None, "{refused}");
        }
    }

    #[test]
    fn an_outgoing_message_takes_the_form_of_its_dialect() {
        let topics = Topics::new(vec![WRAPPED, BARE]);
        let (thing, message) = (thing("lamp"), message("on"));
        assert_eq!(topics.outgoing(FIRST, &thing, &message), Some(("in/lamp".into(), b"<on>".to_vec())));
        assert_eq!(topics.outgoing(SECOND, &thing, &message), Some(("commands/lamp/in".into(), b"on".to_vec())));
        assert_eq!(topics.outgoing(Form(0b111 << 6), &thing, &message), None);
    }

    #[test]
    fn channels_open_one_by_one() {
        const SPLIT: TopicMap = TopicMap {
            dialect: "split",
            publish: |_, _| None,
            subscribe: |_, filter| filter.starts_with("devices/"),
            channels: Some(|_, channel| match channel {
                Channel::Plain => None,
                Channel::Configuration => Some("devices/1/configuration".into()),
                Channel::Action => Some("devices/1/actions".into()),
            }),
            ..BARE
        };
        let topics = Topics::new(vec![WRAPPED, SPLIT]);
        let thing = thing("lamp");
        let open = |filter: &str| topics.subscribe(&thing, filter).and_then(|s| s.inbox).unwrap();
        assert_eq!(open("devices/1/configuration"), Form(0b010 << 3));
        assert_eq!(open("devices/1/#"), Form(0b110 << 3));
        let action = Message { topic: "$action".into(), ..message("{}") };
        assert_eq!(topics.outgoing(open("devices/1/configuration"), &thing, &action), None, "nobody listens to actions");
        let both = Form(open("devices/1/configuration").0 | open("devices/1/actions").0);
        assert_eq!(topics.outgoing(both, &thing, &action).unwrap().0, "devices/1/actions");
        assert_eq!(topics.outgoing(both, &thing, &message("plain")), None);
        assert_eq!(topics.outgoing(FIRST, &thing, &action).unwrap(), ("in/lamp".into(), b"<{}>".to_vec()));
    }

    #[test]
    fn a_back_end_publishes_to_a_things_inbox() {
        let topics = Topics::new(vec![WRAPPED, BARE]);
        assert_eq!(topics.target("in/lamp"), Some(Target { form: FIRST, name: "lamp".into(), handle: Handle::Name }));
        assert_eq!(topics.target("commands/lamp/in"), Some(Target { form: SECOND, name: "lamp".into(), handle: Handle::Key }));
        assert_eq!(topics.target("in/"), None);
        assert_eq!(topics.target("elsewhere"), None);
    }

    #[test]
    fn filters() {
        for (filter, topic) in [("a/b", "a/b"), ("a/+", "a/b"), ("#", "a/b"), ("a/#", "a"), ("a/#", "a/b/c"), ("+/+", "/b"), ("a/+", "a/")]
        {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [("a", "a/b"), ("a/b", "a"), ("a/+", "a"), ("+", "a/b"), ("#", "$SYS/x"), ("+/x", "$SYS/x"), ("A", "a")] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }

    proptest! {
        #[test]
        fn a_topic_matches_itself_and_its_wildcards(topic in "[a-c]{0,2}(/[a-c]{0,2}){0,4}", level in 0usize..5) {
            prop_assert!(matches(&topic, &topic));
            prop_assert!(matches("#", &topic));
            let mut levels: Vec<&str> = topic.split('/').collect();
            let at = level % levels.len();
            levels[at] = "+";
            prop_assert!(matches(&levels.join("/"), &topic));
            levels.truncate(at);
            levels.push("#");
            prop_assert!(matches(&levels.join("/"), &topic));
        }
    }
}
