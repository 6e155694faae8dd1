//! The body of a response on its way from a view's thread to hyper.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{link::Link, reply::WriteError};
use crate::connection::mailbox::Mailbox;

/// Pieces of a response that may wait for the client.
const WAITING_PIECES: usize = 64;
/// Bytes of a response that may wait for the client (one piece may exceed it alone).
const WAITING_BYTES: usize = 256 << 10;

/// The pieces of a response that wait for the client.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Closed by the writer at its end, or by hyper's side when the client is gone.
    pieces: Mailbox<Bytes>,
    finished: AtomicBool,
    /// hyper took all that the head tells, and wants no more.
    satisfied: AtomicBool,
    ended_by_close: bool,
    link: Arc<Link>,
}

// Relaxed throughout: the mailbox's lock orders each flag before the close after which the other side reads it.
impl Pipe {
    /// `ended_by_close`: only the close tells the client where the body ends.
    pub(super) fn new(ended_by_close: bool, link: Arc<Link>) -> Self {
        let pieces = Mailbox::new(WAITING_PIECES, WAITING_BYTES);
        Self {
            pieces,
            finished: AtomicBool::new(false),
            satisfied: AtomicBool::new(false),
            ended_by_close,
            link,
        }
    }

    /// Waits for room. No clock of its own: the socket's ends the connection, which closes the mailbox.
    pub(super) fn put(&self, piece: Bytes) -> Result<(), WriteError> {
        self.pieces.put(piece, None).or_else(|_closed| self.outcome())
    }

    pub(super) fn finish(&self) -> Result<(), WriteError> {
        if self.pieces.is_closed() {
            return self.outcome();
        }
        self.finished.store(true, Ordering::Relaxed);
        self.pieces.close();
        Ok(())
    }

    pub(super) fn abandon(&self) {
        self.pieces.close();
    }

    /// What it means that hyper's side closed the mailbox.
    fn outcome(&self) -> Result<(), WriteError> {
        if self.satisfied.load(Ordering::Relaxed) {
            Ok(())
        } else if self.link.has_stalled() {
            Err(WriteError::TimedOut)
        } else {
            Err(WriteError::ClientGone)
        }
    }
}

/// The application gave its response up, or wrote less than it told; hyper closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the application did not finish its response")]
pub(super) struct Unfinished;

/// The body of a response, as hyper takes it.
#[derive(Debug)]
pub(super) struct ReplyBody {
    source: Source,
    /// What is left of the length that the head tells, if it tells one.
    left: Option<u64>,
    /// hyper had the chance to send what came before the error.
    yielded: bool,
}

#[derive(Debug)]
enum Source {
    Whole(Bytes),
    Pieces(Arc<Pipe>),
}

impl ReplyBody {
    /// The body of a response that has none, whatever its head tells.
    pub(super) fn empty() -> Self {
        Self::whole(Bytes::new(), None)
    }

    pub(super) fn whole(body: Bytes, told_length: Option<u64>) -> Self {
        Self { source: Source::Whole(body), left: told_length, yielded: false }
    }

    pub(super) fn pieces(pipe: Arc<Pipe>, told_length: Option<u64>) -> Self {
        Self { source: Source::Pieces(pipe), left: told_length, yielded: false }
    }

    /// The next piece; `Ready(Ok(None))` at the regular end.
    fn poll_piece(&mut self, context: &Context<'_>) -> Poll<Result<Option<Bytes>, Unfinished>> {
        let (piece, complete) = match &mut self.source {
            Source::Whole(body) => (Some(std::mem::take(body)).filter(|body| !body.is_empty()), true),
            Source::Pieces(pipe) => {
                let piece = ready!(pipe.pieces.poll_take(context));
                (piece, pipe.finished.load(Ordering::Relaxed))
            }
        };
        if let (Some(piece), Some(left)) = (&piece, &mut self.left) {
            *left = left.saturating_sub(piece.len() as u64);
        }
        if piece.is_some() || (complete && self.left.is_none_or(|left| left == 0)) {
            return Poll::Ready(Ok(piece));
        }
        Poll::Ready(Err(Unfinished))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Unfinished;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unfinished>>> {
        let this = self.get_mut();
        let error = match ready!(this.poll_piece(context)) {
            Ok(piece) => return Poll::Ready(piece.map(|piece| Ok(Frame::data(piece)))),
            Err(error) => error,
        };
        if !this.yielded {
            // hyper flushes when a body has nothing for it, and forgets what it holds at an error.
            this.yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Source::Pieces(pipe) = &this.source
            && pipe.ended_by_close
        {
            pipe.link.cut_off();
        }
        Poll::Ready(Some(Err(error)))
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(body) if self.left.is_none_or(|left| left == body.len() as u64) => {
                SizeHint::with_exact(body.len() as u64)
            }
            // hyper then goes by the length in the head, and cuts what is longer.
            _ => SizeHint::default(),
        }
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        if let Source::Pieces(pipe) = &self.source {
            pipe.satisfied.store(self.left == Some(0), Ordering::Relaxed);
            drop(pipe.pieces.close_and_clear());
        }
    }
}
