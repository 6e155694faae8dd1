//! UTF-8 checked as it arrives.

use crate::error::ProtocolError;

/// Checks text that comes in pieces; a character may be spread over several of them.
/// Keeps the bytes of one unfinished character, at most three.
#[derive(Clone, Debug, Default)]
pub struct Validator {
    begun: [u8; 4],
    begun_length: usize,
}

impl Validator {
    /// Checks the next piece. After an error the text is lost: the validator is not used again.
    ///
    /// # Errors
    /// No continuation can make the text so far valid UTF-8; found at the first byte that makes it so.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ProtocolError> {
        let rest = self.complete_character(piece)?;
        let (whole, begun) = rest.split_at(rest.len() - unfinished_length(rest));
        if simdutf8::basic::from_utf8(whole).is_err() {
            return Err(ProtocolError::InvalidUtf8);
        }
        if !begun.is_empty() {
            if !could_begin_character(begun) {
                return Err(ProtocolError::InvalidUtf8);
            }
            self.begun[..begun.len()].copy_from_slice(begun);
            self.begun_length = begun.len();
        }
        Ok(())
    }

    /// Checks that the text may end here and gets ready for another text.
    ///
    /// # Errors
    /// The last character is unfinished.
    pub fn finish(&mut self) -> Result<(), ProtocolError> {
        if self.begun_length == 0 { Ok(()) } else { Err(ProtocolError::InvalidUtf8) }
    }

    /// Adds bytes of `piece` to the unfinished character, if there is one, until it is whole or wrong or the piece
    /// ends, and gives what is left of the piece.
    fn complete_character<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], ProtocolError> {
        let mut rest = piece;
        while self.begun_length > 0 {
            let Some((&byte, after)) = rest.split_first() else { return Ok(rest) };
            rest = after;
            self.begun[self.begun_length] = byte;
            self.begun_length += 1;
            let character = &self.begun[..self.begun_length];
            if std::str::from_utf8(character).is_ok() {
                self.begun_length = 0;
            } else if !could_begin_character(character) {
                return Err(ProtocolError::InvalidUtf8);
            }
        }
        Ok(rest)
    }
}

/// Whether `bytes` are the beginning of a character that more bytes can complete.
fn could_begin_character(bytes: &[u8]) -> bool {
    // Without an error length only the end of the input is to blame.
    std::str::from_utf8(bytes).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
}

/// How many bytes at the end of `text` belong to a character of which more bytes are announced than are there.
fn unfinished_length(text: &[u8]) -> usize {
    for (after, &byte) in text.iter().rev().take(3).enumerate() {
        let announced = match byte {
            // A continuation byte: the lead byte is further ahead.
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            0x00..=0x7F => 1,
        };
        return if announced > after + 1 { after + 1 } else { 0 };
    }
    0
}
