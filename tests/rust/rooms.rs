//! Tests of `rooms` and of the slots of a connection.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dwebsocket::{
    connection::{
        Connection, Patience,
        slots::{Part, Policy},
    },
    rooms::{Room, Subscription},
    wire::{frame::encode_message, message::Kind},
};
use tokio::io::{AsyncReadExt, DuplexStream};

use crate::connection::support::{
    client_frame, config, expect_bytes, finished, next_frame, on_thread, opened, piped, send_bytes,
};

fn text(text: &str) -> Bytes {
    encode_message(Kind::Text, text.as_bytes())
}

/// A binary message of `bytes` times `byte`, with its header.
fn large(byte: u8, bytes: usize) -> Bytes {
    encode_message(Kind::Binary, &vec![byte; bytes])
}

/// A connection over a pipe of 16 bytes, whose writer is in the middle of 1,000 bytes.
async fn stuck() -> (Connection, DuplexStream) {
    let (connection, mut peer, _task) = piped(config(|_| ()), 16);
    connection.send(large(0, 1000), Patience::Other).unwrap();
    expect_bytes(&mut peer, b"\x82\x7E\x03\xE8\0\0").await;
    (connection, peer)
}

/// The rest of what a stuck writer is in the middle of.
async fn unstick(peer: &mut DuplexStream) {
    expect_bytes(peer, &[0; 998]).await;
}

#[tokio::test]
async fn every_member_gets_what_is_published_and_shares_its_bytes() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (one, mut first, _task) = piped(config(|_| ()), 1024);
    let (two, mut second, _other_task) = piped(config(|_| ()), 1024);
    let subscriptions = [room.join(&one).unwrap(), room.join(&two).unwrap()];
    for published in ["a", "b"] {
        let frame = text(published);
        room.publish(Part::Content, &frame);
        for peer in [&mut first, &mut second] {
            expect_bytes(peer, &[0x81, 1, published.as_bytes()[0]]).await;
        }
    }
    assert_eq!(subscriptions.each_ref().map(Subscription::counts), [(2, 0), (2, 0)]);
    assert_eq!(one.counts().sent_messages, 2);
    assert_eq!((room.members(), room.watching()), (2, 2));
}

#[tokio::test]
async fn a_slow_member_skips_to_the_newest_and_holds_nobody_up() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (slow, mut slow_peer) = stuck().await;
    let (fast, mut fast_peer, _task) = piped(config(|_| ()), 1024);
    let (slow_one, fast_one) = (room.join(&slow).unwrap(), room.join(&fast).unwrap());
    for number in 0..5 {
        room.publish(Part::Content, &text(&number.to_string()));
        expect_bytes(&mut fast_peer, &[0x81, 1, b'0' + number]).await;
    }
    unstick(&mut slow_peer).await;
    expect_bytes(&mut slow_peer, b"\x81\x014").await;
    assert_eq!((slow_one.counts(), fast_one.counts()), ((1, 4), (5, 0)));
    room.publish(Part::Content, &text("5"));
    expect_bytes(&mut slow_peer, b"\x81\x015").await;
}

#[tokio::test]
async fn queued_messages_keep_their_order_and_take_turns_with_the_newest() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, mut peer) = stuck().await;
    let _subscription = room.join(&connection).unwrap();
    room.publish(Part::Content, &text("x"));
    // Each more than a batch.
    for byte in 1..=3 {
        connection.send(large(byte, 70_000), Patience::Other).unwrap();
    }
    unstick(&mut peer).await;
    let header = b"\x82\x7F\0\0\0\0\0\x01\x11\x70";
    let mut order = Vec::new();
    for _ in 0..4 {
        let mut first = [0; 3];
        peer.read_exact(&mut first).await.unwrap();
        if first == *b"\x81\x01x" {
            order.push(b'x');
            continue;
        }
        assert_eq!(first, header[..3]);
        expect_bytes(&mut peer, &header[3..]).await;
        let mut payload = vec![0; 70_000];
        peer.read_exact(&mut payload).await.unwrap();
        order.push(payload[0]);
        assert!(payload.iter().all(|byte| *byte == payload[0]));
    }
    // The queue was being written when the newest came, so that has the next turn.
    assert_eq!(order, [b'x', 1, 2, 3]);
}

#[tokio::test]
async fn a_flood_of_the_newest_does_not_starve_the_queue() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, mut peer) = stuck().await;
    let subscriptions: Vec<_> = (0..8).map(|_| room.join(&connection).unwrap()).collect();
    room.publish(Part::Content, &text("x"));
    connection.send(text("q"), Patience::Other).unwrap();
    unstick(&mut peer).await;
    expect_bytes(&mut peer, b"\x81\x01x").await;
    expect_bytes(&mut peer, b"\x81\x01q").await;
    for _ in 1..subscriptions.len() {
        expect_bytes(&mut peer, b"\x81\x01x").await;
    }
}

