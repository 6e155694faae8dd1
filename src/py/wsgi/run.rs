//! One exchange from the call of the application to the end of its response or its WebSocket.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::Instant,
};

use http::{Method, StatusCode};
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyOSError, PyRuntimeError, PyTypeError},
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyList, PyTuple, PyType},
};

use super::{
    environ::{Asked, Template},
    head::Head,
    input::Input,
    response::{Broken, Length, Response, SharedReply, StartResponse},
};
use crate::{
    connection::Connection,
    py::{
        call, log, runtime,
        websocket::{PyConnection, Upgrade},
    },
    server::{BodyError, Exchange, Slot},
    wire::{close, handshake::Handshake},
};

/// An application and what its calls have in common.
#[derive(Debug)]
pub(in crate::py) struct Service {
    pub(in crate::py) application: Py<PyAny>,
    pub(in crate::py) access_log: Option<Py<PyAny>>,
    pub(in crate::py) template: Template,
}

/// What is needed when a socket opens, and let go of when its view ends: the upgrade, which the environ holds, must not
/// hold the environ for ever.
struct Opening {
    service: Arc<Service>,
    environ: Py<PyDict>,
    slot: Slot,
    started: Instant,
}

/// An exchange while it runs.
struct Running<'a, 'py> {
    service: &'a Service,
    asked: Asked,
    environ: Bound<'py, PyDict>,
    input: Bound<'py, Input>,
    response: Arc<Response>,
    upgrade: Option<Bound<'py, Upgrade>>,
    opening: Arc<Mutex<Option<Opening>>>,
    started: Instant,
}

impl Service {
    /// Runs the application for one exchange on the calling thread. Whatever goes wrong is logged and answered; a panic of
    /// the server's own goes on to the caller, once the exchange holds nothing any more.
    pub(in crate::py) fn run(self: &Arc<Self>, py: Python<'_>, exchange: Box<Exchange>, slot: Slot) {
        let Some(running) = self.begin(py, exchange, slot) else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| running.run()));
        if outcome.is_err() {
            running.give_up();
        }
        let Running { environ, input, opening, response, upgrade, .. } = running;
        drop((response, upgrade));
        input.get().close();
        // Taken out under the lock, dropped without it.
        let opening = opening.lock().take();
        drop(opening);
        call::release(environ.into_any());
        if let Err(panic) = outcome {
            resume_unwind(panic);
        }
    }

    /// None: it has been refused. Apart, because the caller's frame stays on the stack as long as the view runs, with
    /// everything that was ever in it.
    #[inline(never)]
    fn begin<'py>(
        self: &Arc<Self>,
        py: Python<'py>,
        exchange: Box<Exchange>,
        slot: Slot,
    ) -> Option<Running<'_, 'py>> {
        let started = Instant::now();
        let Exchange { head, peer, local, body, reply, handshake } = *exchange;
        let reply: SharedReply = Arc::new(Mutex::new(Some(reply)));
        let response = Arc::new(Response::new(Arc::clone(&reply), head.method == Method::HEAD));
        let asked = Asked::new(&head);
        let environ = match self.template.environ(py, &head, &asked, peer, local) {
            Ok(Some(environ)) => environ,
            Ok(None) => {
                response.fail(Head::plain(StatusCode::BAD_REQUEST));
                return None;
            }
            Err(error) => return refuse(py, &asked, &response, &error),
        };
        let opening = Arc::new(Mutex::new(Some(Opening {
            service: Arc::clone(self),
            environ: environ.clone().unbind(),
            slot,
            started,
        })));
        let prepared = prepare(&environ, Input::new(body), handshake, reply, &opening);
        let (input, upgrade) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return refuse(py, &asked, &response, &error),
        };
        // The head ends here: it keeps the whole buffer that the request was read into.
        Some(Running { service: self, asked, environ, input, response, upgrade, opening, started })
    }

    /// Answers 503: no thread can be spared for the exchange.
    #[cold]
    #[inline(never)]
    pub(in crate::py) fn refuse_busy(exchange: Box<Exchange>) {
        let head_only = exchange.head.method == Method::HEAD;
        let response = Response::new(Arc::new(Mutex::new(Some(exchange.reply))), head_only);
        response.fail(Head::plain(StatusCode::SERVICE_UNAVAILABLE));
    }
}

fn refuse<T>(py: Python<'_>, asked: &Asked, response: &Response, error: &PyErr) -> Option<T> {
    log::exception(py, "the environ cannot be made", &asked.line(), error);
    response.fail(Head::plain(StatusCode::INTERNAL_SERVER_ERROR));
    None
}

fn prepare<'py>(
    environ: &Bound<'py, PyDict>,
    input: Input,
    handshake: Option<Handshake>,
    reply: SharedReply,
    opening: &Arc<Mutex<Option<Opening>>>,
) -> PyResult<(Bound<'py, Input>, Option<Bound<'py, Upgrade>>)> {
    let py = environ.py();
    let input = Bound::new(py, input)?;
    environ.set_item(intern!(py, "wsgi.input"), &input)?;
    let Some(handshake) = handshake else { return Ok((input, None)) };
    let opening = Arc::clone(opening);
    let opened = Box::new(move || runtime::attached(|py| opened(py, &opening)));
    let upgrade = Bound::new(py, Upgrade::new(reply, handshake, opened))?;
    environ.set_item(intern!(py, "dwebsocket.upgrade"), &upgrade)?;
    Ok((input, Some(upgrade)))
}

