//! Chunks of a response (RFC 9112 section 7.1).

/// Digits of a size, with room to spare.
const MOST_HEAD_BYTES: usize = 32;

/// The bytes of a chunk's head, and of its content; `None`: the head is not all there.
///
/// # Errors
/// It has no size.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(usize, usize)>, &'static str> {
    let front = &bytes[..bytes.len().min(MOST_HEAD_BYTES)];
    let Some(digits) = front.windows(2).position(|pair| pair == b"\r\n") else {
        return if front.len() < MOST_HEAD_BYTES { Ok(None) } else { Err("a chunk without a size") };
    };
    let text = std::str::from_utf8(&front[..digits]).unwrap_or_default();
    match usize::from_str_radix(text, 16) {
        Ok(size) if size < 1 << 40 => Ok(Some((digits + 2, size))),
        _ => Err("a chunk without a size"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_hexadecimal_and_may_come_in_pieces() {
        assert_eq!(parse_head(b"1aF\r\nx"), Ok(Some((5, 0x1AF))));
        assert_eq!(parse_head(b"0\r\n\r\n"), Ok(Some((3, 0))));
        for piece in [&b""[..], b"1a", b"1a\r"] {
            assert_eq!(parse_head(piece), Ok(None));
        }
    }

    #[test]
    fn what_has_no_size_is_refused() {
        for bytes in [&b"\r\n"[..], b"x\r\n", b"FFFFFFFFFFFFFFFF\r\n", &[b'0'; 40]] {
            assert!(parse_head(bytes).is_err(), "{bytes:?}");
        }
    }
}
