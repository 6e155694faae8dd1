//! Tests of rooms whose messages come in groups.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dwebsocket::{
    connection::{
        Patience,
        groups::MOST_BYTES,
        slots::{Part, Policy},
    },
    rooms::{Room, Subscription},
    wire::{frame::encode_message, message::Kind},
};
use tokio::io::DuplexStream;

use crate::connection::support::{
    client_frame, config, expect_bytes, next_frame, on_thread, piped, send_bytes,
};

fn room() -> Arc<Room> {
    Arc::new(Room::new(Policy::Groups))
}

fn text(text: &str) -> Bytes {
    encode_message(Kind::Text, text.as_bytes())
}

/// A group that starts with `first`, behind a header of two messages.
fn start(room: &Room, first: &str) {
    room.start(&[text("m"), text("i")], &text(first));
}

/// The next message; answers the Pings before it, which ask whether what came before has arrived.
async fn message(peer: &mut DuplexStream) -> Vec<u8> {
    loop {
        let (first, payload) = next_frame(peer).await;
        if first != 0x89 {
            return payload;
        }
        send_bytes(peer, &client_frame(0x8A, &payload)).await;
    }
}

#[tokio::test]
async fn who_joins_late_gets_the_header_and_the_group_from_its_start() {
    let room = room();
    let (early, mut first, _task) = piped(config(|_| ()), 1024);
    let _there = room.join(&early).unwrap();
    room.publish(Part::Notice, &text("live"));
    room.publish(Part::Content, &text("0"));
    start(&room, "S");
    room.publish(Part::Content, &text("1"));
    start(&room, "T");
    room.publish(Part::Content, &text("2"));
    expect_bytes(&mut first, b"\x81\x04live\x81\x01m\x81\x01i\x81\x01S\x81\x011\x81\x01T\x81\x012").await;
    let (late, mut second, _other_task) = piped(config(|_| ()), 1024);
    let subscription = room.join(&late).unwrap();
    room.publish(Part::Content, &text("3"));
    expect_bytes(&mut second, b"\x81\x04live\x81\x01m\x81\x01i\x81\x01T\x81\x012\x81\x013").await;
    assert_eq!(subscription.counts(), (3, 0));
}

#[tokio::test]
async fn a_slow_member_is_moved_on_to_the_next_group_and_the_others_do_not_notice() {
    let room = room();
    let (slow, mut slow_peer, _task) = piped(config(|_| ()), 16);
    let (fast, mut fast_peer, _other_task) = piped(config(|_| ()), 1 << 20);
    let (slow_one, fast_one) = (room.join(&slow).unwrap(), room.join(&fast).unwrap());
    slow.send(encode_message(Kind::Binary, &[0; 1000]), Patience::Other).unwrap();
    expect_bytes(&mut slow_peer, b"\x82\x7E\x03\xE8\0\0").await;
    let large = encode_message(Kind::Binary, &vec![7; MOST_BYTES / 2]);
    start(&room, "S");
    expect_bytes(&mut fast_peer, b"\x81\x01m\x81\x01i\x81\x01S").await;
    for _ in 0..3 {
        room.publish(Part::Content, &large);
        assert_eq!(message(&mut fast_peer).await.len(), MOST_BYTES / 2);
    }
    start(&room, "T");
    room.publish(Part::Content, &text("1"));
    for expected in [b"T", b"1"] {
        assert_eq!(message(&mut fast_peer).await, expected);
    }
    expect_bytes(&mut slow_peer, &[0; 998]).await;
    expect_bytes(&mut slow_peer, b"\x81\x01m\x81\x01i\x81\x01T\x81\x011").await;
    assert_eq!([slow_one, fast_one].each_ref().map(Subscription::counts), [(2, 4), (6, 0)]);
}

#[tokio::test]
async fn a_paused_member_goes_on_with_the_group_under_way() {
    let room = room();
    let (connection, mut peer, _task) = piped(config(|_| ()), 1024);
    let subscription = room.join(&connection).unwrap();
    start(&room, "S");
    expect_bytes(&mut peer, b"\x81\x01m\x81\x01i\x81\x01S").await;
    subscription.pause(true);
    start(&room, "T");
    room.publish(Part::Content, &text("1"));
    room.publish(Part::Notice, &text("lost"));
    expect_bytes(&mut peer, b"\x81\x04lost").await;
    subscription.pause(false);
    room.publish(Part::Content, &text("2"));
    expect_bytes(&mut peer, b"\x81\x01m\x81\x01i\x81\x01T\x81\x011\x81\x012").await;
    assert_eq!(subscription.counts(), (4, 0));
}

#[tokio::test]
async fn a_group_that_does_not_go_on_with_the_one_before_comes_behind_its_header() {
    let room = room();
    let (connection, mut peer, _task) = piped(config(|_| ()), 1024);
    let _there = room.join(&connection).unwrap();
    start(&room, "S");
    expect_bytes(&mut peer, b"\x81\x01m\x81\x01i\x81\x01S").await;
    room.forget();
    room.publish(Part::Content, &text("x"));
    let (late, mut second, _other_task) = piped(config(|_| ()), 1024);
    let _late = room.join(&late).unwrap();
    start(&room, "T");
    for peer in [&mut peer, &mut second] {
        expect_bytes(peer, b"\x81\x01m\x81\x01i\x81\x01T").await;
    }
}

#[tokio::test]
async fn who_leaves_gets_the_notice_that_waits_and_the_pieces_before_it() {
    let room = room();
    let (connection, mut peer, _task) = piped(config(|_| ()), 1024);
    let subscription = room.join(&connection).unwrap();
    // Nothing awaits in between, so the writer has no turn.
    start(&room, "S");
    room.publish(Part::Content, &text("1"));
    room.publish(Part::Notice, &text("ended"));
    drop(subscription);
    expect_bytes(&mut peer, b"\x81\x01m\x81\x01i\x81\x01S\x81\x011\x81\x05ended").await;
    let subscription = room.join(&connection).unwrap();
    expect_bytes(&mut peer, b"\x81\x05ended\x81\x01m\x81\x01i\x81\x01S\x81\x011").await;
    room.publish(Part::Content, &text("2"));
    drop(subscription);
    connection.close(1000, "");
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_piece_of_a_group_is_lost_doubled_or_out_of_order() {
    // The last starts a group, so nobody can be too late for it.
    const PIECES: u16 = 5001;
    const GROUP: u16 = 50;
    let room = room();
    let (connection, mut peer, _task) = piped(config(|_| ()), 256);
    let subscription = room.join(&connection).unwrap();
    let publishing = on_thread({
        let room = Arc::clone(&room);
        move || {
            for number in 0..PIECES {
                let [high, low] = number.to_be_bytes();
                let piece = encode_message(Kind::Binary, &[high, low]);
                if number % GROUP == 0 {
                    room.start(&[], &piece);
                } else {
                    room.publish(Part::Content, &piece);
                }
                std::thread::yield_now();
            }
        }
    });
    let reading = async {
        let (mut next, mut skipped) = (0, 0);
        while next < PIECES {
            let piece = tokio::time::timeout(Duration::from_secs(60), message(&mut peer)).await;
            let number = u16::from_be_bytes(piece.expect("a wake-up is lost").try_into().unwrap());
            // A machine with other work may let the reader be a second late, which goes on at a start.
            assert!(number == next || (number > next && number % GROUP == 0), "{number} instead of {next}");
            skipped += u64::from(number - next);
            next = number + 1;
        }
        skipped
    };
    let ((), skipped) = tokio::join!(publishing, reading);
    assert_eq!(subscription.counts(), (u64::from(PIECES) - skipped, skipped));
}
