//! Lists. The platform's had no pages: without a `limit` everything is answered, up to a bound, after which a cursor says where to go on.

use std::future::Future;

use model::{Message, Page, PageRequest, Result, Thing};

use crate::filter::Filter;

/// The most rows of one answer.
const MAX_ROWS: usize = 10_000;
/// The most payload bytes of one answer, give or take a page.
const MAX_BYTES: usize = 32 << 20;
/// Rows fetched at a time, so that a page of the largest payloads stays bearable.
const STEP: u32 = 200;

/// How much a row adds to an answer.
pub(crate) trait Weight {
    fn weight(&self) -> usize;
}

impl Weight for Message {
    fn weight(&self) -> usize {
        self.payload.len()
    }
}

impl Weight for Thing {
    fn weight(&self) -> usize {
        0
    }
}

/// The page a client asked for by `limit`, or page after page up to the bounds.
pub(crate) async fn walk<T: Weight, F: Future<Output = Result<Page<T>>>>(
    filter: &Filter,
    fetch: impl Fn(PageRequest) -> F,
) -> Result<Page<T>> {
    if let Some(limit) = filter.limit {
        return fetch(PageRequest::new(Some(limit), filter.cursor.clone())?).await;
    }
    let mut whole = Page { items: Vec::new(), next: filter.cursor.clone() };
    let mut bytes = 0;
    loop {
        let page = fetch(PageRequest::new(Some(STEP), whole.next.take())?).await?;
        bytes += page.items.iter().map(Weight::weight).sum::<usize>();
        whole.items.extend(page.items);
        whole.next = page.next;
        if whole.next.is_none() || whole.items.len() >= MAX_ROWS || bytes >= MAX_BYTES {
            return Ok(whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(usize);
    impl Weight for Row {
        fn weight(&self) -> usize {
            self.0
        }
    }

    /// A list of `total` rows of `weight` bytes, its cursors being row numbers.
    async fn fetch(total: u32, weight: usize, page: PageRequest) -> Result<Page<Row>> {
        let from: u32 = page.cursor.map_or(0, |c| c.parse().unwrap());
        let to = (from + page.limit).min(total);
        Ok(Page { items: (from..to).map(|_| Row(weight)).collect(), next: (to < total).then(|| to.to_string()) })
    }

    async fn walked(filter: Filter, total: u32, weight: usize) -> (usize, Option<String>) {
        let page = walk(&filter, |page| fetch(total, weight, page)).await.unwrap();
        (page.items.len(), page.next)
    }

    #[tokio::test]
    async fn without_a_limit_everything_comes_up_to_the_bounds() {
        assert_eq!(walked(Filter::default(), 0, 1).await, (0, None));
        assert_eq!(walked(Filter::default(), 9_999, 1).await, (9_999, None));
        assert_eq!(walked(Filter::default(), 10_000, 1).await, (10_000, None));
        assert_eq!(walked(Filter::default(), 10_001, 1).await, (10_000, Some("10000".into())));
        assert_eq!(walked(Filter::default(), 9_999, 1 << 20).await, (200, Some("200".into())), "heavy rows end it early");
    }

    #[tokio::test]
    async fn with_a_limit_one_page_comes_and_a_cursor_goes_on() {
        assert_eq!(walked(Filter { limit: Some(7), ..Filter::default() }, 10, 1).await, (7, Some("7".into())));
        assert_eq!(walked(Filter { limit: Some(7), cursor: Some("7".into()), ..Filter::default() }, 10, 1).await, (3, None));
        assert_eq!(walked(Filter { cursor: Some("5".into()), ..Filter::default() }, 10, 1).await, (5, None));
    }
}
