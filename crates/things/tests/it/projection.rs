//! What messages leave behind: state, points, events, diagnostics — once, in bounds, and only of whom they may speak.

use std::time::Duration;

use bytes::Bytes;
use journal::Durability;
use model::{Caller, Event, EventId, Fact, FactKind, PlanName, Presence, Selector, Thing, Timestamp, Value};
use serde_json::json;
use things::{Aggregate, Aggregation, Channel, Frame, Handle, Incoming, NewDevice, PointValue, Publish, Reading, TopicMap, Topics};
use uuid::Uuid;

use crate::devices::{ALL, device, lamp, object};
use crate::house::{House, inbound};

/// As the Lightelligence face has them.
const MAP: TopicMap = TopicMap {
    dialect: "test",
    publish: |_, topic| match topic {
        "data-ingest" => Some(Publish::Values),
        "event-ingest" => Some(Publish::Event),
        _ => None,
    },
    subscribe: |_, _| false,
    inbox: |_| String::new(),
    outgoing: |_, message| message.payload.clone(),
    target: |_| None,
    handle: Handle::Key,
    channels: Some(|_: &Thing, _: Channel| None),
};

struct Worker {
    position: u64,
}

impl Worker {
    fn new(house: &House) -> Self {
        house.things.know_topics(Topics::new(vec![MAP]));
        Self { position: 0 }
    }

    /// Everything new is read and written down, in one transaction.
    async fn run(&mut self, house: &House) -> Vec<Reading> {
        let mut readings = Vec::new();
        for record in house.things.scan(self.position, 1_000).await.unwrap() {
            self.position = record.seq.0;
            readings.push(house.things.read(&record).await.unwrap());
        }
        apply(house, &readings).await;
        readings
    }
}

async fn apply(house: &House, readings: &[Reading]) {
    let mut tx = house.db.begin().await.unwrap();
    house.things.apply(&mut tx, readings).await.unwrap();
    tx.commit().await.unwrap();
}

async fn say(house: &House, thing: &Thing, topic: &'static str, payload: Value) {
    let incoming = Incoming { topic: Bytes::from_static(topic.as_bytes()), ..inbound(thing.id, &payload.to_string()) };
    let message = house.things.accept(&house.as_thing(thing), incoming).unwrap();
    let ticket = house.journal.append(message, Durability::Flush).unwrap();
    house.journal.durable(ticket.seq).await.unwrap();
}

const TEMPERATURE: &str = "$.attributes.temperature";

async fn points(house: &House, owner: &Caller, id: &str, path: &str) -> Vec<PointValue> {
    house.things.last_points(owner, id, path, None, 100).await.unwrap().into_iter().map(|p| p.value).collect()
}

async fn diagnostics(house: &House, owner: &Caller, id: &str) -> Vec<String> {
    house.things.last_diagnostics(owner, id).await.unwrap().into_iter().map(|d| d.text).collect()
}

