//! The doctor's other hand: what is damaged is kept aside, and what is sound is made to be read again.
//!
//! A damaged place inside a segment gets a frame over it that means nothing, so that every position behind it stays where it is and
//! opening no longer stops there. What lay there is copied to `quarantine/` first. Indexes and checkpoints that cannot be read are moved
//! away and made anew. What was in a damaged place is lost: a message, or a note that one was acknowledged, which then comes again.

use std::fs;
use std::path::{Path, PathBuf};

use model::Clock;

use crate::codec::{FRAME, void};
use crate::disk::{self, DiskFile};
use crate::doctor::check;
use crate::error::file_name;
use crate::recover::lock;
use crate::segment::{HEADER, SegmentHeader, log_path};
use crate::{Damage, Faults, JournalError, Options};

/// Where damaged bytes are kept, below the journal's directory.
const QUARANTINE: &str = "quarantine";

/// What [`repair`] did with one damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// What was found.
    pub damage: Damage,
    /// What was done, in a few words.
    pub done: &'static str,
    /// Where the damaged bytes are now.
    pub kept: Option<PathBuf>,
}

/// Repairs what [`check`] finds in the directory of a journal that is not open; answers what was done, nothing when all is well.
/// Error: [`JournalError::InUse`].
pub fn repair(dir: &Path) -> Result<Vec<Repair>, JournalError> {
    let _lock = lock(dir)?;
    let faults = Faults::none();
    let mut done = lengthen(dir, &faults)?;
    let report = check(dir)?;
    for damage in report.damage {
        let path = dir.join(&damage.file);
        let repaired = match path.extension().and_then(|e| e.to_str()) {
            Some("log") if damage.offset < HEADER => whole(&path, damage, &faults)?,
            Some("log") => cover(&path, damage, &faults)?,
            Some("idx") => {
                let kept = if path.exists() { Some(aside(&path, &faults)?) } else { None };
                Repair { damage, done: "will be built anew", kept }
            }
            _ => {
                let kept = Some(aside(&path, &faults)?);
                Repair { damage, done: "moved away", kept }
            }
        };
        done.push(repaired);
    }
    if !done.is_empty() {
        disk::sync_dir(dir, &faults)?;
    }
    Ok(done)
}

/// Segments that are shorter than what was on disk of them get their length back, so that the next one still fits behind.
fn lengthen(dir: &Path, faults: &Faults) -> Result<Vec<Repair>, JournalError> {
    let options = Options::new(dir, Clock::system());
    let ids = crate::recover::segment_ids(dir, false, &options)?;
    let mut done = Vec::new();
    let checkpoint = crate::checkpoint::load(dir, faults);
    for (at, id) in ids.iter().enumerate() {
        let path = log_path(dir, *id);
        let file = DiskFile::open(&path, true, faults)?;
        let length = file.len()?;
        let next = match ids.get(at + 1) {
            Some(next) => header(&log_path(dir, *next), faults)?.filter(|h| h.previous() == Some(*id)).map_or(0, |h| h.previous_synced),
            None => 0,
        };
        let vouched = checkpoint.as_ref().filter(|c| c.segment == *id).map_or(0, |c| c.offset);
        let wanted = next.max(vouched);
        let generation = header(&path, faults)?.map_or(0, |h| h.generation);
        if length < HEADER || length >= wanted || generation != 0 {
            continue;
        }
        // A frame needs a few bytes: then some of what is there goes under it, too.
        let (sound, _) = crate::segment::walk(&file, HEADER, length, |_, _| Ok(()))?;
        let from = if wanted - length > FRAME as u64 { length } else { sound.min(length) };
        if let Some(frame) = void(wanted - from) {
            file.write_at(&frame, from)?;
            file.sync()?;
            let damage = Damage { file: file_name(&path), offset: length, resumes: None, what: "the file ends too early" };
            done.push(Repair { damage, done: "lengthened; what was there is lost", kept: None });
        }
    }
    Ok(done)
}

fn header(path: &Path, faults: &Faults) -> Result<Option<SegmentHeader>, JournalError> {
    let file = DiskFile::open(path, false, faults)?;
    let length = file.len()?;
    Ok(SegmentHeader::read(&file.read_exact(0, HEADER.min(length) as usize)?))
}

/// Lays a frame that means nothing over the damaged place.
fn cover(path: &Path, damage: Damage, faults: &Faults) -> Result<Repair, JournalError> {
    let file = DiskFile::open(path, true, faults)?;
    let length = file.len()?;
    let end = damage.resumes.unwrap_or(length);
    let bytes = file.read_exact(damage.offset, end.saturating_sub(damage.offset) as usize)?;
    let kept = keep(path, damage.offset, &bytes, faults)?;
    let done = match void(end.saturating_sub(damage.offset)) {
        Some(frame) => {
            file.write_at(&frame, damage.offset)?;
            "covered; what was there is lost"
        }
        // Too short for a frame: only the last bytes of a file can be.
        None => {
            file.set_len(damage.offset)?;
            "cut off"
        }
    };
    file.sync()?;
    // It counted what lay there.
    let index = path.with_extension("idx");
    if index.exists() {
        disk::remove(&index, faults)?;
    }
    Ok(Repair { damage, done, kept: Some(kept) })
}

/// A segment whose header cannot be read is moved away as a whole.
fn whole(path: &Path, damage: Damage, faults: &Faults) -> Result<Repair, JournalError> {
    let kept = aside(path, faults)?;
    let index = path.with_extension("idx");
    if index.exists() {
        disk::remove(&index, faults)?;
    }
    Ok(Repair { damage, done: "moved away; what was in it is lost", kept: Some(kept) })
}

/// A place in the quarantine that is not taken.
fn place(path: &Path, suffix: &str) -> Result<PathBuf, JournalError> {
    let dir = path.parent().unwrap_or(Path::new("")).join(QUARANTINE);
    fs::create_dir_all(&dir).map_err(|e| JournalError::io("create", &dir, &e))?;
    let name = file_name(path);
    let free = (0_u32..).map(|n| dir.join(format!("{name}{suffix}.{n}"))).find(|place| !place.exists());
    Ok(free.unwrap_or_else(|| dir.join(name)))
}

fn aside(path: &Path, faults: &Faults) -> Result<PathBuf, JournalError> {
    let to = place(path, "")?;
    disk::rename(path, &to, faults)?;
    Ok(to)
}

fn keep(path: &Path, offset: u64, bytes: &[u8], faults: &Faults) -> Result<PathBuf, JournalError> {
    let to = place(path, &format!("@{offset}"))?;
    let file = DiskFile::create(&to, faults)?;
    file.write_at(bytes, 0)?;
    file.sync()?;
    Ok(to)
}
