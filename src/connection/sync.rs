//! What the mailboxes stand on: a lock, a flag and a way for a thread to sleep. `cfg(loom)` swaps them for the model checker's.

#[cfg(loom)]
pub(super) use {
    loom::sync::atomic::{AtomicBool, Ordering},
    modelled::{Mutex, Token},
};
#[cfg(not(loom))]
pub(super) use {
    parking_lot::Mutex,
    real::Token,
    std::sync::atomic::{AtomicBool, Ordering},
};

#[cfg(not(loom))]
mod real {
    use std::{
        thread::{self, Thread},
        time::Instant,
    };

    /// The right of one thread to go on: at most one is kept, `wait` uses it up.
    #[derive(Debug)]
    pub(in crate::connection) struct Token(Thread);

    impl Token {
        /// For the calling thread; nobody else may wait for it.
        pub(in crate::connection) fn own() -> Self {
            Self(thread::current())
        }

        pub(in crate::connection) fn give(&self) {
            self.0.unpark();
        }

        /// Returns when the token was given, when `deadline` has passed, or for no reason at all.
        pub(in crate::connection) fn wait(&self, deadline: Option<Instant>) {
            debug_assert_eq!(self.0.id(), thread::current().id(), "bug: another thread's token");
            match deadline {
                None => thread::park(),
                Some(deadline) => thread::park_timeout(deadline.saturating_duration_since(Instant::now())),
            }
        }
    }
}

#[cfg(loom)]
mod modelled {
    use std::time::Instant;

    use loom::sync::{Condvar, Mutex as LoomMutex, MutexGuard};

    #[derive(Debug)]
    pub(in crate::connection) struct Mutex<T>(LoomMutex<T>);

    impl<T> Mutex<T> {
        pub(in crate::connection) fn new(value: T) -> Self {
            Self(LoomMutex::new(value))
        }

        pub(in crate::connection) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("bug: loom's locks are not poisoned")
        }

        pub(in crate::connection) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    /// As the real one. A wait with a deadline times out at once: the model explores every moment at which that can
    /// happen, because every other thread may run before and after.
    #[derive(Debug)]
    pub(in crate::connection) struct Token {
        given: LoomMutex<bool>,
        changed: Condvar,
    }

    impl Token {
        pub(in crate::connection) fn own() -> Self {
            Self { given: LoomMutex::new(false), changed: Condvar::new() }
        }

        pub(in crate::connection) fn give(&self) {
            *self.given.lock().expect("bug: loom's locks are not poisoned") = true;
            self.changed.notify_one();
        }

        pub(in crate::connection) fn wait(&self, deadline: Option<Instant>) {
            if deadline.is_some() {
                loom::thread::yield_now();
                return;
            }
            let mut given = self.given.lock().expect("bug: loom's locks are not poisoned");
            while !*given {
                given = self.changed.wait(given).expect("bug: loom's locks are not poisoned");
            }
            *given = false;
        }
    }
}
