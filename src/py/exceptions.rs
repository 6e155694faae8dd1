//! The classes of `dwebsocket.exceptions`, raised from here.

use pyo3::{
    exceptions::PyTimeoutError,
    prelude::*,
    sync::PyOnceLock,
    types::{IntoPyDict, PyTuple, PyType},
};

use super::call;
use crate::{
    error::{CloseReason, HandshakeError, ReceiveError, SendError},
    wire::close,
};

static CONNECTION_CLOSED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static TOO_MANY_CONNECTIONS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static INVALID_HANDSHAKE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static SLOW_CLIENT: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Why nothing was received: `TimeoutError` or `ConnectionClosed`.
pub(super) fn not_received(py: Python<'_>, error: &ReceiveError) -> PyErr {
    match error {
        ReceiveError::TimedOut => PyTimeoutError::new_err(error.to_string()),
        ReceiveError::Closed(reason) => connection_closed(py, reason),
    }
}

/// Why a message was not queued: `ConnectionClosed` or `SlowClient`.
pub(super) fn not_sent(py: Python<'_>, error: &SendError) -> PyErr {
    match error {
        SendError::SlowClient => new(py, &SLOW_CLIENT, "SlowClient", close::TRY_AGAIN_LATER, ""),
        SendError::Closed(reason) => connection_closed(py, reason),
    }
}

fn connection_closed(py: Python<'_>, reason: &CloseReason) -> PyErr {
    new(py, &CONNECTION_CLOSED, "ConnectionClosed", reason.code, &reason.reason)
}

/// There is no place for another WebSocket.
pub(super) fn too_many_connections(py: Python<'_>, reason: &str) -> PyErr {
    let class = TOO_MANY_CONNECTIONS.import(py, "dwebsocket.exceptions", "TooManyConnections");
    class.map_or_else(|error| error, |class| PyErr::from_type(class.clone(), reason.to_owned()))
}

/// A handshake that cannot become a WebSocket: `InvalidHandshake`.
pub(super) fn invalid_handshake(py: Python<'_>, error: &HandshakeError) -> PyErr {
    let made = INVALID_HANDSHAKE.import(py, "dwebsocket.exceptions", "InvalidHandshake").and_then(|class| {
        // PEP 3333 leaves `Connection` and `Upgrade` to the server.
        let fields = error.headers().iter().filter(|(name, _)| !matches!(*name, "Connection" | "Upgrade"));
        let fields = fields.copied().into_py_dict(py)?;
        let arguments = (error.to_string(), error.status().as_u16(), fields).into_pyobject(py)?;
        call::call(class.as_any(), arguments.as_any().cast::<PyTuple>()?, None)
    });
    made.map_or_else(|error| error, PyErr::from_value)
}

/// Made at once, not when it is raised: its `__init__` is Python code, which runs through [`call`].
fn new(py: Python<'_>, class: &PyOnceLock<Py<PyType>>, name: &str, code: u16, reason: &str) -> PyErr {
    let exception = class.import(py, "dwebsocket.exceptions", name).and_then(|class| {
        let arguments = (code, reason).into_pyobject(py)?;
        call::call(class.as_any(), arguments.as_any().cast::<PyTuple>()?, None)
    });
    exception.map_or_else(|error| error, PyErr::from_value)
}
