//! The one closed error of every verb; each dialect maps it once to its own shape.

use std::time::Duration;

use crate::{Permission, Quota};

/// What a verb answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong with a verb, as far as its caller is concerned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No credential, or one that is wrong, expired or revoked. `reason` is safe to show: it never says which part was wrong.
    #[error("{reason}")]
    Unauthenticated {
        /// One sentence for the client's developer.
        reason: &'static str,
    },
    /// Recognised, but not allowed.
    #[error("{0}")]
    Forbidden(Denial),
    /// Absent, or another tenant's: the two look alike.
    #[error("{what} not found")]
    NotFound {
        /// The noun, for the message: "thing", "message", …
        what: &'static str,
    },
    /// Clashes with what exists.
    #[error("{what}: {reason}")]
    Conflict {
        /// The noun or field that clashes.
        what: &'static str,
        /// Why, and what to do.
        reason: String,
    },
    /// The input is wrong.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field as the core names it; a dialect may translate.
        field: &'static str,
        /// What is expected instead.
        reason: String,
    },
    /// Too many tries.
    #[error("too many requests, retry in {} s", retry_after.as_secs().max(1))]
    TooMany {
        /// When another try has a chance.
        retry_after: Duration,
    },
    /// The body or payload exceeds a limit.
    #[error("larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The gateway can't do this now (disk full, queue full, peer away); a later try may work.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// What is missing, in one sentence.
        reason: String,
    },
    /// A defect or a broken store; details go to the log, not to the client.
    #[error("internal error")]
    Internal {
        /// For the log only.
        detail: String,
    },
}

/// Why a recognised caller is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The caller lacks a permission.
    #[error("permission {} is required", .0.name())]
    Permission(Permission),
    /// The tenant's plan is used up.
    #[error("quota used up: {} of {} {}", .0.actual, .0.allowed, .0.kind.name())]
    Quota(Quota),
    /// A rule that is neither of the above, in one sentence.
    #[error("{0}")]
    Rule(&'static str),
}

impl Error {
    /// Shorthand for [`Error::Invalid`].
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }

    /// Shorthand for [`Error::NotFound`].
    #[must_use]
    pub fn not_found(what: &'static str) -> Self {
        Self::NotFound { what }
    }

    /// Shorthand for [`Error::Conflict`].
    pub fn conflict(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Conflict { what, reason: reason.into() }
    }

    /// Shorthand for [`Error::Internal`]; the detail is for the log.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        Self::Internal { detail: detail.to_string() }
    }

    /// Shorthand for [`Error::Unavailable`].
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into() }
    }
}
