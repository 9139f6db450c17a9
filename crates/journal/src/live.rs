//! Live streams: every subscriber has a ring of its own, so that a slow one loses records and nobody waits.

use std::sync::Arc;

use crate::Record;

/// Why a live stream has no record to hand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiveError {
    /// The reader was too slow; so many records were dropped. The next call continues with the oldest one kept.
    #[error("{0} records were missed")]
    Lagged(u64),
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
}

/// Records as they become durable, from the moment of subscription.
#[derive(Debug)]
pub struct LiveStream {}

impl LiveStream {
    /// The next record; cancel safe.
    pub async fn recv(&mut self) -> Result<Arc<Record>, LiveError> {
        Err(LiveError::Closed)
    }
}
