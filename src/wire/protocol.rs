//! The state machine of the receiving side: bytes in, events out.

use std::cell::Cell;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    close,
    close::CloseFrame,
    deflate::Inflater,
    frame::{Header, Opcode},
    mask,
    message::{Assembly, Kind, Message},
    utf8::Validator,
};
use crate::error::ProtocolError;

/// A payload of at most so many bytes is copied out of the read buffer: that is cheaper than sharing the buffer, and
/// a small message that waits for its view does not keep a large buffer alive.
const COPIED_BYTES: usize = 4 << 10;

/// A payload of more bytes leaves a buffer behind that is let go as soon as nothing but a shorter rest is left in it.
const LARGE_BYTES: usize = 64 << 10;

/// Compressed bytes that are inflated without a look at what they have come to: up to a thousand times as many.
const COMPRESSED_BYTES: usize = 512;

/// Inflated bytes after which [`Protocol::receive_some`] returns.
const INFLATED_BYTES: usize = 256 << 10;

/// What the peer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message.
    Message(Message),
    /// A Ping, to be answered with a Pong of the same payload.
    Ping(Bytes),
    /// A Pong.
    Pong(Bytes),
    /// A Close; nothing that follows it is read.
    Close(Option<CloseFrame>),
}

/// Server side of one WebSocket: takes the client's bytes, gives events. No I/O.
///
/// An unfragmented message stays in the caller's buffer, unmasked and checked as it arrives, until it is whole and is
/// split off without a copy (a small one is copied). Fragments are moved as they arrive into memory that grows with
/// them up to the message limit, and so is what comes of compressed bytes as they are inflated. Between messages the
/// protocol itself keeps nothing but what its [`Inflater`] does.
///
/// There is no bound on the number of fragments, nor on the bytes of a compressed frame, and none is needed: a fragment
/// takes no memory but its payload, which counts against the message limit, and compressed bytes are not kept. What is left
/// is the time to look at what has arrived, which a peer can take with any other frame as well.
#[derive(Debug)]
pub struct Protocol {
    max_message_bytes: usize,
    /// The frame whose header has been taken and whose payload is not whole.
    frame: Option<Arriving>,
    /// The fragmented or compressed message that is not whole.
    message: Option<Assembly>,
    /// There if permessage-deflate was agreed on; boxed, because most connections have none.
    inflater: Option<Box<Inflater>>,
    text: Validator,
    shares_large_buffer: bool,
    /// Bytes inflated in the call under way.
    inflated: usize,
    /// The last call stopped because it had inflated enough.
    has_more: bool,
    ended: bool,
}

/// A frame on its way.
#[derive(Clone, Copy, Debug)]
struct Arriving {
    opcode: Opcode,
    is_final: bool,
    mask: [u8; 4],
    length: usize,
    /// Bytes of payload that are unmasked and checked.
    ready: usize,
    /// Bytes of payload that have left the input.
    moved: usize,
}

