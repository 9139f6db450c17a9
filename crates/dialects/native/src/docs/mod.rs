//! The API pages: a viewer of OpenAPI documents that needs nothing from elsewhere.
//!
//! Three files served from the binary, no inline script or style, so the content security policy can forbid everything else.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;
use utoipa::openapi::OpenApi;

use crate::document::BASE;

/// An API document to be shown.
#[derive(Clone, Debug)]
pub struct ApiDoc {
    /// Its title in the list of APIs.
    pub title: String,
    /// Where it is served.
    pub path: String,
    /// The document: OpenAPI 3 or Swagger 2.0, JSON text.
    pub json: String,
}

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const PAGES: &[(&str, &str, &str)] = &[
    ("/docs", HTML, include_str!("index.html")),
    ("/docs/", HTML, include_str!("index.html")),
    ("/docs/problems", HTML, include_str!("problems.html")),
    ("/docs/viewer.css", "text/css; charset=utf-8", include_str!("viewer.css")),
    ("/docs/viewer.js", "text/javascript; charset=utf-8", include_str!("viewer.js")),
    ("/docs/schema.js", "text/javascript; charset=utf-8", include_str!("schema.js")),
];

/// The pages, and the documents they show.
pub fn router(own: &OpenApi, others: &[ApiDoc]) -> Router {
    let own = ApiDoc {
        title: "Heliograph".to_owned(),
        path: format!("{BASE}/openapi.json"),
        json: serde_json::to_string(own).unwrap_or_default(),
    };
    let docs: Vec<&ApiDoc> = std::iter::once(&own).chain(others).collect();
    let list: Vec<_> = docs.iter().map(|doc| json!({"title": doc.title, "path": doc.path})).collect();
    let mut router = Router::new().route("/docs/apis.json", file(JSON, json!(list).to_string()));
    for (path, kind, text) in PAGES {
        router = router.route(path, file(kind, (*text).to_owned()));
    }
    for doc in docs {
        router = router.route(&doc.path, file(JSON, doc.json.clone()));
    }
    router
}

/// One file; a client that has it already is told so.
fn file(kind: &'static str, text: String) -> axum::routing::MethodRouter {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let text = bytes::Bytes::from(text);
    get(async move |headers: HeaderMap| answer(&headers, kind, &tag, text.clone()))
}

fn answer(headers: &HeaderMap, kind: &'static str, tag: &str, text: bytes::Bytes) -> Response {
    let known = headers.get(IF_NONE_MATCH).is_some_and(|v| v.to_str().is_ok_and(|list| list.split(',').any(|t| t.trim() == tag)));
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { text.into_response() };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    response
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn fetch(path: &str, tag: Option<&str>) -> (StatusCode, HeaderMap, String) {
        let others = [ApiDoc { title: "Other".into(), path: "/docs/other.json".into(), json: "{\"openapi\":\"3.0.0\"}".into() }];
        let mut request = Request::get(path);
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let response = router(&crate::openapi(), &others).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (parts.status, parts.headers, text)
    }

    #[tokio::test]
    async fn every_page_is_served_under_the_policy() {
        for (path, kind, _) in PAGES {
            let (status, headers, text) = fetch(path, None).await;
            assert_eq!((status, headers[CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, *kind), "{path}");
            assert_eq!(headers[CONTENT_SECURITY_POLICY], POLICY);
            assert!(!text.is_empty());
            let (status, _, text) = fetch(path, headers[ETAG].to_str().ok()).await;
            assert_eq!((status, text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{path}");
        }
    }

    #[tokio::test]
    async fn the_list_leads_to_every_document() {
        let (_, _, list) = fetch("/docs/apis.json", None).await;
        let list: Vec<serde_json::Value> = serde_json::from_str(&list).unwrap();
        assert_eq!(list.len(), 2);
        for entry in list {
            let (status, headers, text) = fetch(entry["path"].as_str().unwrap(), None).await;
            assert_eq!((status, &headers[CONTENT_TYPE]), (StatusCode::OK, &HeaderValue::from_static(JSON)));
            assert!(serde_json::from_str::<serde_json::Value>(&text).unwrap()["openapi"].is_string());
        }
    }

    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        for (path, kind, text) in PAGES {
            for bad in
                ["http://", "https://", "innerHTML", "insertAdjacentHTML", "document.write", "eval(", "@import", "style=\"", " onclick"]
            {
                assert!(!text.contains(bad), "{path}: {bad}");
            }
            if *kind == HTML {
                assert!(!text.contains("<style") && !text.contains("<script>") && text.contains("lang=\"en\""), "{path}");
            }
        }
    }
}
