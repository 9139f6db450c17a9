//! The outbox against a mail server of our own making, on both engines.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod sink;

use std::process::Command;
use std::time::Duration;

use model::{Caller, Clock, Error, Permission, Permissions, Principal, RequestId, TenantId, Timestamp};
use notify::{BACK_OFF, Delivery, DeliveryState, LEASE, Mail, MailTransport, Notify};
use sink::Sink;
use store::Db;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

fn mail(to: &str) -> Mail {
    Mail { to: to.to_owned(), subject: "Ihr Code für Heliograph".to_owned(), text: "Grüße\n\n123456\n.\n..end".to_owned() }
}

fn caller(tenant: u128, permissions: Permissions) -> Caller {
    Caller {
        tenant: TenantId(Uuid::from_u128(tenant)),
        principal: Principal::Operator,
        permissions,
        request: RequestId(Uuid::nil()),
        address: None,
    }
}

fn operator() -> Caller {
    caller(1, Permissions::all())
}

async fn in_state(notify: &Notify, state: DeliveryState) -> Vec<Delivery> {
    notify.deliveries(&operator(), state, &model::PageRequest::max()).await.unwrap().items
}

struct House {
    db: Db,
    clock: Clock,
    sink: Sink,
    _dir: tempfile::TempDir,
}

impl House {
    async fn with(postgres: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = match postgres {
            Some(url) => Db::postgres(&url).await.unwrap(),
            None => Db::sqlite_unsynced(&dir.path().join("store.db")).await.unwrap(),
        };
        let clock = Clock::manual("2026-05-01T12:00:00Z".parse().unwrap());
        Self { db, clock, sink: Sink::start().await, _dir: dir }
    }

    fn notify(&self) -> Notify {
        let transport = MailTransport::smtp(&format!("smtp://{}?tls=none", self.sink.address()), "Heliograph <gate@example.com>").unwrap();
        Notify::open(self.db.clone(), self.clock.clone(), transport)
    }
}

async fn a_mail_arrives_once_and_whole(house: House) {
    let notify = house.notify();
    let id = notify.mail(mail("alice@example.com")).await.unwrap();
    assert_eq!(notify.deliver_due().await.unwrap(), 1);
    assert_eq!(notify.deliver_due().await.unwrap(), 0);
    let got = house.sink.mails();
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].from.as_str(), got[0].to.as_slice()), ("gate@example.com", &["alice@example.com".to_owned()][..]));
    let head = got[0].head();
    assert!(head.contains("To: alice@example.com\r\n") && head.contains("Heliograph <gate@example.com>"), "{head}");
    assert!(head.contains(&format!("Message-ID: <{id}@example.com>")), "{head}");
    assert!(head.contains("Date: Fri, 01 May 2026 12:00:00 +0000"), "{head}");
    assert!(!head.contains("für"), "a header is ASCII: {head}");
    assert_eq!(got[0].text(), "Grüße\r\n\r\n123456\r\n.\r\n..end");
    let sent = in_state(&notify, DeliveryState::Sent).await;
    assert_eq!((sent.len(), sent[0].attempts, sent[0].recipient.as_deref()), (1, 1, None));
}

