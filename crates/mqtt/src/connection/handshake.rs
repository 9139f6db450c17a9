//! From the first byte to CONNACK.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use uuid::Uuid;

use super::{ClientLimits, Connection};
use crate::broker::{Broker, count};
use crate::codec::{ConnAck, Connect, DecodeError, Level, Packet, PropertyWriter, Value, decode, encode, frame, id};
use crate::session::{State, WillMessage};
use crate::{ConnectRequest, Ended, Host, Peer, Reason, Refusal, StreamMeta};

/// Nobody is known before CONNECT, so it may hold no more than a large token and a will.
const MAX_CONNECT: usize = 192 << 10;

/// How often a client is recognised afresh because something was revoked while it came in.
const RECHECKS: u32 = 3;

/// A refusal on its way to the client.
struct No {
    reason: Reason,
    detail: Option<String>,
}

impl From<Reason> for No {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: None }
    }
}

impl From<DecodeError> for No {
    fn from(error: DecodeError) -> Self {
        Self { reason: error.reason, detail: Some(error.detail.to_owned()) }
    }
}

/// Reads CONNECT and answers it; `None` when the stream is over or the client refused.
pub(crate) async fn handshake<H, S>(broker: &Arc<Broker<H>>, mut stream: S, meta: StreamMeta) -> Option<Box<Connection<'_, H, S>>>
where
    H: Host,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut inbuf = BytesMut::new();
    let read = timeout(broker.limits.connect_timeout, first_packet(&mut stream, &mut inbuf, broker.limits.max_packet.min(MAX_CONNECT)));
    let (first, header, total) = read.await.ok()??;
    count(&broker.counters.bytes_in, inbuf.len());
    let packet = inbuf.split_to(total);
    let mut body = packet.freeze();
    // What a protocol error looks like depends on the level, which stands behind the protocol name.
    let level = if body.get(header + 6) == Some(&5) { Level::V5 } else { Level::V4 };
    body.advance(header);
    let connect = match decode(first, &body, level) {
        Ok(Packet::Connect(connect)) => connect,
        Ok(_) => return None,
        Err(error) => {
            count(&broker.counters.refused, 1);
            let level = if error.reason == Reason::UnsupportedProtocolVersion { unknown_level(&body) } else { Some(level) };
            if let Some(level) = level {
                refuse(&mut stream, level, usize::MAX, error.into()).await;
            }
            return None;
        }
    };
    match accept(broker, &connect, &meta).await {
        Ok((peer, client_id, assigned)) => {
            // A large CONNECT is let go before the connection idles: nothing below borrows it.
            establish(broker, stream, inbuf, &connect, &meta, peer, client_id, assigned).await
        }
        Err(no) => {
            count(&broker.counters.refused, 1);
            tracing::debug!(reason = %no.reason, address = ?meta.address, "CONNECT refused");
            refuse(&mut stream, connect.level, max_packet(&connect), no).await;
            None
        }
    }
}

/// 3.1.1 answers an unknown level with return code 1 (3.1.2.2); a level beyond 5 is answered as 5 would. Another protocol gets nothing.
fn unknown_level(body: &[u8]) -> Option<Level> {
    match body.get(..7) {
        Some([0, 4, b'M', b'Q', b'T', b'T', level]) => Some(if *level > 5 { Level::V5 } else { Level::V4 }),
        Some([0, 6, b'M', b'Q', b'I', b's', b'd']) => Some(Level::V4),
        _ => None,
    }
}

/// Reads until the first packet is complete; it must be CONNECT.
async fn first_packet<S: AsyncRead + Unpin>(stream: &mut S, inbuf: &mut BytesMut, max: usize) -> Option<(u8, usize, usize)> {
    loop {
        if inbuf.first().is_some_and(|first| *first != 0x10) {
            return None;
        }
        if let Some(frame) = frame(inbuf, None, max).ok()?
            && inbuf.len() >= frame.total
        {
            return Some((frame.first, frame.header, frame.total));
        }
        if stream.read_buf(inbuf).await.ok()? == 0 {
            return None;
        }
    }
}

