//! Paths to handlers.
//!
//! The inner router knows every operation once, `/things/{id}/publish`; the outer ones bring whatever base path a client was
//! configured with to it, answer `OPTIONS`, and dress what comes back.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any, get, post};
use axum::{Extension, Router};
use http::uri::PathAndQuery;
use http::{Method, Uri};
use tower::ServiceExt as _;

use crate::error::Problem;
use crate::places::Places;
use crate::respond::{dress, preflight};
use crate::{App, base, messages, register, stream, subscriptions, thing, token, users};

/// The router beside other dialects: every resource under `/`, `/v1`, `/{stage}` and `/{stage}/v1`, and all of `/prd` and `/dev`.
/// Only `/v1/users/{id}` is left to the gateway: another dialect has users there too, and a request's token says which is meant.
pub fn router(app: App) -> Router {
    mount(&face(operations(app)))
}

fn mount(face: &MethodRouter) -> Router {
    let mut outer = Router::new();
    for resource in base::RESOURCES {
        for base in ["", "/v1", "/{stage}", "/{stage}/v1"] {
            for rest in ["", "/", "/{*rest}"] {
                if (base, resource, rest) == ("/v1", "users", "/{*rest}") {
                    continue;
                }
                outer = outer.route(&format!("{base}/{resource}{rest}"), face.clone());
            }
        }
    }
    // Two slashes: what the SDK makes of an endpoint that ends in one, or of an empty stage.
    for whole in ["/prd/{*rest}", "/dev/{*rest}", "//{*rest}", "/v1//{*rest}", "/{stage}//{*rest}", "/{stage}/v1//{*rest}"] {
        outer = outer.route(whole, face.clone());
    }
    outer
}

/// The router on a host of its own, `api.flashlex.com` for instance: the whole path space is the dialect's.
pub fn host_router(app: App) -> Router {
    Router::new().fallback_service(face(operations(app)))
}

/// All operations at their canonical paths.
fn operations(app: App) -> Router {
    let with = |route: MethodRouter<Arc<App>>, allowed: &'static str| route.fallback(move || async move { Problem::NoMethod(allowed) });
    Router::new()
        .route("/token", with(get(token::token), "GET,OPTIONS"))
        .route("/subscriptions", with(get(subscriptions::list), "GET,OPTIONS"))
        .route("/subscriptions/active", with(get(subscriptions::active), "GET,OPTIONS"))
        .route("/subscriptions/{id}", with(get(subscriptions::one), "GET,OPTIONS"))
        .route("/things", with(get(thing::list).post(thing::create), "GET,POST,OPTIONS"))
        .route("/things/{id}", with(get(thing::one).delete(thing::remove), "GET,DELETE,OPTIONS"))
        .route("/things/{id}/messages", with(get(messages::list).delete(messages::remove), "GET,DELETE,OPTIONS"))
        .route("/things/{id}/messages/stream", with(get(stream::stream), "GET,OPTIONS"))
        .route("/things/{id}/archive", with(get(messages::archive), "GET,OPTIONS"))
        .route("/things/{id}/collect", with(post(messages::collect), "POST,OPTIONS"))
        .route("/things/{id}/dist", with(get(thing::dist), "GET,OPTIONS"))
        .route("/things/{id}/publish", with(post(messages::publish), "POST,OPTIONS"))
        .route("/users/{id}", with(get(users::one), "GET,OPTIONS"))
        .route("/register", with(post(register::register), "POST,OPTIONS"))
        .route("/register/verify", with(post(register::verify), "POST,OPTIONS"))
        .fallback(|| async { Problem::NoRoute })
        .layer(Extension(Places::default()))
        .with_state(Arc::new(app))
}

/// Any method at any base path, led to the operations.
fn face(operations: Router) -> MethodRouter {
    any(move |request: Request| {
        let operations = operations.clone();
        async move { dress(answer(operations, request).await) }
    })
}

async fn answer(operations: Router, mut request: Request) -> Response {
    if request.method() == Method::OPTIONS {
        return preflight();
    }
    match rebased(request.uri()) {
        Some(uri) => {
            *request.uri_mut() = uri;
            operations.oneshot(request).await.into_response()
        }
        None => Problem::NoRoute.into_response(),
    }
}

