//! Packets from the client.

use std::sync::Arc;

use bytes::Buf;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, Pending, Stop, storage_reason};
use crate::broker::{count, new_message};
use crate::codec::{Ack, AckKind, DecodeError, Packet, Properties, Publish, decode, encode, frame, id};
use crate::session::Stage;
use crate::{Accepted, Ended, Host, Reason};

/// Did the packet go through, or must it wait where it is?
#[derive(PartialEq, Eq)]
enum Taken {
    Yes,
    Later,
}

impl<H, S> Connection<'_, H, S>
where
    H: Host,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Handles every complete packet in the buffer.
    pub(super) async fn input(&mut self) -> Result<(), Stop> {
        if self.is_busy() {
            return Ok(());
        }
        self.halted = false;
        if self.inbuf.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.inbuf);
        let mut used = 0;
        let result = self.packets(&buffer, &mut used).await;
        if used < buffer.len() {
            self.inbuf = buffer;
            self.inbuf.advance(used);
        }
        result
    }

    async fn packets(&mut self, buffer: &[u8], used: &mut usize) -> Result<(), Stop> {
        loop {
            if self.is_busy() {
                self.halted = true;
                return Ok(());
            }
            // A client that sends but does not read its answers is not served further.
            if self.out.len() >= self.broker.limits.max_write_buffer {
                self.choked = true;
                self.halted = true;
                return Ok(());
            }
            let rest = buffer.get(*used..).unwrap_or_default();
            let Some(frame) = frame(rest, Some(self.level), self.broker.limits.max_packet)? else { return Ok(()) };
            let Some(body) = rest.get(frame.header..frame.total) else { return Ok(()) };
            match decode(frame.first, body, self.level)? {
                Packet::Publish(publish) => {
                    if self.publish(publish)? == Taken::Later {
                        return Ok(());
                    }
                }
                Packet::Ack(ack) => self.acknowledged(ack)?,
                Packet::PingReq => self.out.put(|out| encode(&Packet::PingResp, self.level, out)),
                Packet::Subscribe(packet) => Box::pin(self.subscribe(packet)).await?,
                Packet::Unsubscribe(packet) => Box::pin(self.unsubscribe(packet)).await?,
                Packet::Disconnect(packet) => return Err(self.goodbye(packet.reason, packet.properties)),
                Packet::Connect(_) => return Err(DecodeError::protocol("a second CONNECT").into()),
                Packet::Auth(_) => return Err(DecodeError::protocol("AUTH without an authentication method in CONNECT").into()),
                Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                    return Err(DecodeError::protocol("a packet that only a server sends").into());
                }
            }
            *used += frame.total;
        }
    }

    /// DISCONNECT (3.14): the end, with the session's last wishes.
    fn goodbye(&mut self, reason: Reason, properties: Properties<'_>) -> Stop {
        if properties.get(id::SERVER_REFERENCE).is_some() {
            return DecodeError::protocol("a server reference from a client").into();
        }
        if let Some(expiry) = properties.number(id::SESSION_EXPIRY) {
            if self.client.transient && expiry > 0 {
                return DecodeError::protocol("session expiry at DISCONNECT where CONNECT had none").into();
            }
            self.session.mail.lock().expiry = expiry.min(self.broker.limits.max_session_expiry);
            self.unsaved = true;
        }
        if reason == Reason::Success {
            self.will = None;
        }
        Stop { why: Ended::Disconnect, detail: None }
    }

    fn publish(&mut self, publish: Publish<'_>) -> Result<Taken, Stop> {
        let mut alias = None;
        if self.level.is_v5() && !publish.properties.raw().is_empty() {
            if publish.properties.get(id::SUBSCRIPTION_IDENTIFIER).is_some() {
                return Err(DecodeError::protocol("a subscription identifier from a client").into());
            }
            if let Some(number) = publish.properties.number(id::TOPIC_ALIAS) {
                alias = Some(self.resolve_alias(number, publish.topic)?);
            }
        }
        let publish = Publish { topic: alias.as_deref().unwrap_or(publish.topic), ..publish };
        let ack = match publish.qos {
            0 => None,
            1 => Some((AckKind::PubAck, publish.pid)),
            _ => Some((AckKind::PubRec, publish.pid)),
        };
        if publish.qos == 2 && self.flow.received.contains(&publish.pid) {
            // Taken before. If it still waits for the disk, its PUBREC is on its way.
            if !self.pending.iter().any(|p| p.ack == ack) {
                self.ack(AckKind::PubRec, publish.pid, Reason::Success);
            }
            return Ok(Taken::Yes);
        }
        let open = self.receiving + self.flow.received.len();
        if publish.qos > 0 && self.level.is_v5() && open >= usize::from(self.broker.limits.max_inflight) {
            return Err(Stop::closed(Reason::ReceiveMaximumExceeded));
        }
        // Asked before the host, so that a message the host has counted does not wait.
        if self.accepted.is_none() && self.wait_for_room(false) {
            return Ok(Taken::Later);
        }
        let accepted = match self.accepted.take() {
            Some(accepted) => Ok(*accepted),
            None => {
                count(&self.broker.counters.messages_in, 1);
                count(&self.session.tenant.counters.messages_in, 1);
                self.may_publish(&publish)
            }
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(reason) => return self.refuse(ack, reason).map(|()| Taken::Yes),
        };
        let durability = accepted.durability;
        let again = accepted.clone();
        let (message, picked) =
            new_message(&*self.broker.host, &self.session.tenant, &self.broker.clock, &publish, accepted, self.session.key);
        match self.broker.journal.append(message, durability) {
            Ok(ticket) => {
                let stored = ticket.record.map(|record| (ticket.seq, record));
                self.expect(ack, Pending { stored, ack, reason: Reason::Success, picked });
                Ok(Taken::Yes)
            }
            Err(journal::JournalError::Full) => {
                self.accepted = Some(Box::new(again));
                self.wait_for_room(true);
                Ok(Taken::Later)
            }
            Err(error) => {
                tracing::warn!(%error, "a message could not be stored");
                self.refuse(ack, storage_reason(&error)).map(|()| Taken::Yes)
            }
        }
    }

    /// True when the journal has too much to write and this connection waits for it (in any case, when `known`).
    fn wait_for_room(&mut self, known: bool) -> bool {
        if !known && futures_util::FutureExt::now_or_never(self.broker.journal.admit()).is_some() {
            return false;
        }
        let journal = self.broker.journal.clone();
        self.admit = Some(Box::pin(async move { journal.admit().await }));
        true
    }

    fn may_publish(&self, publish: &Publish<'_>) -> Result<Accepted, Reason> {
        self.broker.check_topic(publish.topic)?;
        if publish.properties.raw().len() > self.broker.limits.max_properties {
            return Err(Reason::QuotaExceeded);
        }
        if publish.properties.payload_is_text() && std::str::from_utf8(publish.payload).is_err() {
            return Err(Reason::PayloadFormatInvalid);
        }
        self.broker.check_retained(&self.session.tenant, publish)?;
        self.broker.host.accept(&self.peer, publish)
    }

    /// A publish is not taken. MQTT 5 hears why, in turn; 3.1.1 is closed, because there an acknowledgement would be a lie.
    fn refuse(&mut self, ack: Option<(AckKind, u16)>, reason: Reason) -> Result<(), Stop> {
        count(&self.broker.counters.messages_refused, 1);
        count(&self.session.tenant.counters.messages_refused, 1);
        if !self.level.is_v5() {
            return Err(Stop::closed(reason));
        }
        if ack.is_some() {
            self.expect(ack, Pending { stored: None, ack, reason: publish_reason(reason), picked: SmallVec::new() });
        }
        Ok(())
    }

    fn expect(&mut self, ack: Option<(AckKind, u16)>, pending: Pending) {
        match ack {
            Some((AckKind::PubAck, _)) => self.receiving += 1,
            Some((_, pid)) => {
                self.flow.received.insert(pid);
            }
            None => {}
        }
        self.pending.push_back(pending);
    }

    /// The topic an alias stands for; sets it when there is a topic (3.3.2.3.4).
    fn resolve_alias(&mut self, number: u32, topic: &str) -> Result<Arc<str>, Stop> {
        let bad = |detail| Stop::from(DecodeError { reason: Reason::TopicAliasInvalid, detail });
        if number > u32::from(self.broker.limits.max_topic_alias) {
            return Err(bad("topic alias beyond the maximum"));
        }
        let at = number as usize;
        if self.aliases_in.len() <= at {
            self.aliases_in.resize(at + 1, None);
        }
        let slot = self.aliases_in.get_mut(at).ok_or(Stop::LOST)?;
        if topic.is_empty() {
            // An alias that was never set is a protocol error (3.3.4).
            slot.clone().ok_or(DecodeError::protocol("topic alias that was never set").into())
        } else {
            let topic: Arc<str> = topic.into();
            *slot = Some(Arc::clone(&topic));
            Ok(topic)
        }
    }

    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    fn acknowledged(&mut self, ack: Ack<'_>) -> Result<(), Stop> {
        let at = self.flow.find(ack.pid);
        let stage = at.and_then(|at| self.flow.slots.get(at)).filter(|slot| slot.sent).map(|slot| slot.stage);
        match (ack.kind, stage, at) {
            (AckKind::PubAck, Some(Stage::PubAck), Some(at)) | (AckKind::PubRec, Some(Stage::PubRec), Some(at))
                if ack.reason.is_error() =>
            {
                self.refused(at, ack.reason);
            }
            (AckKind::PubAck, Some(Stage::PubAck), Some(at)) => self.delivered(at, None),
            (AckKind::PubRec, Some(Stage::PubRec), Some(at)) => {
                self.delivered(at, Some(Stage::PubComp));
                self.ack(AckKind::PubRel, ack.pid, Reason::Success);
            }
            (AckKind::PubRec, Some(Stage::PubComp), _) => self.ack(AckKind::PubRel, ack.pid, Reason::Success),
            // Unknown after a restart: the client is helped out of it.
            (AckKind::PubRec, None, _) if !ack.reason.is_error() => self.ack(AckKind::PubRel, ack.pid, Reason::PacketIdentifierNotFound),
            (AckKind::PubComp, Some(Stage::PubComp), Some(at)) => self.delivered(at, None),
            (AckKind::PubRel, _, _) => {
                let reason = if self.flow.received.remove(&ack.pid) { Reason::Success } else { Reason::PacketIdentifierNotFound };
                self.ack(AckKind::PubComp, ack.pid, reason);
            }
            // The wrong acknowledgement for a publish in flight (4.3).
            (AckKind::PubAck, Some(Stage::PubRec), _) | (AckKind::PubComp, Some(Stage::PubAck | Stage::PubRec), _) => {
                return Err(DecodeError::protocol("an acknowledgement of the wrong kind").into());
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn ack(&mut self, kind: AckKind, pid: u16, reason: Reason) {
        let packet = Packet::Ack(Ack { kind, pid, reason, properties: Properties::NONE });
        let level = self.level;
        self.out.put(|out| encode(&packet, level, out));
    }
}

/// PUBACK and PUBREC know few reasons (3.4.2.1); others become the nearest one.
fn publish_reason(reason: Reason) -> Reason {
    match reason {
        Reason::ImplementationSpecific
        | Reason::NotAuthorized
        | Reason::TopicNameInvalid
        | Reason::PacketIdentifierInUse
        | Reason::QuotaExceeded
        | Reason::PayloadFormatInvalid => reason,
        Reason::PacketTooLarge | Reason::MessageRateTooHigh | Reason::ServerBusy => Reason::QuotaExceeded,
        Reason::Banned | Reason::BadUserNameOrPassword => Reason::NotAuthorized,
        _ => Reason::Unspecified,
    }
}
