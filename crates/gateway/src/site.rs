//! The routers: every dialect at its natural paths, and what belongs to the gateway itself.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use edge::{Meter, VirtualHosts, WebSocketUpgrade};
use http::{StatusCode, header};
use mqtt::{Broker, StreamMeta};
use native::{ApiDoc, Counts};

use crate::config::Dialect;
use crate::host::MqttHost;
use crate::operator::{self, Operators};
use crate::users;
use crate::{Config, House, Problem, backup, metrics, provision};

/// A frame of MQTT over WebSocket may hold a whole packet and a little more.
const FRAME_SLACK: usize = 64 * 1024;

/// What the routers share.
#[derive(Clone)]
pub struct Site {
    /// The opened parts.
    pub house: House,
    /// The broker; absent where the command line works on the data directory alone.
    pub broker: Option<Arc<Broker<MqttHost>>>,
    /// HTTP's counters.
    pub meter: Meter,
    /// The command line's bearer.
    pub operators: Option<Operators>,
    /// What a distribution says about MQTT.
    pub flashlex: flashlex::Options,
    /// The largest packet.
    pub max_packet: usize,
}

impl Site {
    /// Every dialect, and the virtual hosts that belong to one of them.
    pub fn hosts(&self, config: &Config) -> VirtualHosts {
        let mut root = Router::new().merge(self.native(config)).merge(self.openid()).merge(self.flash_payments());
        root = root.merge(self.open_iot(config)).merge(self.own());
        let flashlex = config.flashlex.enabled.then(|| self.flashlex(config));
        let lightelligence = self.lightelligence();
        root = root.merge(self.flotas_control());
        root = match &flashlex {
            Some(app) => {
                let users = users::Shared(flashlex::host_router(app.clone()));
                let lightelligence = lightelligence.layer(axum::middleware::from_fn_with_state(users, users::by_token));
                root.merge(lightelligence).merge(flashlex::router(app.clone()))
            }
            None => root.merge(lightelligence),
        };
        let limit = axum::Extension(edge::BodyLimit(config.body_limit));
        let mut hosts = VirtualHosts::new(root.fallback(nothing).layer(limit));
        if let Some(app) = flashlex {
            for name in &config.flashlex.hosts {
                hosts = hosts.host(name, self.health().merge(flashlex::host_router(app.clone())).layer(limit));
            }
        }
        for name in &config.lightelligence_hosts {
            hosts = hosts.host(name, self.lightelligence_alone().layer(limit));
        }
        hosts
    }

    /// One dialect alone, for a listener of its own.
    pub fn only(&self, config: &Config, dialect: Dialect) -> VirtualHosts {
        VirtualHosts::new(match dialect {
            Dialect::Native => self.native(config).merge(self.health()).fallback(nothing),
            Dialect::OpenIot => self.open_iot(config).merge(self.health()).fallback(nothing),
            Dialect::Lightelligence => self.lightelligence_alone(),
            Dialect::Flashlex => self.health().merge(flashlex::host_router(self.flashlex(config))),
        })
    }

    /// Heliograph's own API.
    pub fn native(&self, config: &Config) -> Router {
        let House { identity, things, notify, rules, .. } = self.house.clone();
        let options =
            native::Options { body_limit: config.body_limit, ..native::Options::new(env!("CARGO_PKG_VERSION"), identity.clock().now()) };
        let docs = ApiDoc {
            title: "FlashLex 1.4".to_owned(),
            path: "/docs/flashlex/openapi.json".to_owned(),
            json: flashlex::openapi().to_owned(),
        };
        let site = self.clone();
        let counts: native::Count = Arc::new(move || {
            let counts = site.counts();
            Box::pin(async move { counts })
        });
        let house = self.house.clone();
        let provision: native::Provision = Arc::new(move |caller, text| {
            let house = house.clone();
            Box::pin(async move { provision::apply(&house, &caller, "", &text).await.map_err(told) })
        });
        let house = self.house.clone();
        let backup: native::BackUp = Arc::new(move |_, name| {
            let house = house.clone();
            Box::pin(async move { back_up(&house, name).await })
        });
        let app = native::App {
            identity,
            things,
            notify,
            rules,
            options,
            provision: Some(provision),
            backup: Some(backup),
            counts: Some(counts),
            docs: if config.flashlex.enabled { vec![docs] } else { Vec::new() },
        };
        let router = native::router(app);
        match &self.operators {
            Some(operators) => router.layer(axum::middleware::from_fn_with_state(operators.clone(), operator::admit)),
            None => router,
        }
    }

    fn openid(&self) -> Router {
        let House { identity, notify, .. } = self.house.clone();
        openid::router(openid::App { identity, notify })
    }

    fn flash_payments(&self) -> Router {
        let House { identity, things, rules, .. } = self.house.clone();
        flash_payments::router(flash_payments::App { identity, things, rules })
    }

