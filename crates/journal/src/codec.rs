//! Records as bytes. A frame is `crc32 u32 | length u32 | seq u64 | kind u8 | body`, little-endian.
//!
//! The checksum covers body, seq, length and kind, in this order: the body is summed before the position is known.
//! Eight zero bytes are the end of what was written (segments are filled with zeros ahead); no frame starts so, its length is not zero.

use bytes::Bytes;
use crc32fast::Hasher;
use jiff::Timestamp;
use model::{Direction, MessageId, TenantId, ThingId};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::{InboxId, NewMessage, Record, Seq};

/// Bytes before the body.
pub(crate) const FRAME: usize = 17;
/// A longer body is damage.
pub(crate) const MAX_BODY: usize = 1 << 30;
/// A mark's whole frame.
pub(crate) const MARK: usize = FRAME + 8;

pub(crate) const KIND_MESSAGE: u8 = 1;
pub(crate) const KIND_ACK: u8 = 2;
pub(crate) const KIND_DROP: u8 = 3;
pub(crate) const KIND_DELETE: u8 = 4;
pub(crate) const KIND_FORGET: u8 = 5;
pub(crate) const KIND_MOVE: u8 = 6;
pub(crate) const KIND_EXPIRE: u8 = 7;
pub(crate) const KIND_VOID: u8 = 8;
/// Kinds run from 1 to this one; the mark has one of its own.
pub(crate) const KIND_LAST: u8 = KIND_VOID;
pub(crate) const KIND_MARK: u8 = 0xA7;

const FLAG_OUTBOUND: u8 = 1;
const FLAG_RETAIN: u8 = 1 << 1;
const FLAG_EXPIRES: u8 = 1 << 2;
const FLAG_KEY: u8 = 1 << 3;
const QOS_SHIFT: u8 = 4;

/// A deletion: everything it matches up to a position is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tomb {
    pub tenant: TenantId,
    pub thing: Option<ThingId>,
    pub from: i64,
    pub to: i64,
    pub direction: Option<Direction>,
    pub up_to: u64,
}

/// What the log holds besides messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// An entry left an inbox.
    Ack { inbox: InboxId, seq: u64 },
    /// An inbox was dropped with all entries before this record.
    Drop { inbox: InboxId },
    /// A part of the history was deleted.
    Delete(Tomb),
    /// A thing was forgotten with all before this record.
    Forget { tenant: TenantId, thing: ThingId },
    /// An entry went from one inbox to another.
    Move { from: InboxId, to: InboxId, seq: u64 },
    /// An entry's time was declared over.
    Expire { inbox: InboxId, seq: u64 },
    /// Nothing: laid over a damaged place by the doctor.
    Void,
    /// Start of a batch: so many bytes of this segment were on disk when it was written.
    Mark { synced: u64 },
}

/// One frame, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub seq: u64,
    pub kind: u8,
    pub body: &'a [u8],
    /// The whole frame.
    pub raw: &'a [u8],
    /// Bytes of the whole frame.
    pub size: usize,
}

/// What lies at a position.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parsed<'a> {
    Frame(Frame<'a>),
    /// Zeros, or nothing.
    End,
    /// The frame is longer than the buffer: so many bytes are needed.
    Short(usize),
    Bad(&'static str),
}

/// Reads the frame at the start of `buffer`.
pub(crate) fn parse(buffer: &[u8]) -> Parsed<'_> {
    let mut input = Input(buffer);
    let (Some(crc), Some(length)) = (input.u32(), input.u32()) else {
        return if buffer.iter().all(|b| *b == 0) { Parsed::End } else { Parsed::Short(FRAME) };
    };
    if crc == 0 && length == 0 {
        return Parsed::End;
    }
    let body_length = length as usize;
    if body_length == 0 || body_length > MAX_BODY {
        return Parsed::Bad("impossible length");
    }
    let (Some(seq), Some(kind)) = (input.u64(), input.u8()) else { return Parsed::Short(FRAME) };
    let Some(body) = input.0.get(..body_length) else { return Parsed::Short(FRAME + body_length) };
    let mut sum = Hasher::new();
    sum.update(body);
    if finish(sum, seq, length, kind) != crc {
        return Parsed::Bad("checksum mismatch");
    }
    let size = FRAME + body_length;
    Parsed::Frame(Frame { seq, kind, body, raw: buffer.get(..size).unwrap_or_default(), size })
}

