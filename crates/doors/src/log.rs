//! A journal directory somebody else wrote.

use std::time::Duration;

use journal::{HistoryQuery, Journal, Options};
use model::{Clock, PageRequest};

use crate::runtime;

/// A frame's fixed part: `crc32 u32 | length u32 | seq u64 | kind u8`.
const FRAME: usize = 17;
const HEADER: usize = 64;

/// First byte even: the bytes as they are, as the one segment's file. Odd: with its checksums made right first, so that what they guard
/// is reached. Opening refuses or repairs; what opened can be read through, closed and opened again with the same records.
pub fn segment(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let mut file = rest.to_vec();
    if first % 2 == 1 {
        sum(&mut file);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(format!("{:016}.log", 1)), &file).unwrap();
    runtime().block_on(async {
        let whole = tokio::time::timeout(Duration::from_secs(30), async {
            let options = || {
                let mut options = Options::new(folder.path(), Clock::system());
                options.segment_bytes = 64 << 10;
                options
            };
            let _ = journal::check(folder.path());
            let Ok(journal) = Journal::open(options()).await else { return };
            let found = read(&journal).await;
            journal.close().await.unwrap();
            let again = Journal::open(options()).await.unwrap();
            assert_eq!(read(&again).await, found, "a second opening found something else");
            again.close().await.unwrap();
        });
        whole.await.unwrap_or_else(|_| panic!("opening took too long"));
    });
}

/// Every record's position, through every way of reading.
async fn read(journal: &Journal) -> Vec<u64> {
    let mut found = Vec::new();
    let mut after = journal::Seq(0);
    while let Ok(records) = journal.scan(after, 100).await {
        let Some(last) = records.last() else { break };
        assert!(last.seq > after, "positions do not rise");
        after = last.seq;
        for record in &records {
            found.push(record.seq.0);
            let query = HistoryQuery {
                tenant: record.tenant,
                thing: Some(record.thing),
                from: None,
                to: None,
                direction: None,
                newest_first: true,
                page: PageRequest::max(),
            };
            let _ = journal.history(&query).await;
            let _ = journal.get(record.tenant, record.thing, record.id).await;
            let _ = journal.status(record);
            for inbox in &record.inboxes {
                let _ = (journal.inbox_len(*inbox), journal.inbox_next(*inbox, None, 10).await);
            }
        }
    }
    let _ = (journal.retained().await, journal.stats());
    found
}

/// Makes the checksums of the header and of each frame right.
fn sum(file: &mut Vec<u8>) {
    if file.len() < HEADER {
        file.resize(HEADER, 0);
    }
    file[..8].copy_from_slice(b"HELIOLG1");
    // The file's name says 1.
    file[8..16].copy_from_slice(&1u64.to_le_bytes());
    let crc = crc32fast::hash(&file[..HEADER - 4]);
    file[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
    let mut at = HEADER;
    while let Some(head) = file.get(at..at + FRAME) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let Some(body) = usize::try_from(length).ok().and_then(|n| file.get(at + FRAME..(at + FRAME).checked_add(n)?)) else { return };
        if length == 0 {
            return;
        }
        let mut hash = crc32fast::Hasher::new();
        hash.update(body);
        hash.update(&head[8..16]);
        hash.update(&head[4..8]);
        hash.update(&head[16..17]);
        let crc = hash.finalize();
        let end = at + FRAME + body.len();
        file[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
}
