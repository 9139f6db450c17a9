//! The MQTT codec, and a broker with a client that says anything.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::mqtt::codec::{Level, Packet, decode, encode, frame};
use ::mqtt::testing::OpenHost;
use ::mqtt::{Broker, Limits, StreamMeta};
use bytes::BytesMut;
use journal::{Durability, Journal};
use model::Clock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use crate::runtime;

const MAX: usize = 256 * 1024;
/// Inputs a broker and its journal serve before fresh ones come.
const SERVED: usize = 500;

/// First byte: the level. Whatever decodes is encoded again and decodes to the same.
pub fn codec(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let level = [Level::V3, Level::V4, Level::V5][usize::from(first % 3)];
    read_all(rest, level, |packet| same_again(packet, level));
}

fn same_again(packet: &Packet<'_>, level: Level) {
    let mut again = BytesMut::new();
    encode(packet, level, &mut again);
    // A CONNECT brings its own level.
    let level = if let Packet::Connect(connect) = packet { connect.level } else { level };
    let found = frame(&again, Some(level), usize::MAX).unwrap().unwrap();
    assert_eq!(found.total, again.len());
    let read = decode(found.first, &again[found.header..], level).unwrap();
    // Packets of different lifetimes cannot be compared, their texts can.
    assert_eq!(format!("{read:?}"), format!("{packet:?}"));
}

fn read_all(mut bytes: &[u8], level: Level, mut each: impl FnMut(&Packet<'_>)) -> bool {
    while let Ok(Some(found)) = frame(bytes, Some(level), MAX) {
        let Some(body) = bytes.get(found.header..found.total) else { return true };
        let Ok(packet) = decode(found.first, body, level) else { return false };
        each(&packet);
        bytes = &bytes[found.total..];
    }
    bytes.is_empty()
}

struct House {
    broker: Arc<Broker<OpenHost>>,
    journal: Journal,
    served: AtomicUsize,
    _folder: tempfile::TempDir,
}

async fn house() -> House {
    let folder = tempfile::tempdir().unwrap();
    let mut options = journal::Options::new(folder.path(), Clock::system());
    options.segment_bytes = 64 << 10;
    let journal = Journal::open(options).await.unwrap();
    let host = OpenHost::default();
    // Each publish would wait for the disk.
    *host.durability.lock() = Some(Durability::Memory);
    let limits = Limits { max_packet: MAX, ..Limits::default() };
    let broker = Broker::new(Arc::new(host), journal.clone(), Clock::system(), limits).await;
    House { broker, journal, served: AtomicUsize::new(0), _folder: folder }
}

/// First byte: how it connects (3.1.1, 5, lasting or not, or not at all); what follows is what it says then. What the broker answers is
/// whole packets, and it lets go when the client does.
pub fn session(bytes: &[u8]) {
    static HOUSE: Mutex<Option<Arc<House>>> = Mutex::new(None);
    let Some((first, rest)) = bytes.split_first() else { return };
    let hello: &[u8] = match first % 6 {
        0 => b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a",
        1 => b"\x10\x0d\0\x04MQTT\x04\0\0\0\0\x01b",
        2 => b"\x10\x0e\0\x04MQTT\x05\x02\0\0\0\0\x01c",
        3 => b"\x10\x13\0\x04MQTT\x05\0\0\0\x05\x11\0\0\x0e\x10\0\x01d",
        // A thing with an inbox.
        4 => b"\x10\x16\0\x04MQTT\x05\x82\0\0\0\0\x01e\0\x07thing:e",
        _ => b"",
    };
    let level = if matches!(first % 6, 2..=4) { Level::V5 } else { Level::V4 };
    runtime().block_on(async {
        let house = {
            let kept = HOUSE.lock().unwrap().clone();
            match kept.filter(|h| h.served.fetch_add(1, Ordering::Relaxed) < SERVED) {
                Some(house) => house,
                None => {
                    let fresh = Arc::new(house().await);
                    let old = HOUSE.lock().unwrap().replace(fresh.clone());
                    if let Some(old) = old {
                        old.broker.stop(Duration::from_secs(5)).await;
                        old.journal.close().await.unwrap();
                    }
                    fresh
                }
            }
        };
        let (near, far) = duplex(1 << 20);
        let broker = house.broker.clone();
        let serving = tokio::spawn(async move { broker.serve(far, StreamMeta::default()).await });
        let (mut read, mut write) = tokio::io::split(near);
        let said = [hello, rest].concat();
        let saying = async move {
            // It may hang up before everything is said.
            let _ = write.write_all(&said).await;
            let _ = write.shutdown().await;
        };
        let mut heard = Vec::new();
        let hearing = async { read.read_to_end(&mut heard).await };
        let ended = tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(saying, hearing, serving) }).await;
        let (_, _, served) = ended.unwrap_or_else(|_| panic!("the broker did not let go"));
        served.unwrap();
        // Without a hello of ours the level is the client's own choice.
        if !hello.is_empty() {
            assert!(read_all(&heard, level, |_| {}), "the broker wrote what is no packet: {heard:02x?}");
        }
    });
}
