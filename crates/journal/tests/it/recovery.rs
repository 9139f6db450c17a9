use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use journal::{Durability, InboxId, Journal, JournalError, NewMessage, Record};
use tempfile::tempdir;

use crate::{all, faulty, inbox, message, options, outbound, put, query, tenant, thing};

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let mut found: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn damage(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], offset).unwrap();
}

/// A journal killed after a few batches: records and the end of each on disk.
async fn killed(dir: &Path, count: usize) -> Vec<(Record, u64)> {
    let (options, faults) = faulty(dir);
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut written = Vec::new();
    for n in 0..count {
        let new = if n % 2 == 0 { message(tenant(1), thing(1), &options.clock) } else { outbound(tenant(1), thing(1), &options.clock) };
        let record = put(&journal, new).await;
        written.push((record, journal.stats().bytes));
    }
    faults.kill();
    drop(journal);
    written
}

#[tokio::test]
async fn cut_at_every_byte_the_log_keeps_all_whole_records() {
    let dir = tempdir().unwrap();
    let original = dir.path().join("original");
    let written = killed(&original, 3).await;
    let end = written.last().unwrap().1;
    let log = files(&original, "log").remove(0);
    let name = log.file_name().unwrap().to_owned();
    for length in (0..=end).rev() {
        let work = dir.path().join("work");
        copy(&original, &work);
        OpenOptions::new().write(true).open(work.join(&name)).unwrap().set_len(length).unwrap();
        let opened = Journal::open(options(&work)).await;
        if (1..64).contains(&length) {
            assert!(matches!(opened, Err(JournalError::Corrupt { .. })), "a cut header at {length}");
            fs::remove_dir_all(&work).unwrap();
            continue;
        }
        let journal = opened.unwrap_or_else(|e| panic!("cut at {length}: {e}"));
        let whole: Vec<Record> = written.iter().filter(|(_, e)| *e <= length).map(|(r, _)| r.clone()).collect();
        assert_eq!(all(&journal, &query(tenant(1), Some(thing(1)))).await, whole, "cut at {length}");
        let boxed: Vec<_> = whole.iter().filter(|r| !r.inboxes.is_empty()).map(|r| r.seq).collect();
        assert_eq!(inbox(&journal, InboxId::from(thing(1))).await, boxed);
        // And it goes on from there.
        let next = put(&journal, message(tenant(1), thing(1), &options(&work).clock)).await;
        assert!(whole.last().is_none_or(|r| r.seq < next.seq));
        drop(journal);
        let journal = Journal::open(options(&work)).await.unwrap();
        assert_eq!(all(&journal, &query(tenant(1), Some(thing(1)))).await.len(), whole.len() + 1);
        drop(journal);
        fs::remove_dir_all(&work).unwrap();
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_an_error_and_the_doctor_shows_it() {
    let dir = tempdir().unwrap();
    let original = dir.path().join("original");
    let written = killed(&original, 5).await;
    assert_eq!(journal::check(&original).unwrap().damage, []);
    assert_eq!(journal::check(&original).unwrap().messages, 5);
    let name = files(&original, "log").remove(0).file_name().unwrap().to_owned();
    // Every byte of everything but the last batch was confirmed by a later one.
    for offset in (0..written[3].1).step_by(7) {
        let work = dir.path().join("work");
        copy(&original, &work);
        damage(&work.join(&name), offset);
        let error = Journal::open(options(&work)).await.unwrap_err();
        let JournalError::Corrupt { offset: at, .. } = error else { panic!("{error}") };
        assert!(at <= offset);
        let report = journal::check(&work).unwrap();
        assert_eq!(report.damage.len(), 1, "{report:?}");
        assert!(report.damage[0].offset <= offset);
        fs::remove_dir_all(&work).unwrap();
    }
    // Damage in the last batch looks like a torn tail.
    damage(&original.join(&name), written[3].1 + 40);
    assert!(journal::check(&original).unwrap().torn_tail > 0);
    let journal = Journal::open(options(&original)).await.unwrap();
    assert_eq!(all(&journal, &query(tenant(1), None)).await.len(), 4);
}

#[tokio::test]
async fn after_a_close_even_the_last_byte_is_vouched_for() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    put(&journal, message(tenant(1), thing(1), &options.clock)).await;
    journal.close().await.unwrap();
    let log = files(dir.path(), "log").remove(0);
    let length = fs::metadata(&log).unwrap().len();
    OpenOptions::new().write(true).open(&log).unwrap().set_len(length - 1).unwrap();
    assert!(matches!(Journal::open(options).await, Err(JournalError::Corrupt { .. })));
    assert!(!journal::check(dir.path()).unwrap().damage.is_empty());
}

#[tokio::test]
async fn what_a_killed_process_left_in_the_page_cache_is_synced_at_open() {
    let dir = tempdir().unwrap();
    let (options, faults) = faulty(dir.path());
    let mut written = Vec::new();
    for _ in 0..3 {
        let journal = Journal::open(options.clone()).await.unwrap();
        for durability in [Durability::Flush, Durability::Sync, Durability::Flush] {
            let ticket = journal.write(outbound(tenant(1), thing(1), &options.clock), durability).await.unwrap();
            written.push((*ticket.record.unwrap()).clone());
        }
        faults.kill();
        drop(journal);
        faults.revive();
    }
    let journal = Journal::open(options).await.unwrap();
    faults.cut_power(0).unwrap();
    drop(journal);
    let journal = Journal::open(crate::options(dir.path())).await.unwrap();
    assert_eq!(all(&journal, &query(tenant(1), None)).await, written);
}

async fn several_segments(dir: &Path) -> Vec<Record> {
    let options = options(dir);
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut tickets = Vec::new();
    for n in 0..2000_u128 {
        let new = NewMessage { idempotency: Some([n as u8; 16]).filter(|_| n < 200), ..outbound(tenant(1), thing(n % 5), &options.clock) };
        tickets.push(journal.append(new, Durability::Sync).unwrap());
        if n % 100 == 0 {
            journal.durable(tickets.last().unwrap().seq).await.unwrap();
        }
    }
    journal.durable(tickets.last().unwrap().seq).await.unwrap();
    for ticket in tickets.iter().take(300) {
        let record = ticket.record.as_ref().unwrap();
        journal.inbox_ack(InboxId::from(record.thing), record.seq);
    }
    journal.close().await.unwrap();
    tickets.into_iter().map(|t| (*t.record.unwrap()).clone()).collect()
}

#[tokio::test]
async fn lost_and_damaged_indexes_are_built_anew() {
    let dir = tempdir().unwrap();
    let records = several_segments(dir.path()).await;
    let indexes = files(dir.path(), "idx");
    assert!(indexes.len() >= 3, "{indexes:?}");
    fs::remove_file(&indexes[0]).unwrap();
    damage(&indexes[1], 20);
    damage(&indexes[2], 500);
    assert_eq!(journal::check(dir.path()).unwrap().damage.len(), 3);
    let journal = Journal::open(options(dir.path())).await.unwrap();
    assert_eq!(all(&journal, &query(tenant(1), None)).await, records);
    let mut seqs = Vec::new();
    for n in 0..5 {
        seqs.extend(inbox(&journal, InboxId::from(thing(n))).await);
    }
    seqs.sort();
    assert_eq!(seqs, records.iter().skip(300).map(|r| r.seq).collect::<Vec<_>>());
    for record in records.iter().step_by(50) {
        assert_eq!(journal.get(tenant(1), record.thing, record.id).await.unwrap().as_deref(), Some(record));
    }
    assert_eq!(journal.stats().damaged, 0);
    journal.close().await.unwrap();
    assert_eq!(journal::check(dir.path()).unwrap().damage, []);
}

#[tokio::test]
async fn without_checkpoints_the_log_tells_everything() {
    let dir = tempdir().unwrap();
    let records = several_segments(dir.path()).await;
    for name in ["checkpoint-a", "checkpoint-b"] {
        let _ = fs::remove_file(dir.path().join(name));
    }
    let journal = Journal::open(options(dir.path())).await.unwrap();
    assert_eq!(all(&journal, &query(tenant(1), None)).await, records);
    assert_eq!(journal.stats().inbox_entries, records.len() - 300);
    assert_eq!(journal.stats().idempotency_keys, 200);
}

#[tokio::test]
async fn a_damaged_record_in_a_sealed_segment_is_counted_and_does_not_hide_the_others() {
    let dir = tempdir().unwrap();
    let records = several_segments(dir.path()).await;
    damage(&files(dir.path(), "log")[0], 1000);
    assert_eq!(journal::check(dir.path()).unwrap().damage.len(), 1);
    let journal = Journal::open(options(dir.path())).await.unwrap();
    assert_eq!(all(&journal, &query(tenant(1), None)).await.len(), records.len() - 1);
    assert!(journal.stats().damaged > 0);
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_confirmed() {
    for seed in 0..40 {
        let dir = tempdir().unwrap();
        let (options, faults) = faulty(dir.path());
        let journal = Journal::open(options.clone()).await.unwrap();
        let mut confirmed = Vec::new();
        let mut visible = Vec::new();
        for n in 0..60 + seed {
            let new = outbound(tenant(1), thing(1), &options.clock);
            if n % 7 == 3 {
                confirmed.push(put(&journal, new).await);
            } else {
                let durability = if n % 2 == 0 { Durability::Flush } else { Durability::Memory };
                visible.push((*journal.write(new, durability).await.unwrap().record.unwrap()).clone());
            }
        }
        faults.cut_power(seed).unwrap();
        drop(journal);
        let journal = Journal::open(crate::options(dir.path())).await.unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let found = all(&journal, &query(tenant(1), Some(thing(1)))).await;
        assert!(confirmed.iter().all(|r| found.contains(r)), "seed {seed}");
        // What is left is a prefix of what was written: no holes.
        let mut written: Vec<Record> = confirmed.iter().chain(&visible).cloned().collect();
        written.sort_by_key(|r| r.seq);
        assert_eq!(found, written[..found.len()], "seed {seed}");
        let next = put(&journal, message(tenant(1), thing(1), &options.clock)).await;
        assert!(next.seq > written.last().unwrap().seq, "a position was used twice");
    }
}

#[tokio::test]
async fn a_snapshot_opens_as_a_journal() {
    let dir = tempdir().unwrap();
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    let mut records = several_segments(&here).await;
    let options = options(&here);
    let journal = Journal::open(options.clone()).await.unwrap();
    records.push(put(&journal, outbound(tenant(1), thing(7), &options.clock)).await);
    journal.snapshot(&there).await.unwrap();
    assert!(matches!(journal.snapshot(&there).await, Err(JournalError::Invalid { field: "dest", .. })));
    // Later changes here are not seen there.
    let later = put(&journal, outbound(tenant(1), thing(7), &options.clock)).await;
    journal.forget(tenant(1), thing(0)).await.unwrap();
    assert_eq!(journal::check(&there).unwrap().damage, []);
    let copy = Journal::open(crate::options(&there)).await.unwrap();
    assert_eq!(all(&copy, &query(tenant(1), None)).await, records);
    assert_eq!(copy.stats().inbox_entries, records.len() - 300);
    assert_eq!(copy.stats().idempotency_keys, 200);
    put(&copy, message(tenant(1), thing(7), &options.clock)).await;
    assert_eq!(all(&journal, &query(tenant(1), Some(thing(7)))).await, [records.last().unwrap().clone(), later]);
}
