//! Messages to the client: what is sent again, retained messages, inboxes, the letter box — within its receive maximum.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use journal::{InboxId, Record, Seq};
use model::ThingId;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::{Connection, Stop};
use crate::Undelivered;
use crate::broker::count;
use crate::codec::{AckKind, Filter, Properties, Publish, check_filter, id, publish_head, put_varint, varint_len};
use crate::session::{Outgoing, Slot, Stage, Via};
use crate::tree::matches;
use crate::{Host, Inbox, Reason};

/// Inbox records asked for at a time.
const FETCH: usize = 64;
/// Records counted as unanswered at a time; beyond it counting begins anew.
const MOST_UNANSWERED: usize = 100_000;
/// Letters taken out at a time.
const COLLECT: usize = 32;

/// Which inbox a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The session's own queue.
    Queue,
    /// A thing's.
    Thing(Inbox),
}

/// Reads one inbox of the journal in order.
pub(super) struct Consumer {
    source: Source,
    inbox: InboxId,
    /// Of a thing's inboxes the one that is watched for all of them: the one of normal priority. The others are opened when there is
    /// something in them.
    base: InboxId,
    /// Something may have come into another priority's inbox.
    look: bool,
    /// Highest `QoS` of the filters that open it; of no meaning for the own queue.
    qos: u8,
    ids: SmallVec<[u32; 1]>,
    after: Option<Seq>,
    fetched: VecDeque<Arc<Record>>,
    /// There may be more than what was fetched.
    more: bool,
    watch: Arc<Notify>,
    added: Option<Pin<Box<OwnedNotified>>>,
    /// Sent before, on another connection, up to here.
    again_until: Option<Seq>,
}

impl Consumer {
    fn new(source: Source, inbox: InboxId, base: InboxId, watch: Arc<Notify>, again_until: Option<Seq>) -> Self {
        let added = (inbox == base).then(|| Box::pin(Arc::clone(&watch).notified_owned()));
        Self {
            source,
            inbox,
            base,
            look: true,
            qos: 0,
            ids: SmallVec::new(),
            after: None,
            fetched: VecDeque::new(),
            more: true,
            watch,
            added,
            again_until,
        }
    }

    /// True when something was added since the last look.
    pub fn poll_added(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(added) = &mut self.added else { return false };
        if added.as_mut().poll(cx).is_pending() {
            return false;
        }
        // Listening again before the next fetch, so that nothing is missed in between.
        self.added = Some(Box::pin(Arc::clone(&self.watch).notified_owned()));
        self.more = true;
        self.look = true;
        true
    }
}

/// Is this one of the inboxes of the thing whose normal inbox is `base`?
pub(super) fn is_level(base: InboxId, inbox: InboxId) -> bool {
    base == inbox || InboxId::levels_of(ThingId(base.0)).any(|level| level == inbox)
}

