//! The worker over a real store and journal: what follows from messages, once, whatever happens in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use identity::{Identity, MasterKey, NewTenant, PasswordCost};
use journal::{Durability, Journal};
use model::{
    AlertState, Caller, Clock, NotificationDraft, PageRequest, PlanName, Principal, Role, RuleDraft, Slice, TenantId, Thing, UserId,
};
use notify::{DeliveryState, MailTransport, Notify};
use rules::{AlertFilter, Rules};
use store::Db;
use things::{Incoming, NewThing, Options, Things, thing_permissions};
use uuid::Uuid;

struct House {
    db: Db,
    journal: Journal,
    identity: Identity,
    things: Things,
    notify: Notify,
    clock: Clock,
    owner: Caller,
    thing: Thing,
    _dir: tempfile::TempDir,
}

const ALL: Slice = Slice { offset: 0, limit: 1_000 };

fn rule(text: &str) -> RuleDraft {
    serde_json::from_str(text).unwrap()
}

fn notification(text: &str) -> NotificationDraft {
    serde_json::from_str(text).unwrap()
}

const HOT: &str = r#"{"name":"hot","condition":{"compare":{"path":"$.attributes.t","comparator":"gt","constant":30}},"event":"hot"}"#;

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual("2026-05-01T12:00:00Z".parse().unwrap());
        let db = Db::sqlite_unsynced(&dir.path().join("store.db")).await.unwrap();
        let journal = Journal::open(journal::Options::new(dir.path().join("journal"), clock.clone())).await.unwrap();
        let mut options = identity::Options::new(clock.clone(), "https://gate.example.com", MasterKey::from_bytes([42; 32]));
        options.password = PasswordCost::fast();
        let identity = Identity::open(db.clone(), options).await.unwrap();
        let things = Things::open(db.clone(), journal.clone(), identity.clone(), Options::default()).await.unwrap();
        let notify = Notify::open(db.clone(), clock.clone(), MailTransport::none());
        let operator = identity.operator_caller(TenantId(Uuid::nil()));
        let new = NewTenant { name: "acme".to_owned(), plan: Some(PlanName::ALL[PlanName::ALL.len() - 1]), ..NewTenant::default() };
        let tenant = identity.create_tenant(&operator, new).await.unwrap();
        let (principal, permissions) = (Principal::User(UserId(Uuid::from_u128(1))), Role::Owner.permissions());
        let owner = Caller { tenant: tenant.id, principal, permissions, request: clock.new_id(), address: None };
        let new = NewThing { key: Some("dev-1".to_owned()), tags: vec!["red".to_owned()], ..NewThing::default() };
        let thing = things.provision(&owner, new).await.unwrap().thing;
        Self { db, journal, identity, things, notify, clock, owner, thing, _dir: dir }
    }

    /// As after a start: nothing in memory.
    fn rules(&self) -> Rules {
        let House { db, journal, identity, things, notify, .. } = self;
        Rules::open(db.clone(), journal.clone(), identity.clone(), things.clone(), notify.clone())
    }

    async fn say(&self, payload: &str) {
        let thing = &self.thing;
        let (principal, permissions) = (Principal::Thing(thing.id), thing_permissions());
        let caller = Caller { tenant: thing.tenant, principal, permissions, request: self.clock.new_id(), address: None };
        let incoming = Incoming {
            thing: thing.id,
            direction: model::Direction::Inbound,
            topic: Bytes::from_static(b"x"),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            qos: 1,
            retain: false,
            properties: Bytes::new(),
            expires: None,
            idempotency: None,
        };
        self.journal.write(self.things.accept(&caller, incoming).unwrap(), Durability::Flush).await.unwrap();
        self.clock.advance(Duration::from_secs(2));
    }

    async fn t(&self, value: i64) {
        self.say(&format!("{{\"t\":{value}}}")).await;
    }

    async fn queued(&self) -> Vec<notify::Delivery> {
        self.notify.deliveries(&self.owner, DeliveryState::Queued, &PageRequest::max()).await.unwrap().items
    }
}