async fn messages_become_state_points_and_events(house: House) {
    let mut worker = Worker::new(&house);
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let lamp = lamp(&house, &owner).await;
    let bulb = device(&house, &owner, "Bulb", &lamp).await.thing;
    let id = bulb.id.to_string();
    let state = house.things.state_of_device(&owner, &id).await.unwrap();
    assert_eq!((state.presence, state.last_seen, state.attributes.len()), (Presence::Offline, None, 0));

    say(&house, &bulb, "data-ingest", json!({ "type": "attributes", "value": { "temperature": 20, "name": "a" } })).await;
    house.advance(Duration::from_secs(1));
    say(&house, &bulb, "data-ingest", json!({ "type": "attributes", "value": { "temperature": 21.5 } })).await;
    say(&house, &bulb, "data-ingest", json!({ "type": "configuration", "value": { "color": { "r": 1 } } })).await;
    say(&house, &bulb, "event-ingest", json!({ "type": "overheated", "value": { "t": 90 } })).await;
    let readings = worker.run(&house).await;
    assert_eq!(readings.len(), 4);
    let state = house.things.state_of_device(&owner, &id).await.unwrap();
    assert_eq!(state.attributes, object(json!({ "temperature": 21.5, "name": "a" })), "newer values overwrite, key by key");
    assert_eq!(state.configuration, object(json!({ "color": { "r": 1 } })));
    assert_eq!((state.presence, state.last_seen), (Presence::Online, Some(house.clock.now())));
    assert_eq!(points(&house, &owner, &id, TEMPERATURE).await, [PointValue::Number(21.5), PointValue::Number(20.0)]);
    assert_eq!(points(&house, &owner, &id, "$.attributes.name").await, [], "no rule keeps it");
    let events = house.things.last_events(&owner, &id, &[]).await.unwrap();
    assert_eq!((events.len(), events[0].1.name.as_str(), &events[0].1.value), (1, "overheated", &json!({ "t": 90 })));
    assert_eq!(house.things.last_events(&owner, &id, &["alert".into()]).await.unwrap(), []);
    assert_eq!(diagnostics(&house, &owner, &id).await, [] as [String; 0]);

    // The same again changes nothing.
    apply(&house, &readings).await;
    assert_eq!(points(&house, &owner, &id, TEMPERATURE).await.len(), 2);
    assert_eq!(house.things.last_events(&owner, &id, &["overheated".into(), "overheated".into()]).await.unwrap(), events);

    // Whoever is silent for longer than its interval is offline.
    house.advance(Duration::from_secs(61));
    assert_eq!(house.things.state_of_device(&owner, &id).await.unwrap().presence, Presence::Offline);
    let interval = |s| things::DeviceChange { communication_interval: Some(s), ..things::DeviceChange::default() };
    house.things.update_device(&owner, &id, interval(Some(600))).await.unwrap();
    assert_eq!(house.things.state_of_device(&owner, &id).await.unwrap().presence, Presence::Online);
    house.things.update_device(&owner, &id, interval(Some(0))).await.unwrap();
    let states = house.things.states(&owner, &Selector::default(), ALL).await.unwrap();
    assert_eq!((states.total, states.items[0].presence, states.items[0].thing), (1, Presence::NotMonitored, bulb.id));

    // An hour later nothing is "last" any more; a day later, and when the plan's time is over, it is gone.
    house.advance(Duration::from_hours(1));
    assert_eq!(house.things.last_events(&owner, &id, &[]).await.unwrap(), []);
    house.advance(Duration::from_hours(24));
    house.things.maintain().await.unwrap();
    assert_eq!(points(&house, &owner, &id, TEMPERATURE).await.len(), 2);
    house.advance(Duration::from_hours(366 * 24));
    house.things.maintain().await.unwrap();
    let mut tx = house.db.read().await.unwrap();
    assert_eq!(tx.last_points(bulb.id, TEMPERATURE, Timestamp::UNIX_EPOCH, 10).await.unwrap(), []);
    assert_eq!(tx.thing_events(bulb.id, Timestamp::UNIX_EPOCH, None, 10).await.unwrap(), []);
}

async fn what_is_wrong_is_noted_and_leaves_nothing(house: House) {
    let mut worker = Worker::new(&house);
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let lamp = lamp(&house, &owner).await;
    let bulb = device(&house, &owner, "Bulb", &lamp).await.thing;
    let stranger = device(&house, &owner, "Stranger", &lamp).await.thing;
    let id = bulb.id.to_string();
    let attributes = |value: Value| json!({ "type": "attributes", "value": value });
    for (topic, payload) in [
        ("data-ingest", attributes(json!({ "temperature": "hot" }))),
        ("data-ingest", attributes(json!({ "unknown": 1 }))),
        ("data-ingest", json!({ "type": "attributes" })),
        ("data-ingest", json!([])),
        ("event-ingest", json!({ "type": "unheard_of" })),
        ("event-ingest", json!({ "type": "overheated", "value": 5 })),
        ("data-ingest", json!({ "type": "attributes", "deviceId": stranger.id, "value": { "temperature": 1 } })),
        ("data-ingest", json!({ "type": "attributes", "alias": "nobody", "value": { "temperature": 1 } })),
        ("other", json!({ "temperature": "hot" })),
    ] {
        house.advance(Duration::from_secs(1));
        say(&house, &bulb, topic, payload.clone()).await;
        let readings = worker.run(&house).await;
        assert_eq!((readings[0].facts.len(), readings[0].diagnostics.len()), (0, 1), "{payload}");
        apply(&house, &readings).await;
    }
    let noted = diagnostics(&house, &owner, &id).await;
    assert_eq!(noted.len(), 9);
    assert!(noted.iter().all(|text| text.starts_with("Validation of '")), "{noted:?}");
    assert!(noted.contains(&"Validation of 'deviceId' failed: there is no such device behind the sender.".to_owned()));
    assert!(noted[8].starts_with("Validation of 'temperature' failed: "), "newest first: {}", noted[8]);
    let state = house.things.state_of_device(&owner, &id).await.unwrap();
    assert!(state.attributes.is_empty() && state.last_seen.is_some());
    assert!(points(&house, &owner, &stranger.id.to_string(), TEMPERATURE).await.is_empty());

    house.things.note(owner.tenant, bulb.id, "Device connected");
    house.advance(Duration::from_secs(1));
    house.things.note(owner.tenant, bulb.id, "Device disconnected");
    assert_eq!(diagnostics(&house, &owner, &id).await[..2], ["Device disconnected", "Device connected"]);
    let plain = house.thing(&owner, "dev-1").await;
    house.things.note(owner.tenant, plain.id, "Device connected");
    assert!(diagnostics(&house, &owner, "dev-1").await.is_empty(), "only of devices with a twin");
}

