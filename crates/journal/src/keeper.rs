//! The keeper: a thread that writes what nobody waits for, segment indexes and checkpoints.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::segment::Segment;
use crate::shared::Shared;
use crate::{JournalError, checkpoint, index};

/// What the keeper is given to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write the index of a sealed segment.
    Seal(Arc<Segment>),
    /// Write a checkpoint whose log position lies in `segment`.
    Checkpoint { number: u64, segment: u64, bytes: Vec<u8> },
}

/// Works until the committer is gone.
pub(crate) fn run(shared: &Shared, jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        let outcome = match job {
            Job::Seal(segment) => seal(shared, &segment),
            Job::Checkpoint { number, segment, bytes } => write_checkpoint(shared, number, segment, &bytes),
        };
        if let Err(error) = outcome {
            // Not lost: an index is built when it is missing, and an older checkpoint means a longer start.
            tracing::warn!(%error, "cannot write an index or checkpoint");
        }
    }
}

/// Writes the index of a sealed segment and gives its memory back.
pub(crate) fn seal(shared: &Shared, segment: &Segment) -> Result<(), JournalError> {
    let _one_at_a_time = shared.sealing.lock();
    let Some(memory) = segment.memory() else { return Ok(()) };
    let header = segment.header;
    let of = index::Segment { id: header.id, generation: header.generation, log_len: segment.end(), base: header.base };
    let summary = {
        let memory = memory.read();
        index::write(&segment.index_path(), of, &memory, &shared.options.faults)?;
        memory.summary
    };
    segment.index_written(summary);
    Ok(())
}

/// Puts a checkpoint in place, unless a later one is there already.
pub(crate) fn write_checkpoint(shared: &Shared, number: u64, segment: u64, bytes: &[u8]) -> Result<(), JournalError> {
    let mut checkpoints = shared.checkpoints.lock();
    if number <= checkpoints.last {
        return Ok(());
    }
    checkpoint::write(&shared.options.dir, number, bytes, &shared.options.faults)?;
    checkpoints.previous_segment = checkpoints.last_segment;
    checkpoints.last = number;
    checkpoints.last_segment = segment;
    Ok(())
}
