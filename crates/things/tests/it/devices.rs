//! Types and devices: made, listed, changed, told what to do, each tenant for itself.

use model::{
    Caller, Denial, Error, MessageStatus, Object, PageRequest, Permission, Permissions, PlanName, ReportTo, ReportingRule, Role, Selector,
    Slice, ThingType, ThingTypeId, TypeSchema, Value,
};
use serde_json::json;
use things::{Action, Command, Device, DeviceChange, NewDevice, NewType, TypeChange, TypeFilter};
use uuid::Uuid;

use crate::house::House;

pub const ALL: Slice = Slice { offset: 0, limit: 100 };

pub fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

/// A lamp: brightness can be set, temperature is measured and kept, it overheats and can be dimmed.
pub async fn lamp(house: &House, owner: &Caller) -> ThingType {
    let schema: TypeSchema = serde_json::from_value(json!({
        "configuration": { "brightness": { "type": "number", "minimum": 0, "maximum": 100 }, "color": { "type": "object" } },
        "attributes": { "temperature": { "type": "number" }, "name": { "type": "string" } },
        "events": { "overheated": { "type": "object" }, "alert": {} },
        "actions": { "dim": { "type": "object", "properties": { "to": { "type": "number" } }, "required": ["to"] } },
    }))
    .unwrap();
    let reporting = vec![
        ReportingRule { path: "$.attributes.temperature".into(), to: vec![ReportTo::Timeseries] },
        ReportingRule { path: "$.attributes.name".into(), to: vec![ReportTo::DeviceManagement] },
    ];
    let new = NewType {
        name: "Light switch".into(),
        categories: vec!["urn:lamp".into()],
        schema,
        reporting,
        communication_interval: Some(60),
        ..NewType::default()
    };
    house.things.create_type(owner, new).await.unwrap()
}

pub async fn device(house: &House, owner: &Caller, title: &str, of: &ThingType) -> Device {
    let new = NewDevice { title: title.into(), thing_type: Some(of.id), ..NewDevice::default() };
    house.things.create_device(owner, new).await.unwrap()
}

/// Another moment, so that what is made next is newer.
fn later(house: &House) {
    house.advance(std::time::Duration::from_secs(1));
}

async fn types_are_made_listed_and_changed(house: House) {
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let made = lamp(&house, &owner).await;
    assert_eq!(made.schema.actions.get("additionalProperties"), Some(&json!(false)), "the default is written down");
    assert_eq!(house.things.thing_type(&owner, made.id).await.unwrap(), made);
    later(&house);
    let other = NewType { name: "Sensor".into(), categories: vec!["urn:a".into(), "urn:lamp".into()], ..NewType::default() };
    let other = house.things.create_type(&owner, other).await.unwrap();

    let listed = house.things.thing_types(&owner, &TypeFilter::default(), ALL).await.unwrap();
    assert_eq!((listed.total, listed.items.iter().map(|t| t.id).collect::<Vec<_>>()), (2, vec![other.id, made.id]));
    let second = house.things.thing_types(&owner, &TypeFilter::default(), Slice { offset: 1, limit: 1 }).await.unwrap();
    assert_eq!((second.total, second.items[0].id), (2, made.id));
    for (filter, expected) in [
        (TypeFilter { names: vec!["light*".into()], ..TypeFilter::default() }, vec![made.id]),
        (TypeFilter { names: vec!["*s*".into()], categories: vec!["urn:a".into()], ..TypeFilter::default() }, vec![other.id]),
        (TypeFilter { ids: vec![made.id], names: vec!["sensor".into()], ..TypeFilter::default() }, vec![]),
    ] {
        let found = house.things.thing_types(&owner, &filter, ALL).await.unwrap();
        assert_eq!(found.items.iter().map(|t| t.id).collect::<Vec<_>>(), expected, "{filter:?}");
    }
    assert_eq!(house.things.type_categories(&owner).await.unwrap(), ["urn:a", "urn:lamp"]);

    let change = TypeChange {
        description: Some(Some("new".into())),
        communication_interval: Some(None),
        events: Some(object(json!({ "gone": {} }))),
        ..TypeChange::default()
    };
    let changed = house.things.update_type(&owner, made.id, change).await.unwrap();
    assert_eq!((changed.description.as_deref(), changed.communication_interval), (Some("new"), None));
    assert_eq!(changed.schema.attributes, made.schema.attributes, "a section that is not named stays");
    assert_eq!(house.things.thing_type(&owner, made.id).await.unwrap(), changed);

    for bad in [
        NewType { name: " ".into(), ..NewType::default() },
        NewType { name: "x".repeat(256), ..NewType::default() },
        NewType { name: "x".into(), communication_interval: Some(172_801), ..NewType::default() },
        NewType { name: "x".into(), categories: vec![String::new()], ..NewType::default() },
        NewType { name: "x".into(), reporting: vec![ReportingRule { path: "$.events.x".into(), to: vec![] }], ..NewType::default() },
    ] {
        assert!(matches!(house.things.create_type(&owner, bad.clone()).await, Err(Error::Invalid { .. })), "{bad:?}");
    }

    let lamp = device(&house, &owner, "RGB LED", &changed).await;
    assert!(matches!(house.things.delete_type(&owner, made.id).await, Err(Error::Conflict { what: "thing_type", .. })));
    house.things.deprovision(&owner, &lamp.thing.id.to_string()).await.unwrap();
    house.things.delete_type(&owner, made.id).await.unwrap();
    assert!(matches!(house.things.thing_type(&owner, made.id).await, Err(Error::NotFound { .. })));
}

