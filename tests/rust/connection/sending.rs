//! From any thread to the socket.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use dwebsocket::{
    connection::Patience,
    wire::{
        frame::{encode_message, encode_ping},
        message::Kind,
    },
};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf, duplex};

use super::support::{client_frame, config, expect_bytes, opened, over_tcp, piped, receive, send_bytes};

#[tokio::test]
async fn frames_sent_before_the_driver_runs_are_written_by_it() {
    let (connection, driver) = opened(config(|_| {}));
    connection.send(encode_message(Kind::Text, b"early"), Patience::Other).unwrap();
    let (socket, mut peer) = duplex(1024);
    let _task = tokio::spawn(driver.run(socket, Bytes::new()));
    expect_bytes(&mut peer, b"\x81\x05early").await;
}

#[tokio::test]
async fn many_threads_that_send_lose_double_and_mix_nothing() {
    const THREADS: usize = 6;
    const EACH: usize = 400;
    let (connection, mut peer, _task) = over_tcp(config(|config| config.outbox_bytes = 256 << 10)).await;
    let senders: Vec<_> = (0..THREADS)
        .map(|thread| {
            let connection = connection.clone();
            std::thread::spawn(move || {
                for number in 0..EACH {
                    // From a few bytes to more than is copied together and more than one write takes.
                    let padding = "x".repeat((number * 37) % 9_000);
                    let message = format!("{thread} {number} {padding}");
                    connection.send(encode_message(Kind::Text, message.as_bytes()), Patience::Owner).unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; THREADS];
    for _ in 0..THREADS * EACH {
        let message = peer.next().await.unwrap().unwrap().into_text().unwrap();
        let mut words = message.split(' ');
        let thread: usize = words.next().unwrap().parse().unwrap();
        let number: usize = words.next().unwrap().parse().unwrap();
        assert_eq!(number, next[thread], "each thread's messages come in the order it sent them");
        assert_eq!(words.next().unwrap().len(), (number * 37) % 9_000);
        next[thread] += 1;
    }
    assert_eq!(next, [EACH; THREADS]);
    for sender in senders {
        sender.join().unwrap();
    }
    assert_eq!(connection.counts().sent_messages, (THREADS * EACH) as u64);
}

#[tokio::test]
async fn a_message_of_a_mebibyte_goes_out_whole_between_small_ones() {
    let (connection, mut peer, _task) = over_tcp(config(|_| {})).await;
    let large = vec![b'l'; 1 << 20];
    for payload in [b"before".as_slice(), &large, b"after"] {
        connection.send(encode_message(Kind::Binary, payload), Patience::Other).unwrap();
    }
    for payload in [b"before".as_slice(), &large, b"after"] {
        assert_eq!(peer.next().await.unwrap().unwrap().into_data(), payload);
    }
}

#[tokio::test]
async fn control_frames_are_no_messages_in_the_counts() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
    connection.send(encode_ping(b"are you there"), Patience::Other).unwrap();
    connection.send(encode_message(Kind::Text, b"yes"), Patience::Other).unwrap();
    expect_bytes(&mut peer, b"\x89\x0Dare you there\x81\x03yes").await;
    assert_eq!((connection.counts().sent_messages, connection.counts().sent_bytes), (1, 20));
}

#[tokio::test]
async fn every_ping_of_a_burst_is_answered_in_order() {
    let (_connection, mut peer, _task) = piped(config(|_| {}), 4096);
    let pings: Vec<u8> = (0..10_u8).flat_map(|number| client_frame(0x89, &[number])).collect();
    send_bytes(&mut peer, &pings).await;
    for number in 0..10_u8 {
        expect_bytes(&mut peer, &[0x8A, 1, number]).await;
    }
}

#[tokio::test]
async fn a_peer_that_pings_without_reading_gets_the_newest_64_answers() {
    // The pipe to the peer takes one byte, so that all Pongs but the first wait.
    let (connection, driver) = opened(config(|_| {}));
    let (socket, mut peer) = duplex(1);
    let _task = tokio::spawn(driver.run(socket, Bytes::new()));
    for number in 0..100_u8 {
        send_bytes(&mut peer, &client_frame(0x89, &[number])).await;
    }
    send_bytes(&mut peer, &client_frame(0x81, b"end")).await;
    receive(&connection).await.unwrap();
    let mut answered = Vec::new();
    while answered.last() != Some(&99) {
        let mut pong = [0; 3];
        peer.read_exact(&mut pong).await.unwrap();
        assert_eq!(pong[..2], [0x8A, 1]);
        answered.push(pong[2]);
    }
    assert_eq!(answered[0], 0, "the one being written");
    assert!(answered[1..].iter().copied().eq(36..100), "{answered:?}");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_still_read() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 4096);
    connection.send(encode_message(Kind::Binary, &vec![0; 1 << 20]), Patience::Other).unwrap();
    for _ in 0..100 {
        send_bytes(&mut peer, &client_frame(0x82, &[1; 1000])).await;
    }
    for _ in 0..100 {
        assert_eq!(receive(&connection).await.unwrap().payload.len(), 1000);
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_still_written_to_while_another_direction_is_full() {
    let (connection, mut peer, _task) = piped(config(|config| config.inbox_messages = 1), 4096);
    send_bytes(&mut peer, &client_frame(0x82, &[1; 100]).repeat(20)).await;
    for number in 0..100_u8 {
        connection.send(encode_message(Kind::Binary, &[number]), Patience::Other).unwrap();
        expect_bytes(&mut peer, &[0x82, 1, number]).await;
    }
}

/// Counts the writes of a socket.
struct CountedWrites {
    socket: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for CountedWrites {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for CountedWrites {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[tokio::test]
async fn a_burst_of_small_and_large_frames_is_written_at_once() {
    let (connection, driver) = opened(config(|_| {}));
    let mut expected = Vec::new();
    for number in 0..500_usize {
        let frame = encode_message(Kind::Binary, &vec![7; if number % 100 == 50 { 5_000 } else { 20 }]);
        expected.extend_from_slice(&frame);
        connection.send(frame, Patience::Other).unwrap();
    }
    let (socket, mut peer) = duplex(1 << 20);
    let writes = Arc::new(AtomicUsize::new(0));
    let _task = tokio::spawn(driver.run(CountedWrites { socket, writes: Arc::clone(&writes) }, Bytes::new()));
    expect_bytes(&mut peer, &expected).await;
    assert_eq!(writes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn threads_that_start_together_on_a_fresh_connection_are_all_heard() {
    for _ in 0..100 {
        let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
        let barrier = Arc::new(Barrier::new(3));
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let (connection, barrier) = (connection.clone(), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    connection.send(encode_message(Kind::Text, b"x"), Patience::Other).unwrap();
                })
            })
            .collect();
        expect_bytes(&mut peer, b"\x81\x01x\x81\x01x\x81\x01x").await;
        for sender in senders {
            sender.join().unwrap();
        }
    }
}

/// A peer that talks without a pause and takes whatever is written.
struct Talkative {
    reads: usize,
    reads_before_write: Arc<AtomicUsize>,
}

impl AsyncRead for Talkative {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Without an end, a driver that never writes would never let the test fail.
        if self.reads < 10_000 {
            self.reads += 1;
            buffer.put_slice(&client_frame(0x8A, b"unasked"));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Talkative {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.reads_before_write.store(self.reads, Ordering::SeqCst);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_peer_that_talks_without_a_pause_does_not_hold_up_what_is_sent_to_it() {
    let (connection, driver) = opened(config(|_| {}));
    connection.send(encode_message(Kind::Text, b"listen"), Patience::Other).unwrap();
    let reads_before_write = Arc::new(AtomicUsize::new(usize::MAX));
    let socket = Talkative { reads: 0, reads_before_write: Arc::clone(&reads_before_write) };
    driver.run(socket, Bytes::new()).await;
    assert_eq!(reads_before_write.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_peer_that_talks_without_a_pause_leaves_other_tasks_their_turn() {
    let (_connection, driver) = opened(config(|_| {}));
    let socket = Talkative { reads: 0, reads_before_write: Arc::default() };
    let mut running = std::pin::pin!(driver.run(socket, Bytes::new()));
    let (waker, woken) = super::support::counting_waker();
    assert!(running.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(woken.count(), 1, "it asks for its next turn");
}
