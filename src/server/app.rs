//! What the server calls.

use std::net::SocketAddr;

use super::{body::RequestBody, reply::Reply};
use crate::wire::handshake::Handshake;

/// An application the server calls for each request.
///
/// `call` runs on a tokio thread: it never blocks; it hands the exchange to a thread (see [`super::Workers`]).
pub trait App: Send + Sync + 'static {
    /// Takes one exchange. Dropping it unanswered sends 500.
    fn call(&self, exchange: Exchange);
}

/// One HTTP exchange: the request, its body, the way to answer, and the handshake if it is one.
#[derive(Debug)]
pub struct Exchange {
    /// Method, target, version and header fields.
    pub head: http::request::Parts,
    /// The peer's address (`None` over a Unix socket).
    pub peer: Option<SocketAddr>,
    /// The address the request arrived at (`None` over a Unix socket).
    pub local: Option<SocketAddr>,
    /// The request's body, read when the application asks for it.
    pub body: RequestBody,
    /// The way to answer.
    pub reply: Reply,
    /// Some for a valid WebSocket opening handshake. Invalid ones never reach the application.
    pub handshake: Option<Handshake>,
}
