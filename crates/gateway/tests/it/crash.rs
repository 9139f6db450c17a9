//! `kill -9` under load, again and again: every message that was acknowledged is there afterwards, and is delivered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use testkit::fleet::{ALICE, thing_with_secret};
use testkit::mqtt::{Client, Options, Packet};
use testkit::{Child, Http};
use tokio::task::JoinHandle;

use crate::Place;

const KILLS: usize = 24;
const PUBLISHERS: usize = 3;
const SENDERS: usize = 3;
const IN_FLIGHT: usize = 16;

/// What was acknowledged, written down by the clients themselves.
#[derive(Default)]
struct Ledger {
    /// From things, by MQTT: payloads by thing.
    inbound: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// To the thing, by HTTP: payloads by message id.
    outbound: Mutex<BTreeMap<String, String>>,
    /// What the thing has received, in its order.
    delivered: Mutex<Vec<String>>,
}

/// Publishes until the connection breaks; `IN_FLIGHT` unacknowledged at a time.
fn publisher(address: String, id: String, key: String, round: usize, ledger: Arc<Ledger>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let options = Options::new(&key).login(&id, "a secret of the thing");
        let Ok(Ok(mut client)) = Client::try_connect(&address, &options).await else { return };
        let topic = format!("things/{key}/load");
        let mut waiting: VecDeque<(u16, String)> = VecDeque::new();
        for number in 0.. {
            let payload = format!("{key} {round} {number}");
            let Ok(packet) = client.writer.publish(&topic, payload.as_bytes(), 1, false).await else { return };
            waiting.push_back((packet, payload));
            while waiting.len() >= IN_FLIGHT {
                match client.reader.next().await {
                    Ok(Some(Packet::Puback(got, reason))) => {
                        assert_eq!(reason, 0);
                        let (sent, payload) = waiting.pop_front().unwrap();
                        assert_eq!(got, sent, "acknowledgements come in order");
                        ledger.inbound.lock().unwrap().entry(key.clone()).or_default().insert(payload);
                    }
                    Ok(Some(other)) => panic!("{other:?}"),
                    Ok(None) | Err(_) => return,
                }
            }
        }
    })
}

/// Sends messages to the thing until the gateway is gone.
fn sender(http: Http, number: usize, round: usize, ledger: Arc<Ledger>) -> JoinHandle<()> {
    tokio::spawn(async move {
        for n in 0.. {
            let payload = format!("to the thing {number} {round} {n}");
            let body = json!({ "payload": payload }).to_string().into_bytes();
            let sent = http.try_send(
                "POST".parse().unwrap(),
                "/heliograph/v1/things/away/messages",
                &[("content-type", "application/json")],
                Some(body),
            );
            match sent.await {
                Ok(answer) if answer.status == 201 => {
                    let id = answer.json()["id"].as_str().unwrap().to_owned();
                    ledger.outbound.lock().unwrap().insert(id, payload);
                }
                Ok(answer) => panic!("{answer}"),
                Err(_) => return,
            }
        }
    })
}

/// Every payload in a thing's history.
async fn history(http: &Http, thing: &str, direction: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let page =
            http.get(&format!("/heliograph/v1/things/{thing}/messages?direction={direction}&limit=1000{cursor}")).await.expect(200).json();
        for message in page["items"].as_array().unwrap() {
            let fresh = found.insert(message["payload"].as_str().unwrap().to_owned());
            assert!(fresh, "stored twice: {message}");
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

async fn device(gateway: &Child, id: &str) -> Client {
    let mut device = Client::connect(gateway.mqtt(), &Options::new("away").login(id, "a secret of the thing")).await;
    assert_eq!(device.subscribe("things/away/inbox", 1).await, 1);
    device
}

/// The thing takes what comes, until the gateway is gone.
fn receiver(mut device: Client, ledger: Arc<Ledger>) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok(Some(packet)) = device.reader.next().await {
            let Packet::Publish { payload, id, .. } = packet else { panic!("{packet:?}") };
            ledger.delivered.lock().unwrap().push(String::from_utf8(payload.to_vec()).unwrap());
            if device.writer.puback(id).await.is_err() {
                return;
            }
        }
    })
}

