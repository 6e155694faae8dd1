//! The messages that are sent, and what has to come back.

use std::io::Write;

use flate2::{Compress, Compression, FlushCompress};
use serde::Deserialize;

use crate::frame;

/// Hexadecimal digits at the front of a message which number it.
pub const DIGITS: usize = 16;

/// Compressed messages, which are made beforehand and sent in turn.
const PREPARED: u64 = 64;

/// What a message is made of.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// JSON, as an API sends it.
    #[default]
    Text,
    /// Bytes without a pattern.
    Binary,
}

impl Kind {
    /// The opcode of its frames.
    pub fn opcode(self) -> u8 {
        match self {
            Self::Text => frame::TEXT,
            Self::Binary => frame::BINARY,
        }
    }
}

/// Messages of one size that differ in the number at their front.
#[derive(Debug)]
pub struct Payload {
    kind: Kind,
    body: Vec<u8>,
    /// The frame of message 0, and where its payload begins.
    frame: Vec<u8>,
    begin: usize,
    compressed: Vec<Vec<u8>>,
}

impl Payload {
    /// Messages of `size` bytes, at least 16. With `is_compressed` the frames sent are compressed, each without a look
    /// at those before it, and the numbers begin anew after 64 messages.
    pub fn new(kind: Kind, size: usize, is_compressed: bool) -> Self {
        let size = size.max(DIGITS);
        let mut body = digits(0).to_vec();
        while body.len() < size {
            match kind {
                Kind::Text => {
                    let number = body.len() * 7919;
                    write!(body, r#"{{"id": {number}, "name": "user {}", "online": true}}, "#, number % 1009)
                        .expect("bug: memory can be written to");
                }
                // Weyl's sequence: no byte repeats itself soon, and every run of the benchmark has the same.
                Kind::Binary => body.extend_from_slice(
                    &(body.len() as u64 + 1)
                        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                        .rotate_left(29)
                        .to_le_bytes(),
                ),
            }
        }
        body.truncate(size);
        let mut frame = Vec::new();
        let begin = frame::encode(&mut frame, kind.opcode(), false, &body);
        let mut payload = Self { kind, body, frame, begin, compressed: Vec::new() };
        if is_compressed {
            payload.compressed = (0..PREPARED).map(|number| payload.compress(number)).collect();
        }
        payload
    }

    /// Appends the frame of message `number`.
    pub fn append(&self, number: u64, out: &mut Vec<u8>) {
        if !self.compressed.is_empty() {
            let index = usize::try_from(number % PREPARED).expect("bug: below 64");
            out.extend_from_slice(&self.compressed[index]);
            return;
        }
        let begin = out.len() + self.begin;
        out.extend_from_slice(&self.frame);
        let front = &mut out[begin..begin + DIGITS];
        front.copy_from_slice(&digits(number));
        frame::mask(front);
    }

    /// What is wrong with a message that has to be message `number`; `None`: nothing.
    pub fn difference(&self, number: u64, opcode: u8, message: &[u8]) -> Option<&'static str> {
        let number = if self.compressed.is_empty() { number } else { number % PREPARED };
        if opcode != self.kind.opcode() {
            Some("text for binary, or binary for text")
        } else if message.len() != self.body.len() {
            Some("its length")
        } else if message[..DIGITS] != digits(number) {
            Some("its number, as one is missing, doubled or out of order")
        } else if message[DIGITS..] != self.body[DIGITS..] {
            Some("its content")
        } else {
            None
        }
    }

    /// The number at the front of a message; `None`: it has none.
    pub fn number(message: &[u8]) -> Option<u64> {
        let digits = std::str::from_utf8(message.first_chunk::<DIGITS>()?).ok()?;
        u64::from_str_radix(digits, 16).ok()
    }

    fn compress(&self, number: u64) -> Vec<u8> {
        let mut body = self.body.clone();
        body[..DIGITS].copy_from_slice(&digits(number));
        let mut deflated = Vec::with_capacity(body.len() + 1024);
        Compress::new(Compression::fast(), false)
            .compress_vec(&body, &mut deflated, FlushCompress::Sync)
            .expect("bug: deflating cannot fail");
        // RFC 7692 section 7.2.1: the four bytes of an empty block go.
        assert_eq!(
            deflated.split_off(deflated.len() - 4),
            [0, 0, 0xFF, 0xFF],
            "bug: no room to deflate into"
        );
        let mut out = Vec::new();
        frame::encode(&mut out, self.kind.opcode(), true, &deflated);
        out
    }
}

fn digits(number: u64) -> [u8; DIGITS] {
    std::array::from_fn(|index| {
        let byte = number.to_be_bytes()[index / 2];
        b"0123456789abcdef"[usize::from(if index % 2 == 0 { byte >> 4 } else { byte & 0xF })]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_number_at_the_front() {
        let payload = Payload::new(Kind::Text, 20, false);
        let mut out = Vec::new();
        payload.append(0x2A, &mut out);
        frame::mask(&mut out[6..]);
        assert_eq!(out[..2], [0x81, 0x94]);
        assert_eq!(out[6..], *b"000000000000002a{\"id");
    }

    #[test]
    fn only_the_message_itself_is_right() {
        let payload = Payload::new(Kind::Binary, 125, false);
        let mut out = Vec::new();
        payload.append(7, &mut out);
        frame::mask(&mut out[6..]);
        let message = out.split_off(6);
        assert_eq!(payload.difference(7, frame::BINARY, &message), None);
        assert!(payload.difference(7, frame::TEXT, &message).is_some());
        assert!(payload.difference(8, frame::BINARY, &message).is_some());
        assert!(payload.difference(7, frame::BINARY, &message[..124]).is_some());
        for index in 0..message.len() {
            let mut spoilt = message.clone();
            spoilt[index] ^= 1;
            assert!(payload.difference(7, frame::BINARY, &spoilt).is_some(), "{index}");
        }
    }

    #[test]
    fn a_compressed_message_is_the_message_and_shorter() {
        let payload = Payload::new(Kind::Text, 4096, true);
        let mut out = Vec::new();
        payload.append(65, &mut out);
        assert_eq!(out[0], 0xC1);
        assert!(out.len() < 2048);
        let begin = 8;
        frame::mask(&mut out[begin..]);
        out.extend_from_slice(&[0, 0, 0xFF, 0xFF]);
        let mut message = Vec::with_capacity(8192);
        flate2::Decompress::new(false)
            .decompress_vec(&out[begin..], &mut message, flate2::FlushDecompress::Sync)
            .unwrap();
        assert_eq!(payload.difference(65, frame::TEXT, &message), None);
        assert!(payload.difference(66, frame::TEXT, &message).is_some());
    }
}
