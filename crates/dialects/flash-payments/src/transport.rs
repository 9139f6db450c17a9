//! GraphQL over HTTP: content types, statuses, and the platform's own 429.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response as GraphQlResponse, Variables};
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use edge::{Origin, Payload};
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE,
    RETRY_AFTER, VARY,
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::caller::Asking;
use crate::{Shared, playground, socket};

const JSON: &str = "application/json; charset=utf-8";
const GRAPHQL: &str = "application/graphql-response+json; charset=utf-8";

/// How the client wants its answer: the newer media type has statuses, the older one says 200 to all that is well-formed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    GraphQl,
}

fn form(headers: &HeaderMap) -> Option<Form> {
    let Some(accept) = headers.get(ACCEPT) else { return Some(Form::Json) };
    let accept = accept.to_str().ok()?;
    let mut found = None;
    for range in accept.split(',').map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()) {
        match range.as_str() {
            "application/graphql-response+json" => return Some(Form::GraphQl),
            "application/json" | "application/*" | "*/*" => found = Some(Form::Json),
            _ => {}
        }
    }
    found
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    query: Option<Value>,
    variables: Option<Value>,
    operation_name: Option<Value>,
    extensions: Option<Value>,
}

impl Asked {
    /// A request, or what is wrong with it.
    fn request(self) -> Result<Request, &'static str> {
        let Some(Value::String(query)) = self.query else { return Err("query must be a string") };
        let mut request = Request::new(query);
        match self.operation_name {
            None | Some(Value::Null) => {}
            Some(Value::String(name)) => request = request.operation_name(name),
            Some(_) => return Err("operationName must be a string"),
        }
        match self.variables {
            None | Some(Value::Null) => {}
            Some(Value::Object(map)) => request = request.variables(Variables::from_json(Value::Object(map))),
            Some(_) => return Err("variables must be an object"),
        }
        match self.extensions {
            None | Some(Value::Null | Value::Object(_)) => {}
            Some(_) => return Err("extensions must be an object"),
        }
        Ok(request)
    }
}

pub(crate) async fn preflight() -> Response {
    let headers = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

pub(crate) async fn get(
    State(shared): State<Shared>,
    OriginalUri(uri): OriginalUri,
    origin: Origin,
    request: axum::extract::Request,
) -> Response {
    let headers = request.headers();
    if headers.contains_key("upgrade") {
        return socket::open(shared, origin, request);
    }
    let Some(form) = form(headers) else {
        // A browser: the same address is the playground.
        let wants_page = edge::header(headers, "accept").is_some_and(|accept| accept.contains("text/html"));
        return if wants_page { playground::page() } else { StatusCode::NOT_ACCEPTABLE.into_response() };
    };
    if edge::header(headers, "accept").is_some_and(|accept| accept.contains("text/html")) {
        return playground::page();
    }
    let pairs: Vec<(String, String)> = match edge::query(&uri) {
        Ok(pairs) => pairs,
        Err(error) => return malformed(form, &error.to_string()),
    };
    let find = |name: &str| pairs.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.clone());
    let object = |name: &str| match find(name) {
        None => Ok(None),
        Some(text) => serde_json::from_str::<Value>(&text).map(Some).map_err(|_| ()),
    };
    let (Ok(variables), Ok(extensions)) = (object("variables"), object("extensions")) else {
        return malformed(form, "variables and extensions must be JSON objects");
    };
    let asked =
        Asked { query: find("query").map(Value::String), variables, operation_name: find("operationName").map(Value::String), extensions };
    answer(shared, origin, headers, form, asked, true).await
}

