//! The patience with a client that takes nothing.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{framing::Framing, link::Link};
pub(super) use crate::connection::socket::Socket;

/// A socket whose writes fail when the client takes nothing for the write timeout.
#[derive(Debug)]
pub(super) struct Patient {
    socket: Socket,
    timeout: Duration,
    link: Arc<Link>,
    framing: Framing,
    /// Made at the first stall and kept. While `stalled` is false it may still fire once, which wakes the task for
    /// nothing; stopping it at each progress would cost more.
    clock: Option<Pin<Box<Sleep>>>,
    stalled: bool,
}

impl Patient {
    pub(super) fn new(socket: Socket, timeout: Duration, link: Arc<Link>) -> Self {
        Self { socket, timeout, link, framing: Framing::default(), clock: None, stalled: false }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn into_inner(self) -> Socket {
        self.socket
    }

    /// Passes on the outcome of a write, and watches the clock while the socket takes nothing.
    fn watch(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = false;
            return written;
        }
        let timeout = self.timeout;
        let clock = self.clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        if !self.stalled {
            self.stalled = true;
            // A deadline past the end of time never comes; the clock's own distant default stays.
            if let Some(deadline) = Instant::now().checked_add(timeout) {
                clock.as_mut().reset(deadline);
            }
        }
        ready!(clock.as_mut().poll(context));
        self.link.client_stalled();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(context, buffer))?;
        this.framing.pass(&mut buffer.filled_mut()[before..]);
        if let Some(verdict) = this.framing.verdict() {
            this.link.judge(verdict);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Patient {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.watch(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(context, pieces);
        this.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
