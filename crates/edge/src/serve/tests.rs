//! A listener under test: real sockets, raw bytes where a client misbehaves.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use http::HeaderMap;
use model::{Clock, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{App, Limits, Meter, Origin, Payload, Stopping, VirtualHosts, serve};

struct Served {
    at: SocketAddr,
    stop: CancellationToken,
    meter: Meter,
    task: JoinHandle<()>,
}

fn limits() -> Limits {
    Limits { head: Duration::from_millis(300), grace: Duration::from_millis(500), ..Limits::default() }
}

fn router() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route(
            "/slow",
            get(async || {
                sleep(Duration::from_millis(200)).await;
                "slow"
            }),
        )
        .route(
            "/forever",
            get(async |axum::Extension(Stopping(stop)): axum::Extension<Stopping>| {
                stop.cancelled().await;
                "stopped"
            }),
        )
        .route("/stuck", get(async || sleep(Duration::from_secs(3600)).await))
        .route("/panic", get(async || -> &'static str { panic!("a defect") }))
        .route("/origin", get(async |origin: Origin| format!("{:?} {} {}", origin.address, origin.request, origin.secure)))
        .route(
            "/body",
            post(async |payload: Payload| match payload.0 {
                Ok(bytes) => format!("{} bytes", bytes.len()),
                Err(error) => error.to_string(),
            }),
        )
}

async fn start_with(limits: Limits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, stop, meter) = (listener.local_addr().unwrap(), CancellationToken::new(), Meter::default());
    let other = Router::new().fallback(async || "the other host");
    let hosts = VirtualHosts::new(router()).host("other.example", other);
    let app = App::new(hosts, Clock::manual(Timestamp::UNIX_EPOCH), Vec::new(), meter.clone());
    let task = tokio::spawn(serve(listener, None, app, limits, stop.clone()));
    Served { at, stop, meter, task }
}

async fn start() -> Served {
    start_with(limits()).await
}

/// Sends the bytes and reads until the other side closes.
async fn exchange(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("closed").unwrap();
    String::from_utf8(answer).unwrap()
}

fn ask(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn an_answer_carries_the_request_id_and_the_security_headers() {
    let served = start().await;
    let answer = exchange(served.at, &ask("/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
    for header in ["x-content-type-options: nosniff", "x-frame-options: DENY", "cache-control: no-store", "x-request-id: 0"] {
        assert!(answer.contains(header), "{header} in {answer}");
    }
    let id = "01900000-0000-7000-8000-000000000001";
    let answer = exchange(served.at, &ask("/origin", &format!("X-Request-Id: {id}\r\nX-Forwarded-For: 192.0.2.1\r\n"))).await;
    assert!(answer.contains(&format!("x-request-id: {id}")), "{answer}");
    assert!(answer.ends_with(&format!("Some(127.0.0.1) {id} false")), "a forwarded address is not believed: {answer}");
    let forged = exchange(served.at, &ask("/", "X-Request-Id: ab cd\r\n")).await;
    assert!(!forged.contains("ab cd"), "{forged}");
    assert_eq!(served.meter.answers(), [(200, 3)]);
    assert_eq!(served.meter.accepted(), 3);
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_listener_lives_on() {
    let served = start().await;
    let answer = exchange(served.at, &ask("/panic", "")).await;
    assert!(answer.starts_with("HTTP/1.1 500") && !answer.contains("a defect"), "{answer}");
    assert!(exchange(served.at, &ask("/", "")).await.ends_with("hello"));
}

#[tokio::test]
async fn a_host_of_its_own_has_its_own_router() {
    let served = start().await;
    let answer = exchange(served.at, "GET / HTTP/1.1\r\nHost: Other.Example:8080\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("the other host"), "{answer}");
}

#[tokio::test]
async fn clients_that_trickle_are_let_go() {
    let served = start().await;
    for beginning in ["", "P", "PRI * HTTP", "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n", "GET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaa\r\n"] {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(served.at).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // An error (reset) is as good an end as a closed stream.
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.expect("closed in time");
        assert!(begun.elapsed() < Duration::from_secs(2), "{beginning:?}");
    }
    // One byte now and then does not help either.
    let mut stream = TcpStream::connect(served.at).await.unwrap();
    let begun = Instant::now();
    let sent = async {
        for byte in "GET / HTTP/1.1\r\nHost: trickle\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".bytes() {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    };
    timeout(Duration::from_secs(8), sent).await.expect("closed in time");
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(served.meter.answers().iter().filter(|(status, _)| *status == 200).count(), 0);
}

#[tokio::test]
async fn heads_are_limited_in_fields_and_bytes() {
    let served = start().await;
    let many: String = (0..200).map(|i| format!("X-{i}: 1\r\n")).collect();
    assert!(exchange(served.at, &ask("/", &many)).await.starts_with("HTTP/1.1 431"));
    let long = format!("X-Long: {}\r\n", "a".repeat(100_000));
    assert!(exchange(served.at, &ask("/", &long)).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_told_so() {
    let served = start().await;
    let post = |length: usize, body: &str| {
        format!("POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    assert!(exchange(served.at, &post(5, "12345")).await.ends_with("5 bytes"));
    let answer = exchange(served.at, &post(2_000_000, "")).await;
    assert!(answer.ends_with("larger than the limit of 1048576 bytes"), "{answer}");
}

#[tokio::test]
async fn beyond_the_cap_a_connection_waits_its_turn() {
    let served = start_with(Limits { connections: 1, ..limits() }).await;
    let mut first = TcpStream::connect(served.at).await.unwrap();
    first.write_all(ask("/slow", "").as_bytes()).await.unwrap();
    sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    assert!(exchange(served.at, &ask("/", "")).await.ends_with("hello"));
    assert!(begun.elapsed() > Duration::from_millis(100), "it came in beside the first");
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("slow"));
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_ends_endless_ones() {
    let served = start_with(Limits { head: Duration::from_secs(30), ..limits() }).await;
    let slow = tokio::spawn(exchange_owned(served.at, ask("/slow", "")));
    let endless = tokio::spawn(exchange_owned(served.at, ask("/forever", "")));
    let stuck = tokio::spawn(exchange_owned(served.at, ask("/stuck", "")));
    let mut idle = TcpStream::connect(served.at).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    served.stop.cancel();
    served.task.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(slow.await.unwrap().ends_with("slow"));
    assert!(endless.await.unwrap().ends_with("stopped"));
    assert_eq!(stuck.await.unwrap(), "", "what never ends is cut at the deadline");
    let mut rest = String::new();
    idle.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("hello"));
    assert!(TcpStream::connect(served.at).await.is_err(), "nobody listens any more");
    sleep(Duration::from_millis(50)).await;
    assert_eq!(served.meter.open(), 0);
}

async fn exchange_owned(at: SocketAddr, request: String) -> String {
    exchange(at, &request).await
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_too() {
    let served = start().await;
    let stream = TcpStream::connect(served.at).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder().uri("http://other.example/").body(axum::body::Body::empty()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 100).await.unwrap();
    assert_eq!(body, "the other host", "the URI names the host");
}

#[tokio::test]
async fn an_app_without_a_socket_answers_too() {
    let app = App::new(VirtualHosts::new(router()), Clock::system(), Vec::new(), Meter::default());
    let request = http::Request::builder().uri("/origin").body(axum::body::Body::empty()).unwrap();
    let response = app.respond(request, None, CancellationToken::new()).await;
    let headers: &HeaderMap = response.headers();
    assert!(headers.contains_key("x-request-id"));
}

mod web_socket {
    use axum::extract::Request;
    use axum::response::{IntoResponse as _, Response};
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;
    use crate::WebSocketUpgrade;

    /// Echoes bytes until "bye", whatever frames they come in.
    async fn echo(request: Request) -> Response {
        match WebSocketUpgrade::accept(request, "mqtt", 64 * 1024) {
            Ok((response, upgrade)) => {
                tokio::spawn(async move {
                    let mut stream = upgrade.stream().await.unwrap();
                    let mut buffer = [0; 1000];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        stream.write_all(&buffer[..n]).await.unwrap();
                        stream.flush().await.unwrap();
                        if buffer[..n].ends_with(b"bye") {
                            stream.shutdown().await.unwrap();
                            return;
                        }
                    }
                });
                response
            }
            Err(refusal) => refusal.into_response(),
        }
    }

    async fn serve_echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let app = App::new(VirtualHosts::new(Router::new().route("/mqtt", get(echo))), Clock::system(), Vec::new(), Meter::default());
        tokio::spawn(serve(listener, None, app, limits(), CancellationToken::new()));
        at
    }

    const HEAD: &str = "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    async fn connect(at: SocketAddr) -> WebSocketStream<TcpStream> {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!("{HEAD}{KEY}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, mqtt\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        // RFC 6455 1.3 gives this very answer to this very key.
        assert!(
            head.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") && head.contains("sec-websocket-protocol: mqtt"),
            "{head}"
        );
        WebSocketStream::from_raw_socket(stream, Role::Client, None).await
    }

    #[tokio::test]
    async fn frames_become_bytes_however_they_are_cut() {
        let at = serve_echo().await;
        let mut socket = connect(at).await;
        let all: Vec<u8> = (0..50_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        for piece in all.chunks(7_001) {
            socket.send(Message::binary(piece.to_vec())).await.unwrap();
        }
        socket.send(Message::binary(Vec::new())).await.unwrap();
        socket.send(Message::Ping("p".into())).await.unwrap();
        socket.send(Message::binary("bye")).await.unwrap();
        let (mut back, mut pongs) = (Vec::new(), 0);
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Binary(bytes) => back.extend_from_slice(&bytes),
                Message::Pong(_) => pongs += 1,
                _ => break,
            }
        }
        assert_eq!(back, [all.as_slice(), b"bye"].concat());
        assert_eq!(pongs, 1);
    }

    #[tokio::test]
    async fn text_and_huge_frames_end_the_connection() {
        let at = serve_echo().await;
        for wrong in [Message::text("hello"), Message::binary(vec![0; 100_000])] {
            let mut socket = connect(at).await;
            // The other side may already be gone while the rest is sent.
            let _ = socket.send(wrong).await;
            let end = timeout(Duration::from_secs(5), socket.next()).await.expect("ended");
            assert!(matches!(end, None | Some(Err(_) | Ok(Message::Close(_)))), "{end:?}");
        }
    }

    #[tokio::test]
    async fn only_a_proper_handshake_is_answered() {
        let at = serve_echo().await;
        for (request, status) in [
            ("GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), "426"),
            (format!("{HEAD}{KEY}Sec-WebSocket-Version: 8\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"), "426"),
            (format!("{HEAD}{KEY}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n"), "400"),
            (format!("{HEAD}{KEY}Sec-WebSocket-Version: 13\r\n\r\n"), "400"),
            (format!("{HEAD}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"), "400"),
        ] {
            let answer = exchange(at, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request} gave {answer}");
        }
    }
}
