//! MQTT over WebSocket (MQTT 5 section 6): the upgrade, and binary frames as a plain byte stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use crate::headers::header as header_text;

const BUFFER: usize = 4 * 1024;

/// A WebSocket about to open: answer with `response`, then wait for the stream.
#[derive(Debug)]
pub struct WebSocketUpgrade {
    on: OnUpgrade,
    max_message: usize,
}

impl WebSocketUpgrade {
    /// Checks the request (RFC 6455 4.2.1) and that the client offers `protocol`; an empty one is none. `Ok`: send the response as it is and await
    /// [`WebSocketUpgrade::stream`] in a task of its own. `Err`: the answer that refuses.
    pub fn accept(mut request: Request, protocol: &'static str, max_message: usize) -> Result<(Response, Self), Box<Response>> {
        let headers = request.headers();
        if !names(headers, "connection", "upgrade") || !names(headers, "upgrade", "websocket") {
            let mut refusal = refuse(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket");
            refusal.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            return Err(Box::new(refusal));
        }
        if header_text(headers, "sec-websocket-version") != Some("13") {
            let mut refusal = refuse(StatusCode::UPGRADE_REQUIRED, "WebSocket version 13 is spoken here");
            refusal.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            return Err(Box::new(refusal));
        }
        if !protocol.is_empty() && !names(headers, "sec-websocket-protocol", protocol) {
            return Err(Box::new(refuse(StatusCode::BAD_REQUEST, "offer the WebSocket subprotocol of this address")));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
        let key = key.and_then(|key| HeaderValue::from_str(&key).ok());
        let (Some(key), Some(on)) = (key, request.extensions_mut().remove::<OnUpgrade>()) else {
            return Err(Box::new(refuse(StatusCode::BAD_REQUEST, "not a WebSocket handshake")));
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let answer = response.headers_mut();
        answer.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        answer.insert(header::SEC_WEBSOCKET_ACCEPT, key);
        if !protocol.is_empty() {
            answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        Ok((response, Self { on, max_message }))
    }

    /// The bytes, once the answer has gone out.
    pub async fn stream(self) -> io::Result<WebSocketBytes> {
        Ok(WebSocketBytes { socket: self.socket().await?, unread: Bytes::new() })
    }

    /// The text frames, once the answer has gone out.
    pub async fn texts(self) -> io::Result<TextSocket> {
        Ok(TextSocket(self.socket().await?))
    }

    async fn socket(self) -> io::Result<WebSocketStream<TokioIo<Upgraded>>> {
        let upgraded = self.on.await.map_err(io::Error::other)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(self.max_message.saturating_mul(4).max(64 * 1024))
            .max_message_size(Some(self.max_message))
            .max_frame_size(Some(self.max_message));
        Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await)
    }
}

/// Does a comma-separated header name the word, in any case?
fn names(headers: &HeaderMap, name: &str, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}

fn refuse(status: StatusCode, why: &'static str) -> Response {
    let mut response = Response::new(Body::from(why));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A WebSocket's binary frames as one stream of bytes; where a frame ends means nothing (MQTT 5 section 6). A text frame is an error.
#[derive(Debug)]
pub struct WebSocketBytes {
    socket: WebSocketStream<TokioIo<Upgraded>>,
    unread: Bytes,
}

fn broken(error: tokio_tungstenite::tungstenite::Error) -> io::Error {
    match error {
        tokio_tungstenite::tungstenite::Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

impl AsyncRead for WebSocketBytes {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a text frame"))),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let n = self.unread.len().min(buf.remaining());
        let taken = self.unread.split_to(n);
        buf.put_slice(taken.chunk());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocketBytes {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(broken)?;
        Pin::new(&mut self.socket).start_send(Message::Binary(Bytes::copy_from_slice(buf))).map_err(broken)?;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(broken)
    }
}

/// A WebSocket of text frames.
#[derive(Debug)]
pub struct TextSocket(WebSocketStream<TokioIo<Upgraded>>);

/// The half that is read.
#[derive(Debug)]
pub struct TextSource(futures_util::stream::SplitStream<WebSocketStream<TokioIo<Upgraded>>>);

/// The half that is written.
#[derive(Debug)]
pub struct TextSink(futures_util::stream::SplitSink<WebSocketStream<TokioIo<Upgraded>>, Message>);

impl TextSocket {
    /// Its two halves.
    #[must_use]
    pub fn split(self) -> (TextSink, TextSource) {
        let (sink, source) = futures_util::StreamExt::split(self.0);
        (TextSink(sink), TextSource(source))
    }
}

impl TextSource {
    /// The next text; `None` once the other end has closed, broken off, or sent something else.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            match futures_util::StreamExt::next(&mut self.0).await? {
                Ok(Message::Text(text)) => return Some(text.as_str().to_owned()),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Binary(_) | Message::Close(_)) | Err(_) => return None,
            }
        }
    }
}

impl TextSink {
    /// Sends a text.
    pub async fn send(&mut self, text: String) -> io::Result<()> {
        futures_util::SinkExt::send(&mut self.0, Message::text(text)).await.map_err(broken)
    }

    /// Closes with a code (RFC 6455 7.4) and a reason; the other end may be gone already.
    pub async fn close(mut self, code: u16, reason: &str) {
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        let _ = futures_util::SinkExt::send(&mut self.0, Message::Close(Some(frame))).await;
        let _ = futures_util::SinkExt::close(&mut self.0).await;
    }
}
