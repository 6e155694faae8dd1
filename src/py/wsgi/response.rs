//! The response of an exchange: `start_response`, `write`, and what the runner sends.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyRuntimeError, PyTypeError},
    prelude::*,
    types::{PyBytes, PyTuple},
};

use super::head::Head;
use crate::{
    py::runtime,
    server::{BodyWriter, Reply, WriteError},
};

/// The way to answer an exchange; whoever answers takes it: the response, or the upgrade to a WebSocket.
pub(in crate::py) type SharedReply = Arc<Mutex<Option<Reply>>>;

/// Most bytes handed over at once: what a response costs in memory beyond what the application holds.
const PIECE_BYTES: usize = 256 << 10;

/// Why a response was not sent to its end.
pub(super) enum Broken {
    /// The client is gone or takes nothing.
    Client(WriteError),
    /// The application did something wrong, or raised.
    Application(PyErr),
}

impl From<PyErr> for Broken {
    fn from(error: PyErr) -> Self {
        Self::Application(error)
    }
}

impl From<WriteError> for Broken {
    fn from(error: WriteError) -> Self {
        Self::Client(error)
    }
}

impl From<Broken> for PyErr {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Client(error) => error.into(),
            Broken::Application(error) => error,
        }
    }
}

/// How the length of a body compares with its `Content-Length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// The same, or none was declared.
    Right,
    /// Bytes were left out.
    TooLong,
    /// The response was cut off: the client sees the connection close early.
    TooShort,
}

/// One response.
pub(super) struct Response {
    reply: SharedReply,
    /// The answer to HEAD: a head without its body.
    head_only: bool,
    state: Mutex<State>,
}

struct State {
    head: Option<Head>,
    progress: Progress,
    sent_bytes: u64,
    client_lost: bool,
}

enum Progress {
    Unsent,
    Streaming(Stream),
    /// A thread writes, and holds the stream.
    Writing,
    Done,
}

struct Stream {
    /// None: a response without a body.
    writer: Option<BodyWriter>,
    /// Bytes until the declared length is reached.
    left: Option<u64>,
    too_long: bool,
}

impl Response {
    pub(super) fn new(reply: SharedReply, head_only: bool) -> Self {
        let state = State { head: None, progress: Progress::Unsent, sent_bytes: 0, client_lost: false };
        Self { reply, head_only, state: Mutex::new(state) }
    }

    /// Whether `start_response` was called.
    pub(super) fn has_head(&self) -> bool {
        self.state.lock().head.is_some()
    }

    /// Whether the head is on its way, and nothing can take it back.
    pub(super) fn is_sent(&self) -> bool {
        !matches!(self.state.lock().progress, Progress::Unsent)
    }

    /// Whether a piece was not taken by the client.
    pub(super) fn is_client_lost(&self) -> bool {
        self.state.lock().client_lost
    }

    /// Whether the body is not sent, whatever the application gives.
    pub(super) fn is_bodyless(&self) -> bool {
        self.head_only || self.state.lock().head.as_ref().is_some_and(Head::is_bodyless)
    }

    /// The status given so far.
    pub(super) fn status(&self) -> Option<u16> {
        self.state.lock().head.as_ref().map(|head| head.status().as_u16())
    }

    /// The declared length of the body.
    pub(super) fn length(&self) -> Option<u64> {
        self.state.lock().head.as_ref().and_then(Head::length)
    }

