//! The one map from what can go wrong to what the platform's clients see.

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use model::{Caller, Denial, Error};

use crate::App;
use crate::respond::json;
use crate::wire::{Empty, Envelope, Note, SubscriptionPolicy};

/// What a handler answers.
pub(crate) type Answer = Result<Response, Problem>;

/// A refusal on its way out.
#[derive(Debug)]
pub(crate) enum Problem {
    /// A verb said no.
    Core(Error),
    /// A verb said no because the plan is used up; the answer shows the plan.
    Quota(Box<SubscriptionPolicy>, String),
    /// No credential, or a wrong one, where Basic is expected.
    Basic(Error),
    /// No operation at this path.
    NoRoute,
    /// No such method at this path; the ones there are.
    NoMethod(&'static str),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Core(error)
    }
}

/// A refusal of a verb that counts against the plan: used-up quotas are answered with the plan itself.
pub(crate) async fn counted(app: &App, caller: &Caller, error: Error) -> Problem {
    let Error::Forbidden(Denial::Quota(quota)) = &error else { return error.into() };
    match crate::subscriptions::policy(app, caller).await {
        Ok(policy) => Problem::Quota(Box::new(policy), Denial::Quota(*quota).to_string()),
        Err(_) => error.into(),
    }
}

/// Status and text for people.
fn describe(error: &Error) -> (StatusCode, String) {
    let status = edge::status(error);
    let text = match error {
        Error::NotFound { what } => format!("Not Found. The {what} was not found."),
        // The core's names of fields, as this platform's clients know them.
        Error::Invalid { field: "key", reason } => format!("flthingspk: {reason}"),
        Error::Invalid { field: "name", reason } => format!("thingName: {reason}"),
        Error::Invalid { field: "kind", reason } => format!("thingType: {reason}"),
        Error::Invalid { field: "distribution", reason } => format!("thingDist: {reason}"),
        other => other.to_string(),
    };
    (status, text)
}

fn refusal(status: StatusCode, text: String) -> Response {
    // What the platform's front door answered; some clients print this key.
    let message = (status == StatusCode::UNAUTHORIZED).then_some("Unauthorized");
    let reason = status.canonical_reason().unwrap_or("Error");
    json(
        status,
        &Envelope { status: reason, code: status.as_u16(), messages: [Note { key: "message", value: text }], result: Empty {}, message },
    )
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        match self {
            Self::Core(error) => core(&error, "Bearer"),
            Self::Basic(error) => core(&error, r#"Basic realm="heliograph", charset="UTF-8""#),
            Self::Quota(policy, text) => json(
                StatusCode::FORBIDDEN,
                &Envelope {
                    status: "Forbidden",
                    code: 403,
                    messages: [Note { key: "message", value: text }],
                    result: policy,
                    message: None,
                },
            ),
            Self::NoRoute => refusal(StatusCode::NOT_FOUND, "There is no such operation.".to_owned()),
            Self::NoMethod(allowed) => {
                let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, format!("This path takes {allowed}."));
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
                response
            }
        }
    }
}

fn core(error: &Error, challenge: &'static str) -> Response {
    if let Error::Internal { detail } = error {
        tracing::error!(%detail, "internal error");
    }
    let (status, text) = describe(error);
    let mut response = refusal(status, text);
    let headers = response.headers_mut();
    match error {
        Error::Unauthenticated { .. } => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        Error::TooMany { retry_after } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
        }
        Error::Unavailable { .. } => {
            headers.insert(RETRY_AFTER, HeaderValue::from(1));
        }
        _ => {}
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::to_bytes;

    use super::*;

    async fn seen(problem: impl Into<Problem>) -> (u16, String) {
        let response = problem.into().into_response();
        let status = response.status().as_u16();
        (status, String::from_utf8(to_bytes(response.into_body(), 10_000).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn every_refusal_is_an_envelope_of_its_status() {
        for (error, status) in [
            (Error::Unauthenticated { reason: "no" }, 401),
            (Error::Forbidden(Denial::Rule("no")), 403),
            (Error::not_found("thing"), 404),
            (Error::conflict("thing", "taken"), 409),
            (Error::invalid("body", "no"), 400),
            (Error::TooMany { retry_after: Duration::from_secs(3) }, 429),
            (Error::TooLarge { limit: 7 }, 413),
            (Error::unavailable("full"), 503),
            (Error::internal("secret detail"), 500),
        ] {
            let (code, body) = seen(error).await;
            assert_eq!(code, status);
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(json["code"], status);
            assert_eq!(json["messages"].as_array().unwrap().len(), 1);
            assert!(json["result"].is_object());
            assert!(!body.contains("secret detail"));
        }
    }

    #[tokio::test]
    async fn not_found_and_unauthorized_read_as_documented() {
        assert_eq!(
            seen(Error::not_found("thing")).await.1,
            r#"{"status":"Not Found","code":404,"messages":[{"key":"message","value":"Not Found. The thing was not found."}],"result":{}}"#
        );
        assert_eq!(
            seen(Error::Unauthenticated { reason: "the token has expired" }).await.1,
            r#"{"status":"Unauthorized","code":401,"messages":[{"key":"message","value":"the token has expired"}],"result":{},"message":"Unauthorized"}"#
        );
    }

    #[tokio::test]
    async fn headers_say_when_and_how_to_try_again() {
        let late = Problem::from(Error::TooMany { retry_after: Duration::from_millis(200) }).into_response();
        assert_eq!(late.headers()[RETRY_AFTER], "1");
        let basic = Problem::Basic(Error::Unauthenticated { reason: "no" }).into_response();
        assert!(basic.headers()[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic "));
        let method = Problem::NoMethod("GET,DELETE").into_response();
        assert_eq!((method.status().as_u16(), &method.headers()[ALLOW]), (405, &HeaderValue::from_static("GET,DELETE")));
    }
}