/// Everything that can be refused.
async fn accept<H: Host>(broker: &Broker<H>, connect: &Connect<'_>, meta: &StreamMeta) -> Result<(Arc<Peer>, String, bool), No> {
    if broker.is_stopping() {
        return Err(Reason::ServerUnavailable.into());
    }
    if connect.properties.get(id::AUTHENTICATION_METHOD).is_some() {
        return Err(Reason::BadAuthenticationMethod.into());
    }
    let assigned = connect.client_id.is_empty();
    if assigned && !connect.clean_start && !connect.level.is_v5() || connect.client_id.len() > broker.limits.max_client_id {
        return Err(Reason::ClientIdNotValid.into());
    }
    if let Some(will) = &connect.will {
        broker.check_topic(will.topic)?;
        if will.properties.payload_is_text() && std::str::from_utf8(will.payload).is_err() {
            return Err(Reason::PayloadFormatInvalid.into());
        }
        if will.properties.raw().len() > broker.limits.max_properties {
            return Err(Reason::PacketTooLarge.into());
        }
    }
    let request = ConnectRequest {
        client_id: connect.client_id,
        username: connect.username,
        password: connect.password,
        certificate: meta.certificate.as_deref(),
        token: meta.token.as_deref(),
        address: meta.address,
        secure: meta.secure,
        level: connect.level,
        durability: meta.durability,
    };
    let peer = broker.host.connect(request).await.map_err(|refusal| {
        let detail = match refusal {
            Refusal::RetryAfter(wait) => Some(format!("retry in {} s", wait.as_secs().max(1))),
            _ => None,
        };
        No { reason: refusal.reason(), detail }
    })?;
    let client_id = if assigned { format!("auto-{}", broker.clock.new_id::<Uuid>().simple()) } else { connect.client_id.to_owned() };
    Ok((Arc::new(peer), client_id, assigned))
}

