//! The one map from what can go wrong to the platform's numbers (contracts/open-iot-service-platform.md, 1.0 and appendix A).

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use identity::{ADMIN_STAYS, NO_REFRESH, OLD_REFRESH, TOO_MANY_ACCOUNTS, UNPROVED, WRONG_SECRET};
use model::Error;
use serde_json::{Value, json};

use crate::respond::json as write;

/// What a handler answers.
pub(crate) type Answer = Result<Response, Problem>;

/// A refusal on its way out.
#[derive(Debug)]
pub(crate) enum Problem {
    /// One of the platform's own: `{"code","message"}`, with `errors` where there is more to say.
    Coded(Code, Vec<String>),
    /// What any HTTP API says: `{"code","status","message"}`.
    Generic(StatusCode, &'static str),
    /// Text, as a few operations do.
    Text(StatusCode, &'static str),
    /// Slow down: `{"error":"RateLimit"}`.
    Slow(Duration),
    /// Locked for a while: 2403, and when to come back.
    Locked(Duration),
}

/// Status, number, text.
pub(crate) type Code = (u16, u32, &'static str);

pub(crate) const INVALID_REQUEST: Code = (400, 400, "Invalid request");
pub(crate) const USER_INVALID: Code = (400, 2400, "User has some invalid Data");
pub(crate) const WEAK_PASSWORD: Code = (400, 2401, "Password too Weak");
pub(crate) const NOT_VERIFIED: Code = (401, 2402, "User's email not verified");
pub(crate) const USER_LOCKED: Code = (403, 2403, "Account locked");
pub(crate) const USER_NOT_FOUND: Code = (404, 2404, "User Not Found");
pub(crate) const TERMS: Code = (400, 2405, "Terms and Conditions are not accepted");
pub(crate) const BAD_INTERACTION: Code = (400, 2406, "Invalid interaction token");
pub(crate) const USER_EXISTS: Code = (409, 2409, "User already exists");
pub(crate) const INVITED_ALREADY: Code = (409, 2420, "User is already invited");
pub(crate) const ONLY_ADMIN: Code = (403, 2421, "User cannot be removed, he is the only admin for some accounts");
pub(crate) const NO_DEMOTION: Code = (500, 2503, "Admin privileges cannot be reduced");
pub(crate) const ACCOUNT_INVALID: Code = (400, 3400, "Account has some invalid data");
pub(crate) const TRACK_SENSOR: Code = (400, 3401, "Cannot modify settings.trackSensorHealth");
pub(crate) const ACCOUNT_NOT_FOUND: Code = (404, 3404, "Account not found");
pub(crate) const TOO_MANY: Code = (400, 3513, "User has reached maximum amount of accounts");
pub(crate) const SOLE_ADMIN: Code = (401, 3601, "Could not leave Account");
pub(crate) const INVITE_NOT_FOUND: Code = (404, 10_404, "Invitation not found");
pub(crate) const INTERACTION_NOT_FOUND: Code = (404, 11_404, "Interaction token not found");
pub(crate) const REFRESH_UNKNOWN: Code = (401, 15_001, "Refresh token does not exist");
pub(crate) const REFRESH_OLD: Code = (401, 15_001, "Refresh token has expired");

/// A failing check, whatever it was: never 403.
pub(crate) const NOT_AUTHORIZED: Problem = Problem::Generic(StatusCode::UNAUTHORIZED, "Not Authorized");
/// The same as text, for a wrong password.
pub(crate) const NOT_AUTHORIZED_TEXT: Problem = Problem::Text(StatusCode::UNAUTHORIZED, "Not Authorized");

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::Coded(code, Vec::new())
    }
}

/// Errors that mean one thing wherever they come from.
const KNOWN: [(Error, Code); 6] = [
    (TOO_MANY_ACCOUNTS, TOO_MANY),
    (ADMIN_STAYS, NO_DEMOTION),
    (UNPROVED, NOT_VERIFIED),
    (NO_REFRESH, REFRESH_UNKNOWN),
    (OLD_REFRESH, REFRESH_OLD),
    (WRONG_SECRET, BAD_INTERACTION),
];

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        if let Some((_, code)) = KNOWN.iter().find(|(known, _)| *known == error) {
            return (*code).into();
        }
        match error {
            Error::Unauthenticated { .. } | Error::Forbidden(_) => NOT_AUTHORIZED,
            Error::NotFound { what: "tenant" } => ACCOUNT_NOT_FOUND.into(),
            Error::NotFound { what: "user" | "member" } => USER_NOT_FOUND.into(),
            Error::NotFound { what: "invitation" } => INVITE_NOT_FOUND.into(),
            Error::NotFound { .. } => Self::Generic(StatusCode::NOT_FOUND, "Not Found"),
            Error::Conflict { what: "email", .. } => USER_EXISTS.into(),
            Error::Conflict { what: "invitation", .. } => INVITED_ALREADY.into(),
            Error::Conflict { what: "member", .. } => ONLY_ADMIN.into(),
            Error::Conflict { what, reason } => Self::Coded((409, 409, "Conflict"), vec![format!("{what} {reason}")]),
            Error::Invalid { field: "password", reason } => Self::Coded(WEAK_PASSWORD, vec![format!("password {reason}")]),
            Error::Invalid { field, reason } => Self::Coded(INVALID_REQUEST, vec![format!("{field} {reason}")]),
            Error::TooMany { retry_after } => Self::Slow(retry_after),
            Error::TooLarge { .. } => Self::Generic(StatusCode::PAYLOAD_TOO_LARGE, "Request entity too large"),
            Error::Unavailable { reason } => {
                tracing::warn!(reason, "unavailable");
                Self::Generic(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
            }
            Error::Internal { detail } => {
                tracing::error!(detail, "internal error");
                Self::Generic(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry = |mut response: Response, after: Duration| {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
            response
        };
        match self {
            Self::Coded((status, code, message), errors) => {
                let mut body = json!({ "code": code, "message": message });
                if let Some(map) = body.as_object_mut().filter(|_| !errors.is_empty()) {
                    map.insert("errors".to_owned(), Value::from(errors));
                }
                write(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), &body)
            }
            Self::Generic(status, message) => {
                let response = write(status, &json!({ "code": status.as_u16(), "status": status.as_u16(), "message": message }));
                if status == StatusCode::SERVICE_UNAVAILABLE { retry(response, Duration::from_secs(1)) } else { response }
            }
            Self::Text(status, text) => (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response(),
            Self::Slow(after) => {
                let message = format!("Too many requests, retry in {} s", after.as_secs().max(1));
                retry(write(StatusCode::TOO_MANY_REQUESTS, &json!({ "error": "RateLimit", "message": message })), after)
            }
            Self::Locked(after) => retry(Self::from(USER_LOCKED).into_response(), after),
        }
    }
}

/// A wrong password, and an account that is locked after too many of them.
pub(crate) fn credential(error: Error) -> Problem {
    match error {
        Error::Unauthenticated { .. } => NOT_AUTHORIZED_TEXT,
        Error::TooMany { retry_after } => Problem::Locked(retry_after),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use model::Denial;

    use super::*;

    async fn seen(problem: impl Into<Problem>) -> (u16, String) {
        let response = problem.into().into_response();
        let status = response.status().as_u16();
        (status, String::from_utf8(to_bytes(response.into_body(), 10_000).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_three_shapes_and_the_text() {
        let generic = r#"{"code":401,"message":"Not Authorized","status":401}"#;
        assert_eq!(seen(Error::Unauthenticated { reason: "x" }).await, (401, generic.to_owned()));
        assert_eq!(seen(Error::Forbidden(Denial::Rule("x"))).await, (401, generic.to_owned()));
        assert_eq!(seen(ADMIN_STAYS).await, (500, r#"{"code":2503,"message":"Admin privileges cannot be reduced"}"#.to_owned()));
        assert_eq!(
            seen(Error::invalid("name", "is empty")).await,
            (400, r#"{"code":400,"errors":["name is empty"],"message":"Invalid request"}"#.to_owned())
        );
        assert_eq!(seen(credential(Error::Unauthenticated { reason: "x" })).await, (401, "Not Authorized".to_owned()));
        assert_eq!(seen(Error::internal("a secret")).await.1, r#"{"code":500,"message":"Internal Server Error","status":500}"#);
    }

    #[test]
    fn who_is_told_to_wait_learns_how_long() {
        for problem in [
            Problem::from(Error::TooMany { retry_after: Duration::from_secs(7) }),
            credential(Error::TooMany { retry_after: Duration::from_secs(7) }),
        ] {
            assert_eq!(problem.into_response().headers()[RETRY_AFTER], "7");
        }
    }
}
