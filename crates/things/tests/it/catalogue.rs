//! Things come, change and go.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use identity::{AuditFilter, Credential, Origin, TenantChoice};
use model::{CertificateFingerprint, Denial, Error, MessageId, PageRequest, Permission, PlanName, Principal, QuotaKind, Role, ThingStatus};
use secrecy::{ExposeSecret as _, SecretString};
use things::{Credentials, Ended, Form, Handle, MessageFilter, NewThing, Outgoing, Target, ThingChange, ThingFilter};
use uuid::Uuid;

use crate::house::{House, inbound};

fn keyed(key: &str) -> NewThing {
    NewThing { key: Some(key.to_owned()), ..NewThing::default() }
}

async fn a_thing_is_provisioned_whole(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let new = NewThing {
        name: Some("truck 1".to_owned()),
        kind: "RaspberryPi".to_owned(),
        distribution: "Python".to_owned(),
        tags: vec!["north".to_owned(), "north".to_owned()],
        attributes: BTreeMap::from([("location".to_owned(), "Living Room".to_owned())]),
        credentials: Credentials::EcdsaCertificate,
        ..keyed("dev-1")
    };
    let made = house.things.provision(&owner, new).await.unwrap();
    assert_eq!((made.thing.key.as_str(), made.thing.name.as_str(), made.thing.status), ("dev-1", "truck 1", ThingStatus::Created));
    assert_eq!((made.thing.owner, made.thing.tags.as_slice()), (owner.user(), &["north".to_owned()][..]));
    for handle in ["dev-1", &made.thing.id.to_string()] {
        assert_eq!(house.things.thing(&owner, handle).await.unwrap(), made.thing, "{handle}");
    }
    // The keys are handed out again as they were, to those who may change the thing.
    let told = made.keys.unwrap();
    let again = house.things.keys(&owner, "dev-1").await.unwrap().unwrap();
    assert_eq!(again.certificate_pem, told.certificate_pem);
    assert_eq!(again.private_key_pem.as_ref().unwrap().as_str(), told.private_key_pem.as_ref().unwrap().as_str());
    let reader = house.caller(owner.tenant, Role::Reader.permissions());
    let seen = house.things.keys(&reader, "dev-1").await.unwrap().unwrap();
    assert!(seen.private_key_pem.is_none() && seen.public_key_pem.contains("BEGIN PUBLIC KEY"));
    // At rest the private key is sealed, and as this thing's only.
    let row = house.db.read().await.unwrap().certificate(&told.fingerprint).await.unwrap().unwrap();
    let sealed = row.sealed_key.unwrap();
    assert!(!sealed.windows(7).any(|w| w == b"PRIVATE"));
    assert!(house.identity.unseal(&sealed, made.thing.id.uuid().as_bytes()).is_ok());
    assert!(house.identity.unseal(&sealed, Uuid::nil().as_bytes()).is_err());
    // Left to itself, a thing's key and name are its id's text.
    let plain = house.things.provision(&owner, NewThing::default()).await.unwrap();
    assert_eq!((plain.thing.key.clone(), plain.thing.name), (plain.thing.id.to_string(), plain.thing.key));
    assert!(plain.keys.is_none() && plain.secret.is_none());
}

