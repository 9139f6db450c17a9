//! Checkpoints: the state at a position of the log, so that opening reads this file and the tail only.
//!
//! Two files are written in turn; the one with the later position that reads well counts.

use std::path::{Path, PathBuf};

use model::{MessageId, TenantId, ThingId};

use crate::codec::{Input, put_tomb, take_tomb};
use crate::disk::{self, DiskFile};
use crate::memindex::Summary;
use crate::segment::SegmentHeader;
use crate::shared::Policy;
use crate::state::{Inbox, Keys, Remembered, Retained, State};
use crate::{Faults, InboxId, JournalError};

const MAGIC: &[u8; 8] = b"HELIOCP1";

/// A sealed segment as the checkpoint remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealedSegment {
    pub header: SegmentHeader,
    pub end: u64,
    pub summary: Summary,
    pub dead: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    /// Counts the checkpoints; the greater is the later.
    pub number: u64,
    /// Records from here on are not in it; everything before was on disk when it was written.
    pub segment: u64,
    pub offset: u64,
    pub next_seq: u64,
    /// Deleted messages in that segment.
    pub dead: u64,
    pub state: State,
    pub keys: Keys,
    pub policy: Policy,
    pub sealed: Vec<SealedSegment>,
}

/// Its file.
pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(if number.is_multiple_of(2) { "checkpoint-a" } else { "checkpoint-b" })
}

/// The fixed parts of a checkpoint; the state is borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub number: u64,
    pub segment: u64,
    pub offset: u64,
    pub next_seq: u64,
    pub dead: u64,
}

