//! The index file of a sealed segment: answers by thing, tenant, position and id with a few small reads.
//!
//! `header | S | T | t | N | n | I`, little-endian. S: (position, offset) of every message in order. T: per thing
//! (hash, first, count, times), sorted by hash, and its postings t. N, n: the same per tenant. I: (tag of the id,
//! offset), sorted. Hashes are spread evenly, so a key is found by guessing its place, mostly with one read.

use std::path::Path;

use model::TenantId;

use crate::codec::Input;
use crate::disk::{self, DiskFile};
use crate::memindex::{Filter, Key, MemIndex, Posting, Summary};
use crate::{Faults, JournalError};

const MAGIC: &[u8; 8] = b"HELIOIX1";
const HEADER: usize = 96;
const SEQ: usize = 8;
const THING: usize = 32;
const POSTING: usize = 16;
const TENANT: usize = 48;
const ID: usize = 8;
const OUTBOUND: u32 = 1 << 31;
/// Postings read at once.
const BLOCK: usize = 1024;
/// Bytes written at once.
const CHUNK: usize = 256 << 10;
/// Rows of ids read at once.
const IDS: u64 = 256;

/// What the index says about its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexHeader {
    /// Segment and generation it belongs to.
    pub segment: u64,
    pub generation: u64,
    /// Length of the segment.
    pub log_len: u64,
    pub base: u64,
    pub summary: Summary,
    things: u32,
    tenants: u32,
    body_crc: u32,
}

impl IndexHeader {
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(MAGIC);
        for n in [self.segment, self.generation, self.log_len, self.base, self.summary.records, self.summary.last_seq] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend_from_slice(&self.summary.min_at.to_le_bytes());
        out.extend_from_slice(&self.summary.max_at.to_le_bytes());
        for n in [self.things, self.tenants, self.body_crc, 0, 0] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (checked, crc) = bytes.get(..HEADER)?.split_at_checked(HEADER - 4)?;
        if crc32fast::hash(checked).to_le_bytes() != crc || checked.get(..8)? != MAGIC {
            return None;
        }
        let mut input = Input(checked.get(8..)?);
        let (segment, generation, log_len, base) = (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
        let summary = Summary { records: input.u64()?, last_seq: input.u64()?, min_at: input.i64()?, max_at: input.i64()? };
        Some(Self { segment, generation, log_len, base, summary, things: input.u32()?, tenants: input.u32()?, body_crc: input.u32()? })
    }

    fn sections(&self) -> Sections {
        let n = self.summary.records;
        let things = HEADER as u64 + n * SEQ as u64;
        let thing_postings = things + u64::from(self.things) * THING as u64;
        let tenants = thing_postings + n * POSTING as u64;
        let tenant_postings = tenants + u64::from(self.tenants) * TENANT as u64;
        let ids = tenant_postings + n * POSTING as u64;
        Sections { things, thing_postings, tenants, tenant_postings, ids, end: ids + n * ID as u64 }
    }
}

struct Sections {
    things: u64,
    thing_postings: u64,
    tenants: u64,
    tenant_postings: u64,
    ids: u64,
    end: u64,
}

/// Writes the index file of a segment and puts it in place; holds little of it in memory.
pub(crate) fn write(path: &Path, of: Segment, index: &MemIndex, faults: &Faults) -> Result<(), JournalError> {
    let temporary = path.with_extension("tmp");
    let finished = write_to(&temporary, of, index, faults).and_then(|()| disk::rename(&temporary, path, faults));
    if let Err(error) = finished {
        let _ = disk::remove(&temporary, faults);
        return Err(error);
    }
    path.parent().map_or(Ok(()), |dir| disk::sync_dir(dir, faults))
}

/// The segment an index belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub id: u64,
    pub generation: u64,
    pub log_len: u64,
    pub base: u64,
}

