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
                _ = accepting.wait_for(|accepting| !accepting) => return,
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
    }
}

/// The client went away between its connect and the accept: the next accept may succeed at once.
fn concerns_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
