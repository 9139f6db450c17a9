//! Properties in their wire form (2.2.2).

use super::DecodeError;
use super::reader::Reader;
use crate::Reason;

/// Where properties stand: one bit each, so that a table can say where a property is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Scope {
    /// CONNECT
    Connect = 1,
    /// Will properties within CONNECT
    Will = 1 << 1,
    /// CONNACK
    ConnAck = 1 << 2,
    /// PUBLISH
    Publish = 1 << 3,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP
    Ack = 1 << 4,
    /// SUBSCRIBE
    Subscribe = 1 << 5,
    /// SUBACK
    SubAck = 1 << 6,
    /// UNSUBSCRIBE
    Unsubscribe = 1 << 7,
    /// UNSUBACK
    UnsubAck = 1 << 8,
    /// DISCONNECT
    Disconnect = 1 << 9,
    /// AUTH
    Auth = 1 << 10,
}

#[derive(Clone, Copy)]
enum Kind {
    /// 0 or 1 only.
    Flag,
    U16,
    U32,
    VarInt,
    Str,
    Bin,
    Pair,
}

macro_rules! properties {
    ($($code:literal $name:ident $kind:ident $scopes:expr;)*) => {
        /// Property identifiers (2.2.2.2).
        pub mod id {
            $(#[doc = concat!("0x", stringify!($code), " (decimal)")] pub const $name: u8 = $code;)*
        }
        fn shape(id: u32) -> Option<(Kind, u16)> {
            Some(match id { $($code => (Kind::$kind, $scopes),)* _ => return None })
        }
    };
}

const C: u16 = Scope::Connect as u16;
const W: u16 = Scope::Will as u16;
const K: u16 = Scope::ConnAck as u16;
const P: u16 = Scope::Publish as u16;
const A: u16 = Scope::Ack as u16;
const S: u16 = Scope::Subscribe as u16;
const SA: u16 = Scope::SubAck as u16;
const UA: u16 = Scope::UnsubAck as u16;
const D: u16 = Scope::Disconnect as u16;
const AU: u16 = Scope::Auth as u16;

properties! {
    1 PAYLOAD_FORMAT Flag P | W;
    2 MESSAGE_EXPIRY U32 P | W;
    3 CONTENT_TYPE Str P | W;
    8 RESPONSE_TOPIC Str P | W;
    9 CORRELATION_DATA Bin P | W;
    11 SUBSCRIPTION_IDENTIFIER VarInt P | S;
    17 SESSION_EXPIRY U32 C | K | D;
    18 ASSIGNED_CLIENT_ID Str K;
    19 SERVER_KEEP_ALIVE U16 K;
    21 AUTHENTICATION_METHOD Str C | K | AU;
    22 AUTHENTICATION_DATA Bin C | K | AU;
    23 REQUEST_PROBLEM Flag C;
    24 WILL_DELAY U32 W;
    25 REQUEST_RESPONSE Flag C;
    26 RESPONSE_INFORMATION Str K;
    28 SERVER_REFERENCE Str K | D;
    31 REASON_STRING Str K | A | SA | UA | D | AU;
    33 RECEIVE_MAXIMUM U16 C | K;
    34 TOPIC_ALIAS_MAXIMUM U16 C | K;
    35 TOPIC_ALIAS U16 P;
    36 MAXIMUM_QOS Flag K;
    37 RETAIN_AVAILABLE Flag K;
    38 USER_PROPERTY Pair u16::MAX;
    39 MAXIMUM_PACKET_SIZE U32 C | K;
    40 WILDCARD_AVAILABLE Flag K;
    41 SUBSCRIPTION_IDENTIFIER_AVAILABLE Flag K;
    42 SHARED_AVAILABLE Flag K;
}

/// A property's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// One byte.
    Byte(u8),
    /// Two bytes.
    U16(u16),
    /// Four bytes.
    U32(u32),
    /// Variable byte integer.
    VarInt(u32),
    /// UTF-8 string.
    Str(&'a str),
    /// Binary data.
    Bin(&'a [u8]),
    /// UTF-8 string pair.
    Pair(&'a str, &'a str),
}

/// One property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// Its identifier, see [`id`].
    pub id: u8,
    /// Its value.
    pub value: Value<'a>,
    /// Its bytes, identifier included.
    pub raw: &'a [u8],
}

/// A packet's properties: checked, in wire form, without their length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    /// No properties.
    pub const NONE: Properties<'static> = Properties(&[]);

    /// Checks what is allowed in this place, how often, and each value's range.
    pub fn check(raw: &'a [u8], scope: Scope) -> Result<Self, DecodeError> {
        let mut seen = 0u64;
        let mut reader = Reader(raw);
        while !reader.is_empty() {
            let (property, scopes) = next(&mut reader)?;
            if scopes & scope as u16 == 0 {
                return Err(DecodeError::protocol("a property that is not allowed in this packet"));
            }
            let repeatable = property.id == id::USER_PROPERTY || property.id == id::SUBSCRIPTION_IDENTIFIER && scope == Scope::Publish;
            let bit = 1u64 << property.id;
            if seen & bit != 0 && !repeatable {
                return Err(DecodeError::protocol("a property appears twice"));
            }
            seen |= bit;
            match (property.id, property.value) {
                (id::RECEIVE_MAXIMUM, Value::U16(0)) => return Err(DecodeError::protocol("receive maximum 0")),
                (id::MAXIMUM_PACKET_SIZE, Value::U32(0)) => return Err(DecodeError::protocol("maximum packet size 0")),
                (id::SUBSCRIPTION_IDENTIFIER, Value::VarInt(0)) => return Err(DecodeError::protocol("subscription identifier 0")),
                (id::TOPIC_ALIAS, Value::U16(0)) => {
                    return Err(DecodeError { reason: Reason::TopicAliasInvalid, detail: "topic alias 0" });
                }
                (id::RESPONSE_TOPIC, Value::Str(topic)) if super::check_topic(topic).is_err() => {
                    return Err(DecodeError::protocol("a wildcard in the response topic"));
                }
                _ => {}
            }
        }
        let auth = seen & (1 << id::AUTHENTICATION_DATA) != 0 && seen & (1 << id::AUTHENTICATION_METHOD) == 0;
        if auth { Err(DecodeError::protocol("authentication data without a method")) } else { Ok(Self(raw)) }
    }

    /// Bytes that were checked before, as [`Properties::check`] left them (a stored message's). Damaged ones read as fewer properties.
    #[must_use]
    pub fn trusted(raw: &'a [u8]) -> Self {
        Self(raw)
    }

    /// The wire form, without the length.
    #[must_use]
    pub fn raw(self) -> &'a [u8] {
        self.0
    }

    /// Each property in order.
    pub fn iter(self) -> impl Iterator<Item = Property<'a>> {
        let mut reader = Reader(self.0);
        std::iter::from_fn(move || if reader.is_empty() { None } else { next(&mut reader).ok().map(|(p, _)| p) })
    }

    /// The first value of a property.
    #[must_use]
    pub fn get(self, id: u8) -> Option<Value<'a>> {
        if self.0.is_empty() { None } else { self.iter().find(|p| p.id == id).map(|p| p.value) }
    }

    /// A property that is a string.
    #[must_use]
    pub fn text(self, id: u8) -> Option<&'a str> {
        match self.get(id) {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// A property that is a number or flag.
    #[must_use]
    pub fn number(self, id: u8) -> Option<u32> {
        match self.get(id)? {
            Value::Byte(v) => Some(u32::from(v)),
            Value::U16(v) => Some(u32::from(v)),
            Value::U32(v) | Value::VarInt(v) => Some(v),
            _ => None,
        }
    }

    /// Does the publisher promise UTF-8 (payload format indicator 1)?
    #[must_use]
    pub fn payload_is_text(self) -> bool {
        self.number(id::PAYLOAD_FORMAT) == Some(1)
    }

    /// Message expiry interval, in seconds.
    #[must_use]
    pub fn expiry(self) -> Option<u32> {
        self.number(id::MESSAGE_EXPIRY)
    }

    /// Content type.
    #[must_use]
    pub fn content_type(self) -> Option<&'a str> {
        self.text(id::CONTENT_TYPE)
    }

    /// Response topic.
    #[must_use]
    pub fn response_topic(self) -> Option<&'a str> {
        self.text(id::RESPONSE_TOPIC)
    }

    /// Correlation data.
    #[must_use]
    pub fn correlation(self) -> Option<&'a [u8]> {
        match self.get(id::CORRELATION_DATA) {
            Some(Value::Bin(data)) => Some(data),
            _ => None,
        }
    }

    /// User properties in order.
    pub fn user(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(|p| match p.value {
            Value::Pair(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// Subscription identifiers in order.
    pub fn subscription_ids(self) -> impl Iterator<Item = u32> {
        self.iter().filter_map(|p| match (p.id, p.value) {
            (id::SUBSCRIPTION_IDENTIFIER, Value::VarInt(v)) => Some(v),
            _ => None,
        })
    }
}

fn next<'a>(reader: &mut Reader<'a>) -> Result<(Property<'a>, u16), DecodeError> {
    let before = reader.0;
    let code = reader.varint()?;
    let (kind, scopes) = shape(code).ok_or(DecodeError::malformed("unknown property"))?;
    let value = match kind {
        Kind::Flag => match reader.u8()? {
            v @ 0..=1 => Value::Byte(v),
            _ => return Err(DecodeError::protocol("a flag property is neither 0 nor 1")),
        },
        Kind::U16 => Value::U16(reader.u16()?),
        Kind::U32 => Value::U32(reader.u32()?),
        Kind::VarInt => Value::VarInt(reader.varint()?),
        Kind::Str => Value::Str(reader.string()?),
        Kind::Bin => Value::Bin(reader.binary()?),
        Kind::Pair => Value::Pair(reader.string()?, reader.string()?),
    };
    let used = before.len() - reader.0.len();
    let raw = before.get(..used).unwrap_or_default();
    Ok((Property { id: u8::try_from(code).unwrap_or(0), value, raw }, scopes))
}

/// Builds properties in wire form.
#[derive(Clone, Debug, Default)]
pub struct PropertyWriter(Vec<u8>);

impl PropertyWriter {
    /// Empty; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a property. Strings and data beyond 65,535 bytes are cut (strings at a character).
    pub fn put(&mut self, id: u8, value: Value<'_>) -> &mut Self {
        self.0.push(id);
        match value {
            Value::Byte(v) => self.0.push(v),
            Value::U16(v) => self.0.extend_from_slice(&v.to_be_bytes()),
            Value::U32(v) => self.0.extend_from_slice(&v.to_be_bytes()),
            Value::VarInt(v) => super::put_varint(&mut self.0, v),
            Value::Str(v) => self.string(v),
            Value::Bin(v) => self.binary(v),
            Value::Pair(name, value) => {
                self.string(name);
                self.string(value);
            }
        }
        self
    }

    /// What was built.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        Properties(&self.0)
    }

    fn string(&mut self, text: &str) {
        let mut end = text.len().min(65_535);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.binary(text.get(..end).unwrap_or_default().as_bytes());
    }

    fn binary(&mut self, data: &[u8]) {
        let len = u16::try_from(data.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(data.get(..usize::from(len)).unwrap_or_default());
    }
}