fn write_to(path: &Path, of: Segment, index: &MemIndex, faults: &Faults) -> Result<(), JournalError> {
    let file = DiskFile::create(path, faults)?;
    let mut body = Body { file: &file, buffer: Vec::with_capacity(CHUNK), at: HEADER as u64, sum: crc32fast::Hasher::new() };
    for (posting, _) in index.all() {
        put_pair(&mut body.buffer, (posting.seq - of.base) as u32, posting.offset);
        body.flush_at(CHUNK)?;
    }
    let mut chain = Vec::new();
    let things = index.things();
    let mut first = 0;
    for (hash, key) in &things {
        put_key(&mut body.buffer, *hash, &mut first, index.newest_first(*key));
        body.flush_at(CHUNK)?;
    }
    for (_, key) in &things {
        body.postings(&mut chain, of.base, index.newest_first(*key))?;
    }
    let tenants = index.tenants();
    let mut first = 0;
    for (hash, tenant, key) in &tenants {
        put_key(&mut body.buffer, *hash, &mut first, index.newest_first(*key));
        body.buffer.extend_from_slice(tenant.0.as_bytes());
        body.flush_at(CHUNK)?;
    }
    for (_, _, key) in &tenants {
        body.postings(&mut chain, of.base, index.newest_first(*key))?;
    }
    drop(chain);
    let mut ids: Vec<(u32, u32)> = index.all().map(|(posting, tag)| (tag, posting.offset)).collect();
    ids.sort_unstable();
    for (tag, offset) in ids {
        put_pair(&mut body.buffer, tag, offset);
        body.flush_at(CHUNK)?;
    }
    body.flush_at(0)?;
    let header = IndexHeader {
        segment: of.id,
        generation: of.generation,
        log_len: of.log_len,
        base: of.base,
        summary: index.summary,
        things: things.len() as u32,
        tenants: tenants.len() as u32,
        body_crc: body.sum.finalize(),
    };
    file.write_at(&header.bytes(), 0)?;
    file.sync()
}

/// The part after the header, on its way to the file.
struct Body<'a> {
    file: &'a DiskFile,
    buffer: Vec<u8>,
    at: u64,
    sum: crc32fast::Hasher,
}

impl Body<'_> {
    fn flush_at(&mut self, level: usize) -> Result<(), JournalError> {
        if self.buffer.len() >= level {
            self.sum.update(&self.buffer);
            self.file.write_at(&self.buffer, self.at)?;
            self.at += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Writes a chain oldest first; the scratch space is reused.
    fn postings(
        &mut self,
        chain: &mut Vec<(u32, u32, i64)>,
        base: u64,
        newest_first: impl Iterator<Item = Posting>,
    ) -> Result<(), JournalError> {
        chain.clear();
        chain.extend(newest_first.map(|p| ((p.seq - base) as u32, p.offset | if p.outbound { OUTBOUND } else { 0 }, p.at)));
        for (delta, place, at) in chain.iter().rev() {
            put_pair(&mut self.buffer, *delta, *place);
            self.buffer.extend_from_slice(&at.to_le_bytes());
            self.flush_at(CHUNK)?;
        }
        Ok(())
    }
}

fn put_pair(out: &mut Vec<u8>, a: u32, b: u32) {
    out.extend_from_slice(&a.to_le_bytes());
    out.extend_from_slice(&b.to_le_bytes());
}

fn put_key(out: &mut Vec<u8>, hash: u64, first: &mut u32, postings: impl Iterator<Item = Posting>) {
    let (mut count, mut min_at, mut max_at) = (0, i64::MAX, i64::MIN);
    for posting in postings {
        (count, min_at, max_at) = (count + 1, min_at.min(posting.at), max_at.max(posting.at));
    }
    out.extend_from_slice(&hash.to_le_bytes());
    put_pair(out, *first, count);
    *first += count;
    out.extend_from_slice(&min_at.to_le_bytes());
    out.extend_from_slice(&max_at.to_le_bytes());
}

/// A key's part of the postings.
#[derive(Clone, Copy, Debug)]
struct Slice {
    hash: u64,
    start: u64,
    count: u64,
    min_at: i64,
    max_at: i64,
}

/// A tenant's share of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TenantShare {
    pub tenant: TenantId,
    pub records: u64,
    pub min_at: i64,
    pub max_at: i64,
}

/// An index file, open.
#[derive(Debug)]
pub(crate) struct DiskIndex {
    file: DiskFile,
    pub header: IndexHeader,
}

