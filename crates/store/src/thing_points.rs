//! Points of series.

use model::{TenantId, ThingId, Timestamp, Value};
use uuid::Uuid;

use crate::db::{Tx, from_json, micros, timestamp, to_json};
use crate::error::Error;

sql! {
    INSERT = "insert into thing_point (thing, path, at, seq, tenant, number, other) values ($1, $2, $3, $4, $5, $6, $7) \
              on conflict (thing, path, at, seq) do nothing";
    LAST = "select at, number, other from thing_point where thing = $1 and path = $2 and at >= $3 order by at desc, seq desc limit $4";
    // Frames are counted from the beginning of the range; the earliest and the latest number of each are looked up beside it.
    FRAMES = "select g.frame as frame, g.n as n, g.least as least, g.greatest as greatest, g.total as total, \
              (select number from thing_point where thing = $1 and path = $2 and at = g.head and number is not null order by seq limit 1) as head, \
              (select number from thing_point where thing = $1 and path = $2 and at = g.tail and number is not null order by seq desc limit 1) as tail \
              from (select (at - $3) / $5 as frame, count(*) as n, min(number) as least, max(number) as greatest, sum(number) as total, \
              min(at) as head, max(at) as tail from thing_point \
              where thing = $1 and path = $2 and at >= $3 and at >= $6 and at < $4 and number is not null group by (at - $3) / $5) g";
    DELETE = "delete from thing_point where (thing, path, at, seq) in \
              (select thing, path, at, seq from thing_point where thing = $1 and path = $2 and at >= $3 and at < $4 limit $5)";
    FORGET = "delete from thing_point where (thing, path, at, seq) in \
              (select thing, path, at, seq from thing_point where thing = $1 limit $2)";
    TENANT = "select tenant from thing_point where tenant > $1 order by tenant limit 1";
    PURGE = "delete from thing_point where (thing, path, at, seq) in \
             (select thing, path, at, seq from thing_point where tenant = $1 and at < $2 order by at limit $3)";
}

row! { struct PointRow { at: i64, number: Option<f64>, other: Option<String> } }
row! {
    struct FrameRow {
        frame: i64, n: i64, least: Option<f64>, greatest: Option<f64>, total: Option<f64>, head: Option<f64>, tail: Option<f64>,
    }
}
row! { struct TenantRow { tenant: Uuid } }

/// A point to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewPoint<'a> {
    /// The thing's tenant.
    pub tenant: TenantId,
    /// The thing.
    pub thing: ThingId,
    /// The series.
    pub path: &'a str,
    /// When.
    pub at: Timestamp,
    /// The message's position in the journal: what makes storing it again change nothing.
    pub seq: u64,
    /// A scalar.
    pub value: &'a Value,
}

/// A point as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPoint {
    /// When.
    pub at: Timestamp,
    /// A scalar.
    pub value: Value,
}

/// What the numbers of one frame come to; a frame without any is left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PointFrame {
    /// Which, from 0.
    pub frame: u64,
    /// How many numbers.
    pub count: u64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// The sum.
    pub sum: f64,
    /// The earliest.
    pub first: f64,
    /// The latest.
    pub last: f64,
}

fn end(to: Option<Timestamp>) -> i64 {
    to.map_or(i64::MAX, micros)
}

impl Tx {
    /// Stores a point, unless it is stored already.
    pub async fn insert_point(&mut self, p: &NewPoint<'_>) -> Result<(), Error> {
        // What no double holds (there is none in JSON as we read it) would come back as null.
        let number = p.value.as_f64().filter(|_| p.value.is_number());
        let other = if number.is_some() { None } else { Some(to_json(p.value)) };
        let seq = i64::try_from(p.seq).unwrap_or(i64::MAX);
        execute!(self, sql::INSERT, p.thing.uuid(), p.path, micros(p.at), seq, p.tenant.uuid(), number, other)?;
        Ok(())
    }

    /// The newest points of a series, newest first.
    pub async fn last_points(&mut self, thing: ThingId, path: &str, since: Timestamp, limit: u32) -> Result<Vec<StoredPoint>, Error> {
        let rows = fetch_all!(self, PointRow, sql::LAST, thing.uuid(), path, micros(since), i64::from(limit))?;
        rows.into_iter()
            .map(|row| {
                let value = match (row.number, row.other) {
                    (Some(number), _) => Value::from(number),
                    (None, Some(text)) => from_json("thing_point", "other", &text)?,
                    (None, None) => Value::Null,
                };
                Ok(StoredPoint { at: timestamp("thing_point", "at", row.at)?, value })
            })
            .collect()
    }

    /// The numbers of a series from `from` to before `to`, frame by frame (`frame` microseconds each), in no order; none from before
    /// `horizon`.
    pub async fn point_frames(
        &mut self,
        thing: ThingId,
        path: &str,
        from: Timestamp,
        to: Timestamp,
        frame: i64,
        horizon: Timestamp,
    ) -> Result<Vec<PointFrame>, Error> {
        let rows = fetch_all!(self, FrameRow, sql::FRAMES, thing.uuid(), path, micros(from), micros(to), frame.max(1), micros(horizon))?;
        let whole = |row: FrameRow| {
            Some(PointFrame {
                frame: u64::try_from(row.frame).ok()?,
                count: u64::try_from(row.n).ok()?,
                min: row.least?,
                max: row.greatest?,
                sum: row.total?,
                first: row.head?,
                last: row.tail?,
            })
        };
        Ok(rows.into_iter().filter_map(whole).collect())
    }

    /// Removes points of a series from `from` to before `to`, at most `limit`; answers how many.
    pub async fn delete_points(
        &mut self,
        thing: ThingId,
        path: &str,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
        limit: u32,
    ) -> Result<u64, Error> {
        let from = from.map_or(i64::MIN, micros);
        Ok(execute!(self, sql::DELETE, thing.uuid(), path, from, end(to), i64::from(limit))?)
    }

    /// Removes points of a thing that is gone, at most `limit`; answers how many.
    pub async fn forget_points(&mut self, thing: ThingId, limit: u32) -> Result<u64, Error> {
        Ok(execute!(self, sql::FORGET, thing.uuid(), i64::from(limit))?)
    }

    /// The next tenant that has points.
    pub async fn tenant_with_points(&mut self, after: Option<TenantId>) -> Result<Option<TenantId>, Error> {
        let after = after.map_or(Uuid::nil(), TenantId::uuid);
        Ok(fetch_optional!(self, TenantRow, sql::TENANT, after)?.map(|row| TenantId(row.tenant)))
    }

    /// Removes a tenant's points from before then, at most `limit`; answers how many.
    pub async fn purge_points(&mut self, tenant: TenantId, before: Timestamp, limit: u32) -> Result<u64, Error> {
        Ok(execute!(self, sql::PURGE, tenant.uuid(), micros(before), i64::from(limit))?)
    }
}
