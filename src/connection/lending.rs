//! The driver's socket in the hands of those who send.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::net::{SendFlags, send};

use super::{direct::WriteNow, shared::Shared, socket::Socket};

/// How many forks lie between the first process and this one. To ask for the number of a process is a system call.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A plain socket that is the driver's.
#[derive(Debug)]
pub(super) struct Lent {
    socket: RawFd,
    /// A child that was forked inherits the socket, and what its own threads would write there would fall between the
    /// frames of its parent.
    forks: u32,
}

impl WriteNow for Lent {
    #[allow(unsafe_code, reason = "the socket is the driver's, who cannot be borrowed from")]
    fn write_now(&self, bytes: &[u8]) -> usize {
        // A child has one thread at first, and that one has counted before it could come here.
        if self.forks != FORKS.load(Ordering::Relaxed) {
            return 0;
        }
        // SAFETY: the descriptor is open: a `Lending` put it into the slot, under whose lock this is called, and takes it
        // out again, under that lock, before the socket it belongs to is dropped.
        let socket = unsafe { BorrowedFd::borrow_raw(self.socket) };
        send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).unwrap_or(0)
    }
}

/// Lends the driver's socket to senders until it is dropped.
pub(super) struct Lending(Arc<Shared>);

impl Lending {
    /// Whoever drops the socket drops this first.
    pub(super) fn begin(shared: &Arc<Shared>, socket: &Socket) -> Self {
        if counts_forks() {
            let (socket, forks) = (socket.as_fd().as_raw_fd(), FORKS.load(Ordering::Relaxed));
            shared.direct.lend(Lent { socket, forks });
        }
        Self(Arc::clone(shared))
    }
}

/// Whether every fork from now on is counted in the child; without memory for that it is not.
fn counts_forks() -> bool {
    extern "C" fn in_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }

    static ANSWER: OnceLock<bool> = OnceLock::new();
    #[allow(unsafe_code, reason = "what is to be done in a child the C library is told")]
    // SAFETY: the function only counts, which it may in a child of many threads too, and is there as long as the process:
    // nothing unloads an extension of Python.
    *ANSWER.get_or_init(|| unsafe { libc::pthread_atfork(None, None, Some(in_child)) == 0 })
}

impl Drop for Lending {
    fn drop(&mut self) {
        self.0.direct.take_back();
    }
}
