//! Series: points of one path of one device.

use model::{Caller, Error, Result, Timestamp};

use crate::Things;

/// A value at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// What.
    pub value: PointValue,
}

/// A scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum PointValue {
    /// A number.
    Number(f64),
    /// True or false.
    Bool(bool),
    /// Text of at most 1,024 bytes; longer ones are no points.
    Text(String),
}

/// What many points become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The average.
    Mean,
    /// The sum.
    Sum,
    /// How many numbers.
    Count,
    /// The earliest.
    First,
    /// The latest.
    Last,
    /// The latest less the earliest.
    Diff,
}

/// How much time one answer covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One answer for the whole range.
    Whole,
    /// So many seconds: 60, 300, 900, 1,800, 3,600 or 86,400.
    Seconds(u32),
}

/// Which points become what. The range holds its beginning and not its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// The series.
    pub path: String,
    /// Not before.
    pub from: Timestamp,
    /// Before.
    pub to: Timestamp,
    /// By what.
    pub by: Aggregation,
    /// Into what.
    pub frame: Frame,
}

/// The answer for one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// When the frame begins.
    pub at: Timestamp,
    /// None: no number falls into it.
    pub value: Option<f64>,
}

impl Things {
    /// The newest points of a device's series, newest first: at most 4,000, not before `since`. Permission: `point:read`.
    pub async fn last_points(&self, caller: &Caller, handle: &str, path: &str, since: Option<Timestamp>, limit: u32) -> Result<Vec<Point>> {
        let _ = (caller, handle, path, since, limit);
        Err(Error::unavailable("begun"))
    }

    /// Numbers of a device's series, frame by frame, oldest first. Error: Invalid for more than 4,000 frames.
    /// Permission: `point:read`.
    pub async fn aggregated(&self, caller: &Caller, handle: &str, what: &Aggregate) -> Result<Vec<Bucket>> {
        let _ = (caller, handle, what);
        Err(Error::unavailable("begun"))
    }

    /// Deletes points of a device's series, in the range if one is given (the end excluded); answers how many.
    /// Permission: `point:write`.
    pub async fn delete_points(
        &self,
        caller: &Caller,
        handle: &str,
        path: &str,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<u64> {
        let _ = (caller, handle, path, from, to);
        Err(Error::unavailable("begun"))
    }
}
