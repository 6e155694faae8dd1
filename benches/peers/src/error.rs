//! Why a case has no figure.

use std::io;

/// What went wrong: with the server, or on the way to it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The operating system refused something, or the connection was reset.
    #[error("client {client}: {error}")]
    Io {
        /// The number of the client.
        client: usize,
        /// What the operating system said.
        error: io::Error,
    },
    /// The polling itself failed.
    #[error("poll: {0}")]
    Poll(#[from] io::Error),
    /// The answer to the handshake was not the right 101.
    #[error("client {client}: the handshake was answered with {answer:?}")]
    Handshake {
        /// The number of the client.
        client: usize,
        /// The head of the answer.
        answer: String,
    },
    /// permessage-deflate was offered and is needed, but the server did not agree.
    #[error("the server does not compress")]
    NotCompressing,
    /// A frame that no server may send.
    #[error("client {client}: {what}")]
    Frame {
        /// The number of the client.
        client: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The server closed, or let go of the connection.
    #[error("client {client}: closed by the server ({code:?})")]
    Closed {
        /// The number of the client.
        client: usize,
        /// The code of its Close; `None`: there was no Close.
        code: Option<u16>,
    },
    /// A message that is not the one that had to come next.
    #[error("client {client}: message {number} is wrong: {what}")]
    Wrong {
        /// The number of the client.
        client: usize,
        /// How many right ones it had received.
        number: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The server says in a message that something is wrong.
    #[error("client {client}: the server says {what}")]
    Told {
        /// The number of the client.
        client: usize,
        /// What it says.
        what: String,
    },
    /// A message to a client that had nothing to receive.
    #[error("client {client}: a message more than there were")]
    Unexpected {
        /// The number of the client.
        client: usize,
    },
    /// Something that had to come did not come in time.
    #[error("{missing} of {of} {what} did not come within {seconds} s")]
    Missing {
        /// How many did not come.
        missing: u64,
        /// How many had to.
        of: u64,
        /// What they are.
        what: &'static str,
        /// How long they were awaited.
        seconds: f64,
    },
}
