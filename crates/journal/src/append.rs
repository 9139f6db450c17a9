//! Appending: checks, the position, the bytes, and a nudge to the committer.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;

use crate::codec::{Prepared, pack};
use crate::shared::{Entry, Shared};
use crate::state::Remembered;
use crate::{Durability, Journal, JournalError, NewMessage, Record, Seq, Ticket};

/// Records up to this size that stay in memory for a while get bytes of their own, so that they do not hold on to
/// a network buffer many times their size.
const PACK: usize = 16 << 10;
const MAX_SHORT: usize = u16::MAX as usize;

impl Journal {
    /// Hands a message to the log; not yet durable, never blocks on I/O.
    ///
    /// The same idempotency key within 24 hours writes nothing and names the first message. Errors: too large,
    /// [`JournalError::Full`] when too much is pending, the disk's error while it refuses writes, closed.
    pub fn append(&self, message: NewMessage, durability: Durability) -> Result<Ticket, JournalError> {
        let shared = self.shared();
        check(shared, &message)?;
        let message = packed(message);
        let prepared = Prepared::new(&message);
        let size = prepared.size();
        // The same test as in `admit`: whoever was admitted gets through, unless somebody else was quicker.
        if shared.waiting.load(Ordering::Acquire) >= shared.options.max_pending_bytes {
            return Err(JournalError::Full);
        }
        let key = message.idempotency;
        let mut record = Arc::new(to_record(message));

        let mut pending = shared.pending.lock();
        if pending.stop {
            return Err(JournalError::Closed);
        }
        if let Some(key) = key {
            // Pending first: a key moves from there to the remembered ones.
            let known = pending.keys.get(&key).copied().or_else(|| shared.keys.lock().find(&key, shared.now()));
            if let Some(first) = known {
                return Ok(Ticket { seq: Seq(first.seq), duplicate_of: Some(first.id), record: None });
            }
        }
        let seq = pending.take_seq();
        if let Some(record) = Arc::get_mut(&mut record) {
            record.seq = Seq(seq);
        }
        if let Some(key) = key {
            pending.keys.insert(key, Remembered { id: record.id, seq, at: record.at.as_microsecond() });
        }
        let was_empty = pending.batch.entries.is_empty();
        pending.batch.begin(seq);
        let offset = pending.batch.buffer.len();
        prepared.write(&mut pending.batch.buffer, seq, &record);
        pending.batch.entries.push(Entry::Message { record: record.clone(), offset, key });
        pending.batch.sync |= durability == Durability::Sync;
        let wake = was_empty || !pending.batch.urgent;
        pending.batch.urgent = true;
        if durability == Durability::Memory {
            pending.accept(seq);
        }
        shared.waiting.fetch_add(size, Ordering::AcqRel);
        drop(pending);
        if wake {
            shared.work.notify_one();
        }
        Ok(Ticket { seq: Seq(seq), duplicate_of: None, record: Some(record) })
    }

    /// Back-pressure: waits while too many bytes are pending.
    pub async fn admit(&self) {
        let shared = self.shared();
        let full = || shared.waiting.load(Ordering::Acquire) >= shared.options.max_pending_bytes && !shared.closed.load(Ordering::Acquire);
        while full() {
            let mut room = std::pin::pin!(shared.room.notified());
            room.as_mut().enable();
            if full() {
                room.await;
            }
        }
    }

    /// Waits until the record is as durable as it was asked to be. An error means that it is not stored.
    pub fn durable(&self, seq: Seq) -> impl Future<Output = Result<(), JournalError>> + Send + '_ {
        let shared = self.shared();
        async move {
            if let Some(outcome) = shared.waiters.outcome(seq.0) {
                return outcome;
            }
            let (assigned, accepted) = {
                let pending = shared.pending.lock();
                (seq.0 < pending.next_seq, pending.accepted(seq.0))
            };
            if !assigned {
                return Err(JournalError::Invalid { field: "seq", reason: "was never handed out".into() });
            }
            if accepted { Ok(()) } else { shared.waiters.wait(seq.0).await }
        }
    }

    /// `admit`, `append` and `durable` in one.
    pub async fn write(&self, message: NewMessage, durability: Durability) -> Result<Ticket, JournalError> {
        loop {
            self.admit().await;
            match self.append(message.clone(), durability) {
                // Somebody else was quicker: queue again, once the committer has taken something away.
                Err(JournalError::Full) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
                Err(error) => return Err(error),
                Ok(ticket) => return self.durable(ticket.seq).await.map(|()| ticket),
            }
        }
    }
}

fn check(shared: &Shared, message: &NewMessage) -> Result<(), JournalError> {
    if message.payload.len() > shared.options.max_payload {
        return Err(JournalError::TooLarge { limit: shared.options.max_payload });
    }
    for (field, length) in [("topic", message.topic.len()), ("properties", message.properties.len()), ("inboxes", message.inboxes.len())] {
        if length > MAX_SHORT {
            return Err(JournalError::Invalid { field, reason: format!("{length} is more than {MAX_SHORT}") });
        }
    }
    if message.qos > 2 {
        return Err(JournalError::Invalid { field: "qos", reason: format!("{} is not between 0 and 2", message.qos) });
    }
    if !shared.healthy.load(Ordering::Acquire)
        && let Some(error) = shared.health.lock().clone()
    {
        return Err(match error {
            JournalError::DiskFull => JournalError::DiskFull,
            other => JournalError::Unhealthy { reason: other.to_string() },
        });
    }
    Ok(())
}

fn packed(mut message: NewMessage) -> NewMessage {
    // Times as they are stored, so that the record equals what is read back.
    message.at = whole_micros(message.at);
    message.expires = message.expires.map(whole_micros);
    if !message.inboxes.is_empty() && message.payload.len() <= PACK {
        (message.topic, message.properties, message.payload) = pack(&message.topic, &message.properties, &message.payload);
    }
    message
}

fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

fn to_record(m: NewMessage) -> Record {
    Record {
        seq: Seq(0),
        id: m.id,
        tenant: m.tenant,
        thing: m.thing,
        direction: m.direction,
        at: m.at,
        topic: m.topic,
        payload: m.payload,
        expires: m.expires,
        qos: m.qos,
        retain: m.retain,
        properties: m.properties,
        inboxes: m.inboxes,
    }
}
