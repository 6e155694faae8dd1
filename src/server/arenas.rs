//! How glibc's malloc shares memory among many threads.
//!
//! It keeps up to eight arenas for each processor, and what one thread has freed serves the threads of the same arena
//! only. Thousands of threads of views, each of which allocates now and then, let every arena grow to a peak of its own:
//! the process takes the sum of the peaks in place of the peak of the sum, and gets there over hours, which looks like a
//! leak. Threads that hold the GIL one at a time gain nothing by arenas of their own.
//!
//! What is freed between two pieces that are still in use it keeps as well, and uses again, but never as well as the first
//! time: a process whose sockets come and go grows by some percent an hour. So a server gives it back to the system at times.

#![allow(unsafe_code, reason = "malloc belongs to C")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// After the first of some connections has begun or ended: long enough for a herd of them.
const TRIM_AFTER: Duration = Duration::from_secs(10);

/// One for the thread that has the GIL, and one more for those that read and write meanwhile.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;

/// Lets malloc make no further arena once there are two, unless the environment says how many there may be. To be called
/// before threads are started: those that there are stay. Does nothing with another C library.
pub fn limit() {
    #[cfg(target_env = "gnu")]
    if !is_set_by_environment() {
        // SAFETY: mallopt takes any two numbers and locks what it changes (mallopt(3): MT-Unsafe only in that it first
        // initialises malloc, which has long been done). A refusal, 0, leaves everything as it was, which is no error here.
        let _refused = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
    }
}

#[cfg(target_env = "gnu")]
fn is_set_by_environment() -> bool {
    let tunables = std::env::var_os("GLIBC_TUNABLES").unwrap_or_default();
    std::env::var_os("MALLOC_ARENA_MAX").is_some()
        || tunables.as_encoded_bytes().windows(b"arena_max".len()).any(|name| name == b"arena_max")
}

/// Gives freed memory back to the system once connections have come or gone; never in a process in which none does.
#[derive(Debug, Default)]
pub(super) struct Trimmer {
    is_due: AtomicBool,
}

impl Trimmer {
    /// A connection has begun or ended: what that took for a moment is freed soon. To be called in the runtime.
    pub(super) fn note(self: &Arc<Self>) {
        // Nothing is ordered by it: whoever finds it set is served by a trim that is still to come.
        if !self.is_due.swap(true, Ordering::Relaxed) {
            let this = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(TRIM_AFTER).await;
                this.is_due.store(false, Ordering::Relaxed);
                // It takes a millisecond for some ten MiB, while threads that want some of that wait.
                tokio::task::spawn_blocking(trim);
            });
        }
    }
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: malloc_trim takes any number and locks each arena while it looks at it (malloc_trim(3): MT-Safe). Whether
    // there was anything to give back makes no difference.
    let _given_back = unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}
