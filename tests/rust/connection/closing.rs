//! Who closes, when, and what is still readable.

use std::time::Duration;

use bytes::Bytes;
use dwebsocket::{
    connection::Patience,
    error::{ClosedBy, Fault, ProtocolError, ReceiveError, SendError},
    wire::{frame::encode_message, message::Kind},
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, duplex},
    time::Instant,
};
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Message as PeerMessage, frame::coding::CloseCode,
};

use super::support::{
    LONG, client_frame, config, expect_bytes, on_thread, opened, over_tcp, piped, readable, reason, receive,
    send_bytes, text,
};

#[tokio::test]
async fn the_close_of_the_peer_is_echoed_and_what_came_before_stays_readable() {
    let (connection, mut peer, task) = over_tcp(config(|_| {})).await;
    peer.send(text("last words")).await.unwrap();
    let close = CloseFrame { code: CloseCode::Library(4001), reason: "enough".into() };
    peer.close(Some(close.clone())).await.unwrap();
    assert_eq!(peer.next().await.unwrap().unwrap(), PeerMessage::Close(Some(close)));
    assert!(peer.next().await.is_none());
    drop(peer);
    task.await.unwrap();

    let expected = reason(4001, "enough", ClosedBy::Peer);
    assert_eq!(connection.close_reason(), Some(expected.clone()));
    assert_eq!(receive(&connection).await.unwrap().payload, "last words");
    for _ in 0..2 {
        assert_eq!(receive(&connection).await, Err(ReceiveError::Closed(expected.clone())));
    }
    let frame = encode_message(Kind::Text, b"late");
    assert_eq!(connection.send(frame, Patience::Owner), Err(SendError::Closed(expected)));
}

#[tokio::test]
async fn a_close_without_a_code_is_answered_by_one_and_counts_as_1005() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
    send_bytes(&mut peer, &client_frame(0x88, b"")).await;
    expect_bytes(&mut peer, b"\x88\x00").await;
    readable(&connection).await;
    assert_eq!(connection.close_reason(), Some(reason(1005, "", ClosedBy::Peer)));
}

#[tokio::test]
async fn what_is_queued_goes_out_before_the_echo() {
    let (connection, driver) = opened(config(|_| {}));
    connection.send(encode_message(Kind::Text, b"queued"), Patience::Other).unwrap();
    let (socket, mut peer) = duplex(1024);
    let _task = tokio::spawn(driver.run(socket, client_frame(0x88, b"\x03\xE9").into()));
    expect_bytes(&mut peer, b"\x81\x06queued\x88\x02\x03\xE9").await;
}

#[tokio::test]
async fn what_came_before_the_close_can_be_answered_until_the_end_is_taken() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
    send_bytes(&mut peer, &client_frame(0x81, b"question")).await;
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
    assert_eq!(receive(&connection).await.unwrap().payload, "question");
    while connection.close_reason().is_none() {
        tokio::task::yield_now().await;
    }
    connection.send(encode_message(Kind::Text, b"answer"), Patience::Owner).unwrap();
    let end = reason(1000, "", ClosedBy::Peer);
    assert_eq!(receive(&connection).await, Err(ReceiveError::Closed(end.clone())));
    let frame = encode_message(Kind::Text, b"late");
    assert_eq!(connection.send(frame, Patience::Other), Err(SendError::Closed(end)));
    expect_bytes(&mut peer, b"\x81\x06answer\x88\x02\x03\xE8").await;
}

