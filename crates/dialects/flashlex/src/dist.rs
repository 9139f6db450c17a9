//! The distribution: one zip with everything a device needs. File names and their places are part of the contract.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::{Error, Result};
use zip::ZipArchive;

use crate::zipped::Zip;

/// The directory beside `config.yml` in which devices expect their SDK.
const SDK_DIRECTORY: &str = "flashlex-iot-python";
/// Nobody's SDK is larger; a wrong path should not fill the memory.
const SDK_MAX_BYTES: u64 = 64 << 20;
const SDK_MAX_FILES: usize = 10_000;

/// All that goes into a distribution.
pub(crate) struct Distribution<'a> {
    /// The gateway's public URL, without a slash at the end.
    pub endpoint: &'a str,
    /// The MQTT host devices connect to.
    pub mqtt_host: &'a str,
    /// Its TLS port.
    pub mqtt_port: u16,
    /// `flthingspk`.
    pub id: &'a str,
    /// `thingName`.
    pub name: &'a str,
    /// The thing's certificate, PEM.
    pub certificate: &'a str,
    /// Its private key, PEM; empty when it is not ours to know.
    pub private: &'a str,
    /// Its public key, PEM.
    pub public: &'a str,
    /// The gateway's CA, PEM.
    pub root_ca: &'a str,
    /// When the thing was provisioned: the date of every file.
    pub at: Timestamp,
}

impl Distribution<'_> {
    /// The zip, with the SDK of `sdk` (a zip or a directory) if one is given.
    pub(crate) fn zip(&self, sdk: Option<&Path>) -> Result<Vec<u8>> {
        let mut zip = Zip::new();
        zip.file(&format!("{}-certificate.pem", self.name), self.certificate.as_bytes(), self.at, false)?;
        if !self.private.is_empty() {
            zip.file(&format!("{}-keypair-private.pem", self.name), self.private.as_bytes(), self.at, true)?;
        }
        zip.file(&format!("{}-keypair-public.pem", self.name), self.public.as_bytes(), self.at, false)?;
        zip.file("root-ca-cert.pem", self.root_ca.as_bytes(), self.at, false)?;
        zip.file("config.yml", self.config().as_bytes(), self.at, false)?;
        zip.file("README.md", self.readme(sdk.is_some()).as_bytes(), self.at, false)?;
        if let Some(path) = sdk {
            add_sdk(&mut zip, path, self.at).map_err(|error| {
                tracing::error!(sdk = %path.display(), %error, "cannot add the device SDK to a distribution");
                Error::unavailable("the device SDK configured on this gateway cannot be read")
            })?;
        }
        zip.finish()
    }

    /// `config.yml` with every key the device SDK reads; the SDK has no default for any of them.
    pub(crate) fn config(&self) -> String {
        let (endpoint, host, id) = (quoted(self.endpoint.trim_end_matches('/')), quoted(self.mqtt_host), quoted(self.id));
        let (name, port) = (self.name, self.mqtt_port);
        let quoted_name = quoted(name);
        let file = |suffix: &str| quoted(&format!("{name}-{suffix}.pem"));
        let (certificate, private, public) = (file("certificate"), file("keypair-private"), file("keypair-public"));
        let topic = |root: &str| quoted(&format!("{root}/{name}"));
        let (pubsub, ingress) = (topic("pubsub"), topic("ingress"));
        let version = quoted(env!("CARGO_PKG_VERSION"));
        format!(
            r#"flashlex:
  app:
    api:
      endpoint: {endpoint}
      env: prd
    callback: persistent
    thread: subscribe
    message: This is a really basic message.
    db:
      subscriptionData: subscription.json
      expireSeconds: 60
  dist:
    commitSha: {version}
  thing:
    id: {id}
    name: {quoted_name}
    endpoint: {host}
    keys:
      rootCA: root-ca-cert.pem
      cert: {certificate}
      privateKey: {private}
      publicKey: {public}
    mqtt:
      pubsub:
        topic: {pubsub}
      ingress:
        topic: {ingress}
      egress:
        topic: flashlex/collect
      useWebsocket: false
      port: {port}
      autoReconnectBackoffTime:
        baseReconnectQuietTimeSecond: 1
        maxReconnectQuietTimeSecond: 30
        stableConnectionTimeSecond: 10
      offlinePublishQueueing: -1
      drainingFrequency: 2
      connectDisconnectTimeout: 60
      mqttOperationTimeout: 120
"#
        )
    }

    fn readme(&self, with_sdk: bool) -> String {
        let Self { endpoint, mqtt_host, mqtt_port, id, name, .. } = self;
        let sdk = if with_sdk {
            "The SDK is in `flashlex-iot-python/`.".to_owned()
        } else {
            "This gateway was not given an SDK to put in here: unpack the FlashLex Python SDK beside this file as\n\
             `flashlex-iot-python/` (its files directly in that directory)."
                .to_owned()
        };
        format!(
            r"# {name}

Everything this thing needs to talk to its gateway.

| what | value |
|---|---|
| thing id | `{id}` |
| HTTP API | <{endpoint}/prd/v1> |
| MQTT over TLS | `{mqtt_host}`, port {mqtt_port} |

| file | what it is |
|---|---|
| `{name}-certificate.pem` | the certificate the thing shows |
| `{name}-keypair-private.pem` | its private key: keep it on the thing and nowhere else |
| `{name}-keypair-public.pem` | its public key |
| `root-ca-cert.pem` | the authority that signed the gateway's certificate |
| `config.yml` | the settings of the SDK |

## First run

{sdk}

    chmod 600 {name}-keypair-private.pem
    cd flashlex-iot-python
    python3 -m venv venv && . venv/bin/activate
    pip install -r requirements.txt
    export REQUESTS_CA_BUNDLE=$(pwd)/../root-ca-cert.pem
    python3 -u bootstrap.py -c $(pwd)/../config.yml

The bootstrap collects a message, then publishes to `flashlex/test`; after that the thing is shown as verified.

## Good to know

- `REQUESTS_CA_BUNDLE` is for messages sent by HTTP: that part of the SDK trusts the system's authorities only, not
  `root-ca-cert.pem`. Put it into the service's environment as well (systemd: `Environment=REQUESTS_CA_BUNDLE=…`).
- The SDK does not retry its very first connection. Start the gateway before the thing.
- Stop the service before you run `bootstrap.py` again: both use the same MQTT client id, and the newer connection wins.
- Messages sent while the thing is away wait for it on the gateway and arrive once it has subscribed.
"
        )
    }
}

