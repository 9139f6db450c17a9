//! Series: points of one path of one device.

use model::{Caller, Error, Permission, Result, Timestamp, Value};
use store::PointFrame;

use crate::Things;
use crate::schema::check_path;

/// Points, and frames, in one answer.
const MANY: u32 = 4_000;
/// Points deleted at a time.
const STEP: u32 = 5_000;

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

impl From<Value> for PointValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(value),
            Value::String(text) => Self::Text(text),
            // Nothing else is stored.
            other => other.as_f64().map_or_else(|| Self::Text(other.to_string()), Self::Number),
        }
    }
}

impl Aggregation {
    fn of(self, frame: &PointFrame) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "nobody counts beyond 2^53 points")]
        let count = frame.count as f64;
        match self {
            Self::Min => frame.min,
            Self::Max => frame.max,
            Self::Mean => frame.sum / count,
            Self::Sum => frame.sum,
            Self::Count => count,
            Self::First => frame.first,
            Self::Last => frame.last,
            Self::Diff => frame.last - frame.first,
        }
    }
}

impl Things {
    /// The newest points of a device's series, newest first: at most 4,000, not before `since`. Error: Invalid(path).
    /// Permission: `point:read`.
    pub async fn last_points(&self, caller: &Caller, handle: &str, path: &str, since: Option<Timestamp>, limit: u32) -> Result<Vec<Point>> {
        let found = self.find(caller, handle, Permission::PointRead, false).await?;
        check_path(path)?;
        // Past retention is past, cleared away or not.
        let since = since.unwrap_or(Timestamp::MIN).max(self.horizon(found.state.plan().retention));
        let points = self.inner.db.read().await?.last_points(found.thing.id, path, since, limit.min(MANY)).await?;
        Ok(points.into_iter().map(|point| Point { at: point.at, value: point.value.into() }).collect())
    }

    /// Numbers of a device's series, frame by frame, oldest first; frames are counted from the beginning of the range.
    /// Errors: Invalid(path), Invalid(to) for a range that ends before it begins, Invalid(frame) for more than 4,000 frames.
    /// Permission: `point:read`.
    pub async fn aggregated(&self, caller: &Caller, handle: &str, what: &Aggregate) -> Result<Vec<Bucket>> {
        let found = self.find(caller, handle, Permission::PointRead, false).await?;
        check_path(&what.path)?;
        let (from, to) = (what.from.as_microsecond(), what.to.as_microsecond());
        if to <= from || from < 0 {
            return Err(Error::invalid("to", "must be after the beginning of the range, and that after 1970"));
        }
        let span = to - from;
        let frame = match what.frame {
            Frame::Whole => span,
            Frame::Seconds(seconds @ (60 | 300 | 900 | 1_800 | 3_600 | 86_400)) => i64::from(seconds) * 1_000_000,
            Frame::Seconds(_) => return Err(Error::invalid("frame", "must be 1, 5, 15 or 30 minutes, an hour or a day")),
        };
        let count = span / frame + i64::from(span % frame != 0);
        if count > i64::from(MANY) {
            return Err(Error::invalid("frame", format!("the range has {count} frames, more than {MANY}")));
        }
        let mut buckets = Vec::new();
        for n in 0..count {
            let at = Timestamp::from_microsecond(from + n * frame).map_err(Error::internal)?;
            buckets.push(Bucket { at, value: None });
        }
        // Nothing of what is past retention; the frames stay where they are.
        let horizon = self.horizon(found.state.plan().retention);
        let frames = self.inner.db.read().await?.point_frames(found.thing.id, &what.path, what.from, what.to, frame, horizon).await?;
        for frame in frames {
            if let Some(bucket) = usize::try_from(frame.frame).ok().and_then(|n| buckets.get_mut(n)) {
                bucket.value = Some(what.by.of(&frame)).filter(|value| value.is_finite());
            }
        }
        Ok(buckets)
    }

    /// Deletes points of a device's series, in the range if one is given (the end excluded); answers how many.
    /// Errors: Invalid(path), Invalid(to). Permission: `point:write`.
    pub async fn delete_points(
        &self,
        caller: &Caller,
        handle: &str,
        path: &str,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<u64> {
        let result = self.delete_points_inner(caller, handle, path, from, to).await;
        self.audit(caller, "points.deleted", &format!("thing:{handle:.64}"), &result);
        result
    }

    async fn delete_points_inner(
        &self,
        caller: &Caller,
        handle: &str,
        path: &str,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<u64> {
        let found = self.find(caller, handle, Permission::PointWrite, false).await?;
        check_path(path)?;
        if from.zip(to).is_some_and(|(from, to)| to < from) {
            return Err(Error::invalid("to", "is before the beginning of the range"));
        }
        let mut deleted = 0;
        loop {
            let mut tx = self.inner.db.begin().await?;
            let gone = tx.delete_points(found.thing.id, path, from, to, STEP).await?;
            tx.commit().await?;
            deleted += gone;
            if gone < u64::from(STEP) {
                return Ok(deleted);
            }
        }
    }
}
