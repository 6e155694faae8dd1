//! Open WebSockets, so that they can be closed together.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::{Condvar, Mutex};

use super::{Connection, WeakConnection};

/// The open WebSockets of a server.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    state: Mutex<Open>,
    identities: AtomicU64,
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    /// Weak: a WebSocket that no view can reach any more closes, though it is listed here.
    connections: HashMap<u64, WeakConnection>,
    /// The Close every WebSocket gets from now on.
    closing: Option<(u16, String)>,
}

impl Registry {
    /// Sends every WebSocket, and those that open later, the Close. Only the code and reason of the first call, or of
    /// [`Registry::begin_close`], count.
    pub(crate) fn close(&self, code: u16, reason: &str) {
        let mut open = self.state.lock();
        let (code, reason) = open.closing.get_or_insert_with(|| (code, reason.to_owned())).clone();
        let connections: Vec<Connection> =
            open.connections.values().filter_map(WeakConnection::upgrade).collect();
        drop(open);
        for connection in connections {
            connection.close(code, &reason);
        }
    }

    /// Sends every WebSocket that opens from now on the Close, and gives those that are open for the caller to close.
    /// None of them when a close has begun before.
    pub(crate) fn begin_close(&self, code: u16, reason: &str) -> Vec<WeakConnection> {
        let mut open = self.state.lock();
        if open.closing.is_some() {
            return Vec::new();
        }
        open.closing = Some((code, reason.to_owned()));
        open.connections.values().cloned().collect()
    }

    /// Lists a WebSocket until what is given back is dropped.
    pub(crate) fn add(self: &Arc<Self>, connection: &Connection) -> Registration {
        // No count reaches this bound.
        self.add_within(usize::MAX, connection).expect("bug: a list without a bound is full")
    }

    /// As [`Registry::add`], unless `limit` WebSockets are listed already: then None.
    pub(crate) fn add_within(
        self: &Arc<Self>,
        limit: usize,
        connection: &Connection,
    ) -> Option<Registration> {
        let identity = self.identities.fetch_add(1, Ordering::Relaxed);
        let mut open = self.state.lock();
        if open.connections.len() >= limit {
            return None;
        }
        let closing = open.closing.clone();
        open.connections.insert(identity, connection.downgrade());
        drop(open);
        if let Some((code, reason)) = closing {
            connection.close(code, &reason);
        }
        Some(Registration { registry: Arc::clone(self), identity })
    }

    /// How many are listed.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().connections.len()
    }

    /// Waits until none is listed. False: `deadline` has passed. Blocks the calling thread.
    pub(crate) fn wait_until_empty(&self, deadline: Instant) -> bool {
        let mut open = self.state.lock();
        self.emptied.wait_while_until(&mut open, |open| !open.connections.is_empty(), deadline);
        open.connections.is_empty()
    }
}

/// Takes a WebSocket off the registry when it is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<Registry>,
    identity: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut open = self.registry.state.lock();
        open.connections.remove(&self.identity);
        let emptied = open.connections.is_empty();
        drop(open);
        if emptied {
            self.registry.emptied.notify_all();
        }
    }
}
