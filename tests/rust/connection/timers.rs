//! Pings, and what an idle connection costs.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dwebsocket::{
    config::ConnectionConfig,
    connection::Patience,
    error::Fault,
    wire::{frame::encode_message, message::Kind},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, sleep, timeout},
};

use super::support::{
    client_frame, config, expect_bytes, lost, opened, piped, readable, receive, send_bytes,
};

const PING: &[u8] = b"\x89\x00";
const PONG: &[u8] = b"\x8A\x80\x00\x00\x00\x00";

fn pinging() -> Arc<ConnectionConfig> {
    config(|config| config.ping_interval = Some(Duration::from_secs(20)))
}

#[tokio::test(start_paused = true)]
async fn a_ping_goes_out_at_every_interval() {
    let (connection, mut peer, _task) = piped(pinging(), 1024);
    let began = Instant::now();
    for round in 1..=5 {
        expect_bytes(&mut peer, PING).await;
        assert_eq!(began.elapsed().as_secs(), 20 * round);
        send_bytes(&mut peer, PONG).await;
    }
    assert_eq!(connection.close_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn no_ping_goes_out_without_an_interval() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
    assert!(timeout(Duration::from_secs(100_000), peer.read(&mut [0; 1])).await.is_err());
    assert_eq!(connection.close_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_lost_after_the_timeout() {
    let (connection, mut peer, task) = piped(pinging(), 1024);
    let began = Instant::now();
    expect_bytes(&mut peer, PING).await;
    task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 40);
    assert_eq!(connection.close_reason(), Some(lost()));
    assert_eq!(connection.fault(), Some(Fault::Silence));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_our_close_has_not_been_silent_before() {
    let (connection, mut peer, task) = piped(pinging(), 1024);
    connection.close(1000, "");
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    task.await.unwrap();
    assert_eq!(connection.fault(), None);
}

#[tokio::test(start_paused = true)]
async fn the_timeout_may_be_longer_than_the_interval() {
    let (connection, _peer, task) = piped(
        config(|config| {
            config.ping_interval = Some(Duration::from_secs(20));
            config.ping_timeout = Duration::from_secs(50);
        }),
        1024,
    );
    let began = Instant::now();
    task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 70, "counted from the first Ping that was not answered");
    assert_eq!(connection.close_reason(), Some(lost()));
}

#[tokio::test(start_paused = true)]
async fn any_byte_of_the_peer_is_an_answer() {
    let (connection, mut peer, _task) = piped(pinging(), 1024);
    // A message that takes all day.
    send_bytes(&mut peer, &client_frame(0x82, &[0; 60])[..6]).await;
    for _ in 0..60 {
        sleep(Duration::from_secs(19)).await;
        send_bytes(&mut peer, &[0]).await;
    }
    assert_eq!(receive(&connection).await.unwrap().payload.len(), 60);
    assert_eq!(connection.close_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_a_byte_a_second_is_served_until_it_stops_inside_a_frame() {
    let (connection, mut peer, task) = piped(pinging(), 1024);
    let frames = [client_frame(0x01, b"fragment"), client_frame(0x89, b""), client_frame(0x80, &[b's'; 200])];
    for byte in frames.concat() {
        sleep(Duration::from_secs(1)).await;
        send_bytes(&mut peer, &[byte]).await;
    }
    assert_eq!(receive(&connection).await.unwrap().payload, ["fragment", &"s".repeat(200)].concat());
    assert_eq!(connection.close_reason(), None);
    let stopped = Instant::now();
    send_bytes(&mut peer, &client_frame(0x82, &[0; 60])[..20]).await;
    task.await.unwrap();
    assert!((20..=40).contains(&stopped.elapsed().as_secs()), "a Ping, and the time for its answer");
    assert_eq!(connection.close_reason(), Some(lost()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_just_before_the_timeout_is_in_time_and_just_after_it_too_late() {
    for (millis, in_time) in [(19_999, true), (20_001, false)] {
        let (connection, mut peer, _task) = piped(pinging(), 1024);
        expect_bytes(&mut peer, PING).await;
        sleep(Duration::from_millis(millis)).await;
        assert_eq!(peer.write_all(PONG).await.is_ok(), in_time);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(connection.close_reason().is_none(), in_time);
    }
}

#[tokio::test(start_paused = true)]
async fn a_view_that_leaves_its_messages_unread_does_not_make_its_peer_lost() {
    let (connection, mut peer, _task) = piped(
        config(|config| {
            config.ping_interval = Some(Duration::from_secs(20));
            config.inbox_messages = 1;
        }),
        1024,
    );
    send_bytes(&mut peer, &client_frame(0x81, b"unread").repeat(3)).await;
    readable(&connection).await;
    sleep(Duration::from_secs(1000)).await;
    // The Pongs lie unread behind the messages.
    send_bytes(&mut peer, PONG).await;
    assert_eq!(connection.close_reason(), None);
    for _ in 0..3 {
        receive(&connection).await.unwrap();
    }
    sleep(Duration::from_secs(15)).await;
    assert_eq!(connection.close_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_download_is_no_lost_peer() {
    let (connection, mut peer, _task) = piped(pinging(), 100);
    let frame = encode_message(Kind::Binary, &[0; 2_000]);
    connection.send(frame.clone(), Patience::Other).unwrap();
    let mut read = 0;
    while read < frame.len() {
        sleep(Duration::from_secs(10)).await;
        read += peer.read(&mut vec![0; 100.min(frame.len() - read)]).await.unwrap();
    }
    assert_eq!(connection.close_reason(), None);
    expect_bytes(&mut peer, PING).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_neither_reads_nor_writes_is_lost() {
    let (connection, _peer, task) = piped(pinging(), 100);
    connection.send(encode_message(Kind::Binary, &[0; 2_000]), Patience::Other).unwrap();
    let began = Instant::now();
    task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 40);
    assert_eq!(connection.close_reason(), Some(lost()));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_not_polled() {
    for (config, most) in [(config(|_| {}), 0), (pinging(), 3 * 30)] {
        let (_connection, driver) = opened(config);
        let (socket, mut peer) = duplex(1024);
        let polls = Arc::new(AtomicUsize::new(0));
        let _task = tokio::spawn({
            let polls = Arc::clone(&polls);
            async move {
                let mut running = pin!(driver.run(socket, Bytes::new()));
                poll_fn(|context| {
                    polls.fetch_add(1, Ordering::SeqCst);
                    running.as_mut().poll(context)
                })
                .await;
            }
        });
        tokio::task::yield_now().await;
        let before = polls.load(Ordering::SeqCst);
        let ten_minutes = async {
            loop {
                expect_bytes(&mut peer, PING).await;
                send_bytes(&mut peer, PONG).await;
            }
        };
        assert!(timeout(Duration::from_secs(600), ten_minutes).await.is_err());
        let polls = polls.load(Ordering::SeqCst) - before;
        assert!(polls <= most, "{polls} polls in ten minutes");
    }
}
