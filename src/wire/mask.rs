//! Masking (RFC 6455 section 5.3).

/// Bytes that are masked in one step; wide enough to be turned into vector instructions.
const STEP: usize = 64;

/// Masks or unmasks `payload` in place with `key`. `offset` is where `payload` begins within the whole payload of its
/// frame, so that a payload can be unmasked piece by piece.
pub fn apply(payload: &mut [u8], key: [u8; 4], offset: usize) {
    let mut key = key;
    key.rotate_left(offset % 4);
    let mut pattern = [0; STEP];
    for part in pattern.as_chunks_mut::<4>().0 {
        *part = key;
    }
    let (steps, rest) = payload.as_chunks_mut::<STEP>();
    for step in steps {
        mask_step(step, &pattern);
    }
    let (words, tail) = rest.as_chunks_mut::<8>();
    let word_key = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ word_key).to_ne_bytes();
    }
    for (byte, key_byte) in tail.iter_mut().zip(pattern) {
        *byte ^= key_byte;
    }
}

/// Masks as many bytes as vector instructions take at once. Both lengths are known when it is compiled, so that no
/// bound is checked.
#[inline]
fn mask_step(step: &mut [u8; STEP], pattern: &[u8; STEP]) {
    for (byte, key_byte) in step.iter_mut().zip(pattern) {
        *byte ^= key_byte;
    }
}
