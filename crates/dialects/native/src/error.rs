//! One map from what went wrong to problem details (RFC 9457).
//!
//! A handler answers with a bare status that carries its [`Failure`]; the outermost layer ([`finish`]) turns that into the body,
//! because only there the request's id is at hand. Whatever the router itself refuses (no such path, wrong method) goes the same way.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use model::{Denial, Error, RequestId};
use serde::Serialize;
use utoipa::ToSchema;

/// What a handler or an extractor answers.
pub type Result<T> = std::result::Result<T, Failure>;

/// Everything a request may fail with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A verb said so.
    Verb(Error),
    /// The input is wrong in a place only known at run time.
    Input {
        /// The member, as a path (`attributes.colour`, `memberships[0].role`); absent when the whole is unreadable.
        field: Option<String>,
        /// What is expected instead.
        reason: String,
    },
    /// A body of a type that is not read here.
    MediaType,
    /// No such path.
    Path,
    /// No such method on this path.
    Method,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Verb(error)
    }
}

impl Failure {
    /// Shorthand for [`Failure::Input`].
    pub fn input(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Input { field: Some(field.into()), reason: reason.into() }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Verb(error) => edge::status(error),
            Self::Input { .. } => StatusCode::BAD_REQUEST,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Path => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The last part of `type`, and `title`: stable, one pair per kind.
    fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Verb(error) => match error {
                Error::Unauthenticated { .. } => ("unauthenticated", "A valid credential is required"),
                Error::Forbidden(Denial::Quota(_)) => ("quota", "The plan is used up"),
                Error::Forbidden(_) => ("forbidden", "Not allowed"),
                Error::NotFound { .. } => ("not-found", "No such object"),
                Error::Conflict { .. } => ("conflict", "Clashes with what exists"),
                Error::Invalid { .. } => ("invalid", "The input is wrong"),
                Error::TooMany { .. } => ("too-many-requests", "Too many requests"),
                Error::TooLarge { .. } => ("too-large", "The content is too large"),
                Error::Unavailable { .. } => ("unavailable", "Not possible now"),
                Error::Internal { .. } => ("internal", "Internal error"),
            },
            Self::Input { .. } => ("invalid", "The input is wrong"),
            Self::MediaType => ("media-type", "This content type is not read here"),
            Self::Path => ("no-such-path", "No such path"),
            Self::Method => ("method", "No such method on this path"),
        }
    }

    fn problem(&self, request: Option<RequestId>) -> Problem {
        let (kind, title) = self.kind();
        let (field, detail) = match self {
            Self::Verb(Error::Invalid { field, reason }) => (Some((*field).to_owned()), format!("{field}: {reason}")),
            Self::Verb(error) => (None, error.to_string()),
            Self::Input { field: Some(field), reason } => (Some(field.clone()), format!("{field}: {reason}")),
            Self::Input { field: None, reason } => (None, reason.clone()),
            Self::MediaType => (None, "send Content-Type: application/json".to_owned()),
            Self::Path => (None, "there is nothing at this path; /docs lists what there is".to_owned()),
            Self::Method => (None, "the header Allow lists the methods of this path".to_owned()),
        };
        let quota = match self {
            Self::Verb(Error::Forbidden(Denial::Quota(q))) => {
                Some(ProblemQuota { kind: q.kind.name().to_owned(), allowed: q.allowed, actual: q.actual })
            }
            _ => None,
        };
        Problem {
            r#type: format!("/docs/problems#{kind}"),
            title: title.to_owned(),
            status: self.status().as_u16(),
            detail,
            field,
            quota,
            request_id: request.map(|id| id.to_string()),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Verb(Error::TooMany { retry_after }) => Some(*retry_after),
            Self::Verb(Error::Unavailable { .. }) => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Problem details (RFC 9457): what every refusal looks like.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// What kind of problem, as a stable reference below `/docs/problems`.
    #[schema(example = "/docs/problems#invalid")]
    pub r#type: String,
    /// The kind in words, always the same for one `type`.
    #[schema(example = "The input is wrong")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 400)]
    pub status: u16,
    /// This occurrence in words.
    #[schema(example = "email: is not an e-mail address")]
    pub detail: String,
    /// The member or parameter that is wrong, as a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "email")]
    pub field: Option<String>,
    /// The quota that is used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<ProblemQuota>,
    /// The request, as in the gateway's log and in the header `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A quota that is used up.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemQuota {
    /// What is counted.
    #[schema(example = "things")]
    pub kind: String,
    /// How many the plan allows.
    pub allowed: u64,
    /// How many there are.
    pub actual: u64,
}

/// The outermost layer of the API: gives every refusal its body and headers.
pub async fn finish(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<edge::Origin>().map(|origin| origin.request);
    let shown = request.headers().contains_key(AUTHORIZATION);
    let for_token = request.uri().path().ends_with("/token");
    let mut response = next.run(request).await;
    let failure = match response.extensions_mut().remove::<Failure>() {
        Some(failure) => failure,
        None if response.status() == StatusCode::NOT_FOUND && bare(&response) => Failure::Path,
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED && bare(&response) => Failure::Method,
        None => return response,
    };
    if let Failure::Verb(Error::Internal { detail }) = &failure {
        tracing::error!(%detail, "internal error");
    }
    let allow = response.headers_mut().remove(ALLOW);
    let mut answer = problem_response(&failure, id);
    let unauthorized = answer.status() == StatusCode::UNAUTHORIZED;
    let headers = answer.headers_mut();
    if let Some(allow) = allow {
        headers.insert(ALLOW, allow);
    }
    if unauthorized {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge(for_token, shown)));
    }
    answer
}

