//! The logger `dwebsocket.server`.

use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyString, PyTuple},
};

use super::call;

static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// An application failed: logs it with its traceback. `request` is the request line.
pub(super) fn exception(py: Python<'_>, message: &str, request: &str, error: &PyErr) {
    let keywords = PyDict::new(py);
    // The three apart: an exception that pyo3 fetched does not carry its traceback before CPython 3.12.
    let exc_info = (error.get_type(py), error.value(py), error.traceback(py));
    let logged = keywords
        .set_item(intern!(py, "exc_info"), exc_info)
        .and_then(|()| log(py, intern!(py, "error"), message, request, Some(&keywords)));
    report(py, logged);
}

/// An application broke a rule: logs it. `request` is the request line.
pub(super) fn error(py: Python<'_>, message: &str, request: &str) {
    report(py, log(py, intern!(py, "error"), message, request, None));
}

/// A peer misbehaved or went away: logs it.
pub(super) fn debug(py: Python<'_>, message: &str, request: &str) {
    report(py, log(py, intern!(py, "debug"), message, request, None));
}

/// A log that itself fails has nobody left to tell but `sys.unraisablehook`; what it told of goes on.
pub(super) fn report(py: Python<'_>, logged: PyResult<()>) {
    if let Err(error) = logged {
        error.write_unraisable(py, None);
    }
}

fn log(
    py: Python<'_>,
    level: &Bound<'_, PyString>,
    message: &str,
    request: &str,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<()> {
    let logger = LOGGER.get_or_try_init(py, || -> PyResult<_> {
        let get = py.import("logging")?.getattr("getLogger")?;
        Ok(call::call(&get, &PyTuple::new(py, ["dwebsocket.server"])?, None)?.unbind())
    })?;
    let write = logger.bind(py).getattr(level)?;
    // The logger itself puts the two together, so that a percent sign in a request line stays as it is.
    let arguments = PyTuple::new(py, ["%s: %s", request, message])?;
    call::call(&write, &arguments, keywords)?;
    Ok(())
}
