//! Close codes and the payload of a Close frame.

/// The payload of a Close frame that carries a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code, 1000 to 4999.
    pub code: u16,
    /// The reason, at most 123 bytes of UTF-8.
    pub reason: String,
}

// STUB: constants (NORMAL = 1000 …), may_be_sent(code), may_be_received(code), parse(&[u8]) -> Result<Option<CloseFrame>, ProtocolError>
