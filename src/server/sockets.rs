//! The WebSockets that the clients of a server open.

use std::sync::Arc;

use bytes::Bytes;

use super::stream::Stream;
pub(super) use crate::connection::registry::Registry;
use crate::{
    config::ConnectionConfig,
    connection::{self, Connection, Driver, registry::Registration, stats::Stats},
    wire::offer::Agreement,
};

/// Opens the WebSockets of one client's connection.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) registry: Arc<Registry>,
    pub(super) config: Arc<ConnectionConfig>,
    pub(super) peer: String,
    pub(super) stats: Arc<Stats>,
}

impl Sockets {
    pub(super) fn open(&self, agreement: Option<Agreement>) -> (Connection, Upgraded) {
        let config = Arc::clone(&self.config);
        let (connection, driver) = connection::open_agreed(config, self.peer.clone(), agreement);
        connection.count_in(&self.stats);
        let registration = self.registry.add(&connection);
        (connection, Upgraded { driver, registration })
    }
}

/// A WebSocket that waits for its socket. Dropped, it is lost.
#[derive(Debug)]
pub(super) struct Upgraded {
    driver: Driver,
    registration: Registration,
}

impl Upgraded {
    pub(super) async fn run(self, stream: Stream, early: Bytes) {
        let Self { driver, registration } = self;
        match stream {
            Stream::Plain(socket) => driver.run_socket(socket, early).await,
            Stream::Tls(stream) => {
                driver.serve(stream, early, |stream| stream.get_ref().0.socket().hold_little()).await;
            }
        }
        drop(registration);
    }
}
