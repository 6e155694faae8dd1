//! The one task of a connection.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

/// Serves one socket. Dropped without being run, its connection is lost (1006).
#[derive(Debug)]
pub struct Driver {}

impl Driver {
    /// Reads, writes, pings and closes until the connection has ended and the socket is shut down.
    /// `early` is what the client sent right behind its handshake.
    pub async fn run<S>(self, socket: S, early: Bytes)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let _ = (socket, early);
        todo!()
    }
}
