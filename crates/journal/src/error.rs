//! What can go wrong with the journal.

use std::io;
use std::path::Path;

/// The journal's errors; cheap to clone, because one failed write fails many waiters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// More bytes wait for the disk than `Options::max_pending_bytes`; try again after `admit`.
    #[error("the journal's queue is full")]
    Full,
    /// No space left on the device; the record is not stored.
    #[error("disk full")]
    DiskFull,
    /// The disk refused an operation; the record, if any, is not stored.
    #[error("{op} failed on {file}: {detail}")]
    Io {
        /// The operation: "write", "sync", "read", …
        op: &'static str,
        /// The file, relative to the journal's directory where possible.
        file: String,
        /// The system's words.
        detail: String,
    },
    /// Stored bytes are damaged before the end of the log.
    #[error("{file} is damaged at byte {offset}: {reason}")]
    Corrupt {
        /// The file, relative to the journal's directory.
        file: String,
        /// Where the damage starts.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The disk refuses writes for now; reads work, and the journal tries again by itself.
    #[error("the journal cannot write: {reason}")]
    Unhealthy {
        /// The failure that led here.
        reason: String,
    },
    /// A field of the message or query exceeds its limit or is malformed.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is expected instead.
        reason: String,
    },
    /// The payload is larger than allowed.
    #[error("payload larger than the limit of {limit} bytes")]
    TooLarge {
        /// `Options::max_payload`.
        limit: usize,
    },
    /// Another process has the directory open.
    #[error("{dir} is in use by another process")]
    InUse {
        /// The directory.
        dir: String,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

impl JournalError {
    /// From the system's error; no space and over quota become [`JournalError::DiskFull`].
    pub(crate) fn io(op: &'static str, path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io { op, file: file_name(path), detail: error.to_string() },
        }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, reason: &'static str) -> Self {
        Self::Corrupt { file: file_name(path), offset, reason }
    }
}

pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

impl From<JournalError> for model::Error {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Full => Self::unavailable("too many messages wait for the disk"),
            JournalError::DiskFull => Self::unavailable("the disk is full"),
            JournalError::Io { .. } | JournalError::Unhealthy { .. } => Self::unavailable("the message log cannot be reached on disk"),
            JournalError::Closed => Self::unavailable("shutting down"),
            JournalError::Invalid { field, reason } => Self::Invalid { field, reason },
            JournalError::TooLarge { limit } => Self::TooLarge { limit: limit as u64 },
            JournalError::Corrupt { .. } | JournalError::InUse { .. } => Self::internal(error),
        }
    }
}
