//! From publishers to subscribers: how many get through, and how long each took.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use testkit::mqtt::{Client, Packet, encode_publish};
use tokio::task::LocalSet;

use crate::{Arguments, micros, report};

/// No delivery for so long: the rest is lost.
const QUIET: Duration = Duration::from_secs(5);

/// Every subscriber gets every publisher's messages; the time of sending stands in each.
pub async fn fan(a: Arguments) {
    LocalSet::new().run_until(fan_here(a)).await;
}

async fn fan_here(a: Arguments) {
    let address = a.text("address");
    let topic = a.text("topic");
    let (publishers, subscribers) = (a.number("publishers", 1), a.number("subscribers", 1));
    let each = a.number("messages", 1_000) / publishers;
    let qos = u8::try_from(a.number("qos", 0)).unwrap();
    let (window, rate, bytes) = (a.number("in-flight", 100), a.number("rate", 0), a.number("bytes", 128).max(8));
    let begun = Instant::now();
    let expected = each * publishers;
    let taken = Rc::new(Cell::new(0_usize));
    let mut readers = Vec::new();
    for number in 0..subscribers {
        let mut client = Client::connect(&address, &a.mqtt(10_000 + number)).await;
        assert!(client.subscribe(&topic, qos).await < 0x80, "the subscription is refused");
        readers.push(tokio::task::spawn_local(receive(client, expected, begun, taken.clone())));
    }
    // All are connected before the first one speaks.
    let mut clients = Vec::new();
    for number in 0..publishers {
        clients.push(Client::connect(&address, &a.mqtt(number)).await);
    }
    let started = Instant::now();
    let mut writers = Vec::new();
    for client in clients {
        let pace =
            Pace { each, window, bytes, qos, per_second: rate / publishers, ahead: 2_000, taken: taken.clone(), subscribers, publishers };
        writers.push(tokio::task::spawn_local(send(client, topic.clone(), pace, begun)));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut latencies = Vec::new();
    let mut last = started;
    for reader in readers {
        let (some, at) = reader.await.unwrap();
        latencies.extend(some);
        last = last.max(at);
    }
    let lost = (expected * subscribers).saturating_sub(latencies.len());
    report(latencies.len(), lost, last - started, latencies);
}

struct Pace {
    each: usize,
    window: usize,
    bytes: usize,
    qos: u8,
    per_second: usize,
    /// At QoS 0 nobody acknowledges: so many messages may be under way per publisher, or a queue somewhere overflows and the run
    /// measures who drops fastest.
    ahead: usize,
    taken: Rc<Cell<usize>>,
    subscribers: usize,
    publishers: usize,
}

async fn send(mut client: Client, topic: String, pace: Pace, begun: Instant) {
    let (mut sent, mut acknowledged, mut id, mut out) = (0, 0, 0_u16, Vec::new());
    let mut payload = vec![b'x'; pace.bytes];
    let start = Instant::now();
    let mut waited = Instant::now();
    while acknowledged < pace.each {
        out.clear();
        let due = if pace.per_second == 0 { pace.each } else { (micros(start) as usize * pace.per_second / 1_000_000 + 1).min(pace.each) };
        let arrived = pace.taken.get() / pace.subscribers / pace.publishers;
        let room = if pace.qos == 0 { (arrived + pace.ahead).saturating_sub(sent) } else { pace.window - (sent - acknowledged) };
        for _ in 0..room.min(due - sent.min(due)).min(200) {
            id = id.checked_add(1).unwrap_or(1);
            payload[..8].copy_from_slice(&u64::try_from(begun.elapsed().as_nanos()).unwrap().to_le_bytes());
            encode_publish(&mut out, 4, &topic, &payload, pace.qos, false, id);
            sent += 1;
        }
        if !out.is_empty() {
            client.writer.raw(&out).await.unwrap();
            waited = Instant::now();
        }
        if pace.qos == 0 {
            acknowledged = sent;
            if waited.elapsed() > QUIET {
                return;
            }
        } else if sent > acknowledged && (out.is_empty() || pace.window == sent - acknowledged) {
            let mut next = Some(client.reader.expect().await);
            while let Some(packet) = next {
                acknowledged += usize::from(matches!(packet, Packet::Puback(..)));
                next = client.reader.take().unwrap();
            }
            continue;
        }
        if out.is_empty() {
            tokio::time::sleep(Duration::from_micros(if pace.per_second > 0 { 100 } else { 20 })).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

async fn receive(mut client: Client, expected: usize, begun: Instant, taken: Rc<Cell<usize>>) -> (Vec<u32>, Instant) {
    let mut latencies = Vec::with_capacity(expected);
    let mut last = Instant::now();
    let mut acks = Vec::new();
    while latencies.len() < expected {
        let Ok(next) = tokio::time::timeout(QUIET, client.reader.next()).await else { break };
        let mut next = next.unwrap();
        assert!(next.is_some(), "the server closed a subscriber's connection");
        let now = u64::try_from(begun.elapsed().as_nanos()).unwrap();
        while let Some(packet) = next {
            if let Packet::Publish { payload, qos, id, .. } = packet {
                let at = u64::from_le_bytes(payload[..8].try_into().unwrap());
                latencies.push(u32::try_from(now.saturating_sub(at) / 1_000).unwrap_or(u32::MAX));
                taken.set(taken.get() + 1);
                if qos > 0 {
                    acks.extend_from_slice(&[0x40, 2]);
                    acks.extend_from_slice(&id.to_be_bytes());
                }
            }
            next = client.reader.take().unwrap();
        }
        last = Instant::now();
        if !acks.is_empty() {
            client.writer.raw(&acks).await.unwrap();
            acks.clear();
        }
    }
    client.close().await;
    (latencies, last)
}

/// Fills a persistent session's queue while its client is away; then the client comes back and takes all of it.
pub async fn drain(a: Arguments) {
    let address = a.text("address");
    let topic = a.text("topic");
    let count = a.number("messages", 1_000);
    let mut away = Client::connect(&address, &a.mqtt(20_000).keep()).await;
    assert!(away.subscribe(&topic, 1).await < 0x80, "the subscription is refused");
    away.close().await;
    let taken = Rc::new(Cell::new(0));
    let begun = Instant::now();
    let pace = Pace {
        each: count,
        window: 100,
        bytes: a.number("bytes", 128),
        qos: 1,
        per_second: 0,
        ahead: 0,
        taken: taken.clone(),
        subscribers: 1,
        publishers: 1,
    };
    send(Client::connect(&address, &a.mqtt(0)).await, topic, pace, begun).await;
    let back = Instant::now();
    let client = Client::connect(&address, &a.mqtt(20_000).keep()).await;
    assert!(client.present, "the session is gone");
    let (latencies, last) = receive(client, count, begun, taken).await;
    // How long a message lay there says nothing.
    report(latencies.len(), count - latencies.len(), last - back, Vec::new());
    // The session ends with a clean start.
    Client::connect(&address, &a.mqtt(20_000)).await.close().await;
}

/// Connects all at once, as after a power cut.
pub async fn storm(a: Arguments) {
    LocalSet::new()
        .run_until(async {
            let address = a.text("address");
            let count = a.number("connections", 1_000);
            let gate = Rc::new(tokio::sync::Semaphore::new(a.number("at-once", 200)));
            let begun = Instant::now();
            let mut tasks = Vec::new();
            for number in 0..count {
                let (gate, address, options) = (gate.clone(), address.clone(), a.mqtt(number));
                tasks.push(tokio::task::spawn_local(async move {
                    let _one = gate.acquire().await.unwrap();
                    let sent = Instant::now();
                    let client = Client::connect(&address, &options).await;
                    (micros(sent), client)
                }));
            }
            let (mut latencies, mut open) = (Vec::new(), Vec::new());
            for task in tasks {
                let (took, client) = task.await.unwrap();
                latencies.push(took);
                open.push(client);
            }
            let took = begun.elapsed();
            for client in open {
                client.close().await;
            }
            report(latencies.len(), 0, took, latencies);
        })
        .await;
}
