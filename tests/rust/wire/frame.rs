use dwebsocket::wire::{
    close::CloseFrame,
    frame::{HEADER_ROOM, encode_close, encode_message, encode_message_in_place, encode_ping, encode_pong},
    message::Kind,
};

#[test]
fn the_length_is_encoded_in_as_few_bytes_as_it_needs() {
    let cases: [(usize, &[u8]); 6] = [
        (0, &[0x82, 0]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0x00, 0x7E]),
        (0xFFFF, &[0x82, 126, 0xFF, 0xFF]),
        (0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (0x12_3456, &[0x82, 127, 0, 0, 0, 0, 0, 0x12, 0x34, 0x56]),
    ];
    for (length, header) in cases {
        let payload = vec![0xA5; length];
        let frame = encode_message(Kind::Binary, &payload);
        assert_eq!(&frame[..header.len()], header);
        assert_eq!(&frame[header.len()..], payload);
    }
}

#[test]
fn a_text_has_the_opcode_of_text() {
    assert_eq!(&encode_message(Kind::Text, "é".as_bytes())[..], b"\x81\x02\xC3\xA9");
}

#[test]
fn control_frames_carry_up_to_125_bytes() {
    assert_eq!(&encode_ping(b"")[..], b"\x89\x00");
    assert_eq!(&encode_pong(b"ab")[..], b"\x8A\x02ab");
    let frame = encode_ping(&[7; 125]);
    assert_eq!((&frame[..2], frame.len()), (&b"\x89\x7D"[..], 127));
}

#[test]
#[should_panic(expected = "bug: a control frame of 126 bytes")]
fn a_ping_of_126_bytes_is_a_bug() {
    encode_ping(&[7; 126]);
}

#[test]
#[should_panic(expected = "bug: a control frame of 126 bytes")]
fn a_pong_of_126_bytes_is_a_bug() {
    encode_pong(&[7; 126]);
}

#[test]
fn a_close_carries_code_and_reason_or_nothing() {
    assert_eq!(&encode_close(None)[..], b"\x88\x00");
    let bare = CloseFrame { code: 1001, reason: String::new() };
    assert_eq!(&encode_close(Some(&bare))[..], b"\x88\x02\x03\xE9");
    let reasoned = CloseFrame { code: 1011, reason: "oops".into() };
    assert_eq!(&encode_close(Some(&reasoned))[..], b"\x88\x06\x03\xF3oops");
}

#[test]
fn a_reason_is_cut_at_the_last_character_that_fits_into_123_bytes() {
    let fits = CloseFrame { code: 1000, reason: "a".repeat(123) };
    assert_eq!(encode_close(Some(&fits)).len(), 2 + 125);
    let one_past = CloseFrame { code: 1000, reason: "a".repeat(124) };
    assert_eq!(encode_close(Some(&one_past)), encode_close(Some(&fits)));
    let split = CloseFrame { code: 1000, reason: format!("{}€", "a".repeat(121)) };
    let frame = encode_close(Some(&split));
    assert_eq!(&frame[..4], b"\x88\x7B\x03\xE8");
    assert_eq!(&frame[4..], "a".repeat(121).as_bytes());
}

#[test]
#[should_panic(expected = "bug: a Close must not carry the code 1006")]
fn a_close_with_a_code_that_nobody_may_send_is_a_bug() {
    encode_close(Some(&CloseFrame { code: 1006, reason: String::new() }));
}

#[test]
fn a_message_encoded_in_place_is_the_frame_that_copying_makes() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
        for kind in [Kind::Text, Kind::Binary] {
            let payload = vec![b'x'; length];
            let mut buffer = vec![0xAA; HEADER_ROOM];
            buffer.extend_from_slice(&payload);
            assert_eq!(encode_message_in_place(kind, buffer), encode_message(kind, &payload));
        }
    }
}

#[test]
fn a_message_encoded_in_place_has_its_header_right_before_the_payload() {
    let mut buffer = vec![0xAA; HEADER_ROOM];
    buffer.extend_from_slice(b"Hello");
    assert_eq!(&encode_message_in_place(Kind::Text, buffer)[..], b"\x81\x05Hello");
}
