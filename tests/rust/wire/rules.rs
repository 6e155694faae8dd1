//! The rules of RFC 6455, each at its bound and one past it, in literal bytes. The masks are zero, so that payloads
//! can be read.

use bytes::Bytes;
use dwebsocket::{
    error::ProtocolError::{self, *},
    wire::{
        close::CloseFrame,
        protocol::Event::{Close, Ping, Pong},
    },
};

use super::{LIMIT, binary, hear, text};

fn assert_refused(bytes: &[u8], error: ProtocolError) {
    assert_eq!(hear(LIMIT, [bytes]), (vec![], Some(error)), "{bytes:x?}");
}

#[test]
fn unmasked_frame_from_client_is_refused() {
    assert_refused(b"\x81\x02hi", UnmaskedFrame);
    assert_refused(b"\x89\x00", UnmaskedFrame);
    assert_refused(b"\x82\x7E\x00\x7E", UnmaskedFrame);
}

#[test]
fn each_reserved_bit_is_refused_on_every_kind_of_frame() {
    for bit in [0x40, 0x20, 0x10, 0x70] {
        for opcode in [0x0, 0x1, 0x2, 0x8, 0x9, 0xA] {
            assert_refused(&[0x80 | bit | opcode, 0x80, 0, 0, 0, 0], ReservedBits);
        }
    }
}

#[test]
fn each_reserved_opcode_is_refused() {
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        assert_refused(&[0x80 | opcode, 0x80, 0, 0, 0, 0], ReservedOpcode { opcode });
    }
}

#[test]
fn a_length_of_125_takes_one_byte_and_no_more() {
    let shortest = [b"\x82\xFD\0\0\0\0", &[1; 125][..]].concat();
    assert_eq!(hear(LIMIT, [&shortest[..]]), (vec![binary(&[1; 125])], None));
    assert_refused(b"\x82\xFE\x00\x7D\0\0\0\0", NonMinimalLength);
    assert_refused(b"\x82\xFE\x00\x00\0\0\0\0", NonMinimalLength);
}

#[test]
fn a_length_of_126_to_65535_takes_three_bytes_and_no_more() {
    for length in [126_u16, 65535] {
        let payload = vec![1; length.into()];
        let shortest = [b"\x82\xFE", &length.to_be_bytes()[..], b"\0\0\0\0", &payload].concat();
        assert_eq!(hear(LIMIT, [&shortest[..]]), (vec![binary(&payload)], None));
    }
    assert_refused(b"\x82\xFF\0\0\0\0\0\0\x00\x7E\0\0\0\0", NonMinimalLength);
    assert_refused(b"\x82\xFF\0\0\0\0\0\0\xFF\xFF\0\0\0\0", NonMinimalLength);
}

