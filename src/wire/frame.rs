//! One RFC 6455 frame: its header read, and whole frames written.

use std::io::Cursor;

use bytes::Bytes;
use tungstenite::{
    Error,
    error::ProtocolError as HeaderError,
    protocol::frame::{
        FrameHeader,
        coding::{Control, Data, OpCode},
    },
};

use super::{close, close::CloseFrame, message::Kind};
use crate::error::ProtocolError;

/// Bytes that the payload of a control frame may have (RFC 6455 section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// Encodes a whole message as one unmasked, final frame, ready for any number of peers. A text must be UTF-8.
pub fn encode_message(kind: Kind, payload: &[u8]) -> Bytes {
    encode(OpCode::Data(data_opcode(kind)), payload)
}

fn data_opcode(kind: Kind) -> Data {
    match kind {
        Kind::Text => Data::Text,
        Kind::Binary => Data::Binary,
    }
}

/// Bytes that the header of an unmasked frame takes at most.
pub const HEADER_ROOM: usize = 10;

/// Encodes a whole message as [`encode_message`] does, without copying it: `buffer` holds [`HEADER_ROOM`] bytes of any
/// value and then the payload.
///
/// # Panics
/// `buffer` is shorter than [`HEADER_ROOM`].
pub fn encode_message_in_place(kind: Kind, buffer: Vec<u8>) -> Bytes {
    encode_in_place(kind, false, buffer)
}

/// As [`encode_message_in_place`], with the bit that tells of a compressed payload (RFC 7692 section 6).
pub(super) fn encode_compressed_in_place(kind: Kind, buffer: Vec<u8>) -> Bytes {
    encode_in_place(kind, true, buffer)
}

fn encode_in_place(kind: Kind, rsv1: bool, mut buffer: Vec<u8>) -> Bytes {
    let start = format_header(kind, rsv1, &mut buffer);
    Bytes::from(buffer).slice(start..)
}

/// Makes a message one unmasked, final frame where it lies: `buffer` holds [`HEADER_ROOM`] bytes of any value and then the
/// payload. Gives where the frame begins.
///
/// # Panics
/// `buffer` is shorter than [`HEADER_ROOM`].
pub fn write_header(kind: Kind, buffer: &mut [u8]) -> usize {
    format_header(kind, false, buffer)
}

fn format_header(kind: Kind, rsv1: bool, buffer: &mut [u8]) -> usize {
    let header = FrameHeader { rsv1, opcode: OpCode::Data(data_opcode(kind)), ..FrameHeader::default() };
    let length = (buffer.len() - HEADER_ROOM) as u64;
    let start = HEADER_ROOM - header.len(length);
    header.format(length, &mut &mut buffer[start..HEADER_ROOM]).expect("bug: a header fits into its room");
    start
}

/// Takes apart what [`encode_message`] made: kind and payload. `None`: it is a control frame, or its payload is compressed.
pub fn plain_message(frame: &[u8]) -> Option<(Kind, &[u8])> {
    let kind = match frame.first()? {
        0x81 => Kind::Text,
        0x82 => Kind::Binary,
        _ => return None,
    };
    let header = match frame.get(1)? {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    Some((kind, frame.get(header..)?))
}

/// Encodes a Ping; `payload` is at most 125 bytes.
///
/// # Panics
/// `payload` is longer.
pub fn encode_ping(payload: &[u8]) -> Bytes {
    encode_control(Control::Ping, payload)
}

/// Encodes a Pong; `payload` is at most 125 bytes.
///
/// # Panics
/// `payload` is longer.
pub fn encode_pong(payload: &[u8]) -> Bytes {
    encode_control(Control::Pong, payload)
}

/// Encodes a Close, without a payload for `None`. A reason of more than 123 bytes is cut at a character boundary.
///
/// # Panics
/// The code must not stand in a Close ([`close::may_be_received`]).
pub fn encode_close(frame: Option<&CloseFrame>) -> Bytes {
    let Some(CloseFrame { code, reason }) = frame else { return encode_control(Control::Close, &[]) };
    assert!(close::may_be_received(*code), "bug: a Close must not carry the code {code}");
    let mut length = reason.len().min(close::MAX_REASON_BYTES);
    while !reason.is_char_boundary(length) {
        length -= 1;
    }
    let mut payload = Vec::with_capacity(2 + length);
    payload.extend_from_slice(&code.to_be_bytes());
    payload.extend_from_slice(&reason.as_bytes()[..length]);
    encode_control(Control::Close, &payload)
}

fn encode_control(opcode: Control, payload: &[u8]) -> Bytes {
    assert!(payload.len() <= MAX_CONTROL_PAYLOAD, "bug: a control frame of {} bytes", payload.len());
    encode(OpCode::Control(opcode), payload)
}

fn encode(opcode: OpCode, payload: &[u8]) -> Bytes {
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let length = payload.len() as u64;
    let mut frame = Vec::with_capacity(header.len(length) + payload.len());
    header.format(length, &mut frame).expect("bug: a vector takes what is written to it");
    frame.extend_from_slice(payload);
    Bytes::from(frame)
}

/// What a frame of the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Message(Kind),
    Ping,
    Pong,
    Close,
}

