//! Who has something to do, threads and tasks together.
//!
//! A thread that sends a single answer writes it itself where nobody else has anything to do; where others have, all is
//! written sooner if it leaves that to the driver. For that it only needs a hint: nothing is wrong when it is old.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(not(loom))]
use std::{sync::OnceLock, thread};

/// Those who have something to do and have not come to it yet.
static CALLED: AtomicUsize = AtomicUsize::new(0);

/// How many have something to do and have not come to it yet: a hint, which may be old when it is given.
#[cfg(not(loom))]
pub(super) fn called() -> usize {
    CALLED.load(Ordering::Relaxed)
}

/// Whether all threads of the process take turns on one processor. What it was asked for first holds: a hint as well.
#[cfg(not(loom))]
pub(super) fn is_on_one_processor() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| thread::available_parallelism().is_ok_and(|processors| processors.get() == 1))
}

/// Whether one has something to do and has not come to it yet.
#[derive(Debug, Default)]
pub(super) struct Called(AtomicBool);

impl Called {
    /// There is something to do.
    pub(super) fn set(&self) {
        if !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed) {
            CALLED.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// It has come to it, whether it was called or not.
    pub(super) fn clear(&self) {
        if self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed) {
            CALLED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Of a task, whether it is at rest until it is called.
#[cfg(not(loom))]
#[derive(Debug, Default)]
pub(super) struct Rest {
    rests: AtomicBool,
    called: Called,
}

#[cfg(not(loom))]
impl Rest {
    /// The task has nothing to do until something is put where it has said it waits.
    pub(super) fn begin(&self) {
        self.rests.store(true, Ordering::Relaxed);
    }

    /// The task is running, whether it was called or not.
    pub(super) fn end(&self) {
        self.rests.store(false, Ordering::Relaxed);
        self.called.clear();
    }

    /// Something is about to be put there.
    pub(super) fn disturb(&self) {
        if self.rests.load(Ordering::Relaxed) && self.rests.swap(false, Ordering::Relaxed) {
            self.called.set();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    // Other tests call others: of the sum only the least is known.
    #[test]
    fn task_is_called_once_while_it_rests() {
        let rest = Rest::default();
        let is_called = || rest.called.is_set();
        rest.disturb();
        assert!(!is_called());
        rest.begin();
        rest.disturb();
        rest.disturb();
        assert!(is_called() && called() > 0);
        rest.end();
        assert!(!is_called());
        rest.disturb();
        assert!(!is_called());
    }
}