pub(crate) async fn post(State(shared): State<Shared>, origin: Origin, headers: HeaderMap, payload: Payload) -> Response {
    let Some(form) = form(&headers) else { return StatusCode::NOT_ACCEPTABLE.into_response() };
    let json = edge::header(&headers, "content-type")
        .is_some_and(|ct| ct.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json"));
    if !json {
        return problem(form, StatusCode::UNSUPPORTED_MEDIA_TYPE, "send content-type: application/json");
    }
    let body = match payload.0 {
        Ok(body) => body,
        Err(error @ model::Error::TooLarge { .. }) => return problem(form, StatusCode::PAYLOAD_TOO_LARGE, &error.to_string()),
        Err(error) => return malformed(form, &error.to_string()),
    };
    match serde_json::from_slice::<Value>(&body) {
        Ok(value @ Value::Object(_)) => match serde_json::from_value::<Asked>(value) {
            Ok(asked) => answer(shared, origin, &headers, form, asked, false).await,
            Err(error) => malformed(form, &error.to_string()),
        },
        Ok(_) => {
            malformed(form, "the body must be one JSON object with query, variables and operationName; batches are not taken, use aliases")
        }
        Err(error) => malformed(form, &format!("Unparsable JSON body (line {}, column {})", error.line(), error.column())),
    }
}

async fn answer(shared: Shared, origin: Origin, headers: &HeaderMap, form: Form, asked: Asked, only_query: bool) -> Response {
    let request = match asked.request() {
        Ok(request) => request,
        Err(why) => return malformed(form, why),
    };
    if only_query && !is_query(&request) {
        let mut refusal = problem(form, StatusCode::METHOD_NOT_ALLOWED, "only queries can be sent by GET; send mutations by POST");
        refusal.headers_mut().insert(ALLOW, http::HeaderValue::from_static("POST"));
        return refusal;
    }
    let retry = Arc::new(AtomicU64::new(0));
    let token = edge::bearer(headers).map(Arc::from);
    let schema = shared.schema.clone();
    let response = schema.execute(request.data(Asking { shared, origin, token, retry: Arc::clone(&retry) })).await;
    match retry.load(Ordering::Acquire) {
        0 => rendered(form, &response),
        seconds => too_many(seconds),
    }
}

/// The platform's own shape, which is not GraphQL's (contracts/flash-payments.md 1).
fn too_many(seconds: u64) -> Response {
    let wait = if seconds < 60 { format!("{seconds} sec") } else { format!("{} min", seconds.div_ceil(60)) };
    let body = json!({"success": false, "code": "TOO_MANY_REQUESTS", "message": format!("Retry after {wait}"), "retrySecs": seconds});
    let headers = [(RETRY_AFTER, seconds.to_string()), (ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned())];
    (StatusCode::TOO_MANY_REQUESTS, headers, axum::Json(body)).into_response()
}

fn is_query(request: &Request) -> bool {
    let Ok(document) = async_graphql::parser::parse_query(&request.query) else { return true };
    let mut operations = document.operations.iter();
    let chosen = match request.operation_name.as_deref() {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|n| n == wanted)),
        None => operations.next(),
    };
    chosen.is_none_or(|(_, op)| op.node.ty == OperationType::Query)
}

fn rendered(form: Form, response: &GraphQlResponse) -> Response {
    // A document that was never run has no data at all (GraphQL 7.1); one whose resolvers failed has `data: null`.
    let never_run =
        response.data == async_graphql::Value::Null && !response.errors.is_empty() && response.errors.iter().all(|e| e.path.is_empty());
    let mut body = serde_json::to_value(response).unwrap_or_else(|_| json!({"errors": [{"message": "internal error"}]}));
    if never_run && let Some(members) = body.as_object_mut() {
        members.remove("data");
    }
    let status = if never_run && form == Form::GraphQl { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    with_body(form, status, &body)
}

fn malformed(form: Form, why: &str) -> Response {
    problem(form, StatusCode::BAD_REQUEST, why)
}

fn problem(form: Form, status: StatusCode, why: &str) -> Response {
    with_body(form, status, &json!({"errors": [{"message": why, "extensions": {"code": "BAD_USER_INPUT"}}]}))
}

fn with_body(form: Form, status: StatusCode, body: &Value) -> Response {
    let media = if form == Form::GraphQl { GRAPHQL } else { JSON };
    let headers = [(CONTENT_TYPE, media), (CACHE_CONTROL, "no-store"), (VARY, "accept"), (ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (status, headers, body.to_string()).into_response()
}
