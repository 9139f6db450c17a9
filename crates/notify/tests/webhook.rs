//! Web hooks against a server that keeps what it hears.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use identity::{Identity, MasterKey, PasswordCost};
use model::{Clock, PageRequest, TenantId, ThingId};
use notify::{Channel, Delivery, DeliveryState, MailTransport, Notify, Sender, ThingMessage, Webhook};
use store::Db;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

const TENANT: TenantId = TenantId(Uuid::from_u128(5));
const OWNER: Uuid = Uuid::from_u128(9);

/// Answers every request with this status line and headers; keeps them.
async fn server(answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?secret=x", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            while !String::from_utf8_lossy(&text).ends_with('}') {
                let n = socket.read(&mut buffer).await.unwrap();
                text.extend_from_slice(&buffer[..n]);
                if n == 0 {
                    break;
                }
            }
            kept.lock().unwrap().push(String::from_utf8(text).unwrap());
            socket.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
        }
    });
    (url, heard)
}

struct House {
    notify: Notify,
    identity: Identity,
    clock: Clock,
    db: Db,
    sent: Arc<Mutex<Vec<ThingMessage>>>,
    _dir: tempfile::TempDir,
}

impl House {
    async fn new(private: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::sqlite_unsynced(&dir.path().join("store.db")).await.unwrap();
        let clock = Clock::manual("2026-05-01T12:00:00Z".parse().unwrap());
        let mut options = identity::Options::new(clock.clone(), "https://gate.example.com", MasterKey::from_bytes([7; 32]));
        options.password = PasswordCost::fast();
        let identity = Identity::open(db.clone(), options).await.unwrap();
        let notify = Notify::open(db.clone(), clock.clone(), MailTransport::none());
        let sent: Arc<Mutex<Vec<ThingMessage>>> = Arc::default();
        let kept = sent.clone();
        let sender: Sender = Arc::new(move |message| {
            kept.lock().unwrap().push(message);
            Box::pin(async { Ok(()) })
        });
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        notify.equip(identity.clone(), private, sender);
        Self { notify, identity, clock, db, sent, _dir: dir }
    }

    async fn hook(&self, url: &str) {
        let mut tx = self.db.begin().await.unwrap();
        let hook = Webhook { owner: OWNER, url: url.to_owned(), body: "{\"a\":1}".to_owned() };
        self.notify.webhook_in(&mut tx, TENANT, hook).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn one(&self, state: DeliveryState) -> Delivery {
        let operator = self.identity.operator_caller(TENANT);
        let found = self.notify.deliveries_by(&operator, state, Some(Channel::Webhook), &PageRequest::max()).await.unwrap().items;
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }
}

#[tokio::test]
async fn a_hook_is_signed_and_done() {
    let house = House::new(true).await;
    let (url, heard) = server("204 No Content").await;
    house.hook(&url).await;
    assert_eq!(house.notify.deliver_due().await.unwrap(), 1);
    let request = heard.lock().unwrap()[0].clone();
    let id = house.one(DeliveryState::Sent).await.id;
    assert!(request.starts_with("POST /hook?secret=x HTTP/1.1\r\n") && request.ends_with("\r\n\r\n{\"a\":1}"), "{request}");
    assert!(request.contains(&format!("heliograph-delivery: {id}\r\n")), "{request}");
    let seconds = house.clock.now().as_second();
    let signature = house.identity.sign_webhook(OWNER, seconds, b"{\"a\":1}");
    assert!(request.contains(&format!("heliograph-signature: t={seconds},v1={signature}\r\n")), "{request}");
    assert_eq!(house.notify.webhook_secret(OWNER).len(), 64);
    assert_ne!(house.notify.webhook_secret(OWNER), house.notify.webhook_secret(Uuid::nil()));
}

#[tokio::test]
async fn what_fails_is_tried_again_and_what_redirects_is_not() {
    let house = House::new(true).await;
    let (url, heard) = server("503 Service Unavailable").await;
    house.hook(&url).await;
    for _ in 0..2 {
        assert_eq!(house.notify.deliver_due().await.unwrap(), 1);
        house.clock.advance(Duration::from_mins(1));
    }
    let waiting = house.one(DeliveryState::Queued).await;
    assert_eq!((heard.lock().unwrap().len(), waiting.attempts), (2, 2));
    assert_eq!(waiting.recipient.unwrap(), url.split('?').next().unwrap(), "what follows ? is not shown");
    assert!(waiting.last_error.unwrap().contains("503"));

    let house = House::new(true).await;
    let (target, untouched) = server("204 No Content").await;
    let moved: &'static str = Box::leak(format!("302 Found\r\nlocation: {target}").into_boxed_str());
    let (url, _) = server(moved).await;
    house.hook(&url).await;
    house.notify.deliver_due().await.unwrap();
    assert!(house.one(DeliveryState::Dead).await.last_error.unwrap().contains("redirects"));
    assert!(untouched.lock().unwrap().is_empty());
}

#[tokio::test]
async fn private_addresses_are_not_called() {
    for host in ["127.0.0.1", "localhost", "[::1]", "0x7f000001", "2130706433"] {
        let house = House::new(false).await;
        let (url, heard) = server("204 No Content").await;
        house.hook(&url.replace("127.0.0.1", host)).await;
        house.notify.deliver_due().await.unwrap();
        assert!(heard.lock().unwrap().is_empty(), "{host}");
        let state = if host == "localhost" { DeliveryState::Queued } else { DeliveryState::Dead };
        let error = house.one(state).await.last_error.unwrap();
        assert!(error.contains("private address"), "{host}: {error}");
    }
}

#[tokio::test]
async fn a_message_to_a_thing_goes_where_the_house_says() {
    let house = House::new(false).await;
    let thing = ThingId(Uuid::from_u128(3));
    let mut tx = house.db.begin().await.unwrap();
    let id = house.notify.message_in(&mut tx, TENANT, thing, "look up".to_owned()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(house.notify.deliver_due().await.unwrap(), 1);
    assert_eq!(*house.sent.lock().unwrap(), [ThingMessage { id, tenant: TENANT, thing, payload: "look up".to_owned() }]);
}