async fn a_transaction_that_rolls_back_sends_nothing(house: House) {
    let notify = house.notify();
    let mut tx = house.db.begin().await.unwrap();
    notify.mail_in(&mut tx, mail("alice@example.com")).await.unwrap();
    drop(tx);
    assert_eq!(notify.deliver_due().await.unwrap(), 0);
    let mut tx = house.db.begin().await.unwrap();
    notify.mail_in(&mut tx, mail("bob@example.com")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(notify.deliver_due().await.unwrap(), 1);
    assert_eq!(house.sink.mails()[0].to, ["bob@example.com"]);
}

async fn a_busy_server_is_asked_again_later_and_later_until_the_mail_is_dead(house: House) {
    let notify = house.notify();
    house.sink.answer_recipients_with("451 4.7.1 greylisted");
    let id = notify.mail(mail("alice@example.com")).await.unwrap();
    for (attempt, wait) in (1..).zip(BACK_OFF) {
        assert_eq!(notify.deliver_due().await.unwrap(), 1);
        let queued = in_state(&notify, DeliveryState::Queued).await;
        assert_eq!((queued[0].attempts, queued[0].since), (attempt, house.clock.now().checked_add(wait).unwrap()));
        assert!(queued[0].last_error.as_deref().unwrap().contains("greylisted"), "{:?}", queued[0].last_error);
        house.clock.advance(wait - Duration::from_secs(1));
        assert_eq!(notify.deliver_due().await.unwrap(), 0, "not yet");
        house.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(notify.deliver_due().await.unwrap(), 1);
    let dead = in_state(&notify, DeliveryState::Dead).await;
    assert_eq!((dead.len(), dead[0].attempts, dead[0].recipient.as_deref()), (1, 6, Some("alice@example.com")));
    house.clock.advance(Duration::from_hours(24));
    assert_eq!(notify.deliver_due().await.unwrap(), 0, "dead is dead");

    house.sink.answer_recipients_with("250 ok");
    notify.retry(&operator(), id).await.unwrap();
    assert!(matches!(notify.retry(&operator(), id).await, Err(Error::NotFound { .. })), "no longer dead");
    assert_eq!(notify.deliver_due().await.unwrap(), 1);
    assert_eq!(house.sink.mails().len(), 1);
}

async fn what_a_server_will_never_take_is_dead_at_once(house: House) {
    let notify = house.notify();
    house.sink.answer_recipients_with("550 5.1.1 no such user");
    notify.mail(mail("nobody@example.com")).await.unwrap();
    notify.deliver_due().await.unwrap();
    let dead = in_state(&notify, DeliveryState::Dead).await;
    assert_eq!((dead.len(), dead[0].attempts), (1, 1));
    assert!(dead[0].last_error.as_deref().unwrap().contains("no such user"));
}

async fn a_server_that_is_away_costs_nothing_but_time(house: House) {
    let notify = house.notify();
    house.sink.close().await;
    notify.mail(mail("alice@example.com")).await.unwrap();
    assert_eq!(notify.deliver_due().await.unwrap(), 1);
    assert_eq!(in_state(&notify, DeliveryState::Queued).await[0].attempts, 1);
    assert!(house.sink.mails().is_empty());
}

async fn a_mail_that_must_be_encrypted_is_not_sent_in_clear(house: House) {
    let transport = MailTransport::smtp(&format!("smtp://user:secret@{}", house.sink.address()), "gate@example.com").unwrap();
    let notify = Notify::open(house.db.clone(), house.clock.clone(), transport);
    notify.mail(mail("alice@example.com")).await.unwrap();
    notify.deliver_due().await.unwrap();
    assert!(house.sink.mails().is_empty());
    let queued = in_state(&notify, DeliveryState::Queued).await;
    let error = queued[0].last_error.as_deref().unwrap();
    assert!(error.contains("STARTTLS") && !error.contains("secret"), "{error}");
}

async fn of_two_nodes_one_sends(house: House) {
    let (one, two) = (house.notify(), house.notify());
    for n in 0..20 {
        one.mail(mail(&format!("user{n}@example.com"))).await.unwrap();
    }
    loop {
        let (a, b) = tokio::join!(one.deliver_due(), two.deliver_due());
        if a.unwrap() + b.unwrap() == 0 {
            break;
        }
    }
    let mut to: Vec<String> = house.sink.mails().into_iter().flat_map(|m| m.to).collect();
    to.sort();
    to.dedup();
    assert_eq!((to.len(), house.sink.mails().len()), (20, 20));
}

async fn what_a_worker_left_is_due_again_after_its_lease(house: House) {
    let notify = house.notify();
    notify.mail(mail("alice@example.com")).await.unwrap();
    // Claimed by a worker that was killed then.
    let due = house.db.read().await.unwrap().outbox_due(house.clock.now(), true, 1).await.unwrap();
    let mut tx = house.db.begin().await.unwrap();
    assert!(tx.claim_outbox(&due[0], house.clock.now().checked_add(LEASE).unwrap()).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(notify.deliver_due().await.unwrap(), 0);
    house.clock.advance(LEASE);
    assert_eq!(notify.deliver_due().await.unwrap(), 1);
    assert_eq!(house.sink.mails().len(), 1);
}

async fn a_code_that_ran_out_is_not_sent(house: House) {
    let notify = house.notify();
    let tenant = TenantId(Uuid::from_u128(7));
    let mut tx = house.db.begin().await.unwrap();
    let expires: Timestamp = house.clock.now().checked_add(Duration::from_mins(15)).unwrap();
    let id = notify.mail_until(&mut tx, Some(tenant), mail("alice@example.com"), expires).await.unwrap();
    tx.commit().await.unwrap();
    house.clock.advance(Duration::from_mins(15));
    notify.deliver_due().await.unwrap();
    assert!(house.sink.mails().is_empty());

    // Whose it is may see it, and nobody else; who may not write may not retry.
    let read = Permissions::of(&[Permission::NotificationRead]);
    let page = model::PageRequest::max();
    assert_eq!(notify.deliveries(&caller(7, read), DeliveryState::Dead, &page).await.unwrap().items[0].id, id);
    assert!(notify.deliveries(&caller(8, read), DeliveryState::Dead, &page).await.unwrap().items.is_empty());
    assert!(matches!(notify.deliveries(&caller(7, Permissions::NONE), DeliveryState::Dead, &page).await, Err(Error::Forbidden(_))));
    assert!(matches!(notify.retry(&caller(7, read), id).await, Err(Error::Forbidden(_))));
    let write = Permissions::of(&[Permission::NotificationWrite]);
    assert!(matches!(notify.retry(&caller(8, write), id).await, Err(Error::NotFound { .. })));
    notify.retry(&caller(7, write), id).await.unwrap();
}

async fn the_worker_wakes_at_a_nudge_and_stops_when_told(house: House) {
    let notify = house.notify();
    let stop = CancellationToken::new();
    let worker = tokio::spawn({
        let (notify, stop) = (notify.clone(), stop.clone());
        async move { notify.run(stop).await }
    });
    // Past the first quick looks, so that only the nudge can explain what follows.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let started = std::time::Instant::now();
    notify.mail(mail("alice@example.com")).await.unwrap();
    while house.sink.mails().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(2), "the nudge was not heard");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A nudge from within a transaction comes before its commit.
    let mut tx = house.db.begin().await.unwrap();
    notify.mail_in(&mut tx, mail("bob@example.com")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    tx.commit().await.unwrap();
    let started = std::time::Instant::now();
    while house.sink.mails().len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(4), "not looked at again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(2), worker).await.unwrap().unwrap();
}

async fn without_a_server_mails_wait(house: House) {
    let silent = Notify::open(house.db.clone(), house.clock.clone(), MailTransport::none());
    silent.mail(mail("alice@example.com")).await.unwrap();
    let stop = CancellationToken::new();
    tokio::join!(silent.run(stop.clone()), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.cancel();
    });
    assert_eq!(silent.backlog().await.unwrap(), (1, 0));
    assert_eq!(in_state(&silent, DeliveryState::Queued).await[0].attempts, 0, "no attempt is used up");
    assert_eq!(house.notify().deliver_due().await.unwrap(), 1, "once a server is configured");
}

async fn nothing_is_injected(house: House) {
    let notify = house.notify();
    for bad in ["a@example.com\r\nBcc: eve@example.com", "a@example.com>\r\nRCPT TO:<eve@example.com", "a@example.com,eve@example.com"] {
        assert!(matches!(notify.mail(mail(bad)).await, Err(Error::Invalid { field: "to", .. })), "{bad:?}");
    }
    let subject = Mail { subject: "x\nBcc: eve@example.com".to_owned(), ..mail("a@example.com") };
    assert!(matches!(notify.mail(subject).await, Err(Error::Invalid { field: "subject", .. })));
    let long = Mail { text: "x".repeat(300 << 10), ..mail("a@example.com") };
    assert!(matches!(notify.mail(long).await, Err(Error::TooLarge { .. })));
    assert_eq!(notify.backlog().await.unwrap(), (0, 0));
}

fn fresh_postgres() -> Option<String> {
    let Some(server) = std::env::var_os("HELIOGRAPH_TEST_POSTGRES_URL").and_then(|url| url.into_string().ok()) else {
        assert!(std::env::var_os("HELIOGRAPH_TEST_REQUIRE").is_none(), "HELIOGRAPH_TEST_POSTGRES_URL is not set");
        eprintln!("skipped: HELIOGRAPH_TEST_POSTGRES_URL is not set");
        return None;
    };
    let name = format!("t{}", Uuid::new_v4().simple());
    let made = Command::new("psql").args(["-qX", &server, "-c", &format!("create database {name}")]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(format!("{}/{name}", server.rsplit_once('/').unwrap().0))
}

macro_rules! both {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                super::$name(super::House::with(None).await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                if let Some(url) = super::fresh_postgres() {
                    super::$name(super::House::with(Some(url)).await).await;
                }
            }
        }
    )*};
}

both! {
    a_mail_arrives_once_and_whole
    a_transaction_that_rolls_back_sends_nothing
    a_busy_server_is_asked_again_later_and_later_until_the_mail_is_dead
    what_a_server_will_never_take_is_dead_at_once
    a_server_that_is_away_costs_nothing_but_time
    a_mail_that_must_be_encrypted_is_not_sent_in_clear
    of_two_nodes_one_sends
    what_a_worker_left_is_due_again_after_its_lease
    a_code_that_ran_out_is_not_sent
    the_worker_wakes_at_a_nudge_and_stops_when_told
    without_a_server_mails_wait
    nothing_is_injected
}
