//! The figures of the process: `stats`, `open_sockets` and `count_refusal`.

use std::{process, sync::Arc};

use parking_lot::Mutex;
use pyo3::{exceptions::PyValueError, prelude::*, types::PyDict};

use super::{runtime, server};
use crate::connection::stats::{OpenSocket, Refusal, Stats};

/// The sums of the process that has the number. Locked only by attached threads that do not detach meanwhile, so that a
/// forked child, which inherits it, finds it unlocked; it counts anew.
static STATS: Mutex<Option<(u32, Arc<Stats>)>> = Mutex::new(None);

/// The sums of this process: of all its servers, and of adopted sockets.
pub(super) fn current(_py: Python<'_>) -> Arc<Stats> {
    let id = process::id();
    let mut current = STATS.lock();
    match &*current {
        Some((process, stats)) if *process == id => Arc::clone(stats),
        _ => {
            let stats = Arc::new(Stats::default());
            *current = Some((id, Arc::clone(&stats)));
            stats
        }
    }
}

/// What the WebSockets and servers of this process have done so far, and do now.
#[pyfunction]
pub(super) fn stats(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let stats = current(py);
    let (threads, tcp_connections) = server::in_use(py);
    let figures = runtime::detached(py, || stats.figures());
    let values = PyDict::new(py);
    let numbers = [
        ("open", figures.open),
        ("opened", figures.opened),
        ("received_messages", figures.counts.received_messages),
        ("received_bytes", figures.counts.received_bytes),
        ("sent_messages", figures.counts.sent_messages),
        ("sent_bytes", figures.counts.sent_bytes),
        ("dropped_messages", figures.counts.dropped_messages),
        ("slow_clients", figures.slow_clients),
        ("inbox_messages", figures.inbox_messages),
        ("inbox_bytes", figures.inbox_bytes),
        ("outbox_bytes", figures.outbox_bytes),
        ("accept_failures", figures.accept_failures),
    ];
    for (name, number) in numbers {
        values.set_item(name, number)?;
    }
    // Those that wait have a place, but no thread yet.
    let view_threads = threads.http + threads.websockets - threads.handshakes_waiting;
    values.set_item("view_threads", view_threads)?;
    values.set_item("idle_threads", threads.idle)?;
    values.set_item("http_in_flight", threads.http + threads.http_waiting)?;
    values.set_item("tcp_connections", tcp_connections)?;
    values.set_item("closed", figures.closed)?;
    let refused = PyDict::new(py);
    for (reason, count) in figures.refused {
        refused.set_item(reason.name(), count)?;
    }
    values.set_item("refused", refused)?;
    Ok(values)
}

/// The open WebSockets of this process, oldest first.
#[pyfunction]
pub(super) fn open_sockets(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let stats = current(py);
    let sockets = runtime::detached(py, || stats.sockets());
    sockets.iter().map(|socket| object(py, socket)).collect()
}

fn object<'py>(py: Python<'py>, socket: &OpenSocket) -> PyResult<Bound<'py, PyDict>> {
    let values = PyDict::new(py);
    values.set_item("identity", socket.identity)?;
    values.set_item("peer", &socket.peer)?;
    values.set_item("age_seconds", socket.age.as_secs_f64())?;
    values.set_item("received_messages", socket.counts.received_messages)?;
    values.set_item("received_bytes", socket.counts.received_bytes)?;
    values.set_item("sent_messages", socket.counts.sent_messages)?;
    values.set_item("sent_bytes", socket.counts.sent_bytes)?;
    values.set_item("dropped_messages", socket.counts.dropped_messages)?;
    values.set_item("inbox_messages", socket.inbox_messages)?;
    values.set_item("inbox_bytes", socket.inbox_bytes)?;
    values.set_item("outbox_messages", socket.outbox_messages)?;
    values.set_item("outbox_bytes", socket.outbox_bytes)?;
    values.set_item("closing", socket.closing)?;
    Ok(values)
}

/// Counts a handshake that Python refuses.
#[pyfunction]
pub(super) fn count_refusal(py: Python<'_>, reason: &str) -> PyResult<()> {
    let known = Refusal::ALL.into_iter().find(|refusal| refusal.name() == reason);
    let refusal = known.ok_or_else(|| PyValueError::new_err(format!("{reason:?} is no reason")))?;
    current(py).refused(refusal);
    Ok(())
}
