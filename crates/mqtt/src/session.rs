//! A session: what outlives a connection, and the letter box others put messages into.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use journal::{InboxId, Record};
use model::{TenantId, Timestamp};
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::codec::{Properties, Publish, SubscribeOptions};
use crate::tree::{Keyed, Retained, Tree};
use crate::{Inbox, Peer, Reason, SavedSubscription};

/// Everything of one tenant; routing never looks beyond it.
pub(crate) struct Tenant {
    pub id: TenantId,
    pub tree: RwLock<Tree<Entry>>,
    pub retained: RwLock<Retained>,
    /// By [`Session::name_of`].
    pub sessions: Mutex<HashMap<Arc<str>, Arc<Session>>>,
    /// Figures of this tenant alone.
    pub counters: Traffic,
    /// Persistent sessions; while there are none, a publish need not look for queues.
    pub durable: AtomicUsize,
    /// The same by principal.
    pub kept: Mutex<HashMap<Box<str>, usize>>,
}

impl Tenant {
    pub fn new(id: TenantId) -> Self {
        Self {
            id,
            tree: RwLock::default(),
            retained: RwLock::default(),
            sessions: Mutex::default(),
            counters: Traffic::default(),
            durable: AtomicUsize::new(0),
            kept: Mutex::default(),
        }
    }
}

/// What is counted for a tenant.
#[derive(Default)]
pub(crate) struct Traffic {
    pub connections: AtomicU64,
    pub messages_in: AtomicU64,
    pub messages_out: AtomicU64,
    pub messages_refused: AtomicU64,
    pub messages_dropped: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
}

/// A subscription as the tree holds it.
pub(crate) struct Entry {
    pub session: Arc<Session>,
    pub options: SubscribeOptions,
    /// 0 is none.
    pub identifier: u32,
    pub inbox: Option<InboxId>,
}

impl Keyed for Entry {
    fn key(&self) -> u64 {
        self.session.key
    }
}

/// A message on its way to one client.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub record: Arc<Record>,
    pub qos: u8,
    pub retain: bool,
    pub ids: SmallVec<[u32; 1]>,
}

impl Outgoing {
    pub fn size(&self) -> usize {
        self.record.payload.len() + self.record.topic.len() + self.record.properties.len()
    }
}

/// One client's session.
pub(crate) struct Session {
    /// Grows with time, never used twice; 0 is nobody.
    pub key: u64,
    pub tenant: Arc<Tenant>,
    /// Under which its tenant knows it.
    pub name: Arc<str>,
    pub client_id: Box<str>,
    /// Its queue in the journal.
    pub inbox: InboxId,
    /// Whose it is.
    pub principal: Box<str>,
    /// Outlives its connection.
    pub persistent: AtomicBool,
    /// Was ever kept by the host or had a queue, so that its end must clear both.
    pub stored: AtomicBool,
    /// Something is in the letter box or the connection shall end; whoever sets it wakes the connection.
    pub signal: AtomicBool,
    pub waker: AtomicWaker,
    /// Rung when a connection has let go of the session.
    pub released: Notify,
    pub mail: Mutex<Mail>,
}

pub(crate) enum State {
    Online(Arc<Peer>),
    Offline(Box<Flow>),
    /// Ending, its queue is being cleared; wait for `released`.
    Ending,
}

/// What others than its connection touch.
pub(crate) struct Mail {
    pub state: State,
    pub queue: VecDeque<Outgoing>,
    pub bytes: usize,
    /// The connection shall end.
    pub kill: Option<Reason>,
    /// The session shall end with it.
    pub discard: bool,
    /// Seconds it outlives its connection.
    pub expiry: u32,
    pub ends_at: Option<Timestamp>,
    pub will: Option<Box<PendingWill>>,
}

/// A will whose delay runs.
pub(crate) struct PendingWill {
    pub at: Timestamp,
    pub peer: Arc<Peer>,
    pub will: WillMessage,
}

/// A will as CONNECT brought it.
pub(crate) struct WillMessage {
    pub topic: Box<str>,
    pub payload: Bytes,
    pub qos: u8,
    pub retain: bool,
    /// Wire form, without the delay.
    pub properties: Bytes,
    /// Seconds.
    pub delay: u32,
}

impl WillMessage {
    pub fn as_publish(&self) -> Publish<'_> {
        Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            pid: 0,
            properties: Properties::trusted(&self.properties),
            payload: &self.payload,
        }
    }
}

/// What happened to a message put into the letter box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    Taken,
    Dropped,
    /// Above `QoS` 0 and no room: the connection is ended instead.
    Overflow,
    Offline,
}

impl Session {
    /// A client id is its principal's own. No text of either holds U+0000.
    pub fn name_of(principal: &str, client_id: &str) -> String {
        format!("{principal}\0{client_id}")
    }

    pub fn inbox_of(tenant: TenantId, name: &str) -> InboxId {
        InboxId(Uuid::new_v5(&tenant.uuid(), name.as_bytes()))
    }

    pub fn is_persistent(&self) -> bool {
        self.persistent.load(Ordering::Relaxed)
    }

    pub fn is_online(&self) -> bool {
        matches!(self.mail.lock().state, State::Online(_))
    }

    /// Puts a message into the letter box of a connected session.
    pub fn post(&self, message: Outgoing, max_messages: usize, max_bytes: usize) -> Posted {
        let mut mail = self.mail.lock();
        if !matches!(mail.state, State::Online(_)) {
            return Posted::Offline;
        }
        let size = message.size();
        // One message always fits, however large: the packet limit bounds it.
        if mail.queue.len() >= max_messages || mail.bytes + size > max_bytes && !mail.queue.is_empty() {
            if message.qos == 0 {
                return Posted::Dropped;
            }
            mail.kill.get_or_insert(Reason::QuotaExceeded);
            drop(mail);
            self.wake();
            return Posted::Overflow;
        }
        mail.bytes += size;
        mail.queue.push_back(message);
        drop(mail);
        self.wake();
        Posted::Taken
    }

