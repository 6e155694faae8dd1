//! `wsgi.file_wrapper`.

use pyo3::{exceptions::PyTypeError, intern, prelude::*, types::PyBytes, types::PyTuple};

use crate::py::call;

/// Smallest block that is read. Applications ask for 4 or 8 KiB, and each block costs a round through the GIL.
const BLOCK_BYTES: usize = 64 << 10;

/// The file of a response, block by block.
#[pyclass(frozen, module = "dwebsocket._core")]
pub(in crate::py) struct FileWrapper {
    filelike: Py<PyAny>,
    block_size: usize,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, block_size=8192))]
    fn new(filelike: Py<PyAny>, block_size: usize) -> Self {
        Self { filelike, block_size: block_size.max(BLOCK_BYTES) }
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let size = PyTuple::new(py, [self.block_size])?;
        let Some(block) = call::method(self.filelike.bind(py), intern!(py, "read"), &size)? else {
            return Err(PyTypeError::new_err("wsgi.file_wrapper needs an object with a read method"));
        };
        let Ok(block) = block.cast_into::<PyBytes>() else {
            return Err(PyTypeError::new_err(
                "read() of the object given to wsgi.file_wrapper must give bytes",
            ));
        };
        Ok((!block.as_bytes().is_empty()).then_some(block))
    }

    /// Closes the file, if it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        call::method(self.filelike.bind(py), intern!(py, "close"), &PyTuple::empty(py))?;
        Ok(())
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.filelike)
    }
}
