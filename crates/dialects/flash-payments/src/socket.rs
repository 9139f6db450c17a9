//! Subscriptions over WebSocket: the protocol `graphql-transport-ws`, spoken by async-graphql; the token comes in `connection_init`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_graphql::Data;
use async_graphql::http::{WebSocket, WebSocketProtocols, WsMessage};
use axum::extract::Request;
use axum::response::Response;
use edge::{Origin, TextSocket, WebSocketUpgrade};
use futures_util::{StreamExt as _, stream};
use serde_json::Value;

use crate::Shared;
use crate::caller::Asking;

/// How long a client may take to say who it is.
const INIT: Duration = Duration::from_secs(10);
const MESSAGE_MAX: usize = 256 * 1024;

/// Opens a WebSocket, or says why not.
pub(crate) fn open(shared: Shared, origin: Origin, request: Request) -> Response {
    let token = edge::bearer(request.headers()).map(str::to_owned);
    match WebSocketUpgrade::accept(request, "graphql-transport-ws", MESSAGE_MAX) {
        Ok((response, upgrade)) => {
            tokio::spawn(async move {
                match upgrade.texts().await {
                    Ok(socket) => talk(shared, origin, token, socket).await,
                    Err(error) => tracing::debug!(%error, "a WebSocket did not open"),
                }
            });
            response
        }
        Err(refusal) => *refusal,
    }
}

async fn talk(shared: Shared, origin: Origin, header: Option<String>, socket: TextSocket) {
    let (mut sink, source) = socket.split();
    let asking = move |token: Option<String>| Asking {
        shared: shared.clone(),
        origin: origin.clone(),
        token: token.or_else(|| header.clone()).map(Arc::from),
        retry: Arc::new(AtomicU64::new(0)),
    };
    let schema = asking(None).shared.schema;
    let incoming = stream::unfold(source, |mut source| async { source.next().await.map(|text| (text, source)) });
    let session = WebSocket::new(schema, Box::pin(incoming), WebSocketProtocols::GraphQLWS).keepalive_timeout(None).on_connection_init(
        move |payload| async move {
            let asking = asking(token_of(&payload));
            // A wrong token is told at once; without one, only `login` can be asked for.
            if asking.token.is_some() {
                asking.caller().await.map_err(crate::error::refuse)?;
            }
            let mut data = Data::default();
            data.insert(asking);
            Ok(data)
        },
    );
    let mut session = Box::pin(session);
    let mut first = true;
    loop {
        let next = if first {
            match tokio::time::timeout(INIT, session.next()).await {
                Ok(next) => next,
                Err(_) => return sink.close(4408, "Connection initialisation timeout").await,
            }
        } else {
            session.next().await
        };
        first = false;
        match next {
            Some(WsMessage::Text(text)) => {
                if sink.send(text).await.is_err() {
                    return;
                }
            }
            Some(WsMessage::Close(code, reason)) => return sink.close(code, &reason).await,
            None => return sink.close(1000, "").await,
        }
    }
}

/// The token out of `connection_init`'s payload: `{"authorization": "Bearer …"}`, the key in any case, or `{"token": "…"}`.
fn token_of(payload: &Value) -> Option<String> {
    let members = payload.as_object()?;
    let text = |wanted: &str| members.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).and_then(|(_, value)| value.as_str());
    text("authorization")
        .and_then(|value| value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim()))
        .or_else(|| text("token"))
        .map(str::to_owned)
}
