//! Clients that read more slowly than is sent.

use std::{
    os::fd::BorrowedFd,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dwebsocket::{
    config::SlowClient,
    connection::{Bell, Patience, waker::Wake},
    error::{ClosedBy, SendError},
    wire::{frame::encode_message, message::Kind},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncReadExt, duplex};

use super::support::{
    LONG, client_frame, config, expect_bytes, on_thread, opened, piped, reason, send_bytes,
};

const SHORT: Duration = Duration::from_millis(20);

/// A frame of so many bytes in all (at least 4, at most 127).
fn frame(bytes: usize) -> Bytes {
    encode_message(Kind::Binary, &vec![0; bytes - 2])
}

fn too_slow() -> SendError {
    SendError::Closed(reason(1013, "the client reads too slowly", ClosedBy::Us))
}

#[tokio::test]
async fn others_fill_the_outbox_to_its_bound_and_one_more_frame_closes_with_1013() {
    for patience in [Patience::Other, Patience::Owner] {
        let (connection, driver) = opened(config(|config| {
            config.outbox_bytes = 100;
            config.send_timeout = Duration::ZERO;
        }));
        for _ in 0..10 {
            connection.send(frame(10), patience).unwrap();
        }
        assert_eq!(connection.close_reason(), None);
        assert_eq!(connection.send(frame(4), patience), Err(SendError::SlowClient));
        assert_eq!(connection.send(frame(4), patience), Err(too_slow()));
        // What was queued is still sent, with the Close behind it.
        let (socket, mut peer) = duplex(1024);
        let _task = tokio::spawn(driver.run(socket, Bytes::new()));
        let mut expected = frame(10).repeat(10);
        expected.extend(b"\x88\x1D\x03\xF5the client reads too slowly");
        expect_bytes(&mut peer, &expected).await;
    }
}

#[tokio::test]
async fn a_frame_larger_than_the_outbox_is_taken_alone() {
    let (connection, _driver) = opened(config(|config| config.outbox_bytes = 10));
    connection.send(frame(100), Patience::Other).unwrap();
    assert_eq!(connection.send(frame(4), Patience::Other), Err(SendError::SlowClient));
}

#[tokio::test]
async fn the_owner_waits_for_room_and_goes_on() {
    let (connection, driver) = opened(config(|config| config.outbox_bytes = 100));
    connection.send(frame(100), Patience::Owner).unwrap();
    let (started, has_started) = mpsc::sync_channel(1);
    let sending = std::thread::spawn({
        let connection = connection.clone();
        move || {
            started.send(()).unwrap();
            connection.send(frame(50), Patience::Owner)
        }
    });
    has_started.recv().unwrap();
    let (socket, mut peer) = duplex(1024);
    let _task = tokio::spawn(driver.run(socket, Bytes::new()));
    expect_bytes(&mut peer, &[frame(100), frame(50)].concat()).await;
    assert_eq!(sending.join().unwrap(), Ok(()));
}

#[tokio::test]
async fn the_owner_gives_up_after_the_send_timeout_and_not_before() {
    let (connection, _driver) = opened(config(|config| {
        config.outbox_bytes = 100;
        config.send_timeout = SHORT;
        // Dropping is for those who cannot wait.
        config.slow_client = SlowClient::DropOldest;
    }));
    connection.send(frame(100), Patience::Owner).unwrap();
    let began = Instant::now();
    assert_eq!(connection.send(frame(10), Patience::Owner), Err(SendError::SlowClient));
    assert!(began.elapsed() >= SHORT);
    assert_eq!(connection.close_reason().unwrap().code, 1013);
}

#[tokio::test]
async fn the_owner_who_waits_is_woken_by_the_close() {
    let (connection, _driver) = opened(config(|config| {
        config.outbox_bytes = 100;
        config.send_timeout = LONG;
    }));
    connection.send(frame(100), Patience::Owner).unwrap();
    let sending = std::thread::spawn({
        let connection = connection.clone();
        move || connection.send(frame(10), Patience::Owner)
    });
    connection.close(1000, "");
    assert_eq!(sending.join().unwrap(), Err(SendError::Closed(reason(1000, "", ClosedBy::Us))));
}

#[tokio::test]
async fn the_oldest_frames_are_dropped_and_counted_where_that_is_wanted() {
    let (connection, driver) = opened(config(|config| {
        config.outbox_bytes = 12;
        config.slow_client = SlowClient::DropOldest;
    }));
    for number in b'0'..=b'9' {
        connection.send(encode_message(Kind::Text, &[number]), Patience::Other).unwrap();
    }
    assert_eq!((connection.counts().dropped_messages, connection.counts().sent_messages), (6, 10));
    let (socket, mut peer) = duplex(1024);
    let _task = tokio::spawn(driver.run(socket, Bytes::new()));
    expect_bytes(&mut peer, b"\x81\x016\x81\x017\x81\x018\x81\x019").await;
    assert_eq!(connection.close_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_that_reads_on_gets_everything_and_the_close() {
    let (connection, mut peer, task) = piped(config(|config| config.outbox_bytes = 10_000), 100);
    while connection.send(frame(100), Patience::Other).is_ok() {}
    let queued = usize::try_from(connection.counts().sent_bytes).unwrap();
    let mut read = 0;
    while read < queued {
        // Slow, but never as slow as the close timeout; in all it takes less than the send timeout.
        tokio::time::sleep(Duration::from_millis(200)).await;
        read += peer.read(&mut vec![0; 200.min(queued - read)]).await.unwrap();
    }
    expect_bytes(&mut peer, b"\x88\x1D\x03\xF5the client reads too slowly").await;
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xF5")).await;
    assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
    drop(peer);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_off_after_the_close_timeout() {
    let (connection, _peer, task) = piped(config(|config| config.outbox_bytes = 10_000), 100);
    while connection.send(frame(100), Patience::Other).is_ok() {}
    let began = tokio::time::Instant::now();
    task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(connection.close_reason(), Some(reason(1013, "the client reads too slowly", ClosedBy::Us)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_byte_now_and_then_is_cut_off_after_the_send_timeout() {
    let (connection, mut peer, task) = piped(config(|config| config.outbox_bytes = 10_000), 100);
    while connection.send(frame(100), Patience::Other).is_ok() {}
    let began = tokio::time::Instant::now();
    let dripping = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(4)).await;
            if peer.read(&mut [0; 1]).await.is_err() {
                return;
            }
        }
    });
    task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 30);
    dripping.abort();
}

#[tokio::test]
async fn a_stalled_client_delays_nobody_else() {
    let (stalled, _unread, _task) = piped(config(|_| {}), 16);
    let (lively, mut peer, _other_task) = piped(config(|_| {}), 1024);
    stalled.send(encode_message(Kind::Binary, &vec![0; 100_000]), Patience::Other).unwrap();
    on_thread(move || {
        for _ in 0..100 {
            stalled.send(frame(100), Patience::Other).unwrap();
            lively.send(frame(10), Patience::Other).unwrap();
        }
        // Both stay open until everything has been read.
        (stalled, lively)
    })
    .await;
    expect_bytes(&mut peer, &frame(10).repeat(100)).await;
}

#[tokio::test]
async fn sending_now_fills_the_outbox_to_its_bound_and_gives_the_next_frame_back() {
    let (connection, _driver) = opened(config(|config| config.outbox_bytes = 100));
    for _ in 0..10 {
        assert_eq!(connection.send_now(frame(10), Patience::Owner), None);
    }
    assert_eq!(connection.send_now(frame(4), Patience::Owner), Some(frame(4)));
    // It asked; nothing happens to the client for it.
    assert_eq!(connection.close_reason(), None);
    assert_eq!(connection.counts().sent_messages, 10);
    assert_eq!(connection.counts().dropped_messages, 0);
}

#[tokio::test]
async fn sending_now_to_a_closed_connection_gives_the_frame_back() {
    let (connection, _driver) = opened(config(|_| {}));
    connection.close(1000, "");
    assert_eq!(connection.send_now(frame(4), Patience::Owner), Some(frame(4)));
}

#[tokio::test]
async fn a_message_that_is_not_queued_is_counted_and_a_ping_is_not() {
    let (connection, _driver) = opened(config(|_| {}));
    connection.close(1000, "");
    connection.send(frame(4), Patience::Other).unwrap_err();
    connection.send(frame(4), Patience::Owner).unwrap_err();
    connection.send(Bytes::from_static(b"\x89\x00"), Patience::Other).unwrap_err();
    assert_eq!(connection.counts().dropped_messages, 2);
}

#[test]
fn an_owner_who_does_not_wait_is_told_that_there_is_no_room() {
    let (connection, driver) = opened(config(|config| config.outbox_bytes = 10));
    assert_eq!(connection.try_send(frame(10)), Ok(true));
    assert_eq!(connection.try_send(frame(4)), Ok(false));
    assert_eq!(connection.close_reason(), None);
    assert_eq!(connection.counts().dropped_messages, 0);
    drop(driver);
    let lost = SendError::Closed(reason(1006, "", ClosedBy::Lost));
    assert_eq!(connection.try_send(frame(4)), Err(lost));
    assert_eq!(connection.counts().dropped_messages, 1);
}

#[test]
fn an_owner_who_has_waited_long_enough_closes_with_1013_whatever_the_policy() {
    for slow_client in [SlowClient::Close, SlowClient::DropOldest] {
        let (connection, _driver) = opened(config(|config| {
            config.outbox_bytes = 10;
            config.slow_client = slow_client;
        }));
        assert_eq!(connection.send(frame(10), Patience::Spent), Ok(()));
        assert_eq!(connection.send(frame(4), Patience::Spent), Err(SendError::SlowClient));
        assert_eq!(connection.try_send(frame(4)), Err(too_slow()));
    }
}

/// Whether the bell's descriptor is readable.
fn is_rung(bell: &Bell) -> bool {
    // SAFETY: the bell keeps its descriptor open.
    #[allow(unsafe_code, reason = "the bell gives a number, for Python")]
    let descriptor = unsafe { BorrowedFd::borrow_raw(bell.descriptor()) };
    let mut watched = [PollFd::new(&descriptor, PollFlags::IN)];
    poll(&mut watched, Some(&Timespec::default())).unwrap() == 1
}

#[tokio::test]
async fn a_bell_rings_when_the_peer_makes_room_and_once_only() {
    let (connection, driver) = opened(config(|config| config.outbox_bytes = 10));
    let bell = Arc::new(Bell::new().unwrap());
    assert_eq!(connection.try_send(frame(10)), Ok(true));
    connection.wake_when_room(Arc::clone(&bell) as Arc<dyn Wake>);
    assert!(!is_rung(&bell));
    let (socket, mut peer) = duplex(1024);
    let _task = tokio::spawn(driver.run(socket, Bytes::new()));
    expect_bytes(&mut peer, &frame(10)).await;
    assert!(is_rung(&bell));
    bell.silence();
    assert_eq!(connection.try_send(frame(10)), Ok(true));
    expect_bytes(&mut peer, &frame(10)).await;
    assert!(!is_rung(&bell));
    // There is room now: nothing has to be waited for.
    connection.wake_when_room(Arc::clone(&bell) as Arc<dyn Wake>);
    assert!(is_rung(&bell));
}

#[test]
fn a_bell_rings_when_the_connection_ends() {
    let (connection, driver) = opened(config(|config| config.outbox_bytes = 10));
    let (room, readable) = (Arc::new(Bell::new().unwrap()), Arc::new(Bell::new().unwrap()));
    assert_eq!(connection.try_send(frame(10)), Ok(true));
    connection.wake_when_room(Arc::clone(&room) as Arc<dyn Wake>);
    connection.wake_when_readable(Arc::clone(&readable) as Arc<dyn Wake>);
    assert!(!is_rung(&room) && !is_rung(&readable));
    drop(driver);
    assert!(is_rung(&room) && is_rung(&readable));
}
