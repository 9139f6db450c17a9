//! Bodies and queries: limited, and refused in `model::Error` rather than in somebody else's plain text.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use model::{Error, Result};
use serde::de::DeserializeOwned;

/// The largest body unless a router says otherwise: 1 MiB.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// How long a body may take to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Another limit for a route: `.layer(axum::Extension(BodyLimit(64 * 1024)))`.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit(pub usize);

/// A request's body, read whole. As a handler's last argument; `payload.0?` then refuses in the dialect's own shape.
#[derive(Debug)]
pub struct Payload(pub Result<Bytes>);

impl<S: Sync> FromRequest<S> for Payload {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> std::result::Result<Self, Infallible> {
        let limit = request.extensions().get::<BodyLimit>().map_or(BODY_LIMIT, |limit| limit.0);
        Ok(Self(read(request.into_body(), limit).await))
    }
}

/// Reads a body whole: `TooLarge` beyond `limit` bytes (at once when its length is announced), `Invalid` when it stops midway.
pub async fn read(body: Body, limit: usize) -> Result<Bytes> {
    let too_large = || Error::TooLarge { limit: limit.try_into().unwrap_or(u64::MAX) };
    if usize::try_from(hyper::body::Body::size_hint(&body).lower()).is_ok_and(|length| length > limit) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Error::invalid("body", "ended early")),
        Err(_) => Err(Error::invalid("body", format!("did not arrive within {} s", BODY_TIMEOUT.as_secs()))),
    }
}

/// A value out of JSON text, whatever the content type said; the error names line, column and key, never the content.
pub fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::invalid("body", "is empty, JSON is expected"));
    }
    serde_json::from_slice(text).map_err(|e| Error::invalid("body", json_reason(&e)))
}

/// A value out of `application/x-www-form-urlencoded` text.
pub fn form<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_urlencoded::from_bytes(text).map_err(|e| Error::invalid("body", e.to_string()))
}

/// A value out of a URI's query.
pub fn query<T: DeserializeOwned>(uri: &Uri) -> Result<T> {
    serde_urlencoded::from_str(uri.query().unwrap_or_default()).map_err(|e| Error::invalid("query", e.to_string()))
}

fn json_reason(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Eof => format!("is JSON cut short at line {} column {}", error.line(), error.column()),
        serde_json::error::Category::Syntax => format!("is not JSON: {error}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: String,
    }

    fn reason<T: std::fmt::Debug>(result: Result<T>) -> String {
        result.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_too_large_announced_or_not() {
        let limit = Error::TooLarge { limit: 4 };
        assert_eq!(read(Body::from("12345"), 4).await, Err(limit.clone()));
        let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("123"), Ok("45")]);
        assert_eq!(read(Body::from_stream(chunks), 4).await, Err(limit));
        assert_eq!(read(Body::from("1234"), 4).await.unwrap(), "1234");
        let broken = futures_util::stream::iter([Ok("123"), Err(std::io::Error::other("gone"))]);
        assert_eq!(read(Body::from_stream(broken), 4).await, Err(Error::invalid("body", "ended early")));
    }

    #[test]
    fn errors_name_the_place() {
        assert_eq!(json::<Sample>(br#"{"name":"a"}"#).unwrap(), Sample { name: "a".into() });
        assert!(reason(json::<Sample>(b" ")).contains("empty"));
        assert!(reason(json::<Sample>(b"{")).contains("cut short"));
        assert!(reason(json::<Sample>(b"{]")).contains("line 1 column 2"));
        assert!(reason(json::<Sample>(br#"{"nome":"a"}"#)).contains("`nome`"));
        assert!(reason(form::<Sample>(b"nome=a")).contains("nome"));
        assert_eq!(query::<Sample>(&"/x?name=a%20b".parse().unwrap()).unwrap().name, "a b");
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        let deep = "[".repeat(100_000);
        assert!(json::<serde_json::Value>(deep.as_bytes()).is_err());
    }
}
