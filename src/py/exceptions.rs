//! The classes of `dwebsocket.exceptions`, raised from here.

use pyo3::{
    exceptions::PyTimeoutError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyTuple, PyType},
};

use super::call;
use crate::{
    error::{CloseReason, ReceiveError, SendError},
    wire::close,
};

static CONNECTION_CLOSED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
static TOO_MANY_CONNECTIONS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
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

/// Made at once, not when it is raised: its `__init__` is Python code, which runs through [`call`].
fn new(py: Python<'_>, class: &PyOnceLock<Py<PyType>>, name: &str, code: u16, reason: &str) -> PyErr {
    let exception = class.import(py, "dwebsocket.exceptions", name).and_then(|class| {
        let arguments = (code, reason).into_pyobject(py)?;
        call::call(class.as_any(), arguments.as_any().cast::<PyTuple>()?, None)
    });
    exception.map_or_else(|error| error, PyErr::from_value)
}