/// The same URI with its canonical path.
fn rebased(uri: &Uri) -> Option<Uri> {
    let path = base::canonical(uri.path())?;
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::StatusCode;

    use super::*;

    /// The dialect's mounts over an inner router that names the path it saw, beside routes as other dialects have them.
    fn gateway() -> Router {
        let seen = Router::new().fallback(|uri: Uri| async move { uri.to_string() });
        let other = |name: &'static str| get(move || async move { name });
        Router::new()
            .route("/heliograph/v1/things", other("native"))
            .route("/heliograph/v1/{*rest}", other("native"))
            .route("/oauth2/token", other("openid"))
            .route("/console/{*rest}", other("console"))
            .route("/docs/{*rest}", other("docs"))
            .route("/healthz", other("health"))
            .merge(mount(&face(seen)))
    }

    async fn call(method: &str, path: &str) -> (StatusCode, String, Response) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = gateway().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, 10_000).await.unwrap().to_vec()).unwrap();
        (parts.status, text, Response::from_parts(parts, Body::empty()))
    }

    #[tokio::test]
    async fn every_base_path_leads_to_the_operation() {
        for base in [
            "/prd/v1",
            "/dev/v1",
            "/dev",
            "/prd",
            "/v1",
            "",
            "/staging/v1",
            "/staging",
            "//prd/v1",
            "//v1",
            "/prd//v1",
            "/v1/",
            "/staging/",
            "/staging/v1/",
        ] {
            for (path, seen) in [("/token", "/token"), ("/things/a/publish?x=1", "/things/a/publish?x=1"), ("/things/", "/things")] {
                let (status, text, _) = call("GET", &format!("{base}{path}")).await;
                assert_eq!((status, text.as_str()), (StatusCode::OK, seen), "{base}{path}");
            }
        }
    }

    #[tokio::test]
    async fn what_others_serve_stays_theirs() {
        for (path, name) in [
            ("/heliograph/v1/things", "native"),
            ("/heliograph/v1/users/x", "native"),
            ("/oauth2/token", "openid"),
            ("/console/things", "console"),
            ("/docs/flashlex/openapi.json", "docs"),
            ("/heliograph/v1//things", "native"),
            ("/console//things", "console"),
            ("/healthz", "health"),
        ] {
            assert_eq!(call("GET", path).await.1, name, "{path}");
        }
    }

    #[tokio::test]
    async fn an_unknown_path_under_a_stage_is_refused_in_the_envelope() {
        for path in ["/prd/v1/thing", "/prd/x", "/dev/v2/things"] {
            let (status, text, _) = call("GET", path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(text.starts_with(r#"{"status":"Not Found","code":404,"#), "{text}");
        }
    }

    #[tokio::test]
    async fn options_needs_nothing_and_allows_any_origin() {
        let (status, _, response) = call("OPTIONS", "/prd/v1/things").await;
        assert_eq!(status, StatusCode::OK);
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("access-control-allow-origin"), "*");
        assert_eq!(header("access-control-allow-credentials"), "false");
        assert!(header("access-control-allow-headers").contains("Authorization"));
        assert!(header("access-control-allow-methods").contains("DELETE"));
    }

    #[test]
    fn the_description_names_every_operation() {
        let document: serde_json::Value = serde_json::from_str(crate::openapi()).unwrap();
        let mut described: Vec<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
            .collect();
        described.sort();
        assert_eq!(
            described,
            [
                "delete /things/{thingId}",
                "delete /things/{thingId}/messages",
                "get /subscriptions",
                "get /subscriptions/active",
                "get /subscriptions/{subscriptionId}",
                "get /things",
                "get /things/{thingId}",
                "get /things/{thingId}/archive",
                "get /things/{thingId}/dist",
                "get /things/{thingId}/messages",
                "get /things/{thingId}/messages/stream",
                "get /token",
                "get /users/{sub}",
                "post /register",
                "post /register/verify",
                "post /things",
                "post /things/{thingId}/collect",
                "post /things/{thingId}/publish",
            ]
        );
    }
}
