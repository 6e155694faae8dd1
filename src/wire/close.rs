//! Close codes and the payload of a Close frame (RFC 6455 section 7.4 and the IANA registry).

use crate::error::ProtocolError;

/// The purpose of the connection has been fulfilled.
pub const NORMAL: u16 = 1000;
/// The server stops, or the browser leaves the page.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke a rule of the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The peer sent a kind of data that is not accepted.
pub const UNSUPPORTED_DATA: u16 = 1003;
/// The peer's Close had no code; never sent.
pub const NO_STATUS: u16 = 1005;
/// The connection was lost without a Close; never sent.
pub const ABNORMAL: u16 = 1006;
/// The data does not fit its kind, for instance text that is not UTF-8.
pub const INVALID_DATA: u16 = 1007;
/// The peer broke a rule of the application.
pub const POLICY_VIOLATION: u16 = 1008;
/// The message is larger than the limit.
pub const MESSAGE_TOO_BIG: u16 = 1009;
/// The server did not agree to an extension the client needs; only a client sends it.
pub const MANDATORY_EXTENSION: u16 = 1010;
/// Something unexpected happened in the server, for instance an exception in a view.
pub const INTERNAL_ERROR: u16 = 1011;
/// The server restarts; the client may come again.
pub const SERVICE_RESTART: u16 = 1012;
/// The server has too much to do, or the client is too slow.
pub const TRY_AGAIN_LATER: u16 = 1013;
/// A gateway got no valid answer from the server behind it.
pub const BAD_GATEWAY: u16 = 1014;
/// The TLS handshake failed; never sent.
pub const TLS_HANDSHAKE: u16 = 1015;

/// Bytes that a reason may have: the payload of a control frame without the two of the code.
pub const MAX_REASON_BYTES: usize = 123;

/// The payload of a Close frame that carries a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code, 1000 to 4999.
    pub code: u16,
    /// The reason, at most 123 bytes of UTF-8.
    pub reason: String,
}

/// Whether this side may choose `code` for a Close: a registered code that is meant for servers, or one of those
/// that libraries and applications define (3000 to 4999).
pub fn may_be_sent(code: u16) -> bool {
    may_be_received(code) && code != MANDATORY_EXTENSION
}

/// Whether a peer may put `code` into a Close; such a code may also be sent back to it.
pub fn may_be_received(code: u16) -> bool {
    matches!(code, NORMAL..=UNSUPPORTED_DATA | INVALID_DATA..=BAD_GATEWAY | 3000..=4999)
}

/// Reads the payload of a Close frame. `None`: it is empty, so the peer gave no code.
///
/// # Errors
/// Half a code, a code that nobody may send, or a reason that is not UTF-8.
pub fn parse(payload: &[u8]) -> Result<Option<CloseFrame>, ProtocolError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(ProtocolError::IncompleteCloseCode) };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_received(code) {
        return Err(ProtocolError::InvalidCloseCode { code });
    }
    let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
    Ok(Some(CloseFrame { code, reason: reason.to_owned() }))
}

impl ProtocolError {
    /// The code to close the connection with.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::MessageTooBig { .. } => MESSAGE_TOO_BIG,
            Self::InvalidUtf8 | Self::InvalidDeflate => INVALID_DATA,
            _ => PROTOCOL_ERROR,
        }
    }
}
