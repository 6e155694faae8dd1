//! One RFC 6455 frame.

use bytes::Bytes;

use super::{close::CloseFrame, message::Kind};

/// Encodes a whole message as one unmasked, final frame, ready for any number of peers.
pub fn encode_message(kind: Kind, payload: &[u8]) -> Bytes {
    let _ = (kind, payload);
    todo!()
}

/// Encodes a Ping; `payload` is at most 125 bytes.
pub fn encode_ping(payload: &[u8]) -> Bytes {
    let _ = payload;
    todo!()
}

/// Encodes a Pong; `payload` is at most 125 bytes.
pub fn encode_pong(payload: &[u8]) -> Bytes {
    let _ = payload;
    todo!()
}

/// Encodes a Close, without a payload for `None`. A reason of more than 123 bytes is cut at a character boundary.
pub fn encode_close(frame: Option<&CloseFrame>) -> Bytes {
    let _ = frame;
    todo!()
}
