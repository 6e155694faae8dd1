//! Masking (RFC 6455 section 5.3).

/// Bytes that are masked in one step: several words, so that the compiler turns them into vector instructions.
const STEP: usize = 64;

/// Masks or unmasks `payload` in place with `key`. `offset` is where `payload` begins within the whole payload of its
/// frame, so that a payload can be unmasked piece by piece.
pub fn apply(payload: &mut [u8], key: [u8; 4], offset: usize) {
    let turned: [u8; 8] = std::array::from_fn(|index| key[(offset % 4 + index) % 4]);
    let key = u64::from_ne_bytes(turned);
    let (steps, rest) = payload.as_chunks_mut::<STEP>();
    for step in steps {
        mask_words(step.as_chunks_mut().0, key);
    }
    let (words, tail) = rest.as_chunks_mut();
    mask_words(words, key);
    for (byte, key_byte) in tail.iter_mut().zip(turned) {
        *byte ^= key_byte;
    }
}

#[inline]
fn mask_words(words: &mut [[u8; 8]], key: u64) {
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
}
