//! The threads that run views, and the places they take. Threads come to this module; it starts none.
//!
//! One thread always waits (the leader). Whoever is handed work while nobody else waits is told to start the next
//! leader first, so threads appear one after another as they are needed and never ahead of need.
//!
//! Threads that wait are woken one after another too: the next one when the last one has begun ([`Turn`]). Of those that
//! run Python only one goes on at a time, so the work of a rush is better left to the one that is at it, which finds the
//! rest of it where it left off, than given to so many threads that then queue for the interpreter. As soon as that one
//! waits for something, the next has its turn.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use parking_lot::{Condvar, Mutex};

use super::{
    app::{App, Exchange},
    notices::{Notice, Notices},
    places::{Kind, Limits, Places},
    reply::refuse,
};
use crate::{config::ServerConfig, connection::stats::Refusal};

/// An [`App`] that hands each exchange to a thread waiting in [`Workers::take`].
#[derive(Debug)]
pub struct Workers {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    places: Mutex<Places<Arc<Seat>>>,
    linger: Duration,
    notices: Arc<Notices>,
    /// Tells the seats of one `Workers` from those of another on the same thread.
    identity: u64,
}

/// So many handshakes a thread runs before it makes way for a new one. What the deepest call of its views has touched of
/// its stack stays with a thread, and so does what malloc keeps at hand for it, some pieces of each size: with hundreds of
/// threads that serve sockets for days this comes to more than the sockets take.
const MOST_HANDSHAKES: u32 = 16;

thread_local! {
    /// The seat of this thread, kept between two takes.
    static SEAT: RefCell<Option<(u64, Arc<Seat>)>> = const { RefCell::new(None) };
    /// How many handshakes this thread has run.
    static HANDSHAKES: Cell<u32> = const { Cell::new(0) };
}

impl Workers {
    /// Makes it, with no thread yet; the caller starts the first one, every further one is asked for by [`Job::spawn`].
    /// What gets 503 is noted.
    pub fn new(config: &ServerConfig, notices: Arc<Notices>) -> Arc<Self> {
        static IDENTITIES: AtomicU64 = AtomicU64::new(0);
        let limits = Limits {
            http_threads: config.http_threads,
            http_waiting: config.http_waiting,
            handshake_threads: config.handshake_threads,
            websockets: config.max_websocket_connections,
        };
        Arc::new(Self {
            shared: Arc::new(Shared {
                places: Mutex::new(Places::new(limits)),
                linger: config.thread_linger,
                notices,
                identity: IDENTITIES.fetch_add(1, Ordering::Relaxed),
            }),
        })
    }

    /// Waits for work. `None`: idle longer than `thread_linger`, or done with its share of handshakes, while another
    /// thread waits too, or stopping; the calling thread ends then. Between two calls the thread runs the job it got and
    /// drops its [`Slot`].
    pub fn take(&self) -> Option<Job> {
        let (seat, newcomer) = self.sit_down();
        let mut places = self.shared.places.lock();
        if newcomer {
            places.arrived();
        }
        if places.stopping {
            drop(places);
            return Self::stand_up(None);
        }
        if let Some((exchange, kind)) = places.next() {
            let spawn = places.wants_thread();
            drop(places);
            return Some(self.shared.job(exchange, kind, spawn, None).counted());
        }
        if HANDSHAKES.get() >= MOST_HANDSHAKES && places.idle.len() + places.starting > 0 {
            drop(places);
            return Self::stand_up(None);
        }
        places.idle.push(Arc::clone(&seat));
        drop(places);
        Self::stand_up(self.wait(&seat).map(Job::counted))
    }

    /// Takes work that is there. Never waits. Only for a thread that got a job before.
    pub fn take_now(&self) -> Option<Job> {
        let mut places = self.shared.places.lock();
        let (exchange, kind) = places.next()?;
        let spawn = places.wants_thread();
        drop(places);
        Some(self.shared.job(exchange, kind, spawn, None).counted())
    }

    fn wait(&self, seat: &Arc<Seat>) -> Option<Job> {
        if let Some(given) = seat.wait(Some(self.shared.linger)) {
            return given.0;
        }
        let mut places = self.shared.places.lock();
        let position = places.idle.iter().position(|idle| Arc::ptr_eq(idle, seat));
        if let Some(position) = position
            && places.idle.len() + places.starting > 1
        {
            places.idle.remove(position);
            return None;
        }
        drop(places);
        // Either something is on its way to this seat, or this thread is the leader and stays.
        seat.wait(None)?.0
    }

    /// The seat of the calling thread, and whether the thread is new here.
    fn sit_down(&self) -> (Arc<Seat>, bool) {
        SEAT.with_borrow_mut(|own| match own {
            Some((identity, seat)) if *identity == self.shared.identity => (Arc::clone(seat), false),
            _ => {
                let seat = Arc::new(Seat::default());
                *own = Some((self.shared.identity, Arc::clone(&seat)));
                (seat, true)
            }
        })
    }

    /// Forgets the seat of a thread that is sent away.
    fn stand_up(job: Option<Job>) -> Option<Job> {
        if job.is_none() {
            SEAT.set(None);
        }
        job
    }

    /// The thread [`Job::spawn`] asked for could not be started. The caller answers its exchange (503 does) and takes
    /// again, because no other thread may be waiting.
    pub fn spawn_failed(&self) {
        self.shared.places.lock().arrived();
    }

    /// Answers what waits, and what still comes, with 503 and sends every idle thread away. What runs goes on. Never
    /// blocks.
    pub fn stop(&self) {
        let mut places = self.shared.places.lock();
        let (waiting, idle) = places.stop();
        drop(places);
        for exchange in waiting {
            self.shared.notices.stats().refused(Refusal::Stopping);
            refuse_busy(exchange);
        }
        for seat in idle {
            seat.give(Given(None));
        }
    }

