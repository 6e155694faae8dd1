//! The listening sockets.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    time::Duration,
};

use tokio::{sync::watch, time};

use super::socket::Socket;

/// Pause after a failure to accept that a repetition would meet again at once, such as running out of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// The address it listens at (`None` for a Unix socket).
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Registers it with the current runtime.
    pub(super) fn into_async(self) -> io::Result<AsyncListener> {
        match self {
            Self::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener).map(AsyncListener::Tcp)
            }
            Self::Unix(listener) => {
                listener.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(listener).map(AsyncListener::Unix)
            }
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// Connections that are accepted of those that wait when the listening socket is closed.
const LAST: usize = 4096;

/// A listening socket registered with a runtime.
#[derive(Debug)]
pub(super) enum AsyncListener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl AsyncListener {
    async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => Ok(Socket::Tcp(listener.accept().await?.0)),
            Self::Unix(listener) => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }

    /// Accepts what waits, without waiting: with the last listening socket of a port those that wait behind it are reset.
    fn into_waiting(self) -> io::Result<Vec<Socket>> {
        let listener = match self {
            Self::Tcp(listener) => socket2::Socket::from(listener.into_std()?),
            Self::Unix(listener) => socket2::Socket::from(listener.into_std()?),
        };
        let mut waiting = Vec::new();
        while waiting.len() < LAST
            && let Ok((socket, _)) = listener.accept()
        {
            waiting.push(Socket::register(socket)?);
        }
        Ok(waiting)
    }

    /// Gives every accepted socket to `serve` until `accepting` turns false; counts failures by `failed`.
    pub(super) async fn run(
        self,
        mut accepting: watch::Receiver<bool>,
        serve: impl Fn(Socket),
        failed: impl Fn(),
    ) {
        loop {
            let accepted = tokio::select! {
                biased;
                _ = accepting.wait_for(|accepting| !accepting) => break,
                accepted = self.accept() => accepted,
            };
            match accepted {
                // A socket that takes no option has lost its client already.
                Ok(socket) if socket.set_nodelay().is_err() => {}
                Ok(socket) => serve(socket),
                Err(error) if concerns_one_client(&error) => {}
                Err(_) => {
                    failed();
                    time::sleep(PAUSE).await;
                }
            }
        }
        let Ok(waiting) = self.into_waiting() else { return failed() };
        waiting.into_iter().filter(|socket| socket.set_nodelay().is_ok()).for_each(serve);
    }
}

/// The client went away between its connect and the accept: the next accept may succeed at once.
fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
