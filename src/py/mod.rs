//! The border with CPython: the only place that names pyo3.

mod adopt;
mod call;
mod caller;
mod config;
mod errors;
mod exceptions;
mod feed_api;
mod frame;
mod json;
mod log;
mod runtime;
mod server;
mod stats;
mod tls;
mod websocket;
mod wsgi;

use pyo3::prelude::*;

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    crate::server::note_panics();
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    // Not by `add`, which names it in `__all__`.
    module.setattr("_feed_api", feed_api::capsule(module.py())?)?;
    module.add_class::<server::Server>()?;
    module.add_class::<tls::Tls>()?;
    module.add_class::<websocket::Upgrade>()?;
    module.add_class::<websocket::PyConnection>()?;
    module.add_class::<websocket::PyBell>()?;
    module.add_class::<wsgi::FileWrapper>()?;
    module.add_function(wrap_pyfunction!(adopt::adopt, module)?)?;
    module.add_function(wrap_pyfunction!(caller::allow_short_way, module)?)?;
    module.add_function(wrap_pyfunction!(caller::disown, module)?)?;
    module.add_function(wrap_pyfunction!(caller::passed_the_short_way, module)?)?;
    module.add_function(wrap_pyfunction!(json::to_json, module)?)?;
    module.add_function(wrap_pyfunction!(stats::stats, module)?)?;
    module.add_function(wrap_pyfunction!(stats::open_sockets, module)?)?;
    module.add_function(wrap_pyfunction!(stats::count_refusal, module)?)?;
    module.add_function(wrap_pyfunction!(server::shutdown, module)?)
}
