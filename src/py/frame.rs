//! What `send()` takes, as frames.

use bytes::Bytes;
use pyo3::{
    buffer::PyUntypedBuffer,
    exceptions::PyValueError,
    prelude::*,
    sync::PyOnceLock,
    types::{
        PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyMemoryView, PyString, PyTuple, PyType,
    },
};

use super::{call, json};
use crate::wire::{
    frame::{HEADER_ROOM, encode_message, encode_message_in_place},
    message::Kind,
};

/// What a small JSON text needs without growing.
const JSON_ROOM: usize = 256;

/// `django.utils.functional.Promise`, the class of lazy strings.
static PROMISE: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Encodes a message. `str` and lazy strings: text. Bytes and other buffers: text, or binary with `binary`. Anything
/// else: JSON text. With `binary` text and JSON go out as a binary frame of UTF-8.
///
/// # Errors
/// `ValueError`: bytes that are not UTF-8 without `binary`, a lone surrogate, what [`json::encode`] refuses.
/// `TypeError`: what JSON cannot say.
pub(super) fn encode(message: &Bound<'_, PyAny>, binary: bool) -> PyResult<Bytes> {
    let kind = if binary { Kind::Binary } else { Kind::Text };
    if let Ok(text) = message.cast::<PyString>() {
        return Ok(encode_message(kind, text.to_str()?.as_bytes()));
    }
    if let Ok(bytes) = message.cast::<PyBytes>() {
        return encode_bytes(kind, bytes.as_bytes());
    }
    if !is_json(message) {
        if let Some(text) = lazy_text(message)? {
            return Ok(encode_message(kind, text.to_str()?.as_bytes()));
        }
        if let Some(bytes) = buffer(message)? {
            return encode_bytes(kind, bytes.as_bytes());
        }
    }
    let mut frame = Vec::with_capacity(JSON_ROOM);
    frame.resize(HEADER_ROOM, 0);
    json::encode(message, &mut frame)?;
    Ok(encode_message_in_place(kind, frame))
}

fn encode_bytes(kind: Kind, bytes: &[u8]) -> PyResult<Bytes> {
    if kind == Kind::Text
        && let Err(error) = simdutf8::compat::from_utf8(bytes)
    {
        let position = error.valid_up_to();
        return Err(PyValueError::new_err(format!(
            "bytes that are not UTF-8 (from byte {position} on) cannot be a text message; \
             send(message, binary=True) sends them as a binary one"
        )));
    }
    Ok(encode_message(kind, bytes))
}

/// Whether JSON knows it without being told.
fn is_json(message: &Bound<'_, PyAny>) -> bool {
    message.is_none()
        || message.is_instance_of::<PyDict>()
        || message.is_instance_of::<PyList>()
        || message.is_instance_of::<PyTuple>()
        || message.is_instance_of::<PyBool>()
        || message.is_instance_of::<PyInt>()
        || message.is_instance_of::<PyFloat>()
}

fn lazy_text<'py>(message: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyString>>> {
    let py = message.py();
    if !message.is_instance(PROMISE.import(py, "django.utils.functional", "Promise")?)? {
        return Ok(None);
    }
    let text = call::call(py.get_type::<PyString>().as_any(), &PyTuple::new(py, [message])?, None)?;
    Ok(Some(text.cast_into()?))
}

/// The bytes of a bytearray, a memoryview of any shape, or whatever else has the buffer protocol.
fn buffer<'py>(message: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let is_buffer = message.is_instance_of::<PyByteArray>()
        || message.is_instance_of::<PyMemoryView>()
        || PyUntypedBuffer::get(message).is_ok();
    if !is_buffer {
        return Ok(None);
    }
    let py = message.py();
    let bytes = call::call(py.get_type::<PyBytes>().as_any(), &PyTuple::new(py, [message])?, None)?;
    Ok(Some(bytes.cast_into()?))
}
