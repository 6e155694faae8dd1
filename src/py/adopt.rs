//! Handshakes that came by a server that is not ours.

use std::{
    os::fd::{BorrowedFd, RawFd},
    process,
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header};
use parking_lot::Mutex;
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyBytes, PyDict, PyMapping, PyString, PyTuple},
};

use super::{call, config::Settings, exceptions, runtime, stats, websocket::Upgrade};
use crate::{
    config::ConnectionConfig,
    connection::{Connection, adopt::Adopted},
    error::AdoptError,
    wire::{handshake::Handshake, offer::Agreement},
};

/// What a handshake says, by its names in an environ.
const FIELDS: [(&str, HeaderName); 7] = [
    ("HTTP_HOST", header::HOST),
    ("HTTP_UPGRADE", header::UPGRADE),
    ("HTTP_CONNECTION", header::CONNECTION),
    ("HTTP_SEC_WEBSOCKET_KEY", header::SEC_WEBSOCKET_KEY),
    ("HTTP_SEC_WEBSOCKET_VERSION", header::SEC_WEBSOCKET_VERSION),
    ("HTTP_SEC_WEBSOCKET_PROTOCOL", header::SEC_WEBSOCKET_PROTOCOL),
    ("HTTP_SEC_WEBSOCKET_EXTENSIONS", header::SEC_WEBSOCKET_EXTENSIONS),
];

/// The adopted sockets of the process that has the number. Locked only by attached threads that do not detach meanwhile,
/// so that a forked child, which inherits it, finds it unlocked; the sockets in it are its parent's.
static ADOPTED: Mutex<Option<(u32, Arc<Adopted>)>> = Mutex::new(None);

/// A handshake whose socket is still another server's.
pub(super) struct Foreign {
    descriptor: RawFd,
    release: Py<PyAny>,
    /// Boxed: a handshake that came by our own server has none.
    settings: Box<Settings>,
}

impl Foreign {
    /// The limits that the WebSocket would have.
    pub(super) fn config(&self) -> &Arc<ConnectionConfig> {
        &self.settings.server.connection
    }

    /// Takes the socket over and sends the head of the 101. `agreement` is what that says of compression.
    ///
    /// # Errors
    /// `TooManyConnections`, `OSError`, or what the function raises that makes the server let go of the socket.
    pub(super) fn accept(
        &self,
        py: Python<'_>,
        head: Bytes,
        agreement: Option<Agreement>,
    ) -> PyResult<Connection> {
        let adopted = adopted(py, self.settings.io_threads)?;
        let config = Arc::clone(self.config());
        // SAFETY: the descriptor is the server's, whose thread runs the view that accepts.
        #[allow(unsafe_code, reason = "Python hands sockets over as numbers")]
        let socket = unsafe { BorrowedFd::borrow_raw(self.descriptor) };
        let limit = self.settings.server.max_websocket_connections;
        let adoption = adopted.prepare(socket, config, agreement, limit).map_err(|error| match error {
            AdoptError::TooMany => exceptions::too_many_connections(py, &error.to_string()),
            AdoptError::Io(error) => error.into(),
        })?;
        let early = call::call(self.release.bind(py), &PyTuple::empty(py), None)?;
        let early = Bytes::copy_from_slice(early.cast::<PyBytes>()?.as_bytes());
        Ok(adoption.take(head, early)?)
    }
}

/// The handshake in the environ of a server that is not ours.
///
/// `descriptor` is the server's socket. `release` is called once, when the handshake is accepted: it gives the bytes that
/// the server has read behind the handshake, and makes it forget them.
///
/// # Errors
/// `InvalidHandshake`, a `ValueError`: the handshake is not one of RFC 6455. `TypeError` and `ValueError` for the settings, as `Server`.
#[pyfunction]
pub(super) fn adopt(
    environ: &Bound<'_, PyDict>,
    descriptor: RawFd,
    release: Py<PyAny>,
    config: &Bound<'_, PyMapping>,
) -> PyResult<Upgrade> {
    let settings = Box::new(Settings::parse(config)?);
    if descriptor < 0 {
        return Err(PyValueError::new_err(format!("{descriptor} is no descriptor")));
    }
    let invalid = |reason: &str| PyValueError::new_err(reason.to_owned());
    let method = text(environ, "REQUEST_METHOD")?.unwrap_or_default();
    let method = Method::from_bytes(&method).map_err(|error| invalid(&error.to_string()))?;
    let version = match text(environ, "SERVER_PROTOCOL")?.as_deref() {
        Some(b"HTTP/1.0" | b"HTTP/0.9") => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let mut headers = HeaderMap::new();
    for (name, header) in FIELDS {
        if let Some(value) = text(environ, name)? {
            let value = HeaderValue::from_bytes(&value).map_err(|error| invalid(&error.to_string()))?;
            headers.insert(header, value);
        }
    }
    let handshake = Handshake::parse(&method, version, &headers)
        .map_err(|error| exceptions::invalid_handshake(environ.py(), &error))?;
    let handshake = handshake.ok_or_else(|| invalid("the request is no WebSocket handshake"))?;
    let length = text(environ, "CONTENT_LENGTH")?.unwrap_or_default();
    if !matches!(&length[..], b"" | b"0") || environ.contains("HTTP_TRANSFER_ENCODING")? {
        return Err(invalid("a WebSocket handshake has no body"));
    }
    Ok(Upgrade::foreign(handshake, Foreign { descriptor, release, settings }))
}

/// Sends every adopted socket of this process the Close.
pub(super) fn close(code: u16) {
    if let Some(adopted) = current() {
        adopted.close(code, "");
    }
}

/// Waits, without the GIL, until every adopted socket has ended. False: `deadline` has passed.
pub(super) fn wait_until(py: Python<'_>, deadline: Instant) -> bool {
    let Some(adopted) = current() else { return true };
    let left = deadline.saturating_duration_since(Instant::now());
    left.is_zero() || runtime::detached(py, || adopted.wait(left))
}

fn adopted(py: Python<'_>, io_threads: usize) -> PyResult<Arc<Adopted>> {
    if let Some(adopted) = current() {
        return Ok(adopted);
    }
    let made = Arc::new(Adopted::new(runtime::handle(py, io_threads)?.clone(), stats::current(py))?);
    *ADOPTED.lock() = Some((process::id(), Arc::clone(&made)));
    Ok(made)
}

fn current() -> Option<Arc<Adopted>> {
    let adopted = ADOPTED.lock();
    adopted.as_ref().filter(|(process, _)| *process == process::id()).map(|(_, adopted)| Arc::clone(adopted))
}

/// The bytes of a "native string" of PEP 3333; None where the environ has none.
fn text(environ: &Bound<'_, PyDict>, name: &str) -> PyResult<Option<Vec<u8>>> {
    let Some(value) = environ.get_item(name)? else { return Ok(None) };
    let Ok(text) = value.cast::<PyString>() else { return Ok(None) };
    let bytes: Result<Vec<u8>, _> = text.to_cow()?.chars().map(u8::try_from).collect();
    bytes.map(Some).map_err(|_| PyValueError::new_err(format!("{name} is no text of HTTP")))
}
