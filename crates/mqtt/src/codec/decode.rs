//! From bytes to packets.

use smallvec::SmallVec;

use super::property::{Properties, Scope};
use super::reader::{Reader, varint};
use super::{
    Ack, AckKind, Closing, CodesAck, ConnAck, Connect, DecodeError, Frame, Level, Packet, Publish, Subscribe, SubscribeOptions,
    Unsubscribe, Will, check_filter, check_topic,
};
use crate::Reason;

/// Finds the packet at the start of `bytes`; `None` when its header is not complete. The body may still be on its way: compare
/// `total`. Refuses a packet longer than `max`, whatever of it has arrived. `level` is unknown before CONNECT.
pub fn frame(bytes: &[u8], level: Option<Level>, max: usize) -> Result<Option<Frame>, DecodeError> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((remaining, used)) = varint(rest, level == Some(Level::V5))? else { return Ok(None) };
    let header = 1 + used;
    let total = header + remaining as usize;
    if total > max {
        return Err(DecodeError { reason: Reason::PacketTooLarge, detail: "the packet is larger than allowed" });
    }
    Ok(Some(Frame { first, header, total }))
}

/// Reads a packet. `body` is everything behind the fixed header, exactly. For CONNECT `level` does not matter.
pub fn decode(first: u8, body: &[u8], level: Level) -> Result<Packet<'_>, DecodeError> {
    let flags = first & 0x0F;
    let kind = first >> 4;
    if kind == 3 {
        return publish(flags, body, level).map(Packet::Publish);
    }
    let expected = if matches!(kind, 6 | 8 | 10) { 2 } else { 0 };
    if flags != expected {
        return Err(DecodeError::malformed("reserved bits of the fixed header"));
    }
    let mut r = Reader(body);
    let packet = match kind {
        1 => return connect(r).map(|c| Packet::Connect(Box::new(c))),
        2 => connack(&mut r, level)?,
        4 => ack(&mut r, AckKind::PubAck, level)?,
        5 => ack(&mut r, AckKind::PubRec, level)?,
        6 => ack(&mut r, AckKind::PubRel, level)?,
        7 => ack(&mut r, AckKind::PubComp, level)?,
        8 => subscribe(&mut r, level)?,
        9 => Packet::SubAck(codes(&mut r, level, Scope::SubAck)?),
        10 => unsubscribe(&mut r, level)?,
        11 => Packet::UnsubAck(codes(&mut r, level, Scope::UnsubAck)?),
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 if level.is_v5() => Packet::Disconnect(closing(&mut r, Scope::Disconnect)?),
        14 => Packet::Disconnect(Closing { reason: Reason::Success, properties: Properties::NONE }),
        15 if level.is_v5() => Packet::Auth(closing(&mut r, Scope::Auth)?),
        _ => return Err(DecodeError::malformed("unknown packet type")),
    };
    if r.is_empty() { Ok(packet) } else { Err(DecodeError::malformed("bytes left at the end of the packet")) }
}

fn properties<'a>(r: &mut Reader<'a>, level: Level, scope: Scope) -> Result<Properties<'a>, DecodeError> {
    if !level.is_v5() {
        return Ok(Properties::NONE);
    }
    let len = r.varint()?;
    let raw = r.take(len as usize)?;
    if raw.is_empty() { Ok(Properties::NONE) } else { Properties::check(raw, scope) }
}

fn publish(flags: u8, body: &[u8], level: Level) -> Result<Publish<'_>, DecodeError> {
    let mut r = Reader(body);
    let (dup, qos, retain) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
    if qos == 3 {
        return Err(DecodeError::malformed("QoS 3"));
    }
    if dup && qos == 0 {
        return Err(DecodeError::malformed("DUP at QoS 0"));
    }
    let topic = r.string()?;
    let pid = if qos > 0 { r.pid()? } else { 0 };
    let properties = properties(&mut r, level, Scope::Publish)?;
    if !topic.is_empty() {
        check_topic(topic)?;
    } else if properties.get(super::id::TOPIC_ALIAS).is_none() {
        let reason = if level.is_v5() { Reason::ProtocolError } else { Reason::TopicNameInvalid };
        return Err(DecodeError { reason, detail: "neither a topic nor an alias" });
    }
    Ok(Publish { dup, qos, retain, topic, pid, properties, payload: r.0 })
}

