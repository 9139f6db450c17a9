//! A small MQTT client (3.1.1 and 5, plain TCP), written for tests and for load: it shares no code with the broker,
//! sends what it is told and shows what comes back.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// How to connect.
#[derive(Clone, Debug)]
pub struct Options {
    /// 4 is MQTT 3.1.1, 5 is MQTT 5.
    pub level: u8,
    /// The client id.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Clean session, clean start.
    pub clean: bool,
    /// Seconds; 0 is off.
    pub keep_alive: u16,
    /// MQTT 5: seconds a session outlives its connection.
    pub session_expiry: u32,
}

impl Options {
    /// MQTT 3.1.1, clean, no credentials.
    #[must_use]
    pub fn new(client_id: &str) -> Self {
        Self { level: 4, client_id: client_id.to_owned(), username: None, password: None, clean: true, keep_alive: 60, session_expiry: 0 }
    }

    /// With a user name and a password.
    #[must_use]
    pub fn login(mut self, username: &str, password: &str) -> Self {
        self.username = Some(username.to_owned());
        self.password = Some(password.to_owned());
        self
    }

    /// With another protocol level.
    #[must_use]
    pub fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// With a session that is kept.
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.clean = false;
        self.session_expiry = 3_600;
        self
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The answer to CONNECT: is the session there, and the reason (0 is yes).
    Connack(bool, u8),
    /// A message.
    Publish {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Bytes,
        /// Quality of service.
        qos: u8,
        /// Sent before?
        dup: bool,
        /// Was it kept for new subscribers?
        retain: bool,
        /// To acknowledge it by; 0 at QoS 0.
        id: u16,
    },
    /// A QoS 1 publish is taken: id and reason.
    Puback(u16, u8),
    /// A QoS 2 publish is taken: id and reason.
    Pubrec(u16, u8),
    /// Second half of a QoS 2 delivery.
    Pubrel(u16),
    /// A QoS 2 publish is over.
    Pubcomp(u16),
    /// Reasons, one a filter.
    Suback(u16, Vec<u8>),
    /// Unsubscribed.
    Unsuback(u16),
    /// The answer to PINGREQ.
    Pingresp,
    /// MQTT 5: the server ends it, and why.
    Disconnect(u8),
}

/// The reading half.
#[derive(Debug)]
pub struct Reader {
    stream: OwnedReadHalf,
    buffer: BytesMut,
    level: u8,
}

/// The writing half.
#[derive(Debug)]
pub struct Writer {
    stream: OwnedWriteHalf,
    level: u8,
    next: u16,
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    /// What comes.
    pub reader: Reader,
    /// What goes.
    pub writer: Writer,
    /// Did the server have a session?
    pub present: bool,
}

/// How long a single step may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn text(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    out.extend_from_slice(value);
}

fn frame(first: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    let mut length = body.len();
    loop {
        let digit = u8::try_from(length % 128).unwrap();
        length /= 128;
        out.push(if length > 0 { digit | 0x80 } else { digit });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
}

/// Appends a PUBLISH; `id` counts only above QoS 0.
pub fn encode_publish(out: &mut Vec<u8>, level: u8, topic: &str, payload: &[u8], qos: u8, retain: bool, id: u16) {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 8);
    text(&mut body, topic.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&id.to_be_bytes());
    }
    if level == 5 {
        body.push(0);
    }
    body.extend_from_slice(payload);
    frame(0x30 | qos << 1 | u8::from(retain), &body, out);
}

impl Client {
    /// Connects; fails the test when refused.
    pub async fn connect(address: &str, options: &Options) -> Client {
        match Self::try_connect(address, options).await.unwrap_or_else(|e| panic!("connect to {address}: {e}")) {
            Ok(client) => client,
            Err(reason) => panic!("CONNECT refused with {reason:#x}"),
        }
    }

