//! What one record costs the processor, without the disk's part: append, publish and acknowledge at `Memory`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a measurement, not a product")]

use bytes::Bytes;
use journal::{Durability, Journal, NewMessage, Options};
use model::{Clock, Direction, MessageId, TenantId, ThingId};
use uuid::Uuid;

fn main() {
    divan::main();
}

#[divan::bench(args = [16, 128, 1024, 16_384], sample_count = 20)]
fn append_thousand(bencher: divan::Bencher<'_, '_>, payload: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (dir, clock) = (tempfile::tempdir_in(".").unwrap(), Clock::system());
    let journal = runtime.block_on(Journal::open(Options::new(dir.path(), clock.clone()))).unwrap();
    let message = NewMessage {
        id: clock.new_id::<MessageId>(),
        tenant: TenantId(Uuid::from_u128(1)),
        thing: ThingId(Uuid::from_u128(2)),
        direction: Direction::Inbound,
        at: clock.now(),
        topic: Bytes::from_static(b"things/some-thing/measurements"),
        payload: vec![7; payload].into(),
        expires: None,
        qos: 1,
        retain: false,
        properties: Bytes::new(),
        inboxes: Default::default(),
        idempotency: None,
    };
    bencher.counter(divan::counter::ItemsCount::new(1000_usize)).bench_local(|| {
        runtime.block_on(async {
            for _ in 0..1000 {
                journal.write(message.clone(), Durability::Memory).await.unwrap();
            }
        });
    });
}
