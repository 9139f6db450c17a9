//! A tiny client that says and hears exactly what a test wants.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use smallvec::smallvec;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::House;
use crate::codec::*;
use crate::testing::OpenHost;
use crate::{Broker, Reason, StreamMeta};

pub struct Client {
    pub stream: DuplexStream,
    buffer: BytesMut,
    pub level: Level,
    next_pid: u16,
}

/// What a CONNECT says.
#[derive(Clone)]
pub struct Hello {
    pub level: Level,
    pub id: &'static str,
    pub clean: bool,
    pub keep_alive: u16,
    pub username: Option<&'static str>,
    pub will: Option<(&'static str, &'static str, u8, bool)>,
    pub will_properties: PropertyWriter,
    pub properties: PropertyWriter,
}

pub fn hello(level: Level, id: &'static str) -> Hello {
    Hello {
        level,
        id,
        clean: true,
        keep_alive: 0,
        username: None,
        will: None,
        will_properties: PropertyWriter::new(),
        properties: PropertyWriter::new(),
    }
}

impl Hello {
    /// A session that stays.
    pub fn lasting(mut self) -> Self {
        self.clean = false;
        self.with(id::SESSION_EXPIRY, Value::U32(3_600))
    }
    pub fn clean(mut self, clean: bool) -> Self {
        self.clean = clean;
        self
    }
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }
    pub fn user(mut self, name: &'static str) -> Self {
        self.username = Some(name);
        self
    }
    /// A property; ignored on 3.1.1.
    pub fn with(mut self, id: u8, value: Value<'_>) -> Self {
        self.properties.put(id, value);
        self
    }
    pub fn will(mut self, topic: &'static str, payload: &'static str, qos: u8, retain: bool) -> Self {
        self.will = Some((topic, payload, qos, retain));
        self
    }
    pub fn will_with(mut self, id: u8, value: Value<'_>) -> Self {
        self.will_properties.put(id, value);
        self
    }
    pub fn bytes(&self) -> BytesMut {
        let v5 = self.level.is_v5();
        let mut out = BytesMut::new();
        let connect = Connect {
            level: self.level,
            clean_start: self.clean,
            keep_alive: self.keep_alive,
            client_id: self.id,
            will: self.will.map(|(topic, payload, qos, retain)| Will {
                topic,
                payload: payload.as_bytes(),
                qos,
                retain,
                properties: if v5 { self.will_properties.properties() } else { Properties::NONE },
            }),
            username: self.username,
            password: None,
            properties: if v5 { self.properties.properties() } else { Properties::NONE },
        };
        encode(&Packet::Connect(Box::new(connect)), self.level, &mut out);
        out
    }
    /// Connects and answers what CONNACK says.
    pub async fn try_join(self, house: &House) -> (Client, ConnAck<'static>) {
        let mut client = Client::open(&house.broker, self.level);
        client.bytes(&self.bytes()).await;
        match client.recv().await {
            Packet::ConnAck(ack) => (client, ack),
            other => panic!("no CONNACK: {other:?}"),
        }
    }
    pub async fn join(self, house: &House) -> Client {
        let (client, ack) = self.try_join(house).await;
        assert_eq!(ack.code, 0, "refused");
        client
    }
    /// Connects and expects the session to be there (or not).
    pub async fn rejoin(self, house: &House, present: bool) -> Client {
        let (client, ack) = self.try_join(house).await;
        assert_eq!((ack.code, ack.session_present), (0, present));
        client
    }
}

pub async fn join(house: &House, level: Level, id: &'static str) -> Client {
    hello(level, id).join(house).await
}

impl Client {
    /// A stream to the broker, nothing said yet.
    pub fn open(broker: &Arc<Broker<OpenHost>>, level: Level) -> Self {
        Self::open_sized(broker, level, 1 << 20)
    }

    pub fn open_sized(broker: &Arc<Broker<OpenHost>>, level: Level, size: usize) -> Self {
        let (near, far) = duplex(size);
        let broker = Arc::clone(broker);
        tokio::spawn(async move { broker.serve(far, StreamMeta::default()).await });
        Self { stream: near, buffer: BytesMut::new(), level, next_pid: 0 }
    }

    pub async fn bytes(&mut self, bytes: &[u8]) {
        // The other side may have closed already; what a test expects then shows when it reads.
        let _ = self.stream.write_all(bytes).await;
    }

    pub async fn send(&mut self, packet: Packet<'_>) {
        let mut out = BytesMut::new();
        encode(&packet, self.level, &mut out);
        self.bytes(&out).await;
    }

    /// The next packet; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Packet<'static>> {
        loop {
            if let Some(f) = frame(&self.buffer, Some(self.level), usize::MAX).expect("good frames")
                && self.buffer.len() >= f.total
            {
                // Leaked: a test is short, and packets are then easy to hand around.
                let bytes: &'static [u8] = Vec::leak(self.buffer[..f.total].to_vec());
                self.buffer.advance(f.total);
                return Some(decode(f.first, &bytes[f.header..], self.level).expect("good packets"));
            }
            match timeout(Duration::from_secs(10), self.stream.read_buf(&mut self.buffer)).await.expect("the broker says nothing") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub async fn recv(&mut self) -> Packet<'static> {
        self.next().await.expect("the stream ended")
    }

    /// Nothing comes for a while.
    pub async fn silent(&mut self) {
        if let Ok(packet) = timeout(Duration::from_millis(150), self.next()).await {
            panic!("unexpected: {packet:?}");
        }
    }

