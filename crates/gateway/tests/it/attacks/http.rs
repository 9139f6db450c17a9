//! HTTP that is not quite HTTP, byte by byte: two lengths, no end, too much, too slow.

use std::time::{Duration, Instant};

use serde_json::json;
use testkit::fleet::ALICE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::assert_quiet;
use crate::Place;

/// Sends these bytes, reads until the other side closes or is quiet for a while.
async fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The other side may refuse and close before everything is sent.
    let _ = stream.write_all(bytes).await;
    let mut read = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        match tokio::time::timeout(Duration::from_millis(700), stream.read(&mut buffer)).await {
            Ok(Ok(n)) if n > 0 => read.extend_from_slice(&buffer[..n]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// The statuses of the answers, in order.
fn statuses(answers: &str) -> Vec<u16> {
    let status = |at: usize| answers.get(at + 9..at + 12).and_then(|s| s.parse().ok());
    answers.match_indices("HTTP/1.").filter_map(|(at, _)| status(at)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_end() {
    let place = Place::new();
    let gateway = place.start();
    let address = gateway.ready("http");
    let inner = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let post = "POST /heliograph/v1/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    // The hidden request would be answered 200; a request whose end is doubtful is refused and the connection ends.
    for (what, head) in [
        ("two lengths", "Content-Length: 0\r\nContent-Length: 34\r\n\r\n".to_owned()),
        ("two lengths in one", "Content-Length: 0, 34\r\n\r\n".to_owned()),
        ("a signed length", "Content-Length: +0\r\n\r\n".to_owned()),
        ("a length with a fraction", "Content-Length: 0.0\r\n\r\n".to_owned()),
        ("a length in hexadecimal", "Content-Length: 0x0\r\n\r\n".to_owned()),
        ("a negative length", "Content-Length: -1\r\n\r\n".to_owned()),
        ("a length beyond any number", format!("Content-Length: {}\r\n\r\n", "9".repeat(40))),
        ("a space before the colon", "Content-Length : 0\r\n\r\n".to_owned()),
        ("a folded line", "Content-Length:\r\n 0\r\n\r\n".to_owned()),
        ("an unknown coding", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned()),
        ("chunked, then something", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n".to_owned()),
        ("a coding behind a tab", "Transfer-Encoding:\tchunked\u{b}\r\n\r\n0\r\n\r\n".to_owned()),
        ("a chunk size beyond any number", "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n".to_owned()),
        ("a chunk size that is none", "Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n".to_owned()),
        ("a negative chunk", "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n".to_owned()),
        ("a chunk without its end", "Transfer-Encoding: chunked\r\n\r\n2\r\nxxxx\r\n0\r\n\r\n".to_owned()),
        ("a header without a colon", "nonsense\r\n\r\n".to_owned()),
        ("a header without a name", ": x\r\n\r\n".to_owned()),
        ("NUL in a header", "X: a\0b\r\n\r\n".to_owned()),
        ("a lone carriage return", "X: a\rContent-Length: 5\r\n\r\n".to_owned()),
    ] {
        let answers = exchange(address, format!("{post}{head}{inner}").as_bytes()).await;
        let got = statuses(&answers);
        assert!(got.len() <= 1 && got.iter().all(|s| (400..500).contains(s)), "{what}: {got:?}\n{answers}");
    }
    // Length and chunks together: chunks are what counts (RFC 9112 6.3), on both sides of any proxy that keeps the standard; what
    // follows the last chunk is a request of its own, and nothing of it belongs to the first.
    let both = format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let got = statuses(&exchange(address, both.as_bytes()).await);
    assert!(matches!(got[..], [400 | 401]), "{got:?}");
    // Requests lines.
    for line in [
        "GET  /healthz HTTP/1.1",
        "GET /healthz",
        "GET /healthz HTTP/9.9",
        "GET /healthz HTTP/1.1 x",
        "G\0T /healthz HTTP/1.1",
        "GET /health\0z HTTP/1.1",
        "GET /health z HTTP/1.1",
        "get\r /healthz HTTP/1.1",
        "\u{1}\u{2}\u{3}",
    ] {
        let got = statuses(&exchange(address, format!("{line}\r\nHost: x\r\n\r\n").as_bytes()).await);
        assert!(got.is_empty() || (got.len() == 1 && (400..506).contains(&got[0]) && got[0] != 500), "{line:?}: {got:?}");
    }
    for bytes in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd", b"\0\0\0\0"] {
        assert!(!statuses(&exchange(address, bytes).await).contains(&200));
    }
    assert_eq!(gateway.http().get("/healthz").await.status, 200);
    assert_quiet(&gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_much_is_refused_early() {
    let place = Place::new();
    let gateway = place.start();
    let address = gateway.ready("http");
    let long = "a".repeat(40 * 1024);
    let many: String = (0..200).map(|i| format!("X-{i}: a\r\n")).collect();
    for (what, request) in [
        ("a long header", format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n")),
        ("a long name", format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{long}: x\r\n\r\n")),
        ("many headers", format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n")),
        ("a long target", format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("a long token", format!("GET /heliograph/v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {long}\r\n\r\n")),
        ("a long cookie", format!("GET /console/sessions HTTP/1.1\r\nHost: x\r\nCookie: a={long}\r\n\r\n")),
    ] {
        let got = statuses(&exchange(address, request.as_bytes()).await);
        assert!(got.is_empty() || matches!(got[..], [400 | 414 | 431]), "{what}: {got:?}");
    }
    // Announced, or not, or ten times what is allowed: nobody waits for a body that will not be read.
    for path in
        ["/heliograph/v1/token", "/v1/api/auth/token", "/api/Auth/Token", "/graphql", "/oauth2/token", "/console/login", "/prd/v1/register"]
    {
        let began = Instant::now();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10737418240\r\n\r\n{{");
        let got = statuses(&exchange(address, head.as_bytes()).await);
        assert!(matches!(got[..], [400 | 403 | 404 | 413 | 415]), "{path}: {got:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{path}");
        let chunks = "1000\r\n".to_owned() + &"x".repeat(0x1000) + "\r\n";
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
        let got = statuses(&exchange(address, (head + &chunks.repeat(1_000)).as_bytes()).await);
        assert!(got.is_empty() || matches!(got[..], [400 | 403 | 404 | 413 | 415]), "{path}: {got:?}");
    }
    // Nothing here undoes a compression that the client chose: the bytes are what they are.
    let alice = ALICE.native(&gateway.http()).await;
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, gzip"] {
        let zipped =
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\x56\xca\x4e\xad\x54\xb2\x52\x4a\x54\xaa\x05\x00\x0d\x56\x5a\x11\x09\x00\x00\x00"
                .to_vec();
        let headers = [("content-type", "application/json"), ("content-encoding", coding)];
        let answer = alice.send(reqwest::Method::POST, "/heliograph/v1/things", &headers, Some(zipped)).await;
        assert!(matches!(answer.status, 400 | 415), "{answer}");
    }
    assert_eq!(gateway.http().get("/healthz").await.status, 200);
    assert_quiet(&gateway);
}

/// Many who say half a sentence and wait do not keep others from being heard.
#[tokio::test(flavor = "multi_thread")]
async fn the_slow_do_not_stop_the_others() {
    let place = Place::new();
    let gateway = place.start();
    let mut held = Vec::new();
    for start in [
        "",
        "G",
        "POST /heliograph/v1/token HTTP/1.1\r\nHost: x\r\nX",
        "POST /heliograph/v1/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /mqtt HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
    ] {
        for _ in 0..50 {
            let mut stream = TcpStream::connect(gateway.ready("http")).await.unwrap();
            stream.write_all(start.as_bytes()).await.unwrap();
            held.push(stream);
        }
    }
    for _ in 0..50 {
        held.push(TcpStream::connect(gateway.mqtt()).await.unwrap());
        let mut stream = TcpStream::connect(gateway.mqtt()).await.unwrap();
        stream.write_all(b"\x10\xff\xff").await.unwrap();
        held.push(stream);
    }
    let began = Instant::now();
    let alice = ALICE.native(&gateway.http()).await;
    let _ = alice.post("/heliograph/v1/things/dev-1/messages", &json!({ "payload": "x" })).await.expect(201);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(held);
    assert_quiet(&gateway);
}
