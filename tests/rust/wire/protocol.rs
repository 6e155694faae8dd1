//! The same bytes give the same events, however they are cut into pieces.

use proptest::prelude::*;

use super::{Heard, client_frame, hear};

/// Small enough for generated messages to exceed it, large enough for a payload that shares its buffer.
const LIMIT: usize = 80_000;

fn one_piece(stream: &[u8]) -> Heard {
    hear(LIMIT, [stream])
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        20 => 0..20_usize,
        5 => 120..130_usize,
        2 => 4090..4100_usize,
        1 => 65_530..65_540_usize,
        1 => LIMIT - 1..LIMIT + 2,
    ];
    prop_oneof![
        3 => any::<String>().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        4 => (length, any::<bool>()).prop_map(|(length, ascii)| {
            if ascii { vec![b'a'; length] } else { "é€🦀".bytes().cycle().take(length).collect() }
        }),
    ]
}

/// A frame of any kind, most of them allowed.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let first_byte = prop_oneof![
        4 => prop::sample::select(vec![0x81_u8, 0x82]),
        5 => prop::sample::select(vec![0x01_u8, 0x02, 0x00, 0x00, 0x80]),
        2 => prop::sample::select(vec![0x89_u8, 0x8A]),
        1 => any::<u8>(),
    ];
    (first_byte, any::<[u8; 4]>(), payload())
        .prop_map(|(first_byte, key, payload)| client_frame(first_byte, key, &payload))
}

/// Frames one after the other, of which one byte may have been replaced and the last may have been cut off.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (prop::collection::vec(frame(), 1..8), damage, 0..3_usize).prop_map(|(frames, damage, cut)| {
        let mut stream = frames.concat();
        if let Some((place, byte)) = damage {
            let place = place.index(stream.len());
            stream[place] = byte;
        }
        stream.truncate(stream.len().saturating_sub(cut));
        stream
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn byte_at_a_time_gives_the_same_events_as_one_piece(stream in stream()) {
        prop_assert!(hear(LIMIT, stream.chunks(1)) == one_piece(&stream));
    }

    #[test]
    fn pieces_of_any_size_give_the_same_events_as_one_piece(
        stream in stream(),
        sizes in prop::collection::vec(prop_oneof![1..10_usize, 1..3000_usize, 1..70_000_usize], 1..20),
    ) {
        let mut rest = &stream[..];
        let mut pieces = Vec::new();
        for size in sizes.into_iter().cycle() {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(hear(LIMIT, pieces) == one_piece(&stream));
    }

    #[test]
    fn no_bytes_make_the_protocol_panic(stream in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(hear(LIMIT, stream.chunks(7)) == one_piece(&stream));
    }
}
