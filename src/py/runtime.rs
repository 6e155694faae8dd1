//! The tokio runtime of the process, and how threads of Python leave the interpreter and come back.
//!
//! No tokio task attaches to Python. A thread of Python leaves with [`detached`], waits, and comes back, unless the
//! interpreter has begun to go: a thread that asks CPython before 3.14 for the GIL while it finalizes is ended by
//! `pthread_exit`, whose unwinding must not meet a frame of Rust. Three things keep the two apart:
//!
//! * after [`finalize`] (called by `atexit`, before CPython begins to finalize) a thread that waits in Rust parks for
//!   ever instead of attaching;
//! * a thread that passed that check a moment too early meets pyo3's own guard around `PyEval_RestoreThread`, which
//!   parks it as well;
//! * a thread that runs Python code called from Rust is parked by [`super::call`].
//!
//! Every thread that may be parked is a daemon thread of Python: the process does not wait for it.

use std::{
    process,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, ThreadId},
};

use parking_lot::Mutex;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::connection::turnstile::Turnstile;

/// How many threads with messages may ask for the GIL at the same time: one has it, and the next is there when it goes.
const THREADS_AT_THE_GIL: u64 = 3;

struct Process {
    id: u32,
    runtime: &'static Runtime,
    /// Before the GIL, for the threads of sockets.
    turnstile: &'static Turnstile,
}

/// Locked only by attached threads that do not detach meanwhile: when a process forks, which takes the GIL, nobody
/// else holds it, and the child can lock it.
static PROCESS: Mutex<Option<Process>> = Mutex::new(None);

static FINALIZING: AtomicBool = AtomicBool::new(false);
static FINALIZER: OnceLock<ThreadId> = OnceLock::new();

/// The runtime of this process, built at the first call in it and never dropped. After a fork the child builds its own:
/// the threads of its parent's are not there. `io_threads` counts only for the call that builds it.
///
/// # Errors
/// The operating system gives no thread or no descriptor.
pub(super) fn handle(_py: Python<'_>, io_threads: usize) -> std::io::Result<&'static Handle> {
    let id = process::id();
    let mut process = PROCESS.lock();
    if let Some(current) = process.as_ref().filter(|current| current.id == id) {
        return Ok(current.runtime.handle());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(io_threads)
        .thread_name("dwebsocket-io")
        .enable_all()
        .build()?;
    // A runtime of the parent process is left alone: dropping it would wait for threads that do not exist here.
    let runtime: &'static Runtime = Box::leak(Box::new(runtime));
    // Likewise the turnstile of the parent, in which threads that do not exist here may be.
    let turnstile: &'static Turnstile = Box::leak(Box::new(Turnstile::new(THREADS_AT_THE_GIL)));
    *process = Some(Process { id, runtime, turnstile });
    Ok(runtime.handle())
}

/// Runs `wait` without the GIL: the one way to wait. After [`finalize`] it does not return, except to the thread that
/// called that.
pub(super) fn detached<T, F>(py: Python<'_>, wait: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    py.detach(|| {
        let value = wait();
        park_if_finalizing();
        value
    })
}

/// The same for the threads of sockets, of which a rush of messages wakes hundreds at once: they come back through the
/// turnstile, a few at a time.
pub(super) fn detached_in_turn<T, F>(py: Python<'_>, wait: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    // A socket that is there to be waited for has a runtime, and with it a turnstile.
    let turnstile = PROCESS.lock().as_ref().map(|process| process.turnstile);
    let (value, inside) = detached(py, || {
        let value = wait();
        // Those inside when the interpreter begins to go never leave: the thread that ends it must not queue behind them.
        let turnstile = turnstile.filter(|_| !FINALIZING.load(Ordering::Acquire));
        (value, turnstile.map(Turnstile::enter))
    });
    // Only now, with the GIL in hand: whoever comes next waits for it while this thread works.
    drop(inside);
    value
}

/// Runs `function` attached to Python, for callbacks on threads of Python that may or may not be. After [`finalize`] it
/// does not begin, except on the thread that called that.
#[allow(clippy::disallowed_methods, reason = "the one place that attaches")]
pub(super) fn attached<T>(function: impl FnOnce(Python<'_>) -> T) -> T {
    park_if_finalizing();
    Python::attach(function)
}

/// From now on no thread but the calling one comes back to Python from [`detached`].
pub(super) fn finalize() {
    FINALIZER.get_or_init(|| thread::current().id());
    FINALIZING.store(true, Ordering::Release);
}

/// Never returns.
pub(super) fn park() -> ! {
    loop {
        thread::park();
    }
}

fn park_if_finalizing() {
    if FINALIZING.load(Ordering::Acquire) && FINALIZER.get() != Some(&thread::current().id()) {
        park();
    }
}
