//! What happens to sources, for the logger of Python.

use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::feed::{Event, Happened, Log, Next};

/// The log of the process that has the number. Locked only by attached threads that do not detach meanwhile, so that a
/// forked child, which inherits it, finds it unlocked.
static LOG: Mutex<Option<(u32, Arc<Log>)>> = Mutex::new(None);

/// The log of this process. Needs to be attached, so that no thread is in here while the process forks.
pub(super) fn log(_py: Python<'_>) -> Arc<Log> {
    let mut slot = LOG.lock();
    if let Some((_, log)) = slot.as_ref().filter(|(owner, _)| *owner == process::id()) {
        return Arc::clone(log);
    }
    let log = Arc::<Log>::default();
    // That of the parent process, if there was one, is left alone: a thread that is not here may have locked it.
    std::mem::forget(slot.replace((process::id(), Arc::clone(&log))));
    log
}

/// The next event, waited for without the GIL; None: there was none in time, or none can come.
#[pyfunction]
pub(super) fn take_event(py: Python<'_>, timeout: f64) -> PyResult<Option<Bound<'_, PyDict>>> {
    let log = log(py);
    let wait = Duration::try_from_secs_f64(timeout).unwrap_or_default();
    match py.detach(|| log.take(Instant::now() + wait)) {
        Next::Event(event) => dict(py, &event).map(Some),
        Next::Idle | Next::NotYet => Ok(None),
    }
}

/// Whether there is no event, and none can come until somebody watches a feed.
#[pyfunction]
pub(super) fn is_log_idle(py: Python<'_>) -> bool {
    let log = log(py);
    py.detach(|| log.is_idle())
}

fn dict<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyDict>> {
    let values = PyDict::new(py);
    values.set_item("source", &*event.source)?;
    values.set_item("outage_seconds", event.outage.as_secs_f64())?;
    match &event.happened {
        Happened::Back => values.set_item("failures", 0)?,
        Happened::Failed { reason, was_open, failures, next } => {
            values.set_item("failures", failures)?;
            values.set_item("reason", reason.as_deref())?;
            values.set_item("was_open", was_open)?;
            values.set_item("next_seconds", next.map(|next| next.as_secs_f64()))?;
        }
    }
    Ok(values)
}
