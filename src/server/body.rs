//! The body of a request, as the thread of a view reads it.
//!
//! The thread polls hyper's channel itself: one piece at most is on its way, so a body of any size takes the memory of
//! hyper's read buffer, and no task stands between the socket and the view.

use std::{
    error::Error,
    io,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;

use super::{
    link::Link,
    notices::{Notice, Notices},
};

/// What the application leaves unread is taken and thrown away up to this size, so that the connection can go on; with
/// more left the connection closes after the response.
const DRAIN_BYTES: u64 = 64 << 10;
/// How long the rest may take to arrive.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Why a request's body cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The client went away before the end of the body.
    #[error("the client went away before the end of the request's body")]
    ClientGone,
    /// No piece arrived for the body timeout.
    #[error("the request's body did not arrive in time")]
    TimedOut,
    /// More than the limit.
    #[error("the request's body has more than {limit} bytes")]
    TooLarge {
        /// The limit that was exceeded, in bytes.
        limit: usize,
    },
    /// The chunked coding is malformed.
    #[error("the request's body is malformed")]
    Invalid,
}

/// The body of one request. Dropped before its end, up to 64 KiB of the rest are taken and thrown away within two
/// seconds; with more left the connection closes after the response.
#[derive(Debug)]
pub struct RequestBody {
    /// `None` after the end.
    incoming: Option<Incoming>,
    failure: Option<BodyError>,
    /// What has been read of it.
    read_bytes: usize,
    /// The client waits for 100 Continue, which the first read sends.
    awaits_continue: bool,
    unread: Option<Arc<Unread>>,
    surroundings: Surroundings,
}

/// What a body needs to know of the connection it comes from.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) link: Arc<Link>,
    pub(super) runtime: Handle,
    pub(super) timeout: Duration,
    pub(super) limit: Option<Limit>,
}

/// The bytes a body may have, and whom to tell of a larger one.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) bytes: usize,
    pub(super) notices: Arc<Notices>,
    pub(super) address: Option<IpAddr>,
    pub(super) path: String,
}

/// Tells the reply how much of the request is left.
#[derive(Debug)]
pub(super) struct Unread {
    /// More than can be thrown away is left, so that the connection ends with this exchange.
    too_much: AtomicBool,
}

impl Unread {
    pub(super) fn is_too_much(&self) -> bool {
        // Relaxed: a hint for the response's head; the connection closes by what the body's drop finds.
        self.too_much.load(Ordering::Relaxed)
    }
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, awaits_continue: bool, surroundings: Surroundings) -> Self {
        let incoming = Some(incoming).filter(|incoming| !incoming.is_end_stream());
        let unread = incoming.is_some().then(|| Arc::new(Unread { too_much: AtomicBool::new(false) }));
        let body = Self { incoming, failure: None, read_bytes: 0, awaits_continue, unread, surroundings };
        body.tell_what_is_left();
        body
    }

    /// `None` for a request without a body.
    pub(super) fn unread(&self) -> Option<Arc<Unread>> {
        self.unread.clone()
    }

    /// Takes the next piece; `None` at the end. Blocks the calling thread, for the body timeout at most. The first
    /// read asks a client that waits for it to continue.
    ///
    /// # Errors
    /// The client went away, was silent too long, or sent a malformed body or too large a one; every further call gives
    /// the same error.
    pub fn read(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        self.awaits_continue = false;
        let deadline = Instant::now().checked_add(self.surroundings.timeout);
        loop {
            let Some(incoming) = &mut self.incoming else { return Ok(None) };
            let outcome = match wait_for_frame(incoming, deadline) {
                Ok(None) => {
                    self.incoming = None;
                    Ok(None)
                }
                Ok(Some(frame)) => match frame.into_data() {
                    Ok(piece) if !piece.is_empty() => self.within_bounds(piece).map(Some),
                    // Trailers: WSGI has no place for them.
                    _ => continue,
                },
                Err(error) => Err(error),
            };
            self.failure = outcome.as_ref().err().copied();
            self.tell_what_is_left();
            return outcome;
        }
    }

    /// Whether the client announces more than the limit. Of a chunked body nobody knows before it has come.
    pub(super) fn is_announced_too_large(&self) -> bool {
        let announced = self.incoming.as_ref().map_or(0, |incoming| incoming.size_hint().lower());
        self.surroundings.limit.as_ref().is_some_and(|limit| announced > limit.bytes as u64)
    }

    fn within_bounds(&mut self, piece: Bytes) -> Result<Bytes, BodyError> {
        self.read_bytes = self.read_bytes.saturating_add(piece.len());
        match &self.surroundings.limit {
            Some(limit) if self.read_bytes > limit.bytes => {
                limit.notices.note(Notice::BodyTooLarge, limit.address, &limit.path);
                Err(BodyError::TooLarge { limit: limit.bytes })
            }
            _ => Ok(piece),
        }
    }

    /// Whether the request has no body, or all of it has been read.
    pub fn is_empty(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn tell_what_is_left(&self) {
        if let Some(unread) = &self.unread {
            unread.too_much.store(self.is_beyond_draining(), Ordering::Relaxed);
        }
    }

    fn is_beyond_draining(&self) -> bool {
        let Some(incoming) = &self.incoming else { return false };
        // A client that waits for 100 Continue may, or may not, send its body after the response.
        self.failure.is_some() || self.awaits_continue || incoming.size_hint().lower() > DRAIN_BYTES
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.is_empty() {
            return;
        }
        if self.is_beyond_draining() {
            self.surroundings.link.leave_unread();
        } else if let Some(incoming) = self.incoming.take() {
            let link = Arc::clone(&self.surroundings.link);
            self.surroundings.runtime.spawn(drain(incoming, link));
        }
    }
}

/// Takes the rest of a body and throws it away, within the bounds.
async fn drain(mut incoming: Incoming, link: Arc<Link>) {
    let within_bounds = async {
        let mut left = DRAIN_BYTES;
        while let Some(frame) = incoming.frame().await {
            let Ok(frame) = frame else { return false };
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            let Some(rest) = left.checked_sub(length) else { return false };
            left = rest;
        }
        true
    };
    if !matches!(tokio::time::timeout(DRAIN_TIME, within_bounds).await, Ok(true)) {
        link.leave_unread();
    }
}

/// The next frame; `None` at the end.
fn wait_for_frame(
    incoming: &mut Incoming,
    deadline: Option<Instant>,
) -> Result<Option<Frame<Bytes>>, BodyError> {
    let waker = thread_waker();
    let mut context = Context::from_waker(&waker);
    let mut incoming = pin!(incoming);
    loop {
        if let Poll::Ready(frame) = incoming.as_mut().poll_frame(&mut context) {
            return frame.transpose().map_err(|error| classify(&error));
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // A wake between the poll and the park leaves a token, so that the park returns at once.
        match left {
            None => thread::park(),
            Some(Duration::ZERO) => return Err(BodyError::TimedOut),
            Some(left) => thread::park_timeout(left),
        }
    }
}

fn thread_waker() -> Waker {
    thread_local! {
        static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
    }
    WAKER.with(Waker::clone)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Tells a malformed body from a client that went away.
fn classify(error: &hyper::Error) -> BodyError {
    let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => BodyError::Invalid,
        _ => BodyError::ClientGone,
    }
}