/// Nothing of ours is in the answer yet: the router refused by itself.
fn bare(response: &Response) -> bool {
    !response.headers().contains_key(CONTENT_TYPE)
}

/// RFC 6750 3: the error code only when a credential was shown.
fn challenge(for_token: bool, shown: bool) -> &'static str {
    match (for_token, shown) {
        (true, _) => "Basic realm=\"heliograph\", charset=\"UTF-8\"",
        (false, true) => "Bearer realm=\"heliograph\", error=\"invalid_token\"",
        (false, false) => "Bearer realm=\"heliograph\"",
    }
}

fn problem_response(failure: &Failure, id: Option<RequestId>) -> Response {
    let body = serde_json::to_string(&failure.problem(id)).unwrap_or_else(|_| "{}".to_owned());
    let mut response = (failure.status(), [(CONTENT_TYPE, "application/problem+json")], body).into_response();
    if let Some(wait) = failure.retry_after() {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

#[cfg(test)]
mod tests {
    use model::{Permission, Quota, QuotaKind};

    use super::*;

    fn all() -> Vec<Failure> {
        let quota = Quota { kind: QuotaKind::Things, allowed: 1, actual: 1 };
        vec![
            Error::Unauthenticated { reason: "no" }.into(),
            Error::Forbidden(Denial::Permission(Permission::ThingWrite)).into(),
            Error::Forbidden(Denial::Quota(quota)).into(),
            Error::Forbidden(Denial::Rule("no")).into(),
            Error::not_found("thing").into(),
            Error::conflict("name", "taken").into(),
            Error::invalid("name", "is empty").into(),
            Error::TooMany { retry_after: Duration::from_millis(1_500) }.into(),
            Error::TooLarge { limit: 10 }.into(),
            Error::unavailable("disk full").into(),
            Error::internal("secret detail").into(),
            Failure::input("a.b", "no"),
            Failure::Input { field: None, reason: "no".into() },
            Failure::MediaType,
            Failure::Path,
            Failure::Method,
        ]
    }

    #[test]
    fn every_kind_is_explained_on_the_problems_page() {
        let page = include_str!("docs/problems.html");
        for failure in all() {
            let (kind, title) = failure.kind();
            assert!(page.contains(&format!("id=\"{kind}\"")), "{kind} is missing");
            assert!(page.contains(title), "{title} is missing");
        }
    }

    #[test]
    fn the_body_tells_what_is_wrong_and_nothing_internal() {
        let shown: Vec<_> = all().iter().map(|f| serde_json::to_string(&f.problem(None)).unwrap()).collect();
        assert!(shown.iter().all(|s| !s.contains("secret detail")));
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn waiting_times_are_rounded_up_to_whole_seconds() {
        let of = |f: Failure| problem_response(&f, None).headers().get(RETRY_AFTER).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(of(Error::TooMany { retry_after: Duration::from_millis(1_500) }.into()).as_deref(), Some("2"));
        assert_eq!(of(Error::TooMany { retry_after: Duration::ZERO }.into()).as_deref(), Some("1"));
        assert_eq!(of(Error::unavailable("x").into()).as_deref(), Some("5"));
        assert_eq!(of(Error::not_found("x").into()), None);
    }
}
