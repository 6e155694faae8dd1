//! The state machine of the receiving side: bytes in, events out.

use bytes::{Bytes, BytesMut};

use super::{close::CloseFrame, message::Message};
use crate::error::ProtocolError;

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
#[derive(Debug)]
pub struct Protocol {}

impl Protocol {
    /// A new connection, right after the handshake.
    pub fn new(max_message_bytes: usize) -> Self {
        let _ = max_message_bytes;
        todo!()
    }

    /// Takes the next event out of `input`, from whose front the bytes used are removed.
    /// `Ok(None)`: more bytes are needed. Call again until then. After an error or a Close, do not call again.
    ///
    /// # Errors
    /// What RFC 6455 forbids; [`ProtocolError::close_code`] is the code to close with.
    pub fn receive(&mut self, input: &mut BytesMut) -> Result<Option<Event>, ProtocolError> {
        let _ = input;
        todo!()
    }

    /// How many bytes are at least missing for the frame that has begun to arrive (0: unknown or none).
    /// A caller may use it to size its next read; it never exceeds the message limit.
    pub fn missing_bytes(&self, input: &BytesMut) -> usize {
        let _ = input;
        todo!()
    }
}
