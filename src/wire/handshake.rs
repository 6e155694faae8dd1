//! The opening handshake (RFC 6455 section 4.2).

use http::{HeaderMap, Method, Version};

use crate::error::HandshakeError;

/// A valid request to open a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept_key: String,
    /// The subprotocols offered, in the client's order.
    pub subprotocols: Vec<String>,
    /// The values of `Sec-WebSocket-Extensions` as they came.
    pub extensions: Vec<String>,
}

impl Handshake {
    /// Reads a request's head. `Ok(None)`: a plain HTTP request (no `Upgrade: websocket`).
    ///
    /// # Errors
    /// An upgrade to `websocket` that RFC 6455 forbids; [`HandshakeError::status`] is the status to refuse it with.
    pub fn parse(
        method: &Method,
        version: Version,
        headers: &HeaderMap,
    ) -> Result<Option<Self>, HandshakeError> {
        let _ = (method, version, headers);
        todo!()
    }

    /// The head of the 101 response.
    ///
    /// # Errors
    /// `subprotocol` was not offered by the client.
    pub fn response(&self, subprotocol: Option<&str>) -> Result<http::Response<()>, HandshakeError> {
        let _ = subprotocol;
        todo!()
    }
}
