//! A WebSocket as Python sees it: the primitives under `dwebsocket.websocket`.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::{IntoPyDict, PyBytes, PyDict, PyString, PyTuple},
};

use super::{adopt::Foreign, caller, exceptions, frame, runtime};
use crate::{
    connection::{Bell, Connection, Patience, Taken, agree, waker::Wake},
    error::{ClosedBy, Fault, ProtocolError},
    server::Reply,
    wire::{
        close,
        frame::{MAX_CONTROL_PAYLOAD, encode_ping, encode_pong},
        handshake::{self, Handshake},
        message::{Kind, Message},
        offer::Agreement,
    },
};

/// Timeouts of more seconds (30 years) are for ever.
const LONGEST_TIMEOUT_SECONDS: f64 = 1e9;

/// A valid WebSocket handshake waiting to be accepted.
#[pyclass(frozen, weakref, module = "dwebsocket._core")]
pub(super) struct Upgrade {
    handshake: Handshake,
    way: Way,
    connection: OnceLock<Connection>,
}

/// How a handshake is answered.
enum Way {
    /// By our server.
    Server {
        /// Shared with whoever answers the request as plain HTTP; who takes it first answers.
        reply: Arc<Mutex<Option<Reply>>>,
        opened: Box<dyn Fn() + Send + Sync>,
    },
    /// On the socket of another server; None once it is ours.
    Adoption(Mutex<Option<Foreign>>),
}

impl Upgrade {
    /// `opened` is called, attached to Python and with no lock held, once the 101 is on its way.
    pub(super) fn new(
        reply: Arc<Mutex<Option<Reply>>>,
        handshake: Handshake,
        opened: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self { handshake, way: Way::Server { reply, opened }, connection: OnceLock::new() }
    }

    /// A handshake that came by another server.
    pub(super) fn foreign(handshake: Handshake, foreign: Foreign) -> Self {
        Self { handshake, way: Way::Adoption(Mutex::new(Some(foreign))), connection: OnceLock::new() }
    }

    /// What is agreed on with the client of compression; nothing once the handshake has been answered.
    fn agree(&self, compression: Option<bool>) -> Option<Agreement> {
        let config = match &self.way {
            Way::Server { reply, .. } => Arc::clone(reply.lock().as_ref()?.config()),
            Way::Adoption(foreign) => Arc::clone(foreign.lock().as_ref()?.config()),
        };
        agree(&config, &self.handshake.extensions, compression)
    }

    /// The connection, if the handshake was accepted.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.connection.get().cloned()
    }
}

#[pymethods]
impl Upgrade {
    #[getter]
    fn subprotocols<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.handshake.subprotocols)
    }

    #[getter]
    fn accepted(&self) -> bool {
        self.connection.get().is_some()
    }

    #[pyo3(signature = (subprotocol=None, *, text_as_str=false, compression=None))]
    fn accept(
        &self,
        py: Python<'_>,
        subprotocol: Option<&str>,
        text_as_str: bool,
        compression: Option<bool>,
    ) -> PyResult<PyConnection> {
        let agreement = self.agree(compression);
        let head = self.handshake.response(subprotocol, agreement);
        let head = head.map_err(|error| PyValueError::new_err(error.to_string()))?;
        let answered = || PyRuntimeError::new_err("the handshake has already been answered");
        let connection = match &self.way {
            Way::Server { reply, opened } => {
                let reply = reply.lock().take().ok_or_else(answered)?;
                let connection = self.connection.get_or_init(|| reply.upgrade(head, agreement)).clone();
                opened();
                connection
            }
            Way::Adoption(foreign) => {
                // Taken out meanwhile: no lock is held while Python runs.
                let taken = foreign.lock().take().ok_or_else(answered)?;
                match taken.accept(py, handshake::encode_head(&head), agreement) {
                    Ok(connection) => self.connection.get_or_init(|| connection).clone(),
                    Err(error) => {
                        *foreign.lock() = Some(taken);
                        return Err(error);
                    }
                }
            }
        };
        Ok(PyConnection::new(connection, text_as_str))
    }
}

/// A live WebSocket.
#[pyclass(name = "Connection", frozen, weakref, module = "dwebsocket._core")]
pub(super) struct PyConnection {
    connection: Connection,
    /// No other object of the process has it; not 0.
    number: u64,
    text_as_str: bool,
}

static LAST_NUMBER: AtomicU64 = AtomicU64::new(0);

impl PyConnection {
    /// `text_as_str`: text messages are given as `str` instead of `bytes`.
    pub(super) fn new(connection: Connection, text_as_str: bool) -> Self {
        Self { connection, number: LAST_NUMBER.fetch_add(1, Ordering::Relaxed) + 1, text_as_str }
    }

