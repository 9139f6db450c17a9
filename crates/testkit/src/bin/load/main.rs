//! `load`: bounded load for measurements, against a server on this machine. Each command prints one JSON object.
//!
//!     load http   --address HOST:PORT --path P [--method M] [--header 'K: V']… [--body TEXT] --connections C --requests N
//!     load mqtt   --address HOST:PORT --topic T --connections C --in-flight F --messages N [--bytes B] [--qos 0|1] [--username U --password P]
//!     load idle   --address HOST:PORT --topic T --connections C [--username U --password P]      (until standard input ends)
//!     load fan    --address HOST:PORT --topic T --publishers P --subscribers S --messages N [--in-flight F] [--rate R] [--bytes B] [--qos 0|1]
//!     load drain  --address HOST:PORT --topic T --messages N [--bytes B]                         (a queue that filled while nobody was there)
//!     load storm  --address HOST:PORT --connections C [--at-once K]
//!
//! `{}` in a topic, user name or client id is the connection's number.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a measurement that cannot go on should stop")]

mod fan;

use std::collections::VecDeque;
use std::io::Read as _;
use std::time::{Duration, Instant};

use testkit::mqtt::{Client, Options, Packet, encode_publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Arguments(Vec<String>);

impl Arguments {
    fn all(&self, name: &str) -> Vec<String> {
        let flag = format!("--{name}");
        self.0.windows(2).filter(|w| w[0] == flag).map(|w| w[1].clone()).collect()
    }

    fn get(&self, name: &str) -> Option<String> {
        self.all(name).pop()
    }

    fn text(&self, name: &str) -> String {
        self.get(name).unwrap_or_else(|| panic!("--{name} is missing"))
    }

    fn number(&self, name: &str, default: usize) -> usize {
        self.get(name).map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("--{name} is a number")))
    }

    fn mqtt(&self, number: usize) -> Options {
        let fill = |text: String| text.replace("{}", &number.to_string());
        let mut options = Options::new(&fill(self.get("client").unwrap_or_else(|| "load-{}".to_owned())));
        options.username = self.get("username").map(fill);
        options.password = self.get("password");
        options.keep_alive = 0;
        options
    }
}

fn main() {
    let arguments = Arguments(std::env::args().skip(1).collect());
    // One thread: the load must leave the machine's other core to the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match arguments.0.first().map(String::as_str) {
        Some("http") => runtime.block_on(http(arguments)),
        Some("mqtt") => runtime.block_on(mqtt(arguments)),
        Some("idle") => runtime.block_on(idle(arguments)),
        Some("fan") => runtime.block_on(fan::fan(arguments)),
        Some("drain") => runtime.block_on(fan::drain(arguments)),
        Some("storm") => runtime.block_on(fan::storm(arguments)),
        _ => panic!("load http | mqtt | idle | fan | drain | storm"),
    }
}

fn report(what: usize, failed: usize, took: Duration, mut latencies: Vec<u32>) {
    latencies.sort_unstable();
    let at = |share: f64| latencies.get(((latencies.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(0);
    println!(
        "{}",
        serde_json::json!({
            "done": what, "failed": failed, "seconds": took.as_secs_f64(), "per_second": (what as f64 / took.as_secs_f64()).round(),
            "p50_us": at(0.5), "p99_us": at(0.99), "max_us": at(1.0),
        })
    );
}

fn micros(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

async fn http(a: Arguments) {
    let address = a.text("address");
    let connections = a.number("connections", 1);
    let each = a.number("requests", 1_000) / connections;
    let body = a.get("body").unwrap_or_default();
    let headers: String = a.all("header").iter().map(|h| format!("{h}\r\n")).collect();
    let request = format!(
        "{} {} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {}\r\n\r\n{body}",
        a.get("method").unwrap_or_else(|| "GET".to_owned()),
        a.text("path"),
        body.len()
    );
    let begun = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (address, request) = (address.clone(), request.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (mut latencies, mut failed, mut buffer) = (Vec::with_capacity(each), 0, Vec::new());
                for _ in 0..each {
                    let sent = Instant::now();
                    stream.write_all(request.as_bytes()).await.unwrap();
                    if !answer(&mut stream, &mut buffer).await {
                        failed += 1;
                    }
                    latencies.push(micros(sent));
                }
                (latencies, failed)
            })
        })
        .collect();
    let (mut latencies, mut failed) = (Vec::new(), 0);
    for task in tasks {
        let (some, bad) = task.await.unwrap();
        latencies.extend(some);
        failed += bad;
    }
    report(latencies.len(), failed, begun.elapsed(), latencies);
}

/// Reads one answer with a content-length; was it a success?
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    buffer.clear();
    loop {
        assert!(stream.read_buf(buffer).await.unwrap() > 0, "the server closed the connection");
        let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length:")).map_or(0, |v| v.trim().parse::<usize>().unwrap());
        while buffer.len() < end + 4 + length {
            assert!(stream.read_buf(buffer).await.unwrap() > 0, "the server closed the connection");
        }
        return buffer.get(9) == Some(&b'2');
    }
}