/// The 101 is on its way.
fn opened(py: Python<'_>, opening: &Mutex<Option<Opening>>) {
    let (service, environ, started) = {
        let opening = opening.lock();
        let Some(opening) = opening.as_ref() else { return };
        opening.slot.opened();
        (Arc::clone(&opening.service), opening.environ.clone_ref(py), opening.started)
    };
    let status = StatusCode::SWITCHING_PROTOCOLS.as_u16();
    service.log_response(environ.bind(py), status, 0, started);
}

impl<'py> Running<'_, 'py> {
    fn run(&self) {
        self.finish(self.call_application());
    }

    /// What comes after the call of the application; apart for the same reason as [`Service::begin`].
    #[inline(never)]
    fn finish(&self, produced: PyResult<Bound<'py, PyAny>>) {
        let py = self.environ.py();
        let delivered = match (&produced, self.connection()) {
            (Err(error), _) => Err(Broken::Application(error.clone_ref(py))),
            // A WebSocket has no response; what the application returns is only closed.
            (Ok(_), Some(_)) => Ok(Length::Right),
            (Ok(result), None) => match self.fault_of_client() {
                Some(status) => {
                    self.response.fail(Head::plain(status));
                    Ok(Length::Right)
                }
                None => self.deliver(result),
            },
        };
        let failed = match delivered {
            Ok(length) => self.note_length(length),
            Err(Broken::Client(error)) => {
                log::debug(py, &error.to_string(), &self.asked.line());
                false
            }
            Err(Broken::Application(error)) => self.note_exception(&error),
        };
        if let Some(connection) = self.connection() {
            self.end_socket(&connection, failed);
        } else {
            let status = self.response.status().unwrap_or_default();
            self.service.log_response(&self.environ, status, self.response.sent_bytes(), self.started);
        }
        if let Ok(result) = produced {
            self.close(result);
        }
    }

    /// Ends what a panic interrupted: others may hold the socket whose view is no more, or the way to answer.
    #[cold]
    fn give_up(&self) {
        match self.connection() {
            Some(connection) => connection.close(close::INTERNAL_ERROR, ""),
            None => self.response.fail(Head::plain(StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }

    fn connection(&self) -> Option<Connection> {
        self.upgrade.as_ref().and_then(|upgrade| upgrade.get().connection())
    }

    fn call_application(&self) -> PyResult<Bound<'py, PyAny>> {
        let py = self.environ.py();
        let start_response = Bound::new(py, StartResponse { response: Arc::clone(&self.response) })?;
        let arguments = PyTuple::new(py, [self.environ.as_any(), start_response.as_any()])?;
        caught(|| call::call(self.service.application.bind(py), &arguments, None))
    }

    fn deliver(&self, result: &Bound<'py, PyAny>) -> Result<Length, Broken> {
        caught(|| match whole(result)? {
            Some(pieces) if !self.response.is_sent() => Ok(self.response.send_whole(result.py(), &pieces)),
            Some(pieces) => Ok(self.stream(pieces.into_iter().map(|piece| Ok(piece.into_any())))),
            None => {
                let iterator = call::iterator(result)?;
                let delivered = self.stream(std::iter::from_fn(|| call::next(&iterator).transpose()));
                call::release(iterator);
                Ok(delivered)
            }
        })?
    }

    /// Sends each piece as it comes.
    fn stream(&self, pieces: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>) -> Result<Length, Broken> {
        let py = self.environ.py();
        let mut complete = false;
        for piece in pieces {
            let piece = bytes(&piece?)?;
            let length = piece.as_bytes().len() as u64;
            if length == 0 {
                continue;
            }
            if complete {
                return Ok(Length::TooLong);
            }
            if !self.response.is_sent() && self.response.length() == Some(length) {
                self.response.send_whole(py, &[piece])?;
                complete = true;
            } else {
                self.response.write(py, piece.as_bytes())?;
            }
            if self.response.is_bodyless() {
                break;
            }
        }
        match (complete, self.response.is_sent()) {
            (true, _) => Ok(Length::Right),
            (false, true) => self.response.finish(),
            (false, false) => self.response.send_whole(py, &[]),
        }
    }

    /// Whether the application failed.
    fn note_length(&self, length: Length) -> bool {
        let message = match length {
            Length::Right => return false,
            Length::TooLong => "the body is longer than its Content-Length and was cut",
            Length::TooShort => "the body is shorter than its Content-Length; the connection is closed",
        };
        log::error(self.environ.py(), message, &self.asked.line());
        true
    }

    /// The application raised, or broke the protocol. Whether it failed, or only ended because its client did.
    fn note_exception(&self, error: &PyErr) -> bool {
        let py = self.environ.py();
        let socket = self.connection().is_some();
        let failure = self.input.get().failure();
        let lost = self.response.is_client_lost() || failure.is_some();
        let ended = if socket { is_connection_closed(py, error) } else { lost && is_os_error(py, error) };
        if ended {
            log::debug(py, &format!("ended by {error}"), &self.asked.line());
        } else {
            log::exception(py, "the application failed", &self.asked.line(), error);
        }
        if !socket {
            let status = failure.filter(|_| ended).map_or(StatusCode::INTERNAL_SERVER_ERROR, status_of);
            self.response.fail(Head::plain(status));
        }
        !ended
    }

    /// What to answer instead of an error of the server that Django made of a body that could not be read. Whatever else
    /// the application answers, it meant.
    fn fault_of_client(&self) -> Option<StatusCode> {
        let failure = self.input.get().failure()?;
        let is_error = self.response.status().is_some_and(|status| status >= 500);
        (is_error && !self.response.is_sent()).then(|| status_of(failure))
    }

    /// The view of a socket has ended. The Close goes out behind what is queued; it changes nothing when the socket was
    /// closed before.
    fn end_socket(&self, connection: &Connection, failed: bool) {
        let py = self.environ.py();
        // Django turns what its middleware raises into a response; only its status tells of it.
        let server_error = self.response.status().is_some_and(|status| status >= 500);
        connection.close(if failed || server_error { close::INTERNAL_ERROR } else { close::NORMAL }, "");
        let Some(access_log) = &self.service.access_log else { return };
        let seconds = self.started.elapsed().as_secs_f64();
        let logged = Bound::new(py, PyConnection::new(connection.clone(), false)).and_then(|connection| {
            let arguments = (&self.environ, connection, seconds).into_pyobject(py)?;
            call::method(access_log.bind(py), intern!(py, "socket_closed"), &arguments)
        });
        log::report(py, logged.map(drop));
    }

    /// Tells the application that its result is done with (PEP 3333), once and always.
    fn close(&self, result: Bound<'py, PyAny>) {
        let py = self.environ.py();
        let closed = caught(|| call::method(&result, intern!(py, "close"), &PyTuple::empty(py)));
        if let Err(error) = closed {
            log::exception(py, "close() of the response failed", &self.asked.line(), &error);
        }
        call::release(result);
    }
}

impl Service {
    fn log_response(&self, environ: &Bound<'_, PyDict>, status: u16, sent_bytes: u64, started: Instant) {
        let Some(access_log) = &self.access_log else { return };
        let py = environ.py();
        let arguments = (environ, status, sent_bytes, started.elapsed().as_secs_f64());
        let logged = arguments
            .into_pyobject(py)
            .and_then(|arguments| call::method(access_log.bind(py), intern!(py, "response"), &arguments));
        log::report(py, logged.map(drop));
    }
}

/// The pieces of a body that is there as a whole: a list, a tuple, or a response of Django that is not streamed.
fn whole<'py>(result: &Bound<'py, PyAny>) -> PyResult<Option<Vec<Bound<'py, PyBytes>>>> {
    let py = result.py();
    if let Ok(list) = result.cast::<PyList>() {
        return list.iter().map(|piece| bytes(&piece)).collect::<PyResult<_>>().map(Some);
    }
    if let Ok(tuple) = result.cast::<PyTuple>() {
        return tuple.iter().map(|piece| bytes(&piece)).collect::<PyResult<_>>().map(Some);
    }
    let streaming = call::attribute(result, intern!(py, "streaming"))?;
    if !streaming.is_some_and(|streaming| streaming.is(pyo3::types::PyBool::new(py, false))) {
        return Ok(None);
    }
    let iterator = call::iterator(result)?;
    let mut pieces = Vec::new();
    while let Some(piece) = call::next(&iterator)? {
        pieces.push(bytes(&piece)?);
    }
    Ok(Some(pieces))
}

fn bytes<'py>(piece: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    piece
        .cast::<PyBytes>()
        .cloned()
        .map_err(|_| PyTypeError::new_err(format!("the body must be bytes, not {}", piece.get_type())))
}

fn status_of(failure: BodyError) -> StatusCode {
    match failure {
        BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
        BodyError::Invalid | BodyError::ClientGone => StatusCode::BAD_REQUEST,
    }
}

fn is_os_error(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyOSError>(py)
}

fn is_connection_closed(py: Python<'_>, error: &PyErr) -> bool {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASS.import(py, "dwebsocket.exceptions", "ConnectionClosed") {
        Ok(class) => error.is_instance(py, class),
        Err(import) => {
            import.write_unraisable(py, None);
            false
        }
    }
}

/// Runs what calls the application. A panic below (pyo3 lets one that passed through Python go on) becomes an exception,
/// so that the rest of the exchange is still done.
fn caught<T>(function: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(function))
        .unwrap_or_else(|_| Err(PyRuntimeError::new_err("a panic, told of apart, in the server's core")))
}