    /// How many threads and places are in use.
    pub fn counts(&self) -> ThreadCounts {
        self.shared.places.lock().counts()
    }
}

impl App for Workers {
    fn call(&self, exchange: Exchange) {
        // Large: from here on only its address is handed on.
        let exchange = Box::new(exchange);
        let mut places = self.shared.places.lock();
        if let Err(refused) = places.admit(exchange) {
            let stopping = places.stopping;
            drop(places);
            if stopping {
                self.shared.notices.stats().refused(Refusal::Stopping);
            } else {
                let full =
                    if refused.handshake.is_some() { Notice::WebSocketsFull } else { Notice::HttpBusy };
                let address = refused.peer.map(|peer| peer.ip());
                self.shared.notices.note(full, address, refused.head.uri.path());
            }
            return refuse_busy(*refused);
        }
        let started = self.shared.hand_out(&mut places);
        drop(places);
        give(started);
    }
}

fn refuse_busy(exchange: Exchange) {
    refuse(exchange, StatusCode::SERVICE_UNAVAILABLE, "The server is busy. Try again later.");
}

fn give(started: Option<(Arc<Seat>, Job)>) {
    if let Some((seat, job)) = started {
        seat.give(Given(Some(job)));
    }
}

impl Shared {
    fn job(self: &Arc<Self>, exchange: Box<Exchange>, kind: Kind, spawn: bool, turn: Option<Turn>) -> Job {
        let slot = Slot { shared: Arc::clone(self), kind: AtomicU8::new(kind as u8) };
        Job { exchange, slot, spawn, turn }
    }

    /// Pairs what may start next with a thread that waits, the one idle for the shortest time: its stack and the
    /// interpreter's data are still in the cache. `None`: nothing may start, nobody waits, or one is still coming, at
    /// whose beginning this is called again.
    fn hand_out(self: &Arc<Self>, places: &mut Places<Arc<Seat>>) -> Option<(Arc<Seat>, Job)> {
        if places.coming || places.idle.is_empty() {
            return None;
        }
        let (exchange, kind) = places.next()?;
        let seat = places.idle.pop()?;
        let spawn = places.wants_thread();
        places.coming = true;
        Some((seat, self.job(exchange, kind, spawn, Some(Turn(Arc::clone(self))))))
    }
}

/// Where one thread waits.
#[derive(Debug, Default)]
struct Seat {
    given: Mutex<Option<Given>>,
    arrived: Condvar,
}

/// A job, or without one the dismissal.
#[derive(Debug)]
struct Given(Option<Job>);

impl Seat {
    fn give(&self, given: Given) {
        *self.given.lock() = Some(given);
        self.arrived.notify_one();
    }

    /// `None`: nothing was given in time.
    fn wait(&self, timeout: Option<Duration>) -> Option<Given> {
        let mut given = self.given.lock();
        match timeout {
            None => self.arrived.wait_while(&mut given, |given| given.is_none()),
            Some(timeout) => {
                self.arrived.wait_while_for(&mut given, |given| given.is_none(), timeout);
            }
        }
        given.take()
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
    /// Requests and handshakes answered with 503 since the start, because there was no place or the end was near.
    pub refused: u64,
}

/// One exchange for one thread.
#[derive(Debug)]
pub struct Job {
    /// What to do.
    pub exchange: Box<Exchange>,
    /// The place it takes; dropped when the thread is done with the exchange and everything that follows from it.
    pub slot: Slot,
    /// The taker must start one more thread before it runs the exchange: nobody waits for the next one.
    pub spawn: bool,
    /// There if the taker was woken for it; to be dropped when the taker is about to run the exchange and has nothing to
    /// wait for before that.
    pub turn: Option<Turn>,
}

impl Job {
    /// The calling thread is about to run it.
    fn counted(mut self) -> Self {
        if *self.slot.kind.get_mut() == Kind::Handshake as u8 {
            HANDSHAKES.set(HANDSHAKES.get() + 1);
        }
        self
    }
}

/// The turn of one thread to come; dropping it wakes the next one, if there is work for it.
#[derive(Debug)]
pub struct Turn(Arc<Shared>);

impl Drop for Turn {
    fn drop(&mut self) {
        let mut places = self.0.places.lock();
        places.coming = false;
        let next = self.0.hand_out(&mut places);
        drop(places);
        give(next);
    }
}

/// A place taken by a running exchange; dropping it frees the place. The thread that drops it takes again at once:
/// nobody else is woken for what may start in the place.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    /// The discriminant of the [`Kind`] it counts as.
    kind: AtomicU8,
}

impl Slot {
    /// The handshake was accepted: frees the handshake place and keeps the WebSocket place. Only the first call counts;
    /// on an HTTP place it does nothing.
    pub fn opened(&self) {
        // Relaxed: the counts themselves are guarded by the lock; this only picks one caller.
        let first = self.kind.compare_exchange(
            Kind::Handshake as u8,
            Kind::WebSocket as u8,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if first.is_err() {
            return;
        }
        let mut places = self.shared.places.lock();
        places.handshake_ended();
        // The calling thread stays with its socket, so the freed place goes to a thread that waits.
        let started = self.shared.hand_out(&mut places);
        drop(places);
        give(started);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let kind = *self.kind.get_mut();
        let mut places = self.shared.places.lock();
        if kind == Kind::Http as u8 {
            places.http_ended();
        } else {
            if kind == Kind::Handshake as u8 {
                places.handshake_ended();
            }
            places.websocket_ended();
        }
    }
}
