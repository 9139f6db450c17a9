//! The command line's side of the REST API: against the running gateway, or against the same routers over the data directory.

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use edge::{App, Meter, VirtualHosts, Vouched};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use identity::{ExposeSecret as _, SecretString};
use model::Caller;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::data::{Layout, Lock, read_small};
use crate::site::Site;
use crate::start::reachable;
use crate::{Config, House, Problem};

/// Where the API lies.
pub const BASE: &str = "/heliograph/v1";

/// A gateway to talk to.
pub struct Client {
    way: Way,
    tenant: Option<String>,
}

enum Way {
    /// A running gateway, by HTTP.
    Remote { client: reqwest::Client, base: String, token: SecretString },
    /// The data directory, in this process; no socket.
    Here { app: Box<App>, house: Box<House>, operator: Box<Caller>, _lock: Lock },
}

/// An answer's body, read whole or piece by piece.
pub enum Answer {
    /// From a running gateway.
    Remote(reqwest::Response),
    /// From our own routers.
    Here(Body),
}

impl Answer {
    /// The next piece.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        match self {
            Answer::Remote(response) => response.chunk().await.map_err(|e| Problem::failed(format!("the gateway is gone: {e}"))),
            Answer::Here(body) => loop {
                match body.frame().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(Problem::failed(error)),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                }
            },
        }
    }

    async fn whole(mut self) -> Result<Vec<u8>, Problem> {
        let mut all = Vec::new();
        while let Some(piece) = self.chunk().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

impl Client {
    /// The gateway of this configuration's data directory: the one that runs there, else the directory itself. A directory that
    /// does not exist is not made: a typing mistake in `--data` must not look like an empty gateway.
    pub async fn open(config: &Config) -> Result<Self, Problem> {
        let layout = Layout::new(&config.data);
        if !layout.dir().is_dir() {
            return Err(Problem::setup(format!(
                "there is no data directory {}: name it with --data, or make one with `heliograph serve`",
                layout.dir().display()
            )));
        }
        match layout.try_lock()? {
            None => Self::running(&layout),
            Some(lock) => Self::here(config, lock).await,
        }
    }

    fn running(layout: &Layout) -> Result<Self, Problem> {
        let starting = || {
            Problem::failed(format!(
                "a heliograph uses {} but is not ready: it starts or stops at this moment; try again",
                layout.dir().display()
            ))
        };
        let ready = read_small(&layout.ready())?.ok_or_else(starting)?;
        let ready: Value = serde_json::from_str(&ready).map_err(|_| starting())?;
        let token = read_small(&layout.operator_token())?.ok_or_else(starting)?;
        let at = |field: &str| ready.get(field).and_then(Value::as_str).and_then(|text| text.parse().ok()).map(reachable);
        let mut builder = client_builder();
        let base = match (at("http"), at("https")) {
            (Some(http), _) => format!("http://{http}"),
            (None, Some(https)) => {
                let ca = read_small(&layout.ca())?.unwrap_or_default();
                let ca = reqwest::Certificate::from_pem(ca.as_bytes()).map_err(Problem::failed)?;
                builder = builder.tls_certs_only([ca]);
                format!("https://{https}")
            }
            (None, None) => {
                return Err(Problem::setup("the running gateway has neither --http nor --https, so it cannot be asked; stop it first"));
            }
        };
        let client = builder.build().map_err(Problem::failed)?;
        Ok(Self { way: Way::Remote { client, base, token: token.into() }, tenant: None })
    }

    async fn here(config: &Config, lock: Lock) -> Result<Self, Problem> {
        let house = House::open(config, &lock).await?;
        let site = Site {
            house: house.clone(),
            broker: None,
            meter: Meter::default(),
            operators: None,
            flashlex: flashlex::Options::default(),
            max_packet: config.mqtt_limits.max_packet,
        };
        let app = App::new(VirtualHosts::new(site.native(config)), config.clock.clone(), Vec::new(), Meter::default());
        let operator = house.operator().await;
        Ok(Self { way: Way::Here { app: Box::new(app), house: Box::new(house), operator: Box::new(operator), _lock: lock }, tenant: None })
    }

    /// Is this a running gateway?
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.way, Way::Remote { .. })
    }

    /// The bearer it was opened with; only a running gateway has one.
    #[must_use]
    pub fn token(&self) -> Option<&SecretString> {
        match &self.way {
            Way::Remote { token, .. } => Some(token),
            Way::Here { .. } => None,
        }
    }

    /// Looks at the tenant of that name or id from now on.
    pub async fn in_tenant(&mut self, name: Option<&str>) -> Result<(), Problem> {
        let Some(name) = name else { return Ok(()) };
        if name.parse::<model::TenantId>().is_ok() {
            self.tenant = Some(name.to_owned());
            return Ok(());
        }
        self.tenant = Some(self.tenant_id(name).await?);
        Ok(())
    }

    async fn tenant_id(&self, name: &str) -> Result<String, Problem> {
        for tenant in self.all("/tenants").await? {
            if text(&tenant, "name") == name {
                return Ok(text(&tenant, "id").to_owned());
            }
        }
        Err(Problem::failed(format!("there is no tenant {name}")))
    }

    /// Every row of a list, page after page.
    pub async fn all(&self, path: &str) -> Result<Vec<Value>, Problem> {
        let mut rows = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let after = cursor.map_or_else(String::new, |c| format!("&cursor={}", escaped(&c)));
            let mut page = self.get(&format!("{path}{join}limit=1000{after}")).await?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                rows.extend(items);
            }
            cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Value, Problem> {
        self.json(Method::GET, path, None).await
    }

    /// Any method with a JSON body; the answer's JSON, null when it has none.
    pub async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Problem> {
        let body = body.map(|body| (Bytes::from(body.to_string()), "application/json"));
        let whole = self.send(method, path, body).await?.whole().await?;
        if whole.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&whole).map_err(|e| Problem::failed(format!("the gateway's answer is not JSON: {e}")))
    }

    /// One request; a refusal is a [`Problem`] in the gateway's own words.
    pub async fn send(&self, method: Method, path: &str, body: Option<(Bytes, &'static str)>) -> Result<Answer, Problem> {
        let path = format!("{BASE}{path}");
        let (status, answer) = match &self.way {
            Way::Remote { client, base, token } => {
                let mut request = client.request(method, format!("{base}{path}")).bearer_auth(token.expose_secret());
                if let Some(tenant) = &self.tenant {
                    request = request.header("tenant", tenant);
                }
                if let Some((bytes, kind)) = body {
                    request = request.header(http::header::CONTENT_TYPE, kind).body(bytes);
                }
                let response = request.send().await.map_err(|e| Problem::failed(format!("the gateway at {base} does not answer: {e}")))?;
                (response.status(), Answer::Remote(response))
            }
            Way::Here { app, operator, .. } => {
                let (bytes, kind) = body.unwrap_or_default();
                let mut request = Request::new(Body::from(bytes));
                *request.method_mut() = method;
                *request.uri_mut() = path.parse().map_err(Problem::failed)?;
                if !kind.is_empty() {
                    request.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
                }
                if let Some(tenant) = &self.tenant {
                    let value = HeaderValue::from_str(tenant).map_err(Problem::failed)?;
                    request.headers_mut().insert(HeaderName::from_static("tenant"), value);
                }
                request.extensions_mut().insert(Vouched((**operator).clone()));
                let response = app.respond(request, None, CancellationToken::new()).await;
                (response.status(), Answer::Here(response.into_body()))
            }
        };
        if status.is_success() { Ok(answer) } else { Err(refusal(status, &answer.whole().await?)) }
    }

    /// Closes the data directory, if this opened it. Without it, audit lines of this command are lost.
    pub async fn close(self) {
        if let Way::Here { house, .. } = self.way {
            house.close().await;
        }
    }
}

fn client_builder() -> reqwest::ClientBuilder {
    // A second call only says that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(5)).redirect(reqwest::redirect::Policy::none())
}

fn refusal(status: StatusCode, body: &[u8]) -> Problem {
    let problem: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let detail = problem.get("detail").and_then(Value::as_str).unwrap_or_else(|| status.canonical_reason().unwrap_or("refused"));
    Problem::failed(detail)
}

/// A member's text; empty when it has none.
#[must_use]
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A path segment or query value, percent-encoded.
#[must_use]
pub fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A file's text.
pub fn read_text(path: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|e| Problem::file("read", path, &e))
}