fn finish(mut sum: Hasher, seq: u64, length: u32, kind: u8) -> u32 {
    let mut tail = [0u8; 13];
    let (a, rest) = tail.split_at_mut(8);
    a.copy_from_slice(&seq.to_le_bytes());
    let (b, c) = rest.split_at_mut(4);
    b.copy_from_slice(&length.to_le_bytes());
    c.copy_from_slice(&[kind]);
    sum.update(&tail);
    sum.finalize()
}

fn put_header(out: &mut Vec<u8>, sum: Hasher, seq: u64, length: usize, kind: u8) {
    let length = length as u32;
    out.extend_from_slice(&finish(sum, seq, length, kind).to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.push(kind);
}

/// A message summed and ready to be written once its position is known.
pub(crate) struct Prepared {
    head: SmallVec<[u8; 256]>,
    sum: Hasher,
    length: usize,
}

impl Prepared {
    /// Lays out a message; sizes were checked before.
    pub(crate) fn new(message: &NewMessage) -> Self {
        let mut head = SmallVec::new();
        let mut flags = message.qos << QOS_SHIFT;
        if message.direction == Direction::Outbound {
            flags |= FLAG_OUTBOUND;
        }
        if message.retain {
            flags |= FLAG_RETAIN;
        }
        if message.expires.is_some() {
            flags |= FLAG_EXPIRES;
        }
        if message.idempotency.is_some() {
            flags |= FLAG_KEY;
        }
        head.push(flags);
        head.extend_from_slice(message.id.0.as_bytes());
        head.extend_from_slice(message.tenant.0.as_bytes());
        head.extend_from_slice(message.thing.0.as_bytes());
        head.extend_from_slice(&message.at.as_microsecond().to_le_bytes());
        if let Some(expires) = message.expires {
            head.extend_from_slice(&expires.as_microsecond().to_le_bytes());
        }
        if let Some(key) = &message.idempotency {
            head.extend_from_slice(key);
        }
        head.extend_from_slice(&(message.topic.len() as u16).to_le_bytes());
        head.extend_from_slice(&(message.properties.len() as u16).to_le_bytes());
        head.extend_from_slice(&(message.inboxes.len() as u16).to_le_bytes());
        for inbox in &message.inboxes {
            head.extend_from_slice(inbox.0.as_bytes());
        }
        let mut sum = Hasher::new();
        for part in [&head[..], &message.topic, &message.properties, &message.payload] {
            sum.update(part);
        }
        let length = head.len() + message.topic.len() + message.properties.len() + message.payload.len();
        Self { head, sum, length }
    }

    /// Bytes of the whole frame.
    pub(crate) fn size(&self) -> usize {
        FRAME + self.length
    }

    /// Appends the frame; topic, properties and payload are the ones it was made from.
    pub(crate) fn write(self, out: &mut Vec<u8>, seq: u64, record: &Record) {
        out.reserve(self.size());
        put_header(out, self.sum, seq, self.length, KIND_MESSAGE);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&record.topic);
        out.extend_from_slice(&record.properties);
        out.extend_from_slice(&record.payload);
    }
}