    /// What it is to the rest of the core.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn object<'py>(&self, py: Python<'py>, message: &Message) -> PyResult<Bound<'py, PyAny>> {
        if self.text_as_str && message.kind == Kind::Text {
            Ok(PyString::from_bytes(py, &message.payload)?.into_any())
        } else {
            Ok(PyBytes::new(py, &message.payload).into_any())
        }
    }

    fn taken(&self, py: Python<'_>) -> PyResult<Option<Message>> {
        match self.connection.receive_now() {
            Ok(Taken::Message(message)) => Ok(Some(message)),
            Ok(Taken::Empty) => Ok(None),
            Err(error) => Err(exceptions::not_received(py, &error)),
        }
    }

    fn send_control(&self, py: Python<'_>, data: &[u8], encode: fn(&[u8]) -> bytes::Bytes) -> PyResult<()> {
        if data.len() > MAX_CONTROL_PAYLOAD {
            let length = data.len();
            return Err(PyValueError::new_err(format!("{length} bytes; at most {MAX_CONTROL_PAYLOAD} fit")));
        }
        self.connection.send(encode(data), Patience::Other).map_err(|error| exceptions::not_sent(py, &error))
    }
}

#[pymethods]
impl PyConnection {
    #[pyo3(signature = (timeout=None))]
    fn receive<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let timeout = duration(timeout)?;
        // A message that is there already costs no release of the GIL, which is what takes time among many threads.
        if let Some(message) = self.taken(py)? {
            return self.object(py, &message);
        }
        let received = runtime::detached_in_turn(py, || self.connection.receive(timeout));
        self.object(py, &received.map_err(|error| exceptions::not_received(py, &error))?)
    }

    fn take<'py>(&self, py: Python<'py>, waits: bool) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !caller::may_go() {
            return Ok(None);
        }
        let message = match self.connection.receive_now() {
            Ok(Taken::Message(message)) => message,
            Ok(Taken::Empty) if waits => {
                match runtime::detached_in_turn(py, || self.connection.receive(None)) {
                    Ok(message) => message,
                    Err(_) => return Ok(None),
                }
            }
            // Of the end the long way tells.
            Ok(Taken::Empty) | Err(_) => return Ok(None),
        };
        caller::passed();
        self.object(py, &message).map(Some)
    }

    fn give(&self, py: Python<'_>, message: &Bound<'_, PyAny>, binary: bool) -> PyResult<bool> {
        if !caller::may_go() {
            return Ok(false);
        }
        self.send(py, message, binary, caller::owns(self.number))?;
        caller::passed();
        Ok(true)
    }

    fn own(&self) {
        caller::owns_from_now_on(self.number);
    }

    fn receive_now<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.taken(py)?.map(|message| self.object(py, &message)).transpose()
    }

    fn receive_now_with_opcode<'py>(&self, py: Python<'py>) -> PyResult<Option<(u8, Bound<'py, PyAny>)>> {
        let Some(message) = self.taken(py)? else { return Ok(None) };
        let opcode = match message.kind {
            Kind::Text => 1,
            Kind::Binary => 2,
        };
        Ok(Some((opcode, self.object(py, &message)?)))
    }

    #[pyo3(signature = (timeout=None))]
    fn wait_readable(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let timeout = duration(timeout)?;
        if self.connection.wait_readable(Some(Duration::ZERO)) {
            return Ok(true);
        }
        if timeout == Some(Duration::ZERO) {
            return Ok(false);
        }
        Ok(runtime::detached_in_turn(py, || self.connection.wait_readable(timeout)))
    }

    #[getter]
    fn pending(&self) -> usize {
        self.connection.pending()
    }

    #[pyo3(signature = (message, binary=false, owner=false))]
    fn send(&self, py: Python<'_>, message: &Bound<'_, PyAny>, binary: bool, owner: bool) -> PyResult<()> {
        let frame = frame::encode(message, binary)?;
        let patience = if owner { Patience::Owner } else { Patience::Other };
        // Where there is room, as nearly always, and little to compress, the GIL is kept.
        let Some(frame) = self.connection.send_now(frame, patience) else { return Ok(()) };
        let sent = if owner || self.connection.compresses(&frame) {
            runtime::detached_in_turn(py, || self.connection.send(frame, patience))
        } else {
            self.connection.send(frame, patience)
        };
        sent.map_err(|error| exceptions::not_sent(py, &error))
    }

    #[pyo3(signature = (message, binary=false, *, last=false))]
    fn send_now(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        binary: bool,
        last: bool,
    ) -> PyResult<bool> {
        let frame = frame::encode(message, binary)?;
        let queue = |frame| {
            if last {
                self.connection.send(frame, Patience::Spent).map(|()| true)
            } else {
                self.connection.try_send(frame)
            }
        };
        let compresses = self.connection.compresses(&frame);
        let sent = if compresses { runtime::detached(py, || queue(frame)) } else { queue(frame) };
        sent.map_err(|error| exceptions::not_sent(py, &error))
    }

    fn ring_when_readable(&self, bell: &PyBell) {
        bell.0.silence();
        self.connection.wake_when_readable(Arc::clone(&bell.0) as Arc<dyn Wake>);
    }

    fn ring_when_room(&self, bell: &PyBell) {
        bell.0.silence();
        self.connection.wake_when_room(Arc::clone(&bell.0) as Arc<dyn Wake>);
    }

    #[pyo3(signature = (data=b"".as_slice()))]
    fn ping(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        self.send_control(py, data, encode_ping)
    }

    #[pyo3(signature = (data=b"".as_slice()))]
    fn pong(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        self.send_control(py, data, encode_pong)
    }

    #[pyo3(signature = (code=1000, reason=""))]
    fn close(&self, code: i64, reason: &str) -> PyResult<()> {
        let sendable = u16::try_from(code).ok().filter(|&code| close::may_be_sent(code));
        let sendable =
            sendable.ok_or_else(|| PyValueError::new_err(format!("{code} is no close code to send")))?;
        if reason.len() > close::MAX_REASON_BYTES {
            return Err(PyValueError::new_err(format!(
                "a reason of {} bytes; at most {} fit",
                reason.len(),
                close::MAX_REASON_BYTES
            )));
        }
        self.connection.close(sendable, reason);
        Ok(())
    }

    #[pyo3(signature = (timeout=None))]
    fn wait_closed(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let timeout = duration(timeout)?;
        Ok(runtime::detached_in_turn(py, || self.connection.wait_closed(timeout)))
    }

    #[getter]
    fn close_reason(&self) -> Option<(u16, String, &'static str)> {
        let reason = self.connection.close_reason()?;
        let by = match reason.by {
            ClosedBy::Peer => "peer",
            ClosedBy::Us => "us",
            ClosedBy::Lost => "lost",
        };
        Some((reason.code, reason.reason, by))
    }

    #[getter]
    fn fault(&self) -> Option<(&'static str, String)> {
        Some(match self.connection.fault()? {
            Fault::Violation(error @ ProtocolError::MessageTooBig { .. }) => {
                ("message_too_big", error.to_string())
            }
            Fault::Violation(error) => ("violation", error.to_string()),
            Fault::Silence => ("silence", "the client answered no Ping in time".to_owned()),
            Fault::Panic => ("panic", "a panic, told of apart, in the server's core".to_owned()),
        })
    }

    fn fileno(&self) -> PyResult<i32> {
        Ok(self.connection.readiness_fd()?)
    }

    fn observe_control_frames(&self) {
        self.connection.observe_control_frames();
    }

    fn take_control_frames<'py>(&self, py: Python<'py>) -> Vec<(u8, Bound<'py, PyBytes>)> {
        let frames = self.connection.take_control_frames().into_iter();
        frames.map(|(opcode, payload)| (opcode, PyBytes::new(py, &payload))).collect()
    }

    #[getter]
    fn identity(&self) -> Option<u64> {
        self.connection.identity()
    }

    #[getter]
    fn peer(&self) -> &str {
        self.connection.peer()
    }

    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.connection.counts();
        [
            ("received_messages", counts.received_messages),
            ("received_bytes", counts.received_bytes),
            ("sent_messages", counts.sent_messages),
            ("sent_bytes", counts.sent_bytes),
            ("dropped_messages", counts.dropped_messages),
        ]
        .into_py_dict(py)
    }
}

/// Wakes a caller who watches a descriptor.
#[pyclass(name = "Bell", frozen, weakref, module = "dwebsocket._core")]
pub(super) struct PyBell(Arc<Bell>);

#[pymethods]
impl PyBell {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(Arc::new(Bell::new()?)))
    }

    fn fileno(&self) -> i32 {
        self.0.descriptor()
    }
}

/// A timeout of Python: None and negative ones are for ever, as is what a clock could not add up.
fn duration(timeout: Option<f64>) -> PyResult<Option<Duration>> {
    match timeout {
        Some(seconds) if seconds.is_nan() => Err(PyValueError::new_err("a timeout that is not a number")),
        Some(seconds) if (0.0..=LONGEST_TIMEOUT_SECONDS).contains(&seconds) => {
            Ok(Some(Duration::from_secs_f64(seconds)))
        }
        _ => Ok(None),
    }
}