async fn devices_are_found_by_selectors(house: House) {
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let lamp = lamp(&house, &owner).await;
    let gateway = device(&house, &owner, "Gateway North 1", &lamp).await;
    later(&house);
    let bulb = NewDevice {
        title: "RGB LED".into(),
        thing_type: Some(lamp.id),
        connected_by: Some(gateway.thing.id),
        tags: vec!["Room-1".into(), "room-1".into()],
        aliases: vec!["front door".into(), "06-00".into()],
        ..NewDevice::default()
    };
    let bulb = house.things.create_device(&owner, bulb).await.unwrap();
    assert_eq!((bulb.title(), bulb.thing.tags.as_slice()), ("RGB LED", ["room-1".to_owned()].as_slice()));
    later(&house);
    let twin = device(&house, &owner, "RGB LED", &lamp).await;
    later(&house);
    let plain = house.thing(&owner, "dev-1").await;

    assert_eq!(house.things.device(&owner, &bulb.thing.id.to_string()).await.unwrap(), bulb);
    assert_eq!(house.things.device_by_alias(&owner, "06-00").await.unwrap(), bulb);
    assert!(matches!(house.things.device_by_alias(&owner, "nobody").await, Err(Error::NotFound { .. })));
    assert_eq!(house.things.device_tags(&owner).await.unwrap(), ["room-1"]);

    let (g, b, t, p) = (gateway.thing.id, bulb.thing.id, twin.thing.id, plain.id);
    for (selector, expected) in [
        (Selector::default(), vec![p, t, b, g]),
        (Selector { names: vec!["rgb*".into()], ..Selector::default() }, vec![t, b]),
        (Selector { names: vec!["DEV-1".into()], ..Selector::default() }, vec![p]),
        (Selector { tags: vec!["ROOM-*".into()], ..Selector::default() }, vec![b]),
        (Selector { connected_by: vec![g], ..Selector::default() }, vec![b]),
        (Selector { aliases: vec!["front*".into()], ..Selector::default() }, vec![b]),
        (Selector { types: vec![lamp.id], ..Selector::default() }, vec![t, b, g]),
        (Selector { categories: vec!["urn:lamp".into()], names: vec!["*north*".into()], ..Selector::default() }, vec![g]),
        (Selector { type_names: vec!["light*".into()], tags: vec!["none".into()], ..Selector::default() }, vec![]),
        (Selector { things: vec![g, t, p, g], types: vec![lamp.id], ..Selector::default() }, vec![t, g]),
    ] {
        let found = house.things.devices(&owner, &selector, ALL).await.unwrap();
        let ids: Vec<_> = found.items.iter().map(|d| d.thing.id).collect();
        assert_eq!((ids, found.total), (expected.clone(), expected.len() as u64), "{selector:?}");
        let second = house.things.devices(&owner, &selector, Slice { offset: 1, limit: 1 }).await.unwrap();
        assert_eq!(
            second.items.iter().map(|d| d.thing.id).collect::<Vec<_>>(),
            expected.iter().skip(1).take(1).copied().collect::<Vec<_>>()
        );
        assert_eq!(second.total, expected.len() as u64);
    }

    // With the gateway goes what it had to say, not what is behind it.
    house.things.deprovision(&owner, &g.to_string()).await.unwrap();
    assert_eq!(house.things.device(&owner, &b.to_string()).await.unwrap().twin.connected_by, None);
    let subject = house.things.subjects(owner.tenant, &[b, g]).await.unwrap();
    assert_eq!((subject.len(), subject[0].view().connected_by), (1, None));
}

