//! permessage-deflate in both directions. The examples are those of RFC 7692 section 7.2.3, masked with zeros.

use bytes::{Bytes, BytesMut};
use dwebsocket::{
    error::ProtocolError::{
        self, InvalidDeflate, InvalidUtf8, MessageTooBig, ReservedBits, UnexpectedContinuation,
    },
    wire::{
        deflate::{Deflater, History, Inflater},
        frame::{encode_message, plain_message},
        message::Kind,
        offer::Agreement,
        protocol::{Event, Protocol},
    },
};
use proptest::prelude::*;
use zlib_rs::{Inflate, InflateError, InflateFlush};

use super::{LIMIT, binary, client_frame, hear, hear_compressed, text};

const TAKEOVER: Agreement = Agreement {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: None,
    client_max_window_bits: None,
};

const NO_TAKEOVER: Agreement =
    Agreement { server_no_context_takeover: true, client_no_context_takeover: true, ..TAKEOVER };

/// "Hello" as one compressed block.
const HELLO: &[u8] = &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];

fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    client_frame(first_byte, [0; 4], payload)
}

fn assert_heard(bytes: &[u8], events: &[Event]) {
    for agreement in [TAKEOVER, NO_TAKEOVER] {
        assert_eq!(hear_compressed(agreement, LIMIT, [bytes]), (events.to_vec(), None), "{bytes:x?}");
        let one_by_one = bytes.chunks(1);
        assert_eq!(hear_compressed(agreement, LIMIT, one_by_one), (events.to_vec(), None), "{bytes:x?}");
    }
}

fn assert_refused(bytes: &[u8], error: &ProtocolError) {
    for agreement in [TAKEOVER, NO_TAKEOVER] {
        let heard = hear_compressed(agreement, LIMIT, [bytes]);
        assert_eq!(heard, (vec![], Some(error.clone())), "{bytes:x?}");
    }
}

#[test]
fn a_message_of_one_block() {
    assert_heard(&frame(0xC1, HELLO), &[text("Hello")]);
    assert_heard(&frame(0xC2, HELLO), &[binary(b"Hello")]);
}

#[test]
fn a_compressed_message_in_two_frames() {
    let fragments = [frame(0x41, &HELLO[..3]), frame(0x80, &HELLO[3..])].concat();
    assert_heard(&fragments, &[text("Hello")]);
}

#[test]
fn empty_fragments_and_pings_between_the_fragments_of_a_compressed_message() {
    let fragments = [
        frame(0x41, b""),
        frame(0x00, &HELLO[..1]),
        frame(0x89, b"p"),
        frame(0x00, b""),
        frame(0x00, &HELLO[1..]),
        frame(0x80, b""),
    ];
    assert_heard(&fragments.concat(), &[Event::Ping(Bytes::from_static(b"p")), text("Hello")]);
}

#[test]
fn a_call_for_some_inflates_a_large_message_in_turns() {
    let zeros = Deflater::new(6, 15).encode_message(Kind::Binary, &vec![0; 8 << 20], b"").unwrap();
    // Without the header, which is one of the server's.
    let mut input = BytesMut::from(&frame(0xC2, &zeros[4..])[..]);
    let mut protocol = Protocol::with_inflater(8 << 20, Inflater::new(NO_TAKEOVER));
    let mut calls = 1;
    let event = loop {
        if let Some(event) = protocol.receive_some(&mut input).unwrap() {
            break event;
        }
        assert!(protocol.has_more());
        calls += 1;
    };
    assert!(calls >= (8 << 20) / (768 << 10), "{calls} calls");
    assert_eq!(event, binary(&vec![0; 8 << 20]));
    assert_eq!(protocol.receive_some(&mut input), Ok(None));
    assert!(!protocol.has_more());
}

#[test]
fn a_window_shared_by_two_messages_if_the_context_is_taken_over() {
    let second = [0xF2, 0x00, 0x11, 0x00, 0x00];
    let both = [frame(0xC1, HELLO), frame(0xC1, &second)].concat();
    assert_eq!(hear_compressed(TAKEOVER, LIMIT, [&both[..]]), (vec![text("Hello"), text("Hello")], None));
    let heard = hear_compressed(NO_TAKEOVER, LIMIT, [&both[..]]);
    assert_eq!(heard, (vec![text("Hello")], Some(InvalidDeflate)));
}

