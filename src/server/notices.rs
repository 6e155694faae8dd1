//! What an operator should know and no view can tell: refusals below the application.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// What repeats itself is told of after so much time, with its count.
const PAUSE: Duration = Duration::from_secs(5);

/// Something that happened in the server and that a setting changes.
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
    /// A connection could not be accepted for want of descriptors or memory.
    AcceptFailed,
}

const KINDS: [Notice; 6] = [
    Notice::HttpBusy,
    Notice::WebSocketsFull,
    Notice::ConnectionsFull,
    Notice::AddressFull,
    Notice::RequestLineTooLong,
    Notice::AcceptFailed,
];

/// What happened since it was told of the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What.
    pub notice: Notice,
    /// How often.
    pub count: u64,
    /// Whose address it was the last time, if it was somebody's.
    pub address: Option<IpAddr>,
}

/// Counts notices until somebody takes them. Noting never waits and takes no memory, however often it happens.
#[derive(Debug)]
pub struct Notices {
    pause: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    counts: [(u64, Option<IpAddr>); KINDS.len()],
    /// What happens before is told then.
    not_before: Option<Instant>,
    closed: bool,
}

impl State {
    fn has_news(&self) -> bool {
        self.counts.iter().any(|(count, _)| *count > 0)
    }
}

impl Default for Notices {
    fn default() -> Self {
        Self::new(PAUSE)
    }
}

impl Notices {
    /// `pause` is the time between two answers of [`Notices::take`], five seconds by default.
    pub fn new(pause: Duration) -> Self {
        Self { pause, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Counts one. An address of IPv4 is told alike however it is written.
    pub fn note(&self, notice: Notice, address: Option<IpAddr>) {
        let mut state = self.state.lock();
        let entry = &mut state.counts[notice as usize];
        *entry = (entry.0.saturating_add(1), address.map(|address| address.to_canonical()));
        drop(state);
        self.changed.notify_one();
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
        let counts = std::mem::take(&mut state.counts);
        let told = KINDS.into_iter().zip(counts).filter(|(_, (count, _))| *count > 0);
        Some(told.map(|(notice, (count, address))| Told { notice, count, address }).collect())
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
