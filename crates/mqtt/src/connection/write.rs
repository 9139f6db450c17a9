//! What waits to be written: small things coalesced, large payloads as shared slices.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

/// Payloads from this size on are not copied.
const SHARE: usize = 2_048;
const SLICES: usize = 32;

#[derive(Default)]
pub(super) struct WriteBuffer {
    /// In front of `tail`.
    segments: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
    unflushed: bool,
}

impl WriteBuffer {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Nothing to write or flush.
    pub fn is_idle(&self) -> bool {
        self.len == 0 && !self.unflushed
    }

    /// Appends what `write` writes.
    pub fn put(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.tail.len();
        write(&mut self.tail);
        self.len += self.tail.len() - before;
    }

    /// Appends a payload, shared when it is large.
    pub fn payload(&mut self, payload: &Bytes) {
        if payload.len() < SHARE {
            return self.put(|tail| tail.extend_from_slice(payload));
        }
        if !self.tail.is_empty() {
            self.segments.push_back(self.tail.split().freeze());
        }
        self.len += payload.len();
        self.segments.push_back(payload.clone());
    }

    /// Writes as much as the stream takes; ready once everything is written and flushed. Adds what went out to `written`.
    pub fn poll_drain<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, cx: &mut Context<'_>, written: &mut usize) -> Poll<io::Result<()>> {
        while self.len > 0 {
            let n = if self.segments.is_empty() {
                ready!(Pin::new(&mut *stream).poll_write(cx, &self.tail))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let parts = self.segments.iter().map(|s| &s[..]).chain(std::iter::once(&self.tail[..]));
                let mut used = 0;
                for (slice, part) in slices.iter_mut().zip(parts) {
                    *slice = IoSlice::new(part);
                    used += 1;
                }
                ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices.get(..used).unwrap_or_default()))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *written += n;
            self.unflushed = true;
            self.consume(n);
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the memory back; the connection is about to idle.
    pub fn rest(&mut self) {
        if self.len == 0 && self.tail.capacity() > 0 {
            self.tail = BytesMut::new();
            self.segments = VecDeque::new();
        }
    }

    fn consume(&mut self, mut n: usize) {
        self.len -= n;
        while let Some(first) = self.segments.front_mut() {
            if n < first.len() {
                first.advance(n);
                return;
            }
            n -= first.len();
            self.segments.pop_front();
        }
        self.tail.advance(n.min(self.tail.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn everything_arrives_in_order_through_a_narrow_stream() {
        let (mut near, mut far) = tokio::io::duplex(7);
        let mut buffer = WriteBuffer::default();
        let mut expected = Vec::new();
        for i in 0..100u8 {
            buffer.put(|b| b.extend_from_slice(&[i; 3]));
            expected.extend_from_slice(&[i; 3]);
            let payload = Bytes::from(vec![i; if i % 3 == 0 { SHARE + usize::from(i) } else { 5 }]);
            buffer.payload(&payload);
            expected.extend_from_slice(&payload);
        }
        assert_eq!(buffer.len(), expected.len());
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.unwrap();
            got
        });
        let mut written = 0;
        std::future::poll_fn(|cx| buffer.poll_drain(&mut near, cx, &mut written)).await.unwrap();
        assert!(buffer.is_idle());
        assert_eq!(written, expected.len());
        drop(near);
        assert_eq!(reader.await.unwrap(), expected);
    }
}