/// Claims the session and answers CONNACK.
#[expect(clippy::too_many_arguments, reason = "the second half of the handshake, apart only for its size")]
async fn establish<'b, H, S>(
    broker: &'b Arc<Broker<H>>,
    mut stream: S,
    inbuf: BytesMut,
    connect: &Connect<'_>,
    meta: &StreamMeta,
    peer: Arc<Peer>,
    client_id: String,
    assigned: bool,
) -> Option<Box<Connection<'b, H, S>>>
where
    H: Host,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (limits, level, v5) = (&broker.limits, connect.level, connect.level.is_v5());
    let asked = match (v5, connect.clean_start) {
        (true, _) => connect.properties.number(id::SESSION_EXPIRY).unwrap_or(0),
        (false, true) => 0,
        (false, false) => limits.max_session_expiry,
    };
    let expiry = asked.min(limits.max_session_expiry);
    let claim = match broker.claim(&peer, &client_id, connect.clean_start, expiry).await {
        Ok(claim) => claim,
        Err(reason) => {
            broker.host.ended(&peer, Ended::Closed(reason));
            count(&broker.counters.refused, 1);
            refuse(&mut stream, level, max_packet(connect), reason.into()).await;
            return None;
        }
    };
    let mut peer = peer;
    let mut tries = 0;
    while !broker.host.admits(&peer) {
        tries += 1;
        let again = if tries > RECHECKS { Err(Reason::ServerUnavailable.into()) } else { accept(broker, connect, meta).await };
        let no = match again {
            Ok((fresh, ..)) if fresh.tenant == peer.tenant && fresh.principal == peer.principal => {
                claim.session.mail.lock().state = State::Online(Arc::clone(&fresh));
                broker.host.ended(&peer, Ended::Closed(Reason::ServerBusy));
                peer = fresh;
                continue;
            }
            Ok((other, ..)) => {
                broker.host.ended(&other, Ended::Closed(Reason::NotAuthorized));
                Reason::NotAuthorized.into()
            }
            Err(no) => no,
        };
        broker.release(&claim.session, claim.flow, &peer, None).await;
        broker.host.ended(&peer, Ended::Closed(no.reason));
        count(&broker.counters.refused, 1);
        refuse(&mut stream, level, max_packet(connect), no).await;
        return None;
    }
    let keep_alive = match limits.max_keep_alive {
        // 3.1.1 has no way to tell the client, so there its own value holds.
        max if max > 0 && v5 && (connect.keep_alive == 0 || connect.keep_alive > max) => max,
        _ => connect.keep_alive,
    };
    let mut properties = PropertyWriter::new();
    if v5 {
        if expiry != asked {
            properties.put(id::SESSION_EXPIRY, Value::U32(expiry));
        }
        properties.put(id::RECEIVE_MAXIMUM, Value::U16(limits.max_inflight));
        properties.put(id::MAXIMUM_PACKET_SIZE, Value::U32(u32::try_from(limits.max_packet).unwrap_or(u32::MAX)));
        if assigned {
            properties.put(id::ASSIGNED_CLIENT_ID, Value::Str(&client_id));
        }
        if limits.max_topic_alias > 0 {
            properties.put(id::TOPIC_ALIAS_MAXIMUM, Value::U16(limits.max_topic_alias));
        }
        if keep_alive != connect.keep_alive {
            properties.put(id::SERVER_KEEP_ALIVE, Value::U16(keep_alive));
        }
        if let Some(prefix) = limits.response_prefix.as_ref().filter(|_| connect.properties.number(id::REQUEST_RESPONSE) == Some(1)) {
            properties.put(id::RESPONSE_INFORMATION, Value::Str(&format!("{prefix}/{client_id}")));
        }
    }
    // Nothing in it may be left out: each says what the client may not do.
    if v5 && properties.properties().raw().len() + 7 > max_packet(connect) {
        broker.release(&claim.session, claim.flow, &peer, None).await;
        broker.host.ended(&peer, Ended::Closed(Reason::PacketTooLarge));
        count(&broker.counters.refused, 1);
        refuse(&mut stream, level, max_packet(connect), Reason::PacketTooLarge.into()).await;
        return None;
    }
    let client = ClientLimits {
        receive_max: connect.properties.number(id::RECEIVE_MAXIMUM).map_or(u16::MAX, |v| v as u16).min(limits.max_inflight),
        max_packet: max_packet(connect),
        alias_max: connect.properties.number(id::TOPIC_ALIAS_MAXIMUM).map_or(0, |v| v as u16).min(limits.max_topic_alias_out),
        problem_info: connect.properties.number(id::REQUEST_PROBLEM) != Some(0),
        // From here on a DISCONNECT can't make a session persistent that was not (3.14.2.2.2).
        transient: expiry == 0,
    };
    let mut connection = Box::new(Connection::new(broker, stream, level, peer, claim.session, claim.flow, client, keep_alive));
    connection.will = connect.will.as_ref().map(|will| {
        Box::new(WillMessage {
            topic: will.topic.into(),
            payload: Bytes::copy_from_slice(will.payload),
            qos: will.qos,
            retain: will.retain,
            properties: Bytes::copy_from_slice(will.properties.raw()),
            delay: will.properties.number(id::WILL_DELAY).unwrap_or(0),
        })
    });
    connection.inbuf = inbuf;
    connection.resumed = claim.present;
    connection.unsaved = claim.changed;
    let ack = ConnAck { session_present: claim.present, code: 0, properties: properties.properties() };
    connection.out.put(|out| encode(&Packet::ConnAck(ack), level, out));
    Some(connection)
}

/// The largest packet the client takes.
fn max_packet(connect: &Connect<'_>) -> usize {
    connect.properties.number(id::MAXIMUM_PACKET_SIZE).map_or(usize::MAX, |v| v as usize)
}

/// Says no and closes, in no more than `max` bytes if it can; a client that does not listen is not waited for long.
async fn refuse<S: AsyncWrite + Unpin>(stream: &mut S, level: Level, max: usize, no: No) {
    let mut properties = PropertyWriter::new();
    let code = if level.is_v5() {
        // Fixed header, flags, code, two lengths, the property's identifier.
        if let Some(detail) = no.detail.as_ref().filter(|detail| detail.len() + 12 <= max) {
            properties.put(id::REASON_STRING, Value::Str(detail));
        }
        Some(no.reason.code())
    } else {
        no.reason.connack_v3()
    };
    let Some(code) = code else { return };
    let mut out = BytesMut::new();
    encode(&Packet::ConnAck(ConnAck { session_present: false, code, properties: properties.properties() }), level, &mut out);
    let say = async {
        stream.write_all(&out).await?;
        stream.flush().await?;
        stream.shutdown().await
    };
    let _ = timeout(Duration::from_secs(1), say).await;
}