    /// Takes messages out while `room` says that they can be sent.
    pub fn collect(&self, max: usize, mut room: impl FnMut(&Outgoing) -> bool) -> SmallVec<[Outgoing; 8]> {
        let mut taken = SmallVec::new();
        let mut mail = self.mail.lock();
        while taken.len() < max && mail.queue.front().is_some_and(&mut room) {
            let Some(message) = mail.queue.pop_front() else { break };
            mail.bytes -= message.size();
            taken.push(message);
        }
        if mail.queue.is_empty() && mail.queue.capacity() > 64 {
            mail.queue = VecDeque::new();
        }
        taken
    }

    /// Asks the connection, if there is one, to end; the first reason holds.
    pub fn kill(&self, reason: Reason) -> bool {
        let mut mail = self.mail.lock();
        let online = matches!(mail.state, State::Online(_));
        if online {
            mail.kill.get_or_insert(reason);
            drop(mail);
            self.wake();
        }
        online
    }

    pub fn wake(&self) {
        if !self.signal.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }
}

/// A subscription as its session holds it.
#[derive(Clone, Debug)]
pub(crate) struct Sub {
    /// As the client sent it.
    pub filter: Box<str>,
    /// With the `QoS` granted.
    pub options: SubscribeOptions,
    /// 0 is none.
    pub identifier: u32,
    pub inbox: Option<Inbox>,
}

impl Sub {
    pub fn save(&self) -> SavedSubscription {
        SavedSubscription {
            filter: self.filter.to_string(),
            options: self.options.0,
            identifier: (self.identifier != 0).then_some(self.identifier),
            inbox: self.inbox.map(|inbox| (inbox.id, inbox.form)),
        }
    }

    pub fn restore(saved: &SavedSubscription) -> Self {
        Self {
            filter: saved.filter.as_str().into(),
            options: SubscribeOptions(saved.options),
            identifier: saved.identifier.unwrap_or(0),
            inbox: saved.inbox.map(|(id, form)| Inbox { id, form }),
        }
    }
}

/// Where a message in flight came from, and so what its acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// From the letter box or the retained messages.
    Direct,
    /// From the session's own queue in the journal.
    Queue,
    /// From a thing's inbox.
    Thing(Inbox),
}

/// What is waited for.
#[expect(clippy::enum_variant_names, reason = "the standard's names")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    PubAck,
    PubRec,
    PubComp,
}

/// A message in flight to the client.
pub(crate) struct Slot {
    pub pid: u16,
    pub stage: Stage,
    /// Sent on this connection.
    pub sent: bool,
    pub via: Via,
    /// Gone once PUBREC came: then only the packet identifier matters.
    pub message: Option<Outgoing>,
}

/// The state of both directions; its connection owns it, and it rests in [`State::Offline`] between connections.
#[derive(Default)]
pub(crate) struct Flow {
    pub subs: Vec<Sub>,
    pub last_pid: u16,
    /// In the order of sending.
    pub slots: VecDeque<Slot>,
    /// Bytes of the messages in `slots`.
    pub held: usize,
    /// Slots not yet sent again on this connection.
    pub unsent: usize,
    /// Packet identifiers of `QoS` 2 messages taken and not yet released.
    pub received: HashSet<u16>,
    /// Retained messages still to be sent.
    pub backlog: VecDeque<Outgoing>,
    /// Identifiers in `slots` no longer stand in the order of their numbers.
    pub tangled: bool,
}

impl Flow {
    /// A packet identifier that is not in use.
    pub fn next_pid(&mut self) -> u16 {
        if self.slots.is_empty() {
            self.tangled = false;
        }
        loop {
            self.last_pid = if self.last_pid == u16::MAX { 1 } else { self.last_pid + 1 };
            let pid = self.last_pid;
            // Identifiers are handed out in a circle, so the first one met again is the oldest; only then is a search needed.
            self.tangled |= self.slots.front().is_some_and(|slot| slot.pid == pid);
            if !self.tangled || !self.slots.iter().any(|slot| slot.pid == pid) {
                return pid;
            }
        }
    }

    pub fn find(&self, pid: u16) -> Option<usize> {
        self.slots.iter().position(|slot| slot.pid == pid)
    }

    /// Messages sent on this connection and not yet acknowledged to the end.
    pub fn in_flight(&self) -> usize {
        self.slots.len() - self.unsent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(pid: u16) -> Slot {
        Slot { pid, stage: Stage::PubAck, sent: true, via: Via::Direct, message: None }
    }

    #[test]
    fn packet_identifiers_go_in_a_circle_and_skip_what_is_in_use() {
        let mut flow = Flow { last_pid: 65_533, ..Flow::default() };
        let first: Vec<u16> = (0..3)
            .map(|_| {
                let pid = flow.next_pid();
                flow.slots.push_back(slot(pid));
                pid
            })
            .collect();
        assert_eq!(first, [65_534, 65_535, 1]);
        flow.last_pid = 65_532;
        let next: Vec<u16> = (0..3)
            .map(|_| {
                let pid = flow.next_pid();
                flow.slots.push_back(slot(pid));
                pid
            })
            .collect();
        assert_eq!(next, [65_533, 2, 3]);
        flow.slots.retain(|s| s.pid == 3);
        flow.last_pid = 2;
        assert_eq!(flow.next_pid(), 4);
    }
}