    /// Connects; the inner error is the reason of a refusal.
    pub async fn try_connect(address: &str, options: &Options) -> io::Result<Result<Client, u8>> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let mut reader = Reader { stream: read, buffer: BytesMut::with_capacity(64 * 1024), level: options.level };
        let mut writer = Writer { stream: write, level: options.level, next: 0 };
        let mut body = Vec::new();
        text(&mut body, b"MQTT");
        let user = options.username.is_some();
        let password = options.password.is_some();
        body.extend_from_slice(&[options.level, u8::from(user) << 7 | u8::from(password) << 6 | u8::from(options.clean) << 1]);
        body.extend_from_slice(&options.keep_alive.to_be_bytes());
        if options.level == 5 {
            body.extend_from_slice(&[5, 0x11]);
            body.extend_from_slice(&options.session_expiry.to_be_bytes());
        }
        text(&mut body, options.client_id.as_bytes());
        for value in [&options.username, &options.password].into_iter().flatten() {
            text(&mut body, value.as_bytes());
        }
        writer.write(0x10, &body).await?;
        match reader.next().await? {
            Some(Packet::Connack(present, 0)) => Ok(Ok(Client { reader, writer, present })),
            Some(Packet::Connack(_, reason)) => Ok(Err(reason)),
            other => Err(io::Error::other(format!("instead of CONNACK: {other:?}"))),
        }
    }

    /// Subscribes and returns the reason (granted QoS, or 0x80 and above).
    pub async fn subscribe(&mut self, filter: &str, qos: u8) -> u8 {
        self.writer.subscribe(filter, qos).await.unwrap();
        match self.reader.expect().await {
            Packet::Suback(_, reasons) => reasons[0],
            other => panic!("instead of SUBACK: {other:?}"),
        }
    }

    /// Publishes, waits for every acknowledgement of it, returns the reason (0 is taken; 0x10 is taken, nobody subscribes).
    pub async fn publish(&mut self, topic: &str, payload: &[u8], qos: u8) -> u8 {
        let id = self.writer.publish(topic, payload, qos, false).await.unwrap();
        if qos == 0 {
            return 0;
        }
        loop {
            match self.reader.expect().await {
                Packet::Puback(got, reason) if got == id => return reason,
                Packet::Pubrec(got, reason) if got == id && reason >= 0x80 => return reason,
                Packet::Pubrec(got, _) if got == id => self.writer.write(0x62, &id.to_be_bytes()).await.unwrap(),
                Packet::Pubcomp(got) if got == id => return 0,
                Packet::Publish { .. } => {}
                other => panic!("instead of an acknowledgement: {other:?}"),
            }
        }
    }

    /// The next message, acknowledged; other packets are passed over.
    pub async fn receive(&mut self) -> (String, Bytes) {
        loop {
            if let Packet::Publish { topic, payload, qos, id, .. } = self.reader.expect().await {
                if qos == 1 {
                    self.writer.puback(id).await.unwrap();
                }
                return (topic, payload);
            }
        }
    }

    /// Nothing comes for this long.
    pub async fn quiet(&mut self, how_long: Duration) {
        if let Ok(packet) = tokio::time::timeout(how_long, self.reader.next()).await {
            panic!("unexpected {packet:?}");
        }
    }

    /// The server ends the connection within `seconds`; the reason, when it gives one.
    pub async fn ended(&mut self, seconds: u64) -> Option<u8> {
        let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
        let mut reason = None;
        loop {
            match tokio::time::timeout_at(end, self.reader.next()).await {
                Err(_) => panic!("the connection is still open after {seconds} s"),
                Ok(Ok(Some(Packet::Disconnect(why)))) => reason = Some(why),
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None) | Err(_)) => return reason,
            }
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        let _ = self.writer.write(0xe0, &[]).await;
        let _ = self.writer.stream.shutdown().await;
    }
}

impl Writer {
    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    async fn write(&mut self, first: u8, body: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(body.len() + 5);
        frame(first, body, &mut out);
        self.stream.write_all(&out).await
    }

    fn id(&mut self) -> u16 {
        self.next = self.next.checked_add(1).unwrap_or(1);
        self.next
    }

    /// Sends SUBSCRIBE.
    pub async fn subscribe(&mut self, filter: &str, qos: u8) -> io::Result<u16> {
        let id = self.id();
        let mut body = id.to_be_bytes().to_vec();
        if self.level == 5 {
            body.push(0);
        }
        text(&mut body, filter.as_bytes());
        body.push(qos);
        self.write(0x82, &body).await?;
        Ok(id)
    }

    /// Sends PUBLISH and returns its id, without waiting.
    pub async fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) -> io::Result<u16> {
        let id = if qos > 0 { self.id() } else { 0 };
        let mut out = Vec::new();
        encode_publish(&mut out, self.level, topic, payload, qos, retain, id);
        self.stream.write_all(&out).await?;
        Ok(id)
    }

    /// Sends PUBACK.
    pub async fn puback(&mut self, id: u16) -> io::Result<()> {
        self.write(0x40, &id.to_be_bytes()).await
    }

    /// Sends PINGREQ.
    pub async fn ping(&mut self) -> io::Result<()> {
        self.write(0xc0, &[]).await
    }
}

