//! The way an application answers a request.

use bytes::Bytes;

use crate::connection::Connection;

/// The client went away before the response began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client went away before the response began")]
pub struct ClientGone;

/// Why a piece of a response was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The client went away.
    #[error("the client went away before the end of the response")]
    ClientGone,
    /// The client took nothing for the write timeout.
    #[error("the client did not take the response in time")]
    TimedOut,
}

/// The way to answer one request, once. Dropped unanswered, it sends 500.
#[derive(Debug)]
pub struct Reply {}

impl Reply {
    /// Answers with a whole response. Never blocks.
    ///
    /// # Errors
    /// The client went away.
    pub fn send(self, head: http::Response<()>, body: Bytes) -> Result<(), ClientGone> {
        let _ = (head, body);
        todo!()
    }

    /// Begins a response whose body is written piece by piece. Never blocks.
    ///
    /// # Errors
    /// The client went away.
    pub fn start(self, head: http::Response<()>) -> Result<BodyWriter, ClientGone> {
        let _ = head;
        todo!()
    }

    /// Answers a handshake with 101 and opens the WebSocket. Never blocks. If the client went away, the connection
    /// is lost from the start.
    pub fn upgrade(self, head: http::Response<()>) -> Connection {
        let _ = head;
        todo!()
    }
}

/// The body of a response that has begun. Dropped before [`BodyWriter::finish`], it cuts the response off visibly:
/// the connection closes.
#[derive(Debug)]
pub struct BodyWriter {}

impl BodyWriter {
    /// Queues one piece, which is sent at once; waits for room. An empty piece does nothing.
    ///
    /// # Errors
    /// The client went away or takes nothing.
    pub fn write(&mut self, piece: Bytes) -> Result<(), WriteError> {
        let _ = piece;
        todo!()
    }

    /// Ends the response. Does not wait until the client has taken it.
    ///
    /// # Errors
    /// The client went away.
    pub fn finish(self) -> Result<(), WriteError> {
        todo!()
    }
}