/// Appends a control record.
pub(crate) fn put_control(out: &mut Vec<u8>, seq: u64, control: &Control) {
    let mut body: SmallVec<[u8; 64]> = SmallVec::new();
    let kind = match control {
        Control::Ack { inbox, seq } => {
            body.extend_from_slice(inbox.0.as_bytes());
            body.extend_from_slice(&seq.to_le_bytes());
            KIND_ACK
        }
        Control::Drop { inbox } => {
            body.extend_from_slice(inbox.0.as_bytes());
            KIND_DROP
        }
        Control::Delete(tomb) => {
            put_tomb(&mut body, tomb);
            KIND_DELETE
        }
        Control::Forget { tenant, thing } => {
            body.extend_from_slice(tenant.0.as_bytes());
            body.extend_from_slice(thing.0.as_bytes());
            KIND_FORGET
        }
        Control::Move { from, to, seq } => {
            body.extend_from_slice(from.0.as_bytes());
            body.extend_from_slice(to.0.as_bytes());
            body.extend_from_slice(&seq.to_le_bytes());
            KIND_MOVE
        }
        Control::Expire { inbox, seq } => {
            body.extend_from_slice(inbox.0.as_bytes());
            body.extend_from_slice(&seq.to_le_bytes());
            KIND_EXPIRE
        }
        // Its length is its meaning: see `void`.
        Control::Void => {
            body.push(0);
            KIND_VOID
        }
        Control::Mark { synced } => {
            body.extend_from_slice(&synced.to_le_bytes());
            KIND_MARK
        }
    };
    let mut sum = Hasher::new();
    sum.update(&body);
    put_header(out, sum, seq, body.len(), kind);
    out.extend_from_slice(&body);
}

/// A frame of exactly so many bytes that means nothing; none when no frame is so short or so long.
pub(crate) fn void(bytes: u64) -> Option<Vec<u8>> {
    let length = usize::try_from(bytes).ok()?.checked_sub(FRAME).filter(|length| (1..=MAX_BODY).contains(length))?;
    let body = vec![0; length];
    let mut sum = Hasher::new();
    sum.update(&body);
    let mut out = Vec::with_capacity(FRAME + length);
    put_header(&mut out, sum, 0, length, KIND_VOID);
    out.extend_from_slice(&body);
    Some(out)
}

pub(crate) fn put_tomb(out: &mut impl Extend<u8>, tomb: &Tomb) {
    let choice = match tomb.direction {
        None => 0u8,
        Some(Direction::Inbound) => 1,
        Some(Direction::Outbound) => 2,
    } | if tomb.thing.is_some() { 4 } else { 0 };
    out.extend([choice]);
    out.extend(*tomb.tenant.0.as_bytes());
    out.extend(*tomb.thing.map_or(Uuid::nil(), |t| t.0).as_bytes());
    out.extend(tomb.from.to_le_bytes());
    out.extend(tomb.to.to_le_bytes());
    out.extend(tomb.up_to.to_le_bytes());
}

pub(crate) fn take_tomb(input: &mut Input<'_>) -> Option<Tomb> {
    let choice = input.u8()?;
    let direction = match choice & 3 {
        0 => None,
        1 => Some(Direction::Inbound),
        2 => Some(Direction::Outbound),
        _ => return None,
    };
    let tenant = TenantId(input.uuid()?);
    let thing = input.uuid()?;
    Some(Tomb {
        tenant,
        thing: (choice & 4 != 0).then_some(ThingId(thing)),
        from: input.i64()?,
        to: input.i64()?,
        direction,
        up_to: input.u64()?,
    })
}

/// The fixed part of a message, read without copying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MessageView<'a> {
    pub id: MessageId,
    pub tenant: TenantId,
    pub thing: ThingId,
    pub direction: Direction,
    pub at: i64,
    pub expires: Option<i64>,
    pub qos: u8,
    pub retain: bool,
    pub key: Option<[u8; 16]>,
    inboxes: &'a [u8],
    pub topic: &'a [u8],
    properties: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> MessageView<'a> {
    /// Reads the body of a message frame.
    pub(crate) fn read(body: &'a [u8]) -> Option<Self> {
        let mut input = Input(body);
        let flags = input.u8()?;
        let (id, tenant, thing) = (MessageId(input.uuid()?), TenantId(input.uuid()?), ThingId(input.uuid()?));
        let at = input.i64()?;
        let expires = if flags & FLAG_EXPIRES != 0 { Some(input.i64()?) } else { None };
        let key = if flags & FLAG_KEY != 0 { Some(input.array()?) } else { None };
        let (topic, properties, inboxes) = (input.u16()?, input.u16()?, input.u16()?);
        let inboxes = input.take(usize::from(inboxes) * 16)?;
        let topic = input.take(topic.into())?;
        let properties = input.take(properties.into())?;
        let direction = if flags & FLAG_OUTBOUND != 0 { Direction::Outbound } else { Direction::Inbound };
        Some(Self {
            id,
            tenant,
            thing,
            direction,
            at,
            expires,
            qos: flags >> QOS_SHIFT & 3,
            retain: flags & FLAG_RETAIN != 0,
            key,
            inboxes,
            topic,
            properties,
            payload: input.0,
        })
    }

    /// The inboxes, in order.
    pub(crate) fn inboxes(&self) -> impl Iterator<Item = InboxId> + 'a {
        self.inboxes.chunks_exact(16).filter_map(|chunk| Uuid::from_slice(chunk).ok()).map(InboxId)
    }

    /// An owned record; topic, properties and payload share one allocation.
    pub(crate) fn to_record(&self, seq: u64) -> Option<Record> {
        let (topic, properties, payload) = pack(self.topic, self.properties, self.payload);
        Some(Record {
            seq: Seq(seq),
            id: self.id,
            tenant: self.tenant,
            thing: self.thing,
            direction: self.direction,
            at: Timestamp::from_microsecond(self.at).ok()?,
            topic,
            payload,
            expires: match self.expires {
                Some(micros) => Some(Timestamp::from_microsecond(micros).ok()?),
                None => None,
            },
            qos: self.qos,
            retain: self.retain,
            properties,
            inboxes: self.inboxes().collect(),
        })
    }
}

