//! A server on a free port, with an application that runs on threads.

use std::{
    fmt::Debug,
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dwebsocket::{
    config::ServerConfig,
    server::{App, Exchange, Job, Notices, Preface, Server, Slot, Workers},
};
use http::{Response, StatusCode};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use super::client::Client;

/// No test waits longer than this for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A server whose workers nobody serves yet: the test takes jobs itself, or calls [`Site::employ`].
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) workers: Arc<Workers>,
    pub(super) notices: Arc<Notices>,
    pub(super) address: SocketAddr,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
    // Last: the connections end before the runtime does.
    _runtime: Runtime,
}

impl Site {
    pub(super) fn open(config: ServerConfig) -> Self {
        let notices = Arc::default();
        let workers = Workers::new(&config, Arc::clone(&notices));
        let app = Arc::clone(&workers);
        let (server, address, runtime) = start(app, config, &notices);
        Self { server, workers, notices, address, threads: Arc::default(), _runtime: runtime }
    }

    /// Opens a site whose views are all `view`.
    pub(super) fn serving(
        config: ServerConfig,
        view: impl Fn(Exchange, &Slot) + Send + Sync + 'static,
    ) -> Self {
        let site = Self::open(config);
        hire(Arc::clone(&site.workers), Arc::new(view), Arc::clone(&site.threads));
        site
    }

    pub(super) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Takes one job on a thread of its own, which then ends.
    pub(super) fn take_elsewhere(&self) -> mpsc::Receiver<Option<Job>> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let workers = Arc::clone(&self.workers);
        let thread = thread::spawn(move || {
            // The test may no longer want the job.
            let _unwanted = sender.send(workers.take());
        });
        self.threads.lock().push(thread);
        receiver
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.stop_accepting();
        self.server.close_connections(1001, "");
        self.workers.stop();
        let ended = self.server.wait(PATIENCE);
        loop {
            let Some(thread) = self.threads.lock().pop() else { break };
            let outcome = thread.join();
            if !thread::panicking() {
                outcome.unwrap();
            }
        }
        if !thread::panicking() {
            assert!(ended, "connections are left over");
        }
    }
}

type View = dyn Fn(Exchange, &Slot) + Send + Sync;

/// Starts one thread that serves `workers`, and starts further ones as it is told.
fn hire(workers: Arc<Workers>, view: Arc<View>, threads: Arc<Mutex<Vec<JoinHandle<()>>>>) {
    let crew = Arc::clone(&threads);
    let thread = thread::spawn(move || {
        while let Some(Job { exchange, slot, spawn, turn }) = workers.take() {
            drop(turn);
            if spawn {
                hire(Arc::clone(&workers), Arc::clone(&view), Arc::clone(&threads));
            }
            view(*exchange, &slot);
        }
    });
    crew.lock().push(thread);
}

pub(super) fn start(
    app: Arc<dyn App>,
    config: ServerConfig,
    notices: &Arc<Notices>,
) -> (Server, SocketAddr, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::start(
        runtime.handle(),
        vec![listener.into()],
        app,
        Arc::new(config),
        notices,
        Preface::default(),
    )
    .unwrap();
    (server, address, runtime)
}

/// A 200 without any fields.
pub(super) fn ok() -> Response<()> {
    Response::new(())
}

pub(super) fn status(status: StatusCode) -> Response<()> {
    let mut head = ok();
    *head.status_mut() = status;
    head
}

pub(super) fn answer(exchange: Exchange, body: &'static str) {
    exchange.reply.send(ok(), Bytes::from_static(body.as_bytes())).unwrap();
}

/// Answers with everything the request's body holds, or with the name of what went wrong.
pub(super) fn answer_with_body(mut exchange: Exchange) {
    let mut whole = Vec::new();
    let text = loop {
        match exchange.body.read() {
            Ok(Some(piece)) => whole.extend_from_slice(&piece),
            Ok(None) => break whole,
            Err(error) => break format!("{error:?}").into_bytes(),
        }
    };
    // Some tests leave before the answer.
    let _gone = exchange.reply.send(ok(), text.into());
}

/// Looks again and again until `look` gives something.
pub(super) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        thread::yield_now();
    }
}

pub(super) fn until_equal<T: PartialEq + Debug>(expected: &T, mut look: impl FnMut() -> T) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if seen == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "still {seen:?} instead of {expected:?}");
        thread::yield_now();
    }
}

/// Whether a connection was reset, as opposed to closed in order.
pub(super) fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
