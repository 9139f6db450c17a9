//! The index file of a sealed segment: answers by thing, tenant, position and id with a few small reads.
//!
//! `header | S | T | t | N | n | I`, little-endian. S: (position, offset) of every message in order. T: per thing
//! (hash, first, count, times), sorted by hash, and its postings t. N, n: the same per tenant. I: (tag of the id,
//! offset), sorted. Hashes are spread evenly, so a key is found by guessing its place, mostly with one read.

use std::path::Path;

use model::TenantId;

use crate::codec::Input;
use crate::disk::DiskFile;
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

/// The bytes of the index file of a segment.
pub(crate) fn build(segment: u64, generation: u64, log_len: u64, base: u64, index: &MemIndex) -> Vec<u8> {
    let records = index.len();
    let mut body = Vec::with_capacity(records * (SEQ + 2 * POSTING + ID + 8));
    let mut ids = Vec::with_capacity(records);
    for (posting, tag) in index.all() {
        put_pair(&mut body, (posting.seq - base) as u32, posting.offset);
        ids.push((tag, posting.offset));
    }
    let things = index.by_thing();
    let mut first = 0;
    for (hash, postings) in &things {
        put_key(&mut body, *hash, &mut first, postings);
    }
    things.iter().flat_map(|(_, postings)| postings).for_each(|p| put_posting(&mut body, base, p));
    let tenants = index.by_tenant();
    let mut first = 0;
    for (hash, tenant, postings) in &tenants {
        put_key(&mut body, *hash, &mut first, postings);
        body.extend_from_slice(tenant.0.as_bytes());
    }
    tenants.iter().flat_map(|(_, _, postings)| postings).for_each(|p| put_posting(&mut body, base, p));
    ids.sort_unstable();
    ids.iter().for_each(|(tag, offset)| put_pair(&mut body, *tag, *offset));
    let header = IndexHeader {
        segment,
        generation,
        log_len,
        base,
        summary: index.summary,
        things: things.len() as u32,
        tenants: tenants.len() as u32,
        body_crc: crc32fast::hash(&body),
    };
    let mut out = header.bytes();
    out.append(&mut body);
    out
}

fn put_pair(out: &mut Vec<u8>, a: u32, b: u32) {
    out.extend_from_slice(&a.to_le_bytes());
    out.extend_from_slice(&b.to_le_bytes());
}

fn put_key(out: &mut Vec<u8>, hash: u64, first: &mut u32, postings: &[Posting]) {
    out.extend_from_slice(&hash.to_le_bytes());
    put_pair(out, *first, postings.len() as u32);
    *first += postings.len() as u32;
    out.extend_from_slice(&postings.iter().map(|p| p.at).min().unwrap_or(i64::MAX).to_le_bytes());
    out.extend_from_slice(&postings.iter().map(|p| p.at).max().unwrap_or(i64::MIN).to_le_bytes());
}

fn put_posting(out: &mut Vec<u8>, base: u64, p: &Posting) {
    put_pair(out, (p.seq - base) as u32, p.offset | if p.outbound { OUTBOUND } else { 0 });
    out.extend_from_slice(&p.at.to_le_bytes());
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
        let area = self.header.sections().ids;
        let (mut low, mut high) = (0, self.header.summary.records);
        let mut guess = (u64::from(tag) * high) >> 32;
        let mut found = Vec::new();
        const WINDOW: u64 = 256;
        while low < high {
            let start = guess.saturating_sub(WINDOW / 2).clamp(low, high - 1);
            let count = WINDOW.min(high - start);
            let block = self.read(area + start * ID as u64, count as usize, ID)?;
            let rows: Vec<(u32, u32)> =
                block.chunks_exact(ID).filter_map(|row| Some((Input(row).u32()?, Input(row.get(4..)?).u32()?))).collect();
            let (first, last) = (rows.first().map_or(0, |r| r.0), rows.last().map_or(0, |r| r.0));
            if first > tag || (first == tag && start > low) {
                // Equal tags may begin before the window: go on below it, unless this is where they begin.
                found.extend(rows.iter().filter(|r| r.0 == tag).map(|r| r.1));
                high = start;
            } else if last < tag {
                low = start + count;
            } else {
                found.extend(rows.iter().filter(|r| r.0 == tag).map(|r| r.1));
                return if last == tag && start + count < high { self.rest(tag, start + count, high, found) } else { Ok(found) };
            }
            guess = low + (high - low) / 2;
        }
        Ok(found)
    }

    /// The run of equal tags that starts at `row`.
    fn rest(&self, tag: u32, row: u64, high: u64, mut found: Vec<u32>) -> Result<Vec<u32>, JournalError> {
        let area = self.header.sections().ids;
        for row in row..high {
            let bytes = self.read(area + row * ID as u64, 1, ID)?;
            let mut input = Input(&bytes);
            match (input.u32(), input.u32()) {
                (Some(t), Some(offset)) if t == tag => found.push(offset),
                _ => break,
            }
        }
        Ok(found)
    }
}

fn read_key(row: &[u8]) -> Option<Slice> {
    let mut input = Input(row);
    let hash = input.u64()?;
    let (start, count) = (u64::from(input.u32()?), u64::from(input.u32()?));
    Some(Slice { hash, start, count, min_at: input.i64()?, max_at: input.i64()? })
}
