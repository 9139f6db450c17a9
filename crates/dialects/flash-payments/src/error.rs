//! One map from verb errors to GraphQL: `extensions.code` as Apollo's clients know it, `code` in a mutation's reply, 429 in the platform's own shape.

use async_graphql::{Error as GraphQlError, ErrorExtensions as _};
use model::{Denial, Error};

/// The code of an error.
pub(crate) fn code(error: &Error) -> &'static str {
    match error {
        Error::Unauthenticated { .. } => "UNAUTHENTICATED",
        Error::Forbidden(Denial::Quota(_)) => "LIMIT_EXCEEDED",
        Error::Forbidden(_) => "FORBIDDEN",
        Error::NotFound { .. } => "NOT_FOUND",
        Error::Conflict { .. } => "ALREADY_EXISTS",
        Error::Invalid { .. } | Error::TooLarge { .. } => "BAD_USER_INPUT",
        Error::TooMany { .. } => "TOO_MANY_REQUESTS",
        Error::Unavailable { .. } => "SERVICE_UNAVAILABLE",
        Error::Internal { .. } => "INTERNAL_SERVER_ERROR",
    }
}

/// An error of a query or subscription.
pub(crate) fn refuse(error: Error) -> GraphQlError {
    if let Error::Internal { detail } = &error {
        tracing::error!(detail, "graphql");
    }
    GraphQlError::new(error.to_string()).extend_with(|_, extensions| extensions.set("code", code(&error)))
}

/// An error of a mutation that no reply can express: who does not say who it is gets no reply object.
pub(crate) fn must_not_reply(error: &Error) -> bool {
    matches!(error, Error::Unauthenticated { .. } | Error::Internal { .. })
}

/// Nothing on `null`: absent and foreign look alike.
pub(crate) fn or_null<T>(result: model::Result<T>) -> async_graphql::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(refuse(error)),
    }
}