async fn a_gateway_speaks_for_what_is_behind_it(house: House) {
    let mut worker = Worker::new(&house);
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let lamp = lamp(&house, &owner).await;
    let gateway = device(&house, &owner, "Gateway", &lamp).await.thing;
    let new = NewDevice {
        title: "Bulb".into(),
        thing_type: Some(lamp.id),
        connected_by: Some(gateway.id),
        aliases: vec!["front".into()],
        ..NewDevice::default()
    };
    let bulb = house.things.create_device(&owner, new).await.unwrap().thing;
    let id = bulb.id.to_string();
    say(&house, &gateway, "data-ingest", json!({ "type": "attributes", "alias": "front", "value": { "temperature": 1 } })).await;
    say(&house, &gateway, "data-ingest", json!({ "type": "attributes", "deviceId": id, "value": { "temperature": 2 } })).await;
    let event = json!({ "type": "alert", "deviceId": id, "createdAt": "2026-05-01T11:59:00Z" });
    say(&house, &gateway, "event-ingest", event).await;
    // Not the other way round.
    say(&house, &bulb, "data-ingest", json!({ "type": "attributes", "deviceId": gateway.id, "value": { "temperature": 3 } })).await;
    worker.run(&house).await;
    let state = house.things.state_of_device(&owner, &id).await.unwrap();
    assert_eq!((state.attributes, state.presence), (object(json!({ "temperature": 2 })), Presence::Online));
    assert_eq!(points(&house, &owner, &id, TEMPERATURE).await.len(), 2);
    assert!(points(&house, &owner, &gateway.id.to_string(), TEMPERATURE).await.is_empty());
    let events = house.things.last_events(&owner, &id, &[]).await.unwrap();
    assert_eq!(events[0].0, "2026-05-01T11:59:00Z".parse::<Timestamp>().unwrap());
    assert_eq!(diagnostics(&house, &owner, &id).await.len(), 1);
    // Taken from behind the gateway, it is the gateway's no more; so is another alias.
    let alone = things::DeviceChange { connected_by: Some(None), ..things::DeviceChange::default() };
    house.things.update_device(&owner, &id, alone).await.unwrap();
    say(&house, &gateway, "data-ingest", json!({ "type": "attributes", "alias": "front", "value": { "temperature": 9 } })).await;
    worker.run(&house).await;
    assert_eq!(points(&house, &owner, &id, TEMPERATURE).await.len(), 2);
}

