//! What handlers take: who calls, path, query and body, each refused in this API's own words.
//!
//! Strict on purpose: an unknown member or parameter is an error that names it, because a typing mistake that is silently
//! ignored costs more than one that is refused.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use identity::{Credential, Identity, Origin, TenantChoice};
use model::{Caller, Error, TenantId};
use serde::de::DeserializeOwned;

use crate::{App, Failure, TOKENS};

/// The caller, by bearer token or API key, in its own tenant or, for an operator, in the one it names.
pub struct Auth(pub Caller);

/// The caller and what it showed, so that a long answer can ask again whether it still holds.
pub struct Proven {
    /// The caller.
    pub caller: Caller,
    /// What it showed.
    pub proof: Proof,
}

/// What a caller showed.
#[derive(Clone)]
pub struct Proof {
    bearer: String,
    origin: Origin,
    vouched: Option<Caller>,
}

impl Proof {
    /// Checks it (again).
    pub async fn check(&self, identity: &Identity) -> model::Result<Caller> {
        if let Some(caller) = &self.vouched {
            // Recognised before it came here; that holds as long as the process does.
            Ok(Caller { request: self.origin.request, address: self.origin.address, ..caller.clone() })
        } else if is_token(&self.bearer) {
            let mut caller = identity.verify(&self.bearer, &TOKENS).await?;
            caller.request = self.origin.request;
            caller.address = self.origin.address;
            Ok(caller)
        } else {
            let signed_in = identity.sign_in(Credential::ApiKey { key: &self.bearer }, TenantChoice::Home, &self.origin).await?;
            Ok(signed_in.caller)
        }
    }
}

impl FromRequestParts<App> for Proven {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        let vouched = parts.extensions.get::<edge::Vouched>().map(|v| v.0.clone());
        let bearer = match edge::bearer(&parts.headers) {
            Some(bearer) => bearer.to_owned(),
            None if vouched.is_some() => String::new(),
            None => return Err(Error::Unauthenticated { reason: "send Authorization: Bearer with a token or an API key" }.into()),
        };
        let proof = Proof { bearer, origin: origin(parts, app).await, vouched };
        let caller = proof.check(&app.identity).await?;
        let caller = match asked_tenant(parts) {
            Some(text) => in_tenant(app, caller, text.trim()).await?,
            None => caller,
        };
        Ok(Self { caller, proof })
    }
}

impl FromRequestParts<App> for Auth {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        Ok(Self(Proven::from_request_parts(parts, app).await?.caller))
    }
}

const TENANT: &str = "tenant";

/// The tenant a request names in its header or its query, by id or name.
fn asked_tenant(parts: &Parts) -> Option<String> {
    let header = parts.headers.get(TENANT).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    header.or_else(|| pairs(parts).find(|(name, _)| name == TENANT).map(|(_, value)| value))
}

/// The caller looking at that tenant, if it is its own or the caller is an operator. There it must exist: an operator's typing
/// mistake must not look like an empty tenant.
async fn in_tenant(app: &App, caller: Caller, text: &str) -> Result<Caller, Failure> {
    let tenant = match text.parse::<TenantId>() {
        Ok(id) if id == caller.tenant => return Ok(caller),
        Ok(id) => {
            let there = caller.in_tenant(id)?;
            app.identity.tenant(&there, id).await?.id
        }
        Err(_) => app.identity.tenant_named(&caller, text).await?.id,
    };
    Ok(caller.in_tenant(tenant)?)
}

/// Is it a JWT (RFC 7519 3: three parts, the first a JSON object in base64url), or an API key?
pub fn is_token(bearer: &str) -> bool {
    bearer.starts_with("eyJ") && bearer.bytes().filter(|b| *b == b'.').count() == 2
}

/// Where a request comes from. Without an edge around it, as in a unit test, it still gets an id.
async fn origin(parts: &mut Parts, app: &App) -> Origin {
    match edge::Origin::from_request_parts(parts, app).await {
        Ok(origin) if !origin.request.uuid().is_nil() => origin.into(),
        Ok(origin) => Origin { request: app.identity.clock().new_id(), ..origin.into() },
    }
}

/// Where the request comes from, for credential checks.
pub struct From(pub Origin);

impl FromRequestParts<App> for From {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        Ok(Self(origin(parts, app).await))
    }
}

/// Parts of the path, percent-decoded.
pub struct At<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for At<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failure> {
        Path::from_request_parts(parts, app).await.map(|Path(value)| Self(value)).map_err(|_| Failure::Path)
    }
}

/// Parses an id from a path. What is not an id names nothing: not found, like any other that does not exist.
pub fn id<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Error::not_found(what).into())
}

/// The query, strictly.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Failure> {
        query(parts).map(Self)
    }
}

fn pairs(parts: &Parts) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned()
}

fn query<T: DeserializeOwned>(parts: &Parts) -> Result<T, Failure> {
    let rest: Vec<_> = pairs(parts).filter(|(name, _)| name != TENANT).collect();
    let text = serde_urlencoded::to_string(rest).map_err(|e| Failure::Input { field: None, reason: e.to_string() })?;
    let reader = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(reader).map_err(|e| misfit(&e.path().to_string(), &e.inner().to_string()))
}