/// Copies three slices into one allocation and hands out its parts: (topic, properties, payload).
pub(crate) fn pack(topic: &[u8], properties: &[u8], payload: &[u8]) -> (Bytes, Bytes, Bytes) {
    let mut all = Vec::with_capacity(topic.len() + properties.len() + payload.len());
    all.extend_from_slice(topic);
    all.extend_from_slice(properties);
    all.extend_from_slice(payload);
    let mut rest = Bytes::from(all);
    let topic = rest.split_to(topic.len());
    let properties = rest.split_to(properties.len());
    (topic, properties, rest)
}

/// Reads the body of a control frame.
pub(crate) fn read_control(kind: u8, body: &[u8]) -> Option<Control> {
    let mut input = Input(body);
    let control = match kind {
        KIND_ACK => Control::Ack { inbox: InboxId(input.uuid()?), seq: input.u64()? },
        KIND_DROP => Control::Drop { inbox: InboxId(input.uuid()?) },
        KIND_DELETE => Control::Delete(take_tomb(&mut input)?),
        KIND_FORGET => Control::Forget { tenant: TenantId(input.uuid()?), thing: ThingId(input.uuid()?) },
        KIND_MARK => Control::Mark { synced: input.u64()? },
        KIND_MOVE => Control::Move { from: InboxId(input.uuid()?), to: InboxId(input.uuid()?), seq: input.u64()? },
        KIND_EXPIRE => Control::Expire { inbox: InboxId(input.uuid()?), seq: input.u64()? },
        KIND_VOID => return Some(Control::Void),
        _ => return None,
    };
    input.0.is_empty().then_some(control)
}

