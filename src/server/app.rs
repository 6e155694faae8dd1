//! What the server calls.

use std::net::SocketAddr;

/// An application the server calls for each request.
///
/// `call` runs on a tokio thread: it never blocks; it hands the exchange to a thread (see the workers module).
pub trait App: Send + Sync + 'static {
    /// Takes one exchange. Dropping it unanswered sends 500.
    fn call(&self, exchange: Exchange);
}

/// One HTTP exchange: the request, its body, the way to answer, and the upgrade if it is a handshake.
#[derive(Debug)]
pub struct Exchange {
    /// Method, target, version and header fields.
    pub head: http::request::Parts,
    /// The peer's address (`None` over a Unix socket).
    pub peer: Option<SocketAddr>,
    /// The address the request arrived at.
    pub local: Option<SocketAddr>,
    // body: RequestBody, reply: Reply, upgrade: Option<Upgrade>: the server module defines them
}