impl DiskIndex {
    /// Opens an index and checks its header and length; the body is checked by `verify`.
    pub(crate) fn open(path: &Path, faults: &Faults) -> Result<Self, JournalError> {
        let file = DiskFile::open(path, false, faults)?;
        let bytes = file.read_exact(0, HEADER)?;
        let header = IndexHeader::read(&bytes).ok_or_else(|| JournalError::corrupt(path, 0, "bad index header"))?;
        let counted = header.summary.records < 1 << 31 && u64::from(header.things) <= header.summary.records;
        if !counted || header.sections().end != file.len()? {
            return Err(JournalError::corrupt(path, 0, "index of the wrong length"));
        }
        Ok(Self { file, header })
    }

    /// Checks the body against its sum.
    pub(crate) fn verify(&self) -> Result<(), JournalError> {
        let body = self.file.read_exact(HEADER as u64, (self.header.sections().end - HEADER as u64) as usize)?;
        if crc32fast::hash(&body) == self.header.body_crc { Ok(()) } else { Err(self.damaged("index checksum mismatch")) }
    }

    fn damaged(&self, reason: &'static str) -> JournalError {
        JournalError::corrupt(self.file.path(), HEADER as u64, reason)
    }

    fn read(&self, offset: u64, rows: usize, width: usize) -> Result<Vec<u8>, JournalError> {
        self.file.read_exact(offset, rows * width)
    }

