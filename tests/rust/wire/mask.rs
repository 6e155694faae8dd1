use dwebsocket::wire::mask;
use proptest::prelude::*;

fn one_by_one(payload: &mut [u8], key: [u8; 4], offset: usize) {
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[(index + offset) % 4];
    }
}

#[test]
fn the_key_is_applied_from_the_first_byte_on() {
    let mut payload = *b"Hello";
    mask::apply(&mut payload, [0x37, 0xFA, 0x21, 0x3D], 0);
    assert_eq!(payload, [0x7F, 0x9F, 0x4D, 0x51, 0x58]);
}

#[test]
fn every_length_offset_and_alignment_is_masked_like_byte_by_byte() {
    let key = [0x01, 0x82, 0x44, 0xF8];
    let original: Vec<u8> = (0..=255).cycle().take(200).collect();
    for start in 0..16 {
        for length in 0..original.len() - start {
            for offset in 0..5 {
                let (mut fast, mut slow) = (original.clone(), original.clone());
                mask::apply(&mut fast[start..start + length], key, offset);
                one_by_one(&mut slow[start..start + length], key, offset);
                assert_eq!(fast, slow, "start {start}, length {length}, offset {offset}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_payload_masked_in_two_pieces_is_masked_as_in_one(
        payload in prop::collection::vec(any::<u8>(), 0..500),
        key: [u8; 4],
        cut: prop::sample::Index,
    ) {
        let cut = cut.index(payload.len() + 1);
        let mut pieces = payload.clone();
        mask::apply(&mut pieces[..cut], key, 0);
        mask::apply(&mut pieces[cut..], key, cut);
        let mut whole = payload;
        one_by_one(&mut whole, key, 0);
        prop_assert_eq!(pieces, whole);
    }
}
