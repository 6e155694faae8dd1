//! The border with CPython: the only place that names pyo3.

mod call;
mod exceptions;
mod frame;
mod json;
mod runtime;
mod websocket;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<websocket::Upgrade>()?;
    module.add_class::<websocket::PyConnection>()?;
    module.add_function(wrap_pyfunction!(json::to_json, module)?)
}
