//! What the protocol copies, keeps and lets go.

use bytes::BytesMut;
use dwebsocket::wire::{
    message::Message,
    protocol::{Event, Protocol},
};

use super::client_frame;

const LARGE: usize = 1 << 20;

fn message(event: Option<Event>) -> Message {
    match event {
        Some(Event::Message(message)) => message,
        other => panic!("no message but {other:?}"),
    }
}

#[test]
fn a_whole_frame_is_unmasked_where_it_is_and_not_copied() {
    let mut input = BytesMut::from(&client_frame(0x82, [1, 2, 3, 4], &[7; 5000])[..]);
    let payload_address = input[8..].as_ptr();
    let message = message(Protocol::new(LARGE).receive(&mut input).unwrap());
    assert_eq!(message.payload, [7; 5000][..]);
    assert_eq!(message.payload.as_ptr(), payload_address);
}

#[test]
fn a_frame_that_comes_in_pieces_into_a_buffer_with_room_is_not_copied() {
    let frame = client_frame(0x81, [1, 2, 3, 4], &[b'x'; 5000]);
    let mut protocol = Protocol::new(LARGE);
    let mut input = BytesMut::with_capacity(frame.len());
    let payload_address = input.as_ptr().wrapping_add(8);
    for piece in frame[..5007].chunks(100) {
        input.extend_from_slice(piece);
        assert_eq!(protocol.receive(&mut input), Ok(None));
    }
    input.extend_from_slice(&frame[5007..]);
    let message = message(protocol.receive(&mut input).unwrap());
    assert_eq!(message.payload, [b'x'; 5000][..]);
    assert_eq!(message.payload.as_ptr(), payload_address);
}

#[test]
fn a_small_message_does_not_keep_the_read_buffer_alive() {
    let mut input = BytesMut::with_capacity(64 << 10);
    input.extend_from_slice(&client_frame(0x82, [1, 2, 3, 4], &[7; 4096]));
    let message = message(Protocol::new(LARGE).receive(&mut input).unwrap());
    // The message is alone in its memory, and the buffer still has its own.
    assert_eq!(message.payload.try_into_mut().unwrap().capacity(), 4096);
    assert!(input.try_reclaim(64 << 10));
}

#[test]
fn a_large_message_takes_its_buffer_with_it() {
    let mut input = BytesMut::from(&client_frame(0x82, [1, 2, 3, 4], &vec![7; LARGE])[..]);
    input.extend_from_slice(b"\x81\x82\0\0\0\0h");
    let mut protocol = Protocol::new(LARGE);
    let message = message(protocol.receive(&mut input).unwrap());
    assert_eq!(protocol.receive(&mut input), Ok(None));
    assert_eq!(&input[..], b"h");
    assert!(input.capacity() < 1024, "{} bytes for one", input.capacity());
    assert!(message.payload.is_unique());
    input.extend_from_slice(b"i");
    assert_eq!(protocol.receive(&mut input), Ok(Some(super::text("hi"))));
}

#[test]
fn a_fragmented_message_ends_in_memory_of_its_own_size() {
    let mut protocol = Protocol::new(LARGE);
    let mut input = BytesMut::new();
    for first_byte in [0x02, 0x00, 0x00] {
        input.extend_from_slice(&client_frame(first_byte, [1, 2, 3, 4], &[7; 1000]));
        assert_eq!(protocol.receive(&mut input), Ok(None));
        assert!(input.is_empty());
    }
    input.extend_from_slice(&client_frame(0x80, [1, 2, 3, 4], &[7; 1]));
    let message = message(protocol.receive(&mut input).unwrap());
    assert_eq!(message.payload, [7; 3001][..]);
    assert_eq!(message.payload.try_into_mut().unwrap().capacity(), 3001);
}

#[test]
fn missing_bytes_are_those_of_the_frame_that_has_begun() {
    let frame = client_frame(0x82, [1, 2, 3, 4], &vec![7; LARGE]);
    let mut protocol = Protocol::new(LARGE);
    let mut input = BytesMut::new();
    assert_eq!(protocol.missing_bytes(&input), 0);
    for (range, missing) in [(0..13, 0), (13..14, LARGE), (14..1014, LARGE - 1000), (1014..LARGE, 14)] {
        input.extend_from_slice(&frame[range]);
        assert_eq!(protocol.receive(&mut input), Ok(None));
        assert_eq!(protocol.missing_bytes(&input), missing);
    }
    input.extend_from_slice(&frame[LARGE..]);
    assert_eq!(message(protocol.receive(&mut input).unwrap()).payload.len(), LARGE);
    assert_eq!(protocol.missing_bytes(&input), 0);
}

#[test]
fn no_more_than_64_kib_are_asked_for_a_fragment_at_once() {
    let frame = client_frame(0x02, [1, 2, 3, 4], &vec![7; LARGE]);
    let mut protocol = Protocol::new(LARGE);
    let mut input = BytesMut::from(&frame[..1014]);
    assert_eq!(protocol.receive(&mut input), Ok(None));
    assert!(input.is_empty());
    assert_eq!(protocol.missing_bytes(&input), 64 << 10);
    input.extend_from_slice(&frame[1014..LARGE]);
    assert_eq!(protocol.receive(&mut input), Ok(None));
    assert_eq!(protocol.missing_bytes(&input), 14);
}
