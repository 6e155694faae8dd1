//! The messages of permessage-deflate (RFC 7692 section 7.2): deflated whole, inflated as they arrive.
//!
//! What a side keeps between two messages is never more than a [`History`]: the window is the last bytes said, and
//! whoever (de)compresses the next message is told them as its dictionary. So an idle connection holds at most a window
//! each way, or nothing without context takeover, and the far larger tables of zlib live only while they work.

use bytes::Bytes;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::{
    frame::{self, HEADER_ROOM},
    message::Kind,
    offer::{Agreement, MAX_WINDOW_BITS},
};
use crate::error::ProtocolError;

/// What a sync flush ends with, and what is left off on the wire (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// A final, empty block. Where a whole message ends, it ends the stream of blocks; anywhere else it does not.
const FINAL_BLOCK: [u8; 2] = [0x03, 0x00];

/// What is inflated at once.
const CHUNK_BYTES: usize = 8 << 10;

/// The smallest window zlib deflates with.
const MIN_DEFLATE_WINDOW_BITS: u8 = 9;

/// The last bytes that one side said, as far back as the other may be referred to.
#[derive(Debug)]
pub struct History {
    bytes: Vec<u8>,
    max_bytes: usize,
}

impl History {
    /// Of a side with a window of `window_bits` (8 to 15); takes no memory before the first message.
    pub fn new(window_bits: u8) -> Self {
        Self { bytes: Vec::new(), max_bytes: 1 << window_bits }
    }

    /// Adds a message that was said.
    pub fn push(&mut self, payload: &[u8]) {
        let payload = &payload[payload.len().saturating_sub(self.max_bytes)..];
        let excess = (self.bytes.len() + payload.len()).saturating_sub(self.max_bytes);
        self.bytes.drain(..excess);
        self.bytes.reserve_exact(payload.len());
        self.bytes.extend_from_slice(payload);
    }

    /// What is remembered, oldest first.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

/// Deflates messages, one independent of the other; for any number of connections. It takes about 380 KiB with a window
/// of 15 bits.
pub struct Deflater {
    level: u8,
    window_bits: u8,
    deflate: Deflate,
}

impl Deflater {
    /// A deflater of `level` 1 (fast) to 9 (small), for peers that inflate with a window of `window_bits` (8 to 15).
    ///
    /// # Panics
    /// A number is out of its range.
    pub fn new(level: u8, window_bits: u8) -> Self {
        assert!((1..=9).contains(&level), "bug: level {level}");
        assert!((8..=MAX_WINDOW_BITS).contains(&window_bits), "bug: a window of {window_bits} bits");
        Self { level, window_bits, deflate: deflate(level, window_bits) }
    }

    /// The window it was made for.
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// Encodes a whole message as one compressed, unmasked, final frame. It may refer to `history`, all of which the peer
    /// must have received. `None`: it would be no smaller, so it is to be sent as it is, which RFC 7692 section 6 allows
    /// for each message.
    ///
    /// # Panics
    /// zlib refuses what it always takes.
    pub fn encode_message(&mut self, kind: Kind, payload: &[u8], history: &[u8]) -> Option<Bytes> {
        self.deflate.reset();
        if !history.is_empty() {
            self.deflate
                .set_dictionary(history)
                .expect("bug: a raw stream that has just begun takes a dictionary");
        }
        let mut buffer = vec![0; HEADER_ROOM + payload.len()];
        let room = &mut buffer[HEADER_ROOM..];
        let status = self.deflate.compress(payload, room, DeflateFlush::SyncFlush);
        let status = status.expect("bug: deflating is not an error in any state");
        let (taken, given) = (self.deflate.total_in(), self.deflate.total_out());
        // Room that is left tells that the flush is done. A payload longer than zlib takes at once is not all taken.
        let is_done = status == Status::Ok && taken == payload.len() as u64 && given < taken;
        if !is_done {
            // Of output that is left over, a reset of zlib-rs 0.6.8 forgets how much there is, but not where: the buffer
            // would run out of room in the end.
            self.deflate = deflate(self.level, self.window_bits);
            return None;
        }
        buffer.truncate(HEADER_ROOM + length(given));
        debug_assert!(buffer.ends_with(&TAIL), "bug: a sync flush without its tail");
        buffer.truncate(buffer.len() - TAIL.len());
        buffer.shrink_to_fit();
        Some(frame::encode_compressed_in_place(kind, buffer))
    }
}

fn deflate(level: u8, window_bits: u8) -> Deflate {
    // zlib has no raw deflate with a window of 8 bits. It never refers further back than its window without 262 bytes of
    // look-ahead, which with 9 bits is 250, so that a window of 8 bits is enough to inflate it.
    let used_bits = window_bits.max(MIN_DEFLATE_WINDOW_BITS);
    Deflate::new_with_config(DeflateConfig {
        level: i32::from(level),
        // Below 0: without header and trailer.
        window_bits: -i32::from(used_bits),
        ..DeflateConfig::default()
    })
}

impl std::fmt::Debug for Deflater {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Deflater").field("window_bits", &self.window_bits).finish_non_exhaustive()
    }
}

