//! A gateway from its configuration to ready, and back to nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edge::{App, Connection, Limits, Meter, TlsReload, VirtualHosts};
use identity::FirstStart;
use mqtt::{Broker, StreamMeta};
use serde::Serialize;
use things::Topics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::data::{Layout, Lock};
use crate::host::{Heralds, MqttHost, follow};
use crate::operator::Operators;
use crate::site::Site;
use crate::{Config, House, Problem, certificate, maintain, provision};

/// The operator's address at the first start.
pub const OPERATOR: &str = "operator@localhost";
/// How long a stop waits for what is under way.
const GRACE: Duration = Duration::from_secs(8);

/// What `ready.json` says.
#[derive(Clone, Debug, Serialize)]
pub struct Ready {
    /// HTTP, `host:port`.
    pub http: Option<SocketAddr>,
    /// HTTPS.
    pub https: Option<SocketAddr>,
    /// MQTT without TLS.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// Where clients reach the gateway.
    pub public_url: String,
    /// The CA certificate's file.
    pub ca: PathBuf,
}

/// A running gateway; dropped without [`Running::stop`] it is as if the process were killed, but for the tasks that end by themselves.
pub struct Running {
    /// What it listens on.
    pub ready: Ready,
    /// The opened parts.
    pub house: House,
    /// The broker.
    pub broker: Arc<Broker<MqttHost>>,
    /// What the first start made.
    pub first_start: Option<FirstStart>,
    operators: Operators,
    listeners: TaskTracker,
    workers: TaskTracker,
    stop_listening: CancellationToken,
    stop_working: CancellationToken,
    _lock: Lock,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("ready", &self.ready).finish_non_exhaustive()
    }
}

struct Bound {
    http: Option<TcpListener>,
    https: Option<TcpListener>,
    mqtt: Option<TcpListener>,
    mqtts: Option<TcpListener>,
    extra: Vec<(TcpListener, crate::config::Dialect)>,
}