#[tokio::test]
async fn a_notice_outlives_content_and_keeps_its_place() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, mut peer) = stuck().await;
    let subscription = room.join(&connection).unwrap();
    for (part, message) in [
        (Part::Content, "1"),
        (Part::Notice, "lost"),
        (Part::Notice, "live"),
        (Part::Content, "2"),
        (Part::Content, "3"),
    ] {
        room.publish(part, &text(message));
    }
    unstick(&mut peer).await;
    expect_bytes(&mut peer, b"\x81\x04live\x81\x013").await;
    room.publish(Part::Content, &text("4"));
    room.publish(Part::Notice, &text("ended"));
    expect_bytes(&mut peer, b"\x81\x014\x81\x05ended").await;
    assert_eq!(subscription.counts(), (2, 2));
}

#[tokio::test]
async fn who_joins_gets_what_the_room_keeps() {
    let room = Arc::new(Room::new(Policy::Newest));
    room.publish(Part::Notice, &text("live"));
    room.publish(Part::Content, &text("1"));
    let (connection, mut peer, _task) = piped(config(|_| ()), 1024);
    let subscription = room.join(&connection).unwrap();
    expect_bytes(&mut peer, b"\x81\x04live\x81\x011").await;
    room.forget();
    let other = Arc::new(Room::new(Policy::Newest));
    other.publish(Part::Content, &text("2"));
    let _there = other.join_too(&subscription).unwrap();
    expect_bytes(&mut peer, b"\x81\x012").await;
    drop(subscription);
    let _again = room.join(&connection).unwrap();
    expect_bytes(&mut peer, b"\x81\x04live").await;
}

#[tokio::test]
async fn a_paused_member_gets_notices_and_then_the_newest() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, mut peer, _task) = piped(config(|_| ()), 1024);
    let subscription = room.join(&connection).unwrap();
    subscription.pause(true);
    subscription.pause(true);
    assert_eq!((room.members(), room.watching()), (1, 0));
    room.publish(Part::Content, &text("1"));
    room.publish(Part::Notice, &text("lost"));
    expect_bytes(&mut peer, b"\x81\x04lost").await;
    room.publish(Part::Content, &text("2"));
    subscription.pause(false);
    expect_bytes(&mut peer, b"\x81\x012").await;
    assert_eq!((room.watching(), subscription.counts()), (1, (1, 0)));
    subscription.pause(true);
    drop(subscription);
    assert_eq!((room.members(), room.watching()), (0, 0));
}

#[tokio::test]
async fn what_is_told_to_one_member_reaches_no_other() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (one, mut first, _task) = piped(config(|_| ()), 1024);
    let (two, mut second, _other_task) = piped(config(|_| ()), 1024);
    let (subscription, _other) = (room.join(&one).unwrap(), room.join(&two).unwrap());
    subscription.tell(Part::Notice, text("you"));
    expect_bytes(&mut first, b"\x81\x03you").await;
    room.publish(Part::Content, &text("all"));
    expect_bytes(&mut second, b"\x81\x03all").await;
}

#[tokio::test]
async fn who_leaves_gets_the_notice_that_waits_and_what_came_before_it() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, mut peer) = stuck().await;
    let subscription = room.join(&connection).unwrap();
    room.publish(Part::Content, &text("last"));
    room.publish(Part::Notice, &text("ended"));
    drop(subscription);
    let other = Arc::new(Room::new(Policy::Newest));
    let subscription = other.join(&connection).unwrap();
    other.publish(Part::Content, &text("more"));
    drop(subscription);
    assert_eq!(room.members(), 0);
    room.publish(Part::Content, &text("none"));
    connection.close(1000, "");
    unstick(&mut peer).await;
    expect_bytes(&mut peer, b"\x81\x04last\x81\x05ended\x88\x02\x03\xE8").await;
}

#[tokio::test]
async fn a_connection_that_ends_leaves_its_rooms_though_nothing_is_published() {
    let room = Arc::new(Room::new(Policy::Newest));
    let left = async || {
        while room.members() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let closed_by_us = async |connection: Connection, _peer: DuplexStream| connection.close(1000, "");
    let closed_by_peer = async |_connection: Connection, mut peer: DuplexStream| {
        send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
        left().await;
    };
    let lost = async |connection: Connection, peer: DuplexStream| {
        drop(peer);
        finished(&connection).await;
    };
    for number in 0..3 {
        let (connection, peer, _task) = piped(config(|_| ()), 1024);
        let subscription = room.join(&connection).unwrap();
        match number {
            0 => closed_by_us(connection.clone(), peer).await,
            1 => closed_by_peer(connection.clone(), peer).await,
            _ => lost(connection.clone(), peer).await,
        }
        left().await;
        assert!(!subscription.is_open());
        room.publish(Part::Content, &text("nobody"));
        room.forget();
        assert_eq!(subscription.counts(), (0, 0));
    }
}

#[tokio::test]
async fn a_connection_that_is_closing_cannot_join() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, _driver) = opened(config(|_| ()));
    connection.close(1000, "");
    assert!(room.join(&connection).is_none());
    let (connection, driver) = opened(config(|_| ()));
    drop(driver);
    assert!(room.join(&connection).is_none());
    assert_eq!((room.members(), room.watching()), (0, 0));
}

