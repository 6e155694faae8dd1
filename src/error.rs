//! What can go wrong below Python.

/// A frame or message of the peer that RFC 6455 forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A client must mask every frame (section 5.1).
    #[error("unmasked frame from the client")]
    UnmaskedFrame,
    /// A message, or the frame that announces it, exceeds the limit.
    #[error("message of more than {limit} bytes")]
    MessageTooBig {
        /// The limit that was exceeded, in bytes.
        limit: usize,
    },
    /// A text message or close reason is not UTF-8 (section 8.1).
    #[error("text that is not UTF-8")]
    InvalidUtf8,
    // The wire module adds the rest.
}

/// A handshake that cannot become a WebSocket; each is answered with an HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// `Sec-WebSocket-Version` is missing or not 13: 426 with the version that works.
    #[error("Sec-WebSocket-Version must be 13")]
    UnsupportedVersion,
    // The wire module adds the rest.
}

/// Why nothing was received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The time given ran out.
    #[error("no message arrived in time")]
    TimedOut,
    /// The connection is closed or lost, and no message is left.
    #[error("the WebSocket is closed ({0})")]
    Closed(CloseReason),
}

/// Why a message was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The outbox stayed full for the send timeout, or another sender found it full; the connection closes with 1013.
    #[error("the client reads too slowly")]
    SlowClient,
    /// The connection is closed, closing or lost.
    #[error("the WebSocket is closed ({0})")]
    Closed(CloseReason),
}

/// How a connection ended (RFC 6455 section 7.1.5 and 7.1.6) and who ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// The close code; 1005 when the peer's Close had none, 1006 when there was no Close.
    pub code: u16,
    /// The reason given with the code.
    pub reason: String,
    /// Who ended it.
    pub by: ClosedBy,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// The peer sent a Close.
    Peer,
    /// This side sent a Close first.
    Us,
    /// End of file, reset or an unanswered Ping: no Close was seen.
    Lost,
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(formatter, " {}", self.reason) }
    }
}
