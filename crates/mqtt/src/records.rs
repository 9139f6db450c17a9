//! One TLS record a packet.
//!
//! Simple clients wait on the socket and read one packet each time it stirs (the FlashLex device SDK's MQTT library does). What else
//! came in the same TLS record then lies decrypted in the library's memory, where the socket knows nothing of it: a SUBACK and the
//! messages that waited, written as one record, leave such a device with the SUBACK until the next keep-alive.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that hands MQTT packets on one by one: no write reaches past a packet's end.
#[derive(Debug)]
pub struct PacketWrites<S> {
    inner: S,
    at: Place,
}

/// Where in a packet the next byte lies (MQTT 5 2.1: type, remaining length in one to four bytes, the rest).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Type,
    Length { value: usize, shift: u32 },
    Body { left: usize },
}

impl Place {
    /// Takes bytes up to the packet's end: how many, and where that leads.
    fn take(mut self, bytes: &[u8]) -> (usize, Self) {
        let mut taken = 0;
        while let Some(byte) = bytes.get(taken) {
            match self {
                Self::Type => {
                    self = Self::Length { value: 0, shift: 0 };
                    taken += 1;
                }
                Self::Length { value, shift } => {
                    let value = value | usize::from(byte & 0x7f) << shift;
                    self = if byte & 0x80 == 0 { Self::Body { left: value } } else { Self::Length { value, shift: (shift + 7).min(21) } };
                    taken += 1;
                }
                Self::Body { left } => {
                    let n = left.min(bytes.len() - taken);
                    self = Self::Body { left: left - n };
                    taken += n;
                }
            }
            if self == (Self::Body { left: 0 }) {
                return (taken, Self::Type);
            }
        }
        (taken, self)
    }
}

impl<S> PacketWrites<S> {
    /// Around a TLS stream on which nothing was written yet.
    pub fn new(inner: S) -> Self {
        Self { inner, at: Place::Type }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PacketWrites<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let (end, _) = self.at.take(bytes);
        let packet = bytes.get(..end).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, packet))?;
        self.at = self.at.take(packet.get(..written).unwrap_or(packet)).1;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacketWrites<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// Remembers each write; takes at most `most` bytes of it.
    struct Writes {
        seen: Vec<Vec<u8>>,
        most: usize,
    }

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let n = bytes.len().min(self.most);
            self.seen.push(bytes[..n].to_vec());
            Poll::Ready(Ok(n))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn packet(first: u8, body: usize) -> Vec<u8> {
        let mut out = vec![first];
        let mut left = body;
        loop {
            let digit = u8::try_from(left % 128).unwrap();
            left /= 128;
            out.push(if left > 0 { digit | 0x80 } else { digit });
            if left == 0 {
                break;
            }
        }
        out.extend(std::iter::repeat_n(first, body));
        out
    }

    #[tokio::test]
    async fn each_packet_is_a_write_of_its_own() {
        let packets = [
            packet(0x90, 3),
            packet(0x30, 0),
            packet(0x32, 127),
            packet(0x32, 128),
            packet(0xd0, 0),
            packet(0x30, 300_000),
            packet(0x40, 2),
        ];
        let mut stream = PacketWrites::new(Writes { seen: Vec::new(), most: usize::MAX });
        stream.write_all(&packets.concat()).await.unwrap();
        assert_eq!(stream.inner.seen, packets);
    }

    #[tokio::test]
    async fn however_the_bytes_come_and_go_no_write_holds_two_packets() {
        let packets: Vec<Vec<u8>> = (0..40).map(|n| packet(0x30, n * 37 % 400)).collect();
        let all = packets.concat();
        let ends: Vec<usize> = packets
            .iter()
            .scan(0, |end, p| {
                *end += p.len();
                Some(*end)
            })
            .collect();
        for (piece, most) in [(1, 1), (1, 9), (7, 3), (1_000, 5), (64, 64), (3, usize::MAX)] {
            let mut stream = PacketWrites::new(Writes { seen: Vec::new(), most });
            for part in all.chunks(piece) {
                stream.write_all(part).await.unwrap();
            }
            assert_eq!(stream.inner.seen.concat(), all);
            let mut at = 0;
            for write in &stream.inner.seen {
                let crossed = ends.iter().any(|end| at < *end && *end < at + write.len());
                assert!(!crossed, "{piece} {most}: a write from {at} reaches past a packet's end");
                at += write.len();
            }
        }
    }
}
