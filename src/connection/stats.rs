//! What the WebSockets of a process have done, in sums.
//!
//! A message is counted in the tally of its connection, by atomics for which nobody waits. The lock here is taken where a
//! connection opens, where it ends, where the last who could count on it lets go, and where somebody asks: never on the
//! way of a message.

use std::{
    collections::{BTreeMap, HashMap},
    process,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    handle::Counts,
    shared::{Shared, Tally},
};

/// Close codes that are told apart. Peers choose among thousands, and each one would be a row in somebody's monitoring.
const MOST_CODES: usize = 64;

/// What stands for the codes beyond that.
const FURTHER_CODES: u16 = 0;

/// Why a request, a handshake or a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A connection did not begin as it has to, such as with TLS.
    Preface,
    /// A connection got 503: there are as many as there may be.
    ConnectionsFull,
    /// A connection got 503: there are as many of its address as there may be.
    AddressFull,
    /// A handshake got 503: there are as many WebSockets as there may be.
    WebSocketsFull,
    /// An HTTP request got 503: every thread is busy and the queue is full.
    HttpBusy,
    /// A request or handshake got 503: the server is about to stop.
    Stopping,
    /// A request got 414: its request line is too long.
    RequestLineTooLong,
    /// A request got 431: its header section has too many bytes.
    HeaderTooLarge,
    /// A request got 431: its header section has too many fields.
    TooManyHeaders,
    /// A request got 408: its header section did not end in time.
    HeaderTimedOut,
    /// A request got 413: its body is too large.
    BodyTooLarge,
    /// A request is none that HTTP allows, or a handshake none that RFC 6455 allows.
    BadRequest,
    /// A handshake got 403: it came from the page of another site.
    Origin,
    /// A handshake got 400: the view takes no WebSockets.
    NotForView,
    /// A handshake got 501: the server hides its socket.
    UnsupportedServer,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::Preface,
        Self::ConnectionsFull,
        Self::AddressFull,
        Self::WebSocketsFull,
        Self::HttpBusy,
        Self::Stopping,
        Self::RequestLineTooLong,
        Self::HeaderTooLarge,
        Self::TooManyHeaders,
        Self::HeaderTimedOut,
        Self::BodyTooLarge,
        Self::BadRequest,
        Self::Origin,
        Self::NotForView,
        Self::UnsupportedServer,
    ];

    /// Its name for those who read figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preface => "preface",
            Self::ConnectionsFull => "connections_full",
            Self::AddressFull => "address_full",
            Self::WebSocketsFull => "websockets_full",
            Self::HttpBusy => "http_busy",
            Self::Stopping => "stopping",
            Self::RequestLineTooLong => "request_line_too_long",
            Self::HeaderTooLarge => "header_too_large",
            Self::TooManyHeaders => "too_many_headers",
            Self::HeaderTimedOut => "header_timed_out",
            Self::BodyTooLarge => "body_too_large",
            Self::BadRequest => "bad_request",
            Self::Origin => "origin",
            Self::NotForView => "not_for_view",
            Self::UnsupportedServer => "unsupported_server",
        }
    }
}

/// Sums over all WebSockets of a process, open and ended, and what was refused.
#[derive(Debug)]
pub struct Stats {
    /// The process that made it. In a forked child the lock may be held by a thread that is not there.
    process: u32,
    sockets: Mutex<Sockets>,
    refused: [AtomicU64; Refusal::ALL.len()],
    accept_failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Sockets {
    /// Those on which somebody may still count: the driver, or who holds a [`super::Connection`] of it.
    listed: HashMap<u64, Listed>,
    opened: u64,
    closed: BTreeMap<u16, u64>,
    /// Over all that are listed no more.
    ended: Sums,
}

#[derive(Debug)]
struct Listed {
    /// Strong, so that it can be read until the moment it is added to `ended`: no sum ever goes back.
    tally: Arc<Tally>,
    shared: Weak<Shared>,
    since: Instant,
    open: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    counts: Counts,
    slow_clients: u64,
}

impl Sums {
    fn add(&mut self, tally: &Tally) {
        self.counts += tally.counts();
        self.slow_clients += u64::from(tally.was_too_slow());
    }
}

/// Where a connection is counted.
#[derive(Debug)]
pub(super) struct Listing {
    stats: Arc<Stats>,
    identity: u64,
}

impl Listing {
    pub(super) fn identity(&self) -> u64 {
        self.identity
    }

    /// The driver is about to let go of the socket.
    pub(super) fn closed(&self, code: u16) {
        self.stats.change(|sockets| {
            let told_apart = sockets.closed.len() < MOST_CODES || sockets.closed.contains_key(&code);
            *sockets.closed.entry(if told_apart { code } else { FURTHER_CODES }).or_default() += 1;
            if let Some(listed) = sockets.listed.get_mut(&self.identity) {
                listed.open = false;
            }
        });
    }

    /// Nobody can count on the connection any more.
    pub(super) fn forgotten(&self) {
        self.stats.change(|sockets| {
            if let Some(listed) = sockets.listed.remove(&self.identity) {
                sockets.ended.add(&listed.tally);
            }
        });
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            process: process::id(),
            sockets: Mutex::default(),
            refused: Default::default(),
            accept_failures: AtomicU64::new(0),
        }
    }
}