#[tokio::test]
async fn a_subscription_does_not_keep_its_connection_open() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, mut peer, _task) = piped(config(|_| ()), 1024);
    let _subscription = room.join(&connection).unwrap();
    drop(connection);
    expect_bytes(&mut peer, b"\x88\x02\x03\xE9").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_among_publishers_and_senders() {
    const ROUNDS: u16 = 2000;
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, mut peer, _task) = piped(config(|_| ()), 256);
    let _subscription = room.join(&connection).unwrap();
    let publishing = on_thread({
        let room = Arc::clone(&room);
        move || {
            for number in 1..=ROUNDS {
                let bytes = number.to_be_bytes();
                room.publish(Part::Content, &encode_message(Kind::Binary, &[0, bytes[0], bytes[1]]));
                std::thread::yield_now();
            }
        }
    });
    let sending = on_thread(move || {
        for number in 1..=ROUNDS {
            let bytes = number.to_be_bytes();
            let frame = encode_message(Kind::Binary, &[1, bytes[0], bytes[1]]);
            connection.send(frame, Patience::Owner).unwrap();
        }
        connection
    });
    let reading = async {
        let mut last = [0; 2];
        while last != [ROUNDS, ROUNDS] {
            let mut frame = [0; 5];
            peer.read_exact(&mut frame).await.unwrap();
            assert_eq!(frame[..2], *b"\x82\x03");
            let (series, number) = (usize::from(frame[2]), u16::from_be_bytes([frame[3], frame[4]]));
            assert!(number > last[series], "in order");
            if series == 1 {
                assert_eq!(number, last[1] + 1, "no queued message is skipped");
            }
            last[series] = number;
        }
    };
    tokio::join!(publishing, sending, reading);
}

/// Reads a Ping and gives its payload.
async fn ping(peer: &mut DuplexStream) -> Vec<u8> {
    let (first, payload) = next_frame(peer).await;
    assert_eq!(first, 0x89);
    payload
}

/// Reads 60,000 equal bytes and gives the first.
async fn content(peer: &mut DuplexStream) -> u8 {
    let (first, payload) = next_frame(peer).await;
    assert_eq!((first, payload.len()), (0x82, 60_000));
    payload[0]
}

#[tokio::test]
async fn content_waits_until_the_one_before_it_has_arrived() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, mut peer, _task) = piped(config(|_| ()), 1 << 20);
    let subscription = room.join(&connection).unwrap();
    room.publish(Part::Content, &large(1, 60_000));
    let way = ping(&mut peer).await;
    assert_eq!(content(&mut peer).await, 1);
    let arrival = ping(&mut peer).await;
    for byte in 2..=9 {
        room.publish(Part::Content, &large(byte, 60_000));
    }
    room.publish(Part::Notice, &text("ended"));
    // The queue does not wait, and the Pong of the Ping before the content changes nothing.
    for queued in [b'q', b'r'] {
        connection.send(encode_message(Kind::Text, &[queued]), Patience::Other).unwrap();
        expect_bytes(&mut peer, &[0x81, 1, queued]).await;
        send_bytes(&mut peer, &client_frame(0x8A, &way)).await;
    }
    assert_eq!(subscription.counts(), (1, 7));
    send_bytes(&mut peer, &client_frame(0x8A, &arrival)).await;
    assert_eq!(content(&mut peer).await, 9);
    expect_bytes(&mut peer, b"\x81\x05ended").await;
    ping(&mut peer).await;
    assert_eq!(subscription.counts(), (2, 7));
}

#[tokio::test]
async fn pongs_to_the_pings_of_content_are_kept_from_who_observes_control_frames() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, mut peer, _task) = piped(config(|_| ()), 1 << 20);
    connection.observe_control_frames();
    let _subscription = room.join(&connection).unwrap();
    room.publish(Part::Content, &large(1, 5000));
    let way = ping(&mut peer).await;
    for payload in [&way[..], b"of somebody else"] {
        send_bytes(&mut peer, &client_frame(0x8A, payload)).await;
    }
    send_bytes(&mut peer, &client_frame(0x81, b"behind")).await;
    on_thread({
        let connection = connection.clone();
        move || connection.receive(None).map(drop)
    })
    .await
    .unwrap();
    let kept: Vec<_> = connection.take_control_frames();
    assert_eq!(kept, [(0xA, Bytes::from_static(b"of somebody else"))]);
}

#[tokio::test]
async fn content_flows_while_the_view_leaves_its_messages_and_with_them_the_pongs_unread() {
    let room = Arc::new(Room::new(Policy::Newest));
    let (connection, mut peer, _task) = piped(config(|config| config.inbox_messages = 1), 1 << 20);
    let _subscription = room.join(&connection).unwrap();
    for _ in 0..3 {
        send_bytes(&mut peer, &client_frame(0x81, b"unread")).await;
    }
    for byte in 1..=100 {
        room.publish(Part::Content, &large(byte, 60_000));
        if byte == 1 {
            ping(&mut peer).await;
        }
        assert_eq!(content(&mut peer).await, byte);
        if byte <= 32 {
            ping(&mut peer).await;
        }
    }
}
