//! HTTP/1.1 and HTTP/2 on one listener, with deadlines against clients that trickle.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::{App, Connection, Limits, Peer, Stream, listen};

const H2_STREAMS: u32 = 200;
const H2_PING: Duration = Duration::from_secs(20);

/// Serves HTTP until `stop`, then finishes the requests under way, at most `limits.grace`.
pub async fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>, app: App, limits: Limits, stop: CancellationToken) {
    listen(listener, tls, limits, stop, move |connection| one(app.clone(), connection)).await;
}

async fn one(app: App, connection: Connection) {
    let Connection { stream, address, alpn, stop, limits, certificate } = connection;
    let peer = Peer { address, secure: stream.is_secure(), certificate: certificate.map(Arc::from) };
    let _open = app.meter().connected();
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_headers(limits.headers)
        .max_buf_size(limits.head_bytes.max(8192));
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(H2_PING)
        .keep_alive_timeout(H2_PING);
    // What ALPN agreed on holds; without it the first bytes tell.
    let http = match alpn.as_deref() {
        Some(b"h2") => http.http2_only(),
        Some(_) => http.http1_only(),
        None => http,
    };
    let stopping = stop.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (app, peer, stopping) = (app.clone(), peer.clone(), stopping.clone());
        async move { Ok::<_, std::convert::Infallible>(app.respond(request.map(axum::body::Body::new), Some(peer), stopping).await) }
    });
    let served = http.serve_connection_with_upgrades(TokioIo::new(FirstBytes::new(stream, limits)), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.grace, served).await {
                Ok(ended) => ended,
                Err(_) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "connection ended");
    }
}

/// hyper's own deadline begins once it knows the protocol; this one covers the bytes it needs to tell.
struct FirstBytes {
    stream: Stream,
    seen: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// The length of HTTP/2's preface (RFC 9113 3.4).
const PREFACE: usize = 24;

impl FirstBytes {
    fn new(stream: Stream, limits: Limits) -> Self {
        Self { stream, seen: 0, deadline: Some(Box::pin(tokio::time::sleep(limits.head))) }
    }
}

impl AsyncRead for FirstBytes {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buf) {
            if self.deadline.is_some() {
                self.seen += buf.filled().len() - before;
                if self.seen >= PREFACE {
                    self.deadline = None;
                }
            }
            return Poll::Ready(read);
        }
        if let Some(deadline) = &mut self.deadline {
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request arrived")));
        }
        Poll::Pending
    }
}

impl AsyncWrite for FirstBytes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.deadline = None;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.deadline = None;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