    /// The broker closes; on MQTT 5 it says why.
    pub async fn closed(&mut self, reason: Reason) {
        match self.next().await {
            Some(Packet::Disconnect(packet)) if self.level.is_v5() => {
                assert_eq!(packet.reason, reason);
                assert!(self.next().await.is_none(), "something after DISCONNECT");
            }
            None if !self.level.is_v5() => {}
            other => panic!("expected the end ({reason}), got {other:?}"),
        }
    }

    pub fn pid(&mut self) -> u16 {
        self.next_pid += 1;
        self.next_pid
    }

    pub async fn subscribe_with(&mut self, filter: &str, options: u8, properties: PropertyWriter) -> Reason {
        let pid = self.pid();
        let properties = if self.level.is_v5() { properties } else { PropertyWriter::new() };
        let filters = smallvec![(filter, SubscribeOptions(options))];
        self.send(Packet::Subscribe(Subscribe { pid, properties: properties.properties(), filters })).await;
        match self.recv().await {
            Packet::SubAck(ack) if ack.pid == pid => {
                assert_eq!(ack.codes.len(), 1);
                Reason::from_code(ack.codes[0]).unwrap()
            }
            other => panic!("no SUBACK: {other:?}"),
        }
    }

    pub async fn subscribe(&mut self, filter: &str, options: u8) -> Reason {
        self.subscribe_with(filter, options, PropertyWriter::new()).await
    }

    pub async fn publish_only(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool, pid: u16, properties: &PropertyWriter) {
        let properties = if self.level.is_v5() { properties.properties() } else { Properties::NONE };
        self.send(Packet::Publish(Publish { dup: false, qos, retain, topic, pid, properties, payload })).await;
    }

    /// Publishes and goes through the whole acknowledgement.
    pub async fn publish_with(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool, properties: PropertyWriter) -> Reason {
        let pid = if qos > 0 { self.pid() } else { 0 };
        self.publish_only(topic, payload, qos, retain, pid, &properties).await;
        match qos {
            0 => {
                // Once PINGRESP is here the publish was handled.
                self.send(Packet::PingReq).await;
                assert_eq!(self.recv().await, Packet::PingResp);
                Reason::Success
            }
            1 => self.acked(AckKind::PubAck, pid).await,
            _ => {
                let reason = self.acked(AckKind::PubRec, pid).await;
                if !reason.is_error() {
                    self.ack(AckKind::PubRel, pid).await;
                    assert_eq!(self.acked(AckKind::PubComp, pid).await, Reason::Success);
                }
                reason
            }
        }
    }

    pub async fn publish(&mut self, topic: &str, payload: &str, qos: u8) -> Reason {
        self.publish_with(topic, payload.as_bytes(), qos, false, PropertyWriter::new()).await
    }

    pub async fn retain(&mut self, topic: &str, payload: &str, qos: u8) -> Reason {
        self.publish_with(topic, payload.as_bytes(), qos, true, PropertyWriter::new()).await
    }

    /// Expects this acknowledgement next.
    pub async fn acked(&mut self, kind: AckKind, pid: u16) -> Reason {
        match self.recv().await {
            Packet::Ack(ack) if ack.kind == kind && ack.pid == pid => ack.reason,
            other => panic!("expected {kind:?} {pid}, got {other:?}"),
        }
    }

    pub async fn ack(&mut self, kind: AckKind, pid: u16) {
        self.send(Packet::Ack(Ack { kind, pid, reason: Reason::Success, properties: Properties::NONE })).await;
    }

    /// The next packet is a PUBLISH; it is not acknowledged.
    pub async fn message(&mut self) -> Publish<'static> {
        match self.recv().await {
            Packet::Publish(publish) => publish,
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }

    /// The next packet is a PUBLISH; it is acknowledged to the end.
    pub async fn take(&mut self) -> Publish<'static> {
        let publish = self.message().await;
        match publish.qos {
            0 => {}
            1 => self.ack(AckKind::PubAck, publish.pid).await,
            _ => {
                self.ack(AckKind::PubRec, publish.pid).await;
                assert_eq!(self.acked(AckKind::PubRel, publish.pid).await, Reason::Success);
                self.ack(AckKind::PubComp, publish.pid).await;
            }
        }
        publish
    }

    /// Takes a message with this payload.
    pub async fn expect(&mut self, payload: &str) -> Publish<'static> {
        let publish = self.take().await;
        assert_eq!(String::from_utf8_lossy(publish.payload), payload);
        publish
    }

    pub async fn ping(&mut self) {
        self.send(Packet::PingReq).await;
        assert_eq!(self.recv().await, Packet::PingResp);
    }

    /// Says goodbye and waits until the broker has let go.
    pub async fn leave(mut self) {
        self.leave_with(Reason::Success, PropertyWriter::new()).await;
    }

    pub async fn leave_with(&mut self, reason: Reason, properties: PropertyWriter) {
        self.send(Packet::Disconnect(Closing { reason, properties: properties.properties() })).await;
        assert!(self.next().await.is_none());
    }

    /// The stream breaks; waits until the broker has noticed.
    pub async fn vanish(mut self) {
        let _ = self.stream.shutdown().await;
        while self.next().await.is_some() {}
    }
}

/// One property.
pub fn property(id: u8, value: Value<'_>) -> PropertyWriter {
    let mut writer = PropertyWriter::new();
    writer.put(id, value);
    writer
}
