//! Files: the only place that changes anything on disk, so that faults can be injected here.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Faults, JournalError};

/// An open file that knows its name.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    path: PathBuf,
    faults: Faults,
}

impl DiskFile {
    /// Creates an empty file, replacing one of the same name.
    pub(crate) fn create(path: &Path, faults: &Faults) -> Result<Self, JournalError> {
        faults.on_create().map_err(|e| JournalError::io("create", path, &e))?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
        Ok(Self { file: file.map_err(|e| JournalError::io("create", path, &e))?, path: path.to_owned(), faults: faults.clone() })
    }

    /// Opens an existing file, for writing when asked to.
    pub(crate) fn open(path: &Path, write: bool, faults: &Faults) -> Result<Self, JournalError> {
        let file = OpenOptions::new().read(true).write(write).open(path).map_err(|e| JournalError::io("open", path, &e))?;
        Ok(Self { file, path: path.to_owned(), faults: faults.clone() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn len(&self) -> Result<u64, JournalError> {
        self.file.metadata().map(|m| m.len()).map_err(|e| JournalError::io("stat", &self.path, &e))
    }

    /// Writes all bytes at a position.
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), JournalError> {
        let (passed, error) = self.faults.on_write(&self.path, &self.file, offset, bytes.len());
        let written = self.file.write_all_at(bytes.get(..passed).unwrap_or(bytes), offset);
        written.and(error.map_or(Ok(()), Err)).map_err(|e| JournalError::io("write", &self.path, &e))
    }

    /// Waits until the contents are on disk.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.faults.on_sync(&self.path).and_then(|()| self.file.sync_data()).map_err(|e| JournalError::io("sync", &self.path, &e))
    }

    pub(crate) fn set_len(&self, len: u64) -> Result<(), JournalError> {
        self.faults.on_change().and_then(|()| self.file.set_len(len)).map_err(|e| JournalError::io("truncate", &self.path, &e))
    }

    /// Reads as many bytes as there are, up to the length of `into`.
    pub(crate) fn read_at(&self, into: &mut [u8], offset: u64) -> Result<usize, JournalError> {
        let mut have = 0;
        while let Some(rest) = into.get_mut(have..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + have as u64) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(JournalError::io("read", &self.path, &e)),
            }
        }
        Ok(have)
    }

    /// Reads exactly so many bytes; fewer is damage.
    pub(crate) fn read_exact(&self, offset: u64, len: usize) -> Result<Vec<u8>, JournalError> {
        let mut bytes = vec![0; len];
        if self.read_at(&mut bytes, offset)? < len {
            return Err(JournalError::corrupt(&self.path, offset, "the file ends too early"));
        }
        Ok(bytes)
    }
}

/// Makes created, renamed and removed names durable.
pub(crate) fn sync_dir(dir: &Path, faults: &Faults) -> Result<(), JournalError> {
    faults.on_change().and_then(|()| File::open(dir)?.sync_all()).map_err(|e| JournalError::io("sync", dir, &e))
}

/// Replaces a name by a finished file.
pub(crate) fn rename(from: &Path, to: &Path, faults: &Faults) -> Result<(), JournalError> {
    faults.on_change().and_then(|()| fs::rename(from, to)).map_err(|e| JournalError::io("rename", to, &e))
}

/// Removes a file; absent is fine.
pub(crate) fn remove(path: &Path, faults: &Faults) -> Result<(), JournalError> {
    match faults.on_change().and_then(|()| fs::remove_file(path)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(JournalError::io("remove", path, &e)),
        _ => Ok(()),
    }
}

/// Writes a whole file beside its name, syncs it and puts it in place.
pub(crate) fn replace(path: &Path, bytes: &[u8], faults: &Faults) -> Result<Arc<DiskFile>, JournalError> {
    let temporary = path.with_extension("tmp");
    let file = DiskFile::create(&temporary, faults)?;
    let finished = file.write_at(bytes, 0).and_then(|()| file.sync()).and_then(|()| rename(&temporary, path, faults));
    if let Err(error) = finished {
        let _ = remove(&temporary, faults);
        return Err(error);
    }
    if let Some(dir) = path.parent() {
        sync_dir(dir, faults)?;
    }
    Ok(Arc::new(DiskFile { file: file.file, path: path.to_owned(), faults: faults.clone() }))
}
