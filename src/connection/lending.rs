//! The driver's socket in the hands of those who send.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    process,
    sync::Arc,
};

use rustix::net::{SendFlags, send};

use super::{direct::WriteNow, shared::Shared, socket::Socket};

/// A plain socket that is the driver's.
#[derive(Debug)]
pub(super) struct Lent {
    socket: RawFd,
    /// A child that was forked inherits the socket, and what its own threads would write there would fall between the
    /// frames of its parent.
    process: u32,
}

impl WriteNow for Lent {
    #[allow(unsafe_code, reason = "the socket is the driver's, who cannot be borrowed from")]
    fn write_now(&self, bytes: &[u8]) -> usize {
        if self.process != process::id() {
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
        shared.direct.lend(Lent { socket: socket.as_fd().as_raw_fd(), process: process::id() });
        Self(Arc::clone(shared))
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        self.0.direct.take_back();
    }
}
