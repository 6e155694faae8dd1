//! HTTP/1.1 on hyper and tokio, and the threads that run views.

mod app;
mod body;
mod listener;
mod reply;
mod workers;

use std::{io, sync::Arc, time::Duration};

pub use self::{
    app::{App, Exchange},
    body::{BodyError, RequestBody},
    listener::Listener,
    reply::{BodyWriter, ClientGone, Reply, WriteError},
    workers::{Job, Slot, ThreadCounts, Workers},
};
use crate::config::ServerConfig;

/// A running server. Dropping it stops accepting; connections go on.
#[derive(Debug)]
pub struct Server {}

impl Server {
    /// Serves the listening sockets on the runtime.
    ///
    /// # Errors
    /// A socket cannot be made non-blocking or registered with the runtime.
    pub fn start(
        runtime: &tokio::runtime::Handle,
        listeners: Vec<Listener>,
        app: Arc<dyn App>,
        config: Arc<ServerConfig>,
    ) -> io::Result<Self> {
        let _ = (runtime, listeners, app, config);
        todo!()
    }

    /// Closes the listening sockets. Connections go on. Never blocks.
    pub fn stop_accepting(&self) {
        todo!()
    }

    /// Sends every WebSocket, those that open later too, the Close; ends idle HTTP connections at once and the others
    /// after the response they are at. Never blocks; only the first call's code and reason count.
    pub fn close_connections(&self, code: u16, reason: &str) {
        let _ = (code, reason);
        todo!()
    }

    /// Waits until every connection has ended and, after [`Server::stop_accepting`], the listening sockets are closed.
    /// False: the time ran out. Blocks the calling thread, which must not be a tokio thread.
    pub fn wait(&self, timeout: Duration) -> bool {
        let _ = timeout;
        todo!()
    }

    /// Open connections, HTTP and WebSocket.
    pub fn connections(&self) -> usize {
        todo!()
    }
}