async fn mqtt(a: Arguments) {
    let address = a.text("address");
    let connections = a.number("connections", 1);
    let each = a.number("messages", 1_000) / connections;
    let window = a.number("in-flight", 1);
    let qos = u8::try_from(a.number("qos", 1)).unwrap();
    let payload = vec![b'x'; a.number("bytes", 128)];
    let mut clients = Vec::new();
    for number in 0..connections {
        let topic = a.text("topic").replace("{}", &number.to_string());
        clients.push((Client::connect(&address, &a.mqtt(number)).await, topic));
    }
    let begun = Instant::now();
    let tasks: Vec<_> =
        clients.into_iter().map(|(client, topic)| tokio::spawn(publish(client, topic, payload.clone(), qos, each, window))).collect();
    let (mut latencies, mut failed) = (Vec::new(), 0);
    for task in tasks {
        let (some, bad) = task.await.unwrap();
        latencies.extend(some);
        failed += bad;
    }
    report(latencies.len(), failed, begun.elapsed(), latencies);
}

async fn publish(mut client: Client, topic: String, payload: Vec<u8>, qos: u8, each: usize, window: usize) -> (Vec<u32>, usize) {
    let mut latencies = Vec::with_capacity(each);
    let mut waiting: VecDeque<(u16, Instant)> = VecDeque::with_capacity(window);
    let (mut sent, mut failed, mut id, mut out) = (0, 0, 0_u16, Vec::new());
    while latencies.len() < each {
        out.clear();
        while sent < each && waiting.len() < window {
            id = id.checked_add(1).unwrap_or(1);
            encode_publish(&mut out, 4, &topic, &payload, qos, false, id);
            if qos > 0 {
                waiting.push_back((id, Instant::now()));
            } else {
                latencies.push(0);
            }
            sent += 1;
            if out.len() > 60_000 {
                break;
            }
        }
        if !out.is_empty() {
            client.writer.raw(&out).await.unwrap();
        }
        if qos == 0 {
            continue;
        }
        // One must come; whatever has come with it is taken too.
        let mut next = Some(client.reader.expect().await);
        while let Some(packet) = next {
            if let Packet::Puback(got, reason) = packet {
                let position = waiting.iter().position(|(id, _)| *id == got).expect("an acknowledgement of something sent");
                let (_, since) = waiting.remove(position).unwrap();
                latencies.push(micros(since));
                failed += usize::from(reason >= 0x80);
            }
            next = client.reader.take().unwrap();
        }
    }
    if qos == 0 {
        // All of it has arrived when the answer to a ping has.
        client.writer.ping().await.unwrap();
        while client.reader.expect().await != Packet::Pingresp {}
    }
    client.close().await;
    (latencies, failed)
}

async fn idle(a: Arguments) {
    let address = a.text("address");
    let mut clients = Vec::new();
    for number in 0..a.number("connections", 1) {
        let mut client = Client::connect(&address, &a.mqtt(number)).await;
        let granted = client.subscribe(&a.text("topic").replace("{}", &number.to_string()), 1).await;
        assert!(granted < 0x80, "subscription refused with {granted:#x}");
        clients.push(client);
    }
    println!("{}", serde_json::json!({ "open": clients.len() }));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}
