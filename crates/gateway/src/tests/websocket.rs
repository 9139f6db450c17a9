//! MQTT over WebSocket, frame by frame (MQTT 5 section 6).

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Gateway, SECRET};

async fn open(gateway: &Gateway, protocols: &'static str) -> Result<(WebSocketStream<TcpStream>, Option<String>), Error> {
    let at = gateway.running.ready.http.unwrap();
    let mut request = format!("ws://{at}/mqtt").into_client_request().unwrap();
    if !protocols.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    }
    let (socket, response) = client_async(request, TcpStream::connect(at).await.unwrap()).await?;
    let chosen = response.headers().get("sec-websocket-protocol").map(|value| value.to_str().unwrap().to_owned());
    Ok((socket, chosen))
}

/// CONNECT of MQTT 3.1.1 for `dev-2`.
fn connect() -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04\xC2\0\0".to_vec();
    for text in ["dev-2", "dev-2", SECRET] {
        body.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    let mut packet = vec![0x10, u8::try_from(body.len()).unwrap()];
    packet.extend(body);
    packet
}

/// Bytes of the next binary frames until there are so many.
async fn bytes(socket: &mut WebSocketStream<TcpStream>, many: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < many {
        match tokio::time::timeout(Duration::from_secs(5), socket.next()).await.expect("an answer") {
            Some(Ok(Message::Binary(bytes))) => got.extend_from_slice(&bytes),
            Some(Ok(Message::Pong(_))) => {}
            other => panic!("expected a binary frame, got {other:?}"),
        }
    }
    got
}

#[tokio::test(flavor = "multi_thread")]
async fn web_socket_frames_are_binary_and_cut_anywhere() {
    let gateway = Gateway::start().await;
    // Only who offers the subprotocol is let in, and it is the one chosen, whatever else is offered.
    for offered in ["", "wamp", "mqttv3.1"] {
        assert!(matches!(open(&gateway, offered).await, Err(Error::Http(_))), "{offered:?}");
    }
    let (mut socket, chosen) = open(&gateway, "wamp, mqtt").await.unwrap();
    assert_eq!(chosen.as_deref(), Some("mqtt"));
    // One packet in many frames; a ping of the socket's own between them means nothing.
    for byte in connect() {
        socket.send(Message::binary(vec![byte])).await.unwrap();
    }
    socket.send(Message::Ping(Vec::new().into())).await.unwrap();
    let mut answer = Vec::new();
    while answer.len() < 4 {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => answer.extend_from_slice(&bytes),
            Some(Ok(Message::Pong(_))) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answer, [0x20, 2, 0, 0]);
    // Many packets in one frame, the last one cut.
    socket.send(Message::binary(b"\xC0\0\xC0\0\xC0".to_vec())).await.unwrap();
    assert_eq!(bytes(&mut socket, 4).await, [0xD0, 0, 0xD0, 0]);
    socket.send(Message::binary(vec![0])).await.unwrap();
    assert_eq!(bytes(&mut socket, 2).await, [0xD0, 0]);
    // A text frame ends it.
    socket.send(Message::text("\u{0}")).await.unwrap();
    match tokio::time::timeout(Duration::from_secs(5), socket.next()).await.expect("the end") {
        None | Some(Err(_) | Ok(Message::Close(_))) => {}
        Some(Ok(other)) => panic!("{other:?}"),
    }
}