async fn a_device_is_held_to_its_type(house: House) {
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let lamp = lamp(&house, &owner).await;
    let base = NewDevice { title: "RGB LED".into(), thing_type: Some(lamp.id), ..NewDevice::default() };
    let nobody = model::ThingId(Uuid::from_u128(7));
    for (bad, field) in [
        (NewDevice { thing_type: Some(ThingTypeId(Uuid::nil())), ..base.clone() }, "thing_type"),
        (NewDevice { configuration: object(json!({ "brightness": 101 })), ..base.clone() }, "configuration"),
        (NewDevice { configuration: object(json!({ "other": 1 })), ..base.clone() }, "configuration"),
        (NewDevice { tags: vec!["a b".into()], ..base.clone() }, "tags"),
        (NewDevice { title: "x".repeat(256), ..base.clone() }, "name"),
        (NewDevice { aliases: vec!["a".into(), "a".into()], ..base.clone() }, "aliases"),
        (NewDevice { communication_interval: Some(172_801), ..base.clone() }, "communication_interval"),
        (NewDevice { custom: object(json!({ "x": "x".repeat(70_000) })), ..base.clone() }, "custom"),
    ] {
        let error = house.things.create_device(&owner, bad).await.unwrap_err();
        assert!(matches!(&error, Error::Invalid { field: found, .. } if *found == field), "{field}: {error}");
    }
    let behind = NewDevice { connected_by: Some(nobody), ..base.clone() };
    assert!(matches!(house.things.create_device(&owner, behind).await, Err(Error::Conflict { what: "connected_by", .. })));
    let one = house.things.create_device(&owner, NewDevice { aliases: vec!["front".into()], ..base.clone() }).await.unwrap();
    let other = house.things.create_device(&owner, base.clone()).await.unwrap();
    let (one, other) = (one.thing.id, other.thing.id);
    let taken = DeviceChange { aliases: Some(vec!["front".into()]), ..DeviceChange::default() };
    assert!(matches!(
        house.things.update_device(&owner, &other.to_string(), taken.clone()).await,
        Err(Error::Conflict { what: "aliases", .. })
    ));
    house.things.update_device(&owner, &one.to_string(), taken.clone()).await.unwrap();
    // Neither behind itself, nor two behind each other.
    let behind = |id| DeviceChange { connected_by: Some(Some(id)), ..DeviceChange::default() };
    assert!(house.things.update_device(&owner, &one.to_string(), behind(one)).await.is_err());
    house.things.update_device(&owner, &one.to_string(), behind(other)).await.unwrap();
    assert!(house.things.update_device(&owner, &other.to_string(), behind(one)).await.is_err());
    // A type without these settings.
    let bare = house.things.create_type(&owner, NewType { name: "bare".into(), ..NewType::default() }).await.unwrap();
    let set = DeviceChange { configuration: Some(object(json!({ "brightness": 1 }))), ..DeviceChange::default() };
    house.things.update_device(&owner, &one.to_string(), set).await.unwrap();
    let retyped = DeviceChange { thing_type: Some(bare.id), ..DeviceChange::default() };
    assert!(matches!(
        house.things.update_device(&owner, &one.to_string(), retyped).await,
        Err(Error::Invalid { field: "configuration", .. })
    ));
    // The plan counts devices like any other thing.
    let small = house.tenant("small", PlanName::Amber).await;
    house.things.create_device(&small, NewDevice { title: "one".into(), ..NewDevice::default() }).await.unwrap();
    let two = house.things.create_device(&small, NewDevice { title: "two".into(), ..NewDevice::default() }).await;
    assert!(matches!(two, Err(Error::Forbidden(Denial::Quota(_)))));
}

