//! How much is read at once.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use dwebsocket::connection::Connection;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use super::support::{client_frame, config, opened, receive, send_bytes};

/// Notes what each read that brings something has room for, and what it brings.
struct Noted {
    stream: DuplexStream,
    reads: Arc<Mutex<Vec<(usize, usize)>>>,
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (room, before) = (buffer.remaining(), buffer.filled().len());
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.reads.lock().push((room, buffer.filled().len() - before));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

struct Pair {
    connection: Connection,
    peer: DuplexStream,
    reads: Arc<Mutex<Vec<(usize, usize)>>>,
}

impl Pair {
    fn new() -> Self {
        let (connection, driver) = opened(config(|_| {}));
        let (stream, peer) = duplex(1 << 20);
        let reads = Arc::<Mutex<Vec<(usize, usize)>>>::default();
        tokio::spawn(driver.run(Noted { stream, reads: Arc::clone(&reads) }, Bytes::new()));
        Self { connection, peer, reads }
    }

    /// The reads that it takes to receive a message of so many bytes.
    async fn reads_for(&mut self, payload_bytes: usize) -> Vec<(usize, usize)> {
        send_bytes(&mut self.peer, &client_frame(0x82, &vec![7; payload_bytes])).await;
        let message = receive(&self.connection).await.unwrap();
        assert_eq!(message.payload, vec![7; payload_bytes]);
        std::mem::take(&mut self.reads.lock())
    }
}

#[tokio::test]
async fn message_as_long_as_the_one_before_is_read_at_once_into_a_buffer_a_little_larger() {
    let mut pair = Pair::new();
    let first = pair.reads_for(16 << 10).await;
    assert_eq!(first[0], (4096, 4096));
    assert_eq!(first.len(), 2);
    for _ in 0..3 {
        // With the header of eight bytes.
        assert_eq!(pair.reads_for(16 << 10).await, [(20_480, 16_392)]);
    }
}

#[tokio::test]
async fn buffer_is_no_larger_than_what_came_last_needs() {
    let mut pair = Pair::new();
    pair.reads_for(16 << 10).await;
    assert_eq!(pair.reads_for(100).await, [(20_480, 106)]);
    assert_eq!(pair.reads_for(100).await, [(4096, 106)]);
    // And of whoever says very much, not larger than 64 KiB before the message has begun.
    pair.reads_for(1 << 19).await;
    assert_eq!(pair.reads_for(100).await, [(65_536, 106)]);
}
