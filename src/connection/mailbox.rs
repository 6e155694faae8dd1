//! A bounded queue that can be closed.
//!
//! Items are bounded in number and in weight (bytes); an item heavier than the bound is let in alone. Threads block in
//! [`Mailbox::put`] and [`Mailbox::take`], tasks use the `poll_` methods, and nobody waits in a `_now` method. A closed
//! mailbox takes nothing more and gives what it holds.
//!
//! No wake-up is lost: each item wakes one thread that waits in `take`, and a thread looks once more under the lock
//! before it gives up, so that a wake-up which crosses its timeout is answered by taking the item. Everybody else is
//! woken together, since none of them removes what the others wait for.

mod poll;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    sync::{AtomicBool, Mutex, Ordering},
    waker::{ThreadWaker, Waiter, Waiters, Wake, Wakes, deadline_after},
};
use crate::wire::message::Message;

/// Slots an empty queue may keep; what a burst needed beyond is given back.
const KEPT_SLOTS: usize = 64;

/// What an item counts against the weight bound.
pub trait Weigh {
    /// Its weight in bytes; the same at every call.
    fn weight(&self) -> usize;
}

impl Weigh for bytes::Bytes {
    fn weight(&self) -> usize {
        self.len()
    }
}

impl Weigh for Message {
    fn weight(&self) -> usize {
        self.payload.len()
    }
}

impl Weigh for std::convert::Infallible {
    fn weight(&self) -> usize {
        match *self {}
    }
}

/// The mailbox is closed; when taking: and empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is closed")]
pub struct Closed;

/// Why an item was not put; it is given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError<T> {
    /// There was no room (in time).
    #[error("the mailbox is full")]
    Full(T),
    /// The mailbox is closed.
    #[error("the mailbox is closed")]
    Closed(T),
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// Nothing came in time.
    #[error("nothing came in time")]
    TimedOut,
    /// The mailbox is closed and empty.
    #[error("the mailbox is closed")]
    Closed,
}

/// What became of items that were to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// How many were.
    pub items: usize,
    /// Whether one of weight 1 would fit as well: it will until somebody puts something.
    pub leaves_room: bool,
}

/// A bounded queue that can be closed; shared by reference, usually in an `Arc`.
pub struct Mailbox<T> {
    max_items: usize,
    max_weight: usize,
    state: Mutex<State<T>>,
    /// What the state says, for those who only look.
    closed: AtomicBool,
}

struct State<T> {
    queue: VecDeque<T>,
    weight: usize,
    closed: bool,
    /// Threads in `take`: one is woken for each item.
    takers: Waiters,
    /// Those who want to know that something can be taken.
    watchers: Waiters,
    /// Threads in `put`, and who else waits for room.
    putters: Waiters,
    /// Tasks that wait for the queue to be half empty.
    room_watchers: Waiters,
    close_watchers: Waiters,
}

impl<T: Weigh> Mailbox<T> {
    /// An open, empty mailbox for at most `max_items` (at least 1) of `max_weight` bytes together.
    pub fn new(max_items: usize, max_weight: usize) -> Self {
        let state = State {
            queue: VecDeque::new(),
            weight: 0,
            closed: false,
            takers: Waiters::default(),
            watchers: Waiters::default(),
            putters: Waiters::default(),
            room_watchers: Waiters::default(),
            close_watchers: Waiters::default(),
        };
        Self {
            max_items: max_items.max(1),
            max_weight,
            state: Mutex::new(state),
            closed: AtomicBool::new(false),
        }
    }

    /// Puts an item, waiting at most `timeout` for room (`None`: for ever). Blocks the calling thread.
    ///
    /// # Errors
    /// There was no room in time, or the mailbox is or was closed meanwhile. The item is in the error.
    pub fn put(&self, item: T, timeout: Option<Duration>) -> Result<(), PutError<T>> {
        let mut item = Some(item);
        let outcome = self.block(timeout, State::putters, |state, wakes| {
            if state.closed {
                return Some(Err(Closed));
            }
            let fitting = item.take_if(|item| self.fits(state, item.weight()))?;
            state.push(fitting, wakes);
            Some(Ok(()))
        });
        match (outcome, item) {
            (None, Some(item)) => Err(PutError::Full(item)),
            (Some(Err(Closed)), Some(item)) => Err(PutError::Closed(item)),
            _ => Ok(()),
        }
    }

