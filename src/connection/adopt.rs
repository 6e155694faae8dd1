//! Sockets that a server other than ours has accepted.
//!
//! The server keeps its descriptor, and goes on using it when the view is over: it writes a response, reads the next
//! request, shuts down, closes. None of this may reach the client, and all of it must succeed. So the connection moves
//! to a descriptor of our own, and the server's number becomes one end of a pair of sockets: what is written there is
//! read and thrown away, what is read there is the end of the stream.
//!
//! # Why nobody notices
//! Everything that can fail comes before the exchange: the duplicate of the descriptor, the pair, the registration of
//! both with the runtime. Until then the server's descriptor is as it was, but for the non-blocking mode, which is a
//! property of the open file that both descriptors share; it is set back where a later step fails. The exchange is one
//! `dup3`: the number is the client's socket before it and the pair's end after it and never free in between, so that no
//! other thread's `accept` or `open` can be given it. What the server knows about its socket stays true: the pair's end
//! blocks where the client's socket did, and is closed in programs that the process executes. Every descriptor made here
//! is closed there as well.

use std::{
    io,
    mem::ManuallyDrop,
    net::Shutdown,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix,
    },
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::{DupFlags, dup3},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    runtime::Handle,
    task, time,
};

use super::{
    Connection, Driver, open_agreed,
    registry::{Registration, Registry},
    signals,
    socket::Socket,
    stats::{Refusal, Stats},
};
use crate::{
    config::ConnectionConfig,
    error::AdoptError,
    wire::{
        close::{GOING_AWAY, SERVICE_RESTART},
        offer::Agreement,
    },
};

/// What is thrown away at once of what a server writes after the view.
const DISCARDED_BYTES: usize = 4 << 10;

/// How long the sockets of a process that is told to stop may take to end before it is told that they have not.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The adopted sockets of a process.
///
/// When the process is told to stop by a signal for which it has a handler (SIGINT, SIGQUIT, SIGABRT, SIGTERM), they are
/// closed with 1001: a server that waits for its views to end would wait for ever otherwise. Where uWSGI reloads (SIGHUP),
/// with 1012.
#[derive(Debug)]
pub struct Adopted {
    registry: Arc<Registry>,
    runtime: Handle,
    stats: Arc<Stats>,
}

impl Adopted {
    /// None yet; they will be served on `runtime` and counted in `stats`. To be made once in a process.
    ///
    /// # Errors
    /// The operating system has no descriptor left, or refuses a signal handler.
    pub fn new(runtime: Handle, stats: Arc<Stats>) -> io::Result<Self> {
        let registry = Arc::new(Registry::default());
        let entered = runtime.enter();
        let stop = UnixStream::from_std(signals::told_to_stop()?)?;
        drop(entered);
        runtime.spawn(close_when_told(stop, Arc::clone(&registry)));
        Ok(Self { registry, runtime, stats })
    }

    /// Prepares to take a socket over. Until [`Adoption::take`] the server can still answer on it.
    ///
    /// `socket` is the server's descriptor of a connected stream socket, which nobody uses during the adoption; at most
    /// `limit` sockets are adopted at the same time. `agreement` is what the 101 will say of compression.
    ///
    /// # Errors
    /// There are `limit` already, or the operating system has no descriptor left.
    pub fn prepare<'a>(
        &self,
        socket: BorrowedFd<'a>,
        config: Arc<ConnectionConfig>,
        agreement: Option<Agreement>,
        limit: usize,
    ) -> Result<Adoption<'a>, AdoptError> {
        let ours = socket2::Socket::from(socket.try_clone_to_owned()?);
        let (servers_end, our_end) = unix::net::UnixStream::pair()?;
        // The server reads the end of the stream, and waits for no next request.
        our_end.shutdown(Shutdown::Write)?;
        our_end.set_nonblocking(true)?;
        let entered = self.runtime.enter();
        let our_end = UnixStream::from_std(our_end)?;
        drop(entered);
        // A client that has left already has no address any more; the driver will find out.
        let peer = ours.peer_addr().ok().and_then(|address| address.as_socket());
        let peer = peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string());
        let (connection, driver) = open_agreed(config, peer, agreement);
        let Some(registration) = self.registry.add_within(limit, &connection) else {
            self.stats.refused(Refusal::WebSocketsFull);
            return Err(AdoptError::TooMany);
        };
        let (runtime, stats) = (self.runtime.clone(), Arc::clone(&self.stats));
        Ok(Adoption {
            server: socket,
            ours,
            servers_end,
            our_end,
            connection,
            driver,
            registration,
            runtime,
            stats,
        })
    }

    /// Sends every one, and those that are adopted later, the Close. Never blocks; only the first call counts.
    pub fn close(&self, code: u16, reason: &str) {
        self.registry.close(code, reason);
    }

    /// Waits until every one has ended. False: the time ran out. Blocks the calling thread, which must not be one of the
    /// runtime's.
    pub fn wait(&self, timeout: Duration) -> bool {
        Instant::now().checked_add(timeout).is_none_or(|deadline| self.registry.wait_until_empty(deadline))
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.registry.len()
    }
}