    /// Bytes of the body sent so far.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.state.lock().sent_bytes
    }

    /// Replaces the head. Only before it is sent.
    pub(super) fn set_head(&self, head: Head) {
        self.state.lock().head = Some(head);
    }

    /// Sends everything at once, with its length.
    ///
    /// # Errors
    /// The client is gone, or `start_response` was not called.
    pub(super) fn send_whole(&self, py: Python<'_>, pieces: &[Bound<'_, PyBytes>]) -> Result<Length, Broken> {
        let total = pieces.iter().map(|piece| piece.as_bytes().len()).sum::<usize>();
        let declared = {
            let mut state = self.state.lock();
            let head = state.head.as_mut().ok_or_else(no_head)?;
            head.declare_length(total as u64);
            head.length()
        };
        let bodyless = self.is_bodyless();
        if total > PIECE_BYTES || !(bodyless || declared == Some(total as u64)) {
            for piece in pieces {
                self.write(py, piece.as_bytes())?;
            }
            return self.finish();
        }
        let body = match pieces {
            _ if bodyless => Bytes::new(),
            [piece] => Bytes::copy_from_slice(piece.as_bytes()),
            pieces => {
                let mut body = Vec::with_capacity(total);
                for piece in pieces {
                    body.extend_from_slice(piece.as_bytes());
                }
                body.into()
            }
        };
        let mut state = self.state.lock();
        let (reply, head) = self.begin(&mut state)?;
        state.sent_bytes = body.len() as u64;
        reply.send(head.into_response(), body).map_err(|_| WriteError::ClientGone)?;
        Ok(Length::Right)
    }

    /// Sends a piece of the body, the head before the first one. Waits, without the GIL, until the client takes it. What
    /// exceeds the declared length is left out.
    ///
    /// # Errors
    /// The client is gone or takes nothing; `start_response` was not called; another thread writes.
    pub(super) fn write(&self, py: Python<'_>, piece: &[u8]) -> Result<(), Broken> {
        let mut stream = self.stream()?;
        let written = stream.write(py, piece);
        let mut state = self.state.lock();
        let sent = match written {
            Ok(sent) => {
                state.progress = Progress::Streaming(stream);
                sent
            }
            Err(error) => {
                state.progress = Progress::Done;
                state.client_lost = true;
                return Err(error.into());
            }
        };
        state.sent_bytes += sent;
        Ok(())
    }

    /// Ends a response that was begun by [`Response::write`].
    ///
    /// # Errors
    /// The client is gone, or `start_response` was not called.
    pub(super) fn finish(&self) -> Result<Length, Broken> {
        let stream = self.stream()?;
        self.state.lock().progress = Progress::Done;
        if stream.left.is_some_and(|left| left > 0) && stream.writer.is_some() {
            return Ok(Length::TooShort);
        }
        let finished = stream.writer.map_or(Ok(()), BodyWriter::finish);
        // A client that has everything that was declared may go before it is told that this was all.
        if stream.left != Some(0) {
            finished?;
        }
        Ok(if stream.too_long { Length::TooLong } else { Length::Right })
    }

    /// Answers with a plain response of the server's own if nothing was sent yet; otherwise cuts the response off.
    pub(super) fn fail(&self, head: Head) {
        let mut state = self.state.lock();
        if let Progress::Unsent = state.progress {
            state.head = Some(head);
            if let Ok((reply, mut head)) = self.begin(&mut state) {
                let text = head.status().canonical_reason().unwrap_or_default();
                head.declare_length(text.len() as u64);
                let body = if self.head_only { Bytes::new() } else { Bytes::from_static(text.as_bytes()) };
                state.sent_bytes = body.len() as u64;
                // A client that is gone misses nothing.
                let _ = reply.send(head.into_response(), body);
            }
        }
        state.progress = Progress::Done;
    }

    /// The stream, begun if need be; [`Progress::Writing`] stands for it meanwhile.
    fn stream(&self) -> Result<Stream, Broken> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.progress, Progress::Writing) {
            Progress::Streaming(stream) => Ok(stream),
            Progress::Unsent => {
                let (reply, head) = self.begin(&mut state)?;
                let bodyless = self.head_only || head.is_bodyless();
                let left = head.length();
                let head = head.into_response();
                let writer = if bodyless {
                    reply.send(head, Bytes::new()).map(|()| None)
                } else {
                    reply.start(head).map(Some)
                };
                let writer = writer.map_err(|_| WriteError::ClientGone)?;
                state.progress = Progress::Writing;
                Ok(Stream { writer, left, too_long: false })
            }
            Progress::Writing => Err(PyRuntimeError::new_err("another thread writes the response").into()),
            Progress::Done => {
                state.progress = Progress::Done;
                Err(WriteError::ClientGone.into())
            }
        }
    }

    /// Takes what the head is sent with. Afterwards the response is done, unless the caller says otherwise.
    fn begin(&self, state: &mut State) -> Result<(Reply, Head), Broken> {
        let Some(head) = state.head.clone() else {
            state.progress = Progress::Unsent;
            return Err(no_head().into());
        };
        state.progress = Progress::Done;
        match self.reply.lock().take() {
            Some(reply) => Ok((reply, head)),
            None => Err(PyRuntimeError::new_err("the request has become a WebSocket").into()),
        }
    }
}

impl Stream {
    /// Gives how many bytes went out.
    fn write(&mut self, py: Python<'_>, piece: &[u8]) -> Result<u64, WriteError> {
        let Some(writer) = &mut self.writer else { return Ok(0) };
        let mut allowed = piece;
        if let Some(left) = self.left {
            let end = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            self.too_long |= end < piece.len();
            allowed = &piece[..end];
            self.left = Some(left - end as u64);
        }
        for part in allowed.chunks(PIECE_BYTES) {
            let part = Bytes::copy_from_slice(part);
            runtime::detached(py, || writer.write(part))?;
        }
        Ok(allowed.len() as u64)
    }
}

fn no_head() -> PyErr {
    PyRuntimeError::new_err("the application has not called start_response")
}

/// The callable of PEP 3333 that an application announces its response with.
#[pyclass(frozen, module = "dwebsocket._core")]
pub(super) struct StartResponse {
    pub(super) response: Arc<Response>,
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info=None))]
    fn __call__(
        &self,
        status: &Bound<'_, PyAny>,
        headers: &Bound<'_, PyAny>,
        exc_info: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Write> {
        match exc_info {
            Some(exc_info) if self.response.is_sent() => return Err(raised(exc_info)?),
            None if self.response.has_head() => {
                return Err(PyRuntimeError::new_err(
                    "start_response was called before, and without exc_info",
                ));
            }
            _ => {}
        }
        self.response.set_head(Head::parse(status, headers)?);
        Ok(Write { response: Arc::clone(&self.response) })
    }
}

/// The exception that `sys.exc_info()` gave.
fn raised(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let py = exc_info.py();
    let Some(exc_info) = exc_info.cast::<PyTuple>().ok().filter(|tuple| tuple.len() == 3) else {
        return Err(PyTypeError::new_err(format!("exc_info must be a tuple of three, not {exc_info:?}")));
    };
    let error = PyErr::from_value(exc_info.get_item(1)?);
    if let Ok(traceback) = exc_info.get_item(2)?.cast_into() {
        error.set_traceback(py, Some(traceback));
    }
    Ok(error)
}

/// The callable that `start_response` returns.
#[pyclass(frozen, module = "dwebsocket._core")]
pub(super) struct Write {
    response: Arc<Response>,
}

#[pymethods]
impl Write {
    fn __call__(&self, py: Python<'_>, piece: &Bound<'_, PyAny>) -> PyResult<()> {
        let Ok(piece) = piece.cast::<PyBytes>() else {
            return Err(PyTypeError::new_err(format!("the body must be bytes, not {piece:?}")));
        };
        Ok(self.response.write(py, piece.as_bytes())?)
    }
}
