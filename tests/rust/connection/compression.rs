use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use bytes::{Bytes, BytesMut};
use dwebsocket::{
    config::{CompressionConfig, ConnectionConfig, SlowClient},
    connection::{Connection, Patience, agree, open_agreed},
    error::{ClosedBy, SendError},
    wire::{
        deflate::Inflater,
        frame::encode_message,
        message::{Kind, Message},
        offer::{Agreement, Extension},
        protocol::{Event, Protocol},
    },
};
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    task::JoinHandle,
};

use super::support::{
    LONG, client_frame, config, expect_bytes, finished, on_thread, reason, receive, send_bytes,
};

const FORGETFUL: Agreement = Agreement {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: None,
    client_max_window_bits: None,
};

const TAKEOVER: Agreement =
    Agreement { server_no_context_takeover: false, client_no_context_takeover: false, ..FORGETFUL };

/// As `piped`, with a client that compresses.
fn piped(
    config: Arc<ConnectionConfig>,
    agreement: Agreement,
    capacity: usize,
) -> (Connection, DuplexStream, JoinHandle<()>) {
    let (connection, driver) = open_agreed(config, "192.0.2.1:4711".to_owned(), Some(agreement));
    let (socket, peer) = duplex(capacity);
    let task = tokio::spawn(driver.run(socket, Bytes::new()));
    (connection, peer, task)
}

/// A client that inflates what it is sent; on its side the agreement is the other way round.
struct Client {
    peer: DuplexStream,
    protocol: Protocol,
    input: BytesMut,
    first_bytes: Vec<u8>,
}

impl Client {
    fn new(peer: DuplexStream, agreement: Agreement) -> Self {
        let mirrored = Agreement {
            client_no_context_takeover: agreement.server_no_context_takeover,
            client_max_window_bits: agreement.server_max_window_bits,
            ..agreement
        };
        let protocol = Protocol::with_inflater(64 << 20, Inflater::new(mirrored));
        Self { peer, protocol, input: BytesMut::new(), first_bytes: Vec::new() }
    }

