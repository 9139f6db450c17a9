//! From packets to bytes. The caller keeps strings within 65,535 bytes; longer ones are cut.

use bytes::{BufMut, BytesMut};

use super::{AckKind, CodesAck, Level, Packet, Properties, Publish};

/// Writes a packet.
pub fn encode(packet: &Packet<'_>, level: Level, out: &mut BytesMut) {
    match packet {
        Packet::Publish(p) => {
            publish_head(p, &[], p.payload.len(), level, out);
            out.extend_from_slice(p.payload);
        }
        Packet::Ack(ack) => {
            let first = (ack.kind as u8) << 4 | if ack.kind == AckKind::PubRel { 2 } else { 0 };
            let (code, raw) = (ack.reason.code(), ack.properties.raw());
            if !level.is_v5() || code == 0 && raw.is_empty() {
                out.extend_from_slice(&[first, 2]);
                out.put_u16(ack.pid);
            } else if raw.is_empty() {
                out.extend_from_slice(&[first, 3]);
                out.put_u16(ack.pid);
                out.put_u8(code);
            } else {
                head(first, 3 + sized(raw), out);
                out.put_u16(ack.pid);
                out.put_u8(code);
                put_properties(ack.properties, out);
            }
        }
        Packet::PingReq => out.extend_from_slice(&[0xC0, 0]),
        Packet::PingResp => out.extend_from_slice(&[0xD0, 0]),
        Packet::ConnAck(p) => {
            let raw = p.properties.raw();
            head(0x20, 2 + if level.is_v5() { sized(raw) } else { 0 }, out);
            out.put_u8(u8::from(p.session_present));
            out.put_u8(p.code);
            if level.is_v5() {
                put_properties(p.properties, out);
            }
        }
        Packet::SubAck(p) => codes(0x90, p, level, true, out),
        Packet::UnsubAck(p) => codes(0xB0, p, level, level.is_v5(), out),
        Packet::Disconnect(p) => closing(0xE0, p.reason.code(), p.properties, level, out),
        Packet::Auth(p) => closing(0xF0, p.reason.code(), p.properties, level, out),
        Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) => from_client(packet, level, out),
    }
}

/// Packets only a client sends; the broker writes none of them, so they may take the slow road over a buffer of their own.
fn from_client(packet: &Packet<'_>, level: Level, out: &mut BytesMut) {
    let mut body = BytesMut::new();
    let first = match packet {
        Packet::Connect(c) => {
            let (name, number): (&[u8], u8) = match c.level {
                Level::V3 => (b"MQIsdp", 3),
                Level::V4 => (b"MQTT", 4),
                Level::V5 => (b"MQTT", 5),
            };
            put_binary(name, &mut body);
            body.put_u8(number);
            let mut flags = u8::from(c.clean_start) << 1;
            if let Some(will) = &c.will {
                flags |= 4 | will.qos << 3 | u8::from(will.retain) << 5;
            }
            flags |= u8::from(c.password.is_some()) << 6 | u8::from(c.username.is_some()) << 7;
            body.put_u8(flags);
            body.put_u16(c.keep_alive);
            let v5 = c.level.is_v5();
            if v5 {
                put_properties(c.properties, &mut body);
            }
            put_binary(c.client_id.as_bytes(), &mut body);
            if let Some(will) = &c.will {
                if v5 {
                    put_properties(will.properties, &mut body);
                }
                put_binary(will.topic.as_bytes(), &mut body);
                put_binary(will.payload, &mut body);
            }
            if let Some(name) = c.username {
                put_binary(name.as_bytes(), &mut body);
            }
            if let Some(password) = c.password {
                put_binary(password, &mut body);
            }
            0x10
        }
        Packet::Subscribe(s) => {
            body.put_u16(s.pid);
            if level.is_v5() {
                put_properties(s.properties, &mut body);
            }
            for (filter, options) in &s.filters {
                put_binary(filter.as_bytes(), &mut body);
                body.put_u8(options.0);
            }
            0x82
        }
        Packet::Unsubscribe(u) => {
            body.put_u16(u.pid);
            if level.is_v5() {
                put_properties(u.properties, &mut body);
            }
            for filter in &u.filters {
                put_binary(filter.as_bytes(), &mut body);
            }
            0xA2
        }
        _ => return,
    };
    head(first, body.len(), out);
    out.extend_from_slice(&body);
}

/// Writes everything of a PUBLISH but the payload, which the caller appends or sends as its own slice: `payload_len` bytes.
/// `extra` are properties in wire form put behind the message's own (subscription identifiers, alias, remaining expiry).
pub fn publish_head(p: &Publish<'_>, extra: &[u8], payload_len: usize, level: Level, out: &mut BytesMut) {
    let raw = p.properties.raw();
    let topic = cut(p.topic.as_bytes());
    let properties = raw.len() + extra.len();
    let mut len = 2 + topic.len() + payload_len;
    if p.qos > 0 {
        len += 2;
    }
    if level.is_v5() {
        len += varint_len(properties) + properties;
    }
    out.reserve(5 + len - payload_len);
    head(0x30 | u8::from(p.dup) << 3 | p.qos << 1 | u8::from(p.retain), len, out);
    put_binary(topic, out);
    if p.qos > 0 {
        out.put_u16(p.pid);
    }
    if level.is_v5() {
        put_varint(out, u32::try_from(properties).unwrap_or(u32::MAX));
        out.extend_from_slice(raw);
        out.extend_from_slice(extra);
    }
}

fn codes(first: u8, p: &CodesAck<'_>, level: Level, with_codes: bool, out: &mut BytesMut) {
    let codes = if with_codes { p.codes } else { &[] };
    let properties = if level.is_v5() { sized(p.properties.raw()) } else { 0 };
    head(first, 2 + properties + codes.len(), out);
    out.put_u16(p.pid);
    if level.is_v5() {
        put_properties(p.properties, out);
    }
    out.extend_from_slice(codes);
}

fn closing(first: u8, code: u8, properties: Properties<'_>, level: Level, out: &mut BytesMut) {
    let raw = properties.raw();
    if !level.is_v5() || code == 0 && raw.is_empty() {
        out.extend_from_slice(&[first, 0]);
    } else if raw.is_empty() {
        out.extend_from_slice(&[first, 1, code]);
    } else {
        head(first, 1 + sized(raw), out);
        out.put_u8(code);
        put_properties(properties, out);
    }
}

fn head(first: u8, remaining: usize, out: &mut BytesMut) {
    out.put_u8(first);
    put_varint(out, u32::try_from(remaining).unwrap_or(u32::MAX));
}

fn put_properties(properties: Properties<'_>, out: &mut BytesMut) {
    let raw = properties.raw();
    put_varint(out, u32::try_from(raw.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(raw);
}

fn put_binary(bytes: &[u8], out: &mut BytesMut) {
    let bytes = cut(bytes);
    out.put_u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(bytes);
}

fn cut(bytes: &[u8]) -> &[u8] {
    bytes.get(..bytes.len().min(65_535)).unwrap_or_default()
}

fn sized(raw: &[u8]) -> usize {
    varint_len(raw.len()) + raw.len()
}

pub(crate) fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

/// Writes a variable byte integer (1.5.5).
pub(crate) fn put_varint(out: &mut impl BufMut, mut value: u32) {
    loop {
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            out.put_u8(byte);
            return;
        }
        out.put_u8(byte | 0x80);
    }
}
