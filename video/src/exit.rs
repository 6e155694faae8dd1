//! Keeps capture threads out of OpenCV and FFmpeg while the process ends.
//!
//! `exit()` runs the static destructors of OpenCV and its libraries while capture threads still run. A thread that
//! decodes just then touches what is gone. So every stretch of OpenCV code on a capture thread runs under a [`Guard`]:
//! once [`stop`] was called no thread gets a new one, and `stop` waits for those that are out.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

static STOPPING: AtomicBool = AtomicBool::new(false);
static INSIDE: AtomicUsize = AtomicUsize::new(0);

/// How long [`stop`] waits for threads inside OpenCV. A read that decodes is done in a few milliseconds; one that is
/// still out then sleeps in a system call, where no destructor can hurt it.
const PATIENCE: Duration = Duration::from_millis(300);

/// The calling thread may use OpenCV while it holds this.
#[derive(Debug)]
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Lets the calling capture thread into OpenCV; never returns once the process ends.
#[must_use]
pub fn enter() -> Guard {
    INSIDE.fetch_add(1, Ordering::SeqCst);
    // Sequential consistency: either this load sees the store of `stop`, or `stop` sees the addition above.
    if STOPPING.load(Ordering::SeqCst) {
        INSIDE.fetch_sub(1, Ordering::SeqCst);
        loop {
            thread::park();
        }
    }
    Guard(())
}

/// Whether [`stop`] was called: who is inside and can be interrupted had better be.
pub fn is_stopping() -> bool {
    STOPPING.load(Ordering::SeqCst)
}

/// Shuts OpenCV for capture threads, for good, and waits a moment for those that are in it.
///
/// For the end of the process only. Takes no lock, so that it cannot hang in a forked child.
pub fn stop() {
    STOPPING.store(true, Ordering::SeqCst);
    let limit = Instant::now() + PATIENCE;
    while INSIDE.load(Ordering::SeqCst) > 0 && Instant::now() < limit {
        thread::sleep(Duration::from_millis(1));
    }
}
