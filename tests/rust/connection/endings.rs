//! Peers that vanish, drivers that die, and handles that nobody holds.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use dwebsocket::{
    connection::Patience,
    error::{ClosedBy, ReceiveError, SendError},
    wire::{frame::encode_message, message::Kind},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};

use super::support::{
    LONG, client_frame, config, expect_bytes, finished, lost, on_thread, opened, over_tcp, piped, readable,
    reason, receive, reset, send_bytes, tcp_pair,
};

#[tokio::test]
async fn the_end_of_the_stream_without_a_close_is_a_loss_and_what_came_before_stays_readable() {
    let (connection, mut peer, task) = piped(config(|_| {}), 1024);
    send_bytes(&mut peer, &client_frame(0x81, b"whole")).await;
    send_bytes(&mut peer, &client_frame(0x81, b"cut off")[..9]).await;
    drop(peer);
    task.await.unwrap();
    assert_eq!(connection.close_reason(), Some(lost()));
    assert_eq!(receive(&connection).await.unwrap().payload, "whole");
    assert_eq!(receive(&connection).await, Err(ReceiveError::Closed(lost())));
    let frame = encode_message(Kind::Text, b"late");
    assert_eq!(connection.send(frame, Patience::Other), Err(SendError::Closed(lost())));
}

#[tokio::test]
async fn a_reset_of_an_open_connection_is_a_loss() {
    let (connection, peer, task) = over_tcp(config(|_| {})).await;
    reset(peer.into_inner());
    task.await.unwrap();
    assert_eq!(connection.close_reason(), Some(lost()));
}

#[tokio::test]
async fn a_reset_before_the_driver_runs_is_a_loss() {
    let (connection, driver) = opened(config(|_| {}));
    let (socket, peer) = tcp_pair().await;
    reset(peer);
    driver.run(socket, Bytes::new()).await;
    assert_eq!(connection.close_reason(), Some(lost()));
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_message_either_way_is_a_loss() {
    let (connection, peer, task) = over_tcp(config(|_| {})).await;
    let mut peer = peer.into_inner();
    connection.send(encode_message(Kind::Binary, &vec![0; 16 << 20]), Patience::Other).unwrap();
    peer.read_exact(&mut [0; 1000]).await.unwrap();
    send_bytes(&mut peer, &client_frame(0x81, b"half a message")[..10]).await;
    reset(peer);
    task.await.unwrap();
    assert_eq!(connection.close_reason(), Some(lost()));
}

#[tokio::test]
async fn a_reset_after_our_close_ends_it_at_once() {
    let (connection, peer, task) = over_tcp(config(|config| config.close_timeout = LONG)).await;
    let mut peer = peer.into_inner();
    connection.close(1000, "");
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    reset(peer);
    tokio::time::timeout(LONG / 2, task).await.unwrap().unwrap();
    assert_eq!(connection.close_reason(), Some(reason(1000, "", ClosedBy::Us)));
}

#[tokio::test]
async fn a_reset_behind_the_close_of_the_peer_ends_it_at_once() {
    let (connection, peer, task) = over_tcp(config(|config| config.close_timeout = LONG)).await;
    let mut peer = peer.into_inner();
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    reset(peer);
    tokio::time::timeout(LONG / 2, task).await.unwrap().unwrap();
    assert_eq!(connection.close_reason(), Some(reason(1000, "", ClosedBy::Peer)));
}

#[tokio::test]
async fn the_last_words_of_a_peer_that_left_are_read_though_nothing_can_be_written() {
    // The peer says something, closes, and is gone before the server has written what it wants to say.
    for _ in 0..20 {
        let (connection, driver) = opened(config(|_| {}));
        let (socket, mut peer) = tcp_pair().await;
        send_bytes(&mut peer, &client_frame(0x81, b"last words").repeat(100)).await;
        send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE9")).await;
        drop(peer);
        for _ in 0..10 {
            connection.send(encode_message(Kind::Binary, &vec![0; 100_000]), Patience::Other).unwrap();
        }
        driver.run(socket, Bytes::new()).await;
        for _ in 0..100 {
            assert_eq!(receive(&connection).await.unwrap().payload, "last words");
        }
        assert_eq!(receive(&connection).await, Err(ReceiveError::Closed(reason(1001, "", ClosedBy::Peer))));
    }
}

/// A socket whose writes fail or whose reads panic when told to.
struct Faulty {
    socket: DuplexStream,
    writes_fail: bool,
    reads_panic: Arc<AtomicBool>,
}

impl AsyncRead for Faulty {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_read(context, buffer);
        assert!(!(outcome.is_ready() && self.reads_panic.load(Ordering::SeqCst)), "told to panic");
        outcome
    }
}