#[tokio::test]
async fn what_came_before_a_violation_can_be_answered_until_the_end_is_taken() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
    send_bytes(&mut peer, &client_frame(0x81, b"question")).await;
    send_bytes(&mut peer, &client_frame(0xC1, b"a reserved bit")).await;
    assert_eq!(receive(&connection).await.unwrap().payload, "question");
    while connection.close_reason().is_none() {
        tokio::task::yield_now().await;
    }
    connection.send(encode_message(Kind::Text, b"answer"), Patience::Owner).unwrap();
    assert!(matches!(connection.receive_now(), Err(ReceiveError::Closed(end)) if end.code == 1002));
    let mut received = [0; 12];
    peer.read_exact(&mut received).await.unwrap();
    assert_eq!(received[..8], *b"\x81\x06answer");
    assert_eq!((received[8], &received[10..]), (0x88, b"\x03\xEA".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn a_view_that_takes_nothing_holds_up_the_close_for_half_a_second() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
    let begin = Instant::now();
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    assert!((Duration::from_millis(500)..Duration::from_millis(510)).contains(&begin.elapsed()));
    let frame = encode_message(Kind::Text, b"late");
    let end = reason(1000, "", ClosedBy::Peer);
    assert_eq!(connection.send(frame, Patience::Other), Err(SendError::Closed(end)));
}

#[tokio::test(start_paused = true)]
async fn a_close_of_this_side_lets_the_close_of_the_peer_go_at_once() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
    let begin = Instant::now();
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
    while connection.close_reason().is_none() {
        tokio::task::yield_now().await;
    }
    connection.close(1011, "");
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn our_close_goes_out_behind_what_is_queued() {
    let (connection, mut peer, task) = piped(config(|_| {}), 1024);
    connection.send(encode_message(Kind::Text, b"one"), Patience::Owner).unwrap();
    connection.send(encode_message(Kind::Text, b"two"), Patience::Other).unwrap();
    connection.close(1000, "done");
    connection.close(1011, "too late to change the mind");
    expect_bytes(&mut peer, b"\x81\x03one\x81\x03two\x88\x06\x03\xE8done").await;
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
    assert_eq!(peer.read(&mut [0; 16]).await.unwrap(), 0, "the server ends the stream first");
    drop(peer);
    task.await.unwrap();
    assert_eq!(connection.close_reason(), Some(reason(1000, "done", ClosedBy::Us)));
}

#[tokio::test]
async fn what_arrives_after_our_close_is_not_delivered_and_what_came_before_is() {
    let (connection, mut peer, task) = piped(config(|_| {}), 1024);
    send_bytes(&mut peer, &client_frame(0x81, b"before")).await;
    readable(&connection).await;
    connection.close(1000, "");
    assert_eq!(
        connection.send(encode_message(Kind::Text, b"late"), Patience::Other),
        Err(SendError::Closed(reason(1000, "", ClosedBy::Us)))
    );
    send_bytes(&mut peer, &client_frame(0x81, b"after")).await;
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    send_bytes(&mut peer, &client_frame(0x89, b"no answer behind a Close")).await;
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
    drop(peer);
    task.await.unwrap();
    assert_eq!(receive(&connection).await.unwrap().payload, "before");
    assert!(receive(&connection).await.is_err());
}

#[tokio::test]
async fn both_sides_may_close_at_once() {
    for _ in 0..50 {
        let (connection, mut peer, task) = over_tcp(config(|_| {})).await;
        let closing = on_thread({
            let connection = connection.clone();
            move || connection.close(1001, "we")
        });
        let close = CloseFrame { code: CloseCode::Normal, reason: "they".into() };
        let (sent, ()) = tokio::join!(peer.close(Some(close)), closing);
        sent.unwrap();
        while let Some(message) = peer.next().await {
            assert!(message.unwrap().is_close());
        }
        drop(peer);
        task.await.unwrap();
        let ended = connection.close_reason().unwrap();
        assert!(
            [reason(1001, "we", ClosedBy::Us), reason(1000, "they", ClosedBy::Peer)].contains(&ended),
            "{ended:?}"
        );
    }
}

#[tokio::test]
async fn a_violation_is_answered_with_its_code_behind_what_is_queued() {
    let unmasked: &[u8] = b"\x81\x02no";
    let too_big = client_frame(0x82, &[0; 101]);
    let not_utf8 = client_frame(0x81, b"\xFF");
    for (bytes, code, fault) in [
        (unmasked, 1002, ProtocolError::UnmaskedFrame),
        (&too_big, 1009, ProtocolError::MessageTooBig { limit: 100 }),
        (&not_utf8, 1007, ProtocolError::InvalidUtf8),
    ] {
        let (connection, driver) = opened(config(|config| config.max_message_bytes = 100));
        connection.send(encode_message(Kind::Text, b"queued"), Patience::Other).unwrap();
        let (socket, mut peer) = duplex(1024);
        let task = tokio::spawn(driver.run(socket, Bytes::new()));
        send_bytes(&mut peer, &[&client_frame(0x81, b"good"), bytes].concat()).await;
        expect_bytes(&mut peer, b"\x81\x06queued").await;
        let mut close = Vec::new();
        peer.read_to_end(&mut close).await.unwrap();
        assert_eq!(close[0], 0x88);
        assert_eq!(usize::from(close[1]), close.len() - 2);
        assert_eq!(u16::from_be_bytes([close[2], close[3]]), code);
        drop(peer);
        task.await.unwrap();
        assert_eq!(receive(&connection).await.unwrap().payload, "good");
        let ended = connection.close_reason().unwrap();
        assert_eq!((ended.code, ended.by), (code, ClosedBy::Us));
        assert_eq!(ended.reason.as_bytes(), &close[4..]);
        assert_eq!(connection.fault(), Some(Fault::Violation(fault)));
    }
}

#[tokio::test]
async fn an_end_that_is_nobodys_fault_has_none() {
    let (connection, mut peer, task) = piped(config(|_| {}), 1024);
    connection.close(1009, "the view says so");
    // What comes behind our Close changes nothing.
    send_bytes(&mut peer, b"\x81\x02no").await;
    expect_bytes(&mut peer, b"\x88\x12\x03\xF1the view says so").await;
    drop(peer);
    task.await.unwrap();
    assert_eq!(connection.fault(), None);

    let (connection, peer, task) = piped(config(|_| {}), 1024);
    drop(peer);
    task.await.unwrap();
    assert_eq!((connection.close_reason().unwrap().by, connection.fault()), (ClosedBy::Lost, None));
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_is_received() {
    let (connection, mut peer, _task) = piped(config(|config| config.max_message_bytes = 100), 1024);
    send_bytes(&mut peer, &client_frame(0x82, &[0; 100])).await;
    assert_eq!(receive(&connection).await.unwrap().payload.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_our_close_is_cut_off_after_the_timeout() {
    let (connection, mut peer, task) = piped(config(|_| {}), 1024);
    connection.close(1000, "");
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    let began = Instant::now();
    task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(connection.close_reason(), Some(reason(1000, "", ClosedBy::Us)));
    assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_on_instead_of_closing_is_cut_off_after_the_timeout() {
    let (connection, peer, task) = piped(config(|_| {}), 1024);
    connection.close(1000, "");
    let (mut from_us, mut to_us) = tokio::io::split(peer);
    let talking = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if tokio::io::AsyncWriteExt::write_all(&mut to_us, &client_frame(0x81, b"bla")).await.is_err() {
                return;
            }
        }
    });
    expect_bytes(&mut from_us, b"\x88\x02\x03\xE8").await;
    let began = Instant::now();
    task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 5);
    talking.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_keeps_the_stream_open_after_both_closes_is_cut_off_after_the_timeout() {
    let (connection, mut peer, task) = piped(config(|_| {}), 1024);
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
    let began = Instant::now();
    task.await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 5);
    assert_eq!(connection.close_reason(), Some(reason(1000, "", ClosedBy::Peer)));
}

#[tokio::test]
async fn nothing_of_the_last_frames_is_lost_though_the_peer_talks_on() {
    // Closing a socket with unread bytes makes TCP send a reset, which would throw away what the peer has not read.
    for _ in 0..20 {
        let (connection, mut peer, task) = over_tcp(config(|_| {})).await;
        let last = vec![b'z'; 300_000];
        connection.send(encode_message(Kind::Binary, &last), Patience::Other).unwrap();
        connection.close(1000, "");
        for _ in 0..50 {
            // The server may be gone by then; what counts is what it sent.
            peer.send(text("still talking")).await.ok();
        }
        assert_eq!(peer.next().await.unwrap().unwrap().into_data(), last);
        assert!(peer.next().await.unwrap().unwrap().is_close());
        drop(peer);
        task.await.unwrap();
    }
}

#[tokio::test]
async fn waiting_for_the_end_finds_it_is_woken_by_it_or_runs_out_of_time() {
    let (connection, mut peer, task) = piped(config(|_| {}), 1024);
    let waiting = connection.clone();
    assert!(!on_thread(move || waiting.wait_closed(Some(Duration::from_millis(20)))).await);
    let waiting = connection.clone();
    let waiting = tokio::spawn(on_thread(move || waiting.wait_closed(None)));
    connection.close(1000, "");
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    assert!(!connection.wait_closed(Some(Duration::ZERO)), "the peer has not answered yet");
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
    drop(peer);
    assert!(waiting.await.unwrap());
    task.await.unwrap();
    assert!(connection.wait_closed(Some(LONG)));
}