#[test]
fn a_window_is_shared_across_messages_that_are_not_compressed() {
    // A message in between that is not compressed is no part of the window (RFC 7692 section 7.2.2).
    let second = [0xF2, 0x00, 0x11, 0x00, 0x00];
    let all = [frame(0xC1, HELLO), frame(0x81, b"plain"), frame(0xC1, &second)].concat();
    let events = vec![text("Hello"), text("plain"), text("Hello")];
    assert_eq!(hear_compressed(TAKEOVER, LIMIT, [&all[..]]), (events, None));
}

#[test]
fn a_block_without_compression() {
    let payload = [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00];
    assert_heard(&frame(0xC1, &payload), &[text("Hello")]);
}

#[test]
fn a_final_block_does_not_end_the_message() {
    let payload = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00];
    assert_heard(&frame(0xC1, &payload), &[text("Hello")]);
    let twice = [&payload[..7], HELLO].concat();
    assert_heard(&frame(0xC1, &twice), &[text("HelloHello")]);
    let two_messages = frame(0xC1, &payload).repeat(2);
    assert_heard(&two_messages, &[text("Hello"), text("Hello")]);
}

#[test]
fn the_window_outlives_a_message_that_ends_in_a_final_block() {
    let first = frame(0xC1, &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]);
    let second = frame(0xC1, &[0xF2, 0x00, 0x11, 0x00, 0x00]);
    let heard = hear_compressed(TAKEOVER, LIMIT, [&[first, second].concat()[..]]);
    assert_eq!(heard, (vec![text("Hello"), text("Hello")], None));
}

#[test]
fn a_message_of_two_blocks() {
    let payload = [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00];
    assert_heard(&frame(0xC1, &payload), &[text("Hello")]);
}

#[test]
fn an_empty_message_is_an_empty_block() {
    assert_heard(&frame(0xC1, &[0x00]), &[text("")]);
    assert_heard(&frame(0xC2, &[0x02, 0x00]), &[binary(b"")]);
}

#[test]
fn messages_that_are_not_compressed_pass_as_ever() {
    let both = [frame(0x81, b"plain"), frame(0xC1, HELLO), frame(0x82, b"plain")].concat();
    assert_heard(&both, &[text("plain"), text("Hello"), binary(b"plain")]);
}

#[test]
fn only_the_first_frame_of_a_message_may_have_rsv1() {
    for first_byte in [0xC8, 0xC9, 0xCA] {
        assert_refused(&frame(first_byte, b""), &ReservedBits);
    }
    assert_refused(&[frame(0x41, &HELLO[..3]), frame(0xC0, &HELLO[3..])].concat(), &ReservedBits);
    assert_refused(&[frame(0x01, b"a"), frame(0xC0, &HELLO[3..])].concat(), &ReservedBits);
}

#[test]
fn the_other_reserved_bits_stay_reserved() {
    for bits in [0x20, 0x10, 0x60, 0x50, 0x70] {
        assert_refused(&frame(0x81 | bits, HELLO), &ReservedBits);
    }
    assert_refused(&frame(0xC0, HELLO), &ReservedBits);
    assert_refused(&frame(0x80, HELLO), &UnexpectedContinuation);
}

#[test]
fn rsv1_is_refused_where_no_compression_was_agreed_on() {
    assert_eq!(hear(LIMIT, [&frame(0xC1, HELLO)[..]]), (vec![], Some(ReservedBits)));
}

#[test]
fn what_is_no_deflate_is_refused() {
    // The block type that does not exist; stored lengths that contradict each other; a reference before the beginning.
    for payload in [&[0x07][..], &[0x00, 0x01, 0x00, 0x00, 0x00, 0x61], &[0x03, 0x02, 0x00]] {
        assert_refused(&frame(0xC2, payload), &InvalidDeflate);
    }
    assert_eq!(InvalidDeflate.close_code(), 1007);
}

#[test]
fn a_message_that_is_cut_off_is_refused() {
    for length in 0..HELLO.len() {
        assert_refused(&frame(0xC2, &HELLO[..length]), &InvalidDeflate);
    }
    // A final block without the byte that is to follow it (RFC 7692 section 7.2.3.4).
    assert_refused(&frame(0xC2, &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]), &InvalidDeflate);
}

/// Data as a block without compression.
fn stored(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes(), data, &[0]].concat()
}

#[test]
fn inflated_text_must_be_utf8_and_is_refused_at_its_first_wrong_byte() {
    assert_heard(&frame(0xC1, &stored("é€🦀".as_bytes())), &[text("é€🦀")]);
    assert_refused(&frame(0xC1, &stored(b"ab\xFF")), &InvalidUtf8);
    assert_refused(&frame(0xC1, &stored(b"\xE2\x82")), &InvalidUtf8);
    // The frame and its block promise more.
    assert_refused(b"\xC1\x90\0\0\0\0\x00\x0A\x00\xF5\xFFab\xFF", &InvalidUtf8);
    assert_heard(&frame(0xC2, &stored(b"ab\xFF")), &[binary(b"ab\xFF")]);
}

