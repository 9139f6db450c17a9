//! Waiting for anything: bytes, room to write, the disk, a message, a deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{Connection, Front, Stop};
use crate::broker::count;
use crate::{Host, Reason};

/// Read at a time, on the stack.
const CHUNK: usize = 16 << 10;
/// Reads in a row while the stream fills whole chunks.
const READS: usize = 4;

impl<H, S> Connection<'_, H, S>
where
    H: Host,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    pub(super) async fn wait(&mut self) -> Result<(), Stop> {
        poll_fn(|cx| self.poll_anything(cx)).await
    }

    fn poll_anything(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let mut ready = false;
        self.session.waker.register(cx.waker());
        if self.session.signal.swap(false, Ordering::AcqRel) {
            ready = true;
            if let Some(reason) = self.session.mail.lock().kill {
                return Poll::Ready(Err(Stop::closed(reason)));
            }
        }
        if self.poll_write(cx)? {
            ready = true;
        }
        if self.poll_read(cx)? {
            ready = true;
        }
        if let Front::Waiting(waiting) = &mut self.front
            && let Poll::Ready(result) = waiting.as_mut().poll(cx)
        {
            self.front = Front::Known(result);
            ready = true;
        }
        if self.admit.as_mut().is_some_and(|admit| admit.as_mut().poll(cx).is_ready()) {
            self.admit = None;
            ready = true;
        }
        for consumer in &mut self.consumers {
            ready |= consumer.poll_added(cx);
        }
        self.poll_timer(cx)?;
        // What made them wait may be over without anything having happened here.
        if ready || self.halted && !self.is_busy() && !self.choked {
            return Poll::Ready(Ok(()));
        }
        self.out.rest();
        Poll::Pending
    }

    /// True when sending had stopped for want of room and there is some again.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        if self.out.is_idle() {
            return Ok(false);
        }
        let mut written = 0;
        let drained = self.out.poll_drain(&mut self.stream, cx, &mut written);
        count(&self.broker.counters.bytes_out, written);
        count(&self.session.tenant.counters.bytes_out, written);
        match drained {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(_)) => Err(Stop::LOST),
            Poll::Ready(Ok(())) => {
                self.acknowledge_written();
                Ok(std::mem::take(&mut self.choked))
            }
        }
    }

    /// True when bytes have come.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        if self.is_busy() {
            // Not reading is our own doing, so the client's silence does not count.
            self.heard = Instant::now();
            return Ok(false);
        }
        if self.choked {
            return Ok(false);
        }
        let mut any = false;
        for _ in 0..READS {
            match read_chunk(&mut self.stream, &mut self.inbuf, cx) {
                Poll::Pending => break,
                // What came before the end is handled first; the next read finds the end again.
                Poll::Ready(Ok(0)) if any => break,
                Poll::Ready(Ok(0) | Err(_)) => return Err(Stop::LOST),
                Poll::Ready(Ok(n)) => {
                    any = true;
                    count(&self.broker.counters.bytes_in, n);
                    count(&self.session.tenant.counters.bytes_in, n);
                    if n < CHUNK {
                        break;
                    }
                }
            }
        }
        if any {
            self.heard = Instant::now();
        }
        Ok(any)
    }

    /// Publishes wait for the disk and no more are taken in meanwhile.
    pub(super) fn is_busy(&self) -> bool {
        self.admit.is_some() || self.pending.len() >= usize::from(self.broker.limits.max_inflight).max(1) * 2
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        loop {
            let silent = self.keep_alive.map(|limit| self.heard + limit);
            let Some(deadline) = silent.into_iter().chain(self.until).min() else { return Ok(()) };
            // Set once and looked at when it fires: reading need not touch the timer each time.
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            let now = Instant::now();
            if self.until.is_some_and(|until| until <= now) {
                return Err(Stop::closed(Reason::MaximumConnectTime));
            }
            if silent.is_some_and(|limit| limit <= now) {
                return Err(Stop::closed(Reason::KeepAliveTimeout));
            }
            timer.as_mut().reset(deadline);
        }
    }
}

fn read_chunk<S: AsyncRead + Unpin>(stream: &mut S, into: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut space = [const { MaybeUninit::<u8>::uninit() }; CHUNK];
    let mut buffer = ReadBuf::uninit(&mut space);
    match Pin::new(stream).poll_read(cx, &mut buffer) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        Poll::Ready(Ok(())) => {
            into.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        }
    }
}
