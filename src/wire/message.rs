//! A whole message.

use bytes::Bytes;

/// What a message is made of (RFC 6455 section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text, already checked.
    Text,
    /// Any bytes.
    Binary,
}

/// A whole text or binary message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Text or binary.
    pub kind: Kind,
    /// The payload, unmasked and whole.
    pub payload: Bytes,
}
