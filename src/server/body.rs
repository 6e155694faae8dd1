//! The body of a request, as the thread of a view reads it.

use bytes::Bytes;

/// Why a request's body cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The client went away before the end of the body.
    #[error("the client went away before the end of the request's body")]
    ClientGone,
    /// No piece arrived for the body timeout.
    #[error("the request's body did not arrive in time")]
    TimedOut,
    /// The chunked coding is malformed.
    #[error("the request's body is malformed")]
    Invalid,
}

/// The body of one request.
#[derive(Debug)]
pub struct RequestBody {}

impl RequestBody {
    /// Takes the next piece; `None` at the end. Blocks the calling thread.
    ///
    /// # Errors
    /// The client went away, was silent too long or sent a malformed body; every further call gives the same error.
    pub fn read(&mut self) -> Result<Option<Bytes>, BodyError> {
        todo!()
    }

    /// Whether the request has no body, or all of it has been read.
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}
