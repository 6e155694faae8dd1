//! The way an application answers a request.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Version, header};
use tokio::sync::oneshot;

use super::{
    app::Exchange,
    body::Unread,
    link::Link,
    pipe::{Pipe, ReplyBody},
    sockets::{Sockets, Upgraded},
};
use crate::{config::ConnectionConfig, connection::Connection, wire::offer::Agreement};

/// The client went away before the response began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client went away before the response began")]
pub struct ClientGone;

/// Why a piece of a response was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The client went away.
    #[error("the client went away before the end of the response")]
    ClientGone,
    /// The client took nothing for the write timeout.
    #[error("the client did not take the response in time")]
    TimedOut,
}

/// The way to answer one request, once. Dropped unanswered, it sends 500.
#[derive(Debug)]
pub struct Reply {
    sender: oneshot::Sender<Answer>,
    link: Arc<Link>,
    unread: Option<Arc<Unread>>,
    sockets: Arc<Sockets>,
    version: Version,
    /// The request was HEAD: the response has the head of a GET's and no body.
    head_only: bool,
}

/// What a reply tells hyper's task.
#[derive(Debug)]
pub(super) enum Answer {
    Response(Response<ReplyBody>),
    Upgrade(Response<()>, Upgraded),
}

impl Reply {
    pub(super) fn new(
        request: (&Method, Version),
        link: Arc<Link>,
        unread: Option<Arc<Unread>>,
        sockets: Arc<Sockets>,
    ) -> (Self, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        let (method, version) = request;
        let head_only = method == Method::HEAD;
        (Self { sender, link, unread, sockets, version, head_only }, receiver)
    }

    /// Answers with a whole response. Never blocks. Where the head has no `Content-Length`, it is added; where it tells
    /// another length, a longer body is cut and a shorter one ends in a closed connection. A response that cannot have
    /// a body (to HEAD, 204, 304) is sent without it.
    ///
    /// # Errors
    /// The client went away.
    pub fn send(self, mut head: Response<()>, body: Bytes) -> Result<(), ClientGone> {
        let fields = head.headers_mut();
        if self.head_only && !fields.contains_key(header::CONTENT_LENGTH) && !body.is_empty() {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let body = if self.is_bodiless(head.status()) {
            ReplyBody::empty()
        } else {
            ReplyBody::whole(body, told_length(&head))
        };
        self.respond(head, body)
    }

    /// Begins a response whose body is written piece by piece: chunked, or of the `Content-Length` the head tells, or
    /// (to HTTP/1.0) ended by the close. Never blocks.
    ///
    /// # Errors
    /// The client went away.
    pub fn start(self, head: Response<()>) -> Result<BodyWriter, ClientGone> {
        if self.is_bodiless(head.status()) {
            self.send(head, Bytes::new())?;
            return Ok(BodyWriter { pipe: None });
        }
        let told_length = told_length(&head);
        let ended_by_close = self.version == Version::HTTP_10 && told_length.is_none();
        let pipe = Arc::new(Pipe::new(ended_by_close, Arc::clone(&self.link)));
        let writer = BodyWriter { pipe: Some(Arc::clone(&pipe)) };
        self.respond(head, ReplyBody::pieces(pipe, told_length))?;
        Ok(writer)
    }

    /// The limits that a WebSocket would have.
    pub fn config(&self) -> &Arc<ConnectionConfig> {
        &self.sockets.config
    }

    /// Answers a handshake with 101 and opens the WebSocket. Never blocks. If the client went away, the connection is
    /// lost from the start; if the server closes its connections, it begins with the Close. `agreement` is what the head
    /// says of compression.
    pub fn upgrade(self, head: Response<()>, agreement: Option<Agreement>) -> Connection {
        let (connection, upgraded) = self.sockets.open(agreement);
        // Undelivered, the driver in it is dropped, which is how the connection learns that it is lost.
        let _undelivered = self.sender.send(Answer::Upgrade(head, upgraded));
        connection
    }

    fn respond(self, mut head: Response<()>, body: ReplyBody) -> Result<(), ClientGone> {
        if head.status() == StatusCode::NO_CONTENT || head.status().is_informational() {
            head.headers_mut().remove(header::CONTENT_LENGTH);
        }
        if self.unread.as_ref().is_some_and(|unread| unread.is_too_much()) {
            head.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.sender.send(Answer::Response(head.map(|()| body))).map_err(|_| ClientGone)
    }

    fn is_bodiless(&self, status: StatusCode) -> bool {
        self.head_only
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }
}

/// The length the head tells, if it tells one that can be read.
fn told_length(head: &Response<()>) -> Option<u64> {
    head.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A short answer in plain text.
pub(super) fn plain(status: StatusCode, text: &str) -> (Response<()>, Bytes) {
    let mut head = Response::new(());
    *head.status_mut() = status;
    let fields = head.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    (head, Bytes::from(format!("{text}\n")))
}

/// Answers an exchange that the application never sees.
pub(super) fn refuse(exchange: Exchange, status: StatusCode, text: &str) {
    let (head, body) = plain(status, text);
    // A client that is gone needs no refusal.
    let _gone: Result<(), ClientGone> = exchange.reply.send(head, body);
}

/// The body of a response that has begun. Dropped before [`BodyWriter::finish`], it cuts the response off visibly: the
/// connection closes.
#[derive(Debug)]
pub struct BodyWriter {
    /// `None`: the response has no body, and what is written is thrown away.
    pipe: Option<Arc<Pipe>>,
}

impl BodyWriter {
    /// Queues one piece, which is sent at once. Blocks the calling thread while 256 KiB wait for the client, for the
    /// write timeout at most. An empty piece does nothing; what exceeds the length told in the head is thrown away.
    ///
    /// # Errors
    /// The client went away or takes nothing.
    pub fn write(&mut self, piece: Bytes) -> Result<(), WriteError> {
        let Some(pipe) = &self.pipe else { return Ok(()) };
        if piece.is_empty() { Ok(()) } else { pipe.put(piece) }
    }

    /// Ends the response. Does not wait until the client has taken it.
    ///
    /// # Errors
    /// The client went away or takes nothing.
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.pipe.take().map_or(Ok(()), |pipe| pipe.finish())
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        if let Some(pipe) = &self.pipe {
            pipe.abandon();
        }
    }
}