/// Inflates the messages of one client. Takes about 47 KiB from the first piece of a message until
/// [`Inflater::let_go`], and beside that the [`History`], where the client takes its context over.
pub struct Inflater {
    /// `None`: each message begins with an empty window.
    history: Option<History>,
    inflate: Option<Box<Inflate>>,
    is_within_message: bool,
}

impl Inflater {
    /// For the client with whom this was agreed.
    pub fn new(agreement: Agreement) -> Self {
        let takes_over = !agreement.client_no_context_takeover;
        let history = takes_over.then(|| History::new(agreement.client_window_bits()));
        Self { history, inflate: None, is_within_message: false }
    }

    /// Inflates the next piece of a message and hands what comes of it to `sink`, at most 8 KiB at a time, so that `sink`
    /// can end a message that grows too large. After an error the inflater is not used again.
    ///
    /// # Errors
    /// The piece is no DEFLATE, or what `sink` says.
    pub(super) fn push(
        &mut self,
        piece: &[u8],
        sink: &mut impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        let is_within_message = std::mem::replace(&mut self.is_within_message, true);
        // Larger than what the client may use at most, whatever that is; zlib takes the same memory for all sizes.
        let inflate = self.inflate.get_or_insert_with(|| Box::new(Inflate::new(false, MAX_WINDOW_BITS)));
        if !is_within_message {
            inflate.reset(false);
            let history = self.history.as_ref().map(History::as_slice).unwrap_or_default();
            if !history.is_empty() {
                inflate.set_dictionary(history).expect("bug: a raw stream takes a dictionary at any time");
            }
        }
        let mut rest = piece;
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            let (taken, given) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(rest, &mut chunk, InflateFlush::NoFlush);
            let status = status.map_err(|_| ProtocolError::InvalidDeflate)?;
            rest = &rest[length(inflate.total_in() - taken)..];
            let inflated = &chunk[..length(inflate.total_out() - given)];
            sink(inflated)?;
            if status == Status::StreamEnd {
                // A block with BFINAL is not the end of the message (RFC 7692 section 7.2.3.4). Whoever writes one has
                // ended its stream, so what follows refers to nothing before.
                inflate.reset(false);
            } else if inflated.len() < CHUNK_BYTES {
                return Ok(());
            }
        }
    }

    /// Inflates what is left of a message whose last piece was pushed. Its whole text or data must then be told to
    /// [`Inflater::remember`].
    ///
    /// # Errors
    /// The message is not whole, or what `sink` says.
    pub(super) fn finish(
        &mut self,
        sink: &mut impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.push(&TAIL, sink)?;
        self.is_within_message = false;
        let inflate = self.inflate.as_mut().expect("bug: the tail was inflated by nobody");
        match inflate.decompress(&FINAL_BLOCK, &mut [0], InflateFlush::NoFlush) {
            Ok(Status::StreamEnd) => Ok(()),
            _ => Err(ProtocolError::InvalidDeflate),
        }
    }

    /// Remembers a message, if the next one may refer to it.
    pub(super) fn remember(&mut self, payload: &[u8]) {
        if let Some(history) = &mut self.history {
            history.push(payload);
        }
    }

    /// Gives back the memory that no message needs now.
    pub(super) fn let_go(&mut self) {
        if !self.is_within_message {
            self.inflate = None;
        }
    }
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Inflater")
            .field("history", &self.history)
            .field("is_within_message", &self.is_within_message)
            .finish_non_exhaustive()
    }
}

fn length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("bug: more bytes than fit into memory")
}
