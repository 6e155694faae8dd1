//! Who closes, when, and what is still readable.

use dwebsocket::{
    connection::Patience,
    error::{CloseReason, ClosedBy, ReceiveError, SendError},
    wire::{frame::encode_message, message::Kind},
};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Message as PeerMessage, frame::coding::CloseCode,
};

use super::support::{
    LONG, client_frame, config, expect_bytes, on_thread, over_tcp, piped, send_bytes, text,
};

fn reason(code: u16, reason: &str, by: ClosedBy) -> CloseReason {
    CloseReason { code, reason: reason.to_owned(), by }
}

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

    let received = on_thread({
        let connection = connection.clone();
        move || [connection.receive(Some(LONG)), connection.receive(Some(LONG))]
    })
    .await;
    assert_eq!(received[0].as_ref().unwrap().payload, "last words");
    let expected = reason(4001, "enough", ClosedBy::Peer);
    assert_eq!(received[1], Err(ReceiveError::Closed(expected.clone())));
    let frame = encode_message(Kind::Text, b"late");
    assert_eq!(connection.send(frame, Patience::Owner), Err(SendError::Closed(expected)));
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
