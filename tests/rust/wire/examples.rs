//! The examples of RFC 6455 sections 1.2, 1.3 and 5.7, byte for byte.

use bytes::Bytes;
use dwebsocket::{
    error::ProtocolError,
    wire::{
        frame::{encode_message, encode_ping},
        handshake::Handshake,
        message::Kind,
        protocol::Event,
    },
};
use http::{Request, StatusCode};

use super::{LIMIT, binary, hear, text};

#[test]
fn a_single_frame_unmasked_text_message() {
    assert_eq!(&encode_message(Kind::Text, b"Hello")[..], [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F]);
}

#[test]
fn a_single_frame_masked_text_message() {
    let frame = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(hear(LIMIT, [&frame[..]]), (vec![text("Hello")], None));
}

#[test]
fn a_fragmented_text_message_is_whole_again_once_it_is_masked() {
    let unmasked = [0x01, 0x03, 0x48, 0x65, 0x6C, 0x80, 0x02, 0x6C, 0x6F];
    assert_eq!(hear(LIMIT, [&unmasked[..]]), (vec![], Some(ProtocolError::UnmaskedFrame)));
    let masked = [
        [0x01, 0x83, 0, 0, 0, 0, 0x48, 0x65, 0x6C].as_slice(),
        [0x80, 0x82, 0, 0, 0, 0, 0x6C, 0x6F].as_slice(),
    ];
    assert_eq!(hear(LIMIT, masked), (vec![text("Hello")], None));
}

#[test]
fn an_unmasked_ping_and_a_masked_pong() {
    assert_eq!(&encode_ping(b"Hello")[..], [0x89, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F]);
    let pong = [0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(hear(LIMIT, [&pong[..]]), (vec![Event::Pong(Bytes::from_static(b"Hello"))], None));
}

#[test]
fn a_256_byte_binary_message_in_an_unmasked_frame() {
    let frame = encode_message(Kind::Binary, &[9; 256]);
    assert_eq!(frame[..4], [0x82, 0x7E, 0x01, 0x00]);
    assert_eq!(frame[4..], [9; 256]);
    let masked = [&[0x82, 0xFE, 0x01, 0x00, 0, 0, 0, 0], &[9; 256][..]].concat();
    assert_eq!(hear(LIMIT, [&masked[..]]), (vec![binary(&[9; 256])], None));
}

#[test]
fn a_64_kib_binary_message_in_an_unmasked_frame() {
    let payload = vec![9; 65536];
    let frame = encode_message(Kind::Binary, &payload);
    assert_eq!(frame[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(frame[10..], payload);
    let masked = [&[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], &payload[..]].concat();
    assert_eq!(hear(LIMIT, [&masked[..]]), (vec![binary(&payload)], None));
}

#[test]
fn the_opening_handshake() {
    let request = Request::get("/chat")
        .header("Host", "server.example.com")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Origin", "http://example.com")
        .header("Sec-WebSocket-Protocol", "chat, superchat")
        .header("Sec-WebSocket-Version", "13")
        .body(())
        .unwrap();
    let handshake = Handshake::parse(request.method(), request.version(), request.headers());
    let response = handshake.unwrap().unwrap().response(Some("chat"), None).unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let fields: Vec<_> = response.headers().iter().map(|(name, value)| (name.as_str(), value)).collect();
    let expected = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "chat"),
    ];
    assert_eq!(fields.len(), expected.len());
    for (name, value) in expected {
        assert_eq!(response.headers()[name], value);
    }
}
