//! HTTP/1.1 on hyper and tokio, and the threads that run views.
//!
//! One task serves each client (`http`), and the socket becomes a WebSocket's when the application says so. Requests
//! go to an [`App`]; the one for views is [`Workers`], from which threads take them. No task ever waits for a thread:
//! bodies are bounded mailboxes on whose other side the thread waits.

mod admission;
mod app;
pub mod arenas;
mod body;
pub mod cgi;
mod farewell;
pub mod framing;
pub mod futexes;
mod http;
mod link;
mod listener;
mod notices;
mod panics;
mod pipe;
mod places;
mod preface;
pub mod proxy;
mod reply;
mod shutdown;
mod socket;
mod sockets;
mod stream;
mod tls;
mod workers;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use self::{
    admission::Admission, arenas::Trimmer, http::Host, shutdown::Stage, socket::Socket, sockets::Registry,
};
pub use self::{
    app::{App, Exchange},
    body::{BodyError, RequestBody},
    listener::Listener,
    notices::{Notice, Notices, Told},
    panics::note_panics,
    preface::{Preface, Proxied},
    reply::{BodyWriter, ClientGone, Reply, WriteError},
    shutdown::close_in_turn,
    tls::{ClientAuthorities, Tls},
    workers::{Job, Slot, ThreadCounts, Turn, Workers},
};
use crate::config::ServerConfig;

/// A running server. Dropping it closes the listening sockets; connections go on.
#[derive(Debug)]
pub struct Server {
    registry: Arc<Registry>,
    runtime: tokio::runtime::Handle,
    accepting: watch::Sender<bool>,
    stage: watch::Sender<Stage>,
    tally: Arc<Tally>,
}

impl Server {
    /// Serves the listening sockets on the runtime; every connection begins with the preface. The application is called on
    /// the runtime's threads. What is refused below the application is noted.
    ///
    /// # Errors
    /// A socket cannot be made non-blocking or registered with the runtime.
    pub fn start(
        runtime: &tokio::runtime::Handle,
        listeners: Vec<Listener>,
        app: Arc<dyn App>,
        config: Arc<ServerConfig>,
        notices: &Arc<Notices>,
        preface: Preface,
    ) -> io::Result<Self> {
        let entered = runtime.enter();
        let listeners: Vec<_> = listeners.into_iter().map(Listener::into_async).collect::<io::Result<_>>()?;
        drop(entered);
        panics::tell(notices);
        let registry = Arc::new(Registry::default());
        let admission = Admission::new(&config, Arc::clone(notices), preface.tls.is_some());
        let host = Host {
            app,
            config,
            registry: Arc::clone(&registry),
            runtime: runtime.clone(),
            notices: Arc::clone(notices),
            preface,
        };
        let (accepting, _) = watch::channel(true);
        let (stage, _) = watch::channel(Stage::Open);
        let tally = Arc::new(Tally::default());
        let trimmer = Arc::new(Trimmer::default());
        for listener in listeners {
            let (host, tally, stage) = (host.clone(), Arc::clone(&tally), stage.clone());
            let (admission, notices) = (Arc::clone(&admission), Arc::clone(notices));
            let accepting = accepting.subscribe();
            let (counted, trimmer) = (Counted::new(&tally, |open| &mut open.listeners), Arc::clone(&trimmer));
            runtime.spawn(async move {
                let serve = |socket: Socket| {
                    let Some((socket, admitted)) = admission.admit(socket) else { return };
                    let counted = Counted::new(&tally, |open| &mut open.connections);
                    let (host, stage) = (host.clone(), stage.subscribe());
                    let trimmer = Arc::clone(&trimmer);
                    trimmer.note();
                    // A panic ends this task alone; unwinding drops the count with it.
                    tokio::spawn(async move {
                        // Made in here: a future that is moved in has its room twice.
                        http::serve(host, socket, stage).await;
                        // The place first: who sees the count go down may connect at once.
                        drop((admitted, counted));
                        trimmer.note();
                    });
                };
                let failed = || {
                    tally.accept_failed();
                    notices.note(Notice::AcceptFailed, None, "");
                };
                listener.run(accepting, serve, failed).await;
                drop(counted);
            });
        }
        Ok(Self { registry, runtime: runtime.clone(), accepting, stage, tally })
    }

    /// Closes the listening sockets; connections go on, and those that wait to be accepted are accepted. Never blocks:
    /// [`Server::wait`] waits until the sockets are closed.
    pub fn stop_accepting(&self) {
        self.accepting.send_replace(false);
    }

    /// Sends every WebSocket, those that open later too, the Close; ends idle HTTP connections at once and the others
    /// after the response they are at. Never blocks; the code and reason of the first call, or of [`Server::drain`], count.
    pub fn close_connections(&self, code: u16, reason: &str) {
        self.registry.close(code, reason);
        self.stage.send_replace(Stage::Now);
    }

    /// Brings everything to its end without haste, and closes the listening sockets. The WebSockets are sent the Close one
    /// after the other within `spread`, those that open later at once. An HTTP connection ends with the response it is at,
    /// or with that to the request that comes within `linger`: a client may be sending one already. Never blocks;
    /// [`Server::close_connections`] makes haste. Does nothing if one of the two was called before.
    pub fn drain(&self, code: u16, reason: &str, spread: Duration, linger: Duration) {
        self.stop_accepting();
        let begun = self.stage.send_if_modified(|stage| {
            let open = *stage == Stage::Open;
            if open {
                *stage = Stage::Last(linger);
            }
            open
        });
        if begun {
            let connections = self.registry.begin_close(code, reason);
            let reason = reason.to_owned();
            self.runtime.spawn(async move { close_in_turn(connections, code, &reason, spread).await });
        }
    }

    /// Waits until every connection has ended and, after [`Server::stop_accepting`], the listening sockets are closed.
    /// False: the time ran out. Blocks the calling thread, which must not be one of the runtime's.
    pub fn wait(&self, timeout: Duration) -> bool {
        let mut open = self.tally.open.lock();
        let waits =
            |open: &mut Open| open.connections > 0 || (open.listeners > 0 && !*self.accepting.borrow());
        self.tally.ended.wait_while_for(&mut open, waits, timeout);
        !waits(&mut open)
    }

    /// Open connections, HTTP and WebSocket.
    pub fn connections(&self) -> usize {
        self.tally.open.lock().connections
    }

    /// How often a connection could not be accepted for want of descriptors or memory; each is followed by a pause of
    /// a tenth of a second.
    pub fn accept_failures(&self) -> u64 {
        self.tally.accept_failures.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_accepting();
    }
}

/// What is open.
#[derive(Debug, Default)]
struct Tally {
    open: Mutex<Open>,
    ended: Condvar,
    accept_failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    listeners: usize,
    connections: usize,
}

impl Tally {
    fn accept_failed(&self) {
        self.accept_failures.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts one listener or connection for as long as it lives.
struct Counted {
    tally: Arc<Tally>,
    count: fn(&mut Open) -> &mut usize,
}

impl Counted {
    fn new(tally: &Arc<Tally>, count: fn(&mut Open) -> &mut usize) -> Self {
        *count(&mut tally.open.lock()) += 1;
        Self { tally: Arc::clone(tally), count }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.tally.open.lock();
        *(self.count)(&mut open) -= 1;
        drop(open);
        self.tally.ended.notify_all();
    }
}