/// Bytes to be read from the front.
pub(crate) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
    pub(crate) fn uuid(&mut self) -> Option<Uuid> {
        self.array().map(Uuid::from_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn direction() -> impl Strategy<Value = Direction> {
        prop_oneof![Just(Direction::Inbound), Just(Direction::Outbound)]
    }

    fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from)
    }

    fn time() -> impl Strategy<Value = Timestamp> {
        (-1_000_000_000_000_000_i64..4_000_000_000_000_000).prop_map(|micros| Timestamp::from_microsecond(micros).unwrap())
    }

    prop_compose! {
        fn message()(
            ids in any::<[u128; 3]>(), direction in direction(), at in time(), expires in prop::option::of(time()), qos in 0..=2_u8,
            retain in any::<bool>(), topic in bytes(300), payload in bytes(3000), properties in bytes(100),
            inboxes in prop::collection::vec(any::<u128>(), 0..5), idempotency in any::<Option<[u8; 16]>>(),
        ) -> NewMessage {
            let [id, tenant, thing] = ids.map(Uuid::from_u128);
            let inboxes = inboxes.into_iter().map(|n| InboxId(Uuid::from_u128(n))).collect();
            NewMessage {
                id: id.into(), tenant: tenant.into(), thing: thing.into(), direction, at, topic, payload, expires, qos, retain, properties,
                inboxes, idempotency,
            }
        }
    }

    fn record(m: &NewMessage, seq: u64) -> Record {
        let m = m.clone();
        Record {
            seq: Seq(seq),
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

    fn control() -> impl Strategy<Value = Control> {
        let uuid = || any::<u128>().prop_map(Uuid::from_u128);
        prop_oneof![
            (uuid(), any::<u64>()).prop_map(|(id, seq)| Control::Ack { inbox: InboxId(id), seq }),
            uuid().prop_map(|id| Control::Drop { inbox: InboxId(id) }),
            (uuid(), uuid()).prop_map(|(t, d)| Control::Forget { tenant: TenantId(t), thing: ThingId(d) }),
            any::<u64>().prop_map(|synced| Control::Mark { synced }),
            (uuid(), uuid(), any::<u64>()).prop_map(|(a, b, seq)| Control::Move { from: InboxId(a), to: InboxId(b), seq }),
            (uuid(), any::<u64>()).prop_map(|(id, seq)| Control::Expire { inbox: InboxId(id), seq }),
            Just(Control::Void),
            (uuid(), prop::option::of(uuid()), any::<i64>(), any::<i64>(), prop::option::of(direction()), any::<u64>()).prop_map(
                |(tenant, thing, from, to, direction, up_to)| Control::Delete(Tomb {
                    tenant: TenantId(tenant),
                    thing: thing.map(ThingId),
                    from,
                    to,
                    direction,
                    up_to
                })
            ),
        ]
    }

    fn frame_of(bytes: &[u8]) -> Frame<'_> {
        match parse(bytes) {
            Parsed::Frame(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn messages_come_back(new in message(), seq in any::<u64>()) {
            let expected = record(&new, seq);
            let prepared = Prepared::new(&new);
            let (mut out, size) = (Vec::new(), prepared.size());
            prepared.write(&mut out, seq, &expected);
            prop_assert_eq!(out.len(), size);
            let frame = frame_of(&out);
            prop_assert_eq!((frame.seq, frame.kind, frame.size), (seq, KIND_MESSAGE, size));
            let view = MessageView::read(frame.body).unwrap();
            prop_assert_eq!(view.key, new.idempotency);
            prop_assert_eq!(view.to_record(seq).unwrap(), expected);
        }

        #[test]
        fn controls_come_back(control in control(), seq in any::<u64>()) {
            let mut out = Vec::new();
            put_control(&mut out, seq, &control);
            let frame = frame_of(&out);
            prop_assert_eq!((frame.seq, frame.size), (seq, out.len()));
            prop_assert_eq!(read_control(frame.kind, frame.body), Some(control));
        }

        #[test]
        fn any_changed_byte_is_noticed(new in message(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let mut out = Vec::new();
            Prepared::new(&new).write(&mut out, 7, &record(&new, 7));
            let at = at.index(out.len());
            out[at] ^= flip;
            prop_assert!(!matches!(parse(&out), Parsed::Frame(_)));
        }

        #[test]
        fn a_cut_frame_asks_for_more(new in message(), at in any::<prop::sample::Index>()) {
            let mut out = Vec::new();
            Prepared::new(&new).write(&mut out, 7, &record(&new, 7));
            let cut = at.index(out.len());
            prop_assert!(matches!(parse(&out[..cut]), Parsed::Short(n) if n > cut) || cut == 0);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), kind in any::<u8>()) {
            let _ = parse(&bytes);
            if let Some(view) = MessageView::read(&bytes) {
                let _ = view.to_record(1);
            }
            let _ = read_control(kind, &bytes);
            let _ = crate::checkpoint::decode(&bytes);
            let _ = crate::segment::SegmentHeader::read(&bytes);
        }
    }

    #[test]
    fn zeros_are_the_end() {
        assert!(matches!(parse(&[0; 40]), Parsed::End));
        assert!(matches!(parse(&[0; 3]), Parsed::End));
        assert!(matches!(parse(&[]), Parsed::End));
        assert!(matches!(parse(&[0, 0, 1]), Parsed::Short(_)));
    }
}
