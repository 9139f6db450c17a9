//! Lists by number, for faces whose pages are numbered.

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// So many are left out.
    pub skip: u32,
    /// So many at most; 1,000 and no more.
    pub take: u32,
}

impl Span {
    /// Page `page` (the first is 0) of pages of `size`.
    #[must_use]
    pub fn page(page: u32, size: u32) -> Self {
        let take = size.min(1_000);
        Self { skip: page.saturating_mul(take), take }
    }

    /// As much as one list holds.
    #[must_use]
    pub fn max() -> Self {
        Self { skip: 0, take: 1_000 }
    }
}

/// Part of a list, and how long the whole is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// The part.
    pub items: Vec<T>,
    /// How many there are.
    pub total: u64,
}

impl<T> Listing<T> {
    /// A part of a list that is at hand.
    #[must_use]
    pub fn cut(all: Vec<T>, span: Span) -> Self {
        let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let (skip, take) = (usize::try_from(span.skip).unwrap_or(usize::MAX), usize::try_from(span.take).unwrap_or(usize::MAX));
        Self { items: all.into_iter().skip(skip).take(take).collect(), total }
    }
}