impl Protocol {
    /// A new connection, right after the handshake.
    pub fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            frame: None,
            message: None,
            inflater: None,
            text: Validator::default(),
            shares_large_buffer: false,
            inflated: 0,
            has_more: false,
            ended: false,
        }
    }

    /// A new connection whose client may compress its messages, as was agreed.
    pub fn with_inflater(max_message_bytes: usize, inflater: Inflater) -> Self {
        Self { inflater: Some(Box::new(inflater)), ..Self::new(max_message_bytes) }
    }

    /// Takes the next event out of `input`, from whose front the bytes used are removed.
    /// `Ok(None)`: more bytes are needed. Call again until then.
    ///
    /// Between two calls the caller may only append to `input`: the payload of an unfinished frame stays in it, partly
    /// unmasked. After an error or a Close nothing is read any more: every further call gives `Ok(None)`.
    ///
    /// # Errors
    /// What RFC 6455 or RFC 7692 forbids; [`ProtocolError::close_code`] is the code to close with.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Option<Event>, ProtocolError> {
        loop {
            let event = self.receive_some(input)?;
            if event.is_some() || !self.has_more {
                return Ok(event);
            }
        }
    }

    /// As [`Protocol::receive`], but for a caller that has others to serve as well: it inflates no more than 768 KiB at a
    /// time, whatever is in `input`. `Ok(None)` may then mean that there is more to do: see [`Protocol::has_more`].
    ///
    /// # Errors
    /// Those of [`Protocol::receive`].
    pub fn receive_some(&mut self, input: &mut BytesMut) -> Result<Option<Event>, ProtocolError> {
        self.has_more = false;
        self.inflated = 0;
        // Nothing is found in nothing; where a large buffer is left behind, it has to be let go of.
        if self.ended || (input.is_empty() && !self.shares_large_buffer) {
            return Ok(None);
        }
        let outcome = self.next_event(input);
        match outcome {
            Err(_) | Ok(Some(Event::Close(_))) => self.end(),
            Ok(None) => self.let_go_of_large_buffer(input),
            Ok(Some(_)) => {}
        }
        outcome
    }

    /// Whether the `Ok(None)` that [`Protocol::receive_some`] has just given was for want of time and not of bytes.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// How many bytes are at least missing for the frame that has begun to arrive (0: unknown or none).
    /// A caller may use it to size its next read; it never exceeds the message limit. `input` is the buffer that
    /// [`Protocol::receive`] has just given `Ok(None)` for.
    ///
    /// A fragment leaves `input` piece by piece, so no more than 64 KiB are asked for it at once.
    pub fn missing_bytes(&self, input: &BytesMut) -> usize {
        let Some(frame) = self.frame else { return 0 };
        let missing = (frame.length - frame.moved).saturating_sub(input.len());
        if self.message.is_some() { missing.min(LARGE_BYTES) } else { missing }
    }

    /// Gives back memory before a pause whose length nobody knows.
    pub fn let_go(&mut self) {
        if let Some(inflater) = &mut self.inflater {
            inflater.let_go();
        }
    }

    fn next_event(&mut self, input: &mut BytesMut) -> Result<Option<Event>, ProtocolError> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match Header::parse(input, self.inflater.is_some())? {
                    Some(header) => self.begin_frame(&header, input)?,
                    None => return Ok(None),
                },
            };
            let event = match frame.opcode {
                Opcode::Continuation | Opcode::Message(_) => self.take_data(&mut frame, input)?,
                Opcode::Ping | Opcode::Pong | Opcode::Close => take_control(&mut frame, input)?,
            };
            if frame.moved < frame.length {
                self.frame = Some(frame);
                return Ok(None);
            }
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Holds a header against what came before it and against the limit, and takes it out of `input`.
    fn begin_frame(&mut self, header: &Header, input: &mut BytesMut) -> Result<Arriving, ProtocolError> {
        let message = match (header.opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Message(_), Some(_)) => return Err(ProtocolError::UnfinishedMessage),
            (Opcode::Continuation, message) => message.as_ref(),
            _ => None,
        };
        let limit = self.max_message_bytes;
        let is_compressed = header.is_compressed || message.is_some_and(|message| message.is_compressed);
        let received = message.map_or(0, Assembly::len);
        let length = usize::try_from(header.length).ok().filter(|length| {
            // A control frame has its own limit, and is no part of a message. What compressed bytes come to is held
            // against the limit while they are inflated; they themselves are not kept.
            header.opcode.is_control() || is_compressed || *length <= limit - received
        });
        let length = length.ok_or(ProtocolError::MessageTooBig { limit })?;
        if let Opcode::Message(kind) = header.opcode
            && (header.is_compressed || !header.is_final)
        {
            self.message = Some(Assembly::new(kind, header.is_compressed));
        }
        input.advance(header.size);
        let Header { opcode, is_final, mask, .. } = *header;
        Ok(Arriving { opcode, is_final, mask, length, ready: 0, moved: 0 })
    }

    /// Takes what has arrived of a data frame. Gives the message if this makes it whole.
    fn take_data(
        &mut self,
        frame: &mut Arriving,
        input: &mut BytesMut,
    ) -> Result<Option<Event>, ProtocolError> {
        let arrived = input.len().min(frame.length - frame.moved);
        let fresh = &mut input[frame.ready - frame.moved..arrived];
        mask::apply(fresh, frame.mask, frame.ready);
        frame.ready += fresh.len();
        let kind = match (&self.message, frame.opcode) {
            (Some(message), _) if message.is_compressed => return self.inflate(frame, input),
            (Some(message), _) => message.kind,
            (None, Opcode::Message(kind)) => kind,
            (None, opcode) => unreachable!("bug: {opcode:?} without a message"),
        };
        if kind == Kind::Text {
            self.text.push(fresh)?;
        }
        if let Some(message) = &mut self.message {
            let left = frame.length - frame.moved;
            let bound = if frame.is_final { message.len() + left } else { self.max_message_bytes };
            message.append(&input[..arrived], bound);
            input.advance(arrived);
            frame.moved += arrived;
        }
        if frame.ready < frame.length || !frame.is_final {
            return Ok(None);
        }
        if kind == Kind::Text {
            self.text.finish()?;
        }
        let message = match self.message.take() {
            Some(message) => message.finish(),
            None => Message { kind, payload: self.take_payload(frame, input) },
        };
        Ok(Some(Event::Message(message)))
    }

    /// Inflates what has arrived of a frame and is unmasked. Gives the message if this makes it whole.
    // Inlined, it would burden all other frames with its stack and registers.
    #[inline(never)]
    fn inflate(
        &mut self,
        frame: &mut Arriving,
        input: &mut BytesMut,
    ) -> Result<Option<Event>, ProtocolError> {
        let Self { inflater: Some(inflater), message: Some(message), inflated, has_more, .. } = self else {
            unreachable!("bug: a compressed message without an inflater")
        };
        let limit = self.max_message_bytes;
        let given = Cell::new(*inflated);
        let mut sink = |piece: &[u8]| {
            if piece.len() > limit - message.len() {
                return Err(ProtocolError::MessageTooBig { limit });
            }
            given.set(given.get() + piece.len());
            if message.kind == Kind::Text {
                self.text.push(piece)?;
            }
            message.append(piece, limit);
            Ok(())
        };
        // What is ready and has not been moved is fresh, or was left for this call.
        let mut taken = 0;
        for piece in input[..frame.ready - frame.moved].chunks(COMPRESSED_BYTES) {
            if given.get() >= INFLATED_BYTES {
                *has_more = true;
                break;
            }
            inflater.push(piece, &mut sink)?;
            taken += piece.len();
        }
        *inflated = given.get();
        input.advance(taken);
        frame.moved += taken;
        if frame.moved < frame.length || !frame.is_final {
            return Ok(None);
        }
        inflater.finish(&mut sink)?;
        if message.kind == Kind::Text {
            self.text.finish()?;
        }
        let message = self.message.take().map(Assembly::finish);
        if let Some(message) = &message {
            inflater.remember(&message.payload);
        }
        Ok(message.map(Event::Message))
    }

    /// Takes the whole payload of an unfragmented message out of `input`.
    fn take_payload(&mut self, frame: &mut Arriving, input: &mut BytesMut) -> Bytes {
        frame.moved = frame.length;
        if frame.length <= COPIED_BYTES {
            let payload = Bytes::copy_from_slice(&input[..frame.length]);
            input.advance(frame.length);
            return payload;
        }
        self.shares_large_buffer |= frame.length > LARGE_BYTES;
        input.split_to(frame.length).freeze()
    }

    /// Moves the rest that is left in a large buffer, if it is short, into a buffer of its own, so that the large one
    /// goes with the message it was made for. A longer rest is asked about again after the next read.
    fn let_go_of_large_buffer(&mut self, input: &mut BytesMut) {
        if self.shares_large_buffer && input.len() <= LARGE_BYTES {
            *input = BytesMut::from(&input[..]);
            self.shares_large_buffer = false;
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.frame = None;
        self.message = None;
        self.inflater = None;
    }
}

/// Takes a control frame out of `input` once it is whole.
fn take_control(frame: &mut Arriving, input: &mut BytesMut) -> Result<Option<Event>, ProtocolError> {
    if input.len() < frame.length {
        return Ok(None);
    }
    let payload = &mut input[..frame.length];
    mask::apply(payload, frame.mask, 0);
    let event = match frame.opcode {
        Opcode::Ping => Event::Ping(Bytes::copy_from_slice(payload)),
        Opcode::Pong => Event::Pong(Bytes::copy_from_slice(payload)),
        Opcode::Close => Event::Close(close::parse(payload)?),
        opcode => unreachable!("bug: {opcode:?} is no control frame"),
    };
    input.advance(frame.length);
    frame.moved = frame.length;
    Ok(Some(event))
}
