//! The broker: tenants, sessions, routing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use journal::{InboxId, Journal, JournalError, Record};
use model::{Clock, MessageId, Principal, TenantId};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{Host, Limits, Peer, Reason, Stats, StreamMeta};

/// Why a server-side publish was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic or payload is not allowed.
    #[error("{0}")]
    Refused(Reason),
    /// The journal did not take it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The broker; one for the whole process.
pub struct Broker<H: Host> {
    host: Arc<H>,
    journal: Journal,
    clock: Clock,
    limits: Limits,
}

impl<H: Host> Broker<H> {
    /// Loads the persistent sessions and retained messages and starts the clockwork (session expiry, delayed wills).
    pub async fn new(host: Arc<H>, journal: Journal, clock: Clock, limits: Limits) -> Arc<Self> {
        Arc::new(Self { host, journal, clock, limits })
    }

    /// Runs one connection to its end.
    pub async fn serve<S>(self: &Arc<Self>, stream: S, meta: StreamMeta)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let _ = (stream, meta, &self.host, &self.journal, &self.clock, &self.limits);
    }

    /// Ends matching connections at once (revocation, deprovisioning), with DISCONNECT on MQTT 5; answers how many.
    pub fn end(&self, matching: impl Fn(&Peer) -> bool, reason: Reason) -> usize {
        let _ = (matching, reason);
        0
    }

    /// Forgets every session of a principal, connected or not, with its queue (deprovisioning); answers how many.
    pub async fn discard(&self, tenant: TenantId, principal: &Principal) -> usize {
        let _ = (tenant, principal);
        0
    }

    /// Publishes on the server's behalf: stored, then routed like any other.
    pub async fn publish(&self, tenant: TenantId, topic: &str, payload: Bytes, qos: u8, retain: bool) -> Result<MessageId, PublishError> {
        let _ = (tenant, topic, payload, qos, retain);
        Err(PublishError::Refused(Reason::Unspecified))
    }

    /// The inboxes of persistent sessions that subscribe to this topic above `QoS` 0: whoever appends to the journal himself puts them
    /// into `NewMessage.inboxes` beforehand and calls [`Broker::route`] once the record is durable.
    pub fn inboxes_for(&self, tenant: TenantId, topic: &str, qos: u8) -> SmallVec<[InboxId; 2]> {
        let _ = (tenant, topic, qos);
        SmallVec::new()
    }

    /// Hands a durable record to matching connected subscribers and keeps it when retained.
    pub fn route(&self, record: &Arc<Record>) {
        let _ = record;
    }

    /// Takes no more connections, ends those there are (0x8B), waits for them at most `grace`.
    pub async fn stop(&self, grace: Duration) {
        let _ = grace;
    }

    /// Figures of the moment.
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
}