impl<H, S> Connection<'_, H, S>
where
    H: Host,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Sends what may be sent now.
    pub(super) async fn output(&mut self) -> Result<(), Stop> {
        self.send_again();
        self.send_backlog();
        self.open_levels();
        for at in 0..self.consumers.len() {
            self.send_inbox(at).await?;
        }
        self.send_letters();
        Ok(())
    }

    fn full(&mut self) -> bool {
        let full = self.out.len() >= self.broker.limits.max_write_buffer;
        self.choked |= full;
        full
    }

    /// Publishes above `QoS` 0 that may still be sent before an acknowledgement comes.
    fn window(&self) -> usize {
        let closed = self.flow.unsent > 0 || self.flow.held >= self.broker.limits.max_queued_bytes;
        if closed { 0 } else { usize::from(self.client.receive_max).saturating_sub(self.flow.in_flight()) }
    }

    /// What was in flight when the last connection ended: same packet identifiers, same order, DUP (4.4).
    fn send_again(&mut self) {
        while self.flow.unsent > 0 && self.flow.in_flight() < usize::from(self.client.receive_max) && !self.full() {
            let Some(at) = self.flow.slots.iter().position(|slot| !slot.sent) else {
                self.flow.unsent = 0;
                return;
            };
            let Some(slot) = self.flow.slots.get_mut(at) else { return };
            slot.sent = true;
            self.flow.unsent -= 1;
            let (pid, via) = (slot.pid, slot.via);
            match (slot.stage, slot.message.clone()) {
                (Stage::PubComp, _) | (_, None) => self.ack(AckKind::PubRel, pid, Reason::Success),
                (_, Some(message)) => {
                    let rendered = match via {
                        Via::Thing(inbox) => match self.broker.host.render(&self.peer, inbox.form, &message.record) {
                            Some(rendered) => Some(rendered),
                            None => {
                                self.flow.slots.remove(at);
                                self.flow.held -= message.size();
                                continue;
                            }
                        },
                        _ => None,
                    };
                    if !self.send(&message, rendered.as_ref(), pid, true) {
                        self.delivered(at, None);
                    }
                }
            }
        }
    }

    fn send_backlog(&mut self) {
        while let Some(next) = self.flow.backlog.front() {
            if next.qos > 0 && self.window() == 0 || self.full() {
                return;
            }
            if let Some(message) = self.flow.backlog.pop_front() {
                self.send_new(message, None, Via::Direct, false);
            }
        }
        if self.flow.backlog.capacity() > 0 {
            self.flow.backlog = VecDeque::new();
        }
    }

    fn send_letters(&mut self) {
        loop {
            if self.full() {
                return;
            }
            let mut window = self.window();
            let letters = self.session.collect(COLLECT, |message| {
                let room = message.qos == 0 || window > 0;
                window = window.saturating_sub(usize::from(message.qos > 0));
                room
            });
            if letters.is_empty() {
                return;
            }
            for message in letters {
                self.send_new(message, None, Via::Direct, false);
            }
        }
    }

    async fn send_inbox(&mut self, at: usize) -> Result<(), Stop> {
        loop {
            if self.full() {
                return Ok(());
            }
            let window = self.window();
            let Some(consumer) = self.consumers.get_mut(at) else { return Ok(()) };
            // A thing's inbox opened at QoS 0 needs no window; the own queue holds nothing else.
            let needs_window = consumer.source == Source::Queue || consumer.qos > 0;
            if needs_window && window == 0 {
                return Ok(());
            }
            if let Some(record) = consumer.fetched.pop_front() {
                self.send_record(at, record);
                continue;
            }
            if !consumer.more {
                return Ok(());
            }
            let limit = if needs_window { window.min(FETCH) } else { FETCH };
            let records = match self.broker.journal.inbox_next(consumer.inbox, consumer.after, limit).await {
                Ok(records) => records,
                Err(error) => {
                    tracing::error!(%error, "an inbox could not be read");
                    return Err(Stop::closed(Reason::ServerBusy));
                }
            };
            // Fewer than asked for does not mean the end: expired ones are left out.
            consumer.more = !records.is_empty();
            if let Some(last) = records.last() {
                consumer.after = Some(last.seq);
            }
            consumer.fetched = records.into();
        }
    }

    fn send_record(&mut self, at: usize, record: Arc<Record>) {
        let Some(consumer) = self.consumers.get(at) else { return };
        let (source, seq) = (consumer.source, record.seq);
        let in_flight = self.flow.slots.iter().any(|slot| {
            let same = match (slot.via, source) {
                (Via::Queue, Source::Queue) => true,
                (Via::Thing(a), Source::Thing(b)) => a.id == b.id,
                _ => false,
            };
            same && slot.message.as_ref().is_some_and(|message| message.record.seq == seq)
        });
        let unwritten = |(via, written): &(Source, Arc<Record>)| {
            let same = matches!((via, source), (Source::Thing(a), Source::Thing(b)) if a.id == b.id);
            same && written.seq == seq
        };
        if in_flight || self.unwritten.iter().any(unwritten) || record.expired(self.broker.clock.now()) {
            return;
        }
        match source {
            Source::Queue => {
                let record = self.broker.heard(&record);
                let topic = record.topic_str();
                let (mut qos, mut retain, mut ids, mut any) = (0, false, SmallVec::new(), false);
                for sub in &self.flow.subs {
                    let Ok(Filter { filter, .. }) = check_filter(&sub.filter) else { continue };
                    if matches(filter, topic) {
                        any = true;
                        qos = qos.max(sub.options.qos().min(record.qos));
                        retain |= sub.options.retain_as_published() && record.retain;
                        if sub.identifier != 0 {
                            ids.push(sub.identifier);
                        }
                    }
                }
                if any {
                    self.send_new(Outgoing { record, qos, retain, ids }, None, Via::Queue, false);
                } else {
                    // Unsubscribed meanwhile.
                    self.broker.journal.inbox_ack(self.session.inbox, seq);
                }
            }
            Source::Thing(inbox) => {
                let qos = consumer.qos.min(record.qos.max(1));
                let again = qos > 0 && consumer.again_until.is_some_and(|until| seq <= until);
                let ids = consumer.ids.clone();
                // Not for this peer in this form: it stays where it is.
                let Some(rendered) = self.broker.host.render(&self.peer, inbox.form, &record) else { return };
                let message = Outgoing { record, qos, retain: false, ids };
                self.send_new(message, Some(&rendered), Via::Thing(inbox), again);
            }
        }
    }

    fn send_new(&mut self, message: Outgoing, rendered: Option<&(String, Bytes)>, via: Via, again: bool) {
        if message.qos == 0 {
            let sent = self.send(&message, rendered, 0, false);
            let source = match via {
                Via::Direct => return,
                Via::Queue => Source::Queue,
                Via::Thing(inbox) => Source::Thing(inbox),
            };
            match source {
                _ if sent => self.unwritten.push((source, message.record)),
                Source::Queue => self.clear_record(source, &message.record, false),
                Source::Thing(inbox) => self.too_large(inbox, &message.record),
            }
            return;
        }
        let pid = self.flow.next_pid();
        let sent = self.send(&message, rendered, pid, again);
        match via {
            _ if sent => {
                let stage = if message.qos == 1 { Stage::PubAck } else { Stage::PubRec };
                self.flow.held += message.size();
                self.flow.slots.push_back(Slot { pid, stage, sent: true, via, message: Some(message) });
            }
            Via::Direct => {}
            Via::Queue => self.clear_record(Source::Queue, &message.record, false),
            Via::Thing(inbox) => self.too_large(inbox, &message.record),
        }
    }

    /// A record of a thing's inbox was not sent and never will be.
    fn too_large(&self, inbox: Inbox, record: &Arc<Record>) {
        if !record.expired(self.broker.clock.now()) && !self.broker.host.undeliverable(&self.peer, inbox.id, record, Undelivered::TooLarge)
        {
            self.clear_record(Source::Thing(inbox), record, false);
        }
    }

    /// Writes one PUBLISH. False when it is not sent and never will be: its time has run out, or it is larger than the client takes.
    fn send(&mut self, message: &Outgoing, rendered: Option<&(String, Bytes)>, pid: u16, dup: bool) -> bool {
        let record = &message.record;
        let (topic, payload) = match rendered {
            Some((topic, payload)) => (topic.as_str(), payload),
            None => (record.topic_str(), &record.payload),
        };
        let mut extra: SmallVec<[u8; 32]> = SmallVec::new();
        let mut alias = Alias::None;
        let v5 = self.level.is_v5();
        if let Some(end) = record.expires {
            let left = end.as_microsecond() - self.broker.clock.now().as_microsecond();
            if left <= 0 && !dup {
                return false;
            }
            if v5 {
                // Rounded up, so that what is not yet over is not said to be.
                let seconds = u32::try_from((left.max(0) + 999_999) / 1_000_000).unwrap_or(u32::MAX);
                extra.push(id::MESSAGE_EXPIRY);
                extra.extend_from_slice(&seconds.to_be_bytes());
            }
        }
        if v5 {
            for identifier in &message.ids {
                let mut bytes = Vec::with_capacity(5);
                put_varint(&mut bytes, *identifier);
                extra.push(id::SUBSCRIPTION_IDENTIFIER);
                extra.extend_from_slice(&bytes);
            }
            alias = self.alias(topic);
            if let Alias::New(number) | Alias::Known(number) = alias {
                extra.push(id::TOPIC_ALIAS);
                extra.extend_from_slice(&number.to_be_bytes());
            }
        }
        let properties = if v5 { Properties::trusted(&record.properties) } else { Properties::NONE };
        let publish = Publish {
            dup,
            qos: message.qos,
            retain: message.retain,
            topic: if matches!(alias, Alias::Known(_)) { "" } else { topic },
            pid,
            properties,
            payload: &[],
        };
        let around = properties.raw().len() + extra.len();
        let remaining = 2 + publish.topic.len() + 2 + varint_len(around) + around + payload.len();
        if 1 + varint_len(remaining) + remaining > self.client.max_packet {
            if let Alias::New(_) = alias {
                // The client never saw it.
                self.aliases_out.as_mut().and_then(|known| known.remove(topic.as_bytes()));
            }
            count(&self.broker.counters.messages_dropped, 1);
            count(&self.session.tenant.counters.messages_dropped, 1);
            return false;
        }
        let level = self.level;
        self.out.put(|out| publish_head(&publish, &extra, payload.len(), level, out));
        self.out.payload(payload);
        count(&self.broker.counters.messages_out, 1);
        count(&self.session.tenant.counters.messages_out, 1);
        true
    }

    /// The alias for a topic: the first topics that come get one, as many as both sides allow.
    fn alias(&mut self, topic: &str) -> Alias {
        if self.client.alias_max == 0 || topic.len() < 4 {
            return Alias::None;
        }
        let known = self.aliases_out.get_or_insert_default();
        if let Some(number) = known.get(topic.as_bytes()) {
            return Alias::Known(*number);
        }
        match u16::try_from(known.len() + 1) {
            Ok(number) if number <= self.client.alias_max => {
                known.insert(Bytes::copy_from_slice(topic.as_bytes()), number);
                Alias::New(number)
            }
            _ => Alias::None,
        }
    }

    /// A slot's message has arrived: its source forgets it. The slot goes, or waits on for `next`.
    pub(super) fn delivered(&mut self, at: usize, next: Option<Stage>) {
        let Some(slot) = self.flow.slots.get_mut(at) else { return };
        let (via, message) = (slot.via, slot.message.take());
        match next {
            Some(stage) => slot.stage = stage,
            None => {
                self.flow.slots.remove(at);
            }
        }
        if let Some(message) = message {
            self.flow.held -= message.size();
            match via {
                Via::Direct => {}
                Via::Queue => self.clear_record(Source::Queue, &message.record, true),
                Via::Thing(inbox) => self.clear_record(Source::Thing(inbox), &message.record, true),
            }
        }
    }

    /// The client does not want it: the standard's "treated as acknowledged", but what came from a thing's inbox is the host's to keep.
    pub(super) fn refused(&mut self, at: usize, reason: Reason) {
        let kept = match self.flow.slots.get(at) {
            Some(Slot { via: Via::Thing(inbox), message: Some(message), .. }) => {
                self.broker.host.undeliverable(&self.peer, inbox.id, &message.record, Undelivered::Refused(reason))
            }
            _ => false,
        };
        if !kept {
            return self.delivered(at, None);
        }
        self.forget_slot(at);
    }

    /// The slot goes; its record stays where it is.
    fn forget_slot(&mut self, at: usize) {
        if let Some(slot) = self.flow.slots.remove(at) {
            self.flow.held -= slot.message.as_ref().map_or(0, Outgoing::size);
        }
    }

    /// The connection ended before the client answered: the first record of each thing's inbox that had no answer is counted, and after
    /// so many times it is the host's to move away.
    pub(super) fn note_unanswered(&mut self) {
        let most = self.broker.limits.max_deliveries;
        let first = self.flow.slots.iter().position(|slot| slot.sent && slot.stage != Stage::PubComp && matches!(slot.via, Via::Thing(_)));
        let Some(at) = first.filter(|_| most > 0) else { return };
        let Some(Slot { via: Via::Thing(inbox), message: Some(message), .. }) = self.flow.slots.get(at) else { return };
        let key = (inbox.id, message.record.seq);
        let times = {
            let mut all = self.broker.unanswered.lock();
            if all.len() >= MOST_UNANSWERED && !all.contains_key(&key) {
                all.clear();
            }
            let times = all.entry(key).or_default();
            *times += 1;
            *times
        };
        if times >= most && self.broker.host.undeliverable(&self.peer, inbox.id, &message.record, Undelivered::Unanswered(times)) {
            self.broker.unanswered.lock().remove(&key);
            self.forget_slot(at);
        }
    }

    /// Inbox records written at `QoS` 0 are done.
    pub(super) fn acknowledge_written(&mut self) {
        for (source, record) in std::mem::take(&mut self.unwritten) {
            self.clear_record(source, &record, true);
        }
    }

    fn clear_record(&self, source: Source, record: &Record, arrived: bool) {
        match source {
            Source::Queue => self.broker.journal.inbox_ack(self.session.inbox, record.seq),
            Source::Thing(inbox) => {
                self.broker.journal.inbox_ack(inbox.id, record.seq);
                if self.broker.limits.max_deliveries > 0 {
                    self.broker.unanswered.lock().remove(&(inbox.id, record.seq));
                }
                if arrived {
                    self.broker.host.delivered(&self.peer, record);
                }
            }
        }
    }

    /// Opens and closes consumers as the subscriptions say.
    pub(super) fn open_consumers(&mut self) {
        let mut wanted: Vec<(Source, u8, SmallVec<[u32; 1]>)> = Vec::new();
        if self.session.is_persistent() || self.resumed {
            wanted.push((Source::Queue, 0, SmallVec::new()));
        }
        for sub in &self.flow.subs {
            let Some(inbox) = sub.inbox else { continue };
            let ids = (sub.identifier != 0).then_some(sub.identifier);
            // Several filters may open one inbox: its records come once, in whichever form of theirs fits.
            match wanted.iter_mut().find(|(source, ..)| matches!(source, Source::Thing(open) if open.id == inbox.id)) {
                Some((source, qos, known)) => {
                    if let Source::Thing(open) = source {
                        open.form |= inbox.form;
                    }
                    *qos = (*qos).max(sub.options.qos());
                    known.extend(ids);
                }
                None => wanted.push((Source::Thing(inbox), sub.options.qos(), ids.into_iter().collect())),
            }
        }
        let mut old = std::mem::take(&mut self.consumers);
        for (source, qos, ids) in wanted {
            let inbox = match source {
                Source::Queue => self.session.inbox,
                Source::Thing(inbox) => inbox.id,
            };
            let mut consumer = match old.iter().position(|consumer| consumer.inbox == inbox) {
                Some(at) => old.swap_remove(at),
                None => {
                    let again_until = self.broker.sent.lock().get(&inbox).copied();
                    Consumer::new(source, inbox, inbox, self.broker.journal.inbox_watch(inbox), again_until)
                }
            };
            if consumer.source != source {
                // What was passed over may fit the new form.
                (consumer.after, consumer.more) = (None, true);
                consumer.fetched.clear();
            }
            (consumer.source, consumer.qos, consumer.ids) = (source, qos, ids);
            self.consumers.push(consumer);
        }
        let wanted = self.consumers.len();
        for mut level in std::mem::take(&mut old) {
            let base = self.consumers.iter().take(wanted).find(|base| base.base == level.base && level.inbox != level.base);
            match base.map(|base| (base.source, base.qos, base.ids.clone())) {
                Some((Source::Thing(open), qos, ids)) => {
                    (level.source, level.qos, level.ids) = (Source::Thing(Inbox { id: level.inbox, form: open.form }), qos, ids);
                    self.consumers.push(level);
                }
                _ => old.push(level),
            }
        }
        self.note_sent(old);
        self.sort_levels();
    }

    /// Opens the inboxes of other priorities in which there is something.
    fn open_levels(&mut self) {
        if !self.consumers.iter().any(|consumer| consumer.look && consumer.source != Source::Queue) {
            return;
        }
        let mut fresh = Vec::new();
        for at in 0..self.consumers.len() {
            let Some(consumer) = self.consumers.get_mut(at) else { break };
            let look = std::mem::take(&mut consumer.look);
            let Source::Thing(open) = consumer.source else { continue };
            if !look || consumer.inbox != consumer.base {
                continue;
            }
            let (base, qos, ids, watch) = (consumer.base, consumer.qos, consumer.ids.clone(), Arc::clone(&consumer.watch));
            for inbox in self.broker.journal.inbox_levels(ThingId(base.0)).into_iter().filter(|inbox| *inbox != base) {
                match self.consumers.iter_mut().find(|consumer| consumer.inbox == inbox) {
                    Some(known) => known.more = true,
                    None => {
                        let again_until = self.broker.sent.lock().get(&inbox).copied();
                        let source = Source::Thing(Inbox { id: inbox, form: open.form });
                        let level = Consumer::new(source, inbox, base, Arc::clone(&watch), again_until);
                        fresh.push(Consumer { qos, ids: ids.clone(), look: false, ..level });
                    }
                }
            }
        }
        if !fresh.is_empty() {
            self.consumers.extend(fresh);
            self.sort_levels();
        }
    }

    /// Of a thing's inboxes the highest priority is read first.
    fn sort_levels(&mut self) {
        self.consumers.sort_by_key(|consumer| {
            let rank = InboxId::levels_of(ThingId(consumer.base.0)).position(|level| level == consumer.inbox);
            (consumer.source != Source::Queue, consumer.base, rank)
        });
    }

    pub(super) fn let_consumers_go(&mut self) {
        let consumers = std::mem::take(&mut self.consumers);
        self.note_sent(consumers);
    }

    /// Remembers how far things' inboxes were sent, so that what comes again says so.
    fn note_sent(&self, consumers: Vec<Consumer>) {
        for consumer in consumers.into_iter().filter(|consumer| consumer.source != Source::Queue) {
            let next = consumer.fetched.front().map(|record| Seq(record.seq.0.saturating_sub(1)));
            let until = next.or(consumer.after).max(consumer.again_until);
            let mut sent = self.broker.sent.lock();
            match until {
                Some(until) if self.broker.journal.inbox_len(consumer.inbox) > 0 => {
                    sent.insert(consumer.inbox, until);
                }
                _ => {
                    sent.remove(&consumer.inbox);
                }
            }
        }
    }
}

enum Alias {
    None,
    New(u16),
    Known(u16),
}
