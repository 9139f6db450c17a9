//! MQTT packets as bytes, both protocol levels, both directions.
//!
//! [`frame`] finds one packet in a buffer, [`decode`] reads it as borrowed slices of that buffer and checks every rule that can be
//! checked without knowing the session; [`encode`] writes it back. Properties stay in their wire form ([`Properties`]), so that a
//! message's properties are forwarded as they came. References: MQTT 5.0 and MQTT 3.1.1, OASIS; section numbers are those of 5.0.

mod decode;
mod encode;
mod property;
mod reader;
mod topic;

#[cfg(test)]
mod tests;

pub use decode::{decode, frame};
pub use encode::{encode, publish_head};
pub(crate) use encode::{put_varint, varint_len};
pub use property::{Properties, Property, PropertyWriter, Scope, Value, id};
pub use topic::{Filter, check_filter, check_topic};

use smallvec::SmallVec;

use crate::Reason;

/// Protocol level of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// 3.1 ("MQIsdp", level 3), treated as 3.1.1.
    V3,
    /// 3.1.1 (level 4).
    V4,
    /// 5 (level 5).
    V5,
}

impl Level {
    /// Is it MQTT 5?
    #[must_use]
    pub fn is_v5(self) -> bool {
        self == Self::V5
    }
}

/// Why bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct DecodeError {
    /// What to tell an MQTT 5 client.
    pub reason: Reason,
    /// For the log and the reason string.
    pub detail: &'static str,
}

impl DecodeError {
    pub(crate) fn malformed(detail: &'static str) -> Self {
        Self { reason: Reason::MalformedPacket, detail }
    }
    pub(crate) fn protocol(detail: &'static str) -> Self {
        Self { reason: Reason::ProtocolError, detail }
    }
}

/// One packet's place in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// First byte: type and flags.
    pub first: u8,
    /// Bytes of the fixed header.
    pub header: usize,
    /// Bytes of the whole packet.
    pub total: usize,
}

/// Any packet, borrowed from the buffer it was read in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// 3.1
    Connect(Box<Connect<'a>>),
    /// 3.2
    ConnAck(ConnAck<'a>),
    /// 3.3
    Publish(Publish<'a>),
    /// 3.4 to 3.7
    Ack(Ack<'a>),
    /// 3.8
    Subscribe(Subscribe<'a>),
    /// 3.9
    SubAck(CodesAck<'a>),
    /// 3.10
    Unsubscribe(Unsubscribe<'a>),
    /// 3.11; no codes on 3.1.1
    UnsubAck(CodesAck<'a>),
    /// 3.12
    PingReq,
    /// 3.13
    PingResp,
    /// 3.14
    Disconnect(Closing<'a>),
    /// 3.15, MQTT 5 only
    Auth(Closing<'a>),
}

/// CONNECT (3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Protocol level.
    pub level: Level,
    /// Clean start; clean session on 3.1.1.
    pub clean_start: bool,
    /// Seconds; 0 is none.
    pub keep_alive: u16,
    /// May be empty.
    pub client_id: &'a str,
    /// The will, if any.
    pub will: Option<Will<'a>>,
    /// User name, if any.
    pub username: Option<&'a str>,
    /// Password, if any.
    pub password: Option<&'a [u8]>,
    /// Properties; none on 3.1.1.
    pub properties: Properties<'a>,
}

/// A will (3.1.3.2 to 3.1.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// 0 to 2.
    pub qos: u8,
    /// Retain.
    pub retain: bool,
    /// Will properties; none on 3.1.1.
    pub properties: Properties<'a>,
}

/// CONNACK (3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// The server still has the session.
    pub session_present: bool,
    /// Reason code; return code on 3.1.1.
    pub code: u8,
    /// Properties; none on 3.1.1.
    pub properties: Properties<'a>,
}

/// PUBLISH (3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Sent before.
    pub dup: bool,
    /// 0 to 2.
    pub qos: u8,
    /// Retain.
    pub retain: bool,
    /// Topic name; empty only where an alias stands for it.
    pub topic: &'a str,
    /// Packet identifier; 0 at `QoS` 0.
    pub pid: u16,
    /// Properties; none on 3.1.1.
    pub properties: Properties<'a>,
    /// Payload.
    pub payload: &'a [u8],
}

/// Which acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AckKind {
    /// PUBACK
    PubAck = 4,
    /// PUBREC
    PubRec = 5,
    /// PUBREL
    PubRel = 6,
    /// PUBCOMP
    PubComp = 7,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Which.
    pub kind: AckKind,
    /// Packet identifier.
    pub pid: u16,
    /// Reason; success on 3.1.1.
    pub reason: Reason,
    /// Properties; none on 3.1.1.
    pub properties: Properties<'a>,
}

/// SUBSCRIBE (3.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Packet identifier.
    pub pid: u16,
    /// Properties; none on 3.1.1.
    pub properties: Properties<'a>,
    /// Filters with their options byte (3.8.3.1).
    pub filters: SmallVec<[(&'a str, SubscribeOptions); 4]>,
}

/// A subscription's options (3.8.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SubscribeOptions(pub u8);

impl SubscribeOptions {
    /// Highest `QoS`, 0 to 2.
    #[must_use]
    pub fn qos(self) -> u8 {
        self.0 & 3
    }
    /// Not what the client itself publishes.
    #[must_use]
    pub fn no_local(self) -> bool {
        self.0 & 4 != 0
    }
    /// Keep the retain flag as it was published.
    #[must_use]
    pub fn retain_as_published(self) -> bool {
        self.0 & 8 != 0
    }
    /// Not a bit of the standard's: what matches is shown to the host first. A client cannot set it.
    #[must_use]
    pub fn screened(self) -> bool {
        self.0 & 0x40 != 0
    }
    /// The same, screened or not.
    #[must_use]
    pub fn with_screen(self, screened: bool) -> Self {
        Self(self.0 & !0x40 | u8::from(screened) << 6)
    }
    /// 0 send retained messages, 1 only for a new subscription, 2 never.
    #[must_use]
    pub fn retain_handling(self) -> u8 {
        self.0 >> 4 & 3
    }
    /// The same with another `QoS`.
    #[must_use]
    pub fn with_qos(self, qos: u8) -> Self {
        Self(self.0 & !3 | qos & 3)
    }
}

/// SUBACK (3.9) or UNSUBACK (3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodesAck<'a> {
    /// Packet identifier.
    pub pid: u16,
    /// Properties; none on 3.1.1.
    pub properties: Properties<'a>,
    /// One reason code for each filter.
    pub codes: &'a [u8],
}

/// UNSUBSCRIBE (3.10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Packet identifier.
    pub pid: u16,
    /// Properties; none on 3.1.1.
    pub properties: Properties<'a>,
    /// Filters.
    pub filters: SmallVec<[&'a str; 4]>,
}

/// DISCONNECT (3.14) or AUTH (3.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing<'a> {
    /// Reason; success on 3.1.1.
    pub reason: Reason,
    /// Properties; none on 3.1.1.
    pub properties: Properties<'a>,
}