#[test]
fn an_inflated_message_of_the_limit_passes_and_one_byte_more_is_refused() {
    let within = stored(&[7; 1000]);
    for agreement in [TAKEOVER, NO_TAKEOVER] {
        let heard = hear_compressed(agreement, 1000, [&frame(0xC2, &within)[..]]);
        assert_eq!(heard, (vec![binary(&[7; 1000])], None));
        let past = hear_compressed(agreement, 999, [&frame(0xC2, &within)[..]]);
        assert_eq!(past, (vec![], Some(MessageTooBig { limit: 999 })));
    }
    let fragments = [frame(0x42, &within[..500]), frame(0x80, &within[500..])].concat();
    assert_eq!(hear_compressed(TAKEOVER, 1000, [&fragments[..]]), (vec![binary(&[7; 1000])], None));
    let past = hear_compressed(TAKEOVER, 999, [&fragments[..]]);
    assert_eq!(past, (vec![], Some(MessageTooBig { limit: 999 })));
}

#[test]
fn compressed_bytes_are_not_held_against_the_limit_but_what_they_come_to() {
    let blocks = [0x00, 0x00, 0x00, 0xFF, 0xFF].repeat(1000);
    let payload = [&blocks[..], HELLO].concat();
    assert_eq!(hear_compressed(TAKEOVER, 5, [&frame(0xC1, &payload)[..]]), (vec![text("Hello")], None));
}

#[test]
fn no_more_than_64_kib_are_asked_for_a_compressed_frame_at_once() {
    let mut protocol = Protocol::with_inflater(LIMIT, Inflater::new(TAKEOVER));
    let mut input = BytesMut::from(&b"\xC2\xFF\x00\x00\x00\x7F\xFF\xFF\xFF\xFF\0\0\0\0\x00"[..]);
    assert_eq!(protocol.receive(&mut input), Ok(None));
    assert!(input.is_empty());
    assert_eq!(protocol.missing_bytes(&input), 64 << 10);
}

#[test]
fn a_message_is_deflated_only_if_it_gets_smaller() {
    let mut deflater = Deflater::new(6, 15);
    assert_eq!(deflater.encode_message(Kind::Text, b"Hello", b""), None);
    assert_eq!(deflater.encode_message(Kind::Text, b"", b""), None);
    let frame = deflater.encode_message(Kind::Text, &b"Hello".repeat(20), b"").unwrap();
    assert_eq!(&frame[..], [0xC1, 0x0A, 0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0xF7, 0xA0, 0x2D, 0x01, 0x00]);
    let binary = deflater.encode_message(Kind::Binary, &[7; 100], b"").unwrap();
    assert_eq!(binary[0], 0xC2);
}

#[test]
fn messages_that_do_not_get_smaller_leave_the_deflater_as_good_as_new() {
    let mut deflater = Deflater::new(4, 15);
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    for _ in 0..1000 {
        let payload: Vec<u8> = std::iter::repeat_with(&mut noise).take(300).collect();
        assert_eq!(deflater.encode_message(Kind::Binary, &payload, b""), None);
    }
    let text = "Hello".repeat(20);
    let frame = deflater.encode_message(Kind::Text, text.as_bytes(), b"").unwrap();
    assert_heard(&masked(&frame), &[super::text(&text)]);
}

#[test]
fn a_message_that_repeats_the_one_before_it_is_a_reference_to_it() {
    let said: Vec<u8> = (0..=255).collect();
    let mut deflater = Deflater::new(6, 15);
    assert_eq!(deflater.encode_message(Kind::Binary, &said, b""), None);
    let frame = deflater.encode_message(Kind::Binary, &said, &said).unwrap();
    assert!(frame.len() < 10, "{frame:x?}");
}

#[test]
fn a_history_is_the_last_bytes_of_all_messages() {
    let mut history = History::new(8);
    history.push(b"");
    assert_eq!(history.as_slice(), b"");
    history.push(&[1; 200]);
    history.push(&[2; 100]);
    assert_eq!(history.as_slice(), [&[1; 156][..], &[2; 100]].concat());
    history.push(&[&[3; 10][..], &[4; 256]].concat());
    assert_eq!(history.as_slice(), [4; 256]);
}

