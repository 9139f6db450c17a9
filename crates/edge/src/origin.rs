//! Where a request comes from.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use model::RequestId;
use uuid::Uuid;

use crate::headers::header;

const LABEL_MAX: usize = 100;

/// The connection a request came over.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The other end of the socket.
    pub address: SocketAddr,
    /// Over TLS?
    pub secure: bool,
    /// The client's certificate (DER leaf), its key proved in the handshake; nothing else about it is checked.
    pub certificate: Option<Arc<[u8]>>,
}

/// Request extension: the certificate of [`Peer::certificate`].
#[derive(Clone, Debug)]
pub(crate) struct PeerCertificate(pub(crate) Arc<[u8]>);

/// Where a request comes from, for rate limits, logs and the audit trail. Usable as an axum extractor.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The client's address: the socket's, or what a trusted proxy says.
    pub address: Option<IpAddr>,
    /// What the client calls itself: `Client-Id` (contracts/flashlex.md 1.2), else `User-Agent`; at most 100 characters.
    pub label: Option<String>,
    /// The request's id, as answered in `x-request-id`.
    pub request: RequestId,
    /// Did the client come over TLS (to us, or to a trusted proxy)?
    pub secure: bool,
}

/// Request extension: a caller whom the gateway itself has recognised (the operator at the command line); no header can say this.
#[derive(Clone, Debug)]
pub struct Vouched(pub model::Caller);

impl Origin {
    pub(crate) fn new(parts: &Parts, peer: Option<&Peer>, request: RequestId, trusted: &[IpAddr]) -> Self {
        let socket = peer.map(|p| p.address.ip().to_canonical());
        let proxied = socket.is_some_and(|ip| trusted.contains(&ip));
        let address = if proxied { forwarded(parts, trusted).or(socket) } else { socket };
        let secure = if proxied {
            header(&parts.headers, "x-forwarded-proto").map_or_else(|| peer.is_some_and(|p| p.secure), |proto| proto == "https")
        } else {
            peer.is_some_and(|p| p.secure)
        };
        let label = header(&parts.headers, "client-id")
            .or_else(|| header(&parts.headers, "user-agent"))
            .filter(|text| !text.is_empty())
            .map(|text| text.chars().filter(|c| !c.is_control()).take(LABEL_MAX).collect());
        Self { address, label, request, secure }
    }
}

/// The nearest address in X-Forwarded-For that is not itself a trusted proxy: only what trusted hops appended counts.
fn forwarded(parts: &Parts, trusted: &[IpAddr]) -> Option<IpAddr> {
    let lines: Vec<&str> = parts.headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok()).collect();
    let hops = lines.iter().flat_map(|line| line.split(',')).map(str::trim);
    for hop in hops.rev() {
        let ip: IpAddr = hop.parse().ok()?;
        if !trusted.contains(&ip.to_canonical()) {
            return Some(ip.to_canonical());
        }
    }
    None
}

impl From<Origin> for identity::Origin {
    fn from(origin: Origin) -> Self {
        Self { address: origin.address, label: origin.label, request: origin.request }
    }
}

impl From<&Origin> for identity::Origin {
    fn from(origin: &Origin) -> Self {
        origin.clone().into()
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        // Absent only where a router is called without an `App` around it, as in a unit test.
        Ok(parts.extensions.get::<Origin>().cloned().unwrap_or_else(|| Origin::new(parts, None, RequestId(Uuid::nil()), &[])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(socket: &str, forwarded: &[&str], trusted: &[&str]) -> Option<IpAddr> {
        let mut request = http::Request::builder();
        for line in forwarded {
            request = request.header("x-forwarded-for", *line);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let peer = Peer { address: SocketAddr::new(socket.parse().unwrap(), 1), secure: false, certificate: None };
        let trusted: Vec<IpAddr> = trusted.iter().map(|t| t.parse().unwrap()).collect();
        Origin::new(&parts, Some(&peer), RequestId(Uuid::nil()), &trusted).address
    }

    #[test]
    fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(origin("192.0.2.1", &["198.51.100.7"], &[]), ip("192.0.2.1"));
        assert_eq!(origin("10.0.0.1", &["198.51.100.7"], &["10.0.0.1"]), ip("198.51.100.7"));
        // What the client itself put in front is not believed.
        assert_eq!(origin("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"], &["10.0.0.1", "10.0.0.2"]), ip("198.51.100.7"));
        assert_eq!(origin("10.0.0.1", &["1.1.1.1", "198.51.100.7"], &["10.0.0.1"]), ip("198.51.100.7"));
        assert_eq!(origin("10.0.0.1", &["nonsense"], &["10.0.0.1"]), ip("10.0.0.1"));
        assert_eq!(origin("::ffff:192.0.2.1", &[], &[]), ip("192.0.2.1"));
    }
}
