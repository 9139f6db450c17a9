//! Envelopes and paging: `{"data":…}`, `{"meta":…,"data":[…]}`, pages counted from 0.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use model::{Error, Result, Slice};
use serde::Serialize;
use serde_json::json;

use crate::query::Query;

/// A page asked for by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paging {
    /// From 0.
    pub(crate) page: u64,
    /// Rows of a page; 0 gives none.
    pub(crate) size: u64,
}

impl Paging {
    /// Rows of a page when nothing is said.
    const DEFAULT: u64 = 20;
    /// The largest page where the platform names none.
    pub(crate) const MAX: u64 = 1_000;

    /// `page` and `pageSize` of a list whose pages hold 1 to `max` rows.
    pub(crate) fn read(query: &Query, max: u64) -> Result<Self> {
        Self::between(query, 1, max)
    }

    /// The same for lists of devices and what belongs to them: `pageSize` may be 0, and ends at [`Paging::MAX`].
    pub(crate) fn open(query: &Query) -> Result<Self> {
        Self::between(query, 0, Self::MAX)
    }

    fn between(query: &Query, least: u64, most: u64) -> Result<Self> {
        let number = |name: &'static str, default: u64, least: u64, most: u64| match query.one(name)? {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| (least..=most).contains(n) && !text.starts_with('+'))
                .ok_or_else(|| Error::invalid(name, format!("is not a number from {least} to {most}"))),
        };
        // So far that no list reaches it, and offsets stay within i64.
        const LAST: u64 = 1 << 40;
        Ok(Self { page: number("page", 0, 0, LAST)?, size: number("pageSize", Self::DEFAULT.min(most), least, most)? })
    }

    /// The same for a verb that reads by position.
    pub(crate) fn slice(self) -> Result<Slice> {
        Slice::of_page(self.page, u32::try_from(self.size).unwrap_or(u32::MAX))
    }

    /// How many rows come before the page.
    pub(crate) fn offset(self) -> u64 {
        self.page.saturating_mul(self.size)
    }

    /// The page of a list that is at hand whole, and the list's length.
    pub(crate) fn cut<T>(self, rows: Vec<T>) -> (u64, Vec<T>) {
        let total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        (total, rows.into_iter().skip(number(self.offset())).take(number(self.size)).collect())
    }
}

/// `{"data": …}`.
pub(crate) fn data(status: StatusCode, data: impl Serialize) -> Response {
    (status, Json(json!({ "data": data }))).into_response()
}

/// `{"meta": …, "data": […]}` with status 200; `total` counts the rows of all pages.
pub(crate) fn list(paging: Paging, total: u64, rows: impl Serialize) -> Response {
    let pages = if paging.size == 0 { 0 } else { total.div_ceil(paging.size) };
    let meta = json!({ "page": paging.page, "pageSize": paging.size, "itemsTotal": total, "pagesTotal": pages });
    Json(json!({ "meta": meta, "data": rows })).into_response()
}

/// 204.
pub(crate) fn nothing() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn pages_by_number() {
        let read = |text: &str| Paging::read(&Query::parse(text), 100);
        assert_eq!(read(""), Ok(Paging { page: 0, size: 20 }));
        assert_eq!(read("page=2&pageSize=100"), Ok(Paging { page: 2, size: 100 }));
        for bad in
            ["page=-1", "page=x", "page=1.0", "pageSize=0", "pageSize=101", "pageSize=+5", "page=1&page=2", "page=99999999999999999999"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        let open = |text: &str| Paging::open(&Query::parse(text));
        assert_eq!(open("pageSize=0"), Ok(Paging { page: 0, size: 0 }));
        assert_eq!(open("pageSize=1000").unwrap().size, 1_000);
        assert!(open("pageSize=1001").is_err());
    }

    #[tokio::test]
    async fn the_envelope_counts() {
        for (size, total, pages) in [(20, 0, 0), (20, 20, 1), (20, 21, 2), (0, 5, 0)] {
            let body = to_bytes(list(Paging { page: 0, size }, total, [1]).into_body(), 1_000).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["meta"], json!({ "page": 0, "pageSize": size, "itemsTotal": total, "pagesTotal": pages }));
            assert_eq!(body["data"], json!([1]));
        }
    }

    proptest! {
        #[test]
        fn pages_cover_a_list_once(length in 0usize..50, size in 1u64..20) {
            let rows: Vec<usize> = (0..length).collect();
            let mut seen = Vec::new();
            for page in 0..=(u64::try_from(length).unwrap() / size) {
                seen.extend(Paging { page, size }.cut(rows.clone()).1);
            }
            prop_assert_eq!(seen, rows);
        }
    }
}
