//! Series of a device: the last hour, aggregates, deletion.

use axum::extract::{Path, State};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use model::{Error, Result};
use serde_json::{Value, json};
use things::{Aggregate, Aggregation, Frame, PointValue};

use super::Place;
use crate::App;
use crate::asking::Asking;
use crate::error::Answer;
use crate::query::Query;
use crate::reply::{data, nothing};

/// Points of one answer.
const MOST: u32 = 4_000;
/// How far `last-timeseries` looks back.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// Up to here a float holds every whole number.
const WHOLE: f64 = 9_007_199_254_740_992.0;

fn path(query: &Query) -> Result<&str> {
    let path = query.need("path")?;
    let known = path.starts_with("$.configuration.") || path.starts_with("$.attributes.");
    if known && path.len() <= 512 { Ok(path) } else { Err(Error::invalid("path", "must begin with $.configuration. or $.attributes.")) }
}

fn time(query: &Query, name: &'static str) -> Result<Option<Timestamp>> {
    // A plus that was not escaped arrives as a space.
    let read = |text: &str| text.replace(' ', "+").parse().map_err(|_| Error::invalid(name, "is not a time as in RFC 3339"));
    query.one(name)?.map(read).transpose()
}

/// A range that runs forwards.
fn range(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<()> {
    if matches!((from, to), (Some(from), Some(to)) if from > to) { Err(Error::invalid("startTime", "is after endTime")) } else { Ok(()) }
}

/// Whole numbers without a fraction, as the platform writes them.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < WHOLE {
        return format!("{value:.0}").parse::<i64>().map_or(Value::Null, Value::from);
    }
    json!(value)
}

pub(super) async fn last(State(app): State<App>, asking: Asking, Path(place): Path<Place>, query: Query) -> Answer {
    let (device, path) = (place.device()?, path(&query)?);
    let since = app.identity.clock().now() - HOUR;
    let points = app.things.last_points(&asking, &device, path, Some(since), MOST).await?;
    let rows = points.into_iter().map(|point| {
        let value = match point.value {
            PointValue::Number(n) => number(n),
            PointValue::Bool(b) => json!(b),
            PointValue::Text(text) => json!(text),
        };
        json!({ "time": point.at, "value": value })
    });
    Ok(data(StatusCode::OK, rows.collect::<Vec<_>>()))
}

pub(super) async fn aggregated(State(app): State<App>, asking: Asking, Path(place): Path<Place>, query: Query) -> Answer {
    let device = place.device()?;
    let needed = |name| time(&query, name)?.ok_or_else(|| Error::invalid(name, "is required"));
    let (from, to) = (needed("startTime")?, needed("endTime")?);
    range(Some(from), Some(to))?;
    let by = match query.need("aggregation")? {
        "min" => Aggregation::Min,
        "max" => Aggregation::Max,
        "mean" => Aggregation::Mean,
        "sum" => Aggregation::Sum,
        "count" => Aggregation::Count,
        "diff" => Aggregation::Diff,
        "first" => Aggregation::First,
        "last" => Aggregation::Last,
        _ => return Err(Error::invalid("aggregation", "is none of min, max, mean, sum, count, diff, first, last").into()),
    };
    let frame = match query.one("frameSize")? {
        None => Frame::Whole,
        Some("1m") => Frame::Seconds(60),
        Some("5m") => Frame::Seconds(300),
        Some("30m") => Frame::Seconds(1_800),
        Some("1h") => Frame::Seconds(3_600),
        Some("1d") => Frame::Seconds(86_400),
        Some(_) => return Err(Error::invalid("frameSize", "is none of 1m, 5m, 30m, 1h, 1d").into()),
    };
    let what = Aggregate { path: path(&query)?.to_owned(), from, to, by, frame };
    let mut buckets = app.things.aggregated(&asking, &device, &what).await?;
    buckets.reverse();
    let rows = buckets.into_iter().map(|one| json!({ "time": one.at, "value": one.value.map(number) }));
    Ok(data(StatusCode::OK, rows.collect::<Vec<_>>()))
}

pub(super) async fn remove(State(app): State<App>, asking: Asking, Path(place): Path<Place>, query: Query) -> Answer {
    let (device, path) = (place.device()?, path(&query)?);
    let (from, to) = (time(&query, "startTime")?, time(&query, "endTime")?);
    range(from, to)?;
    app.things.delete_points(&asking, &device, path, from, to).await?;
    Ok(nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_the_platform_wrote_them() {
        for (value, text) in [(1.0, "1"), (-3.0, "-3"), (21.5, "21.5"), (1e300, "1e+300"), (0.0, "0"), (-0.0, "0")] {
            assert_eq!(number(value).to_string(), text);
        }
    }

    #[test]
    fn times_and_paths() {
        assert!(time(&Query::parse("t=2019-06-05T07:47:19.33415Z"), "t").unwrap().is_some());
        assert!(time(&Query::parse("t=2019-06-05T09:47:19+02:00"), "t").unwrap().is_some());
        assert!(time(&Query::parse("t=yesterday"), "t").is_err());
        assert!(path(&Query::parse("path=%24.attributes.t")).is_ok());
        assert!(path(&Query::parse("path=attributes.t")).is_err());
        assert!(path(&Query::parse("")).is_err());
    }
}