    /// Puts an item if there is room. Never blocks.
    ///
    /// # Errors
    /// There is no room, or the mailbox is closed. The item is in the error.
    pub fn put_now(&self, item: T) -> Result<(), PutError<T>> {
        self.change(|state, wakes| {
            if state.closed {
                Err(PutError::Closed(item))
            } else if self.fits(state, item.weight()) {
                state.push(item, wakes);
                Ok(())
            } else {
                Err(PutError::Full(item))
            }
        })
    }

    /// Moves as many items as fit from the front of `items`, in one go. Never blocks.
    ///
    /// # Errors
    /// The mailbox is closed; `items` is untouched.
    pub fn put_many_now(&self, items: &mut VecDeque<T>) -> Result<Moved, Closed> {
        self.change(|state, wakes| {
            if state.closed {
                return Err(Closed);
            }
            let before = items.len();
            while items.front().is_some_and(|item| self.fits(state, item.weight())) {
                items.pop_front().into_iter().for_each(|item| state.push(item, wakes));
            }
            Ok(Moved { items: before - items.len(), leaves_room: self.fits(state, 1) })
        })
    }

    /// Puts an item and drops as many of the oldest as that needs; gives these back. Never blocks.
    ///
    /// # Errors
    /// The mailbox is closed. The item is in the error.
    pub fn put_displacing(&self, item: T) -> Result<Vec<T>, PutError<T>> {
        self.change(|state, wakes| {
            if state.closed {
                return Err(PutError::Closed(item));
            }
            let mut displaced = Vec::new();
            while !self.fits(state, item.weight()) {
                displaced.extend(self.pop(state, wakes));
            }
            state.push(item, wakes);
            Ok(displaced)
        })
    }

    /// Takes the oldest item, waiting at most `timeout` for one (`None`: for ever). Blocks the calling thread.
    ///
    /// # Errors
    /// Nothing came in time, or the mailbox is closed and empty.
    pub fn take(&self, timeout: Option<Duration>) -> Result<T, TakeError> {
        self.block(timeout, State::takers, |state, wakes| match self.pop(state, wakes) {
            Some(item) => Some(Ok(item)),
            None => state.closed.then_some(Err(TakeError::Closed)),
        })
        .unwrap_or(Err(TakeError::TimedOut))
    }

    /// Takes the oldest item if there is one. Never blocks.
    ///
    /// # Errors
    /// The mailbox is closed and empty.
    pub fn take_now(&self) -> Result<Option<T>, Closed> {
        self.change(|state, wakes| match self.pop(state, wakes) {
            None if state.closed => Err(Closed),
            item => Ok(item),
        })
    }

