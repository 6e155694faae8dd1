//! Finding the core that is loaded beside this extension.

#![allow(unsafe_code, reason = "the core hands its table out in a capsule")]

use feed_api::CAPSULE_NAME;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyCapsule;

use crate::room::Core;

static CORE: PyOnceLock<Core> = PyOnceLock::new();

/// The core's table, looked for at the first call.
///
/// # Errors
/// `ImportError`: the core has no table, or one of another version.
pub(super) fn core(py: Python<'_>) -> PyResult<Core> {
    CORE.get_or_try_init(py, || find(py)).copied()
}

fn find(py: Python<'_>) -> PyResult<Core> {
    let module = py.import("dwebsocket._core")?;
    let theirs = module.getattr("__version__").and_then(|version| version.extract::<String>());
    let mismatch = |what: &str| {
        let (ours, theirs) = (env!("CARGO_PKG_VERSION"), theirs.as_deref().unwrap_or("of unknown version"));
        PyImportError::new_err(format!(
            "dwebsocket-rs-video {ours} and dwebsocket-rs {theirs} do not fit together: {what}. Install both in the \
             same version"
        ))
    };
    let Ok(capsule) = module.getattr("_feed_api").and_then(|found| Ok(found.cast_into::<PyCapsule>()?))
    else {
        return Err(mismatch("the core has no table of rooms"));
    };
    let pointer = capsule.pointer_checked(Some(CAPSULE_NAME))?;
    // SAFETY: a capsule of this name points to a static table whose first field is its version.
    unsafe { Core::from_pointer(pointer) }.map_err(|other| {
        mismatch(&format!("the core's table of rooms is of version {}, not {}", other.theirs, other.ours))
    })
}