/// A JSON body, strictly. No body at all counts as `{}`.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let is_json = request.headers().get(CONTENT_TYPE).is_none_or(|v| v.to_str().is_ok_and(is_json));
        let bytes = edge::read(request.into_body(), app.options.body_limit).await?;
        if bytes.is_empty() {
            return json(b"{}").map(Self);
        }
        if !is_json {
            return Err(Failure::MediaType);
        }
        json(&bytes).map(Self)
    }
}

/// A body of any type as text.
pub struct Text(pub String);

impl FromRequest<App> for Text {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let bytes = edge::read(request.into_body(), app.options.body_limit).await?;
        let text = String::from_utf8(bytes.into()).map_err(|_| Failure::Input { field: None, reason: "the body is not UTF-8".into() })?;
        Ok(Self(text))
    }
}

/// `application/json`, `application/merge-patch+json` and other `+json` types, with any parameters.
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

/// Reads a JSON object; an error names the member.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    // serde would take an array for an object, its items for the members in order.
    if bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Failure::Input { field: None, reason: "the body is not a JSON object".to_owned() });
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        if e.inner().is_data() {
            misfit(&e.path().to_string(), &e.inner().to_string())
        } else {
            Failure::Input { field: None, reason: format!("the body is not JSON: {}", e.inner()) }
        }
    })?;
    reader.end().map_err(|e| Failure::Input { field: None, reason: format!("the body is not one JSON value: {e}") })?;
    Ok(value)
}

/// serde's message as field and reason: a missing or unknown member is the field, not its parent.
fn misfit(path: &str, message: &str) -> Failure {
    let message = message.rsplit_once(" at line ").map_or(message, |(text, _)| text);
    let parent = if path == "." { "" } else { path };
    let member = |name: &str| {
        // The path may already end in the unknown member.
        if parent.is_empty() || parent == name || parent.ends_with(&format!(".{name}")) {
            if parent.is_empty() { name.to_owned() } else { parent.to_owned() }
        } else {
            format!("{parent}.{name}")
        }
    };
    let quoted = |prefix: &str| message.strip_prefix(prefix).and_then(|rest| rest.split_once('`'));
    if let Some((name, _)) = quoted("missing field `") {
        return Failure::input(member(name), "is missing");
    }
    if let Some((name, rest)) = quoted("duplicate field `") {
        return Failure::input(member(name), format!("is given twice{rest}"));
    }
    if let Some((name, rest)) = quoted("unknown field `") {
        let known = rest.trim_start_matches([',', ' ']).replace("expected one of ", "known are ").replace("expected ", "known is ");
        let known = if known.is_empty() { String::new() } else { format!("; {known}") };
        return Failure::input(member(name), format!("is not known here{known}"));
    }
    if parent.is_empty() { Failure::Input { field: None, reason: message.to_owned() } } else { Failure::input(parent, message) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        colour: Option<String>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        #[serde(default)]
        count: u32,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    fn told(text: &str) -> String {
        match json::<Outer>(text.as_bytes()).unwrap_err() {
            Failure::Input { field, reason } => format!("{} | {reason}", field.unwrap_or_default()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_wrong_body_names_the_member() {
        let cases = [
            "{}",
            r#"{"name":1}"#,
            r#"{"name":"a","colour":1}"#,
            r#"{"name":"a","count":-1}"#,
            r#"{"name":"a","inner":[{},{"colour":true}]}"#,
            r#"{"name":"a","inner":[{"color":"x"}]}"#,
            r#"{"name":"a","name":"b"}"#,
            r#"{"name":"a"} x"#,
            r#"{"name":"#,
            "[]",
        ];
        insta::assert_snapshot!(cases.map(told).join("\n"), @r"
        name | is missing
        name | invalid type: integer `1`, expected a string
        colour | is not known here; known are `name`, `count`, `inner`
        count | invalid value: integer `-1`, expected u32
        inner[1].colour | invalid type: boolean `true`, expected a string
        inner[0].color | is not known here; known is `colour`
        name | is given twice
         | the body is not one JSON value: trailing characters at line 1 column 14
         | the body is not JSON: EOF while parsing a value at line 1 column 8
         | the body is not a JSON object
        ");
    }

    fn asked<T: DeserializeOwned>(uri: &str) -> Result<T, Failure> {
        let (parts, ()) = http::Request::builder().uri(uri).body(()).unwrap().into_parts();
        query(&parts)
    }

    #[test]
    fn a_query_is_strict_but_for_the_tenant() {
        assert_eq!(asked::<Inner>("/x?colour=red%20one&tenant=y").unwrap(), Inner { colour: Some("red one".into()) });
        assert!(matches!(asked::<Inner>("/x?color=red"), Err(Failure::Input { field: Some(f), .. }) if f == "color"));
        assert!(matches!(asked::<Outer>("/x?name=a&count=z"), Err(Failure::Input { field: Some(f), .. }) if f == "count"));
    }

    #[test]
    fn json_by_any_of_its_names() {
        for good in ["application/json", "application/json; charset=utf-8", "application/merge-patch+json", "Application/JSON"] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "text/json+x", ""] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = json::<Outer>(&bytes);
        }

        #[test]
        fn no_query_makes_the_reader_panic(text in "[ -~]{0,100}") {
            if let Ok(uri) = format!("/x?{text}").parse::<http::Uri>() {
                let _ = asked::<Outer>(&uri.to_string());
            }
        }
    }
}
