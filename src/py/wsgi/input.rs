//! `wsgi.input`.

use std::sync::OnceLock;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::{PyBytes, PyList},
};

use crate::{
    py::runtime,
    server::{BodyError, RequestBody},
};

/// The request's body as the file of PEP 3333. One thread at a time reads; waiting is done without the GIL.
#[pyclass(frozen, module = "dwebsocket._core")]
pub(super) struct Input {
    state: Mutex<State>,
    /// Why a read failed, which is the client's fault.
    failure: OnceLock<BodyError>,
}

enum State {
    Open(Source),
    /// A thread reads, and holds the source.
    Reading,
    /// The exchange is over.
    Closed,
}

struct Source {
    body: RequestBody,
    /// Taken from the body and not yet read.
    rest: Bytes,
}

impl Source {
    /// Whether there is more; asks the body for it only when nothing is left.
    fn fill(&mut self) -> Result<bool, BodyError> {
        while self.rest.is_empty() {
            match self.body.read()? {
                Some(piece) => self.rest = piece,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// `limit` bytes, fewer only at the end of the body.
    fn read(&mut self, limit: usize) -> Result<Vec<Bytes>, BodyError> {
        let mut pieces = Vec::new();
        let mut left = limit;
        while left > 0 && self.fill()? {
            let piece = self.rest.split_to(left.min(self.rest.len()));
            left -= piece.len();
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// A line with its end, at most `limit` bytes of it.
    fn line(&mut self, limit: usize) -> Result<Vec<Bytes>, BodyError> {
        let mut pieces = Vec::new();
        let mut left = limit;
        while left > 0 && self.fill()? {
            let within = &self.rest[..left.min(self.rest.len())];
            let end = within.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            let piece = self.rest.split_to(end.unwrap_or(within.len()));
            left -= piece.len();
            pieces.push(piece);
            if end.is_some() {
                break;
            }
        }
        Ok(pieces)
    }

    /// Whether a read of so many bytes does not wait.
    fn has(&self, limit: usize) -> bool {
        self.rest.len() >= limit || (self.rest.is_empty() && self.body.is_empty())
    }

    /// Whether a line can be read without waiting.
    fn has_line(&self, limit: usize) -> bool {
        self.has(limit) || self.rest.contains(&b'\n')
    }
}

impl Input {
    pub(super) fn new(body: RequestBody) -> Self {
        let state = Mutex::new(State::Open(Source { body, rest: Bytes::new() }));
        Self { state, failure: OnceLock::new() }
    }

    /// Why a read failed, if one did.
    pub(super) fn failure(&self) -> Option<BodyError> {
        self.failure.get().copied()
    }

    /// Lets go of the body. Whoever kept the object gets `ValueError` from now on; a read that waits meanwhile ends as it
    /// would have.
    pub(super) fn close(&self) {
        *self.state.lock() = State::Closed;
    }

    /// Reads by `read`, without the GIL unless `ready` says that it will not wait.
    fn pieces(
        &self,
        py: Python<'_>,
        ready: impl FnOnce(&Source) -> bool,
        read: impl FnOnce(&mut Source) -> Result<Vec<Bytes>, BodyError> + Send,
    ) -> PyResult<Vec<Bytes>> {
        let mut source = self.take()?;
        let pieces =
            if ready(&source) { read(&mut source) } else { runtime::detached(py, || read(&mut source)) };
        self.put_back(source);
        pieces.map_err(|error| PyErr::from(*self.failure.get_or_init(|| error)))
    }

    fn take(&self) -> PyResult<Source> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Reading) {
            State::Open(source) => Ok(source),
            State::Reading => Err(PyRuntimeError::new_err("another thread reads the request's body")),
            State::Closed => {
                *state = State::Closed;
                Err(PyValueError::new_err("the request is over"))
            }
        }
    }

    fn put_back(&self, source: Source) {
        let mut state = self.state.lock();
        if matches!(*state, State::Reading) {
            *state = State::Open(source);
        }
    }
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size=None))]
    fn read<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(size);
        let pieces = self.pieces(py, |source| source.has(limit), |source| source.read(limit))?;
        joined(py, pieces)
    }

    #[pyo3(signature = (size=None))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(size);
        let pieces = self.pieces(py, |source| source.has_line(limit), |source| source.line(limit))?;
        joined(py, pieces)
    }

    /// Lines until `hint` bytes have been read; all for None, 0 and less, as in `io`.
    #[pyo3(signature = (hint=None))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<i64>) -> PyResult<Bound<'py, PyList>> {
        let enough = limit(hint.filter(|&hint| hint != 0));
        let lines = PyList::empty(py);
        let mut total = 0;
        while total < enough {
            let line = self.readline(py, None)?;
            let length = line.as_bytes().len();
            if length == 0 {
                break;
            }
            total += length;
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.readline(py, None)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }
}

/// None and negative sizes mean everything.
fn limit(size: Option<i64>) -> usize {
    size.map_or(usize::MAX, |size| usize::try_from(size).unwrap_or(usize::MAX))
}

fn joined(py: Python<'_>, pieces: Vec<Bytes>) -> PyResult<Bound<'_, PyBytes>> {
    if let [piece] = &pieces[..] {
        return Ok(PyBytes::new(py, piece));
    }
    let length = pieces.iter().map(Bytes::len).sum();
    PyBytes::new_with(py, length, |mut target| {
        for mut piece in pieces {
            let (start, rest) = target.split_at_mut(piece.len());
            piece.copy_to_slice(start);
            target = rest;
        }
        Ok(())
    })
}