/// A socket about to be taken over. Dropped, it stays the server's.
#[derive(Debug)]
pub struct Adoption<'a> {
    server: BorrowedFd<'a>,
    ours: socket2::Socket,
    servers_end: unix::net::UnixStream,
    our_end: UnixStream,
    connection: Connection,
    driver: Driver,
    registration: Registration,
    runtime: Handle,
    stats: Arc<Stats>,
}

impl Adoption<'_> {
    /// Takes the socket over and sends `head`, the head of the 101. `early` is what the server has read behind the
    /// handshake. Never blocks.
    ///
    /// # Errors
    /// The runtime cannot watch the socket, or it is no stream socket. It is as it was.
    pub fn take(self, head: Bytes, early: Bytes) -> io::Result<Connection> {
        let Self { server, ours, servers_end, our_end, connection, driver, registration, runtime, stats } =
            self;
        let mode = fcntl_getfl(server)?;
        fcntl_setfl(&servers_end, fcntl_getfl(&servers_end)? | (mode & OFlags::NONBLOCK))?;
        let entered = runtime.enter();
        let socket = Socket::register(ours).and_then(|socket| {
            replace(server, servers_end.into())?;
            Ok(socket)
        });
        drop(entered);
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                fcntl_setfl(server, mode)?;
                return Err(error);
            }
        };
        connection.count_in(&stats);
        runtime.spawn(discard(our_end));
        runtime.spawn(serve(socket, head, early, driver, registration));
        Ok(connection)
    }
}

/// Makes the descriptor's number stand for `file`, at one stroke.
#[allow(unsafe_code, reason = "the number is the server's, and stays open")]
fn replace(descriptor: BorrowedFd<'_>, file: OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is open, since it is borrowed, and it is not closed here: the owner made of it is never
    // dropped. It stays open under the same number, so whoever owns it goes on owning it.
    let mut number = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(descriptor.as_raw_fd()) });
    Ok(dup3(file, &mut number, DupFlags::CLOEXEC)?)
}

/// Closes every one when the process is told to stop, and answers when all have ended.
async fn close_when_told(mut stop: UnixStream, registry: Arc<Registry>) {
    let Ok(number) = stop.read_u8().await else { return };
    let reload = i32::from(number) == libc::SIGHUP;
    registry.close(if reload { SERVICE_RESTART } else { GOING_AWAY }, "");
    let ended = task::spawn_blocking(move || registry.wait_until_empty(Instant::now() + LAST_WORDS));
    if ended.await.is_ok() {
        // It fails where nobody can be listening any more.
        let _ = stop.write_all(b"!").await;
    }
}

/// Reads what the server writes after the view, until the server closes its end.
async fn discard(our_end: UnixStream) {
    // The buffer lives between two waits only: a WebSocket that is open costs none.
    while our_end.readable().await.is_ok() {
        match our_end.try_read(&mut [0; DISCARDED_BYTES]) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Writes the 101 and serves the WebSocket until it has ended. Where the 101 cannot be written, it is lost.
async fn serve(mut socket: Socket, head: Bytes, early: Bytes, driver: Driver, registration: Registration) {
    let open = async {
        socket.set_nodelay()?;
        socket.write_all(&head).await
    };
    if let Ok(Ok(())) = time::timeout(driver.send_timeout(), open).await {
        // Here no sender writes itself: where a signal tells the process to stop, its handler waits for the sockets, and may
        // interrupt a sender that keeps the driver from writing.
        driver.serve(socket, early, Socket::hold_little).await;
    }
    drop(registration);
}