/// Starts a gateway; when this answers it is ready.
pub async fn start(config: Config) -> Result<Running, Problem> {
    let layout = Layout::new(&config.data);
    // A mistake in the file is told before anything is made or changed.
    let fleet = match &config.provision {
        Some(file) => {
            let (name, text) = (file.display().to_string(), crate::client::read_text(file)?);
            provision::Fleet::read(&name, &text)?;
            Some((name, text))
        }
        None => None,
    };
    let lock = layout.lock_now()?;
    // A file left by a process that was killed would lead others astray.
    let _ = std::fs::remove_file(layout.ready());
    let bound = Bound::open(&config).await?;
    let house = House::open(&config, &lock).await?;
    let mut ready = bound.ready(&config, &layout)?;
    house.identity.set_public_url(ready.public_url.clone());
    house.identity.set_mtls_url(ready.https.map(|at| mtls_url(at, &ready.public_url)));
    let first_start = house.identity.first_start(OPERATOR).await?;
    if let Some((name, text)) = fleet {
        let report = provision::apply(&house, &house.operator().await, &name, &text).await?;
        tracing::info!(created = report.created, updated = report.updated, unchanged = report.unchanged, "provisioned");
    }
    let anonymous = match &config.anonymous_tenant {
        Some(name) => Some(anonymous_tenant(&house, name).await?),
        None => None,
    };
    let mut maps = vec![native::TOPICS];
    if config.flashlex.enabled {
        maps.push(flashlex::TOPICS);
    }
    maps.push(flotas_control::TOPICS);
    maps.push(lightelligence::TOPICS);
    let host = MqttHost::new(house.clone(), Topics::new(maps), config.journal.durability, config.max_payload, anonymous);
    let limits = config.mqtt_limits.clone();
    let broker = Broker::new(Arc::new(host), house.journal.clone(), config.clock.clone(), limits).await;

    house.things.set_router(Arc::new(Heralds(broker.clone())));
    let operators = Operators::open(house.clone())?;
    let certificate = certificate::Server::open(&house, &config, &ready).await?;
    let flashlex = flashlex_options(&config, &ready);
    let site = Site {
        house: house.clone(),
        broker: Some(broker.clone()),
        meter: Meter::default(),
        operators: Some(operators.clone()),
        flashlex,
        max_packet: config.mqtt_limits.max_packet,
    };
    let (stop_listening, stop_working) = (CancellationToken::new(), CancellationToken::new());
    let (listeners, workers) = (TaskTracker::new(), TaskTracker::new());
    workers.spawn(follow(house.clone(), broker.clone(), stop_working.clone()));
    workers.spawn({
        let (notify, stop) = (house.notify.clone(), stop_working.clone());
        async move { notify.run(stop).await }
    });
    workers.spawn({
        let (rules, stop) = (house.rules.clone(), stop_working.clone());
        async move { rules.run(stop).await }
    });
    workers.spawn(maintain::run(house.clone(), certificate.clone(), stop_working.clone()));

    let app = |hosts: VirtualHosts| App::new(hosts, config.clock.clone(), config.trusted_proxies.clone(), site.meter.clone());
    let root = app(site.hosts(&config));
    let limits = Limits { connections: config.connections, grace: GRACE, ..Limits::default() };
    if let Some(listener) = bound.http {
        listeners.spawn(edge::serve(listener, None, root.clone(), limits, stop_listening.clone()));
    }
    if let Some(listener) = bound.https {
        let tls = certificate.tls()?.https().map_err(Problem::setup)?;
        listeners.spawn(edge::serve(listener, Some(tls), root, limits, stop_listening.clone()));
    }
    for (listener, dialect) in bound.extra {
        listeners.spawn(edge::serve(listener, None, app(site.only(&config, dialect)), limits, stop_listening.clone()));
    }
    let limits = Limits { connections: config.mqtt_limits.max_connections, ..limits };
    if let Some(listener) = bound.mqtt {
        listeners.spawn(listen_mqtt(listener, None, (broker.clone(), config.mqtt_durability), limits, stop_listening.clone()));
    }
    if let Some(listener) = bound.mqtts {
        listeners.spawn(listen_mqtt(
            listener,
            Some(certificate.tls()?),
            (broker.clone(), config.mqtts_durability),
            limits,
            stop_listening.clone(),
        ));
    }
    ready.ca = std::path::absolute(&ready.ca).unwrap_or(ready.ca);
    let mut text = serde_json::to_vec_pretty(&ready).map_err(Problem::failed)?;
    text.push(b'\n');
    layout.write(&layout.ready(), &text, false)?;
    let shown = |at: Option<SocketAddr>| at.map(tracing::field::display);
    tracing::info!(
        http = shown(ready.http),
        https = shown(ready.https),
        mqtt = shown(ready.mqtt),
        mqtts = shown(ready.mqtts),
        public_url = ready.public_url,
        "ready"
    );
    Ok(Running { ready, house, broker, first_start, operators, listeners, workers, stop_listening, stop_working, _lock: lock })
}

async fn anonymous_tenant(house: &House, name: &str) -> Result<model::TenantId, Problem> {
    match house.identity.tenant_named(&house.operator().await, name).await {
        Ok(tenant) => Ok(tenant.id),
        Err(model::Error::NotFound { .. }) => {
            Err(Problem::setup(format!("--mqtt-anonymous {name}: there is no tenant of that name; provision it first")))
        }
        Err(error) => Err(error.into()),
    }
}

fn flashlex_options(config: &Config, ready: &Ready) -> flashlex::Options {
    let from_url = ready.public_url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    flashlex::Options {
        mqtt_host: config.flashlex.mqtt_host.clone().or(from_url).unwrap_or_else(|| "localhost".to_owned()),
        mqtts_port: config.flashlex.mqtts_port.or_else(|| ready.mqtts.map(|a| a.port())).unwrap_or(8883),
        sdk_zip: config.flashlex.sdk.clone(),
        return_private_key_on_get: config.flashlex.return_private_key,
        registration: config.registration.is_some(),
    }
}

