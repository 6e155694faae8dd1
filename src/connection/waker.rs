//! How a caller sleeps on a mailbox.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use super::{calls::Called, sync::Token};

/// Wakes whoever waits. Called with no lock held, from any thread; never blocks and never panics.
pub trait Wake: Send + Sync {
    /// Something the waiter registered for may have happened; it looks again.
    fn wake(&self);
}

/// Lets one thread sleep until it is woken.
#[derive(Debug)]
pub struct ThreadWaker {
    token: Token,
    called: Called,
}

impl ThreadWaker {
    /// The calling thread's waker: the same one at every call.
    #[cfg(not(loom))]
    pub fn own() -> Arc<Self> {
        thread_local! {
            static OWN: Arc<ThreadWaker> = Arc::new(ThreadWaker::new());
        }
        // A thread that is being torn down has no thread locals left; a waker of its own serves as well.
        OWN.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(Self::new()))
    }

    /// A waker for the calling thread.
    #[cfg(loom)]
    pub fn own() -> Arc<Self> {
        Arc::new(Self::new())
    }

    fn new() -> Self {
        Self { token: Token::own(), called: Called::default() }
    }

    /// Sleeps until woken or until `deadline` (`None`: for ever). May return early without a reason: look again.
    /// Only the thread that called [`ThreadWaker::own`] may call this.
    pub fn sleep(&self, deadline: Option<Instant>) {
        #[cfg(not(loom))]
        super::stack::release_unused();
        self.token.wait(deadline);
        self.mark_up();
    }

    /// The thread has something to do, and lets others go first.
    pub(super) fn mark_called(&self) {
        self.called.set();
    }

    /// The thread goes on, whether it was woken or not.
    pub(super) fn mark_up(&self) {
        self.called.clear();
    }
}

impl Wake for ThreadWaker {
    fn wake(&self) {
        self.mark_called();
        self.token.give();
    }
}

/// When a wait of `timeout` that begins now ends; `None` for no end, also for one too far away to be told.
pub(super) fn deadline_after(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Somebody who waits: a caller of any kind, or a task of the runtime.
pub(super) enum Waiter {
    Caller(Arc<dyn Wake>),
    Task(Waker),
}

impl Waiter {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Caller(one), Self::Caller(another)) => Arc::ptr_eq(one, another),
            (Self::Task(one), Self::Task(another)) => one.will_wake(another),
            _ => false,
        }
    }

    fn wake(self) {
        match self {
            Self::Caller(waker) => waker.wake(),
            Self::Task(waker) => waker.wake(),
        }
    }
}

/// Those who wait for the same thing, in the order they came, each at most once.
#[derive(Default)]
pub(super) struct Waiters(VecDeque<Waiter>);

impl Waiters {
    pub(super) fn add(&mut self, waiter: Waiter) {
        if !self.0.iter().any(|present| present.is(&waiter)) {
            self.0.push_back(waiter);
        }
    }

    /// As [`Waiters::add`], for a task, which comes again and again: its waker is copied only where it is not there.
    pub(super) fn add_task(&mut self, waker: &Waker) {
        let is_own = |present: &Waiter| matches!(present, Waiter::Task(task) if task.will_wake(waker));
        if !self.0.iter().any(is_own) {
            self.0.push_back(Waiter::Task(waker.clone()));
        }
    }

    pub(super) fn remove(&mut self, waiter: &Waiter) {
        self.0.retain(|present| !present.is(waiter));
    }

    pub(super) fn first(&mut self) -> Option<Waiter> {
        self.0.pop_front()
    }
}

/// The waiters to wake once the lock is released.
#[derive(Default)]
pub(super) struct Wakes {
    // Nearly always there is one, which then costs no allocation.
    first: Option<Waiter>,
    rest: Vec<Waiter>,
}

impl Wakes {
    pub(super) fn push(&mut self, waiter: Waiter) {
        if self.first.is_none() { self.first = Some(waiter) } else { self.rest.push(waiter) }
    }

    pub(super) fn all_of(&mut self, waiters: &mut Waiters) {
        while let Some(waiter) = waiters.first() {
            self.push(waiter);
        }
    }

    #[inline]
    pub(super) fn wake(self) {
        // Most changes wake nobody, and that must cost nothing.
        if self.first.is_some() {
            self.wake_all();
        }
    }

    #[inline(never)]
    fn wake_all(self) {
        self.first.into_iter().chain(self.rest).for_each(Waiter::wake);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn thread_is_called_from_its_wake_to_the_end_of_its_sleep() {
        let thread = ThreadWaker::own();
        let is_called = || thread.called.is_set();
        for _ in 0..2 {
            assert!(!is_called());
            thread.wake();
            thread.wake();
            assert!(is_called());
            thread.sleep(None);
        }
        assert!(!is_called());
    }
}