    /// Reads one frame, and what it inflates to. The protocol takes masked frames only, so it gets a mask of zeros.
    async fn receive(&mut self) -> Message {
        let mut header = vec![0; 2];
        self.peer.read_exact(&mut header).await.unwrap();
        let more = match header[1] {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        header.resize(2 + more, 0);
        self.peer.read_exact(&mut header[2..]).await.unwrap();
        let length = match more {
            0 => usize::from(header[1]),
            _ => header[2..].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        let mut payload = vec![0; length];
        self.peer.read_exact(&mut payload).await.unwrap();
        self.first_bytes.push(header[0]);
        header[1] |= 0x80;
        self.input.extend_from_slice(&[&header[..], &[0; 4], &payload].concat());
        match self.protocol.receive(&mut self.input).unwrap() {
            Some(Event::Message(message)) => message,
            other => panic!("{other:?}"),
        }
    }
}

fn plain(text: &str) -> Bytes {
    encode_message(Kind::Text, text.as_bytes())
}

/// A text that compresses well; no two numbers give the same.
fn json(number: usize, length: usize) -> String {
    let mut text = format!("{{\"number\": {number}, \"rows\": [");
    while text.len() < length {
        text.push_str("{\"name\": \"WebSocket\", \"value\": 1}, ");
    }
    text
}

#[tokio::test]
async fn what_the_client_compressed_is_received_inflated() {
    let (connection, mut peer, _task) = piped(config(|_| ()), TAKEOVER, 4096);
    let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    send_bytes(&mut peer, &client_frame(0xC1, &hello)).await;
    send_bytes(&mut peer, &client_frame(0x41, &hello[..2])).await;
    send_bytes(&mut peer, &client_frame(0x80, &hello[2..])).await;
    // A reference to what was said before.
    send_bytes(&mut peer, &client_frame(0xC1, &[0xF2, 0x00, 0x11, 0x00, 0x00])).await;
    for _ in 0..3 {
        assert_eq!(receive(&connection).await.unwrap().payload, "Hello");
    }
}

#[tokio::test]
async fn compressed_data_that_cannot_be_inflated_closes_with_1007() {
    let (connection, mut peer, _task) = piped(config(|_| ()), FORGETFUL, 4096);
    send_bytes(&mut peer, &client_frame(0xC1, &[0xFF])).await;
    let text = "the client sent compressed data that cannot be inflated";
    let close = [&[0x88, 2 + u8::try_from(text.len()).unwrap(), 0x03, 0xEF][..], text.as_bytes()].concat();
    expect_bytes(&mut peer, &close).await;
    assert_eq!(connection.close_reason(), Some(reason(1007, text, ClosedBy::Us)));
}

#[tokio::test]
async fn a_message_that_inflates_past_the_limit_closes_with_1009() {
    let limited = config(|config| config.max_message_bytes = 999);
    let (connection, mut peer, _task) = piped(limited, FORGETFUL, 4096);
    // A run of 1000 zero bytes, as zlib writes it.
    let zeros = [0x62, 0x60, 0x18, 0x05, 0xA3, 0x60, 0x14, 0x0C, 0x77, 0x00, 0x00];
    send_bytes(&mut peer, &client_frame(0xC2, &zeros)).await;
    let text = "the client sent a message of more than 999 bytes";
    let close = [&[0x88, 2 + u8::try_from(text.len()).unwrap(), 0x03, 0xF1][..], text.as_bytes()].concat();
    expect_bytes(&mut peer, &close).await;
    assert_eq!(connection.close_reason(), Some(reason(1009, text, ClosedBy::Us)));
}

#[tokio::test]
async fn messages_that_inflate_to_much_wait_outside_a_full_inbox() {
    let small = config(|config| config.inbox_bytes = 1 << 20);
    let (connection, mut peer, _task) = piped(small, FORGETFUL, 1 << 20);
    let zeros = encode_compressed(&vec![0; 256 << 10]);
    // 16 MiB in less than what is read at once.
    send_bytes(&mut peer, &client_frame(0xC2, &zeros).repeat(64)).await;
    send_bytes(&mut peer, &client_frame(0x89, b"")).await;
    let received = receive(&connection).await.unwrap();
    assert_eq!(received.payload.len(), 256 << 10);
    for taken in 1..64 {
        // In the inbox, and one that waits for room in it.
        let inflated = connection.counts().received_messages;
        assert!(inflated <= taken + 4 + 1, "{inflated} messages of 256 KiB, {taken} of them taken");
        assert_eq!(receive(&connection).await.unwrap().payload.len(), 256 << 10);
    }
    expect_bytes(&mut peer, &[0x8A, 0x00]).await;
}

#[tokio::test]
async fn a_message_that_inflates_to_much_leaves_turns_to_other_tasks() {
    let (connection, mut peer, _task) = piped(config(|_| ()), FORGETFUL, 1 << 20);
    let zeros = encode_compressed(&vec![0; 16 << 20]);
    send_bytes(&mut peer, &client_frame(0xC2, &zeros)).await;
    let watched = connection.clone();
    let mut turns = 0;
    // Always ready to run, it stands in the runtime's queue behind the driver, again and again.
    let other = tokio::spawn(poll_fn(move |context| {
        if watched.counts().received_messages > 0 {
            return Poll::Ready(turns);
        }
        turns += 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }));
    let turns = other.await.unwrap();
    assert!(turns >= (16 << 20) / (768 << 10), "{turns} turns");
    assert_eq!(receive(&connection).await.unwrap().payload.len(), 16 << 20);
}

/// The payload of a compressed message.
fn encode_compressed(payload: &[u8]) -> Vec<u8> {
    let frame = dwebsocket::wire::deflate::Deflater::new(6, 15).encode_message(Kind::Binary, payload, &[]);
    let frame = frame.unwrap();
    let header = if frame[1] == 126 { 4 } else { 2 };
    frame[header..].to_vec()
}

#[tokio::test]
async fn messages_from_the_threshold_on_are_sent_compressed() {
    let (connection, peer, _task) = piped(config(|_| ()), FORGETFUL, 1 << 20);
    let mut client = Client::new(peer, FORGETFUL);
    for (length, first_byte) in [(1023, 0x81), (1024, 0xC1), (100_000, 0xC1)] {
        let text = "a".repeat(length);
        connection.send(plain(&text), Patience::Other).unwrap();
        assert_eq!(client.receive().await.payload, text);
        assert_eq!(client.first_bytes.pop(), Some(first_byte), "{length}");
    }
    let sent = connection.counts();
    assert_eq!(sent.sent_messages, 3);
    assert!(sent.sent_bytes < 2000, "{sent:?}");
}

#[tokio::test]
async fn what_would_not_get_smaller_is_sent_as_it_is() {
    let (connection, peer, _task) = piped(config(|_| ()), FORGETFUL, 1 << 20);
    let mut client = Client::new(peer, FORGETFUL);
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    let noise: Vec<u8> = noise.take(5000).collect();
    connection.send(encode_message(Kind::Binary, &noise), Patience::Other).unwrap();
    assert_eq!(client.receive().await.payload, noise);
    assert_eq!(client.first_bytes, [0x82]);
}

#[tokio::test]
async fn control_frames_are_never_compressed() {
    let small = config(|config| config.compression.threshold_bytes = 1);
    let (connection, mut peer, _task) = piped(small, TAKEOVER, 4096);
    let ping = dwebsocket::wire::frame::encode_ping(&[b'p'; 125]);
    connection.send(ping.clone(), Patience::Other).unwrap();
    expect_bytes(&mut peer, &ping).await;
    connection.close(1000, &"r".repeat(123));
    expect_bytes(&mut peer, &[&[0x88, 0x7D, 0x03, 0xE8][..], &[b'r'; 123]].concat()).await;
}

#[tokio::test]
async fn with_context_takeover_a_repeated_message_is_a_few_bytes() {
    let (connection, peer, _task) = piped(config(|_| ()), TAKEOVER, 1 << 20);
    let mut client = Client::new(peer, TAKEOVER);
    let text = json(1, 2000);
    for _ in 0..3 {
        let before = connection.counts().sent_bytes;
        connection.send(plain(&text), Patience::Owner).unwrap();
        assert_eq!(client.receive().await.payload, text);
        let bytes = connection.counts().sent_bytes - before;
        assert!(before == 0 || bytes < 30, "{bytes} bytes");
    }
}

#[tokio::test]
async fn several_threads_share_one_context() {
    let (connection, peer, _task) = piped(config(|_| ()), TAKEOVER, 4096);
    let mut client = Client::new(peer, TAKEOVER);
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let connection = connection.clone();
            std::thread::spawn(move || {
                for number in 0..50 {
                    let text = json(sender * 1000 + number, 1000 + 997 * number);
                    let patience = if sender == 0 { Patience::Owner } else { Patience::Other };
                    connection.send(plain(&text), patience).unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; 4];
    for _ in 0..200 {
        let message = client.receive().await;
        let text = str::from_utf8(&message.payload).unwrap();
        let number: usize = text[11..text.find(',').unwrap()].parse().unwrap();
        let (sender, number) = (number / 1000, number % 1000);
        assert_eq!(number, next[sender], "out of order");
        assert_eq!(text, json(sender * 1000 + number, 1000 + 997 * number));
        next[sender] += 1;
    }
    on_thread(move || senders.into_iter().for_each(|sender| sender.join().unwrap())).await;
}

#[tokio::test]
async fn an_owner_waits_for_room_and_the_context_survives_it() {
    let small = config(|config| config.outbox_bytes = 600);
    let (connection, peer, _task) = piped(small, TAKEOVER, 64);
    let mut client = Client::new(peer, TAKEOVER);
    let sender = connection.clone();
    let sent = std::thread::spawn(move || {
        for number in 0..200 {
            sender.send(plain(&json(number * 7919, 1500 + number)), Patience::Owner).unwrap();
        }
    });
    for number in 0..200 {
        assert_eq!(client.receive().await.payload, json(number * 7919, 1500 + number));
    }
    on_thread(move || sent.join().unwrap()).await;
}

#[tokio::test]
async fn an_owner_gives_up_on_a_client_that_takes_nothing() {
    let impatient = config(|config| {
        config.outbox_bytes = 100;
        config.send_timeout = Duration::from_millis(1);
        config.close_timeout = Duration::from_millis(1);
    });
    let (connection, peer, _task) = piped(impatient, TAKEOVER, 16);
    let sender = connection.clone();
    let error = on_thread(move || {
        (0..).find_map(|number| sender.send(plain(&json(number * 7919, 5000)), Patience::Owner).err())
    });
    assert_eq!(error.await, Some(SendError::SlowClient));
    finished(&connection).await;
    assert_eq!(connection.close_reason(), Some(reason(1013, "the client reads too slowly", ClosedBy::Us)));
    drop(peer);
}

#[tokio::test]
async fn nothing_is_sent_to_a_closed_connection() {
    for agreement in [FORGETFUL, TAKEOVER] {
        let (connection, _peer, _task) = piped(config(|_| ()), agreement, 4096);
        connection.close(1000, "");
        let frame = plain(&json(1, 2000));
        assert!(!connection.compresses(&frame));
        assert_eq!(connection.send_now(frame.clone(), Patience::Owner), Some(frame.clone()));
        let closed = SendError::Closed(reason(1000, "", ClosedBy::Us));
        assert_eq!(connection.send(frame, Patience::Owner), Err(closed));
    }
}

#[tokio::test]
async fn a_long_message_is_left_to_who_has_the_time() {
    for agreement in [FORGETFUL, TAKEOVER] {
        let (connection, peer, _task) = piped(config(|_| ()), agreement, 1 << 20);
        let mut client = Client::new(peer, agreement);
        let short = plain(&json(2, 2000));
        assert!(connection.compresses(&short));
        assert_eq!(connection.send_now(short, Patience::Owner), None);
        client.receive().await;
        let text = json(3, 200_000);
        let back = connection.send_now(plain(&text), Patience::Owner).unwrap();
        connection.send(back, Patience::Other).unwrap();
        assert_eq!(client.receive().await.payload, text);
        assert_eq!(client.first_bytes, [0xC1, 0xC1]);
    }
}

#[tokio::test]
async fn a_message_to_many_clients_is_compressed_once() {
    let text = json(4, 300_000);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let (connection, peer, task) = piped(config(|_| ()), FORGETFUL, 1 << 20);
        clients.push((connection, Client::new(peer, FORGETFUL), task));
    }
    // Other tests compress meanwhile, each of which makes the message be forgotten; one round of many is undisturbed.
    let mut compressed = usize::MAX;
    for _ in 0..100 {
        let mut count = 0;
        for (connection, client, _) in &mut clients {
            // Only a message that is recognised takes little time.
            if let Some(frame) = connection.send_now(plain(&text), Patience::Owner) {
                count += 1;
                connection.send(frame, Patience::Other).unwrap();
            }
            assert_eq!(client.receive().await.payload, text);
        }
        compressed = compressed.min(count);
    }
    assert!(compressed <= 1, "compressed {compressed} times for 10 clients");
}

#[test]
fn compression_is_agreed_on_where_the_view_or_the_configuration_says_so() {
    let offer = Extension { name: "permessage-deflate".to_owned(), parameters: Vec::new() };
    let offers = [offer];
    for (enabled, view, expected) in
        [(false, None, false), (true, None, true), (false, Some(true), true), (true, Some(false), false)]
    {
        let config = config(|config| config.compression.enabled = enabled);
        assert_eq!(agree(&config, &offers, view).is_some(), expected);
        assert_eq!(agree(&config, &[], view), None);
    }
}

#[test]
fn a_queue_that_may_drop_messages_keeps_no_context() {
    let offer = Extension { name: "permessage-deflate".to_owned(), parameters: Vec::new() };
    let takeover =
        CompressionConfig { context_takeover: true, window_bits: 12, ..CompressionConfig::default() };
    for (slow_client, server_no_context_takeover) in
        [(SlowClient::Close, false), (SlowClient::DropOldest, true)]
    {
        let config = config(|config| {
            config.compression = takeover;
            config.slow_client = slow_client;
        });
        let agreement = agree(&config, std::slice::from_ref(&offer), Some(true)).unwrap();
        assert_eq!(
            agreement,
            Agreement { server_no_context_takeover, server_max_window_bits: Some(12), ..TAKEOVER }
        );
    }
}

#[tokio::test]
async fn a_client_that_is_lost_while_an_owner_waits_ends_the_wait() {
    let small = config(|config| config.outbox_bytes = 100);
    let (connection, peer, _task) = piped(small, TAKEOVER, 16);
    let sender = connection.clone();
    let sending = tokio::task::spawn_blocking(move || {
        (0..).find_map(|number| sender.send(plain(&json(number * 7919, 5000)), Patience::Owner).err())
    });
    drop(peer);
    let ended = tokio::time::timeout(LONG, sending).await.unwrap().unwrap();
    assert!(matches!(ended, Some(SendError::Closed(_))), "{ended:?}");
}