/// The bytes of a checkpoint.
pub(crate) fn encode(position: Position, state: &State, keys: &Keys, policy: &Policy, sealed: &[SealedSegment]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096 + state.pending * 8 + keys.map.len() * 48);
    out.extend_from_slice(MAGIC);
    for n in [position.number, position.segment, position.offset, position.next_seq, position.dead] {
        put(&mut out, n);
    }
    put(&mut out, sealed.len() as u64);
    for s in sealed {
        let h = s.header;
        for n in [h.id, h.generation, h.base, h.covers, h.previous_end, h.previous_synced, h.previous_gap.into(), s.end, s.dead] {
            put(&mut out, n);
        }
        put(&mut out, s.summary.records);
        put(&mut out, s.summary.last_seq);
        out.extend_from_slice(&s.summary.min_at.to_le_bytes());
        out.extend_from_slice(&s.summary.max_at.to_le_bytes());
    }
    out.extend_from_slice(&policy.default.unwrap_or(i64::MAX).to_le_bytes());
    put(&mut out, policy.keep.len() as u64);
    for (tenant, keep) in &policy.keep {
        out.extend_from_slice(tenant.0.as_bytes());
        out.extend_from_slice(&keep.to_le_bytes());
    }
    put(&mut out, state.inboxes.len() as u64);
    for (id, inbox) in &state.inboxes {
        out.extend_from_slice(id.0.as_bytes());
        for list in [&inbox.pending, &inbox.expired] {
            put(&mut out, list.len() as u64);
            list.iter().for_each(|seq| put(&mut out, *seq));
        }
    }
    put(&mut out, state.retained.len() as u64);
    for ((tenant, topic), kept) in &state.retained {
        out.extend_from_slice(tenant.0.as_bytes());
        put(&mut out, topic.len() as u64);
        out.extend_from_slice(topic);
        put(&mut out, kept.seq);
        out.extend_from_slice(kept.thing.0.as_bytes());
    }
    put(&mut out, state.tombs.len() as u64);
    state.tombs.iter().for_each(|tomb| put_tomb(&mut out, tomb));
    let counted = out.len();
    put(&mut out, 0);
    let mut count = 0u64;
    for (key, r) in keys.iter() {
        out.extend_from_slice(&key);
        out.extend_from_slice(r.id.0.as_bytes());
        put(&mut out, r.seq);
        out.extend_from_slice(&r.at.to_le_bytes());
        count += 1;
    }
    if let Some(place) = out.get_mut(counted..counted + 8) {
        place.copy_from_slice(&count.to_le_bytes());
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn put(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(&n.to_le_bytes());
}

/// Puts a checkpoint in place.
pub(crate) fn write(dir: &Path, number: u64, bytes: &[u8], faults: &Faults) -> Result<(), JournalError> {
    disk::replace(&path(dir, number), bytes, faults).map(|_| ())
}

/// The latest checkpoint that reads well.
pub(crate) fn load(dir: &Path, faults: &Faults) -> Option<Checkpoint> {
    let one = |number| {
        let path = path(dir, number);
        let file = DiskFile::open(&path, false, faults).ok()?;
        let bytes = file.len().and_then(|len| file.read_exact(0, usize::try_from(len).unwrap_or(0))).ok()?;
        let read = decode(&bytes);
        if read.is_none() {
            tracing::error!(file = %path.display(), "damaged checkpoint, using the other one");
        }
        read
    };
    [one(0), one(1)].into_iter().flatten().max_by_key(|c| c.number)
}

/// Reads a checkpoint; none when it is damaged.
pub(crate) fn decode(bytes: &[u8]) -> Option<Checkpoint> {
    let (checked, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if crc32fast::hash(checked).to_le_bytes() != crc || checked.get(..8)? != MAGIC {
        return None;
    }
    let mut input = Input(checked.get(8..)?);
    let i = &mut input;
    let mut checkpoint =
        Checkpoint { number: i.u64()?, segment: i.u64()?, offset: i.u64()?, next_seq: i.u64()?, dead: i.u64()?, ..Checkpoint::default() };
    for _ in 0..i.u64()? {
        let header = SegmentHeader {
            id: i.u64()?,
            generation: i.u64()?,
            base: i.u64()?,
            covers: i.u64()?,
            previous_end: i.u64()?,
            previous_synced: i.u64()?,
            previous_gap: u32::try_from(i.u64()?).ok()?,
        };
        let (end, dead) = (i.u64()?, i.u64()?);
        let summary = Summary { records: i.u64()?, last_seq: i.u64()?, min_at: i.i64()?, max_at: i.i64()? };
        checkpoint.sealed.push(SealedSegment { header, end, summary, dead });
    }
    checkpoint.policy.default = Some(i.i64()?);
    for _ in 0..i.u64()? {
        checkpoint.policy.keep.insert(TenantId(i.uuid()?), i.i64()?);
    }
    for _ in 0..i.u64()? {
        let id = InboxId(i.uuid()?);
        let mut inbox = Inbox::default();
        for list in [&mut inbox.pending, &mut inbox.expired] {
            for _ in 0..i.u64()? {
                list.push_back(i.u64()?);
            }
        }
        checkpoint.state.pending += inbox.pending.len();
        checkpoint.state.inboxes.insert(id, inbox);
    }
    for _ in 0..i.u64()? {
        let tenant = TenantId(i.uuid()?);
        let length = usize::try_from(i.u64()?).ok()?;
        let topic = Box::from(i.take(length)?);
        let kept = Retained { seq: i.u64()?, thing: ThingId(i.uuid()?) };
        checkpoint.state.retained.insert((tenant, topic), kept);
    }
    for _ in 0..i.u64()? {
        checkpoint.state.tombs.add(take_tomb(i)?);
    }
    for _ in 0..i.u64()? {
        let key = i.array()?;
        let remembered = Remembered { id: MessageId(i.uuid()?), seq: i.u64()?, at: i.i64()? };
        checkpoint.keys.add(key, remembered, remembered.at);
    }
    i.0.is_empty().then_some(checkpoint)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::codec::Tomb;

    #[test]
    fn comes_back_and_every_damage_is_noticed() {
        let id = |n: u128| Uuid::from_u128(n);
        let header = SegmentHeader { id: 3, generation: 1, base: 9, covers: 4, previous_end: 5, previous_synced: 6, previous_gap: 1 };
        let sealed = [SealedSegment { header, end: 77, summary: Summary { records: 1, last_seq: 9, min_at: -3, max_at: 4 }, dead: 2 }];
        let mut state = State::default();
        let inbox = Inbox { pending: [1, 5, 9].into(), expired: [2].into() };
        state.inboxes.insert(InboxId(id(1)), inbox);
        state.pending = 3;
        state.retained.insert((TenantId(id(2)), Box::from(&b"a/b"[..])), Retained { seq: 5, thing: ThingId(id(3)) });
        state.tombs.add(Tomb { tenant: TenantId(id(2)), thing: None, from: 1, to: 2, direction: None, up_to: 8 });
        let mut keys = Keys::default();
        keys.add([4; 16], Remembered { id: MessageId(id(7)), seq: 5, at: 100 }, 100);
        let policy = Policy { keep: [(TenantId(id(2)), 50)].into(), default: Some(70) };
        let position = Position { number: 8, segment: 5, offset: 64, next_seq: 10, dead: 11 };
        let bytes = encode(position, &state, &keys, &policy, &sealed);
        let read = decode(&bytes).unwrap();
        assert_eq!((read.number, read.segment, read.offset, read.next_seq, read.dead), (8, 5, 64, 10, 11));
        assert_eq!((read.state, read.sealed, read.keys.map), (state, sealed.to_vec(), keys.map));
        assert_eq!((read.policy.keep, read.policy.default), (policy.keep, policy.default));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(decode(&damaged).is_none(), "byte {at}");
            assert!(decode(&bytes[..at]).is_none(), "cut at {at}");
        }
    }
}
