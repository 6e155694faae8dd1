//! What an operator should know and no view can tell: refusals below the application.
//!
//! They are counted here, by tasks that may not touch Python, and told by a thread of Python. However often a client brings
//! one about, the log gets one line of its kind in five seconds.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::connection::stats::{Refusal, Stats};

/// What repeats itself is told of after so much time, with its count.
const PAUSE: Duration = Duration::from_secs(5);

/// What is kept of the detail of a notice: a client chooses its length.
const DETAIL_BYTES: usize = 200;

/// Something that happened in the server and that a setting changes, or that a client has to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An HTTP request got 503: every thread is busy and the queue is full.
    HttpBusy,
    /// A handshake got 503: there are as many WebSockets as there may be.
    WebSocketsFull,
    /// A connection got 503: there are as many as there may be.
    ConnectionsFull,
    /// A connection got 503: there are as many of its address as there may be.
    AddressFull,
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
    /// A request got another 4xx or 501: it is none that this server takes.
    BadRequest,
    /// A connection was given up before its first request: it did not begin as it has to, such as with TLS.
    Preface,
    /// A connection was given up before its first request: what it has to begin with did not end in time.
    PrefaceTimedOut,
    /// A connection could not be accepted for want of descriptors or memory.
    AcceptFailed,
    /// The server made a mistake that ended what was at hand, such as a connection.
    Panicked,
}

impl Notice {
    /// What it counts as in the sums of the process, if it is a refusal.
    fn refusal(self) -> Option<Refusal> {
        Some(match self {
            Self::HttpBusy => Refusal::HttpBusy,
            Self::WebSocketsFull => Refusal::WebSocketsFull,
            Self::ConnectionsFull => Refusal::ConnectionsFull,
            Self::AddressFull => Refusal::AddressFull,
            Self::RequestLineTooLong => Refusal::RequestLineTooLong,
            Self::HeaderTooLarge => Refusal::HeaderTooLarge,
            Self::TooManyHeaders => Refusal::TooManyHeaders,
            Self::HeaderTimedOut => Refusal::HeaderTimedOut,
            Self::BodyTooLarge => Refusal::BodyTooLarge,
            Self::BadRequest => Refusal::BadRequest,
            Self::Preface | Self::PrefaceTimedOut => Refusal::Preface,
            Self::AcceptFailed | Self::Panicked => return None,
        })
    }
}

const KINDS: [Notice; 14] = [
    Notice::HttpBusy,
    Notice::WebSocketsFull,
    Notice::ConnectionsFull,
    Notice::AddressFull,
    Notice::RequestLineTooLong,
    Notice::HeaderTooLarge,
    Notice::TooManyHeaders,
    Notice::HeaderTimedOut,
    Notice::BodyTooLarge,
    Notice::BadRequest,
    Notice::Preface,
    Notice::PrefaceTimedOut,
    Notice::AcceptFailed,
    Notice::Panicked,
];

/// What happened since it was told of the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What.
    pub notice: Notice,
    /// How often.
    pub count: u64,
    /// Whose address it was the last time, if it was somebody's.
    pub address: Option<IpAddr>,
    /// The request the last time, as far as it is known, and what is wrong with it. At most 200 bytes.
    pub detail: String,
}

/// Counts notices until somebody takes them. Noting never waits, and takes the memory of one detail for each kind, however
/// often it happens.
#[derive(Debug)]
pub struct Notices {
    pause: Duration,
    state: Mutex<State>,
    changed: Condvar,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct State {
    entries: [Entry; KINDS.len()],
    /// What happens before is told then.
    not_before: Option<Instant>,
    closed: bool,
}

#[derive(Debug, Default)]
struct Entry {
    count: u64,
    address: Option<IpAddr>,
    detail: String,
}

impl State {
    fn add(&mut self, notice: Notice, address: Option<IpAddr>, detail: &str) {
        let entry = &mut self.entries[notice as usize];
        entry.count = entry.count.saturating_add(1);
        entry.address = address.map(|address| address.to_canonical());
        entry.detail.clear();
        entry.detail.push_str(beginning(detail, DETAIL_BYTES));
    }

    fn has_news(&self) -> bool {
        self.entries.iter().any(|entry| entry.count > 0)
    }
}

/// At most so many bytes of it, in whole letters.
pub(super) fn beginning(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Default for Notices {
    fn default() -> Self {
        Self::new(PAUSE)
    }
}

impl Notices {
    /// `pause` is the time between two answers of [`Notices::take`], five seconds by default.
    pub fn new(pause: Duration) -> Self {
        Self { pause, state: Mutex::default(), changed: Condvar::new(), stats: Arc::default() }
    }

    /// Notices of a server that counts in the sums of its process.
    pub fn counting(stats: Arc<Stats>) -> Self {
        Self { stats, ..Self::default() }
    }

    /// Where the server counts.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Counts one. An address of IPv4 is told alike however it is written; `detail` is cut to 200 bytes.
    pub fn note(&self, notice: Notice, address: Option<IpAddr>, detail: &str) {
        match notice.refusal() {
            Some(refusal) => self.stats.refused(refusal),
            None if notice == Notice::AcceptFailed => self.stats.accept_failed(),
            None => {}
        }
        self.state.lock().add(notice, address, detail);
        self.changed.notify_one();
    }

    /// Counts a panic, on whichever thread it is, with whatever locks that holds: it waits for `patience` at most. False: it
    /// was not counted, and nobody will tell of it.
    pub(super) fn note_panic(&self, detail: &str, patience: Duration) -> bool {
        let Some(mut state) = self.state.try_lock_for(patience) else { return false };
        if state.closed {
            return false;
        }
        state.add(Notice::Panicked, None, detail);
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Waits until something has happened, and for the pause since the last answer: what happens often is told of in few
    /// words. Blocks the calling thread. `None`: closed, and nothing is left to tell.
    pub fn take(&self) -> Option<Vec<Told>> {
        let mut state = self.state.lock();
        loop {
            let happened = state.has_news();
            let early = state.not_before.filter(|time| happened && !state.closed && *time > Instant::now());
            match early {
                Some(time) => drop(self.changed.wait_until(&mut state, time)),
                None if happened => break,
                None if state.closed => return None,
                None => self.changed.wait(&mut state),
            }
        }
        state.not_before = Some(Instant::now() + self.pause);
        let entries = std::mem::take(&mut state.entries);
        let told = KINDS.into_iter().zip(entries).filter(|(_, entry)| entry.count > 0);
        let told =
            told.map(|(notice, Entry { count, address, detail })| Told { notice, count, address, detail });
        Some(told.collect())
    }

    /// Whether something has been noted and not been taken.
    pub fn waits_to_be_told(&self) -> bool {
        self.state.lock().has_news()
    }

    /// Lets [`Notices::take`] come to an end.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}
