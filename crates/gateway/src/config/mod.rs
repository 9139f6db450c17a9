//! The configuration: flag over environment over `heliograph.toml` over default.

mod file;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use identity::{PasswordCost, SecretString};
use journal::Durability;
use model::{Clock, PlanName};

use crate::Problem;
pub use file::File;

/// The defaults of the listeners.
pub const HTTP: &str = "127.0.0.1:8080";
/// Loopback only: it asks for passwords in the clear.
pub const MQTT: &str = "127.0.0.1:1883";
/// Devices.
pub const MQTTS: &str = "0.0.0.0:8883";
/// Beside the present directory.
pub const DATA: &str = "heliograph-data";
const NAME: &str = "heliograph.toml";

/// Everything `start` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// `host:port` of HTTP; absent: off.
    pub http: Option<String>,
    /// `host:port` of HTTPS; absent: off.
    pub https: Option<String>,
    /// `host:port` of MQTT without TLS; absent: off.
    pub mqtt: Option<String>,
    /// `host:port` of MQTT over TLS; absent: off.
    pub mqtts: Option<String>,
    /// Where clients reach the gateway; absent: the bound HTTP address.
    pub public_url: Option<String>,
    /// A provisioning file applied before the gateway is ready.
    pub provision: Option<PathBuf>,
    /// The master key as 64 hex digits; absent: the file `master.key`.
    pub master_key: Option<SecretString>,
    /// A PostgreSQL URL; absent: SQLite in the data directory.
    pub store_url: Option<SecretString>,
    /// The journal's settings.
    pub journal: JournalConfig,
    /// The tenant of MQTT clients without credentials; absent: they are refused.
    pub anonymous_tenant: Option<String>,
    /// The broker's limits.
    pub mqtt_limits: mqtt::Limits,
    /// The level of messages that come in by MQTT without TLS; absent: the journal's.
    pub mqtt_durability: Option<Durability>,
    /// The level of messages that come in by MQTT over TLS; absent: the journal's.
    pub mqtts_durability: Option<Durability>,
    /// The largest HTTP body in bytes.
    pub body_limit: usize,
    /// Connections per listener.
    pub connections: usize,
    /// The largest message payload in bytes.
    pub max_payload: usize,
    /// Proxies whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Where mail goes out; absent: it waits in the outbox.
    pub smtp: Option<Smtp>,
    /// May web hooks go to private addresses (loopback, the local network)?
    pub private_webhooks: bool,
    /// The FlashLex dialect.
    pub flashlex: FlashlexConfig,
    /// Host names that are the Lightelligence dialect's own.
    pub lightelligence_hosts: Vec<String>,
    /// Further HTTP listeners, each for one dialect.
    pub listeners: Vec<Listener>,
    /// May people register themselves, and on what plan?
    pub registration: Option<PlanName>,
    /// May any signed-in user make tenants of its own?
    pub found_tenants: bool,
    /// Logs.
    pub log: LogConfig,
    /// The server's own certificate and key (PEM files); absent: our CA issues one.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Further names for the server's certificate.
    pub tls_names: Vec<String>,
    /// Time; a test passes one it turns by hand.
    pub clock: Clock,
    /// Cost of password hashes.
    pub password: PasswordCost,
    /// Do store and journal wait for the disk? Only tests say no.
    pub synced: bool,
    /// The file it was read from.
    pub source: Option<PathBuf>,
}

/// The journal's settings.
#[derive(Clone, Copy, Debug)]
pub struct JournalConfig {
    /// A segment is sealed once it is this long.
    pub segment_bytes: u64,
    /// Bytes that may wait for the disk.
    pub max_pending_bytes: usize,
    /// What must have happened to a message before it is acknowledged.
    pub durability: Durability,
}

/// Where mail goes out.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// `smtp://…` or `smtps://…`, with user and password if needed.
    pub url: SecretString,
    /// The sender.
    pub from: String,
}

/// The FlashLex dialect's settings.
#[derive(Clone, Debug)]
pub struct FlashlexConfig {
    /// Is it served?
    pub enabled: bool,
    /// Host names that are its own.
    pub hosts: Vec<String>,
    /// The MQTT host written into distributions; absent: the public URL's.
    pub mqtt_host: Option<String>,
    /// The MQTT port written into distributions; absent: the bound one.
    pub mqtts_port: Option<u16>,
    /// The device SDK put into distributions: a zip or a directory.
    pub sdk: Option<PathBuf>,
    /// Does reading a thing give its private key again?
    pub return_private_key: bool,
}

/// An HTTP listener for one dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `host:port`.
    pub bind: String,
    /// Which dialect.
    pub dialect: Dialect,
}