    /// The matching postings from the wanted end, at most `limit`.
    pub(crate) fn postings(&self, key: Key, filter: &Filter, limit: usize) -> Result<Vec<Posting>, JournalError> {
        let (Some(slice), area) = self.slice(key)? else { return Ok(Vec::new()) };
        if slice.max_at < filter.from || slice.min_at > filter.to {
            return Ok(Vec::new());
        }
        // [low, high): the rows within the positions asked for.
        let base = self.header.base;
        let low = self.partition(area, slice.start, slice.start + slice.count, |delta| base + u64::from(delta) <= filter.after)?;
        let high = self.partition(area, low, slice.start + slice.count, |delta| base + u64::from(delta) < filter.before)?;
        let (mut low, mut high) = (low, high);
        let mut found = Vec::new();
        while low < high && found.len() < limit {
            // Small pages read small blocks.
            let rows = (high - low).min((BLOCK as u64).min(limit as u64 * 2)) as usize;
            let start = if filter.newest_first { high - rows as u64 } else { low };
            let block = self.read(area + start * POSTING as u64, rows, POSTING)?;
            let rows_read = block.chunks_exact(POSTING).map(|row| self.posting(row));
            let wanted = |p: &Option<Posting>| p.as_ref().is_some_and(|p| filter.matches(p));
            if filter.newest_first {
                found.extend(rows_read.rev().filter(wanted).flatten());
                high = start;
            } else {
                found.extend(rows_read.filter(wanted).flatten());
                low = start + rows as u64;
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn posting(&self, row: &[u8]) -> Option<Posting> {
        let mut input = Input(row);
        let (delta, place, at) = (input.u32()?, input.u32()?, input.i64()?);
        Some(Posting { seq: self.header.base + u64::from(delta), offset: place & !OUTBOUND, outbound: place & OUTBOUND != 0, at })
    }

    /// The first row in [low, high) for which the test on its position fails.
    fn partition(&self, area: u64, mut low: u64, mut high: u64, test: impl Fn(u32) -> bool) -> Result<u64, JournalError> {
        // The ends first: most slices lie wholly inside or outside.
        let at = |row: u64| -> Result<bool, JournalError> {
            let bytes = self.file.read_exact(area + row * POSTING as u64, 4)?;
            Ok(test(Input(&bytes).u32().unwrap_or(u32::MAX)))
        };
        if low >= high || !at(low)? {
            return Ok(low);
        }
        if at(high - 1)? {
            return Ok(high);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if at(middle)? { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    fn slice(&self, key: Key) -> Result<(Option<Slice>, u64), JournalError> {
        let s = self.header.sections();
        match key {
            Key::Thing(hash) => Ok((self.find(hash, s.things, u64::from(self.header.things), THING)?, s.thing_postings)),
            Key::Tenant(hash) => Ok((self.find(hash, s.tenants, u64::from(self.header.tenants), TENANT)?, s.tenant_postings)),
        }
    }

    /// Finds a key: guesses its row from its hash, reads around it, and halves what is left when it was not there.
    fn find(&self, hash: u64, area: u64, rows: u64, width: usize) -> Result<Option<Slice>, JournalError> {
        let window = (4096 / width) as u64;
        let (mut low, mut high) = (0, rows);
        let mut guess = ((u128::from(hash) * u128::from(rows)) >> 64) as u64;
        while low < high {
            let start = guess.saturating_sub(window / 2).clamp(low, high - 1);
            let count = window.min(high - start);
            let block = self.read(area + start * width as u64, count as usize, width)?;
            let keys: Vec<Slice> = block.chunks_exact(width).filter_map(read_key).collect();
            match keys.binary_search_by_key(&hash, |k| k.hash) {
                Ok(found) => return Ok(keys.get(found).copied().filter(|k| k.start + k.count <= self.header.summary.records)),
                Err(0) => high = start,
                Err(place) if place == keys.len() => low = start + count,
                Err(_) => return Ok(None),
            }
            guess = low + (high - low) / 2;
        }
        Ok(None)
    }

    /// Every tenant's share.
    pub(crate) fn tenants(&self) -> Result<Vec<TenantShare>, JournalError> {
        let block = self.read(self.header.sections().tenants, self.header.tenants as usize, TENANT)?;
        let rows = block.chunks_exact(TENANT).filter_map(|row| {
            let key = read_key(row)?;
            let tenant = TenantId(Input(row.get(THING..)?).uuid()?);
            Some(TenantShare { tenant, records: key.count, min_at: key.min_at, max_at: key.max_at })
        });
        Ok(rows.collect())
    }

    /// The offset of a message by position.
    pub(crate) fn offset(&self, seq: u64) -> Result<Option<u32>, JournalError> {
        let next = self.after(seq.saturating_sub(1), 1)?;
        Ok(next.first().filter(|(found, _)| *found == seq).map(|(_, offset)| *offset))
    }

    /// Position and offset of the next messages after a position.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Result<Vec<(u64, u32)>, JournalError> {
        let records = self.header.summary.records;
        let (mut low, mut high) = (0, records);
        while low < high {
            let middle = low + (high - low) / 2;
            let bytes = self.file.read_exact(HEADER as u64 + middle * SEQ as u64, 4)?;
            let delta = Input(&bytes).u32().unwrap_or(u32::MAX);
            if self.header.base + u64::from(delta) <= seq { low = middle + 1 } else { high = middle }
        }
        let rows = (records - low).min(limit as u64) as usize;
        let block = self.read(HEADER as u64 + low * SEQ as u64, rows, SEQ)?;
        let pair = |row: &[u8]| {
            let mut input = Input(row);
            Some((self.header.base + u64::from(input.u32()?), input.u32()?))
        };
        Ok(block.chunks_exact(SEQ).filter_map(pair).collect())
    }

    /// Offsets of the messages that may carry this id.
    pub(crate) fn by_id(&self, tag: u32) -> Result<Vec<u32>, JournalError> {
        let records = self.header.summary.records;
        let (mut low, mut high) = (0, records);
        let mut guess = (u64::from(tag) * records) >> 32;
        // The first row with this tag or a greater one.
        while low < high {
            let start = guess.saturating_sub(IDS / 2).clamp(low, high - 1);
            let rows = self.ids(start, high)?;
            let (first, last) = (rows.first().map_or(0, |r| r.0), rows.last().map_or(0, |r| r.0));
            if first >= tag && start > low {
                high = start;
            } else if last < tag {
                low = start + (rows.len() as u64).max(1);
            } else {
                low = start + rows.partition_point(|r| r.0 < tag) as u64;
                break;
            }
            guess = low + (high - low) / 2;
        }
        let mut found = Vec::new();
        while low < records {
            let rows = self.ids(low, records)?;
            let equal = rows.iter().take_while(|r| r.0 == tag).count();
            found.extend(rows.iter().take(equal).map(|r| r.1));
            if equal < rows.len() || rows.is_empty() {
                break;
            }
            low += equal as u64;
        }
        Ok(found)
    }

    /// Some rows (tag, offset) from one on.
    fn ids(&self, start: u64, end: u64) -> Result<Vec<(u32, u32)>, JournalError> {
        let count = IDS.min(end - start) as usize;
        let block = self.read(self.header.sections().ids + start * ID as u64, count, ID)?;
        Ok(block.chunks_exact(ID).filter_map(|row| Some((Input(row).u32()?, Input(row.get(4..)?).u32()?))).collect())
    }
}

fn read_key(row: &[u8]) -> Option<Slice> {
    let mut input = Input(row);
    let hash = input.u64()?;
    let (start, count) = (u64::from(input.u32()?), u64::from(input.u32()?));
    Some(Slice { hash, start, count, min_at: input.i64()?, max_at: input.i64()? })
}

#[cfg(test)]
mod tests {
    use model::{Direction, MessageId, ThingId};
    use parking_lot::RwLock;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::memindex::{self, Indexed, id_tag};

    fn indexed(rows: &[(u64, u8, u8, i64, bool)], base: u64) -> (MemIndex, Vec<(Posting, Indexed)>) {
        let (mut index, mut all, mut seq) = (MemIndex::new(base), Vec::new(), base);
        for (n, (gap, tenant, thing, at, outbound)) in rows.iter().enumerate() {
            let direction = if *outbound { Direction::Outbound } else { Direction::Inbound };
            let message = Indexed {
                id: MessageId(Uuid::from_u128(n as u128 + 1)),
                tenant: TenantId(Uuid::from_u128((*tenant).into())),
                thing: ThingId(Uuid::from_u128((*thing).into())),
                direction,
                at: *at,
            };
            let offset = 64 + n as u32 * 10;
            index.add(seq, offset, &message);
            all.push((Posting { seq, offset, outbound: *outbound, at: *at }, message));
            seq += gap;
        }
        (index, all)
    }

    fn rows(most: usize) -> impl Strategy<Value = Vec<(u64, u8, u8, i64, bool)>> {
        prop::collection::vec((1..40_u64, 0..2_u8, 0..40_u8, -50..50_i64, any::<bool>()), 0..most)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn memory_and_file_answer_alike(
            rows in rows(3000), after in 0..60_000_u64, before in 0..100_000_u64, from in -60..60_i64, to in -60..60_i64,
            direction in prop::option::of(any::<bool>()), newest_first in any::<bool>(), limit in 1..700_usize,
        ) {
            let base = 100;
            let (index, all) = indexed(&rows, base);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.idx");
            write(&path, Segment { id: 3, generation: 1, log_len: 9999, base }, &index, &Faults::none()).unwrap();
            let file = DiskIndex::open(&path, &Faults::none()).unwrap();
            file.verify().unwrap();
            prop_assert_eq!(file.header.summary, index.summary);
            let direction = direction.map(|out| if out { Direction::Outbound } else { Direction::Inbound });
            for (tenant, thing) in [(0, None), (1, None), (0, Some(1)), (1, Some(39)), (7, None), (0, Some(77))] {
                let (tenant, thing) = (TenantId(Uuid::from_u128(tenant)), thing.map(|n| ThingId(Uuid::from_u128(n))));
                for filter in [
                    Filter { after, before, from, to, direction, newest_first },
                    Filter { after: 0, before: u64::MAX, from: i64::MIN, to: i64::MAX, direction, newest_first },
                ] {
                    let mine = all.iter().filter(|(_, m)| m.tenant == tenant && thing.is_none_or(|t| t == m.thing));
                    let mut expected: Vec<Posting> = mine.map(|(p, _)| *p).filter(|p| filter.matches(p)).collect();
                    if newest_first {
                        expected.reverse();
                    }
                    expected.truncate(limit);
                    let key = Key::of(tenant, thing);
                    prop_assert_eq!(&file.postings(key, &filter, limit).unwrap(), &expected);
                    let (index, _) = indexed(&rows, base);
                    prop_assert_eq!(&memindex::postings(&RwLock::new(index), key, &filter, limit), &expected);
                }
            }
            for (posting, message) in all.iter().step_by(17) {
                prop_assert_eq!(file.offset(posting.seq).unwrap(), Some(posting.offset));
                prop_assert_eq!(index.offset(posting.seq), Some(posting.offset));
                prop_assert!(file.by_id(id_tag(message.id)).unwrap().contains(&posting.offset));
                prop_assert!(index.by_id(id_tag(message.id)).contains(&posting.offset));
            }
            let places = |n: u64| all.iter().filter(|(p, _)| p.seq > n).take(limit).map(|(p, _)| (p.seq, p.offset)).collect::<Vec<_>>();
            prop_assert_eq!(file.after(after, limit).unwrap(), places(after));
            prop_assert_eq!(index.after(after, limit).iter().map(|p| (p.seq, p.offset)).collect::<Vec<_>>(), places(after));
        }

        #[test]
        fn truncated_memory_is_as_if_never_filled(rows in rows(9000), keep in any::<prop::sample::Index>()) {
            let keep = keep.index(rows.len() + 1);
            let (mut whole, _) = indexed(&rows, 5);
            let (part, all) = indexed(&rows[..keep], 5);
            whole.truncate(64 + keep as u32 * 10);
            prop_assert_eq!(whole.len(), keep);
            prop_assert_eq!(whole.summary, part.summary);
            let things = |index: &MemIndex| index.things().into_iter().map(|(h, c)| (h, index.newest_first(c).collect())).collect::<Vec<(u64, Vec<_>)>>();
            prop_assert_eq!(things(&whole), things(&part));
            let tenants = |index: &MemIndex| {
                index.tenants().into_iter().map(|(h, t, c)| (h, t, index.newest_first(c).collect())).collect::<Vec<(u64, TenantId, Vec<_>)>>()
            };
            prop_assert_eq!(tenants(&whole), tenants(&part));
            prop_assert_eq!(whole.all().map(|(p, _)| p).collect::<Vec<_>>(), all.iter().map(|(p, _)| *p).collect::<Vec<_>>());
        }

        #[test]
        fn arbitrary_files_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), real in any::<bool>(), at in any::<prop::sample::Index>()) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.idx");
            if real {
                let (index, _) = indexed(&[(1, 0, 0, 0, false); 20], 5);
                write(&path, Segment { id: 1, generation: 0, log_len: 1, base: 5 }, &index, &Faults::none()).unwrap();
                bytes = std::fs::read(&path).unwrap();
                let at = at.index(bytes.len());
                bytes[at] ^= 0x55;
            }
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(file) = DiskIndex::open(&path, &Faults::none()) {
                prop_assert!(file.verify().is_err());
                let filter = Filter { after: 0, before: u64::MAX, from: i64::MIN, to: i64::MAX, direction: None, newest_first: true };
                let _ = file.postings(Key::of(TenantId(Uuid::nil()), None), &filter, 10);
                let _ = (file.offset(7), file.after(0, 10), file.by_id(3), file.tenants());
            }
        }
    }

    #[test]
    fn equal_tags_are_all_found() {
        let mut index = MemIndex::new(1);
        let message = |n: u128| Indexed {
            id: MessageId(Uuid::from_u128(n)),
            tenant: TenantId(Uuid::nil()),
            thing: ThingId(Uuid::nil()),
            direction: Direction::Inbound,
            at: 0,
        };
        for n in 0..3000_u32 {
            // The same id a thousand times among others.
            index.add(u64::from(n) + 1, 64 + n, &message(if n % 3 == 0 { 7 } else { u128::from(n) + 100 }));
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.idx");
        write(&path, Segment { id: 1, generation: 0, log_len: 1, base: 1 }, &index, &Faults::none()).unwrap();
        let mut found = DiskIndex::open(&path, &Faults::none()).unwrap().by_id(id_tag(message(7).id)).unwrap();
        found.sort_unstable();
        assert_eq!(found, (0..3000).filter(|n| n % 3 == 0).map(|n| 64 + n).collect::<Vec<u32>>());
    }
}