/// A YAML double-quoted scalar: whatever the name, it stays text (`1e5` and `true` are not).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Copies an SDK under its directory's name; the one directory source archives have at their top is left out.
fn add_sdk(zip: &mut Zip, path: &Path, at: Timestamp) -> std::result::Result<(), String> {
    let meta = fs::metadata(path).map_err(|e| e.to_string())?;
    if meta.is_dir() {
        return add_sdk_directory(zip, path, at);
    }
    if meta.len() > SDK_MAX_BYTES {
        return Err(format!("larger than {SDK_MAX_BYTES} bytes"));
    }
    let mut archive = ZipArchive::new(File::open(path).map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    if archive.len() > SDK_MAX_FILES {
        return Err(format!("more than {SDK_MAX_FILES} files"));
    }
    let top = archive.root_dir(zip::read::root_dir_common_filter).map_err(|e| e.to_string())?;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|e| e.to_string())?;
        let Some(inside) = entry.enclosed_name() else { return Err("an entry leads out of the archive".to_owned()) };
        let inside = top.as_ref().map_or(Ok(inside.as_path()), |top| inside.strip_prefix(top));
        let Ok(inside) = inside else { continue };
        let Some(name) = sdk_name(inside) else { continue };
        if entry.is_file() {
            zip.0.raw_copy_file_rename(entry, name).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

fn add_sdk_directory(zip: &mut Zip, root: &Path, at: Timestamp) -> std::result::Result<(), String> {
    let (mut pending, mut bytes, mut files) = (vec![root.to_owned()], 0_u64, 0_usize);
    while let Some(directory) = pending.pop() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(&directory).map_err(|e| e.to_string())?.filter_map(|entry| entry.ok().map(|e| e.path())).collect();
        entries.sort();
        for path in entries {
            let meta = fs::symlink_metadata(&path).map_err(|e| e.to_string())?;
            if meta.is_dir() {
                pending.push(path);
                continue;
            }
            let Some(name) = path.strip_prefix(root).ok().and_then(sdk_name) else { continue };
            if !meta.is_file() {
                continue;
            }
            (bytes, files) = (bytes.saturating_add(meta.len()), files + 1);
            if bytes > SDK_MAX_BYTES || files > SDK_MAX_FILES {
                return Err(format!("more than {SDK_MAX_FILES} files or {SDK_MAX_BYTES} bytes"));
            }
            let content = fs::read(&path).map_err(|e| e.to_string())?;
            zip.file(&name, &content, at, false).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// `sdk/config.py` → `flashlex-iot-python/sdk/config.py`; `None` for what is no plain name.
fn sdk_name(inside: &Path) -> Option<String> {
    let mut name = SDK_DIRECTORY.to_owned();
    for part in inside {
        name.push('/');
        name.push_str(part.to_str()?);
    }
    (name.len() > SDK_DIRECTORY.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Cursor, Read as _};

    use super::*;

    fn sample() -> Distribution<'static> {
        Distribution {
            endpoint: "http://127.0.0.1:8080/",
            mqtt_host: "gateway.local",
            mqtt_port: 8883,
            id: "349c5942-77d6-4f36-880b-1762a3b07f06",
            name: "ecd13b11-mything",
            certificate: "CERTIFICATE",
            private: "PRIVATE",
            public: "PUBLIC",
            root_ca: "ROOT",
            at: "2019-07-20T01:45:44Z".parse().unwrap(),
        }
    }

    fn unzip(bytes: Vec<u8>) -> BTreeMap<String, String> {
        let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
        (0..archive.len())
            .map(|index| {
                let mut file = archive.by_index(index).unwrap();
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                (file.name().unwrap().into_owned(), text)
            })
            .collect()
    }

    /// A reader of the YAML written here: two blanks a level, `key: value`, no lists. Enough to hold every path to its value.
    fn paths(yaml: &str) -> BTreeMap<String, String> {
        let (mut out, mut stack) = (BTreeMap::new(), Vec::<String>::new());
        for line in yaml.lines() {
            let depth = (line.len() - line.trim_start().len()) / 2;
            let (key, value) = line.trim_start().split_once(':').unwrap_or_else(|| panic!("no key in {line:?}"));
            stack.truncate(depth);
            assert_eq!(stack.len(), depth, "{line:?} is indented too far");
            stack.push(key.to_owned());
            let value = value.trim();
            if !value.is_empty() {
                let value = serde_json::from_str::<String>(value).unwrap_or_else(|_| value.to_owned());
                assert!(out.insert(stack.join("."), value).is_none(), "{line:?} twice");
            }
        }
        out
    }

    #[test]
    fn the_zip_has_the_documented_names() {
        let files = unzip(sample().zip(None).unwrap());
        assert_eq!(
            files.keys().map(String::as_str).collect::<Vec<_>>(),
            [
                "README.md",
                "config.yml",
                "ecd13b11-mything-certificate.pem",
                "ecd13b11-mything-keypair-private.pem",
                "ecd13b11-mything-keypair-public.pem",
                "root-ca-cert.pem",
            ]
        );
        assert_eq!(files["root-ca-cert.pem"], "ROOT");
        assert_eq!(files["ecd13b11-mything-keypair-private.pem"], "PRIVATE");
        assert!(files["README.md"].contains("REQUESTS_CA_BUNDLE"));
    }

    #[test]
    fn config_yml_has_every_key_the_sdk_reads() {
        let config = paths(&sample().config());
        let expected = [
            ("app.api.endpoint", "http://127.0.0.1:8080"),
            ("app.api.env", "prd"),
            ("app.callback", "persistent"),
            ("app.thread", "subscribe"),
            ("app.message", "This is a really basic message."),
            ("app.db.subscriptionData", "subscription.json"),
            ("app.db.expireSeconds", "60"),
            ("dist.commitSha", env!("CARGO_PKG_VERSION")),
            ("thing.id", "349c5942-77d6-4f36-880b-1762a3b07f06"),
            ("thing.name", "ecd13b11-mything"),
            ("thing.endpoint", "gateway.local"),
            ("thing.keys.rootCA", "root-ca-cert.pem"),
            ("thing.keys.cert", "ecd13b11-mything-certificate.pem"),
            ("thing.keys.privateKey", "ecd13b11-mything-keypair-private.pem"),
            ("thing.keys.publicKey", "ecd13b11-mything-keypair-public.pem"),
            ("thing.mqtt.pubsub.topic", "pubsub/ecd13b11-mything"),
            ("thing.mqtt.ingress.topic", "ingress/ecd13b11-mything"),
            ("thing.mqtt.egress.topic", "flashlex/collect"),
            ("thing.mqtt.useWebsocket", "false"),
            ("thing.mqtt.port", "8883"),
            ("thing.mqtt.autoReconnectBackoffTime.baseReconnectQuietTimeSecond", "1"),
            ("thing.mqtt.autoReconnectBackoffTime.maxReconnectQuietTimeSecond", "30"),
            ("thing.mqtt.autoReconnectBackoffTime.stableConnectionTimeSecond", "10"),
            ("thing.mqtt.offlinePublishQueueing", "-1"),
            ("thing.mqtt.drainingFrequency", "2"),
            ("thing.mqtt.connectDisconnectTimeout", "60"),
            ("thing.mqtt.mqttOperationTimeout", "120"),
        ];
        let expected: BTreeMap<String, String> = expected.iter().map(|(k, v)| (format!("flashlex.{k}"), (*v).to_owned())).collect();
        assert_eq!(config, expected);
    }

    #[test]
    fn names_that_look_like_numbers_stay_text() {
        let it = Distribution { id: "356938035643809", name: "1e5", ..sample() };
        assert!(it.config().contains("    id: \"356938035643809\"\n    name: \"1e5\"\n"));
    }

    #[test]
    fn an_sdk_comes_along_from_a_zip_or_a_directory() {
        let home = tempfile::tempdir().unwrap();
        let zip_path = home.path().join("sdk.zip");
        let mut sdk = Zip::new();
        for (name, text) in
            [("flashlex-iot-python-0.9.16/bootstrap.py", "print()"), ("flashlex-iot-python-0.9.16/flashlexiot/__init__.py", "")]
        {
            sdk.file(name, text.as_bytes(), sample().at, false).unwrap();
        }
        fs::write(&zip_path, sdk.finish().unwrap()).unwrap();
        let directory = home.path().join("sdk");
        fs::create_dir_all(directory.join("flashlexiot")).unwrap();
        fs::write(directory.join("bootstrap.py"), "print()").unwrap();
        fs::write(directory.join("flashlexiot/__init__.py"), "").unwrap();
        for path in [&zip_path, &directory] {
            let files = unzip(sample().zip(Some(path)).unwrap());
            assert_eq!(files["flashlex-iot-python/bootstrap.py"], "print()", "{}", path.display());
            assert!(files.contains_key("flashlex-iot-python/flashlexiot/__init__.py"));
            assert_eq!(files.len(), 8);
        }
    }

    #[test]
    fn a_broken_sdk_is_said_to_be_broken() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("sdk.zip");
        assert!(matches!(sample().zip(Some(&path)), Err(Error::Unavailable { .. })), "absent");
        fs::write(&path, "not a zip").unwrap();
        assert!(matches!(sample().zip(Some(&path)), Err(Error::Unavailable { .. })), "no zip");
        let mut sdk = Zip::new();
        sdk.file("../../outside", b"", sample().at, false).unwrap();
        fs::write(&path, sdk.finish().unwrap()).unwrap();
        assert!(matches!(sample().zip(Some(&path)), Err(Error::Unavailable { .. })), "leads out");
    }
}