/// The dialects there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Heliograph's own.
    Native,
    /// FlashLex API 1.4.
    Flashlex,
    /// Open IoT Service Platform.
    OpenIot,
    /// OSRAM Lightelligence, with its realm of the OpenID provider.
    Lightelligence,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// One JSON object a line instead of text.
    pub json: bool,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,mqtt=debug`.
    pub level: String,
}

/// What flags and environment say; absent fields leave it to the file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Overrides {
    /// HTTP address, host:port; `off` switches it off [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "HELIOGRAPH_HTTP")]
    pub http: Option<String>,
    /// HTTPS address [default: off]
    #[arg(long, value_name = "ADDR", env = "HELIOGRAPH_HTTPS")]
    pub https: Option<String>,
    /// MQTT address without TLS [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDR", env = "HELIOGRAPH_MQTT")]
    pub mqtt: Option<String>,
    /// MQTT over TLS address [default: 0.0.0.0:8883]
    #[arg(long, value_name = "ADDR", env = "HELIOGRAPH_MQTTS")]
    pub mqtts: Option<String>,
    /// Where clients reach the gateway [default: http://ADDR of HTTP]
    #[arg(long, value_name = "URL", env = "HELIOGRAPH_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// Apply this provisioning file before being ready
    #[arg(long, value_name = "FILE", env = "HELIOGRAPH_PROVISION")]
    pub provision: Option<PathBuf>,
    /// Let MQTT clients without credentials into this tenant, by name
    #[arg(long, value_name = "TENANT", env = "HELIOGRAPH_MQTT_ANONYMOUS")]
    pub mqtt_anonymous: Option<String>,
    /// PostgreSQL instead of SQLite, postgres://…
    #[arg(long, value_name = "URL", env = "HELIOGRAPH_STORE_URL", hide_env_values = true)]
    pub store_url: Option<String>,
    /// A message is acknowledged once it is: sync (on disk), flush, memory [default: sync]
    #[arg(long, value_name = "LEVEL", env = "HELIOGRAPH_JOURNAL_DURABILITY")]
    pub journal_durability: Option<String>,
    /// Mail server, smtp://… or smtps://…
    #[arg(long, value_name = "URL", env = "HELIOGRAPH_SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<String>,
    /// Sender of mails
    #[arg(long, value_name = "ADDRESS", env = "HELIOGRAPH_SMTP_FROM")]
    pub smtp_from: Option<String>,
    /// The server's certificate chain, PEM [default: issued by the gateway's own CA]
    #[arg(long, value_name = "FILE", env = "HELIOGRAPH_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", env = "HELIOGRAPH_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// Log format: human, json
    #[arg(long, value_name = "FORMAT", env = "HELIOGRAPH_LOG_FORMAT")]
    pub log_format: Option<String>,
    /// Log level: error, warn, info, debug, trace, or directives
    #[arg(long, value_name = "LEVEL", env = "HELIOGRAPH_LOG_LEVEL")]
    pub log_level: Option<String>,
}

impl Config {
    /// The defaults over a data directory.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            http: Some(HTTP.to_owned()),
            https: None,
            mqtt: Some(MQTT.to_owned()),
            mqtts: Some(MQTTS.to_owned()),
            public_url: None,
            provision: None,
            master_key: None,
            store_url: None,
            journal: JournalConfig { segment_bytes: 64 << 20, max_pending_bytes: 32 << 20, durability: Durability::Sync },
            anonymous_tenant: None,
            mqtt_limits: mqtt::Limits::default(),
            mqtt_durability: None,
            mqtts_durability: None,
            body_limit: edge::BODY_LIMIT,
            connections: 10_000,
            max_payload: 128 << 10,
            trusted_proxies: Vec::new(),
            smtp: None,
            private_webhooks: false,
            flashlex: FlashlexConfig {
                enabled: true,
                hosts: Vec::new(),
                mqtt_host: None,
                mqtts_port: None,
                sdk: None,
                return_private_key: true,
            },
            lightelligence_hosts: Vec::new(),
            listeners: Vec::new(),
            registration: None,
            found_tenants: true,
            log: LogConfig { json: false, level: "info".to_owned() },
            tls: None,
            tls_names: Vec::new(),
            clock: Clock::system(),
            password: PasswordCost::default(),
            synced: true,
            source: None,
        }
    }

    /// For tests: free loopback ports, cheap passwords, a clock set by hand, no waiting for the disk.
    #[must_use]
    pub fn for_test(data: impl Into<PathBuf>, clock: Clock) -> Self {
        let any = Some("127.0.0.1:0".to_owned());
        Self { http: any.clone(), mqtt: any.clone(), mqtts: any, clock, password: PasswordCost::fast(), synced: false, ..Self::new(data) }
    }

    /// From `--config`, else `./heliograph.toml`, else `DATA/heliograph.toml`, if there is one; flags and environment on top.
    pub fn load(config: Option<&Path>, data: Option<&Path>, overrides: &Overrides) -> Result<Self, Problem> {
        let found = match config {
            Some(path) => Some(path.to_owned()),
            None => [PathBuf::from(NAME), data.unwrap_or(Path::new(DATA)).join(NAME)].into_iter().find(|path| path.is_file()),
        };
        let mut loaded = Self::new(DATA);
        if let Some(path) = found {
            let text = std::fs::read_to_string(&path).map_err(|e| Problem::file("read", &path, &e))?;
            let name = path.display().to_string();
            let file = File::parse(&name, &text)?;
            file.apply(&mut loaded, path.parent().unwrap_or(Path::new("")), &name)?;
            loaded.source = Some(path);
        }
        if let Some(data) = data {
            loaded.data = data.to_owned();
        }
        loaded.overlay(overrides)?;
        loaded.check()?;
        Ok(loaded)
    }

    fn overlay(&mut self, over: &Overrides) -> Result<(), Problem> {
        for (flag, value, slot) in [
            ("--http", &over.http, &mut self.http),
            ("--https", &over.https, &mut self.https),
            ("--mqtt", &over.mqtt, &mut self.mqtt),
            ("--mqtts", &over.mqtts, &mut self.mqtts),
        ] {
            if let Some(value) = given(value) {
                *slot = address(value).map_err(|why| Problem::setup(format!("{flag} {value}: {why}")))?;
            }
        }
        if let Some(url) = given(&over.public_url) {
            self.public_url = Some(public_url(url).map_err(|why| Problem::setup(format!("--public-url {url}: {why}")))?);
        }
        if let Some(file) = over.provision.as_ref().filter(|p| !p.as_os_str().is_empty()) {
            self.provision = Some(file.clone());
        }
        if let Some(tenant) = given(&over.mqtt_anonymous) {
            self.anonymous_tenant = Some(tenant.to_owned());
        }
        if let Some(url) = given(&over.store_url) {
            self.store_url = Some(store_url(url).map_err(|why| Problem::setup(format!("--store-url: {why}")))?);
        }
        if let Some(level) = given(&over.journal_durability) {
            self.journal.durability = durability(level).map_err(|why| Problem::setup(format!("--journal-durability {level}: {why}")))?;
        }
        match (given(&over.smtp_url), given(&over.smtp_from)) {
            (None, None) => {}
            (Some(url), from) => {
                let from = from.map(str::to_owned).or_else(|| self.smtp.as_ref().map(|s| s.from.clone()));
                self.smtp = Some(Smtp { url: url.to_owned().into(), from: from.unwrap_or_default() });
            }
            (None, Some(from)) => match &mut self.smtp {
                Some(smtp) => from.clone_into(&mut smtp.from),
                None => return Err(Problem::setup("--smtp-from needs --smtp-url")),
            },
        }
        match (&over.tls_cert, &over.tls_key) {
            (None, None) => {}
            (Some(cert), Some(key)) => self.tls = Some((cert.clone(), key.clone())),
            _ => return Err(Problem::setup("--tls-cert and --tls-key belong together: give both or neither")),
        }
        if let Some(format) = given(&over.log_format) {
            self.log.json = log_format(format).map_err(|why| Problem::setup(format!("--log-format {format}: {why}")))?;
        }
        if let Some(level) = given(&over.log_level) {
            level.clone_into(&mut self.log.level);
        }
        Ok(())
    }

    /// What no single key can know.
    fn check(&self) -> Result<(), Problem> {
        if let Some(smtp) = &self.smtp {
            model::normalize_email(smtp.from.rsplit_once('<').map_or(smtp.from.as_str(), |(_, rest)| rest.trim_end_matches('>')))
                .map_err(|_| Problem::setup("[smtp] from must be the sender's address, such as heliograph@example.com"))?;
        }
        if self.max_payload + 4096 > self.mqtt_limits.max_packet {
            let wanted = self.max_payload + 4096;
            return Err(Problem::setup(format!("[mqtt] max_packet must be at least {wanted}, so that a payload of max_payload fits")));
        }
        Ok(())
    }
}

fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|text| !text.is_empty())
}

/// `host:port`, or `off`.
pub(crate) fn address(text: &str) -> Result<Option<String>, String> {
    if matches!(text, "off" | "none" | "") {
        return Ok(None);
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(Some(text.to_owned())),
        _ => Err("is not host:port (such as 127.0.0.1:8080, port 0 for any free one) or off".to_owned()),
    }
}

/// An absolute http or https URL, without a final slash.
pub(crate) fn public_url(text: &str) -> Result<String, String> {
    let well = text.parse::<axum::http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty()) && uri.query().is_none()
    });
    if well { Ok(text.trim_end_matches('/').to_owned()) } else { Err("is not an http:// or https:// URL".to_owned()) }
}

pub(crate) fn store_url(text: &str) -> Result<SecretString, String> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        Ok(text.to_owned().into())
    } else {
        Err("is not a postgres:// URL (leave it out for SQLite in the data directory)".to_owned())
    }
}

pub(crate) fn durability(text: &str) -> Result<Durability, String> {
    match text {
        "sync" => Ok(Durability::Sync),
        "flush" => Ok(Durability::Flush),
        "memory" => Ok(Durability::Memory),
        _ => Err("is not one of sync, flush, memory".to_owned()),
    }
}

pub(crate) fn log_format(text: &str) -> Result<bool, String> {
    match text {
        "human" | "text" => Ok(false),
        "json" => Ok(true),
        _ => Err("is not one of human, json".to_owned()),
    }
}

#[cfg(test)]
mod tests;
