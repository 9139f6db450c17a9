//! Primitive values off a slice (1.5).

use super::DecodeError;

pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*first)
    }

    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        let (value, rest) = self.0.split_first_chunk::<2>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*value))
    }

    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        let (value, rest) = self.0.split_first_chunk::<4>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*value))
    }

    /// A packet identifier: never 0 (2.2.1).
    pub fn pid(&mut self) -> Result<u16, DecodeError> {
        match self.u16()? {
            0 => Err(DecodeError::protocol("packet identifier is 0")),
            pid => Ok(pid),
        }
    }

    /// Variable byte integer in its shortest form (1.5.5).
    pub fn varint(&mut self) -> Result<u32, DecodeError> {
        match varint(self.0, true)? {
            Some((value, used)) => {
                self.0 = self.0.get(used..).ok_or(SHORT)?;
                Ok(value)
            }
            None => Err(SHORT),
        }
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(head)
    }

    pub fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// UTF-8 string: well formed (which excludes surrogates), no U+0000 (1.5.4).
    pub fn string(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        if bytes.contains(&0) {
            return Err(DecodeError::malformed("U+0000 in a string"));
        }
        std::str::from_utf8(bytes).map_err(|_| DecodeError::malformed("a string is not UTF-8"))
    }
}

pub(super) const SHORT: DecodeError = DecodeError { reason: crate::Reason::MalformedPacket, detail: "the packet ends too early" };

/// A variable byte integer at the start of `bytes` with its length; `None` when more bytes are needed.
pub(super) fn varint(bytes: &[u8], shortest: bool) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0u32;
    for (i, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * i);
        if byte & 0x80 == 0 {
            if shortest && i > 0 && *byte == 0 {
                return Err(DecodeError::malformed("a length is not in its shortest form"));
            }
            return Ok(Some((value, i + 1)));
        }
    }
    if bytes.len() >= 4 { Err(DecodeError::malformed("a length has more than four bytes")) } else { Ok(None) }
}
