//! The counts behind the workers: what runs, what waits and who is idle. No thread and no lock of its own.

use std::collections::VecDeque;

use super::{app::Exchange, workers::ThreadCounts};

/// What a running exchange counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http,
    Handshake,
    WebSocket,
}

#[derive(Debug)]
pub(super) struct Limits {
    pub(super) http_threads: usize,
    pub(super) http_waiting: usize,
    pub(super) handshake_threads: usize,
    pub(super) websockets: usize,
}

#[derive(Debug)]
pub(super) struct Places<Seat> {
    /// Threads that wait, the most recent last.
    pub(super) idle: Vec<Seat>,
    /// Threads asked for that have not come yet: at most one.
    pub(super) starting: usize,
    /// A thread that waited was woken for an exchange and has not begun it.
    pub(super) coming: bool,
    pub(super) stopping: bool,
    limits: Limits,
    http: usize,
    handshakes: usize,
    /// Open WebSockets and handshakes, running or waiting: a handshake has its place from the moment it arrives, which
    /// bounds the queue of handshakes.
    websockets: usize,
    waiting_http: VecDeque<Box<Exchange>>,
    waiting_handshakes: VecDeque<Box<Exchange>>,
    /// How many were refused since the start.
    refused: u64,
}

impl<Seat> Places<Seat> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            idle: Vec::new(),
            starting: 0,
            coming: false,
            stopping: false,
            limits,
            http: 0,
            handshakes: 0,
            websockets: 0,
            waiting_http: VecDeque::new(),
            waiting_handshakes: VecDeque::new(),
            refused: 0,
        }
    }

    /// Queues an exchange, or gives it back if there is no place left for its kind.
    pub(super) fn admit(&mut self, exchange: Box<Exchange>) -> Result<(), Box<Exchange>> {
        let is_handshake = exchange.handshake.is_some();
        let full = if is_handshake {
            self.websockets >= self.limits.websockets
        } else {
            let most = self.limits.http_threads.saturating_add(self.limits.http_waiting);
            self.http + self.waiting_http.len() >= most
        };
        if full || self.stopping {
            self.refused += 1;
            return Err(exchange);
        }
        if is_handshake {
            self.websockets += 1;
            self.waiting_handshakes.push_back(exchange);
        } else {
            self.waiting_http.push_back(exchange);
        }
        Ok(())
    }

    /// Takes the next exchange that has a place to run in, and the place with it. HTTP goes first: it never waits
    /// behind sockets, and its own places bound how long a handshake waits for it.
    pub(super) fn next(&mut self) -> Option<(Box<Exchange>, Kind)> {
        if self.http < self.limits.http_threads
            && let Some(exchange) = self.waiting_http.pop_front()
        {
            self.http += 1;
            return Some((exchange, Kind::Http));
        }
        if self.handshakes < self.limits.handshake_threads
            && let Some(exchange) = self.waiting_handshakes.pop_front()
        {
            self.handshakes += 1;
            return Some((exchange, Kind::Handshake));
        }
        None
    }

    /// Whether one more thread must be started, which then counts as starting: nobody waits or is on the way, and
    /// something could start before a running thread comes back. A free HTTP place or WebSocket place is such a chance;
    /// so is a waiting handshake, since an accepted one frees its place without giving its thread back.
    pub(super) fn wants_thread(&mut self) -> bool {
        let chance = self.http < self.limits.http_threads
            || self.websockets < self.limits.websockets
            || !self.waiting_handshakes.is_empty();
        let wanted = chance && self.idle.is_empty() && self.starting == 0 && !self.stopping;
        if wanted {
            self.starting = 1;
        }
        wanted
    }

    /// A thread that was starting is there (or will not come).
    pub(super) fn arrived(&mut self) {
        // The first thread of all comes unasked.
        self.starting = self.starting.saturating_sub(1);
    }

    pub(super) fn http_ended(&mut self) {
        self.http -= 1;
    }

    /// A handshake place is free again, because the handshake was accepted or is over.
    pub(super) fn handshake_ended(&mut self) {
        self.handshakes -= 1;
    }

    pub(super) fn websocket_ended(&mut self) {
        self.websockets -= 1;
    }

    /// Admits nothing from now on; gives what waits and who waits.
    pub(super) fn stop(&mut self) -> (Vec<Exchange>, Vec<Seat>) {
        self.stopping = true;
        self.websockets -= self.waiting_handshakes.len();
        let waiting = self.waiting_http.drain(..).chain(self.waiting_handshakes.drain(..));
        let waiting: Vec<_> = waiting.map(|exchange| *exchange).collect();
        self.refused += waiting.len() as u64;
        (waiting, std::mem::take(&mut self.idle))
    }

    pub(super) fn counts(&self) -> ThreadCounts {
        ThreadCounts {
            idle: self.idle.len(),
            starting: self.starting,
            http: self.http,
            http_waiting: self.waiting_http.len(),
            handshakes: self.handshakes,
            handshakes_waiting: self.waiting_handshakes.len(),
            websockets: self.websockets,
            refused: self.refused,
        }
    }
}
