//! The server's certificate: the operator's own files, or one of our CA; renewed and reloaded while running.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;

use edge::TlsReload;
use parking_lot::Mutex;
use std::sync::Arc;

use crate::start::Ready;
use crate::{Config, House, Problem};

/// Where the certificate comes from, and the one in use. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    house: House,
    source: Source,
    tls: Option<TlsReload>,
    /// The PEM texts in use, to tell whether they changed.
    current: Mutex<(String, String)>,
}

enum Source {
    Files(PathBuf, PathBuf),
    Ca(Vec<String>),
}

impl Server {
    /// Reads or issues the certificate, if any listener needs one.
    pub async fn open(house: &House, config: &Config, ready: &Ready) -> Result<Self, Problem> {
        let source = match &config.tls {
            Some((cert, key)) => Source::Files(cert.clone(), key.clone()),
            None => Source::Ca(names(config, ready)),
        };
        let needed = ready.https.is_some() || ready.mqtts.is_some();
        let (tls, current) = if needed {
            let (chain, key) = read(house, &source).await?;
            let tls = TlsReload::new(&chain, &key).map_err(|e| match &source {
                Source::Files(cert, key) => Problem::setup(format!("{} and {}: {e}", cert.display(), key.display())),
                Source::Ca(_) => Problem::failed(e),
            })?;
            (Some(tls), (chain, key))
        } else {
            (None, Default::default())
        };
        Ok(Self { inner: Arc::new(Inner { house: house.clone(), source, tls, current: Mutex::new(current) }) })
    }

    /// The TLS side; only where a listener needs one.
    pub fn tls(&self) -> Result<TlsReload, Problem> {
        self.inner.tls.clone().ok_or_else(|| Problem::failed("no listener uses TLS"))
    }

    /// Puts a renewed certificate in place, if there is one. What cannot be used is logged and the present one stays.
    pub async fn refresh(&self) {
        let Some(tls) = &self.inner.tls else { return };
        match read(&self.inner.house, &self.inner.source).await {
            Ok(read) if *self.inner.current.lock() == read => {}
            Ok((chain, key)) => match tls.replace(&chain, &key) {
                Ok(()) => {
                    tracing::info!("a new server certificate is in use");
                    *self.inner.current.lock() = (chain, key);
                }
                Err(error) => tracing::error!(%error, "the new server certificate cannot be used; the present one stays"),
            },
            Err(problem) => tracing::error!(%problem, "the server certificate could not be renewed; the present one stays"),
        }
    }
}

async fn read(house: &House, source: &Source) -> Result<(String, String), Problem> {
    match source {
        Source::Files(cert, key) => {
            let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|e| Problem::file("read", path, &e));
            Ok((read(cert)?, read(key)?))
        }
        Source::Ca(names) => {
            let material = house.identity.server_certificate(names).await?;
            Ok((material.chain_pem, (*material.key_pem).clone()))
        }
    }
}

/// What the certificate is for: the public URL's host, the dialects' hosts, the addresses bound, and what this machine is called.
fn names(config: &Config, ready: &Ready) -> Vec<String> {
    let mut names = BTreeSet::new();
    let url_host = ready.public_url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    names.extend(url_host.map(|host| host.trim_matches(['[', ']']).to_owned()));
    names.extend(config.flashlex.hosts.iter().cloned());
    names.extend(config.flashlex.mqtt_host.clone());
    names.extend(config.tls_names.iter().cloned());
    for address in [ready.https, ready.mqtts].into_iter().flatten() {
        names.extend(reached_by(address));
    }
    for address in [&config.https, &config.mqtts].into_iter().flatten() {
        // `--mqtts gateway.lan:8883` names the gateway.
        names.extend(
            address
                .rsplit_once(':')
                .map(|(host, _)| host.trim_matches(['[', ']']).to_owned())
                .filter(|host| host.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified()) || host.parse::<IpAddr>().is_err()),
        );
    }
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

/// The addresses and the name others reach a listener by.
fn reached_by(address: SocketAddr) -> Vec<String> {
    if !address.ip().is_unspecified() {
        return vec![address.ip().to_string()];
    }
    let mut names = Vec::new();
    // Nothing is sent: connecting a datagram socket only asks the system which address it would send from.
    for (from, to) in [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")] {
        let own = UdpSocket::bind(from).and_then(|socket| socket.connect(to).and_then(|()| socket.local_addr()));
        names.extend(own.ok().map(|own| own.ip()).filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string()));
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    if host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) && !host.is_empty() {
        names.push(host.to_owned());
        if !host.contains('.') {
            names.push(format!("{host}.local"));
        }
    }
    names
}
