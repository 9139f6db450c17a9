//! Accepting connections: a cap, TLS with a deadline, and a stop that lets what is under way finish.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a listener puts up with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; beyond it new ones wait in the system's backlog.
    pub connections: usize,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// HTTP: how long a request's head may take, and how long a connection may idle between requests.
    pub head: Duration,
    /// HTTP: header fields per request.
    pub headers: usize,
    /// HTTP: bytes of a request's head.
    pub head_bytes: usize,
    /// At a stop: how long what is under way may go on.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            headers: 100,
            head_bytes: 32 * 1024,
            grace: Duration::from_secs(10),
        }
    }
}

/// One accepted connection.
#[derive(Debug)]
pub struct Connection {
    /// Its bytes.
    pub stream: Stream,
    /// The other end.
    pub address: SocketAddr,
    /// The client's certificate (DER leaf), its key proved in the handshake; nothing else about it is checked.
    pub certificate: Option<Vec<u8>>,
    /// The protocol agreed on by ALPN, if any.
    pub alpn: Option<Vec<u8>>,
    /// The listener's stop; whoever serves the connection ends soon after it.
    pub stop: CancellationToken,
    /// The listener's limits.
    pub limits: Limits,
}

/// A plain or TLS byte stream.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP; boxed, so that an idle plain connection does not pay for its size.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Over TLS?
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }
}

/// Accepts until `stop`, one task per connection; then waits for the tasks, at most `limits.grace` (they see `stop` too).
pub async fn listen<F, Fut>(listener: TcpListener, tls: Option<Arc<ServerConfig>>, limits: Limits, stop: CancellationToken, handler: F)
where
    F: Fn(Connection) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let acceptor = tls.map(TlsAcceptor::from);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let tasks = TaskTracker::new();
    loop {
        let permit = tokio::select! {
            permit = permits.clone().acquire_owned() => permit,
            () = stop.cancelled() => break,
        };
        let Ok(permit) = permit else { break };
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, or the peer was gone already: neither ends the listener, the first must not spin.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = stop.cancelled() => break,
        };
        let _ = stream.set_nodelay(true);
        let stop = stop.clone();
        let handler = handler.clone();
        if let Some(acceptor) = acceptor.clone() {
            tasks.spawn(async move {
                let connection = handshake(acceptor, stream, address, limits, stop).await;
                if let Some(connection) = connection {
                    Box::pin(handler(connection)).await;
                }
                drop(permit);
            });
        } else {
            let connection = Connection { stream: Stream::Plain(stream), address, certificate: None, alpn: None, stop, limits };
            let served = handler(connection);
            tasks.spawn(async move {
                served.await;
                drop(permit);
            });
        }
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(limits.grace, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "connections outlived the stop's deadline");
    }
}

fn handshake(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
    limits: Limits,
    stop: CancellationToken,
) -> Pin<Box<dyn Future<Output = Option<Connection>> + Send>> {
    // Boxed: the handshake's state is large and gone after a moment, the connection's task stays for days.
    Box::pin(async move {
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(limits.handshake, acceptor.accept(stream)) => shaken,
            () = stop.cancelled() => return None,
        };
        let stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%address, %error, "TLS handshake failed");
                return None;
            }
            Err(_) => {
                tracing::debug!(%address, "TLS handshake took too long");
                return None;
            }
        };
        let session = stream.get_ref().1;
        let certificate = session.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.as_ref().to_vec());
        let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
        Some(Connection { stream: Stream::Tls(Box::new(stream)), address, certificate, alpn, stop, limits })
    })
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
