//! `heliograph.toml`: every table optional, an unknown key is an error.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use identity::SecretString;
use journal::Durability;
use model::PlanName;
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};

use super::{Config, Dialect, Listener, Smtp, address, durability, log_format, public_url, store_url};
use crate::Problem;

/// A value that is checked where it is read, so that the error knows its line.
#[derive(Debug)]
struct Checked<T>(T);

macro_rules! checked {
    ($($type:ty, $check:path;)*) => {$(
        impl<'de> Deserialize<'de> for Checked<$type> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $check(&text).map(Self).map_err(|why| serde::de::Error::custom(format!("'{text}' {why}")))
            }
        }
    )*};
}

/// A `host:port`, or none for off.
type Address = Option<String>;
/// An absolute URL.
type Url = String;
/// `json` or not.
type Json = bool;

checked! {
    Address, address;
    Url, public_url;
    Durability, durability;
    Json, log_format;
}

impl<'de> Deserialize<'de> for Checked<SecretString> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Without the text: it may hold a password.
        store_url(&String::deserialize(deserializer)?).map(Self).map_err(|why| serde::de::Error::custom(format!("the URL {why}")))
    }
}

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    data: Option<PathBuf>,
    http: Option<Checked<Address>>,
    https: Option<Checked<Address>>,
    mqtt: Option<Mqtt>,
    mqtts: Option<Checked<Address>>,
    public_url: Option<Checked<Url>>,
    provision: Option<PathBuf>,
    trusted_proxies: Vec<IpAddr>,
    max_payload: Option<Bytes<1, { 16 << 20 }>>,
    max_body: Option<Bytes<1024, { 1 << 30 }>>,
    max_connections: Option<usize>,
    store: Store,
    journal: Journal,
    smtp: Option<SmtpTable>,
    webhooks: Webhooks,
    dialects: Dialects,
    listener: Vec<ListenerTable>,
    registration: Registration,
    log: Log,
    tls: Tls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Webhooks {
    private_addresses: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Store {
    url: Option<Checked<SecretString>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Journal {
    segment_bytes: Option<Bytes<{ 64 << 10 }, { 1 << 30 }>>,
    max_pending_bytes: Option<Bytes<{ 1 << 20 }, { 4 << 30 }>>,
    durability: Option<Checked<Durability>>,
}

/// `mqtt = "ADDR"`, or the table `[mqtt]` with the address as `bind`: in TOML a key cannot be both.
#[derive(Debug)]
enum Mqtt {
    Address(Address),
    Table(Box<MqttTable>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MqttTable {
    bind: Option<Checked<Address>>,
    anonymous_tenant: Option<String>,
    max_packet: Option<Bytes<1024, { 256 << 20 }>>,
    max_inflight: Option<u16>,
    max_queued: Option<usize>,
    max_keep_alive: Option<u16>,
    max_session_expiry: Option<u32>,
    max_subscriptions: Option<usize>,
    max_connections: Option<usize>,
    max_deliveries: Option<u32>,
    durability: Option<Checked<Durability>>,
    tls_durability: Option<Checked<Durability>>,
}

impl<'de> Deserialize<'de> for Mqtt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Mqtt;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or a table with the address as `bind`")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Mqtt, E> {
                address(text).map(Mqtt::Address).map_err(|why| E::custom(format!("'{text}' {why}")))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mqtt, A::Error> {
                MqttTable::deserialize(MapAccessDeserializer::new(map)).map(|table| Mqtt::Table(Box::new(table)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SmtpTable {
    url: SecretString,
    from: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Dialects {
    flashlex: Flashlex,
    lightelligence: Lightelligence,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Lightelligence {
    hosts: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Flashlex {
    enabled: Option<bool>,
    hosts: Vec<String>,
    mqtt_host: Option<String>,
    mqtts_port: Option<u16>,
    sdk: Option<PathBuf>,
    return_private_key: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenerTable {
    bind: Checked<Address>,
    dialect: Dialect,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Registration {
    enabled: bool,
    plan: Option<PlanName>,
    found_tenants: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Log {
    format: Option<Checked<Json>>,
    level: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    names: Vec<String>,
}

/// A size in bytes between two bounds.
#[derive(Clone, Copy, Debug)]
struct Bytes<const MIN: u64, const MAX: u64>(u64);

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Bytes<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            n if (MIN..=MAX).contains(&n) => Ok(Self(n)),
            n => Err(serde::de::Error::custom(format!("{n} is not between {MIN} and {MAX} bytes"))),
        }
    }
}

impl<const MIN: u64, const MAX: u64> Bytes<MIN, MAX> {
    fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl File {
    /// Reads the text; a mistake is told with its line.
    pub fn parse(name: &str, text: &str) -> Result<Self, Problem> {
        toml::from_str(text).map_err(|e| Problem::toml(name, text, &e))
    }

    /// Puts what it says into the configuration. Relative paths are relative to the file.
    pub(super) fn apply(self, config: &mut Config, beside: &Path, name: &str) -> Result<(), Problem> {
        let path = |path: PathBuf| beside.join(path);
        set(&mut config.data, self.data.map(path));
        set(&mut config.http, self.http.map(|a| a.0));
        set(&mut config.https, self.https.map(|a| a.0));
        set(&mut config.mqtts, self.mqtts.map(|a| a.0));
        set_some(&mut config.public_url, self.public_url.map(|u| u.0));
        set_some(&mut config.provision, self.provision.map(path));
        config.trusted_proxies = self.trusted_proxies;
        set(&mut config.max_payload, self.max_payload.map(Bytes::size));
        set(&mut config.body_limit, self.max_body.map(Bytes::size));
        set(&mut config.connections, self.max_connections);
        set_some(&mut config.store_url, self.store.url.map(|u| u.0));
        set(&mut config.journal.segment_bytes, self.journal.segment_bytes.map(|b| b.0));
        set(&mut config.journal.max_pending_bytes, self.journal.max_pending_bytes.map(Bytes::size));
        set(&mut config.journal.durability, self.journal.durability.map(|d| d.0));
        match self.mqtt {
            None => {}
            Some(Mqtt::Address(address)) => config.mqtt = address,
            Some(Mqtt::Table(table)) => table.apply(config),
        }
        set_some(&mut config.smtp, self.smtp.map(|smtp| Smtp { url: smtp.url, from: smtp.from }));
        set(&mut config.private_webhooks, self.webhooks.private_addresses);
        let (flashlex, into) = (self.dialects.flashlex, &mut config.flashlex);
        set(&mut into.enabled, flashlex.enabled);
        into.hosts = flashlex.hosts;
        set_some(&mut into.mqtt_host, flashlex.mqtt_host);
        set_some(&mut into.mqtts_port, flashlex.mqtts_port);
        set_some(&mut into.sdk, flashlex.sdk.map(path));
        set(&mut into.return_private_key, flashlex.return_private_key);
        config.lightelligence_hosts = self.dialects.lightelligence.hosts;
        config.listeners = self.listener.into_iter().filter_map(|l| l.bind.0.map(|bind| Listener { bind, dialect: l.dialect })).collect();
        set(&mut config.found_tenants, self.registration.found_tenants);
        if self.registration.enabled {
            config.registration = Some(self.registration.plan.unwrap_or(PlanName::Amber));
        }
        set(&mut config.log.json, self.log.format.map(|f| f.0));
        set(&mut config.log.level, self.log.level);
        config.tls = match (self.tls.cert, self.tls.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((path(cert), path(key))),
            _ => return Err(Problem::setup(format!("{name}: [tls] cert and key belong together: give both or neither"))),
        };
        config.tls_names = self.tls.names;
        Ok(())
    }
}

impl MqttTable {
    fn apply(self, config: &mut Config) {
        set(&mut config.mqtt, self.bind.map(|b| b.0));
        set_some(&mut config.anonymous_tenant, self.anonymous_tenant);
        set_some(&mut config.mqtt_durability, self.durability.map(|d| d.0));
        set_some(&mut config.mqtts_durability, self.tls_durability.map(|d| d.0));
        let limits = &mut config.mqtt_limits;
        set(&mut limits.max_deliveries, self.max_deliveries);
        set(&mut limits.max_packet, self.max_packet.map(Bytes::size));
        set(&mut limits.max_inflight, self.max_inflight);
        set(&mut limits.max_queued_per_session, self.max_queued);
        set(&mut limits.max_keep_alive, self.max_keep_alive);
        set(&mut limits.max_session_expiry, self.max_session_expiry);
        set(&mut limits.max_subscriptions, self.max_subscriptions);
        set(&mut limits.max_connections, self.max_connections);
    }
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn set_some<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}
