//! The HTTP kit every dialect stands on: listen, TLS, limits, graceful stop, request id, and the readers of headers and bodies.
//!
//! [`listen`] accepts connections (plain or TLS) under a cap and hands each to a function; [`serve`] is that function for HTTP.
//! An [`App`] is what answers: virtual hosts over axum routers, wrapped once in what every answer needs (request id, security
//! headers, panic to 500, counters). Readers such as [`Payload`] and [`json`] answer in `model::Error`, so that each dialect
//! refuses in its own shape. Nothing here knows a dialect, a user or a thing.

mod app;
mod body;
mod headers;
mod hosts;
mod listen;
mod origin;
mod presented;
mod serve;
mod status;
mod tls;
mod websocket;

pub use app::{App, Meter, Stopping};
pub use body::{BODY_LIMIT, BODY_TIMEOUT, BodyLimit, Payload, form, json, query, read};
pub use headers::{Basic, basic, bearer, cookie, dpop_token, header};
pub use hosts::VirtualHosts;
pub use listen::{Connection, Limits, Stream, listen};
pub use origin::{Origin, Peer, Vouched};
pub use presented::Presented;
pub use serve::serve;
pub use status::status;
pub use tls::{TlsError, TlsReload};
pub use websocket::{TextSink, TextSocket, TextSource, WebSocketBytes, WebSocketUpgrade};
