//! Paging by opaque cursor: stable while rows come and go.

use crate::{Error, Result};

/// What part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// 1 to 1,000 rows.
    pub limit: u32,
    /// Where the previous page ended, exactly as it was handed out.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// The largest page.
    pub const MAX: u32 = 1_000;

    /// Checks the limit; absent means 100.
    pub fn new(limit: Option<u32>, cursor: Option<String>) -> Result<Self> {
        match limit.unwrap_or(100) {
            limit @ 1..=Self::MAX => Ok(Self { limit, cursor: cursor.filter(|c| !c.is_empty()) }),
            other => Err(Error::invalid("limit", format!("{other} is not between 1 and {}", Self::MAX))),
        }
    }

    /// As much as one page holds.
    #[must_use]
    pub fn max() -> Self {
        Self { limit: Self::MAX, cursor: None }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Present when there is more.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The page of a query that asked for one row more than `limit`; `cursor` names the last row kept.
    pub fn cut(mut rows: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(cursor) } else { None };
        Self { items: rows, next }
    }

    /// The same page of something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next: self.next }
    }
}

/// A part of a list by position, for those who count pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Rows left out before it.
    pub offset: u64,
    /// Rows at most; 0 asks for the total alone.
    pub limit: u32,
}

impl Slice {
    /// The largest part.
    pub const MAX: u32 = 1_000;

    /// Page `page`, from 0, of `size` rows. Error: Invalid(pageSize) above 1,000.
    pub fn of_page(page: u64, size: u32) -> Result<Self> {
        if size > Self::MAX {
            return Err(Error::invalid("pageSize", format!("{size} is more than {}", Self::MAX)));
        }
        let offset = page.checked_mul(u64::from(size)).filter(|offset| i64::try_from(*offset).is_ok());
        Ok(Self { offset: offset.ok_or_else(|| Error::invalid("page", "is beyond any list"))?, limit: size })
    }
}

/// A part of a list and how long the whole is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows.
    pub items: Vec<T>,
    /// How many there are in all.
    pub total: u64,
}