impl Opcode {
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Ping | Self::Pong | Self::Close)
    }
}

/// The header of a masked frame that keeps every rule a frame alone can keep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    pub(super) is_final: bool,
    /// This frame begins a message that is compressed (RFC 7692 section 6).
    pub(super) is_compressed: bool,
    pub(super) mask: [u8; 4],
    /// Bytes of payload announced; not yet held against any limit but that of control frames.
    pub(super) length: u64,
    /// Bytes of the header itself.
    pub(super) size: usize,
}

impl Header {
    /// Reads the header at the front of `input`. `None`: it is not whole yet. `may_compress`: permessage-deflate was
    /// agreed on.
    ///
    /// # Errors
    /// The header breaks RFC 6455 section 5.2 or 5.5.
    #[inline]
    pub(super) fn parse(input: &[u8], may_compress: bool) -> Result<Option<Self>, ProtocolError> {
        let mut cursor = Cursor::new(input);
        let (header, length) = match FrameHeader::parse(&mut cursor) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Ok(None),
            Err(Error::Protocol(HeaderError::InvalidOpcode(opcode))) => {
                return Err(ProtocolError::ReservedOpcode { opcode });
            }
            Err(error) => unreachable!("bug: a header in memory was not read: {error}"),
        };
        refuse_reserved_bits(&header, may_compress)?;
        let Some(mask) = header.mask else { return Err(ProtocolError::UnmaskedFrame) };
        let size = header.len(length);
        // The cursor stands behind the header as it came, `size` is what it should have taken.
        if cursor.position() != size as u64 {
            return Err(ProtocolError::NonMinimalLength);
        }
        if length > i64::MAX as u64 {
            return Err(ProtocolError::LengthOutOfRange);
        }
        let opcode = opcode_of(&header);
        if opcode.is_control() && !header.is_final {
            return Err(ProtocolError::FragmentedControlFrame);
        }
        if opcode.is_control() && length > MAX_CONTROL_PAYLOAD as u64 {
            return Err(ProtocolError::ControlFrameTooBig);
        }
        let FrameHeader { is_final, rsv1: is_compressed, .. } = header;
        Ok(Some(Self { opcode, is_final, is_compressed, mask, length, size }))
    }
}

/// The only bit that an extension gives a meaning is RSV1, on the first frame of a message (RFC 7692 section 6).
fn refuse_reserved_bits(header: &FrameHeader, may_compress: bool) -> Result<(), ProtocolError> {
    let begins_message = matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
    let is_meaningless = header.rsv1 && !(may_compress && begins_message);
    if is_meaningless || header.rsv2 || header.rsv3 { Err(ProtocolError::ReservedBits) } else { Ok(()) }
}

#[inline]
fn opcode_of(header: &FrameHeader) -> Opcode {
    match header.opcode {
        OpCode::Data(Data::Continue) => Opcode::Continuation,
        OpCode::Data(Data::Text) => Opcode::Message(Kind::Text),
        OpCode::Data(Data::Binary) => Opcode::Message(Kind::Binary),
        OpCode::Control(Control::Ping) => Opcode::Ping,
        OpCode::Control(Control::Pong) => Opcode::Pong,
        OpCode::Control(Control::Close) => Opcode::Close,
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
            unreachable!("bug: a reserved opcode passed the parser")
        }
    }
}
