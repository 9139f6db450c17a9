//! The doctor: reads a whole journal and reports what is damaged; changes nothing.

use std::path::Path;

use model::Clock;

use crate::checkpoint;
use crate::codec::{KIND_MESSAGE, MessageView, read_control};
use crate::disk::DiskFile;
use crate::error::file_name;
use crate::index::DiskIndex;
use crate::recover::segment_ids;
use crate::segment::{HEADER, SegmentHeader, greatest_mark, log_path, next_sound, walk};
use crate::{Faults, JournalError, Options};

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segment files read.
    pub segments: usize,
    /// Sound messages.
    pub messages: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes after the last sound record of the active segment that were never confirmed as on disk; opening cuts them.
    pub torn_tail: u64,
    /// What is damaged; empty when all is well.
    pub damage: Vec<Damage>,
}

/// One damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file, in the journal's directory.
    pub file: String,
    /// Where it starts.
    pub offset: u64,
    /// Where sound records go on; none when they do not.
    pub resumes: Option<u64>,
    /// What is wrong, in a few words.
    pub what: &'static str,
}

/// Reads every record, index and checkpoint in a directory and changes nothing. May run beside an open journal, whose
/// newest records may then look like a torn tail.
pub fn check(dir: &Path) -> Result<Report, JournalError> {
    let (faults, options) = (Faults::none(), Options::new(dir, Clock::system()));
    let mut report = Report::default();
    // Everything before its position was on disk when it was written.
    let vouched = checkpoint::load(dir, &faults).map_or((0, 0), |c| (c.segment, c.offset));
    let ids = segment_ids(dir, false, &options)?;
    for id in &ids {
        let path = log_path(dir, *id);
        let file = DiskFile::open(&path, false, &faults)?;
        let length = file.len()?;
        report.segments += 1;
        report.bytes += length;
        let header = SegmentHeader::read(&file.read_exact(0, HEADER.min(length) as usize)?);
        let Some(header) = header.filter(|h| h.id == *id) else {
            report.add(&path, 0, None, "bad segment header");
            continue;
        };
        let is_last = Some(id) == ids.last();
        let vouched = if vouched.0 == *id { vouched.1 } else { 0 };
        read_segment(&file, length, is_last.then_some(vouched), &mut report)?;
        if length < vouched {
            report.add(&path, length, None, "the file ends too early");
        }
        if !is_last {
            read_index(&path, &header, length, &mut report);
        }
    }
    for number in [0, 1] {
        let path = checkpoint::path(dir, number);
        if !path.exists() {
            continue;
        }
        let file = DiskFile::open(&path, false, &faults)?;
        let bytes = file.read_exact(0, file.len()? as usize)?;
        report.bytes += bytes.len() as u64;
        if checkpoint::decode(&bytes).is_none() {
            report.add(&path, 0, None, "damaged checkpoint (the other one is used)");
        }
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, path: &Path, offset: u64, resumes: Option<u64>, what: &'static str) {
        self.damage.push(Damage { file: file_name(path), offset, resumes, what });
    }
}

/// `active`: how much of the active segment the checkpoint vouches for; none for a sealed one.
fn read_segment(file: &DiskFile, length: u64, active: Option<u64>, report: &mut Report) -> Result<(), JournalError> {
    let mut at = HEADER;
    while at < length {
        let mut unreadable = Vec::new();
        let (stopped, _) = walk(file, at, length, |offset, frame| {
            let known = match frame.kind {
                KIND_MESSAGE => MessageView::read(frame.body).is_some(),
                kind => read_control(kind, frame.body).is_some(),
            };
            if !known {
                unreadable.push(offset);
            }
            report.messages += u64::from(known && frame.kind == KIND_MESSAGE);
            Ok(())
        })?;
        for offset in unreadable {
            report.add(file.path(), offset, None, "a sound frame with an unreadable body");
        }
        if stopped >= length {
            break;
        }
        if let Some(vouched) = active
            && greatest_mark(file, stopped, length)?.max(vouched) <= stopped
        {
            let rest = file.read_exact(stopped, (length - stopped) as usize)?;
            // Zeros were only laid out ahead.
            report.torn_tail = rest.iter().rposition(|b| *b != 0).map_or(0, |last| last as u64 + 1);
            break;
        }
        let resumes = next_sound(file, stopped, length)?;
        report.add(file.path(), stopped, resumes, "damaged record");
        match resumes {
            Some(next) => at = next,
            None => break,
        }
    }
    Ok(())
}

fn read_index(log: &Path, header: &SegmentHeader, length: u64, report: &mut Report) {
    let path = log.with_extension("idx");
    let what = match DiskIndex::open(&path, &Faults::none()) {
        Err(_) if !path.exists() => "missing index (opening builds it)",
        Err(_) => "damaged index (opening builds it anew)",
        Ok(index) if (index.header.generation, index.header.log_len) != (header.generation, length) => {
            "index of another file (opening builds it anew)"
        }
        Ok(index) if index.verify().is_err() => "damaged index (reading builds it anew)",
        Ok(_) => return,
    };
    report.add(&path, 0, None, what);
}
