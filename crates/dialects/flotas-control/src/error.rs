//! The one map from what can go wrong to status and text; the table is in `docs/dialects/flotas-control.md`.

use axum::response::Response;
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use model::{Denial, Error};
use things::ApiUsage;

use crate::reply::{counters, json};
use crate::routes::Kind;

/// A refusal on its way out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A verb said no.
    Core(Error),
    /// No operation at this path.
    NoRoute,
    /// No such method at this path; the ones there are.
    NoMethod(&'static str),
    /// The body is something else than JSON.
    NotJson,
    /// The device did not take the command in time.
    NotTaken { seconds: u64 },
    /// The tenant's calls of the day are used up.
    DayUsedUp { limit: u64, seconds: u64 },
    /// A patch that cannot be applied.
    Patch(String),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

/// The core's names of fields, as this platform's clients know them.
fn field(name: &'static str) -> &'static str {
    match name {
        "things" => "devices",
        "given_name" | "family_name" => "name",
        other => other,
    }
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::Core(error) => edge::status(error),
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotTaken { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::DayUsedUp { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Patch(_) => StatusCode::BAD_REQUEST,
        }
    }

    fn text(&self, kind: Kind) -> String {
        match self {
            Self::Core(error) => match error {
                Error::Unauthenticated { .. } if kind == Kind::GroupList => "Unauthorized access".to_owned(),
                Error::Unauthenticated { reason } => (*reason).to_owned(),
                Error::Forbidden(Denial::Permission(permission)) => format!("No permission: {} is required.", permission.name()),
                Error::NotFound { what: "group" } => "Group not found".to_owned(),
                // With a full stop but for DELETE: so the platform.
                Error::NotFound { what: "user" | "member" } if kind == Kind::UserDelete => "User not found".to_owned(),
                Error::NotFound { what: "user" | "member" } => "User not found.".to_owned(),
                Error::NotFound { what: "thing" } => "Device not found".to_owned(),
                Error::Invalid { field: "email", reason } if reason.contains("address") => "Invalid email address.".to_owned(),
                Error::Invalid { field: name, reason } if kind == Kind::GroupWrite => format!("Invalid input. {}: {reason}", field(name)),
                Error::Invalid { field: name, reason } => format!("Bad Request. {}: {reason}", field(name)),
                Error::Conflict { what, reason } => format!("{}: {reason}", field(what)),
                Error::Internal { .. } => "Internal Server Error".to_owned(),
                other => other.to_string(),
            },
            Self::NoRoute => "There is no such operation.".to_owned(),
            Self::NoMethod(allowed) => format!("This path takes {allowed}."),
            Self::NotJson => "The body must be JSON (Content-Type: application/json).".to_owned(),
            Self::NotTaken { seconds } => {
                format!("The device did not take the command within {seconds} s. It stays queued and goes out when the device connects.")
            }
            Self::DayUsedUp { limit, .. } => {
                format!("The account's {limit} requests of the day are used up; counting begins anew at midnight UTC.")
            }
            Self::Patch(reason) => format!("Invalid patch operation: {reason}"),
        }
    }

    pub(crate) fn render(&self, kind: Kind, usage: Option<ApiUsage>) -> Response {
        if let Self::Core(Error::Internal { detail }) = self {
            tracing::error!(%detail, "internal error");
        }
        let status = self.status();
        let text = serde_json::to_string(&self.text(kind)).unwrap_or_else(|_| "null".to_owned());
        let groups = if kind == Kind::GroupList && status == StatusCode::UNAUTHORIZED { r#","groups":null"# } else { "" };
        let mut response = json(status, format!(r#"{{"success":false,"error":{text}{}{groups}}}"#, counters(usage)));
        let headers = response.headers_mut();
        match self {
            Self::Core(Error::Unauthenticated { .. }) => {
                let challenge = if kind == Kind::OsmAnd { r#"Basic realm="heliograph", charset="UTF-8""# } else { "Bearer" };
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            Self::Core(Error::TooMany { retry_after }) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
            }
            Self::Core(Error::Unavailable { .. }) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(1));
            }
            Self::DayUsedUp { seconds, .. } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*seconds));
            }
            Self::NoMethod(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::to_bytes;

    use super::*;

    async fn seen(problem: Problem, kind: Kind) -> (u16, String) {
        let response = problem.render(kind, None);
        let status = response.status().as_u16();
        (status, String::from_utf8(to_bytes(response.into_body(), 10_000).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_status_table() {
        for (problem, status) in [
            (Error::Unauthenticated { reason: "no" }.into(), 401),
            (Error::Forbidden(Denial::Rule("no")).into(), 403),
            (Error::not_found("thing").into(), 404),
            (Error::conflict("name", "taken").into(), 409),
            (Error::invalid("body", "no").into(), 400),
            (Error::TooMany { retry_after: Duration::from_secs(3) }.into(), 429),
            (Error::TooLarge { limit: 7 }.into(), 413),
            (Error::unavailable("full").into(), 503),
            (Error::internal("secret detail").into(), 500),
            (Problem::NoRoute, 404),
            (Problem::NoMethod("GET"), 405),
            (Problem::NotJson, 415),
            (Problem::NotTaken { seconds: 20 }, 408),
            (Problem::DayUsedUp { limit: 1, seconds: 2 }, 429),
            (Problem::Patch("no".to_owned()), 400),
        ] {
            let (code, body) = seen(problem, Kind::Device).await;
            assert_eq!(code, status);
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(json["success"], false);
            assert!(json["error"].as_str().is_some_and(|text| !text.is_empty()));
            assert!(!body.contains("secret detail"));
        }
    }

    #[tokio::test]
    async fn texts_are_the_platforms_where_it_has_some() {
        let text = async |error: Error, kind| seen(error.into(), kind).await.1;
        let refused = Error::Unauthenticated { reason: "Authentication failed. Invalid token." };
        assert_eq!(text(refused.clone(), Kind::GroupList).await, r#"{"success":false,"error":"Unauthorized access","groups":null}"#);
        assert_eq!(text(refused, Kind::User).await, r#"{"success":false,"error":"Authentication failed. Invalid token."}"#);
        assert_eq!(text(Error::not_found("member"), Kind::User).await, r#"{"success":false,"error":"User not found."}"#);
        assert_eq!(text(Error::not_found("member"), Kind::UserDelete).await, r#"{"success":false,"error":"User not found"}"#);
        assert_eq!(text(Error::not_found("group"), Kind::Group).await, r#"{"success":false,"error":"Group not found"}"#);
        let email = model::normalize_email("nowhere").unwrap_err();
        assert_eq!(text(email, Kind::User).await, r#"{"success":false,"error":"Invalid email address."}"#);
    }
}
