//! The doctor repairs: damaged files are read again, and nothing sound is lost.

use std::path::{Path, PathBuf};

use journal::{InboxId, Journal, JournalError, Record};
use tempfile::{TempDir, tempdir};

use crate::*;

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|e| e == extension));
    all.sort();
    all
}

fn scribble(path: &Path, offset: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

/// A journal of several segments that was killed, and what is in it.
async fn killed(segments: usize) -> (TempDir, journal::Options, Vec<Record>) {
    let (dir, copy) = (tempdir().unwrap(), tempdir().unwrap());
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut all = Vec::new();
    while journal.stats().segments < segments {
        let fat = journal::NewMessage { payload: vec![7; 3_000].into(), ..outbound(tenant(1), thing(1), &options.clock) };
        all.push(put(&journal, fat).await);
    }
    for _ in 0..20 {
        all.push(put(&journal, outbound(tenant(1), thing(1), &options.clock)).await);
    }
    for path in files(dir.path(), "log") {
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    drop(journal);
    let options = journal::Options { dir: copy.path().to_owned(), ..options };
    (copy, options, all)
}

/// What is left after a repair: all of it sound, in order, and part of what there was.
async fn rest(options: &journal::Options, all: &[Record]) -> usize {
    let report = journal::check(&options.dir).unwrap();
    assert!(report.damage.iter().all(|d| d.what.starts_with("missing index")), "{:?}", report.damage);
    let journal = Journal::open(options.clone()).await.unwrap();
    let found = crate::all(&journal, &query(tenant(1), Some(thing(1)))).await;
    assert!(found.iter().all(|record| all.contains(record)));
    assert!(found.is_sorted_by_key(|record| record.seq));
    assert_eq!(inbox(&journal, InboxId::from(thing(1))).await.len(), found.len());
    assert_eq!(journal.stats().damaged, 0);
    // It goes on as if nothing had been.
    let more = put(&journal, outbound(tenant(1), thing(1), &options.clock)).await;
    assert!(more.seq > all.last().unwrap().seq);
    journal.close().await.unwrap();
    found.len()
}

#[tokio::test]
async fn damage_anywhere_in_a_segment_costs_only_what_it_hit() {
    for (segment, offset) in [(0, 5_000_u64), (1, 100), (2, 200)] {
        let (_dir, options, all) = killed(3).await;
        let path = files(&options.dir, "log")[segment].clone();
        scribble(&path, offset, &[0xAA; 40]);
        let before = journal::check(&options.dir).unwrap();
        assert!(!before.damage.is_empty());
        let stops = Journal::open(options.clone()).await.map(|_| ());
        assert!(matches!(stops, Err(JournalError::Corrupt { .. })), "{segment}: {stops:?}");
        let repairs = journal::repair(&options.dir).unwrap();
        let repair = repairs.iter().find(|r| r.damage.file.ends_with(".log")).expect("the segment was repaired");
        assert_eq!(repair.done, "covered; what was there is lost");
        let kept = std::fs::read(repair.kept.as_ref().unwrap()).unwrap();
        assert!(kept.windows(40).any(|w| w == [0xAA; 40]), "the damaged bytes are kept aside");
        let left = rest(&options, &all).await;
        assert!(left < all.len() && left >= all.len() - 3, "{segment}: {left} of {}", all.len());
        assert!(journal::repair(&options.dir).unwrap().iter().all(|r| r.damage.file.ends_with(".idx")), "nothing is left to repair");
    }
}

#[tokio::test]
async fn a_broken_tail_is_kept_aside_and_the_rest_is_whole() {
    let (_dir, options, all) = killed(2).await;
    let path = files(&options.dir, "log").pop().unwrap();
    // From a place that is vouched for to the end.
    let length = std::fs::metadata(&path).unwrap().len();
    let from = 1_500;
    scribble(&path, from, &vec![0x5C; usize::try_from(length - from).unwrap()]);
    let _ = journal::repair(&options.dir).unwrap();
    let left = rest(&options, &all).await;
    assert!(left < all.len(), "{left}");
}

#[tokio::test]
async fn a_segment_that_was_cut_short_is_made_to_fit_again() {
    let (_dir, options, all) = killed(3).await;
    let path = files(&options.dir, "log")[0].clone();
    let length = std::fs::metadata(&path).unwrap().len();
    for cut in [1, 10_000] {
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - cut).unwrap();
        let repairs = journal::repair(&options.dir).unwrap();
        assert!(!repairs.is_empty());
        assert!(journal::check(&options.dir).unwrap().damage.iter().all(|d| d.what.starts_with("missing index")));
    }
    assert!(rest(&options, &all).await < all.len());
}

#[tokio::test]
async fn indexes_checkpoints_and_headers_are_replaced() {
    let dir = tempdir().unwrap();
    let options = options(dir.path());
    let journal = Journal::open(options.clone()).await.unwrap();
    let mut all = Vec::new();
    while journal.stats().segments < 4 {
        let fat = journal::NewMessage { payload: vec![7; 3_000].into(), ..outbound(tenant(1), thing(1), &options.clock) };
        all.push(put(&journal, fat).await);
    }
    journal.close().await.unwrap();
    drop(journal);
    assert_eq!(journal::repair(dir.path()).unwrap(), []);
    for path in files(dir.path(), "idx") {
        scribble(&path, 20, &[0xFF; 30]);
    }
    for name in ["checkpoint-a", "checkpoint-b"] {
        let path = dir.path().join(name);
        if path.exists() {
            scribble(&path, 30, &[0xFF; 8]);
        }
    }
    let repairs = journal::repair(dir.path()).unwrap();
    assert!(repairs.len() >= 3, "{repairs:?}");
    assert!(repairs.iter().filter_map(|r| r.kept.as_ref()).all(|kept| kept.exists()));
    let options = journal::Options { clock: options.clock.clone(), ..options };
    assert_eq!(rest(&options, &all).await, all.len(), "everything that counts is in the segments");
    // A header that cannot be read costs its segment.
    let first = files(dir.path(), "log")[0].clone();
    scribble(&first, 0, &[0; 16]);
    let repairs = journal::repair(dir.path()).unwrap();
    assert!(repairs.iter().any(|r| r.done == "moved away; what was in it is lost"), "{repairs:?}");
    assert!(!first.exists());
    let journal = Journal::open(options).await.unwrap();
    assert!(!crate::all(&journal, &query(tenant(1), Some(thing(1)))).await.is_empty());
    let busy = journal::repair(dir.path()).map(|_| ());
    assert!(matches!(busy, Err(JournalError::InUse { .. })));
}