async fn commands_wait_in_the_inbox_of_whoever_takes_them(house: House) {
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let lamp = lamp(&house, &owner).await;
    let gateway = device(&house, &owner, "Gateway", &lamp).await.thing.id;
    let new = NewDevice {
        title: "Bulb".into(),
        thing_type: Some(lamp.id),
        connected_by: Some(gateway),
        aliases: vec!["front".into()],
        configuration: object(json!({ "brightness": 1, "color": { "r": 1, "g": 2 }, "gone": null })),
        ..NewDevice::default()
    };
    let bulb = house.things.create_device(&owner, new).await.unwrap();
    assert_eq!(bulb.twin.configuration, object(json!({ "brightness": 1, "color": { "r": 1, "g": 2 } })), "null is no wish");
    let id = bulb.thing.id.to_string();
    let patch = DeviceChange {
        configuration: Some(object(json!({ "color": { "r": 9 }, "brightness": null }))),
        title: Some("Bulb 2".into()),
        ..DeviceChange::default()
    };
    let patched = house.things.update_device(&owner, &id, patch).await.unwrap();
    assert_eq!(patched.twin.configuration, object(json!({ "color": { "r": 9, "g": 2 } })));
    let action = Action { name: "dim".into(), payload: json!({ "to": 5 }) };
    let sent = house.things.act(&owner, &id, &action).await.unwrap();

    assert!(house.things.inbox(&owner, &id, &PageRequest::max()).await.unwrap().items.is_empty());
    let inbox = house.things.inbox(&owner, &gateway.to_string(), &PageRequest::max()).await.unwrap().items;
    let commands: Vec<Command> = inbox.iter().map(|message| Command::read(message).unwrap()).collect();
    let configuration = |configuration| Command::Configuration { thing: bulb.thing.id, aliases: vec!["front".into()], configuration };
    assert_eq!(
        commands,
        [
            configuration(object(json!({ "brightness": 1, "color": { "r": 1, "g": 2 } }))),
            configuration(object(json!({ "color": { "r": 9, "g": 2 }, "brightness": null }))),
            Command::Action { thing: bulb.thing.id, aliases: vec!["front".into()], id: sent, action: action.clone() },
        ]
    );
    assert!(inbox.iter().all(|message| message.status == MessageStatus::Queued && message.thing == bulb.thing.id));

    for wrong in [Action { name: "explode".into(), ..action.clone() }, Action { payload: json!({ "to": "x" }), ..action.clone() }] {
        assert!(matches!(house.things.act(&owner, &id, &wrong).await, Err(Error::Invalid { field: "action", .. })));
    }
    let plain = house.thing(&owner, "dev-1").await;
    assert_eq!(house.things.act_all(&owner, &Selector::default(), &action).await.unwrap(), 2, "where the type knows the action");
    assert!(house.things.inbox(&owner, &plain.key, &PageRequest::max()).await.unwrap().items.is_empty());
    let one = Selector { names: vec!["bulb*".into()], ..Selector::default() };
    assert_eq!(house.things.act_all(&owner, &one, &action).await.unwrap(), 1);
    let reader = house.caller(owner.tenant, Role::Reader.permissions());
    assert!(matches!(house.things.act(&reader, &id, &action).await, Err(Error::Forbidden(_))));
    assert!(matches!(house.things.act_all(&reader, &one, &action).await, Err(Error::Forbidden(_))));
}