    fn open_iot(&self, config: &Config) -> Router {
        let House { identity, notify, .. } = self.house.clone();
        let registration = config.registration.is_some();
        open_iot::router(open_iot::App { identity, notify, registration, version: env!("CARGO_PKG_VERSION") })
    }

    fn lightelligence(&self) -> Router {
        let House { identity, things, rules, .. } = self.house.clone();
        lightelligence::router(lightelligence::App { identity, things, rules, realm: &openid::realms::OLT.realm.profile })
    }

    /// With the pages and endpoints of its realm: one name serves all of the platform.
    fn lightelligence_alone(&self) -> Router {
        self.lightelligence().merge(self.openid()).merge(self.health()).fallback(nothing)
    }

    fn flotas_control(&self) -> Router {
        let House { identity, things, .. } = self.house.clone();
        flotas_control::router(flotas_control::App { identity, things })
    }

    fn flashlex(&self, _: &Config) -> flashlex::App {
        let House { identity, things, notify, .. } = self.house.clone();
        flashlex::App { identity, things, notify, options: self.flashlex.clone() }
    }

    fn own(&self) -> Router {
        let mut own = self.health().route("/metrics", get(metrics).with_state(self.clone()));
        if self.broker.is_some() {
            own = own.route("/mqtt", get(web_socket).with_state(self.clone()));
        }
        own
    }

    fn health(&self) -> Router {
        Router::new().route("/healthz", get(async || (TEXT, "ok\n"))).route("/readyz", get(ready).with_state(self.clone()))
    }

    /// Figures of the moment.
    pub fn counts(&self) -> Counts {
        let journal = self.house.journal.stats();
        let mqtt = self.broker.as_ref().map(|b| b.stats()).unwrap_or_default();
        let big = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Counts {
            connections: mqtt.connections,
            sessions: mqtt.sessions,
            subscriptions: mqtt.subscriptions,
            retained: mqtt.retained,
            messages_in: mqtt.messages_in,
            messages_out: mqtt.messages_out,
            journal_records: journal.records,
            journal_bytes: journal.bytes,
            inbox_messages: big(journal.inbox_entries),
            streams: 0,
        }
    }
}

/// A mistake in a provisioning file is the caller's; everything else keeps its kind where it can.
fn told(problem: Problem) -> model::Error {
    if problem.code() == 2 { model::Error::invalid("file", problem.to_string()) } else { model::Error::unavailable(problem.to_string()) }
}

async fn back_up(house: &House, name: Option<String>) -> model::Result<native::Backup> {
    let at = house.identity.clock().now();
    let name = name.unwrap_or_else(|| at.strftime("%Y-%m-%dT%H-%M-%S").to_string());
    let path = house.layout.backups().join(&name);
    if path.exists() {
        return Err(model::Error::conflict("name", format!("a backup {name} exists already")));
    }
    let made = backup::snapshot(house, &path).await;
    match made {
        Ok(bytes) => Ok(native::Backup { name, path: std::path::absolute(&path).unwrap_or(path).display().to_string(), bytes, at }),
        Err(problem) => {
            let _ = std::fs::remove_dir_all(&path);
            Err(model::Error::unavailable(problem.to_string()))
        }
    }
}

const TEXT: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];

async fn ready(State(site): State<Site>) -> Response {
    let journal = site.house.journal.stats().healthy;
    let store = site.house.db.ping().await.is_ok();
    match (journal, store) {
        (true, true) => (TEXT, "ready\n").into_response(),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "the journal cannot write\n").into_response(),
        (_, false) => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "the store does not answer\n").into_response(),
    }
}

async fn metrics(State(site): State<Site>) -> Response {
    let text = metrics::render(&site).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn nothing() -> Response {
    let body = r#"{"status":404,"title":"No such path","detail":"there is nothing at this path; /docs lists what there is"}"#;
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response()
}

/// MQTT over WebSocket. Nothing is known of the client before its CONNECT; a bearer token of the upgrade counts if that brings none.
async fn web_socket(
    State(site): State<Site>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    origin: edge::Origin,
    request: Request,
) -> Response {
    let Some(broker) = site.broker.clone() else { return StatusCode::NOT_FOUND.into_response() };
    let token = edge::bearer(request.headers()).map(str::to_owned);
    let (response, upgrade) = match WebSocketUpgrade::accept(request, "mqtt", site.max_packet + FRAME_SLACK) {
        Ok(accepted) => accepted,
        Err(refusal) => return *refusal,
    };
    let address = origin.address.map_or(address, |ip| SocketAddr::new(ip, address.port()));
    let meta = StreamMeta { address: Some(address), certificate: None, token, secure: origin.secure, durability: None };
    tokio::spawn(async move {
        match upgrade.stream().await {
            Ok(stream) => broker.serve(stream, meta).await,
            Err(error) => tracing::debug!(%error, "a WebSocket did not open"),
        }
    });
    response
}
