//! The patience with a client that takes nothing.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{framing::Framing, link::Link, stream::Stream, tls::take};
pub(super) use crate::connection::Socket;

/// A connection whose writes fail when the client takes nothing for the write timeout.
#[derive(Debug)]
pub(super) struct Patient {
    stream: Stream,
    /// What has been read before.
    early: Bytes,
    timeout: Duration,
    link: Arc<Link>,
    framing: Framing,
    /// Made at the first stall and kept. While `stalled` is `None` it may still fire once, which wakes the task for
    /// nothing; stopping it at each progress would cost more.
    clock: Option<Pin<Box<Sleep>>>,
    /// What the client had taken when it began to take nothing, if it has.
    stalled: Option<u64>,
}

impl Patient {
    pub(super) fn new(stream: Stream, early: Bytes, timeout: Duration, link: Arc<Link>) -> Self {
        Self { stream, early, timeout, link, framing: Framing::default(), clock: None, stalled: None }
    }

    /// The connection, and what has been read before and not been passed on.
    pub(super) fn into_inner(self) -> (Stream, Bytes) {
        (self.stream, self.early)
    }

    /// Passes on the outcome of a write, a flush or a shutdown, and watches the clock while the client takes nothing.
    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let timeout = self.timeout;
        let clock = self.clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        let taken = self.stream.taken_bytes();
        if self.stalled != Some(taken) {
            self.stalled = Some(taken);
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
        if this.early.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        } else {
            take(&mut this.early, buffer);
        }
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
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.watch(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, pieces);
        this.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.watch(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut_down = Pin::new(&mut this.stream).poll_shutdown(context);
        this.watch(context, shut_down)
    }
}
