//! Lets few threads at a time do what only one can.

use std::{collections::VecDeque, sync::Arc};

use super::{
    sync::Mutex,
    waker::{ThreadWaker, Wake},
};

/// A queue in front of a resource that many threads want at once: a fixed number may be between [`Turnstile::enter`]
/// and the drop of what it gives; the others sleep, and are let in one by one in the order they came.
///
/// It stands before the GIL, of which CPython keeps no queue: each thread that waits for it wakes up every few
/// milliseconds to ask for it, so hundreds of them keep the machine busy and let a thread that has just come wait for
/// long. Those who sleep here cost nothing, and whoever asks for the GIL without passing here (a thread with an HTTP
/// request) waits behind a few only.
///
/// It cannot deadlock by itself: whoever is inside waits for the resource alone, and whoever holds the resource must
/// not wait here.
#[derive(Debug)]
pub struct Turnstile {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Tickets given out, each to one thread, numbered from 0.
    issued: u64,
    /// The tickets below this number may be inside.
    admitted: u64,
    /// The threads with the tickets from `admitted` on, in their order.
    queue: VecDeque<Arc<ThreadWaker>>,
}

/// A place inside; dropping it lets the next one in.
#[derive(Debug)]
pub struct Inside<'a>(&'a Turnstile);

impl Turnstile {
    /// `places` threads may be inside at the same time.
    pub fn new(places: u64) -> Self {
        Self { state: Mutex::new(State { issued: 0, admitted: places, queue: VecDeque::new() }) }
    }

    /// Waits for a place, behind everyone who came before.
    pub fn enter(&self) -> Inside<'_> {
        let mut state = self.state.lock();
        let ticket = state.issued;
        state.issued += 1;
        if ticket >= state.admitted {
            // Pushed under the lock that gave the ticket, so the queue is in the order of the tickets, and a leaver
            // either sees this thread in it or has raised `admitted` before.
            let waker = ThreadWaker::own();
            state.queue.push_back(Arc::clone(&waker));
            waker.mark_called();
            while ticket >= state.admitted {
                drop(state);
                waker.sleep(None);
                state = self.state.lock();
            }
        }
        drop(state);
        Inside(self)
    }

    /// How many wait for a place.
    pub fn waiting(&self) -> usize {
        self.state.lock().queue.len()
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.admitted += 1;
        let next = state.queue.pop_front();
        drop(state);
        if let Some(next) = next {
            next.wake();
        }
    }
}
