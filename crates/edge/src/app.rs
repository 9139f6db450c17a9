//! What every answer needs, once around all routers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use model::{Clock, RequestId};
use std::net::IpAddr;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::Instrument as _;

use crate::headers::header as header_text;
use crate::origin::PeerCertificate;
use crate::{Origin, Peer, VirtualHosts};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Request extension: cancelled when the gateway stops, so that an endless answer (server-sent events) can end itself.
#[derive(Clone, Debug)]
pub struct Stopping(pub CancellationToken);

/// The routers behind what every answer needs: request id, origin, span, security headers, panic to 500, counters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    hosts: VirtualHosts,
    clock: Clock,
    trusted: Vec<IpAddr>,
    meter: Meter,
}

impl App {
    /// Wraps the routers; `trusted` are the proxies whose X-Forwarded-For is believed (usually none).
    #[must_use]
    pub fn new(hosts: VirtualHosts, clock: Clock, trusted: Vec<IpAddr>, meter: Meter) -> Self {
        Self { inner: Arc::new(Inner { hosts, clock, trusted, meter }) }
    }

    /// Its counters.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.inner.meter
    }

    /// Answers one request. The router finds [`Origin`], [`Stopping`] and `ConnectInfo<SocketAddr>` among the request's extensions.
    pub async fn respond(&self, request: Request<Body>, peer: Option<Peer>, stopping: CancellationToken) -> Response {
        let began = Instant::now();
        let (mut parts, body) = request.into_parts();
        // A caller may name its request, if it does so with a UUID; anything else would let it forge log lines.
        let id = header_text(&parts.headers, REQUEST_ID.as_str())
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| self.inner.clock.new_id::<RequestId>());
        let origin = Origin::new(&parts, peer.as_ref(), id, &self.inner.trusted);
        parts.extensions.insert(origin);
        parts.extensions.insert(Stopping(stopping));
        if let Some(peer) = peer {
            parts.extensions.insert(ConnectInfo(peer.address));
            if let Some(certificate) = peer.certificate {
                parts.extensions.insert(PeerCertificate(certificate));
            }
        }
        let router = self.inner.hosts.pick(&parts.uri, &parts.headers).clone();
        let method = parts.method.clone();
        // The path only: a query may carry a token.
        let path = parts.uri.path().to_owned();
        let span = tracing::info_span!("request", %id);
        let answered = AssertUnwindSafe(router.oneshot(Request::from_parts(parts, body))).catch_unwind().instrument(span.clone()).await;
        let _entered = span.enter();
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panic) => {
                let what = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                tracing::error!(%method, path, panic = what.unwrap_or("?"), "a handler panicked");
                internal()
            }
        };
        dress(&mut response, id);
        let status = response.status();
        self.inner.meter.answered(status);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        if status.is_server_error() {
            tracing::warn!(%method, path, status = status.as_u16(), micros, "answered");
        } else {
            tracing::debug!(%method, path, status = status.as_u16(), micros, "answered");
        }
        response
    }
}

fn internal() -> Response {
    let mut response = Response::new(Body::from(r#"{"status":500,"error":"internal","message":"internal error"}"#));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Headers that are right for every answer unless the handler set its own.
fn dress(response: &mut Response, id: RequestId) {
    const DEFAULTS: [(HeaderName, HeaderValue); 5] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let headers = response.headers_mut();
    for (name, value) in DEFAULTS {
        headers.entry(name).or_insert(value);
    }
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    if let Ok(value) = HeaderValue::from_str(id.uuid().hyphenated().encode_lower(&mut text)) {
        headers.insert(REQUEST_ID, value);
    }
}

/// Counts of HTTP connections and answers. Cheap to clone; clones share their counts.
#[derive(Clone, Debug)]
pub struct Meter {
    inner: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    open: AtomicUsize,
    accepted: AtomicU64,
    by_status: [AtomicU64; 500],
}

impl Default for Meter {
    fn default() -> Self {
        let counts = Counts { open: AtomicUsize::new(0), accepted: AtomicU64::new(0), by_status: [const { AtomicU64::new(0) }; 500] };
        Self { inner: Arc::new(counts) }
    }
}

impl Meter {
    /// HTTP connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.inner.open.load(Ordering::Relaxed)
    }

    /// HTTP connections since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.inner.accepted.load(Ordering::Relaxed)
    }

    /// Answers since the start, by status, without the zeroes.
    #[must_use]
    pub fn answers(&self) -> Vec<(u16, u64)> {
        (100..).zip(&self.inner.by_status).map(|(status, n)| (status, n.load(Ordering::Relaxed))).filter(|(_, n)| *n > 0).collect()
    }

    fn answered(&self, status: StatusCode) {
        if let Some(count) = self.inner.by_status.get(usize::from(status.as_u16()).wrapping_sub(100)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One more connection, until the guard is dropped.
    pub(crate) fn connected(&self) -> impl Drop + use<> {
        struct Open(Meter);
        impl Drop for Open {
            fn drop(&mut self) {
                self.0.inner.open.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.inner.open.fetch_add(1, Ordering::Relaxed);
        self.inner.accepted.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }
}