impl Reader {
    /// The next packet; fails the test at the connection's end or after too long.
    pub async fn expect(&mut self) -> Packet {
        let next = tokio::time::timeout(PATIENCE, self.next()).await.expect("nothing came");
        next.expect("the connection broke").expect("the server closed the connection")
    }

    /// The next packet, `None` at the end.
    pub async fn next(&mut self) -> io::Result<Option<Packet>> {
        loop {
            if let Some(packet) = self.take()? {
                return Ok(Some(packet));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// A packet that is already here.
    pub fn take(&mut self) -> io::Result<Option<Packet>> {
        let (mut length, mut shift, mut header) = (0_usize, 0, 1);
        loop {
            let Some(byte) = self.buffer.get(header) else { return Ok(None) };
            length |= usize::from(byte & 0x7f) << shift;
            header += 1;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if header > 4 {
                return Err(io::Error::other("remaining length of five bytes"));
            }
        }
        if self.buffer.len() < header + length {
            return Ok(None);
        }
        let first = self.buffer[0];
        self.buffer.advance(header);
        let mut body = self.buffer.split_to(length).freeze();
        let v5 = self.level == 5;
        // In MQTT 5 a missing reason means success.
        let reason = |body: &mut Bytes| if v5 && body.has_remaining() { body.get_u8() } else { 0 };
        let packet = match first >> 4 {
            2 => Packet::Connack(body.get_u8() & 1 == 1, body.get_u8()),
            3 => {
                let qos = first >> 1 & 3;
                let size = usize::from(body.get_u16());
                let topic = String::from_utf8(body.split_to(size).to_vec()).map_err(io::Error::other)?;
                let id = if qos > 0 { body.get_u16() } else { 0 };
                if v5 {
                    skip_properties(&mut body);
                }
                Packet::Publish { topic, payload: body, qos, dup: first & 8 != 0, retain: first & 1 != 0, id }
            }
            4 => Packet::Puback(body.get_u16(), reason(&mut body)),
            5 => Packet::Pubrec(body.get_u16(), reason(&mut body)),
            6 => Packet::Pubrel(body.get_u16()),
            7 => Packet::Pubcomp(body.get_u16()),
            9 => {
                let id = body.get_u16();
                if v5 {
                    skip_properties(&mut body);
                }
                Packet::Suback(id, body.to_vec())
            }
            11 => Packet::Unsuback(body.get_u16()),
            13 => Packet::Pingresp,
            14 => Packet::Disconnect(reason(&mut body)),
            other => return Err(io::Error::other(format!("packet type {other}"))),
        };
        Ok(Some(packet))
    }
}

fn skip_properties(body: &mut Bytes) {
    let (mut length, mut shift) = (0_usize, 0);
    while body.has_remaining() {
        let byte = body.get_u8();
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    body.advance(length.min(body.len()));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Client, Options};

    /// The client against somebody else's broker, so that a test of ours never rests on the client's own mistakes.
    #[tokio::test]
    async fn mosquitto_understands_the_client() {
        let port = crate::free_port();
        let broker = tokio::process::Command::new("mosquitto").args(["-p", &port.to_string()]).kill_on_drop(true).spawn();
        let Ok(_broker) = broker else {
            assert!(crate::environment("HELIOGRAPH_TEST_POSTGRES_URL").is_none(), "./test installs mosquitto");
            return;
        };
        let address = format!("127.0.0.1:{port}");
        crate::eventually("mosquitto listens", 10, async || tokio::net::TcpStream::connect(&address).await.is_ok()).await;
        for level in [4, 5] {
            let mut client = Client::connect(&address, &Options::new("one").level(level).keep()).await;
            assert!(!client.present);
            assert_eq!(client.subscribe("a/+", 1).await, 1);
            for qos in [0, 1] {
                client.writer.publish("a/b", b"hello", qos, false).await.unwrap();
                let (topic, payload) = client.receive().await;
                assert_eq!((topic.as_str(), &payload[..]), ("a/b", &b"hello"[..]));
            }
            client.close().await;
            let mut other = Client::connect(&address, &Options::new("other").level(level)).await;
            assert_eq!(other.publish("a/c", b"away", 2).await, 0);
            let mut client = Client::connect(&address, &Options::new("one").level(level).keep()).await;
            assert!(client.present);
            assert_eq!(&client.receive().await.1[..], b"away");
            client.quiet(Duration::from_millis(100)).await;
            client.close().await;
            Client::connect(&address, &Options::new("one").level(level)).await.close().await;
        }
    }
}
