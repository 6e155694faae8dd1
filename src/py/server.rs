//! `Server` and `shutdown`.

use std::{
    os::fd::{BorrowedFd, OwnedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use pyo3::{
    PyTraverseError, PyVisit,
    exceptions::{PyOSError, PyRuntimeError, PyValueError},
    prelude::*,
    types::{PyDict, PyMapping, PyString, PyTuple},
};

use super::{
    adopt, call,
    config::Settings,
    log, runtime, stats,
    wsgi::{Service, Template},
};
use crate::{
    config::ServerConfig,
    server::{self, Job, Listener, Notice, Notices, Preface, ThreadCounts, Told, Workers, arenas, futexes},
    wire::close,
};

/// How long `shutdown` waits for servers that nobody stopped, and for adopted sockets.
const SHUTDOWN_SECONDS: Duration = Duration::from_secs(1);

/// Servers that were started. Locked only by attached threads that do not detach meanwhile, so that a forked child, which
/// inherits it, finds it unlocked.
static STARTED: Mutex<Vec<Weak<Core>>> = Mutex::new(Vec::new());

/// HTTP/1.1 and WebSockets on listening sockets; the application runs on the threads that call `work`.
#[pyclass(frozen, weakref, module = "dwebsocket._core")]
pub(super) struct Server {
    service: Arc<Service>,
    spawn: Py<PyAny>,
    config: Arc<ServerConfig>,
    preface: Preface,
    io_threads: usize,
    core: Arc<Core>,
}

/// The part of a server that knows nothing of Python.
#[derive(Debug)]
struct Core {
    workers: Arc<Workers>,
    notices: Arc<Notices>,
    /// The process that made it. A forked child has neither its threads nor, perhaps, its locks in order.
    process: u32,
    state: Mutex<State>,
    threads: Mutex<usize>,
    thread_ended: Condvar,
}

#[derive(Debug)]
enum State {
    Ready(Vec<Listener>),
    Running(Arc<server::Server>),
    Stopped(Option<Arc<server::Server>>),
}

/// A thread within `work`.
struct Working<'a>(&'a Core);

impl<'a> Working<'a> {
    fn begin(core: &'a Core) -> Self {
        *core.threads.lock() += 1;
        Self(core)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        *self.0.threads.lock() -= 1;
        self.0.thread_ended.notify_all();
    }
}

impl Core {
    fn check_process(&self) -> PyResult<()> {
        if self.process == process::id() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err("the server belongs to the process that this one was forked from"))
    }

    /// Closes everything that is open, without waiting. Gives the server if it was running until now.
    fn begin_stop(&self, code: u16, reason: &str) -> Option<Arc<server::Server>> {
        let server = {
            let mut state = self.state.lock();
            let server = match &*state {
                State::Ready(_) => None,
                State::Running(server) => Some(Arc::clone(server)),
                State::Stopped(_) => return None,
            };
            *state = State::Stopped(server.clone());
            server
        };
        if let Some(server) = &server {
            server.stop_accepting();
            server.close_connections(code, reason);
        }
        self.workers.stop();
        self.notices.close();
        server
    }

    /// Open TCP connections.
    fn connections(&self) -> usize {
        self.server().map_or(0, |server| server.connections())
    }

    /// The server, once it was started.
    fn server(&self) -> Option<Arc<server::Server>> {
        match &*self.state.lock() {
            State::Ready(_) => None,
            State::Running(server) => Some(Arc::clone(server)),
            State::Stopped(server) => server.clone(),
        }
    }

    /// Waits for the connections and the threads. Called without the GIL. False: the time ran out.
    fn wait_until(&self, deadline: Instant) -> bool {
        let remaining = deadline.saturating_duration_since(Instant::now());
        let connections_ended = self.server().is_none_or(|server| server.wait(remaining));
        let mut threads = self.threads.lock();
        let result = self.thread_ended.wait_while_until(&mut threads, |threads| *threads > 0, deadline);
        connections_ended && !result.timed_out()
    }
}

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (application, listeners, config, spawn, access_log=None, base_environ=None))]
    fn new(
        application: Bound<'_, PyAny>,
        listeners: Vec<RawFd>,
        config: &Bound<'_, PyMapping>,
        spawn: Py<PyAny>,
        access_log: Option<Py<PyAny>>,
        base_environ: Option<&Bound<'_, PyMapping>>,
    ) -> PyResult<Self> {
        let template = Template::new(application.py(), base_environ)?;
        let Settings { server: config, io_threads, preface } = Settings::parse(config)?;
        let listeners = listeners.into_iter().map(duplicate).collect::<PyResult<_>>()?;
        let notices = Arc::new(Notices::counting(stats::current(application.py())));
        let core = Core {
            workers: Workers::new(&config, Arc::clone(&notices)),
            notices,
            process: process::id(),
            state: Mutex::new(State::Ready(listeners)),
            threads: Mutex::new(0),
            thread_ended: Condvar::new(),
        };
        let service = Service { application: application.unbind(), access_log, template };
        let (service, config, core) = (Arc::new(service), Arc::new(config), Arc::new(core));
        Ok(Self { service, spawn, config, preface, io_threads, core })
    }

    /// Starts accepting, asks for the first thread, and returns.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        self.core.check_process()?;
        arenas::limit();
        futexes::make_room(self.config.max_websocket_connections);
        let runtime = runtime::handle(py, self.io_threads)?;
        {
            let mut state = self.core.state.lock();
            let State::Ready(listeners) = &mut *state else {
                return Err(PyRuntimeError::new_err("the server was started before"));
            };
            let listeners = std::mem::take(listeners);
            let app = Arc::clone(&self.core.workers);
            let (config, preface) = (Arc::clone(&self.config), self.preface.clone());
            let server = server::Server::start(runtime, listeners, app, config, &self.core.notices, preface)?;
            *state = State::Running(Arc::new(server));
        }
        {
            let mut started = STARTED.lock();
            started.retain(|core| core.strong_count() > 0);
            started.push(Arc::downgrade(&self.core));
        }
        if let Err(error) = self.spawn(py) {
            self.core.begin_stop(close::GOING_AWAY, "");
            return Err(error);
        }
        Ok(())
    }

    /// Runs requests on the calling thread until it has been idle for long or the server stops.
    fn work(&self, py: Python<'_>) -> PyResult<()> {
        self.core.check_process()?;
        let _working = Working::begin(&self.core);
        let mut is_first = true;
        while let Some(job) = self.next_job(py, is_first) {
            is_first = false;
            // What an application raises, SystemExit included, is dealt with below; this is for panics.
            if catch_unwind(AssertUnwindSafe(|| self.run(py, job))).is_err() {
                log::error(py, "a panic, told of apart, ended an exchange", "dwebsocket");
            }
        }
        Ok(())
    }

    /// Stops accepting, closes every socket and waits for the threads and connections. True: all ended in time.
    #[pyo3(signature = (code=1001, reason="", timeout=1.0))]
    fn stop(&self, py: Python<'_>, code: u16, reason: &str, timeout: f64) -> PyResult<bool> {
        if self.core.process != process::id() {
            // Nothing of it runs here.
            return Ok(true);
        }
        check_close(code, reason)?;
        let deadline = Instant::now() + seconds("timeout", timeout)?;
        self.core.begin_stop(code, reason);
        Ok(runtime::detached(py, || self.core.wait_until(deadline)))
    }

    /// Brings everything to its end without haste; the threads go on. `stop` makes haste.
    #[pyo3(signature = (code=1001, reason="", spread=0.0, linger=0.0))]
    fn drain(&self, code: u16, reason: &str, spread: f64, linger: f64) -> PyResult<()> {
        self.core.check_process()?;
        check_close(code, reason)?;
        let (spread, linger) = (seconds("spread", spread)?, seconds("linger", linger)?);
        if let Some(server) = self.core.server() {
            server.drain(code, reason, spread, linger);
        }
        Ok(())
    }

    /// Waits until every connection has ended and nothing is accepted any more. False: the time ran out.
    fn wait(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        self.core.check_process()?;
        let timeout = seconds("timeout", timeout)?;
        Ok(runtime::detached(py, || self.core.server().is_none_or(|server| server.wait(timeout))))
    }

    /// What was refused below the application since the last call; waits until something was. None: it has stopped.
    fn notices<'py>(&self, py: Python<'py>) -> PyResult<Option<Vec<ToldOf<'py>>>> {
        self.core.check_process()?;
        let Some(told) = runtime::detached(py, || self.core.notices.take()) else { return Ok(None) };
        let object = |Told { notice, count, address, detail }| {
            let address = address.map(|address| PyString::new(py, &address.to_string()));
            (name_of(notice), count, address, detail)
        };
        Ok(Some(told.into_iter().map(object).collect()))
    }

    /// Threads and connections in use.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.core.check_process()?;
        let threads = self.core.workers.counts();
        let connections = self.core.connections();
        let counts = PyDict::new(py);
        counts.set_item("http_threads", threads.http)?;
        counts.set_item("websocket_threads", threads.websockets)?;
        counts.set_item("idle_threads", threads.idle)?;
        counts.set_item("connections", connections)?;
        Ok(counts)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The service is shared only with threads within `work`, which hold this object as well.
        visit.call(&self.spawn)?;
        visit.call(&self.service.application)?;
        visit.call(&self.service.access_log)?;
        self.service.template.traverse(&visit)
    }
}