async fn rsa_keys_have_the_form_devices_expect(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let new = NewThing { credentials: Credentials::RsaCertificate, ..keyed("dev-1") };
    let keys = house.things.provision(&owner, new).await.unwrap().keys.unwrap();
    assert!(keys.private_key_pem.unwrap().starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert!(keys.public_key_pem.starts_with("-----BEGIN PUBLIC KEY-----"));
}

async fn what_is_taken_is_told_apart(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let first = house.thing(&owner, "dev-1").await;
    let key_taken = house.things.provision(&owner, NewThing { name: Some("x".into()), ..keyed("dev-1") }).await;
    assert!(matches!(key_taken, Err(Error::Conflict { what: "key", .. })), "{key_taken:?}");
    let name_taken = house.things.provision(&owner, NewThing { name: Some("dev-1".into()), ..keyed("dev-2") }).await;
    assert!(matches!(name_taken, Err(Error::Conflict { what: "name", .. })), "{name_taken:?}");
    let id_as_key = house.things.provision(&owner, NewThing { name: Some("x".into()), ..keyed(&first.id.to_string()) }).await;
    assert!(matches!(id_as_key, Err(Error::Conflict { what: "key", .. })), "a handle means one thing");
    for bad in ["", "a/b", "#", "a b", "x".repeat(129).as_str()] {
        let refused = house.things.provision(&owner, keyed(bad)).await;
        assert!(matches!(refused, Err(Error::Invalid { field: "key", .. })), "{bad:?}");
    }
    // Elsewhere all of that is free.
    let other = house.tenant("other", PlanName::Amber).await;
    house.thing(&other, "dev-1").await;
    assert_eq!(house.things.usage(&owner).await.unwrap().things.actual, 1);
}

async fn the_plan_bounds_the_fleet_however_many_ask_at_once(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let tries: Vec<_> = (0..12)
        .map(|n| {
            let (things, owner) = (house.things.clone(), owner.clone());
            tokio::spawn(async move { things.provision(&owner, keyed(&format!("dev-{n}"))).await })
        })
        .collect();
    let (mut made, mut refused) = (0, 0);
    for one in tries {
        match one.await.unwrap() {
            Ok(_) => made += 1,
            Err(Error::Forbidden(Denial::Quota(quota))) => {
                assert_eq!((quota.kind, quota.allowed, quota.actual), (QuotaKind::Things, 5, 5));
                refused += 1;
            }
            Err(e) => panic!("{e:?}"),
        }
    }
    assert_eq!((made, refused), (5, 7));
    let one = house.things.things(&owner, &ThingFilter::default(), &PageRequest::max()).await.unwrap().items.remove(0);
    house.things.deprovision(&owner, &one.key).await.unwrap();
    house.thing(&owner, "in-its-place").await;
    assert_eq!(house.things.usage(&owner).await.unwrap().things.actual, 5);
}

async fn lists_filter_and_page(house: House) {
    let owner = house.tenant("acme", PlanName::Amethyst).await;
    for n in 0..25 {
        let new = NewThing {
            tags: if n < 3 { vec!["north".into()] } else { vec![] },
            kind: if n % 2 == 0 { "lamp".into() } else { String::new() },
            ..keyed(&format!("dev-{n:02}"))
        };
        house.things.provision(&owner, new).await.unwrap();
        house.advance(Duration::from_millis(1));
    }
    let mut names = Vec::new();
    let mut page = PageRequest::new(Some(10), None).unwrap();
    loop {
        let found = house.things.things(&owner, &ThingFilter::default(), &page).await.unwrap();
        names.extend(found.items.into_iter().map(|t| t.name));
        match found.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(names, (0..25).map(|n| format!("dev-{n:02}")).collect::<Vec<_>>());
    let count = async |filter: ThingFilter| house.things.things(&owner, &filter, &PageRequest::max()).await.unwrap().items.len();
    assert_eq!(count(ThingFilter { tag: Some("north".into()), ..ThingFilter::default() }).await, 3);
    assert_eq!(count(ThingFilter { kind: Some("lamp".into()), ..ThingFilter::default() }).await, 13);
    assert_eq!(count(ThingFilter { name_contains: Some("DEV-1".into()), ..ThingFilter::default() }).await, 10);
    assert_eq!(count(ThingFilter { status: Some(ThingStatus::Verified), ..ThingFilter::default() }).await, 0);
    let odd = ThingFilter { name_contains: Some("\0".into()), ..ThingFilter::default() };
    assert!(matches!(house.things.things(&owner, &odd, &PageRequest::max()).await, Err(Error::Invalid { field: "name", .. })));
    let wrong = PageRequest::new(None, Some("not a cursor".into())).unwrap();
    let refused = house.things.things(&owner, &ThingFilter::default(), &wrong).await;
    assert!(matches!(refused, Err(Error::Invalid { field: "cursor", .. })));
}

async fn a_renamed_thing_must_come_back(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let thing = house.thing(&owner, "dev-1").await;
    house.thing(&owner, "dev-2").await;
    house.things.prepare(owner.tenant).await.unwrap();
    assert_eq!(house.things.thing_named(owner.tenant, "dev-1"), Some(thing.id));
    let mut ended = house.things.ended();
    house.advance(Duration::from_secs(5));
    let change = ThingChange { name: Some("lamp".into()), tags: Some(vec!["south".into()]), ..ThingChange::default() };
    let changed = house.things.update(&owner, "dev-1", change).await.unwrap();
    assert_eq!((changed.name.as_str(), changed.key.as_str(), changed.updated), ("lamp", "dev-1", house.clock.now()));
    assert_eq!(house.things.thing(&owner, "dev-1").await.unwrap(), changed);
    assert_eq!(ended.try_recv().unwrap(), Ended::Thing(thing.id));
    assert_eq!(house.things.thing_named(owner.tenant, "lamp"), Some(thing.id));
    assert_eq!(house.things.thing_named(owner.tenant, "dev-1"), None);
    // By its key it is still called as before; a new key is another reason to come back.
    let keyed = |key: &str| Target { form: Form(0), name: key.into(), handle: Handle::Key };
    assert_eq!(house.things.target(owner.tenant, &keyed("dev-1")), Some(thing.id));
    assert_eq!(house.things.target(owner.tenant, &keyed("lamp")), None);
    assert_eq!(house.things.target(owner.tenant, &Target { handle: Handle::Name, ..keyed("lamp") }), Some(thing.id));
    house.things.update(&owner, "dev-1", ThingChange { key: Some("dev-9".into()), ..ThingChange::default() }).await.unwrap();
    assert_eq!(ended.try_recv().unwrap(), Ended::Thing(thing.id));
    assert_eq!(house.things.target(owner.tenant, &keyed("dev-1")), None);
    house.things.update(&owner, "dev-9", ThingChange { key: Some("dev-1".into()), ..ThingChange::default() }).await.unwrap();
    assert_eq!(ended.try_recv().unwrap(), Ended::Thing(thing.id));
    let taken = house.things.update(&owner, "dev-1", ThingChange { name: Some("dev-2".into()), ..ThingChange::default() }).await;
    assert!(matches!(taken, Err(Error::Conflict { what: "name", .. })));
    let same = house.things.update(&owner, "dev-1", ThingChange { name: Some("lamp".into()), ..ThingChange::default() }).await;
    assert!(same.is_ok() && ended.try_recv().is_err(), "nothing changed, nobody is thrown out");
}

async fn deprovisioned_is_gone(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let new = NewThing { credentials: Credentials::EcdsaCertificate, ..keyed("dev-1") };
    let made = house.things.provision(&owner, new).await.unwrap();
    house.things.prepare(owner.tenant).await.unwrap();
    house.things.collect(&owner, "dev-1", "http:collect", Bytes::from_static(b"1"), None).await.unwrap();
    house.things.send(&owner, "dev-1", Outgoing { payload: Bytes::from_static(b"2"), ..Outgoing::default() }).await.unwrap();
    let mut ended = house.things.ended();
    house.things.deprovision(&owner, "dev-1").await.unwrap();
    assert_eq!(ended.try_recv().unwrap(), Ended::Thing(made.thing.id));
    assert!(matches!(house.things.thing(&owner, "dev-1").await, Err(Error::NotFound { what: "thing" })));
    assert!(matches!(house.things.deprovision(&owner, "dev-1").await, Err(Error::NotFound { what: "thing" })));
    assert!(matches!(house.publish(&made.thing, "late").await, Err(Error::NotFound { .. })), "whoever still holds a connection");
    assert!(house.things.recognise_certificate(&crate::certificates::der(&made.keys.unwrap().certificate_pem)).await.is_err());
    assert_eq!(house.things.thing_named(owner.tenant, "dev-1"), None);
    assert_eq!(house.journal.inbox_len(made.thing.id.into()), 0);
    assert_eq!(crate::remains::of(&house, made.thing.id).await, 0);
    let usage = house.things.usage(&owner).await.unwrap();
    assert_eq!(
        (usage.things.actual, usage.collected.actual, usage.published.actual),
        (0, 1, 1),
        "the place is free, the messages stay counted"
    );
    // A new thing of the same key starts empty.
    house.thing(&owner, "dev-1").await;
    let page = house.things.messages(&owner, "dev-1", &MessageFilter::default(), false, &PageRequest::max()).await.unwrap();
    assert!(page.items.is_empty());
}

async fn another_tenants_thing_is_not_found(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let thing = house.thing(&owner, "dev-1").await;
    let message = house.things.collect(&owner, "dev-1", "http:collect", Bytes::from_static(b"1"), None).await.unwrap();
    let stranger = house.tenant("other", PlanName::Amber).await;
    let things = &house.things;
    let gone = |result: model::Result<()>| assert!(matches!(result, Err(Error::NotFound { what: "thing" })), "{result:?}");
    let fingerprint = CertificateFingerprint::parse(&"a".repeat(64)).unwrap();
    let pem = house.identity.issue_certificate(identity::KeyKind::EcdsaP256).await.unwrap().certificate_pem;
    let (all, page) = (MessageFilter::default(), PageRequest::max());
    for handle in ["dev-1", &thing.id.to_string(), "nobody", &"x".repeat(1_000), "", "\0"] {
        let s = &stranger;
        gone(things.thing(s, handle).await.map(drop));
        gone(things.update(s, handle, ThingChange::default()).await.map(drop));
        gone(things.deprovision(s, handle).await);
        gone(things.keys(s, handle).await.map(drop));
        gone(things.certificates(s, handle).await.map(drop));
        gone(things.register_certificate(s, handle, &pem).await.map(drop));
        gone(things.revoke_certificate(s, handle, &fingerprint).await);
        gone(things.set_secret(s, handle, None).await.map(drop));
        gone(things.send(s, handle, Outgoing::default()).await.map(drop));
        gone(things.collect(s, handle, "t", Bytes::new(), None).await.map(drop));
        gone(things.messages(s, handle, &all, false, &page).await.map(drop));
        gone(things.message(s, handle, message.id).await.map(drop));
        gone(things.delete_messages(s, handle, &all).await.map(drop));
        gone(things.inbox(s, handle, &page).await.map(drop));
        gone(things.inbox_remove(s, handle, MessageId(Uuid::nil())).await);
        gone(things.live(s, Some(handle)).await.map(drop));
    }
    assert!(things.things(&stranger, &ThingFilter::default(), &page).await.unwrap().items.is_empty());
    assert_eq!(things.message(&owner, "dev-1", message.id).await.unwrap(), message, "and nothing happened to it");
}

async fn permissions_are_required(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let thing = house.thing(&owner, "dev-1").await;
    let reader = house.caller(owner.tenant, Role::Reader.permissions());
    let things = &house.things;
    let refused = |result: model::Result<()>, permission: Permission| {
        assert_eq!(result, Err(Error::Forbidden(Denial::Permission(permission))));
    };
    let (all, page) = (MessageFilter::default(), PageRequest::max());
    refused(things.provision(&reader, NewThing::default()).await.map(drop), Permission::ThingWrite);
    refused(things.update(&reader, "dev-1", ThingChange::default()).await.map(drop), Permission::ThingWrite);
    refused(things.deprovision(&reader, "dev-1").await, Permission::ThingWrite);
    refused(things.set_secret(&reader, "dev-1", None).await.map(drop), Permission::ThingWrite);
    refused(things.register_certificate(&reader, "dev-1", "").await.map(drop), Permission::ThingWrite);
    refused(things.send(&reader, "dev-1", Outgoing::default()).await.map(drop), Permission::MessageWrite);
    refused(things.delete_messages(&reader, "dev-1", &all).await.map(drop), Permission::MessageWrite);
    refused(things.collect(&reader, "dev-1", "t", Bytes::new(), None).await.map(drop), Permission::MessageSubmit);
    refused(things.accept(&reader, inbound(thing.id, "x")).map(drop), Permission::MessageSubmit);
    // The thing itself: its own entry and inbox, and its own messages in; nothing else.
    let device = house.as_thing(&thing);
    assert!(things.thing(&device, "dev-1").await.is_ok() && things.inbox(&device, "dev-1", &page).await.is_ok());
    refused(things.things(&device, &ThingFilter::default(), &page).await.map(drop), Permission::ThingRead);
    refused(things.messages(&device, "dev-1", &all, false, &page).await.map(drop), Permission::MessageRead);
    refused(things.keys(&device, "dev-1").await.map(drop), Permission::ThingRead);
    refused(things.usage(&device).await.map(drop), Permission::TenantRead);
    let other = house.tenant("other", PlanName::Amber).await;
    let nobody = house.caller(other.tenant, model::Permissions::NONE);
    refused(things.live(&nobody, None).await.map(drop), Permission::MessageRead);
}

async fn a_secret_opens_until_it_is_changed(house: House) {
    let owner = house.tenant("acme", PlanName::Sapphire).await;
    let new = NewThing { credentials: Credentials::Secret, ..keyed("dev-1") };
    let made = house.things.provision(&owner, new).await.unwrap();
    let first = made.secret.unwrap();
    let origin = Origin { address: None, label: None, request: house.clock.new_id() };
    let sign_in = async |secret: &SecretString| {
        let credential = Credential::Thing { handle: "dev-1", secret: secret.expose_secret() };
        house.identity.sign_in(credential, TenantChoice::Home, &origin).await
    };
    let caller = sign_in(&first).await.unwrap().caller;
    assert_eq!((caller.tenant, caller.principal), (owner.tenant, Principal::Thing(made.thing.id)));
    let mut ended = house.things.ended();
    let second = house.things.set_secret(&owner, "dev-1", None).await.unwrap();
    assert_eq!(ended.try_recv().unwrap(), Ended::Secret(made.thing.id));
    assert!(sign_in(&first).await.is_err());
    assert!(sign_in(&second).await.is_ok());
    let chosen = house.things.set_secret(&owner, "dev-1", Some("correct horse battery".into())).await.unwrap();
    assert!(sign_in(&chosen).await.is_ok());
    let short = house.things.set_secret(&owner, "dev-1", Some("1234".into())).await;
    assert!(matches!(short, Err(Error::Invalid { field: "secret", .. })));
}

async fn a_verified_thing_stays_verified(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let thing = house.thing(&owner, "dev-1").await;
    house.things.mark_verified(thing.id).await.unwrap();
    house.things.mark_verified(thing.id).await.unwrap();
    assert_eq!(house.things.thing(&owner, "dev-1").await.unwrap().status, ThingStatus::Verified);
    let changed = house.things.update(&owner, "dev-1", ThingChange { kind: Some("x".into()), ..ThingChange::default() }).await.unwrap();
    assert_eq!(changed.status, ThingStatus::Verified);
}

async fn what_happened_is_on_the_trail(house: House) {
    let owner = house.tenant("acme", PlanName::Amber).await;
    let thing = house.thing(&owner, "dev-1").await;
    assert!(house.things.provision(&owner, keyed("dev-2")).await.is_err(), "over quota");
    house.things.set_secret(&owner, "dev-1", None).await.unwrap();
    house.things.delete_messages(&owner, "dev-1", &MessageFilter::default()).await.unwrap();
    let reader = house.caller(owner.tenant, Role::Reader.permissions());
    assert!(house.things.deprovision(&reader, "dev-1").await.is_err());
    house.things.deprovision(&owner, "dev-1").await.unwrap();
    let trail = house.identity.audit(&owner, &AuditFilter::default(), &PageRequest::max()).await.unwrap().items;
    let told = |action: &str, allowed: bool| trail.iter().filter(|e| e.action == action && e.allowed == allowed).count();
    assert_eq!((told("thing.provisioned", true), told("thing.provisioned", false)), (1, 1), "{trail:?}");
    assert_eq!((told("thing.deprovisioned", true), told("thing.deprovisioned", false)), (1, 1));
    assert_eq!((told("thing.secret_set", true), told("messages.deleted", true)), (1, 1));
    let line = trail.iter().find(|e| e.action == "thing.provisioned" && e.allowed).unwrap();
    assert_eq!((line.target.clone(), line.actor.clone()), (Some(format!("thing:{}", thing.id)), owner.principal.label()));
}

both! {
    a_thing_is_provisioned_whole
    rsa_keys_have_the_form_devices_expect
    what_is_taken_is_told_apart
    the_plan_bounds_the_fleet_however_many_ask_at_once
    lists_filter_and_page
    a_renamed_thing_must_come_back
    deprovisioned_is_gone
    another_tenants_thing_is_not_found
    permissions_are_required
    a_secret_opens_until_it_is_changed
    a_verified_thing_stays_verified
    what_happened_is_on_the_trail
}
