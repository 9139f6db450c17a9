//! One connection: bytes in, packets handled, bytes out.
//!
//! A loop of four steps: handle every packet that has arrived (`input`), finish the publishes whose batch is durable (`settle`), send
//! what may be sent (`output`), then wait for anything at all to happen (`wait`) — one write for everything that was collected.
//! Nothing is allocated for reading while a connection idles: bytes come in over the stack.

mod handshake;
mod input;
mod output;
mod subscribe;
mod wait;
mod write;

pub(crate) use handshake::handshake;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use journal::{JournalError, Record, Seq};
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, timeout};

use crate::broker::{Broker, count};
use crate::codec::{AckKind, Closing, DecodeError, Level, Packet, Properties, PropertyWriter, Value, encode, id};
use crate::session::{Flow, Session, WillMessage};
use crate::{Accepted, Ended, Host, Peer, Reason};

use output::Consumer;
use write::WriteBuffer;

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How long a client may take to read the goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// What the client allows.
pub(crate) struct ClientLimits {
    receive_max: u16,
    max_packet: usize,
    alias_max: u16,
    problem_info: bool,
    transient: bool,
}

/// Why the loop ends.
#[derive(Debug)]
struct Stop {
    why: Ended,
    detail: Option<&'static str>,
}

impl Stop {
    const LOST: Stop = Stop { why: Ended::Lost, detail: None };

    fn closed(reason: Reason) -> Self {
        Self { why: Ended::Closed(reason), detail: None }
    }
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self { why: Ended::Closed(error.reason), detail: Some(error.detail) }
    }
}

/// A publish of the client that is not yet acknowledged, in the order of arrival.
struct Pending {
    /// What must become durable; none when it was refused.
    stored: Option<(Seq, Arc<Record>)>,
    /// The acknowledgement it gets; none at `QoS` 0.
    ack: Option<(AckKind, u16)>,
    reason: Reason,
    picked: SmallVec<[u64; 1]>,
}

/// The state of the oldest publish.
enum Front {
    Unknown,
    Waiting(Waiting<Result<(), JournalError>>),
    Known(Result<(), JournalError>),
}

pub(crate) struct Connection<'b, H: Host, S> {
    broker: &'b Arc<Broker<H>>,
    stream: S,
    level: Level,
    peer: Arc<Peer>,
    session: Arc<Session>,
    flow: Box<Flow>,
    client: ClientLimits,
    inbuf: BytesMut,
    out: WriteBuffer,
    pending: VecDeque<Pending>,
    front: Front,
    /// `QoS` 1 publishes in `pending`.
    receiving: usize,
    /// The journal is full: the packet at the start of `inbuf` waits.
    admit: Option<Waiting<()>>,
    /// What the host said to the packet that waits; it is asked once.
    accepted: Option<Box<Accepted>>,
    consumers: Vec<Consumer>,
    /// Inbox records sent at `QoS` 0: done once written.
    unwritten: Vec<(output::Source, Arc<Record>)>,
    /// Packets that have arrived were left for later: too many publishes wait, or the write buffer is full.
    halted: bool,
    /// Sending stopped because the write buffer is full.
    choked: bool,
    aliases_in: Vec<Option<Arc<str>>>,
    aliases_out: Option<HashMap<Bytes, u16>>,
    will: Option<Box<WillMessage>>,
    resumed: bool,
    /// The session's expiry has changed and the host does not know.
    unsaved: bool,
    keep_alive: Option<Duration>,
    heard: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the credential ends.
    until: Option<Instant>,
    released: bool,
}