impl Server {
    /// Waits for the next job, unless it is there. While jobs are, the thread keeps the GIL between two of them, for as
    /// long as CPython lets a thread keep it that runs Python code.
    fn next_job(&self, py: Python<'_>, is_first: bool) -> Option<Job> {
        let there = if is_first { None } else { self.core.workers.take_now() };
        let mut job = there.or_else(|| runtime::detached(py, || self.core.workers.take()))?;
        // With the GIL in hand, there is nothing to wait for.
        drop(job.turn.take());
        Some(job)
    }

    fn run(&self, py: Python<'_>, job: Job) {
        let Job { exchange, slot, spawn, .. } = job;
        if spawn && let Err(error) = self.spawn(py) {
            log::exception(py, "no further thread can be started", "dwebsocket", &error);
            self.core.workers.spawn_failed();
            return Service::refuse_busy(exchange);
        }
        self.service.run(py, exchange, slot);
    }

    // Apart, as what is before and after a view, to keep the stack short while one runs.
    #[inline(never)]
    fn spawn(&self, py: Python<'_>) -> PyResult<()> {
        call::call(self.spawn.bind(py), &PyTuple::empty(py), None).map(drop)
    }
}

fn check_close(code: u16, reason: &str) -> PyResult<()> {
    if !close::may_be_sent(code) {
        return Err(PyValueError::new_err(format!("{code} is no close code that may be sent")));
    }
    if reason.len() > close::MAX_REASON_BYTES {
        return Err(PyValueError::new_err("the reason of a Close has at most 123 bytes"));
    }
    Ok(())
}

