//! Records a second, beside what the disk itself can do, measured on the same disk in the same run.
//!
//! `cargo run --release -p journal --example throughput [DIRECTORY]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measurement, not a product")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use journal::{Durability, HistoryQuery, Journal, JournalError, NewMessage, Options, Seq};
use model::{Clock, Direction, MessageId, PageRequest, TenantId, ThingId};
use uuid::Uuid;

const TIME: Duration = Duration::from_secs(3);
const PAYLOAD: usize = 128;
/// One latency in so many is kept, so that the measurement's own memory stays small.
const SAMPLE: u32 = 32;

fn percentiles(mut micros: Vec<u64>) -> String {
    micros.sort_unstable();
    let at = |part: usize| micros.get(micros.len() * part / 100).copied().unwrap_or(0);
    format!("p50 {} µs, p99 {} µs", at(50), at(99))
}

fn raw(dir: &Path, name: &str, bytes: usize, zeros_ahead: bool) {
    let path = dir.join("raw");
    let file = File::create(&path).unwrap();
    if zeros_ahead {
        file.write_all_at(&vec![0; 64 << 20], 0).unwrap();
        file.sync_all().unwrap();
    }
    let (block, mut at, start, mut times) = (vec![7; bytes], 0, Instant::now(), Vec::new());
    while start.elapsed() < TIME && (!zeros_ahead || at < 60 << 20) {
        let one = Instant::now();
        file.write_all_at(&block, at).unwrap();
        file.sync_data().unwrap();
        times.push(one.elapsed().as_micros() as u64);
        at += bytes as u64;
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    println!("raw write + fdatasync, {name}: {rate:.0}/s, {}", percentiles(times));
    std::fs::remove_file(path).unwrap();
}

fn message(clock: &Clock, thing: u128, inbox: bool) -> NewMessage {
    let thing = ThingId(Uuid::from_u128(thing));
    NewMessage {
        id: clock.new_id::<MessageId>(),
        tenant: TenantId(Uuid::from_u128(1)),
        thing,
        direction: Direction::Inbound,
        at: clock.now(),
        topic: Bytes::from_static(b"things/some-thing/measurements"),
        payload: Bytes::from_static(&[b'x'; PAYLOAD]),
        expires: None,
        qos: 1,
        retain: false,
        properties: Bytes::new(),
        inboxes: if inbox { [thing.into()].into_iter().collect() } else { Default::default() },
        idempotency: None,
    }
}

/// `tasks` publishers, each with up to `window` records on their way, acknowledged in order.
async fn publishers(journal: &Journal, clock: &Clock, tasks: usize, window: usize, durability: Durability, inbox: bool) {
    let (start, before) = (Instant::now(), journal.stats());
    let cpu = cpu_time();
    let mut running = Vec::new();
    for task in 0..tasks {
        let (journal, clock) = (journal.clone(), clock.clone());
        running.push(tokio::spawn(async move {
            let (mut flight, mut times, mut count) = (std::collections::VecDeque::new(), Vec::new(), 0);
            while start.elapsed() < TIME {
                while flight.len() < window {
                    journal.admit().await;
                    match journal.append(message(&clock, task as u128, inbox), durability) {
                        Ok(ticket) => flight.push_back((ticket.seq, Instant::now())),
                        Err(JournalError::Full) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                let (seq, since) = flight.pop_front().unwrap();
                journal.durable(seq).await.unwrap();
                count += 1;
                if count % SAMPLE == 0 || window == 1 {
                    times.push(since.elapsed().as_micros() as u64);
                }
            }
            if let Some((last, _)) = flight.back() {
                journal.durable(*last).await.unwrap();
            }
            (times, count)
        }));
    }
    let (mut times, mut count) = (Vec::new(), 0);
    for task in running {
        let (some, more) = task.await.unwrap();
        times.extend(some);
        count += more;
    }
    let (seconds, after) = (start.elapsed().as_secs_f64(), journal.stats());
    let rate = f64::from(count) / seconds;
    let batch = u64::from(count) / (after.batches - before.batches).max(1);
    let spent = (cpu_time() - cpu).as_secs_f64() * 1e6 / f64::from(count);
    println!(
        "{durability:?} {tasks} × {window}{}: {rate:.0} records/s, {}, {batch} a batch, {:.0} syncs/s, {spent:.2} µs CPU each",
        if inbox { " into inboxes" } else { "" },
        percentiles(times),
        (after.syncs - before.syncs) as f64 / seconds
    );
}

/// One in flight, in turns with the bare disk, so that both meet the same neighbours on a shared machine.
async fn in_turns(journal: &Journal, clock: &Clock, dir: &Path) {
    let path = dir.join("raw");
    let file = File::create(&path).unwrap();
    let (mut bare, mut ours, block) = (Vec::new(), Vec::new(), [7; 256]);
    for at in 0..3000_u64 {
        let one = Instant::now();
        file.write_all_at(&block, at * 256).unwrap();
        file.sync_data().unwrap();
        bare.push(one.elapsed().as_micros() as u64);
        let one = Instant::now();
        journal.write(message(clock, 1, false), Durability::Sync).await.unwrap();
        ours.push(one.elapsed().as_micros() as u64);
    }
    println!("in turns: raw write + fdatasync {}; one publisher, one in flight {}", percentiles(bare), percentiles(ours));
    std::fs::remove_file(path).unwrap();
}

fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 =
        stat.rsplit(')').next().into_iter().flat_map(|s| s.split_whitespace().skip(11).take(2)).filter_map(|t| t.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|l| l.starts_with("VmRSS")).unwrap_or("?").split_whitespace().nth(1).unwrap_or("?").into()
}

#[tokio::main]
async fn main() {
    let dir = std::env::args().nth(1).map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let dir = tempfile::tempdir_in(dir).unwrap();
    raw(dir.path(), "256 bytes, growing file", 256, false);
    raw(dir.path(), "256 bytes, zeros laid out", 256, true);
    raw(dir.path(), "128 KiB, growing file", 128 << 10, false);
    let clock = Clock::system();
    let options = Options::new(dir.path().join("journal"), clock.clone());
    let journal = Journal::open(options.clone()).await.unwrap();
    println!("open on an empty directory, resident {} KiB", resident());
    in_turns(&journal, &clock, dir.path()).await;
    for (tasks, window, durability, inbox) in [
        (1, 1, Durability::Sync, false),
        (50, 1, Durability::Sync, false),
        (50, 20, Durability::Sync, false),
        (50, 20, Durability::Sync, true),
        (50, 20, Durability::Flush, false),
        (50, 20, Durability::Memory, false),
    ] {
        publishers(&journal, &clock, tasks, window, durability, inbox).await;
        println!("  resident {} KiB", resident());
    }
    let stats = journal.stats();
    println!("{} records in {} segments, {} MiB", stats.records, stats.segments, stats.bytes >> 20);
    for thing in [Some(ThingId(Uuid::from_u128(7))), Some(ThingId(Uuid::from_u128(999))), None] {
        let tenant = TenantId(Uuid::from_u128(1));
        for newest_first in [true, false] {
            let page = PageRequest { limit: 100, cursor: None };
            let query = HistoryQuery { tenant, thing, from: None, to: None, direction: None, newest_first, page };
            let start = Instant::now();
            let page = journal.history(&query).await.unwrap();
            println!("history of {thing:?}, newest first {newest_first}: {} rows in {:?}", page.items.len(), start.elapsed());
        }
    }
    let start = Instant::now();
    let (mut after, mut count) = (Seq(0), 0);
    while start.elapsed() < TIME {
        let Ok(rows) = journal.scan(after, 1000).await else { break };
        let Some(last) = rows.last() else { break };
        (after, count) = (last.seq, count + rows.len());
    }
    println!("scan: {:.0} records/s", count as f64 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    journal.close().await.unwrap();
    drop(journal);
    println!("close: {:?}", start.elapsed());
    let start = Instant::now();
    let journal = Journal::open(options).await.unwrap();
    println!("open with data: {:?}, resident {} KiB", start.elapsed(), resident());
    drop(journal);
}