/// The thing takes what waits for it, until everything acknowledged so far has been there.
async fn drain(gateway: &Child, id: &str, ledger: &Ledger) {
    let mut missing: BTreeSet<String> = ledger.outbound.lock().unwrap().values().cloned().collect();
    for payload in ledger.delivered.lock().unwrap().iter() {
        missing.remove(payload);
    }
    let mut device = device(gateway, id).await;
    while !missing.is_empty() {
        let (_, payload) = device.receive().await;
        let payload = String::from_utf8(payload.to_vec()).unwrap();
        missing.remove(&payload);
        ledger.delivered.lock().unwrap().push(payload);
    }
    device.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let place = Place::new();
    let mut gateway = place.start();
    let mut alice = ALICE.native(&gateway.http()).await;
    let away = thing_with_secret(&alice, "away", "a secret of the thing").await;
    let mut things = Vec::new();
    for number in 0..PUBLISHERS {
        let key = format!("load-{number}");
        things.push((thing_with_secret(&alice, &key, "a secret of the thing").await, key));
    }
    let ledger = Arc::new(Ledger::default());
    for round in 0..KILLS {
        let mut tasks = Vec::new();
        for (id, key) in &things {
            tasks.push(publisher(gateway.mqtt().to_owned(), id.clone(), key.clone(), round, ledger.clone()));
        }
        for number in 0..SENDERS {
            tasks.push(sender(alice.clone(), number, round, ledger.clone()));
        }
        // Every other time the thing is there to receive while the gateway dies.
        if round % 2 == 1 {
            tasks.push(receiver(device(&gateway, &away).await, ledger.clone()));
        }
        // Sometimes in the middle of the first batch, sometimes after many.
        tokio::time::sleep(Duration::from_millis(25 + (round as u64 * 67) % 300)).await;
        gateway.kill();
        for task in tasks {
            task.await.unwrap();
        }
        gateway = Child::start(crate::HELIOGRAPH, &place.data(), &[]);
        alice = ALICE.native(&gateway.http()).await;
        drain(&gateway, &away, &ledger).await;
        if round % 6 == 5 {
            check(&alice, &things, &ledger).await;
        }
    }
    check(&alice, &things, &ledger).await;
    let inbound: usize = ledger.inbound.lock().unwrap().values().map(BTreeSet::len).sum();
    let outbound = ledger.outbound.lock().unwrap().len();
    let delivered = ledger.delivered.lock().unwrap().clone();
    let again = delivered.len() - delivered.iter().collect::<BTreeSet<_>>().len();
    eprintln!("{KILLS} kills: {inbound} messages from things and {outbound} to one were acknowledged, none is lost; {again} came twice");
    assert!(inbound > KILLS * 10 && outbound > KILLS, "the load was no load: {inbound}, {outbound}");
    // What was delivered and acknowledged does not come for ever: the inbox is empty at last.
    let left = alice.get("/heliograph/v1/things/away/inbox?limit=1000").await.expect(200).json();
    let left: BTreeSet<String> = left["items"].as_array().unwrap().iter().map(|m| m["payload"].as_str().unwrap().to_owned()).collect();
    let last = format!(" {} ", KILLS - 1);
    assert!(left.iter().all(|payload| payload.contains(&last)), "old messages are still waiting: {left:?}");
    assert_eq!(gateway.stop(), Some(0));
}

async fn check(alice: &Http, things: &[(String, String)], ledger: &Ledger) {
    for (_, key) in things {
        let stored = history(alice, key, "inbound").await;
        let acknowledged = ledger.inbound.lock().unwrap().get(key).cloned().unwrap_or_default();
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "acknowledged by MQTT, then lost: {lost:?}");
    }
    let stored = history(alice, "away", "outbound").await;
    let acknowledged: BTreeSet<String> = ledger.outbound.lock().unwrap().values().cloned().collect();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "acknowledged by HTTP, then lost: {lost:?}");
}