/// A time as Python tells it; one below zero is none, and one beyond all use is cut.
fn seconds(name: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds.clamp(0.0, 1e9))
        .map_err(|_| PyValueError::new_err(format!("the {name} is not a number")))
}

/// Threads in use, and open TCP connections, of all servers of this process.
pub(super) fn in_use(_py: Python<'_>) -> (ThreadCounts, usize) {
    let servers: Vec<_> = STARTED.lock().iter().filter_map(Weak::upgrade).collect();
    let here = process::id();
    let mut sum = (ThreadCounts::default(), 0);
    for core in servers.iter().filter(|core| core.process == here) {
        let (threads, counts) = (&mut sum.0, core.workers.counts());
        threads.idle += counts.idle;
        threads.http += counts.http;
        threads.http_waiting += counts.http_waiting;
        threads.handshakes_waiting += counts.handshakes_waiting;
        threads.websockets += counts.websockets;
        sum.1 += core.connections();
    }
    sum
}

/// What happened, how often, and whose address and what it was in particular the last time.
type ToldOf<'py> = (&'static str, u64, Option<Bound<'py, PyString>>, String);

fn name_of(notice: Notice) -> &'static str {
    match notice {
        Notice::HttpBusy => "http_busy",
        Notice::WebSocketsFull => "websockets_full",
        Notice::ConnectionsFull => "connections_full",
        Notice::AddressFull => "address_full",
        Notice::RequestLineTooLong => "request_line_too_long",
        Notice::HeaderTooLarge => "header_too_large",
        Notice::TooManyHeaders => "too_many_headers",
        Notice::HeaderTimedOut => "header_timed_out",
        Notice::BodyTooLarge => "body_too_large",
        Notice::BadRequest => "bad_request",
        Notice::Preface => "preface",
        Notice::PrefaceTimedOut => "preface_timed_out",
        Notice::AcceptFailed => "accept_failed",
        Notice::Panicked => "panicked",
    }
}

/// A listening socket of its own for a descriptor that stays the caller's.
#[allow(unsafe_code, reason = "Python hands sockets over as numbers")]
fn duplicate(descriptor: RawFd) -> PyResult<Listener> {
    if descriptor < 0 {
        return Err(PyValueError::new_err(format!("{descriptor} is no descriptor")));
    }
    // SAFETY: the descriptor is not -1 and is used for this call only. Should it not be open, duplicating it is an error.
    let owned: OwnedFd = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()?;
    let socket = socket2::Socket::from(owned);
    let address = socket.local_addr()?;
    if address.is_ipv4() || address.is_ipv6() {
        Ok(Listener::Tcp(socket.into()))
    } else if address.is_unix() {
        Ok(Listener::Unix(socket.into()))
    } else {
        Err(PyOSError::new_err(format!("descriptor {descriptor} is neither a TCP nor a Unix socket")))
    }
}

/// Ends every connection. From now on no thread that waits in Rust comes back to Python.
#[pyfunction]
pub(super) fn shutdown(py: Python<'_>) {
    let servers: Vec<_> = STARTED.lock().iter().filter_map(Weak::upgrade).collect();
    let here = process::id();
    adopt::close(close::GOING_AWAY);
    let mut stopped = Vec::new();
    for core in servers.into_iter().filter(|core| core.process == here) {
        // Those that were stopped before had their time.
        if core.begin_stop(close::GOING_AWAY, "").is_some() {
            stopped.push(core);
        }
    }
    let deadline = Instant::now() + SHUTDOWN_SECONDS;
    runtime::detached(py, || stopped.iter().all(|core| core.wait_until(deadline)));
    adopt::wait_until(py, deadline);
    runtime::finalize();
}