impl AsyncWrite for Faulty {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.writes_fail {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_write_what_the_peer_sent_is_read_as_slowly_as_the_view_wants() {
    let (connection, driver) = opened(config(|config| config.inbox_messages = 2));
    let (socket, mut peer) = duplex(1024);
    connection.send(encode_message(Kind::Text, b"nobody reads this"), Patience::Other).unwrap();
    let socket = Faulty { socket, writes_fail: true, reads_panic: Arc::default() };
    let task = tokio::spawn(driver.run(socket, Bytes::new()));
    send_bytes(&mut peer, &client_frame(0x81, b"unread").repeat(20)).await;
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert_eq!(receive(&connection).await.unwrap().payload, "unread");
        let frame = encode_message(Kind::Text, b"late");
        assert_eq!(connection.send(frame, Patience::Other), Err(SendError::Closed(lost())));
    }
    // The peer stays but says nothing more, which is no unanswered Ping.
    task.await.unwrap();
    assert_eq!(connection.close_reason(), Some(lost()));
    assert_eq!(connection.fault(), None);
}

#[tokio::test]
async fn a_driver_that_is_never_run_leaves_a_lost_connection() {
    let (connection, driver) = opened(config(|_| {}));
    let waiting = connection.clone();
    let waiting = tokio::spawn(on_thread(move || waiting.receive(None)));
    connection.send(encode_message(Kind::Text, b"never sent"), Patience::Other).unwrap();
    drop(driver);
    assert_eq!(waiting.await.unwrap(), Err(ReceiveError::Closed(lost())));
    finished(&connection).await;
}

#[tokio::test]
async fn a_driver_whose_task_is_aborted_leaves_a_lost_connection() {
    let (connection, mut peer, task) = piped(config(|_| {}), 1024);
    send_bytes(&mut peer, &client_frame(0x81, b"before")).await;
    readable(&connection).await;
    task.abort();
    finished(&connection).await;
    assert_eq!(connection.close_reason(), Some(lost()));
    assert_eq!(receive(&connection).await.unwrap().payload, "before");
    assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_driver_that_panics_leaves_a_lost_connection() {
    let (connection, driver) = opened(config(|_| {}));
    let (socket, mut peer) = duplex(1024);
    let reads_panic = Arc::new(AtomicBool::new(false));
    let socket = Faulty { socket, writes_fail: false, reads_panic: Arc::clone(&reads_panic) };
    let task = tokio::spawn(driver.run(socket, Bytes::new()));
    send_bytes(&mut peer, &client_frame(0x81, b"before")).await;
    readable(&connection).await;
    let waiting = connection.clone();
    let waiting = tokio::spawn(on_thread(move || waiting.wait_closed(Some(LONG))));
    reads_panic.store(true, Ordering::SeqCst);
    send_bytes(&mut peer, &client_frame(0x81, b"fatal")).await;
    assert!(task.await.unwrap_err().is_panic());
    assert!(waiting.await.unwrap());
    assert_eq!(connection.close_reason(), Some(lost()));
    assert_eq!(receive(&connection).await.unwrap().payload, "before");
    assert!(receive(&connection).await.is_err());
}

#[tokio::test]
async fn a_connection_that_nobody_holds_sends_what_is_queued_and_closes_with_1001() {
    let (connection, mut peer, task) = piped(config(|_| {}), 1024);
    let clone = connection.clone();
    drop(connection);
    clone.send(encode_message(Kind::Text, b"queued"), Patience::Other).unwrap();
    let weak = clone.downgrade();
    assert_eq!(weak.upgrade().unwrap().close_reason(), None);
    drop(clone);
    assert!(weak.upgrade().is_none());
    expect_bytes(&mut peer, b"\x81\x06queued\x88\x02\x03\xE9").await;
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE9")).await;
    peer.shutdown().await.unwrap();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_driver_ends_when_its_peer_or_its_handles_are_gone() {
    let mut tasks = Vec::new();
    for round in 0..1_000 {
        let (connection, mut peer, task) = piped(config(|_| {}), 256);
        connection.send(encode_message(Kind::Binary, &[0; 1_000]), Patience::Other).unwrap();
        send_bytes(&mut peer, &client_frame(0x82, &[0; 100])).await;
        match round % 4 {
            0 => drop(peer),
            // The peer stays, but reads nothing and says nothing.
            1 => std::mem::forget(peer),
            2 => task.abort(),
            _ => connection.close(1000, ""),
        }
        tasks.push(task);
    }
    for (round, task) in tasks.into_iter().enumerate() {
        let ended = tokio::time::timeout(LONG, task).await.unwrap();
        assert!(ended.is_ok() || (round % 4 == 2 && ended.unwrap_err().is_cancelled()));
    }
}

/// A frame that tells when its memory is given back.
struct Watched(Arc<AtomicBool>);

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        b"\x82\x00"
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn what_can_no_longer_be_sent_is_let_go_though_the_connection_is_still_held() {
    let (connection, driver) = opened(config(|_| {}));
    let let_go = Arc::new(AtomicBool::new(false));
    connection.send(Bytes::from_owner(Watched(Arc::clone(&let_go))), Patience::Other).unwrap();
    assert!(!let_go.load(Ordering::SeqCst));
    drop(driver);
    assert!(let_go.load(Ordering::SeqCst));
    assert_eq!(connection.close_reason(), Some(lost()));
}