fn connect(mut r: Reader<'_>) -> Result<Connect<'_>, DecodeError> {
    let name = r.binary()?;
    let level = match (name, r.u8()?) {
        (b"MQTT", 4) => Level::V4,
        (b"MQTT", 5) => Level::V5,
        (b"MQIsdp", 3) => Level::V3,
        (b"MQTT" | b"MQIsdp", _) => {
            return Err(DecodeError { reason: Reason::UnsupportedProtocolVersion, detail: "protocol level is not 3.1, 3.1.1 or 5" });
        }
        _ => return Err(DecodeError { reason: Reason::UnsupportedProtocolVersion, detail: "protocol name is not MQTT" }),
    };
    let flags = r.u8()?;
    let (will_flag, will_qos, will_retain) = (flags & 4 != 0, flags >> 3 & 3, flags & 0x20 != 0);
    let (has_password, has_username) = (flags & 0x40 != 0, flags & 0x80 != 0);
    if flags & 1 != 0 {
        return Err(DecodeError::malformed("reserved connect flag"));
    }
    if will_qos == 3 || !will_flag && (will_qos != 0 || will_retain) {
        return Err(DecodeError::malformed("will flags"));
    }
    if has_password && !has_username && !level.is_v5() {
        return Err(DecodeError::malformed("a password without a user name"));
    }
    let keep_alive = r.u16()?;
    let connect_properties = properties(&mut r, level, Scope::Connect)?;
    let client_id = r.string()?;
    let will = if will_flag {
        let properties = properties(&mut r, level, Scope::Will)?;
        let topic = r.string()?;
        check_topic(topic)?;
        let payload = r.binary()?;
        Some(Will { topic, payload, qos: will_qos, retain: will_retain, properties })
    } else {
        None
    };
    let username = if has_username { Some(r.string()?) } else { None };
    let password = if has_password { Some(r.binary()?) } else { None };
    if !r.is_empty() {
        return Err(DecodeError::malformed("bytes left at the end of the packet"));
    }
    Ok(Connect { level, clean_start: flags & 2 != 0, keep_alive, client_id, will, username, password, properties: connect_properties })
}

fn connack<'a>(r: &mut Reader<'a>, level: Level) -> Result<Packet<'a>, DecodeError> {
    let flags = r.u8()?;
    if flags > 1 {
        return Err(DecodeError::malformed("reserved connect acknowledge flags"));
    }
    let code = r.u8()?;
    let properties = properties(r, level, Scope::ConnAck)?;
    Ok(Packet::ConnAck(ConnAck { session_present: flags == 1, code, properties }))
}

fn ack<'a>(r: &mut Reader<'a>, kind: AckKind, level: Level) -> Result<Packet<'a>, DecodeError> {
    let pid = r.pid()?;
    let mut ack = Ack { kind, pid, reason: Reason::Success, properties: Properties::NONE };
    if level.is_v5() && !r.is_empty() {
        ack.reason = reason(r.u8()?, |reason| match kind {
            AckKind::PubAck | AckKind::PubRec => matches!(
                reason,
                Reason::Success
                    | Reason::NoMatchingSubscribers
                    | Reason::Unspecified
                    | Reason::ImplementationSpecific
                    | Reason::NotAuthorized
                    | Reason::TopicNameInvalid
                    | Reason::PacketIdentifierInUse
                    | Reason::QuotaExceeded
                    | Reason::PayloadFormatInvalid
            ),
            AckKind::PubRel | AckKind::PubComp => matches!(reason, Reason::Success | Reason::PacketIdentifierNotFound),
        })?;
        if !r.is_empty() {
            ack.properties = properties(r, level, Scope::Ack)?;
        }
    }
    Ok(Packet::Ack(ack))
}

fn reason(code: u8, allowed: impl Fn(Reason) -> bool) -> Result<Reason, DecodeError> {
    Reason::from_code(code).filter(|r| allowed(*r)).ok_or(DecodeError::malformed("a reason code that does not fit the packet"))
}

fn subscribe<'a>(r: &mut Reader<'a>, level: Level) -> Result<Packet<'a>, DecodeError> {
    let pid = r.pid()?;
    let properties = properties(r, level, Scope::Subscribe)?;
    let mut filters = SmallVec::new();
    while !r.is_empty() {
        let text = r.string()?;
        let filter = check_filter(text)?;
        let options = r.u8()?;
        let reserved = if level.is_v5() { 0xC0 } else { 0xFC };
        if options & reserved != 0 || options & 3 == 3 {
            return Err(DecodeError::malformed("subscription options"));
        }
        let options = SubscribeOptions(options);
        if options.retain_handling() == 3 {
            return Err(DecodeError::protocol("retain handling 3"));
        }
        if filter.group.is_some() && options.no_local() {
            return Err(DecodeError::protocol("no local on a shared subscription"));
        }
        filters.push((text, options));
    }
    if filters.is_empty() {
        return Err(DecodeError::protocol("no topic filter"));
    }
    Ok(Packet::Subscribe(Subscribe { pid, properties, filters }))
}

fn unsubscribe<'a>(r: &mut Reader<'a>, level: Level) -> Result<Packet<'a>, DecodeError> {
    let pid = r.pid()?;
    let properties = properties(r, level, Scope::Unsubscribe)?;
    let mut filters = SmallVec::new();
    while !r.is_empty() {
        let text = r.string()?;
        check_filter(text)?;
        filters.push(text);
    }
    if filters.is_empty() {
        return Err(DecodeError::protocol("no topic filter"));
    }
    Ok(Packet::Unsubscribe(Unsubscribe { pid, properties, filters }))
}

fn codes<'a>(r: &mut Reader<'a>, level: Level, scope: Scope) -> Result<CodesAck<'a>, DecodeError> {
    let pid = r.pid()?;
    let properties = properties(r, level, scope)?;
    // UNSUBACK has none on 3.1.1; what follows there is left over.
    let codes = if scope == Scope::UnsubAck && !level.is_v5() { &[][..] } else { std::mem::take(&mut r.0) };
    Ok(CodesAck { pid, properties, codes })
}

fn closing<'a>(r: &mut Reader<'a>, scope: Scope) -> Result<Closing<'a>, DecodeError> {
    let mut packet = Closing { reason: Reason::Success, properties: Properties::NONE };
    if !r.is_empty() {
        packet.reason = reason(r.u8()?, |reason| match scope {
            Scope::Auth => matches!(reason, Reason::Success | Reason::ContinueAuthentication | Reason::ReAuthenticate),
            _ => matches!(reason, Reason::Success | Reason::DisconnectWithWill) || reason.is_error(),
        })?;
        if !r.is_empty() {
            packet.properties = properties(r, Level::V5, scope)?;
        }
    }
    Ok(packet)
}
