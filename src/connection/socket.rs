//! A connected stream socket of either family.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// Unsent bytes that the operating system holds of a connection of which only the newest counts.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 32 << 10;

/// A connected stream socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Makes a socket non-blocking and registers it with the current runtime.
    ///
    /// # Errors
    /// It is no stream socket of TCP or Unix, or the operating system refuses.
    pub(crate) fn register(socket: socket2::Socket) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let is_stream = socket.r#type()? == socket2::Type::STREAM;
        let is_tcp = address.is_ipv4() || address.is_ipv6();
        if !is_stream || !(is_tcp || address.is_unix()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "neither a TCP nor a Unix stream socket",
            ));
        }
        socket.set_nonblocking(true)?;
        let descriptor = OwnedFd::from(socket);
        if is_tcp {
            TcpStream::from_std(descriptor.into()).map(Self::Tcp)
        } else {
            UnixStream::from_std(descriptor.into()).map(Self::Unix)
        }
    }

    /// Makes what is about to be sent leave at once.
    pub(crate) fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(true),
            Self::Unix(_) => Ok(()),
        }
    }

    /// Lets the operating system hold little that it has not sent yet, so that what is written next is not behind a
    /// backlog. Where it cannot, the backlog is what the send buffer holds.
    pub(crate) fn hold_little(&self) {
        #[cfg(target_os = "linux")]
        if let Self::Tcp(stream) = self {
            let _refused = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES);
        }
    }

    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    pub(crate) fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Makes the close that follows a reset, which no client takes for the regular end of a response.
    pub(crate) fn reset_at_close(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_zero_linger(),
            Self::Unix(_) => Ok(()),
        }
    }
}

/// The same descriptor for as long as the socket lives.
impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
