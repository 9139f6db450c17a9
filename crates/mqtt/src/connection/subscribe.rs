//! SUBSCRIBE and UNSUBSCRIBE, and what a resumed session brings along.

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite};

use super::output::is_level;
use super::{Connection, Stop};
use crate::broker::is_figure;
use crate::codec::{
    CodesAck, Filter, Packet, Properties, PropertyWriter, Subscribe, SubscribeOptions, Unsubscribe, Value, check_filter, encode, id,
};
use crate::session::{Outgoing, Stage, Sub, Via};
use crate::{Host, Reason};

impl<H, S> Connection<'_, H, S>
where
    H: Host,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) async fn subscribe(&mut self, packet: Subscribe<'_>) -> Result<(), Stop> {
        let identifier = packet.properties.number(id::SUBSCRIPTION_IDENTIFIER).unwrap_or(0);
        let mut codes: SmallVec<[u8; 4]> = SmallVec::new();
        let mut fresh: SmallVec<[(Sub, bool); 4]> = SmallVec::new();
        let mut detail = None;
        for (text, options) in &packet.filters {
            match self.grant(text, *options, identifier) {
                Ok(sub) => {
                    codes.push(sub.options.qos());
                    let known = self.remember(sub.clone());
                    fresh.push((sub, known));
                }
                Err((reason, why)) => {
                    codes.push(if self.level.is_v5() { reason.code() } else { Reason::Unspecified.code() });
                    detail = Some(why);
                }
            }
        }
        if !fresh.is_empty()
            && self.session.is_persistent()
            && let Err(reason) = self.broker.save(&self.session, &self.flow).await
        {
            // What can't be kept is not granted.
            tracing::warn!(%reason, "a session could not be kept");
            for (sub, known) in fresh.drain(..) {
                if !known {
                    self.forget(&sub.filter);
                }
            }
            codes.iter_mut().for_each(|code| *code = Reason::Unspecified.code());
        }
        for (sub, known) in &fresh {
            self.broker.subscribe(&self.session, sub);
            self.queue_retained(sub, *known)?;
        }
        self.open_consumers();
        let mut properties = PropertyWriter::new();
        let fits = |detail: &&str| detail.len() + codes.len() + 16 < self.client.max_packet;
        if let Some(detail) = detail.filter(fits).filter(|_| self.level.is_v5() && self.client.problem_info) {
            properties.put(id::REASON_STRING, Value::Str(detail));
        }
        let ack = CodesAck { pid: packet.pid, properties: properties.properties(), codes: &codes };
        self.answer(&ack, Packet::SubAck(ack))
    }

    /// SUBACK or UNSUBACK. A client with no room for the answer to what it asked is closed (3.1.2.11.4).
    fn answer(&mut self, ack: &CodesAck<'_>, packet: Packet<'_>) -> Result<(), Stop> {
        let level = self.level;
        if level.is_v5() && ack.codes.len() + ack.properties.raw().len() + 8 > self.client.max_packet.max(12) {
            return Err(Stop::closed(Reason::PacketTooLarge));
        }
        self.out.put(|out| encode(&packet, level, out));
        Ok(())
    }

    fn grant(&self, text: &str, options: SubscribeOptions, identifier: u32) -> Result<Sub, (Reason, &'static str)> {
        let limits = &self.broker.limits;
        let Filter { filter, .. } = check_filter(text).map_err(|error| (error.reason, error.detail))?;
        if text.len() > limits.max_topic_bytes || filter.bytes().filter(|b| *b == b'/').count() >= limits.max_topic_levels {
            return Err((Reason::TopicFilterInvalid, "the topic filter has too many levels or bytes"));
        }
        if self.flow.subs.len() >= limits.max_subscriptions && !self.flow.subs.iter().any(|sub| *sub.filter == *text) {
            return Err((Reason::QuotaExceeded, "the session has as many subscriptions as it may"));
        }
        let allowed = self.broker.host.may_subscribe(&self.peer, filter).ok_or((Reason::NotAuthorized, "not authorized"))?;
        let options = options.with_qos(options.qos().min(allowed.max_qos)).with_screen(allowed.screened);
        Ok(Sub { filter: text.into(), options, identifier, inbox: allowed.inbox })
    }

    /// True when it replaced a subscription to the same filter.
    fn remember(&mut self, sub: Sub) -> bool {
        match self.flow.subs.iter_mut().find(|known| known.filter == sub.filter) {
            Some(known) => {
                *known = sub;
                true
            }
            None => {
                self.flow.subs.push(sub);
                false
            }
        }
    }

    fn forget(&mut self, filter: &str) -> bool {
        let Some(at) = self.flow.subs.iter().position(|sub| *sub.filter == *filter) else { return false };
        self.flow.subs.swap_remove(at);
        self.broker.unsubscribe(&self.session, filter);
        true
    }

    /// Retained messages for a subscription (3.8.3.1, retain handling); none for shared ones. Who asks for more while many of them
    /// still wait is closed: one small packet may ask for all of them thousands of times.
    fn queue_retained(&mut self, sub: &Sub, known: bool) -> Result<(), Stop> {
        let Ok(Filter { group: None, filter }) = check_filter(&sub.filter) else { return Ok(()) };
        let wanted = match sub.options.retain_handling() {
            0 => true,
            1 => !known,
            _ => false,
        };
        if !wanted {
            return Ok(());
        }
        if self.flow.backlog.len() >= self.broker.limits.max_queued_per_session {
            return Err(Stop::closed(Reason::QuotaExceeded));
        }
        let found = if is_figure(filter) {
            self.broker.figures(&self.session.tenant, filter)
        } else {
            self.session.tenant.retained.read().find(filter, self.broker.clock.now())
        };
        let host = &self.broker.host;
        let found = found.into_iter().filter(|record| !sub.options.screened() || host.hears(record.thing, record.topic_str()));
        self.flow.backlog.extend(found.map(|record| Outgoing {
            qos: sub.options.qos().min(record.qos),
            retain: true,
            ids: if sub.identifier == 0 { SmallVec::new() } else { SmallVec::from_elem(sub.identifier, 1) },
            record,
        }));
        Ok(())
    }

    pub(super) async fn unsubscribe(&mut self, packet: Unsubscribe<'_>) -> Result<(), Stop> {
        let mut codes: SmallVec<[u8; 4]> = SmallVec::new();
        let mut any = false;
        for filter in &packet.filters {
            let known = self.forget(filter);
            any |= known;
            codes.push(if known { Reason::Success.code() } else { Reason::NoSubscriptionExisted.code() });
        }
        self.open_consumers();
        if any
            && self.session.is_persistent()
            && let Err(reason) = self.broker.save(&self.session, &self.flow).await
        {
            tracing::warn!(%reason, "a session could not be kept");
        }
        let ack = CodesAck { pid: packet.pid, properties: Properties::NONE, codes: &codes };
        self.answer(&ack, Packet::UnsubAck(ack))
    }

    /// Before the first packet: a resumed session's subscriptions are asked for again (rights may have changed), and what was in flight
    /// is made ready to be sent again.
    pub(super) async fn resume(&mut self) -> Result<(), Stop> {
        if self.resumed {
            let subs = std::mem::take(&mut self.flow.subs);
            let before = subs.len();
            for mut sub in subs {
                let Ok(Filter { filter, .. }) = check_filter(&sub.filter) else { continue };
                match self.broker.host.may_subscribe(&self.peer, filter) {
                    Some(allowed) => {
                        let qos = sub.options.qos().min(allowed.max_qos);
                        if sub.inbox != allowed.inbox || qos != sub.options.qos() || allowed.screened != sub.options.screened() {
                            sub.inbox = allowed.inbox;
                            sub.options = sub.options.with_qos(qos).with_screen(allowed.screened);
                            self.broker.subscribe(&self.session, &sub);
                        }
                        self.flow.subs.push(sub);
                    }
                    None => self.broker.unsubscribe(&self.session, &sub.filter),
                }
            }
            self.unsaved |= before != self.flow.subs.len();
            self.save_if_needed().await;
            // Inboxes this peer may no longer open keep their records; nothing of them is sent again.
            let subs = &self.flow.subs;
            self.flow.slots.retain(|slot| match slot.via {
                Via::Thing(inbox) if slot.stage != Stage::PubComp => {
                    subs.iter().any(|sub| sub.inbox.is_some_and(|i| is_level(i.id, inbox.id)))
                }
                _ => true,
            });
            self.flow.unsent = self.flow.slots.len();
            self.flow.held = self.flow.slots.iter().filter_map(|slot| slot.message.as_ref()).map(Outgoing::size).sum();
        }
        self.open_consumers();
        Ok(())
    }
}