async fn every_tenant_is_alone(house: House) {
    let owner = house.tenant("acme", PlanName::Unlimited).await;
    let other = house.tenant("umbrella", PlanName::Unlimited).await;
    let lamp = lamp(&house, &owner).await;
    let bulb = device(&house, &owner, "Bulb", &lamp).await;
    house
        .things
        .update_device(&owner, &bulb.thing.id.to_string(), DeviceChange { aliases: Some(vec!["a".into()]), ..DeviceChange::default() })
        .await
        .unwrap();
    let id = bulb.thing.id.to_string();
    let missing = |error: Error| matches!(error, Error::NotFound { .. });
    let things = &house.things;
    assert!(missing(things.thing_type(&other, lamp.id).await.unwrap_err()));
    assert!(missing(things.update_type(&other, lamp.id, TypeChange::default()).await.unwrap_err()));
    assert!(missing(things.delete_type(&other, lamp.id).await.unwrap_err()));
    assert!(missing(things.device(&other, &id).await.unwrap_err()));
    assert!(missing(things.device_by_alias(&other, "a").await.unwrap_err()));
    assert!(missing(things.update_device(&other, &id, DeviceChange::default()).await.unwrap_err()));
    assert!(missing(things.act(&other, &id, &Action { name: "dim".into(), payload: json!({ "to": 1 }) }).await.unwrap_err()));
    assert!(missing(things.state_of_device(&other, &id).await.unwrap_err()));
    assert!(missing(things.last_events(&other, &id, &[]).await.unwrap_err()));
    assert!(missing(things.last_diagnostics(&other, &id).await.unwrap_err()));
    assert!(missing(things.last_points(&other, &id, "$.attributes.temperature", None, 10).await.unwrap_err()));
    assert!(missing(things.delete_points(&other, &id, "$.attributes.temperature", None, None).await.unwrap_err()));
    let chosen = Selector { things: vec![bulb.thing.id], ..Selector::default() };
    assert_eq!(things.devices(&other, &chosen, ALL).await.unwrap().total, 0);
    assert_eq!(things.states(&other, &Selector::default(), ALL).await.unwrap().total, 0);
    assert!(things.subjects(other.tenant, &[bulb.thing.id]).await.unwrap().is_empty());
    let foreign = NewDevice { title: "x".into(), thing_type: Some(lamp.id), ..NewDevice::default() };
    assert!(matches!(things.create_device(&other, foreign).await, Err(Error::Invalid { field: "thing_type", .. })));
    let behind = NewDevice { title: "x".into(), connected_by: Some(bulb.thing.id), ..NewDevice::default() };
    assert!(matches!(things.create_device(&other, behind).await, Err(Error::Conflict { what: "connected_by", .. })));
    // The same alias is free here.
    let same = NewDevice { title: "x".into(), aliases: vec!["a".into()], ..NewDevice::default() };
    things.create_device(&other, same).await.unwrap();
    assert!(things.projects(other.tenant).await.unwrap());

    let nobody = house.caller(owner.tenant, Permissions::of(&[Permission::MessageRead]));
    assert!(matches!(things.create_type(&nobody, NewType::default()).await, Err(Error::Forbidden(_))));
    assert!(matches!(things.thing_types(&nobody, &TypeFilter::default(), ALL).await, Err(Error::Forbidden(_))));
    assert!(matches!(things.create_device(&nobody, NewDevice::default()).await, Err(Error::Forbidden(_))));
    assert!(matches!(things.devices(&nobody, &Selector::default(), ALL).await, Err(Error::Forbidden(_))));
    assert!(matches!(things.states(&nobody, &Selector::default(), ALL).await, Err(Error::Forbidden(_))));
    assert!(matches!(things.last_points(&nobody, &id, "$.attributes.x", None, 1).await, Err(Error::Forbidden(_))));
}

both! {
    types_are_made_listed_and_changed
    devices_are_found_by_selectors
    a_device_is_held_to_its_type
    commands_wait_in_the_inbox_of_whoever_takes_them
    every_tenant_is_alone
}