/// Runs the future for so many polls and drops it then, as a crash would end it; did it come to its end?
async fn for_polls(polls: usize, work: impl Future<Output = model::Result<()>>) -> bool {
    let mut left = polls;
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(outcome) => {
                outcome.unwrap();
                Poll::Ready(true)
            }
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_does_nothing_twice_and_leaves_nothing_out() {
    let house = House::new().await;
    let rules = house.rules();
    rules.catch_up().await.unwrap();
    let hot = rules.create_rule(&house.owner, rule(HOT)).await.unwrap().id;
    let chained = r#"{"name":"alarm","condition":{"event":{"name":"hot"}},"event":"alarm"}"#;
    let alarm = rules.create_rule(&house.owner, rule(chained)).await.unwrap().id;
    let two = r#"{"template":{"recipients":["a@x.example","b@x.example"],"payload":"p"},"filter":{"events":["hot"]}}"#;
    rules.create_notification(&house.owner, notification(two)).await.unwrap();
    let one = format!(r#"{{"template":{{"recipients":["c@x.example"],"payload":"p"}},"filter":{{"events":["alarm"],"rule":"{alarm}"}}}}"#);
    rules.create_notification(&house.owner, notification(&one)).await.unwrap();
    let (mut hots, mut crashes, mut done) = (0, 0, 0);
    // Budgets of every size, with a new message each time; now and then all is caught up with, so that the next batch is small again.
    for n in 1..150 {
        let polls = if n % 10 == 0 { usize::MAX } else { n * 37 % 400 };
        house.t(20).await;
        house.t(40).await;
        hots += 1;
        if for_polls(polls, house.rules().catch_up()).await { done += 1 } else { crashes += 1 }
    }
    assert!(crashes > 10 && done > 10, "{crashes} crashes, {done} ends");
    house.rules().catch_up().await.unwrap();
    let raised = async |id| usize::try_from(rules.rule_executions(&house.owner, id, None, None, ALL).await.unwrap().total).unwrap();
    assert_eq!((raised(hot).await, raised(alarm).await), (hots, hots));
    assert_eq!(rules.notification_history(&house.owner, None, ALL).await.unwrap().total, hots as u64 * 2);
    assert_eq!(house.queued().await.len(), hots * 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_journal_is_not_read_again_from_its_beginning() {
    let house = House::new().await;
    let rules = house.rules();
    rules.create_rule(&house.owner, rule(HOT)).await.unwrap();
    house.t(40).await;
    rules.catch_up().await.unwrap();
    assert!(rules.alerts(&house.owner, AlertFilter::default(), &PageRequest::max()).await.unwrap().items.is_empty());
    house.t(41).await;
    rules.catch_up().await.unwrap();
    let alerts = rules.alerts(&house.owner, AlertFilter::default(), &PageRequest::max()).await.unwrap().items;
    assert_eq!((alerts.len(), alerts[0].count, &alerts[0].value), (1, 1, &model::Value::from(41)));
    assert_eq!(rules.progress().lag, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_from_its_raising_to_its_end() {
    let house = House::new().await;
    let rules = house.rules();
    rules.catch_up().await.unwrap();
    let mut draft = rule(HOT);
    (draft.exit_event, draft.interval, draft.repeating) = (Some("cool".to_owned()), 3, false);
    let id = rules.create_rule(&house.owner, draft).await.unwrap().id;
    let alerts = async |state| {
        let filter = AlertFilter { state, rule: Some(id), thing: Some(house.thing.id) };
        rules.alerts(&house.owner, filter, &PageRequest::max()).await.unwrap().items
    };
    for value in [40, 41, 42] {
        house.t(value).await;
    }
    rules.catch_up().await.unwrap();
    let raised = alerts(Some(AlertState::Raised)).await;
    assert_eq!((raised.len(), raised[0].count, &raised[0].value), (1, 1, &model::Value::from(40)), "not repeating");
    let seen = rules.acknowledge_alert(&house.owner, raised[0].id).await.unwrap();
    assert_eq!((seen.state, seen.acknowledged.clone().unwrap().1), (AlertState::Acknowledged, house.owner.principal.label()));
    assert_eq!(rules.acknowledge_alert(&house.owner, raised[0].id).await.unwrap(), seen, "twice is once");
    // A fresh memory knows that it was raised.
    house.t(20).await;
    house.rules().catch_up().await.unwrap();
    let cleared = alerts(Some(AlertState::Cleared)).await;
    assert_eq!((cleared.len(), cleared[0].cleared.clone().unwrap().1.as_str()), (1, "rule"));
    assert!(matches!(rules.acknowledge_alert(&house.owner, raised[0].id).await, Err(model::Error::Conflict { .. })));
    house.t(50).await;
    house.rules().catch_up().await.unwrap();
    assert_eq!((alerts(None).await.len(), alerts(Some(AlertState::Raised)).await.len()), (2, 1), "a new one");
    let events: Vec<String> =
        rules.rule_executions(&house.owner, id, None, None, ALL).await.unwrap().items.into_iter().map(|e| e.event).collect();
    assert_eq!(events, ["hot", "cool", "hot"]);
    rules.delete_rule(&house.owner, id).await.unwrap();
    assert!(alerts(None).await.iter().all(|alert| alert.state == AlertState::Cleared));
    house.t(60).await;
    rules.catch_up().await.unwrap();
    assert_eq!(alerts(None).await.len(), 2, "the rule is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debounced_notification_is_sent_once_and_noted_always() {
    let house = House::new().await;
    let rules = house.rules();
    rules.catch_up().await.unwrap();
    rules.create_rule(&house.owner, rule(HOT)).await.unwrap();
    let text = r#"{"template":{"recipients":["a@x.example"],"topic":"T","payload":"p","debounce":2},
        "filter":{"events":["cold","hot"],"selector":{"tags":["RED"]}}}"#;
    let id = rules.create_notification(&house.owner, notification(text)).await.unwrap().id;
    let other = r#"{"template":{"recipients":["b@x.example"],"payload":"p"},"filter":{"events":["hot"],"selector":{"tags":["blue"]}}}"#;
    rules.create_notification(&house.owner, notification(other)).await.unwrap();
    for _ in 0..3 {
        house.t(40).await;
        house.rules().catch_up().await.unwrap();
    }
    let queued = house.queued().await;
    assert_eq!((queued.len(), queued[0].recipient.as_deref(), queued[0].subject.as_deref()), (1, Some("a@x.example"), Some("T")));
    house.clock.advance(Duration::from_secs(120));
    house.t(40).await;
    rules.catch_up().await.unwrap();
    assert_eq!(house.queued().await.len(), 2);
    let history = rules.notification_history(&house.owner, Some(id), ALL).await.unwrap();
    assert_eq!(history.items.iter().map(|h| h.suppressed).collect::<Vec<_>>(), [false, true, true, false]);
    assert!(history.items.iter().all(|h| h.event.name == "hot" && h.thing == house.thing.id && h.event.rule.is_some()));
    // Switched off and on again it is heard anew, without a start.
    let off = |active| model::NotificationChange { active: Some(active), debounce: Some(None), ..model::NotificationChange::default() };
    rules.patch_notification(&house.owner, id, off(false)).await.unwrap();
    house.t(40).await;
    rules.catch_up().await.unwrap();
    assert_eq!(house.queued().await.len(), 2);
    rules.patch_notification(&house.owner, id, off(true)).await.unwrap();
    house.t(40).await;
    rules.catch_up().await.unwrap();
    assert_eq!(house.queued().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_survive_a_start() {
    let house = House::new().await;
    let rules = house.rules();
    rules.catch_up().await.unwrap();
    let mean = r#"{"name":"mean","each":["$.attributes.t"],"event":"warm","repeating":true,"condition":{"compare":
        {"window":{"aggregate":"sum","seconds":60},"comparator":"gte","constant":30}}}"#;
    let id = rules.create_rule(&house.owner, rule(mean)).await.unwrap().id;
    house.t(10).await;
    house.t(10).await;
    house.rules().catch_up().await.unwrap();
    assert_eq!(rules.rule_executions(&house.owner, id, None, None, ALL).await.unwrap().total, 0);
    house.t(10).await;
    house.rules().catch_up().await.unwrap();
    let found = rules.rule_executions(&house.owner, id, None, None, ALL).await.unwrap().items;
    assert_eq!((found.len(), &found[0].value, found[0].path.as_str()), (1, &model::Value::from(30.0), "$.attributes.t"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_worker_wakes_at_once_and_reads_nothing_where_nobody_listens() {
    let house = House::new().await;
    let rules = house.rules();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (rules, stop) = (rules.clone(), stop.clone());
        async move { rules.run(stop).await }
    });
    for _ in 0..50 {
        house.t(40).await;
    }
    let until = async |what: &str, check: &dyn Fn() -> bool| {
        for _ in 0..400 {
            if check() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {:?}", rules.progress());
    };
    until("the position follows", &|| rules.progress().lag == 0).await;
    assert_eq!(rules.progress().facts, 0);
    rules.create_rule(&house.owner, rule(HOT)).await.unwrap();
    // Taken in as messages come; the first after it may still pass unseen only if it was stored before.
    let start = std::time::Instant::now();
    house.t(41).await;
    until("it is raised", &|| rules.progress().raised == 1).await;
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn verbs_refuse_what_they_must() {
    let house = House::new().await;
    let rules = house.rules();
    let made = rules.create_rule(&house.owner, rule(HOT)).await.unwrap();
    let operator = house.identity.operator_caller(TenantId(Uuid::nil()));
    let globex = house.identity.create_tenant(&operator, NewTenant { name: "globex".to_owned(), ..NewTenant::default() }).await.unwrap();
    let stranger = Caller { tenant: globex.id, ..house.owner.clone() };
    let reader = Caller { permissions: Role::Reader.permissions(), ..house.owner.clone() };
    assert!(matches!(rules.rule(&stranger, made.id).await, Err(model::Error::NotFound { .. })));
    assert!(matches!(rules.delete_rule(&stranger, made.id).await, Err(model::Error::NotFound { .. })));
    assert!(rules.rule(&reader, made.id).await.is_ok());
    assert!(matches!(rules.delete_rule(&reader, made.id).await, Err(model::Error::Forbidden(_))));
    assert!(matches!(rules.create_rule(&reader, rule(HOT)).await, Err(model::Error::Forbidden(_))));
    let mut bad = rule(HOT);
    bad.interval = 0;
    assert!(matches!(rules.create_rule(&house.owner, bad).await, Err(model::Error::Invalid { field: "interval", .. })));
    let bad = r#"{"template":{"recipients":["a b@x"],"payload":"p"},"filter":{"events":["hot"]}}"#;
    assert!(matches!(
        rules.create_notification(&house.owner, notification(bad)).await,
        Err(model::Error::Invalid { field: "recipients", .. })
    ));
    let named = rules.rules_by_name(&house.owner, Some(true), Some("$.attributes.t"), ALL).await.unwrap();
    assert_eq!((named.total, named.items[0].id), (1, made.id));
    assert_eq!(rules.rules_by_name(&house.owner, None, Some("$.attributes.u"), ALL).await.unwrap().total, 0);
    assert_eq!(rules.delete_rules(&house.owner).await.unwrap(), 1);
    assert_eq!(rules.rules_by_name(&house.owner, None, None, ALL).await.unwrap().total, 0);
}
