//! A whole gateway in the test's own process, on free ports, with a clock that the test turns.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gateway::{Config, Running};
use model::Clock;
use tempfile::TempDir;

use crate::fleet::FLEET;
use crate::http::Http;

/// A running gateway with [`FLEET`] provisioned, unless told otherwise. Its data goes when it is dropped.
pub struct Gateway {
    running: Option<Running>,
    addresses: Addresses,
    config: Config,
    folder: TempDir,
}

/// `host:port` of each listener.
struct Addresses {
    http: String,
    mqtt: String,
    mqtts: String,
}

impl Addresses {
    fn of(running: &Running) -> Self {
        let text = |address: Option<SocketAddr>| address.map(|a| a.to_string()).unwrap_or_default();
        let ready = &running.ready;
        Self { http: text(ready.http), mqtt: text(ready.mqtt), mqtts: text(ready.mqtts) }
    }
}

/// How to start one.
pub struct Builder {
    config: Config,
    folder: TempDir,
}

impl Gateway {
    /// One with the fleet and a clock set by hand, on SQLite.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// One that differs.
    #[must_use]
    pub fn builder() -> Builder {
        let folder = tempfile::tempdir().unwrap();
        // Not the machine's present: a test must not depend on it.
        let clock = Clock::manual("2026-03-01T12:00:00Z".parse().unwrap());
        let config = Config::for_test(folder.path().join("data"), clock);
        Builder { config, folder }.provision(FLEET)
    }

    /// Requests to it, from nobody yet.
    #[must_use]
    pub fn http(&self) -> Http {
        Http::new(format!("http://{}", self.addresses.http))
    }

    /// `host:port` of plain MQTT.
    #[must_use]
    pub fn mqtt(&self) -> &str {
        &self.addresses.mqtt
    }

    /// `host:port` of MQTT over TLS.
    #[must_use]
    pub fn mqtts(&self) -> &str {
        &self.addresses.mqtts
    }

    /// The clock's hands.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.config.clock
    }

    /// Turns the clock forward.
    pub fn advance(&self, by: Duration) {
        self.config.clock.advance(by);
    }

    /// A folder beside the data, for a test's own files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Stops it and starts it again on the same data and the same ports.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.resume().await;
    }

    /// Stops it; [`Gateway::resume`] brings it back.
    pub async fn stop(&mut self) {
        self.running.take().unwrap().stop().await;
        let some = |address: &String| Some(address.clone()).filter(|a| !a.is_empty());
        self.config.http = some(&self.addresses.http);
        self.config.mqtt = some(&self.addresses.mqtt);
        self.config.mqtts = some(&self.addresses.mqtts);
    }

    /// Starts it again after [`Gateway::stop`].
    pub async fn resume(&mut self) {
        self.running = Some(gateway::start(self.config.clone()).await.unwrap());
    }
}

impl Builder {
    /// With another provisioning file.
    #[must_use]
    pub fn provision(mut self, toml: &str) -> Self {
        let file = self.folder.path().join("fleet.toml");
        std::fs::write(&file, toml).unwrap();
        self.config.provision = Some(file);
        self
    }

    /// With another clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.config.clock = clock;
        self
    }

    /// On PostgreSQL when there is a URL, else on SQLite: what `both_engines!` hands to its story.
    #[must_use]
    pub fn store(mut self, url: Option<String>) -> Self {
        self.config.store_url = url.map(Into::into);
        self
    }

    /// With anything else changed.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts it.
    pub async fn start(self) -> Gateway {
        // A second call only says that there is one already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let running = gateway::start(self.config.clone()).await.unwrap();
        Gateway { addresses: Addresses::of(&running), running: Some(running), config: self.config, folder: self.folder }
    }
}
