//! What goes wrong below Python, as exceptions.

use pyo3::{
    exceptions::{
        PyBrokenPipeError, PyConnectionAbortedError, PyConnectionResetError, PyOSError, PyTimeoutError,
        PyValueError,
    },
    prelude::*,
};

use crate::{
    error::TlsError,
    server::{BodyError, WriteError},
};

// Each is an OSError: it is what Django turns into UnreadablePostError, and what the code of applications expects of a
// socket.
impl From<BodyError> for PyErr {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::ClientGone => PyConnectionResetError::new_err(error.to_string()),
            BodyError::TimedOut => PyTimeoutError::new_err(error.to_string()),
            BodyError::TooLarge { .. } => PyOSError::new_err((libc::EFBIG, error.to_string())),
            BodyError::Invalid => PyConnectionAbortedError::new_err(error.to_string()),
        }
    }
}

impl From<TlsError> for PyErr {
    fn from(error: TlsError) -> Self {
        PyValueError::new_err(error.to_string())
    }
}

impl From<WriteError> for PyErr {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ClientGone => PyBrokenPipeError::new_err(error.to_string()),
            WriteError::TimedOut => PyTimeoutError::new_err(error.to_string()),
        }
    }
}