    /// Waits at most `timeout` until an item, or the close, can be taken, without taking it. False: the time ran out.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        self.block(timeout, State::watchers, |state, _| state.is_readable().then_some(())).is_some()
    }

    /// Waits at most `timeout` for room for `weight`, which another may take first, or for the close. False: no time left.
    pub fn wait_room(&self, weight: usize, timeout: Option<Duration>) -> bool {
        let end = |state: &mut State<T>, _: &mut _| (state.closed || self.fits(state, weight)).then_some(());
        self.block(timeout, State::putters, end).is_some()
    }

    /// Calls `waker` once when an item, or the close, can be taken: at once if it already can.
    pub fn wake_when_readable(&self, waker: Arc<dyn Wake>) {
        self.change(|state, wakes| {
            let waiter = Waiter::Caller(waker);
            if state.is_readable() { wakes.push(waiter) } else { state.watchers.add(waiter) }
        });
    }

    /// Calls `waker` once when something has been taken, after which there may be room, or the mailbox is closed: at once
    /// if it is empty or closed.
    pub fn wake_when_room(&self, waker: Arc<dyn Wake>) {
        self.change(|state, wakes| {
            let waiter = Waiter::Caller(waker);
            if state.closed || state.queue.is_empty() {
                wakes.push(waiter);
            } else {
                state.putters.add(waiter);
            }
        });
    }

    /// Takes nothing more and wakes everybody; what it holds can still be taken. A second call does nothing.
    pub fn close(&self) {
        self.change(|state, wakes| self.close_state(state, wakes));
    }

    /// Closes and gives back what it held.
    pub fn close_and_clear(&self) -> VecDeque<T> {
        self.change(|state, wakes| {
            self.close_state(state, wakes);
            state.weight = 0;
            std::mem::take(&mut state.queue)
        })
    }

    /// Whether it was closed; it may still hold items.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether an item, or the close, can be taken.
    pub fn is_readable(&self) -> bool {
        self.state.lock().is_readable()
    }

    /// Items it holds.
    pub fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// Whether it holds no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Weight of the items it holds.
    pub fn weight(&self) -> usize {
        self.state.lock().weight
    }

    /// Runs `step` under the lock, and wakes whom it named once the lock is released.
    fn change<R>(&self, step: impl FnOnce(&mut State<T>, &mut Wakes) -> R) -> R {
        let mut wakes = Wakes::default();
        let outcome = step(&mut self.state.lock(), &mut wakes);
        wakes.wake();
        outcome
    }

    /// Runs `attempt` until it gives something, asleep in between as one of `waiters`; `None`: the time ran out.
    fn block<R>(
        &self,
        timeout: Option<Duration>,
        waiters: impl Fn(&mut State<T>) -> &mut Waiters,
        mut attempt: impl FnMut(&mut State<T>, &mut Wakes) -> Option<R>,
    ) -> Option<R> {
        if let Some(outcome) = self.change(&mut attempt) {
            return Some(outcome);
        }
        if timeout == Some(Duration::ZERO) {
            return None;
        }
        let deadline = deadline_after(timeout);
        let thread = ThreadWaker::own();
        let mut over = false;
        loop {
            let outcome = self.change(|state, wakes| {
                // Leaving the list before the attempt keeps a thread that goes away from being woken in another's place.
                let waiter = Waiter::Caller(Arc::clone(&thread) as Arc<dyn Wake>);
                waiters(state).remove(&waiter);
                let outcome = attempt(state, wakes);
                if outcome.is_none() && !over {
                    waiters(state).add(waiter);
                }
                outcome
            });
            if outcome.is_some() || over {
                thread.mark_up();
                return outcome;
            }
            thread.sleep(deadline);
            over = deadline.is_some_and(is_past);
        }
    }

    fn close_state(&self, state: &mut State<T>, wakes: &mut Wakes) {
        state.close(wakes);
        self.closed.store(true, Ordering::Release);
    }

    fn fits(&self, state: &State<T>, weight: usize) -> bool {
        state.queue.is_empty()
            || (state.queue.len() < self.max_items && state.weight.saturating_add(weight) <= self.max_weight)
    }

    fn pop(&self, state: &mut State<T>, wakes: &mut Wakes) -> Option<T> {
        let item = state.pop()?;
        self.wake_putters(state, wakes);
        Some(item)
    }

    fn wake_putters(&self, state: &mut State<T>, wakes: &mut Wakes) {
        wakes.all_of(&mut state.putters);
        if state.queue.len() <= self.max_items / 2 && state.weight <= self.max_weight / 2 {
            wakes.all_of(&mut state.room_watchers);
        }
    }
}

#[cfg(not(loom))]
fn is_past(deadline: Instant) -> bool {
    deadline <= Instant::now()
}

// The modelled sleep with a deadline always ends by it.
#[cfg(loom)]
fn is_past(_: Instant) -> bool {
    true
}

impl<T: Weigh> State<T> {
    fn takers(&mut self) -> &mut Waiters {
        &mut self.takers
    }

    fn watchers(&mut self) -> &mut Waiters {
        &mut self.watchers
    }

    fn putters(&mut self) -> &mut Waiters {
        &mut self.putters
    }

    fn is_readable(&self) -> bool {
        self.closed || !self.queue.is_empty()
    }

    fn push(&mut self, item: T, wakes: &mut Wakes) {
        self.weight += item.weight();
        self.queue.push_back(item);
        if let Some(taker) = self.takers.first() {
            wakes.push(taker);
        }
        wakes.all_of(&mut self.watchers);
    }

    fn pop(&mut self) -> Option<T> {
        let item = self.queue.pop_front()?;
        self.weight -= item.weight();
        if self.queue.is_empty() && self.queue.capacity() > KEPT_SLOTS {
            self.queue = VecDeque::new();
        }
        Some(item)
    }

    fn close(&mut self, wakes: &mut Wakes) {
        self.closed = true;
        for waiters in [
            &mut self.takers,
            &mut self.watchers,
            &mut self.putters,
            &mut self.room_watchers,
            &mut self.close_watchers,
        ] {
            wakes.all_of(waiters);
        }
    }
}

impl<T: Weigh> std::fmt::Debug for Mailbox<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.lock();
        formatter
            .debug_struct("Mailbox")
            .field("items", &state.queue.len())
            .field("weight", &state.weight)
            .field("closed", &state.closed)
            .finish_non_exhaustive()
    }
}
