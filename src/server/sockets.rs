//! The open WebSockets of a server, so that it can close them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::socket::Socket;
use crate::{
    config::ConnectionConfig,
    connection::{self, Connection, Driver, WeakConnection},
};

/// The open WebSockets of a server.
#[derive(Debug, Default)]
pub(super) struct Registry {
    state: Mutex<Open>,
    identities: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    /// Weak: a WebSocket that no view can reach any more closes, though it is listed here.
    connections: HashMap<u64, WeakConnection>,
    /// The Close every WebSocket gets from now on.
    closing: Option<(u16, String)>,
}

impl Registry {
    /// Sends every WebSocket, and those that open later, the Close. Only the first call counts.
    pub(super) fn close(&self, code: u16, reason: &str) {
        let mut open = self.state.lock();
        if open.closing.is_some() {
            return;
        }
        open.closing = Some((code, reason.to_owned()));
        let connections: Vec<Connection> =
            open.connections.values().filter_map(WeakConnection::upgrade).collect();
        drop(open);
        for connection in connections {
            connection.close(code, reason);
        }
    }

    fn add(self: &Arc<Self>, connection: &Connection) -> Registration {
        let identity = self.identities.fetch_add(1, Ordering::Relaxed);
        let mut open = self.state.lock();
        let closing = open.closing.clone();
        open.connections.insert(identity, connection.downgrade());
        drop(open);
        if let Some((code, reason)) = closing {
            connection.close(code, &reason);
        }
        Registration { registry: Arc::clone(self), identity }
    }
}

/// Takes a WebSocket off the registry when it is dropped.
#[derive(Debug)]
struct Registration {
    registry: Arc<Registry>,
    identity: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.state.lock().connections.remove(&self.identity);
    }
}

/// Opens the WebSockets of one client's connection.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) registry: Arc<Registry>,
    pub(super) config: Arc<ConnectionConfig>,
    pub(super) peer: String,
}

impl Sockets {
    pub(super) fn open(&self) -> (Connection, Upgraded) {
        let (connection, driver) = connection::open(Arc::clone(&self.config), self.peer.clone());
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
    pub(super) async fn run(self, socket: Socket, early: Bytes) {
        let Self { driver, registration } = self;
        driver.run(socket, early).await;
        drop(registration);
    }
}
