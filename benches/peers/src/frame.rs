//! Frames as a client sends and receives them (RFC 6455 section 5.2).

/// The opcode of a continuation frame.
pub const CONTINUATION: u8 = 0x0;
/// The opcode of a text frame.
pub const TEXT: u8 = 0x1;
/// The opcode of a binary frame.
pub const BINARY: u8 = 0x2;
/// The opcode of a Close.
pub const CLOSE: u8 = 0x8;
/// The opcode of a Ping.
pub const PING: u8 = 0x9;
/// The opcode of a Pong.
pub const PONG: u8 = 0xA;

/// The mask of every frame sent here. Any key will do for a server, which cannot know that it stays the same.
pub const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// The header of a server's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub is_last: bool,
    /// RSV1: the message is compressed (RFC 7692 section 6).
    pub is_compressed: bool,
    /// What kind of frame it is.
    pub opcode: u8,
    /// Bytes of the payload.
    pub length: usize,
    /// Bytes of the header itself.
    pub size: usize,
}

/// Reads a header from the front of `bytes`; `None`: it is not all there.
///
/// # Errors
/// What a server must not send: a mask, a reserved bit, a control frame that is long or fragmented.
pub fn parse_header(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err("a masked frame");
    }
    if first & 0x30 != 0 {
        return Err("a frame with reserved bits");
    }
    let (length, size) = match second {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (usize::from(u16::from_be_bytes(*length)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => match usize::try_from(u64::from_be_bytes(*length)) {
                Ok(length) if length < 1 << 40 => (length, 10),
                _ => return Err("a frame longer than memory"),
            },
            None => return Ok(None),
        },
        short => (usize::from(*short), 2),
    };
    let opcode = first & 0x0F;
    let is_last = first & 0x80 != 0;
    match opcode {
        CONTINUATION | TEXT | BINARY => {}
        CLOSE | PING | PONG if is_last && length <= 125 => {}
        CLOSE | PING | PONG => return Err("a control frame that is long or fragmented"),
        _ => return Err("a frame of an unknown kind"),
    }
    Ok(Some(Header { is_last, is_compressed: first & 0x40 != 0, opcode, length, size }))
}

/// Appends a whole masked frame and tells where its payload begins.
pub fn encode(out: &mut Vec<u8>, opcode: u8, is_compressed: bool, payload: &[u8]) -> usize {
    out.push(0x80 | if is_compressed { 0x40 } else { 0 } | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | u8::try_from(length).expect("bug: at most 125")),
        length @ 126..=65535 => {
            out.push(0xFE);
            out.extend_from_slice(&u16::try_from(length).expect("bug: at most 65535").to_be_bytes());
        }
        length => {
            out.push(0xFF);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    let begin = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[begin..]);
    begin
}

/// Masks a payload, or a piece of one that begins at a multiple of four bytes, with [`KEY`].
pub fn mask(payload: &mut [u8]) {
    let (words, tail) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(KEY)).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(KEY) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_the_example_of_rfc_6455_section_5_7() {
        let mut frame = Vec::new();
        assert_eq!(encode(&mut frame, TEXT, false, b"Hello"), 6);
        assert_eq!(frame, [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58]);
    }

    #[test]
    fn each_way_to_say_a_length_is_written_and_read() {
        for (length, header) in [
            (125, &[0x82, 0xFD][..]),
            (126, &[0x82, 0xFE, 0, 126]),
            (65535, &[0x82, 0xFE, 0xFF, 0xFF]),
            (65536, &[0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut frame = Vec::new();
            let begin = encode(&mut frame, BINARY, false, &vec![0; length]);
            assert_eq!(frame[..begin - 4], *header);
            let mut unmasked = header.to_vec();
            unmasked[1] &= 0x7F;
            let expected =
                Header { is_last: true, is_compressed: false, opcode: BINARY, length, size: header.len() };
            assert_eq!(parse_header(&unmasked), Ok(Some(expected)));
            for cut in 0..header.len() {
                assert_eq!(parse_header(&unmasked[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        for frame in [
            &[0x81, 0x80][..],
            &[0x91, 0x00],
            &[0xA1, 0x00],
            &[0x83, 0x00],
            &[0x08, 0x00],
            &[0x89, 126, 0, 126],
            &[0x82, 127, 0xFF, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert!(parse_header(frame).is_err(), "{frame:?}");
        }
    }
}