impl<'b, H, S> Connection<'b, H, S>
where
    H: Host,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    #[expect(clippy::too_many_arguments, reason = "called once, by the handshake that has just found all of this out")]
    fn new(
        broker: &'b Arc<Broker<H>>,
        stream: S,
        level: Level,
        peer: Arc<Peer>,
        session: Arc<Session>,
        flow: Box<Flow>,
        client: ClientLimits,
        keep_alive: u16,
    ) -> Self {
        count(&broker.counters.connections, 1);
        count(&session.tenant.counters.connections, 1);
        let heard = Instant::now();
        let keep_alive = (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1_500));
        let until = peer.expires.map(|end| {
            let left = end.duration_since(broker.clock.now());
            heard + Duration::try_from(left).unwrap_or(Duration::ZERO).min(Duration::from_secs(30 * 86_400))
        });
        Self {
            broker,
            stream,
            level,
            peer,
            session,
            flow,
            client,
            inbuf: BytesMut::new(),
            out: WriteBuffer::default(),
            pending: VecDeque::new(),
            front: Front::Unknown,
            receiving: 0,
            admit: None,
            accepted: None,
            consumers: Vec::new(),
            unwritten: Vec::new(),
            halted: false,
            choked: false,
            aliases_in: Vec::new(),
            aliases_out: None,
            will: None,
            resumed: false,
            unsaved: false,
            keep_alive,
            heard,
            timer: None,
            until,
            released: false,
        }
    }

    /// Runs to the end.
    pub async fn run(&mut self) {
        let stop = match Box::pin(self.resume()).await {
            Ok(()) => self.steps().await,
            Err(stop) => stop,
        };
        Box::pin(self.finish(stop)).await;
    }

    async fn steps(&mut self) -> Stop {
        loop {
            let step = async {
                self.input().await?;
                self.settle()?;
                self.output().await?;
                self.wait().await
            };
            if let Err(stop) = step.await {
                return stop;
            }
        }
    }

    /// Finishes the publishes at the front whose fate is known, in order.
    fn settle(&mut self) -> Result<(), Stop> {
        while let Some(front) = self.pending.front() {
            let result = match (std::mem::replace(&mut self.front, Front::Unknown), &front.stored) {
                (Front::Known(result), _) => result,
                (waiting @ Front::Waiting(_), _) => {
                    self.front = waiting;
                    return Ok(());
                }
                (Front::Unknown, None) => Ok(()),
                (Front::Unknown, Some((seq, _))) => {
                    let seq = *seq;
                    match futures_util::FutureExt::now_or_never(self.broker.journal.durable(seq)) {
                        Some(result) => result,
                        None => {
                            let journal = self.broker.journal.clone();
                            self.front = Front::Waiting(Box::pin(async move { journal.durable(seq).await }));
                            return Ok(());
                        }
                    }
                }
            };
            if let Some(done) = self.pending.pop_front() {
                self.settle_one(done, result)?;
            }
        }
        if self.pending.capacity() > 64 {
            self.pending = VecDeque::new();
        }
        Ok(())
    }

    /// Acknowledges and routes one publish; `result` is whether it is stored.
    fn settle_one(&mut self, done: Pending, result: Result<(), JournalError>) -> Result<(), Stop> {
        let mut reason = done.reason;
        match (result, &done.stored) {
            (Ok(()), Some((_, record))) => {
                self.broker.host.stored(&self.peer, record);
                self.broker.route_from(&self.session.tenant, record, self.session.key, &done.picked);
            }
            (Ok(()), None) => {}
            (Err(error), _) => {
                tracing::warn!(%error, "a message could not be stored");
                reason = storage_reason(&error);
            }
        }
        let Some((kind, pid)) = done.ack else { return Ok(()) };
        match kind {
            AckKind::PubAck => self.receiving = self.receiving.saturating_sub(1),
            _ if reason.is_error() => {
                self.flow.received.remove(&pid);
            }
            _ => {}
        }
        if reason.is_error() && !self.level.is_v5() {
            return Err(Stop::closed(reason));
        }
        self.ack(kind, pid, reason);
        Ok(())
    }

    /// The end of the connection: what was taken in is finished, the session let go, the client told.
    async fn finish(&mut self, stop: Stop) {
        self.drain_pending().await;
        self.save_if_needed().await;
        let will = self.will.take().map(|will| *will);
        if stop.why != Ended::Disconnect {
            self.note_unanswered();
        }
        self.let_consumers_go();
        let broker = self.broker;
        // Set first: from here on the session is no longer this connection's to abandon.
        self.released = true;
        let flow = std::mem::take(&mut self.flow);
        self.uncount();
        broker.release(&self.session, flow, &self.peer, will).await;
        broker.host.ended(&self.peer, stop.why);
        if stop.why == Ended::Lost {
            return;
        }
        if let (Ended::Closed(reason), true) = (stop.why, self.level.is_v5()) {
            self.say_goodbye(reason, stop.detail);
        }
        let last = async {
            let mut written = 0;
            let drained = std::future::poll_fn(|cx| self.out.poll_drain(&mut self.stream, cx, &mut written)).await;
            count(&broker.counters.bytes_out, written);
            count(&self.session.tenant.counters.bytes_out, written);
            drained?;
            self.stream.shutdown().await
        };
        let _ = timeout(GOODBYE, last).await;
    }

    /// Has the host keep a changed expiry; one of 0 needs none, the session ends.
    async fn save_if_needed(&mut self) {
        if !std::mem::take(&mut self.unsaved) || self.flow.subs.is_empty() || self.session.mail.lock().expiry == 0 {
            return;
        }
        if let Err(reason) = self.broker.save(&self.session, &self.flow).await {
            tracing::warn!(%reason, "a session could not be kept");
        }
    }

    async fn drain_pending(&mut self) {
        loop {
            // A refusal on 3.1.1 asks to close: that is what happens already.
            let _ = self.settle();
            match &mut self.front {
                Front::Waiting(waiting) => {
                    let result = waiting.await;
                    self.front = Front::Known(result);
                }
                _ if self.pending.is_empty() => return,
                _ => {}
            }
        }
    }

    /// DISCONNECT with its reason (MQTT 5 only).
    fn say_goodbye(&mut self, reason: Reason, detail: Option<&'static str>) {
        let mut properties = PropertyWriter::new();
        if let Some(detail) = detail {
            properties.put(id::REASON_STRING, Value::Str(detail));
        }
        let mut packet = Closing { reason, properties: properties.properties() };
        if packet.properties.raw().len() + 8 > self.client.max_packet {
            packet.properties = Properties::NONE;
        }
        self.out.put(|out| encode(&Packet::Disconnect(packet), Level::V5, out));
    }
}

impl<H: Host, S> Connection<'_, H, S> {
    fn uncount(&self) {
        self.broker.counters.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        self.session.tenant.counters.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl<H: Host, S> Drop for Connection<'_, H, S> {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        // The task was dropped: what is durable by then is not acknowledged, the client will send it again.
        let flow = std::mem::take(&mut self.flow);
        let will = self.will.take().map(|will| *will);
        self.uncount();
        self.broker.abandon(&self.session, flow, &self.peer, will);
        self.broker.host.ended(&self.peer, Ended::Lost);
    }
}

/// What a failed write looks like to the publisher.
fn storage_reason(error: &JournalError) -> Reason {
    match error {
        JournalError::Full | JournalError::DiskFull | JournalError::TooLarge { .. } => Reason::QuotaExceeded,
        _ => Reason::Unspecified,
    }
}
