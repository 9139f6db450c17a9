//! The envelope: `success`, sometimes `error`, the counters, and what was asked for beside them.

use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde::Serialize;
use things::ApiUsage;

/// What an operation answers when it succeeds.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    /// Does the envelope say `"error": null`? Groups and users do, devices do not.
    null_error: bool,
    /// A JSON object.
    body: String,
}

impl Reply {
    pub(crate) fn ok(body: &impl Serialize) -> Self {
        // Our own shapes have text keys and finite numbers; what else could fail would still be a valid envelope.
        let body = serde_json::to_string(body).unwrap_or_else(|_| "{}".to_owned());
        Self { status: StatusCode::OK, null_error: false, body }
    }

    pub(crate) fn created(body: &impl Serialize) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(body) }
    }

    /// Nothing but the envelope.
    pub(crate) fn empty() -> Self {
        Self { status: StatusCode::OK, null_error: false, body: "{}".to_owned() }
    }

    pub(crate) fn with_null_error(self) -> Self {
        Self { null_error: true, ..self }
    }

    pub(crate) fn render(self, usage: Option<ApiUsage>) -> Response {
        let error = if self.null_error { r#","error":null"# } else { "" };
        let rest = self.body.strip_prefix('{').and_then(|b| b.strip_suffix('}')).unwrap_or_default();
        let comma = if rest.is_empty() { "" } else { "," };
        json(self.status, format!(r#"{{"success":true{error}{}{comma}{rest}}}"#, counters(usage)))
    }
}

/// The counters as they stand in an envelope.
pub(crate) fn counters(usage: Option<ApiUsage>) -> String {
    usage.map_or_else(String::new, |usage| format!(r#","apiUsage":{},"apiDailyUsage":{}"#, usage.user, usage.tenant))
}

pub(crate) fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::json;

    use super::*;

    async fn text(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), 10_000).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_envelope_is_flat() {
        let usage = Some(ApiUsage { user: 3, tenant: 7, limit: None });
        assert_eq!(
            text(Reply::ok(&json!({ "id": "a" })).with_null_error().render(usage)).await,
            r#"{"success":true,"error":null,"apiUsage":3,"apiDailyUsage":7,"id":"a"}"#
        );
        assert_eq!(text(Reply::empty().render(usage)).await, r#"{"success":true,"apiUsage":3,"apiDailyUsage":7}"#);
        assert_eq!(text(Reply::ok(&json!({ "token": "x" })).render(None)).await, r#"{"success":true,"token":"x"}"#);
        assert_eq!(text(Reply::empty().render(None)).await, r#"{"success":true}"#);
    }
}
