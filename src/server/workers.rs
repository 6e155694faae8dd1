//! The threads that run views, and the places they take. Threads come to this module; it starts none.

use std::sync::Arc;

use super::app::{App, Exchange};
use crate::config::ServerConfig;

/// An [`App`] that hands each exchange to a thread waiting in [`Workers::take`].
#[derive(Debug)]
pub struct Workers {}

impl Workers {
    /// Makes it, with no thread yet; the caller starts the first one, every further one is asked for by [`Job::spawn`].
    pub fn new(config: &ServerConfig) -> Arc<Self> {
        let _ = config;
        todo!()
    }

    /// Waits for work. `None`: idle longer than `thread_linger` while another thread waits too, or stopping; the
    /// calling thread ends then. Between two calls the thread runs the job it got and drops its [`Slot`].
    pub fn take(&self) -> Option<Job> {
        todo!()
    }

    /// The thread [`Job::spawn`] asked for could not be started. The caller answers its exchange (503 does) and takes
    /// again, because no other thread may be waiting.
    pub fn spawn_failed(&self) {
        todo!()
    }

    /// Answers what waits with 503 and sends every idle thread away. What runs goes on. Never blocks.
    pub fn stop(&self) {
        todo!()
    }

    /// How many threads and places are in use.
    pub fn counts(&self) -> ThreadCounts {
        todo!()
    }
}

impl App for Workers {
    fn call(&self, exchange: Exchange) {
        let _ = exchange;
        todo!()
    }
}

/// How many threads and places are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadCounts {
    /// Threads that wait for work.
    pub idle: usize,
    /// Threads asked for that have not come yet.
    pub starting: usize,
    /// HTTP requests that run.
    pub http: usize,
    /// HTTP requests that wait for a place or a thread.
    pub http_waiting: usize,
    /// Handshakes that run and are not accepted yet.
    pub handshakes: usize,
    /// Handshakes that wait for a place or a thread.
    pub handshakes_waiting: usize,
    /// WebSocket places taken: open sockets, and handshakes that run or wait.
    pub websockets: usize,
}

/// One exchange for one thread.
#[derive(Debug)]
pub struct Job {
    /// What to do.
    pub exchange: Exchange,
    /// The place it takes; dropped when the thread is done with the exchange and everything that follows from it.
    pub slot: Slot,
    /// The taker must start one more thread before it runs the exchange: nobody waits for the next one.
    pub spawn: bool,
}

/// A place taken by a running exchange; dropping it frees the place. The thread that drops it takes again at once.
#[derive(Debug)]
pub struct Slot {}

impl Slot {
    /// The handshake was accepted: frees the handshake place and keeps the WebSocket place. Only the first call counts;
    /// on an HTTP place it does nothing.
    pub fn opened(&self) {
        todo!()
    }
}