#[test]
fn a_frame_is_taken_apart_again_into_kind_and_payload() {
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![7; length];
        for kind in [Kind::Text, Kind::Binary] {
            assert_eq!(plain_message(&encode_message(kind, &payload)), Some((kind, &payload[..])));
        }
    }
    for other in [&b""[..], b"\x89\x00", b"\x8A\x01a", b"\x88\x00", b"\xC1\x01\x00", b"\x01\x01a"] {
        assert_eq!(plain_message(other), None, "{other:x?}");
    }
}

fn header_length(server_frame: &[u8]) -> usize {
    match server_frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    }
}

/// Makes what a server sends into what a client sends: the mask is zero.
fn masked(server_frame: &[u8]) -> Vec<u8> {
    frame(server_frame[0], &server_frame[header_length(server_frame)..])
}

/// Something that compresses, more or less.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let words =
        prop::sample::select(vec!["{\"x\": ", "null", "WebSocket", "é€🦀", "0", " ", "aaaaaaaaaaaaaaaa"]);
    prop_oneof![
        prop::collection::vec(words.clone(), 0..200).prop_map(|words| words.concat().into_bytes()),
        prop::collection::vec(words, 10_000..20_000).prop_map(|words| words.concat().into_bytes()),
        (0..200_000_usize)
            .prop_map(|length| (0..length).map(|index| ((index * index) >> 7).to_le_bytes()[0]).collect()),
        prop::collection::vec(any::<u8>(), 0..2000),
    ]
}

/// Inflates byte for byte, so that no more of what was inflated is known than the window holds.
fn inflated_with(bits: u8, history: &[u8], payload: &[u8]) -> Result<Vec<u8>, InflateError> {
    let mut inflate = Inflate::new(false, bits);
    if !history.is_empty() {
        inflate.set_dictionary(history)?;
    }
    let mut rest = payload;
    let mut inflated = Vec::new();
    loop {
        let (taken, given) = (inflate.total_in(), inflate.total_out());
        let mut byte = [0];
        inflate.decompress(rest, &mut byte, InflateFlush::NoFlush)?;
        rest = &rest[usize::try_from(inflate.total_in() - taken).unwrap()..];
        if inflate.total_out() == given {
            return Ok(inflated);
        }
        inflated.extend(byte);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn what_is_deflated_is_inflated_however_it_is_cut(
        payloads in prop::collection::vec(payload(), 1..5),
        level in 1..=9_u8,
        bits in 8..=15_u8,
        takes_over in any::<bool>(),
        sizes in prop::collection::vec(1..5000_usize, 1..5),
    ) {
        let agreement = Agreement { client_no_context_takeover: !takes_over, client_max_window_bits: Some(bits), ..TAKEOVER };
        let mut deflater = Deflater::new(level, bits);
        let mut history = History::new(bits);
        let mut stream = Vec::new();
        for payload in &payloads {
            match deflater.encode_message(Kind::Binary, payload, history.as_slice()) {
                Some(frame) => {
                    stream.extend(masked(&frame));
                    if takes_over {
                        history.push(payload);
                    }
                }
                None => stream.extend(frame(0x82, payload)),
            }
        }
        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        for size in sizes.into_iter().cycle() {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let events: Vec<_> = payloads.iter().map(|payload| binary(payload)).collect();
        prop_assert!(hear_compressed(agreement, LIMIT, pieces) == (events, None));
    }

    #[test]
    fn what_is_deflated_for_a_window_is_inflated_with_no_larger_one(
        said in payload(),
        payload in payload(),
        level in 1..=9_u8,
        bits in 8..=15_u8,
    ) {
        let mut history = History::new(bits);
        history.push(&said);
        let frame = Deflater::new(level, bits).encode_message(Kind::Binary, &payload, history.as_slice());
        let Some(frame) = frame else { return Ok(()) };
        let deflated = &frame[header_length(&frame)..];
        prop_assert!(inflated_with(bits, history.as_slice(), deflated) == Ok(payload));
    }

    #[test]
    fn no_bytes_make_the_inflater_panic(stream in prop::collection::vec(any::<u8>(), 0..300), takes_over in any::<bool>()) {
        let agreement = Agreement { client_no_context_takeover: !takes_over, ..TAKEOVER };
        let bytes = [frame(0xC2, &stream), frame(0xC2, HELLO)].concat();
        let whole = hear_compressed(agreement, LIMIT, [&bytes[..]]);
        prop_assert!(hear_compressed(agreement, LIMIT, bytes.chunks(7)) == whole);
    }
}