async fn things_of_no_type_say_what_they_like(house: House) {
    let mut worker = Worker::new(&house);
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let plain = house.thing(&owner, "dev-1").await;
    assert!(!house.things.projects(owner.tenant).await.unwrap());
    say(&house, &plain, "positions/dev-1", json!({ "speed": 12, "gps": { "fix": true } })).await;
    house.publish(&plain, "no JSON").await.unwrap();
    let readings = worker.run(&house).await;
    let values: Vec<(&str, &Value)> = readings
        .iter()
        .flat_map(|reading| &reading.facts)
        .map(|fact| match &fact.kind {
            FactKind::Value { path, value } => (path.as_str(), value),
            FactKind::Event(event) => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(values, [("$.attributes.gps.fix", &json!(true)), ("$.attributes.speed", &json!(12))]);
    assert!(readings.iter().all(|r| r.heard.is_empty() && r.points.is_empty() && r.reported.is_empty() && r.diagnostics.is_empty()));
    assert!(points(&house, &owner, "dev-1", "$.attributes.speed").await.is_empty());
    assert_eq!(house.things.state_of_device(&owner, "dev-1").await.unwrap().presence, Presence::NotMonitored);

    // With a twin and without a type every scalar is a point.
    let free = house.things.create_device(&owner, NewDevice { title: "Free".into(), ..NewDevice::default() }).await.unwrap().thing;
    assert!(house.things.projects(owner.tenant).await.unwrap());
    say(&house, &free, "any", json!({ "speed": 12, "gps": { "fix": true }, "word": "w" })).await;
    worker.run(&house).await;
    let id = free.id.to_string();
    assert_eq!(points(&house, &owner, &id, "$.attributes.gps.fix").await, [PointValue::Bool(true)]);
    assert_eq!(points(&house, &owner, &id, "$.attributes.word").await, [PointValue::Text("w".into())]);
    assert_eq!(house.things.state_of_device(&owner, &id).await.unwrap().attributes.len(), 3);

    // Somebody else's events are events too, of any thing that is there.
    let raised = |thing: &Thing, n: u128| Reading {
        facts: vec![Fact {
            tenant: owner.tenant,
            thing: thing.id,
            message: model::MessageId(Uuid::nil()),
            at: house.clock.now(),
            kind: FactKind::Event(Event { id: EventId(Uuid::from_u128(n)), name: "fast".into(), value: Value::Null, rule: None }),
        }],
        ..Reading::default()
    };
    house.things.deprovision(&owner, &id).await.unwrap();
    apply(&house, &[raised(&plain, 1), raised(&free, 2)]).await;
    assert_eq!(house.things.last_events(&owner, "dev-1", &[]).await.unwrap().len(), 1);
    let mut tx = house.db.read().await.unwrap();
    assert!(tx.thing_events(free.id, Timestamp::UNIX_EPOCH, None, 10).await.unwrap().is_empty());
    assert!(tx.last_points(free.id, "$.attributes.speed", Timestamp::UNIX_EPOCH, 10).await.unwrap().is_empty(), "gone with the thing");
}

async fn series_are_aggregated_frame_by_frame(house: House) {
    let mut worker = Worker::new(&house);
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let lamp = lamp(&house, &owner).await;
    let bulb = device(&house, &owner, "Bulb", &lamp).await.thing;
    let id = bulb.id.to_string();
    for (time, value) in [("11:00:00", 1.0), ("11:00:59.999", 3.0), ("11:00:30", 8.0), ("11:02:00", 5.0), ("11:05:00", 100.0)] {
        let time = format!("2026-05-01T{time}Z");
        say(&house, &bulb, "data-ingest", json!({ "type": "attributes", "value": { "temperature": value }, "time": time })).await;
    }
    worker.run(&house).await;
    let at = |text: &str| format!("2026-05-01T{text}Z").parse::<Timestamp>().unwrap();
    let what = |by, frame| Aggregate { path: TEMPERATURE.into(), from: at("11:00:00"), to: at("11:05:00"), by, frame };
    for (by, expected) in [
        (Aggregation::Min, [1.0, 5.0]),
        (Aggregation::Max, [8.0, 5.0]),
        (Aggregation::Mean, [4.0, 5.0]),
        (Aggregation::Sum, [12.0, 5.0]),
        (Aggregation::Count, [3.0, 1.0]),
        (Aggregation::First, [1.0, 5.0]),
        (Aggregation::Last, [3.0, 5.0]),
        (Aggregation::Diff, [2.0, 0.0]),
    ] {
        let buckets = house.things.aggregated(&owner, &id, &what(by, Frame::Seconds(60))).await.unwrap();
        let values: Vec<Option<f64>> = buckets.iter().map(|b| b.value).collect();
        assert_eq!(values, [Some(expected[0]), None, Some(expected[1]), None, None], "{by:?}");
        assert_eq!((buckets[0].at, buckets[4].at), (at("11:00:00"), at("11:04:00")));
    }
    let whole = house.things.aggregated(&owner, &id, &what(Aggregation::Diff, Frame::Whole)).await.unwrap();
    assert_eq!((whole.len(), whole[0].value), (1, Some(4.0)), "the end of the range is not in it");
    let mut empty = what(Aggregation::Sum, Frame::Whole);
    empty.path = "$.attributes.none".into();
    assert_eq!(house.things.aggregated(&owner, &id, &empty).await.unwrap()[0].value, None);
    let mut long = what(Aggregation::Sum, Frame::Seconds(60));
    long.to = long.from.checked_add(jiff::SignedDuration::from_mins(4_000)).unwrap();
    assert_eq!(house.things.aggregated(&owner, &id, &long).await.unwrap().len(), 4_000);
    long.to = long.to.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
    for bad in [
        long,
        Aggregate { to: at("11:00:00"), ..what(Aggregation::Sum, Frame::Whole) },
        what(Aggregation::Sum, Frame::Seconds(61)),
        Aggregate { path: "temperature".into(), ..what(Aggregation::Sum, Frame::Whole) },
    ] {
        assert!(matches!(house.things.aggregated(&owner, &id, &bad).await, Err(model::Error::Invalid { .. })), "{bad:?}");
    }
    let newest = house.things.last_points(&owner, &id, TEMPERATURE, Some(at("11:01:00")), 1).await.unwrap();
    assert_eq!((newest.len(), newest[0].at), (1, at("11:05:00")));
    let gone = house.things.delete_points(&owner, &id, TEMPERATURE, Some(at("11:00:30")), Some(at("11:05:00"))).await.unwrap();
    assert_eq!((gone, points(&house, &owner, &id, TEMPERATURE).await.len()), (3, 2));
    assert_eq!(house.things.delete_points(&owner, &id, TEMPERATURE, None, None).await.unwrap(), 2);
}

both! {
    messages_become_state_points_and_events
    what_is_wrong_is_noted_and_leaves_nothing
    a_gateway_speaks_for_what_is_behind_it
    things_of_no_type_say_what_they_like
    series_are_aggregated_frame_by_frame
}