#[test]
fn the_highest_bit_of_a_length_must_not_be_set() {
    assert_refused(b"\x82\xFF\x80\0\0\0\0\0\0\0\0\0\0\0", LengthOutOfRange);
    assert_refused(b"\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0", LengthOutOfRange);
    assert_refused(b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0", MessageTooBig { limit: LIMIT });
}

#[test]
fn a_control_frame_carries_at_most_125_bytes() {
    let ping = [b"\x89\xFD\0\0\0\0", &[1; 125][..]].concat();
    assert_eq!(hear(LIMIT, [&ping[..]]), (vec![Ping(vec![1; 125].into())], None));
    assert_refused(b"\x89\xFE\x00\x7E\0\0\0\0", ControlFrameTooBig);
    assert_refused(b"\x8A\xFE\x00\x7E\0\0\0\0", ControlFrameTooBig);
    assert_refused(b"\x88\xFE\x00\x7E\0\0\0\0", ControlFrameTooBig);
}

#[test]
fn a_control_frame_is_never_fragmented() {
    for opcode in [0x8, 0x9, 0xA] {
        assert_refused(&[opcode, 0x80, 0, 0, 0, 0], FragmentedControlFrame);
    }
}

#[test]
fn a_continuation_needs_a_message_to_continue() {
    assert_refused(b"\x80\x80\0\0\0\0", UnexpectedContinuation);
    assert_refused(b"\x00\x80\0\0\0\0", UnexpectedContinuation);
    let after_a_whole_message = b"\x82\x81\0\0\0\0a\x80\x81\0\0\0\0b";
    assert_eq!(hear(LIMIT, [&after_a_whole_message[..]]), (vec![binary(b"a")], Some(UnexpectedContinuation)));
    let after_the_last_fragment = b"\x02\x81\0\0\0\0a\x80\x81\0\0\0\0b\x80\x81\0\0\0\0c";
    assert_eq!(
        hear(LIMIT, [&after_the_last_fragment[..]]),
        (vec![binary(b"ab")], Some(UnexpectedContinuation))
    );
}

#[test]
fn no_message_begins_before_the_last_fragment_of_another() {
    for opcode in [0x01, 0x02, 0x81, 0x82] {
        let bytes = [b"\x01\x81\0\0\0\0a", &[opcode, 0x80, 0, 0, 0, 0][..]].concat();
        assert_refused(&bytes, UnfinishedMessage);
    }
}

#[test]
fn control_frames_between_fragments_are_delivered_at_once() {
    let pieces = [
        &b"\x01\x82\0\0\0\0\xE2\x82"[..],
        b"\x89\x81\0\0\0\0p",
        b"\x00\x80\0\0\0\0",
        b"\x8A\x81\0\0\0\0q",
        b"\x80\x81\0\0\0\0\xAC",
    ];
    let (events, error) = hear(LIMIT, pieces[..4].iter().copied());
    assert_eq!(error, None);
    let between = [Ping(Bytes::from_static(b"p")), Pong(Bytes::from_static(b"q"))];
    assert_eq!(events, between);
    assert_eq!(hear(LIMIT, pieces), ([&between[..], &[text("€")]].concat(), None));
}

#[test]
fn messages_and_fragments_may_be_empty() {
    assert_eq!(hear(LIMIT, [&b"\x81\x80\0\0\0\0"[..]]), (vec![text("")], None));
    assert_eq!(hear(LIMIT, [&b"\x82\x80\x01\x02\x03\x04"[..]]), (vec![binary(b"")], None));
    let fragments = b"\x01\x80\0\0\0\0\x00\x80\0\0\0\0\x80\x80\0\0\0\0";
    assert_eq!(hear(LIMIT, [&fragments[..]]), (vec![text("")], None));
}

#[test]
fn nothing_after_a_close_is_read() {
    let close = Close(Some(CloseFrame { code: 1000, reason: String::new() }));
    let bytes = b"\x88\x82\0\0\0\0\x03\xE8\x81\x81\0\0\0\0a\xFF\xFF";
    assert_eq!(hear(LIMIT, [&bytes[..]]), (vec![close], None));
}

#[test]
fn nothing_after_an_error_is_read() {
    let mut protocol = dwebsocket::wire::protocol::Protocol::new(LIMIT);
    let mut input = bytes::BytesMut::from(&b"\x83\x80\0\0\0\0\x81\x81\0\0\0\0a"[..]);
    assert_eq!(protocol.receive(&mut input), Err(ReservedOpcode { opcode: 3 }));
    assert_eq!(protocol.receive(&mut input), Ok(None));
}

#[test]
fn a_close_may_come_between_fragments() {
    assert_eq!(hear(LIMIT, [&b"\x01\x81\0\0\0\0a\x88\x80\0\0\0\0"[..]]), (vec![Close(None)], None));
}

#[test]
fn a_close_carries_no_code_or_a_whole_allowed_one() {
    assert_refused(b"\x88\x81\0\0\0\0\x03", IncompleteCloseCode);
    assert_refused(b"\x88\x82\0\0\0\0\x03\xED", InvalidCloseCode { code: 1005 });
    assert_refused(b"\x88\x83\0\0\0\0\x03\xE8\xFF", InvalidUtf8);
    let reasoned = Close(Some(CloseFrame { code: 3000, reason: "é".into() }));
    assert_eq!(hear(LIMIT, [&b"\x88\x84\0\0\0\0\x0B\xB8\xC3\xA9"[..]]), (vec![reasoned], None));
}

#[test]
fn a_text_that_is_not_utf8_is_refused_at_its_first_wrong_byte() {
    // A frame of five bytes of which three are there.
    assert_refused(b"\x81\x85\0\0\0\0ab\xFF", InvalidUtf8);
    // A character that no byte to come can make valid.
    assert_refused(b"\x81\x88\0\0\0\0\xF4\x90", InvalidUtf8);
    // The same over two fragments, the second not whole.
    assert_refused(b"\x01\x81\0\0\0\0\xF4\x80\x88\0\0\0\0\x90", InvalidUtf8);
}

#[test]
fn a_text_must_not_end_within_a_character() {
    assert_refused(b"\x81\x82\0\0\0\0\xE2\x82", InvalidUtf8);
    assert_refused(b"\x01\x82\0\0\0\0\xE2\x82\x80\x80\0\0\0\0", InvalidUtf8);
}

#[test]
fn binary_data_is_not_held_against_utf8() {
    assert_eq!(hear(LIMIT, [&b"\x82\x82\0\0\0\0\xFF\xFE"[..]]), (vec![binary(b"\xFF\xFE")], None));
    let fragments = b"\x02\x81\0\0\0\0\xFF\x80\x81\0\0\0\0\xFE";
    assert_eq!(hear(LIMIT, [&fragments[..]]), (vec![binary(b"\xFF\xFE")], None));
}

#[test]
fn a_message_of_the_limit_passes_and_one_byte_more_fails_at_its_header() {
    assert_eq!(hear(3, [&b"\x82\x83\0\0\0\0abc"[..]]), (vec![binary(b"abc")], None));
    let too_big = Some(MessageTooBig { limit: 3 });
    assert_eq!(hear(3, [&b"\x82\x84\0\0\0\0"[..]]), (vec![], too_big));
    assert_eq!(hear(0, [&b"\x82\x80\0\0\0\0"[..]]), (vec![binary(b"")], None));
    assert_eq!(hear(0, [&b"\x82\x81\0\0\0\0"[..]]), (vec![], Some(MessageTooBig { limit: 0 })));
}

#[test]
fn fragments_count_together_against_the_limit() {
    let within = b"\x02\x82\0\0\0\0ab\x80\x81\0\0\0\0c";
    assert_eq!(hear(3, [&within[..]]), (vec![binary(b"abc")], None));
    let past = b"\x02\x82\0\0\0\0ab\x80\x82\0\0\0\0";
    assert_eq!(hear(3, [&past[..]]), (vec![], Some(MessageTooBig { limit: 3 })));
    let far_past = b"\x02\x82\0\0\0\0ab\x80\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0";
    assert_eq!(hear(3, [&far_past[..]]), (vec![], Some(MessageTooBig { limit: 3 })));
}

#[test]
fn control_frames_do_not_count_against_the_limit() {
    let ping = Ping(Bytes::from_static(b"long"));
    let bytes = b"\x02\x82\0\0\0\0ab\x89\x84\0\0\0\0long\x80\x81\0\0\0\0c";
    assert_eq!(hear(3, [&bytes[..]]), (vec![ping, binary(b"abc")], None));
}
