//! Faults to inject, so that tests can see what the journal does when the disk misbehaves.
//!
//! Every change the journal makes on disk passes through `disk.rs`, which asks here first. The power cut
//! remembers the bytes each unsynced write replaced and gives back some of them, sector by sector.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

const SECTOR: usize = 512;

/// What a failing write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// Nothing is written; no space left on the device.
    NoSpace,
    /// So many bytes are written, then the space is used up.
    Short(usize),
    /// Nothing is written; an input/output error.
    Io,
}

/// A handle on the injected faults; clones share them. None by default, and then it costs nothing.
#[derive(Clone, Debug, Default)]
pub struct Faults(Option<Arc<Mutex<State>>>);

#[derive(Debug, Default)]
struct State {
    writes: Option<(u64, WriteFault)>,
    syncs: u64,
    creates: u64,
    killed: bool,
    unsynced: HashMap<PathBuf, Vec<Overwritten>>,
}

#[derive(Debug)]
struct Overwritten {
    offset: u64,
    old: Vec<u8>,
    new_len: usize,
    file_len: u64,
}

impl Faults {
    /// No faults, and none can be switched on.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Faults that can be switched on later through this handle.
    #[must_use]
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// The next `count` writes of the log fail (`u64::MAX`: until told otherwise; 0: no more).
    pub fn fail_writes(&self, count: u64, fault: WriteFault) {
        self.with(|state| state.writes = (count > 0).then_some((count, fault)));
    }

    /// The next `count` syncs of the log fail.
    pub fn fail_syncs(&self, count: u64) {
        self.with(|state| state.syncs = count);
    }

    /// The next `count` creations of files fail with no space.
    pub fn fail_creates(&self, count: u64) {
        self.with(|state| state.creates = count);
    }

    /// From now on nothing reaches the disk any more, as if the process had been killed.
    pub fn kill(&self) {
        self.with(|state| state.killed = true);
    }

    /// A new process may write again; what the killed one did not sync is still only in the page cache.
    pub fn revive(&self) {
        self.with(|state| state.killed = false);
    }

    /// Kills, then takes back a part of what was written and not synced, chosen by `seed` (0: all of it).
    pub fn cut_power(&self, seed: u64) -> io::Result<()> {
        self.kill();
        let Some(state) = &self.0 else { return Ok(()) };
        let mut dice = seed;
        for (path, writes) in std::mem::take(&mut state.lock().unsynced) {
            let Ok(file) = OpenOptions::new().read(true).write(true).open(&path) else { continue };
            for write in writes.iter().rev() {
                let mut at = 0;
                while at < write.new_len {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(u64::from(seed != 0));
                    let end = (at + SECTOR).min(write.new_len);
                    if dice >> 33 & 1 == 0 {
                        let mut sector = write.old.get(at..end.min(write.old.len())).unwrap_or_default().to_vec();
                        sector.resize(end - at, 0);
                        file.write_all_at(&sector, write.offset + at as u64)?;
                    }
                    at = end;
                }
                if seed == 0 {
                    file.set_len(write.file_len)?;
                }
            }
        }
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.0.as_ref().map(|state| act(&mut state.lock()))
    }

    pub(crate) fn killed(&self) -> bool {
        self.with(|state| state.killed).unwrap_or(false)
    }

    /// How many bytes of a write may pass, and the error after them.
    pub(crate) fn on_write(&self, path: &Path, file: &File, offset: u64, len: usize) -> (usize, Option<io::Error>) {
        let Some(state) = &self.0 else { return (len, None) };
        let mut state = state.lock();
        if state.killed {
            return (0, Some(killed()));
        }
        let (passed, error) = match &mut state.writes {
            Some((count, fault)) => {
                let fault = *fault;
                *count -= u64::from(*count != u64::MAX);
                if *count == 0 {
                    state.writes = None;
                }
                match fault {
                    WriteFault::NoSpace => (0, Some(io::Error::from(io::ErrorKind::StorageFull))),
                    WriteFault::Short(n) => (n.min(len), Some(io::Error::from(io::ErrorKind::StorageFull))),
                    WriteFault::Io => (0, Some(io::Error::other("injected write error"))),
                }
            }
            None => (len, None),
        };
        let mut old = vec![0; passed];
        let mut have = 0;
        while let Some(rest) = old.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, offset + have as u64) {
                Ok(n) if n > 0 => have += n,
                _ => break,
            }
        }
        old.truncate(have);
        let file_len = file.metadata().map(|m| m.len()).unwrap_or(0);
        state.unsynced.entry(path.to_owned()).or_default().push(Overwritten { offset, old, new_len: passed, file_len });
        (passed, error)
    }

    /// An error instead of a sync.
    pub(crate) fn on_sync(&self, path: &Path) -> io::Result<()> {
        self.with(|state| {
            if state.killed {
                return Err(killed());
            }
            if state.syncs > 0 {
                state.syncs -= 1;
                return Err(io::Error::other("injected sync error"));
            }
            state.unsynced.remove(path);
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    /// An error instead of creating a file.
    pub(crate) fn on_create(&self) -> io::Result<()> {
        self.with(|state| {
            if state.killed {
                return Err(killed());
            }
            if state.creates > 0 {
                state.creates -= 1;
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    /// An error instead of any other change.
    pub(crate) fn on_change(&self) -> io::Result<()> {
        if self.killed() { Err(killed()) } else { Ok(()) }
    }
}

fn killed() -> io::Error {
    io::Error::other("killed")
}