async fn listen_mqtt(
    listener: TcpListener,
    tls: Option<TlsReload>,
    (broker, durability): (Arc<Broker<MqttHost>>, Option<journal::Durability>),
    limits: Limits,
    stop: CancellationToken,
) {
    let tls = match tls.map(|tls| tls.mqtts()).transpose() {
        Ok(tls) => tls,
        Err(error) => {
            tracing::error!(%error, "MQTT over TLS cannot be offered");
            return;
        }
    };
    edge::listen(listener, tls, limits, stop, move |connection: Connection| {
        let broker = broker.clone();
        let secure = connection.stream.is_secure();
        let meta = StreamMeta { address: Some(connection.address), certificate: connection.certificate, token: None, secure, durability };
        async move {
            match connection.stream {
                edge::Stream::Plain(stream) => broker.serve(stream, meta).await,
                edge::Stream::Tls(stream) => broker.serve(mqtt::PacketWrites::new(*stream), meta).await,
            }
        }
    })
    .await;
}

impl Bound {
    async fn open(config: &Config) -> Result<Self, Problem> {
        let mut extra = Vec::new();
        for listener in &config.listeners {
            let bound = bind("[[listener]] bind", Some(&listener.bind)).await?;
            extra.extend(bound.map(|l| (l, listener.dialect)));
        }
        Ok(Self {
            http: bind("--http", config.http.as_ref()).await?,
            https: bind("--https", config.https.as_ref()).await?,
            mqtt: bind("--mqtt", config.mqtt.as_ref()).await?,
            mqtts: bind("--mqtts", config.mqtts.as_ref()).await?,
            extra,
        })
    }

    fn ready(&self, config: &Config, layout: &Layout) -> Result<Ready, Problem> {
        let address = |listener: &Option<TcpListener>| listener.as_ref().map(TcpListener::local_addr).transpose().map_err(Problem::failed);
        let (http, https) = (address(&self.http)?, address(&self.https)?);
        let public_url = config.public_url.clone().unwrap_or_else(|| match (http, https) {
            (Some(at), _) => format!("http://{}", reachable(at)),
            (None, Some(at)) => format!("https://{}", reachable(at)),
            (None, None) => "http://localhost".to_owned(),
        });
        Ok(Ready { http, https, mqtt: address(&self.mqtt)?, mqtts: address(&self.mqtts)?, public_url, ca: layout.ca() })
    }
}

/// Where clients with certificates reach the HTTPS listener: a proxy before the public URL would keep the certificate to itself.
fn mtls_url(at: SocketAddr, public_url: &str) -> String {
    let public = public_url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    match public {
        Some(host) if !at.ip().is_loopback() && at.port() == 443 => format!("https://{host}"),
        Some(host) if !at.ip().is_loopback() => format!("https://{host}:{}", at.port()),
        _ => format!("https://{}", reachable(at)),
    }
}

/// An address this machine's own programs can connect to.
pub fn reachable(at: SocketAddr) -> SocketAddr {
    match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), at.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), at.port()),
        _ => at,
    }
}

async fn bind(what: &str, address: Option<&String>) -> Result<Option<TcpListener>, Problem> {
    let Some(address) = address else { return Ok(None) };
    match TcpListener::bind(address.as_str()).await {
        Ok(listener) => Ok(Some(listener)),
        Err(error) => {
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => "another program listens there; stop it, or choose another port (0 for any free one)",
                std::io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a higher one",
                std::io::ErrorKind::AddrNotAvailable => "this machine has no such address",
                _ => "choose another address",
            };
            Err(Problem::setup(format!("cannot listen on {address} ({what}): {error}; {hint}")))
        }
    }
}

impl Running {
    /// Stops: nothing new is let in, what is under way finishes (at most a few seconds), everything is written and closed.
    pub async fn stop(self) {
        tracing::info!("stopping");
        let _ = std::fs::remove_file(self.house.layout.ready());
        self.operators.close();
        self.stop_listening.cancel();
        self.listeners.close();
        tokio::join!(self.broker.stop(GRACE), self.listeners.wait());
        self.stop_working.cancel();
        self.workers.close();
        if tokio::time::timeout(GRACE, self.workers.wait()).await.is_err() {
            tracing::warn!("background work did not end in time");
        }
        self.house.close().await;
        tracing::info!("stopped");
    }
}