impl Stats {
    /// Counts a connection as opened, and from now on what it does.
    pub(super) fn opened(self: &Arc<Self>, shared: &Arc<Shared>) {
        self.change(|sockets| {
            let identity = sockets.opened + 1;
            if shared.count_in(Listing { stats: Arc::clone(self), identity }) {
                sockets.opened = identity;
                let (tally, since) = (Arc::clone(&shared.tally), Instant::now());
                let listed = Listed { tally, shared: Arc::downgrade(shared), since, open: true };
                sockets.listed.insert(identity, listed);
            }
        });
    }

    /// Counts a refusal.
    pub fn refused(&self, reason: Refusal) {
        self.refused[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that could not be accepted.
    pub fn accept_failed(&self) {
        self.accept_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The sums. What is counted between two calls is in the second answer, and nothing of the first is missing there.
    pub fn figures(&self) -> Figures {
        let mut figures = Figures {
            refused: Refusal::ALL
                .map(|reason| (reason, self.refused[reason as usize].load(Ordering::Relaxed))),
            accept_failures: self.accept_failures.load(Ordering::Relaxed),
            ..Figures::default()
        };
        let mut open = Vec::new();
        self.change(|sockets| {
            let mut sums = sockets.ended;
            for listed in sockets.listed.values() {
                sums.add(&listed.tally);
                if listed.open {
                    open.extend(listed.shared.upgrade());
                }
            }
            figures.opened = sockets.opened;
            figures.closed.clone_from(&sockets.closed);
            figures.counts = sums.counts;
            figures.slow_clients = sums.slow_clients;
        });
        figures.open = figures.opened - figures.closed.values().sum::<u64>();
        // The queues have locks of their own.
        for shared in open {
            figures.inbox_messages += shared.inbox.len() as u64;
            figures.inbox_bytes += shared.inbox.weight() as u64;
            figures.outbox_bytes += shared.outbox.weight() as u64;
        }
        figures
    }

    /// The open connections, oldest first.
    pub fn sockets(&self) -> Vec<OpenSocket> {
        let mut open = Vec::new();
        self.change(|sockets| {
            let listed = sockets.listed.iter().filter(|(_, listed)| listed.open);
            open.extend(listed.filter_map(|(identity, listed)| {
                listed.shared.upgrade().map(|shared| (*identity, listed.since, shared))
            }));
        });
        open.sort_unstable_by_key(|(identity, ..)| *identity);
        open.iter().map(|(identity, since, shared)| OpenSocket::new(*identity, *since, shared)).collect()
    }

    /// Does nothing in a forked child. Nothing that was shared may be dropped under the lock: it could be the last of its
    /// kind, which comes here as well.
    fn change(&self, change: impl FnOnce(&mut Sockets)) {
        if self.process == process::id() {
            change(&mut self.sockets.lock());
        }
    }
}

/// What [`Stats::figures`] tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// WebSockets whose socket has not been let go.
    pub open: u64,
    /// WebSockets opened so far.
    pub opened: u64,
    /// WebSockets that have ended, by close code; under 0 those with further codes, once 64 different ones were seen.
    pub closed: BTreeMap<u16, u64>,
    /// Messages and bytes so far.
    pub counts: Counts,
    /// Clients closed with 1013 because they read too slowly.
    pub slow_clients: u64,
    /// Messages that wait for views now.
    pub inbox_messages: u64,
    /// Bytes that wait for views now.
    pub inbox_bytes: u64,
    /// Bytes that wait for clients now.
    pub outbox_bytes: u64,
    /// Refusals so far, by reason; every reason is there.
    pub refused: [(Refusal, u64); Refusal::ALL.len()],
    /// How often a connection could not be accepted.
    pub accept_failures: u64,
}

impl Default for Refusal {
    /// The first of [`Refusal::ALL`].
    fn default() -> Self {
        Self::ConnectionsFull
    }
}

/// An open WebSocket in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSocket {
    /// Tells it from every other one of the process.
    pub identity: u64,
    /// The peer's address.
    pub peer: String,
    /// How long it has been open.
    pub age: Duration,
    /// Messages and bytes so far.
    pub counts: Counts,
    /// Messages that wait for the view.
    pub inbox_messages: usize,
    /// Their bytes.
    pub inbox_bytes: usize,
    /// Frames that wait for the peer.
    pub outbox_messages: usize,
    /// Their bytes.
    pub outbox_bytes: usize,
    /// The code it is about to close with.
    pub closing: Option<u16>,
}

impl OpenSocket {
    fn new(identity: u64, since: Instant, shared: &Shared) -> Self {
        Self {
            identity,
            peer: shared.peer.clone(),
            age: since.elapsed(),
            counts: shared.tally.counts(),
            inbox_messages: shared.inbox.len(),
            inbox_bytes: shared.inbox.weight(),
            outbox_messages: shared.outbox.len(),
            outbox_bytes: shared.outbox.weight(),
            closing: shared.reason().map(|reason| reason.code),
        }
    }
}
