//! HTTP as somebody.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::Value;

use crate::redact;

/// Who a request is from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nobody: no header at all.
    #[default]
    None,
    /// `Authorization: Bearer …`.
    Bearer(String),
    /// `Authorization: Basic …`.
    Basic(String, String),
    /// Any header, as it is.
    Header(&'static str, String),
}

/// A base address and somebody who asks.
#[derive(Clone, Debug)]
pub struct Http {
    base: String,
    auth: Auth,
}

/// Headers that belong to an exchange's text form when they are there.
const SHOWN: &[&str] = &["content-type", "www-authenticate", "retry-after", "location", "cache-control", "allow"];

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request's method.
    pub method: String,
    /// The request's path and query.
    pub path: String,
    /// The answer's status.
    pub status: u16,
    /// The answer's headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The answer's body.
    pub body: Vec<u8>,
}

/// A client that follows no redirect and keeps nothing.
#[must_use]
pub fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        // A second call only says that there is one already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // Nothing is kept open: a test's runtime ends with its test, and a killed gateway must be met anew.
        let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        builder.pool_max_idle_per_host(0).timeout(Duration::from_secs(30)).build().unwrap()
    })
}

impl Http {
    /// Requests to `base` (`http://host:port`) from nobody.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        Self { base: base.into().trim_end_matches('/').to_owned(), auth: Auth::None }
    }

    /// The same address, from somebody.
    #[must_use]
    pub fn with(&self, auth: Auth) -> Self {
        Self { base: self.base.clone(), auth }
    }

    /// The same address, from whoever has this token.
    #[must_use]
    pub fn bearer(&self, token: impl Into<String>) -> Self {
        self.with(Auth::Bearer(token.into()))
    }

    /// The same address, with a name and a password.
    #[must_use]
    pub fn basic(&self, name: &str, password: &str) -> Self {
        self.with(Auth::Basic(name.to_owned(), password.to_owned()))
    }

    /// Who asks.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// The base address.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Exchange {
        self.send(Method::GET, path, &[], None).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Exchange {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Exchange {
        self.json(Method::POST, path, body).await
    }

    /// `PUT` of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Exchange {
        self.json(Method::PUT, path, body).await
    }

    /// `PATCH` of JSON.
    pub async fn patch(&self, path: &str, body: &Value) -> Exchange {
        self.json(Method::PATCH, path, body).await
    }

    /// `POST` of a form.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Exchange {
        let encode = |text: &str| -> String {
            text.bytes()
                .map(|b| if b.is_ascii_alphanumeric() || b"-._~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
                .collect()
        };
        let body: Vec<String> = fields.iter().map(|(k, v)| format!("{}={}", encode(k), encode(v))).collect();
        self.send(Method::POST, path, &[("content-type", "application/x-www-form-urlencoded")], Some(body.join("&").into_bytes())).await
    }

    async fn json(&self, method: Method, path: &str, body: &Value) -> Exchange {
        self.send(method, path, &[("content-type", "application/json")], Some(body.to_string().into_bytes())).await
    }

    /// Any request; fails the test when there is no answer.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Vec<u8>>) -> Exchange {
        let name = format!("{method} {path}");
        self.try_send(method, path, headers, body).await.unwrap_or_else(|e| panic!("{name}: {e:?}"))
    }

    /// The status alone; an endless answer is not waited for.
    pub async fn status(&self, method: &str, path: &str, body: Option<&Value>) -> u16 {
        let method: Method = method.parse().unwrap();
        let mut request = self.prepare(method, path);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request.send().await.unwrap_or_else(|e| panic!("{path}: {e:?}")).status().as_u16()
    }

    fn prepare(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = client().request(method, format!("{}{path}", self.base));
        match &self.auth {
            Auth::None => request,
            Auth::Bearer(token) => request.header("authorization", format!("Bearer {token}")),
            Auth::Basic(name, password) => {
                request.header("authorization", format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))))
            }
            Auth::Header(header, value) => request.header(*header, value),
        }
    }

    /// Any request; an error when there is no answer, as from a gateway that was just killed.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Exchange, reqwest::Error> {
        let mut request = self.prepare(method.clone(), path);
        for (header, value) in headers {
            request = request.header(*header, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let headers =
            answer.headers().iter().map(|(k, v)| (k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
        let body = answer.bytes().await?.to_vec();
        Ok(Exchange { method: method.to_string(), path: path.to_owned(), status, headers, body })
    }
}

impl Exchange {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {self}"))
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// Fails the test unless the status is this one.
    #[track_caller]
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// The status and the redacted body: two answers that look alike to a stranger are equal here.
    #[must_use]
    pub fn looks(&self) -> (u16, String) {
        (self.status, redact(&self.text()))
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{} {}\n{}\n", self.method, self.path, self.status);
        for (name, value) in self.headers.iter().filter(|(name, _)| SHOWN.contains(&name.as_str())) {
            text.push_str(&format!("{name}: {value}\n"));
        }
        if !self.body.is_empty() {
            text.push('\n');
            match serde_json::from_slice::<Value>(&self.body) {
                Ok(value) => text.push_str(&format!("{value:#}")),
                Err(_) => text.push_str(&self.text()),
            }
        }
        f.write_str(redact(&text).trim_end())
    }
}
